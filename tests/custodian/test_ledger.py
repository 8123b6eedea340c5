"""The ledger: killed at every statement of SQL, opened by others, and changed behind its back."""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from reset.core.policy import Policy
from reset.custodian.ledger import Ledger, Use
from reset.errors import ReleaseRefused, SettingsRefused, Unavailable
from reset.ports import Custodian, ReleaseOrder
from tests.custodian.scene import HOLDER, Case, Institution, ShiftedClock, service


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir(mode=0o700)
    return tmp_path / "own"


class Dying(Ledger):
    """A ledger whose process is killed before statement ``at`` of SQL, counted from opening."""

    at = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        seen = 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

        self._db.set_trace_callback(count)


MANY = Policy(releases_per_hour=1_000)


def killed(at: int, home: Path, institution: Institution, act: Callable[[Case], None]) -> bool:
    """Act in a child that is killed before its ``at``-th statement; whether it was."""
    child = os.fork()
    if child == 0:
        Dying.at = at
        custodian, _ = service(home, institution, ShiftedClock(), MANY, ledger=Dying)
        act(Case(custodian, institution))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def orders(home: Path, institution: Institution) -> tuple[Case, dict[str, ReleaseOrder]]:
    """One approval and orders of two operations for it."""
    custodian, ledger = service(home, institution, ShiftedClock())
    case = Case(custodian, institution)
    made = {name: case.order(operation_id=case.operation + name) for name in ("a", "b")}
    made["a2"] = case.order(2, operation_id=case.operation + "a")
    ledger.close()
    return case, made


def rule(custodian: Custodian, order: ReleaseOrder) -> str:
    """The rule that refuses an order, empty when it is released."""
    try:
        custodian.release(order)
    except ReleaseRefused as refused:
        return str(refused.data["rule"])
    return ""


def tries(home: Path, serial: str) -> int:
    with closing(sqlite3.connect(home / "ledger.db")) as db:
        return int(
            db.execute("SELECT coalesce(sum(spent), 0) FROM tries WHERE serial = ?", (serial,))
            .fetchone()[0]
        )  # fmt: skip


def test_killed_anywhere_in_a_release(home: Path, institution: Institution) -> None:
    for at in range(1, 100):
        case, made = orders(home, institution)
        both = (made["a"], made["a2"])
        ended = not killed(at, home, institution, functools.partial(_release, orders=both))
        before = tries(home, case.serial)
        custodian, ledger = service(home, institution, ShiftedClock(), MANY)
        rules = {name: rule(custodian, made[name]) for name in ("b", "a", "a2")}
        # something of "a" was durable, so it may have left; else "b" came first
        usual = {"b": "approval-used", "a": "", "a2": ""}
        second = {**usual, "a": "epoch"}
        first = {"b": "", "a": "approval-used", "a2": "approval-used"}
        assert rules in ((usual, second) if before else (first,)), at
        assert tries(home, case.serial) >= before
        ledger.close()
        if ended:
            break
    assert ended
    assert at > 20


def _release(case: Case, orders: Sequence[ReleaseOrder]) -> None:
    for order in orders:
        case.custodian.release(order)


def test_killed_anywhere_in_a_store(home: Path, institution: Institution) -> None:
    for at in range(1, 40):
        told = home.parent / f"told-{at}"

        def store(case: Case, told: Path = told, at: int = at) -> None:
            told.write_bytes(case.custodian.store(f"T{at}", 1, None, HOLDER, "etoken"))

        ended = not killed(at, home, institution, store)
        custodian, ledger = service(home, institution, ShiftedClock())
        kept = custodian.store(f"T{at}", 1, None, HOLDER, "etoken")
        if told.exists():
            assert told.read_bytes() == kept
        assert len(custodian.check(f"T{at}", 1, kept)) == 32
        ledger.close()
        if ended:
            break
    assert ended


def test_killed_anywhere_at_the_first_start(tmp_path: Path, institution: Institution) -> None:
    class First(Ledger):
        statements = 0

        def _prepare(self, path: Path) -> None:
            def count(_: str) -> None:
                First.statements += 1
                if First.statements == Dying.at:
                    os.kill(os.getpid(), signal.SIGKILL)

            self._db.set_trace_callback(count)
            super()._prepare(path)

    for at in (1, 2, 5, 10, 15, 20, 21, 22, 23, 24, 25):
        home = tmp_path / str(at)
        child = os.fork()
        if child == 0:
            Dying.at = at
            service(home, institution, ShiftedClock(), ledger=First)
            os._exit(0)
        os.waitpid(child, 0)
        custodian, ledger = service(home, institution, ShiftedClock())
        assert len(custodian.import_key()) == 32
        ledger.close()


# --- the file -----------------------------------------------------------------------------
def test_it_is_durable_and_private(home: Path) -> None:
    with closing(Ledger(home / "ledger.db")) as ledger:
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in home.iterdir())


@pytest.mark.parametrize("which", ["directory", "file", "link", "nowhere"])
def test_a_file_that_others_reach_is_refused(home: Path, which: str) -> None:
    path = home / "ledger.db"
    if which == "directory":
        home.chmod(0o750)
    elif which == "file":
        path.touch(mode=0o600)
        path.chmod(0o640)
    elif which == "link":
        path.symlink_to(home.parent / "elsewhere")
    else:
        path = home / "none" / "ledger.db"
    with pytest.raises(SettingsRefused):
        Ledger(path)


@pytest.mark.parametrize("sql", ["UPDATE schema SET version = 4", "DROP TABLE schema"])
def test_an_unknown_schema_is_refused(home: Path, sql: str) -> None:
    Ledger(home / "ledger.db").close()
    with closing(sqlite3.connect(home / "ledger.db")) as db:
        db.execute(sql)
        db.commit()
    with pytest.raises(SettingsRefused):
        Ledger(home / "ledger.db")


def test_what_is_no_database(home: Path) -> None:
    (home / "ledger.db").touch(mode=0o600)
    (home / "ledger.db").write_bytes(b"x" * 5000)
    with pytest.raises(Unavailable):
        Ledger(home / "ledger.db")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sealed SET version = 9",
        "DELETE FROM sealed",
        "DELETE FROM approvals",
        "UPDATE approvals SET closed = 0",
        "INSERT INTO approvals SELECT zeroblob(32), operation_id, '', 1, 2, 0, 0, 0 FROM approvals",
    ],
)
def test_the_file_itself_refuses_to_forget(home: Path, sql: str) -> None:
    with closing(Ledger(home / "ledger.db")) as ledger:
        with ledger.write():
            ledger.add_sealed("T1", 1, b"sealed", 0)
            ledger.record_use(Use(b"s" * 32, "o", "T1", 1, 2, 0, 1, 0, 1, b"f"))
            ledger.close_operation("o")
        with pytest.raises(Unavailable), ledger.write():
            ledger._db.execute(sql)
        with pytest.raises(Unavailable), ledger.write():
            ledger.add_sealed("T1", 1, b"sealed", 0)


def test_an_epoch_never_goes_back(home: Path) -> None:
    with closing(Ledger(home / "ledger.db")) as ledger, ledger.write():
        ledger.record_use(Use(b"s" * 32, "o", "T1", 1, 2, 0, 1, 0, 5, b"five"))
        ledger.record_use(Use(b"s" * 32, "o", "T1", 1, 2, 0, 2, 0, 4, b"four"))
        use = ledger.use_of_operation("o")
        assert use is not None
        assert (use.epoch, use.fingerprint) == (5, b"five")


def test_tries_end_exactly_at_the_limit(home: Path) -> None:
    with closing(Ledger(home / "ledger.db")) as ledger, ledger.write():
        assert ledger.debit("T1", 6, 7)
        assert not ledger.debit("T1", 2, 7)
        assert ledger.debit("T1", 1, 7)
        assert not ledger.debit("T1", 1, 7)
        assert ledger.debit("T2", 1, 7)
