"""Let prices prorate the levels of meters by day, and bill them in advance."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prices", sa.Column("prorate", sa.String(), server_default="none", nullable=False))
    op.add_column(
        "prices", sa.Column("is_ahead", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
