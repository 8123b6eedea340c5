"""The helper's side: release an SO PIN to a claimed job, settle what it reports.

Rules (the rotation protocol, promises 2 and 3):

1. The pending SO PIN is sealed and stored by the custodian before the intent is committed.
2. The intent spends the approval, moves the request and opens the operation in one transaction.
3. Epoch, nonce, lease and the debit of tries are committed before the custodian is asked.
4. The order's ciphertext is committed before it is sent; the same nonce gets the same order.
5. A report counts under the epoch and nonce in force, also after the lease; others are recorded.
6. ``done`` needs the token's signature over the challenge, checked with the certificate on file.
7. A message that finds its operation moved since it looked (by its own double, or by the worker)
   looks again: the helper hears what counts now, not of a conflict that it did not make.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from pkcs11_driver import wire
from pkcs11_driver.crashpoints import calling, committing
from reset.core import custody
from reset.core.custody import Operation
from reset.core.tokens import Job, Token, tidy_serial
from reset.errors import (
    JobRefused,
    LeaseRunning,
    NoApprover,
    OfficeOnly,
    ReleaseRefused,
    ResetError,
    SelfApproval,
    SignatureRefused,
    StaleReport,
    StateConflict,
    Unavailable,
    WrongToken,
)
from reset.flows.approve import Approve, entitled
from reset.flows.custody_ends import CustodyEnds
from reset.flows.mails import post
from reset.flows.pairing import check_gate, hash_secret
from reset.flows.parts import Parts
from reset.flows.requests import move
from reset.ports import ReleaseOrder, UnitOfWork

# causes of a refusal that pass by themselves or when the operator acts (escrow restore for the last
# two); any other sends the token to the office
_PASSING = frozenset(
    "releases-per-hour crl-stale crl-not-yet crl-missing ocsp-stale ocsp-missing trust-store "
    "journal superseded".split()
)
_CONFLICTS = 2  # the intent, and the order behind it
T = TypeVar("T")
_NEXT = {"executing": "again", "ready": "again", "done": "done", "office": "office"}


class Custody:
    def __init__(self, parts: Parts, approve: Approve) -> None:
        self._parts = parts
        self._approve = approve
        self._ends = CustodyEnds(parts)

    def _job(self, uow: UnitOfWork, job_id: str, secret: str) -> Job:
        job = uow.jobs.get(job_id)
        if job is None or not job.secret_hash:
            raise JobRefused(reason="secret")
        if not hmac.compare_digest(hash_secret(secret), job.secret_hash):
            raise JobRefused(reason="secret")
        return job

    # --- release ---------------------------------------------------------------------
    def release(self, job_id: str, secret: str, asked: wire.Release) -> wire.Released:
        """Release the order for the job's token, sealed to the job's helper.

        Raises ``JobRefused``, ``WrongToken``, ``OfficeOnly``, ``LeaseRunning``,
        ``StateConflict``, ``NoApprover``, ``ReleaseRefused``, ``Unavailable``. Whatever is
        raised, the next call with the same nonce goes on where this one stopped.
        """
        return _looking_again(lambda: self._release(job_id, secret, asked))

    def _release(self, job_id: str, secret: str, asked: wire.Release) -> wire.Released:
        parts = self._parts
        with parts.store.read() as uow:
            job = self._job(uow, job_id, secret)
            token = uow.tokens.get(job.token_serial)
            operation = uow.operations.of_request(job.about)
        self._check_job(job, token, asked)
        assert token is not None
        if operation is None:
            try:
                operation = self._intend(job, token)
            except NoApprover:
                self._end_unapproved(job)
                raise
        if not self._repeats(operation, job, asked):
            operation = self._send(operation, job, token, asked.nonce)
        if not operation.order:
            operation = self._seal(operation, job, token)
        assert operation.lease_until is not None
        left = operation.lease_until - parts.clock.now()
        seconds = max(0, int(left.total_seconds()))
        return wire.Released(operation.epoch, token.traits.style, operation.order, seconds)

    def _check_job(self, job: Job, token: Token | None, asked: wire.Release) -> None:
        now = self._parts.clock.now()
        if job.kind != "reset" or token is None:
            raise JobRefused(reason="kind")
        if job.outcome or now >= job.created_at + self._parts.policy.job_age:
            raise JobRefused(reason="ended")
        if not re.fullmatch(r"[0-9a-f]{32,128}", asked.nonce):
            raise JobRefused(reason="nonce")
        if tidy_serial(asked.token.serial) != token.serial:
            raise WrongToken(expected=token.serial, found=asked.token.serial[:64])
        if token.state != "in-use" or token.holder_uid != job.uid:
            self._ends.refer(job.about, "token-withdrawn")
            raise OfficeOnly(reason="token-withdrawn")
        if asked.token.so_pin in ("locked", "final-try"):
            self._ends.refer(job.about, f"so-pin-{asked.token.so_pin}")
            raise OfficeOnly(reason=f"so-pin-{asked.token.so_pin}")

    def _intend(self, job: Job, token: Token) -> Operation:
        """Rule 1 and 2: store the pending SO PIN, then commit the intent."""
        parts, now = self._parts, self._parts.clock.now()
        pending = token.so_version + 1
        sealed = self._stored(job, token, pending)
        with committing("service.intent", parts.store.write()) as uow:
            check_gate(self._parts, uow, job)
            request = uow.requests.get(job.about)
            approval = uow.approvals.of_request(job.about)
            if request is None or approval is None:
                raise RuntimeError("a request past its gate has an approval")
            if uow.tokens.get(token.serial) != token:  # corrected or restored meanwhile
                raise StateConflict(state=request.state, event="execute")
            try:
                entitled(parts, uow, approval.approver_uid, request.uid)
            except (NoApprover, SelfApproval):
                raise NoApprover(reason="approver-changed") from None
            if now >= approval.valid_until or not uow.approvals.use(approval.id, now):
                raise StateConflict(state=request.state, event="execute")
            operation = Operation(
                id=parts.new_id(),
                request_id=request.id,
                approval_id=approval.id,
                token_serial=token.serial,
                state="intent",
                active_version=token.so_version,
                pending_version=pending,
                fits=uow.operations.proved(token.serial, token.so_version),
            )
            if uow.escrow.get(token.serial, pending) is None:
                uow.escrow.add(token.serial, pending, sealed)
            uow.operations.add(operation)
            move(self._parts, uow, request, "execute")
            facts = {"operation": operation.id, "request": request.id, "token": token.serial}
            uow.audit.append("custody-intent", job.uid, facts)
        return operation

    def _stored(self, job: Job, token: Token, pending: int) -> bytes:
        """The pending SO PIN, sealed. A refusal is recorded: the approval is not spent yet."""
        parts = self._parts
        try:
            with calling("service.ask-store"):
                return parts.custodian.store(
                    token.serial, pending, None, token.holder_uid, token.family
                )
        except ReleaseRefused as refused:
            self._record_refusal(job, {"request": job.about}, refused.data)
            raise

    def _end_unapproved(self, job: Job) -> None:
        """Who approved no longer may: the request ends, and a new one asks whoever may now."""
        because = "approver-changed"
        with self._parts.store.write() as uow:
            request = uow.requests.get(job.about)
            if request is None or request.state != "ready":
                return
            move(self._parts, uow, replace(request, ended_because=because), "cancel")
            uow.jobs.finish(job.id, because)
            facts = {"request": request.id, "because": because}
            uow.audit.append("request-cancelled", "service", facts)
            post(self._parts, uow, request.uid, because, token=request.token_serial)

    @staticmethod
    def _repeats(operation: Operation, job: Job, asked: wire.Release) -> bool:
        return (
            operation.state == "sent"
            and operation.job_id == job.id
            and _equal(operation.nonce, asked.nonce)
        )

    def _send(self, operation: Operation, job: Job, token: Token, nonce: str) -> Operation:
        """Rule 3: commit epoch, nonce, lease and the debit."""
        parts, now = self._parts, self._parts.clock.now()
        if operation.state == "sent":
            assert operation.lease_until is not None
            left = (operation.lease_until - now).total_seconds()
            if left > 0:
                raise LeaseRunning(retry_after=int(left) + 1)
            operation = self._ends.lease_over(operation)
        with parts.store.read() as uow:
            request = uow.requests.get(operation.request_id)
        if request is None or "office" in (operation.state, request.state):
            raise OfficeOnly(reason="office")
        if request.state != "executing":  # another run has ended it
            raise StateConflict(state=request.state, event="send")
        if not custody.affordable(operation, parts.policy.so_budget(token.traits)):
            self._ends.give_up(operation, "budget-over", "tries")
            raise OfficeOnly(reason="tries")
        sent = replace(
            operation,
            state=custody.advance(operation.state, "send"),
            tries_spent=operation.tries_spent + custody.cost(operation),
            epoch=operation.epoch + 1,
            nonce=nonce,
            job_id=job.id,
            order=b"",
            lease_until=now + parts.policy.lease,
        )
        with committing("service.sent", parts.store.write()) as uow:
            uow.operations.save(sent, expected=operation.state, epoch=operation.epoch)
            facts = {"operation": sent.id, "epoch": sent.epoch, "tries": sent.tries_spent}
            uow.audit.append("custody-sent", job.uid, facts)
        return sent

    def _seal(self, operation: Operation, job: Job, token: Token) -> Operation:
        """Rule 4: let the custodian make the order, and commit it before it leaves."""
        parts = self._parts
        with parts.store.read() as uow:
            approval = uow.approvals.of_request(operation.request_id)
            versions = custody.candidates(replace(operation, epoch=operation.epoch - 1))
            rows = [(v, uow.escrow.get(token.serial, v)) for v in versions]
            pending = uow.escrow.get(token.serial, operation.pending_version)
        if approval is None or pending is None or any(s is None for _, s in rows):
            self._ends.give_up(operation, "refused", "escrow")
            raise OfficeOnly(reason="escrow")
        order = ReleaseOrder(
            operation_id=operation.id,
            job_id=job.id,
            epoch=operation.epoch,
            nonce=operation.nonce,
            token_serial=token.serial,
            holder_uid=job.uid,
            candidates=tuple((v, s) for v, s in rows if s is not None),
            pending=(operation.pending_version, pending),
            helper_key=job.public_key,
            statement=approval.statement,
            signature=approval.signature,
        )
        try:
            with calling("service.ask-release"):
                sealed = parts.custodian.release(order)
        except ReleaseRefused as refused:
            self._note_refusal(operation, job, refused.data)
            raise
        made = replace(operation, order=sealed, orders=operation.orders + 1)
        with committing("service.order", parts.store.write()) as uow:
            uow.operations.save(made, expected="sent", epoch=operation.epoch)
        return made

    def _note_refusal(self, operation: Operation, job: Job, why: Mapping[str, object]) -> None:
        """What follows from a refusal. Raises ``OfficeOnly``, or ``ReleaseRefused`` with the rule
        ``withdrawn``, where waiting does not help."""
        rule, cause = self._record_refusal(job, {"operation": operation.id}, why)
        if {rule, cause} & _PASSING:
            return
        if operation.orders:
            self._ends.give_up(operation, "refused", f"custodian: {rule}")
            raise OfficeOnly(reason=f"custodian: {rule}") from None
        self._ends.withdraw(operation, f"custodian: {rule}")
        raise ReleaseRefused(rule="withdrawn", why=rule) from None

    def _record_refusal(
        self, job: Job, about: Mapping[str, str], why: Mapping[str, object]
    ) -> tuple[str, str]:
        """Write down a refusal of the custodian; its rule and its cause."""
        rule, cause = str(why.get("rule")), str(why.get("why", ""))
        with committing("service.refusal", self._parts.store.write()) as uow:
            uow.audit.append("release-refused", job.uid, {**about, "rule": rule, "why": cause})
        return rule, cause

    # --- report ----------------------------------------------------------------------
    def report(self, job_id: str, secret: str, told: wire.Report) -> wire.JobState:
        """Settle what the helper tells; a repeated report gets the same answer.

        Raises ``JobRefused``, ``StaleReport``, and for ``approve`` jobs what ``Approve.sign``
        raises.
        """
        return _looking_again(lambda: self._report(job_id, secret, told))

    def _report(self, job_id: str, secret: str, told: wire.Report) -> wire.JobState:
        parts = self._parts
        with parts.store.read() as uow:
            job = self._job(uow, job_id, secret)
            operation = uow.operations.of_request(job.about)
            token = uow.tokens.get(job.token_serial)
        if job.kind == "approve":
            return self._signed(job, told)
        if operation is None or token is None:
            raise JobRefused(reason="kind")
        bound = _equal(operation.nonce, told.nonce) and operation.job_id == job.id
        if told.epoch != operation.epoch or not bound:
            with parts.store.write() as uow:
                facts = {"operation": operation.id, "epoch": told.epoch, "outcome": told.outcome}
                uow.audit.append("report-ignored", job.uid, facts)
            raise StaleReport(epoch=operation.epoch)
        if operation.state != "done":
            self._settle(operation, job, token, told)
        return self.state(job_id, secret)

    def _signed(self, job: Job, told: wire.Report) -> wire.JobState:
        try:
            if told.outcome == "signed":
                person = self._parts.person(job.uid)
                self._approve.sign(person, job.about, told.proof.signature)
        except ResetError as refused:
            self._end_job(job, refused.code)  # the page offers a new code at once
            raise
        self._end_job(job, told.outcome)
        return self._job_state(replace(job, outcome=told.outcome))

    def _end_job(self, job: Job, outcome: str) -> None:
        with self._parts.store.write() as uow:
            uow.jobs.finish(job.id, outcome)

    def _settle(self, operation: Operation, job: Job, token: Token, told: wire.Report) -> None:
        parts = self._parts
        event = custody.OUTCOMES.get(told.outcome, "open")
        if event == "proven" and not self._proven(job, token, told):
            event = "open"
        worked = "so-login" in told.steps
        after = replace(
            operation,
            state=custody.advance(operation.state, event),
            tries_spent=custody.tries_after(operation, told.steps),
            steps=told.steps,
            fits=operation.fits or worked,
        )
        if event == "proven":
            self._ends.finish(operation, after, job, token)
        elif event == "refused":
            self._ends.give_up(operation, "refused", told.outcome, told.steps)
        elif after != operation:  # told again, it is no news
            with committing("service.unknown", parts.store.write()) as uow:
                uow.operations.save(after, expected=operation.state, epoch=operation.epoch)
                uow.jobs.finish(job.id, told.outcome)
                facts = {"operation": after.id, "outcome": told.outcome, "steps": list(told.steps)}
                uow.audit.append("custody-unknown", job.uid, facts)
            if worked:
                with suppress(Unavailable, ReleaseRefused), calling("service.ask-settle"):
                    parts.custodian.settle(operation.id, operation.token_serial, False)

    def _proven(self, job: Job, token: Token, told: wire.Report) -> bool:
        """Rule 6. A proof that does not verify leaves the outcome open, and is recorded."""
        proof = told.proof
        try:
            if not proof.user_pin_set or proof.so_pin_in_force != "next":
                raise SignatureRefused(rule="incomplete")
            self._parts.certificates.verify_proof(token.certificate, job.challenge, proof.signature)
        except SignatureRefused as refused:
            with self._parts.store.write() as uow:
                facts = {"job": job.id, "rule": refused.data["rule"]}
                uow.audit.append("proof-refused", job.uid, facts)
            return False
        return True

    # --- looking ---------------------------------------------------------------------
    def state(self, job_id: str, secret: str) -> wire.JobState:
        """Where the job's request stands. Raises ``JobRefused``."""
        with self._parts.store.read() as uow:
            job = self._job(uow, job_id, secret)
        return self._job_state(job)

    def _job_state(self, job: Job) -> wire.JobState:
        with self._parts.store.read() as uow:
            request = uow.requests.get(job.about)
        state = request.state if request else "cancelled"
        if job.kind == "approve":
            return wire.JobState(state, "done" if job.outcome == "signed" else "again")
        return wire.JobState(state, _NEXT.get(state, "again"))


def _looking_again(step: Callable[[], T]) -> T:
    """Rule 7. Raises what the last try of ``step`` raises."""
    for _ in range(_CONFLICTS):
        with suppress(StateConflict):
            return step()
    return step()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
