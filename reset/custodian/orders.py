"""What an order to release must be by itself, before the ledger is asked (rules: ``service``)."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import NoReturn

from reset.core import approvals
from reset.core.approvals import Statement
from reset.core.policy import RESUME_AGE
from reset.core.tokens import tidy_serial
from reset.custodian.ledger import Use
from reset.errors import (
    BadInput,
    CertificateRefused,
    ReleaseRefused,
    SelfApproval,
    SignatureRefused,
    StatementRefused,
)
from reset.ports import ReleaseOrder, SignatureVerifier

NAME = 128  # characters of an identifier


def refuse(rule: str, **data: object) -> NoReturn:
    """Refuse by the rule with this stable name; the cause stays out of any traceback."""
    raise ReleaseRefused(rule=rule, **data) from None


def check_serial(serial: str) -> None:
    """A serial as the register keeps it. Raises ``ReleaseRefused(rule="serial")``."""
    try:
        if tidy_serial(serial) == serial:
            return
    except BadInput:
        pass
    refuse("serial")


def check_shape(order: ReleaseOrder) -> tuple[int, int]:
    """The active and the pending version of an order of the right shape.

    Raises ``ReleaseRefused``: ``serial``, ``order``, ``candidates``, ``pending``.
    """
    check_serial(order.token_serial)
    names = (order.operation_id, order.job_id, order.nonce, order.holder_uid)
    if order.epoch < 1 or not all(0 < len(name) <= NAME for name in names):
        refuse("order")
    versions, pending = [version for version, _ in order.candidates], order.pending[0]
    if min((*versions, pending)) < 1 or len(set(versions)) != len(versions):
        refuse("candidates")
    match versions:
        # the next version only: never back to an SO PIN that was in force before
        case [active] if pending == active + 1:
            return active, pending
        case [_]:
            refuse("pending")
        # R8: a resumed order starts with the pending SO PIN; R1: there is no third one
        case [first, active] if first == pending == active + 1 and order.epoch > 1:
            return active, pending
    refuse("candidates")


def check_statement(order: ReleaseOrder) -> Statement:
    """The approval statement of the order, about this token and this holder.

    Raises ``ReleaseRefused``: ``statement``, ``token``, ``holder``, ``self-approval``.
    """
    try:
        statement = approvals.parse(order.statement)
    except StatementRefused as error:
        refuse("statement", why=error.data["rule"])
    if statement.token_serial != order.token_serial:
        refuse("token")
    if statement.holder_uid != order.holder_uid:
        refuse("holder")
    try:
        approvals.check_apart(statement)
    except SelfApproval:
        refuse("self-approval")
    return statement


def check_signer(
    order: ReleaseOrder, statement: Statement, verifier: SignatureVerifier, at: datetime
) -> None:
    """The signature is good now, and the signer's certificate is the approver's.

    Raises ``ReleaseRefused``: ``signature`` (``why`` is the verifier's rule), ``signer``,
    ``self-approval``; ``Unavailable`` when the verifier is.
    """
    try:
        signer = verifier.verify_approval(order.statement, order.signature, at)
    except (SignatureRefused, CertificateRefused) as error:
        refuse("signature", why=str(error.data.get("rule", error.code)))
    try:
        approvals.check_signer(statement, signer.uid)
    except SelfApproval:
        refuse("self-approval")
    except SignatureRefused:
        refuse("signer")


def check_age(statement: Statement, at: datetime, longest: timedelta) -> None:
    """A first release needs a fresh statement, and one that was never meant to live for long.

    Raises ``ReleaseRefused``: ``expired``, ``lifetime``.
    """
    try:
        approvals.check_fresh(statement, at)
    except StatementRefused:
        refuse("expired")
    if statement.valid_until > at + longest:
        refuse("lifetime")


def is_repeat(order: ReleaseOrder, versions: tuple[int, int], use: Use, at: int) -> bool:
    """Whether a used approval's order is its last one again; False for a later epoch.

    Raises ``ReleaseRefused``: ``approval-used``, ``closed``, ``versions``, ``recovery-over``,
    ``epoch``.
    """
    if use.operation_id != order.operation_id:
        refuse("approval-used")
    if use.closed:
        refuse("closed")
    if (use.active_version, use.pending_version) != versions:
        refuse("versions")
    if at - use.first_at >= RESUME_AGE.total_seconds():
        refuse("recovery-over")
    if order.epoch > use.epoch:
        return False
    if order.epoch < use.epoch or fingerprint(order) != use.fingerprint:
        refuse("epoch")
    return True


def fingerprint(order: ReleaseOrder) -> bytes:
    """SHA-256 over everything that makes an order this order.

    The versions stand for the SO PINs: the sealed bytes may be renewed between two tries.
    """
    parts = [
        *(order.operation_id.encode(), order.job_id.encode(), str(order.epoch).encode()),
        *(order.nonce.encode(), order.token_serial.encode(), order.helper_key, order.statement),
    ]
    parts += [str(version).encode() for version, _ in (*order.candidates, order.pending)]
    return hashlib.sha256(b"".join(len(p).to_bytes(4) + p for p in parts)).digest()


def use_of(order: ReleaseOrder, versions: tuple[int, int], before: Use | None, at: int) -> Use:
    """The ledger's line after this order, one release more than ``before``."""
    return Use(
        statement=hashlib.sha256(order.statement).digest(),
        operation_id=order.operation_id,
        serial=order.token_serial,
        active_version=versions[0],
        pending_version=versions[1],
        first_at=before.first_at if before else at,
        releases=before.releases + 1 if before else 1,
        closed=0,
        epoch=order.epoch,
        fingerprint=fingerprint(order),
    )
