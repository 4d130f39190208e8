"""Keep index clauses of contracts, the values of indexes, and the prices that came of them."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "index_values",
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("published_on", sa.Date(), nullable=False),
        sa.Column("value_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("value_scale", sa.Integer(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("value_mantissa > 0", name=op.f("ck_index_values_value")),
        sa.PrimaryKeyConstraint("index_id", "month", "published_on", name=op.f("pk_index_values")),
    )
    op.create_table(
        "contract_clauses",
        sa.Column("clause_id", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("base_value_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("base_value_scale", sa.Integer(), nullable=False),
        sa.Column("floor_ppm", sa.BigInteger(), nullable=True),
        sa.Column("cap_ppm", sa.BigInteger(), nullable=True),
        sa.Column("first_on", sa.Date(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("lag_months", sa.Integer(), nullable=False),
        sa.Column("notice_days", sa.Integer(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("base_value_mantissa > 0", name=op.f("ck_contract_clauses_base")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contracts.contract_id"], name=op.f("fk_contract_clauses_contract_id")
        ),
        sa.PrimaryKeyConstraint("clause_id", name=op.f("pk_contract_clauses")),
    )
    op.create_index("ix_contract_clauses_contract_id", "contract_clauses", ["contract_id"], unique=False)
    op.create_table(
        "index_prices",
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("clause_id", sa.String(), nullable=False),
        sa.Column("step_on", sa.Date(), nullable=False),
        sa.Column("acts_on", sa.Date(), nullable=False),
        sa.Column("base_price_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("published_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clause_id"], ["contract_clauses.clause_id"], name=op.f("fk_index_prices_clause_id")
        ),
        sa.ForeignKeyConstraint(["price_id"], ["prices.price_id"], name=op.f("fk_index_prices_price_id")),
        sa.PrimaryKeyConstraint("price_id", name=op.f("pk_index_prices")),
    )
    op.create_index("ix_index_prices_clause_id", "index_prices", ["clause_id"], unique=False)
