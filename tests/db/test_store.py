"""Transactions, and what a database that fails looks like to the service."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from reset.core.assurance import Proof
from reset.db import engine as db_engine
from reset.db import migrate
from reset.db.store import SqlStore
from reset.errors import SettingsRefused, Unavailable
from reset.ports import UnitOfWork
from tests.db.examples import APPROVAL, JOB, PERSON, PROFILE, REQUEST, SESSION, TOKEN, Watch

SECRET = "hunter2%@:/"


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a migrated SQLite file without rows."""
    shutil.copy(sqlite_template, tmp_path / "one.db")
    return f"sqlite:///{tmp_path}/one.db"


def _write_everything_and_fail(store: SqlStore) -> None:
    with store.write() as uow:
        uow.people.put(PERSON, "hash")
        uow.tokens.put(TOKEN)
        uow.profiles.put(PROFILE)
        uow.requests.add(REQUEST)
        uow.tries.reserve("k", 3)
        uow.throttle.reserve("k", REQUEST.created_at)
        uow.escrow.add("T1", 1, b"sealed")
        uow.sessions.put(SESSION)
        raise ZeroDivisionError


def test_a_block_is_kept_whole_or_not_at_all(store: SqlStore) -> None:
    with pytest.raises(ZeroDivisionError):
        _write_everything_and_fail(store)
    with store.read() as uow:
        assert uow.people.by_uid("u1") is None
        assert uow.tokens.every() == []
        assert uow.profiles.get("u1") is None
        assert uow.requests.get("r1") is None
        assert uow.tries.spent("k") == 0
        assert list(uow.escrow.every()) == []
        assert uow.sessions.get("k1") is None
    with store.write() as uow:
        assert uow.throttle.reserve("k", REQUEST.created_at) == 0


def test_reading_changes_nothing(store: SqlStore) -> None:
    with pytest.raises(RuntimeError, match="refused"), store.read() as uow:
        uow.tokens.put(TOKEN)
    with pytest.raises(RuntimeError, match="refused"), store.read() as uow:
        uow.audit.append("login", "u1", {})
    with store.write() as uow:
        assert uow.tokens.every() == []
        uow.tokens.put(TOKEN)


def test_reading_sees_one_state_of_the_database(store: SqlStore) -> None:
    with store.read() as reading:
        assert reading.tokens.every() == []
        with store.write() as writing:
            writing.tokens.put(TOKEN)
        assert reading.tokens.every() == []
    with store.read() as reading:
        assert reading.tokens.every() == [TOKEN]


def test_a_broken_constraint_tells_its_name_and_no_row(store: SqlStore) -> None:
    lost = replace(TOKEN, state="lost", label=SECRET)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="ck_tokens_state") as refused, store.write() as uow:
        uow.tokens.put(lost)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


ORPHANS: dict[str, Callable[[UnitOfWork], object]] = {
    "job": lambda uow: uow.jobs.add(JOB),
    "approval": lambda uow: uow.approvals.add(APPROVAL),
    "proof": lambda uow: uow.requests.add_proof("r1", Proof("password", REQUEST.created_at)),
}


@pytest.mark.parametrize("kind", ORPHANS)
def test_rows_of_a_request_need_the_request(store: SqlStore, kind: str) -> None:
    with pytest.raises(RuntimeError, match="refused"), store.write() as uow:
        ORPHANS[kind](uow)


def test_no_row_is_logged(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with store.write() as uow:
        uow.sessions.put(replace(SESSION, data=SECRET))
        uow.escrow.add("T1", 1, SECRET.encode())
    assert SECRET not in caplog.text


# --- settings -----------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite://",
        "sqlite:///:memory:",
        f"mysql://root:{SECRET}@localhost/reset",
        f"postgresql://root:{SECRET}",
        "postgresql://root:hunter2@localhost:port/reset",
        "hunter2",
    ],
)
def test_other_urls_are_refused_without_showing_them(url: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        SqlStore(url, Watch())
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_the_password_stands_nowhere(
    postgres_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = make_url(postgres_database).set(password=SECRET).render_as_string(hide_password=False)
    store = SqlStore(wrong, Watch())
    with pytest.raises(Unavailable) as refused:
        store.ping()
    shown = "".join(traceback.format_exception(refused.value)) + repr(store) + caplog.text
    assert "hunter2" not in shown
    assert refused.value.data["part"] == "database"


def test_a_server_that_is_away_is_unavailable(postgres_database: str) -> None:
    gone = make_url(postgres_database).set(port=1).render_as_string(hide_password=False)
    store = SqlStore(gone, Watch())
    for block in (store.read, store.write):
        with pytest.raises(Unavailable), block():
            pass
    with pytest.raises(Unavailable):
        migrate.current_is_head(gone)


def _cut_while_writing(store: SqlStore, database: Engine) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with store.write() as uow:
        uow.tokens.put(TOKEN)
        with database.begin() as connection:
            connection.execute(text(f"{others} AND datname = current_database()"))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_connections_that_were_cut_come_back(store: SqlStore, database: Engine) -> None:
    with pytest.raises(Unavailable):
        _cut_while_writing(store, database)
    with store.write() as uow:
        assert uow.tokens.every() == []


def test_a_lock_that_stays_is_unavailable(
    url: str, store: SqlStore, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_engine, "LOCK_WAIT", timedelta(seconds=1))
    with store.write() as uow:
        uow.tokens.put(TOKEN)
    impatient = SqlStore(url, Watch())
    with database.begin() as connection:
        connection.execute(text("UPDATE tokens SET label = 'held'"))
        with pytest.raises(Unavailable) as refused, impatient.write() as uow:
            uow.tokens.put(TOKEN)
    assert refused.value.data["why"] in ("SQLITE_BUSY", "55P03")
    impatient.close()


def test_a_database_without_tables_is_unavailable(bare_url: str) -> None:
    store = SqlStore(bare_url, Watch())
    store.ping()
    with pytest.raises(Unavailable), store.read() as uow:
        uow.tokens.every()
    store.close()


# --- SQLite -------------------------------------------------------------------------
def test_sqlite_is_durable_and_checks_references(sqlite_url: str) -> None:
    engine = db_engine.make_engine(sqlite_url)
    with engine.begin() as connection:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
        for name, value in wanted.items():
            assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value
    engine.dispose()


def test_sqlite_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    mask = os.umask(0)
    try:
        migrate.upgrade(f"sqlite:///{path}")
        path.chmod(0o644)
        store = SqlStore(f"sqlite:///{path}", Watch())
        with store.write() as uow:
            uow.tokens.put(TOKEN)
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(mask)
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def test_sqlite_in_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        SqlStore(f"sqlite:///{tmp_path}/none/reset.db", Watch())


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "reset.db").write_bytes(b"something else, but long enough" * 100)
    store = SqlStore(f"sqlite:///{tmp_path}/reset.db", Watch())
    with pytest.raises(Unavailable):
        store.ping()
    store.close()


def test_a_full_disk_is_unavailable_and_loses_nothing(sqlite_url: str) -> None:
    store = SqlStore(sqlite_url, Watch())
    engine = store._writer
    with store.write() as uow:
        uow.escrow.add("T1", 1, b"sealed")
    with engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable) as refused, store.write() as uow:
        uow.escrow.add("T1", 2, bytes(1_000_000))
    assert refused.value.data["why"] == "SQLITE_FULL"
    with store.read() as uow:
        assert list(uow.escrow.every()) == [("T1", 1, b"sealed")]
    store.close()


def test_what_was_committed_is_in_the_file(sqlite_url: str) -> None:
    store = SqlStore(sqlite_url, Watch())
    with store.write() as uow:
        uow.tokens.put(TOKEN)
        other = sqlite3.connect(make_url(sqlite_url).database or "")
        with closing(other):
            assert other.execute("SELECT count(*) FROM tokens").fetchone() == (0,)
    with closing(sqlite3.connect(make_url(sqlite_url).database or "")) as other:
        assert other.execute("SELECT serial FROM tokens").fetchone() == ("T1",)
    store.close()


_VISIT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("select count(*) from tokens")
connection.close()
"""


@pytest.mark.parametrize("between", [migrate.current_is_head, lambda url: SqlStore(url, Watch())])
def test_another_process_that_comes_and_goes_takes_no_log_away(
    sqlite_url: str, between: Callable[[str], object]
) -> None:
    """A probe looks at the file, a command opens and leaves it: what is committed later stays.

    Whoever leaves last deletes SQLite's log, and only the locks of the others tell who is last.
    """
    file = sqlite_url.removeprefix("sqlite:///")
    with closing(SqlStore(sqlite_url, Watch())) as store:
        with store.write() as uow:
            uow.people.put(PERSON, "hash")
        between(sqlite_url)
        subprocess.run([sys.executable, "-c", _VISIT, file], check=True)
        with store.write() as uow:
            uow.tokens.put(TOKEN)
        with closing(sqlite3.connect(file)) as other:
            assert other.execute("select serial from tokens").fetchall() == [(TOKEN.serial,)]


def test_the_server_urls_are_quoted(new_database: Callable[[str], str]) -> None:
    url = new_database("per cent %41")
    migrate.upgrade(url)
    assert migrate.current_is_head(url)
