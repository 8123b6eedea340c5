"""The audit log shows what a database administrator does to it (facts: tamper-evident log)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, text, update

from reset.core.audit import ZERO, verify
from reset.db import audit as db_audit
from reset.db.store import SqlStore
from reset.db.tables import audit_entries, audit_head
from reset.errors import AuditBroken
from tests.db.examples import NOW, REQUEST, Watch

COUNT = 5


@pytest.fixture
def log(store: SqlStore) -> SqlStore:
    """A store with five entries."""
    for number in range(COUNT):
        with store.write() as uow:
            uow.audit.append("login", "u1", {"number": number})
    return store


def _verify(store: SqlStore) -> int:
    with store.read() as uow:
        return verify(uow.audit.entries(), uow.audit.head())


def _open_request(store: SqlStore, then: Exception | None = None) -> None:
    with store.write() as uow:
        uow.requests.add(REQUEST)
        uow.audit.append("request-opened", "u1", {})
        if then:
            raise then


def test_empty_log_is_whole(store: SqlStore) -> None:
    assert _verify(store) == 0
    with store.read() as uow:
        assert uow.audit.head() == (0, ZERO)
        assert uow.audit.newest(3) == []


def test_entries_are_dated_when_they_happen_and_keep_their_order(
    store: SqlStore, watch: Watch
) -> None:
    with store.write() as uow:
        uow.audit.append("login", "u1", {"ä\n\0": '"},{"', "n": 1})
        watch.at += timedelta(minutes=1)
        uow.audit.append("logout", "u1", {})
        # what was appended is seen inside the block
        assert uow.audit.head()[0] == 2
        uow.audit.append("login", "u2", {})
    with store.read() as uow:
        entries = list(uow.audit.entries())
        assert [json.loads(e.raw)["event"] for e in entries] == ["login", "logout", "login"]
        assert json.loads(entries[0].raw)["at"] == NOW.isoformat(timespec="milliseconds")
        assert json.loads(entries[1].raw)["at"] > json.loads(entries[0].raw)["at"]
        assert json.loads(entries[0].raw)["facts"] == {"ä\n\0": '"},{"', "n": 1}
        assert list(uow.audit.entries(after=1)) == entries[1:]
        assert uow.audit.newest(2) == entries[:0:-1]
    assert _verify(store) == 3


def test_entries_are_read_page_by_page(log: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in (1, 2, COUNT, COUNT + 1):
        monkeypatch.setattr(db_audit, "_PAGE", page)
        assert _verify(log) == COUNT


def test_change_and_entry_are_both_kept_or_both_not(store: SqlStore) -> None:
    with pytest.raises(ZeroDivisionError):
        _open_request(store, ZeroDivisionError())
    with store.read() as uow:
        assert uow.requests.get("r1") is None
        assert uow.audit.head() == (0, ZERO)


def test_a_change_whose_entry_cannot_be_written_is_not_made(
    store: SqlStore, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(delete(audit_head))
    with pytest.raises(AuditBroken):
        _open_request(store)
    with store.read() as uow:
        assert uow.requests.get("r1") is None
        with pytest.raises(AuditBroken):
            uow.audit.head()


def test_unknown_event_is_our_own_bug(store: SqlStore) -> None:
    with pytest.raises(RuntimeError, match="unknown audit event"), store.write() as uow:
        uow.audit.append("no-such-event", "u1", {})


@pytest.mark.parametrize("number", [1, 3, COUNT])
@pytest.mark.parametrize("column", ["raw", "chain"])
def test_a_changed_byte_is_found(log: SqlStore, database: Engine, number: int, column: str) -> None:
    here = audit_entries.c.number == number
    with database.begin() as connection:
        old: bytes = connection.execute(audit_entries.select().where(here)).mappings().one()[column]
        changed = old[:-1] + bytes([old[-1] ^ 1])
        connection.execute(update(audit_entries).where(here).values({column: changed}))
    with pytest.raises(AuditBroken) as broken:
        _verify(log)
    assert broken.value.data == {"entry": number, "why": "changed"}


@pytest.mark.parametrize(
    ("number", "entry", "why"), [(1, 1, "missing"), (3, 3, "missing"), (COUNT, COUNT - 1, "head")]
)
def test_a_deleted_entry_is_found(
    log: SqlStore, database: Engine, number: int, entry: int, why: str
) -> None:
    with database.begin() as connection:
        connection.execute(delete(audit_entries).where(audit_entries.c.number == number))
    with pytest.raises(AuditBroken) as broken:
        _verify(log)
    assert broken.value.data == {"entry": entry, "why": why}


def test_swapped_entries_are_found(log: SqlStore, database: Engine) -> None:
    with database.begin() as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.execute(
                update(audit_entries).where(audit_entries.c.number == old).values(number=new)
            )
    with pytest.raises(AuditBroken) as broken:
        _verify(log)
    assert broken.value.data == {"entry": 2, "why": "changed"}


def test_a_head_set_back_is_found(log: SqlStore, database: Engine) -> None:
    with database.begin() as connection:
        fourth = audit_entries.select().where(audit_entries.c.number == 4)
        entry = connection.execute(fourth).one()
        connection.execute(update(audit_head).values(number=4, chain=entry.chain))
    with pytest.raises(AuditBroken):
        _verify(log)
    with pytest.raises(RuntimeError, match="refused"), log.write() as uow:
        uow.audit.append("login", "u1", {})


def test_a_second_head_is_refused(log: SqlStore, database: Engine) -> None:
    with pytest.raises(Exception, match="single"), database.begin() as connection:
        connection.execute(text("INSERT INTO audit_head SELECT 2, number, chain FROM audit_head"))
    assert _verify(log) == COUNT
