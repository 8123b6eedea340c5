"""Worlds to test in: filled once for each database and custodian, copied for every test."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, make_url, text

from reset.adapters import hasher_argon2
from reset.db import engine as db_engine
from reset.db import migrate
from reset.db.engine import make_engine
from reset.db.tables import mail_codes
from tests.custodian.conftest import Process, make_process
from tests.custodian.scene import Institution
from tests.db.conftest import DIALECTS, new_database, postgres_server, sqlite_template
from tests.flows.world import Institute, Memo, Place, World
from tests.institution.authority import Authority

__all__ = ["new_database", "postgres_server", "sqlite_template"]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def memo() -> Memo:
    """What was hashed in this test run; a hash is the same every time."""
    return {}


@pytest.fixture(scope="session")
def institute(tmp_path_factory: pytest.TempPathFactory) -> Institute:
    return Institute.create(tmp_path_factory.mktemp("institute") / "authority")


@pytest.fixture(scope="session")
def seeded(
    institute: Institute,
    memo: Memo,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
) -> Place:
    """A filled place on SQLite, its world closed."""
    directory = tmp_path_factory.mktemp("seeded")
    shutil.copy(sqlite_template, directory / "reset.db")
    world = World(
        institute, Place(directory, f"sqlite:///{directory}/reset.db", institute.made_at), memo
    )
    world.seed()
    world.close()
    return Place(directory, world.place.url, world.clock.now())


@pytest.fixture
def world(institute: Institute, memo: Memo, seeded: Place, tmp_path: Path) -> Iterator[World]:
    """People, tokens and profiles; a clock that stands still until it is moved."""
    made = World(institute, seeded.copy(tmp_path / "world"), memo)
    yield made
    made.close()


def keep_ledger(process: Process, copy: Path) -> None:
    """Copy the custodian's ledger; SQLite's own backup, so it may run meanwhile."""
    own = process.directory / "own" / "ledger.db"
    with closing(sqlite3.connect(own)) as ledger, closing(sqlite3.connect(copy)) as kept:
        ledger.backup(kept)


def put_ledger(process: Process, copy: Path) -> None:
    """Start the custodian anew with this ledger: it must be as old as the database."""
    process.stop()
    for file in (process.directory / "own").iterdir():
        file.unlink()
    shutil.copy(copy, process.directory / "own" / "ledger.db")
    (process.directory / "own" / "ledger.db").chmod(0o600)
    process.start()


@pytest.fixture(scope="session")
def custodian_process(institute: Institute) -> Iterator[Process]:
    """A custodian in a process of its own, with a SoftHSM."""
    authority = Authority.load(institute.directory)
    process = make_process(Institution(authority, institute.members))
    process.start()
    keep_ledger(process, process.directory / "fresh.db")
    yield process
    process.stop()
    shutil.rmtree(process.directory)


@pytest.fixture(scope="session")
def busy_places(
    institute: Institute,
    tmp_path_factory: pytest.TempPathFactory,
    custodian_process: Process,
    request: pytest.FixtureRequest,
) -> Callable[[str], Place]:
    """Make a filled place for the custodian process on a database of this dialect."""
    filled: dict[str, Place] = {}

    def fill(dialect: str) -> Place:
        directory = tmp_path_factory.mktemp("busy")
        put_ledger(custodian_process, custodian_process.directory / "fresh.db")
        url = f"sqlite:///{directory}/reset.db"
        if dialect == "sqlite":
            shutil.copy(request.getfixturevalue("sqlite_template"), directory / "reset.db")
        else:
            url = request.getfixturevalue("new_database")("flows_seed")
            migrate.upgrade(url)
        world = World(institute, Place(directory, url, None), custodian=custodian_process.client())
        world.seed()
        world.close()
        keep_ledger(custodian_process, directory / "ledger.db")
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.execute(delete(mail_codes))  # each test has the hour's sends for itself
        engine.dispose()
        return Place(directory, url, None)

    def get(dialect: str) -> Place:
        if dialect not in filled:
            filled[dialect] = fill(dialect)
        return filled[dialect]

    return get


@pytest.fixture(params=DIALECTS)
def busy_world(
    request: pytest.FixtureRequest,
    institute: Institute,
    busy_places: Callable[[str], Place],
    custodian_process: Process,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A world that many threads may use at once, on each database.

    Its clock stands still: no step of a code or wait of a login ends within a crowd, however long
    that takes. And nobody in a crowd gives up waiting for a lock or for a place to hash.
    """
    monkeypatch.setattr(hasher_argon2, "WAIT", 60.0)
    monkeypatch.setattr(db_engine, "LOCK_WAIT", timedelta(seconds=60))
    seed, url = busy_places(request.param), None
    if request.param == "postgresql":
        name = f"flows_{next(_numbers)}"
        server = make_engine(request.getfixturevalue("postgres_server")).execution_options(
            isolation_level="AUTOCOMMIT"
        )
        with server.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE flows_seed'))
        server.dispose()
        url = make_url(seed.url).set(database=name).render_as_string(hide_password=False)
    put_ledger(custodian_process, seed.directory / "ledger.db")
    made = World(
        institute, seed.copy(tmp_path / "world", url), custodian=custodian_process.client()
    )
    made.clock.move(timedelta())
    yield made
    made.close()
