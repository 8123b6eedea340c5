"""Web sessions in the database: the cookie holds a random id and nothing else.

Rules (ASVS 7, T22):

1. A renewed session has a new cookie and the same handle; the row of the old cookie is gone.
2. A person sees all sessions of their own, on both sites, and may end each; the office may end
   them all. An ended session stays ended.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

from reset.core.identities import Person
from reset.errors import Forbidden, LoginNeeded, NotFound
from reset.flows.parts import Parts
from reset.ports import Session, UnitOfWork

MINUTE = timedelta(minutes=1)
AGENT_LIMIT = 200  # characters of the browser's own words


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

    def begin(
        self, site: str, uid: str, data: str, *, address: str, agent: str, instead_of: str = ""
    ) -> str:
        """Store a new session and return its cookie; the one of ``instead_of`` ends."""
        now = self._parts.clock.now()
        agent = "".join(c for c in agent if c.isprintable())[:AGENT_LIMIT]
        handle = self._parts.new_id()
        session = Session("", site, uid, data, now, now, handle, address, agent)
        with self._parts.store.write() as uow:
            return self._store(uow, session, _key(instead_of) if instead_of else "")

    def renew(self, session: Session, data: str) -> str:
        """A new cookie for a session after a step up; its absolute age goes on.

        Raises ``LoginNeeded`` for a session that was ended meanwhile.
        """
        moved = replace(session, data=data, seen_at=self._parts.clock.now())
        with self._parts.store.write() as uow:
            if uow.sessions.get(session.key) is None:
                raise LoginNeeded
            return self._store(uow, moved, session.key)

    def _store(self, uow: UnitOfWork, session: Session, ended: str) -> str:
        cookie = self._parts.random.token(32).hex()
        if ended:
            uow.sessions.delete(ended)
        uow.sessions.put(replace(session, key=_key(cookie)))
        return cookie

    def keep(self, session: Session, data: str) -> None:
        """Other data under the same cookie; an ended session stays ended."""
        with self._parts.store.write() as uow:
            if uow.sessions.get(session.key):
                uow.sessions.put(replace(session, data=data))

    def touch(self, session: Session) -> None:
        """Move the idle age on, at most once a minute; an ended session stays ended."""
        now = self._parts.clock.now()
        if now - session.seen_at >= MINUTE:
            with self._parts.store.write() as uow:
                uow.sessions.touch(session.key, now)

    def end(self, session: Session) -> None:
        """Delete a session: its cookie is worth nothing from now on."""
        with self._parts.store.write() as uow:
            uow.sessions.delete(session.key)

    # --- one's own, and those of a person who asks the office ------------------------
    def of_person(self, uid: str) -> list[Session]:
        """The live sessions of a person on both sites, the newest first."""
        with self._parts.store.read() as uow:
            return [s for s in uow.sessions.of_person(uid) if not self._over(s)]

    def end_one(self, uid: str, handle: str) -> None:
        """End one's own session. Raises ``NotFound`` for any other."""
        with self._parts.store.write() as uow:
            mine = [s for s in uow.sessions.of_person(uid) if s.handle == handle]
            if not mine:
                raise NotFound(what="session")
            _end(uow, uid, mine)

    def end_others(self, uid: str, but: Session) -> int:
        """End all sessions of one's own except the one that asks; how many."""
        with self._parts.store.write() as uow:
            others = [s for s in uow.sessions.of_person(uid) if s.key != but.key]
            _end(uow, uid, others)
        return len(others)

    def end_all(self, operator: Person, uid: str) -> int:
        """The office ends every session of a person who reports a stolen one; how many.

        Raises ``Forbidden``, ``NotFound``.
        """
        if "office" not in operator.roles:
            raise Forbidden(reason="role")
        person = self._parts.person(uid)
        with self._parts.store.write() as uow:
            found = uow.sessions.of_person(person.uid)
            _end(uow, operator.uid, found)
        return len(found)


def _end(uow: UnitOfWork, actor: str, ended: list[Session]) -> None:
    for session in ended:
        uow.sessions.delete(session.key)
        facts = {"person": session.uid, "site": session.site, "session": session.handle}
        uow.audit.append("session-ended", actor, facts)
