"""Keep for each meter the time in which it weighs a level."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "meters", sa.Column("grain", sa.String(), server_default=sa.text("'second'"), nullable=False)
    )
