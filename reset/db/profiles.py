"""Identity profiles, their answers, and the pinned draw (S1.37-S1.47, S1.57-S1.61)."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from reset.core.profile import Draw, Profile, StoredAnswer
from reset.db.rows import Repository, columns
from reset.db.tables import answers, draws, profiles


class SqlProfiles(Repository):
    """Implements ``ports.Profiles``."""

    def get(self, uid: str) -> Profile | None:
        """The profile of a person, its answers in the order in which they were put."""
        found = select(
            profiles.c.recovery_address, profiles.c.recovery_pending, profiles.c.changed_at
        ).where(profiles.c.uid == uid)
        row = self._connection.execute(self._held(found)).first()
        if row is None:
            return None
        stored = self._all(
            StoredAnswer,
            columns(answers, StoredAnswer).where(answers.c.uid == uid).order_by(answers.c.place),
        )
        return Profile(uid, tuple(stored), *row)

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

    def delete(self, uid: str) -> None:
        """Delete profile, answers and draw: own questions are personal data (S1.45)."""
        self._connection.execute(delete(profiles).where(profiles.c.uid == uid))
        self._connection.execute(delete(draws).where(draws.c.uid == uid))

    def draw_of(self, uid: str) -> Draw | None:
        """The last draw of a person."""
        return self._one(Draw, self._held(columns(draws, Draw).where(draws.c.uid == uid)))

    def put_draw(self, draw: Draw) -> None:
        """Insert or replace the draw of a person."""
        self._put(draws, vars(draw))
