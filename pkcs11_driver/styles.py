"""Unblock styles: how a module family lets the holder of the SO secret set a new user PIN.

``so_init_pin``: ``C_Login(CKU_SO)``, then ``C_InitPIN``: the standard's way (PKCS#11 v2.40 section
5.5; OpenSC: ``init_pin_in_so_session``). The SO secret is the SO PIN.
``puk_set_pin``: ``C_SetPIN(PUK, new PIN)`` in a session without a user (ykcs11, with the prefixes
``puk:`` and ``pin:``; OpenSC: ``set_pin_in_unlogged_session``). The SO secret is the PUK.
``context_set_pin``: the same after ``C_Login(CKU_CONTEXT_SPECIFIC)`` (OpenSC:
``set_pin_in_specific_context``, opensc.conf(5)). No OpenSC up to 0.27 lets these calls through.

Rules:

1. Which style a token has is told by its family alone (``families``): no call that could spend a
   try.
2. A style that contradicts the family is refused: those modules answer one style's calls by
   comparing the PUK with the user PIN, or change the SO secret and reset nothing.
3. A style that cannot change the SO secret afterwards is refused before anything changed, unless
   the caller asks for no change: the only candidate is the next SO PIN. So is, for a family with
   few tries, a next SO secret that it cannot take.
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
from pkcs11_driver.families import CONTEXT_SET_PIN, PUK_SET_PIN, SO_INIT_PIN, family_of


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

    ``prefixes`` as in ``families.Family``.
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


def few_tries(token: pkcs11.Token) -> bool:
    """Whether a second wrong SO secret is one too many, or nobody knows the token's family."""
    family = family_of(token.manufacturer_id, token.model)
    return family is None or family.so_budget < 2


def fitting(style: str, token: pkcs11.Token, candidates: Sequence[str], next_so_pin: str) -> Style:
    """The adapter of a style for this token, when the whole reset can be done with it.

    Raises ``StyleUnsupported``, and ``PinRefused`` for a next SO secret that the token cannot take;
    no call that could spend a try is made.
    """
    chosen = adapter(style)
    family = family_of(token.manufacturer_id, token.model)
    if family is not None and style not in (family.style, family.other):
        raise StyleUnsupported(style)
    # where tries are few, not left to the token: it would refuse halfway, and be asked again
    if family is not None and family.so_budget < 2 and not family.takes(next_so_pin):
        raise PinRefused("CKR_PIN_LEN_RANGE")
    if chosen.logs_in:
        return chosen
    if family is not None and family.prefixes and style == PUK_SET_PIN:
        return PukSetPin(prefixes=True)
    if list(candidates) != [next_so_pin]:
        raise StyleUnsupported(style)
    return chosen
