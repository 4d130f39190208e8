"""The tables of the billing engine: one set for SQLite and PostgreSQL.

Columns follow a few rules. Money is BIGINT in minor units and ends `_minor`. Unit prices and quantities
are a BIGINT mantissa and its scale (0.000125 is 125 at scale 6). `_on`, `_start`, `_end` are dates,
periods half-open. `_at` is a UTC instant. Ids are text made by the store's generator, except those a
caller brings (customers, plans, meters …). Every row has `recorded_at`, when the engine learned it.
Rows that may still change also have `changed_at`, moved by each write, which a reader of changes
follows. All other tables only grow.

References are declared where rows are few. The tables that grow with billing (line_items, tax_lines,
journal_lines, payment_attempts, usage_events, outbox) leave them out: both sides are written by one
function in one transaction, and a foreign key there costs more than the row itself.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from billing.core.policy import Policy

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant: TIMESTAMPTZ in PostgreSQL, sortable text of fixed width in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; instants are aware")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _id(name: str, references: str | None = None, *, optional: bool = False) -> Column[str]:
    """A text column that refers to a row elsewhere, with a foreign key when `references` names its column."""
    if references is None:
        return Column(name, String, nullable=optional)
    return Column(name, String, ForeignKey(references), nullable=optional)


def _key(name: str) -> Column[str]:
    return Column(name, String, primary_key=True)


def _text(name: str, *, optional: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, String, nullable=optional, server_default=default)


def _long(name: str, *, optional: bool = False, default: int | None = None) -> Column[int]:
    return Column(
        name, BigInteger, nullable=optional, server_default=None if default is None else text(str(default))
    )


def _count(name: str, *, optional: bool = False, default: int | None = None) -> Column[int]:
    return Column(
        name, Integer, nullable=optional, server_default=None if default is None else text(str(default))
    )


def _flag(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def _day(name: str, *, optional: bool = False, key: bool = False) -> Column[Any]:
    return Column(name, Date, primary_key=key, nullable=optional)


def _at(name: str, *, optional: bool = False) -> Column[datetime]:
    return Column(name, Instant, nullable=optional)


def _recorded() -> Column[datetime]:
    return Column("recorded_at", Instant, nullable=False)


def _changed(*, is_followed: bool = True) -> Column[datetime]:
    """When a row was written last. is_followed: the pipelines read by it what is new, by an index."""
    return Column("changed_at", Instant, nullable=False, index=is_followed)


class lowered(FunctionElement[str]):
    """A text in small letters, ordered by its signs alone on both databases, so that an index finds what
    begins with some."""

    type = String()
    name = "lowered"
    inherit_cache = True


@compiles(lowered)
def _lowered(element: lowered, compiler: SQLCompiler, **named: Any) -> str:
    return f"lower({compiler.process(element.clauses, **named)})"


@compiles(lowered, "postgresql")
def _lowered_on_postgresql(element: lowered, compiler: SQLCompiler, **named: Any) -> str:
    return f'(lower({compiler.process(element.clauses, **named)}) COLLATE "C")'


# --- who sells ---

currencies = Table("currencies", metadata, _key("code"), _count("exponent"), _recorded())

# `registration`: where and under which number it stands in a register of companies. The account is where
# customers transfer money to.
legal_entities = Table(
    "legal_entities",
    metadata,
    _key("entity_id"),
    _text("name"),
    _text("country"),
    _text("tax_number", optional=True),
    _text("registration", optional=True),
    _text("email", optional=True),
    _text("bank_name", optional=True),
    _text("iban", optional=True),
    _text("bic", optional=True),
    _recorded(),
    _changed(),
)

# Numbers are taken in the transaction that issues, so they have no gaps. `entity_id` is '' for the
# engine's own counters.
number_sequences = Table(
    "number_sequences",
    metadata,
    _key("entity_id"),
    _key("kind"),
    Column("year", Integer, primary_key=True, autoincrement=False),
    _long("next_number"),
    _recorded(),
    _changed(),
)

# --- who pays ---

payment_terms = Table(
    "payment_terms",
    metadata,
    _key("terms_id"),
    _count("net_days"),
    _flag("end_of_month"),
    _long("discount_ppm", default=0),
    _count("discount_days", default=0),
    _recorded(),
)

# `root_id` is the root of the customer's tree, `bill_to_id` who owes. `collection`: automatic (charged
# when due) or terms (the customer pays by transfer). `tax_number_confirmed_on` null: the number is not
# (yet) known to be valid. `next_bill_on` null: nothing to bill until a fact changes. `parked_at` set:
# left aside by bill runs, with its error. `unsettled_from`: what was billed of periods that end by this day
# is settled and no run looks at it again; each fact moves it back to the first day it speaks of. Null: no
# run has billed the customer yet. `requires_purchase_order`: what is billed to it needs one. `campaign_id`:
# the campaign that chases its overdue money (null: the steps of net terms). `overdue_state`: current,
# reminded, restricted, suspended, written_off: the worst of its open cases.
customers = Table(
    "customers",
    metadata,
    _key("customer_id"),
    _text("name"),
    _flag("is_test"),
    _day("created_on"),
    _id("parent_id", "customers.customer_id", optional=True),
    _id("root_id", "customers.customer_id"),
    _id("bill_to_id", "customers.customer_id"),
    _id("entity_id", "legal_entities.entity_id"),
    _id("currency", "currencies.code"),
    _text("time_zone", default="UTC"),
    _text("locale", default="en"),
    _text("country"),
    _text("tax_number", optional=True),
    _day("tax_number_confirmed_on", optional=True),
    _text("group_id", optional=True),
    _id("terms_id", "payment_terms.terms_id", optional=True),
    _text("collection", default="automatic"),
    _text("policy_name", default="default"),
    _long("credit_limit_minor", optional=True),
    _flag("hold"),
    _flag("requires_purchase_order"),
    _text("campaign_id", optional=True),
    _text("overdue_state", default="current"),
    _day("next_bill_on", optional=True),
    _day("unsettled_from", optional=True),
    _at("parked_at", optional=True),
    _text("parked_code", optional=True),
    _text("parked_detail", optional=True),
    _recorded(),
    _changed(is_followed=False),  # By an index of its own.
)
Index(
    "ix_customers_next_bill_on",
    customers.c.next_bill_on,
    postgresql_where=customers.c.parked_at.is_(None),
    sqlite_where=customers.c.parked_at.is_(None),
)
Index(
    "ix_customers_parked_at",
    customers.c.customer_id,
    postgresql_where=customers.c.parked_at.is_not(None),
    sqlite_where=customers.c.parked_at.is_not(None),
)
Index("ix_customers_changed_at", customers.c.changed_at, customers.c.customer_id)
Index("ix_customers_root_id", customers.c.root_id)
Index("ix_customers_name", lowered(customers.c.name), customers.c.customer_id)
Index(
    "ix_customers_overdue_state",
    customers.c.customer_id,
    postgresql_where=customers.c.overdue_state != "current",
    sqlite_where=customers.c.overdue_state != "current",
)

# `revision` counts the changes of one day, so a second change on a day is a row of its own; the last one
# holds.
customer_versions = Table(
    "customer_versions",
    metadata,
    Column("customer_id", String, ForeignKey("customers.customer_id"), primary_key=True),
    _day("valid_from", key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False, server_default=text("0")),
    _text("name"),
    _text("country"),
    _text("parent_id", optional=True),
    _text("group_id", optional=True),
    _text("tax_number", optional=True),
    _recorded(),
)

# Where a customer or a legal entity is, from a day on; what moved gets a new row. `role`: bill_to, ship_to or
# seller (of a legal entity). `lines`: what stands above the city, a line a row of the text.
addresses = Table(
    "addresses",
    metadata,
    _key("address_id"),
    _id("customer_id", "customers.customer_id", optional=True),
    _id("entity_id", "legal_entities.entity_id", optional=True),
    _text("role"),
    _text("lines"),
    _text("postal_code", default=""),
    _text("city"),
    _text("region", default=""),
    _text("country"),
    _day("valid_from"),
    _recorded(),
    CheckConstraint("(customer_id is null) <> (entity_id is null)", name="owner"),
)
Index("ix_addresses_customer_id", addresses.c.customer_id)
Index("ix_addresses_entity_id", addresses.c.entity_id)

# People at a customer. `role`: what they are asked about, such as billing.
contacts = Table(
    "contacts",
    metadata,
    _key("contact_id"),
    _id("customer_id", "customers.customer_id"),
    _text("role"),
    _text("name"),
    _text("email", optional=True),
    _text("locale", optional=True),
    _at("removed_at", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_contacts_customer_id", contacts.c.customer_id)
Index("ix_contacts_email", func.lower(contacts.c.email))

# What a customer may be billed for, up to `budget_minor` before tax (null: no bound).
purchase_orders = Table(
    "purchase_orders",
    metadata,
    _key("po_id"),
    _id("customer_id", "customers.customer_id"),
    _text("number"),
    _id("currency", "currencies.code"),
    _long("budget_minor", optional=True),
    _day("valid_start"),
    _day("valid_end", optional=True),
    _recorded(),
    _changed(),
    UniqueConstraint("customer_id", "number"),
    CheckConstraint("budget_minor >= 0", name="budget"),
)

# --- what is sold ---

products = Table(
    "products", metadata, _key("product_id"), _text("name"), _text("tax_code"), _text("category"), _recorded()
)

# Goods. `minimum_quantity` and `order_multiple` are whole base units, 0 for none.
skus = Table(
    "skus",
    metadata,
    _key("sku_id"),
    _id("product_id", "products.product_id"),
    _text("name"),
    _text("base_unit"),
    _long("minimum_quantity", default=0),
    _long("order_multiple", default=0),
    _id("successor_sku_id", "skus.sku_id", optional=True),
    _recorded(),
    CheckConstraint("minimum_quantity >= 0 and order_multiple >= 0", name="order"),
)

# `factor`: the whole base units a unit holds; the base unit itself has 1.
unit_conversions = Table(
    "unit_conversions",
    metadata,
    Column("sku_id", String, ForeignKey("skus.sku_id"), primary_key=True),
    _key("unit"),
    _long("factor"),
    _recorded(),
    CheckConstraint("factor >= 1", name="factor"),
)

# `aggregation`: sum, count, max, latest, unique_count, weighted_sum. `scale`: decimals of the quantities this
# meter counts, 0 to 12. `is_recurring`: the level at the end of a period opens the next. `grain`: the time a
# weighted_sum counts in, second or hour.
meters = Table(
    "meters",
    metadata,
    _key("meter_id"),
    _text("name"),
    _text("aggregation"),
    _count("scale"),
    _text("unit"),
    _flag("is_recurring"),
    _text("grain", default="second"),
    _recorded(),
)

plans = Table(
    "plans",
    metadata,
    _key("plan_id"),
    _id("product_id", "products.product_id"),
    _text("name"),
    _text("tier", optional=True),
    _flag("is_add_on"),
    _recorded(),
    _changed(),
)

# `interval` is an ISO duration of one unit: P1M, P3M, P1Y, P2W, P30D. A published version never changes.
plan_versions = Table(
    "plan_versions",
    metadata,
    Column("plan_id", String, ForeignKey("plans.plan_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _text("interval"),
    _flag("in_advance", default=True),
    _recorded(),
)

# `kind`: fee (once per item), seat (per unit of the item's quantity), usage (per unit of its meter, in
# arrears). `bundle_id`: the component whose price covers this one; a bundle's own component names itself
# and is billed as its members, each by its `bundle_share_ppm`.
components = Table(
    "components",
    metadata,
    _key("component_id"),
    _text("plan_id"),
    _count("plan_version"),
    _count("position"),
    _text("name"),
    _text("kind"),
    _id("meter_id", "meters.meter_id", optional=True),
    _text("sku_id", optional=True),
    _text("bundle_id", optional=True),
    _long("bundle_share_ppm", optional=True),
    _recorded(),
    ForeignKeyConstraint(["plan_id", "plan_version"], ["plan_versions.plan_id", "plan_versions.version"]),
    UniqueConstraint("plan_id", "plan_version", "position"),
    CheckConstraint("(kind = 'usage') = (meter_id is not null)", name="meter_of_usage"),
)

# Usage of a period is billed early once it reaches one of these amounts (before tax).
plan_thresholds = Table(
    "plan_thresholds",
    metadata,
    _key("plan_id"),
    Column("plan_version", Integer, primary_key=True, autoincrement=False),
    Column("currency", String, ForeignKey("currencies.code"), primary_key=True),
    Column("amount_minor", BigInteger, primary_key=True, autoincrement=False),
    _recorded(),
    ForeignKeyConstraint(["plan_id", "plan_version"], ["plan_versions.plan_id", "plan_versions.version"]),
    CheckConstraint("amount_minor > 0", name="amount"),
)

# `level`: contract, customer, group, list or pool; `owner_id` the contract, customer, group or clause, null
# for a general list.
price_lists = Table(
    "price_lists",
    metadata,
    _key("list_id"),
    _text("name"),
    _text("level"),
    _text("owner_id", optional=True),
    _id("currency", "currencies.code"),
    _day("valid_start"),
    _day("valid_end", optional=True),
    _recorded(),
)
Index("ix_price_lists_owner_id", price_lists.c.owner_id)

# `model`: one of core.pricing.MODELS. Mantissas are at `price_scale`, in major units of the list's currency;
# `price_mantissa` is null for models of tiers, and for percentage the rate as a share (2.99 % is 0.0299), as
# the units of graduated_percentage are. `package_size` and `free_units` are whole units; `partial_package`:
# up, down; `block_policy`: all_tiers, top_tier. A minimum or maximum of null is none.
# `quantity_from`: the quantity of the item, in whole units, from which the price is offered; a list may have
# several prices of a component by it. `window_unit`: hour, day or month, each committed to
# at least `window_commitment_mantissa` (`window_true_up`), what exceeds it costing `overage_factor_ppm` times
# the price. `prorate` day: a unit costs the days it is present. `is_ahead`: the level is paid in advance.
prices = Table(
    "prices",
    metadata,
    _key("price_id"),
    _id("list_id", "price_lists.list_id"),
    _id("component_id", "components.component_id"),
    _text("model"),
    _id("currency", "currencies.code"),
    _long("price_mantissa", optional=True),
    _count("price_scale"),
    _long("package_size", optional=True),
    _long("free_units", default=0),
    _text("partial_package", default="up"),
    _text("block_policy", default="all_tiers"),
    _long("fee_mantissa", optional=True),
    _long("free_events", optional=True),
    _long("free_amount_mantissa", optional=True),
    _long("min_per_event_mantissa", optional=True),
    _long("max_per_event_mantissa", optional=True),
    _long("minimum_spend_minor", optional=True),
    _long("maximum_spend_minor", optional=True),
    _long("quantity_from", default=0),
    _text("window_unit", optional=True),
    _long("window_commitment_mantissa", optional=True),
    _long("overage_factor_ppm", default=1_000_000),
    _flag("window_true_up", default=True),
    _text("prorate", default="none"),
    _flag("is_ahead"),
    _recorded(),
    UniqueConstraint("list_id", "component_id", "quantity_from"),
    CheckConstraint("price_mantissa >= 0", name="not_negative"),
    CheckConstraint("price_scale between 0 and 12", name="scale"),
)
Index("ix_prices_component_id", prices.c.component_id)

# `up_to` in whole units, inclusive, rising; only the last is null. Mantissas are at the price's scale. Blocks
# have `block_size` whole units and `max_blocks` (null for the last) instead of a bound.
price_tiers = Table(
    "price_tiers",
    metadata,
    Column("price_id", String, ForeignKey("prices.price_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _long("up_to", optional=True),
    _long("unit_mantissa"),
    _long("flat_mantissa", default=0),
    _long("block_size", optional=True),
    _long("max_blocks", optional=True),
    _recorded(),
)

# Which price each component of a version has (`lost_by` null), and why each other price it might have had
# lost (core.choice.Reason). Versions on the same prices for the same reasons share a choice, so there are
# few: `choice_id` is a hash of the rows.
price_choices = Table(
    "price_choices",
    metadata,
    _key("choice_id"),
    Column("component_id", String, ForeignKey("components.component_id"), primary_key=True),
    _key("price_id"),
    _text("lost_by", optional=True),
    _recorded(),
)

# --- agreements ---

# The running term. `term` is the ISO duration a renewal adds. `notice_given_on`: the customer will not
# renew; `renewal_accepted_on`: they will, though the contract does not renew by itself. `ended_on`: it was
# not renewed. `pause_extends_term`: days the customer pauses move the end; `agreed_end`: where it lay before.
# `substitutes_agreed_on`: since when the customer takes the successors of goods that run short.
contracts = Table(
    "contracts",
    metadata,
    _key("contract_id"),
    _id("customer_id", "customers.customer_id"),
    _day("term_start"),
    _day("term_end"),
    _text("term"),
    _flag("auto_renew", default=True),
    _count("notice_days", default=60),
    _day("notice_given_on", optional=True),
    _day("renewal_accepted_on", optional=True),
    _flag("pause_extends_term"),
    _day("agreed_end", optional=True),
    _day("ended_on", optional=True),
    _day("substitutes_agreed_on", optional=True),
    _flag("deliver_despite_hold"),
    _recorded(),
    _changed(),
    CheckConstraint("term_end > term_start", name="term"),
)
Index("ix_contracts_customer_id", contracts.c.customer_id)
Index(
    "ix_contracts_term_end",
    contracts.c.term_end,
    postgresql_where=contracts.c.ended_on.is_(None),
    sqlite_where=contracts.c.ended_on.is_(None),
)

# What decides about goods that run short (core.stock.RULES), for the deliveries due from a day on; standing
# before the first. `revision` counts the rules set for one day; the last holds.
contract_stock_rules = Table(
    "contract_stock_rules",
    metadata,
    Column("contract_id", String, ForeignKey("contracts.contract_id"), primary_key=True),
    _day("valid_from", key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False, server_default=text("0")),
    _text("rule"),
    _recorded(),
)

# Every term a contract has had, the running one included; with it the term of any past day can be told.
# `accepted_on`: when the customer agreed to this renewal, null for the first and where it renews by itself.
contract_terms = Table(
    "contract_terms",
    metadata,
    Column("contract_id", String, ForeignKey("contracts.contract_id"), primary_key=True),
    _day("term_start", key=True),
    _day("term_end"),
    _day("accepted_on", optional=True),
    _recorded(),
)

# The reminders of the end of a term that were sent: `days` before it.
renewal_reminders = Table(
    "renewal_reminders",
    metadata,
    Column("contract_id", String, ForeignKey("contracts.contract_id"), primary_key=True),
    _day("term_start", key=True),
    Column("days", Integer, primary_key=True, autoincrement=False),
    _day("sent_on"),
    _recorded(),
)

# A value of an index for a month; a later `published_on` revises it.
index_values = Table(
    "index_values",
    metadata,
    _key("index_id"),
    _day("month", key=True),
    _day("published_on", key=True),
    _long("value_mantissa"),
    _count("value_scale"),
    _recorded(),
    CheckConstraint("value_mantissa > 0", name="value"),
)

# `kind`: index or pool. index: its prices follow an index: from `first_on`, each `interval`, by the value of
# `lag_months` before, within floor and cap (shares of the price before, null for none), written `notice_days`
# ahead. pool: what the customers of the contract's tree take counts together, in years (`interval`) counted
# from the contract's start; the periods that end after `first_on` are priced by the pool.
contract_clauses = Table(
    "contract_clauses",
    metadata,
    _key("clause_id"),
    _id("contract_id", "contracts.contract_id"),
    _text("kind"),
    _text("index_id", optional=True),
    _long("base_value_mantissa", optional=True),
    _count("base_value_scale", optional=True),
    _long("floor_ppm", optional=True),
    _long("cap_ppm", optional=True),
    _day("first_on"),
    _text("interval"),
    _count("lag_months", optional=True),
    _count("notice_days", optional=True),
    _recorded(),
    CheckConstraint("base_value_mantissa > 0", name="base"),
    CheckConstraint("kind <> 'index' or base_value_mantissa is not null", name="index"),
)
Index("ix_contract_clauses_contract_id", contract_clauses.c.contract_id)

# What a pool counts. `kind`: component, or sku (its components, whichever plan sells them).
pool_members = Table(
    "pool_members",
    metadata,
    Column("clause_id", String, ForeignKey("contract_clauses.clause_id"), primary_key=True),
    _key("kind"),
    _key("member_id"),
    _recorded(),
)

# The prices of a pool by its volume. `up_to` in whole units, inclusive, rising; only the last is null.
pool_tiers = Table(
    "pool_tiers",
    metadata,
    Column("clause_id", String, ForeignKey("contract_clauses.clause_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _long("up_to", optional=True),
    _id("price_id", "prices.price_id"),
    _recorded(),
)

# Where a price that follows an index comes from: the step (its day by the clause, and the day it acts), the
# price agreed at the base value, and the value used.
index_prices = Table(
    "index_prices",
    metadata,
    Column("price_id", String, ForeignKey("prices.price_id"), primary_key=True),
    _id("clause_id", "contract_clauses.clause_id"),
    _day("step_on"),
    _day("acts_on"),
    _text("base_price_id"),
    _day("month"),
    _day("published_on"),
    _recorded(),
)
Index("ix_index_prices_clause_id", index_prices.c.clause_id)

# `status` is derived from the facts (core.subscription.status) and stored as of the last write;
# `turns_on` is the next day on which time alone may change it. `cancel_requested_on`: the day the end was
# asked for; `on_cancel`: credit, refund or none, null for what the policy says; `ends_on`: the first day
# without service. Versions of items are not cut at `ends_on`: read both. What differs in `po_id` (a purchase
# order), `terms_id` (payment terms, null: the payer's), `method_id` (null: the payer's default) or
# `consolidation_group` (a word the payer chose) is invoiced apart.
subscriptions = Table(
    "subscriptions",
    metadata,
    _key("subscription_id"),
    _id("contract_id", "contracts.contract_id", optional=True),
    _id("sold_to", "customers.customer_id"),
    _id("bill_to", "customers.customer_id"),
    _id("ship_to", "customers.customer_id"),
    _day("anchor_on"),
    _day("starts_on"),
    _day("billing_starts_on"),
    _day("ends_on", optional=True),
    _day("trial_ends_on", optional=True),
    _text("status"),
    _day("turns_on", optional=True),
    _day("cancel_requested_on", optional=True),
    _text("cancel_reason", optional=True),
    _text("on_cancel", optional=True),
    _flag("was_in_dunning"),
    _text("po_id", optional=True),
    _text("terms_id", optional=True),
    _text("method_id", optional=True),
    _text("consolidation_group", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_subscriptions_sold_to", subscriptions.c.sold_to)
Index("ix_subscriptions_bill_to", subscriptions.c.bill_to)
Index("ix_subscriptions_contract_id", subscriptions.c.contract_id)
Index("ix_subscriptions_status", subscriptions.c.status, subscriptions.c.subscription_id)
Index(
    "ix_subscriptions_turns_on",
    subscriptions.c.turns_on,
    postgresql_where=subscriptions.c.turns_on.is_not(None),
    sqlite_where=subscriptions.c.turns_on.is_not(None),
)

# One subscribed plan or add-on. `customer_id` is the subscription's sold_to, which never changes. A
# subscription holds its end alone. When it comes back with new items, those that had ended keep how:
# `ended_on`, `end_requested_on`, `end_reason`, `on_cancel` (as there), and whether a contract's term ended.
items = Table(
    "items",
    metadata,
    _key("item_id"),
    _id("subscription_id", "subscriptions.subscription_id"),
    _text("customer_id"),
    _flag("is_add_on"),
    _day("ended_on", optional=True),
    _day("end_requested_on", optional=True),
    _text("end_reason", optional=True),
    _text("on_cancel", optional=True),
    _flag("ended_with_term"),
    _recorded(),
)
Index("ix_items_subscription_id", items.c.subscription_id)
Index("ix_items_customer_id", items.c.customer_id)

# Dated facts about an item. Live versions (superseded_at null) of an item never overlap; a gap is no
# service. `choice_id` tells the price of each component of its plan version. `price_id` is the price of the
# first fee or seat component (else of the first component), `list_id` the list it stands in. `anchor_on`:
# the date this version's periods are counted from. `phase`: trial, or paid_trial or regular, which are
# billed. `pause`: null while running, else who paused: customer or overdue.
# `ordered_*`: what was ordered of goods, in its unit; `quantity_*` are the base units it comes to.
# `discount_ids`: ids joined by commas, '' for none. `reason`: subscribe, trial_end, upgrade, downgrade,
# interval, quantity, add_on, remove, pause, overdue, resume, renewal, price, ramp, commitment, reactivate,
# end. A superseded version says nothing any more; its time is told by those that follow.
item_versions = Table(
    "item_versions",
    metadata,
    _key("version_id"),
    _id("item_id", "items.item_id"),
    _day("effective_start"),
    _day("effective_end", optional=True),
    _text("plan_id"),
    _count("plan_version"),
    _text("list_id"),
    _text("price_id"),
    _text("choice_id", default=""),
    _long("quantity_mantissa"),
    _count("quantity_scale", default=0),
    _long("ordered_mantissa", optional=True),
    _count("ordered_scale", optional=True),
    _text("ordered_unit", optional=True),
    _text("discount_ids", default=""),
    _day("anchor_on"),
    _text("phase"),
    _text("pause", optional=True),
    _text("reason"),
    _long("recurring_minor"),
    _long("committed_minimum_minor", default=0),
    _at("superseded_at", optional=True),
    _recorded(),
    _changed(),
    CheckConstraint("effective_end > effective_start", name="period"),
    CheckConstraint("quantity_mantissa >= 0", name="quantity"),
)
Index(
    "ix_item_versions_live",
    item_versions.c.item_id,
    item_versions.c.effective_start,
    postgresql_where=item_versions.c.superseded_at.is_(None),
    sqlite_where=item_versions.c.superseded_at.is_(None),
)
Index(
    "ix_item_versions_plan_id",
    item_versions.c.plan_id,
    item_versions.c.item_id,
    postgresql_where=item_versions.c.superseded_at.is_(None),
    sqlite_where=item_versions.c.superseded_at.is_(None),
)

# One column a setting (docs/billing.md lists values and defaults). The version with the latest valid_from
# holds.
policies = Table(
    "policies",
    metadata,
    _key("name"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _day("valid_from"),
    *(
        _count(setting.name) if isinstance(setting.default, int) else _text(setting.name)
        for setting in fields(Policy)
    ),
    _recorded(),
)

# --- usage ---

# `occurred_on` is the day in the customer's zone, so that usage is summed by day in the database.
# `value_mantissa` is at the meter's scale. `seq` is the order of arrival. `unbilled_reason`: why nothing
# bills the event. before_horizon and late hold for good; before_start, after_end, no_service, not_sold and
# trial say that its day lies outside of service, and go when service comes to it.
usage_events = Table(
    "usage_events",
    metadata,
    _key("source"),
    _key("event_id"),
    _text("customer_id"),
    _text("item_id"),
    _text("meter_id"),
    _at("occurred_at"),
    _day("occurred_on"),
    _long("value_mantissa"),
    _text("operation", optional=True),
    _text("dimension", optional=True),
    _text("payload_hash"),
    _text("unbilled_reason", optional=True),
    _long("seq"),
    _recorded(),
)
Index(
    "ix_usage_events_item_id_meter_id",
    usage_events.c.item_id,
    usage_events.c.meter_id,
    usage_events.c.occurred_at,
)
Index("ix_usage_events_recorded_at", usage_events.c.recorded_at)
Index(
    "ix_usage_events_customer_id",
    usage_events.c.customer_id,
    postgresql_where=usage_events.c.unbilled_reason.is_not(None),
    sqlite_where=usage_events.c.unbilled_reason.is_not(None),
)

# The quantity of a period that is compared by amount, of usage or of goods: taken when its line is posted,
# or, with `frozen_at`, before that, while its invoice is a draft.
usage_snapshots = Table(
    "usage_snapshots",
    metadata,
    _key("item_id"),
    _key("component_id"),
    _day("service_start", key=True),
    _day("service_end", key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _long("quantity_mantissa"),
    _count("quantity_scale"),
    _long("last_event_seq"),
    _at("frozen_at", optional=True),
    _recorded(),
)

# Charges that come once, added to an item by hand. One with `removed_at` is owed no more.
one_time_charges = Table(
    "one_time_charges",
    metadata,
    _key("charge_id"),
    _id("item_id", "items.item_id"),
    _day("charged_on"),
    _text("description"),
    _long("amount_minor"),
    _at("removed_at", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_one_time_charges_item_id", one_time_charges.c.item_id)

# --- stock ---

# Goods ordered from the stock, one row a period of an item (core.stock): its id is the key the stock knows it
# by. `service_start`: the day it was due; `open_until`: the day its backorder ends. `rule` as on that day.
# The quantity moves where a change dated back moves what was ordered; `most_mantissa`, at the same scale, is
# the most it ever was, for so much may have left the stock. `closed_on` null: more may come, or go back.
stock_orders = Table(
    "stock_orders",
    metadata,
    _key("order_id"),
    _id("item_id", "items.item_id"),
    _text("component_id"),
    _text("sku_id"),
    _day("service_start"),
    _day("open_until"),
    _day("reference_start"),
    _day("reference_end"),
    _text("rule"),
    _long("quantity_mantissa"),
    _count("quantity_scale"),
    _long("most_mantissa", default=0),
    _day("closed_on", optional=True),
    _recorded(),
    _changed(),
    UniqueConstraint("item_id", "component_id", "reference_start"),
)
Index(
    "ix_stock_orders_open",
    stock_orders.c.item_id,
    postgresql_where=stock_orders.c.closed_on.is_(None),
    sqlite_where=stock_orders.c.closed_on.is_(None),
)

# What became of an order. `kind`: allocated, substituted (by the successor `sku_id`), short (allocated, but
# it did not arrive), released (given up, `reason` says why), skipped. Sums count: what is put back is below
# 0. `price_id`: the price a substitute has of its own.
stock_allocations = Table(
    "stock_allocations",
    metadata,
    _key("order_id"),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _text("kind"),
    _text("sku_id"),
    _long("quantity_mantissa"),
    _count("quantity_scale"),
    _day("allocated_on"),
    _text("reason", optional=True),
    _text("price_id", optional=True),
    _recorded(),
)

# --- billing ---

# `mode`: bill or preview. `state`: running, done, failed (by an error), interrupted (its process is gone).
billing_runs = Table(
    "billing_runs",
    metadata,
    _key("run_id"),
    _day("up_to"),
    _text("mode"),
    _text("state"),
    _at("started_at"),
    _at("finished_at", optional=True),
    _recorded(),
    _changed(),
)

billing_chunks = Table(
    "billing_chunks",
    metadata,
    Column("run_id", String, ForeignKey("billing_runs.run_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _text("first_root_id"),
    _text("last_root_id"),
    _text("state"),
    _count("customers", default=0),
    _count("parked", default=0),
    _count("invoices", default=0),
    _count("lines", default=0),
    _recorded(),
    _changed(),
)

# What a run did not issue: `customer_id` would pay it. `code`: po_missing, po_expired, po_exhausted. Nothing
# of it was posted, so it is still owed, and the next run tries again.
held_documents = Table(
    "held_documents",
    metadata,
    _key("held_id"),
    _id("run_id", "billing_runs.run_id"),
    _id("customer_id", "customers.customer_id"),
    _text("entity_id"),
    _id("currency"),
    _text("po_id", optional=True),
    _text("code"),
    _long("net_minor"),
    _recorded(),
)
Index("ix_held_documents_run_id", held_documents.c.run_id)

# `state`: draft, open, paid, void, uncollectible. `collection`: automatic or terms, taken from the
# customer at issue. What is still owed = total_minor less the applications, 0 once void or uncollectible.
# `number` is null while draft. `kind`: regular, threshold (usage billed early) or top_up (of a wallet).
# `early_discount_ppm`: what may be kept back of it when it is paid by `early_discount_until`. `replaces_id`:
# the void invoice it stands for. `written_off_minor`: what was open when it became uncollectible,
# `recovered_minor`: what came in after that.
invoices = Table(
    "invoices",
    metadata,
    _key("invoice_id"),
    _text("number", optional=True),
    _id("entity_id", "legal_entities.entity_id"),
    _id("customer_id", "customers.customer_id"),
    _id("currency", "currencies.code"),
    _text("terms_id", optional=True),
    _text("method_id", optional=True),
    _text("collection", default="automatic"),
    _text("state"),
    _day("issued_on", optional=True),
    _day("due_on", optional=True),
    _long("net_minor"),
    _long("tax_minor"),
    _long("total_minor"),
    _day("paid_on", optional=True),
    _day("voided_on", optional=True),
    _day("written_off_on", optional=True),
    _long("written_off_minor", default=0),
    _at("frozen_at", optional=True),
    _text("replaces_id", optional=True),
    _text("run_id", optional=True),
    _text("kind", default="regular"),
    _text("po_id", optional=True),
    _text("consolidation_group", optional=True),
    _long("early_discount_ppm", default=0),
    _day("early_discount_until", optional=True),
    _long("recovered_minor", default=0),
    _recorded(),
    _changed(),
    UniqueConstraint("entity_id", "number"),
)
Index("ix_invoices_state_due_on", invoices.c.state, invoices.c.due_on)
Index("ix_invoices_customer_id", invoices.c.customer_id)
Index("ix_invoices_issued_on", invoices.c.issued_on, invoices.c.invoice_id)
Index(
    "ix_invoices_po_id",
    invoices.c.po_id,
    postgresql_where=invoices.c.po_id.is_not(None),
    sqlite_where=invoices.c.po_id.is_not(None),
)

# `kind`: recurring, usage, true_up, rebate, one_time, goods, or top_up (of a wallet, without item). `entry`:
# charge or credit; a credit has negative amounts. `reverses_line_id`: the charge a credit takes back, or a
# rebate relates to. The seven columns of the unique key are the obligation. `terms_id` is the hash of the
# terms the line was priced on (not payment terms), of a rebate its pool. `currency` is the invoice's.
# Amounts: net = gross - discount, of which `document_discount_minor` is the part of its document's discounts.
line_items = Table(
    "line_items",
    metadata,
    _key("line_id"),
    _text("invoice_id"),
    _text("customer_id"),
    _text("item_id", optional=True),
    _text("component_id", optional=True),
    _text("kind"),
    _text("entry"),
    _day("service_start"),
    _day("service_end"),
    _count("revision", default=0),
    _day("reference_start"),
    _day("reference_end"),
    _text("terms_id"),
    _text("price_id", optional=True),
    _long("quantity_mantissa"),
    _count("quantity_scale", default=0),
    _long("factor_num", default=1),
    _long("factor_den", default=1),
    _text("currency"),
    _long("gross_minor"),
    _long("discount_minor", default=0),
    _long("document_discount_minor", default=0),
    _long("net_minor"),
    _long("tax_minor"),
    _text("tax_code", optional=True),
    _text("tax_category", optional=True),
    _long("tax_rate_ppm", default=0),
    _text("policy_name"),
    _count("policy_version"),
    _text("reverses_line_id", optional=True),
    _text("description", default=""),
    Column("explanation", Text),
    _recorded(),
    Index(
        "uq_line_items_obligation",
        "item_id",
        "component_id",
        "kind",
        "entry",
        "service_start",
        "service_end",
        "revision",
        unique=True,
    ),
    CheckConstraint("net_minor = gross_minor - discount_minor", name="net"),
)
Index("ix_line_items_item_id_reference_end", line_items.c.item_id, line_items.c.reference_end)
Index("ix_line_items_invoice_id", line_items.c.invoice_id)

credit_notes = Table(
    "credit_notes",
    metadata,
    _key("note_id"),
    _text("number", optional=True),
    _id("entity_id", "legal_entities.entity_id"),
    _id("customer_id", "customers.customer_id"),
    _text("invoice_id", optional=True),
    _id("currency", "currencies.code"),
    _text("reason"),
    _day("issued_on"),
    _long("net_minor"),
    _long("tax_minor"),
    _long("total_minor"),
    _text("run_id", optional=True),
    _recorded(),
    UniqueConstraint("entity_id", "number"),
)
Index("ix_credit_notes_customer_id", credit_notes.c.customer_id)

# Positive sizes. `line_id` is the invoice line that is credited. `kind`: null for time or usage taken back by
# a run, adjustment for an amount taken off by hand (of no time, so that it is not billed anew), void for what
# was left of a line of a void invoice (below 0 for its credits), or rebate, whose `line_id` is the one the
# rebate of its pool relates to. `document_discount_minor`: what the credit would be more without the
# document discounts of that line.
credit_note_lines = Table(
    "credit_note_lines",
    metadata,
    Column("note_id", String, ForeignKey("credit_notes.note_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _text("line_id"),
    _text("kind", optional=True),
    _day("service_start"),
    _day("service_end"),
    _long("net_minor"),
    _long("tax_minor"),
    _long("document_discount_minor", default=0),
    _recorded(),
)
Index("ix_credit_note_lines_line_id", credit_note_lines.c.line_id)

# Exactly one of `discount_ppm` and `amount_minor` (with `currency`). `times`: null = forever. `scope`:
# item, document.
discounts = Table(
    "discounts",
    metadata,
    _key("discount_id"),
    _text("name"),
    _text("scope"),
    _long("discount_ppm", optional=True),
    _long("amount_minor", optional=True),
    _text("currency", optional=True),
    _count("times", optional=True),
    _day("valid_start"),
    _day("valid_end", optional=True),
    _recorded(),
)

# Discounts of documents that a payer has: they act on what is issued to it in [valid_start, valid_end).
customer_discounts = Table(
    "customer_discounts",
    metadata,
    Column("customer_id", String, ForeignKey("customers.customer_id"), primary_key=True),
    Column("discount_id", String, ForeignKey("discounts.discount_id"), primary_key=True),
    _day("valid_start", key=True),
    _day("valid_end", optional=True),
    _recorded(),
    _changed(),
)

discount_uses = Table(
    "discount_uses",
    metadata,
    _key("discount_id"),
    _key("line_id"),
    _long("amount_minor"),
    _recorded(),
)

# `category`: standard, reduced, zero.
tax_rates = Table(
    "tax_rates",
    metadata,
    _key("country"),
    _key("tax_code"),
    _key("category"),
    _day("valid_from", key=True),
    _long("tax_rate_ppm"),
    _recorded(),
)

# `category`: standard, reduced, zero, reverse_charge, export, outside_scope.
tax_lines = Table(
    "tax_lines",
    metadata,
    _key("line_id"),
    _key("tax_code"),
    _text("category"),
    _text("country"),
    _long("tax_rate_ppm"),
    _long("base_minor"),
    _long("tax_minor"),
    _recorded(),
)

# --- prepaid credit ---

# Wallets are drawn in the order of `priority`. Below `low_balance_minor` one invoice a day tops it up by
# `top_up_minor`; `topped_up_on`: the day of the last. `product_id`: what a top-up is taxed as.
wallets = Table(
    "wallets",
    metadata,
    _key("wallet_id"),
    _id("customer_id", "customers.customer_id"),
    _id("currency", "currencies.code"),
    _text("name"),
    _count("priority", default=0),
    _text("product_id", optional=True),
    _long("low_balance_minor", optional=True),
    _long("top_up_minor", optional=True),
    _day("topped_up_on", optional=True),
    _day("closed_on", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_wallets_customer_id", wallets.c.customer_id)

# `is_paid`: bought by `invoice_id` (usable once that is paid), else given away. `expires_on`: the first day
# on which it can't be used.
wallet_grants = Table(
    "wallet_grants",
    metadata,
    _key("grant_id"),
    _id("wallet_id", "wallets.wallet_id"),
    _long("amount_minor"),
    _flag("is_paid"),
    _text("invoice_id", optional=True),
    _day("granted_on"),
    _day("expires_on", optional=True),
    _text("reason", default=""),
    _recorded(),
    CheckConstraint("amount_minor > 0", name="amount"),
)
Index("ix_wallet_grants_wallet_id", wallet_grants.c.wallet_id)
Index("ix_wallet_grants_invoice_id", wallet_grants.c.invoice_id)
Index("ix_wallet_grants_expires_on", wallet_grants.c.expires_on)

# What was taken from a grant. `kind`: draw (paid a part of `invoice_id`), expiry, revoked (the invoice that
# bought it was voided), returned (below 0: a draw undone).
wallet_movements = Table(
    "wallet_movements",
    metadata,
    _key("movement_id"),
    _id("grant_id", "wallet_grants.grant_id"),
    _text("kind"),
    _long("amount_minor"),
    _text("invoice_id", optional=True),
    _day("moved_on"),
    _recorded(),
)
Index("ix_wallet_movements_grant_id", wallet_movements.c.grant_id)

# --- money in ---

# `kind`: card, direct_debit. One default a customer: the one valid now with is_default.
# `label`: what the customer knows it by, as the gateway tells it, such as Visa •• 4242.
payment_methods = Table(
    "payment_methods",
    metadata,
    _key("method_id"),
    _id("customer_id", "customers.customer_id"),
    _text("kind"),
    _text("gateway_ref"),
    _day("expires_on", optional=True),
    _flag("is_default", default=True),
    _day("valid_from"),
    _day("valid_to", optional=True),
    _text("label", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_payment_methods_customer_id", payment_methods.c.customer_id)

# A customer adds a way to pay on a page of the gateway's. `token_hash`: of what the gateway calls the visit.
# `state`: open (until `expires_at`) or done (it became `method_id`).
method_setups = Table(
    "method_setups",
    metadata,
    _key("setup_id"),
    _id("customer_id", "customers.customer_id"),
    _text("token_hash"),
    _text("state"),
    _text("method_id", optional=True),
    _at("expires_at"),
    _recorded(),
    _changed(),
)
Index("ix_method_setups_customer_id", method_setups.c.customer_id)

# `state`: pending (an attempt is due, under way, or its outcome is not known yet), failed (waits for a retry
# or for the customer), captured, canceled (no further attempts). `attempt`: the last number used.
# `next_attempt_at`: when the next one is due, null for none. `failures` and `first_failed_on` count within
# the running dunning case. `received_on`: the day it was captured. `fee_minor`: what the gateway keeps.
# `kind`: charge (through the gateway), transfer (came in at the bank) or recovery (for a debt that was
# written off, and is no credit). `reversed_minor`: what the bank took back of it by disputes that are open or
# lost. What of a payment is applied to no invoice, refunded or reversed is credit of the customer; `is_spent`
# where nothing is, so that nobody adds it up again. What undoes an application or a refund takes that back.
# `transfer_id`: the bank transfer it came by; a wrong match is undone on `undone_on` (state canceled).
payments = Table(
    "payments",
    metadata,
    _key("payment_id"),
    _id("customer_id", "customers.customer_id"),
    _id("invoice_id", "invoices.invoice_id", optional=True),
    _id("currency", "currencies.code"),
    _long("amount_minor"),
    _long("fee_minor", default=0),
    _text("method_id", optional=True),
    _text("gateway_ref", optional=True),
    _text("state"),
    _count("attempt", default=0),
    _at("next_attempt_at", optional=True),
    _count("failures", default=0),
    _day("first_failed_on", optional=True),
    _text("case_id", optional=True),
    _day("created_on"),
    _day("received_on", optional=True),
    _text("kind", default="charge"),
    _long("reversed_minor", default=0),
    _flag("is_spent"),
    _text("transfer_id", optional=True),
    _day("undone_on", optional=True),
    _recorded(),
    _changed(),
    CheckConstraint("amount_minor > 0", name="amount"),
)
Index(
    "ix_payments_unspent",
    payments.c.customer_id,
    postgresql_where=payments.c.is_spent.is_(False),
    sqlite_where=payments.c.is_spent.is_(False),
)
Index(
    "ix_payments_next_attempt_at",
    payments.c.next_attempt_at,
    postgresql_where=payments.c.next_attempt_at.is_not(None),
    sqlite_where=payments.c.next_attempt_at.is_not(None),
)
Index("ix_payments_invoice_id", payments.c.invoice_id)
Index(
    "ix_payments_case_id",
    payments.c.case_id,
    postgresql_where=payments.c.case_id.is_not(None),
    sqlite_where=payments.c.case_id.is_not(None),
)
Index("ix_payments_customer_id", payments.c.customer_id)
Index("ix_payments_state", payments.c.state, payments.c.payment_id)

# `outcome`: captured, declined, unknown, undone (a transfer that was matched wrongly). `decline_class`: soft,
# hard, customer_action, technical. A technical failure or an unknown outcome is tried again under the same
# number and key: `tries` counts, and the row keeps the last answer. `amount_minor`: what was asked for.
payment_attempts = Table(
    "payment_attempts",
    metadata,
    _key("payment_id"),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _text("method_id", optional=True),
    _text("outcome"),
    _text("decline_class", optional=True),
    _text("decline_code", optional=True),
    _count("tries", default=1),
    _long("amount_minor", optional=True),
    _at("attempted_at"),
    _day("attempted_on"),
    _recorded(),
    _changed(),
)

# Attempts of payments that the customer asked for, beside the schedule: one that fails leaves that as it was.
# `resumes_at`: when the next one of the schedule is due, null for none.
asked_attempts = Table(
    "asked_attempts",
    metadata,
    _key("payment_id"),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _at("resumes_at", optional=True),
    _recorded(),
)

# Money on its way back through the payment that brought it, out of the credit of a note, or (`note_id` null)
# out of what this payment paid too much. `state`: requested
# (until it is known what became of it; `next_attempt_at`: when the gateway is asked, null for a transfer made
# by hand), refunded (`refunded_on`), failed (the money stays credit).
refunds = Table(
    "refunds",
    metadata,
    _key("refund_id"),
    _id("payment_id", "payments.payment_id"),
    _id("note_id", "credit_notes.note_id", optional=True),
    _long("amount_minor"),
    _text("gateway_ref", optional=True),
    _text("state"),
    _count("tries", default=0),
    _text("decline_code", optional=True),
    _at("next_attempt_at", optional=True),
    _day("requested_on"),
    _day("refunded_on", optional=True),
    _recorded(),
    _changed(),
    CheckConstraint("amount_minor > 0", name="amount"),
)
Index("ix_refunds_payment_id", refunds.c.payment_id)
Index("ix_refunds_note_id", refunds.c.note_id)
Index(
    "ix_refunds_next_attempt_at",
    refunds.c.next_attempt_at,
    postgresql_where=refunds.c.next_attempt_at.is_not(None),
    sqlite_where=refunds.c.next_attempt_at.is_not(None),
)

# The customer had a payment disputed at their bank, which took the money back when it was opened. `outcome`:
# won (it came again) or lost. `gateway_ref`: the gateway's name of it.
disputes = Table(
    "disputes",
    metadata,
    _key("dispute_id"),
    _id("payment_id", "payments.payment_id"),
    _long("amount_minor"),
    _day("opened_on"),
    _day("closed_on", optional=True),
    _text("outcome", optional=True),
    _text("gateway_ref", optional=True),
    _recorded(),
    _changed(),
    Index("uq_disputes_gateway_ref", "gateway_ref", unique=True),
)
Index("ix_disputes_payment_id", disputes.c.payment_id)

# What a gateway paid out to the bank of what it collected, less what it kept. One that is told twice counts
# once: `gateway_ref` is the gateway's own.
payouts = Table(
    "payouts",
    metadata,
    _key("payout_id"),
    _id("entity_id", "legal_entities.entity_id"),
    _text("gateway_ref"),
    _id("currency", "currencies.code"),
    _long("amount_minor"),
    _long("fee_minor", default=0),
    _day("received_on"),
    _recorded(),
    UniqueConstraint("entity_id", "gateway_ref"),
)

# What pays an invoice. `source_kind`: payment, credit_note, wallet (the grant) or early_discount (the invoice
# itself). Undone by a row with the negative amount that names it in `reverses_id`.
applications = Table(
    "applications",
    metadata,
    _key("application_id"),
    _text("source_kind"),
    _text("source_id"),
    _text("invoice_id"),
    _long("amount_minor"),
    _day("applied_on"),
    _text("reverses_id", optional=True),
    _recorded(),
)
Index("ix_applications_invoice_id", applications.c.invoice_id)
Index("ix_applications_source_id", applications.c.source_id)

# Money as it came in at the bank. `state`: matched (it became `payment_id`, and payments of kind recovery),
# unmatched, returned (to who sent it). `matched_by`: reference, amount or hand; of one that is unmatched:
# only a person matches it again. `closed_on`: the day the books have it matched or returned. A file that is
# read twice counts once: `bank_ref` is the bank's own.
bank_transfers = Table(
    "bank_transfers",
    metadata,
    _key("transfer_id"),
    _id("entity_id", "legal_entities.entity_id"),
    _text("bank_ref"),
    _day("received_on"),
    _long("amount_minor"),
    _id("currency", "currencies.code"),
    _text("payer_name", default=""),
    _text("reference", default=""),
    _text("state"),
    _text("matched_by", optional=True),
    _text("customer_id", optional=True),
    _text("payment_id", optional=True),
    _day("closed_on", optional=True),
    _recorded(),
    _changed(),
    UniqueConstraint("entity_id", "bank_ref"),
    CheckConstraint("amount_minor > 0", name="amount"),
)
Index("ix_bank_transfers_state", bank_transfers.c.state)

# What an invoice that was paid early did not cost, by the application that stands for it; undone with
# negative amounts.
early_discounts = Table(
    "early_discounts",
    metadata,
    _key("application_id"),
    _text("invoice_id"),
    _text("payment_id"),
    _long("net_minor"),
    _long("tax_minor"),
    _day("granted_on"),
    _recorded(),
)
Index("ix_early_discounts_invoice_id", early_discounts.c.invoice_id)

# What of an invoice became uncollectible; below 0 where that was taken back (`reverses_id`).
write_offs = Table(
    "write_offs",
    metadata,
    _key("write_off_id"),
    _id("invoice_id", "invoices.invoice_id"),
    _long("amount_minor"),
    _text("reason", default=""),
    _day("written_off_on"),
    _text("reverses_id", optional=True),
    _recorded(),
)
Index("ix_write_offs_invoice_id", write_offs.c.invoice_id)

# The customer disputes (a line of) an invoice: while it is open, that part is not chased. `outcome`: accepted
# (a credit note follows) or rejected.
invoice_disputes = Table(
    "invoice_disputes",
    metadata,
    _key("dispute_id"),
    _id("invoice_id", "invoices.invoice_id"),
    _text("line_id", optional=True),
    _long("amount_minor"),
    _text("reason", default=""),
    _day("opened_on"),
    _day("closed_on", optional=True),
    _text("outcome", optional=True),
    _recorded(),
    _changed(),
    CheckConstraint("amount_minor > 0", name="amount"),
)
Index("ix_invoice_disputes_invoice_id", invoice_disputes.c.invoice_id)

# A campaign chases, customer by customer and currency by currency, what is overdue beyond a threshold.
campaigns = Table(
    "campaigns",
    metadata,
    _key("campaign_id"),
    _text("name"),
    _count("max_attempts"),
    _count("days_between"),
    _recorded(),
)
campaign_thresholds = Table(
    "campaign_thresholds",
    metadata,
    Column("campaign_id", String, ForeignKey("campaigns.campaign_id"), primary_key=True),
    Column("currency", String, ForeignKey("currencies.code"), primary_key=True),
    _long("threshold_minor"),
    _recorded(),
    CheckConstraint("threshold_minor > 0", name="threshold"),
)

# What waits for a person's word. `kind`: order (above the credit limit, `subject_id` null), collection and
# write_off (of a dunning case). `details`: a JSON object with the figures, of an order also the act to carry
# out. `state`: pending, approved, rejected, withdrawn (its case closed before).
approvals = Table(
    "approvals",
    metadata,
    _key("approval_id"),
    _text("kind"),
    _id("customer_id", "customers.customer_id"),
    _text("subject_id", optional=True),
    Column("details", Text, nullable=False),
    _text("state"),
    _day("proposed_on"),
    _day("decided_on", optional=True),
    _text("decided_by", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_approvals_customer_id", approvals.c.customer_id)
Index("ix_approvals_state", approvals.c.state, approvals.c.approval_id)

# `track`: card (retries), terms (reminders) or campaign. `closed_as`: recovered, canceled_for_payment,
# canceled_by_customer, written_off, disputed, credited (nothing came in: it was credited or voided); of net
# terms also on_time (it never came in late) and replaced (by a case of the other track). The `recovered_`
# columns say what brought the money back: attempt (of net terms the number of messages), days since opening,
# amount. `state`: how far a case of net terms has come, as in customers.overdue_state; `deadline_on` is then
# the day its write-off is proposed.
dunning_cases = Table(
    "dunning_cases",
    metadata,
    _key("case_id"),
    _id("customer_id", "customers.customer_id"),
    _id("currency", "currencies.code"),
    _text("track"),
    _day("opened_on"),
    _day("deadline_on"),
    _day("closed_on", optional=True),
    _text("closed_as", optional=True),
    _count("recovered_attempt", optional=True),
    _count("recovered_days", optional=True),
    _long("recovered_minor", optional=True),
    _text("state", optional=True),
    _recorded(),
    _changed(),
)
Index("ix_dunning_cases_customer_id", dunning_cases.c.customer_id)
Index(
    "uq_dunning_cases_open",
    dunning_cases.c.customer_id,
    dunning_cases.c.currency,
    dunning_cases.c.track,
    unique=True,
    postgresql_where=dunning_cases.c.closed_on.is_(None),
    sqlite_where=dunning_cases.c.closed_on.is_(None),
)

# Steps are written when they become known; `done_at` null: still ahead. `kind`: attempt (of `payment_id`),
# message (the customer is asked to act), or of net terms courtesy, reminder_1, reminder_2, reminder_3,
# final_notice, collection, write_off, or campaign. `outcome`: captured, declined, unknown, sent, skipped (the
# case ended before, or a later message went out in its place), proposed (to an approver).
dunning_steps = Table(
    "dunning_steps",
    metadata,
    Column("case_id", String, ForeignKey("dunning_cases.case_id"), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    _text("kind"),
    _text("payment_id", optional=True),
    _day("due_on"),
    _at("done_at", optional=True),
    _text("outcome", optional=True),
    _recorded(),
    _changed(),
)

Index(
    "ix_dunning_steps_ahead",
    dunning_steps.c.due_on,
    postgresql_where=dunning_steps.c.done_at.is_(None),
    sqlite_where=dunning_steps.c.done_at.is_(None),
)

# --- books ---

# One entry per document and event. `source_kind`: invoice, credit_note, payment, application, refund …
journal_entries = Table(
    "journal_entries",
    metadata,
    _key("entry_id"),
    _text("entity_id"),
    _text("source_kind"),
    _text("source_id"),
    _text("event"),
    _day("posted_on"),
    _recorded(),
    Index("uq_journal_entries_source", "source_id", "source_kind", "event", unique=True),
)

# Each entry balances per currency. One of debit and credit is 0, neither is negative.
journal_lines = Table(
    "journal_lines",
    metadata,
    _key("entry_id"),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _text("account"),
    _text("customer_id", optional=True),
    _text("invoice_id", optional=True),
    _text("currency"),
    _long("debit_minor"),
    _long("credit_minor"),
    _recorded(),
)

# `month` is its first day. Posting into a month with locked_at is refused.
accounting_periods = Table(
    "accounting_periods",
    metadata,
    Column("entity_id", String, ForeignKey("legal_entities.entity_id"), primary_key=True),
    _day("month", key=True),
    _at("locked_at", optional=True),
    _recorded(),
    _changed(),
)

# --- messages and refusals ---

# One row per change, in its transaction. `subject_id` is what changed; `payload` a JSON object as text;
# `sent_at`: when a receiver took it.
outbox = Table(
    "outbox",
    metadata,
    _key("message_id"),
    _text("topic"),
    _text("subject_id"),
    Column("payload", Text, nullable=False),
    _at("sent_at", optional=True),
    _at("sequenced_at", optional=True),
    _recorded(),
)
for _name, _mark in (("unsent", outbox.c.sent_at), ("unsequenced", outbox.c.sequenced_at)):
    Index(
        f"ix_outbox_{_name}",
        outbox.c.recorded_at,
        outbox.c.message_id,
        postgresql_where=_mark.is_(None),
        sqlite_where=_mark.is_(None),
    )

# The messages of the outbox in one order, by numbers that rise (a number may be left out). `lane`: what they
# keep their order within, such as a subscription. `recorded_at` is that of the message.
events = Table(
    "events",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", String, nullable=False, unique=True),
    _text("topic"),
    _text("subject_id"),
    _id("customer_id", optional=True),
    _text("lane"),
    _recorded(),
)
Index("ix_events_recorded_at", events.c.recorded_at, events.c.sequence)
for _name in ("customer_id", "subject_id", "topic"):
    Index(f"ix_events_{_name}", events.c[_name], events.c.sequence)

# Addresses that events are sent to. `topics`: `*`, or topics and `thing.*` with spaces between.
# `customer_id`: only events of that customer. `state`: enabled, paused, disabled, removed; `state_reason`:
# why it is disabled, or that an enabled one is failing. `is_moved`: its deliveries changed under the worker,
# which looks anew which of each lane comes next.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    _key("endpoint_id"),
    _text("owner"),
    _text("url"),
    Column("topics", Text, nullable=False),
    _id("customer_id", "customers.customer_id", optional=True),
    _day("version"),
    _text("state"),
    _text("state_reason", optional=True),
    _long("from_sequence"),
    _flag("is_moved"),
    _at("last_success_at", optional=True),
    _at("last_failure_at", optional=True),
    _at("failing_since", optional=True),
    _count("consecutive_failures", default=0),
    _recorded(),
    Column("changed_at", Instant, nullable=False),
)

# What deliveries are signed with, sealed. Several hold at once while one takes over from another.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    _key("secret_id"),
    _id("endpoint_id", "webhook_endpoints.endpoint_id"),
    Column("sealed", Text, nullable=False),
    _at("valid_from_at"),
    _at("ends_at", optional=True),
    _recorded(),
)
Index("ix_webhook_secrets_endpoint_id", webhook_secrets.c.endpoint_id)

# An event for an endpoint. `state`: waiting, delivered, dead. `next_attempt_at`: set of the first that waits
# in its lane alone. `attempts`: made in all; `failures`: since it was sent first, or sent again by hand.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    _key("endpoint_id"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _text("lane"),
    _text("state"),
    _count("attempts", default=0),
    _count("failures", default=0),
    _at("next_attempt_at", optional=True),
    _at("first_attempt_at", optional=True),
    _at("done_at", optional=True),
    _flag("is_replay"),
    _recorded(),
    Column("changed_at", Instant, nullable=False),
)
Index(
    "ix_webhook_deliveries_next_attempt_at",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.next_attempt_at,
    webhook_deliveries.c.sequence,
    postgresql_where=webhook_deliveries.c.next_attempt_at.is_not(None),
    sqlite_where=webhook_deliveries.c.next_attempt_at.is_not(None),
)
Index(
    "ix_webhook_deliveries_waiting",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.lane,
    webhook_deliveries.c.sequence,
    postgresql_where=text("state = 'waiting'"),
    sqlite_where=text("state = 'waiting'"),
)
Index(
    "ix_webhook_deliveries_state",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.state,
    webhook_deliveries.c.sequence,
)

# One request each. `status`: what HTTP answered; `error`: the kind of failure where it did not.
webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    _key("endpoint_id"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _at("attempted_at"),
    _count("status", optional=True),
    _text("error", optional=True),
    _count("ms"),
    Column("answer_head", Text, nullable=True),
    _text("secret_id", optional=True),
    _recorded(),
)
Index(
    "ix_webhook_attempts_attempted_at",
    webhook_attempts.c.endpoint_id,
    webhook_attempts.c.attempted_at,
)

rejected_inputs = Table(
    "rejected_inputs",
    metadata,
    _key("reject_id"),
    _text("source"),
    _text("code"),
    Column("detail", Text, nullable=False),
    Column("payload", Text, nullable=False),
    _recorded(),
)

# Refused inputs that came to a good end since: they were sent again by `retry_rejected`.
resolved_inputs = Table(
    "resolved_inputs",
    metadata,
    _key("reject_id"),
    _recorded(),
)

# Who did what. `happened_at`: the instant given to the act or job. `outcome`: done, refused, held (it waits
# for a person's word; the subject is the approval), failed (a job that broke off). `code`: why it is not so.
# `arguments`: JSON, without secrets. `request_id`: of the request over HTTP that asked for it.
audit_log = Table(
    "audit_log",
    metadata,
    _key("entry_id"),
    _at("happened_at"),
    _text("actor"),
    _text("act"),
    _text("outcome"),
    _text("code", optional=True),
    _text("subject_id", optional=True),
    _id("customer_id", optional=True),
    Column("arguments", Text, nullable=False),
    _text("request_id", optional=True),
    _recorded(),
)
Index("ix_audit_log_happened_at", audit_log.c.happened_at, audit_log.c.entry_id)
for _name in ("actor", "act", "subject_id", "customer_id"):
    Index(f"ix_audit_log_{_name}", audit_log.c[_name], audit_log.c.happened_at, audit_log.c.entry_id)

command_keys = Table(
    "command_keys",
    metadata,
    _key("caller"),
    _key("key"),
    _text("request_hash"),
    Column("response", Text, nullable=False),
    _recorded(),
)

# --- customers who serve themselves ---

# People of a customer who sign in. `role`: buyer (orders), approver (agrees to orders of others too), viewer.
# `limit_minor`: the largest cost, in the customer's currency, that one orders alone; null for any. `state`:
# invited (has not signed in yet), active, removed.
portal_users = Table(
    "portal_users",
    metadata,
    _key("user_id"),
    _id("customer_id", "customers.customer_id"),
    _text("email"),
    _text("name"),
    _text("role"),
    _flag("is_account_admin"),
    _flag("sees_children"),
    _long("limit_minor", optional=True),
    _text("locale", optional=True),
    _text("state"),
    _recorded(),
    _at("changed_at"),
    UniqueConstraint("customer_id", "email"),
)
Index("ix_portal_users_email", portal_users.c.email)

# Ways in, each for one use. `token_hash`: sha256 of what the link carries. `kind`: session (the merchant's
# server made it), mail (somebody asked for it), invite. `task`, `target`: the only thing it opens, if any.
portal_links = Table(
    "portal_links",
    metadata,
    _key("link_id"),
    _text("token_hash"),
    _id("user_id", "portal_users.user_id", optional=True),
    _id("customer_id", "customers.customer_id"),
    _text("kind"),
    _text("task", optional=True),
    _text("target", optional=True),
    _text("made_by"),
    _at("expires_at"),
    _at("used_at", optional=True),
    _recorded(),
    UniqueConstraint("token_hash"),
)
Index("ix_portal_links_user_id", portal_links.c.user_id, portal_links.c.recorded_at)
Index("ix_portal_links_expires_at", portal_links.c.expires_at)

# `token_hash`: sha256 of what the browser holds. `csrf_seed`: what the tokens of forms are made from.
# `seen_at`: moved at most once in some minutes.
portal_sessions = Table(
    "portal_sessions",
    metadata,
    _key("session_id"),
    _text("token_hash"),
    _id("user_id", "portal_users.user_id", optional=True),
    _id("customer_id", "customers.customer_id"),
    _text("task", optional=True),
    _text("target", optional=True),
    _at("started_at"),
    _at("seen_at"),
    _at("expires_at"),
    _at("ended_at", optional=True),
    _text("csrf_seed"),
    _recorded(),
    _at("changed_at"),
    UniqueConstraint("token_hash"),
)
Index("ix_portal_sessions_user_id", portal_sessions.c.user_id)
Index("ix_portal_sessions_expires_at", portal_sessions.c.expires_at)

# Which tasks customers find open: a row a task that was decided on; the others are open. `settings`: JSON.
portal_settings = Table(
    "portal_settings",
    metadata,
    _key("name"),
    _flag("is_open", default=True),
    Column("settings", Text, nullable=False),
    _recorded(),
    _at("changed_at"),
)

# Orders that wait for an approver of the customer's own. `arguments`: of the act, as JSON keeps them.
# `due_now_minor`: what a bill run would post at once; `yearly_minor`: by how much a year costs more.
# `preview_hash`: of the figures that were shown. `state`: pending, approved, rejected, withdrawn, failed
# (`code` says why). `approval_id`: the merchant's word that the order waits for then.
purchase_requests = Table(
    "purchase_requests",
    metadata,
    _key("request_id"),
    _id("customer_id", "customers.customer_id"),
    _id("asked_by", "portal_users.user_id"),
    _text("act"),
    Column("arguments", Text, nullable=False),
    _long("due_now_minor"),
    _long("yearly_minor"),
    _id("currency", "currencies.code"),
    _text("state"),
    _text("code", optional=True),
    _text("decided_by", optional=True),
    _at("decided_at", optional=True),
    _text("approval_id", optional=True),
    _text("preview_hash"),
    _recorded(),
    _at("changed_at"),
)
Index(
    "ix_purchase_requests_customer_id",
    purchase_requests.c.customer_id,
    purchase_requests.c.state,
    purchase_requests.c.request_id,
)

# --- requests over HTTP ---

# Who may call. Of the key itself only `key_hash` is kept (SHA-256), and its beginning, by which it is found.
# `owner`: whose it is, the same after a key took its place. `scopes`: as `customers:read`, with spaces
# between. `customer_id`: it sees this customer and those below alone. `version`: the day whose form of the
# interface it gets. `last_used_on`: written once a day.
api_keys = Table(
    "api_keys",
    metadata,
    _key("key_id"),
    _text("owner"),
    _text("name"),
    _text("prefix"),
    _text("key_hash"),
    Column("scopes", Text, nullable=False),
    _id("customer_id", "customers.customer_id", optional=True),
    _day("version"),
    _text("created_by"),
    _at("expires_at", optional=True),
    _at("revoked_at", optional=True),
    _day("last_used_on", optional=True),
    _recorded(),
    _changed(is_followed=False),
    UniqueConstraint("prefix"),
)

# What a request with an idempotency key was answered, to be said again. A row without `status` lives only in
# the transaction of the request that is at work. `headers`: JSON.
api_replies = Table(
    "api_replies",
    metadata,
    _key("caller"),
    _key("key"),
    _text("request_hash"),
    _count("status", optional=True),
    Column("headers", Text, nullable=True),
    Column("body", Text, nullable=True),
    _recorded(),
)
Index("ix_api_replies_recorded_at", api_replies.c.recorded_at)

# Every request, also those that were refused. `caller_kind`: key, user, staff, nobody. `route`: its template,
# without what was asked for. `happened_at`: by the clock of the machine. `ms`: how long it took.
api_calls = Table(
    "api_calls",
    metadata,
    _key("call_id"),
    _text("request_id"),
    _at("happened_at"),
    _text("caller_kind"),
    _text("caller_id", optional=True),
    _text("method"),
    _text("route"),
    _count("status"),
    _text("code", optional=True),
    _text("subject_id", optional=True),
    _id("customer_id", optional=True),
    _long("bytes_in"),
    _long("bytes_out"),
    _count("ms"),
    _recorded(),
)
Index("ix_api_calls_happened_at", api_calls.c.happened_at, api_calls.c.call_id)
Index("ix_api_calls_caller_id", api_calls.c.caller_id, api_calls.c.happened_at, api_calls.c.call_id)

# The one row, where a database has a clock of its own: the time it is there, and the one it is on its way to.
test_clock = Table(
    "test_clock",
    metadata,
    _key("clock_id"),
    _at("now_at"),
    _at("target_at", optional=True),
    _recorded(),
    _changed(is_followed=False),
)
