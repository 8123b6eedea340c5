"""The profile's second address, authenticator apps, rehearsals and reminders.

Revision: 0005, after 0004. On the way down apps, second addresses and the proofs and codes
that they gave are dropped.
"""

import sqlalchemy as sa
from alembic import op
from cryptography import x509

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
PURPOSES = "purpose IN ('address', 'reset')"
PURPOSES_NOW = "purpose IN ('address', 'reset', 'second-address')"
METHODS = (
    "method IN ('answers', 'approval', 'certificate', 'code-mailbox', 'code-recovery', 'password')"
)
METHODS_NOW = (
    "method IN ('answers', 'approval', 'certificate', 'code-app', 'code-mailbox', "
    "'code-recovery', 'password')"
)


def upgrade() -> None:
    """Add columns and tables; answers count as registered when the profile was changed last."""
    for name in ("second_address", "second_pending"):
        op.add_column("profiles", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column("profiles", sa.Column("answers_at", TIME))
    op.execute("UPDATE profiles SET answers_at = changed_at")
    op.create_index(op.f("ix_profiles_answers_at"), "profiles", ["answers_at"])
    op.add_column("outbox", sa.Column("address", sa.Text(), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("certificate_ends", TIME))
    op.create_index(op.f("ix_tokens_certificate_ends"), "tokens", ["certificate_ends"])
    _fill_ends()
    _tables()
    _check("mail_codes", "purpose", PURPOSES_NOW)
    _check("proofs", "method", METHODS_NOW)


def downgrade() -> None:
    """Drop what this revision added."""
    op.execute("DELETE FROM proofs WHERE method = 'code-app'")
    op.execute("DELETE FROM mail_codes WHERE purpose = 'second-address'")
    op.execute("DELETE FROM outbox WHERE box IN ('second', 'second-pending', 'former')")
    _check("proofs", "method", METHODS)
    _check("mail_codes", "purpose", PURPOSES)
    for name in ("reminders", "rehearsals", "authenticators"):
        op.drop_table(name)
    op.drop_index(op.f("ix_tokens_certificate_ends"), "tokens")
    op.drop_column("tokens", "certificate_ends")
    op.drop_column("outbox", "address")
    op.drop_index(op.f("ix_profiles_answers_at"), "profiles")
    for name in ("answers_at", "second_pending", "second_address"):
        op.drop_column("profiles", name)


def _fill_ends() -> None:
    tokens = sa.table(
        "tokens", sa.column("serial"), sa.column("certificate"), sa.column("certificate_ends", TIME)
    )
    connection = op.get_bind()
    for serial, certificate in connection.execute(
        sa.select(tokens.c.serial, tokens.c.certificate)
    ).fetchall():
        try:
            ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
        except (ValueError, x509.InvalidVersion):
            continue
        if connection.dialect.name == "sqlite":
            ends = ends.replace(tzinfo=None)
        connection.execute(
            sa.update(tokens).where(tokens.c.serial == serial).values(certificate_ends=ends)
        )


def _tables() -> None:
    def of_profile(table: str) -> sa.ForeignKeyConstraint:
        name = op.f(f"fk_{table}_uid")
        return sa.ForeignKeyConstraint(["uid"], ["profiles.uid"], name=name, ondelete="CASCADE")

    op.create_table(
        "authenticators",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "last_step >= 0 AND (last_step > 0 OR NOT confirmed)",
            name=op.f("ck_authenticators_last_step"),
        ),
        of_profile("authenticators"),
        sa.PrimaryKeyConstraint("uid", "confirmed", name=op.f("pk_authenticators")),
        sa.UniqueConstraint("id", name=op.f("uq_authenticators_id")),
    )
    op.create_table(
        "rehearsals",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("right_at", TIME),
        sa.CheckConstraint("spent >= 0", name=op.f("ck_rehearsals_spent")),
        of_profile("rehearsals"),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_rehearsals")),
    )
    op.create_table(
        "reminders",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("kind", "about", name=op.f("pk_reminders")),
    )


def _check(table: str, name: str, condition: str) -> None:
    """Put a condition in place of the one with its name."""
    constraint = op.f(f"ck_{table}_{name}")
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(constraint, type_="check")
        batch.create_check_constraint(constraint, condition)
