"""Reading, proving and verifying the audit log."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence

from reset.core import audit, checkpoints, merkle
from reset.core.audit import Entry
from reset.core.checkpoints import SIGNATURE, Checkpoint, SignedCheckpoint, VerifierKey
from reset.core.identities import Person
from reset.errors import AuditBroken, CheckpointRefused, Forbidden, NotFound
from reset.flows.parts import Parts
from reset.ports import UnitOfWork

PAGE = 100
_BATCH = 1_000
_ACCEPTED = b'"event":"acceptances-changed"'  # values are escaped: no other entry holds these bytes


class Auditing:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def newest(self, person: Person, limit: int = 200) -> list[Entry]:
        """The newest entries, for auditors. Raises ``Forbidden``."""
        if "auditor" not in person.roles:
            raise Forbidden(reason="role")
        with self._parts.store.read() as uow:
            return uow.audit.newest(limit)

    def record_acceptances(self) -> None:
        """Write down which deviations the institution accepts, if it is not what was last written.

        For the start of the worker, which reads the whole log for its checkpoints anyway; two
        workers that start at once may both write it.
        """
        accepted = {
            one.rule: f"{one.who}, {one.on} to {one.until}"
            for one in self._parts.policy.acceptances
        }
        known: dict[str, str] = {}
        with self._parts.store.read() as uow:
            for entry in uow.audit.entries():
                if _ACCEPTED in entry.raw:
                    known = json.loads(entry.raw)["facts"]
        if accepted != known:
            with self._parts.store.write() as uow:
                uow.audit.append("acceptances-changed", "service", accepted)

    def key(self) -> VerifierKey:
        """The key that signs checkpoints of this log. Raises ``Unavailable``."""
        return VerifierKey(
            self._parts.log_origin, SIGNATURE, self._parts.custodian.checkpoint_key()
        )

    def checkpoints(self, after: int) -> tuple[int, list[SignedCheckpoint]]:
        """The number of the newest checkpoint, and at most ``PAGE`` after ``after``, in order."""
        origin = self._parts.log_origin
        with self._parts.store.read() as uow:
            newest = uow.checkpoints.newest(origin)
            return newest.number if newest else 0, uow.checkpoints.after(origin, after, PAGE)

    def verify(
        self,
        known: Sequence[Checkpoint] = (),
        open_note: Callable[[str], Checkpoint] | None = None,
    ) -> tuple[int, int]:
        """Verify the whole chain against all checkpoints; the counts of entries and checkpoints.

        ``known``: checkpoints from elsewhere whose signatures were verified; ``open_note``
        verifies the signatures of those in the database. Raises ``AuditBroken``.
        """
        with self._parts.store.read() as uow:
            kept = list(self._kept(uow, open_note))
            entries = audit.verify(uow.audit.entries(), uow.audit.head(), [*known, *kept])
        return entries, len(kept)

    def _kept(
        self, uow: UnitOfWork, open_note: Callable[[str], Checkpoint] | None
    ) -> Iterator[Checkpoint]:
        """The database's own checkpoints, each the follower of the one before."""
        before: Checkpoint | None = None
        while page := uow.checkpoints.after(
            self._parts.log_origin, before.number if before else 0, _BATCH
        ):
            for row in page:
                try:
                    found = checkpoints.parse(checkpoints.body_of(row.note))
                    if open_note:
                        open_note(row.note)
                    checkpoints.check_follows(before, found)
                except CheckpointRefused as refused:
                    why = f"checkpoint {row.number}: {refused.data['rule']}"
                    raise AuditBroken(entry=before.size if before else 0, why=why) from None
                yield found
                before = found

    def prove(self, number: int) -> dict[str, object]:
        """Entry ``number`` with its RFC 6962 inclusion proof in the newest checkpoint.

        Raises ``NotFound`` when no checkpoint covers it.
        """
        with self._parts.store.read() as uow:
            newest = uow.checkpoints.newest(self._parts.log_origin)
            size = checkpoints.parse(checkpoints.body_of(newest.note)).size if newest else 0
            if newest is None or not 0 < number <= size:
                raise NotFound
            leaves, raw = [], b""
            for entry in uow.audit.entries():
                if entry.number > size:
                    break
                leaves.append(merkle.leaf_hash(entry.raw))
                raw = entry.raw if entry.number == number else raw
        proof = merkle.inclusion(number - 1, leaves)
        return {
            "entry": raw.decode(),
            "number": number,
            "proof": [base64.b64encode(node).decode() for node in proof],
            "checkpoint": newest.note,
        }
