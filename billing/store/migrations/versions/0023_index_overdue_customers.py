"""Find the customers whose money is overdue."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_customers_overdue_state",
        "customers",
        ["customer_id"],
        postgresql_where=sa.text("overdue_state <> 'current'"),
        sqlite_where=sa.text("overdue_state <> 'current'"),
    )
