"""Reminders by mail: once a year for the answers, once before a certificate ends (S1.52, S1.53)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from reset.errors import Unavailable
from reset.flows.reminding import BEFORE_END, YEAR, Reminding
from tests.flows.world import (
    ANSWERS,
    DAY,
    HOLDER,
    HOUR,
    MINUTE,
    SECOND,
    STRANGER,
    Died,
    World,
    mail_of,
    recovery_of,
    serial_of,
)
from tests.institution.authority import Profile

STILL, ENDING = "Do you still know the answers", "certificate on your token ends"


def remind(world: World, subject: str) -> list[str]:
    """One round of the worker, and who was reminded of this."""
    world.mailer.sent.clear()
    world.upkeep.run_once()
    world.upkeep.deliver()
    return sorted(mail.to for mail in world.mailer.sent if subject in mail.subject)


def to(*uids: str) -> list[str]:
    return sorted(box for uid in uids for box in (mail_of(uid), recovery_of(uid)))


def keep_certificates(world: World) -> None:
    """Only the answers are looked at: the tokens' certificates say nothing of their end."""
    for uid in (HOLDER, SECOND, STRANGER):
        world.put_token(uid, certificate=b"none")
    for token in world.dump()["tokens"]:
        world.put_token("u-" + token[0][1:].lower(), certificate=b"none")


@pytest.fixture
def quiet(world: World) -> World:
    keep_certificates(world)
    world.upkeep.run_once()
    return world


def test_once_a_year_at_every_address(quiet: World) -> None:
    world = quiet
    world.clock.move(YEAR - 3 * HOUR)
    assert remind(world, STILL) == []
    world.clock.move(3 * HOUR)
    assert remind(world, STILL) == to(HOLDER, SECOND)
    for passed in (MINUTE, DAY, 300 * DAY):
        world.clock.move(passed)
        assert remind(world, STILL) == []
    world.clock.move(YEAR)
    assert remind(world, STILL) == to(HOLDER, SECOND)  # the next year
    assert len(world.named("reminded")) == 4


@pytest.mark.parametrize("by", ["rehearsal", "reset", "registering"])
def test_the_year_begins_anew_with_the_answers(quiet: World, by: str) -> None:
    world = quiet
    world.clock.move(200 * DAY)
    if by == "rehearsal":
        world.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values()))
    elif by == "reset":
        request = world.open()
        world.answer(request)
    else:
        world.enrol.register(world.person(HOLDER), world.chosen(HOLDER), recovery_of(HOLDER))
    world.clock.move(200 * DAY)
    assert remind(world, STILL) == to(SECOND)
    world.clock.move(200 * DAY)
    assert remind(world, STILL) == to(HOLDER)


def test_a_changed_address_is_no_answer(quiet: World) -> None:
    world = quiet
    world.clock.move(200 * DAY)
    world.enrol.register(world.person(HOLDER), [], "holly@new.example")
    world.clock.move(200 * DAY)
    assert mail_of(HOLDER) in remind(world, STILL)


def test_who_has_left_or_has_no_profile_is_left_alone(quiet: World) -> None:
    world = quiet
    world.put_person(HOLDER, active=False)
    world.enrol.delete(SECOND)
    world.clock.move(2 * YEAR)
    assert remind(world, STILL) == []
    assert world.named("reminded") == []
    assert [row for row in world.dump()["outbox"] if "rehearsal-due" in row] == []


def test_who_has_left_is_not_told_of_a_certificate(world: World) -> None:
    world.put_person(HOLDER, active=False)
    world.clock.move(end_of(world, HOLDER) - DAY - world.clock.now())
    assert mail_of(HOLDER) not in remind(world, ENDING)
    assert HOLDER not in [entry["facts"]["person"] for entry in world.named("reminded")]
    assert world.named("reminded")  # the others


def test_who_comes_back_is_reminded_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Of the certificate and of the answers; how many were missed is in the worker's log."""
    world.clock.move(YEAR)
    keep_certificates(world)
    late = world.authority.issue_person(
        uid=HOLDER,
        name="Holly Holder",
        public_key=world.institute.members[HOLDER][0].public_key(),
        profile=Profile(ends=YEAR + 20 * DAY),
    )
    world.put_token(HOLDER, certificate=late)
    world.put_person(HOLDER, active=False)
    with caplog.at_level(logging.WARNING, "reset.flows.reminding"):
        assert mail_of(HOLDER) not in remind(world, "")
        assert remind(world, "") == []
    assert [r.getMessage() for r in caplog.records] == [
        "reminders: 1 of 2 people are not in the directory"
    ]
    world.put_person(HOLDER, active=True)
    world.clock.move(DAY + timedelta(seconds=1))
    world.upkeep.run_once()
    world.upkeep.deliver()
    subjects = [mail.subject for mail in world.mailer.to(mail_of(HOLDER))]
    assert sum(STILL in subject for subject in subjects) == 1
    assert sum(ENDING in subject for subject in subjects) == 1
    for passed in (MINUTE, DAY, 18 * DAY):
        world.clock.move(passed)
        assert remind(world, "") == []


def test_those_who_left_hold_nobody_up(quiet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are due for ever; a round that takes few at once comes to those behind them."""
    world = quiet
    monkeypatch.setattr("reset.flows.reminding.AT_ONCE", 1)
    world.put_person(HOLDER, active=False)
    world.clock.move(YEAR)
    assert remind(world, STILL) + remind(world, STILL) == to(SECOND)
    looked = []
    by_uid = world.directory.by_uid
    monkeypatch.setattr(world.directory, "by_uid", lambda uid: looked.append(uid) or by_uid(uid))
    assert remind(world, STILL) == []
    assert looked == []


def test_a_directory_that_is_away_makes_nobody_gone(
    quiet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = quiet
    world.clock.move(YEAR)

    def away(uid: str) -> None:
        raise Unavailable(part="directory")

    with monkeypatch.context() as patch:
        patch.setattr(world.directory, "by_uid", away)
        assert remind(world, STILL) == []
    assert remind(world, STILL) == to(HOLDER, SECOND)


def end_of(world: World, uid: str) -> datetime:
    return x509.load_der_x509_certificate(world.institute.members[uid][1]).not_valid_after_utc


def test_before_a_certificate_ends_once(world: World) -> None:
    """With the time; also to a holder who registered nothing."""
    end = end_of(world, HOLDER)
    both = (end, end_of(world, STRANGER))  # not made in the same second, perhaps
    world.clock.move(min(both) - BEFORE_END - timedelta(seconds=1) - world.clock.now())
    assert remind(world, ENDING) == []
    world.clock.move(max(both) - BEFORE_END - world.clock.now())
    reminded = remind(world, ENDING)
    assert set(to(HOLDER, SECOND)) | {mail_of(STRANGER)} <= set(reminded)
    assert len(reminded) == len(set(reminded))
    body = next(
        m.body for m in world.mailer.sent if ENDING in m.subject and m.to == mail_of(HOLDER)
    )
    assert f"{end:%Y-%m-%d %H:%M} UTC" in body
    assert serial_of(HOLDER) in body
    for passed in (MINUTE, DAY, 28 * DAY, 400 * DAY):
        world.clock.move(passed)
        assert remind(world, ENDING) == []


def test_a_new_certificate_is_reminded_of_again(world: World) -> None:
    end = end_of(world, HOLDER)
    world.clock.move(end - DAY - world.clock.now())
    assert mail_of(HOLDER) in remind(world, ENDING)
    key, _ = world.institute.members[HOLDER]
    longer = world.authority.issue_person(
        uid=HOLDER,
        name="Holly Holder",
        public_key=key.public_key(),
        profile=Profile(ends=timedelta(days=500)),
    )
    world.put_token(HOLDER, certificate=longer)
    assert remind(world, ENDING) == []
    later = x509.load_der_x509_certificate(longer).not_valid_after_utc
    world.clock.move(later - DAY - world.clock.now())
    assert mail_of(HOLDER) in remind(world, ENDING)


@pytest.mark.parametrize("state", ["retired", "dead"])
def test_a_token_out_of_use_is_not_reminded_of(world: World, state: str) -> None:
    world.put_token(HOLDER, state=state)
    world.clock.move(end_of(world, HOLDER) - DAY - world.clock.now())
    assert mail_of(HOLDER) not in remind(world, ENDING)


def test_a_worker_that_dies_reminds_later_and_once(quiet: World) -> None:
    """Mark and mail are one transaction."""
    world = quiet
    world.clock.move(YEAR)
    world.faults.reset(0)  # before the commit of the first reminder
    with pytest.raises(Died):
        Reminding(world.parts).run_once()
    world.faults.reset(1)  # after it
    with pytest.raises(Died):
        Reminding(world.parts).run_once()
    world.faults.reset()
    assert remind(world, STILL) == to(HOLDER, SECOND)
