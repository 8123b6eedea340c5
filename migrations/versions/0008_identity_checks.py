"""Checks of identity in a table of their own, for the office to see.

Revision: 0008, after 0007. Those of before are read from the audit log, which keeps them on the
way down.
"""

import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
EVENT = b'"event":"identity-checked"'  # values are escaped: no other entry holds these bytes


def upgrade() -> None:
    """Make the table and fill it."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    checks = op.create_table(
        "identity_checks",
        sa.Column("number", number, sa.Identity(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("operator_uid", sa.Text(), nullable=False),
        sa.Column("ids", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.CheckConstraint("uid <> operator_uid", name=op.f("ck_identity_checks_two_persons")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_identity_checks")),
    )
    op.create_index(op.f("ix_identity_checks_uid"), "identity_checks", ["uid"])
    _fill(checks)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("identity_checks")


def _fill(checks: sa.Table) -> None:
    entries = sa.table("audit_entries", sa.column("number"), sa.column("raw", sa.LargeBinary()))
    connection = op.get_bind()
    logged = connection.execute(
        sa.select(entries.c.raw).order_by(entries.c.number).execution_options(yield_per=1000)
    )
    found = [json.loads(raw) for raw in logged.scalars() if EVENT in raw]
    for entry in found:
        at = datetime.fromisoformat(entry["at"]).astimezone(UTC)
        if connection.dialect.name == "sqlite":
            at = at.replace(tzinfo=None)
        row = {"uid": entry["facts"]["person"], "ids": json.dumps(entry["facts"]["ids"])}
        connection.execute(sa.insert(checks).values(**row, operator_uid=entry["actor"], at=at))
