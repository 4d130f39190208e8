"""Keep the amount of each attempt, the gateway's name of a dispute, and what a gateway pays out."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payment_attempts", sa.Column("amount_minor", sa.BigInteger(), nullable=True))
    op.add_column("disputes", sa.Column("gateway_ref", sa.String(), nullable=True))
    op.create_index("uq_disputes_gateway_ref", "disputes", ["gateway_ref"], unique=True)
    op.create_index("ix_disputes_payment_id", "disputes", ["payment_id"])
    op.create_table(
        "payouts",
        sa.Column("payout_id", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_payouts_currency")),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_payouts_entity_id")
        ),
        sa.PrimaryKeyConstraint("payout_id", name=op.f("pk_payouts")),
        sa.UniqueConstraint("entity_id", "gateway_ref", name=op.f("uq_payouts_entity_id_gateway_ref")),
    )
