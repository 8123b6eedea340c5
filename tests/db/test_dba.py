"""What a database administrator does to the audit log, and who finds it.

The custodian and its ledger, the witness and its record are out of the administrator's reach.
A database administrator deletes, edits and writes anew (T38).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, delete, insert, select, update

from reset.adapters import witness as witness_adapter
from reset.adapters.notes import WitnessKey, cosigned_at, open_note
from reset.adapters.witness import Witness
from reset.core import checkpoints as notes
from reset.core.audit import ZERO, entry_bytes, link
from reset.core.checkpoints import SIGNATURE, Checkpoint, VerifierKey
from reset.core.merkle import Tree, leaf_hash
from reset.core.policy import Policy
from reset.custodian.ledger import Ledger
from reset.custodian.service import CustodianService
from reset.db.store import SqlStore
from reset.db.tables import audit_entries, audit_head, checkpoints
from reset.errors import AuditBroken, BadInput, CheckpointRefused, ReleaseRefused
from reset.flows import checkpointing
from reset.flows.auditing import Auditing
from reset.flows.checkpointing import Checkpointing
from reset.flows.parts import Parts
from tests.custodian.scene import SoftKeys, SystemRandom
from tests.db.examples import NOW, Watch

NOBODY: Any = None
ORIGIN = "log.test/audit"
TABLES = (audit_entries, audit_head, checkpoints)
Rows = dict[str, list[dict[str, Any]]]


class House:
    """A service, its custodian, its witness elsewhere, and its database administrator."""

    def __init__(self, store: SqlStore, database: Engine, watch: Watch, directory: Path) -> None:
        self.store, self.database, self.watch = store, database, watch
        self.directory = directory
        (directory / "custodian").mkdir(mode=0o700)
        self.ledger = Ledger(directory / "custodian" / "ledger.db")
        self.custodian = CustodianService(
            SoftKeys(), self.ledger, NOBODY, watch, policy=Policy(), random=SystemRandom()
        )
        self.parts = Parts(
            policy=Policy(), clock=watch, random=SystemRandom(), store=store,
            directory=NOBODY, hasher=NOBODY, certificates=NOBODY, signatures=NOBODY,
            custodian=self.custodian, mailer=NOBODY, public_url="https://log.test",
            certificate_url="https://other.test", mail_domains=frozenset(),
        )  # fmt: skip
        self.worker = Checkpointing(self.parts)
        self.auditing = Auditing(self.parts)
        self.key = self.auditing.key()
        self.witness_key = WitnessKey.create(directory / "key", "witness.test")

    # --- the service
    def log(self, count: int, event: str = "login") -> None:
        for _ in range(count):
            with self.store.write() as uow:
                uow.audit.append(event, "u1", {})

    def checkpointed(self, *counts: int) -> None:
        """Entries, then a checkpoint, for each count; a minute apart."""
        for count in counts:
            self.log(count)
            self.watch.at += timedelta(minutes=1)
            assert self.worker.run_once() == 1

    def page(self, after: int = 0) -> dict[str, object]:
        """What the public site answers."""
        newest, found = self.auditing.checkpoints(after)
        offered = [
            {"note": one.note, "proof": [base64.b64encode(n).decode() for n in one.nodes()]}
            for one in found
        ]
        return {"newest": newest, "checkpoints": offered}

    # --- the witness
    def watched(self) -> int:
        with Witness(self.directory / "record", self.witness_key, self.key).open() as record:
            return record.take(self.page(record.after), self.watch.at)

    def unwatched(self, page: object = None) -> str:
        """The rule by which the witness refuses what it is offered."""
        with Witness(self.directory / "record", self.witness_key, self.key).open() as record:
            before = record.last
            with pytest.raises(CheckpointRefused) as refused:
                record.take(page or self.page(record.after), self.watch.at)
            assert record.last == before
        return str(refused.value.data["rule"])

    def seen(self) -> list[Checkpoint]:
        record = self.directory / "record"
        return list(witness_adapter.kept(record, self.key, self.witness_key.public))

    # --- the auditor
    def verify(self, known: list[Checkpoint] | None = None, signed: bool = True) -> str:
        """Why the log is broken, or nothing."""
        try:
            self.auditing.verify(
                known or [], (lambda note: open_note(note, self.key)) if signed else None
            )
        except AuditBroken as broken:
            return str(broken.data["why"])
        return ""

    # --- the administrator
    def rows(self) -> Rows:
        with self.database.begin() as connection:
            return {
                t.name: [dict(row) for row in connection.execute(select(t)).mappings()]
                for t in TABLES
            }

    def put_back(self, rows: Rows) -> None:
        with self.database.begin() as connection:
            for table in TABLES:
                connection.execute(delete(table))
                if rows[table.name]:
                    connection.execute(insert(table), rows[table.name])

    def rewrite(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Change the entries and recompute every chain hash and the head."""
        raws = change([row["raw"] for row in self.rows()["audit_entries"]])
        chain, rows = ZERO, []
        for number, raw in enumerate(raws, 1):
            chain = link(chain, number, raw)
            rows.append({"number": number, "raw": raw, "chain": chain})
        with self.database.begin() as connection:
            connection.execute(delete(audit_entries))
            connection.execute(insert(audit_entries), rows)
            connection.execute(update(audit_head).values(number=len(rows), chain=chain))

    def forge_checkpoints(self, private: Ed25519PrivateKey) -> None:
        """Sign new checkpoints of the log as it stands with this key."""
        raws = [row["raw"] for row in self.rows()["audit_entries"]]
        chains = [row["chain"] for row in self.rows()["audit_entries"]]
        key = VerifierKey(ORIGIN, SIGNATURE, private.public_key().public_bytes_raw())
        before: Checkpoint | None = None
        for row in self.rows()["checkpoints"]:
            old = notes.parse(notes.body_of(row["note"]))
            root = Tree(leaf_hash(raw) for raw in raws[: old.size]).root()
            made = replace(
                old, root=root, chain=chains[old.size - 1],
                previous=before.digest() if before else notes.FIRST,
            )  # fmt: skip
            note = notes.note(key, made.body(), private.sign(made.body()))
            with self.database.begin() as connection:
                here = checkpoints.c.number == row["number"]
                connection.execute(update(checkpoints).where(here).values(note=note))
            before = made


@pytest.fixture
def house(store: SqlStore, database: Engine, watch: Watch, tmp_path: Path) -> Iterator[House]:
    made = House(store, database, watch, tmp_path)
    yield made
    made.ledger.close()


def forged(place: int) -> Callable[[list[bytes]], list[bytes]]:
    raw = entry_bytes("approved", NOW, "u0", {})
    return lambda raws: [*raws[:place], raw, *raws[place + 1 :]]


REWRITES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edit the first": forged(0),
    "edit one": forged(4),
    "edit the last": forged(8),
    "delete the first": lambda raws: raws[1:],
    "delete one": lambda raws: raws[:3] + raws[4:],
    "delete the last": lambda raws: raws[:-1],
    "insert": lambda raws: [*raws[:2], entry_bytes("approved", NOW, "u0", {}), *raws[2:]],
    "insert and delete": lambda raws: [entry_bytes("approved", NOW, "u0", {}), *raws[:-1]],
    "reorder": lambda raws: [raws[1], raws[0], *raws[2:]],
    "truncate": lambda raws: raws[:4],
}


def various(house: House) -> None:
    """Nine entries that all differ, three checkpoints, all seen by the witness."""
    for count in (3, 3, 3):
        for _ in range(count):
            house.watch.at += timedelta(seconds=1)
            house.log(1)
        house.checkpointed(0)
    house.watched()


@pytest.mark.parametrize("how", REWRITES)
def test_a_chain_that_was_rewritten_as_a_whole(house: House, how: str) -> None:
    """Every hash fits again; the checkpoints tell, and the custodian signs nothing more."""
    various(house)
    assert house.verify(house.seen()) == ""
    house.rewrite(REWRITES[how])
    found = ("rewritten", "truncated")
    assert house.verify() in found
    with house.database.begin() as connection:
        connection.execute(delete(checkpoints))
    assert house.verify() == ""  # nothing in the database tells any more
    assert house.verify(house.seen()) in found
    house.log(7)
    for worker in (house.worker, Checkpointing(house.parts)):
        with pytest.raises((AuditBroken, ReleaseRefused)):
            worker.make()
    assert house.unwatched() == "smaller"


def unsigned(house: House) -> None:
    """The custodian remembers the root that it signed."""
    house.log(2)
    with pytest.raises(ReleaseRefused) as refused:
        Checkpointing(house.parts).make()
    assert refused.value.data["rule"] == "checkpoint-fork"


def test_a_log_signed_anew_with_another_key(house: House) -> None:
    various(house)
    house.rewrite(forged(2))
    house.forge_checkpoints(Ed25519PrivateKey.generate())
    assert house.verify(signed=False) == ""
    assert house.verify() == "checkpoint 1: key"
    assert house.verify(house.seen(), signed=False) == "fork"
    assert house.unwatched() == "key"
    unsigned(house)


def test_a_log_signed_anew_with_the_stolen_key(house: House) -> None:
    """Only the witness can tell, and it does."""
    various(house)
    house.rewrite(forged(2))
    house.forge_checkpoints(Ed25519PrivateKey.from_private_bytes(b"s" * 32))
    assert house.verify() == ""
    assert house.verify(house.seen()) == "fork"
    assert house.unwatched() == "fork"
    unsigned(house)


def test_the_database_of_yesterday(house: House) -> None:
    house.checkpointed(4, 4)
    yesterday = house.rows()
    house.checkpointed(4)
    house.watched()
    house.put_back(yesterday)
    assert house.verify() == ""
    assert house.verify(house.seen()) == "truncated"
    assert house.unwatched() == "smaller"
    worker = Checkpointing(house.parts)
    with pytest.raises(AuditBroken) as broken:
        worker.make()
    assert broken.value.data["why"] == "truncated"
    house.watch.at += timedelta(seconds=1)
    house.log(9)  # another history, longer than what was signed
    for one in (house.worker, worker):
        with pytest.raises((AuditBroken, ReleaseRefused)):
            one.make()
    assert house.verify(house.seen()) == "rewritten"


def test_a_restored_log_goes_on_under_another_name(house: House) -> None:
    """After a restore that is told to everybody; the old name stays where it was."""
    house.checkpointed(4)
    yesterday = house.rows()
    house.checkpointed(4)
    house.put_back(yesterday)
    house.watch.at += timedelta(minutes=1)
    house.log(3)
    parts = replace(house.parts, log_number=2)
    made = Checkpointing(parts).make()
    assert made is not None
    assert (made.origin, made.number) == ("log.test/audit/2", 1)
    assert Auditing(parts).verify() == (7, 1)


@pytest.mark.parametrize("which", ["first", "middle", "edit", "swap"])
def test_rows_of_checkpoints(house: House, which: str) -> None:
    house.checkpointed(2, 2, 2)
    with house.database.begin() as connection:
        if which in ("first", "middle"):
            number = 1 if which == "first" else 2
            connection.execute(delete(checkpoints).where(checkpoints.c.number == number))
        else:
            note = house.page()["checkpoints"][1]["note"]  # type: ignore[index]
            if which == "edit":
                note = note.replace("\n4\n", "\n5\n")
            connection.execute(
                update(checkpoints).where(checkpoints.c.number == 3).values(note=note)
            )
    assert house.verify().startswith("checkpoint ")


# --- what the witness is offered ------------------------------------------------------------
def test_the_witness_keeps_and_cosigns(house: House) -> None:
    house.checkpointed(3, 4)
    assert house.watched() == 2
    assert house.watched() == 0
    house.checkpointed(1, 5)
    assert house.watched() == 2
    assert [one.size for one in house.seen()] == [3, 7, 8, 13]
    line = (house.directory / "record" / "checkpoints").read_text().splitlines()[-1]
    note = json.loads(line)["note"]
    assert open_note(note, house.key).size == 13
    assert cosigned_at(note, house.witness_key.public) == house.watch.at.replace(microsecond=0)
    with pytest.raises(CheckpointRefused):
        cosigned_at(note, replace(house.witness_key.public, name="other.test"))


def test_an_old_page_again(house: House) -> None:
    house.checkpointed(3)
    old = house.page()
    house.checkpointed(3)
    house.watched()
    assert house.unwatched(old) == "smaller"


def test_a_log_that_is_held_back(house: House) -> None:
    """The same good page for ever: nothing is wrong with it but its age."""
    house.checkpointed(3)
    house.watched()
    with Witness(house.directory / "record", house.witness_key, house.key).open() as record:
        record.check_fresh(house.watch.at + timedelta(minutes=34), timedelta(minutes=35))
        with pytest.raises(CheckpointRefused) as refused:
            record.check_fresh(house.watch.at + timedelta(minutes=37), timedelta(minutes=35))
    assert refused.value.data["rule"] == "old"


def other(house: House, **changes: object) -> dict[str, object]:
    """The page of somebody who has the log's key and changes the newest checkpoint."""
    page: Any = house.page(1)
    made = replace(notes.parse(notes.body_of(page["checkpoints"][0]["note"])), **changes)  # type: ignore[arg-type]
    private = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    page["checkpoints"][0]["note"] = notes.note(house.key, made.body(), private.sign(made.body()))
    return dict(page)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("consistency", {"root": bytes(32)}),
        ("consistency", {"size": 20}),
        ("smaller", {"size": 2}),
        ("previous", {"previous": bytes(32)}),
        ("number", {"number": 3}),
        ("time", {"at": NOW - timedelta(days=1)}),
        ("future", {"at": NOW + timedelta(days=1)}),
        ("origin", {"origin": "log.test/other"}),
    ],
)
def test_what_does_not_follow(house: House, rule: str, changes: dict[str, object]) -> None:
    house.checkpointed(3)
    house.watched()
    house.checkpointed(4)
    assert house.unwatched(other(house, **changes)) == rule
    assert house.watched() == 1


@pytest.mark.parametrize(
    "page", [None, [], {}, {"newest": 1}, {"newest": "1", "checkpoints": []},
             {"newest": 1, "checkpoints": [{"note": 7, "proof": []}]},
             {"newest": 1, "checkpoints": [{"note": "x", "proof": ["AA=="]}]}],
)  # fmt: skip
def test_pages_that_are_none(house: House, page: object) -> None:
    assert house.unwatched(page or [0]) == "page"


def test_the_record_survives_a_crash_and_no_change(house: House) -> None:
    house.checkpointed(3, 3)
    house.watched()
    file = house.directory / "record" / "checkpoints"
    whole = file.read_bytes()
    house.checkpointed(3)
    for cut in (len(whole) - 1, len(whole) - 100):
        file.write_bytes(whole[:cut])
        assert house.watched() == 2
        assert len(house.seen()) == 3
    file.write_bytes(whole.replace(b"\\n6\\n", b"\\n5\\n"))
    for look in (house.watched, house.seen):
        with pytest.raises(CheckpointRefused):
            look()


def test_one_witness_at_a_time(house: House) -> None:
    record = Witness(house.directory / "record", house.witness_key, house.key)
    with record.open(), pytest.raises(BadInput):
        house.watched()


# --- when the worker makes them -------------------------------------------------------------
def test_when_one_is_due(house: House) -> None:
    run, watch = house.worker.run_once, house.watch
    assert run() == 0  # an empty log
    house.log(1)
    assert (run(), run()) == (1, 0)
    house.log(1)
    assert run() == 0
    watch.at += checkpointing.INTERVAL
    assert (run(), run()) == (1, 0)
    house.log(99)
    assert run() == 0
    house.log(1)
    assert (run(), run()) == (1, 0)
    for urgent in ("custody-sent", "reset-done"):
        house.log(1, urgent)
        assert (run(), run()) == (1, 0)
    watch.at += checkpointing.HEARTBEAT - timedelta(seconds=1)
    assert run() == 0
    watch.at += timedelta(seconds=1)
    assert (run(), run()) == (1, 0)
    assert house.watched() == 6
    sizes = [one.size for one in house.seen()]
    assert sizes == [1, 2, 102, 103, 104, 104]


def test_restarts_and_two_workers(house: House) -> None:
    house.checkpointed(5)
    second = Checkpointing(house.parts)
    for worker in (second, house.worker, Checkpointing(house.parts), second, house.worker):
        house.log(3)
        assert worker.make() is not None
    assert house.watched() == 6
    assert house.verify(house.seen()) == ""


def test_signed_but_never_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The custodian is ahead of the rows after a crash; the next checkpoint proves both ways."""
    house.checkpointed(5)
    house.log(3)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "SignedCheckpoint", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            house.worker.make()
    house.log(2)
    for worker in (house.worker, Checkpointing(house.parts)):
        house.log(1)
        assert worker.make() is not None
    assert house.watched() == 3


def test_a_ledger_of_yesterday(house: House) -> None:
    """The custodian signed more than its ledger knows: it is proven from where that stands."""
    house.checkpointed(5, 5)
    with house.ledger.write():
        root = Tree(leaf_hash(row["raw"]) for row in house.rows()["audit_entries"][:3]).root()
        house.ledger.put_checkpoint(ORIGIN, 3, root)
    house.checkpointed(2)
    assert house.watched() == 3


def test_what_stops_it_is_said_once_a_minute(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.checkpointed(5)
    house.rewrite(forged(2))
    house.log(1)
    house.watch.at += timedelta(minutes=1)
    assert (house.worker.run_once(), house.worker.run_once()) == (0, 0)
    assert len(caplog.records) == 1
    house.watch.at += timedelta(minutes=1)
    house.worker.run_once()
    assert len(caplog.records) == 2
