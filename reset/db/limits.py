"""Counters: tries that are spent before a secret is compared, and slowing down.

Rules (design section 4):

1. A try is spent by one statement that also checks the limit, so N parallel guesses never get
   more than the limit, over any number of nodes.
2. The slow-down never locks anybody out for longer than ``longest``.
3. A bucket (``take``) refills with time: many people behind one address hardly notice it.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from reset.db.rows import Repository
from reset.db.tables import throttle, tries

FORGOTTEN = timedelta(hours=24)
_PURGE_ROWS = 100
_HIGHEST_POWER = 30


class SqlTries(Repository):
    """Implements ``ports.Tries``."""

    def reserve(self, key: str, limit: int) -> int | None:
        """Spend one try if fewer than ``limit`` are spent: the count after it, or None."""
        if limit < 1:
            return None
        spend = (
            self._insert(tries)
            .values(key=key, spent=1)
            .on_conflict_do_update(
                index_elements=["key"],
                set_={"spent": tries.c.spent + 1},
                where=tries.c.spent < limit,
            )
        )
        spent: int | None = self._connection.scalar(spend.returning(tries.c.spent))
        return spent

    def give_back(self, key: str) -> None:
        """Return one try; never below none spent."""
        self._connection.execute(
            update(tries)
            .where(tries.c.key == key, tries.c.spent > 0)
            .values(spent=tries.c.spent - 1)
        )

    def clear(self, key: str) -> None:
        """Forget what was spent."""
        self._connection.execute(delete(tries).where(tries.c.key == key))

    def spent(self, key: str) -> int:
        """How many tries are spent."""
        return self._connection.scalar(select(tries.c.spent).where(tries.c.key == key)) or 0


class SqlThrottle(Repository):
    """Implements ``ports.Throttle``.

    Parameters: ``slow_after`` attempts are free; the n-th one after them makes the next wait
    2^n seconds, at most ``longest``. An entry is forgotten 24 hours after it was last free.
    """

    def __init__(self, connection: Connection, slow_after: int, longest: timedelta) -> None:
        super().__init__(connection)
        self._slow_after = slow_after
        self._longest = longest

    def reserve(self, key: str, at: datetime) -> int:
        """0 when an attempt may go on (it is counted), else the whole seconds to wait."""
        self._forget(at)
        first = self._insert(throttle).values(key=key, failures=0, free_at=at)
        # the empty change locks the row until the transaction ends, and reads it as it is then
        locked = first.on_conflict_do_update(
            index_elements=["key"], set_={"key": first.excluded.key}
        ).returning(throttle.c.failures, throttle.c.free_at)
        row = self._connection.execute(locked).one()
        failures: int = row.failures
        free_at: datetime = row.free_at
        if free_at <= at - FORGOTTEN:
            failures = 0
        # before that, free_at is only the time of an attempt, perhaps by another node's clock
        if failures > self._slow_after and free_at > at:
            return max(1, math.ceil((free_at - at).total_seconds()))
        failures += 1
        self._connection.execute(
            update(throttle)
            .where(throttle.c.key == key)
            .values(failures=failures, free_at=at + self._delay(failures))
        )
        return 0

    def give_back(self, key: str, at: datetime) -> None:
        """An attempt of ``reserve`` at this time did not count after all."""
        self._connection.execute(
            update(throttle)
            .where(throttle.c.key == key, throttle.c.failures > 0)
            .values(failures=throttle.c.failures - 1, free_at=at)
        )

    def take(self, key: str, at: datetime, every: timedelta, burst: int) -> int:
        """0 when an attempt may go on (it is counted), else the whole seconds to wait.

        The generic cell rate algorithm (ITU-T I.371): ``free_at`` is when the bucket will be full.
        """
        self._forget(at)
        first = self._insert(throttle).values(key=key, failures=0, free_at=at)
        locked = first.on_conflict_do_update(
            index_elements=["key"], set_={"key": first.excluded.key}
        ).returning(throttle.c.free_at)
        full: datetime = self._connection.execute(locked).one().free_at
        after = max(full, at) + every
        wait = after - every * burst - at
        if wait > timedelta():
            return math.ceil(wait.total_seconds())
        self._move(key, after)
        return 0

    def put_back(self, key: str, every: timedelta) -> None:
        """An attempt of ``take`` did not count after all."""
        held = select(throttle.c.free_at).where(throttle.c.key == key)
        full: datetime | None = self._connection.scalar(self._held(held))
        if full is not None:
            self._move(key, full - every)

    def _move(self, key: str, free_at: datetime) -> None:
        moved = update(throttle).where(throttle.c.key == key).values(free_at=free_at)
        self._connection.execute(moved)

    def clear(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._connection.execute(delete(throttle).where(throttle.c.key == key))

    def _delay(self, failures: int) -> timedelta:
        if failures <= self._slow_after:
            return timedelta()
        power = min(failures - self._slow_after, _HIGHEST_POWER)
        return min(timedelta(seconds=2**power), self._longest)

    def _forget(self, at: datetime) -> None:
        # rows that another attempt holds are skipped: two purges never wait for each other
        old = (
            select(throttle.c.key)
            .where(throttle.c.free_at <= at - FORGOTTEN)
            .limit(_PURGE_ROWS)
            .with_for_update(skip_locked=True)
        )
        self._connection.execute(delete(throttle).where(throttle.c.key.in_(old)))
