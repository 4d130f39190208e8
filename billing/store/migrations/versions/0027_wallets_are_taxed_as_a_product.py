"""Keep what top-ups of a wallet are taxed as."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("wallets", sa.Column("product_id", sa.String(), nullable=True))
