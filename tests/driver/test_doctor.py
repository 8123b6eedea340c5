"""The doctor finds what is wrong and says how to mend it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pkcs11_driver import wire
from pkcs11_driver.errors import (
    DeviceFailed,
    DeviceGone,
    DriverError,
    ModuleCrashed,
    ModuleNotLoadable,
)
from pkcs11_driver.helper import cli, doctor, known
from pkcs11_driver.helper.dialogue import Refused
from pkcs11_driver.helper.doctor import Finding
from pkcs11_driver.operations import TokenStatus
from tests.driver.program import Holder, helper
from tests.driver.service import Answer, serve

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "x", "version": wire.PROTOCOL}}


def test_no_pcscd(tmp_path: Path) -> None:
    found = doctor.pcscd(tmp_path / "pcscd.comm")
    assert (found.state, "apt-get install pcscd" in found.mend) == ("!!", True)


def test_a_pcscd_that_died(tmp_path: Path) -> None:
    place = tmp_path / "pcscd.comm"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    found = doctor.pcscd(place)
    assert (found.state, "restart pcscd" in found.mend) == ("!!", True)


def test_a_pcscd_that_answers(tmp_path: Path) -> None:
    place = tmp_path / "pcscd.comm"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        assert doctor.pcscd(place).state == "ok"


def _list_tokens(error: DriverError) -> Callable[[str], list[TokenStatus]]:
    def fail(module: str) -> list[TokenStatus]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "follows"),
    [
        (DeviceFailed("CKR_DEVICE_ERROR"), True),
        (DeviceGone("CKR_DEVICE_REMOVED"), True),
        (ModuleNotLoadable("card.so", "it is for another computer"), False),
        (ModuleCrashed("card.so", "list_tokens", "SIGSEGV"), False),
    ],
)
@pytest.mark.parametrize("down", [True, False])
def test_the_service_comes_first_and_what_it_explains_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: DriverError,
    follows: bool, down: bool,
) -> None:  # fmt: skip
    """The exit code is that of before: no token software works."""
    cause = "The smart card service pcscd does not run."
    service = Finding("!!", cause, "start it") if down else Finding("ok", "it answers")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "pcscd", lambda: service)
    monkeypatch.setattr(doctor.isolated, "list_tokens", _list_tokens(error))
    options = cli._parser().parse_args(["doctor", "--module", "card.so"])
    with pytest.raises(Refused) as refused:  # exit 1
        cli._doctor(options)
    lines = capsys.readouterr().out.splitlines()
    wrong = [line for line in lines if line.startswith("!!")]
    assert (wrong[0] == f"!!  {cause}") is down
    assert len(wrong) == (1 if down else 0) + (0 if down and follows else 1)
    assert lines[1] == f"{service.state}  {service.text}"
    assert str(refused.value).startswith(cause if down else "No token software works.")


def test_readers_are_told_by_their_usb_class(tmp_path: Path) -> None:
    """As the kernel lays it out: the interface's folder stands beside its device's."""
    for name, kind in (("1-2:1.0", "0b"), ("1-3:1.0", "03")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bInterfaceClass").write_text(f"{kind}\n")
    (tmp_path / "1-2").mkdir()
    (tmp_path / "1-2" / "manufacturer").write_text("SafeNet\n")
    (tmp_path / "1-2" / "product").write_text("eToken 5110\x1b[2J\n")
    (found,) = doctor.readers(tmp_path)
    assert found.text == "Reader or token: SafeNet eToken 5110\\x1b[2J"


def test_no_reader(tmp_path: Path) -> None:
    (found,) = doctor.readers(tmp_path)
    assert found.state == "--"


@pytest.mark.parametrize(
    ("version", "words"), [("0", "too old"), ("2", "newer helper"), (None, "not understood")]
)
def test_a_service_that_does_not_fit(tmp_path: Path, version: str | None, words: str) -> None:
    answer = Answer({"info": {"version": version}})
    with serve(tmp_path, lambda _: answer) as service:
        found = doctor.of_service(service.url, str(service.ca))
    assert found.state == "!!"
    assert words in found.text


def test_a_service_that_does(holder: Holder, tmp_path: Path) -> None:
    with serve(tmp_path, lambda _: Answer(DOCUMENT)) as service:
        at = ("--server", service.url, "--ca", str(service.ca), "--module", holder.at[0])
        ran = helper("doctor", *at)
    assert ran.code == 0
    assert f"ok  The service {service.url} answers, directly." in ran.out
    assert [asked.path for asked in service.asked] == ["/helper/v1/openapi.json"]


def test_the_table_covers_three_systems() -> None:
    assert {system for _, system, _ in known.TABLE} == {"linux", "darwin", "win32"}
    assert known.installed("none") == []


def test_one_file_under_two_names_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libeToken.so").write_text("")
    (tmp_path / "libeTPkcs11.so").symlink_to("libeToken.so")
    monkeypatch.setattr(known, "_FOLDERS", (str(tmp_path),))
    assert known.installed("linux") == [
        ("Thales SafeNet eToken, IDPrime", str(tmp_path / "libeToken.so"))
    ]
