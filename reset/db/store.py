"""The unit of work over SQLite and PostgreSQL.

Rules:

1. A block of ``write`` commits as a whole at its end and rolls back on any exception.
2. SQLite: one writer from the start (BEGIN IMMEDIATE). PostgreSQL: READ COMMITTED; every change
   that must not race is one statement with its condition, or holds a row lock.
3. A block of ``read`` sees one state of the database and can change nothing.
4. Neither the URL nor a row ever stands in an error or a representation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

from sqlalchemy import Connection, Engine, select

from reset import ports
from reset.db.approvals import SqlApprovals
from reset.db.audit import SqlAuditLog
from reset.db.checkpoints import SqlCheckpoints
from reset.db.custody import SqlEscrow, SqlJobs, SqlOperations
from reset.db.engine import make_engine, refusals
from reset.db.limits import SqlThrottle, SqlTries
from reset.db.outbox import SqlOutbox
from reset.db.people import SqlIdentityChecks, SqlPeople, SqlTokens
from reset.db.profiles import SqlAuthenticators, SqlProfiles, SqlRehearsals
from reset.db.reminders import SqlReminders
from reset.db.requests import SqlCodes, SqlRequests
from reset.db.sessions import SqlSessions


class SqlUnitOfWork:
    """Implements ``ports.UnitOfWork`` in the transaction of ``connection``."""

    def __init__(self, connection: Connection, audit: SqlAuditLog, throttle: SqlThrottle) -> None:
        self.people: ports.People = SqlPeople(connection)
        self.identity_checks: ports.IdentityChecks = SqlIdentityChecks(connection)
        self.tokens: ports.Tokens = SqlTokens(connection)
        self.profiles: ports.Profiles = SqlProfiles(connection)
        self.authenticators: ports.Authenticators = SqlAuthenticators(connection)
        self.rehearsals: ports.Rehearsals = SqlRehearsals(connection)
        self.reminders: ports.Reminders = SqlReminders(connection)
        self.tries: ports.Tries = SqlTries(connection)
        self.throttle: ports.Throttle = throttle
        self.requests: ports.Requests = SqlRequests(connection)
        self.codes: ports.Codes = SqlCodes(connection)
        self.approvals: ports.Approvals = SqlApprovals(connection)
        self.escrow: ports.Escrow = SqlEscrow(connection)
        self.operations: ports.Operations = SqlOperations(connection)
        self.jobs: ports.Jobs = SqlJobs(connection)
        self.outbox: ports.Outbox = SqlOutbox(connection)
        self.audit: ports.AuditLog = audit
        self.checkpoints: ports.Checkpoints = SqlCheckpoints(connection)
        self.sessions: ports.Sessions = SqlSessions(connection)


class SqlStore:
    """Implements ``ports.Store``.

    Parameters: ``url``, ``sqlite:///FILE`` or ``postgresql://…``; ``clock`` dates audit entries;
    ``slow_after`` and ``slow_longest`` are the policy of the slow-down.
    Raises ``SettingsRefused`` for another URL. Every block raises ``Unavailable`` when the
    database is locked, full or away, and ``RuntimeError`` for a broken constraint.
    """

    def __init__(
        self,
        url: str,
        clock: ports.Clock,
        slow_after: int = 5,
        slow_longest: timedelta = timedelta(minutes=5),
    ) -> None:
        engine = make_engine(url)
        reading: dict[str, object] = {"writing": False}
        if engine.dialect.name == "postgresql":
            # one snapshot for the whole block, as SQLite gives it anyway
            reading |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._writer = engine
        self._reader = engine.execution_options(**reading)
        self._clock = clock
        self._slow_after = slow_after
        self._slow_longest = slow_longest

    def __repr__(self) -> str:
        return f"SqlStore({self._writer.dialect.name})"

    def write(self) -> AbstractContextManager[ports.UnitOfWork]:
        """A transaction that commits at the end of the block and rolls back on an exception."""
        return self._block(self._writer, writing=True)

    def read(self) -> AbstractContextManager[ports.UnitOfWork]:
        """A transaction that changes nothing; a change in it is our bug, a ``RuntimeError``."""
        return self._block(self._reader, writing=False)

    def ping(self) -> None:
        """Raises ``Unavailable`` when the database does not answer."""
        with refusals(writing=False), self._reader.begin() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close the pooled connections."""
        self._writer.dispose()

    @contextmanager
    def _block(self, engine: Engine, writing: bool) -> Iterator[ports.UnitOfWork]:
        with refusals(writing), engine.begin() as connection:
            audit = SqlAuditLog(connection, self._clock)
            throttle = SqlThrottle(connection, self._slow_after, self._slow_longest)
            yield SqlUnitOfWork(connection, audit, throttle)
            audit.flush()
