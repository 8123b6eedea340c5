"""What is done to a token: list, sign, and reset the user PIN with the SO PIN.

A process that calls these loads the module for good; ``isolated`` has the same operations in a
process of their own. The order of a reset stands in ``resetting``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pkcs11
from pkcs11 import PKCS11Error

from pkcs11_driver import library, signing
from pkcs11_driver.errors import translate
from pkcs11_driver.families import style_of
from pkcs11_driver.receipt import Receipt, outcome
from pkcs11_driver.resetting import Reset, Watch, check_candidates
from pkcs11_driver.signing import Signed
from pkcs11_driver.styles import adapter, few_tries, fitting

__all__ = [
    "Receipt",
    "Signed",
    "TokenStatus",
    "detect_style",
    "list_tokens",
    "outcome",
    "reset_user_pin",
    "sign",
]


@dataclass(frozen=True)
class TokenStatus:
    """One token as CK_TOKEN_INFO shows it.

    ``user_pin`` and ``so_pin``: ``ok``, ``count-low``, ``final-try``, ``locked``,
    ``to-be-changed`` or ``not-initialised``; ``certificates``: pairs of key identifier and DER,
    those that are visible without login.
    """

    serial: str
    label: str
    manufacturer: str
    model: str
    module: str
    slot: int
    user_pin: str
    so_pin: str
    certificates: tuple[tuple[bytes, bytes], ...]


def list_tokens(module: str) -> list[TokenStatus]:
    """The tokens that a module shows, with the state of their PINs.

    A token that does not answer is left out; one whose objects cannot be read has no certificates.
    Raises ``ModuleNotLoadable``, ``DeviceGone``, ``DeviceFailed``.
    """
    library.end_sessions(module)
    return [_status(module, token) for token in library.tokens(module)]


def _status(module: str, token: pkcs11.Token) -> TokenStatus:
    seen: tuple[tuple[bytes, bytes], ...] = ()
    with contextlib.suppress(PKCS11Error), token.open(rw=True) as session:
        seen = signing.certificates(session)
    return TokenStatus(
        serial=library.serial_of(token),
        label=token.label,
        manufacturer=token.manufacturer_id,
        model=token.model,
        module=module,
        slot=token.slot.slot_id,
        user_pin=library.pin_state(token.flags, "user"),
        so_pin=library.pin_state(token.flags, "so"),
        certificates=seen,
    )


def detect_style(module: str, serial: str) -> str:
    """The unblock style of the token with this serial, by its module family.

    Raises ``TokenNotFound``, ``TokenAmbiguous``, ``ModuleNotLoadable``, ``DeviceFailed``.
    """
    token = library.find(module, serial)
    return style_of(token.manufacturer_id, token.model)


def sign(
    module: str, serial: str, *, user_pin: str, data: bytes, key_id: bytes | None = None
) -> Signed:
    """Sign ``data`` with the holder's key (``C_Login``, ``C_Sign``); one login, never repeated.

    ``key_id``: CKA_ID of the key; without it, the only signing key that has a certificate.
    Raises ``PinIncorrect``, ``PinLocked``, ``PinRefused``, ``KeyNotFound``,
    ``CertificateNotFound``, ``TokenNotFound``, ``TokenAmbiguous``, ``ModuleNotLoadable``,
    ``DeviceGone``, ``DeviceFailed``.
    """
    library.end_sessions(module)
    with library.login(module, serial, "user", user_pin) as session:
        try:
            return signing.sign(session, user_pin, data, key_id)
        except PKCS11Error as error:
            raise translate(error) from None


def reset_user_pin(
    module: str,
    serial: str,
    *,
    style: str,
    candidates: Sequence[str],
    next_so_pin: str,
    new_user_pin: str,
    challenge: bytes,
    key_id: bytes | None = None,
    progress: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Receipt:
    """Reset the user PIN in the order of ``resetting``, and rotate the SO PIN.

    ``candidates``: one or two SO PINs, tried in this order; ``next_so_pin``: the one in force
    afterwards; ``challenge``: the bytes that the holder's key signs as proof; ``progress``: told
    each step's name when it has happened; ``watch``: told each call before it is made
    (``resetting.Watch``).
    Returns the receipt, also when something failed after the first changing call.
    Raises ``StyleUnsupported``, ``TokenNotFound``, ``TokenAmbiguous``, ``ModuleNotLoadable``,
    ``PinLocked``, ``PinFinalTry``, ``PinIncorrect`` (every candidate), ``PinRefused``,
    ``DeviceGone``, ``DeviceFailed``; then nothing has changed. ``ValueError``: not one or two
    different candidates.
    """
    check_candidates(candidates)
    adapter(style)
    library.check_text(new_user_pin, next_so_pin, *candidates)
    library.end_sessions(module)
    token = library.find(module, serial)
    chosen = fitting(style, token, candidates, next_so_pin)
    run = Reset(module, serial, chosen, progress, watch, few_tries=few_tries(token))
    return run.whole(candidates, next_so_pin, new_user_pin, challenge, key_id)
