"""How an operation ends: done, with the office, withdrawn; or open again when its lease is over.

The end is committed first, then the custodian hears of it; while it is away, ``Upkeep`` tells it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from pkcs11_driver.crashpoints import calling, committing
from reset.core import custody
from reset.core.custody import Operation
from reset.core.requests import Request
from reset.core.tokens import Job, Token
from reset.errors import Busy, ReleaseRefused, StateConflict, Unavailable
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.flows.requests import move, rounds_key
from reset.ports import UnitOfWork


class CustodyEnds:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def finish(self, before: Operation, after: Operation, job: Job, token: Token) -> None:
        """The token has proven it: the next SO PIN is in force. Raises ``StateConflict``."""
        parts = self._parts
        with parts.store.read() as uow:
            approval = uow.approvals.of_request(after.request_id)
        if approval is None:
            raise RuntimeError("an operation has an approval")
        names = self._name(job.uid), self._name(approval.approver_uid)
        with committing("service.done", parts.store.write()) as uow:
            request = uow.requests.get(after.request_id)
            if request is None:
                raise RuntimeError("an operation has a request")
            uow.operations.save(after, expected=before.state, epoch=before.epoch)
            uow.tokens.put(replace(token, so_version=after.pending_version))
            move(self._parts, uow, request, "finish")
            uow.tries.clear(rounds_key(job.uid))  # S1.68
            uow.jobs.finish(job.id, "done")
            facts = {"operation": after.id, "token": token.serial, "version": after.pending_version}
            uow.audit.append("custody-done", job.uid, facts)
            uow.audit.append("reset-done", job.uid, {"request": request.id, "token": token.serial})
            self._tell_people(uow, request, approval.approver_uid, names)
        self._tell_custodian(after)

    def _tell_people(
        self, uow: UnitOfWork, request: Request, approver_uid: str, names: tuple[str, str]
    ) -> None:
        parts, token, (holder, approver) = self._parts, request.token_serial, names
        at = parts.local.show(parts.clock.now())
        post(parts, uow, request.uid, "reset-done", token=token, at=at, approver=approver)
        post(
            parts, uow, approver_uid, "reset-done-approver", boxes=("directory",), token=token,
            at=at, holder=holder,
        )  # fmt: skip

    def _name(self, uid: str) -> str:
        """What a mail calls a person; a directory that is away undoes nothing on the token."""
        with suppress(Busy, Unavailable):
            found = self._parts.directory.by_uid(uid)
            return found.name if found else uid
        return uid

    def _tell_custodian(self, operation: Operation) -> None:
        """The end is committed here first; when the custodian is away, ``Upkeep`` tells it."""
        with calling("service.ask-settle"):
            told = self.told_end(operation)
        if told:
            with committing("service.settled", self._parts.store.write()) as uow:
                uow.operations.settle(operation.id)

    def told_end(self, operation: Operation) -> bool:
        """Tell the custodian how an operation ended; False when it is away."""
        custodian, serial = self._parts.custodian, operation.token_serial
        try:
            if operation.state == "withdrawn":
                custodian.withdraw(operation.id, serial)
            else:
                custodian.settle(operation.id, serial, True)
        except Unavailable:
            return False
        except ReleaseRefused:
            pass  # it never booked the operation
        return True

    def lease_over(self, operation: Operation) -> Operation:
        """Move an operation whose lease is over to ``unknown``. Raises ``StateConflict``."""
        moved = replace(
            operation,
            state=custody.advance(operation.state, "lease-over"),
            tries_spent=custody.tries_unsent(operation),
        )
        with committing("service.lapsed", self._parts.store.write()) as uow:
            uow.operations.save(moved, expected=operation.state, epoch=operation.epoch)
            facts = {"operation": moved.id, "outcome": "lease-over"}
            uow.audit.append("custody-unknown", "service", facts)
        return moved

    def give_up_abandoned(self, operation: Operation) -> None:
        """Nobody asked for an order while one could be resumed. Raises ``StateConflict``."""
        self.give_up(operation, "budget-over", "recovery-over")

    def give_up(
        self, operation: Operation, event: custody.Event, because: str, steps: tuple[str, ...] = ()
    ) -> None:
        """Only the office goes on; the token keeps its unresolved operation.

        Raises ``StateConflict``.
        """
        moved = replace(
            operation,
            state=custody.advance(operation.state, event),
            steps=steps or operation.steps,
        )
        with committing("service.office", self._parts.store.write()) as uow:
            uow.operations.save(moved, expected=operation.state, epoch=operation.epoch)
            if operation.job_id:
                uow.jobs.finish(operation.job_id, because)
            facts = {"operation": moved.id, "because": because, "steps": list(moved.steps)}
            uow.audit.append("custody-office", "service", facts)
            self._refer_in(uow, operation.request_id, because)

    def withdraw(self, operation: Operation, because: str) -> None:
        """No order was ever made: the token is free again, and the holder may start anew.

        Raises ``StateConflict``.
        """
        with committing("service.withdrawn", self._parts.store.write()) as uow:
            now = uow.operations.get(operation.id)
            if now is None or now.orders or now.state != operation.state:
                raise StateConflict(state=now.state if now else "none", event="withdraw")
            moved = replace(now, state=custody.advance(now.state, "withdraw"))
            uow.operations.save(moved, expected=operation.state, epoch=operation.epoch)
            uow.jobs.finish(operation.job_id, because)
            facts = {"operation": moved.id, "because": because}
            uow.audit.append("custody-withdrawn", "service", facts)
            request = uow.requests.get(operation.request_id)
            if request is not None:
                move(self._parts, uow, replace(request, ended_because="withdrawn"), "withdraw")
                post(self._parts, uow, request.uid, "withdrawn", token=request.token_serial)
        # a crash may have left an order in the ledger that nobody ever got
        self._tell_custodian(moved)

    def refer(self, request_id: str, because: str) -> None:
        """This token cannot be reset from afar. Raises ``StateConflict``."""
        with self._parts.store.write() as uow:
            operation = uow.operations.of_request(request_id)
            if operation is None or operation.state == "office":
                self._refer_in(uow, request_id, because)
                return
        if operation.state in ("intent", "unknown"):
            self.give_up(operation, "budget-over", because)
        else:
            self.give_up(operation, "refused", because)

    def _refer_in(self, uow: UnitOfWork, request_id: str, because: str) -> None:
        request = uow.requests.get(request_id)
        if request is None or request.state not in ("ready", "executing"):
            return
        move(self._parts, uow, replace(request, ended_because=because), "refer")
        facts = {"request": request.id, "because": because}
        uow.audit.append("referred-to-office", "service", facts)
        post(self._parts, uow, request.uid, "referred-to-office", token=request.token_serial)
