"""Two recovery addresses: confirmed alike, chosen at a reset, counted together (S1.72-S1.74)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reset.core.profile import Channels, Slot
from reset.errors import (
    BadInput,
    CodeDead,
    CodeSendsSpent,
    CodeWrong,
    NoProfile,
    ProfileRefused,
    ResetError,
)
from reset.flows import codes
from reset.flows.enrol import Enrol
from reset.flows.recover import Recover
from tests.flows.model_token import ModelToken, follow
from tests.flows.world import (
    ANSWERS,
    HOLDER,
    HOUR,
    MINUTE,
    SECOND,
    STRANGER,
    World,
    by_password,
    mail_of,
    recovery_of,
)

OTHER, OTHERS_NEXT = "holly@other.example", "holly@next.example"
FIRST = recovery_of(HOLDER)


def add_second(world: World, address: str = OTHER) -> None:
    world.enrol.set_second(world.person(HOLDER), address)
    world.enrol.confirm(HOLDER, world.code_mailed(address), "second")
    world.clock.move(2 * HOUR)  # the hour's sends are free again
    world.upkeep.deliver()
    world.mailer.sent.clear()


def addresses(world: World) -> tuple[str, str]:
    profile = world.enrol.profile(HOLDER)
    assert profile
    return profile.second_address, profile.second_pending


def told(world: World) -> set[str]:
    """Who got a mail since the last look."""
    world.upkeep.deliver()
    found = {mail.to for mail in world.mailer.sent}
    world.mailer.sent.clear()
    return found


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


# --- registering -----------------------------------------------------------------------------
def test_a_second_address_counts_once_it_is_confirmed(world: World) -> None:
    world.enrol.set_second(world.person(HOLDER), OTHER)
    assert addresses(world) == ("", OTHER)
    assert world.enrol.channels(HOLDER) == Channels((("recovery", "h…@h….example"),))
    code = world.code_mailed(OTHER)
    world.enrol.confirm(HOLDER, code, "second")
    assert addresses(world) == (OTHER, "")
    ways = world.enrol.channels(HOLDER)
    assert ways.addresses == (("recovery", "h…@h….example"), ("second", "h…@o….example"))
    assert world.named("recovery-address-confirmed")[-1]["facts"] == {"slot": "second"}


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("", "empty"),
        ("holly", "address"),
        ("holly@other.example,eve@evil.example", "address"),
        ("holly@inst.example", "same-mailbox"),  # the PID opens it (S1.74)
        ("holly@ALUMNI.inst.example", "same-mailbox"),
        ("holly@mail.inst.example", "same-mailbox"),
        ("holly@old.alumni.inst.example", "same-mailbox"),
        (FIRST, "same-address"),
        (FIRST.upper(), "same-address"),
    ],
)
def test_a_second_address_is_as_independent_as_the_first(
    world: World, address: str, rule: str
) -> None:
    before = world.dump()
    with pytest.raises(ProfileRefused) as refused:
        world.enrol.set_second(world.person(HOLDER), address)
    assert refused.value.data["problems"] == [{"field": "second-address", "rule": rule}]
    assert world.dump() == before


def test_the_first_address_cannot_become_the_second_either(world: World) -> None:
    add_second(world)
    for address in (OTHER, OTHER.upper()):
        with pytest.raises(ProfileRefused) as refused:
            world.enrol.register(world.person(HOLDER), [], address)
        problem = {"field": "recovery-address", "rule": "same-address"}
        assert refused.value.data["problems"] == [problem]


def test_without_questions_there_is_no_second_address(world: World) -> None:
    with pytest.raises(NoProfile):
        world.enrol.set_second(world.person(STRANGER), OTHER)
    with pytest.raises(NoProfile):
        world.enrol.remove_second(HOLDER)
    with pytest.raises(BadInput):
        world.enrol.send_code(HOLDER, "second")


def test_codes_confirm_the_address_that_they_were_sent_to(world: World) -> None:
    """Peer failure 15."""
    world.enrol.register(world.person(HOLDER), [], OTHERS_NEXT)
    world.enrol.set_second(world.person(HOLDER), OTHER)
    first, second = world.code_mailed(OTHERS_NEXT), world.code_mailed(OTHER)
    with pytest.raises(CodeWrong):
        world.enrol.confirm(HOLDER, first, "second")
    with pytest.raises(CodeWrong):
        world.enrol.confirm(HOLDER, second, "recovery")
    world.enrol.confirm(HOLDER, second, "second")
    world.enrol.confirm(HOLDER, first, "recovery")


def test_the_second_address_stays_until_another_one_is_confirmed(world: World) -> None:
    add_second(world)
    world.enrol.set_second(world.person(HOLDER), OTHERS_NEXT)
    assert addresses(world) == (OTHER, OTHERS_NEXT)
    world.enrol.set_second(world.person(HOLDER), OTHER)
    assert addresses(world) == (OTHER, "")  # called off
    world.enrol.set_second(world.person(HOLDER), OTHERS_NEXT)
    world.enrol.confirm(HOLDER, world.code_mailed(OTHERS_NEXT), "second")
    assert addresses(world) == (OTHERS_NEXT, "")


def test_changing_questions_keeps_the_second_address(world: World) -> None:
    add_second(world)
    world.enrol.register(world.person(HOLDER), world.chosen(SECOND), FIRST)
    assert addresses(world) == (OTHER, "")


# --- every change is told everywhere ------------------------------------------------------------
def change_first(world: World) -> None:
    world.enrol.register(world.person(HOLDER), [], OTHERS_NEXT)
    world.enrol.confirm(HOLDER, world.code_mailed(OTHERS_NEXT))


def change_second(world: World) -> None:
    world.enrol.set_second(world.person(HOLDER), OTHERS_NEXT)
    world.enrol.confirm(HOLDER, world.code_mailed(OTHERS_NEXT), "second")


CHANGES: dict[str, tuple[Callable[[World], None], set[str]]] = {
    "questions": (
        lambda w: (w.enrol.register(w.person(HOLDER), w.chosen(SECOND), FIRST), None)[1],
        set(),
    ),
    "first address": (change_first, {OTHERS_NEXT}),
    "second address": (change_second, {OTHERS_NEXT}),
    "second address removed": (lambda w: w.enrol.remove_second(HOLDER), set()),
    "deleted": (lambda w: w.enrol.delete(HOLDER), set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_told_to_every_address(world: World, change: str) -> None:
    """Also to the one that it takes out of the profile (ASVS 6.3.7)."""
    add_second(world)
    make, also = CHANGES[change]
    make(world)
    assert told(world) == {mail_of(HOLDER), FIRST, OTHER} | also


@pytest.mark.parametrize("change", ["first address", "second address"])
def test_the_old_address_is_told_of_the_moment_of_its_end(world: World, change: str) -> None:
    """Not only that a new one waits: the last mail there says that it counts no more."""
    add_second(world)
    CHANGES[change][0](world)
    world.upkeep.deliver()
    old = FIRST if change == "first address" else OTHER
    last = world.mailer.to(old)[-1].body
    assert "was confirmed" in last
    assert "no address that it replaced" in " ".join(last.split())


def test_an_old_address_is_told_even_when_the_worker_comes_late(world: World) -> None:
    world.enrol.register(world.person(HOLDER), [], OTHERS_NEXT)
    with world.database.read() as uow:
        newest = uow.codes.newest("address", HOLDER)
    assert newest
    world.enrol.confirm(HOLDER, codes.derive(world.parts, newest))
    world.enrol.delete(HOLDER)
    assert FIRST in told(world)
    # nothing keeps it afterwards
    assert not [row for row in world.dump()["outbox"] if FIRST in row]


def test_nothing_changed_tells_nobody(world: World) -> None:
    before = len(world.named("profile-changed"))
    world.enrol.register(world.person(HOLDER), [], FIRST)
    assert told(world) == set()
    assert len(world.named("profile-changed")) == before


def test_notices_of_a_reset_go_to_all_addresses(world: World) -> None:
    add_second(world)
    world.open()
    assert told(world) == {mail_of(HOLDER), FIRST, OTHER}


# --- choosing at a reset -------------------------------------------------------------------------
@pytest.mark.parametrize(("slot", "to"), [(None, FIRST), ("recovery", FIRST), ("second", OTHER)])
def test_the_code_goes_where_the_holder_chose(world: World, slot: Slot | None, to: str) -> None:
    add_second(world)
    request = world.open()
    world.answer(request)
    told(world)
    world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()), slot)
    world.upkeep.deliver()
    assert [mail.to for mail in world.mailer.sent] == [to]
    code = world.code_mailed(to)
    world.recover.enter_code(HOLDER, request.id, code, by_password(world.clock.now()))
    assert world.request(request).state == "waiting_for_approval"
    assert world.named("code-sent")[-1]["facts"]["box"] == (slot or "recovery")


def test_where_no_address_is_confirmed_nothing_is_sent(world: World) -> None:
    world.enrol.set_second(world.person(HOLDER), OTHER)
    request = world.open()
    world.answer(request)
    with pytest.raises(NoProfile):
        world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()), "second")


def test_tries_are_counted_over_both_addresses(world: World) -> None:
    """Peer failure 3: another channel restores no tries."""
    add_second(world)
    request, now = world.open(), world.clock.now()
    world.answer(request)
    for slot, box, lefts in (("recovery", FIRST, (4, 3, 2)), ("second", OTHER, (1,))):
        world.recover.send_code(HOLDER, request.id, by_password(now), slot)  # type: ignore[arg-type]
        code = world.code_mailed(box)
        for left in lefts:
            with pytest.raises(CodeWrong) as refused:
                world.recover.enter_code(HOLDER, request.id, wrong(code), by_password(now))
            assert refused.value.data["tries_left"] == left
    with pytest.raises(CodeDead):
        world.recover.enter_code(HOLDER, request.id, wrong(code), by_password(now))
    assert world.request(request).state == "cancelled"


def test_sends_are_counted_over_both_addresses(world: World) -> None:
    add_second(world)
    request, now = world.open(), world.clock.now()
    world.answer(request)
    slots: tuple[Slot, ...] = ("recovery", "second", "second")
    for slot in slots:
        world.recover.send_code(HOLDER, request.id, by_password(now), slot)
    for slot in ("recovery", "second"):
        with pytest.raises(CodeSendsSpent):
            world.recover.send_code(HOLDER, request.id, by_password(now), slot)  # type: ignore[arg-type]


def test_a_code_to_one_address_ends_the_one_to_the_other(world: World) -> None:
    add_second(world)
    request, now = world.open(), world.clock.now()
    world.answer(request)
    world.recover.send_code(HOLDER, request.id, by_password(now), "recovery")
    old = world.code_mailed(FIRST)
    world.recover.send_code(HOLDER, request.id, by_password(now), "second")
    with pytest.raises(CodeWrong):
        world.recover.enter_code(HOLDER, request.id, old, by_password(now))
    world.recover.enter_code(HOLDER, request.id, world.code_mailed(OTHER), by_password(now))


def test_the_second_address_alone_is_enough(world: World) -> None:
    """S1.52: an address that was never confirmed is no dead end when another way counts."""
    world.enrol.delete(HOLDER)
    world.enrol.register(world.person(HOLDER), world.chosen(HOLDER), FIRST)
    assert world.recover.overview(HOLDER).missing == "recovery-address"
    add_second(world)
    assert world.recover.overview(HOLDER).missing == ""
    request = world.open()
    world.answer(request)
    world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()))
    code = world.code_mailed(OTHER)
    world.recover.enter_code(HOLDER, request.id, code, by_password(world.clock.now()))


def test_an_address_that_was_removed_under_a_request_gets_no_code(world: World) -> None:
    add_second(world)
    request = world.open()
    world.answer(request)
    world.enrol.remove_second(HOLDER)
    told(world)
    with pytest.raises(NoProfile):
        world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()), "second")
    world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()))
    assert told(world) == {FIRST}


def replace_first(world: World) -> None:
    world.enrol.register(world.person(HOLDER), [], "holly@new.example")
    world.enrol.confirm(HOLDER, world.code_mailed("holly@new.example"))


@pytest.mark.parametrize(
    ("slot", "box", "change"),
    [
        ("second", OTHER, lambda world: world.enrol.remove_second(HOLDER)),
        ("recovery", FIRST, replace_first),
    ],
)
def test_a_code_that_went_to_an_address_counts_no_more_when_that_is_gone(
    world: World, slot: Slot, box: str, change: Callable[[World], None]
) -> None:
    """Somebody else may read that mailbox: that is why it was taken out."""
    add_second(world)
    request, now = world.open(), world.clock.now()
    world.answer(request)
    world.recover.send_code(HOLDER, request.id, by_password(now), slot)
    code = world.code_mailed(box)
    world.clock.move(MINUTE)
    change(world)
    now = world.clock.now()
    with pytest.raises(CodeDead) as refused:
        world.recover.enter_code(HOLDER, request.id, code, by_password(now))
    assert refused.value.data == {"why": "changed"}
    assert world.request(request).state == "collecting"
    world.recover.send_code(HOLDER, request.id, by_password(now))
    fresh = world.code_mailed("holly@new.example" if box == FIRST else FIRST)
    world.recover.enter_code(HOLDER, request.id, fresh, by_password(now))


def test_an_address_that_the_login_has_come_to_open_counts_no_more(world: World) -> None:
    """S1.74: the institution names another mail domain, and both sites start anew with it."""
    add_second(world)
    request, login = world.open(), by_password(world.clock.now())
    world.answer(request)
    parts = replace(world.parts, mail_domains=frozenset({"home.example"}))
    assert Enrol(parts).channels(HOLDER) == Channels((("second", "h…@o….example"),))
    moved = Recover(parts)
    with pytest.raises(NoProfile):
        moved.send_code(HOLDER, request.id, login, "recovery")
    told(world)
    moved.send_code(HOLDER, request.id, login)
    assert told(world) == {OTHER}
    both = replace(parts, mail_domains=frozenset({"home.example", "other.example"}))
    assert Recover(both).overview(HOLDER).missing == "recovery-address"
    with pytest.raises(NoProfile) as refused:
        Recover(both).send_code(HOLDER, request.id, login)
    assert refused.value.data == {"missing": "recovery-address"}


def test_a_policy_that_asks_more_than_a_profile_holds_says_so(world: World) -> None:
    """No error page: the holder is sent to the office, and to registering more."""
    assert len(ANSWERS[HOLDER]) == 5
    object.__setattr__(world.policy, "questions_asked", 5)
    try:
        assert world.recover.overview(HOLDER).missing == "profile"
        with pytest.raises(NoProfile):
            world.open()
    finally:
        object.__setattr__(world.policy, "questions_asked", 3)


def test_the_whole_way_by_the_second_address(world: World) -> None:
    add_second(world)
    request = world.open()
    world.answer(request)
    for _ in range(2):
        world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()), "second")
        code = world.code_mailed(OTHER)
        world.recover.enter_code(HOLDER, request.id, code, by_password(world.clock.now()))
        if world.request(request).state == "waiting_for_approval":
            world.sign(request)
    assert world.request(request).state == "ready"
    assert follow(world, request, ModelToken.of(world)) == "done"


def test_somebody_elses_code_is_of_no_use(world: World) -> None:
    world.enrol.set_second(world.person(HOLDER), OTHER)
    world.enrol.set_second(world.person(SECOND), "sam@other.example")
    mine = world.code_mailed(OTHER)
    with pytest.raises(ResetError):
        world.enrol.confirm(SECOND, mine, "second")
