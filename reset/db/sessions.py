"""Web sessions: in the database, so that they can be ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, update

from reset.db.rows import Repository, columns
from reset.db.tables import sessions
from reset.ports import Session


class SqlSessions(Repository):
    """Implements ``ports.Sessions``."""

    def get(self, key: str) -> Session | None:
        """The session with this key."""
        found = columns(sessions, Session).where(sessions.c.key == key)
        return self._one(Session, self._held(found))

    def put(self, session: Session) -> None:
        """Insert or change."""
        self._put(sessions, vars(session))

    def touch(self, key: str, at: datetime) -> None:
        """Move the idle age of a session that still exists."""
        self._connection.execute(update(sessions).where(sessions.c.key == key).values(seen_at=at))

    def keep(self, key: str, data: str) -> None:
        """Change the data of a session that still exists."""
        self._connection.execute(update(sessions).where(sessions.c.key == key).values(data=data))

    def renew(self, key: str, session: Session) -> bool:
        """Put ``session`` in the place of that with ``key``; False when it was ended."""
        # in place: whoever ends it at this moment by its handle finds this very row
        return self._changed(update(sessions).where(sessions.c.key == key).values(vars(session)))

    def delete(self, key: str) -> None:
        """End the session with this key."""
        self._connection.execute(delete(sessions).where(sessions.c.key == key))

    def end(self, handle: str) -> None:
        """End the session with this handle, under whatever key it has by now."""
        self._connection.execute(delete(sessions).where(sessions.c.handle == handle))

    def of_person(self, uid: str) -> list[Session]:
        """All sessions of a person, the newest first."""
        mine = columns(sessions, Session).where(sessions.c.uid == uid)
        return self._all(Session, mine.order_by(sessions.c.created_at.desc(), sessions.c.key))

    def purge(self, idle_since: datetime, created_before: datetime) -> int:
        """Delete sessions last seen before ``idle_since`` or made before ``created_before``."""
        old = (sessions.c.seen_at < idle_since) | (sessions.c.created_at < created_before)
        return self._connection.execute(delete(sessions).where(old)).rowcount
