"""Connections to SQLite and PostgreSQL, and what a database error means to the service.

Rules:

1. Parameters never stand in an error: rows hold sealed SO PINs, hashes and addresses.
2. A database that cannot answer is ``Unavailable(part="database")``, with the database's own code
   of the cause as ``why``; a broken constraint is our own bug, a ``RuntimeError``.
3. Waiting for a lock ends after ``LOCK_WAIT``: no request hangs behind another one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from reset.errors import ResetError, SettingsRefused, Unavailable

LOCK_WAIT = timedelta(seconds=5)
# a thread that writes may read on a second connection meanwhile, so a bounded pool could be a
# deadlock; the threads of the process are the bound
_POOL = {"pool_size": 10, "max_overflow": -1, "pool_timeout": LOCK_WAIT.total_seconds()}
STATEMENT_LONGEST = timedelta(seconds=60)
# SQLITE_READONLY, read_only_sql_transaction
_WRITE_REFUSED = ("SQLITE_READONLY", "25006")


def make_engine(url: str) -> Engine:
    """An engine for ``sqlite:///FILE`` or ``postgresql://…``.

    Writes are the default; an engine derived with ``execution_options(writing=False)`` reads.
    Raises ``SettingsRefused`` for another URL and ``Unavailable`` when the file cannot be made.
    """
    parsed = _parse(url)
    if parsed.drivername == "sqlite":
        return _sqlite(parsed)
    milliseconds = (int(t.total_seconds() * 1000) for t in (LOCK_WAIT, STATEMENT_LONGEST))
    settings = "-c timezone=UTC -c lock_timeout={} -c statement_timeout={}".format(*milliseconds)
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        pool_pre_ping=True,
        **_POOL,
        connect_args={"options": settings, "connect_timeout": int(LOCK_WAIT.total_seconds())},
    )


@contextmanager
def refusals(writing: bool = True) -> Iterator[None]:
    """Turn the errors of SQLAlchemy inside the block into those of the service.

    Parameters: ``writing``, whether changes are allowed in the block.
    Raises ``Unavailable``, a refusal of a column type, or ``RuntimeError``.
    """
    try:
        yield
    except exc.TimeoutError:
        raise Unavailable(part="database", why="pool") from None
    except exc.StatementError as error:
        raise _refusal(error, writing) from None


def _refusal(error: exc.StatementError, writing: bool) -> Exception:
    cause = error.orig
    if isinstance(cause, ResetError | RuntimeError):
        return cause
    name = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    name = name or type(cause).__name__
    ours = isinstance(error, exc.IntegrityError | exc.DataError) or not isinstance(
        error, exc.DBAPIError
    )
    if ours or (not writing and name in _WRITE_REFUSED):
        return RuntimeError(f"the database refused a statement: {name} {_constraint(error)}")
    return Unavailable(part="database", why=name)


def _constraint(error: exc.StatementError) -> str:
    """The constraint's name. PostgreSQL's whole message would show the row, SQLite's does not."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return diagnosis.constraint_name or ""
    return str(error.orig) if isinstance(error, exc.IntegrityError) else ""


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        parsed = None
    if parsed is not None:
        if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
            return parsed
        if parsed.drivername in ("postgresql", "postgresql+psycopg") and parsed.database:
            return parsed
    raise SettingsRefused(
        problems=["database URL: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"]
    )


def _sqlite(url: URL) -> Engine:
    _private_file(str(url.database))
    engine = create_engine(
        url,
        hide_parameters=True,
        **_POOL,
        # no transactions of the driver's own: ``begin`` below says which kind it is
        connect_args={"isolation_level": None, "timeout": LOCK_WAIT.total_seconds()},
    )

    @event.listens_for(engine, "connect")
    def connect(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", True)
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writing else 'ON'}")
        # a lock taken at the start: no two writers read the same old value
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _private_file(path: str) -> None:
    """Make the file with mode 0600; SQLite gives its log files the same mode.

    A file that is there is never opened here: closing it would end the locks that SQLite holds on
    it in this process (fcntl(2)), and the next process to leave the database would take the log
    away under this one, with what is committed later.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
            os.chmod(path, 0o600)
    except OSError as error:
        raise Unavailable(part="database", why=os.strerror(error.errno or 0)) from None
