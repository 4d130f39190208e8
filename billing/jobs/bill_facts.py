"""What a bill run reads: the statements of its facts, and usage summed by the database.

One row set a statement, whatever the number of customers. What the rows mean is decided in core.invoicing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache, reduce
from operator import add
from typing import Any

import polars as pl
from sqlalchemy import (
    Date,
    Label,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.types import UserDefinedType

from billing.core.invoicing import Catalogue, PolicyKey, PolicyVersion
from billing.core.policy import Policy
from billing.store.debts import OPEN_MINOR
from billing.store.store import Store
from billing.store.tables import (
    components,
    contracts,
    credit_note_lines,
    customers,
    discounts,
    invoices,
    item_versions,
    items,
    legal_entities,
    line_items,
    meters,
    payment_terms,
    payments,
    plan_thresholds,
    plan_versions,
    plans,
    policies,
    price_choices,
    price_tiers,
    prices,
    products,
    subscriptions,
    tax_lines,
    usage_snapshots,
)


def read_by_ids(
    store: Store,
    statement: Select[Any],
    column: Any,
    ids: Sequence[str],
    values: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """The rows whose column is among some ids, however many. They come as one value, so a statement never
    changes and is compiled once. Where there are no ids nothing is asked."""
    if len(ids) == 0:
        return store.no_rows(statement)
    given = json.dumps(list(ids)) if store.is_sqlite else _array(ids)
    return store.frame(_by_ids(statement, column, store.is_sqlite), {"ids": given, **(values or {})})


_HELD = select(customers.c.customer_id).order_by(customers.c.customer_id).with_for_update(of=customers)


def hold_customers(store: Store, ids: Collection[str]) -> None:
    """Hold customers until the transaction ends, in the order of their ids, so that nobody else spends their
    credit or takes back of them meanwhile (PostgreSQL; SQLite has one writer). What depends on it is read
    after."""
    if ids and not store.is_sqlite:
        read_by_ids(store, _HELD, customers.c.customer_id, sorted(set(ids)))


class _TextArray(UserDefinedType[str]):
    """Text that PostgreSQL reads as an array and knows when it plans."""

    render_bind_cast = True
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TEXT[]"


def _array(ids: Sequence[str]) -> str:
    """The text of a PostgreSQL array, which the driver would write from a list far more slowly."""
    escaped = (one.replace("\\", "\\\\").replace('"', '\\"') for one in ids)
    return '{"' + '","'.join(escaped) + '"}' if ids else "{}"


@lru_cache(maxsize=256)
def _by_ids(statement: Select[Any], column: Any, is_sqlite: bool) -> Select[Any]:
    if is_sqlite:
        document = func.json_each(bindparam("ids", type_=Text)).table_valued("value", name="given")
        return statement.where(column.in_(select(document.c.value)))
    return statement.where(column == func.any(bindparam("ids", type_=_TextArray())))


# Who is due.

_IS_DUE = and_(customers.c.next_bill_on <= bindparam("up_to"), customers.c.parked_at.is_(None))
DUE_ROOTS = select(customers.c.root_id).where(_IS_DUE).distinct().order_by(customers.c.root_id)
"""The trees of customers in which somebody is due, in the order of their ids."""
DUE_COUNT = select(func.count(customers.c.root_id.distinct()).label("roots")).where(_IS_DUE)
MEMBERS = select(
    customers.c.customer_id,
    customers.c.root_id,
    customers.c.policy_name,
    customers.c.time_zone,
    customers.c.next_bill_on,
    customers.c.unsettled_from,
)


# Reading: the facts of a chunk.

_IS_TERM_END = and_(
    contracts.c.contract_id == subscriptions.c.contract_id, contracts.c.term_end == subscriptions.c.ends_on
)
_HAD_ENDED = items.c.ended_on.is_not(None)
"""The item ended before its subscription came back with others: it has an end of its own."""


def _end(of_item: Any, of_subscription: Any) -> Any:
    return case((_HAD_ENDED, of_item), else_=of_subscription)


APART = ("po_id", "terms_id", "method_id", "consolidation_group")
SEPARATOR = "\x1f"
_apart = [subscriptions.c[name] for name in APART]
INVOICED_APART = case(
    (func.coalesce(*_apart).is_(None), None),
    else_=reduce(add, (part for one in _apart for part in (literal(SEPARATOR), func.coalesce(one, "")))),
).label("invoiced_apart")
"""What of a subscription is invoiced apart, as one text that begins with a separator; null for most."""


_ENDS_ON = func.coalesce(items.c.ended_on, subscriptions.c.ends_on)
_END_REASON = _end(items.c.end_reason, subscriptions.c.cancel_reason)
_VERSIONS = (
    select(
        items.c.item_id,
        items.c.customer_id,
        items.c.subscription_id,
        subscriptions.c.bill_to,
        subscriptions.c.ship_to,
        subscriptions.c.billing_starts_on,
        _ENDS_ON.label("ends_on"),
        case(
            (
                and_(
                    _end(items.c.end_requested_on, subscriptions.c.cancel_requested_on) == _ENDS_ON,
                    _END_REASON != "term_ended",
                ),
                _ENDS_ON,
            )
        ).label("canceled_on"),
        case(
            (_HAD_ENDED, items.c.ended_with_term),
            else_=contracts.c.contract_id.is_not(None),
        ).label("is_term_end"),
        items.c.is_add_on,
        item_versions.c.plan_id,
        item_versions.c.plan_version,
        item_versions.c.effective_start,
        # Versions of an item that had ended are cut there, and its own end says what the cut means.
        case(
            (item_versions.c.effective_end >= items.c.ended_on, None), else_=item_versions.c.effective_end
        ).label("effective_end"),
        item_versions.c.phase,
        item_versions.c.pause,
        item_versions.c.anchor_on,
        item_versions.c.quantity_mantissa,
        item_versions.c.quantity_scale,
        item_versions.c.discount_ids,
        item_versions.c.recurring_minor,
        item_versions.c.choice_id,
        item_versions.c.committed_minimum_minor,
        customers.c.currency,
        INVOICED_APART,
    )
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(
        item_versions,
        and_(item_versions.c.item_id == items.c.item_id, item_versions.c.superseded_at.is_(None)),
    )
    .outerjoin(contracts, _IS_TERM_END)
)
_OFFERS = (
    select(
        components.c.plan_id,
        components.c.plan_version,
        plan_versions.c.interval,
        plan_versions.c.in_advance,
        plans.c.name.label("plan_name"),
        products.c.tax_code,
        products.c.category.label("product_category"),
        components.c.component_id,
        components.c.kind,
        components.c.position,
        components.c.name.label("component_name"),
        components.c.meter_id,
        meters.c.aggregation,
        meters.c.scale.label("meter_scale"),
        meters.c.is_recurring,
        meters.c.grain,
        func.coalesce(components.c.bundle_id, components.c.component_id).label("priced_id"),
        exists()
        .where(
            plan_thresholds.c.plan_id == components.c.plan_id,
            plan_thresholds.c.plan_version == components.c.plan_version,
        )
        .label("has_thresholds"),
    )
    .join(
        plan_versions,
        and_(
            plan_versions.c.plan_id == components.c.plan_id,
            plan_versions.c.version == components.c.plan_version,
        ),
    )
    .join(plans, plans.c.plan_id == components.c.plan_id)
    .join(products, products.c.product_id == plans.c.product_id)
    .outerjoin(meters, meters.c.meter_id == components.c.meter_id)
    # A bundle is billed as the components it covers.
    .where(or_(components.c.bundle_id.is_(None), components.c.bundle_id != components.c.component_id))
)
_CHOSEN = (
    select(
        price_choices.c.choice_id,
        price_choices.c.component_id.label("priced_id"),
        prices.c.price_id,
        prices.c.currency.label("price_currency"),
        prices.c.model.label("price_model"),
        prices.c.minimum_spend_minor,
        prices.c.maximum_spend_minor,
        prices.c.window_unit,
        prices.c.prorate,
        prices.c.is_ahead,
    )
    .join(prices, prices.c.price_id == price_choices.c.price_id)
    .where(price_choices.c.lost_by.is_(None))
)
_BUNDLES = (
    select(
        prices.c.price_id,
        components.c.component_id.label("member_id"),
        components.c.position,
        components.c.bundle_share_ppm,
    )
    .join(components, components.c.bundle_id == prices.c.component_id)
    .where(components.c.component_id != components.c.bundle_id)
)

_FLOOR = case(
    (customers.c.unsettled_from > bindparam("horizon"), customers.c.unsettled_from),
    else_=bindparam("horizon", type_=Date),
)
"""Periods that end by this day are settled: a run looks at what reaches beyond it."""


def _before_document(of: Table) -> Label[int]:
    """The net of a line before the discounts of its document: what is compared with what is owed."""
    return (of.c.net_minor + of.c.document_discount_minor).label("net_minor")


_BILLED = (
    select(
        line_items.c.line_id,
        items.c.customer_id,
        line_items.c.item_id,
        line_items.c.component_id,
        line_items.c.kind,
        line_items.c.entry,
        line_items.c.service_start,
        line_items.c.service_end,
        line_items.c.revision,
        line_items.c.reference_start,
        line_items.c.reference_end,
        line_items.c.terms_id,
        line_items.c.reverses_line_id,
        line_items.c.gross_minor,
        _before_document(line_items),
        line_items.c.tax_minor,
        line_items.c.document_discount_minor,
    )
    .join(items, items.c.item_id == line_items.c.item_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
)
_NOTED = (
    select(
        credit_note_lines.c.line_id,
        credit_note_lines.c.kind,
        line_items.c.invoice_id,
        items.c.customer_id,
        line_items.c.reference_end,
        line_items.c.item_id,
        line_items.c.component_id,
        credit_note_lines.c.service_start,
        credit_note_lines.c.service_end,
        # A note knows no discount of the item: what it takes back counts as its gross too.
        _before_document(credit_note_lines).label("gross_minor"),
        _before_document(credit_note_lines),
        credit_note_lines.c.tax_minor,
        credit_note_lines.c.document_discount_minor,
    )
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .join(items, items.c.item_id == line_items.c.item_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
)
BILLED, NOTED = (one.where(line_items.c.reference_end > _FLOOR) for one in (_BILLED, _NOTED))
BILLED_SINCE, NOTED_SINCE = (
    one.where(line_items.c.reference_end > bindparam("since", type_=Date)) for one in (_BILLED, _NOTED)
)
"""The same, of customers that are looked at from another day on."""
ORIGIN = (
    select(
        *(
            column
            for column in line_items.c
            if column.name
            not in (
                "run_id",
                "explanation",
                "recorded_at",
                "reverses_line_id",
                "revision",
                "discount_minor",
                "net_minor",
            )
        ),
        (line_items.c.discount_minor - line_items.c.document_discount_minor).label("discount_minor"),
        _before_document(line_items),
        invoices.c.customer_id.label("payer_id"),
        invoices.c.entity_id,
        invoices.c.paid_on,
        func.coalesce(invoices.c.po_id, "").label("origin_po_id"),
        INVOICED_APART,
        _ENDS_ON.label("ends_on"),
        _END_REASON.label("cancel_reason"),
        _end(items.c.on_cancel, subscriptions.c.on_cancel).label("on_cancel"),
        customers.c.time_zone,
        prices.c.is_ahead,
        tax_lines.c.country.label("tax_country"),
    )
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .join(items, items.c.item_id == line_items.c.item_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .outerjoin(prices, prices.c.price_id == line_items.c.price_id)
    .outerjoin(tax_lines, tax_lines.c.line_id == line_items.c.line_id)
)
SNAPSHOTS = (
    select(
        usage_snapshots.c.item_id,
        usage_snapshots.c.component_id,
        usage_snapshots.c.service_start,
        usage_snapshots.c.service_end,
        usage_snapshots.c.revision,
        usage_snapshots.c.quantity_mantissa,
        usage_snapshots.c.last_event_seq,
        usage_snapshots.c.frozen_at,
    )
    .join(items, items.c.item_id == usage_snapshots.c.item_id)
    .where(usage_snapshots.c.service_end > bindparam("since"))
)
TERMS = ("net_days", "end_of_month", "discount_ppm", "discount_days")
PARTIES = (
    select(
        customers.c.customer_id,
        customers.c.entity_id,
        customers.c.country,
        customers.c.time_zone,
        customers.c.policy_name,
        customers.c.collection,
        customers.c.terms_id,
        customers.c.requires_purchase_order,
        customers.c.tax_number_confirmed_on.is_not(None).label("has_tax_number"),
        *(payment_terms.c[name] for name in TERMS),
        legal_entities.c.country.label("seller_country"),
    )
    .join(legal_entities, legal_entities.c.entity_id == customers.c.entity_id)
    .outerjoin(payment_terms, payment_terms.c.terms_id == customers.c.terms_id)
)


def read_terms(store: Store, customer_ids: Sequence[str]) -> pl.DataFrame:
    """One row a live version of the customers' items and component of its plan, with the price chosen for it,
    in the order of items, versions and components.

    What many versions share (the plan and its components, the choice of prices) is read once each. Where a
    plan has thresholds, `thresholds_of` names its version.
    """
    versions = read_by_ids(store, _VERSIONS, items.c.customer_id, customer_ids)
    versions = versions.sort("item_id", "effective_start")
    offers = read_by_ids(store, _OFFERS, components.c.plan_id, _distinct(versions["plan_id"])).sort(
        "position"
    )
    chosen = read_by_ids(store, _CHOSEN, price_choices.c.choice_id, _distinct(versions["choice_id"]))
    terms = versions.join(
        offers, on=["plan_id", "plan_version"], how="inner", maintain_order="left_right"
    ).join(chosen, on=["choice_id", "priced_id"], how="left", maintain_order="left")
    if terms["has_thresholds"].any():
        named = pl.when("has_thresholds").then(pl.format("{}|{}", "plan_id", "plan_version"))
        terms = terms.with_columns(named.alias("thresholds_of"))
    return terms.drop("plan_id", "plan_version", "priced_id", "has_thresholds")


def _distinct(ids: pl.Series) -> list[str]:
    return ids.drop_nulls().unique().sort().to_list()


def read_policies(store: Store) -> dict[str, list[PolicyVersion]]:
    """Every version of every policy, by name."""
    found: dict[str, list[PolicyVersion]] = {}
    for row in store.rows(select(policies).order_by(policies.c.name, policies.c.version)):
        settings = Policy(**{one.name: row[one.name] for one in fields(Policy)})
        version = PolicyVersion(row["name"], row["version"], row["valid_from"], settings)
        found.setdefault(row["name"], []).append(version)
    return found


def read_prices(store: Store, price_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of `prices` and of `price_tiers` of some prices."""
    ids = _distinct(price_ids)
    return (
        read_by_ids(store, select(prices), prices.c.price_id, ids),
        read_by_ids(store, select(price_tiers), price_tiers.c.price_id, ids),
    )


def read_catalogue(store: Store, rows: pl.DataFrame, settings: Mapping[PolicyKey, Policy]) -> Catalogue:
    """The prices and tiers the rows name, and all policies. Prices never change: the store remembers them."""
    wanted = rows["price_id"].drop_nulls().unique()
    known: Catalogue | None = store.memory.get("bill_run.catalogue")
    if known is not None:
        wanted = wanted.filter(~wanted.is_in(known.prices["price_id"].implode()))
    if known is None or len(wanted):
        new_prices, new_tiers = read_prices(store, wanted)
        bundles = read_by_ids(store, _BUNDLES, prices.c.price_id, _distinct(wanted))
        if known is not None:
            bundles = pl.concat([known.bundles, bundles])
            new_prices = pl.concat([known.prices, new_prices])
            new_tiers = pl.concat([known.tiers, new_tiers])
        known = Catalogue(new_prices, new_tiers, pl.DataFrame(), {}, bundles)
        store.memory["bill_run.catalogue"] = known
    used = rows.select("price_id").unique()
    has_discounts = (rows["discount_ids"] != "").any() if "discount_ids" in rows.columns else False
    return Catalogue(
        known.prices.join(used, on="price_id", how="semi"),
        known.tiers.join(used, on="price_id", how="semi"),
        store.frame(select(discounts)) if has_discounts else known.discounts,
        settings,
        known.bundles,
    )


# Debt that credit meets.

OPEN_DEBT = select(
    invoices.c.customer_id.label("payer_id"),
    invoices.c.currency,
    invoices.c.invoice_id,
    invoices.c.entity_id,
    invoices.c.due_on,
    OPEN_MINOR.label("open_minor"),
).where(
    invoices.c.state == "open",
    ~exists().where(
        payments.c.invoice_id == invoices.c.invoice_id, payments.c.state.in_(["pending", "failed"])
    ),
)
"""Open invoices nobody is being charged for: a payment under way settles its invoice by itself."""
