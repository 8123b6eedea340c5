"""A store on each database, empty at the start of every test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, insert, make_url, text

from reset.core.audit import ZERO
from reset.db import migrate
from reset.db.engine import make_engine
from reset.db.store import SqlStore
from reset.db.tables import audit_head, metadata
from tests.db.examples import Watch
from tests.institution.postgres import Postgres

DIALECTS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that runs as long as this test process."""
    # not pytest's own directory: that is closed to the user the server runs as
    directory = Path(tempfile.mkdtemp(prefix="reset-postgres-"))
    try:
        with Postgres() as server:
            yield server.start(directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Callable[[str], str]:
    """Make an empty PostgreSQL database of this name; returns its URL."""

    def make(name: str) -> str:
        engine = make_engine(postgres_server).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "reset.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_database(new_database: Callable[[str], str]) -> str:
    """The URL of a migrated PostgreSQL database."""
    url = new_database("reset")
    migrate.upgrade(url)
    return url


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database without rows, on each dialect in turn."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "reset.db")
        return f"sqlite:///{tmp_path}/reset.db"
    address: str = request.getfixturevalue("postgres_database")
    _empty(address)
    return address


@pytest.fixture(params=DIALECTS)
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, on each dialect in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bare.db"
    address: str = request.getfixturevalue("new_database")(f"bare {tmp_path.name}")
    return address


@pytest.fixture
def watch() -> Watch:
    """The clock of the store; it stands still until a test moves it."""
    return Watch()


@pytest.fixture
def store(url: str, watch: Watch) -> Iterator[SqlStore]:
    """A store without rows, on each dialect in turn."""
    store = SqlStore(url, watch, slow_after=3, slow_longest=timedelta(seconds=60))
    yield store
    store.close()


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    """The store's database as its administrator sees it."""
    engine = make_engine(url)
    yield engine
    engine.dispose()


def _empty(url: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        connection.execute(insert(audit_head).values(id=1, number=0, chain=ZERO))
    engine.dispose()
