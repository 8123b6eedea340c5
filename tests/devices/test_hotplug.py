"""A card that is pulled while the driver works with it, and put in again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkcs11_driver import errors, isolated, operations
from pkcs11_driver.operations import Receipt
from tests.devices.card import padded
from tests.devices.providers import PIV_PINS, YKCS11, Device, until, ykcs11

pytestmark = pytest.mark.device_ykcs11

_USER_PIN, SO_PIN, NEW_PIN, NEXT_SO_PIN, _WRONG = PIV_PINS
VERIFY, CHANGE, UNBLOCK, SIGN = 0x20, 0x24, 0x2C, 0x87


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Device]:
    with ykcs11(tmp_path) as device:
        yield device


def reset(device: Device, candidates: tuple[str, ...] = (SO_PIN,)) -> Receipt:
    return isolated.reset_user_pin(
        *device.at,
        style="puk_set_pin",
        candidates=candidates,
        next_so_pin=NEXT_SO_PIN,
        new_user_pin=NEW_PIN,
        challenge=b"x",
    )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("instruction", [VERIFY, CHANGE, UNBLOCK, SIGN])
def test_pulled_at_any_command_and_put_in_again(card: Device, when: str, instruction: int) -> None:
    """What the receipt claims is so, and the next reset with both candidates ends it."""
    assert card.card is not None
    setattr(card.card, f"pull_{when}", instruction)
    receipt = reset(card)
    puk = card.card.puk.value.decode()
    in_force = {"next": NEXT_SO_PIN, "candidate-0": SO_PIN, "unknown": puk}
    assert in_force[receipt.so_pin_in_force] == puk
    assert receipt.error is not None
    assert operations.outcome(receipt) == "unknown"
    if receipt.user_pin_set:
        assert card.card.pin.value.rstrip(b"\xff").decode() == NEW_PIN
    until(lambda: not isolated.list_tokens(str(YKCS11)))
    # pcscd asks twice a second: a card that is back before it asked would never be powered
    time.sleep(1.2)
    card.card.put(card.port)
    until(lambda: len(isolated.list_tokens(str(YKCS11))) == 1)
    assert operations.outcome(reset(card, (NEXT_SO_PIN, SO_PIN))) == "done"


def test_an_error_while_the_puk_changes_costs_no_try(card: Device) -> None:
    """Whether it changed is left to the next order: a guess now and one then are two of three."""
    assert card.card is not None
    card.card.fail = CHANGE
    receipt = reset(card)
    assert (receipt.so_pin_in_force, operations.outcome(receipt)) == ("unknown", "unknown")
    assert receipt.steps[-1] == "so-pin-unclear"
    assert card.card.puk.left == card.so_tries
    again = reset(card, (NEXT_SO_PIN, SO_PIN))
    assert (again.steps[0], operations.outcome(again)) == ("so-pin-incorrect", "done")


def test_two_readers_with_one_serial_are_both_left_alone(
    card: Device, request: pytest.FixtureRequest
) -> None:
    assert card.card is not None
    twin = dataclasses.replace(card.card)
    twin.put(card.port + 1)
    request.addfinalizer(twin.pull)
    until(lambda: len(isolated.list_tokens(str(YKCS11))) == 2)
    with pytest.raises(errors.TokenAmbiguous) as ambiguous:
        reset(card)
    assert operations.outcome(ambiguous.value) == "untouched"
    assert (card.card.puk.value, twin.puk.value) == (padded(SO_PIN), padded(SO_PIN))


def test_no_card(card: Device) -> None:
    assert card.card is not None
    card.card.pull()
    with pytest.raises((errors.TokenNotFound, errors.DeviceGone)) as gone:
        reset(card)
    assert operations.outcome(gone.value) == "untouched"
