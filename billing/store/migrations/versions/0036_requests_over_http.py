"""Keep who may call over HTTP, what was asked and answered, and a clock to be set; find what is listed."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant, lowered

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("version", sa.Date(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.Column("last_used_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_api_keys_customer_id")
        ),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_table(
        "api_replies",
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_api_replies")),
    )
    op.create_index("ix_api_replies_recorded_at", "api_replies", ["recorded_at"])
    op.create_table(
        "api_calls",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("happened_at", Instant(), nullable=False),
        sa.Column("caller_kind", sa.String(), nullable=False),
        sa.Column("caller_id", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_api_calls")),
    )
    op.create_index("ix_api_calls_happened_at", "api_calls", ["happened_at", "call_id"])
    op.create_index("ix_api_calls_caller_id", "api_calls", ["caller_id", "happened_at", "call_id"])
    op.create_table(
        "test_clock",
        sa.Column("clock_id", sa.String(), nullable=False),
        sa.Column("now_at", Instant(), nullable=False),
        sa.Column("target_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("clock_id", name=op.f("pk_test_clock")),
    )
    op.add_column("audit_log", sa.Column("request_id", sa.String(), nullable=True))
    op.create_index("ix_customers_name", "customers", [lowered(sa.column("name")), "customer_id"])
    op.create_index("ix_contacts_email", "contacts", [sa.func.lower(sa.column("email"))])
    op.create_index("ix_subscriptions_status", "subscriptions", ["status", "subscription_id"])
    op.create_index("ix_payments_state", "payments", ["state", "payment_id"])
    op.create_index("ix_approvals_state", "approvals", ["state", "approval_id"])
    op.create_index("ix_dunning_cases_customer_id", "dunning_cases", ["customer_id"])
