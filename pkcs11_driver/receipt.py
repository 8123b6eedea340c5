"""What a reset did, and the word for it in the helper's report."""

from __future__ import annotations

from dataclasses import dataclass

from pkcs11_driver.errors import DriverError, PinIncorrect, PinLocked
from pkcs11_driver.wire import Outcome


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
