"""Find the payments of a dunning case by index."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    in_a_case = sa.text("case_id IS NOT NULL")
    op.create_index(
        "ix_payments_case_id", "payments", ["case_id"], sqlite_where=in_a_case, postgresql_where=in_a_case
    )
