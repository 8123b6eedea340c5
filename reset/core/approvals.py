"""The approval statement: its exact bytes, who may sign it, and delegation.

Rules (design section 7, S1.94-S1.96, S1.101):

1. A statement is UTF-8, LF, one ``name: value`` a line, in the order of ``FIELDS``.
2. It is parsed strictly: only bytes that ``render`` would make again are a statement.
3. It names request, token serial, holder and approver; it expires; it counts once.
4. Holder and approver are different persons, whatever role or delegation says.
5. A delegate acts for one principal within the delegation's period; delegations do not chain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from reset.errors import NoApprover, SelfApproval, SignatureRefused, StatementRefused

FORMAT = "token-reset-approval/1"
ACTION = "reset-user-pin"
DECISION = "approve"
NOBODY = "-"
LIMIT = 8_192  # bytes; a real statement is below 1 kB


@dataclass(frozen=True)
class Statement:
    """What an approver signs. Times are aware UTC, whole seconds; ``acting_for`` is a UID or -."""

    format: str
    action: str
    request: str
    token_serial: str
    holder_uid: str
    holder_name: str
    approver_uid: str
    approver_name: str
    acting_for: str
    reason: str
    requested_at: datetime
    valid_until: datetime
    nonce: str
    service: str
    decision: str


@dataclass(frozen=True)
class Delegation:
    """``delegate_uid`` may approve for ``principal_uid`` from ``starts`` to ``ends`` (S1.101)."""

    id: str
    principal_uid: str
    delegate_uid: str
    starts: datetime
    ends: datetime
    revoked_at: datetime | None = None

    def in_force(self, at: datetime) -> bool:
        """Whether the delegation counts at ``at``."""
        return self.revoked_at is None and self.starts <= at < self.ends


@dataclass(frozen=True)
class Approval:
    """A verified signature over a statement; ``used_at`` is set once, by the custody intent."""

    id: str
    request_id: str
    approver_uid: str
    acting_for: str
    statement: bytes
    signature: bytes
    signed_at: datetime
    valid_until: datetime
    used_at: datetime | None = None


FIELDS = tuple(f.name.replace("_", "-") for f in fields(Statement))
_TIMES = ("requested-at", "valid-until")
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
# letters and marks that are drawn as nothing: Hangul fillers, braille blank, joiner, selectors
_BLANK = frozenset(
    "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def one_line(text: str, limit: int = 200) -> str:
    """``text`` as one harmless line: NFC, no control or invisible characters, single blanks.

    Bidirectional controls would let a name rewrite the line that the approver reads.
    """
    shown = "".join(
        " " if unicodedata.category(c) in _UNSEEN or c in _BLANK else c
        for c in unicodedata.normalize("NFC", text)
    )
    return " ".join(shown.split())[:limit].strip() or NOBODY


def render(statement: Statement) -> bytes:
    """The exact bytes that are signed."""
    lines = []
    for f, name in zip(fields(Statement), FIELDS, strict=True):
        value = getattr(statement, f.name)
        lines.append(f"{name}: {_time(value) if name in _TIMES else one_line(value)}\n")
    return "".join(lines).encode()


def parse(raw: bytes) -> Statement:
    """Read a statement strictly.

    Raises ``StatementRefused(rule="malformed")`` for any bytes that ``render`` would not make,
    and ``rule="not-an-approval"`` for another format, action or decision, with ``found``.
    """
    try:
        if len(raw) > LIMIT:
            raise ValueError
        pairs = [line.split(": ", 1) for line in raw.decode().split("\n")[:-1]]
        if tuple(name for name, _ in pairs) != FIELDS:
            raise ValueError
        values: dict[str, str | datetime] = {
            name.replace("-", "_"): _read_time(value) if name in _TIMES else value
            for name, value in pairs
        }
        statement = Statement(**values)  # type: ignore[arg-type]
        if render(statement) != raw:
            raise ValueError
    except ValueError:
        raise StatementRefused(rule="malformed") from None
    told = (statement.format, statement.action, statement.decision)
    if told != (FORMAT, ACTION, DECISION):
        raise StatementRefused(rule="not-an-approval", found=" ".join(told))
    return statement


def check_fresh(statement: Statement, at: datetime) -> None:
    """A statement counts from requested-at until before valid-until (S1.94).

    Raises ``StatementRefused(rule="expired")`` with this ``span``.
    """
    if not statement.requested_at <= at < statement.valid_until:
        span = f"{_time(statement.requested_at)} to {_time(statement.valid_until)}"
        raise StatementRefused(rule="expired", span=span)


def check_apart(statement: Statement) -> None:
    """The holder neither approves nor is the one acted for (S1.96).

    Raises ``SelfApproval`` with ``rule``: the field that names the holder.
    """
    for rule, uid in (("approver", statement.approver_uid), ("acting-for", statement.acting_for)):
        if uid == statement.holder_uid:
            raise SelfApproval(rule=rule, holder=uid)


def check_signer(statement: Statement, signer_uid: str) -> None:
    """Whoever made a good signature is the approver whom the statement names (S1.95, S1.96).

    Raises ``SelfApproval(rule="signer")`` and ``SignatureRefused(rule="signer")``.
    """
    if signer_uid == statement.holder_uid:
        raise SelfApproval(rule="signer", holder=signer_uid)
    if signer_uid != statement.approver_uid:
        raise SignatureRefused(rule="signer", approver=statement.approver_uid, signer=signer_uid)


def acting_for(
    approver_uid: str,
    holder_uid: str,
    named: Iterable[str],
    delegations: Iterable[Delegation],
    at: datetime,
) -> str:
    """For whom ``approver_uid`` may approve a request of ``holder_uid``.

    Parameters: ``named`` UIDs that the directory names as approvers of the holder (supervisor,
    leave representative); ``delegations`` of those; ``at`` now.
    Returns ``-`` when the person is named, else the UID of the principal that delegated.
    Raises ``SelfApproval`` and ``NoApprover`` (S1.95, S1.96).
    """
    if approver_uid == holder_uid:
        raise SelfApproval
    named = tuple(named)
    if approver_uid in named:
        return NOBODY
    for d in delegations:
        if d.delegate_uid == approver_uid and d.principal_uid in named and d.in_force(at):
            if d.principal_uid == holder_uid:
                continue
            return d.principal_uid
    raise NoApprover(reason="not-named")


def _time(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
