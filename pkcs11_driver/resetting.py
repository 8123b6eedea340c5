"""One reset under way: its order, and what has happened so far.

The order (S1.2, S1.23; each wrong order is guarded and tested):

1. Find exactly the token with this serial; refuse by its live flags before an SO try is spent.
2. SO login with the candidates in order, at most two; only CKR_PIN_INCORRECT goes on to the next.
3. Set the new user PIN (``C_InitPIN``), logout.
4. Prove it: user login with the new PIN, sign the challenge with the holder's key, logout.
5. Only then SO login again, ``C_SetPIN`` from the candidate to the next SO PIN, logout.
6. SO login with the next SO PIN, logout. Only this login makes ``so_pin_in_force`` "next". Where
   step 5 is unclear and the token has few tries, it is left to the next order: it begins with it.

A style that has no SO login (``styles``) compares the SO secret in the changing call itself; its
step 6 sets the next secret once more, from itself to itself. When the candidate that works already
is the next SO PIN, steps 5 and 6 are over before they begin.
Before the first changing call, and when that call was definitely refused, errors are raised: the
token is as it was. After it nothing is raised: the receipt says how far it went.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import pkcs11

from pkcs11_driver import library, signing
from pkcs11_driver.crashpoints import crashpoint
from pkcs11_driver.errors import DriverError, PinIncorrect, translate
from pkcs11_driver.receipt import Receipt
from pkcs11_driver.signing import Signed
from pkcs11_driver.styles import Style

MAX_CANDIDATES = 2

# Told (call, "", now) before each call and ("", step, now) after each step. ``now`` is the receipt
# that holds if nothing more is ever heard; None: the token is as it was.
Watch = Callable[[str, str, Receipt | None], None]


def check_candidates(candidates: Sequence[str]) -> None:
    """Raises ``ValueError`` unless there are one or two, and different ones."""
    if not 1 <= len(set(candidates)) == len(candidates) <= MAX_CANDIDATES:
        raise ValueError(f"one to {MAX_CANDIDATES} different candidates are needed")


class Reset:
    """One reset. Holds no PIN."""

    def __init__(
        self,
        module: str,
        serial: str,
        style: Style,
        progress: Callable[[str], None] | None,
        watch: Watch | None,
        *,
        few_tries: bool,
    ) -> None:
        self.module = module
        self.serial = serial
        self.style = style
        self.progress = progress
        self.watch = watch
        self.few_tries = few_tries
        self.steps: list[str] = []
        self.so_pin_in_force = "unknown"
        self.user_pin_set = False
        self.signed = Signed(b"", b"", "")
        self.error: DriverError | None = None
        self.changed = False

    def whole(
        self,
        candidates: Sequence[str],
        next_so_pin: str,
        new_user_pin: str,
        challenge: bytes,
        key_id: bytes | None,
    ) -> Receipt:
        """All steps. Returns and raises as ``operations.reset_user_pin``."""
        worked = self._set_user_pin(candidates, next_so_pin, new_user_pin)
        if self.error is None:
            with self._recorded():
                self._prove(new_user_pin, challenge, key_id)
        if self.error is None and candidates[worked] != next_so_pin:
            with self._recorded():
                self._rotate(candidates[worked], worked, next_so_pin)
        if self.error is None:
            self._step("done")
        return self._receipt()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.progress is not None:
            # a display that breaks must not stop a reset between two changing calls
            with contextlib.suppress(Exception):
                self.progress(name)
        self._tell("", name)

    def _before(self, call: str, unclear: str = "") -> None:
        """Announce a call; a changing one with the step that is true if it never comes back."""
        self.changed = self.changed or bool(unclear)
        self._tell(call, "", unclear)
        crashpoint(f"token.{call}.before")

    def _tell(self, call: str, step: str, unclear: str = "") -> None:
        if self.watch is not None:
            self.watch(call, step, self._receipt(unclear) if self.changed else None)

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """After the first changing call: whatever happens goes into the receipt."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a lost receipt leaves the SO PIN unknown
            self.error = translate(error)

    def _receipt(self, unclear: str = "") -> Receipt:
        return Receipt(
            (*self.steps, unclear) if unclear else tuple(self.steps),
            self.so_pin_in_force,
            self.user_pin_set,
            self.signed.signature,
            self.signed.certificate,
            self.error,
        )

    def _set_user_pin(self, candidates: Sequence[str], next_so_pin: str, new_user_pin: str) -> int:
        """Steps 1 to 3; returns the index of the candidate that worked."""
        for index, so_pin in enumerate(candidates):
            name = "next" if so_pin == next_so_pin else f"candidate-{index}"
            try:
                self._before("so-login")
                with self.style.opened(self.module, self.serial, so_pin, index) as session:
                    crashpoint("token.so-login.after")
                    if self.style.logs_in:
                        self._let_in(name)
                    self._set_in(session, so_pin, new_user_pin, index, name)
                return index
            except PinIncorrect:
                self._step("so-pin-incorrect")
                if index + 1 == len(candidates):
                    raise
        raise RuntimeError("no candidate was tried")

    def _let_in(self, so_pin: str) -> None:
        self.so_pin_in_force = so_pin
        self._step("so-login")

    def _set_in(
        self, session: pkcs11.Session, so_pin: str, new_user_pin: str, index: int, name: str
    ) -> None:
        self._before("set-user-pin", "user-pin-unclear")
        try:
            self.style.set_user_pin(session, so_pin, new_user_pin, index)
        except DriverError as error:
            if self.style.is_refusal(error):
                self.changed = False
                raise
            self.error = error
            self._step("user-pin-unclear")
            return
        crashpoint("token.set-user-pin.after")
        self.user_pin_set = True
        if not self.style.logs_in:
            self._let_in(name)
        self._step("user-pin-set")

    def _prove(self, new_user_pin: str, challenge: bytes, key_id: bytes | None) -> None:
        """Step 4: only a signature under the new PIN shows that the token works again."""
        self._before("user-login")
        try:
            with library.login(self.module, self.serial, "user", new_user_pin) as session:
                crashpoint("token.user-login.after")
                self._step("user-login")
                self._before("sign")
                self.signed = signing.sign(session, new_user_pin, challenge, key_id)
        except PinIncorrect:
            # the token said OK to the new PIN and does not know it
            self.user_pin_set = False
            raise
        crashpoint("token.sign.after")
        self._step("challenge-signed")

    def _rotate(self, so_pin: str, index: int, next_so_pin: str) -> None:
        """Steps 5 and 6."""
        unclear: DriverError | None = None
        self._before("so-login")
        with self.style.opened(self.module, self.serial, so_pin, index) as session:
            crashpoint("token.so-login.after")
            try:
                # set before the call: nothing that happens inside it may leave the old claim
                self.so_pin_in_force = "unknown"
                self._before("set-so-pin", "so-pin-unclear")
                self.style.set_so_pin(session, so_pin, next_so_pin)
                crashpoint("token.set-so-pin.after")
                self._step("so-pin-set")
            except DriverError as error:
                if self.style.is_refusal(error):
                    self.so_pin_in_force = f"candidate-{index}"
                    raise
                self._step("so-pin-unclear")
                if self.few_tries:
                    raise
                unclear = error
        try:
            self._prove_so_pin(next_so_pin)
        except DriverError as error:
            raise unclear or error from None
        if unclear is not None:
            raise unclear

    def _prove_so_pin(self, next_so_pin: str) -> None:
        """One try with the next SO PIN and no other: the rest of the tries is the office's."""
        self._before("prove-so-pin")
        with self.style.opened(self.module, self.serial, next_so_pin, 0) as session:
            if not self.style.logs_in:
                self.style.set_so_pin(session, next_so_pin, next_so_pin)
            crashpoint("token.prove-so-pin.after")
            self.so_pin_in_force = "next"
            self._step("so-pin-proven")
