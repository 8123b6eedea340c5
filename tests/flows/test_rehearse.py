"""The rehearsal: one verdict, its own counter, no effect on the reset (decision 0032)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reset.errors import (
    BadInput,
    NoProfile,
    RehearsalsSpent,
    RehearsalWrong,
    ResetError,
    Unavailable,
)
from tests.flows.world import ANSWERS, DAY, HOLDER, HOUR, SECOND, STRANGER, World, by_password

RIGHT = list(ANSWERS[HOLDER].values())


def spent(world: World) -> int:
    return sum(row[1] for row in world.dump()["rehearsals"] if row[0] == HOLDER)


def fail(world: World, typed: list[str], uid: str = HOLDER) -> ResetError:
    with pytest.raises(ResetError) as refused:
        world.rehearse.answer(uid, typed)
    return refused.value


def test_all_registered_questions_are_asked(world: World) -> None:
    assert world.rehearse.questions(HOLDER) == tuple(ANSWERS[HOLDER])
    assert world.rehearse.right_at(HOLDER) is None
    world.rehearse.answer(HOLDER, [f" {a.upper()} " for a in RIGHT])
    assert world.rehearse.right_at(HOLDER) == world.clock.now()
    assert world.named("rehearsal-right")[-1]["actor"] == HOLDER


def test_answers_that_were_right_at_a_reset_are_right(world: World) -> None:
    request = world.open()
    world.answer(request)
    assert world.rehearse.right_at(HOLDER) == world.clock.now()
    assert spent(world) == 0


@pytest.mark.parametrize("place", range(5))
def test_one_verdict_for_all_of_them(world: World, place: int) -> None:
    """Which one was wrong, or that four are right, changes neither the answer nor the work."""
    typed = [a if n != place else "nonsense" for n, a in enumerate(RIGHT)]
    count = world.hasher.count
    error = fail(world, typed)
    assert (type(error), error.data) == (RehearsalWrong, {"tries_left": 4})
    assert world.hasher.count - count == 5
    assert world.named("rehearsal-wrong")[-1]["facts"] == {}
    assert world.rehearse.right_at(HOLDER) is None


def test_it_is_bounded_in_an_hour_and_then_free_again(world: World) -> None:
    """Also for right answers: what is not compared tells nothing."""
    start = world.clock.now()
    for left in (4, 3, 2, 1, 0):
        assert fail(world, ["nonsense"] * 5).data == {"tries_left": left}
        world.clock.move(timedelta(minutes=5))
    count = world.hasher.count
    error = fail(world, RIGHT)
    assert (type(error), error.data) == (RehearsalsSpent, {"retry_after": 35 * 60 + 1})
    assert world.hasher.count == count
    world.clock.move(start + HOUR - world.clock.now())
    world.rehearse.answer(HOLDER, RIGHT)
    assert spent(world) == 1


def test_success_gives_no_try_back(world: World) -> None:
    """Whoever knows the answers needs no more; whoever guessed them gets no more."""
    for _ in range(5):
        world.rehearse.answer(HOLDER, RIGHT)
    assert isinstance(fail(world, RIGHT), RehearsalsSpent)


def test_each_person_has_tries_of_their_own(world: World) -> None:
    for _ in range(5):
        fail(world, ["nonsense"] * 5)
    world.rehearse.answer(SECOND, list(ANSWERS[SECOND].values()))


def test_it_touches_no_counter_of_the_reset(world: World) -> None:
    request = world.open()
    with pytest.raises(ResetError):
        world.recover.answer(HOLDER, request.id, ["nonsense"] * 3, by_password(world.clock.now()))
    before = world.dump()
    fail(world, ["nonsense"] * 5)
    world.rehearse.answer(HOLDER, RIGHT)
    now = world.dump()
    for table in ("tries", "throttle", "draws", "requests", "proofs", "answers"):
        assert now[table] == before[table], table
    assert world.progress(request).rounds_left == 2


def test_it_unblocks_nothing(world: World) -> None:
    request = world.open()
    for _ in range(3):
        with pytest.raises(ResetError):
            world.recover.answer(
                HOLDER, request.id, ["nonsense"] * 3, by_password(world.clock.now())
            )
    world.rehearse.answer(HOLDER, RIGHT)
    assert world.recover.overview(HOLDER).blocked
    world.clock.move(DAY)
    with pytest.raises(ResetError) as refused:
        world.open()
    assert refused.value.code == "self-service-blocked"


@pytest.mark.parametrize(
    "typed", [[], RIGHT[:4], [*RIGHT, "more"], [*RIGHT[:4], ""], [*RIGHT[:4], "x" * 201]]
)
def test_a_form_that_is_not_filled_costs_no_try(world: World, typed: list[str]) -> None:
    before, count = world.dump(), world.hasher.count
    assert isinstance(fail(world, typed), BadInput)
    assert (world.dump(), world.hasher.count) == (before, count)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("call", range(5))
def test_an_outage_gives_the_try_back_and_tells_nothing(
    world: World, right: bool, call: int
) -> None:
    world.faults.reset()
    world.faults.away = call
    error = fail(world, RIGHT if right else ["nonsense"] * 5)
    assert (type(error), error.data) == (Unavailable, {"part": "custodian"})
    assert spent(world) == 0
    assert world.named("rehearsal-right") == world.named("rehearsal-wrong") == []


def test_a_failure_while_comparing_keeps_the_try_spent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peer failure 4."""
    monkeypatch.setattr(world.hasher, "tag", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.rehearse.answer(HOLDER, RIGHT)
    assert spent(world) == 1


def test_without_a_profile_there_is_nothing_to_rehearse(world: World) -> None:
    assert isinstance(fail(world, RIGHT, STRANGER), NoProfile)
    with pytest.raises(NoProfile):
        world.rehearse.questions(STRANGER)
    world.enrol.delete(HOLDER)
    assert isinstance(fail(world, RIGHT), NoProfile)
    assert world.rehearse.right_at(HOLDER) is None
