"""Web sessions in the database: the cookie holds a random id and nothing else."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from reset.flows.parts import Parts
from reset.ports import Session

MINUTE = timedelta(minutes=1)


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


class Sessions:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def load(self, cookie: str, site: str) -> Session | None:
        """The live session of this cookie on this site; idle and absolute ages are applied."""
        with self._parts.store.read() as uow:
            session = uow.sessions.get(_key(cookie))
        if session is None or session.site != site or self._over(session):
            return None
        return session

    def _over(self, session: Session) -> bool:
        now, policy = self._parts.clock.now(), self._parts.policy
        return (
            now >= session.seen_at + policy.session_idle
            or now >= session.created_at + policy.session_absolute
        )

    def save(
        self, cookie: str | None, site: str, uid: str, data: str, created_at: datetime | None
    ) -> str:
        """Store a session and return its cookie value; without one a new id is made.

        ``created_at``: the start that the absolute age counts from; None: now.
        """
        now = self._parts.clock.now()
        cookie = cookie or self._parts.random.token(32).hex()
        with self._parts.store.write() as uow:
            uow.sessions.put(Session(_key(cookie), site, uid, data, created_at or now, now))
        return cookie

    def touch(self, session: Session) -> None:
        """Move the idle age on, at most once a minute; an ended session stays ended."""
        now = self._parts.clock.now()
        if now - session.seen_at >= MINUTE:
            with self._parts.store.write() as uow:
                uow.sessions.touch(session.key, now)

    def end(self, cookie: str) -> None:
        """Delete a session: its cookie is worth nothing from now on."""
        with self._parts.store.write() as uow:
            uow.sessions.delete(_key(cookie))
