"""What is said of a time stands for that moment alone; a day lasts from midnight to midnight."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reset.flows.times import UTC_TIME, LocalTime

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONES = sorted(zoneinfo.available_timezones())
# half an hour, letters that stay, numbers, midnights that are skipped or come twice, a lost day
CHANGING = (
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/New_York", "Antarctica/Troll",
    "Asia/Pyongyang", "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Europe/Moscow",
    "Pacific/Apia",
)  # fmt: skip


def changes(name: str) -> list[tuple[str, datetime]]:
    """The days (from 00:00 UTC) of 2005 to 2035 on which the clock of a zone changes."""
    zone, at = ZoneInfo(name), datetime(2005, 1, 1, tzinfo=UTC)
    days = [at + n * DAY for n in range(31 * 365)]
    return [
        (name, d) for d in days
        if d.astimezone(zone).utcoffset() != (d + DAY).astimezone(zone).utcoffset()
    ]  # fmt: skip


CHANGES = [change for name in CHANGING for change in changes(name)]
SINCE, UNTIL = datetime(1975, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
anywhen = st.timedeltas(timedelta(), UNTIL - SINCE).map(lambda after: SINCE + after)
somewhere = st.tuples(st.sampled_from(ZONES), anywhen)
at_a_change = st.builds(
    lambda change, after: (change[0], change[1] + after),
    st.sampled_from(CHANGES),
    st.timedeltas(-2 * HOUR, DAY + 2 * HOUR),
)


def meant(text: str, zone: ZoneInfo) -> datetime:
    """The one moment that a reader who knows the zone takes from a text."""
    day, clock, mark = text.split(" ")
    if mark[0] in "+-":
        return datetime.strptime(f"{day} {clock} {mark:0<5}", "%Y-%m-%d %H:%M %z")
    wall = datetime.fromisoformat(f"{day} {clock}")
    both = [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    (found,) = {one.astimezone(UTC) for one in both if one.tzname() == mark}
    return found


@given(somewhere | at_a_change)
@example(("Europe/Moscow", datetime(2014, 10, 25, 21, 30, tzinfo=UTC)))
def test_what_is_said_is_one_moment(there: tuple[str, datetime]) -> None:
    name, at = there
    zone = ZoneInfo(name)
    assert timedelta() <= at - meant(LocalTime(zone).show(at), zone) < MINUTE


@pytest.mark.parametrize(
    ("name", "at", "text"),
    [
        ("UTC", "2026-11-25 14:30", "2026-11-25 14:30 UTC"),
        ("America/New_York", "2026-11-25 14:30", "2026-11-25 09:30 EST"),
        ("America/New_York", "2026-03-08 06:59", "2026-03-08 01:59 EST"),
        ("America/New_York", "2026-03-08 07:00", "2026-03-08 03:00 EDT"),
        ("Europe/Berlin", "2026-10-25 00:30", "2026-10-25 02:30 CEST"),
        ("Europe/Berlin", "2026-10-25 01:30", "2026-10-25 02:30 CET"),
        ("Asia/Riyadh", "2026-11-25 22:30", "2026-11-26 01:30 +03"),
        ("Asia/Kathmandu", "2026-11-25 14:30", "2026-11-25 20:15 +0545"),
        # an hour twice under the same letters: the offset tells them apart
        ("Europe/Moscow", "2014-10-25 20:30", "2014-10-26 00:30 MSK"),
        ("Europe/Moscow", "2014-10-25 21:30", "2014-10-26 01:30 +0400"),
        ("Europe/Moscow", "2014-10-25 22:30", "2014-10-26 01:30 +0300"),
    ],
)
def test_the_clock_on_the_wall(name: str, at: str, text: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert LocalTime(ZoneInfo(name)).show(moment) == text


def test_utc_is_what_nobody_sets() -> None:
    assert LocalTime() == UTC_TIME
    assert (UTC_TIME.name, LocalTime(ZoneInfo("UTC")).name) == ("UTC", "UTC")
    assert UTC_TIME.show(datetime(2026, 11, 25, 14, 30, tzinfo=UTC)) == "2026-11-25 14:30 UTC"


@pytest.mark.parametrize(
    ("name", "day", "starts", "hours"),
    [
        ("UTC", date(2030, 3, 31), "2030-03-31 00:00", 24),
        ("Europe/Berlin", date(2030, 3, 31), "2030-03-30 23:00", 23),
        ("Europe/Berlin", date(2030, 10, 27), "2030-10-26 22:00", 25),
        ("America/New_York", date(2026, 3, 8), "2026-03-08 05:00", 23),
        ("America/New_York", date(2026, 11, 1), "2026-11-01 04:00", 25),
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23 22:00", 23),  # begins at 01:00
        ("America/Havana", date(2026, 11, 1), "2026-11-01 04:00", 25),  # two midnights
    ],
)
def test_a_day_where_the_clock_changes(name: str, day: date, starts: str, hours: int) -> None:
    begins, ends = LocalTime(ZoneInfo(name)).period(day, day)
    assert begins == datetime.fromisoformat(starts).replace(tzinfo=UTC)
    assert ends - begins == hours * HOUR


near_a_change = st.builds(
    lambda change, after: (change[0], change[1].date() + after * DAY),
    st.sampled_from(CHANGES),
    st.integers(-1, 2),
)
any_day = st.tuples(st.sampled_from(ZONES), st.dates(date(2012, 1, 1), date(2200, 1, 1)))


@given(any_day | near_a_change, st.integers(0, 91))
def test_a_period_holds_its_days_and_no_moment_more(there: tuple[str, date], length: int) -> None:
    (name, first), last = there, there[1] + length * DAY
    local = LocalTime(ZoneInfo(name))
    starts, ends = local.period(first, last)
    assert local.period(last + DAY, last + DAY)[0] == ends, "days follow each other without a gap"
    if name == "Pacific/Apia" and date(2011, 12, 30) in (first, last):
        return  # there was no such day
    assert local.days(starts, ends) == (first, last)
    assert local.today(starts - timedelta.resolution) < first
    assert local.today(ends) > last
