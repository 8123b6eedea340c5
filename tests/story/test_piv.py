"""A PIV card behind ykcs11 in the whole service: its PUK is imported, used, rotated and spared.

The card is in software, with the retry counters of a real one; all else is what runs in production.
"""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.devices.cards import YKCS11, piv, piv_card
from tests.devices.piv import PivCard, padded
from tests.institution.site import Institution
from tests.institution.tokens import act, pkcs11_tool_login
from tests.institution.visitors import Visitor, run_helper, words_of
from tests.story.story import (
    Story,
    approve,
    ask,
    enter_code,
    pairing_code,
    register,
    so_pin_in_escrow,
)

pytestmark = pytest.mark.device_ykcs11

POLICY = "lease_seconds = 30\ncode_sends_per_hour = 10\nrequests_per_day = 5"
ROOT = Path(__file__).parents[2]
HEAD = "serial,holder,label,family,certificate,key_id,so_pin"


class Cards:
    """The institution, and the holder's card, beside the token that she has registered with."""

    def __init__(self, here: Institution, card: PivCard, module: Path) -> None:
        self.here, self.card, self.story = here, card, Story(here)
        self.token = dataclasses.replace(
            here.tokens["holder"], module=module, serial=str(card.serial)
        )
        (here.root / "card.der").write_bytes(card.certificate)
        register(self.story)
        here.tokens["holder"] = self.token

    def enter(self, puk: str) -> None:
        """The enrolment station seals a list that comes through a pipe; the service imports it."""
        certificate, file = self.here.root / "card.der", self.here.root / "cards.csv"
        key = self.here.command("escrow", "import-key").strip()
        sealed = subprocess.run(
            [sys.executable, "-m", "reset.cli", "escrow", "seal", "--key", key],
            input=f"{HEAD}\n{self.token.serial},1001,Card,yubikey,{certificate},,{puk}\n",
            capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
        ).stdout  # fmt: skip
        assert puk not in sealed
        file.write_text(sealed)
        assert self.here.command("tokens", "import", str(file)) == "1 tokens imported\n"

    def block(self) -> None:
        """Wrong PINs until the card says so."""
        said = act(self.token, *[("login", "user", f"wrong-{n}") for n in range(4)])
        assert said[-1] == "CKR_PIN_LOCKED", said

    def ready(self) -> None:
        """Asked, approved and confirmed once more."""
        ask(self.story)
        approve(self.story)
        self.browser = Visitor(self.here)
        self.browser.log_in("holder")
        enter_code(self.story, self.browser)

    def helper(self, *typed: str, dies: str = "") -> subprocess.CompletedProcess[str]:
        """One run of the helper with a new code, of a page that has the card's PIN rules."""
        where = f"{self.story.page}/helper"
        page = self.browser.send(where, where).text
        assert "exactly 8 characters" in words_of(page)
        return run_helper(self.here, pairing_code(page), self.token.module, typed, dies)

    def lapse(self) -> None:
        """The lease ends now."""
        with closing(sqlite3.connect(self.here.root / "service.sqlite", timeout=20)) as db, db:
            db.execute("update operations set lease_until = '2001-01-01 00:00:00.000000'")

    def one(self, query: str) -> object:
        with closing(sqlite3.connect(self.here.root / "service.sqlite", timeout=20)) as db:
            (found,) = db.execute(query).fetchone()
        return found


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cards]:
    directory = tmp_path_factory.mktemp("piv")
    here = Institution.build(directory / "institution", policy=POLICY)
    holder = here.people["holder"]
    card = piv_card(
        lambda spki: here.authority.issue_person(uid=holder.uid, name=holder.name, public_key=spki),
        yubico=True,
    )
    try:
        here.start()
        with piv(directory, YKCS11, card) as device:
            yield Cards(here, card, device.made.module)
    finally:
        here.stop()


def new_pin() -> str:
    """Eight characters, of the three kinds that the policy asks for."""
    return f"Pn-{secrets.token_hex(4)[:4]}7"


def test_1_the_first_reset(cards: Cards) -> None:
    """The card is blocked, unblocked with the PUK from escrow, and has another PUK afterwards."""
    puk = cards.card.puk.value
    cards.enter(puk.decode())
    cards.block()
    cards.ready()
    pin = new_pin()
    ran = cards.helper("Short-1", "Much-too-long-1", pin, pin)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "at least 8 characters" in ran.stdout
    assert "at most 8 characters" in ran.stdout
    assert pkcs11_tool_login(cards.token, None, pin) == "ok"
    assert cards.card.puk.value != puk
    assert (cards.card.pin.left, cards.card.puk.left) == (3, 3)
    assert cards.one("select state from operations") == "done"  # only a proof that verified is
    assert cards.one("select so_version from tokens where family = 'yubikey'") == 2


def test_2_a_helper_that_dies_between_the_change_and_its_report(cards: Cards) -> None:
    """The second reset: the next run finds that the PUK was changed, and no try is lost."""
    cards.block()
    cards.ready()
    before, pin = cards.card.puk.value, new_pin()
    died = cards.helper(pin, pin, dies="helper.token.after:1")
    assert died.returncode == -9
    assert cards.card.puk.value != before
    cards.lapse()
    pin = new_pin()
    ran = cards.helper(pin, pin)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert pkcs11_tool_login(cards.token, None, pin) == "ok"
    assert cards.card.puk.value == padded(so_pin_in_escrow(cards.here, cards.token.serial))
    assert cards.card.puk.left == 3
    assert cards.one("select so_version from tokens where family = 'yubikey'") == 3


def test_3_a_spent_budget_goes_to_the_office_before_the_puk_is_locked(cards: Cards) -> None:
    """Another card, whose PUK was imported wrongly; its helper dies before it can say so."""
    card, number = cards.card, cards.card.serial + 1
    card.serial, card.puk.value = number, padded("77778888")
    cards.token = cards.here.tokens["holder"] = dataclasses.replace(cards.token, serial=str(number))
    cards.enter("88887777")
    cards.block()
    cards.ready()
    pin = new_pin()
    assert cards.helper(pin, pin, dies="helper.report.before:1").returncode == -9
    assert card.puk.left == 2
    cards.lapse()
    ran = cards.helper(pin, pin)
    assert ran.returncode == 1
    assert "registration office" in ran.stdout + ran.stderr
    assert card.puk.left == 2
    newest = "select state from operations order by number desc limit 1"
    assert cards.one(newest) == "office"
    assert "the chain is whole" in cards.here.command("audit", "verify")
