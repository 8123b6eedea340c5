"""Requests, their proofs, and mailed codes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, insert, select, text, update

from reset.core.assurance import Proof
from reset.core.codes import MailCode
from reset.core.requests import OPEN, TRANSITIONS, Request, State
from reset.db.rows import Repository, columns
from reset.db.tables import OPEN_REQUEST, mail_codes, proofs, requests
from reset.errors import StateConflict

_EXPIRING = frozenset(state for state, event in TRANSITIONS if event == "expire")


class SqlRequests(Repository):
    """Implements ``ports.Requests``."""

    def add(self, request: Request) -> None:
        """Raises ``StateConflict`` when the token has an open request."""
        new = (
            self._insert(requests)
            .values(vars(request))
            .on_conflict_do_nothing(index_elements=["token_serial"], index_where=text(OPEN_REQUEST))
        )
        if not self._connection.execute(new.returning(requests.c.id)).first():
            other = self.open_of_token(request.token_serial)
            raise StateConflict(state=other.state if other else "", event="open")

    def get(self, request_id: str) -> Request | None:
        """The request with this id."""
        return self._one(
            Request, self._held(columns(requests, Request).where(requests.c.id == request_id))
        )

    def save(self, request: Request, expected: State) -> None:
        """Write the request where its state is ``expected``. Raises ``StateConflict``."""
        if not self._changed(
            update(requests)
            .where(requests.c.id == request.id, requests.c.state == expected)
            .values(vars(request))
        ):
            found = self.get(request.id)
            raise StateConflict(state=found.state if found else "", event="save")

    def open_of_token(self, serial: str) -> Request | None:
        """The open request for a token."""
        return self._one(
            Request,
            columns(requests, Request).where(
                requests.c.token_serial == serial, requests.c.state.in_(OPEN)
            ),
        )

    def of_holder(self, uid: str, limit: int = 20) -> list[Request]:
        """The requests of a person, newest first."""
        return self._all(
            Request,
            columns(requests, Request)
            .where(requests.c.uid == uid)
            .order_by(requests.c.number.desc())
            .limit(limit),
        )

    def opened_since(self, uid: str, since: datetime, *, answered: bool) -> int:
        """How many requests a person opened after ``since``, all or those with right answers."""
        counted = select(func.count()).where(requests.c.uid == uid, requests.c.created_at > since)
        if answered:
            right = select(proofs.c.request_id).where(proofs.c.method == "answers")
            counted = counted.where(requests.c.id.in_(right))
        return self._connection.scalar(counted) or 0

    def in_state(self, state: State) -> list[Request]:
        """All requests in a state, oldest first."""
        return self._all(
            Request,
            columns(requests, Request).where(requests.c.state == state).order_by(requests.c.number),
        )

    def overdue(self, at: datetime) -> list[Request]:
        """The requests that may expire and whose time is over at ``at``, oldest first."""
        return self._all(
            Request,
            columns(requests, Request)
            .where(requests.c.state.in_(_EXPIRING), requests.c.expires_at <= at)
            .order_by(requests.c.number),
        )

    def add_proof(self, request_id: str, proof: Proof) -> None:
        """Add one success to a request."""
        self._connection.execute(insert(proofs).values(request_id=request_id, **vars(proof)))

    def proofs(self, request_id: str) -> list[Proof]:
        """The proofs of a request in the order in which they were shown."""
        return self._all(
            Proof,
            columns(proofs, Proof)
            .where(proofs.c.request_id == request_id)
            .order_by(proofs.c.number),
        )


class SqlCodes(Repository):
    """Implements ``ports.Codes``: rows from which codes are derived, never codes."""

    def add(self, code: MailCode) -> None:
        """Add a code."""
        self._connection.execute(insert(mail_codes).values(vars(code)))

    def get(self, code_id: str) -> MailCode | None:
        """The code with this id."""
        return self._one(MailCode, columns(mail_codes, MailCode).where(mail_codes.c.id == code_id))

    def newest(self, purpose: str, about: str) -> MailCode | None:
        """The code that was added last for a purpose: the only one that counts."""
        return self._one(
            MailCode,
            columns(mail_codes, MailCode)
            .where(mail_codes.c.purpose == purpose, mail_codes.c.about == about)
            .order_by(mail_codes.c.number.desc())
            .limit(1),
        )

    def use(self, code_id: str, at: datetime) -> bool:
        """Mark as used; False when it was."""
        return self._changed(
            update(mail_codes)
            .where(mail_codes.c.id == code_id, mail_codes.c.used_at.is_(None))
            .values(used_at=at)
        )

    def sent_since(self, uid: str, since: datetime) -> list[datetime]:
        """When codes were made for a person after ``since``, oldest first."""
        times = (
            select(mail_codes.c.created_at)
            .where(mail_codes.c.uid == uid, mail_codes.c.created_at > since)
            .order_by(mail_codes.c.created_at)
        )
        return list(self._connection.scalars(times))
