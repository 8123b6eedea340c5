"""The audit log in the database.

Rules (core.audit, promise 5 of the design):

1. Entries are linked and written at the end of the transaction whose change they record: the lock
   on the head is always the last one taken, so that it is short and can never be part of a
   deadlock.
2. The head's row serialises the writers of all nodes: no gap, no fork.
3. A missing head refuses every write: the service does not go on unlogged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, insert, select, update

from reset.core.audit import Entry, entry_bytes, link
from reset.db.rows import Repository, columns
from reset.db.tables import audit_entries, audit_head
from reset.errors import AuditBroken
from reset.ports import Clock

_PAGE = 1000


class SqlAuditLog(Repository):
    """Implements ``ports.AuditLog``."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        super().__init__(connection)
        self._clock = clock
        self._waiting: list[bytes] = []

    def append(self, event: str, actor: str, facts: Mapping[str, object]) -> None:
        """Record an event with the time of now; it is in the log when the transaction commits."""
        self._waiting.append(entry_bytes(event, self._clock.now(), actor, facts))

    def flush(self) -> None:
        """Link and write what was appended. Raises ``AuditBroken`` without a head."""
        if not self._waiting:
            return
        number, chain = self._head(lock=True)
        rows = []
        for raw in self._waiting:
            number += 1
            chain = link(chain, number, raw)
            rows.append({"number": number, "raw": raw, "chain": chain})
        self._connection.execute(insert(audit_entries), rows)
        self._connection.execute(update(audit_head).values(number=number, chain=chain))
        self._waiting.clear()

    def head(self) -> tuple[int, bytes]:
        """Number and chain hash of the last entry; ``(0, 32 zero bytes)`` before the first."""
        self.flush()
        return self._head(lock=False)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The entries with a number above ``after``, in order, read page by page."""
        self.flush()
        while True:
            page = self._all(
                Entry,
                columns(audit_entries, Entry)
                .where(audit_entries.c.number > after)
                .order_by(audit_entries.c.number)
                .limit(_PAGE),
            )
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number

    def newest(self, limit: int) -> list[Entry]:
        """The last ``limit`` entries, newest first."""
        self.flush()
        return self._all(
            Entry,
            columns(audit_entries, Entry).order_by(audit_entries.c.number.desc()).limit(limit),
        )

    def _head(self, lock: bool) -> tuple[int, bytes]:
        found = select(audit_head.c.number, audit_head.c.chain)
        row = self._connection.execute(found.with_for_update() if lock else found).first()
        if row is None:
            raise AuditBroken(entry=0, why="head")
        return row.number, row.chain
