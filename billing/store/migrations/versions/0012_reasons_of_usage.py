"""Find usage that is not billed by its customer."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    has_reason = sa.text("unbilled_reason IS NOT NULL")
    op.create_index(
        "ix_usage_events_customer_id",
        "usage_events",
        ["customer_id"],
        postgresql_where=has_reason,
        sqlite_where=has_reason,
    )
