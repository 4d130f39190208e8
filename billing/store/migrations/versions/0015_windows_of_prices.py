"""Let prices commit a customer to the windows of a period."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    one, true = sa.text("1000000"), sa.text("true")
    op.add_column("prices", sa.Column("window_unit", sa.String(), nullable=True))
    op.add_column("prices", sa.Column("window_commitment_mantissa", sa.BigInteger(), nullable=True))
    op.add_column(
        "prices", sa.Column("overage_factor_ppm", sa.BigInteger(), server_default=one, nullable=False)
    )
    op.add_column("prices", sa.Column("window_true_up", sa.Boolean(), server_default=true, nullable=False))
