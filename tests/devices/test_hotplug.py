"""Cards that are pulled, readers that vanish, and cards that are not alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkcs11_driver import errors, isolated, operations
from pkcs11_driver.errors import DriverError
from pkcs11_driver.helper import doctor, modules
from pkcs11_driver.helper.dialogue import Terminal
from pkcs11_driver.operations import Receipt
from tests.devices.cards import (
    OPENSC,
    YKCS11,
    inserted,
    openpgp3,
    openpgp_card,
    opensc_set_to,
    piv_card,
    reader,
    ykcs11,
)
from tests.devices.device import Device
from tests.devices.machine import until
from tests.driver.conftest import equip
from tests.institution import tokens

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


@pytest.mark.parametrize("instruction", [UNBLOCK, CHANGE])
@both_kinds
def test_the_reader_goes_away_at_a_changing_command(card: Device, instruction: int) -> None:
    """With its service, as when the USB port is switched off or pcscd dies."""
    assert card.card is not None
    assert card.reader is not None
    card.card.meanwhile = card.reader.kill
    card.card.pulled_at = (instruction, 1, "after")
    result = reset(card)
    assert isinstance(result, Receipt), "something changed, or may have"
    claims_are_true(card, result)
    card.reader.start()
    put_in_again(card)
    assert operations.outcome(reset(card, card.pins[3])) == "done"


@both_kinds
def test_pcscd_is_stopped_and_started_again(card: Device) -> None:
    assert card.card is not None
    assert card.reader is not None
    card.reader.stop()
    result = reset(card)
    assert isinstance(result, DriverError)
    claims_are_true(card, result)
    assert doctor.pcscd().state == "!!"
    card.reader.start()
    assert doctor.pcscd().state == "ok"
    put_in_again(card)
    assert operations.outcome(reset(card)) == "done"


@pytest.mark.parametrize("card", [marked("ykcs11")], indirect=True)
def test_an_error_while_the_puk_changes_costs_no_try(card: Device) -> None:
    """Whether it changed is left to the next order: a guess now and one then are two of three."""
    assert card.card is not None
    card.card.fail = CHANGE
    receipt = reset(card)
    assert isinstance(receipt, Receipt)
    assert (receipt.so_pin_in_force, operations.outcome(receipt)) == ("unknown", "unknown")
    assert receipt.steps[-1] == "so-pin-unclear"
    assert card.card.tries()[1] == card.so_tries
    again = reset(card, card.pins[3])
    assert isinstance(again, Receipt)
    assert (again.steps[0], operations.outcome(again)) == ("so-pin-incorrect", "done")


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


@pytest.mark.device_openpgp3
def test_two_cards_with_one_label_are_told_apart_by_their_serials(tmp_path: Path) -> None:
    with openpgp3(tmp_path) as device:
        assert device.card is not None
        assert device.reader is not None
        other = openpgp_card((3, 4), number=0x55667788)
        other.pw1.left = 0
        with inserted(other, device.reader.port + 1):
            until(lambda: len(isolated.list_tokens(device.at[0])) == 2)
            seen = isolated.list_tokens(device.at[0])
            assert len({token.label for token in seen}) == 1
            assert {token.serial: token.user_pin for token in seen} == {
                device.made.serial: "ok",
                "000655667788": "locked",
            }
            assert operations.outcome(reset(device)) == "done"
        assert other.holds() == device.pins[:2]
        assert (other.pw1.left, other.pw3.left) == (0, 3)


@pytest.mark.device_ykcs11
@pytest.mark.device_openpgp3
def test_one_blocked_token_among_readers_and_modules(tmp_path: Path) -> None:
    """Three modules, two of which see both readers; two other tokens stay as they are."""
    softhsm = equip(tokens.make_token(tmp_path / "t", label="Other", user_pin="9876-abcd"))
    piv, blocked = piv_card(yubico=True), openpgp_card((3, 4))
    blocked.pw1.left = 0
    asked = [softhsm.at[0], str(YKCS11), str(OPENSC)]
    with (
        opensc_set_to(tmp_path, "init_pin_in_so_session"),
        reader(tmp_path, "Yubico YubiKey CCID") as into,
        inserted(piv, into.port),
        inserted(blocked, into.port + 1),
    ):
        until(lambda: len(modules.tokens(asked)) == 4)
        seen = {token.serial: token.user_pin for token in modules.tokens(asked)}
        assert [serial for serial, state in seen.items() if state == "locked"] == ["000611223344"]
        found = modules.expected(asked, "000611223344", Terminal())
        receipt = isolated.reset_user_pin(
            found.module,
            found.serial,
            style="so_init_pin",
            candidates=("Adm-PI-1",),
            next_so_pin="Nxt-PI-2",
            new_user_pin="New-PI-2",
            challenge=b"x",
        )
    assert operations.outcome(receipt) == "done"
    assert blocked.holds() == ("New-PI-2", "Nxt-PI-2")
    assert (piv.pin.left, piv.puk.left, piv.holds()) == (3, 3, ("111222", "11112222"))
    assert tokens.tries_left(softhsm.made) == (10, 15)


@both_kinds
def test_no_card(card: Device) -> None:
    assert card.card is not None
    card.card.pull()
    result = reset(card)
    assert isinstance(result, errors.TokenNotFound | errors.DeviceGone)
    claims_are_true(card, result)
