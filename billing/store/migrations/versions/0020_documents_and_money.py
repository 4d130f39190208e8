"""Keep purchase orders, thresholds, wallets, transfers, disputes, campaigns and approvals."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "customers",
        sa.Column("requires_purchase_order", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("customers", sa.Column("campaign_id", sa.String(), nullable=True))
    op.add_column(
        "customers", sa.Column("overdue_state", sa.String(), server_default="current", nullable=False)
    )
    op.add_column(
        "contracts",
        sa.Column("deliver_despite_hold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("subscriptions", sa.Column("po_id", sa.String(), nullable=True))
    op.add_column("subscriptions", sa.Column("terms_id", sa.String(), nullable=True))
    op.add_column("subscriptions", sa.Column("method_id", sa.String(), nullable=True))
    op.add_column("subscriptions", sa.Column("consolidation_group", sa.String(), nullable=True))
    op.add_column("invoices", sa.Column("kind", sa.String(), server_default="regular", nullable=False))
    op.add_column("invoices", sa.Column("po_id", sa.String(), nullable=True))
    op.add_column("invoices", sa.Column("consolidation_group", sa.String(), nullable=True))
    op.add_column(
        "invoices",
        sa.Column("early_discount_ppm", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("invoices", sa.Column("early_discount_until", sa.Date(), nullable=True))
    op.add_column(
        "invoices", sa.Column("recovered_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("payments", sa.Column("kind", sa.String(), server_default="charge", nullable=False))
    op.add_column(
        "payments", sa.Column("reversed_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("applications", sa.Column("reverses_id", sa.String(), nullable=True))
    op.add_column("dunning_cases", sa.Column("state", sa.String(), nullable=True))
    op.create_table(
        "purchase_orders",
        sa.Column("po_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("budget_minor", sa.BigInteger(), nullable=True),
        sa.Column("valid_start", sa.Date(), nullable=False),
        sa.Column("valid_end", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("budget_minor >= 0", name=op.f("ck_purchase_orders_budget")),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_purchase_orders_currency")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_purchase_orders_customer_id")
        ),
        sa.PrimaryKeyConstraint("po_id", name=op.f("pk_purchase_orders")),
        sa.UniqueConstraint("customer_id", "number", name=op.f("uq_purchase_orders_customer_id_number")),
    )
    op.create_index("ix_purchase_orders_changed_at", "purchase_orders", ["changed_at"])
    op.create_table(
        "plan_thresholds",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("plan_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_plan_thresholds_amount")),
        sa.ForeignKeyConstraint(
            ["plan_id", "plan_version"],
            ["plan_versions.plan_id", "plan_versions.version"],
            name=op.f("fk_plan_thresholds_plan_id_plan_version"),
        ),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_plan_thresholds_currency")),
        sa.PrimaryKeyConstraint(
            "plan_id", "plan_version", "currency", "amount_minor", name=op.f("pk_plan_thresholds")
        ),
    )
    op.create_table(
        "wallets",
        sa.Column("wallet_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("low_balance_minor", sa.BigInteger(), nullable=True),
        sa.Column("top_up_minor", sa.BigInteger(), nullable=True),
        sa.Column("topped_up_on", sa.Date(), nullable=True),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_wallets_currency")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_wallets_customer_id")
        ),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_wallets")),
    )
    op.create_index("ix_wallets_changed_at", "wallets", ["changed_at"])
    op.create_index("ix_wallets_customer_id", "wallets", ["customer_id"])
    op.create_table(
        "wallet_grants",
        sa.Column("grant_id", sa.String(), nullable=False),
        sa.Column("wallet_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_paid", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("granted_on", sa.Date(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_wallet_grants_amount")),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["wallets.wallet_id"], name=op.f("fk_wallet_grants_wallet_id")
        ),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("pk_wallet_grants")),
    )
    op.create_index("ix_wallet_grants_expires_on", "wallet_grants", ["expires_on"])
    op.create_index("ix_wallet_grants_invoice_id", "wallet_grants", ["invoice_id"])
    op.create_index("ix_wallet_grants_wallet_id", "wallet_grants", ["wallet_id"])
    op.create_table(
        "wallet_movements",
        sa.Column("movement_id", sa.String(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("moved_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["wallet_grants.grant_id"], name=op.f("fk_wallet_movements_grant_id")
        ),
        sa.PrimaryKeyConstraint("movement_id", name=op.f("pk_wallet_movements")),
    )
    op.create_index("ix_wallet_movements_grant_id", "wallet_movements", ["grant_id"])
    op.create_table(
        "bank_transfers",
        sa.Column("transfer_id", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("bank_ref", sa.String(), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("payer_name", sa.String(), server_default="", nullable=False),
        sa.Column("reference", sa.String(), server_default="", nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("matched_by", sa.String(), nullable=True),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("payment_id", sa.String(), nullable=True),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_bank_transfers_amount")),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_bank_transfers_entity_id")
        ),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_bank_transfers_currency")),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_bank_transfers")),
        sa.UniqueConstraint("entity_id", "bank_ref", name=op.f("uq_bank_transfers_entity_id_bank_ref")),
    )
    op.create_index("ix_bank_transfers_changed_at", "bank_transfers", ["changed_at"])
    op.create_index("ix_bank_transfers_state", "bank_transfers", ["state"])
    op.create_table(
        "early_discounts",
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("granted_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_early_discounts")),
    )
    op.create_table(
        "invoice_disputes",
        sa.Column("dispute_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_invoice_disputes_amount")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.invoice_id"], name=op.f("fk_invoice_disputes_invoice_id")
        ),
        sa.PrimaryKeyConstraint("dispute_id", name=op.f("pk_invoice_disputes")),
    )
    op.create_index("ix_invoice_disputes_changed_at", "invoice_disputes", ["changed_at"])
    op.create_index("ix_invoice_disputes_invoice_id", "invoice_disputes", ["invoice_id"])
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("days_between", sa.Integer(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaigns")),
    )
    op.create_table(
        "campaign_thresholds",
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("threshold_minor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("threshold_minor > 0", name=op.f("ck_campaign_thresholds_threshold")),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.campaign_id"], name=op.f("fk_campaign_thresholds_campaign_id")
        ),
        sa.ForeignKeyConstraint(
            ["currency"], ["currencies.code"], name=op.f("fk_campaign_thresholds_currency")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "currency", name=op.f("pk_campaign_thresholds")),
    )
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("proposed_on", sa.Date(), nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_approvals_customer_id")
        ),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_changed_at", "approvals", ["changed_at"])
    op.create_index("ix_approvals_customer_id", "approvals", ["customer_id"])
