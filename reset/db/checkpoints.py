"""The signed checkpoints of the audit log."""

from __future__ import annotations

from reset.core.checkpoints import SignedCheckpoint
from reset.db.rows import Repository, columns
from reset.db.tables import checkpoints
from reset.errors import StateConflict


class SqlCheckpoints(Repository):
    """Implements ``ports.Checkpoints``: append-only."""

    def add(self, signed: SignedCheckpoint) -> None:
        """Raises ``StateConflict`` when the log has one with this number."""
        new = self._insert(checkpoints).values(vars(signed))
        new = new.on_conflict_do_nothing(index_elements=["origin", "number"])
        if not self._connection.execute(new.returning(checkpoints.c.number)).first():
            raise StateConflict(state="signed", event="sign")

    def newest(self, origin: str) -> SignedCheckpoint | None:
        """The one with the highest number."""
        return self._one(
            SignedCheckpoint,
            columns(checkpoints, SignedCheckpoint)
            .where(checkpoints.c.origin == origin)
            .order_by(checkpoints.c.number.desc())
            .limit(1),
        )

    def after(self, origin: str, number: int, limit: int) -> list[SignedCheckpoint]:
        """Those with a number above ``number``, in order."""
        return self._all(
            SignedCheckpoint,
            columns(checkpoints, SignedCheckpoint)
            .where(checkpoints.c.origin == origin, checkpoints.c.number > number)
            .order_by(checkpoints.c.number)
            .limit(limit),
        )
