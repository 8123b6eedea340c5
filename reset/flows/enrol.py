"""The identity profile: questions, answers and the recovery address, under certificate login.

Steps (S1.37-S1.47): register or change → the address gets a code → confirm. The old address
stays in force until the new one is confirmed, and is told of every change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reset.core.codes import check_alive
from reset.core.identities import Person
from reset.core.profile import (
    CATALOGUE,
    NORM_VERSION,
    Chosen,
    Profile,
    StoredAnswer,
    answer_context,
    normalise,
    registration_problems,
)
from reset.errors import BadInput, CodeDead, NoProfile, ProfileRefused
from reset.flows import codes
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.ports import UnitOfWork

# One mailbox, no list, no display name, no control characters (peer failure 22)
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}"
)


class Enrol:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def profile(self, uid: str) -> Profile | None:
        """The profile as stored; no answer can be read from it."""
        with self._parts.store.read() as uow:
            return uow.profiles.get(uid)

    def register(self, person: Person, chosen: Sequence[Chosen], address: str) -> Profile:
        """Register or replace questions and set the recovery address.

        With an existing profile, an empty ``chosen`` keeps its questions and changes only the
        address. Nothing is stored unless all of it is good. Raises ``ProfileRefused`` with every
        problem at once, ``Busy``, ``Unavailable``, ``CodeSendsSpent``.
        """
        parts = self._parts
        with parts.store.read() as uow:
            old = uow.profiles.get(person.uid)
        address = address.strip()
        about = (person.name, person.pid, person.mail, *person.name.split())
        problems = [] if old and not chosen else registration_problems(chosen, about, parts.policy)
        rule = self._address_problem(address, person)
        if rule:
            problems.append({"field": "recovery-address", "rule": rule})
        if problems:
            raise ProfileRefused(problems=problems)
        version = 1 + max((a.version for a in old.answers), default=0) if old else 1
        answers = tuple(self._stored(person.uid, item, version) for item in chosen)
        profile = Profile(
            uid=person.uid,
            answers=answers or (old.answers if old else ()),
            recovery_address=old.recovery_address if old else "",
            recovery_pending="" if old and old.recovery_address == address else address,
            changed_at=parts.clock.now(),
        )
        with parts.store.write() as uow:
            uow.profiles.put(profile)
            kind = "profile-changed" if old else "profile-registered"
            facts = {"questions": len(profile.answers), "answers_changed": bool(answers)}
            uow.audit.append(kind, person.uid, facts)
            post(parts, uow, person.uid, kind)
            same = old is not None and old.recovery_pending == profile.recovery_pending
            if profile.recovery_pending and not (same and self._code_lives(uow, person.uid)):
                # registering is a new start; the sends of an hour bound the guesses
                uow.tries.clear(codes.tries_key("address", person.uid))
                self._send(uow, person.uid)
        return profile

    def _code_lives(self, uow: UnitOfWork, uid: str) -> bool:
        """Whether a code that was mailed before can still be typed."""
        policy, newest = self._parts.policy, uow.codes.newest("address", uid)
        spent = uow.tries.spent(codes.tries_key("address", uid))
        try:
            check_alive(newest, self._parts.clock.now(), policy.code_age)
        except CodeDead:
            return False
        return spent < policy.code_tries

    def _address_problem(self, address: str, person: Person) -> str:
        if not address:
            return "empty" if self._parts.policy.code_box == "recovery" else ""
        if len(address) > 200 or not _ADDRESS.fullmatch(address):
            return "address"
        domain = address.rpartition("@")[2].lower()
        own = person.mail.rpartition("@")[2].lower()
        # a mailbox that the PID opens is no second way (S1.74)
        return "same-mailbox" if domain == own or domain in self._parts.mail_domains else ""

    def _stored(self, uid: str, item: Chosen, version: int) -> StoredAnswer:
        parts = self._parts
        salt, parameters = parts.random.token(16), parts.hasher.parameters
        tag = parts.hasher.tag(normalise(item.answer), salt, parameters)
        own = item.question not in CATALOGUE
        bare = StoredAnswer(item.question, own, version, NORM_VERSION, parameters, salt, b"")
        record = parts.custodian.hmac(answer_context(uid, bare, tag))
        return StoredAnswer(item.question, own, version, NORM_VERSION, parameters, salt, record)

    def _send(self, uow: UnitOfWork, uid: str) -> None:
        codes.send(self._parts, uow, uid, "address", uid, box="recovery-pending", method="address")

    def send_code(self, uid: str) -> None:
        """Mail a new code to the pending address. Raises ``NoProfile``, ``CodeSendsSpent``."""
        with self._parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None or not profile.recovery_pending:
                raise NoProfile(missing="recovery-address")
            self._send(uow, uid)

    def confirm(self, uid: str, typed: str) -> None:
        """Confirm the pending address with its mailed code; it replaces the old one.

        Raises ``BadInput``, ``CodeDead``, ``CodeWrong``.
        """
        parts = self._parts
        code = codes.verify(parts, uid, "address", uid, typed)
        with parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None or not profile.recovery_pending:
                raise BadInput(field="code", rule="nothing-pending")
            codes.consume(parts, uow, code)
            if profile.recovery_address:
                # told before it is replaced, at the address of now
                post(parts, uow, uid, "profile-changed", boxes=("directory",))
            uow.profiles.put(
                Profile(uid, profile.answers, profile.recovery_pending, "", parts.clock.now())
            )
            uow.audit.append("recovery-address-confirmed", uid, {})

    def delete(self, uid: str) -> None:
        """Delete the profile (S1.46); self-service ends for this person. Raises ``NoProfile``."""
        with self._parts.store.write() as uow:
            if uow.profiles.get(uid) is None:
                raise NoProfile(missing="profile")
            post(self._parts, uow, uid, "profile-deleted", boxes=("directory",))
            uow.profiles.delete(uid)
            uow.audit.append("profile-deleted", uid, {})
