"""Keep what an act of cancellation said of the time paid beyond the end."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subscriptions", sa.Column("on_cancel", sa.String(), nullable=True))
