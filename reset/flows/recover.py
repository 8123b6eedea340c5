"""The holder's way to a new PIN: open, answer, confirm the code, wait, pair the helper.

Rules (S1.54-S1.69, T1-T8):

1. Nothing is shown or asked before PID and password; identity comes from the session alone.
2. The drawn set is pinned to person and request; a failed round keeps it (S1.61).
3. A round is committed as spent before an answer is hashed, and given back on success.
4. Every answer is hashed and compared; one verdict for the set (S1.62).
5. The approver is asked by the step that completes the gate, in the same transaction.
6. A code counts only in the session in which it was typed: another one shows no pairing code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from pkcs11_driver.wire import PinRules
from reset.core.assurance import Proof, Standing, standing
from reset.core.custody import Operation
from reset.core.identities import Person
from reset.core.policy import CODE_BOXES
from reset.core.profile import Channels, Draw, Slot, StoredAnswer
from reset.core.requests import ENDS, TRANSITIONS, Event, Request
from reset.core.tokens import Token
from reset.errors import (
    AnswersWrong,
    Busy,
    CodeDead,
    CodeWrong,
    NoProfile,
    NotFound,
    ProofsMissing,
    SelfServiceBlocked,
    StateConflict,
    Unavailable,
)
from reset.flows import authenticators, codes
from reset.flows.answers import Renewed, all_match, check_typed, put_renewed, renewed
from reset.flows.approve import approver_uids, may_approve
from reset.flows.channels import channels
from reset.flows.mails import post
from reset.flows.opening import draw_set, missing, open_request
from reset.flows.parts import Parts
from reset.flows.requests import blocked, move, rounds_key, waits_for_office, with_office
from reset.ports import UnitOfWork


@dataclass(frozen=True)
class Overview:
    """What a person finds after the login."""

    tokens: tuple[Token, ...]
    requests: tuple[Request, ...]
    with_office: frozenset[str]  # ids of those that only the office can go on with now
    missing: str  # "", "profile" or "recovery-address"
    blocked: bool


@dataclass(frozen=True)
class Progress:
    """Where one request stands. ``step``: login, questions, code, wait, helper, office, done or
    ended; ``worth``: what all proofs amount to so far, of what the token's reset needs;
    ``approvers``: names; ``rounds_left``: of answering; ``channels``: ways to a code;
    ``pin_rules``: for its token; ``login``: the method of this session's login."""

    request: Request
    standing: Standing
    worth: Standing
    step: str
    operation: Operation | None
    approvers: tuple[str, ...]
    rounds_left: int
    rounds_spent: int
    code_tries: int
    pin_rules: PinRules
    channels: Channels
    login: str


class Recover:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # --- looking ---------------------------------------------------------------------
    def overview(self, uid: str) -> Overview:
        """Tokens, requests and what is in the way of self-service."""
        parts = self._parts
        with parts.store.read() as uow:
            tokens = tuple(t for t in uow.tokens.of_holder(uid) if t.state == "in-use")
            requests, closed = tuple(uow.requests.of_holder(uid)), blocked(parts, uow, uid)
            theirs = with_office(uow, requests, blocked=closed)
            return Overview(tokens, requests, theirs, missing(parts, uow, uid), closed)

    def progress(self, uid: str, request_id: str, login: Proof) -> Progress:
        """Where the request stands. ``login``: the proof that began this session.

        Raises ``NotFound`` for anybody else's request as for none (peer failure 25).
        """
        parts = self._parts
        with parts.store.read() as uow:
            request = _own(uow, uid, request_id)
            proofs = uow.requests.proofs(request_id)
            operation = uow.operations.of_request(request_id)
            closed, theirs = blocked(parts, uow, uid), waits_for_office(parts, uow, request)
            ways = channels(parts, uow, uid, uow.profiles.get(uid))
            spent = uow.tries.spent(rounds_key(uid))
            tries = uow.tries.spent(codes.tries_key("reset", request_id))
            token = uow.tokens.get(request.token_serial)
        policy, now = parts.policy, parts.clock.now()
        here = standing(policy.gate(request.state), proofs, now, login)
        last = policy.resume if request.state == "executing" else policy.release
        named = (parts.directory.by_uid(a) for a in approver_uids(parts, uid))
        names = tuple(p.name for p in named if p)
        return Progress(
            request=request,
            standing=here,
            worth=standing(last, proofs, now, login),
            step=_step(request, here, closed, theirs),
            operation=operation,
            approvers=names,
            rounds_left=max(0, policy.failed_rounds - spent),
            rounds_spent=spent,
            code_tries=tries,
            pin_rules=parts.pin_rules(token),
            channels=ways,
            login=login.method,
        )

    # --- opening ---------------------------------------------------------------------
    def open(self, person: Person, login: Proof, serial: str | None, reason: str) -> Request:
        """Open a request for one of the person's own tokens, or return the open one.

        Raises what ``opening.open_request`` raises.
        """
        return open_request(self._parts, person, login, serial, reason)

    # --- proofs ----------------------------------------------------------------------
    def answer(
        self,
        uid: str,
        request_id: str,
        answers: Sequence[str],
        login: Proof,
        seen: int | None = None,
    ) -> Request:
        """Check the answers to the drawn set, in its order.

        ``seen``: the failed rounds that the form showed; a second click on it is not counted.
        Raises ``BadInput`` for an empty or overlong one (nothing is counted), ``AnswersWrong``,
        ``SelfServiceBlocked``, ``ProofsMissing``, ``StateConflict``, ``Busy``.
        """
        parts = self._parts
        here = self.progress(uid, request_id, login)
        if here.step == "office":
            raise SelfServiceBlocked
        if here.step != "questions":
            raise StateConflict(state=here.request.state, event="answers")
        check_typed(answers, len(here.request.questions))
        stored = self._stored(uid, here.request)
        with parts.store.write() as uow:
            limit = parts.policy.failed_rounds
            spent = codes.reserve(uow, rounds_key(uid), limit, seen)
            over = uow.tries.spent(rounds_key(uid)) >= limit
        if spent is None and not over:
            raise StateConflict(state=here.request.state, event="second-click")
        if spent is None:
            raise SelfServiceBlocked
        try:
            right = all_match(parts, uid, stored, answers)
        except (Busy, Unavailable):
            # no verdict was given, so the holder does not pay for our trouble
            with parts.store.write() as uow:
                uow.tries.give_back(rounds_key(uid))
            raise
        if not right:
            self._note_wrong(uid, here.request, blocked=spent >= limit)
            raise AnswersWrong(rounds_left=limit - spent)
        # by itself: whoever loses a race in what follows does not pay for it
        with parts.store.write() as uow:
            uow.tries.give_back(rounds_key(uid))
        return self._note_right(here.request, renewed(parts, uid, stored, answers), login)

    def _note_right(self, request: Request, made: Renewed, login: Proof) -> Request:
        uid, now = request.uid, self._parts.clock.now()
        with self._parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            uow.profiles.put_draw(Draw(uid, request.questions, now))
            if profile:
                put_renewed(uow, profile, made)
                uow.rehearsals.note_right(uid, now)
                self._redraw_others(uow, request)
            uow.audit.append("answers-right", uid, {"request": request.id})
            return self._prove(uow, uid, request.id, login, "answers")

    def _stored(self, uid: str, request: Request) -> list[StoredAnswer]:
        with self._parts.store.read() as uow:
            profile = uow.profiles.get(uid)
        known = {a.question: a for a in profile.answers} if profile else {}
        if not set(request.questions) <= set(known):
            self._redraw(uid, request)
            raise StateConflict(state=request.state, event="profile-changed")
        return [known[q] for q in request.questions]

    def _redraw(self, uid: str, request: Request) -> None:
        """The profile was changed under the request, with a certificate: ask what it holds now.

        Raises ``NoProfile``, ``StateConflict``.
        """
        with self._parts.store.write() as uow:
            self._draw_anew(uow, request)

    def _redraw_others(self, uow: UnitOfWork, answered: Request) -> None:
        """Requests for other tokens that were pinned to this set ask another one (S1.59)."""
        for other in uow.requests.of_holder(answered.uid):
            same = set(other.questions) == set(answered.questions)
            if other.id == answered.id or other.state != "collecting" or not same:
                continue
            if any(proof.method == "answers" for proof in uow.requests.proofs(other.id)):
                continue
            with suppress(StateConflict):  # it ended in this moment
                self._draw_anew(uow, other)

    def _draw_anew(self, uow: UnitOfWork, request: Request) -> None:
        drawn = draw_set(self._parts, uow, request.uid)
        move(self._parts, uow, replace(request, questions=drawn), "prove")
        uow.audit.append("questions-drawn", request.uid, {"request": request.id})

    def _note_wrong(self, uid: str, request: Request, *, blocked: bool) -> None:
        with self._parts.store.write() as uow:
            uow.audit.append("answers-wrong", uid, {"request": request.id})
            if blocked:
                uow.audit.append("self-service-blocked", uid, {"request": request.id})
                post(self._parts, uow, uid, "self-service-blocked")
                now = uow.requests.get(request.id)
                if now and (now.state, "refer") in TRANSITIONS:
                    self._end(uow, request.id, "refer", "answers")

    def _at_code(self, uid: str, request_id: str, login: Proof) -> Progress:
        """Where the request stands, when a code may be sent or tried now."""
        here = self.progress(uid, request_id, login)
        if not here.rounds_left:
            raise SelfServiceBlocked
        if here.request.state not in ("collecting", "ready", "executing"):
            raise StateConflict(state=here.request.state, event="code")
        return here

    def send_code(self, uid: str, request_id: str, login: Proof, slot: Slot | None = None) -> None:
        """Mail a code to the box that the policy names: of recovery addresses that of ``slot``,
        else the first that is confirmed.

        Raises ``ProofsMissing`` before the questions are answered, ``CodeSendsSpent``,
        ``NoProfile`` without such an address, ``SelfServiceBlocked``, ``StateConflict`` when no
        code is of use now.
        """
        self._answered(self._at_code(uid, request_id, login))
        with self._parts.store.write() as uow:
            lacking = missing(self._parts, uow, uid)
            if lacking:
                raise NoProfile(missing=lacking)
            box, method = self._box(uow, uid, slot)
            request = _own(uow, uid, request_id)
            move(self._parts, uow, request, "prove")
            codes.send(self._parts, uow, uid, "reset", request_id, box=box, method=method)

    def _box(self, uow: UnitOfWork, uid: str, slot: Slot | None) -> tuple[str, str]:
        """Where a mailed code goes, and the method that it proves. Raises ``NoProfile``."""
        kind = self._parts.policy.code_box
        box, method = CODE_BOXES[kind]
        if kind == "mailbox":
            return box, method
        ways = channels(self._parts, uow, uid, uow.profiles.get(uid))
        slots = [known for known, _ in ways.addresses]
        if not slots or (slot and slot not in slots):
            raise NoProfile(missing="recovery-address")
        return slot or slots[0], method

    def enter_code(
        self, uid: str, request_id: str, typed: str, login: Proof, seen: int | None = None
    ) -> Request:
        """Check a mailed code.

        Raises ``BadInput``, ``CodeDead``, ``CodeWrong``, ``SelfServiceBlocked``, ``StateConflict``,
        and ``ProofsMissing`` before the questions are answered: even what is wrong with a code
        would tell which ways there are.

        When the tries of the request are spent it ends: a new one starts from the questions.
        """
        parts = self._parts
        self._answered(self._at_code(uid, request_id, login))
        with self._ending_when_spent(uid, request_id):
            code = codes.verify(parts, uid, "reset", request_id, typed, seen)
        with parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            # it may have gone to an address that is in the profile no more
            if profile is None or code.created_at < profile.changed_at:
                raise CodeDead(why="changed")
            codes.consume(parts, uow, code)
            return self._prove(uow, uid, request_id, login, code.method)

    def enter_app_code(
        self, uid: str, request_id: str, typed: str, login: Proof, seen: int | None = None
    ) -> Request:
        """Check a code of the authenticator app; it shares the tries of mailed codes.

        Raises what ``enter_code`` raises.
        """
        parts = self._parts
        self._answered(self._at_code(uid, request_id, login))
        with self._ending_when_spent(uid, request_id):
            match = authenticators.verify(parts, uid, request_id, typed, seen)
        with parts.store.write() as uow:
            authenticators.consume(uow, match, request_id)
            return self._prove(uow, uid, request_id, login, "code-app")

    def _answered(self, here: Progress) -> None:
        if set(here.standing.missing) & {"password", "answers"}:
            raise ProofsMissing(missing=list(here.standing.missing), gate="code")

    @contextmanager
    def _ending_when_spent(self, uid: str, request_id: str) -> Iterator[None]:
        """End the request with its last wrong code. Raises ``CodeDead`` then."""
        try:
            yield
        except CodeWrong as wrong:
            if wrong.data["tries_left"] == 0:
                self._tries_spent(uid, request_id)
                raise CodeDead(why="tries") from None
            raise

    def _tries_spent(self, uid: str, request_id: str) -> None:
        with self._parts.store.write() as uow:
            request = _own(uow, uid, request_id)
            out = request.state == "executing"  # an SO PIN may have left
            name = "referred-to-office" if out else "request-cancelled"
            self._end(uow, request_id, "refer" if out else "cancel", "code-tries")
            uow.audit.append(name, uid, {"request": request_id, "because": "code-tries"})

    def _prove(
        self, uow: UnitOfWork, uid: str, request_id: str, login: Proof, method: str
    ) -> Request:
        """Add a proof (and the login's), and ask the approver when the gate is open now."""
        parts, now = self._parts, self._parts.clock.now()
        request = _own(uow, uid, request_id)
        uow.requests.add_proof(request_id, login)
        uow.requests.add_proof(request_id, Proof(method, now, login.detail))
        here = standing(parts.policy.gate(request.state), uow.requests.proofs(request_id), now)
        if request.state != "collecting" or not here.open:
            return move(self._parts, uow, request, "prove")
        request = move(
            parts,
            uow,
            replace(request, asked_at=now, expires_at=now + parts.policy.approval_age),
            "ask",
        )
        holder = parts.person(uid)
        uow.audit.append("approver-asked", uid, {"request": request_id})
        for approver in may_approve(parts, uow, uid):
            post(
                parts, uow, approver, "approver-asked", boxes=("directory",),
                holder=holder.name, token=request.token_serial,
                until=parts.local.show(request.expires_at),
            )  # fmt: skip
        return request

    # --- ending ----------------------------------------------------------------------
    def cancel(self, uid: str, request_id: str) -> None:
        """End a request; nothing on the token was changed. Raises ``StateConflict``."""
        with self._parts.store.write() as uow:
            _own(uow, uid, request_id)
            self._end(uow, request_id, "cancel", "holder")
            uow.audit.append("request-cancelled", uid, {"request": request_id, "because": "holder"})

    def _end(self, uow: UnitOfWork, request_id: str, event: Event, because: str) -> None:
        request = uow.requests.get(request_id)
        if request is None:
            raise NotFound(what="request")
        move(self._parts, uow, replace(request, ended_because=because), event)


def _own(uow: UnitOfWork, uid: str, request_id: str) -> Request:
    request = uow.requests.get(request_id)
    if request is None or request.uid != uid:
        raise NotFound(what="request")
    return request


def _step(request: Request, here: Standing, blocked: bool, with_office: bool) -> str:
    """What the holder does next."""
    if request.state in ENDS and not with_office:
        return "done" if request.state == "done" else "ended"
    if with_office or blocked:
        return "office"
    if request.state == "waiting_for_approval":
        return "wait"
    for proof, step in (("password", "login"), ("answers", "questions"), ("code", "code")):
        if proof in here.missing:
            return step
    return "helper" if here.open else "office"
