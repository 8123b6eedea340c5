"""Codes to the mailbox that the PID opens: level 2, accepted by name and date (S1.70, S1.74)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from reset.core.deviations import BELOW, Acceptance
from reset.core.policy import Policy
from reset.core.requests import Request
from reset.errors import ProfileRefused, ProofsMissing, StateConflict
from reset.flows.auditing import Auditing
from tests.flows.model_token import Helper, ModelToken
from tests.flows.world import (
    HOLDER,
    STRANGER,
    Institute,
    Memo,
    Place,
    World,
    by_password,
    mail_of,
    recovery_of,
)

ACCEPTED = Acceptance(BELOW, "Sue Supervisor", date(2020, 1, 1), date(2199, 12, 31))
MAILBOX = Policy(code_box="mailbox", level=2, acceptances=(ACCEPTED,))


@pytest.fixture
def by_mailbox(institute: Institute, memo: Memo, seeded: Place, tmp_path: Path) -> Iterator[World]:
    made = World(institute, seeded.copy(tmp_path / "mailbox"), memo, policy=MAILBOX)
    yield made
    made.close()


def confirm(world: World, request: Request) -> Request:
    """Have a code sent to the mailbox and type it."""
    now = world.clock.now()
    world.recover.send_code(HOLDER, request.id, by_password(now))
    return world.recover.enter_code(
        HOLDER, request.id, world.code_mailed(mail_of(HOLDER)), by_password(now)
    )


def test_the_whole_way_with_codes_to_the_mailbox(by_mailbox: World) -> None:
    world = by_mailbox
    request = world.open()
    world.mailer.sent.clear()
    world.answer(request)
    assert confirm(world, request).state == "waiting_for_approval"
    assert not [mail for mail in world.mailer.to(recovery_of(HOLDER)) if "code is" in mail.body]
    assert world.progress(request).worth.level == 1
    world.sign(request)
    world.clock.move(MAILBOX.code_max_age / 2)
    confirm(world, request)
    here = world.progress(request)
    assert (here.worth.level, here.worth.needed, here.step) == (2, 2, "helper")
    assert Helper(world, ModelToken.of(world), world.code(request)).run().state == "done"


def test_the_signature_is_still_needed(by_mailbox: World) -> None:
    """T5."""
    world = by_mailbox
    request = world.open()
    world.answer(request)
    confirm(world, request)
    here = world.progress(request)
    assert (here.step, here.worth.missing) == ("wait", ("approval",))
    with pytest.raises(StateConflict):
        world.code(request)


def test_no_recovery_address_is_needed_there(by_mailbox: World) -> None:
    world = by_mailbox
    profile = world.enrol.register(world.person(STRANGER), world.chosen(HOLDER), "")
    assert (profile.recovery_address, profile.recovery_pending) == ("", "")
    assert world.recover.overview(STRANGER).missing == ""


def test_elsewhere_it_is(world: World) -> None:
    with pytest.raises(ProfileRefused):
        world.enrol.register(world.person(STRANGER), world.chosen(HOLDER), "")


def test_a_code_from_the_mailbox_counts_no_more_once_the_policy_is_changed(
    by_mailbox: World, institute: Institute, memo: Memo
) -> None:
    """The stricter policy looks at what was shown, not at what was enough when it was."""
    request = by_mailbox.open()
    by_mailbox.answer(request)
    confirm(by_mailbox, request)
    by_mailbox.sign(request)
    by_mailbox.clock.move(MAILBOX.code_max_age / 2)
    confirm(by_mailbox, request)
    place = replace(by_mailbox.place, at=by_mailbox.clock.now())
    strict = World(institute, place, memo, custodian=by_mailbox.parts.custodian)
    here = strict.progress(request)
    assert (here.step, here.standing.missing) == ("code", ("code",))
    with pytest.raises(ProofsMissing):
        strict.code(request)
    strict.database.close()


# --- what the institution accepts is in the log -----------------------------------------------
def recorded(world: World) -> list[dict[str, str]]:
    return [entry["facts"] for entry in world.named("acceptances-changed")]


def test_acceptances_are_recorded_when_they_change(world: World) -> None:
    world.auditing.record_acceptances()
    assert recorded(world) == []  # none, as before
    longer = replace(ACCEPTED, until=date(2199, 12, 30))
    for accepted in (ACCEPTED, ACCEPTED, longer, None, None):
        policy = replace(world.policy, acceptances=(accepted,) if accepted else ())
        Auditing(replace(world.parts, policy=policy)).record_acceptances()
    assert recorded(world) == [
        {BELOW: "Sue Supervisor, 2020-01-01 to 2199-12-31"},
        {BELOW: "Sue Supervisor, 2020-01-01 to 2199-12-30"},
        {},
    ]
    assert world.named("acceptances-changed")[0]["actor"] == "service"
