"""Mail on its way out: written with the change that it tells of, delivered at least once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, insert, select, update

from reset.db.rows import Repository, columns
from reset.db.tables import outbox
from reset.ports import Mail


class SqlOutbox(Repository):
    """Implements ``ports.Outbox``."""

    def add(self, mail: Mail) -> None:
        """Add a mail, due at once."""
        self._connection.execute(insert(outbox).values(due_at=mail.created_at, **vars(mail)))

    def due(self, at: datetime, limit: int) -> list[Mail]:
        """At most ``limit`` mails to send at ``at``, the longest waiting first.

        In a writing transaction they are locked, and those that another worker holds are left out.
        """
        found = (
            columns(outbox, Mail)
            .where(outbox.c.sent_at.is_(None), outbox.c.due_at <= at)
            .order_by(outbox.c.due_at, outbox.c.number)
            .limit(limit)
        )
        if self._connection.get_execution_options().get("writing", True):
            found = found.with_for_update(skip_locked=True)
        return self._all(Mail, found)

    def sent(self, mail_id: str, at: datetime) -> None:
        """A mail was delivered; the address that only it had kept is forgotten."""
        done = update(outbox).where(outbox.c.id == mail_id).values(sent_at=at, address="")
        self._connection.execute(done)

    def put_off(self, mail_id: str, until: datetime) -> None:
        """A mail could not be delivered: try again at ``until``."""
        self._connection.execute(
            update(outbox)
            .where(outbox.c.id == mail_id)
            .values(due_at=until, tries=outbox.c.tries + 1)
        )

    def waiting(self) -> int:
        """How many mails are not delivered."""
        counted = select(func.count()).where(outbox.c.sent_at.is_(None))
        return self._connection.scalar(counted) or 0
