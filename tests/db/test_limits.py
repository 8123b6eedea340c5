"""Limits hold under parallel load, over threads and processes, on both databases.

The cases of CVE-2024-4629, CVE-2023-47111, CVE-2024-32868: a counter that is read, compared and
written in separate steps lets parallel guesses pass its limit.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, func, select

from reset.core.audit import verify
from reset.db import engine as db_engine
from reset.db.limits import FORGOTTEN
from reset.db.store import SqlStore
from reset.db.tables import throttle
from reset.errors import StateConflict
from tests.db.examples import (
    APPROVAL,
    CODE,
    HOUR,
    JOB,
    MAIL,
    NOW,
    OPERATION,
    REQUEST,
    Watch,
    lay_ground,
)

GUESSES = 60
LIMIT = 3
THREADS = 12
ENTRIES = 15
SECOND = timedelta(seconds=1)


@contextmanager
def _open(url: str) -> Iterator[SqlStore]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(db_engine, "LOCK_WAIT", timedelta(seconds=60))  # nobody gives up
        store = SqlStore(url, Watch(), slow_after=3, slow_longest=timedelta(seconds=60))
    try:
        yield store
    finally:
        store.close()


def _reserve(store: SqlStore) -> int | None:
    with store.write() as uow:
        return uow.tries.reserve("rounds:u1", LIMIT)


def _reserve_many(url: str, count: int) -> list[int | None]:
    with _open(url) as store, ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_reserve, [store] * count))


def _record_many(store: SqlStore, name: str) -> None:
    for number in range(ENTRIES):
        with store.write() as uow:
            uow.audit.append("login", name, {"number": number})


def _node(url: str, name: str) -> list[int | None]:
    """What one of two processes does."""
    results = _reserve_many(url, GUESSES // 2)
    with _open(url) as store:
        _record_many(store, name)
    return results


# --- buckets ------------------------------------------------------------------------
def test_a_bucket_gives_its_burst_and_then_one_at_a_time(store: SqlStore) -> None:
    with store.write() as uow:
        assert [uow.throttle.take("n", NOW, 10 * SECOND, 3) for _ in range(5)] == [0, 0, 0, 10, 10]
        assert uow.throttle.take("other", NOW, 10 * SECOND, 3) == 0
        assert uow.throttle.take("n", NOW + 9 * SECOND, 10 * SECOND, 3) == 1
        assert uow.throttle.take("n", NOW + 10 * SECOND, 10 * SECOND, 3) == 0
        assert uow.throttle.take("n", NOW + 10 * SECOND, 10 * SECOND, 3) == 10
        full = NOW + HOUR
        assert [uow.throttle.take("n", full, 10 * SECOND, 3) for _ in range(4)] == [0, 0, 0, 10]


def test_what_is_put_back_can_be_taken_again(store: SqlStore) -> None:
    with store.write() as uow:
        for _ in range(3):
            uow.throttle.take("n", NOW, 10 * SECOND, 3)
        uow.throttle.put_back("n", 10 * SECOND)
        assert [uow.throttle.take("n", NOW, 10 * SECOND, 3) for _ in range(2)] == [0, 10]
        uow.throttle.put_back("unknown", 10 * SECOND)
        for _ in range(9):
            uow.throttle.put_back("n", 10 * SECOND)
        taken = [uow.throttle.take("n", NOW, 10 * SECOND, 3) for _ in range(4)]
        assert taken == [0, 0, 0, 10]  # never more than the burst


def _take(store: SqlStore) -> int:
    with store.write() as uow:
        return uow.throttle.take("n", NOW, 10 * SECOND, LIMIT)


def test_parallel_attempts_take_no_more_than_the_burst(url: str) -> None:
    with _open(url) as store, ThreadPoolExecutor(THREADS) as pool:
        taken = list(pool.map(_take, [store] * GUESSES))
    assert taken.count(0) == LIMIT


# --- tries --------------------------------------------------------------------------
def test_tries_end_at_the_limit(store: SqlStore) -> None:
    with store.write() as uow:
        assert [uow.tries.reserve("k", 3) for _ in range(5)] == [1, 2, 3, None, None]
        assert uow.tries.spent("k") == 3
        assert uow.tries.spent("other") == 0
        uow.tries.give_back("k")
        assert uow.tries.reserve("k", 3) == 3
        for _ in range(5):
            uow.tries.give_back("k")
        assert uow.tries.spent("k") == 0
        uow.tries.give_back("unknown")
        assert uow.tries.reserve("k", 3) == 1
        uow.tries.clear("k")
        assert uow.tries.spent("k") == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_no_try_below_a_limit_of_one(store: SqlStore, limit: int) -> None:
    with store.write() as uow:
        assert uow.tries.reserve("k", limit) is None
        assert uow.tries.spent("k") == 0


def test_parallel_guesses_never_pass_the_limit(url: str) -> None:
    results = _reserve_many(url, GUESSES)
    assert sorted(r for r in results if r) == [1, 2, 3]


def test_two_nodes_keep_one_limit_and_one_log(url: str) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        nodes = [pool.submit(_node, url, name) for name in ("n1", "n2")]
        results = [r for node in nodes for r in node.result()]
    assert len(results) == GUESSES
    assert sorted(r for r in results if r) == [1, 2, 3]
    with _open(url) as store, store.read() as uow:
        assert verify(uow.audit.entries(), uow.audit.head()) == 2 * ENTRIES


def _give_back_and_fail(store: SqlStore) -> None:
    with store.write() as uow:
        uow.tries.give_back("rounds:u1")
        raise ZeroDivisionError


def test_a_spent_try_survives_a_later_failure(store: SqlStore) -> None:
    assert _reserve(store) == 1
    with pytest.raises(ZeroDivisionError):
        _give_back_and_fail(store)
    with store.read() as uow:
        assert uow.tries.spent("rounds:u1") == 1


# --- slowing down -------------------------------------------------------------------
def test_waiting_doubles_up_to_the_longest(store: SqlStore) -> None:
    at, waits = NOW, []
    with store.write() as uow:
        assert [uow.throttle.reserve("k", at) for _ in range(4)] == [0, 0, 0, 0]
        for _ in range(7):
            waits.append(uow.throttle.reserve("k", at))
            at += timedelta(seconds=waits[-1])
            assert uow.throttle.reserve("k", at - SECOND / 1000) == 1
            assert uow.throttle.reserve("k", at) == 0
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_a_refused_attempt_is_not_counted(store: SqlStore) -> None:
    with store.write() as uow:
        for _ in range(4):
            uow.throttle.reserve("k", NOW)
        assert {uow.throttle.reserve("k", NOW + SECOND / 2) for _ in range(50)} == {2}
        assert uow.throttle.reserve("k", NOW + 2 * SECOND) == 0
        assert uow.throttle.reserve("other", NOW) == 0


def test_an_attempt_that_is_given_back_was_none(store: SqlStore) -> None:
    with store.write() as uow:
        for _ in range(20):
            assert uow.throttle.reserve("k", NOW) == 0
            uow.throttle.give_back("k", NOW)
        uow.throttle.give_back("k", NOW)
        uow.throttle.give_back("nobody", NOW)
        assert [uow.throttle.reserve("k", NOW) for _ in range(5)] == [0, 0, 0, 0, 2]
        uow.throttle.give_back("k", NOW)  # the last that was allowed, which began the wait
        assert [uow.throttle.reserve("k", NOW) for _ in range(2)] == [0, 2]


def test_success_clears_the_slow_down(store: SqlStore) -> None:
    with store.write() as uow:
        for _ in range(5):
            uow.throttle.reserve("k", NOW)
        uow.throttle.clear("k")
        assert [uow.throttle.reserve("k", NOW) for _ in range(5)] == [0, 0, 0, 0, 2]


def test_failures_are_forgotten_after_a_day(store: SqlStore, database: Engine) -> None:
    with store.write() as uow:
        for _ in range(5):
            uow.throttle.reserve("k", NOW)
        uow.throttle.reserve("other", NOW)
    tomorrow = NOW + FORGOTTEN + 2 * SECOND
    with store.write() as uow:
        assert [uow.throttle.reserve("k", tomorrow) for _ in range(5)] == [0, 0, 0, 0, 2]
    with database.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(throttle)) == 1


def test_clocks_that_differ_a_little_delay_no_free_attempt(store: SqlStore) -> None:
    with store.write() as uow:
        assert uow.throttle.reserve("k", NOW + SECOND / 10) == 0
        assert uow.throttle.reserve("k", NOW) == 0


def test_parallel_attempts_pass_only_while_they_are_free(store: SqlStore) -> None:
    def attempt(_: int) -> int:
        with store.write() as uow:
            return uow.throttle.reserve("k", NOW)

    with ThreadPoolExecutor(THREADS) as pool:
        waits = list(pool.map(attempt, range(GUESSES)))
    assert waits.count(0) == 4
    assert set(waits) == {0, 2}


# --- what happens once happens once ---------------------------------------------------
def _race(store: SqlStore, act: str) -> bool:
    with store.write() as uow:
        if act == "code":
            return uow.codes.use("c1", NOW)
        if act == "approval":
            return uow.approvals.use("a1", NOW)
        claimed = replace(JOB, claimed_at=NOW, secret_hash="ab", public_key=b"key")
        return uow.jobs.claim(claimed)


@pytest.mark.parametrize("act", ["code", "approval", "job"])
def test_one_of_many_parallel_uses_succeeds(store: SqlStore, act: str) -> None:
    with store.write() as uow:
        lay_ground(uow)
        uow.codes.add(CODE)
    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(_race, [store] * THREADS, [act] * THREADS)) == 1


def test_one_of_many_parallel_requests_and_operations_is_made(store: SqlStore) -> None:
    def make(number: int) -> str:
        try:
            with store.write() as uow:
                uow.requests.add(replace(REQUEST, id=f"r{number}"))
                uow.approvals.add(replace(APPROVAL, id=f"a{number}", request_id=f"r{number}"))
                operation = replace(OPERATION, id=f"o{number}", request_id=f"r{number}")
                uow.operations.add(replace(operation, approval_id=f"a{number}"))
        except StateConflict:
            return ""
        return f"r{number}"

    with ThreadPoolExecutor(THREADS) as pool:
        made = [m for m in pool.map(make, range(THREADS)) if m]
    with store.read() as uow:
        assert [request.id for request in uow.requests.of_holder("u1")] == made
        operation = uow.operations.unresolved_of("T1")
        assert operation is not None
        assert [operation.request_id] == made


def test_what_is_read_for_a_change_is_not_changed_meanwhile(store: SqlStore) -> None:
    with store.write() as uow:
        uow.requests.add(replace(REQUEST, reason=""))
    together = Barrier(2)

    def add_a_letter(letter: str) -> None:
        together.wait()
        for _ in range(10):
            with store.write() as uow:
                request = uow.requests.get("r1")
                assert request is not None
                uow.requests.save(replace(request, reason=request.reason + letter), request.state)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add_a_letter, "ab"))
    with store.read() as uow:
        request = uow.requests.get("r1")
        assert request is not None
        assert sorted(request.reason) == sorted("ab" * 10)


def test_two_workers_never_take_the_same_mail(store: SqlStore) -> None:
    with store.write() as uow:
        for number in range(20):
            uow.outbox.add(replace(MAIL, id=f"m{number}"))

    def take(_: int) -> list[str]:
        with store.write() as uow:
            due = uow.outbox.due(NOW, 5)
            for mail in due:
                uow.outbox.put_off(mail.id, NOW + HOUR)
        return [mail.id for mail in due]

    with ThreadPoolExecutor(4) as pool:
        taken = [mail for mails in pool.map(take, range(8)) for mail in mails]
    assert sorted(taken) == sorted({f"m{number}" for number in range(20)})


# --- audit --------------------------------------------------------------------------
def test_parallel_writers_make_one_unbroken_log(store: SqlStore) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(_record_many, [store] * 3, ["t1", "t2", "t3"]))
    with store.read() as uow:
        assert verify(uow.audit.entries(), uow.audit.head()) == 3 * ENTRIES
