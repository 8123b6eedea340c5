"""The audit log: event names, the exact bytes of an entry, and the chain.

Rules:

1. An entry's bytes are stored and hashed as they are, never made again from fields.
2. ``hash(i) = SHA-256(0x00 | hash(i-1) | i as 8 bytes | bytes(i))``, the first before is 32 zeros.
3. An entry is written in the transaction of the change that it records.
4. No entry holds a PIN, an SO PIN, an answer, a code or a session.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from reset.core.checkpoints import Checkpoint
from reset.core.merkle import Tree, leaf_hash
from reset.errors import AuditBroken

ZERO = bytes(32)

EVENTS = frozenset(
    {
        "people-imported",
        "person-rebound",
        "tokens-imported",
        "login",
        "login-refused",
        "certificate-login",
        "certificate-refused",
        "logout",
        "session-ended",
        "profile-registered",
        "profile-changed",
        "profile-deleted",
        "recovery-address-confirmed",
        "recovery-address-removed",
        "app-registered",
        "app-removed",
        "rehearsal-right",
        "rehearsal-wrong",
        "reminded",
        "request-opened",
        "request-cancelled",
        "request-expired",
        "questions-drawn",
        "answers-right",
        "answers-wrong",
        "self-service-blocked",
        "block-lifted",
        "code-sent",
        "code-right",
        "code-wrong",
        "approver-asked",
        "statement-read",
        "approved",
        "signature-refused",
        "denied",
        "delegation-granted",
        "delegation-revoked",
        "pairing-code-shown",
        "pairing-code-refused",
        "pairing-code-dropped",
        "helper-claimed",
        "custody-intent",
        "custody-sent",
        "custody-unknown",
        "custody-withdrawn",
        "custody-office",
        "custody-done",
        "release-refused",
        "report-ignored",
        "proof-refused",
        "reset-done",
        "referred-to-office",
        "person-looked-up",
        "identity-checked",
        "escrow-checked",
        "escrow-rewrapped",
        "escrow-restored",
        "escrow-corrected",
        "mail-given-up",
        "acceptances-changed",
    }
)


@dataclass(frozen=True)
class Entry:
    """Entry ``number`` (from 1): its exact bytes and the chain hash up to it."""

    number: int
    raw: bytes
    chain: bytes


def entry_bytes(event: str, at: datetime, actor: str, facts: Mapping[str, object]) -> bytes:
    """The bytes of an entry: compact JSON, sorted names, ASCII only, so no value can forge one.

    ``actor`` is a UID, or ``service``/``console``. An event outside ``EVENTS`` is our own bug.
    """
    if event not in EVENTS:
        raise RuntimeError(f"unknown audit event {event}")
    body = {
        "at": at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "actor": actor,
        "facts": dict(facts),
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def link(before: bytes, number: int, raw: bytes) -> bytes:
    """The chain hash of entry ``number`` after the hash ``before``."""
    return hashlib.sha256(b"\0" + before + number.to_bytes(8) + raw).digest()


def verify(
    entries: Iterable[Entry], head: tuple[int, bytes], known: Sequence[Checkpoint] = ()
) -> int:
    """Recompute the chain over all entries in order and compare with the stored head.

    ``known``: checkpoints of this log from where nobody could change them; whoever rewrote the
    chain as a whole meets them. Returns the count. Raises ``AuditBroken`` with the first entry
    that does not fit; ``why``: ``missing``, ``changed``, ``head``, and from the checkpoints
    ``fork`` (two of them disagree), ``rewritten``, ``truncated``.
    """
    due = _by_size(known)
    before, count, tree = ZERO, 0, Tree()
    _compare(due.pop(0, None), before, tree)
    for entry in entries:
        count += 1
        if entry.number != count:
            raise AuditBroken(entry=count, why="missing")
        before = link(before, entry.number, entry.raw)
        if before != entry.chain:
            raise AuditBroken(entry=count, why="changed")
        if due:
            tree.add(leaf_hash(entry.raw))
            _compare(due.pop(count, None), before, tree)
    if (count, before) != head:
        raise AuditBroken(entry=count, why="head")
    if due:
        raise AuditBroken(entry=count, why="truncated")
    return count


def _by_size(known: Sequence[Checkpoint]) -> dict[int, Checkpoint]:
    found: dict[int, Checkpoint] = {}
    for one in known:
        other = found.setdefault(one.size, one)
        if (other.root, other.chain) != (one.root, one.chain):
            raise AuditBroken(entry=one.size, why="fork")
    return found


def _compare(known: Checkpoint | None, chain: bytes, tree: Tree) -> None:
    if known is not None and (known.chain, known.root) != (chain, tree.root()):
        raise AuditBroken(entry=known.size, why="rewritten")
