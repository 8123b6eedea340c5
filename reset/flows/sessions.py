"""Web sessions in the database: the cookie holds a random id and nothing else.

Rules (ASVS 7, T22):

1. A renewed session has a new cookie and the same handle; the old cookie is worth nothing.
2. A person sees all sessions of their own, on both sites, and may end each; the office may end
   them all.
3. An ended session stays ended, whatever is under way: it is ended by its handle, and what is done
   with it changes its row or nothing.
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
        cookie = self._new_cookie()
        with self._parts.store.write() as uow:
            if instead_of:
                uow.sessions.delete(_key(instead_of))
            uow.sessions.put(
                Session(_key(cookie), site, uid, data, now, now, handle, address, agent)
            )
        return cookie

    def renew(self, session: Session, data: str) -> str:
        """A new cookie for a session after a step up; its absolute age goes on.

        Raises ``LoginNeeded`` when the session was ended while the step was under way.
        """
        cookie, now = self._new_cookie(), self._parts.clock.now()
        with self._parts.store.write() as uow:
            renewed = replace(session, key=_key(cookie), data=data, seen_at=now)
            if not uow.sessions.renew(session.key, renewed):
                raise LoginNeeded
        return cookie

    def _new_cookie(self) -> str:
        return self._parts.random.token(32).hex()

    def keep(self, session: Session, data: str) -> None:
        """Other data under the same cookie; an ended session stays ended."""
        with self._parts.store.write() as uow:
            uow.sessions.keep(session.key, data)

    def touch(self, session: Session) -> None:
        """Move the idle age on, at most once a minute; an ended session stays ended."""
        now = self._parts.clock.now()
        if now - session.seen_at >= MINUTE:
            with self._parts.store.write() as uow:
                uow.sessions.touch(session.key, now)

    def end(self, session: Session) -> None:
        """Its person leaves: the cookie is worth nothing from now on."""
        with self._parts.store.write() as uow:
            uow.sessions.end(session.handle)
            uow.audit.append("logout", session.uid, {})

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
        uow.sessions.end(session.handle)
        facts = {"person": session.uid, "site": session.site, "session": session.handle}
        uow.audit.append("session-ended", actor, facts)
