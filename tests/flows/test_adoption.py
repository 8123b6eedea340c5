"""Who is not prepared yet (S1.53)."""

from __future__ import annotations

from reset.flows.adoption import Adoption
from tests.flows.world import HOLDER, PEOPLE_ROWS, SECOND, STRANGER, World, recovery_of


def unprepared(world: World) -> dict[str, str]:
    found, holders = Adoption(world.parts).unprepared()
    assert len(found) <= holders
    return {one.person.uid: one.missing for one in found}


def test_holders_without_a_profile_are_listed(world: World) -> None:
    everybody = dict.fromkeys(sorted(PEOPLE_ROWS), "profile")
    del everybody[HOLDER], everybody[SECOND]
    assert unprepared(world) == everybody
    world.enrol.register(world.person(STRANGER), world.chosen(HOLDER), recovery_of(STRANGER))
    assert unprepared(world)[STRANGER] == "recovery-address"
    world.enrol.confirm(STRANGER, world.code_mailed(recovery_of(STRANGER)))
    assert STRANGER not in unprepared(world)
    world.enrol.delete(HOLDER)
    assert unprepared(world)[HOLDER] == "profile"


def test_who_left_or_has_no_token_in_use_is_not(world: World) -> None:
    count = Adoption(world.parts).unprepared()[1]
    assert count == len(PEOPLE_ROWS)
    world.put_person(STRANGER, active=False)
    world.put_token(SECOND, state="retired")
    found, left = Adoption(world.parts).unprepared()
    assert left == count - 2
    assert not {STRANGER, SECOND} & {one.person.uid for one in found}
