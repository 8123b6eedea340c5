"""Unblock styles: how a module family lets the holder of the SO secret set a new user PIN.

``so_init_pin``: ``C_Login(CKU_SO)``, then ``C_InitPIN``: the standard's way (PKCS#11 v2.40 section
5.5; OpenSC: ``init_pin_in_so_session``). The SO secret is the SO PIN.
``puk_set_pin``: ``C_SetPIN(PUK, new PIN)`` in a session without a user (ykcs11, with the prefixes
``puk:`` and ``pin:``; OpenSC: ``set_pin_in_unlogged_session``). The SO secret is the PUK.
``context_set_pin``: the same after ``C_Login(CKU_CONTEXT_SPECIFIC)`` (OpenSC:
``set_pin_in_specific_context``, opensc.conf(5)). No OpenSC up to 0.27 lets these calls through.

Rules:

1. Which style a token has is told by its family alone: no call that could spend a try.
2. A style that contradicts the family is refused: those modules answer one style's calls by
   comparing the PUK with the user PIN, or change the SO secret and reset nothing.
3. A style that cannot change the SO secret afterwards is refused before anything changed, unless
   the caller asks for no change: the only candidate is the next SO PIN.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pkcs11
from pkcs11.exceptions import (
    DataInvalid,
    DataLenRange,
    FunctionNotSupported,
    OperationNotInitialized,
    PKCS11Error,
)

from pkcs11_driver import library
from pkcs11_driver.errors import (
    DriverError,
    PinIncorrect,
    PinLocked,
    PinRefused,
    StyleUnsupported,
    ckr_name,
    translate,
)

SO_INIT_PIN = "so_init_pin"
PUK_SET_PIN = "puk_set_pin"
CONTEXT_SET_PIN = "context_set_pin"


@dataclass(frozen=True)
class Family:
    """Tokens whose manufacturerID and model hold these parts, in lower case, and their style.

    ``prefixes``: the module tells PUK and PIN apart by ``puk:`` and ``pin:``, and changes PUKs.
    ``other``: a style that an administrator may have set instead.
    """

    manufacturer: str
    model: str
    style: str
    prefixes: bool = False
    other: str = ""


# the first row that fits
FAMILIES = (
    # the model tells ykcs11's tokens from the OpenPGP application of a YubiKey behind OpenSC
    Family("yubico", "yubikey", PUK_SET_PIN, prefixes=True),
    Family("piv_ii", "", PUK_SET_PIN, other=CONTEXT_SET_PIN),
    Family("safenet", "", SO_INIT_PIN),
    Family("gemalto", "", SO_INIT_PIN),
    Family("thales", "", SO_INIT_PIN),
    Family("aladdin", "", SO_INIT_PIN),
    Family("", "etoken", SO_INIT_PIN),
    Family("softhsm", "", SO_INIT_PIN),
    Family("ibm", "", SO_INIT_PIN),
    Family("openpgp", "", SO_INIT_PIN),
)
# SP 800-73-4 part 2, section 2.4.3: a PUK has 8 bytes; shorter ones are padded
_PUK_BYTES = range(6, 9)


def family_of(manufacturer: str, model: str) -> Family | None:
    """The row of the table for CK_TOKEN_INFO's manufacturerID and model."""
    who, what = manufacturer.lower(), model.lower()
    return next((f for f in FAMILIES if f.manufacturer in who and f.model in what), None)


def style_of(manufacturer: str, model: str) -> str:
    """The unblock style of a module family by CK_TOKEN_INFO's manufacturerID and model.

    A family that the table does not know gets the standard's way: a module without it refuses
    ``C_InitPIN`` before anything changed.
    """
    family = family_of(manufacturer, model)
    return family.style if family else SO_INIT_PIN


class Style(typing.Protocol):
    """The calls of an unblock style on one token."""

    @property
    def name(self) -> str:
        """The name of the style."""

    @property
    def logs_in(self) -> bool:
        """Whether opening a session proves the SO secret."""

    def opened(
        self, module: str, serial: str, so_pin: str, candidate: int
    ) -> contextlib.AbstractContextManager[pkcs11.Session]:
        """A session for the calls below; ``careful`` by the live flags. Raises a typed error."""

    def set_user_pin(self, session: pkcs11.Session, so_pin: str, new: str, candidate: int) -> None:
        """Set the user PIN. Raises a typed error; ``is_refusal`` tells what it means."""

    def set_so_pin(self, session: pkcs11.Session, old: str, new: str) -> None:
        """Replace the SO secret. Raises a typed error; ``is_refusal`` tells what it means."""

    def is_refusal(self, error: DriverError) -> bool:
        """Whether a changing call was definitely refused, so that nothing changed."""


class SoInitPin:
    """``C_InitPIN`` and ``C_SetPIN`` in an SO session."""

    name = SO_INIT_PIN
    logs_in = True

    def opened(
        self, module: str, serial: str, so_pin: str, candidate: int
    ) -> contextlib.AbstractContextManager[pkcs11.Session]:
        """``C_Login(CKU_SO)``."""
        return library.login(module, serial, "so", so_pin, candidate=candidate, careful=True)

    def set_user_pin(self, session: pkcs11.Session, so_pin: str, new: str, candidate: int) -> None:
        """``C_InitPIN``. Raises ``PinRefused``, ``StyleUnsupported``, or what is unclear."""
        with _typed(self.name, candidate):
            session.init_pin(new)

    def set_so_pin(self, session: pkcs11.Session, old: str, new: str) -> None:
        """``C_SetPIN``. Raises ``PinRefused``, ``StyleUnsupported``, or what is unclear."""
        with _typed(self.name):
            session.set_pin(old, new)

    def is_refusal(self, error: DriverError) -> bool:
        """By PKCS#11 v2.40 section 5.5, these answers come before any change."""
        return isinstance(error, PinRefused | StyleUnsupported)


@dataclass(frozen=True)
class PukSetPin:
    """``C_SetPIN`` with the PUK in a session without a user, or one of the context's user.

    ``prefixes`` as in ``Family``.
    """

    prefixes: bool = False
    context: bool = False
    logs_in = False

    @property
    def name(self) -> str:
        """The name of the style."""
        return CONTEXT_SET_PIN if self.context else PUK_SET_PIN

    @contextlib.contextmanager
    def opened(
        self, module: str, serial: str, so_pin: str, candidate: int
    ) -> typing.Iterator[pkcs11.Session]:
        """``C_OpenSession``, and for the context's user ``C_Login(CKU_CONTEXT_SPECIFIC)``."""
        opening = library.unlogged(module, serial, context_pin=so_pin if self.context else None)
        with contextlib.ExitStack() as stack:
            with _typed(self.name, candidate):
                session = stack.enter_context(opening)
            yield session

    def set_user_pin(self, session: pkcs11.Session, so_pin: str, new: str, candidate: int) -> None:
        """``C_SetPIN(PUK, new PIN)``, which compares the PUK as well."""
        puk, pin = ("puk:", "pin:") if self.prefixes else ("", "")
        with _typed(self.name, candidate):
            session.set_pin(puk + so_pin, pin + new)

    def set_so_pin(self, session: pkcs11.Session, old: str, new: str) -> None:
        """``C_SetPIN("puk:old", "puk:new")``."""
        if not self.prefixes:
            raise StyleUnsupported(self.name)
        with _typed(self.name):
            session.set_pin(f"puk:{old}", f"puk:{new}")

    def is_refusal(self, error: DriverError) -> bool:
        """A wrong or locked PUK is compared before any change (SP 800-73-4 part 2, 3.2.2)."""
        return isinstance(error, PinRefused | StyleUnsupported | PinIncorrect | PinLocked)


@contextlib.contextmanager
def _typed(style: str, candidate: int = 0) -> typing.Iterator[None]:
    try:
        yield
    except (FunctionNotSupported, OperationNotInitialized) as error:
        raise StyleUnsupported(style, ckr_name(error)) from None
    except (DataInvalid, DataLenRange) as error:
        # OpenSC's names for SW 6A80 and 6700 to a PIN: checked before any change (ISO/IEC 7816-4)
        raise PinRefused(ckr_name(error)) from None
    except PKCS11Error as error:
        raise translate(error, which="so", candidate=candidate) from None


_STYLES: Mapping[str, Style] = {
    SO_INIT_PIN: SoInitPin(),
    PUK_SET_PIN: PukSetPin(),
    CONTEXT_SET_PIN: PukSetPin(context=True),
}


def adapter(style: str) -> Style:
    """The adapter of a style. Raises ``StyleUnsupported`` for one that is not built in."""
    if style not in _STYLES:
        raise StyleUnsupported(style)
    return _STYLES[style]


def fitting(style: str, token: pkcs11.Token, candidates: Sequence[str], next_so_pin: str) -> Style:
    """The adapter of a style for this token, when the whole reset can be done with it.

    Raises ``StyleUnsupported``, and ``PinRefused`` for a next PUK that the token cannot take; no
    call that could spend a try is made.
    """
    chosen = adapter(style)
    family = family_of(token.manufacturer_id, token.model)
    if family is not None and style not in (family.style, family.other):
        raise StyleUnsupported(style)
    if chosen.logs_in:
        return chosen
    if family is not None and family.prefixes and style == PUK_SET_PIN:
        if len(next_so_pin.encode()) not in _PUK_BYTES:
            raise PinRefused("CKR_PIN_LEN_RANGE")
        return PukSetPin(prefixes=True)
    if list(candidates) != [next_so_pin]:
        raise StyleUnsupported(style)
    return chosen
