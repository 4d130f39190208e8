"""Find the contracts of a customer, and what is on a plan."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_contracts_customer_id", "contracts", ["customer_id"])
    op.create_index(
        "ix_item_versions_plan_id",
        "item_versions",
        ["plan_id", "item_id"],
        postgresql_where=sa.text("superseded_at IS NULL"),
        sqlite_where=sa.text("superseded_at IS NULL"),
    )
