"""Unblock styles: how a module family lets the holder of the SO secret set a new user PIN.

``so_init_pin``: ``C_Login(CKU_SO)`` and ``C_InitPIN``, the standard's way.
``puk_set_pin``: ``C_SetPIN(PUK, new PIN)`` without login (PIV cards). It is named so that such a
token is recognised and refused before anything changes: those modules answer ``C_InitPIN`` with
CKR_FUNCTION_NOT_SUPPORTED while ``C_SetPIN`` changes the SO secret.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping

import pkcs11
from pkcs11.exceptions import FunctionNotSupported, PKCS11Error

from pkcs11_driver.errors import DriverError, PinRefused, StyleUnsupported, translate

SO_INIT_PIN = "so_init_pin"
PUK_SET_PIN = "puk_set_pin"

# (part of the manufacturer, part of the model, style); the first row that fits, in lower case
_FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("yubico", "", PUK_SET_PIN),
    ("piv_ii", "", PUK_SET_PIN),
    ("safenet", "", SO_INIT_PIN),
    ("gemalto", "", SO_INIT_PIN),
    ("thales", "", SO_INIT_PIN),
    ("aladdin", "", SO_INIT_PIN),
    ("", "etoken", SO_INIT_PIN),
    ("softhsm", "", SO_INIT_PIN),
    ("ibm", "", SO_INIT_PIN),
)


def style_of(manufacturer: str, model: str) -> str:
    """The unblock style of a module family by CK_TOKEN_INFO's manufacturerID and model.

    A family that the table does not know gets the standard's way: a module without it refuses
    ``C_InitPIN`` before anything changed.
    """
    who, what = manufacturer.lower(), model.lower()
    return next((style for m, n, style in _FAMILIES if m in who and n in what), SO_INIT_PIN)


def is_refusal(error: DriverError) -> bool:
    """Whether a changing call was definitely refused, so that nothing changed."""
    return isinstance(error, PinRefused | StyleUnsupported)


class Style(typing.Protocol):
    """The two changing calls of an unblock style, both in an SO session."""

    name: str

    def set_user_pin(self, session: pkcs11.Session, new_user_pin: str) -> None:
        """Set the user PIN. Raises a typed error; ``is_refusal`` tells what it means."""

    def set_so_pin(self, session: pkcs11.Session, old: str, new: str) -> None:
        """Replace the SO PIN. Raises a typed error; ``is_refusal`` tells what it means."""


class SoInitPin:
    """``C_InitPIN`` and ``C_SetPIN`` in an SO session."""

    name = SO_INIT_PIN

    def set_user_pin(self, session: pkcs11.Session, new_user_pin: str) -> None:
        """``C_InitPIN``. Raises ``PinRefused``, ``StyleUnsupported``, or what is unclear."""
        try:
            session.init_pin(new_user_pin)
        except PKCS11Error as error:
            raise self._refusal(error) from None

    def set_so_pin(self, session: pkcs11.Session, old: str, new: str) -> None:
        """``C_SetPIN``. Raises ``PinRefused``, ``StyleUnsupported``, or what is unclear."""
        try:
            session.set_pin(old, new)
        except PKCS11Error as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> DriverError:
        if isinstance(error, FunctionNotSupported):
            return StyleUnsupported(self.name, "CKR_FUNCTION_NOT_SUPPORTED")
        return translate(error, which="so")


_STYLES: Mapping[str, Style] = {SO_INIT_PIN: SoInitPin()}


def adapter(style: str) -> Style:
    """The adapter of a style. Raises ``StyleUnsupported`` for one that is not built in."""
    if style not in _STYLES:
        raise StyleUnsupported(style)
    return _STYLES[style]
