"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from reset.errors import BadInput


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time with microseconds.

    SQLite keeps it as text of fixed width, so that comparing text compares times; PostgreSQL as
    ``timestamptz``. A naive time is our own bug: ``RuntimeError``.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC; without its zone for SQLite, which cannot keep one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise RuntimeError("a naive time on its way to the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The aware time, whatever zone the server's session has."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text that both databases can keep.

    PostgreSQL refuses NUL and neither takes a lone surrogate: such text is nobody's name or id, so
    it is ``BadInput(rule="characters")`` on both, not an error of one database.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is. Raises ``BadInput``."""
        if value is not None and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
            raise BadInput(field="text", rule="characters")
        return value


class Words(TypeDecorator[Collection[str]]):
    """A collection of words as a JSON array; ``kind`` is what is given back."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Callable[[list[str]], Collection[str]] = tuple) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> str | None:
        """The array; a set is sorted, so that equal sets are equal text."""
        if value is None:
            return None
        return json.dumps(sorted(value) if isinstance(value, frozenset) else list(value))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Collection[str] | None:  # noqa: ANN401
        """The collection."""
        return None if value is None else self.kind(json.loads(value))


class Facts(TypeDecorator[Mapping[str, str]]):
    """Named words as a JSON object."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> str | None:
        """The object, names sorted."""
        return None if value is None else json.dumps(dict(value), sort_keys=True)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Mapping[str, str] | None:  # noqa: ANN401
        """The mapping."""
        return None if value is None else dict(json.loads(value))
