"""What can be said to a person about the tries of a PIN.

PKCS#11 has no counter, only three flags (CK_TOKEN_INFO): wrong PINs were tried, one try is left,
blocked. Some modules never set them and some set them falsely (docs/tokens.md). Rules:

1. A sentence says what the token says, and names no number but the last one.
2. A flag is enough to leave what may be the last try unspent. It is never enough to call a PIN
   blocked: that is for the token's answer to a PIN (CKR_PIN_LOCKED).
"""

from __future__ import annotations

from collections.abc import Mapping

from pkcs11_driver.helper.language import later, say

_IN_A_LIST: Mapping[str, str] = {
    "ok": later("ok"),
    "count-low": later("wrong tries counted"),
    "final-try": later("one try left"),
    "locked": later("blocked"),
    "to-be-changed": later("must be changed"),
    "not-initialised": later("not set"),
}
_NOTES: Mapping[str, str] = {
    "count-low": later(
        "The token says that wrong PINs have been tried on it. It does not say how many tries are "
        "left."
    ),
    "final-try": later(
        "The token says that one try is left before it blocks, so its PIN is not asked for here. "
        "If you are sure of the PIN, use it once in the token's own program: that restores the "
        "tries."
    ),
    "locked": later(
        "The token says that its PIN is blocked. A few kinds of token say so falsely; a blocked "
        "one takes no PIN."
    ),
}
_UNTOLD = later("The token does not say how many tries are left.")


def in_a_list(state: str) -> str:
    """A word or two for the state of a PIN (``library.pin_state``)."""
    return say(_IN_A_LIST[state]) if state in _IN_A_LIST else state


def note(state: str, *, after_a_wrong_pin: bool = False) -> str:
    """A sentence for the person who is to type a PIN in this state, empty where there is nothing
    to say; after a wrong PIN there always is."""
    if after_a_wrong_pin and state not in ("final-try", "locked"):
        return say(_UNTOLD)
    return say(_NOTES[state]) if state in _NOTES else ""


def may_be_the_last(state: str) -> bool:
    """Whether a PIN in this state is better not tried (rule 2)."""
    return state == "final-try"
