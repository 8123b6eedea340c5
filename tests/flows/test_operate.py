"""The registration office and the auditors (S1.30-S1.35, S1.64, S1.88, S1.94-S1.96)."""

from __future__ import annotations

import pytest

from reset.errors import BadInput, Forbidden, NotFound, ResetError, StateConflict
from reset.flows.operate import CHECKS_SHOWN
from tests.flows.world import (
    AUDITOR,
    DAY,
    HOLDER,
    OPERATOR,
    REPRESENTATIVE,
    SUPERVISOR,
    World,
    by_password,
    recovery_of,
    serial_of,
)

IDS = ["passport", "driving-licence"]


def blocked(world: World) -> None:
    request = world.open()
    for _ in range(3):
        with pytest.raises(ResetError):
            world.recover.answer(
                HOLDER, request.id, ["nonsense"] * 3, by_password(world.clock.now())
            )


@pytest.mark.parametrize("uid", [HOLDER, SUPERVISOR, AUDITOR])
def test_the_role_is_needed(world: World, uid: str) -> None:
    blocked(world)
    who, before = world.person(uid), world.dump()
    for call in (
        lambda: world.operate.find(who, "holly"),
        lambda: world.operate.dossier(who, HOLDER),
        lambda: world.operate.record_check(who, HOLDER, IDS),
        lambda: world.operate.lift_block(who, HOLDER, IDS),
    ):
        with pytest.raises(Forbidden):
            call()
    assert world.dump() == before


def test_an_operator_does_nothing_for_themselves(world: World) -> None:
    """S1.96, T13, T39."""
    world.put_person(HOLDER, roles=frozenset({"office"}))
    blocked(world)
    me, before = world.person(HOLDER), world.dump()
    for call in (world.operate.record_check, world.operate.lift_block):
        with pytest.raises(Forbidden) as refused:
            call(me, HOLDER, IDS)
        assert refused.value.data == {"reason": "oneself"}
    assert world.dump() == before


@pytest.mark.parametrize(
    "ids",
    [
        [],
        ["passport"],
        ["passport", "passport"],
        ["passport", "library-card"],
        [*IDS, "national-id"],
    ],
)
def test_two_different_ids_are_seen(world: World, ids: list[str]) -> None:
    """S1.32, T19."""
    blocked(world)
    before = world.dump()
    for call in (world.operate.record_check, world.operate.lift_block):
        with pytest.raises(BadInput):
            call(world.person(OPERATOR), HOLDER, ids)
    assert world.dump() == before


def test_lifting_a_block(world: World) -> None:
    """S1.34, S1.64, T8: kinds, operator and time are recorded; the person is told."""
    operator = world.person(OPERATOR)
    with pytest.raises(StateConflict):
        world.operate.lift_block(operator, HOLDER, IDS)
    blocked(world)
    world.operate.lift_block(operator, HOLDER, IDS)
    checked, lifted = world.events()[-2:]
    assert (checked["event"], lifted["event"]) == ("identity-checked", "block-lifted")
    assert checked["actor"] == lifted["actor"] == OPERATOR
    assert checked["facts"] == {"person": HOLDER, "ids": sorted(IDS)}
    assert not world.recover.overview(HOLDER).blocked
    world.upkeep.deliver()
    assert "works for you again" in world.mailer.to(recovery_of(HOLDER))[-1].subject
    with pytest.raises(StateConflict):
        world.operate.lift_block(operator, HOLDER, IDS)


def test_a_check_without_a_block(world: World) -> None:
    world.operate.record_check(world.person(OPERATOR), HOLDER, IDS)
    assert world.events()[-1]["event"] == "identity-checked"
    with pytest.raises(NotFound):
        world.operate.record_check(world.person(OPERATOR), "u-nobody", IDS)


def test_earlier_checks_are_seen_newest_first(world: World) -> None:
    """S1.34: kinds, operator and time; also of an operator who has left."""
    operator, began = world.person(OPERATOR), world.clock.now()
    assert world.operate.dossier(operator, HOLDER).checks == ()
    world.operate.record_check(operator, HOLDER, IDS)
    blocked(world)
    world.clock.move(DAY)
    world.operate.lift_block(operator, HOLDER, ["passport", "national-id"])
    seen = world.operate.dossier(operator, HOLDER)
    assert [(c.operator_uid, c.ids) for c in seen.checks] == [
        (OPERATOR, ("national-id", "passport")),
        (OPERATOR, ("driving-licence", "passport")),
    ]
    assert [c.at >= began + DAY for c in seen.checks] == [True, False]
    assert seen.operators == {OPERATOR: operator.name}
    assert world.operate.dossier(operator, SUPERVISOR).checks == ()
    world.put_person(OPERATOR, active=False)
    assert world.operate.dossier(operator, HOLDER).operators == {}


def test_no_more_than_the_newest_checks_are_seen(world: World) -> None:
    operator = world.person(OPERATOR)
    for _ in range(CHECKS_SHOWN + 1):
        world.operate.record_check(operator, HOLDER, IDS)
    assert len(world.operate.dossier(operator, HOLDER).checks) == CHECKS_SHOWN


def test_every_look_is_recorded(world: World) -> None:
    """S1.88, T19."""
    request = world.waiting()
    seen = world.operate.dossier(world.person(OPERATOR), HOLDER)
    assert world.events()[-1] | {"at": ""} == {
        "event": "person-looked-up",
        "actor": OPERATOR,
        "facts": {"person": HOLDER},
        "at": "",
    }
    assert [t.serial for t in seen.tokens] == [serial_of(HOLDER)]
    assert [p.uid for p in seen.approvers] == [SUPERVISOR, REPRESENTATIVE]
    assert seen.requests[0].id == request.id
    assert (seen.failed_rounds, seen.blocked) == (0, False)
    with pytest.raises(NotFound):
        world.operate.dossier(world.person(OPERATOR), "u-nobody")


@pytest.mark.parametrize("text", ["", " ", "h", " h ", "x" * 101])
def test_a_search_needs_words(world: World, text: str) -> None:
    """Peer failure 10."""
    with pytest.raises(BadInput):
        world.operate.find(world.person(OPERATOR), text)


@pytest.mark.parametrize("text", ["%%", "__", "**", "holly' OR '1'='1"])
def test_wildcards_find_nobody(world: World, text: str) -> None:
    """Peer failure 24."""
    assert world.operate.find(world.person(OPERATOR), text) == []


def test_a_search(world: World) -> None:
    found = world.operate.find(world.person(OPERATOR), "HOLDER")
    assert [person.uid for person in found] == [HOLDER]


def test_only_auditors_read_the_log(world: World) -> None:
    for uid in (HOLDER, OPERATOR, SUPERVISOR):
        with pytest.raises(Forbidden):
            world.auditing.newest(world.person(uid))
    assert world.auditing.newest(world.person(AUDITOR), 3)[0].number == world.auditing.verify()[0]
