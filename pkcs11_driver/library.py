"""Modules, slots and tokens: load a module, find one token by serial, open and end sessions.

Rules:

1. One process loads a module, one thread calls it: python-pkcs11 initialises without locks.
2. A token is searched again before every login, so that a token swapped in between is noticed
   and its flags are the live ones (``Token.flags`` is frozen when the object is made).
3. Sessions are read-write and are always ended: by logout and close, and where that fails, or a
   login failed and left its session open, by ``C_Finalize`` and ``C_Initialize``.
4. A token is known by its serial alone, never by its label: one without a serial is never found.
"""

from __future__ import annotations

import contextlib
import os
import typing
from collections.abc import Iterator

import pkcs11
from pkcs11 import PKCS11Error, TokenFlag
from pkcs11.exceptions import UserNotLoggedIn

from pkcs11_driver import signing
from pkcs11_driver.errors import (
    DriverError,
    ModuleNotLoadable,
    PinFinalTry,
    PinIncorrect,
    PinLocked,
    PinRefused,
    TokenAmbiguous,
    TokenNotFound,
    Which,
    ckr_name,
    translate,
)

if typing.TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Library

# CKU_CONTEXT_SPECIFIC, which python-pkcs11 takes and does not name
_CONTEXT_SPECIFIC: typing.Any = 2
# CK_INFO's manufacturerID of a module that shows each PIN of a card as a token of its own
_SHOWS_EACH_PIN = "OpenSC Project"
# a short command of ISO/IEC 7816-4 carries no more, and SoftHSM takes no more
_LONGEST_PIN = 255

_STATES = {
    "user": (
        (TokenFlag.USER_PIN_LOCKED, "locked"),
        (TokenFlag.USER_PIN_FINAL_TRY, "final-try"),
        (TokenFlag.USER_PIN_COUNT_LOW, "count-low"),
        (TokenFlag.USER_PIN_TO_BE_CHANGED, "to-be-changed"),
    ),
    "so": (
        (TokenFlag.SO_PIN_LOCKED, "locked"),
        (TokenFlag.SO_PIN_FINAL_TRY, "final-try"),
        (TokenFlag.SO_PIN_COUNT_LOW, "count-low"),
        (TokenFlag.SO_PIN_TO_BE_CHANGED, "to-be-changed"),
    ),
}


def pin_state(flags: TokenFlag, which: Which) -> str:
    """The state of a PIN as CK_TOKEN_INFO tells it.

    Returns ``not-initialised``, ``locked``, ``final-try``, ``count-low``, ``to-be-changed`` or
    ``ok``, the first that applies. Some modules never set these flags and some set them falsely:
    CKR_PIN_LOCKED is the truth.
    """
    needed = TokenFlag.USER_PIN_INITIALIZED if which == "user" else TokenFlag.TOKEN_INITIALIZED
    if not flags & needed:
        return "not-initialised"
    return next((name for flag, name in _STATES[which] if flags & flag), "ok")


def serial_of(token: pkcs11.Token) -> str:
    """The token's serial as text, without the blanks and NULs that pad it."""
    return token.serial.decode("utf-8", "replace").strip("\0 ")


def load(module: str) -> Library:
    """Load and initialise a PKCS#11 module (``C_Initialize``).

    Raises ``ModuleNotLoadable``.
    """
    # a relative name would be searched for in the library path of the machine
    if not os.path.isfile(module):
        raise ModuleNotLoadable(module, "there is no such file")
    try:
        return pkcs11.lib(os.path.abspath(module))
    except (PKCS11Error, OSError) as error:
        why = str(error).rpartition(": ")[2] or ckr_name(error)
        raise ModuleNotLoadable(module, why) from None


def end_sessions(module: str) -> None:
    """End every session of this process with the module (``C_Finalize``, ``C_Initialize``).

    Raises ``ModuleNotLoadable``.
    """
    library = load(module)
    try:
        library.reinitialize()
    except PKCS11Error:
        # C_Finalize failed: python-pkcs11 now counts the module as closed, and load() opens it
        load(module)


def finalize(module: str) -> None:
    """End the module's use in this process (``C_Finalize``), so that it lets go of the token."""
    with contextlib.suppress(PKCS11Error, DriverError):
        load(module).finalize()


def tokens(module: str) -> list[pkcs11.Token]:
    """The tokens that the module shows (``C_GetSlotList``, ``C_GetTokenInfo``).

    A slot whose token does not answer is left out and hides no other. An empty place of a module
    that offers one for new tokens is no token: it is not initialised, and has no serial or that of
    a token that is. Of one card whose PINs are shown as tokens, those with a certificate stand for
    it, where there are such.
    Raises ``ModuleNotLoadable``, ``DeviceGone``, ``DeviceFailed``.
    """
    library = load(module)
    try:
        slots = library.get_slots(token_present=True)
    except PKCS11Error:
        # a token pulled between the list and its details: look once more
        end_sessions(module)
        try:
            slots = library.get_slots(token_present=True)
        except PKCS11Error as error:
            raise translate(error) from None
    found = []
    for slot in slots:
        with contextlib.suppress(PKCS11Error):
            token = slot.get_token()
            if serial_of(token) or token.flags & TokenFlag.TOKEN_INITIALIZED:
                found.append(token)
    taken = {serial_of(t) for t in found if t.flags & TokenFlag.TOKEN_INITIALIZED}
    real = [t for t in found if t.flags & TokenFlag.TOKEN_INITIALIZED or serial_of(t) not in taken]
    return _with_certificates(real) if library.manufacturer_id == _SHOWS_EACH_PIN else real


def _with_certificates(found: list[pkcs11.Token]) -> list[pkcs11.Token]:
    """Without those that are another PIN of a card that shows its certificate elsewhere: the same
    serial in the same reader. Two cards are in two readers and stay two."""
    cards: dict[tuple[str, str], list[pkcs11.Token]] = {}
    for token in found:
        cards.setdefault((token.slot.slot_description, serial_of(token)), []).append(token)
    left = []
    for pins in cards.values():
        certified = [pin for pin in pins if len(pins) > 1 and _shows_a_certificate(pin)]
        left.extend(certified or pins)
    return left


def _shows_a_certificate(token: pkcs11.Token) -> bool:
    with contextlib.suppress(PKCS11Error), token.open(rw=True) as session:
        return bool(signing.certificates(session))
    return False


def find(module: str, serial: str) -> pkcs11.Token:
    """The one token with this serial.

    Raises ``TokenNotFound``, ``TokenAmbiguous``, ``ModuleNotLoadable``, ``DeviceFailed``.
    """
    seen, wanted = tokens(module), serial.strip("\0 ")
    matching = [token for token in seen if wanted and serial_of(token) == wanted]
    if not matching:
        raise TokenNotFound(serial, [serial_of(token) for token in seen])
    if len(matching) > 1:
        raise TokenAmbiguous(serial, [token.slot.slot_id for token in matching])
    return matching[0]


def check_text(*pins: str) -> None:
    """Refuse PINs that have no UTF-8 form, before python-pkcs11 raises an error that quotes them,
    and empty ones: tpm2-pkcs11 takes them, and others ask for a PIN by themselves. Those that are
    too long for any card OpenSC refuses with an answer that could mean anything.

    Raises ``PinRefused``.
    """
    if any("\ud800" <= character <= "\udfff" for pin in pins for character in pin):
        raise PinRefused("CKR_PIN_INVALID")
    if not all(1 <= len(pin.encode()) <= _LONGEST_PIN for pin in pins):
        raise PinRefused("CKR_PIN_LEN_RANGE")


def check_tries(token: pkcs11.Token, which: Which) -> None:
    """Refuse before a try is spent that would fail or could be the last (S1.28).

    Raises ``PinLocked``, ``PinFinalTry``.
    """
    state = pin_state(token.flags, which)
    if state == "locked":
        raise PinLocked(which)
    if state == "final-try":
        raise PinFinalTry(which)


@contextlib.contextmanager
def login(
    module: str, serial: str, which: Which, pin: str, *, candidate: int = 0, careful: bool = False
) -> Iterator[pkcs11.Session]:
    """A read-write session, logged in (``C_OpenSession``, ``C_Login``), logged out at the end.

    ``candidate`` goes into PinIncorrect; ``careful`` refuses by the live flags before the try.
    Raises what ``find``, ``check_text`` and ``check_tries`` raise, and the login's typed error.
    """
    check_text(pin)
    token = find(module, serial)
    if careful:
        check_tries(token, which)
    try:
        session = (
            token.open(rw=True, so_pin=pin) if which == "so" else token.open(rw=True, user_pin=pin)
        )
    except PKCS11Error as error:
        # a failed login leaves its session open
        with contextlib.suppress(DriverError):
            end_sessions(module)
        # so OpenSC calls a wrong PIN of a card that says "security status not satisfied" to it
        if isinstance(error, UserNotLoggedIn):
            raise PinIncorrect(which, candidate) from None
        raise translate(error, which=which, candidate=candidate) from None
    with ended(module, session):
        yield session


@contextlib.contextmanager
def unlogged(
    module: str, serial: str, *, context_pin: str | None = None
) -> Iterator[pkcs11.Session]:
    """A read-write session without a user (``C_OpenSession``), refused by the live SO flags first.

    ``context_pin``: also ``C_Login(CKU_CONTEXT_SPECIFIC)`` with it.
    Raises what ``find``, ``check_text`` and ``check_tries`` raise, and ``PKCS11Error``.
    """
    token = find(module, serial)
    check_tries(token, "so")
    try:
        if context_pin is None:
            session = token.open(rw=True)
        else:
            check_text(context_pin)
            session = token.open(rw=True, user_pin=context_pin, user_type=_CONTEXT_SPECIFIC)
    except PKCS11Error:
        with contextlib.suppress(DriverError):
            end_sessions(module)
        raise
    with ended(module, session):
        yield session


@contextlib.contextmanager
def ended(module: str, session: pkcs11.Session) -> Iterator[None]:
    """Log out and close the session at the end, whatever the module says to it."""
    try:
        yield
    finally:
        try:
            session.close()
        except PKCS11Error:
            with contextlib.suppress(DriverError):
                end_sessions(module)
