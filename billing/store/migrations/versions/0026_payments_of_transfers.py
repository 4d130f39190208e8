"""Link payments to the bank transfers they came by, and key early discounts by their application."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payments", sa.Column("transfer_id", sa.String(), nullable=True))
    op.add_column("payments", sa.Column("undone_on", sa.Date(), nullable=True))
    op.drop_table("early_discounts")
    op.create_table(
        "early_discounts",
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("granted_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", name=op.f("pk_early_discounts")),
    )
    op.create_index("ix_early_discounts_invoice_id", "early_discounts", ["invoice_id"])
