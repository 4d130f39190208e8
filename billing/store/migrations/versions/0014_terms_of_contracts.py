"""Keep that a renewal was accepted, and whether pauses lengthen a term."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contracts", sa.Column("renewal_accepted_on", sa.Date(), nullable=True))
    op.add_column(
        "contracts",
        sa.Column("pause_extends_term", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("contracts", sa.Column("agreed_end", sa.Date(), nullable=True))
    op.add_column("contract_terms", sa.Column("accepted_on", sa.Date(), nullable=True))
