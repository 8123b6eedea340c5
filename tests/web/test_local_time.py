"""Pages and mails on the clock of the institution's wall; days that people type are its days."""

from __future__ import annotations

import html
import itertools
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reset.flows.mails import write
from reset.flows.times import LocalTime
from tests.web.scenes import every_page
from tests.web.world import PEOPLE, World, make_world

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIME = re.compile(r'<time datetime="([^"]+)">([^<]+)</time>')


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def world_in(zone: str, template: Path, directory: Path) -> World:
    directory.mkdir()
    return make_world(template, directory, local=LocalTime(ZoneInfo(zone)))


@pytest.fixture
def new_york(database_template: Path, tmp_path: Path) -> World:
    return world_in("America/New_York", database_template, tmp_path / "new-york")


@pytest.fixture
def berlin(database_template: Path, tmp_path: Path) -> World:
    return world_in("Europe/Berlin", database_template, tmp_path / "berlin")


def test_every_page_says_the_clock_on_the_wall(new_york: World) -> None:
    """UTC for programs in the attribute; for people only inside the entries of the audit log."""
    found = 0
    for name, text in every_page(new_york).items():
        for attribute, said in TIME.findall(text):
            wall = datetime.fromisoformat(attribute).astimezone(ZoneInfo("America/New_York"))
            assert said == f"{wall:%Y-%m-%d %H:%M} EST", name
            found += 1
        if not name.startswith(("audit", "approval ")):
            assert "UTC" not in text, name
    assert found > 30


def test_a_mail_says_it_and_the_statement_stays_utc(new_york: World) -> None:
    new_york.enrol()
    _, path = new_york.asked()
    request_id = path.split("/")[2]
    with new_york.parts.store.read() as uow:
        request = uow.requests.get(request_id)
        mails = uow.outbox.due(new_york.watch.at, 100)
    asking = [m for m in mails if m.kind == "approver-asked"]
    assert request
    assert asking
    until = request.expires_at.astimezone(ZoneInfo("America/New_York"))
    for mail in asking:
        _, body = write(new_york.parts, mail, "N", "")
        assert f"The request waits until {until:%Y-%m-%d %H:%M} EST." in body
    statement = new_york.flows.approve.statement(PEOPLE["bob"], request_id).decode()
    assert f"valid-until: {request.expires_at:%Y-%m-%dT%H:%M:%SZ}" in statement
    page = new_york.holder_of("bob").get(f"/approvals/{request_id}").text
    assert f"{until:%Y-%m-%d %H:%M} EST" in page
    assert "it says the times in UTC" in page


def test_the_audit_page_says_both(new_york: World) -> None:
    new_york.enrol()
    page = new_york.holder_of("adam").get("/audit").text
    assert "Time zone: America/New_York; times inside an entry are UTC." in page
    entry = json.loads(new_york.flows.auditing.newest(PEOPLE["adam"], 1)[0].raw)
    assert entry["at"].endswith("+00:00")
    assert entry["at"] in html.unescape(page)


@pytest.mark.parametrize(
    ("first", "last", "starts", "ends", "hours"),
    [
        ("2030-03-31", "2030-03-31", "2030-03-30 23:00", "2030-03-31 22:00", 23),
        ("2030-10-27", "2030-10-27", "2030-10-26 22:00", "2030-10-27 23:00", 25),
        ("2030-03-30", "2030-04-01", "2030-03-29 23:00", "2030-04-01 22:00", 71),
    ],
)
def test_days_that_people_type_where_the_clock_changes(
    berlin: World, first: str, last: str, starts: str, ends: str, hours: int
) -> None:
    berlin.watch.at = utc(starts) - 12 * HOUR
    bob = berlin.holder_of("bob")
    fields = {"delegate": "u-olga", "starts": first, "ends": last}
    assert bob.send("/delegations", "/delegations", **fields).status_code == 303
    (made,) = berlin.flows.approve.delegations("u-bob")
    assert (made.starts, made.ends) == (utc(starts), utc(ends))
    assert made.ends - made.starts == hours * HOUR
    moments = (
        made.starts - timedelta.resolution,
        made.starts,
        made.ends - timedelta.resolution,
        made.ends,
    )
    assert [made.in_force(at) for at in moments] == [False, True, True, False]
    for person in (bob, berlin.holder_of("olga")):
        page = person.get("/delegations").text
        assert f"{first} to {last}" in page
        assert "from midnight to midnight (time zone Europe/Berlin)." in page
    with berlin.parts.store.read() as uow:
        mails = [m for m in uow.outbox.due(berlin.watch.at, 100) if "delegation" in m.kind]
    assert len(mails) == 2
    for mail in mails:
        _, body = write(berlin.parts, mail, "N", "")
        assert f"from {first} to {last} (both included, time zone Europe/Berlin)." in body
    entries = [json.loads(e.raw) for e in berlin.flows.auditing.newest(PEOPLE["adam"])]
    (entry,) = [e for e in entries if e["event"] == "delegation-granted"]
    assert (entry["facts"]["starts"], entry["facts"]["ends"]) == (f"{starts} UTC", f"{ends} UTC")


@pytest.mark.parametrize("first", ["2030-01-15", "2030-09-15"])
def test_92_days_are_92_days_with_an_hour_more_or_less(berlin: World, first: str) -> None:
    """S1.101. The clock changes once in each."""
    berlin.watch.at = utc(f"{first} 12:00")
    bob = berlin.holder_of("bob")
    for days, status in ((92, 400), (91, 303)):
        last = date.fromisoformat(first) + days * DAY
        fields = {"delegate": "u-olga", "starts": first, "ends": str(last)}
        assert bob.send("/delegations", "/delegations", **fields).status_code == status


def test_a_day_follows_the_other_without_a_gap(berlin: World) -> None:
    """Nobody stands in twice on one day, also at the end of a day of 23 hours."""
    berlin.watch.at = utc("2030-03-30 12:00")
    bob = berlin.holder_of("bob")
    for day, status in (("03-31", 303), ("04-01", 303), ("03-30", 303), ("03-31", 400)):
        fields = {"delegate": "u-olga", "starts": f"2030-{day}", "ends": f"2030-{day}"}
        assert bob.send("/delegations", "/delegations", **fields).status_code == status
    made = sorted(berlin.flows.approve.delegations("u-bob"), key=lambda one: one.starts)
    assert [a.ends == b.starts for a, b in itertools.pairwise(made)] == [True, True]


def test_the_past_begins_at_midnight_of_the_zone(new_york: World, berlin: World) -> None:
    """23:30 UTC is half past midnight in Berlin, and the evening in New York."""
    for world, status in ((new_york, 303), (berlin, 400)):
        world.watch.at = utc("2030-01-15 23:30")
        fields = {"delegate": "u-olga", "starts": "2030-01-15", "ends": "2030-01-15"}
        sent = world.holder_of("bob").send("/delegations", "/delegations", **fields)
        assert sent.status_code == status
