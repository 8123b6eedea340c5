"""A person as the directory tells it, and as a certificate tells it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Person:
    """A person of the directory.

    ``uid`` is never re-used (S5.7); ``pid`` is the login name; ``mail`` the mailbox that the PID
    opens; ``supervisor_uid`` and ``representative_uid`` (leave representative) may be empty;
    ``roles`` is a subset of ``ROLES``.
    """

    uid: str
    pid: str
    name: str
    mail: str
    supervisor_uid: str = ""
    representative_uid: str = ""
    roles: frozenset[str] = frozenset()
    active: bool = True


ROLES = frozenset({"office", "help-desk", "auditor", "administrator"})


PID_LIMIT = 128  # characters of a login name
# characters; a login name that no form takes would be nobody's
_LONGEST = {"uid": 200, "pid": PID_LIMIT, "name": 200, "mail": 200}


def fault(person: Person) -> str:
    """The rule that a person's fields break, whatever directory they come from; empty: none."""
    for name, longest in _LONGEST.items():
        text = getattr(person, name)
        if not 0 < len(text) <= longest or not text.isprintable():
            return f"{name} must be 1 to {longest} printable characters"
    if not re.fullmatch(r"[^@\s,;<>]+@[^@\s,;<>]+", person.mail):
        return "mail must be one address"
    if not person.roles <= ROLES:
        return f"roles are {', '.join(sorted(ROLES))}"
    return ""


@dataclass(frozen=True)
class IdentityCheck:
    """The office saw the person with two kinds of photo id (S1.34). ``ids``: the kinds, sorted."""

    uid: str
    operator_uid: str
    ids: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class Subject:
    """A verified certificate. ``fingerprint``: SHA-256 of the DER in hex; ``serial_number``:
    decimal text; ``subject`` and ``issuer``: RFC 4514."""

    uid: str
    subject: str
    issuer: str
    serial_number: str
    fingerprint: str
    certificate: bytes


# invisible, yet of no format category: RFC 4518 maps them to nothing, so a directory does too
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u180b\u180c\u180d\u180f\u3164\ufffc\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
)


def tidy_pid(text: str) -> str:
    """The normal form of a login name, by which persons are found and failures are counted.

    NFKC and case folding; blanks, controls, format characters and lone surrogates are dropped, so
    that no variant of one name has a counter of its own (T34). Idempotent; may be empty.
    """
    while True:
        kept = "".join(
            c
            for c in text
            if unicodedata.category(c) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Cs")
            and c not in _INVISIBLE
        )
        tidy = unicodedata.normalize("NFKC", kept.casefold())
        if tidy == text:
            return tidy
        text = tidy


def is_plain(pid: str) -> bool:
    """Whether only capitals part ``pid`` from its normal form.

    Other spellings may be other accounts of a provider, whose word alone counts there.
    """
    return unicodedata.is_normalized("NFKC", pid) and pid.lower() == tidy_pid(pid)
