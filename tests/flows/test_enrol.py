"""Registering the profile and the recovery address (S1.37-S1.48, S1.60, S1.72-S1.74)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reset.core.catalogue import CATALOGUE
from reset.core.registration import Chosen
from reset.errors import (
    BadInput,
    CodeDead,
    CodeSendsSpent,
    CodeWrong,
    NoProfile,
    ProfileRefused,
    ResetError,
    Unavailable,
)
from tests.flows.world import (
    ANSWERS,
    HOLDER,
    SECOND,
    STRANGER,
    World,
    by_password,
    mail_of,
    recovery_of,
)

NEW, NEWER = "holly@new.example", "holly@newer.example"


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


def address(world: World, uid: str = HOLDER) -> tuple[str, str]:
    profile = world.enrol.profile(uid)
    assert profile
    return profile.recovery_address, profile.recovery_pending


def test_a_first_registration(world: World) -> None:
    """S1.44, S1.48: only hashes are kept; a mail announces it."""
    person = world.person(STRANGER)
    world.enrol.register(person, world.chosen(HOLDER), "stan@home.example")
    assert address(world, STRANGER) == ("", "stan@home.example")
    assert world.recover.overview(STRANGER).missing == "recovery-address"
    code = world.code_mailed("stan@home.example")
    world.enrol.confirm(STRANGER, code)
    assert address(world, STRANGER) == ("stan@home.example", "")
    assert world.recover.overview(STRANGER).missing == ""
    subjects = [mail.subject for mail in world.mailer.to(mail_of(STRANGER))]
    assert subjects == ["Your questions for resetting a token PIN are registered"]
    profile = world.enrol.profile(STRANGER)
    assert profile
    assert all(len(a.record) == 32 and len(a.salt) == 16 for a in profile.answers)
    assert len({a.salt for a in profile.answers}) == 5


def refusal(world: World, chosen: list[Chosen], to: str = NEW) -> list[dict[str, object]]:
    before = world.dump()
    with pytest.raises(ProfileRefused) as refused:
        world.enrol.register(world.person(HOLDER), chosen, to)
    assert world.dump() == before
    return list(refused.value.data["problems"])


def test_every_problem_is_told_at_once_and_nothing_is_stored(world: World) -> None:
    """S1.43, S1.60."""
    count = world.hasher.count
    chosen = [
        Chosen("first-phone", "123456"),
        Chosen("first-phone", "holly"),
        Chosen("What was the first boat of my aunt?", "boat"),
        Chosen("short?", "Ardbeg Ten"),
    ]
    problems = refusal(world, chosen, "no address")
    fields = {(p["field"], p["rule"]) for p in problems}
    assert fields == {
        ("answer-1", "pattern"),
        ("question-2", "question-twice"),
        ("answer-2", "about-you"),
        ("answer-3", "in-question"),
        ("question-4", "own-too-short"),
        ("question-1", "too-few"),
        ("recovery-address", "address"),
    }
    assert world.hasher.count == count  # nothing is hashed for a form that is refused


@pytest.mark.parametrize(
    ("to", "rule"),
    [
        ("", "empty"),
        ("holly", "address"),
        ("holly@home.example,eve@evil.example", "address"),
        ("Holly <holly@home.example>", "address"),
        ("holly@home.example\r\nBcc: eve@evil.example", "address"),
        ("holly@home", "address"),
        (f"{'h' * 65}@home.example", "address"),
        ("holly@inst.example", "same-mailbox"),  # S1.74: the PID opens it
        ("other@INST.example", "same-mailbox"),
        ("holly@alumni.inst.example", "same-mailbox"),
    ],
)
def test_addresses_that_are_no_second_way(world: World, to: str, rule: str) -> None:
    """Peer failure 22, T5: one mailbox, and not one that the PID opens."""
    assert refusal(world, world.chosen(HOLDER), to) == [{"field": "recovery-address", "rule": rule}]


def test_the_old_address_counts_until_the_new_one_is_confirmed(world: World) -> None:
    person = world.person(HOLDER)
    old = world.enrol.profile(HOLDER)
    world.enrol.register(person, [], NEW)
    assert address(world) == (recovery_of(HOLDER), NEW)
    code = world.code_mailed(NEW)
    assert "changed" in world.mailer.to(recovery_of(HOLDER))[-1].subject  # told there
    profile = world.enrol.profile(HOLDER)
    assert old
    assert profile
    assert profile.answers == old.answers  # only the address was changed
    world.enrol.confirm(HOLDER, code)
    assert address(world) == (NEW, "")
    assert world.named("recovery-address-confirmed")[-1]["actor"] == HOLDER


def test_the_old_address_typed_again_ends_the_change(world: World) -> None:
    person = world.person(HOLDER)
    world.enrol.register(person, [], NEW)
    code = world.code_mailed(NEW)
    world.enrol.register(person, [], recovery_of(HOLDER))
    assert address(world) == (recovery_of(HOLDER), "")
    with pytest.raises(ResetError):
        world.enrol.confirm(HOLDER, code)
    assert address(world) == (recovery_of(HOLDER), "")


def test_a_code_for_a_replaced_address_confirms_no_other(world: World) -> None:
    person = world.person(HOLDER)
    world.enrol.register(person, [], NEW)
    first = world.code_mailed(NEW)
    world.enrol.register(person, [], NEWER)
    second = world.code_mailed(NEWER)
    with pytest.raises(CodeWrong):
        world.enrol.confirm(HOLDER, first)
    assert address(world) == (recovery_of(HOLDER), NEWER)
    world.enrol.confirm(HOLDER, second)
    assert address(world) == (NEWER, "")


def test_a_code_that_waits_in_the_outbox_does_not_reach_another_address(world: World) -> None:
    person = world.person(HOLDER)
    world.enrol.register(person, [], NEW)
    world.enrol.register(person, [], NEWER)  # before the worker came by
    second = world.code_mailed(NEWER)
    assert not world.mailer.to(NEW)
    world.enrol.confirm(HOLDER, second)


def test_changing_the_address_keeps_the_answers_working(world: World) -> None:
    world.enrol.register(world.person(HOLDER), [], NEW)
    world.enrol.confirm(HOLDER, world.code_mailed(NEW))
    request = world.open()
    world.answer(request)
    world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()))
    assert world.code_mailed(NEW)
    with pytest.raises(IndexError):
        world.code_mailed(recovery_of(HOLDER))


def test_changed_answers_replace_the_old_ones(world: World) -> None:
    """S1.46: the same questions, other answers; the old record has no use any more."""
    old = world.enrol.profile(HOLDER)
    other = [Chosen(q, f"other {n} {a}") for n, (q, a) in enumerate(ANSWERS[SECOND].items())]
    world.enrol.register(world.person(HOLDER), other, recovery_of(HOLDER))
    new = world.enrol.profile(HOLDER)
    assert old
    assert new
    assert {a.version for a in new.answers} == {a.version + 1 for a in old.answers}
    assert address(world) == (recovery_of(HOLDER), "")  # no new code is needed
    request = world.open()
    with pytest.raises(ResetError) as refused:
        world.answer(request)
    assert refused.value.code == "answers-wrong"
    answers = {c.question: c.answer for c in other}
    world.recover.answer(
        HOLDER, request.id, [answers[q] for q in request.questions], by_password(world.clock.now())
    )


def test_own_questions(world: World) -> None:
    """S1.42: two of one's own at most."""
    own = ["Which rock did we call the whale?", "What did grandfather always forget?"]
    chosen = [*world.chosen(HOLDER)[:3], Chosen(own[0], "Skerry"), Chosen(own[1], "his hat box")]
    world.enrol.register(world.person(HOLDER), chosen, recovery_of(HOLDER))
    third = [*chosen[1:], Chosen("Who taught me to whittle wood?", "Uncle Ansgar")]
    assert refusal(world, third) == [{"field": "question-5", "rule": "too-many-own", "limit": 2}]
    assert own[0] not in CATALOGUE


def test_five_tries_and_sending_again_restores_none(world: World) -> None:
    """Peer failure 3."""
    world.enrol.register(world.person(HOLDER), [], NEW)
    code = world.code_mailed(NEW)
    for left in (4, 3, 2):
        with pytest.raises(CodeWrong) as refused:
            world.enrol.confirm(HOLDER, wrong(code))
        assert refused.value.data == {"tries_left": left}
    world.enrol.send_code(HOLDER)
    again = world.code_mailed(NEW)
    for left in (1, 0):
        with pytest.raises(CodeWrong) as refused:
            world.enrol.confirm(HOLDER, wrong(again))
        assert refused.value.data == {"tries_left": left}
    with pytest.raises(CodeDead) as dead:
        world.enrol.confirm(HOLDER, again)  # the right one
    assert dead.value.data == {"why": "tries"}
    assert address(world)[0] == recovery_of(HOLDER)


@pytest.mark.parametrize("to", [NEW, NEWER])
def test_spent_tries_of_an_address_are_no_dead_end(world: World, to: str) -> None:
    """The person stands here with a certificate: registering the address again starts anew."""
    world.enrol.register(world.person(HOLDER), [], NEW)
    code = world.code_mailed(NEW)
    for _ in range(5):
        with pytest.raises(CodeWrong):
            world.enrol.confirm(HOLDER, wrong(code))
    world.enrol.register(world.person(HOLDER), [], to)
    world.enrol.confirm(HOLDER, world.code_mailed(to))
    assert address(world) == (to, "")


def test_three_sends_an_hour(world: World) -> None:
    person = world.person(HOLDER)
    world.enrol.register(person, [], NEW)
    world.enrol.send_code(HOLDER)
    world.clock.move(timedelta(minutes=20))
    world.enrol.send_code(HOLDER)
    before = world.dump()
    with pytest.raises(CodeSendsSpent) as refused:
        world.enrol.send_code(HOLDER)
    assert refused.value.data == {"retry_after": 2400}
    with pytest.raises(CodeSendsSpent):
        world.enrol.register(person, world.chosen(SECOND), NEWER)
    assert world.dump() == before
    world.enrol.register(person, world.chosen(SECOND), NEW)  # no send, so nothing in the way
    world.clock.move(timedelta(seconds=2401))
    world.enrol.send_code(HOLDER)


def test_nothing_to_confirm(world: World) -> None:
    for uid in (HOLDER, STRANGER):
        with pytest.raises(BadInput) as refused:
            world.enrol.send_code(uid)
        assert refused.value.data["rule"] == "nothing-pending"
        with pytest.raises(ResetError):
            world.enrol.confirm(uid, "12345678")


def test_somebody_elses_code_confirms_nothing(world: World) -> None:
    """Peer failure 15."""
    world.enrol.register(world.person(HOLDER), [], NEW)
    world.enrol.register(world.person(SECOND), [], "sam@new.example")
    mine = world.code_mailed(NEW)
    with pytest.raises(CodeWrong):
        world.enrol.confirm(SECOND, mine)
    world.enrol.confirm(HOLDER, mine)
    with pytest.raises(ResetError):
        world.enrol.confirm(HOLDER, mine)  # used


def test_delete(world: World) -> None:
    """S1.46; the office is left (S1.35)."""
    world.enrol.delete(HOLDER)
    assert world.enrol.profile(HOLDER) is None
    assert not [row for row in world.dump()["answers"] if HOLDER in row]
    with pytest.raises(NoProfile) as refused:
        world.open()
    assert refused.value.data == {"missing": "profile"}
    world.upkeep.deliver()
    assert "deleted" in world.mailer.to(mail_of(HOLDER))[-1].subject
    with pytest.raises(NoProfile):
        world.enrol.delete(HOLDER)


def test_without_the_custodian_nothing_is_stored(world: World) -> None:
    before = world.dump()
    world.faults.reset()
    world.faults.away = 2
    with pytest.raises(Unavailable):
        world.enrol.register(world.person(HOLDER), world.chosen(SECOND), NEW)
    assert world.dump() == before


@pytest.mark.parametrize(
    "typed", ["", "1234567", "123456789", "abcdefgh", "1" * 65, "１２３４５６７８"]
)
def test_typing_slips_cost_no_try(world: World, typed: str) -> None:
    world.enrol.register(world.person(HOLDER), [], NEW)
    with pytest.raises(BadInput):
        world.enrol.confirm(HOLDER, typed)
    assert world.spent(f"code:address:{HOLDER}") == 0
