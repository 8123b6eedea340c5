"""Rehearsal: the holder tries, with the token's certificate, whether the answers are still known.

Rules (decision 0032):

1. Every registered question is asked, and one verdict is given for all of them together: the page
   tells nobody which answer of somebody else is right.
2. It touches no counter of the reset, blocks nothing and unblocks nothing.
3. A try is committed before an answer is hashed; the policy bounds them per person and hour, and
   only an outage gives one back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from reset.core.profile import Profile
from reset.errors import (
    Busy,
    NoProfile,
    RehearsalsSpent,
    RehearsalWrong,
    StateConflict,
    Unavailable,
)
from reset.flows import answers
from reset.flows.parts import Parts

HOUR = timedelta(hours=1)


class Rehearse:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def questions(self, uid: str) -> tuple[str, ...]:
        """Every registered question, in its order. Raises ``NoProfile``."""
        return tuple(a.question for a in self._profile(uid).answers)

    def right_at(self, uid: str) -> datetime | None:
        """When the answers were right last, here or at a reset."""
        with self._parts.store.read() as uow:
            return uow.rehearsals.right_at(uid)

    def answer(self, uid: str, typed: Sequence[str]) -> None:
        """Compare the answers to all questions, in their order.

        Raises ``NoProfile``, ``BadInput`` (nothing is counted), ``RehearsalWrong``,
        ``RehearsalsSpent``, ``StateConflict`` when the profile changed meanwhile, ``Busy``,
        ``Unavailable``.
        """
        parts, stored = self._parts, self._profile(uid).answers
        answers.check_typed(typed, len(stored))
        left = self._spend(uid)
        try:
            right = answers.all_match(parts, uid, stored, typed)
        except (Busy, Unavailable):
            with parts.store.write() as uow:
                uow.rehearsals.give_back(uid)
            raise
        made = answers.renewed(parts, uid, stored, typed) if right else {}
        with parts.store.write() as uow:
            profile = uow.profiles.get(uid)
            if profile is None or profile.answers != stored:
                raise StateConflict(state="rehearsal", event="profile-changed")
            uow.audit.append("rehearsal-right" if right else "rehearsal-wrong", uid, {})
            if right:
                answers.put_renewed(uow, profile, made)
                uow.rehearsals.note_right(uid, parts.clock.now())
        if not right:
            raise RehearsalWrong(tries_left=left)

    def _profile(self, uid: str) -> Profile:
        with self._parts.store.read() as uow:
            profile = uow.profiles.get(uid)
        if profile is None or not profile.answers:
            raise NoProfile(missing="questions")
        return profile

    def _spend(self, uid: str) -> int:
        """Commit one try: how many of this hour are left. Raises ``NoProfile``,
        ``RehearsalsSpent``."""
        parts = self._parts
        now, limit = parts.clock.now(), parts.policy.rehearsals_per_hour
        with parts.store.write() as uow:
            if uow.profiles.get(uid) is None:
                raise NoProfile(missing="questions")
            spent = uow.rehearsals.reserve(uid, limit, now, now - HOUR)
            since = uow.rehearsals.since(uid) or now
        if spent is None:
            wait = since + HOUR - now
            raise RehearsalsSpent(retry_after=max(1, int(wait.total_seconds()) + 1))
        return limit - spent
