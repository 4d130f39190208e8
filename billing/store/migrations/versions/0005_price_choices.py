"""Keep which price each component of a version has and why; let a list have prices by quantity."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "price_choices",
        sa.Column("choice_id", sa.String(), nullable=False),
        sa.Column("component_id", sa.String(), nullable=False),
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("lost_by", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["component_id"], ["components.component_id"], name=op.f("fk_price_choices_component_id")
        ),
        sa.PrimaryKeyConstraint("choice_id", "component_id", "price_id", name=op.f("pk_price_choices")),
    )
    _with_breaks()
    op.add_column("item_versions", sa.Column("choice_id", sa.String(), server_default="", nullable=False))
    # Until now a version took every price from one list.
    one_list = "list_id || '/' || plan_id || '/' || plan_version"
    op.execute(
        "INSERT INTO price_choices (choice_id, component_id, price_id, recorded_at) "
        "SELECT priced.choice_id, components.component_id, prices.price_id, max(prices.recorded_at) "
        f"FROM (SELECT DISTINCT {one_list} AS choice_id, list_id, plan_id, plan_version FROM item_versions) "
        "AS priced JOIN components ON components.plan_id = priced.plan_id "
        "AND components.plan_version = priced.plan_version "
        "JOIN prices ON prices.list_id = priced.list_id AND prices.component_id = components.component_id "
        "GROUP BY priced.choice_id, components.component_id, prices.price_id"
    )
    op.execute(f"UPDATE item_versions SET choice_id = {one_list}")


def _with_breaks() -> None:
    """SQLite makes the table anew to let go of a constraint; the tiers that refer to it step aside."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("CREATE TEMP TABLE kept_tiers AS SELECT * FROM price_tiers")
        op.execute("DELETE FROM price_tiers")
    checks = (
        sa.CheckConstraint("price_mantissa >= 0", name=op.f("ck_prices_not_negative")),
        sa.CheckConstraint("price_scale between 0 and 12", name=op.f("ck_prices_scale")),
    )
    with op.batch_alter_table("prices", table_args=checks if is_sqlite else ()) as prices:
        prices.add_column(
            sa.Column("quantity_from", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        )
        prices.drop_constraint("uq_prices_list_id_component_id", type_="unique")
        prices.create_unique_constraint(
            op.f("uq_prices_list_id_component_id_quantity_from"),
            ["list_id", "component_id", "quantity_from"],
        )
    if is_sqlite:
        op.execute("INSERT INTO price_tiers SELECT * FROM kept_tiers")
        op.execute("DROP TABLE kept_tiers")
