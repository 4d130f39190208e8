"""Let quantities of a draft be frozen, and charges come once."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage_snapshots", sa.Column("frozen_at", Instant(), nullable=True))
    op.create_table(
        "one_time_charges",
        sa.Column("charge_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("charged_on", sa.Date(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.item_id"], name=op.f("fk_one_time_charges_item_id_items")
        ),
        sa.PrimaryKeyConstraint("charge_id", name=op.f("pk_one_time_charges")),
    )
    op.create_index("ix_one_time_charges_item_id", "one_time_charges", ["item_id"])
    op.create_index("ix_one_time_charges_changed_at", "one_time_charges", ["changed_at"])
