"""Cards that are pulled, readers that vanish, and cards that are not alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkcs11_driver import errors, isolated, operations
from pkcs11_driver.errors import DriverError
from pkcs11_driver.operations import Receipt
from tests.devices.cards import (
    inserted,
    openpgp3,
    ykcs11,
)
from tests.devices.device import Device
from tests.devices.machine import until

KINDS = {"ykcs11": ykcs11, "openpgp3": openpgp3}
VERIFY, CHANGE, UNBLOCK, PIV_SIGN, OPENPGP_SIGN = 0x20, 0x24, 0x2C, 0x87, 0x2A
# which command is which call: SO login, user PIN, proof, SO secret
COMMANDS = (
    ("ykcs11", UNBLOCK, 1),
    ("ykcs11", VERIFY, 1),
    ("ykcs11", PIV_SIGN, 1),
    ("ykcs11", CHANGE, 1),
    ("openpgp3", VERIFY, 1),
    ("openpgp3", UNBLOCK, 1),
    ("openpgp3", VERIFY, 2),
    ("openpgp3", OPENPGP_SIGN, 1),
    ("openpgp3", CHANGE, 1),
)


def marked(kind: str, *more: object) -> object:
    return pytest.param(kind, *more, marks=getattr(pytest.mark, f"device_{kind}"))


both_kinds = pytest.mark.parametrize("card", [marked(kind) for kind in KINDS], indirect=True)


@pytest.fixture
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    with KINDS[request.param](tmp_path) as device:
        yield device


def reset(device: Device, *earlier: str) -> Receipt | DriverError:
    _, so_pin, new_pin, next_so_pin, _ = device.pins
    try:
        return isolated.reset_user_pin(
            *device.at,
            style=device.style,
            candidates=(*earlier, so_pin),
            next_so_pin=next_so_pin,
            new_user_pin=new_pin,
            challenge=b"x",
        )
    except DriverError as error:
        return error


def claims_are_true(device: Device, result: Receipt | DriverError) -> None:
    assert device.card is not None
    user_pin, so_pin, new_pin, next_so_pin, _ = device.pins
    user, so = device.card.holds()
    if isinstance(result, DriverError):
        assert operations.outcome(result) == "untouched"
        assert (user, so) == (user_pin, so_pin)
        return
    in_force = {"next": next_so_pin, "candidate-0": so_pin, "unknown": so}
    assert in_force[result.so_pin_in_force] == so
    assert result.error is not None
    assert operations.outcome(result) == "unknown"
    if result.user_pin_set:
        assert user == new_pin


def put_in_again(device: Device) -> None:
    assert device.card is not None
    assert device.reader is not None
    device.reader.wait_until_empty()
    device.card.put(device.reader.port)
    until(lambda: len(isolated.list_tokens(device.at[0])) == 1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("card", "instruction", "nth"), [marked(*each) for each in COMMANDS], indirect=["card"]
)
def test_pulled_at_any_command_and_put_in_again(
    card: Device, instruction: int, nth: int, when: str
) -> None:
    """What is claimed is so, and the next reset with both candidates ends it."""
    assert card.card is not None
    card.card.pulled_at = (instruction, nth, when)
    claims_are_true(card, reset(card))
    assert card.card.pulled_at is None, "it was never pulled"
    put_in_again(card)
    assert operations.outcome(reset(card, card.pins[3])) == "done"


@both_kinds
def test_two_readers_with_one_serial_are_both_left_alone(card: Device) -> None:
    assert card.card is not None
    assert card.reader is not None
    twin = dataclasses.replace(card.card)
    with inserted(twin, card.reader.port + 1):
        until(lambda: len(isolated.list_tokens(card.at[0])) == 2)
        result = reset(card)
        assert isinstance(result, errors.TokenAmbiguous)
        assert operations.outcome(result) == "untouched"
        assert [each.holds() for each in (card.card, twin)] == [card.pins[:2]] * 2


@both_kinds
def test_no_card(card: Device) -> None:
    assert card.card is not None
    card.card.pull()
    result = reset(card)
    assert isinstance(result, errors.TokenNotFound | errors.DeviceGone)
    claims_are_true(card, result)
