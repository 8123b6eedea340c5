"""How a directory keeps people: attributes and filters, and a person read from an entry.

Rules:

1. A value reaches a filter only escaped (RFC 4515 section 3); a DN is never put together from
   what somebody typed. Names of attributes come from the settings alone.
2. UID, login name, name and mail have exactly one value each, under the same rules as an imported
   person; else the entry is nobody. One login name means one counter of failures.
3. What the directory calls the same is not enough: the value found must be the one sought, for
   login names in the normal form by which failures are counted (T34).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import ldap
from ldap.filter import escape_filter_chars

from reset.adapters.ldap_link import Entry, Link, Values
from reset.core.identities import Person, fault, tidy_pid

_log = logging.getLogger("reset.directory")
T = TypeVar("T")
# a person named by a DN who is not there, not here, or not to be named so
_NOBODY = (ldap.NO_SUCH_OBJECT, ldap.REFERRAL, ldap.INVALID_DN_SYNTAX)


@dataclass(frozen=True)
class Schema:
    """Attributes of a person's entry, and which entries are active people.

    ``supervisor`` and ``representative``: may be empty; ``named_by``: whether they hold a DN or a
    UID; ``entry``: what the directory itself calls an entry, never given to another;
    ``active``: a filter (RFC 4515); ``member``: the attribute of groups that holds people's DNs.
    """

    uid: str
    login: str
    name: str
    mail: str
    supervisor: str
    representative: str
    named_by: Literal["dn", "uid"]
    entry: str
    active: str
    member: str

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that is read of an entry."""
        asked = (self.uid, self.login, self.name, self.mail, self.entry)
        return (*asked, *filter(None, (self.supervisor, self.representative)))

    def with_value(self, attribute: str, value: str) -> str:
        """The filter for active people with this value."""
        return f"(&{self.active}({attribute}={escape_filter_chars(value)}))"

    def with_part(self, text: str) -> str:
        """The filter for active people in whose UID, login, name or mail ``text`` is."""
        sought = escape_filter_chars(text)
        known = (self.uid, self.login, self.name, self.mail)
        return f"(&{self.anybody()}(|{''.join(f'({a}=*{sought}*)' for a in known)}))"

    def anybody(self) -> str:
        """The filter for all who could log in."""
        return f"(&{self.active}({self.uid}=*)({self.login}=*))"


PRESETS: Mapping[str, Schema] = {
    # 000001010000Z: locked by an administrator; a lock after wrong passwords passes by itself
    "openldap": Schema(
        uid="employeeNumber", login="uid", name="cn", mail="mail", supervisor="manager",
        representative="", named_by="dn", entry="entryUUID", member="member",
        active="(&(objectClass=inetOrgPerson)(!(pwdAccountLockedTime=000001010000Z)))",
    ),
    # 2: ACCOUNTDISABLE, by the matching rule for bits
    "active-directory": Schema(
        uid="employeeID", login="sAMAccountName", name="displayName", mail="mail",
        supervisor="manager", representative="", named_by="dn", entry="objectGUID",
        member="member",
        active="(&(objectCategory=person)(objectClass=user)"
        "(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """Whose entry it is. ``login`` in normal form; ``entry``: what the directory itself calls it,
    in hex."""

    dn: str
    uid: str
    login: str
    entry: str


@dataclass(frozen=True)
class Found:
    """A person and their entry."""

    identity: Identity
    person: Person


class _Unusable(Exception):
    """The entry is nobody; the argument says why, without any value."""


@dataclass(frozen=True)
class _Asked:
    """An entry and the numbers of the questions about it that are under way."""

    entry: Entry
    named: Mapping[str, int]
    roles: Mapping[str, int]


@dataclass(frozen=True)
class Reader:
    """Reads people from entries. ``roles``: the group's DN for each role."""

    schema: Schema
    roles: Mapping[str, str]

    def identity(self, entry: Entry) -> Identity | None:
        """Whose entry it is; None if it is not usable, which is logged."""
        return _usable(entry, lambda: self._identity(entry))

    def people(self, link: Link, entries: Sequence[Entry]) -> list[Found]:
        """The usable ones. What else each person needs is asked for in one go."""
        asked = [self._ask(link, entry) for entry in entries]
        answered = [self._answer(link, question) for question in asked]
        return [found for found in answered if found]

    def _identity(self, entry: Entry) -> Identity:
        schema, (dn, values) = self.schema, entry
        named = values.get(schema.entry.lower(), [])
        login = tidy_pid(_one(values, schema.login))
        if len(named) != 1 or not login:
            raise _Unusable(f"{len(named)} values of {schema.entry}, not one")
        return Identity(dn, _one(values, schema.uid), login, named[0].hex())

    def _ask(self, link: Link, entry: Entry) -> _Asked:
        schema, (dn, values), named = self.schema, entry, {}
        for attribute in filter(None, (schema.supervisor, schema.representative)):
            dns = _texts(values, attribute) if schema.named_by == "dn" else []
            if len(dns) == 1:
                named[attribute] = link.search(
                    dns[0], schema.active, [schema.uid], deep=False, limit=1
                )
        roles = {r: link.compare(group, schema.member, dn) for r, group in self.roles.items()}
        return _Asked(entry, named, roles)

    def _answer(self, link: Link, asked: _Asked) -> Found | None:
        # every answer is taken off the link first, whatever the entry looks like
        schema, (_, values) = self.schema, asked.entry
        named = {a: _named(link, number, schema.uid) for a, number in asked.named.items()}
        if schema.named_by == "uid":
            wanted = filter(None, (schema.supervisor, schema.representative))
            named = {a: _only(_texts(values, a)) for a in wanted}
        roles = frozenset(r for r, number in asked.roles.items() if link.compared(number))
        return _usable(asked.entry, lambda: self._found(asked.entry, named, roles))

    def _found(self, entry: Entry, named: Mapping[str, str], roles: frozenset[str]) -> Found:
        schema, (_, values) = self.schema, entry
        person = Person(
            uid=_one(values, schema.uid),
            pid=_one(values, schema.login),
            name=_one(values, schema.name),
            mail=_one(values, schema.mail),
            supervisor_uid=named.get(schema.supervisor, ""),
            representative_uid=named.get(schema.representative, ""),
            roles=roles,
        )
        broken = fault(person)
        if broken:
            raise _Unusable(broken)
        identity = self._identity(entry)
        return Found(identity, replace(person, pid=identity.login))


def _usable(entry: Entry, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except _Unusable as why:
        _log.warning("directory entry %s is not used: %s", entry[0], why)
        return None


def _named(link: Link, number: int, attribute: str) -> str:
    """The UID of a person that another entry names by DN; empty if it is nobody active here."""
    try:
        entries, _ = link.entries(number)
    except _NOBODY:
        return ""
    return _only(_texts(entries[0][1], attribute)) if entries else ""


def _one(values: Values, attribute: str) -> str:
    texts = _texts(values, attribute)
    if len(texts) != 1:
        raise _Unusable(f"{len(texts)} values of {attribute}, not one")
    return texts[0]


def _only(texts: list[str]) -> str:
    """The one text; of several none is better than another."""
    return texts[0] if len(texts) == 1 else ""


def _texts(values: Values, attribute: str) -> list[str]:
    # what is not UTF-8 is no text; NUL ends a text for some who read it
    texts = (raw.decode(errors="replace") for raw in values.get(attribute.lower(), []))
    return [text for text in texts if "\0" not in text and "\ufffd" not in text]
