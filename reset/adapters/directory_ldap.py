"""The Directory port on LDAP: OpenLDAP, Active Directory and their kind (RFC 4511).

Rules:

1. Nothing is kept between two questions but connections: what the directory says counts at once
   (ASVS 8.3.2).
2. Two entries for one UID or login name are nobody.
3. A password is tried by binding as the person. An unknown name takes the same two steps, with a
   DN that is nobody's (T34); an empty password takes none.
4. The entry that a UID belongs to is noted at the first login and when a token is registered; the
   same UID on another entry is nobody (S5.7).
"""

from __future__ import annotations

import logging
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import ldap
import ldap.dn

from reset.adapters.ldap_entries import Found, Identity, Reader, Schema
from reset.adapters.ldap_link import Entry, Link
from reset.adapters.ldap_servers import Servers
from reset.core.identities import Person, tidy_pid
from reset.errors import BadInput, NotFound, SettingsRefused, Unavailable
from reset.ports import Store

_log = logging.getLogger("reset.directory")
T = TypeVar("T")
_LONGEST_NAME = 200  # characters of a UID, a login name or a text to search for
_LONGEST_PASSWORD = 256  # bytes
_MOST_FOUND = 20


class LdapDirectory:
    """``base``: DN below which people are; ``roles``: DN of the group for each role.

    Raises ``SettingsRefused`` for what is no DN. Every method raises ``Unavailable``, ``Busy``.
    """

    def __init__(
        self, servers: Servers, schema: Schema, base: str, roles: Mapping[str, str], store: Store
    ) -> None:
        wrong = [dn for dn in (base, *roles.values()) if not ldap.dn.is_dn(dn)]
        if wrong:
            raise SettingsRefused(problems=[f"directory: {dn!r} is no DN" for dn in wrong])
        self._servers, self._schema, self._base = servers, schema, base
        self._reader = Reader(schema, roles)
        self._store = store
        self._nobody = f"cn={secrets.token_hex(16)},{base}"

    def by_pid(self, pid: str) -> Person | None:
        """The active person with this login name."""
        found = self._sole("login", tidy_pid(pid), self._read)
        return found.person if found and self._is_theirs(found.identity) else None

    def by_uid(self, uid: str) -> Person | None:
        """The active person with this UID, compared sign by sign.

        Raises ``BadInput`` for NUL and lone surrogates, which are in nobody's.
        """
        found = self._by_uid(uid)
        return found.person if found else None

    def uid_of(self, pid: str) -> str:
        """The UID with this login name; empty if nobody has it."""
        named = self._named(tidy_pid(pid))
        return named.uid if named else ""

    def check_password(self, pid: str, password: str) -> Person | None:
        """The person, if the directory takes the password, which is sent as it was typed."""
        name = tidy_pid(pid)
        if not _sane(name) or not _sendable(password):
            return None
        named = self._named(name)
        right = self._servers.tells_right(named.dn if named else self._nobody, password)
        if not named or not right:
            return None
        self._keep(named)
        return self.by_uid(named.uid)

    def search(self, text: str) -> list[Person]:
        """At most 20 active persons whose UID, login, name or mail contains ``text``."""
        sought = " ".join(unicodedata.normalize("NFKC", text[:_LONGEST_NAME]).split())
        if not _sane(sought):
            return []
        words = self._schema.with_part(sought)
        found = self._servers.ask(lambda link: self._people(link, words))
        people = [f.person for f in found if self._is_theirs(f.identity)]
        return sorted(people, key=lambda person: person.pid)

    def keep(self, uid: str) -> None:
        """Note the entry of this UID. Raises ``NotFound``."""
        found = self._by_uid(uid)
        if found is None:
            raise NotFound(what="person")
        self._keep(found.identity)

    def check(self) -> Mapping[str, str]:
        """Ask every server: connection, certificate, service account, people and groups."""
        facts, wrong = {}, []
        for address in self._servers.addresses:
            try:
                facts[address] = self._servers.examine(address, self._examine)
            except Unavailable as refused:
                wrong.append(f"{address}: {refused.data['why']}")
        if wrong:
            raise Unavailable(part="directory", why="; ".join(wrong))
        return facts

    # --- one question ------------------------------------------------------------------
    def _named(self, name: str) -> Identity | None:
        """Whose login name it is; the same work whether somebody has it or not (T34)."""
        named = self._sole("login", name, lambda link, entry: self._reader.identity(entry))
        return named if self._is_theirs(named) else None

    def _by_uid(self, uid: str) -> Found | None:
        if "\0" in uid or _size(uid) is None:
            raise BadInput(field="uid", rule="characters")
        found = self._sole("uid", uid, self._read)
        return found if found and self._is_theirs(found.identity) else None

    def _read(self, link: Link, entry: Entry) -> Found | None:
        people = self._reader.people(link, [entry])
        return people[0] if people else None

    def _sole(
        self, key: Literal["uid", "login"], value: str, read: Callable[[Link, Entry], T | None]
    ) -> T | None:
        """What ``read`` makes of the one entry whose ``key`` is exactly ``value``.

        Servers compare more loosely than that: what else they find is nobody.
        """
        if not _sane(value):
            return None
        schema = self._schema
        words = schema.with_value(getattr(schema, key), value)

        def work(link: Link) -> T | None:
            number = link.search(self._base, words, schema.attributes, deep=True, limit=2)
            entries, more = link.entries(number)
            if more or len(entries) > 1:
                _log.error("two entries have one %s and are not used", getattr(schema, key))
                return None
            named = self._reader.identity(entries[0]) if entries else None
            return read(link, entries[0]) if named and getattr(named, key) == value else None

        return self._servers.ask(work)

    def _people(self, link: Link, words: str) -> list[Found]:
        number = link.search(
            self._base, words, self._schema.attributes, deep=True, limit=_MOST_FOUND
        )
        entries, _ = link.entries(number)
        return self._reader.people(link, entries)

    def _examine(self, link: Link) -> str:
        people = self._people(link, self._schema.anybody())
        if not people:
            raise Unavailable(part="directory", why=f"nobody below {self._base} is usable")
        for role, group in self._reader.roles.items():
            number = link.search(group, "(objectClass=*)", ["1.1"], deep=False, limit=1)
            try:
                seen, _ = link.entries(number)
            except ldap.NO_SUCH_OBJECT:
                seen = []
            if not seen:
                raise Unavailable(
                    part="directory", why=f"the group of the role {role} is not there"
                )
        return f"ok, {len(people)} of the first {_MOST_FOUND} people are usable"

    # --- whose UID it is ----------------------------------------------------------------
    def _is_theirs(self, named: Identity | None) -> bool:
        with self._store.read() as uow:
            known = uow.people.entry_of(named.uid if named else "")
        if named is None:
            return False
        if known not in (None, named.entry):
            _log.error("directory entry %s has a UID that was another entry's", named.dn)
            return False
        return True

    def _keep(self, named: Identity) -> None:
        with self._store.read() as uow:
            known = uow.people.entry_of(named.uid)
        if known is None:
            with self._store.write() as uow:
                uow.people.keep_entry(named.uid, named.entry)


def _sane(text: str) -> bool:
    """Whether it can be a name at all."""
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def _sendable(password: str) -> bool:
    return 0 < (_size(password) or 0) <= _LONGEST_PASSWORD


def _size(text: str) -> int | None:
    """Its bytes in UTF-8; None for a lone surrogate, which has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None
