"""The custodian makes and takes the SO secret that the token's family has, whoever asks (S1.28)."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pkcs11_driver.families import FAMILIES, kept
from reset.custodian.keys import so_pin_context
from reset.custodian.ledger import Bound, Ledger
from reset.custodian.service import SO_PIN_ALPHABET
from reset.errors import EscrowDamaged
from tests.custodian.scene import (
    HOLDER,
    Case,
    Institution,
    ShiftedClock,
    SoftKeys,
    rule_of,
    service,
)

PUK, NEXT_PUK = "11112222", "33334444"
SCHEMA_1 = (Path(__file__).parent / "ledger-1.sql").read_text()
CUT = """
DROP TRIGGER sealed_is_kept; DROP TRIGGER holder_is_kept; DELETE FROM sealed; DELETE FROM holders;
"""


def of(case: Case, family: str) -> Case:
    """The same token at the same custodian, said to be of another family."""
    return Case(case.custodian, case.institution, case.clock, case.serial, family=family)


@pytest.fixture(params=kept())
def token(request: pytest.FixtureRequest, case: Case) -> Case:
    """A token of each family that is kept in escrow."""
    return of(case, request.param)


# --- the form ---------------------------------------------------------------------------------
def test_a_fresh_secret_is_one_that_the_family_takes(token: Case) -> None:
    order = token.order()
    following = token.opened(token.custodian.release(order), order).next_so_pin
    family = FAMILIES[token.family]
    assert family.takes(following)
    assert len(following) == family.so_fresh
    assert set(following) <= set(SO_PIN_ALPHABET)
    # 47 bits against 3 tries, 119 against 15
    assert len(SO_PIN_ALPHABET) ** len(following) > 2**47


def test_what_no_token_of_the_family_has_is_refused_unseen(token: Case) -> None:
    takes = FAMILIES[token.family].so_bytes
    for wrong in ("x" * (takes[0] - 1), "x" * (takes[-1] + 1), "a\tb" * (takes[0] // 3 + 1), "ä"):
        assert rule_of(lambda wrong=wrong: token.imported(wrong)) == "so-pin"
    assert token.imported("x" * takes[-1])


def test_a_corrected_secret_has_the_form_of_the_family(case: Case) -> None:
    card = of(case, "yubikey")
    card.imported(PUK)
    assert rule_of(lambda: card.corrected("Long-SO-PIN-of-another")) == "so-pin"
    assert card.corrected(NEXT_PUK)[0] == 2
    assert rule_of(lambda: of(case, "etoken").corrected(NEXT_PUK)) == "envelope"


@pytest.mark.parametrize("family", ["", "piv", "so_init_pin", "etoken\n"])
def test_a_family_that_is_not_kept(case: Case, family: str) -> None:
    assert rule_of(lambda: of(case, family).stored(1)) == "family"


# --- nobody's word ----------------------------------------------------------------------------
@pytest.mark.parametrize("weaker", ["yubikey", "opencryptoki"])
def test_another_family_gets_no_weaker_secret(case: Case, weaker: str) -> None:
    case.imported()
    for version in (1, 2):
        assert rule_of(lambda version=version: of(case, weaker).stored(version)) == "family"
    order = case.order()
    assert len(case.opened(case.custodian.release(order), order).next_so_pin) == 20


def test_who_seals_says_the_family_and_nobody_on_the_way(case: Case) -> None:
    """A list in which somebody changed the family does not open."""
    card = of(case, "yubikey")
    assert rule_of(lambda: card.imported(PUK, family="opencryptoki")) == "envelope"
    assert card.imported(PUK)


def test_a_ledger_that_was_emptied_is_taught_no_weaker_family(
    tmp_path: Path, institution: Institution
) -> None:
    custodian, ledger = service(tmp_path / "own", institution, ShiftedClock())
    case = Case(custodian, institution)
    sealed = case.imported()
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "own" / "ledger.db")) as db:
        db.executescript(CUT)
    case.custodian, ledger = service(tmp_path / "own", institution, ShiftedClock())
    assert case.custodian.rewrap(case.serial, 1, sealed) == sealed
    assert rule_of(lambda: of(case, "yubikey").stored(1)) == "family"
    assert case.stored(1) == sealed
    ledger.close()


# --- tries ------------------------------------------------------------------------------------
def test_a_puk_that_nobody_has_seen_work_is_sent_once(case: Case) -> None:
    """Of three tries one: were the import wrong, and the first helper silent, two are left."""
    card = of(case, "yubikey")
    card.imported(PUK)
    card.custodian.release(card.order())
    assert rule_of(lambda: card.custodian.release(card.order(2))) == "so-tries"
    card.custodian.settle(card.operation, card.serial, False)
    card.custodian.release(card.order(2))  # one of the two fits: one wrong try at most
    assert rule_of(lambda: card.custodian.release(card.order(3))) == "so-tries"


def test_a_puk_that_a_reset_has_set_is_sent_twice(case: Case) -> None:
    card = of(case, "yubikey")
    card.imported(PUK)
    card.custodian.release(card.order())
    card.custodian.settle(card.operation, card.serial, True)
    again = of(case, "yubikey")
    two, three = (2, again.stored(2)), (3, again.stored(3))
    again.custodian.release(again.order(candidates=(two,), pending=three))
    again.custodian.release(again.order(2, candidates=(three, two), pending=three))
    third = again.order(3, candidates=(three, two), pending=three)
    assert rule_of(lambda: again.custodian.release(third)) == "so-tries"


# --- a ledger of before -----------------------------------------------------------------------
@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger of schema 1: one token, imported, with an operation that is open."""
    home = tmp_path / "old"
    home.mkdir(mode=0o700)
    keys, path = SoftKeys(), home / "ledger.db"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA_1)
        imported = keys.seal(b"k" * 32, b"token-reset import key 1")
        so_pin = keys.seal(b"Old-SO-PIN", so_pin_context("T1", 1))
        db.execute("INSERT INTO import_key VALUES (1, ?)", (imported,))
        db.execute("INSERT INTO sealed VALUES (1, 'T1', 1, ?, 0)", (so_pin,))
        db.execute("INSERT INTO holders VALUES ('T1', ?)", (HOLDER,))
        db.execute("INSERT INTO tries VALUES ('T1', 5)")
        db.commit()
    return home


def test_an_old_ledger_goes_on_as_it_was(old: Path, institution: Institution) -> None:
    custodian, ledger = service(old, institution, ShiftedClock())
    case = Case(custodian, institution, serial="T1")
    with ledger.write():
        assert ledger.bound("T1") == Bound(HOLDER, "etoken")
    assert rule_of(lambda: of(case, "yubikey").stored(2)) == "family"
    assert custodian.import_key()
    first, second = case.order(), case.order(2)
    opened = case.opened(custodian.release(first), first)
    assert (opened.candidates, len(opened.next_so_pin)) == (("Old-SO-PIN",), 20)
    assert rule_of(lambda: custodian.release(second)) == "so-tries"  # 5 + 1 of 7
    custodian.withdraw(case.operation, "T1")
    assert custodian.escrowed("T1").proven == 0
    ledger.close()
    Ledger(old / "ledger.db").close()  # once is enough


def test_the_binding_stays(old: Path) -> None:
    Ledger(old / "ledger.db").close()
    with closing(sqlite3.connect(old / "ledger.db")) as db:
        with pytest.raises(sqlite3.IntegrityError, match="write once"):
            db.execute("UPDATE holders SET family = 'yubikey'")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("UPDATE tries SET worked = 2")


def test_killed_anywhere_while_it_is_brought_up(old: Path, institution: Institution) -> None:
    class Dying(Ledger):
        left = 0

        def _prepare(self, path: Path) -> None:
            def count(_: str) -> None:
                Dying.left -= 1
                if Dying.left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            self._db.set_trace_callback(count)
            super()._prepare(path)
            self._db.set_trace_callback(None)

    for at in range(1, 20):
        child = os.fork()
        if child == 0:
            Dying.left = at
            Dying(old / "ledger.db").close()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            break
        with closing(sqlite3.connect(old / "ledger.db")) as db:
            (version,) = db.execute("SELECT version FROM schema").fetchone()
            columns = [row[1] for row in db.execute("PRAGMA table_info(holders)")]
        assert ("family" in columns) == (version == 2)
    assert at > 4
    test_an_old_ledger_goes_on_as_it_was(old, institution)


def test_a_secret_of_another_form_is_damage_and_no_binding(case: Case) -> None:
    """What does not open binds nothing."""
    other = Case(case.custodian, case.institution)
    with pytest.raises(EscrowDamaged):
        case.custodian.rewrap(case.serial, 1, other.stored(1))
    assert of(case, "yubikey").stored(1)
