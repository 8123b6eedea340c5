"""Making checkpoints of the audit log: when, over what, and signed by the custodian.

Rules:

1. A checkpoint is due 60 seconds after the last one if there are new entries, at once after 100
   new ones, a release or a finished reset, and every 15 minutes even without any: a witness can
   then tell a quiet log from one that is held back.
2. The chain is verified on the way; a broken log gets no checkpoint.
3. Each row proves RFC 6962 consistency with the row before; the custodian demands the same with
   the last one that it signed, so a log that was rewritten is not signed even after a restart.
4. Only the full subtrees and the entries since the last checkpoint are kept in memory; what was
   read once is not believed again when a database says otherwise.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from reset.core import checkpoints
from reset.core.audit import ZERO, Entry, link
from reset.core.checkpoints import SIGNATURE, Checkpoint, SignedCheckpoint, VerifierKey
from reset.core.merkle import Tree, consistency, leaf_hash
from reset.errors import (
    AuditBroken,
    CheckpointRefused,
    ReleaseRefused,
    StateConflict,
    Unavailable,
)
from reset.flows.parts import Parts
from reset.ports import UnitOfWork

INTERVAL = timedelta(seconds=60)
ENTRIES = 100
HEARTBEAT = timedelta(minutes=15)
# values are escaped: no other entry holds these bytes
_URGENT = (b'"event":"custody-sent"', b'"event":"reset-done"')
_log = logging.getLogger(__name__)


class _Log:
    """What was read of the log: the tree at some size, and the leaves after it."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.leaves: list[bytes] = []
        self.chain = ZERO
        self.urgent = 0  # the newest entry that wants a checkpoint at once

    @property
    def size(self) -> int:
        return self.tree.size + len(self.leaves)

    def add(self, entry: Entry, keep: int = 0) -> None:
        """The next entry, as a single leaf only after ``keep``. Raises ``AuditBroken``."""
        if entry.number != self.size + 1:
            raise AuditBroken(entry=self.size + 1, why="missing")
        self.chain = link(self.chain, entry.number, entry.raw)
        if self.chain != entry.chain:
            raise AuditBroken(entry=entry.number, why="changed")
        if entry.number <= keep:
            self.tree.add(leaf_hash(entry.raw))
        else:
            self.leaves.append(leaf_hash(entry.raw))
        if any(event in entry.raw for event in _URGENT):
            self.urgent = entry.number

    def forget(self, size: int) -> None:
        """Keep single leaves only after ``size``."""
        cut = size - self.tree.size
        self.tree = self.tree.grown(self.leaves[:cut])
        del self.leaves[:cut]

    def proof(self, size: int) -> list[bytes]:
        """That the log begins with its first ``size`` entries."""
        cut = size - self.tree.size
        return consistency(self.tree.grown(self.leaves[:cut]), self.leaves[cut:])


class Checkpointing:
    """Used by one thread; several workers may each have one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._read: _Log | None = None
        self._resume: datetime | None = None

    def run_once(self) -> int:
        """Make a checkpoint if one is due; the count made. What stops it is logged, once a minute.

        The service goes on: without checkpoints the witness raises the alarm.
        """
        now = self._parts.clock.now()
        if self._resume and now < self._resume:
            return 0
        try:
            made = self.make(only_due=True)
        except (AuditBroken, CheckpointRefused, ReleaseRefused, Unavailable) as refused:
            _log.error("no checkpoint: %s", refused)
            self._read, self._resume = None, now + INTERVAL
            return 0
        self._resume = None
        return int(made is not None)

    def make(self, *, only_due: bool = False) -> SignedCheckpoint | None:
        """A new checkpoint of the whole log, signed and kept; None when none is due.

        Raises ``AuditBroken``, ``CheckpointRefused``, ``ReleaseRefused``, ``Unavailable``.
        """
        parts = self._parts
        with parts.store.read() as uow:
            last = self._last(uow)
            read = self._catch_up(uow, last)
            if only_due and not self._due(last, read):
                return None
            signed = parts.custodian.checkpoint_size(parts.log_origin)
            if signed > read.size:
                raise AuditBroken(entry=read.size, why="truncated")
            if signed < read.tree.size:  # the custodian's ledger is older than the database
                read = self._from_start(uow, keep=signed)
        body = self._body(last, read)
        signature = parts.custodian.sign_checkpoint(body, read.proof(signed))
        key = VerifierKey(parts.log_origin, SIGNATURE, parts.custodian.checkpoint_key())
        made = SignedCheckpoint(
            parts.log_origin,
            last.number + 1 if last else 1,
            checkpoints.note(key, body, signature),
            b"".join(read.proof(last.size) if last else []),
        )
        try:
            with parts.store.write() as uow:
                uow.checkpoints.add(made)
        except StateConflict:
            return None  # another worker was faster
        return made

    def _last(self, uow: UnitOfWork) -> Checkpoint | None:
        kept = uow.checkpoints.newest(self._parts.log_origin)
        return checkpoints.parse(checkpoints.body_of(kept.note)) if kept else None

    def _catch_up(self, uow: UnitOfWork, last: Checkpoint | None) -> _Log:
        """Read what is new. Raises ``AuditBroken`` where the log is not what it was."""
        read, size = self._read, last.size if last else 0
        if read is None or size < read.tree.size:
            read = self._read = self._from_start(uow, keep=size)
        else:
            for entry in uow.audit.entries(after=read.size):
                read.add(entry)
            if size > read.size:
                raise AuditBroken(entry=read.size, why="truncated")
            read.forget(size)
        if uow.audit.head() != (read.size, read.chain):
            raise AuditBroken(entry=read.size, why="head")
        if last and last.root != read.tree.root():
            raise AuditBroken(entry=last.size, why="rewritten")
        return read

    @staticmethod
    def _from_start(uow: UnitOfWork, keep: int) -> _Log:
        read = _Log()
        for entry in uow.audit.entries():
            read.add(entry, keep)
        if read.size < keep:
            raise AuditBroken(entry=read.size, why="truncated")
        return read

    def _due(self, last: Checkpoint | None, read: _Log) -> bool:
        if last is None:
            return read.size > 0
        new, age = read.size - last.size, self._parts.clock.now() - last.at
        at_once = new >= ENTRIES or read.urgent > last.size
        return at_once or (new > 0 and age >= INTERVAL) or age >= HEARTBEAT

    def _body(self, last: Checkpoint | None, read: _Log) -> bytes:
        now = self._parts.clock.now()
        return Checkpoint(
            origin=self._parts.log_origin,
            size=read.size,
            root=read.tree.grown(read.leaves).root(),
            chain=read.chain,
            number=last.number + 1 if last else 1,
            at=max(now, last.at) if last else now,
            previous=last.digest() if last else checkpoints.FIRST,
        ).body()
