"""Every table. Columns carry the names of the fields of the core's dataclasses.

Rules:

1. CHECK constraints bind columns to states; their words come from the core, never typed twice.
2. Partial unique indexes carry "one open request per token" and "one unresolved operation per
   token", so that no race between nodes can make two.
3. No table refers to ``people``: the directory may be elsewhere.
4. ``number`` orders rows that were made in the same instant.
5. ``escrow``, ``identity_checks``, ``audit_entries`` and ``checkpoints`` only grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    false,
    text,
)

from pkcs11_driver import wire
from reset.core import assurance, codes, custody
from reset.core import requests as core_requests
from reset.core import tokens as core_tokens
from reset.db.metadata import metadata, one_of
from reset.db.profile_tables import answers, authenticators, draws, profiles, rehearsals, reminders  # noqa: F401  part of the one metadata
from reset.db.types import Facts, PlainText, UtcTime, Words


def _words(column: str, words: Iterable[str]) -> CheckConstraint:
    return CheckConstraint(one_of(column, words), name=column)


def _id() -> Column[str]:
    return Column("id", PlainText, nullable=False, unique=True)


def _number() -> Column[int]:
    # SQLite numbers rows by itself only for its own INTEGER
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("number", kind, Identity(), primary_key=True)


OPEN_REQUEST = one_of("state", core_requests.OPEN)
UNRESOLVED_OPERATION = one_of("state", custody.UNRESOLVED)

people = Table(
    "people",
    metadata,
    Column("uid", PlainText, primary_key=True),
    Column("login", PlainText, nullable=False, unique=True),
    Column("pid", PlainText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("mail", PlainText, nullable=False),
    Column("supervisor_uid", PlainText, nullable=False),
    Column("representative_uid", PlainText, nullable=False),
    Column("roles", Words(frozenset), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("password_hash", PlainText, nullable=False),
    Column("found_by", PlainText, nullable=False),
    CheckConstraint("uid <> '' AND login <> ''", name="named"),
)

identity_checks = Table(
    "identity_checks",
    metadata,
    _number(),
    Column("uid", PlainText, nullable=False, index=True),
    Column("operator_uid", PlainText, nullable=False),
    Column("ids", Words, nullable=False),
    Column("at", UtcTime, nullable=False),
    CheckConstraint("uid <> operator_uid", name="two_persons"),
)

# whose UID it is in a directory elsewhere: what that directory itself calls the entry
directory_entries = Table(
    "directory_entries",
    metadata,
    Column("uid", PlainText, primary_key=True),
    Column("entry", PlainText, nullable=False),
    CheckConstraint("uid <> '' AND entry <> ''", name="named"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("serial", PlainText, primary_key=True),
    Column("holder_uid", PlainText, nullable=False, index=True),
    Column("label", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("family", PlainText, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("key_id", PlainText, nullable=False),
    Column("so_version", Integer, nullable=False),
    # from the certificate, for the worker's reminders
    Column("certificate_ends", UtcTime, index=True),
    _words("state", get_args(core_tokens.State)),
    CheckConstraint("so_version >= 0", name="so_version"),
)

tries = Table(
    "tries",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("spent", Integer, nullable=False),
    CheckConstraint("spent >= 0", name="spent"),
)

throttle = Table(
    "throttle",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("free_at", UtcTime, nullable=False, index=True),
    CheckConstraint("failures >= 0", name="failures"),
)

requests = Table(
    "requests",
    metadata,
    _number(),
    _id(),
    Column("uid", PlainText, nullable=False, index=True),
    Column("token_serial", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("nonce", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("questions", Words, nullable=False),
    Column("asked_at", UtcTime),
    Column("ended_because", PlainText, nullable=False),
    _words("state", get_args(core_requests.State)),
    CheckConstraint(
        "state NOT IN ('ready', 'waiting_for_approval') OR asked_at IS NOT NULL", name="asked"
    ),
    CheckConstraint("changed_at >= created_at", name="times"),
    Index(
        "ux_requests_open", "token_serial", unique=True,
        sqlite_where=text(OPEN_REQUEST), postgresql_where=text(OPEN_REQUEST),
    ),
    Index("ix_requests_state_expires_at", "state", "expires_at"),
)  # fmt: skip

proofs = Table(
    "proofs",
    metadata,
    _number(),
    Column("request_id", PlainText, ForeignKey("requests.id"), nullable=False, index=True),
    Column("method", PlainText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("detail", PlainText, nullable=False),
    _words("method", assurance.RECORDED),
)

mail_codes = Table(
    "mail_codes",
    metadata,
    _number(),
    _id(),
    Column("uid", PlainText, nullable=False),
    Column("purpose", PlainText, nullable=False),
    Column("about", PlainText, nullable=False),
    Column("method", PlainText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    _words("purpose", get_args(codes.Purpose)),
    CheckConstraint(f"purpose <> 'reset' OR {one_of('method', assurance.MAILED)}", name="method"),
    CheckConstraint("used_at IS NULL OR used_at >= created_at", name="used"),
    Index("ix_mail_codes_about_purpose", "about", "purpose"),
    Index("ix_mail_codes_uid_created_at", "uid", "created_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("request_id", PlainText, ForeignKey("requests.id"), nullable=False, unique=True),
    Column("approver_uid", PlainText, nullable=False),
    Column("acting_for", PlainText, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
    Column("valid_until", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    CheckConstraint("length(statement) > 0 AND length(signature) > 0", name="signed"),
    CheckConstraint("used_at IS NULL OR used_at >= signed_at", name="used"),
)

delegations = Table(
    "delegations",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("principal_uid", PlainText, nullable=False, index=True),
    Column("delegate_uid", PlainText, nullable=False, index=True),
    Column("starts", UtcTime, nullable=False),
    Column("ends", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    CheckConstraint("ends > starts", name="period"),
    CheckConstraint("principal_uid <> delegate_uid", name="two_persons"),
)

escrow = Table(
    "escrow",
    metadata,
    Column("serial", PlainText, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    CheckConstraint("version >= 0 AND length(sealed) > 0", name="sealed"),
)

jobs = Table(
    "jobs",
    metadata,
    _number(),
    _id(),
    Column("kind", PlainText, nullable=False),
    Column("uid", PlainText, nullable=False),
    Column("about", PlainText, ForeignKey("requests.id"), nullable=False, index=True),
    Column("token_serial", PlainText, nullable=False),
    Column("selector", PlainText, nullable=False),
    Column("holds_selector", Boolean, nullable=False),
    Column("challenge", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("claimed_at", UtcTime),
    Column("secret_hash", PlainText, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("outcome", PlainText, nullable=False),
    _words("kind", get_args(wire.Kind)),
    CheckConstraint(
        "(claimed_at IS NULL AND secret_hash = '' AND length(public_key) = 0) OR "
        "(claimed_at IS NOT NULL AND secret_hash <> '' AND length(public_key) > 0)",
        name="claimed",
    ),
    Index(
        "ux_jobs_selector", "selector", unique=True,
        sqlite_where=text("holds_selector"), postgresql_where=text("holds_selector"),
    ),
)  # fmt: skip

operations = Table(
    "operations",
    metadata,
    _number(),
    _id(),
    Column("request_id", PlainText, ForeignKey("requests.id"), nullable=False, index=True),
    Column("approval_id", PlainText, ForeignKey("approvals.id"), nullable=False, unique=True),
    Column("token_serial", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("active_version", Integer, nullable=False),
    Column("pending_version", Integer, nullable=False),
    Column("tries_spent", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("nonce", PlainText, nullable=False),
    Column("job_id", PlainText, ForeignKey("jobs.id")),
    Column("order", LargeBinary, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("lease_until", UtcTime),
    Column("steps", Words, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("fits", Boolean, nullable=False, server_default=false()),
    _words("state", get_args(custody.State)),
    CheckConstraint("pending_version > active_version", name="versions"),
    CheckConstraint("tries_spent >= 0 AND epoch >= 0 AND orders >= 0", name="counts"),
    CheckConstraint("state <> 'withdrawn' OR orders = 0", name="withdrawn"),
    CheckConstraint("state <> 'intent' OR epoch = 0", name="intent"),
    CheckConstraint(
        "state NOT IN ('done', 'sent', 'unknown') OR (epoch > 0 AND nonce <> '' "
        "AND job_id IS NOT NULL AND lease_until IS NOT NULL)",
        name="ordered",
    ),
    CheckConstraint("NOT settled OR state IN ('done', 'withdrawn')", name="settled"),
    Index(
        "ux_operations_unresolved", "token_serial", unique=True,
        sqlite_where=text(UNRESOLVED_OPERATION), postgresql_where=text(UNRESOLVED_OPERATION),
    ),
    Index("ix_operations_state_lease_until", "state", "lease_until"),
)  # fmt: skip

outbox = Table(
    "outbox",
    metadata,
    _number(),
    _id(),
    Column("uid", PlainText, nullable=False),
    Column("box", PlainText, nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("facts", Facts, nullable=False),
    Column("code_id", PlainText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    Column("address", PlainText, nullable=False, server_default=""),
    CheckConstraint("tries >= 0", name="tries"),
    Index("ix_outbox_sent_at_due_at", "sent_at", "due_at"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("raw", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    CheckConstraint("number > 0 AND length(chain) = 32", name="chain"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="single"),
    CheckConstraint("number >= 0 AND length(chain) = 32", name="chain"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("origin", PlainText, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("note", PlainText, nullable=False),
    Column("proof", LargeBinary, nullable=False),
    CheckConstraint("number > 0 AND length(proof) % 32 = 0", name="proof"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("site", PlainText, nullable=False),
    Column("uid", PlainText, nullable=False, index=True),
    Column("data", PlainText, nullable=False),
    Column("created_at", UtcTime, nullable=False, index=True),
    Column("seen_at", UtcTime, nullable=False, index=True),
    Column("handle", PlainText, nullable=False),
    Column("address", PlainText, nullable=False),
    Column("agent", PlainText, nullable=False),
)
