"""Checkpoints of the audit log: the signed text, its signatures, and a witness's cosignatures.

Rules:

1. The only bytes that are ever signed as a checkpoint are those of ``Checkpoint.body``; ``parse``
   accepts nothing that it would not write itself.
2. A checkpoint carries its number (1, 2, …), the hash of the one before it and a UTC time.
3. Each signature line names its key by name and id, so that a key of another kind or name is
   never tried.

Source: C2SP tlog-checkpoint (body), signed-note (signature lines, verifier keys, kind 1) and
tlog-cosignature (kind 4: 8 bytes of time, then Ed25519 over a header line, the time and the body).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from reset.errors import CheckpointRefused

LIMIT = 4_096
FIRST = bytes(32)  # what the first checkpoint names as the one before it
SIGNATURE = b"\x01"
COSIGNATURE = b"\x04"
_DASH = "\u2014 "
_NAME = re.compile(r"[!-*,-~]{1,200}")  # neither blank nor plus: both delimit in notes and keys
_BODY = re.compile(
    r"(?P<origin>[!-*,-~]{1,200})\n(?P<size>0|[1-9][0-9]{0,17})\n(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"chain (?P<chain>[0-9a-f]{64})\nnumber (?P<number>[1-9][0-9]{0,17})\n"
    r"time (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n"
    r"previous (?P<previous>[0-9a-f]{64})\n",
    re.ASCII,
)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Checkpoint:
    """The log ``origin`` had ``size`` entries with this root and chain hash ``at`` this time.

    ``number`` counts checkpoints from 1; ``previous``: SHA-256 of the body before, or ``FIRST``.
    """

    origin: str
    size: int
    root: bytes
    chain: bytes
    number: int
    at: datetime
    previous: bytes

    def body(self) -> bytes:
        """The exact bytes that are signed."""
        lines = (
            self.origin,
            str(self.size),
            base64.b64encode(self.root).decode(),
            f"chain {self.chain.hex()}",
            f"number {self.number}",
            f"time {self.at.astimezone(UTC).strftime(_TIME)}",
            f"previous {self.previous.hex()}",
        )
        return ("\n".join(lines) + "\n").encode()

    def digest(self) -> bytes:
        """What the next checkpoint names as ``previous``."""
        return hashlib.sha256(self.body()).digest()


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint as it is kept: ``note`` is the signed text, ``proof`` the RFC 6962 consistency
    proof from the checkpoint before, hash after hash."""

    origin: str
    number: int
    note: str
    proof: bytes

    def nodes(self) -> list[bytes]:
        """The hashes of the proof."""
        return [self.proof[at : at + 32] for at in range(0, len(self.proof), 32)]


@dataclass(frozen=True)
class VerifierKey:
    """A public Ed25519 key with the name and the kind of what it signs."""

    name: str
    kind: bytes
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:4]

    def __str__(self) -> str:
        coded = base64.b64encode(self.kind + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{coded}"


def parse(body: bytes) -> Checkpoint:
    """The checkpoint with these bytes. Raises ``CheckpointRefused(rule="form")``."""
    try:
        found = _BODY.fullmatch(body.decode("ascii")) if len(body) <= LIMIT else None
        if found is None:
            raise ValueError
        made = Checkpoint(
            origin=found["origin"],
            size=int(found["size"]),
            root=base64.b64decode(found["root"], validate=True),
            chain=bytes.fromhex(found["chain"]),
            number=int(found["number"]),
            at=datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC),
            previous=bytes.fromhex(found["previous"]),
        )
        if made.body() != body:  # base64 has several spellings of the last byte
            raise ValueError
    except ValueError:
        raise CheckpointRefused(rule="form") from None
    return made


def signature_line(key: VerifierKey, blob: bytes) -> str:
    """One signature line of a note."""
    return f"{_DASH}{key.name} {base64.b64encode(key.id + blob).decode()}\n"


def note(key: VerifierKey, body: bytes, signature: bytes) -> str:
    """The signed note: body, empty line, signature line."""
    return f"{body.decode()}\n{signature_line(key, signature)}"


def body_of(signed: str) -> bytes:
    """The body of a note. Raises ``CheckpointRefused(rule="form")``."""
    body, between, _ = signed.partition("\n\n")
    if not between or len(signed) > LIMIT:
        raise CheckpointRefused(rule="form")
    return body.encode() + b"\n"


def signature_of(signed: str, key: VerifierKey) -> bytes:
    """The signature of ``key`` in a note, not verified yet.

    Raises ``CheckpointRefused``: ``form``; ``key`` when no line is of this key.
    """
    for line in signed.partition("\n\n")[2].splitlines():
        name, _, coded = line.removeprefix(_DASH).partition(" ")
        try:
            raw = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            raise CheckpointRefused(rule="form") from None
        if line.startswith(_DASH) and name == key.name and raw[:4] == key.id:
            return raw[4:]
    raise CheckpointRefused(rule="key")


def cosigned(body: bytes, at: int) -> bytes:
    """What a witness signs for a body at a time, in seconds since 1970."""
    return b"cosignature/v1\ntime %d\n" % at + body


def parse_key(text: str) -> VerifierKey:
    """A verifier key from its text. Raises ``CheckpointRefused(rule="key-form")``."""
    name, _, rest = text.strip().partition("+")
    key_id, _, coded = rest.partition("+")
    try:
        raw = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    key = VerifierKey(name, raw[:1], raw[1:])
    good = _NAME.fullmatch(name) and len(key.public) == 32 and key.id.hex() == key_id
    if not good or key.kind not in (SIGNATURE, COSIGNATURE):
        raise CheckpointRefused(rule="key-form")
    return key


def check_follows(before: Checkpoint | None, after: Checkpoint) -> None:
    """``after`` is the next checkpoint of the log after ``before``, by what both say.

    Raises ``CheckpointRefused``: ``origin``, ``number``, ``previous`` (a fork), ``smaller``,
    ``time``.
    """
    if before is None:
        if after.number != 1:
            raise CheckpointRefused(rule="number")
        if after.previous != FIRST:
            raise CheckpointRefused(rule="previous")
        return
    rules = {
        "origin": after.origin == before.origin,
        "number": after.number == before.number + 1,
        "smaller": after.size >= before.size,
        "previous": after.previous == before.digest(),
        "time": after.at >= before.at,
    }
    for rule, kept in rules.items():
        if not kept:
            raise CheckpointRefused(rule=rule)
