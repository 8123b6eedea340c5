"""Escrow, operations and jobs: what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reset.core import custody
from reset.db.store import SqlStore
from reset.errors import OperationUnresolved, StateConflict
from tests.db.examples import APPROVAL, HOUR, JOB, MINUTE, NOW, OPERATION, REQUEST, lay_ground


def test_escrow_only_grows(store: SqlStore) -> None:
    with store.write() as uow:
        uow.escrow.add("T1", 1, b"one")
        uow.escrow.add("T1", 1, b"one")
        with pytest.raises(StateConflict):
            uow.escrow.add("T1", 1, b"other")
        uow.escrow.add("T1", 2, b"two")
        assert uow.escrow.get("T1", 1) == b"one"
        assert uow.escrow.get("T1", 3) is None
        assert not uow.escrow.rewrap("T1", 1, b"other", b"new")
        for serial, version, sealed in uow.escrow.every():
            assert uow.escrow.rewrap(serial, version, sealed, sealed + b"!")
        assert list(uow.escrow.every()) == [("T1", 1, b"one!"), ("T1", 2, b"two!")]


SENT = replace(
    OPERATION, state="sent", tries_spent=1, epoch=1, nonce="n", job_id="j1", lease_until=NOW,
    steps=("so-login", "init-pin"),
)  # fmt: skip


def test_operation_comes_back(store: SqlStore) -> None:
    sealed = replace(SENT, order=b"\0sealed", orders=1)
    with store.write() as uow:
        lay_ground(uow)
        uow.operations.add(OPERATION)
        assert uow.operations.get("o1") == OPERATION
        uow.operations.save(SENT, "intent", 0)
        uow.operations.save(sealed, "sent", 1)
    with store.read() as uow:
        assert uow.operations.get("o1") == uow.operations.of_request("r1") == sealed
        assert uow.operations.unresolved_of("T1") == sealed
        assert uow.operations.get("o9") is uow.operations.of_request("r9") is None
        assert uow.operations.lease_over(NOW) == [sealed]
        assert uow.operations.lease_over(NOW - MINUTE) == []


def test_operation_moves_only_from_the_expected_state_and_epoch(store: SqlStore) -> None:
    with store.write() as uow:
        lay_ground(uow)
        uow.operations.add(OPERATION)
        for state, epoch in (("intent", 1), ("sent", 0)):
            with pytest.raises(StateConflict):
                uow.operations.save(SENT, state, epoch)  # type: ignore[arg-type]
        assert uow.operations.get("o1") == OPERATION


@pytest.mark.parametrize("state", ["intent", "sent", "unknown", "office"])
def test_one_unresolved_operation_per_token(store: SqlStore, state: custody.State) -> None:
    first = replace(SENT, state=state, epoch=int(state != "intent"))
    with store.write() as uow:
        lay_ground(uow)
        uow.requests.save(replace(REQUEST, state="office"), "collecting")
        uow.requests.add(replace(REQUEST, id="r2"))
        uow.approvals.add(replace(APPROVAL, id="a2", request_id="r2"))
        uow.operations.add(first)
        second = replace(OPERATION, id="o2", request_id="r2", approval_id="a2")
        with pytest.raises(OperationUnresolved) as refused:
            uow.operations.add(second)
        assert refused.value.data == {"serial": "T1"}
        uow.operations.save(replace(first, state="done", epoch=1), first.state, first.epoch)
        assert uow.operations.unresolved_of("T1") is None
        uow.operations.add(second)


def test_a_withdrawn_operation_frees_its_token(store: SqlStore) -> None:
    with store.write() as uow:
        lay_ground(uow)
        uow.operations.add(SENT)
        uow.operations.save(replace(SENT, state="withdrawn"), "sent", 1)
        assert uow.operations.unresolved_of("T1") is None
        assert uow.operations.lease_over(NOW) == []
        uow.requests.save(replace(REQUEST, state="cancelled"), "collecting")
        uow.requests.add(replace(REQUEST, id="r2"))
        uow.approvals.add(replace(APPROVAL, id="a2", request_id="r2"))
        second = replace(OPERATION, id="o2", request_id="r2", approval_id="a2", pending_version=3)
        uow.operations.add(second)
        assert uow.operations.unresolved_of("T1") == second


@pytest.mark.parametrize("state", sorted(custody.SETTLED))
def test_ended_operation_is_unsettled_until_the_custodian_knows(
    store: SqlStore, state: custody.State
) -> None:
    done = replace(SENT, state=state)
    with store.write() as uow:
        lay_ground(uow)
        uow.operations.add(SENT)
        uow.operations.settle("o1")
        assert uow.operations.unsettled() == []
        uow.operations.save(done, "sent", 1)
        assert uow.operations.unsettled() == [done]
        uow.operations.settle("o1")
        assert uow.operations.unsettled() == []
        assert uow.operations.get("o1") == replace(done, settled=True)


@pytest.mark.parametrize("state", sorted({*custody.UNRESOLVED, *custody.SETTLED}))
def test_abandoned_is_what_waits_for_an_order_since_long(
    store: SqlStore, state: custody.State
) -> None:
    with store.write() as uow:
        lay_ground(uow)
        uow.operations.add(replace(SENT, state=state, epoch=int(state != "intent")))
        assert uow.operations.abandoned(NOW + HOUR) == [], "the approval is not spent"
        assert uow.approvals.use("a1", NOW + MINUTE)
        assert uow.operations.abandoned(NOW) == []
        found = [operation.id for operation in uow.operations.abandoned(NOW + MINUTE)]
        assert found == (["o1"] if state in ("intent", "unknown") else [])


def test_job_is_claimed_once(store: SqlStore) -> None:
    claimed = replace(JOB, claimed_at=NOW, secret_hash="ab", public_key=b"key")
    with store.write() as uow:
        uow.requests.add(REQUEST)
        assert uow.jobs.add(JOB)
        assert uow.jobs.get("j1") == JOB
        assert uow.jobs.claim(claimed)
        assert not uow.jobs.claim(replace(claimed, public_key=b"thief"))
        uow.jobs.finish("j1", "done")
        assert uow.jobs.get("j1") == replace(claimed, outcome="done")
        assert uow.jobs.add(replace(JOB, id="j2", selector="XYZ"))
        uow.jobs.finish("j2", "ended")
        assert not uow.jobs.claim(replace(claimed, id="j2"))


def test_selector_belongs_to_one_job_for_an_hour(store: SqlStore) -> None:
    late = replace(JOB, id="j3", created_at=NOW + HOUR)
    with store.write() as uow:
        uow.requests.add(REQUEST)
        assert uow.jobs.add(JOB)
        assert not uow.jobs.add(replace(JOB, id="j2", created_at=NOW + 59 * MINUTE))
        assert uow.jobs.get("j2") is None
        assert uow.jobs.by_selector("ABC", NOW - MINUTE) == JOB
        assert uow.jobs.by_selector("ABC", NOW) is None
        assert uow.jobs.add(late)
        assert uow.jobs.by_selector("ABC", NOW - MINUTE) == late
        assert uow.jobs.newest("r1", "u1", "reset") == late
        assert uow.jobs.newest("r1", "u2", "reset") is None
