"""A card with a PUK and three tries: imported, reset, and left alone in time (S1.8, S1.28)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkcs11_driver import wire
from pkcs11_driver.families import kept
from reset.core.policy import Policy
from reset.core.requests import Request
from reset.errors import BadInput, OfficeOnly
from reset.flows.importing import TOKENS
from tests.flows.model_token import Helper, ModelToken, follow
from tests.flows.world import HOLDER, HOUR, Institute, Place, World

HEAD, CARD, PUK = ",".join(TOKENS), "Y-12345678", "44556677"


def import_card(world: World, puk: str = PUK, family: str = "yubikey") -> int:
    return world.importing.tokens([HEAD, world.token_row(CARD, HOLDER, puk, family)])


@pytest.fixture
def request_(world: World) -> Request:
    import_card(world)
    return world.ready(serial=CARD)


@pytest.fixture
def card(world: World) -> ModelToken:
    return replace(ModelToken.of(world), serial=CARD, so_pin=PUK, so_tries=3)


def helper(world: World, request: Request, card: ModelToken) -> Helper:
    return Helper(world, card, world.code(request))


def silent(world: World, request: Request, card: ModelToken) -> None:
    """A helper that dies after its work, before its report; the lease goes by."""
    run = helper(world, request, card)
    run.release()
    run.work()
    world.clock.move(world.policy.lease)


def reset(world: World, card: ModelToken) -> Request:
    """Another request for the card, as far as its helper."""
    card.user_wrong = 10
    world.clock.move(HOUR)
    return world.ready(serial=CARD)


# --- the list -------------------------------------------------------------------------------
@pytest.mark.parametrize("puk", ["55555", "999999999", "\u00e4\u00f6\u00fc\u00e4\u00f6"])
def test_a_puk_of_a_wrong_form_is_refused_and_not_repeated(world: World, puk: str) -> None:
    before = world.dump()
    with pytest.raises(BadInput) as refused:
        import_card(world, puk)
    told = str(refused.value)
    assert "line 2" in told
    assert "family yubikey" in told
    assert "6 to 8 printable bytes" in told
    assert puk not in told
    assert world.dump() == before
    assert import_card(world) == 1  # the right one is taken


def test_who_seals_says_the_family(world: World) -> None:
    """Neither a slip nor somebody on the way makes another family of it."""
    row = world.token_row(CARD, HOLDER, PUK, "yubikey").replace(",yubikey,", ",opencryptoki,")
    with pytest.raises(BadInput, match=r"seal it .* for this serial and family"):
        world.importing.tokens([HEAD, row])


@pytest.mark.parametrize("family", ["", "piv", "so_init_pin", "YubiKey"])
def test_a_family_that_is_not_kept_is_told_with_those_that_are(world: World, family: str) -> None:
    with pytest.raises(BadInput) as refused:
        import_card(world, PUK, family)
    assert refused.value.data["rule"] == f"family must be one of {', '.join(kept())}"


def demanding(world: World, institute: Institute) -> World:
    """The same place under a policy that no PIN of the card can meet."""
    place = Place(world.place.directory, world.place.url, world.clock.now())
    return World(institute, place, policy=Policy(pin=wire.PinRules(minimum=10)))


def test_a_policy_that_the_family_cannot_meet_is_told_at_the_import(
    world: World, institute: Institute
) -> None:
    strict = demanding(world, institute)
    with pytest.raises(BadInput) as refused:
        import_card(strict)
    told = str(refused.value.data["rule"])
    assert "take PINs of 6 to 8 characters" in told
    assert "the policy wants 10 to 64" in told
    strict.close()


def test_a_policy_that_became_too_strict_spends_nothing(
    world: World, request_: Request, institute: Institute
) -> None:
    assert world.importing.unmet() == []
    strict = demanding(world, institute)
    (told,) = strict.importing.unmet()
    assert "family yubikey" in told
    with pytest.raises(OfficeOnly) as refused:
        strict.code(request_)
    assert refused.value.data == {"reason": "pin-rules"}
    assert strict.request(request_).state == "ready"
    strict.close()


# --- a reset --------------------------------------------------------------------------------
def test_the_puk_is_rotated_to_one_that_the_card_takes(
    world: World, request_: Request, card: ModelToken
) -> None:
    run = helper(world, request_, card)
    assert run.claim().pin_rules == wire.PinRules(8, 8)
    assert world.progress(request_).pin_rules == wire.PinRules(8, 8)
    assert run.release().style == "puk_set_pin"
    order = run.order()
    assert order.candidates == (PUK,)
    assert len(order.next_so_pin) == 8
    assert run.run().state == "done"
    again = helper(world, reset(world, card), card)
    assert again.order().candidates == (order.next_so_pin,)
    assert again.run().state == "done"
    assert world.so_pins(CARD)[3] == card.so_pin
    assert card.worst == 0


def test_other_tokens_keep_the_rules_of_the_policy(world: World) -> None:
    request = world.ready()
    assert world.progress(request).pin_rules == world.policy.pin
    run = Helper(world, ModelToken.of(world), world.code(request))
    assert run.claim().pin_rules == world.policy.pin
    assert run.release().style == "so_init_pin"


# --- tries ----------------------------------------------------------------------------------
def test_silence_after_the_change_is_recovered_once_a_reset_was_proven(
    world: World, request_: Request, card: ModelToken
) -> None:
    assert helper(world, request_, card).run().state == "done"
    second = reset(world, card)
    silent(world, second, card)  # the card has the next PUK, the service does not know it
    run = helper(world, second, card)
    assert len(run.order().candidates) == 2
    assert run.run().state == "done"
    assert card.worst == 0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_card_that_is_pulled_while_its_puk_changes(
    world: World, request_: Request, card: ModelToken, moment: str
) -> None:
    """Also at the first reset: the helper told that the PUK was right."""
    run = helper(world, request_, card)
    run.pulled = moment
    assert run.run().next == "again"
    assert follow(world, request_, card) == "done"
    assert card.worst == (1 if moment == "before" else 0)


def test_silence_at_the_first_reset_of_an_import_is_the_offices(
    world: World, request_: Request, card: ModelToken
) -> None:
    """Were the imported PUK wrong, two more tries would lock it. None is made."""
    card.so_pin = "not-this"
    silent(world, request_, card)
    assert card.so_wrong == 1
    with pytest.raises(OfficeOnly) as refused:
        helper(world, request_, card).release()
    assert refused.value.data == {"reason": "tries"}
    assert world.request(request_).state == "office"
    assert card.worst == 1


def test_two_silent_helpers_after_a_proven_reset_are_enough(
    world: World, request_: Request, card: ModelToken
) -> None:
    assert helper(world, request_, card).run().state == "done"
    second = reset(world, card)
    for _ in range(2):
        silent(world, second, card)
    with pytest.raises(OfficeOnly):
        helper(world, second, card).release()
    assert card.so_pin in world.so_pins(CARD).values()
    assert card.worst == 0
