"""The rights in deploy/postgres-roles.sql: the serving role may do its work, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from reset.db import migrate
from reset.db.engine import make_engine
from reset.db.store import SqlUnitOfWork
from reset.db.tables import metadata
from tests.db.examples import APP, CODE, DRAW, NOW, PROFILE

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres-roles.sql"
NEVER_CHANGED = {"audit_entries", "checkpoints", "directory_entries", "escrow", "identity_checks"}
DELETED = {
    "answers", "authenticators", "directory_entries", "draws", "profiles", "sessions", "throttle",
    "tries",
}  # fmt: skip


@pytest.fixture(scope="module")
def owned(new_database: Callable[[str], str]) -> Iterator[Engine]:
    """A migrated database on which the script has run."""
    url = new_database("rights")
    migrate.upgrade(url)
    engine = make_engine(url)
    script = SCRIPT.read_text().replace("BEGIN;", "").replace("COMMIT;", "")
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE token_reset"))
        connection.connection.driver_connection.execute(script)  # type: ignore[union-attr]
    yield engine
    engine.dispose()


def may(engine: Engine, right: str) -> set[str]:
    """The tables on which the role has a right."""
    with engine.begin() as connection:
        asked = text("SELECT has_table_privilege('token_reset', :table, :right)")
        return {
            table
            for table in metadata.tables
            if connection.scalar(asked, {"table": table, "right": right})
        }


def test_every_table_is_named(owned: Engine) -> None:
    assert may(owned, "SELECT") == set(metadata.tables)
    assert may(owned, "INSERT") == set(metadata.tables) - {"audit_head"}


def test_what_must_stay_cannot_be_changed_or_deleted(owned: Engine) -> None:
    assert may(owned, "UPDATE") == set(metadata.tables) - NEVER_CHANGED
    assert may(owned, "DELETE") == DELETED
    assert may(owned, "TRUNCATE") == set()


def test_the_profile_works_with_these_rights(owned: Engine) -> None:
    """Its rows, and that all of them go with it."""
    with owned.begin() as connection:
        connection.execute(text("SET LOCAL ROLE token_reset"))
        uow = SqlUnitOfWork(connection, None, None)  # type: ignore[arg-type]
        uow.profiles.put(PROFILE)
        uow.profiles.put_draw(DRAW)
        uow.codes.add(CODE)
        uow.authenticators.begin(APP)
        uow.authenticators.confirm("u1", APP.id, 7)
        uow.authenticators.use(APP.id, 8)
        uow.rehearsals.reserve("u1", 5, NOW, NOW)
        uow.rehearsals.note_right("u1", NOW)
        uow.reminders.mark("rehearsal", "u1", NOW, NOW)
        assert uow.reminders.rehearsals_due(NOW, NOW, 9) == []
        uow.authenticators.remove("u1")
        uow.authenticators.begin(APP)
        uow.profiles.delete("u1")
        assert uow.authenticators.get("u1", confirmed=False) is None
        assert uow.rehearsals.right_at("u1") is None
