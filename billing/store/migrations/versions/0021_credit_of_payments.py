"""Let what a payment paid too much be credit, and be given back."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "payments", sa.Column("is_spent", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute(
        "UPDATE payments SET is_spent = true WHERE state = 'captured' AND amount_minor <= "
        "(SELECT coalesce(sum(amount_minor), 0) FROM applications "
        "WHERE source_id = payments.payment_id AND source_kind = 'payment')"
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_index(
        "ix_payments_unspent",
        "payments",
        ["customer_id"],
        postgresql_where=sa.text("is_spent IS false"),
        sqlite_where=sa.text("is_spent IS 0"),
    )
    amount = sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount"))
    with op.batch_alter_table("refunds", table_args=(amount,) if is_sqlite else ()) as refunds:
        refunds.alter_column("note_id", existing_type=sa.String(), nullable=True)
