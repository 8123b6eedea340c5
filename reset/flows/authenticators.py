"""The authenticator app: begun, confirmed and removed under certificate login; checked at a reset.

Rules (S1.72, S1.74, peer failures 3, 7 and 8; decision 0033):

1. The secret leaves the service once, in the answer to ``begin``; the database cannot tell it.
2. A try is committed before a code is compared, on the counter that mailed codes of the request
   share; every step of the window is compared.
3. A matching time step is used up by one conditional UPDATE, in the transaction of what it allows:
   the same code twice, at once or later, is one success. A used code is answered like a wrong one.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from reset.core.authenticator import DIGITS, PERIOD, Authenticator, secret, secret_context, steps
from reset.core.codes import tidy_digits
from reset.core.identities import Person
from reset.errors import CodeDead, CodeWrong, NoProfile
from reset.flows import codes
from reset.flows.mails import post_change
from reset.flows.parts import Parts
from reset.ports import UnitOfWork

_ISSUER_LIMIT = 40  # characters of the institution's name: the picture must stay easy to read


@dataclass(frozen=True)
class Enrolment:
    """What the holder's app needs, shown once: ``uri`` for the picture, ``key`` in base32."""

    uri: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True)
class Match:
    """A code that fitted, and is not used up yet."""

    authenticator: Authenticator
    step: int
    tries_key: str


class Authenticators:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def begin(self, person: Person) -> Enrolment:
        """A new secret for the person's app; the app of now counts until this one is confirmed.

        Raises ``NoProfile`` before questions are registered, ``Unavailable``.
        """
        parts = self._parts
        new = Authenticator(parts.new_id(), person.uid, parts.clock.now())
        key = _secret(parts, new)
        with parts.store.write() as uow:
            profile = uow.profiles.get(person.uid)
            if profile is None or not profile.answers:
                raise NoProfile(missing="questions")
            uow.authenticators.begin(new)
        issuer = f"{parts.institution[:_ISSUER_LIMIT]} token reset".strip()
        app = TOTP(key, DIGITS, SHA1(), PERIOD)  # noqa: S303  what apps can do; HMAC stands
        uri = app.get_provisioning_uri(person.pid, issuer)
        return Enrolment(uri, base64.b32encode(key).decode())

    def waits(self, uid: str) -> bool:
        """Whether an app may still be confirmed."""
        with self._parts.store.read() as uow:
            waiting = uow.authenticators.get(uid, confirmed=False)
        return waiting is not None and not self._late(waiting)

    def _late(self, waiting: Authenticator) -> bool:
        return self._parts.clock.now() >= waiting.started_at + self._parts.policy.code_age

    def confirm(self, uid: str, typed: str) -> None:
        """Confirm the app that waits by one of its codes; it replaces the one before.

        Raises ``BadInput``, ``CodeWrong``, ``CodeDead``, ``Unavailable``.
        """
        parts = self._parts
        with parts.store.read() as uow:
            waiting = uow.authenticators.get(uid, confirmed=False)
        if waiting is None or self._late(waiting):
            raise CodeDead(why="no-app")
        key = f"code:app:{waiting.id}"
        match = _check(parts, waiting, key, "app", typed, None)
        with parts.store.write() as uow:
            uow.profiles.get(uid)  # locks the person's row: two changes come one after the other
            if not uow.authenticators.confirm(uid, waiting.id, match.step):
                raise CodeDead(why="no-app")
            uow.tries.clear(key)
            uow.audit.append("app-registered", uid, {})
            post_change(parts, uow, uid, "app-registered")

    def remove(self, uid: str) -> None:
        """The app counts no more. Raises ``NoProfile`` when none was registered."""
        with self._parts.store.write() as uow:
            uow.profiles.get(uid)
            if not uow.authenticators.remove(uid):
                raise NoProfile(missing="app")
            uow.audit.append("app-removed", uid, {})
            post_change(self._parts, uow, uid, "app-removed")


def verify(parts: Parts, uid: str, request_id: str, typed: str, seen: int | None) -> Match:
    """The time step whose code ``typed`` is, for a request of this person; not used up yet.

    Raises ``BadInput``, ``CodeDead`` without an app and when the tries are spent, ``CodeWrong``,
    ``StateConflict`` for a second click.
    """
    with parts.store.read() as uow:
        known = uow.authenticators.get(uid, confirmed=True)
    if known is None:
        raise CodeDead(why="no-app")
    return _check(parts, known, codes.tries_key("reset", request_id), request_id, typed, seen)


def consume(uow: UnitOfWork, match: Match, request_id: str) -> None:
    """Use up the time step in the transaction of what it allows. Raises ``CodeDead``."""
    if not uow.authenticators.use(match.authenticator.id, match.step):
        raise CodeDead(why="used")
    uow.tries.clear(match.tries_key)
    facts = {"purpose": "reset", "about": request_id, "app": True}
    uow.audit.append("code-right", match.authenticator.uid, facts)


def _check(
    parts: Parts, known: Authenticator, key: str, about: str, typed: str, seen: int | None
) -> Match:
    digits = tidy_digits(typed, DIGITS, "app-code").encode()
    made = _secret(parts, known)
    left = codes.spend(parts, key, seen)
    window = steps(parts.clock.now())
    fits = [s for s in window if hmac.compare_digest(code_at(made, s).encode(), digits)]
    free = [step for step in fits if step > known.last_step]
    if not free:
        with parts.store.write() as uow:
            facts = {"purpose": "reset" if known.confirmed else "app", "about": about, "app": True}
            uow.audit.append("code-wrong", known.uid, facts)
        raise CodeWrong(tries_left=left, channel="app")
    return Match(known, free[0], key)


def _secret(parts: Parts, authenticator: Authenticator) -> bytes:
    return secret(parts.custodian.hmac(secret_context(authenticator)))


def code_at(key: bytes, step: int) -> str:
    """The code of a time step (RFC 6238 section 4, RFC 4226 section 5.3)."""
    return HOTP(key, DIGITS, SHA1()).generate(step).decode()  # noqa: S303
