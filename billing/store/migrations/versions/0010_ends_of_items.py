"""Keep with the items of a subscription that came back how they had ended."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("ended_on", sa.Date(), nullable=True))
    op.add_column("items", sa.Column("end_requested_on", sa.Date(), nullable=True))
    op.add_column("items", sa.Column("end_reason", sa.String(), nullable=True))
    op.add_column("items", sa.Column("on_cancel", sa.String(), nullable=True))
    op.add_column(
        "items", sa.Column("ended_with_term", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
