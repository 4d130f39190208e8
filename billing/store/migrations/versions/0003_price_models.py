"""Keep the terms of every price model: blocks, percentages with their fees and bounds, bundles."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("components", sa.Column("bundle_id", sa.String(), nullable=True))
    block_policy = sa.Column("block_policy", sa.String(), server_default="all_tiers", nullable=False)
    op.add_column("prices", block_policy)
    for name in (
        "fee_mantissa",
        "free_events",
        "free_amount_mantissa",
        "min_per_event_mantissa",
        "max_per_event_mantissa",
    ):
        op.add_column("prices", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in ("block_size", "max_blocks"):
        op.add_column("price_tiers", sa.Column(name, sa.BigInteger(), nullable=True))
