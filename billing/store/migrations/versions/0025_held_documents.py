"""Keep the documents that a run held back, and find what was billed on a purchase order."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_documents",
        sa.Column("held_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("po_id", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_held_documents_customer_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["billing_runs.run_id"], name=op.f("fk_held_documents_run_id")),
        sa.PrimaryKeyConstraint("held_id", name=op.f("pk_held_documents")),
    )
    op.create_index("ix_held_documents_run_id", "held_documents", ["run_id"])
    op.create_index(
        "ix_invoices_po_id",
        "invoices",
        ["po_id"],
        postgresql_where=sa.text("po_id IS NOT NULL"),
        sqlite_where=sa.text("po_id IS NOT NULL"),
    )
