"""List the customers that changed, page by page, in the order in which they did."""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_customers_changed_at", "customers")
    op.create_index("ix_customers_changed_at", "customers", ["changed_at", "customer_id"])
