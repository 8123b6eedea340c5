"""Which entry of a directory elsewhere a UID belongs to.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "directory_entries",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.CheckConstraint("uid <> '' AND entry <> ''", name=op.f("ck_directory_entries_named")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_directory_entries")),
    )


def downgrade() -> None:
    """Drop the table: UIDs are noted anew at the next logins."""
    op.drop_table("directory_entries")
