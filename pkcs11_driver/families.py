"""Families of tokens: how they unblock, what their SO secret and their user PIN may be.

One table for driver, helper, service and custodian; standard library only. Rules:

1. A family is what tokens do alike; ``MAKERS`` tells it by CK_TOKEN_INFO, without any try.
2. The SO secret is the SO PIN or the PUK. Lengths are bytes of UTF-8: that is what tokens count.
3. ``so_tries`` wrong SO secrets in a row lock it for ever (S1.19). The service may spend half of
   them, rounded down: the rest is left to people (S1.28).
4. A family whose secret cannot be changed over PKCS#11 is not kept in escrow: a released secret
   would stay good (promise 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pkcs11_driver.wire import PinRules

SO_INIT_PIN = "so_init_pin"
PUK_SET_PIN = "puk_set_pin"
CONTEXT_SET_PIN = "context_set_pin"


@dataclass(frozen=True)
class Family:
    """``style``: the unblock style (``styles``); ``other``: one that an administrator may have set
    instead; ``so_bytes``: lengths of an SO secret; ``so_fresh``: characters of a new one;
    ``pin_bytes``: lengths of a user PIN; ``prefixes``: the module tells PUK and PIN apart by
    ``puk:`` and ``pin:``; ``rotates``: the SO secret can be changed.
    """

    name: str
    style: str
    so_bytes: range
    so_fresh: int
    so_tries: int
    pin_bytes: range
    prefixes: bool = False
    other: str = ""
    rotates: bool = True

    @property
    def so_budget(self) -> int:
        """The wrong tries in a row that the service may cause (rule 3)."""
        return self.so_tries // 2

    def takes(self, so_secret: str) -> bool:
        """Whether a token of this family can have this SO secret."""
        return so_secret.isprintable() and len(so_secret.encode()) in self.so_bytes

    def pin_rules(self, rules: PinRules) -> PinRules:
        """``rules`` as far as a token of this family can keep them: its minimum is above its
        maximum when it cannot keep them at all."""
        return replace(
            rules,
            minimum=max(rules.minimum, self.pin_bytes[0]),
            maximum=min(rules.maximum, self.pin_bytes[-1]),
        )


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("etoken", SO_INIT_PIN, range(4, 256), 20, 15, range(4, 256)),
        # as its C_GetTokenInfo tells, and its lockout shows
        Family("opencryptoki", SO_INIT_PIN, range(4, 9), 8, 3, range(4, 9)),
        # OpenPGP card 3.4, section 4.3: PW1 from 6, PW3 from 8; the oldest cards take 32
        Family("openpgp", SO_INIT_PIN, range(8, 33), 20, 3, range(6, 33)),
        # SP 800-73-4 part 2, section 2.4.3: 8 bytes, shorter ones are padded; from 6 by Yubico
        Family("yubikey", PUK_SET_PIN, range(6, 9), 8, 3, range(6, 9), prefixes=True),
        Family(
            "piv", PUK_SET_PIN, range(6, 9), 8, 3, range(6, 9), other=CONTEXT_SET_PIN, rotates=False
        ),
    )
}
# parts of manufacturerID and model in lower case; the first row that fits
MAKERS = (
    # the model tells ykcs11's tokens from the OpenPGP application of a YubiKey behind OpenSC
    ("yubico", "yubikey", "yubikey"),
    ("piv_ii", "", "piv"),
    # not by the maker alone: others of the same makers (IDPrime, eToken 5110 CC) have 5 tries
    ("", "etoken", "etoken"),
    ("softhsm", "", "etoken"),
    ("ibm", "soft", "opencryptoki"),
    ("openpgp", "", "openpgp"),
)


def family_of(manufacturer: str, model: str) -> Family | None:
    """The family by CK_TOKEN_INFO's manufacturerID and model; None: nobody knows it."""
    who, what = manufacturer.lower(), model.lower()
    found = (name for maker, kind, name in MAKERS if maker in who and kind in what)
    return next((FAMILIES[name] for name in found), None)


def style_of(manufacturer: str, model: str) -> str:
    """The unblock style by CK_TOKEN_INFO's manufacturerID and model.

    A family that the table does not know gets the standard's way: a module without it refuses
    ``C_InitPIN`` before anything changed.
    """
    family = family_of(manufacturer, model)
    return family.style if family else SO_INIT_PIN


def kept() -> tuple[str, ...]:
    """The names of the families whose SO secrets the service keeps (rule 4)."""
    return tuple(name for name, family in FAMILIES.items() if family.rotates)
