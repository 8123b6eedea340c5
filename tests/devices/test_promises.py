"""What the driver promises, on every module that is there. The first line of each test is a row of
docs/tokens.md."""

from __future__ import annotations

import pytest

from pkcs11_driver import errors, isolated, operations
from pkcs11_driver.operations import Receipt
from tests.devices.device import Device
from tests.driver.conftest import verify
from tests.institution.tokens import act

CHALLENGE = b"challenge of the service"


def reset(device: Device, **changed: object) -> Receipt:
    _, so_pin, new_pin, next_so_pin, _ = device.pins
    usual = {
        "style": device.style,
        "candidates": (so_pin,),
        "next_so_pin": next_so_pin if device.rotates else so_pin,
        "new_user_pin": new_pin,
        "challenge": CHALLENGE,
    }
    return isolated.reset_user_pin(*device.at, **{**usual, **changed})  # type: ignore[arg-type]


def user_says(device: Device, *pins: str) -> list[str]:
    return act(device.made, *(("login", "user", pin) for pin in pins))


def so_says(device: Device, so_pin: str) -> str:
    if device.card is not None:
        return "CKR_OK" if device.card.holds()[1] == so_pin else "CKR_PIN_INCORRECT"
    return act(device.made, ("login", "so", so_pin))[0]


def block(device: Device) -> None:
    wrong = device.pins[4]
    said = user_says(device, *[wrong] * (device.user_tries + 1))
    assert said[-1] == "CKR_PIN_LOCKED", said


def cannot_rotate(device: Device, **changed: object) -> None:
    """Shows it on the token, and says so in the table."""
    with pytest.raises(errors.StyleUnsupported):
        reset(device, next_so_pin=device.pins[3], **changed)
    assert device.card is not None
    assert (device.card.holds(), device.card.tries()) == (
        device.pins[:2],
        (device.user_tries, device.so_tries),
    )
    pytest.xfail("refused before anything changed: the SO secret cannot be rotated")


def test_list(device: Device) -> None:
    """Token, serial and certificate are shown"""
    (token,) = isolated.list_tokens(device.at[0])
    assert token.serial == device.made.serial
    assert device.certificate in [der for _, der in token.certificates]
    assert isolated.detect_style(*device.at) == device.style


def test_reset(device: Device) -> None:
    """Reset: PIN set, proven by a signature, SO secret as ordered"""
    _, so_pin, new_pin, next_so_pin, _ = device.pins
    receipt = reset(device)
    assert operations.outcome(receipt) == "done", receipt
    assert (receipt.so_pin_in_force, receipt.error) == ("next", None)
    verify(device.certificate, receipt.signature, CHALLENGE)
    assert user_says(device, new_pin) == ["CKR_OK"]
    if device.rotates:
        assert so_says(device, next_so_pin) == "CKR_OK"
        assert so_says(device, so_pin) == "CKR_PIN_INCORRECT"


def test_reset_of_a_blocked_token(device: Device) -> None:
    """A blocked token is reset"""
    if not device.user_tries:
        pytest.xfail("not tried: its settings say not to block it")
    block(device)
    if device.one_lockout:
        with pytest.raises(errors.PinLocked) as locked:
            reset(device)
        assert operations.outcome(locked.value) == "so-pin-locked"
        pytest.xfail("the SO is locked with the user, until the lockout is over")
    assert operations.outcome(reset(device)) == "done"
    assert user_says(device, device.pins[2]) == ["CKR_OK"]


def test_lockout(device: Device) -> None:
    """A wrong user PIN is told as wrong; too many block the token, and it is told as blocked"""
    if not device.user_tries:
        pytest.xfail("not tried: its settings say not to block it")
    with pytest.raises(errors.PinIncorrect) as wrong:
        isolated.sign(*device.at, user_pin=device.pins[4], data=b"x")
    assert wrong.value.data == {"which": "user", "candidate": 0}
    block(device)
    with pytest.raises(errors.PinLocked) as locked:
        isolated.sign(*device.at, user_pin=device.pins[0], data=b"x")
    assert locked.value.data == {"which": "user"}


def test_wrong_so_pin(device: Device) -> None:
    """A wrong SO secret: refused as such, nothing changed"""
    user_pin, _, _, _, wrong = device.pins
    with pytest.raises(errors.PinIncorrect) as refused:
        reset(device, candidates=(wrong,), **({} if device.rotates else {"next_so_pin": wrong}))
    assert refused.value.data == {"which": "so", "candidate": 0}
    assert user_says(device, user_pin) == ["CKR_OK"]


def test_second_candidate(device: Device) -> None:
    """The second of two SO secrets fits"""
    _, so_pin, _, next_so_pin, _ = device.pins
    if not device.rotates:
        cannot_rotate(device, candidates=(next_so_pin, so_pin))
    receipt = reset(device, candidates=(next_so_pin, so_pin))
    assert operations.outcome(receipt) == "done", receipt
    assert receipt.steps[:2] == ("so-pin-incorrect", "so-login")


def test_again(device: Device) -> None:
    """Resumed where the SO secret was already changed"""
    _, so_pin, new_pin, next_so_pin, _ = device.pins
    if not device.rotates:
        cannot_rotate(device)
    reset(device)
    receipt = reset(device, candidates=(next_so_pin, so_pin))
    assert operations.outcome(receipt) == "done", receipt
    assert "so-pin-set" not in receipt.steps
    assert user_says(device, new_pin) == ["CKR_OK"]


def test_so_lockout(device: Device) -> None:
    """A locked SO secret is told as locked"""
    if not device.so_tries:
        pytest.xfail("not tried: it would end a real token for good")
    act(device.made, *[device.wrong_so_try()] * device.so_tries)
    with pytest.raises(errors.PinLocked) as locked:
        reset(device)
    assert locked.value.data == {"which": "so"}
    assert operations.outcome(locked.value) == "so-pin-locked"


@pytest.mark.parametrize("pin", ["", "x" * 300])
def test_a_pin_that_it_does_not_take(device: Device, pin: str) -> None:
    """A PIN of an impossible length is refused, nothing changed"""
    user_pin, so_pin, _, _, _ = device.pins
    with pytest.raises(errors.PinRefused):
        reset(device, new_user_pin=pin)
    assert user_says(device, user_pin) == ["CKR_OK"]
    assert so_says(device, so_pin) == "CKR_OK"


def test_another_style(device: Device) -> None:
    """A style of another family is refused before anything changed"""
    user_pin, so_pin, _, _, _ = device.pins
    other = "puk_set_pin" if device.style == "so_init_pin" else "so_init_pin"
    with pytest.raises(errors.StyleUnsupported):
        reset(device, style=other)
    assert user_says(device, user_pin) == ["CKR_OK"]
    assert so_says(device, so_pin) == "CKR_OK"


def test_another_serial(device: Device) -> None:
    """A token with another serial is left alone"""
    user_pin, so_pin, new_pin, next_so_pin, _ = device.pins
    module, serial = device.at
    for other in (f"{serial}x", serial[:-1], ""):
        with pytest.raises(errors.TokenNotFound):
            isolated.reset_user_pin(
                *(module, other),
                style=device.style,
                candidates=(so_pin,),
                next_so_pin=next_so_pin if device.rotates else so_pin,
                new_user_pin=new_pin,
                challenge=CHALLENGE,
            )
    assert user_says(device, user_pin) == ["CKR_OK"]
    assert so_says(device, so_pin) == "CKR_OK"
