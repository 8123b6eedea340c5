"""Records of answers: allow-lists before hashing, renewal at a success (S1.44, S1.45, T4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reset.adapters import hasher_argon2
from reset.core.normal_form import NORM_VERSION
from reset.core.profile import Profile, StoredAnswer
from reset.core.registration import Chosen
from reset.errors import AnswersWrong, Unavailable
from reset.flows import answers, recover, rehearse
from tests.flows.world import ANSWERS, HOLDER, SECOND, World, by_password, recovery_of

OLDER = "argon2id-1-8192-1"


def register(world: World, uid: str = HOLDER) -> None:
    world.enrol.register(world.person(uid), world.chosen(uid), recovery_of(uid))


def profile(world: World, uid: str = HOLDER) -> Profile:
    found = world.enrol.profile(uid)
    assert found
    return found


def settings(world: World) -> dict[str, tuple[str, int]]:
    return {a.question: (a.parameters, a.norm_version) for a in profile(world).answers}


@pytest.fixture
def aged(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The holder's answers were stored under an older setting, still allowed, and form 1."""
    monkeypatch.setitem(hasher_argon2.SETTINGS, OLDER, (1, 8_192, 1))
    with monkeypatch.context() as then:
        then.setattr(hasher_argon2, "NEWEST", OLDER)
        then.setattr(answers, "NORM_VERSION", 1)
        register(world)
    assert set(settings(world).values()) == {(OLDER, 1)}
    return world


NEWEST = (hasher_argon2.NEWEST, NORM_VERSION)


def test_right_answers_at_a_reset_are_renewed(aged: World) -> None:
    """Those that were asked, and only those; all of them are right as before."""
    before = profile(aged)
    request = aged.open()
    aged.answer(request)
    asked = set(request.questions)
    assert {q for q, setting in settings(aged).items() if setting == NEWEST} == asked
    now = profile(aged)
    assert [a.question for a in now.answers] == [a.question for a in before.answers]
    assert [a.version for a in now.answers] == [a.version for a in before.answers]
    assert not {a.salt for a in now.answers if a.question in asked} & {
        a.salt for a in before.answers
    }
    assert (now.changed_at, now.answers_at) == (before.changed_at, before.answers_at)
    aged.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values()))
    assert set(settings(aged).values()) == {NEWEST}
    count = aged.hasher.count
    aged.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values()))
    assert aged.hasher.count - count == 5  # nothing is left to renew


def test_wrong_answers_renew_nothing(aged: World) -> None:
    request = aged.open()
    typed = [*aged.right(request)[:2], "nonsense"]
    with pytest.raises(AnswersWrong):
        aged.recover.answer(HOLDER, request.id, typed, by_password(aged.clock.now()))
    assert set(settings(aged).values()) == {(OLDER, 1)}


@pytest.mark.parametrize("call", [3, 4, 5])
def test_an_outage_while_renewing_costs_nothing(aged: World, call: int) -> None:
    """The answers were right, and count; the rows are renewed another time."""
    request = aged.open()
    aged.faults.reset()
    aged.faults.away = call
    aged.answer(request)
    aged.faults.reset()
    assert aged.progress(request).step == "code"
    assert set(settings(aged).values()) == {(OLDER, 1)}
    aged.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values()))
    assert set(settings(aged).values()) == {NEWEST}


@pytest.mark.parametrize("module", [recover, rehearse.answers])
def test_a_profile_that_changes_meanwhile_is_not_overwritten(
    aged: World, module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was verified is no longer there: the new answers stay, the old ones are gone."""
    other = [Chosen(q, f"other {n} {a}") for n, (q, a) in enumerate(ANSWERS[SECOND].items())]
    true_renewed = answers.renewed

    def meanwhile(*words: object) -> answers.Renewed:
        made = true_renewed(*words)  # type: ignore[arg-type]
        aged.enrol.register(aged.person(HOLDER), other, recovery_of(HOLDER))
        return made

    monkeypatch.setattr(module, "renewed", meanwhile)
    if module is recover:
        request = aged.open()
        aged.answer(request)
    else:
        with pytest.raises(Exception, match="profile-changed"):
            aged.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values()))
    monkeypatch.undo()
    assert set(settings(aged).values()) == {NEWEST}
    aged.rehearse.answer(HOLDER, [c.answer for c in other])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"parameters": "argon2id-2-2097152-1"}, "hash-parameters"),
        ({"parameters": "argon2id-1-8-1"}, "hash-parameters"),
        ({"parameters": ""}, "hash-parameters"),
        ({"norm_version": 0}, "answer-form"),
        ({"norm_version": 99}, "answer-form"),
    ],
)
def test_a_changed_row_chooses_neither_cost_nor_form(
    world: World, change: dict[str, object], part: str
) -> None:
    """Refused before anything is computed with it; no try is lost by it."""
    request = world.open()
    with world.database.write() as uow:
        found = uow.profiles.get(HOLDER)
        assert found
        made = tuple(replace(a, **change) for a in found.answers)  # type: ignore[arg-type]
        uow.profiles.put(replace(found, answers=made))
    with pytest.raises(Unavailable) as refused:
        world.answer(request)
    assert refused.value.data == {"part": part}
    with pytest.raises(Unavailable):
        world.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values()))
    assert world.spent(f"rounds:{HOLDER}") == 0
    assert [row for row in world.dump()["rehearsals"] if row[1]] == []


@pytest.mark.parametrize(("field", "value"), [("norm_version", 1), ("version", 7)])
def test_what_stands_beside_a_record_is_bound_by_it(world: World, field: str, value: int) -> None:
    """A row that is moved to another form or version fits no answer."""
    request = world.open()
    with world.database.write() as uow:
        found = uow.profiles.get(HOLDER)
        assert found
        made = tuple(replace(a, **{field: value}) for a in found.answers)
        uow.profiles.put(replace(found, answers=made))
    with pytest.raises(AnswersWrong):
        world.answer(request)


def test_a_stored_answer_shows_nothing_of_the_answer(world: World) -> None:
    stored: StoredAnswer = profile(world).answers[0]
    again = answers.record(
        world.parts, HOLDER, Chosen(stored.question, ANSWERS[HOLDER][stored.question]), 1
    )
    assert (again.salt, again.record) != (stored.salt, stored.record)
    assert len({stored.record, again.record}) == 2
