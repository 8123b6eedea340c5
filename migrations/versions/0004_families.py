"""A token has a family instead of an unblock style; an operation knows that its SO PIN fits.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename and translate; an operation that is open has shown nothing yet."""
    # not batch mode: on SQLite it makes the table anew, without its CHECK constraints
    op.execute("ALTER TABLE tokens RENAME COLUMN style TO family")
    op.execute(
        "UPDATE tokens SET family = CASE family WHEN 'puk_set_pin' THEN 'yubikey' ELSE 'etoken' END"
    )
    op.add_column(
        "operations", sa.Column("fits", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    """Translate back; that a token was of another family is lost."""
    op.drop_column("operations", "fits")
    op.execute("ALTER TABLE tokens RENAME COLUMN family TO style")
    op.execute(
        "UPDATE tokens SET style = CASE style WHEN 'yubikey' THEN 'puk_set_pin' "
        "ELSE 'so_init_pin' END"
    )
