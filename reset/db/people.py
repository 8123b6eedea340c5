"""Persons of the local directory, checks of their identity, and the token register."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from cryptography import x509
from sqlalchemy import delete, insert, select, update

from reset.core.identities import IdentityCheck, Person, tidy_pid
from reset.core.tokens import Token
from reset.db.rows import Repository, columns
from reset.db.tables import directory_entries, identity_checks, people, tokens
from reset.errors import BadInput

SEARCH_LIMIT = 20
_SEARCH_LONGEST = 200


class SqlPeople(Repository):
    """Implements ``ports.People``. A UID keeps its login for ever (S5.7)."""

    def by_pid(self, pid: str) -> tuple[Person, str] | None:
        """Person and password hash by login name in normal form; active or not."""
        row = (
            self._connection.execute(
                columns(people, Person)
                .add_columns(people.c.password_hash)
                .where(people.c.login == tidy_pid(pid))
            )
            .mappings()
            .first()
        )
        if row is None:
            return None
        values = dict(row)
        password_hash = values.pop("password_hash")
        return Person(**values), password_hash

    def by_uid(self, uid: str) -> Person | None:
        """The person with this UID; active or not."""
        return self._one(Person, columns(people, Person).where(people.c.uid == uid))

    def search(self, text: str) -> list[Person]:
        """At most 20 persons, active ones first, whose UID, login, name or mail has ``text``.

        Case and Unicode forms do not matter. Blank text finds nobody.
        """
        sought = _search_form(text[:_SEARCH_LONGEST])
        if not sought:
            return []
        return self._all(
            Person,
            columns(people, Person)
            .where(people.c.found_by.contains(sought, autoescape=True))
            .order_by(people.c.active.desc(), people.c.login)
            .limit(SEARCH_LIMIT),
        )

    def put(self, person: Person, password_hash: str) -> None:
        """Insert or change.

        Raises ``BadInput`` with ``field`` ``pid`` or ``uid`` and ``rule`` ``taken`` when it belongs
        to somebody else, or ``empty``.
        """
        login = tidy_pid(person.pid)
        if not login or not person.uid:
            raise BadInput(field="uid" if login else "pid", rule="empty")
        known = (person.uid, login, person.name, person.mail)
        values = vars(person) | {
            "login": login,
            "password_hash": password_hash,
            "found_by": "\n".join(_search_form(word) for word in known),
        }
        new = self._insert(people).values(values).on_conflict_do_nothing()
        if self._connection.execute(new.returning(people.c.uid)).first():
            return
        same = (people.c.uid == person.uid) & (people.c.login == login)
        if not self._changed(update(people).where(same).values(values)):
            holder = select(people.c.uid).where(people.c.login == login)
            taken = "uid" if self._connection.scalar(holder) is None else "pid"
            raise BadInput(field=taken, rule="taken")

    def entry_of(self, uid: str) -> str | None:
        """The entry of another directory that this UID belongs to, if it was noted."""
        kept = directory_entries
        entry: str | None = self._connection.scalar(select(kept.c.entry).where(kept.c.uid == uid))
        return entry

    def keep_entry(self, uid: str, entry: str) -> None:
        """Note it, unless there is one."""
        new = self._insert(directory_entries).values(uid=uid, entry=entry)
        self._connection.execute(new.on_conflict_do_nothing())

    def forget_entry(self, uid: str) -> bool:
        """False when there was none."""
        return self._changed(delete(directory_entries).where(directory_entries.c.uid == uid))


class SqlIdentityChecks(Repository):
    """Implements ``ports.IdentityChecks``: append-only."""

    def add(self, check: IdentityCheck) -> None:
        """Add a check."""
        self._connection.execute(insert(identity_checks).values(vars(check)))

    def of_person(self, uid: str, limit: int) -> list[IdentityCheck]:
        """Those of a person, newest first."""
        return self._all(
            IdentityCheck,
            columns(identity_checks, IdentityCheck)
            .where(identity_checks.c.uid == uid)
            .order_by(identity_checks.c.number.desc())
            .limit(limit),
        )


class SqlTokens(Repository):
    """Implements ``ports.Tokens``."""

    def get(self, serial: str) -> Token | None:
        """The token with this serial."""
        return self._one(Token, self._held(columns(tokens, Token).where(tokens.c.serial == serial)))

    def of_holder(self, uid: str) -> list[Token]:
        """All tokens of a person, in every state, by serial."""
        return self._all(
            Token,
            columns(tokens, Token).where(tokens.c.holder_uid == uid).order_by(tokens.c.serial),
        )

    def every(self) -> list[Token]:
        """The whole register, by serial."""
        return self._all(Token, columns(tokens, Token).order_by(tokens.c.serial))

    def put(self, token: Token) -> None:
        """Insert or change."""
        ends = _end_of(token.certificate)
        self._put(tokens, vars(token) | {"certificate_ends": ends})


def _end_of(certificate: bytes) -> datetime | None:
    """``notAfter`` of a certificate; None for what is none, which no login takes either."""
    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except (ValueError, x509.InvalidVersion):
        return None


def _search_form(text: str) -> str:
    # folded here, because SQLite folds only ASCII and PostgreSQL by its locale
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
