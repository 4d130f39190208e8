"""Keep the ways to pay that customers add, and the charges they ask for; find invoices by their day."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payment_methods", sa.Column("label", sa.String(), nullable=True))
    op.create_table(
        "method_setups",
        sa.Column("setup_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("method_id", sa.String(), nullable=True),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_method_setups_customer_id")
        ),
        sa.PrimaryKeyConstraint("setup_id", name=op.f("pk_method_setups")),
    )
    op.create_index("ix_method_setups_customer_id", "method_setups", ["customer_id"])
    op.create_index("ix_method_setups_changed_at", "method_setups", ["changed_at"])
    op.create_table(
        "asked_attempts",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("resumes_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "attempt", name=op.f("pk_asked_attempts")),
    )
    op.create_index("ix_invoices_issued_on", "invoices", ["issued_on", "invoice_id"])
