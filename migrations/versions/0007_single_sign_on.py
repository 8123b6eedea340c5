"""A login by the institution's single sign-on is a proof, too.

Revision: 0007, after 0006. On the way down these proofs are dropped.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

METHODS = (
    "method IN ('answers', 'approval', 'certificate', 'code-app', 'code-mailbox', "
    "'code-recovery', 'password')"
)
METHODS_NOW = (
    "method IN ('answers', 'approval', 'certificate', 'code-app', 'code-mailbox', "
    "'code-recovery', 'password', 'sso')"
)


def upgrade() -> None:
    """Let a proof be one of these, too."""
    _check(METHODS_NOW)


def downgrade() -> None:
    """Drop the proofs of this kind."""
    op.execute("DELETE FROM proofs WHERE method = 'sso'")
    _check(METHODS)


def _check(condition: str) -> None:
    constraint = op.f("ck_proofs_method")
    with op.batch_alter_table("proofs") as batch:
        batch.drop_constraint(constraint, type_="check")
        batch.create_check_constraint(constraint, condition)
