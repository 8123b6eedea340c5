"""Sessions can be listed and named: handle, address and browser of each.

Revision: 0003, after 0002. The table is made anew and people log in again: a session from before
has none of these.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """End every session and make the table with the new columns."""
    _sessions("handle", "address", "agent")
    op.create_index(op.f("ix_sessions_uid"), "sessions", ["uid"])


def downgrade() -> None:
    """End every session and make the table without them."""
    _sessions()


def _sessions(*more: str) -> None:
    op.drop_table("sessions")
    op.create_table(
        "sessions",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in more),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sessions")),
    )
    for name in ("created_at", "seen_at"):
        op.create_index(op.f(f"ix_sessions_{name}"), "sessions", [name])
