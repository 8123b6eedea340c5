"""Mailed codes and pairing codes: form, age, single use.

Rules:

1. No code is stored, not even hashed: it is derived from the row's random id by the HMAC key in
   the HSM, so the database alone opens nothing and the outbox never holds one (S1.73, T6).
2. A try is reserved before the comparison and never exceeds the limit.
3. Only the newest code of a purpose counts; a used, late or replaced code is dead.
4. Resending restores no tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pkcs11_driver.wire import CODE_ALPHABET, CODE_LENGTH, SELECTOR_LENGTH
from reset.errors import BadInput, CodeDead

Purpose = Literal["reset", "address", "second-address"]
TYPED_LIMIT = 64  # characters, blanks included


@dataclass(frozen=True)
class MailCode:
    """One mailed code. ``about``: the request id, or the UID whose address is confirmed;
    ``method``: the proof that it gives; ``id``: 32 random hex characters."""

    id: str
    uid: str
    purpose: Purpose
    about: str
    method: str
    created_at: datetime
    used_at: datetime | None = None


def mail_context(code: MailCode) -> bytes:
    """The bytes whose HMAC is the code: every field that binds it is inside."""
    parts = (code.id, code.uid, code.purpose, code.about, code.method)
    return b"mail-code 1" + b"".join(len(p.encode()).to_bytes(4) + p.encode() for p in parts)


def mail_digits(tag: bytes, digits: int) -> str:
    """``digits`` decimal digits from a 32-byte HMAC tag."""
    return str(int.from_bytes(tag) % 10**digits).zfill(digits)


def tidy_digits(typed: str, digits: int, field: str = "code") -> str:
    """A code as typed: blanks and dashes dropped, exactly ``digits`` ASCII digits left.

    Raises ``BadInput`` for the form's ``field`` (nothing is counted for a typing slip).
    """
    code = "".join(c for c in typed if c not in " -\t\r\n\u00a0\u2009")
    if len(typed) > TYPED_LIMIT or len(code) != digits or not (code.isascii() and code.isdigit()):
        raise BadInput(field=field, rule="digits", limit=digits)
    return code


def check_alive(code: MailCode | None, at: datetime, age: timedelta) -> MailCode:
    """The code, when it may still be tried. Raises ``CodeDead``."""
    if code is None:
        raise CodeDead(why="none")
    if code.used_at is not None:
        raise CodeDead(why="used")
    if at >= code.created_at + age:
        raise CodeDead(why="expired")
    return code


def pairing_context(job_id: str) -> bytes:
    """The bytes whose HMAC gives the secret part of a pairing code."""
    return b"pairing-code 1" + job_id.encode()


def pairing_secret(tag: bytes) -> str:
    """The secret part of a pairing code from a 32-byte HMAC tag."""
    number = int.from_bytes(tag)
    letters = []
    for _ in range(CODE_LENGTH - SELECTOR_LENGTH):
        number, rest = divmod(number, len(CODE_ALPHABET))
        letters.append(CODE_ALPHABET[rest])
    return "".join(letters)


def selector(tag: bytes) -> str:
    """The public part, by which the row is found: ``SELECTOR_LENGTH`` letters from random bytes."""
    return pairing_secret(tag)[:SELECTOR_LENGTH]
