"""Between rows and the core's dataclasses: a column has the name of its field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, FromClause, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")


class Repository:
    """Statements in the transaction of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _one(self, kind: Callable[..., T], statement: Select[Any]) -> T | None:
        row = self._connection.execute(statement).mappings().first()
        return None if row is None else kind(**row)

    def _all(self, kind: Callable[..., T], statement: Select[Any]) -> list[T]:
        return [kind(**row) for row in self._connection.execute(statement).mappings()]

    def _held(self, statement: Select[Any]) -> Select[Any]:
        """In a writing transaction: keep others from changing the rows that are read.

        SQLite has one writer at a time; on PostgreSQL this is what makes "read, decide, write" of
        one row the same there.
        """
        if not self._connection.get_execution_options().get("writing", True):
            return statement
        return statement.with_for_update(key_share=True)

    def _insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows ON CONFLICT, which the two dialects spell alike."""
        if self._connection.dialect.name == "sqlite":
            return sqlite.insert(table)
        return postgresql.insert(table)

    def _put(self, table: Table, values: dict[str, Any]) -> None:
        """Insert, or change the row with this primary key."""
        key = [column.name for column in table.primary_key]
        changed = {name: value for name, value in values.items() if name not in key}
        self._connection.execute(
            self._insert(table)
            .values(values)
            .on_conflict_do_update(index_elements=key, set_=changed)
        )

    def _changed(self, statement: Executable) -> bool:
        """Whether an UPDATE or DELETE found a row."""
        return self._connection.execute(statement).rowcount > 0


def columns(table: FromClause, kind: type[Any]) -> Select[Any]:
    """A SELECT of those columns of ``table`` that are fields of the dataclass ``kind``."""
    return select(*(table.c[field.name] for field in fields(kind)))
