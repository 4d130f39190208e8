"""Keep each write-off of an invoice, and what was taken back of it."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_offs",
        sa.Column("write_off_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("written_off_on", sa.Date(), nullable=False),
        sa.Column("reverses_id", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.invoice_id"], name=op.f("fk_write_offs_invoice_id")
        ),
        sa.PrimaryKeyConstraint("write_off_id", name=op.f("pk_write_offs")),
    )
    op.create_index("ix_write_offs_invoice_id", "write_offs", ["invoice_id"])
