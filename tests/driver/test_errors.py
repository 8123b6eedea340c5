"""Every answer of a module has a typed error, a CKR name and a sentence for people."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import exceptions

from pkcs11_driver import errors
from pkcs11_driver.errors import DriverError, sentence, translate

ALL = sorted(
    (
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, exceptions.PKCS11Error)
    ),
    key=lambda kind: kind.__name__,
)
GONE = {
    "DeviceRemoved",
    "TokenNotPresent",
    "TokenNotRecognised",
    "SlotIDInvalid",
    "SessionClosed",
    "SessionHandleInvalid",
}
REFUSED = {"PinInvalid", "PinLenRange", "PinTooWeak"}
ONE_OF_EACH: tuple[DriverError, ...] = (
    errors.ModuleNotLoadable("token.so", "no such file"),
    errors.ModuleCrashed("token.so", "so-login", "SIGSEGV"),
    errors.ModuleHangs("token.so", "so-login", 60),
    errors.TokenNotFound("A1", ["B2", "C3"]),
    errors.TokenNotFound("A1", []),
    errors.TokenAmbiguous("A1", [1, 2]),
    errors.PinIncorrect("user"),
    errors.PinIncorrect("so", 1),
    errors.PinLocked("user"),
    errors.PinLocked("so"),
    errors.PinFinalTry("user"),
    errors.PinFinalTry("so"),
    errors.PinRefused("CKR_PIN_LEN_RANGE"),
    errors.StyleUnsupported("puk_set_pin"),
    errors.KeyNotFound(["01"]),
    errors.CertificateNotFound(),
    errors.DeviceGone("CKR_DEVICE_REMOVED"),
    errors.DeviceFailed("CKR_GENERAL_ERROR"),
)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_library_has_its_error(kind: type[Exception]) -> None:
    error = translate(kind(), which="so", candidate=1)
    name = kind.__name__
    if name == "PinIncorrect":
        assert error.data == {"which": "so", "candidate": 1}
    elif name == "PinLocked":
        assert error.data == {"which": "so"}
    expected = {
        "PinIncorrect": "pin-incorrect",
        "PinLocked": "pin-locked",
        "NoSuchKey": "key-not-found",
        "MultipleObjectsReturned": "key-not-found",
        **dict.fromkeys(GONE, "device-gone"),
        **dict.fromkeys(REFUSED, "pin-refused"),
    }
    assert error.code == expected.get(name, "device-failed")


def test_the_names_are_those_of_the_standard() -> None:
    source = (Path(pkcs11.__file__).parent / "_pkcs11.pxd").read_text()
    pairs = re.findall(r"if rv == (CKR_\w+):\n\s+exc = (\w+)\(\)", source)
    assert len(pairs) > 60
    for name, kind in pairs:
        assert errors.ckr_name(getattr(exceptions, kind)()) == name


def test_a_code_that_the_library_does_not_know_keeps_its_number() -> None:
    error = translate(exceptions.PKCS11Error("Unmapped error code 0x80000001"))
    assert (error.code, error.data["ckr"]) == ("device-failed", "0x80000001")


def test_what_is_no_answer_of_the_module_is_a_failure_without_its_text() -> None:
    assert str(translate(ValueError("secret text"))) == "device-failed ckr=ValueError"


def test_the_sample_has_every_error() -> None:
    assert {type(error) for error in ONE_OF_EACH} == set(DriverError.__subclasses__())


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=str)
def test_a_sentence_says_what_to_do(error: DriverError) -> None:
    text = sentence(error)
    assert text.endswith(".")
    assert "{" not in text
    assert error.code not in text


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=str)
def test_errors_travel_between_processes(error: DriverError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.data, str(copy)) == (type(error), error.data, str(error))
