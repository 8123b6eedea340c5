"""The doctor finds what is wrong and says how to mend it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pkcs11_driver import wire
from pkcs11_driver.helper import doctor, known
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
