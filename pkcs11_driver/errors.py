"""What can go wrong with a token, as errors that carry data, and one sentence for each.

Rules:

1. Every error has a stable ``code`` and a ``data`` mapping of plain values. Neither holds a PIN.
2. ``translate`` is the only place where an exception of python-pkcs11 becomes one of these.
3. A code that the table does not name is ``DeviceFailed`` with its CKR name: after a changing
   call its effect is unknown, never "failed" (PKCS#11 v2.40 section 5.1).
4. Errors carry data; the sentences for people stand in one table.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping, Sequence

from pkcs11 import exceptions as ckr

Which = typing.Literal["user", "so"]
Value = str | int | tuple[str, ...] | tuple[int, ...]


class DriverError(Exception):
    """A refusal or failure at the token. ``code`` is stable, ``data`` holds no secret."""

    code: typing.ClassVar[str]

    def __init__(self, **data: Value) -> None:
        super().__init__(self.code)
        self.data: Mapping[str, Value] = dict(data)

    def __str__(self) -> str:
        return " ".join([self.code, *(f"{name}={value}" for name, value in self.data.items())])

    def __reduce__(self) -> tuple[typing.Any, ...]:
        return _rebuild, (type(self), dict(self.data))


def _rebuild(kind: type[DriverError], data: dict[str, Value]) -> DriverError:
    error = kind.__new__(kind)
    DriverError.__init__(error, **data)
    return error


class ModuleNotLoadable(DriverError):
    """The PKCS#11 module at ``path`` does not load or initialise; ``why`` in its words."""

    code = "module-not-loadable"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path=path, why=why)


class ModuleCrashed(DriverError):
    """The process with the module at ``path`` ended (``how``: signal or exit code) without an
    answer, while it did ``during``; no changing call had been announced."""

    code = "module-crashed"

    def __init__(self, path: str, during: str, how: str) -> None:
        super().__init__(path=path, during=during, how=how)


class ModuleHangs(DriverError):
    """The module at ``path`` did not come back within ``seconds`` from ``during`` and was ended."""

    code = "module-hangs"

    def __init__(self, path: str, during: str, seconds: int) -> None:
        super().__init__(path=path, during=during, seconds=seconds)


class TokenNotFound(DriverError):
    """No token has this ``serial``; ``seen`` are the serials that are there."""

    code = "token-not-found"

    def __init__(self, serial: str, seen: Sequence[str]) -> None:
        super().__init__(serial=serial, seen=tuple(seen))


class TokenAmbiguous(DriverError):
    """Several ``slots`` show a token with this ``serial``: two tokens, or two PINs of one."""

    code = "token-ambiguous"

    def __init__(self, serial: str, slots: Sequence[int]) -> None:
        super().__init__(serial=serial, slots=tuple(slots))


class PinIncorrect(DriverError):
    """CKR_PIN_INCORRECT. ``candidate``: index of the last SO PIN that was tried; user PIN: 0."""

    code = "pin-incorrect"

    def __init__(self, which: Which, candidate: int = 0) -> None:
        super().__init__(which=which, candidate=candidate)


class PinLocked(DriverError):
    """CKR_PIN_LOCKED, or the token's flag says it before a try was made."""

    code = "pin-locked"

    def __init__(self, which: Which) -> None:
        super().__init__(which=which)


class PinFinalTry(DriverError):
    """One wrong try would lock this PIN for ever; it was not made (S1.28)."""

    code = "pin-final-try"

    def __init__(self, which: Which) -> None:
        super().__init__(which=which)


class PinRefused(DriverError):
    """The token does not take this PIN's length or characters; ``ckr`` says which."""

    code = "pin-refused"

    def __init__(self, ckr: str) -> None:
        super().__init__(ckr=ckr)


class StyleUnsupported(DriverError):
    """This unblock style is unknown, not built in, or refused by the module with ``ckr``."""

    code = "style-unsupported"

    def __init__(self, style: str, ckr: str = "") -> None:
        super().__init__(style=style, ckr=ckr)


class KeyNotFound(DriverError):
    """No single signing key fits; ``found`` are the key identifiers in hex that are there."""

    code = "key-not-found"

    def __init__(self, found: Sequence[str] = ()) -> None:
        super().__init__(found=tuple(found))


class CertificateNotFound(DriverError):
    """No signing key on the token has a certificate."""

    code = "certificate-not-found"


class DeviceGone(DriverError):
    """The token was pulled, or its session died (CKR_DEVICE_REMOVED and its kin)."""

    code = "device-gone"

    def __init__(self, ckr: str) -> None:
        super().__init__(ckr=ckr)


class DeviceFailed(DriverError):
    """Any other answer of the module."""

    code = "device-failed"

    def __init__(self, ckr: str) -> None:
        super().__init__(ckr=ckr)


# python-pkcs11 names a few CKR codes otherwise than the standard does
_NAMES: Mapping[type[Exception], str] = {
    ckr.AnotherUserAlreadyLoggedIn: "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
    ckr.FunctionCancelled: "CKR_FUNCTION_CANCELED",
    ckr.SessionReadWriteSOExists: "CKR_SESSION_READ_WRITE_SO_EXISTS",
    ckr.TokenNotRecognised: "CKR_TOKEN_NOT_RECOGNIZED",
}

# what is not here is DeviceFailed; the two that need to know which PIN are told apart below
_TABLE: Mapping[type[Exception], Callable[[str], DriverError]] = {
    ckr.PinInvalid: PinRefused,
    ckr.PinLenRange: PinRefused,
    ckr.PinTooWeak: PinRefused,
    ckr.DeviceRemoved: DeviceGone,
    ckr.TokenNotPresent: DeviceGone,
    ckr.TokenNotRecognised: DeviceGone,
    ckr.SlotIDInvalid: DeviceGone,
    ckr.SessionClosed: DeviceGone,
    ckr.SessionHandleInvalid: DeviceGone,
    ckr.NoSuchKey: lambda _: KeyNotFound(),
    ckr.MultipleObjectsReturned: lambda _: KeyNotFound(),
}


def rebuilt(code: str, data: Mapping[str, Value]) -> DriverError:
    """The error with this ``code`` and ``data``, as another process described it.

    Raises ``KeyError`` for an unknown code.
    """
    kinds = {kind.code: kind for kind in DriverError.__subclasses__()}
    return _rebuild(kinds[code], dict(data))


def ckr_name(error: Exception) -> str:
    """The CKR name of a python-pkcs11 exception, its number where the library knows no name."""
    kind = type(error)
    if not isinstance(error, ckr.PKCS11Error):
        return kind.__name__
    if kind is ckr.PKCS11Error:
        number = re.search(r"0x[0-9a-f]+", str(error))
        return number.group() if number else "CKR_UNKNOWN"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.__name__)
    return _NAMES.get(kind, f"CKR_{words.upper()}")


def translate(error: Exception, *, which: Which = "user", candidate: int = 0) -> DriverError:
    """The typed error for anything that a call into python-pkcs11 raised.

    ``which`` and ``candidate`` name the PIN that the call used.
    """
    if isinstance(error, DriverError):
        return error
    if isinstance(error, ckr.PinIncorrect):
        return PinIncorrect(which, candidate)
    if isinstance(error, ckr.PinLocked):
        return PinLocked(which)
    kind = _TABLE.get(type(error), DeviceFailed)
    return kind(ckr_name(error))


_SENTENCES: Mapping[str, str] = {
    "module-not-loadable": "The driver {path} cannot be loaded ({why}). Install the token's "
    "software, or name the right file with --module.",
    "module-crashed": "The driver {path} broke down ({how}). Plug the token in again and start "
    "again; if it happens twice, install the token's software anew.",
    "module-hangs": "The driver {path} does not answer. Plug the token in again and start again; "
    "if it happens twice, restart the computer.",
    "token-not-found": "The token {serial} is not plugged in. Seen: {seen}. Plug in the right "
    "token and start again.",
    "token-ambiguous": "The token {serial} is seen more than once. Leave only one plugged in and "
    "start again; if it is the only one, go to the registration office.",
    "pin-incorrect/user": "The token says that the PIN is wrong. It counts wrong tries: be sure "
    "of the PIN before you try again.",
    "pin-incorrect/so": "The token refuses the administrator PIN that the service has for it. "
    "Do not try again; go to the registration office.",
    "pin-locked/user": "The token's PIN is blocked. Ask the service for a reset.",
    "pin-locked/so": "The token's administrator PIN is blocked. Nothing can reset it; go to the "
    "registration office.",
    "pin-final-try/user": "One more wrong PIN blocks the token. Nothing was tried.",
    "pin-final-try/so": "One more wrong administrator PIN would end the token for good, so "
    "nothing was tried. Go to the registration office.",
    "pin-refused": "The token does not take this PIN ({ckr}). Choose one of another length and "
    "without unusual characters.",
    "style-unsupported": "This kind of token cannot be reset this way ({style}). Nothing was "
    "changed; go to the registration office.",
    "key-not-found": "There is not exactly one key for signing on the token (found: {found}). "
    "Go to the registration office.",
    "certificate-not-found": "There is no certificate on the token. Go to the registration office.",
    "device-gone": "The token was pulled out or stopped answering. Plug it in again, leave it in, "
    "and start again.",
    "device-failed": "The token or its driver failed ({ckr}). Plug the token in again and start "
    "again; if it happens twice, go to the registration office.",
}


def sentence(error: DriverError, translated: Callable[[str], str] = str) -> str:
    """What happened and what to do now, in plain words for the person at the token.

    ``translated`` turns the English sentence, before its data is filled in, into another language.
    """
    words = {
        name: ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
        for name, value in error.data.items()
    }
    key = f"{error.code}/{error.data.get('which')}"
    english = _SENTENCES.get(key, _SENTENCES.get(error.code, error.code))
    return translated(english).format(**words)
