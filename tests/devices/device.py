"""One token of the device tests, and what its module is known to do."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.institution.tokens import MadeToken, Step

if typing.TYPE_CHECKING:
    from tests.devices.cards import Reader
    from tests.devices.openpgp import OpenPgpCard
    from tests.devices.piv import PivCard

USER_PIN, SO_PIN = "Old-PI-1", "Adm-PI-1"
NEW_PIN, NEXT_SO_PIN, WRONG_PIN = "New-PI-2", "Nxt-PI-2", "Bad-PI-0"


@dataclass(frozen=True)
class Device:
    """One token, its PINs (user, SO, new, next SO, wrong), and what its module is known to do.

    ``user_tries``: wrong PINs until the user PIN is locked, 0 where that is not to be tried;
    ``so_tries`` likewise; ``rotates``: the SO secret can be changed; ``one_lockout``: wrong PINs of
    one lock the other as well. ``card`` and ``reader``: what the token is, where it is a card in
    software.
    """

    made: MadeToken
    style: str
    user_tries: int
    so_tries: int
    certificate: bytes
    rotates: bool = True
    one_lockout: bool = False
    pins: tuple[str, str, str, str, str] = field(
        default=(USER_PIN, SO_PIN, NEW_PIN, NEXT_SO_PIN, WRONG_PIN), repr=False
    )
    card: OpenPgpCard | PivCard | None = field(default=None, repr=False)
    reader: Reader | None = field(default=None, repr=False)

    @property
    def at(self) -> tuple[str, str]:
        """Module and serial, as the driver's functions take them."""
        return str(self.made.module), self.made.serial

    def wrong_so_try(self) -> Step:
        """A call that spends a try of the SO secret."""
        wrong = self.pins[4]
        if self.style == "so_init_pin":
            return ("login", "so", wrong)
        puk, pin = ("puk:", "pin:") if self.rotates else ("", "")
        return ("set_pin", puk + wrong, pin + self.pins[2])


@dataclass(frozen=True)
class Provider:
    """``missing``: what it lacks to run here, empty when nothing; ``make``: a fresh token in this
    directory, for as long as the context lasts."""

    name: str
    title: str
    missing: Callable[[], str]
    make: Callable[[Path], contextlib.AbstractContextManager[Device]]
