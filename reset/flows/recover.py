"""The holder's way to a new PIN: open, answer, confirm the code, wait, pair the helper.

Rules (S1.54-S1.69, T1-T8):

1. Nothing is shown or asked before PID and password; identity comes from the session alone.
2. The drawn set is pinned to person and request; a failed round keeps it (S1.61).
3. A round is committed as spent before an answer is hashed, and given back on success.
4. Every answer is hashed and compared; one verdict for the set (S1.62).
5. The approver is asked by the step that completes the gate, in the same transaction.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pkcs11_driver.wire import PinRules
from reset.core.approvals import one_line
from reset.core.assurance import Proof, Standing, standing
from reset.core.custody import Operation
from reset.core.identities import Person
from reset.core.policy import CODE_BOXES
from reset.core.profile import ANSWER_LIMIT, Draw, StoredAnswer, answer_context, draw, normalise
from reset.core.requests import TRANSITIONS, Event, Request
from reset.core.tokens import Token
from reset.errors import (
    AnswersWrong,
    BadInput,
    Busy,
    CodeDead,
    CodeWrong,
    NoApprover,
    NoProfile,
    NotFound,
    NoToken,
    OperationUnresolved,
    ProofsMissing,
    SelfServiceBlocked,
    StateConflict,
    TokenChoiceNeeded,
    TooManyRequests,
    Unavailable,
)
from reset.flows import codes
from reset.flows.approve import approver_uids
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.flows.requests import move
from reset.flows.times import show
from reset.ports import UnitOfWork

DAY = timedelta(days=1)
OPENED_PER_DAY = 20  # each mails the holder; the policy's limit counts those with right answers


def rounds_key(uid: str) -> str:
    """The counter of failed rounds: per person, over all requests and sessions (S1.65)."""
    return f"rounds:{uid}"


@dataclass(frozen=True)
class Overview:
    """What a person finds after the login."""

    tokens: tuple[Token, ...]
    requests: tuple[Request, ...]
    missing: str  # "", "profile" or "recovery-address"
    blocked: bool


@dataclass(frozen=True)
class Progress:
    """Where one request stands. ``step``: login, questions, code, wait, helper, office, done or
    ended; ``worth``: what all proofs amount to so far, of what the token's reset needs;
    ``approvers``: names; ``rounds_left``: of answering;
    ``pin_rules``: for its token."""

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


class Recover:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # --- looking ---------------------------------------------------------------------
    def overview(self, uid: str) -> Overview:
        """Tokens, requests and what is in the way of self-service."""
        with self._parts.store.read() as uow:
            tokens = tuple(t for t in uow.tokens.of_holder(uid) if t.state == "in-use")
            requests = tuple(uow.requests.of_holder(uid))
            return Overview(tokens, requests, self._missing(uow, uid), self._blocked(uow, uid))

    def progress(self, uid: str, request_id: str, login_at: datetime) -> Progress:
        """Where the request stands. ``login_at``: when this session's password was given.

        Raises ``NotFound`` for anybody else's request as for none (peer failure 25).
        """
        parts = self._parts
        with parts.store.read() as uow:
            request = _own(uow, uid, request_id)
            proofs = [*uow.requests.proofs(request_id), Proof("password", login_at)]
            operation = uow.operations.of_request(request_id)
            blocked = self._blocked(uow, uid)
            spent = uow.tries.spent(rounds_key(uid))
            tries = uow.tries.spent(codes.tries_key("reset", request_id))
            token = uow.tokens.get(request.token_serial)
        policy, now = parts.policy, parts.clock.now()
        here = standing(policy.gate(request.state), proofs, now)
        last = policy.resume if request.state == "executing" else policy.release
        named = (parts.directory.by_uid(a) for a in approver_uids(parts, uid))
        names = tuple(p.name for p in named if p)
        return Progress(
            request=request,
            standing=here,
            worth=standing(last, proofs, now),
            step=_step(request, here, blocked),
            operation=operation,
            approvers=names,
            rounds_left=max(0, policy.failed_rounds - spent),
            rounds_spent=spent,
            code_tries=tries,
            pin_rules=parts.pin_rules(token),
        )

    def _blocked(self, uow: UnitOfWork, uid: str) -> bool:
        return uow.tries.spent(rounds_key(uid)) >= self._parts.policy.failed_rounds

    def _missing(self, uow: UnitOfWork, uid: str) -> str:
        profile = uow.profiles.get(uid)
        if profile is None or not profile.answers:
            return "profile"
        own_address = self._parts.policy.code_box == "recovery"
        return "recovery-address" if own_address and not profile.recovery_address else ""

    # --- opening ---------------------------------------------------------------------
    def open(self, person: Person, login_at: datetime, serial: str | None, reason: str) -> Request:
        """Open a request for one of the person's own tokens, or return the open one.

        Raises ``NoToken``, ``TokenChoiceNeeded``, ``NotFound``, ``NoProfile``,
        ``SelfServiceBlocked``, ``OperationUnresolved``, ``TooManyRequests``, ``NoApprover``.
        """
        parts, uid = self._parts, person.uid
        if not approver_uids(parts, uid):
            raise NoApprover(reason="none-named")
        try:
            return self._open(person, login_at, serial, reason)
        except StateConflict:
            # a second click at the same moment was faster: now its request is found
            return self._open(person, login_at, serial, reason)

    def _open(self, person: Person, login_at: datetime, serial: str | None, reason: str) -> Request:
        parts, uid = self._parts, person.uid
        with parts.store.write() as uow:
            token = _choose(uow, uid, serial)
            running = uow.requests.open_of_token(token.serial)
            if running and running.uid == uid:
                return running
            self._check_may_open(uow, uid, token)
            request = self._new_request(uow, uid, token, reason)
            uow.requests.add(request)
            uow.requests.add_proof(request.id, Proof("password", login_at))
            facts = {"request": request.id, "token": token.serial}
            uow.audit.append("request-opened", uid, facts)
            uow.audit.append("questions-drawn", uid, {"request": request.id})
            post(parts, uow, uid, "request-opened", token=token.serial)
        return request

    def _check_may_open(self, uow: UnitOfWork, uid: str, token: Token) -> None:
        policy, now = self._parts.policy, self._parts.clock.now()
        if self._blocked(uow, uid):
            raise SelfServiceBlocked
        missing = self._missing(uow, uid)
        if missing:
            raise NoProfile(missing=missing)
        if uow.operations.unresolved_of(token.serial):
            raise OperationUnresolved(serial=token.serial)
        day = now - DAY
        if (
            uow.requests.opened_since(uid, day, answered=True) >= policy.requests_per_day
            or uow.requests.opened_since(uid, day, answered=False) >= OPENED_PER_DAY
        ):
            raise TooManyRequests(limit=policy.requests_per_day, hours=24)

    def _new_request(self, uow: UnitOfWork, uid: str, token: Token, reason: str) -> Request:
        parts, now = self._parts, self._parts.clock.now()
        drawn = self._draw(uow, uid)
        reason = one_line(reason) if reason.strip() else "token blocked"
        return Request(
            id=parts.new_id(),
            uid=uid,
            token_serial=token.serial,
            state="collecting",
            created_at=now,
            changed_at=now,
            expires_at=now + parts.policy.request_age,
            nonce=parts.random.token(16).hex(),
            reason=reason,
            questions=drawn,
        )

    def _draw(self, uow: UnitOfWork, uid: str) -> tuple[str, ...]:
        """Draw a set, or take the pending one again, and pin it to the person."""
        profile = uow.profiles.get(uid)
        if profile is None:
            raise NoProfile(missing="profile")
        last = uow.profiles.draw_of(uid)
        known = [a.question for a in profile.answers]
        drawn = draw(known, last, self._parts.policy.questions_asked, self._parts.random.below)
        uow.profiles.put_draw(Draw(uid, drawn, None))
        return drawn

    # --- proofs ----------------------------------------------------------------------
    def answer(
        self,
        uid: str,
        request_id: str,
        answers: Sequence[str],
        login_at: datetime,
        seen: int | None = None,
    ) -> Request:
        """Check the answers to the drawn set, in its order.

        ``seen``: the failed rounds that the form showed; a second click on it is not counted.
        Raises ``BadInput`` for an empty or overlong one (nothing is counted), ``AnswersWrong``,
        ``SelfServiceBlocked``, ``ProofsMissing``, ``StateConflict``, ``Busy``.
        """
        parts = self._parts
        here = self.progress(uid, request_id, login_at)
        if here.step == "office":
            raise SelfServiceBlocked
        if here.step != "questions":
            raise StateConflict(state=here.request.state, event="answers")
        for number, text in enumerate(answers, 1):
            if not normalise(text) or len(text) > ANSWER_LIMIT:
                raise BadInput(field=f"answer-{number}", rule="empty" if text == "" else "answer")
        stored = self._stored(uid, here.request)
        if len(answers) != len(stored):
            raise BadInput(field="answer-1", rule="count", limit=len(stored))
        with parts.store.write() as uow:
            limit = parts.policy.failed_rounds
            spent = codes.reserve(uow, rounds_key(uid), limit, seen)
            over = uow.tries.spent(rounds_key(uid)) >= limit
        if spent is None and not over:
            raise StateConflict(state=here.request.state, event="second-click")
        if spent is None:
            raise SelfServiceBlocked
        try:
            right = self._all_match(uid, stored, answers)
        except (Busy, Unavailable):
            # no verdict was given, so the holder does not pay for our trouble
            with parts.store.write() as uow:
                uow.tries.give_back(rounds_key(uid))
            raise
        if not right:
            self._note_wrong(uid, here.request, blocked=spent >= limit)
            raise AnswersWrong(rounds_left=limit - spent)
        with parts.store.write() as uow:
            uow.tries.give_back(rounds_key(uid))
            uow.profiles.put_draw(Draw(uid, here.request.questions, parts.clock.now()))
            uow.audit.append("answers-right", uid, {"request": request_id})
            return self._prove(uow, uid, request_id, login_at, "answers")

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
            drawn = self._draw(uow, uid)
            move(self._parts, uow, replace(request, questions=drawn), "prove")
            uow.audit.append("questions-drawn", uid, {"request": request.id})

    def _all_match(self, uid: str, stored: list[StoredAnswer], answers: Sequence[str]) -> bool:
        parts, verdicts = self._parts, []
        for record, text in zip(stored, answers, strict=True):
            tag = parts.hasher.tag(normalise(text), record.salt, record.parameters)
            made = parts.custodian.hmac(answer_context(uid, record, tag))
            verdicts.append(hmac.compare_digest(made, record.record))
        return all(verdicts)

    def _note_wrong(self, uid: str, request: Request, *, blocked: bool) -> None:
        with self._parts.store.write() as uow:
            uow.audit.append("answers-wrong", uid, {"request": request.id})
            if blocked:
                uow.audit.append("self-service-blocked", uid, {"request": request.id})
                post(self._parts, uow, uid, "self-service-blocked")
                now = uow.requests.get(request.id)
                if now and (now.state, "refer") in TRANSITIONS:
                    self._end(uow, request.id, "refer", "answers")

    def _at_code(self, uid: str, request_id: str, login_at: datetime) -> Progress:
        """Where the request stands, when a code may be sent or tried now."""
        here = self.progress(uid, request_id, login_at)
        if not here.rounds_left:
            raise SelfServiceBlocked
        if here.request.state not in ("collecting", "ready", "executing"):
            raise StateConflict(state=here.request.state, event="code")
        return here

    def send_code(self, uid: str, request_id: str, login_at: datetime) -> None:
        """Mail a code to the box that the policy names.

        Raises ``ProofsMissing`` before the questions are answered, ``CodeSendsSpent``,
        ``NoProfile`` without an address, ``SelfServiceBlocked``, ``StateConflict`` when no code is
        of use now.
        """
        here = self._at_code(uid, request_id, login_at)
        if set(here.standing.missing) & {"password", "answers"}:
            raise ProofsMissing(missing=list(here.standing.missing), gate="code")
        with self._parts.store.write() as uow:
            missing = self._missing(uow, uid)
            if missing:
                raise NoProfile(missing=missing)
            request = _own(uow, uid, request_id)
            move(self._parts, uow, request, "prove")
            box, method = CODE_BOXES[self._parts.policy.code_box]
            codes.send(self._parts, uow, uid, "reset", request_id, box=box, method=method)

    def enter_code(
        self, uid: str, request_id: str, typed: str, login_at: datetime, seen: int | None = None
    ) -> Request:
        """Check a mailed code.

        Raises ``BadInput``, ``CodeDead``, ``CodeWrong``, ``SelfServiceBlocked``, ``StateConflict``.

        When the tries of the request are spent it ends: a new one starts from the questions.
        """
        parts = self._parts
        self._at_code(uid, request_id, login_at)
        try:
            code = codes.verify(parts, uid, "reset", request_id, typed, seen)
        except CodeWrong as wrong:
            if wrong.data["tries_left"] == 0:
                self._tries_spent(uid, request_id)
                raise CodeDead(why="tries") from None
            raise
        with parts.store.write() as uow:
            codes.consume(parts, uow, code)
            return self._prove(uow, uid, request_id, login_at, code.method)

    def _tries_spent(self, uid: str, request_id: str) -> None:
        with self._parts.store.write() as uow:
            request = _own(uow, uid, request_id)
            out = request.state == "executing"  # an SO PIN may have left
            name = "referred-to-office" if out else "request-cancelled"
            self._end(uow, request_id, "refer" if out else "cancel", "code-tries")
            uow.audit.append(name, uid, {"request": request_id, "because": "code-tries"})

    def _prove(
        self, uow: UnitOfWork, uid: str, request_id: str, login_at: datetime, method: str
    ) -> Request:
        """Add a proof (and the login's), and ask the approver when the gate is open now."""
        parts, now = self._parts, self._parts.clock.now()
        request = _own(uow, uid, request_id)
        uow.requests.add_proof(request_id, Proof("password", login_at))
        uow.requests.add_proof(request_id, Proof(method, now))
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
        for approver in approver_uids(parts, uid):
            post(
                parts, uow, approver, "approver-asked", boxes=("directory",),
                holder=holder.name, token=request.token_serial, until=show(request.expires_at),
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


def _choose(uow: UnitOfWork, uid: str, serial: str | None) -> Token:
    tokens = [t for t in uow.tokens.of_holder(uid) if t.state == "in-use"]
    if not tokens:
        raise NoToken
    if serial:
        for token in tokens:
            if token.serial == serial:
                return token
        raise NotFound(what="token")
    if len(tokens) > 1:
        raise TokenChoiceNeeded(serials=[t.serial for t in tokens])
    return tokens[0]


def _step(request: Request, here: Standing, blocked: bool) -> str:
    """What the holder does next."""
    ends = {"done": "done", "denied": "ended", "expired": "ended", "cancelled": "ended"}
    if request.state in ends:
        return ends[request.state]
    if request.state == "office" or blocked:
        return "office"
    if request.state == "waiting_for_approval":
        return "wait"
    for missing, step in (("password", "login"), ("answers", "questions"), ("code", "code")):
        if missing in here.missing:
            return step
    return "helper" if here.open else "office"
