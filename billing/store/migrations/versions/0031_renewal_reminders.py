"""Keep which reminders of the end of a term were sent."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "renewal_reminders",
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("term_start", sa.Date(), nullable=False),
        sa.Column("days", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sent_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contract_id"],
            ["contracts.contract_id"],
            name=op.f("fk_renewal_reminders_contract_id_contracts"),
        ),
        sa.PrimaryKeyConstraint("contract_id", "term_start", "days", name=op.f("pk_renewal_reminders")),
    )
