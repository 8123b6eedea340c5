"""Opening a request: which token, whether self-service is possible, and the drawn set.

Rules (S1.54, S1.57-S1.61, S1.63-S1.65):

1. One open request per token; a second click finds the first one's.
2. The drawn set is pinned to person and request, and drawn again only once it was answered.
3. Failed rounds are counted per person, over all requests and sessions.
"""

from __future__ import annotations

from reset.core.approvals import one_line
from reset.core.assurance import Proof
from reset.core.identities import Person
from reset.core.policy import DAY
from reset.core.profile import Draw, draw
from reset.core.requests import Request
from reset.core.tokens import Token
from reset.errors import (
    NoApprover,
    NoProfile,
    NotFound,
    NoToken,
    OperationUnresolved,
    SelfServiceBlocked,
    StateConflict,
    TokenChoiceNeeded,
    TooManyRequests,
)
from reset.flows.approve import approver_uids
from reset.flows.channels import channels
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.flows.requests import blocked
from reset.ports import UnitOfWork

OPENED_PER_DAY = 20  # each mails the holder; the policy's limit counts those with right answers


def missing(parts: Parts, uow: UnitOfWork, uid: str) -> str:
    """What a person has not registered: ``profile``, ``recovery-address`` or nothing."""
    profile = uow.profiles.get(uid)
    # a policy that asks more than it did makes a small profile none
    if profile is None or len(profile.answers) <= parts.policy.questions_asked:
        return "profile"
    return "" if channels(parts, uow, uid, profile).any else "recovery-address"


def open_request(
    parts: Parts, person: Person, login: Proof, serial: str | None, reason: str
) -> Request:
    """A new request for one of the person's own tokens, or the open one.

    Raises ``NoToken``, ``TokenChoiceNeeded``, ``NotFound``, ``NoProfile``,
    ``SelfServiceBlocked``, ``OperationUnresolved``, ``TooManyRequests``, ``NoApprover``.
    """
    if not approver_uids(parts, person.uid):
        raise NoApprover(reason="none-named")
    try:
        return _open(parts, person.uid, login, serial, reason)
    except StateConflict:
        # a second click at the same moment was faster: now its request is found
        return _open(parts, person.uid, login, serial, reason)


def _open(
    parts: Parts, uid: str, login: Proof, serial: str | None, reason: str
) -> Request:  # fmt: skip
    with parts.store.write() as uow:
        token = _choose(uow, uid, serial)
        running = uow.requests.open_of_token(token.serial)
        if running and running.uid == uid:
            return running
        _check_may_open(parts, uow, uid, token)
        request = _new_request(parts, uow, uid, token, reason)
        uow.requests.add(request)
        uow.requests.add_proof(request.id, login)
        facts = {"request": request.id, "token": token.serial}
        uow.audit.append("request-opened", uid, facts)
        uow.audit.append("questions-drawn", uid, {"request": request.id})
        post(parts, uow, uid, "request-opened", token=token.serial)
    return request


def _check_may_open(parts: Parts, uow: UnitOfWork, uid: str, token: Token) -> None:
    policy, now = parts.policy, parts.clock.now()
    if blocked(parts, uow, uid):
        raise SelfServiceBlocked
    lacking = missing(parts, uow, uid)
    if lacking:
        raise NoProfile(missing=lacking)
    if uow.operations.unresolved_of(token.serial):
        raise OperationUnresolved(serial=token.serial)
    day = now - DAY
    if (
        uow.requests.opened_since(uid, day, answered=True) >= policy.requests_per_day
        or uow.requests.opened_since(uid, day, answered=False) >= OPENED_PER_DAY
    ):
        raise TooManyRequests(limit=policy.requests_per_day, hours=24)


def _new_request(parts: Parts, uow: UnitOfWork, uid: str, token: Token, reason: str) -> Request:
    now = parts.clock.now()
    drawn = draw_set(parts, uow, uid)
    reason = one_line(reason) if reason.strip() else "none given"
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


def draw_set(parts: Parts, uow: UnitOfWork, uid: str) -> tuple[str, ...]:
    """Draw a set, or take the pending one again, and pin it. Raises ``NoProfile``."""
    profile = uow.profiles.get(uid)
    if profile is None or len(profile.answers) <= parts.policy.questions_asked:
        raise NoProfile(missing="profile")
    last = uow.profiles.draw_of(uid)
    known = [a.question for a in profile.answers]
    drawn = draw(known, last, parts.policy.questions_asked, parts.random.below)
    uow.profiles.put_draw(Draw(uid, drawn, None))
    return drawn


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
