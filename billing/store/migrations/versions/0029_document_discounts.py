"""Give payers discounts of their documents, and keep what of a line's discount is the document's."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("line_items", "credit_note_lines"):
        op.add_column(
            table,
            sa.Column(
                "document_discount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
            ),
        )
    op.create_table(
        "customer_discounts",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("discount_id", sa.String(), nullable=False),
        sa.Column("valid_start", sa.Date(), nullable=False),
        sa.Column("valid_end", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_customer_discounts_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["discount_id"], ["discounts.discount_id"], name=op.f("fk_customer_discounts_discount_id")
        ),
        sa.PrimaryKeyConstraint(
            "customer_id", "discount_id", "valid_start", name=op.f("pk_customer_discounts")
        ),
    )
    op.create_index("ix_customer_discounts_changed_at", "customer_discounts", ["changed_at"])
