"""Approvals and delegations (S1.94-S1.96, S1.101)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, insert, select, update

from reset.core.approvals import Approval, Delegation
from reset.db.rows import Repository, columns
from reset.db.tables import approvals, delegations, requests
from reset.errors import StateConflict


class SqlApprovals(Repository):
    """Implements ``ports.Approvals``."""

    def add(self, approval: Approval) -> None:
        """Raises ``StateConflict`` when the request has an approval."""
        new = (
            self._insert(approvals)
            .values(vars(approval))
            .on_conflict_do_nothing(index_elements=["request_id"])
        )
        if not self._connection.execute(new.returning(approvals.c.id)).first():
            state = select(requests.c.state).where(requests.c.id == approval.request_id)
            raise StateConflict(state=self._connection.scalar(state), event="approve")

    def of_request(self, request_id: str) -> Approval | None:
        """The approval of a request."""
        return self._one(
            Approval, columns(approvals, Approval).where(approvals.c.request_id == request_id)
        )

    def use(self, approval_id: str, at: datetime) -> bool:
        """Mark as used; False when it was."""
        return self._changed(
            update(approvals)
            .where(approvals.c.id == approval_id, approvals.c.used_at.is_(None))
            .values(used_at=at)
        )

    def add_delegation(self, delegation: Delegation) -> None:
        """Add a delegation."""
        self._connection.execute(insert(delegations).values(vars(delegation)))

    def delegations_of(self, principal_uid: str) -> list[Delegation]:
        """What a person delegated, past and revoked ones too, by start."""
        return self._delegations(delegations.c.principal_uid == principal_uid)

    def delegations_to(self, delegate_uid: str) -> list[Delegation]:
        """What was delegated to a person, past and revoked ones too, by start."""
        return self._delegations(delegations.c.delegate_uid == delegate_uid)

    def revoke_delegation(self, delegation_id: str, principal_uid: str, at: datetime) -> bool:
        """End a delegation of ``principal_uid``; False when there is none to end."""
        return self._changed(
            update(delegations)
            .where(
                delegations.c.id == delegation_id,
                delegations.c.principal_uid == principal_uid,
                delegations.c.revoked_at.is_(None),
            )
            .values(revoked_at=at)
        )

    def _delegations(self, condition: ColumnElement[bool]) -> list[Delegation]:
        return self._all(
            Delegation,
            columns(delegations, Delegation)
            .where(condition)
            .order_by(delegations.c.starts, delegations.c.id),
        )
