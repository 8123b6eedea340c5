"""What OpenSC does otherwise than the others: flags that are false, and a style that it names and
does not have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pkcs11_driver import errors, isolated, operations
from tests.devices.cards import openpgp, openpgp2, opensc
from tests.devices.device import Device
from tests.driver.conftest import Holder
from tests.driver.program import Office, job
from tests.institution.tokens import act

STATEMENT = b"token-reset approval 1\n"
CONTEXT = "set_pin_in_specific_context"
Make = Callable[[Path], contextlib.AbstractContextManager[Device]]


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Device]:
    with openpgp2(tmp_path) as device:
        yield device


def shown(device: Device) -> str:
    (token,) = isolated.list_tokens(device.at[0])
    return token.user_pin


def approve(device: Device, directory: Path, *lines: str) -> tuple[str, list[str]]:
    office = Office(device.made.serial, "approve", STATEMENT, next="wait")
    ran = job(Holder(device.made, device.certificate), office, directory, "yes", *lines)
    return ran.out + ran.err, [report.outcome for report in office.reports]


@pytest.mark.device_openpgp2
class TestFlagsOfAnOlderOpenPgpCard:
    """OpenSC 0.23 shows the tries of PW3 as those of the user PIN."""

    def test_a_flag_that_says_blocked_does_not_keep_from_signing(
        self, older: Device, tmp_path: Path
    ) -> None:
        assert older.card is not None
        older.card.pw3.left = 0  # type: ignore[union-attr]
        assert shown(older) == "locked"
        said, reports = approve(older, tmp_path, older.pins[0])
        assert "The token says that its PIN is blocked." in said
        assert reports == ["signed"]

    def test_a_blocked_pin_is_told_though_no_flag_does(self, older: Device, tmp_path: Path) -> None:
        assert older.card is not None
        older.card.pw1.left = 0  # type: ignore[union-attr]
        assert shown(older) == "ok"
        said, reports = approve(older, tmp_path, older.pins[0])
        assert "The token's PIN is blocked. Ask the service for a reset." in said
        assert reports == []

    def test_a_wrong_pin_is_told_as_wrong_and_asked_for_again(
        self, older: Device, tmp_path: Path
    ) -> None:
        said, reports = approve(older, tmp_path, older.pins[4], older.pins[0])
        assert "The token says that the PIN is wrong." in said
        assert "does not say how many tries are left" in said
        assert reports == ["signed"]


@pytest.mark.device_openpgp3
def test_opensc_in_its_default_is_refused_before_anything_changed(tmp_path: Path) -> None:
    with openpgp(tmp_path, (3, 4), "unset") as device:
        assert device.card is not None
        _, so_pin, new_pin, next_so_pin, _ = device.pins
        with pytest.raises(errors.StyleUnsupported) as refused:
            isolated.reset_user_pin(
                *device.at,
                style="so_init_pin",
                candidates=(so_pin,),
                next_so_pin=next_so_pin,
                new_user_pin=new_pin,
                challenge=b"x",
            )
        assert refused.value.data["ckr"] == "CKR_FUNCTION_NOT_SUPPORTED"
        assert operations.outcome(refused.value) == "untouched"
        assert (device.card.holds(), device.card.tries()) == (device.pins[:2], (3, 3))


@pytest.mark.device_opensc
def test_the_helper_asks_for_no_order_for_a_card_that_cannot_be_reset(tmp_path: Path) -> None:
    """Its PUK cannot be changed: that is known before an approval is spent and a PIN typed."""
    with opensc(tmp_path) as device:
        assert device.card is not None
        office = Office(device.made.serial, style=device.style)
        ran = job(Holder(device.made, device.certificate), office, tmp_path)
        assert "cannot be reset this way (puk_set_pin). Nothing was changed" in ran.reason
        assert (office.nonces, office.reports) == ([], [])
        assert (device.card.holds(), device.card.tries()) == (device.pins[:2], (3, 3))


def by_context(kind: str) -> object:
    made: dict[str, Make] = {
        "opensc": lambda directory: opensc(directory, CONTEXT),
        "openpgp3": lambda directory: openpgp(directory, (3, 4), CONTEXT),
    }
    return pytest.param(made[kind], id=kind, marks=getattr(pytest.mark, f"device_{kind}"))


@pytest.mark.parametrize("make", [by_context("opensc"), by_context("openpgp3")])
def test_the_context_style_is_refused_before_anything_changed(make: Make, tmp_path: Path) -> None:
    """No order of calls makes OpenSC set the user PIN so: without a user it has no login for a
    context, and with one C_SetPIN means that one's own PIN."""
    with make(tmp_path) as device:
        assert device.card is not None
        user_pin, so_pin, new_pin, _, _ = device.pins
        with pytest.raises(errors.StyleUnsupported) as refused:
            isolated.reset_user_pin(
                *device.at,
                style="context_set_pin",
                candidates=(so_pin,),
                next_so_pin=so_pin,
                new_user_pin=new_pin,
                challenge=b"x",
            )
        assert refused.value.data["ckr"] == "CKR_OPERATION_NOT_INITIALIZED"
        assert operations.outcome(refused.value) == "untouched"
        assert device.card.tries() == (3, 3)
        assert device.card.holds() == (user_pin, so_pin)
        change = (("login", "context", so_pin), ("set_pin", so_pin, new_pin))
        for first in (("login", "user", user_pin), ("login", "so", so_pin)):
            act(device.made, first, *change)
            assert device.card.holds()[0] == user_pin
