"""Tell which refused inputs were taken in later."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resolved_inputs",
        sa.Column("reject_id", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("reject_id", name=op.f("pk_resolved_inputs")),
    )
