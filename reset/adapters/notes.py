"""Ed25519 on signed notes: opening checkpoints and cosignatures, and the witness's own key file."""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reset.core import checkpoints, merkle
from reset.core.checkpoints import COSIGNATURE, Checkpoint, VerifierKey
from reset.errors import BadInput, CheckpointRefused

_MARK = "PRIVATE+KEY"  # golang.org/x/mod/sumdb/note: the form of a signer's key


def open_note(signed: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint of a note that ``key`` signed.

    Raises ``CheckpointRefused``: ``form``, ``key`` (not signed by it), ``signature``, ``origin``
    (a key signs the log of its own name only).
    """
    body = checkpoints.body_of(signed)
    _verify(key, checkpoints.signature_of(signed, key), body)
    made = checkpoints.parse(body)
    if made.origin != key.name:
        raise CheckpointRefused(rule="origin")
    return made


def cosigned_at(signed: str, key: VerifierKey) -> datetime:
    """When a witness cosigned the note. Raises ``CheckpointRefused`` as ``open_note``."""
    blob = checkpoints.signature_of(signed, key)
    at = int.from_bytes(blob[:8])
    _verify(key, blob[8:], checkpoints.cosigned(checkpoints.body_of(signed), at))
    return datetime.fromtimestamp(at, UTC)


def _verify(key: VerifierKey, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except InvalidSignature:
        raise CheckpointRefused(rule="signature") from None


@dataclass(frozen=True)
class WitnessKey:
    """A witness's own key pair."""

    name: str
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def create(cls, path: Path, name: str) -> WitnessKey:
        """Make a new key in a new file, readable by its owner only.

        Raises ``BadInput`` when the file exists or cannot be made, or the name has blanks or plus.
        """
        made = cls(name, Ed25519PrivateKey.generate())
        try:
            checkpoints.parse_key(str(made.public))
        except CheckpointRefused:
            raise BadInput(field="name", rule="neither blank nor plus, ASCII") from None
        raw = checkpoints.COSIGNATURE + made._private.private_bytes_raw()
        line = f"{_MARK}+{name}+{made.public.id.hex()}+{base64.b64encode(raw).decode()}\n"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(line)
        except OSError as error:
            raise BadInput(field=path.name, rule=f"cannot be made: {error.strerror}") from None
        return made

    @classmethod
    def load(cls, path: Path) -> WitnessKey:
        """The key in a file. Raises ``BadInput``, also when others can read the file."""
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise BadInput(field=path.name, rule="open to others: chmod 600")
            text = path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise BadInput(field=path.name, rule="cannot be read") from None
        words = text.removeprefix(f"{_MARK}+").split("+", 2)
        try:
            raw = base64.b64decode(words[-1], validate=True)
            made = cls(words[0], Ed25519PrivateKey.from_private_bytes(raw[1:]))
        except (binascii.Error, ValueError):
            raise BadInput(field=path.name, rule="is no witness key") from None
        if len(words) != 3 or raw[:1] != COSIGNATURE or made.public.id.hex() != words[1]:
            raise BadInput(field=path.name, rule="is no witness key")
        return made

    @property
    def public(self) -> VerifierKey:
        """The verifier key that others are given."""
        return VerifierKey(self.name, COSIGNATURE, self._private.public_key().public_bytes_raw())

    def cosign(self, signed: str, at: datetime) -> str:
        """The note with this witness's timestamped cosignature line."""
        seconds = int(at.timestamp())
        message = checkpoints.cosigned(checkpoints.body_of(signed), seconds)
        blob = seconds.to_bytes(8) + self._private.sign(message)
        return signed + checkpoints.signature_line(self.public, blob)


def open_proof(text: str, key: VerifierKey) -> tuple[int, Checkpoint, str]:
    """Number, checkpoint and text of an entry whose inclusion proof (``audit prove``) verifies.

    Raises ``CheckpointRefused``: the rules of ``open_note``; ``proof``.
    """
    try:
        told = json.loads(text)
        number, entry, note = int(told["number"]), str(told["entry"]), str(told["checkpoint"])
        nodes = [base64.b64decode(node, validate=True) for node in told["proof"]]
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise CheckpointRefused(rule="form") from None
    made, leaf = open_note(note, key), merkle.leaf_hash(entry.encode())
    if not merkle.verify_inclusion(number - 1, leaf, made.size, made.root, nodes):
        raise CheckpointRefused(rule="proof")
    return number, made, entry
