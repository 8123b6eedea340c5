"""Escrowed SO PINs, custody operations, and helper jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text, update

from reset.core.custody import RESUMABLE, SETTLED, UNRESOLVED, Operation, State
from reset.core.tokens import Job
from reset.db.rows import Repository, columns
from reset.db.tables import UNRESOLVED_OPERATION, approvals, escrow, jobs, operations
from reset.errors import OperationUnresolved, StateConflict

# no pairing code lives longer (core.policy), so that a selector names one job while it matters
SELECTOR_HELD = timedelta(hours=1)


class SqlEscrow(Repository):
    """Implements ``ports.Escrow``: append-only."""

    def add(self, serial: str, version: int, sealed: bytes) -> None:
        """Add a version; the same bytes again change nothing.

        Raises ``StateConflict`` when the version holds other bytes: they are never overwritten.
        """
        new = self._insert(escrow).values(serial=serial, version=version, sealed=sealed)
        new = new.on_conflict_do_nothing(index_elements=["serial", "version"])
        if self._connection.execute(new.returning(escrow.c.version)).first():
            return
        if self.get(serial, version) != sealed:
            raise StateConflict(state="escrowed", event="escrow")

    def get(self, serial: str, version: int) -> bytes | None:
        """The sealed SO PIN of a version."""
        return self._connection.scalar(
            select(escrow.c.sealed).where(escrow.c.serial == serial, escrow.c.version == version)
        )

    def every(self) -> Iterator[tuple[str, int, bytes]]:
        """All versions of all tokens, as they were when the iteration began."""
        found = select(escrow.c.serial, escrow.c.version, escrow.c.sealed).order_by(
            escrow.c.serial, escrow.c.version
        )
        # read to the end first: the caller may rewrap rows on the same connection meanwhile
        for row in self._connection.execute(found).all():
            yield row.serial, row.version, row.sealed

    def rewrap(self, serial: str, version: int, old: bytes, new: bytes) -> bool:
        """Replace ``old`` by ``new``; False when the row does not hold ``old``."""
        return self._changed(
            update(escrow)
            .where(
                escrow.c.serial == serial,
                escrow.c.version == version,
                escrow.c.sealed == old,
            )
            .values(sealed=new)
        )


class SqlOperations(Repository):
    """Implements ``ports.Operations``."""

    def add(self, operation: Operation) -> None:
        """Raises ``OperationUnresolved`` when the token has an unresolved one."""
        new = (
            self._insert(operations)
            .values(_operation_values(operation))
            .on_conflict_do_nothing(
                index_elements=["token_serial"], index_where=text(UNRESOLVED_OPERATION)
            )
        )
        if not self._connection.execute(new.returning(operations.c.id)).first():
            raise OperationUnresolved(serial=operation.token_serial)

    def get(self, operation_id: str) -> Operation | None:
        """The operation with this id."""
        return self._one(
            _operation,
            self._held(columns(operations, Operation).where(operations.c.id == operation_id)),
        )

    def of_request(self, request_id: str) -> Operation | None:
        """The newest operation of a request."""
        return self._one(
            _operation,
            self._held(
                columns(operations, Operation)
                .where(operations.c.request_id == request_id)
                .order_by(operations.c.number.desc())
                .limit(1)
            ),
        )

    def unresolved_of(self, serial: str) -> Operation | None:
        """The unresolved operation of a token."""
        return self._one(
            _operation,
            columns(operations, Operation).where(
                operations.c.token_serial == serial, operations.c.state.in_(UNRESOLVED)
            ),
        )

    def proved(self, serial: str, version: int) -> bool:
        """Whether a reset that is ``done`` put this version in force."""
        found = select(operations.c.id).where(
            operations.c.token_serial == serial,
            operations.c.state == "done",
            operations.c.pending_version == version,
        )
        return self._connection.execute(found.limit(1)).first() is not None

    def save(self, operation: Operation, expected: State, epoch: int) -> None:
        """Write the operation where state and epoch are as expected.

        Raises ``StateConflict`` when they are not.
        """
        if not self._changed(
            update(operations)
            .where(
                operations.c.id == operation.id,
                operations.c.state == expected,
                operations.c.epoch == epoch,
            )
            .values(_operation_values(operation))
        ):
            found = self.get(operation.id)
            raise StateConflict(state=found.state if found else "", event="save")

    def lease_over(self, at: datetime) -> list[Operation]:
        """The sent operations whose lease is over at ``at``, oldest first."""
        return self._all(
            _operation,
            columns(operations, Operation)
            .where(operations.c.state == "sent", operations.c.lease_until <= at)
            .order_by(operations.c.number),
        )

    def abandoned(self, at: datetime) -> list[Operation]:
        """Those that wait for an order, and spent their approval at or before ``at``."""
        return self._all(
            _operation,
            columns(operations, Operation)
            .join(approvals, approvals.c.id == operations.c.approval_id)
            .where(operations.c.state.in_(RESUMABLE), approvals.c.used_at <= at)
            .order_by(operations.c.number),
        )

    def unsettled(self) -> list[Operation]:
        """The ended operations that the custodian has not been told of, oldest first."""
        return self._all(
            _operation,
            columns(operations, Operation)
            .where(operations.c.state.in_(SETTLED), operations.c.settled.is_(False))
            .order_by(operations.c.number),
        )

    def settle(self, operation_id: str) -> None:
        """The custodian knows of the end of an operation."""
        self._connection.execute(
            update(operations)
            .where(operations.c.id == operation_id, operations.c.state.in_(SETTLED))
            .values(settled=True)
        )


class SqlJobs(Repository):
    """Implements ``ports.Jobs``."""

    def add(self, job: Job) -> bool:
        """False when another job made within the last hour has the selector."""
        self._connection.execute(
            update(jobs)
            .where(
                jobs.c.selector == job.selector,
                jobs.c.holds_selector,
                jobs.c.created_at <= job.created_at - SELECTOR_HELD,
            )
            .values(holds_selector=False)
        )
        new = (
            self._insert(jobs)
            .values(holds_selector=True, **vars(job))
            .on_conflict_do_nothing(index_elements=["selector"], index_where=text("holds_selector"))
        )
        return self._connection.execute(new.returning(jobs.c.id)).first() is not None

    def get(self, job_id: str) -> Job | None:
        """The job with this id."""
        return self._one(Job, columns(jobs, Job).where(jobs.c.id == job_id))

    def by_selector(self, selector: str, since: datetime) -> Job | None:
        """The newest job with this selector made after ``since``."""
        return self._one(
            Job,
            columns(jobs, Job)
            .where(jobs.c.selector == selector, jobs.c.created_at > since)
            .order_by(jobs.c.number.desc())
            .limit(1),
        )

    def newest(self, about: str, uid: str, kind: str) -> Job | None:
        """The job that was made last for a person, a request and a kind."""
        return self._one(
            Job,
            columns(jobs, Job)
            .where(jobs.c.about == about, jobs.c.uid == uid, jobs.c.kind == kind)
            .order_by(jobs.c.number.desc())
            .limit(1),
        )

    def claim(self, job: Job) -> bool:
        """Set key, secret and time; False when it was claimed or has ended."""
        return self._changed(
            update(jobs)
            .where(jobs.c.id == job.id, jobs.c.claimed_at.is_(None), jobs.c.outcome == "")
            .values(
                claimed_at=job.claimed_at,
                secret_hash=job.secret_hash,
                public_key=job.public_key,
            )
        )

    def finish(self, job_id: str, outcome: str) -> None:
        """Write the outcome; a later report replaces it."""
        self._connection.execute(update(jobs).where(jobs.c.id == job_id).values(outcome=outcome))


def _operation_values(operation: Operation) -> dict[str, Any]:
    # the column refers to a job, so "no job yet" is NULL there
    return vars(operation) | {"job_id": operation.job_id or None}


def _operation(**values: Any) -> Operation:  # noqa: ANN401
    return Operation(**values | {"job_id": values["job_id"] or ""})
