"""Identity profiles, answers, the pinned draw, authenticators and rehearsals (S1.37-S1.61)."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from sqlalchemy import case, delete, insert, or_, select, update

from reset.core.authenticator import Authenticator
from reset.core.profile import Draw, Profile, StoredAnswer
from reset.db.profile_tables import answers, authenticators, draws, profiles, rehearsals
from reset.db.rows import Repository, columns

_OF_PROFILE = [profiles.c[field.name] for field in fields(Profile) if field.name != "answers"]


class SqlProfiles(Repository):
    """Implements ``ports.Profiles``."""

    def get(self, uid: str) -> Profile | None:
        """The profile of a person, its answers in the order in which they were put."""
        found = select(*_OF_PROFILE).where(profiles.c.uid == uid)
        row = self._connection.execute(self._held(found)).mappings().first()
        if row is None:
            return None
        stored = self._all(
            StoredAnswer,
            columns(answers, StoredAnswer).where(answers.c.uid == uid).order_by(answers.c.place),
        )
        return Profile(answers=tuple(stored), **row)

    def put(self, profile: Profile) -> None:
        """Insert, or replace the whole profile."""
        values = dict(vars(profile))
        stored: tuple[StoredAnswer, ...] = values.pop("answers")
        # first the profile's row: its lock keeps a second writer from mixing two sets of answers
        self._put(profiles, values)
        self._connection.execute(delete(answers).where(answers.c.uid == profile.uid))
        rows = [
            vars(answer) | {"uid": profile.uid, "place": place}
            for place, answer in enumerate(stored)
        ]
        if rows:
            self._connection.execute(insert(answers), rows)

    def second_address(self, uid: str) -> str:
        """The confirmed second address, or empty; the row is not held."""
        found = select(profiles.c.second_address).where(profiles.c.uid == uid)
        return self._connection.scalar(found) or ""

    def delete(self, uid: str) -> None:
        """Delete all that belongs to the profile: own questions are personal data (S1.45)."""
        self._connection.execute(delete(profiles).where(profiles.c.uid == uid))
        self._connection.execute(delete(draws).where(draws.c.uid == uid))

    def draw_of(self, uid: str) -> Draw | None:
        """The last draw of a person."""
        return self._one(Draw, self._held(columns(draws, Draw).where(draws.c.uid == uid)))

    def put_draw(self, draw: Draw) -> None:
        """Insert or replace the draw of a person."""
        self._put(draws, vars(draw))


class SqlAuthenticators(Repository):
    """Implements ``ports.Authenticators``: enrolments, from which secrets are made; no secrets."""

    def get(self, uid: str, *, confirmed: bool) -> Authenticator | None:
        """The enrolment that counts, or the one that waits for its first code."""
        found = columns(authenticators, Authenticator).where(
            authenticators.c.uid == uid, authenticators.c.confirmed.is_(confirmed)
        )
        return self._one(Authenticator, found)

    def begin(self, authenticator: Authenticator) -> None:
        """Add an enrolment that waits; it replaces the one that waited."""
        self._put(authenticators, vars(authenticator))

    def confirm(self, uid: str, authenticator_id: str, step: int) -> bool:
        """Make the waiting enrolment the one that counts; False when it no longer waits."""
        waiting = (authenticators.c.id == authenticator_id) & ~authenticators.c.confirmed
        held = select(authenticators.c.uid).where(waiting)
        if self._connection.scalar(self._held(held)) != uid:
            return False
        before = delete(authenticators).where(
            authenticators.c.uid == uid, authenticators.c.confirmed
        )
        self._connection.execute(before)
        confirm = update(authenticators).where(waiting).values(confirmed=True, last_step=step)
        return self._changed(confirm)

    def use(self, authenticator_id: str, step: int) -> bool:
        """Use up a time step and all before it; False when it was, or the app counts no more."""
        return self._changed(
            update(authenticators)
            .where(
                authenticators.c.id == authenticator_id,
                authenticators.c.confirmed,
                authenticators.c.last_step < step,
            )
            .values(last_step=step)
        )

    def remove(self, uid: str) -> bool:
        """Delete every enrolment of a person; False when none counted."""
        counted = self.get(uid, confirmed=True) is not None
        self._connection.execute(delete(authenticators).where(authenticators.c.uid == uid))
        return counted


class SqlRehearsals(Repository):
    """Implements ``ports.Rehearsals``: the tries of an hour, and the newest success."""

    def reserve(self, uid: str, limit: int, at: datetime, over: datetime) -> int | None:
        """Spend one try: the count after it, or None when ``limit`` are spent.

        The count begins anew when the first try of it was not after ``over``. One statement also
        checks the limit, so that tries at once never exceed it.
        """
        anew = rehearsals.c.since <= over
        spend = (
            self._insert(rehearsals)
            .values(uid=uid, spent=1, since=at)
            .on_conflict_do_update(
                index_elements=["uid"],
                set_={
                    "spent": case((anew, 1), else_=rehearsals.c.spent + 1),
                    "since": case((anew, at), else_=rehearsals.c.since),
                },
                where=or_(anew, rehearsals.c.spent < limit),
            )
        )
        spent: int | None = self._connection.scalar(spend.returning(rehearsals.c.spent))
        return spent

    def give_back(self, uid: str) -> None:
        """Return one try; never below none spent."""
        self._connection.execute(
            update(rehearsals)
            .where(rehearsals.c.uid == uid, rehearsals.c.spent > 0)
            .values(spent=rehearsals.c.spent - 1)
        )

    def since(self, uid: str) -> datetime | None:
        """When the first try of the count was made."""
        return self._connection.scalar(select(rehearsals.c.since).where(rehearsals.c.uid == uid))

    def note_right(self, uid: str, at: datetime) -> None:
        """The answers were right at ``at``; the profile is there."""
        known = self._insert(rehearsals).values(uid=uid, spent=0, since=at, right_at=at)
        self._connection.execute(
            known.on_conflict_do_update(index_elements=["uid"], set_={"right_at": at})
        )

    def right_at(self, uid: str) -> datetime | None:
        """When the answers were right last, since the profile is there."""
        return self._connection.scalar(select(rehearsals.c.right_at).where(rehearsals.c.uid == uid))
