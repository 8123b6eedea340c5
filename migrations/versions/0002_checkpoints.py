"""Signed checkpoints of the audit log.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "checkpoints",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "number > 0 AND length(proof) % 32 = 0", name=op.f("ck_checkpoints_proof")
        ),
        sa.PrimaryKeyConstraint("origin", "number", name=op.f("pk_checkpoints")),
    )


def downgrade() -> None:
    """Drop the table: the witness keeps what it has, and the custodian the last size and root."""
    op.drop_table("checkpoints")
