"""How the service writes a time or a day for people, and which moments a day of theirs means.

Rules:

1. What a page or a mail says stands for one moment: with the letters of the zone, or with the
   offset where an hour that occurs twice has the same letters both times.
2. A period of days lasts from 00:00 of the first to 24:00 of the last on the clock of the zone, so
   a day has 23 or 25 hours where that clock changes.
3. What is signed, chained or read by programs says UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo


@dataclass(frozen=True)
class LocalTime:
    """The clock on the institution's wall. ``zone``: UTC, or a ``ZoneInfo`` of an IANA name."""

    zone: tzinfo = UTC

    @property
    def name(self) -> str:
        """``UTC``, or the IANA name."""
        return str(self.zone)

    def show(self, at: datetime) -> str:
        """A time as pages and mails say it, to the minute: ``2026-11-25 09:30 EST``."""
        local = at.astimezone(self.zone)
        other = local.replace(fold=1 - local.fold)  # another moment only where an hour occurs twice
        alike = other.tzname() == local.tzname() and other.utcoffset() != local.utcoffset()
        return f"{local:%Y-%m-%d %H:%M} {local.strftime('%z' if alike else '%Z')}"

    def today(self, now: datetime) -> date:
        """The day that the wall calendar shows at ``now``."""
        return now.astimezone(self.zone).date()

    def period(self, first: date, last: date) -> tuple[datetime, datetime]:
        """The start of the first day and the end of the last, aware UTC."""
        return self._start(first), self._start(last + timedelta(days=1))

    def days(self, starts: datetime, ends: datetime) -> tuple[date, date]:
        """First and last day of a period, both included."""
        return self.today(starts), self.today(ends - timedelta.resolution)

    def _start(self, day: date) -> datetime:
        # a midnight that the clock skips counts by the offset before: the moment of the change;
        # of two, the first. UTC, for Python compares and subtracts times of one zone by the wall
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


UTC_TIME = LocalTime()
