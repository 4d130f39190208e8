"""Keep pools: clauses whose tiers count the volume of a customer tree."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OF_AN_INDEX: dict[str, sa.types.TypeEngine[Any]] = {
    "index_id": sa.String(),
    "base_value_mantissa": sa.BigInteger(),
    "base_value_scale": sa.Integer(),
    "lag_months": sa.Integer(),
    "notice_days": sa.Integer(),
}


def upgrade() -> None:
    _let_clauses_be_of_other_kinds()
    op.create_table(
        "pool_members",
        sa.Column("clause_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clause_id"], ["contract_clauses.clause_id"], name=op.f("fk_pool_members_clause_id")
        ),
        sa.PrimaryKeyConstraint("clause_id", "kind", "member_id", name=op.f("pk_pool_members")),
    )
    op.create_table(
        "pool_tiers",
        sa.Column("clause_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("up_to", sa.BigInteger(), nullable=True),
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clause_id"], ["contract_clauses.clause_id"], name=op.f("fk_pool_tiers_clause_id")
        ),
        sa.ForeignKeyConstraint(["price_id"], ["prices.price_id"], name=op.f("fk_pool_tiers_price_id")),
        sa.PrimaryKeyConstraint("clause_id", "position", name=op.f("pk_pool_tiers")),
    )
    op.add_column("credit_note_lines", sa.Column("kind", sa.String(), nullable=True))


def _let_clauses_be_of_other_kinds() -> None:
    """SQLite makes the table anew; the prices that refer to it step aside."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("CREATE TEMP TABLE kept_prices AS SELECT * FROM index_prices")
        op.execute("DELETE FROM index_prices")
    base = sa.CheckConstraint("base_value_mantissa > 0", name=op.f("ck_contract_clauses_base"))
    with op.batch_alter_table("contract_clauses", table_args=(base,) if is_sqlite else ()) as clauses:
        for name, kind in _OF_AN_INDEX.items():
            clauses.alter_column(name, existing_type=kind, nullable=True)
        clauses.create_check_constraint(
            op.f("ck_contract_clauses_index"), "kind <> 'index' or base_value_mantissa is not null"
        )
    if is_sqlite:
        op.execute("INSERT INTO index_prices SELECT * FROM kept_prices")
        op.execute("DROP TABLE kept_prices")
