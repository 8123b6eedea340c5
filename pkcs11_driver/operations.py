"""What is done to a token: list, sign, and reset the user PIN with the SO PIN.

The order of a reset (S1.2, S1.23; each wrong order is guarded and tested):

1. Find exactly the token with this serial; refuse by its live flags before an SO try is spent.
2. SO login with the candidates in order, at most two; only CKR_PIN_INCORRECT goes on to the next.
3. ``C_InitPIN`` with the new user PIN, logout.
4. Prove it: user login with the new PIN, sign the challenge with the holder's key, logout.
5. Only then SO login again, ``C_SetPIN`` from the candidate to the next SO PIN, logout.
6. SO login with the next SO PIN, logout. Only this login makes ``so_pin_in_force`` "next".

When the candidate that works already is the next SO PIN, steps 5 and 6 are over before they begin.
Before the first changing call, and when that call was definitely refused, errors are raised: the
token is as it was. After it nothing is raised: the receipt says how far it went.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pkcs11
from pkcs11 import PKCS11Error

from pkcs11_driver import library, signing
from pkcs11_driver.errors import DriverError, PinIncorrect, PinLocked, translate
from pkcs11_driver.signing import Signed
from pkcs11_driver.styles import Style, adapter, is_refusal, style_of
from pkcs11_driver.wire import Outcome

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

MAX_CANDIDATES = 2


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


@dataclass(frozen=True)
class Receipt:
    """What a reset did.

    ``steps``: what happened, in order. ``so_pin_in_force``: ``next``, ``candidate-N`` (N counts
    from 0) or ``unknown``. ``user_pin_set``: the token took the new user PIN. ``signature`` and
    ``certificate``: the proof (formats: ``signing``), empty when it was not reached. ``error``:
    why it went no further; a receipt can be complete and still name what happened on the way.
    """

    steps: tuple[str, ...]
    so_pin_in_force: str
    user_pin_set: bool
    signature: bytes
    certificate: bytes
    error: DriverError | None = None


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
) -> Receipt:
    """Reset the user PIN in the order of the module docstring, and rotate the SO PIN.

    ``candidates``: one or two SO PINs, tried in this order; ``next_so_pin``: the one in force
    afterwards; ``challenge``: the bytes that the holder's key signs as proof; ``progress``: told
    each step's name when it has happened.
    Returns the receipt, also when something failed after the first changing call.
    Raises ``StyleUnsupported``, ``TokenNotFound``, ``TokenAmbiguous``, ``ModuleNotLoadable``,
    ``PinLocked``, ``PinFinalTry``, ``PinIncorrect`` (every candidate), ``PinRefused``,
    ``DeviceGone``, ``DeviceFailed``; then nothing has changed. ``ValueError``: not one or two
    different candidates.
    """
    if not 1 <= len(set(candidates)) == len(candidates) <= MAX_CANDIDATES:
        raise ValueError(f"one to {MAX_CANDIDATES} different candidates are needed")
    chosen = adapter(style)
    library.check_text(new_user_pin, next_so_pin, *candidates)
    library.end_sessions(module)
    run = _Reset(module, serial, chosen, progress)
    worked = run.set_user_pin(candidates, next_so_pin, new_user_pin)
    if run.error is None:
        with run.recorded():
            run.prove(new_user_pin, challenge, key_id)
    if run.error is None and candidates[worked] != next_so_pin:
        with run.recorded():
            run.rotate(candidates[worked], worked, next_so_pin)
    if run.error is None:
        run.step("done")
    return run.receipt()


class _Reset:
    """One reset under way: what has happened so far. Holds no PIN."""

    def __init__(
        self, module: str, serial: str, style: Style, progress: Callable[[str], None] | None
    ) -> None:
        self.module = module
        self.serial = serial
        self.style = style
        self.progress = progress
        self.steps: list[str] = []
        self.so_pin_in_force = "unknown"
        self.user_pin_set = False
        self.signed = Signed(b"", b"", "")
        self.error: DriverError | None = None

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.progress is not None:
            # a display that breaks must not stop a reset between two changing calls
            with contextlib.suppress(Exception):
                self.progress(name)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """After the first changing call: whatever happens goes into the receipt."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a lost receipt leaves the SO PIN unknown
            self.error = translate(error)

    def receipt(self) -> Receipt:
        return Receipt(
            tuple(self.steps),
            self.so_pin_in_force,
            self.user_pin_set,
            self.signed.signature,
            self.signed.certificate,
            self.error,
        )

    def set_user_pin(self, candidates: Sequence[str], next_so_pin: str, new_user_pin: str) -> int:
        """Steps 1 to 3; returns the index of the candidate that worked."""
        for index, so_pin in enumerate(candidates):
            try:
                with library.login(
                    self.module, self.serial, "so", so_pin, candidate=index, careful=True
                ) as session:
                    self.step("so-login")
                    already = so_pin == next_so_pin
                    self.so_pin_in_force = "next" if already else f"candidate-{index}"
                    self._init_pin(session, new_user_pin)
                return index
            except PinIncorrect:
                self.step("so-pin-incorrect")
                if index + 1 == len(candidates):
                    raise
        raise RuntimeError("no candidate was tried")

    def _init_pin(self, session: pkcs11.Session, new_user_pin: str) -> None:
        try:
            self.style.set_user_pin(session, new_user_pin)
        except DriverError as error:
            if is_refusal(error):
                raise
            self.step("user-pin-unclear")
            self.error = error
        else:
            self.user_pin_set = True
            self.step("user-pin-set")

    def prove(self, new_user_pin: str, challenge: bytes, key_id: bytes | None) -> None:
        """Step 4: only a signature under the new PIN shows that the token works again."""
        try:
            with library.login(self.module, self.serial, "user", new_user_pin) as session:
                self.step("user-login")
                self.signed = signing.sign(session, new_user_pin, challenge, key_id)
        except PinIncorrect:
            # the token said OK to C_InitPIN and does not know the PIN
            self.user_pin_set = False
            raise
        self.step("challenge-signed")

    def rotate(self, so_pin: str, index: int, next_so_pin: str) -> None:
        """Steps 5 and 6."""
        unclear: DriverError | None = None
        with library.login(self.module, self.serial, "so", so_pin, candidate=index) as session:
            try:
                # set before the call: nothing that happens inside it may leave the old claim
                self.so_pin_in_force = "unknown"
                self.style.set_so_pin(session, so_pin, next_so_pin)
                self.step("so-pin-set")
            except DriverError as error:
                if is_refusal(error):
                    self.so_pin_in_force = f"candidate-{index}"
                    raise
                self.step("so-pin-unclear")
                unclear = error
        try:
            # one try with the next SO PIN and no other: the rest of the tries is the office's
            with library.login(self.module, self.serial, "so", next_so_pin, careful=True):
                self.so_pin_in_force = "next"
                self.step("so-pin-proven")
        except DriverError as error:
            raise unclear or error from None
        if unclear is not None:
            raise unclear


def outcome(result: Receipt | DriverError) -> Outcome:
    """The word of the report for a receipt, or for the error that a reset raised.

    A complete receipt is ``done`` even when it names an error on the way. An error that was raised
    left the token as it was.
    """
    if isinstance(result, Receipt):
        if not (result.user_pin_set and result.signature):
            return "unknown"
        if result.so_pin_in_force == "next":
            return "done"
        return "unknown" if result.so_pin_in_force == "unknown" else "rotation-due"
    if result.data.get("which") == "so":
        if isinstance(result, PinIncorrect):
            return "so-pin-refused"
        if isinstance(result, PinLocked):
            return "so-pin-locked"
    return "untouched"
