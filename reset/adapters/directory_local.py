"""The local directory: people imported from CSV into the database, passwords in argon2id."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping

from reset.adapters.hasher_argon2 import Argon2Hasher
from reset.core.identities import Person, tidy_pid
from reset.errors import NotFound
from reset.ports import Store


class LocalDirectory:
    """The Directory port on the ``people`` table."""

    def __init__(self, store: Store, hasher: Argon2Hasher) -> None:
        self._store = store
        self._hasher = hasher
        self._nobody = _join(hasher.parameters, secrets.token_bytes(16), secrets.token_bytes(32))

    def by_pid(self, pid: str) -> Person | None:
        """The active person with this login name."""
        with self._store.read() as uow:
            found = uow.people.by_pid(tidy_pid(pid))
        return found[0] if found and found[0].active else None

    def uid_of(self, pid: str) -> str:
        """The UID with this login name; empty if nobody has it."""
        found = self.by_pid(pid)
        return found.uid if found else ""

    def by_uid(self, uid: str) -> Person | None:
        """The active person with this UID."""
        with self._store.read() as uow:
            person = uow.people.by_uid(uid)
        return person if person and person.active else None

    def search(self, text: str) -> list[Person]:
        """At most 20 persons whose UID, login, name or mail contains ``text``."""
        with self._store.read() as uow:
            return uow.people.search(text)

    def check_password(self, pid: str, password: str) -> Person | None:
        """The person, if the password is right; unknown names cost the same hash (T34).

        The password is compared as it was typed, never normalised (ASVS 6.2.8).
        """
        with self._store.read() as uow:
            found = uow.people.by_pid(tidy_pid(pid))
        person, stored = found if found and found[1] else (None, self._nobody)
        parameters, salt, tag = _split(stored)
        made = self._hasher.tag(password, salt, parameters)
        right = hmac.compare_digest(made, tag)
        return person if person and person.active and right and password else None

    def keep(self, uid: str) -> None:
        """Nothing to note: the import keeps a UID's login name for ever. Raises ``NotFound``."""
        if self.by_uid(uid) is None:
            raise NotFound(what="person")

    def check(self) -> Mapping[str, str]:
        """The database is looked at elsewhere."""
        return {"kind": "local"}

    def hash_password(self, password: str) -> str:
        """The stored form of a new password. Raises ``Busy``."""
        salt, parameters = secrets.token_bytes(16), self._hasher.parameters
        return _join(parameters, salt, self._hasher.tag(password, salt, parameters))


def _join(parameters: str, salt: bytes, tag: bytes) -> str:
    return "$".join((parameters, base64.b64encode(salt).decode(), base64.b64encode(tag).decode()))


def _split(stored: str) -> tuple[str, bytes, bytes]:
    parameters, salt, tag = stored.split("$")
    return parameters, base64.b64decode(salt), base64.b64decode(tag)
