"""Keep for each customer the day from which bill runs compare, and find lines by the period they bill."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("customers", sa.Column("unsettled_from", sa.Date(), nullable=True))
    op.drop_index("ix_line_items_item_id_service_end", table_name="line_items")
    op.create_index(
        "ix_line_items_item_id_reference_end", "line_items", ["item_id", "reference_end"], unique=False
    )
