"""Keep the most that an order of the stock ever wanted; rules of contracts stand in their own table alone."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "stock_orders",
        sa.Column("most_mantissa", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.execute("UPDATE stock_orders SET most_mantissa = quantity_mantissa")
    op.drop_column("contracts", "stock_rule")
