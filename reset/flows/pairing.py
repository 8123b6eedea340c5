"""Pairing codes: how a person's web session and a helper find each other.

A code is shown, not stored: its secret part is derived from the job's random id by the HMAC key in
the HSM. Showing the page again shows the same code while it lives, so a reload loses nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from datetime import datetime

from pkcs11_driver import wire
from pkcs11_driver.crashpoints import committing
from reset.core.approvals import render
from reset.core.assurance import Proof, standing
from reset.core.codes import pairing_context, pairing_secret, selector
from reset.core.identities import Person
from reset.core.tokens import Job
from reset.errors import (
    BadInput,
    NoToken,
    OfficeOnly,
    PairingCodeRefused,
    ProofsMissing,
    SelfServiceBlocked,
    SlowDown,
    StateConflict,
)
from reset.flows.approve import Approve
from reset.flows.login import network_of
from reset.flows.parts import Parts
from reset.flows.recover import Recover
from reset.flows.requests import blocked
from reset.ports import UnitOfWork


def tries_key(job_id: str) -> str:
    """The counter of guesses at one pairing code."""
    return f"pairing:{job_id}"


@dataclass(frozen=True)
class Pairing:
    """What the page shows. ``code`` is empty once a helper has claimed it, then ``words`` are
    those that the helper shows too. ``expires_at``: of the unclaimed code."""

    code: str = field(repr=False)
    words: str
    expires_at: datetime
    outcome: str


class Pair:
    def __init__(self, parts: Parts, recover: Recover, approve: Approve) -> None:
        self._parts = parts
        self._recover = recover
        self._approve = approve

    def for_reset(self, uid: str, request_id: str, login: Proof) -> Pairing:
        """The holder's pairing code; the release gate must be open.

        Raises ``ProofsMissing``, ``StateConflict``, ``NotFound``, ``Unavailable``; ``OfficeOnly``
        when the token takes no PIN that keeps the rules.
        """
        here = self._recover.progress(uid, request_id, login)
        if here.pin_rules.minimum > here.pin_rules.maximum:
            raise OfficeOnly(reason="pin-rules")
        request = here.request
        if request.state not in ("ready", "executing"):
            raise StateConflict(state=request.state, event="execute")
        live = self._live(request_id, uid, "reset")
        if live and live.claimed_at:
            # a helper holds the code: what it may do was decided when the code was shown
            return self._show(live)
        if here.step != "helper":
            raise ProofsMissing(missing=list(here.standing.missing), gate="release")
        if live:
            return self._show(live)
        parts = self._parts
        with parts.store.write() as uow:
            uow.requests.add_proof(request_id, login)
        job_id = parts.new_id()
        challenge = wire.proof_challenge(request_id, job_id, parts.random.token(32).hex())
        return self._make(job_id, uid, "reset", request_id, request.token_serial, challenge)

    def for_approval(self, person: Person, request_id: str, token_serial: str) -> Pairing:
        """The approver's pairing code: the helper gets the statement to sign.

        Raises what ``Approve.item`` raises, ``StateConflict``, ``NoToken``.
        """
        item, statement = self._approve.item(person, request_id)
        if item.request.state != "waiting_for_approval":
            raise StateConflict(state=item.request.state, event="approve")
        if not token_serial:
            raise NoToken
        live = self._live(request_id, person.uid, "approve")
        if live:
            return self._show(live)
        return self._make(
            self._parts.new_id(), person.uid, "approve", request_id, token_serial, render(statement)
        )

    def again(self, uid: str, request_id: str, kind: str) -> None:
        """Give up the newest job of this person, so that the page shows a new code.

        A helper that is at work keeps its lease; its report still counts.
        """
        with self._parts.store.write() as uow:
            job = uow.jobs.newest(request_id, uid, kind)
            if job is not None and not job.outcome:
                uow.jobs.finish(job.id, "given-up")
                uow.audit.append("pairing-code-dropped", uid, {"job": job.id})

    def _live(self, request_id: str, uid: str, kind: str) -> Job | None:
        """The newest job while it is of use, so that a helper that died holds nobody up.

        Unclaimed: while its code is good and has tries left. Claimed: as long as its order's lease
        runs, and before there is an order, for the age of a code.
        """
        policy, now = self._parts.policy, self._parts.clock.now()
        with self._parts.store.read() as uow:
            job = uow.jobs.newest(request_id, uid, kind)
            operation = uow.operations.of_request(request_id)
            spent = uow.tries.spent(tries_key(job.id)) if job else 0
        if job is None or job.outcome:
            return None
        if not job.claimed_at and spent >= policy.pairing_tries:
            return None
        until = (job.claimed_at or job.created_at) + policy.pairing_age
        if operation and operation.job_id == job.id and operation.lease_until:
            until = operation.lease_until
        return job if now < until else None

    def _make(
        self, job_id: str, uid: str, kind: str, about: str, serial: str, challenge: bytes
    ) -> Pairing:
        parts = self._parts
        while True:
            job = Job(
                job_id, kind, uid, about, serial, selector(parts.random.token(32)), challenge,
                parts.clock.now(),
            )  # fmt: skip
            with parts.store.write() as uow:
                if uow.jobs.add(job):
                    facts = {"job": job_id, "request": about, "kind": kind}
                    uow.audit.append("pairing-code-shown", uid, facts)
                    break
        return self._show(job)

    def _show(self, job: Job) -> Pairing:
        parts = self._parts
        if job.claimed_at:
            words = wire.confirmation_words(job.id, job.public_key)
            return Pairing("", words, job.created_at + parts.policy.job_age, job.outcome)
        code = job.selector + pairing_secret(parts.custodian.hmac(pairing_context(job.id)))
        return Pairing(
            wire.show_code(code), "", job.created_at + parts.policy.pairing_age, job.outcome
        )

    def claim(self, claim: wire.Claim, address: str) -> wire.Claimed:
        """Spend a pairing code; the job belongs to the helper's key from now on.

        The same helper may ask again (a lost reply); another one is refused. Raises
        ``PairingCodeRefused`` for unknown, expired, used and wrong codes alike, ``BadInput`` for a
        key of another length, ``SlowDown``, ``ProofsMissing``, ``SelfServiceBlocked``.
        """
        parts, now = self._parts, self._parts.clock.now()
        if not wire.KEY.fits(claim.public_key):  # before a try is counted or the code is spent
            raise BadInput(field="public_key", rule="form", need=f"must have {wire.KEY} bytes")
        code = wire.tidy_code(claim.code)
        if not wire.is_code(code):
            raise PairingCodeRefused
        with parts.store.write() as uow:
            job = uow.jobs.by_selector(code[: wire.SELECTOR_LENGTH], now - parts.policy.pairing_age)
            key = tries_key(job.id) if job else ""
            tried = job and uow.tries.reserve(key, parts.policy.pairing_tries)
            # only searching is slowed down: a live code has its own tries, and nobody behind the
            # same address pays for somebody who searches
            around = f"pairing:{network_of(address)}"
            wait = 0 if tried else uow.throttle.reserve(around, now)
            if not tried and not wait:
                _note_refused(uow, job)
        if wait:
            raise SlowDown(retry_after=wait)
        if job is None or not tried:
            raise PairingCodeRefused
        right = pairing_secret(parts.custodian.hmac(pairing_context(job.id)))
        typed = code[wire.SELECTOR_LENGTH :]
        if not hmac.compare_digest(typed.encode(), right.encode()):
            with parts.store.write() as uow:
                _note_refused(uow, job)
            raise PairingCodeRefused
        secret = self._secret(job.id, claim.public_key)
        with committing("service.claim", parts.store.write()) as uow:
            uow.tries.give_back(key)
            mine = self._take(uow, job.id, claim, hash_secret(secret))
            token = uow.tokens.get(job.token_serial)
        if not mine:
            raise PairingCodeRefused
        return wire.Claimed(
            job=job.id,
            secret=secret,
            kind=job.kind,  # type: ignore[arg-type]
            token_serial=job.token_serial,
            pin_rules=parts.pin_rules(token),
            challenge=job.challenge,
            words=wire.confirmation_words(job.id, claim.public_key),
            key_id=token.key_id if token else "",
        )

    def _take(self, uow: UnitOfWork, job_id: str, claim: wire.Claim, secret_hash: str) -> bool:
        """Bind the job to the claiming helper; False when it belongs to another one."""
        job = uow.jobs.get(job_id)
        assert job is not None
        if job.claimed_at and job.public_key != claim.public_key:
            uow.audit.append("pairing-code-refused", job.uid, {"job": job.id, "why": "used"})
            return False
        if job.kind == "reset":
            check_gate(self._parts, uow, job)
        taken = replace(
            job,
            claimed_at=self._parts.clock.now(),
            public_key=claim.public_key,
            secret_hash=secret_hash,
        )
        if uow.jobs.claim(taken):
            told = re.fullmatch(r"[0-9][0-9A-Za-z.+]{0,19}", claim.helper_version)
            facts = {"job": job.id, "request": job.about, "helper": told[0] if told else "unknown"}
            uow.audit.append("helper-claimed", job.uid, facts)
            return True
        job = uow.jobs.get(job_id)  # again: somebody may have been faster
        return job is not None and job.public_key == claim.public_key

    def _secret(self, job_id: str, public_key: bytes) -> str:
        tag = self._parts.custodian.hmac(b"job-secret 1" + job_id.encode() + public_key)
        return base64.urlsafe_b64encode(tag).decode().rstrip("=")


def _note_refused(uow: UnitOfWork, job: Job | None) -> None:
    facts = {"job": job.id if job else "", "why": "wrong" if job else "unknown"}
    uow.audit.append("pairing-code-refused", "unknown", facts)


def hash_secret(secret: str) -> str:
    """A job's bearer secret as it is stored: random 32 bytes need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_gate(parts: Parts, uow: UnitOfWork, job: Job) -> None:
    """The release gate for the job's request, now.

    Raises ``StateConflict``, ``SelfServiceBlocked``, ``ProofsMissing``.
    """
    request = uow.requests.get(job.about)
    if request is None or request.state not in ("ready", "executing"):
        raise StateConflict(state=request.state if request else "none", event="execute")
    if blocked(parts, uow, job.uid):
        raise SelfServiceBlocked
    gate, now = parts.policy.gate(request.state), parts.clock.now()
    here = standing(gate, uow.requests.proofs(request.id), now)
    if not here.open:
        raise ProofsMissing(missing=list(here.missing), gate="release")
