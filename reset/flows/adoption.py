"""Who could not reset a token alone today: token holders without a complete profile (S1.53)."""

from __future__ import annotations

from dataclasses import dataclass

from reset.core.identities import Person
from reset.flows.opening import missing
from reset.flows.parts import Parts


@dataclass(frozen=True)
class Unprepared:
    """A holder and what is missing: ``profile`` or ``recovery-address``."""

    person: Person
    missing: str


class Adoption:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def unprepared(self) -> tuple[list[Unprepared], int]:
        """The active holders of tokens in use who are not prepared, by UID, and how many holders
        there are."""
        parts = self._parts
        with parts.store.read() as uow:
            uids = sorted({t.holder_uid for t in uow.tokens.every() if t.state == "in-use"})
            lacking = {uid: missing(parts, uow, uid) for uid in uids}
        people = [person for uid in uids if (person := parts.directory.by_uid(uid))]
        found = [Unprepared(p, lacking[p.uid]) for p in people if lacking[p.uid]]
        return found, len(people)
