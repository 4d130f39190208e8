"""Create all tables: who sells, who pays, what is sold, agreements, usage, billing, money in, books."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "applications",
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("source_kind", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("applied_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", name=op.f("pk_applications")),
    )
    op.create_index("ix_applications_invoice_id", "applications", ["invoice_id"], unique=False)
    op.create_index("ix_applications_source_id", "applications", ["source_id"], unique=False)
    op.create_table(
        "billing_runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("up_to", sa.Date(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_billing_runs")),
    )
    op.create_index(op.f("ix_billing_runs_changed_at"), "billing_runs", ["changed_at"], unique=False)
    op.create_table(
        "command_keys",
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_command_keys")),
    )
    op.create_table(
        "currencies",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("exponent", sa.Integer(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_currencies")),
    )
    op.create_table(
        "discount_uses",
        sa.Column("discount_id", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("discount_id", "line_id", name=op.f("pk_discount_uses")),
    )
    op.create_table(
        "discounts",
        sa.Column("discount_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("discount_ppm", sa.BigInteger(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=True),
        sa.Column("valid_start", sa.Date(), nullable=False),
        sa.Column("valid_end", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("discount_id", name=op.f("pk_discounts")),
    )
    op.create_table(
        "journal_entries",
        sa.Column("entry_id", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("source_kind", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("posted_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_journal_entries")),
    )
    op.create_index(
        "uq_journal_entries_source", "journal_entries", ["source_id", "source_kind", "event"], unique=True
    )
    op.create_table(
        "journal_lines",
        sa.Column("entry_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("debit_minor", sa.BigInteger(), nullable=False),
        sa.Column("credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "position", name=op.f("pk_journal_lines")),
    )
    op.create_table(
        "legal_entities",
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("tax_number", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("entity_id", name=op.f("pk_legal_entities")),
    )
    op.create_index(op.f("ix_legal_entities_changed_at"), "legal_entities", ["changed_at"], unique=False)
    op.create_table(
        "line_items",
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("component_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("entry", sa.String(), nullable=False),
        sa.Column("service_start", sa.Date(), nullable=False),
        sa.Column("service_end", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reference_start", sa.Date(), nullable=False),
        sa.Column("reference_end", sa.Date(), nullable=False),
        sa.Column("terms_id", sa.String(), nullable=False),
        sa.Column("price_id", sa.String(), nullable=True),
        sa.Column("quantity_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("quantity_scale", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("factor_num", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("factor_den", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_code", sa.String(), nullable=True),
        sa.Column("tax_category", sa.String(), nullable=True),
        sa.Column("tax_rate_ppm", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("policy_name", sa.String(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("reverses_line_id", sa.String(), nullable=True),
        sa.Column("description", sa.String(), server_default="", nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("net_minor = gross_minor - discount_minor", name=op.f("ck_line_items_net")),
        sa.PrimaryKeyConstraint("line_id", name=op.f("pk_line_items")),
    )
    op.create_index("ix_line_items_invoice_id", "line_items", ["invoice_id"], unique=False)
    op.create_index(
        "ix_line_items_item_id_service_end", "line_items", ["item_id", "service_end"], unique=False
    )
    op.create_index(
        "uq_line_items_obligation",
        "line_items",
        ["item_id", "component_id", "kind", "entry", "service_start", "service_end", "revision"],
        unique=True,
    )
    op.create_table(
        "meters",
        sa.Column("meter_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("aggregation", sa.String(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("is_recurring", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", name=op.f("pk_meters")),
    )
    op.create_table(
        "number_sequences",
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("entity_id", "kind", "year", name=op.f("pk_number_sequences")),
    )
    op.create_index(op.f("ix_number_sequences_changed_at"), "number_sequences", ["changed_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("sent_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["message_id"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL"),
        sqlite_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "payment_attempts",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("method_id", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("decline_class", sa.String(), nullable=True),
        sa.Column("decline_code", sa.String(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("attempted_at", Instant(), nullable=False),
        sa.Column("attempted_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "attempt", name=op.f("pk_payment_attempts")),
    )
    op.create_index(op.f("ix_payment_attempts_changed_at"), "payment_attempts", ["changed_at"], unique=False)
    op.create_table(
        "payment_terms",
        sa.Column("terms_id", sa.String(), nullable=False),
        sa.Column("net_days", sa.Integer(), nullable=False),
        sa.Column("end_of_month", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("discount_ppm", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("discount_days", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("terms_id", name=op.f("pk_payment_terms")),
    )
    op.create_table(
        "policies",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("day_count", sa.String(), nullable=False),
        sa.Column("change_day", sa.String(), nullable=False),
        sa.Column("cancel_day", sa.String(), nullable=False),
        sa.Column("rounding", sa.String(), nullable=False),
        sa.Column("part_rounding", sa.String(), nullable=False),
        sa.Column("credit_rounding", sa.String(), nullable=False),
        sa.Column("true_up_rounding", sa.String(), nullable=False),
        sa.Column("month_end", sa.String(), nullable=False),
        sa.Column("interval_anchor", sa.String(), nullable=False),
        sa.Column("trial_anchor", sa.String(), nullable=False),
        sa.Column("trial_usage", sa.String(), nullable=False),
        sa.Column("upgrade_when", sa.String(), nullable=False),
        sa.Column("downgrade_when", sa.String(), nullable=False),
        sa.Column("seat_decrease", sa.String(), nullable=False),
        sa.Column("backdated_start", sa.String(), nullable=False),
        sa.Column("usage_on_change", sa.String(), nullable=False),
        sa.Column("end_day_usage", sa.String(), nullable=False),
        sa.Column("late_usage", sa.String(), nullable=False),
        sa.Column("grace_days", sa.Integer(), nullable=False),
        sa.Column("horizon_months", sa.Integer(), nullable=False),
        sa.Column("progressive_display", sa.String(), nullable=False),
        sa.Column("credit_document", sa.String(), nullable=False),
        sa.Column("zero_invoice", sa.String(), nullable=False),
        sa.Column("discount_order", sa.String(), nullable=False),
        sa.Column("tax_scope", sa.String(), nullable=False),
        sa.Column("tax_base", sa.String(), nullable=False),
        sa.Column("tax_point", sa.String(), nullable=False),
        sa.Column("on_cancel", sa.String(), nullable=False),
        sa.Column("credit_target", sa.String(), nullable=False),
        sa.Column("suspension_billing", sa.String(), nullable=False),
        sa.Column("term_end", sa.String(), nullable=False),
        sa.Column("percentage_free", sa.String(), nullable=False),
        sa.Column("flat_fee_on_zero", sa.String(), nullable=False),
        sa.Column("pool_effect", sa.String(), nullable=False),
        sa.Column("order_multiple", sa.String(), nullable=False),
        sa.Column("campaign_gap", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_policies")),
    )
    op.create_table(
        "products",
        sa.Column("product_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tax_code", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_products")),
    )
    op.create_table(
        "rejected_inputs",
        sa.Column("reject_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("reject_id", name=op.f("pk_rejected_inputs")),
    )
    op.create_table(
        "tax_lines",
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("tax_code", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("tax_rate_ppm", sa.BigInteger(), nullable=False),
        sa.Column("base_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("line_id", "tax_code", name=op.f("pk_tax_lines")),
    )
    op.create_table(
        "tax_rates",
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("tax_code", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("tax_rate_ppm", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("country", "tax_code", "category", "valid_from", name=op.f("pk_tax_rates")),
    )
    op.create_table(
        "usage_events",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("meter_id", sa.String(), nullable=False),
        sa.Column("occurred_at", Instant(), nullable=False),
        sa.Column("occurred_on", sa.Date(), nullable=False),
        sa.Column("value_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(), nullable=True),
        sa.Column("dimension", sa.String(), nullable=True),
        sa.Column("payload_hash", sa.String(), nullable=False),
        sa.Column("unbilled_reason", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name=op.f("pk_usage_events")),
    )
    op.create_index(
        "ix_usage_events_item_id_meter_id",
        "usage_events",
        ["item_id", "meter_id", "occurred_at"],
        unique=False,
    )
    op.create_index("ix_usage_events_recorded_at", "usage_events", ["recorded_at"], unique=False)
    op.create_table(
        "usage_snapshots",
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("component_id", sa.String(), nullable=False),
        sa.Column("service_start", sa.Date(), nullable=False),
        sa.Column("service_end", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quantity_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("quantity_scale", sa.Integer(), nullable=False),
        sa.Column("last_event_seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint(
            "item_id",
            "component_id",
            "service_start",
            "service_end",
            "revision",
            name=op.f("pk_usage_snapshots"),
        ),
    )
    op.create_table(
        "accounting_periods",
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("locked_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_accounting_periods_entity_id")
        ),
        sa.PrimaryKeyConstraint("entity_id", "month", name=op.f("pk_accounting_periods")),
    )
    op.create_index(
        op.f("ix_accounting_periods_changed_at"), "accounting_periods", ["changed_at"], unique=False
    )
    op.create_table(
        "billing_chunks",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_root_id", sa.String(), nullable=False),
        sa.Column("last_root_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("customers", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("parked", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("invoices", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lines", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["billing_runs.run_id"], name=op.f("fk_billing_chunks_run_id")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_billing_chunks")),
    )
    op.create_index(op.f("ix_billing_chunks_changed_at"), "billing_chunks", ["changed_at"], unique=False)
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_on", sa.Date(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("root_id", sa.String(), nullable=False),
        sa.Column("bill_to_id", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("time_zone", sa.String(), server_default="UTC", nullable=False),
        sa.Column("locale", sa.String(), server_default="en", nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("tax_number", sa.String(), nullable=True),
        sa.Column("tax_number_confirmed_on", sa.Date(), nullable=True),
        sa.Column("group_id", sa.String(), nullable=True),
        sa.Column("terms_id", sa.String(), nullable=True),
        sa.Column("collection", sa.String(), server_default="automatic", nullable=False),
        sa.Column("policy_name", sa.String(), server_default="default", nullable=False),
        sa.Column("credit_limit_minor", sa.BigInteger(), nullable=True),
        sa.Column("hold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("next_bill_on", sa.Date(), nullable=True),
        sa.Column("parked_at", Instant(), nullable=True),
        sa.Column("parked_code", sa.String(), nullable=True),
        sa.Column("parked_detail", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bill_to_id"], ["customers.customer_id"], name=op.f("fk_customers_bill_to_id")
        ),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_customers_currency")),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_customers_entity_id")
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["customers.customer_id"], name=op.f("fk_customers_parent_id")
        ),
        sa.ForeignKeyConstraint(["root_id"], ["customers.customer_id"], name=op.f("fk_customers_root_id")),
        sa.ForeignKeyConstraint(["terms_id"], ["payment_terms.terms_id"], name=op.f("fk_customers_terms_id")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customers")),
    )
    op.create_index(op.f("ix_customers_changed_at"), "customers", ["changed_at"], unique=False)
    op.create_index(
        "ix_customers_next_bill_on",
        "customers",
        ["next_bill_on"],
        unique=False,
        postgresql_where=sa.text("parked_at IS NULL"),
        sqlite_where=sa.text("parked_at IS NULL"),
    )
    op.create_index("ix_customers_root_id", "customers", ["root_id"], unique=False)
    op.create_table(
        "plans",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("product_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=True),
        sa.Column("is_add_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["product_id"], ["products.product_id"], name=op.f("fk_plans_product_id")),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_changed_at"), "plans", ["changed_at"], unique=False)
    op.create_table(
        "price_lists",
        sa.Column("list_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("owner_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("valid_start", sa.Date(), nullable=False),
        sa.Column("valid_end", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_price_lists_currency")),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_price_lists")),
    )
    op.create_index("ix_price_lists_owner_id", "price_lists", ["owner_id"], unique=False)
    op.create_table(
        "contracts",
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("term_start", sa.Date(), nullable=False),
        sa.Column("term_end", sa.Date(), nullable=False),
        sa.Column("term", sa.String(), nullable=False),
        sa.Column("auto_renew", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("notice_days", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("notice_given_on", sa.Date(), nullable=True),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("stock_rule", sa.String(), server_default="standing", nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("term_end > term_start", name=op.f("ck_contracts_term")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_contracts_customer_id")
        ),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_contracts")),
    )
    op.create_index(op.f("ix_contracts_changed_at"), "contracts", ["changed_at"], unique=False)
    op.create_index(
        "ix_contracts_term_end",
        "contracts",
        ["term_end"],
        unique=False,
        postgresql_where=sa.text("ended_on IS NULL"),
        sqlite_where=sa.text("ended_on IS NULL"),
    )
    op.create_table(
        "credit_notes",
        sa.Column("note_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_credit_notes_currency")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_credit_notes_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_credit_notes_entity_id")
        ),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_credit_notes")),
        sa.UniqueConstraint("entity_id", "number", name=op.f("uq_credit_notes_entity_id_number")),
    )
    op.create_index("ix_credit_notes_customer_id", "credit_notes", ["customer_id"], unique=False)
    op.create_table(
        "customer_versions",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("0"), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("group_id", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_customer_versions_customer_id")
        ),
        sa.PrimaryKeyConstraint("customer_id", "valid_from", "revision", name=op.f("pk_customer_versions")),
    )
    op.create_table(
        "dunning_cases",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("track", sa.String(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("deadline_on", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("closed_as", sa.String(), nullable=True),
        sa.Column("recovered_attempt", sa.Integer(), nullable=True),
        sa.Column("recovered_days", sa.Integer(), nullable=True),
        sa.Column("recovered_minor", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_dunning_cases_currency")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_dunning_cases_customer_id")
        ),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_dunning_cases")),
    )
    op.create_index(op.f("ix_dunning_cases_changed_at"), "dunning_cases", ["changed_at"], unique=False)
    op.create_index(
        "uq_dunning_cases_open",
        "dunning_cases",
        ["customer_id", "currency", "track"],
        unique=True,
        postgresql_where=sa.text("closed_on IS NULL"),
        sqlite_where=sa.text("closed_on IS NULL"),
    )
    op.create_table(
        "invoices",
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("terms_id", sa.String(), nullable=True),
        sa.Column("method_id", sa.String(), nullable=True),
        sa.Column("collection", sa.String(), server_default="automatic", nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_on", sa.Date(), nullable=True),
        sa.Column("voided_on", sa.Date(), nullable=True),
        sa.Column("written_off_on", sa.Date(), nullable=True),
        sa.Column("written_off_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("frozen_at", Instant(), nullable=True),
        sa.Column("replaces_id", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_invoices_currency")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_invoices_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_invoices_entity_id")
        ),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("entity_id", "number", name=op.f("uq_invoices_entity_id_number")),
    )
    op.create_index(op.f("ix_invoices_changed_at"), "invoices", ["changed_at"], unique=False)
    op.create_index("ix_invoices_customer_id", "invoices", ["customer_id"], unique=False)
    op.create_index("ix_invoices_state_due_on", "invoices", ["state", "due_on"], unique=False)
    op.create_table(
        "payment_methods",
        sa.Column("method_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_payment_methods_customer_id")
        ),
        sa.PrimaryKeyConstraint("method_id", name=op.f("pk_payment_methods")),
    )
    op.create_index(op.f("ix_payment_methods_changed_at"), "payment_methods", ["changed_at"], unique=False)
    op.create_index("ix_payment_methods_customer_id", "payment_methods", ["customer_id"], unique=False)
    op.create_table(
        "plan_versions",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("in_advance", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.plan_id"], name=op.f("fk_plan_versions_plan_id")),
        sa.PrimaryKeyConstraint("plan_id", "version", name=op.f("pk_plan_versions")),
    )
    op.create_table(
        "components",
        sa.Column("component_id", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("meter_id", sa.String(), nullable=True),
        sa.Column("bundle_share_ppm", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'usage') = (meter_id is not null)", name=op.f("ck_components_meter_of_usage")
        ),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.meter_id"], name=op.f("fk_components_meter_id")),
        sa.ForeignKeyConstraint(
            ["plan_id", "plan_version"],
            ["plan_versions.plan_id", "plan_versions.version"],
            name=op.f("fk_components_plan_id_plan_version"),
        ),
        sa.PrimaryKeyConstraint("component_id", name=op.f("pk_components")),
        sa.UniqueConstraint(
            "plan_id", "plan_version", "position", name=op.f("uq_components_plan_id_plan_version_position")
        ),
    )
    op.create_table(
        "contract_terms",
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("term_start", sa.Date(), nullable=False),
        sa.Column("term_end", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contracts.contract_id"], name=op.f("fk_contract_terms_contract_id")
        ),
        sa.PrimaryKeyConstraint("contract_id", "term_start", name=op.f("pk_contract_terms")),
    )
    op.create_table(
        "credit_note_lines",
        sa.Column("note_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("service_start", sa.Date(), nullable=False),
        sa.Column("service_end", sa.Date(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["note_id"], ["credit_notes.note_id"], name=op.f("fk_credit_note_lines_note_id")
        ),
        sa.PrimaryKeyConstraint("note_id", "position", name=op.f("pk_credit_note_lines")),
    )
    op.create_index("ix_credit_note_lines_line_id", "credit_note_lines", ["line_id"], unique=False)
    op.create_table(
        "dunning_steps",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("done_at", Instant(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["dunning_cases.case_id"], name=op.f("fk_dunning_steps_case_id")
        ),
        sa.PrimaryKeyConstraint("case_id", "step", name=op.f("pk_dunning_steps")),
    )
    op.create_index(
        "ix_dunning_steps_ahead",
        "dunning_steps",
        ["due_on"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
        sqlite_where=sa.text("done_at IS NULL"),
    )
    op.create_index(op.f("ix_dunning_steps_changed_at"), "dunning_steps", ["changed_at"], unique=False)
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("method_id", sa.String(), nullable=True),
        sa.Column("gateway_ref", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", Instant(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_failed_on", sa.Date(), nullable=True),
        sa.Column("case_id", sa.String(), nullable=True),
        sa.Column("created_on", sa.Date(), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payments_amount")),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_payments_currency")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_payments_customer_id")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.invoice_id"], name=op.f("fk_payments_invoice_id")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
    )
    op.create_index(op.f("ix_payments_changed_at"), "payments", ["changed_at"], unique=False)
    op.create_index("ix_payments_customer_id", "payments", ["customer_id"], unique=False)
    op.create_index("ix_payments_invoice_id", "payments", ["invoice_id"], unique=False)
    op.create_index(
        "ix_payments_next_attempt_at",
        "payments",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=True),
        sa.Column("sold_to", sa.String(), nullable=False),
        sa.Column("bill_to", sa.String(), nullable=False),
        sa.Column("ship_to", sa.String(), nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("billing_starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("trial_ends_on", sa.Date(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("turns_on", sa.Date(), nullable=True),
        sa.Column("cancel_requested_on", sa.Date(), nullable=True),
        sa.Column("cancel_reason", sa.String(), nullable=True),
        sa.Column("was_in_dunning", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bill_to"], ["customers.customer_id"], name=op.f("fk_subscriptions_bill_to")
        ),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contracts.contract_id"], name=op.f("fk_subscriptions_contract_id")
        ),
        sa.ForeignKeyConstraint(
            ["ship_to"], ["customers.customer_id"], name=op.f("fk_subscriptions_ship_to")
        ),
        sa.ForeignKeyConstraint(
            ["sold_to"], ["customers.customer_id"], name=op.f("fk_subscriptions_sold_to")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
    )
    op.create_index("ix_subscriptions_bill_to", "subscriptions", ["bill_to"], unique=False)
    op.create_index(op.f("ix_subscriptions_changed_at"), "subscriptions", ["changed_at"], unique=False)
    op.create_index("ix_subscriptions_contract_id", "subscriptions", ["contract_id"], unique=False)
    op.create_index("ix_subscriptions_sold_to", "subscriptions", ["sold_to"], unique=False)
    op.create_index(
        "ix_subscriptions_turns_on",
        "subscriptions",
        ["turns_on"],
        unique=False,
        postgresql_where=sa.text("turns_on IS NOT NULL"),
        sqlite_where=sa.text("turns_on IS NOT NULL"),
    )
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_disputes_payment_id")),
        sa.PrimaryKeyConstraint("dispute_id", name=op.f("pk_disputes")),
    )
    op.create_index(op.f("ix_disputes_changed_at"), "disputes", ["changed_at"], unique=False)
    op.create_table(
        "items",
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("is_add_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.subscription_id"], name=op.f("fk_items_subscription_id")
        ),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_items")),
    )
    op.create_index("ix_items_customer_id", "items", ["customer_id"], unique=False)
    op.create_index("ix_items_subscription_id", "items", ["subscription_id"], unique=False)
    op.create_table(
        "prices",
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("list_id", sa.String(), nullable=False),
        sa.Column("component_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("price_mantissa", sa.BigInteger(), nullable=True),
        sa.Column("price_scale", sa.Integer(), nullable=False),
        sa.Column("package_size", sa.BigInteger(), nullable=True),
        sa.Column("free_units", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("partial_package", sa.String(), server_default="up", nullable=False),
        sa.Column("minimum_spend_minor", sa.BigInteger(), nullable=True),
        sa.Column("maximum_spend_minor", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("price_mantissa >= 0", name=op.f("ck_prices_not_negative")),
        sa.CheckConstraint("price_scale between 0 and 12", name=op.f("ck_prices_scale")),
        sa.ForeignKeyConstraint(
            ["component_id"], ["components.component_id"], name=op.f("fk_prices_component_id")
        ),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_prices_currency")),
        sa.ForeignKeyConstraint(["list_id"], ["price_lists.list_id"], name=op.f("fk_prices_list_id")),
        sa.PrimaryKeyConstraint("price_id", name=op.f("pk_prices")),
        sa.UniqueConstraint("list_id", "component_id", name=op.f("uq_prices_list_id_component_id")),
    )
    op.create_index("ix_prices_component_id", "prices", ["component_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("refunded_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_changed_at"), "refunds", ["changed_at"], unique=False)
    op.create_table(
        "item_versions",
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("effective_start", sa.Date(), nullable=False),
        sa.Column("effective_end", sa.Date(), nullable=True),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.String(), nullable=False),
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("quantity_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("quantity_scale", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("discount_ids", sa.String(), server_default="", nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("pause", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recurring_minor", sa.BigInteger(), nullable=False),
        sa.Column("committed_minimum_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("superseded_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint("effective_end > effective_start", name=op.f("ck_item_versions_period")),
        sa.CheckConstraint("quantity_mantissa >= 0", name=op.f("ck_item_versions_quantity")),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name=op.f("fk_item_versions_item_id")),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_item_versions")),
    )
    op.create_index(op.f("ix_item_versions_changed_at"), "item_versions", ["changed_at"], unique=False)
    op.create_index(
        "ix_item_versions_live",
        "item_versions",
        ["item_id", "effective_start"],
        unique=False,
        postgresql_where=sa.text("superseded_at IS NULL"),
        sqlite_where=sa.text("superseded_at IS NULL"),
    )
    op.create_table(
        "price_tiers",
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("up_to", sa.BigInteger(), nullable=True),
        sa.Column("unit_mantissa", sa.BigInteger(), nullable=False),
        sa.Column("flat_mantissa", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["price_id"], ["prices.price_id"], name=op.f("fk_price_tiers_price_id")),
        sa.PrimaryKeyConstraint("price_id", "position", name=op.f("pk_price_tiers")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        op.execute(
            "ALTER TABLE item_versions ADD CONSTRAINT ex_item_versions_overlap EXCLUDE USING gist "
            "(item_id WITH =, daterange(effective_start, effective_end) WITH &&) "
            "WHERE (superseded_at IS NULL)"
        )


def downgrade() -> None:
    for table in [
        "price_tiers",
        "item_versions",
        "refunds",
        "prices",
        "items",
        "disputes",
        "subscriptions",
        "payments",
        "dunning_steps",
        "credit_note_lines",
        "contract_terms",
        "components",
        "plan_versions",
        "payment_methods",
        "invoices",
        "dunning_cases",
        "customer_versions",
        "credit_notes",
        "contracts",
        "price_lists",
        "plans",
        "customers",
        "billing_chunks",
        "accounting_periods",
        "usage_snapshots",
        "usage_events",
        "tax_rates",
        "tax_lines",
        "rejected_inputs",
        "products",
        "policies",
        "payment_terms",
        "payment_attempts",
        "outbox",
        "number_sequences",
        "meters",
        "line_items",
        "legal_entities",
        "journal_lines",
        "journal_entries",
        "discounts",
        "discount_uses",
        "currencies",
        "command_keys",
        "billing_runs",
        "applications",
    ]:
        op.drop_table(table)
