"""Let contracts say what happens when goods run short, and keep what was ordered and what became of it."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contracts", sa.Column("substitutes_agreed_on", sa.Date(), nullable=True))
    op.create_table(
        "contract_stock_rules",
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, server_default=sa.text("0"), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contract_id"],
            ["contracts.contract_id"],
            name=op.f("fk_contract_stock_rules_contract_id_contracts"),
        ),
        sa.PrimaryKeyConstraint(
            "contract_id", "valid_from", "revision", name=op.f("pk_contract_stock_rules")
        ),
    )
    op.create_table(
        "stock_orders",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("component_id", sa.String(), nullable=False),
        sa.Column("sku_id", sa.String(), nullable=False),
        sa.Column("service_start", sa.Date(), nullable=False),
        sa.Column("open_until", sa.Date(), nullable=False),
        sa.Column("reference_start", sa.Date(), nullable=False),
        sa.Column("reference_end", sa.Date(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("quantity_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("quantity_scale", sa.Integer(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name=op.f("fk_stock_orders_item_id_items")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_stock_orders")),
        sa.UniqueConstraint(
            "item_id",
            "component_id",
            "reference_start",
            name=op.f("uq_stock_orders_item_id_component_id_reference_start"),
        ),
    )
    op.create_index("ix_stock_orders_changed_at", "stock_orders", ["changed_at"])
    op.create_index(
        "ix_stock_orders_open",
        "stock_orders",
        ["item_id"],
        postgresql_where=sa.text("closed_on IS NULL"),
        sqlite_where=sa.text("closed_on IS NULL"),
    )
    op.create_table(
        "stock_allocations",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sku_id", sa.String(), nullable=False),
        sa.Column("quantity_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("quantity_scale", sa.Integer(), nullable=False),
        sa.Column("allocated_on", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("price_id", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_stock_allocations")),
    )
