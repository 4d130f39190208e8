"""Keep which credit a refund takes, and when the gateway is to be asked. Nothing wrote refunds before."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("refunds")
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("note_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("decline_code", sa.String(), nullable=True),
        sa.Column("next_attempt_at", Instant(), nullable=True),
        sa.Column("requested_on", sa.Date(), nullable=False),
        sa.Column("refunded_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_refunds_payment_id")),
        sa.ForeignKeyConstraint(["note_id"], ["credit_notes.note_id"], name=op.f("fk_refunds_note_id")),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_changed_at"), "refunds", ["changed_at"], unique=False)
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"], unique=False)
    op.create_index("ix_refunds_note_id", "refunds", ["note_id"], unique=False)
    op.create_index(
        "ix_refunds_next_attempt_at",
        "refunds",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
    )
