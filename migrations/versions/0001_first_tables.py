"""The first tables.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite numbers rows by itself only for its own INTEGER
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables, and the head of the empty audit log."""
    _audit_entries()
    _audit_head()
    _delegations()
    _draws()
    _escrow()
    _mail_codes()
    _outbox()
    _people()
    _profiles()
    _requests()
    _sessions()
    _throttle()
    _tokens()
    _tries()
    _answers()
    _approvals()
    _jobs()
    _proofs()
    _operations()
    _operations_indexes()


def downgrade() -> None:
    """Drop all tables."""
    op.drop_table("operations")
    op.drop_table("proofs")
    op.drop_table("jobs")
    op.drop_table("approvals")
    op.drop_table("answers")
    op.drop_table("tries")
    op.drop_table("tokens")
    op.drop_table("throttle")
    op.drop_table("sessions")
    op.drop_table("requests")
    op.drop_table("profiles")
    op.drop_table("people")
    op.drop_table("outbox")
    op.drop_table("mail_codes")
    op.drop_table("escrow")
    op.drop_table("draws")
    op.drop_table("delegations")
    op.drop_table("audit_head")
    op.drop_table("audit_entries")


def _audit_entries() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "number > 0 AND length(chain) = 32", name=op.f("ck_audit_entries_chain")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_entries")),
    )


def _audit_head() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_single")),
        sa.CheckConstraint("number >= 0 AND length(chain) = 32", name=op.f("ck_audit_head_chain")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    head = sa.table(
        "audit_head", sa.column("id"), sa.column("number"), sa.column("chain", sa.LargeBinary)
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "chain": bytes(32)}])


def _delegations() -> None:
    op.create_table(
        "delegations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal_uid", sa.Text(), nullable=False),
        sa.Column("delegate_uid", sa.Text(), nullable=False),
        sa.Column("starts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("ends > starts", name=op.f("ck_delegations_period")),
        sa.CheckConstraint(
            "principal_uid <> delegate_uid", name=op.f("ck_delegations_two_persons")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegations")),
    )
    op.create_index(op.f("ix_delegations_delegate_uid"), "delegations", ["delegate_uid"])
    op.create_index(op.f("ix_delegations_principal_uid"), "delegations", ["principal_uid"])


def _draws() -> None:
    op.create_table(
        "draws",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("questions", sa.Text(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("questions <> '[]'", name=op.f("ck_draws_questions")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_draws")),
    )


def _escrow() -> None:
    op.create_table(
        "escrow",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("version >= 0 AND length(sealed) > 0", name=op.f("ck_escrow_sealed")),
        sa.PrimaryKeyConstraint("serial", "version", name=op.f("pk_escrow")),
    )


def _mail_codes() -> None:
    op.create_table(
        "mail_codes",
        sa.Column("number", NUMBER, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "purpose <> 'reset' OR method IN ('code-mailbox', 'code-recovery')",
            name=op.f("ck_mail_codes_method"),
        ),
        sa.CheckConstraint("purpose IN ('address', 'reset')", name=op.f("ck_mail_codes_purpose")),
        sa.CheckConstraint(
            "used_at IS NULL OR used_at >= created_at", name=op.f("ck_mail_codes_used")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_mail_codes")),
        sa.UniqueConstraint("id", name=op.f("uq_mail_codes_id")),
    )
    op.create_index("ix_mail_codes_about_purpose", "mail_codes", ["about", "purpose"])
    op.create_index("ix_mail_codes_uid_created_at", "mail_codes", ["uid", "created_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("number", NUMBER, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("box", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("code_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_outbox_tries")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outbox")),
        sa.UniqueConstraint("id", name=op.f("uq_outbox_id")),
    )
    op.create_index("ix_outbox_sent_at_due_at", "outbox", ["sent_at", "due_at"])


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("pid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mail", sa.Text(), nullable=False),
        sa.Column("supervisor_uid", sa.Text(), nullable=False),
        sa.Column("representative_uid", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.CheckConstraint("uid <> '' AND login <> ''", name=op.f("ck_people_named")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_people")),
        sa.UniqueConstraint("login", name=op.f("uq_people_login")),
    )


def _profiles() -> None:
    op.create_table(
        "profiles",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("recovery_address", sa.Text(), nullable=False),
        sa.Column("recovery_pending", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_profiles")),
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("number", NUMBER, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("token_serial", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("questions", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True)),
        sa.Column("ended_because", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('cancelled', 'collecting', 'denied', 'done', 'executing', "
            "'expired', 'office', 'ready', 'waiting_for_approval')",
            name=op.f("ck_requests_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('ready', 'waiting_for_approval') OR asked_at IS NOT NULL",
            name=op.f("ck_requests_asked"),
        ),
        sa.CheckConstraint("changed_at >= created_at", name=op.f("ck_requests_times")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_requests")),
        sa.UniqueConstraint("id", name=op.f("uq_requests_id")),
    )
    op.create_index("ix_requests_state_expires_at", "requests", ["state", "expires_at"])
    op.create_index(op.f("ix_requests_uid"), "requests", ["uid"])
    where = sa.text("state IN ('collecting', 'executing', 'ready', 'waiting_for_approval')")
    op.create_index(
        "ux_requests_open",
        "requests",
        ["token_serial"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_created_at"), "sessions", ["created_at"])
    op.create_index(op.f("ix_sessions_seen_at"), "sessions", ["seen_at"])


def _throttle() -> None:
    op.create_table(
        "throttle",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_throttle_failures")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle")),
    )
    op.create_index(op.f("ix_throttle_free_at"), "throttle", ["free_at"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("holder_uid", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("so_version", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('dead', 'in-use', 'retired')", name=op.f("ck_tokens_state")),
        sa.CheckConstraint("so_version >= 0", name=op.f("ck_tokens_so_version")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_tokens")),
    )
    op.create_index(op.f("ix_tokens_holder_uid"), "tokens", ["holder_uid"])


def _tries() -> None:
    op.create_table(
        "tries",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.CheckConstraint("spent >= 0", name=op.f("ck_tries_spent")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_tries")),
    )


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("norm_version", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "length(salt) > 0 AND length(record) > 0", name=op.f("ck_answers_salted")
        ),
        sa.ForeignKeyConstraint(
            ["uid"], ["profiles.uid"], name=op.f("fk_answers_uid"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", "question", name=op.f("pk_answers")),
    )


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("approver_uid", sa.Text(), nullable=False),
        sa.Column("acting_for", sa.Text(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "length(statement) > 0 AND length(signature) > 0", name=op.f("ck_approvals_signed")
        ),
        sa.CheckConstraint(
            "used_at IS NULL OR used_at >= signed_at", name=op.f("ck_approvals_used")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.id"], name=op.f("fk_approvals_request_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("request_id", name=op.f("uq_approvals_request_id")),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", NUMBER, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("token_serial", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("holds_selector", sa.Boolean(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(claimed_at IS NULL AND secret_hash = '' AND "
            "length(public_key) = 0) OR (claimed_at IS NOT NULL AND "
            "secret_hash <> '' AND length(public_key) > 0)",
            name=op.f("ck_jobs_claimed"),
        ),
        sa.CheckConstraint("kind IN ('approve', 'office', 'reset')", name=op.f("ck_jobs_kind")),
        sa.ForeignKeyConstraint(["about"], ["requests.id"], name=op.f("fk_jobs_about")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
    )
    op.create_index(op.f("ix_jobs_about"), "jobs", ["about"])
    where = sa.text("holds_selector")
    op.create_index(
        "ux_jobs_selector",
        "jobs",
        ["selector"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def _proofs() -> None:
    op.create_table(
        "proofs",
        sa.Column("number", NUMBER, sa.Identity(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "method IN ('answers', 'approval', 'certificate', 'code-mailbox', "
            "'code-recovery', 'password')",
            name=op.f("ck_proofs_method"),
        ),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_proofs_request_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_proofs")),
    )
    op.create_index(op.f("ix_proofs_request_id"), "proofs", ["request_id"])


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("number", NUMBER, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("token_serial", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=False),
        sa.Column("pending_version", sa.Integer(), nullable=False),
        sa.Column("tries_spent", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("order", sa.LargeBinary(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "NOT settled OR state IN ('done', 'withdrawn')", name=op.f("ck_operations_settled")
        ),
        sa.CheckConstraint(
            "state <> 'withdrawn' OR orders = 0", name=op.f("ck_operations_withdrawn")
        ),
        sa.CheckConstraint("state <> 'intent' OR epoch = 0", name=op.f("ck_operations_intent")),
        sa.CheckConstraint(
            "state IN ('done', 'intent', 'office', 'sent', 'unknown', 'withdrawn')",
            name=op.f("ck_operations_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('done', 'sent', 'unknown') OR (epoch > 0 AND "
            "nonce <> '' AND job_id IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_operations_ordered"),
        ),
        sa.CheckConstraint("pending_version > active_version", name=op.f("ck_operations_versions")),
        sa.CheckConstraint(
            "tries_spent >= 0 AND epoch >= 0 AND orders >= 0", name=op.f("ck_operations_counts")
        ),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_operations_approval_id")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_operations_job_id")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.id"], name=op.f("fk_operations_request_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_operations")),
        sa.UniqueConstraint("approval_id", name=op.f("uq_operations_approval_id")),
        sa.UniqueConstraint("id", name=op.f("uq_operations_id")),
    )


def _operations_indexes() -> None:
    op.create_index(op.f("ix_operations_request_id"), "operations", ["request_id"])
    op.create_index("ix_operations_state_lease_until", "operations", ["state", "lease_until"])
    where = sa.text("state IN ('intent', 'office', 'sent', 'unknown')")
    op.create_index(
        "ux_operations_unresolved",
        "operations",
        ["token_serial"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )
