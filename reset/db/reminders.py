"""Who is to be reminded, and the marks that nobody is reminded twice."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, or_, select

from reset.db.profile_tables import profiles, rehearsals, reminders
from reset.db.rows import Repository
from reset.db.tables import tokens
from reset.ports import Ending


class SqlReminders(Repository):
    """Implements ``ports.Reminders``."""

    def rehearsals_due(self, before: datetime, missed: datetime, limit: int) -> list[str]:
        """At most ``limit`` UIDs whose answers were neither registered nor right nor asked for
        since ``before``, and who were not missed since ``missed``."""
        found = (
            select(profiles.c.uid)
            .outerjoin(rehearsals, rehearsals.c.uid == profiles.c.uid)
            .outerjoin(reminders, _mark("rehearsal", profiles.c.uid))
            .where(
                profiles.c.answers_at < before,
                or_(rehearsals.c.right_at.is_(None), rehearsals.c.right_at < before),
                or_(reminders.c.at.is_(None), reminders.c.at < before),
                profiles.c.uid.not_in(_missed_since(missed)),
            )
            .order_by(profiles.c.answers_at)
            .limit(limit)
        )
        return list(self._connection.scalars(found))

    def certificates_ending(
        self, after: datetime, until: datetime, missed: datetime, limit: int
    ) -> list[Ending]:
        """At most ``limit`` tokens in use whose certificate ends in this time, not marked yet, of
        holders who were not missed since ``missed``."""
        found = (
            select(tokens.c.serial, tokens.c.holder_uid, tokens.c.certificate_ends)
            .outerjoin(reminders, _mark("certificate", tokens.c.serial))
            .where(
                tokens.c.state == "in-use",
                tokens.c.certificate_ends > after,
                tokens.c.certificate_ends <= until,
                or_(reminders.c.at.is_(None), reminders.c.at < tokens.c.certificate_ends),
                tokens.c.holder_uid.not_in(_missed_since(missed)),
            )
            .order_by(tokens.c.certificate_ends, tokens.c.serial)
            .limit(limit)
        )
        return [Ending(*row) for row in self._connection.execute(found)]

    def mark(self, kind: str, about: str, at: datetime, below: datetime) -> bool:
        """Set the mark to ``at``; False when one that is not below ``below`` is there."""
        new = self._insert(reminders).values(kind=kind, about=about, at=at)
        newer = new.on_conflict_do_update(
            index_elements=["kind", "about"], set_={"at": at}, where=reminders.c.at < below
        )
        return self._connection.execute(newer.returning(reminders.c.about)).first() is not None


def _mark(kind: str, about: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(reminders.c.kind == kind, reminders.c.about == about)


def _missed_since(at: datetime) -> Select[tuple[str]]:
    marks = reminders.alias("missed")  # beside those that the query joins
    return select(marks.c.about).where(marks.c.kind == "missed", marks.c.at >= at)
