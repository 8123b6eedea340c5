"""The identity profile: questions, answers and recovery addresses, under certificate login.

Steps (S1.37-S1.47): register or change → the address gets a code → confirm. An address stays in
force until the one that replaces it is confirmed. Every change is told to every address that is
known, also to the one that it takes out of the profile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reset.core.codes import Purpose, check_alive
from reset.core.identities import Person
from reset.core.profile import SLOTS, Channels, Profile, Slot, is_within
from reset.core.registration import Chosen, registration_problems
from reset.core.requests import TRANSITIONS
from reset.errors import BadInput, CodeDead, NoProfile, ProfileRefused
from reset.flows import answers, codes
from reset.flows.channels import channels
from reset.flows.mails import post_change
from reset.flows.opening import missing
from reset.flows.parts import Parts
from reset.flows.requests import move
from reset.ports import UnitOfWork

Problems = list[dict[str, object]]

# One mailbox, no list, no display name, no control characters (peer failure 22)
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}"
)


@dataclass(frozen=True)
class _Form:
    """How the forms call the code of an address, and its purpose."""

    code: str
    purpose: Purpose


_FORMS: dict[Slot, _Form] = {
    "recovery": _Form("code", "address"),
    "second": _Form("second-code", "second-address"),
}


class Enrol:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def profile(self, uid: str) -> Profile | None:
        """The profile as stored; no answer can be read from it."""
        with self._parts.store.read() as uow:
            return uow.profiles.get(uid)

    def channels(self, uid: str) -> Channels:
        """The ways to a code that count."""
        with self._parts.store.read() as uow:
            return channels(self._parts, uow, uid, uow.profiles.get(uid))

    def missing(self, uid: str) -> str:
        """What a reset would still need of this person, as ``opening.missing`` says it."""
        with self._parts.store.read() as uow:
            return missing(self._parts, uow, uid)

    # --- questions and the first address -------------------------------------------------
    def check(self, person: Person, chosen: Sequence[Chosen], address: str) -> Problems:
        """Every problem that ``register`` would raise; nothing is stored, counted or hashed."""
        return self._problems(person, self.profile(person.uid), chosen, address.strip())

    def register(self, person: Person, chosen: Sequence[Chosen], address: str) -> Profile:
        """Register or replace questions and set the recovery address.

        With an existing profile, an empty ``chosen`` keeps its questions and changes only the
        address. Nothing is stored unless all of it is good. Raises ``ProfileRefused`` with every
        problem at once, ``Busy``, ``Unavailable``, ``CodeSendsSpent``.
        """
        parts, uid, address = self._parts, person.uid, address.strip()
        old = self.profile(uid)
        problems = self._problems(person, old, chosen, address)
        if problems:
            raise ProfileRefused(problems=problems)
        version = 1 + max((a.version for a in old.answers), default=0) if old else 1
        new = tuple(answers.record(parts, uid, c, version) for c in chosen if not c.empty)
        now = parts.clock.now()
        with parts.store.write() as uow:
            before = uow.profiles.get(uid)
            if before is None and not new:
                raise NoProfile(missing="questions")  # deleted in this moment
            profile = before or Profile(uid, (), "", "", now)
            if new:
                profile = replace(profile, answers=new, answers_at=now)
            pending = "" if profile.recovery_address == address else address
            profile = profile.with_address("recovery", profile.recovery_address, pending, now)
            if before is None or replace(profile, changed_at=before.changed_at) != before:
                uow.profiles.put(profile)
                kind = "profile-changed" if before else "profile-registered"
                facts = {"questions": len(profile.answers), "answers_changed": bool(new)}
                uow.audit.append(kind, uid, facts)
                post_change(parts, uow, uid, _told(before, profile))
            self._have_confirmed(uow, before, profile, "recovery")
        return profile

    def _problems(
        self, person: Person, old: Profile | None, chosen: Sequence[Chosen], address: str
    ) -> Problems:
        parts = self._parts
        others = (old.second_address, old.second_pending) if old else ()
        about = (person.name, person.pid, person.mail, address, *others)
        rule = self._address_problem(address, person, others)
        keeps = old is not None and old.answers and all(c.empty for c in chosen)
        problems = (
            [] if keeps else registration_problems(chosen, about, parts.policy, parts.institution)
        )
        return problems + ([{"field": "recovery-address", "rule": rule}] if rule else [])

    def _address_problem(self, address: str, person: Person, others: Sequence[str]) -> str:
        if not address:
            return "empty" if self._parts.policy.code_box == "recovery" else ""
        if len(address) > 200 or not _ADDRESS.fullmatch(address):
            return "address"
        if address.lower() in (other.lower() for other in others):
            return "same-address"
        own = person.mail.rpartition("@")[2].lower()
        # a mailbox that the PID opens is no second way (S1.74)
        same = is_within(address, {own, *self._parts.mail_domains})
        return "same-mailbox" if same else ""

    def delete(self, uid: str) -> None:
        """Delete the profile (S1.46); self-service ends for this person, and with it what is open.

        Raises ``NoProfile``.
        """
        with self._parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None:
                raise NoProfile(missing="questions")
            gone = [profile.confirmed(slot) for slot in SLOTS]
            uow.profiles.delete(uid)
            uow.audit.append("profile-deleted", uid, {})
            self._end_requests(uow, uid)
            post_change(self._parts, uow, uid, "profile-deleted", gone)

    def _end_requests(self, uow: UnitOfWork, uid: str) -> None:
        """End every open request, but for one whose SO PIN may have left."""
        because = "profile-deleted"
        for token in uow.tokens.of_holder(uid):
            found = uow.requests.open_of_token(token.serial)
            request = uow.requests.get(found.id) if found else None  # held from here on
            if request and request.uid == uid and (request.state, "cancel") in TRANSITIONS:
                move(self._parts, uow, replace(request, ended_because=because), "cancel")
                facts = {"request": request.id, "because": because}
                uow.audit.append("request-cancelled", uid, facts)

    # --- the second address ----------------------------------------------------------------
    def set_second(self, person: Person, address: str) -> None:
        """Set the second recovery address; it counts once it is confirmed.

        Raises ``NoProfile`` before questions are registered, ``ProfileRefused``,
        ``CodeSendsSpent``.
        """
        parts, uid, address = self._parts, person.uid, address.strip()
        with parts.store.write() as uow:
            before = uow.profiles.get(uid)
            if before is None or not before.answers:
                raise NoProfile(missing="questions")
            first = (before.recovery_pending, before.recovery_address)
            rule = self._address_problem(address, person, first)
            if rule:
                raise ProfileRefused(problems=[{"field": "second-address", "rule": rule}])
            pending = "" if address == before.second_address else address
            now = parts.clock.now()
            profile = before.with_address("second", before.second_address, pending, now)
            if pending != before.second_pending:
                uow.profiles.put(profile)
                uow.audit.append("profile-changed", uid, {"second_address": True})
                post_change(parts, uow, uid, "second-waits" if pending else "second-kept")
            self._have_confirmed(uow, before, profile, "second")

    def remove_second(self, uid: str) -> None:
        """Take the second address out of the profile. Raises ``NoProfile`` without one."""
        parts = self._parts
        with parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None or not (profile.second_address or profile.second_pending):
                raise NoProfile(missing="second-address")
            uow.profiles.put(profile.with_address("second", "", "", parts.clock.now()))
            uow.audit.append("recovery-address-removed", uid, {"slot": "second"})
            post_change(parts, uow, uid, "second-removed", [profile.second_address])

    # --- confirming ------------------------------------------------------------------------
    def _have_confirmed(
        self, uow: UnitOfWork, before: Profile | None, profile: Profile, slot: Slot
    ) -> None:
        """Mail a code to an address that waits now, unless it has a live one already."""
        uid, pending = profile.uid, profile.pending(slot)
        same = before is not None and before.pending(slot) == pending
        if pending and not (same and self._code_lives(uow, uid, slot)):
            # setting it is a new start; the sends of an hour bound the guesses
            uow.tries.clear(codes.tries_key(_FORMS[slot].purpose, uid))
            self._send(uow, uid, slot)

    def _code_lives(self, uow: UnitOfWork, uid: str, slot: Slot) -> bool:
        """Whether a code that was mailed before can still be typed."""
        policy, purpose = self._parts.policy, _FORMS[slot].purpose
        newest = uow.codes.newest(purpose, uid)
        spent = uow.tries.spent(codes.tries_key(purpose, uid))
        try:
            check_alive(newest, self._parts.clock.now(), policy.code_age)
        except CodeDead:
            return False
        return spent < policy.code_tries

    def _send(self, uow: UnitOfWork, uid: str, slot: Slot) -> None:
        purpose = _FORMS[slot].purpose
        codes.send(self._parts, uow, uid, purpose, uid, box=f"{slot}-pending", method="address")

    def send_code(self, uid: str, slot: Slot = "recovery") -> None:
        """Mail a new code to the pending address. Raises ``BadInput``, ``CodeSendsSpent``."""
        with self._parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None or not profile.pending(slot):
                raise BadInput(field=_FORMS[slot].code, rule="nothing-pending")
            self._send(uow, uid, slot)

    def confirm(self, uid: str, typed: str, slot: Slot = "recovery") -> None:
        """Confirm the pending address with its mailed code; it replaces the old one.

        Raises ``BadInput``, ``CodeDead``, ``CodeWrong``.
        """
        parts, form = self._parts, _FORMS[slot]
        code = codes.verify(parts, uid, form.purpose, uid, typed, field=form.code)
        with parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None or not profile.pending(slot):
                raise BadInput(field=form.code, rule="nothing-pending")
            codes.consume(parts, uow, code)
            new = profile.with_address(slot, profile.pending(slot), "", parts.clock.now())
            uow.profiles.put(new)
            uow.audit.append("recovery-address-confirmed", uid, {"slot": slot})
            post_change(parts, uow, uid, f"{slot}-confirmed", [profile.confirmed(slot)])


def _told(before: Profile | None, now: Profile) -> str:
    """Which change the mail names."""
    if before is None:
        return "profile-registered"
    waits = now.recovery_pending not in ("", before.recovery_pending)
    if now.answers != before.answers:
        return "questions-and-recovery" if waits else "questions"
    return "recovery-waits" if waits else "recovery-kept"
