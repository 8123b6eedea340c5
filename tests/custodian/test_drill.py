"""Backup and restore as an operator does it, with a reset after the backup (docs/custody.md)."""

from __future__ import annotations

import base64
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pkcs11_driver import envelope
from reset.core.policy import Policy
from reset.core.tokens import Token
from reset.custodian.ledger import Ledger
from reset.custodian.service import CustodianService
from reset.db import migrate
from reset.db.store import SqlStore
from reset.errors import BadInput, EscrowDamaged, ReleaseRefused, StateConflict
from reset.flows.escrow import EscrowKeeping, Restored
from reset.flows.parts import Parts
from reset.ports import Custodian
from tests.custodian.scene import (
    HOLDER,
    SO_PIN,
    Case,
    Institution,
    ShiftedClock,
    SystemRandom,
    service,
)
from tests.db.examples import OPERATION, lay_ground

NOBODY: Any = None
SERIALS = ("T1", "T2", "T3")


class House:
    """A database and a custodian; both can be saved, lost and restored on their own."""

    def __init__(self, directory: Path, institution: Institution) -> None:
        self.directory, self.institution, self.clock = directory, institution, ShiftedClock()
        migrate.upgrade(f"sqlite:///{directory}/service.db")
        self.open()
        for serial in SERIALS:
            sealed = self.custodian.store(
                serial, 1, self.envelope(serial, f"{SO_PIN}-{serial}"), HOLDER, "etoken"
            )
            with self.store.write() as uow:
                uow.tokens.put(Token(serial, HOLDER, serial, "in-use", "etoken", b"c", "", 1))
                uow.escrow.add(serial, 1, sealed)

    def open(self) -> None:
        self.custodian: CustodianService
        self.ledger: Ledger
        self.custodian, self.ledger = service(self.directory / "own", self.institution, self.clock)
        self.store = SqlStore(f"sqlite:///{self.directory}/service.db", self.clock)
        self.parts = Parts(
            policy=Policy(), clock=self.clock, random=SystemRandom(), store=self.store,
            directory=NOBODY, hasher=NOBODY, certificates=NOBODY, signatures=NOBODY,
            custodian=self.custodian, mailer=NOBODY, public_url="https://log.test",
            certificate_url="https://other.test", mail_domains=frozenset(),
        )  # fmt: skip
        self.escrow = EscrowKeeping(self.parts)

    def close(self) -> None:
        self.store.close()
        self.ledger.close()

    def envelope(self, serial: str, so_pin: str) -> bytes:
        context = envelope.import_context(serial, "etoken")
        return envelope.seal(so_pin.encode(), self.custodian.import_key(), context)

    def files(self) -> dict[str, Path]:
        own = self.directory / "own" / "ledger.db"
        return {"database": self.directory / "service.db", "ledger": own}

    def back_up(self) -> None:
        """As the guide says: SQLite's own backup, while everything runs."""
        for name, file in self.files().items():
            with closing(sqlite3.connect(file)) as db, closing(
                sqlite3.connect(self.directory / f"{name}.backup")
            ) as copy:  # fmt: skip
                db.backup(copy)

    def restore(self, *names: str) -> None:
        self.close()
        for name in names:
            file = self.files()[name]
            for end in ("", "-wal", "-shm"):
                Path(f"{file}{end}").unlink(missing_ok=True)
            shutil.copy(self.directory / f"{name}.backup", file)
            file.chmod(0o600)
        self.open()

    def reset(self, serial: str, *, ends: bool = True) -> tuple[str, str]:
        """A reset of a token, as far as escrow sees it; old and new SO PIN."""
        with self.store.read() as uow:
            token = uow.tokens.get(serial)
            assert token is not None
            active = uow.escrow.get(serial, token.so_version)
        assert active is not None
        pending = token.so_version + 1
        sealed = self.custodian.store(serial, pending, None, HOLDER, "etoken")
        case = Case(self.custodian, self.institution, self.clock, serial=serial)
        order = case.order(
            candidates=((token.so_version, active),), pending=(pending, sealed)
        )  # fmt: skip
        opened = case.opened(self.custodian.release(order), order)
        with self.store.write() as uow:
            uow.escrow.add(serial, pending, sealed)
            if ends:
                uow.tokens.put(replace(token, so_version=pending))
        if ends:
            self.custodian.settle(case.operation, serial, True)
        return opened.candidates[0], opened.next_so_pin

    def version(self, serial: str) -> int:
        with self.store.read() as uow:
            token = uow.tokens.get(serial)
        assert token
        return token.so_version


@pytest.fixture
def house(tmp_path: Path, institution: Institution) -> Any:
    made = House(tmp_path, institution)
    yield made
    made.close()


def damage(act: Callable[[], object]) -> object:
    with pytest.raises(EscrowDamaged) as damaged:
        act()
    return damaged.value.data.get("why")


def test_both_of_the_same_night(house: House) -> None:
    house.reset("T1")
    house.back_up()
    house.restore("database", "ledger")
    assert house.escrow.check() == 4
    assert house.escrow.restore() == Restored(0, 0, ())
    house.reset("T1")


def test_an_old_database(house: House) -> None:
    """Two resets after the backup: both come back, the newest is in force, none is lost."""
    house.back_up()
    house.reset("T1")
    now = house.reset("T1")[1]
    house.restore("database")
    assert damage(house.escrow.check) == "database-older"
    with pytest.raises(ReleaseRefused) as refused:
        house.reset("T1")
    assert refused.value.data == {"rule": "superseded"}  # no try was spent on the token
    assert house.escrow.restore() == Restored(2, 0, ())
    assert house.escrow.restore() == Restored(0, 0, ())
    assert house.version("T1") == 3
    assert house.escrow.check() == 5
    assert house.reset("T1")[0] == now


def test_an_old_database_and_an_open_operation(house: House) -> None:
    house.back_up()
    house.reset("T2", ends=False)
    house.restore("database")
    assert house.escrow.restore() == Restored(1, 0, ("T2",))
    assert house.version("T2") == 1
    assert house.escrow.check() == 4


def test_an_old_ledger(house: House) -> None:
    """Nothing newer than its backup is released until it was told what it lacks."""
    house.back_up()
    now = house.reset("T1")[1]
    house.restore("ledger")
    assert damage(house.escrow.check) == "ledger-older"
    with pytest.raises(ReleaseRefused) as refused:
        house.reset("T1")
    assert refused.value.data == {"rule": "version"}  # before an approval was spent
    assert house.escrow.restore() == Restored(0, 1, ())
    assert house.escrow.check() == 4
    assert house.reset("T1")[0] == now


def test_another_so_pin_for_the_same_version(house: House) -> None:
    """An old ledger that went on before the restore was finished: said, never overwritten."""
    house.back_up()
    house.reset("T1")
    house.restore("ledger")
    house.custodian.store("T1", 2, None, HOLDER, "etoken")
    for act in (house.escrow.check, house.escrow.restore):
        assert damage(act) == "stored-differently"


def test_a_ledger_from_before_the_import(house: House) -> None:
    """It has neither the SO PINs nor whose token it is; the register has."""
    with closing(sqlite3.connect(house.directory / "own" / "ledger.db")) as db:
        for kept in ("sealed_is_kept", "holder_is_kept"):
            db.execute(f"DROP TRIGGER {kept}")
        for table in ("sealed", "holders"):
            db.execute(f"DELETE FROM {table}")
        db.commit()
    assert house.escrow.restore() == Restored(0, 3, ())
    assert house.escrow.check() == 3
    house.reset("T2")


# --- a wrong SO PIN from an import ------------------------------------------------------------
def corrected(house: House, serial: str, so_pin: str = "The-right-SO-PIN") -> int:
    sealed = base64.b64encode(house.envelope(serial, so_pin)).decode()
    return house.escrow.correct(["serial,family,so_pin", f"{serial},etoken,{sealed}"])


def test_a_wrong_so_pin_is_replaced_while_nobody_got_it(house: House) -> None:
    # a reset that died before its intent was committed
    house.custodian.store("T1", 2, None, HOLDER, "etoken")
    assert corrected(house, "T1") == 1
    assert house.version("T1") == 3
    assert house.escrow.check() == 4  # the old one stays
    assert corrected(house, "T1", "The-very-right-SO-PIN") == 1
    assert house.reset("T1")[0] == "The-very-right-SO-PIN"
    with pytest.raises(ReleaseRefused) as refused:
        corrected(house, "T1")
    assert refused.value.data == {"rule": "released", "serial": "T1"}
    with house.store.read() as uow:
        assert b"escrow-corrected" in uow.audit.newest(2)[0].raw


def test_no_correction_under_an_operation(house: House) -> None:
    with house.store.write() as uow:
        lay_ground(uow)
        uow.operations.add(OPERATION)
    with pytest.raises(StateConflict):
        corrected(house, "T1")
    assert house.version("T1") == 1


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (["serial,family,so_pin", "T9,etoken,AAAA"], "not registered"),
        (["serial,family,so_pin", "T1,etoken,A"], "base64"),
        (["serial,family,so_pin", "T1,yubikey,AAAA"], "registered as etoken"),
        (["serial,family,so_pin", "T1,piv,AAAA"], "family must be one of etoken,"),
        (["serial,family,so_pin", "T1,etoken,AAAA"], "does not open"),
        (["serial", "T1"], "columns"),
    ],
)
def test_files_that_correct_nothing(house: House, rows: list[str], rule: str) -> None:
    with pytest.raises(BadInput, match=rule):
        house.escrow.correct(rows)
    assert house.version("T1") == 1


# --- a new wrapping key while the service runs --------------------------------------------------
class Killed(BaseException):
    """Ends a run as kill -9 would: nothing after it is done."""


class Dying:
    """A custodian whose caller dies before or after the ``at``-th answer to ``rewrap``."""

    def __init__(self, custodian: Custodian, at: int, after: bool) -> None:
        self._custodian, self._left, self._after = custodian, at, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._custodian, name)

    def rewrap(self, serial: str, version: int, sealed: bytes) -> bytes:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        renewed = self._custodian.rewrap(serial, version, sealed)
        if self._left == 0:
            raise Killed
        return renewed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_killed_while_it_rewraps(
    house: House, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    old = {serial: sealed for serial, _, sealed in _rows(house)}
    monkeypatch.setattr(
        house.custodian._keys, "is_newest", lambda sealed: sealed not in old.values()
    )
    dying: Any = Dying(house.custodian, at, after)
    with pytest.raises(Killed):
        EscrowKeeping(replace(house.parts, custodian=dying)).rewrap()
    assert sum(sealed != old[serial] for serial, _, sealed in _rows(house)) == at - 1
    house.reset("T2")  # the service went on meanwhile
    assert house.escrow.check() == 4
    assert house.escrow.rewrap() == 3 - (at - 1)
    assert house.escrow.rewrap() == 0
    assert house.escrow.check() == 4
    assert not set(old.values()) & {sealed for _, _, sealed in _rows(house)}
    house.reset("T1")


def _rows(house: House) -> list[tuple[str, int, bytes]]:
    with house.store.read() as uow:
        return list(uow.escrow.every())
