"""Keep goods with their units, and what a customer ordered beside what it comes to."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "skus",
        sa.Column("sku_id", sa.String(), nullable=False),
        sa.Column("product_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("base_unit", sa.String(), nullable=False),
        sa.Column("minimum_quantity", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("order_multiple", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("successor_sku_id", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("minimum_quantity >= 0 and order_multiple >= 0", name=op.f("ck_skus_order")),
        sa.ForeignKeyConstraint(["product_id"], ["products.product_id"], name=op.f("fk_skus_product_id")),
        sa.ForeignKeyConstraint(["successor_sku_id"], ["skus.sku_id"], name=op.f("fk_skus_successor_sku_id")),
        sa.PrimaryKeyConstraint("sku_id", name=op.f("pk_skus")),
    )
    op.create_table(
        "unit_conversions",
        sa.Column("sku_id", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("factor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("factor >= 1", name=op.f("ck_unit_conversions_factor")),
        sa.ForeignKeyConstraint(["sku_id"], ["skus.sku_id"], name=op.f("fk_unit_conversions_sku_id")),
        sa.PrimaryKeyConstraint("sku_id", "unit", name=op.f("pk_unit_conversions")),
    )
    op.add_column("components", sa.Column("sku_id", sa.String(), nullable=True))
    op.add_column("item_versions", sa.Column("ordered_mantissa", sa.BigInteger(), nullable=True))
    op.add_column("item_versions", sa.Column("ordered_scale", sa.Integer(), nullable=True))
    op.add_column("item_versions", sa.Column("ordered_unit", sa.String(), nullable=True))
