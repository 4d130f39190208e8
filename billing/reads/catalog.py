"""What is sold, by whom and at what price, as a caller may see it.

Whoever is bound to customers sees what everybody may buy: sellers, tax rates, products, plans and their
prices of general lists, besides the prices and discounts that are its own. Campaigns, policies and indexes
are the merchant's alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, false, func, or_, select

from billing.core.money import (
    PPM,
    BillingError,
    Scaled,
    currency_exponent,
    parse_decimal,
    post,
    ten_to,
)
from billing.core.pricing import EVENT_MODELS, rate, rate_events
from billing.reads.page import Page, page
from billing.reads.price_steps import Step, decimal, ratio, steps_of
from billing.reads.scope import Scope
from billing.service.published_prices import price_terms
from billing.store import tables
from billing.store.store import Row, Store

After = Sequence[object] | None


def is_merchant(scope: Scope) -> bool:
    """Whether the caller is bound to no customers."""
    return scope.ids is None


def _merchants(scope: Scope) -> list[ColumnElement[bool]]:
    """What only the merchant sees."""
    return [] if is_merchant(scope) else [false()]


def _page(
    store: Store,
    table: Table,
    conditions: Iterable[ColumnElement[bool]],
    after: After,
    limit: int,
) -> Page:
    return page(store, select(table).where(*conditions), list(table.primary_key), after=after, limit=limit)


def _same(**given: tuple[ColumnElement[Any], object]) -> list[ColumnElement[bool]]:
    """A condition for each filter that was given."""
    return [column == value for column, value in given.values() if value is not None]


# Who sells, and on what terms.


def legal_entities(store: Store, scope: Scope, *, after: After, limit: int) -> Page:
    """The sellers."""
    return _page(store, tables.legal_entities, [], after, limit)


def legal_entity(store: Store, scope: Scope, *, entity_id: str) -> Row | None:
    """One seller."""
    return _one(store, tables.legal_entities, entity_id)


def _one(store: Store, table: Table, key: str) -> Row | None:
    (column,) = table.primary_key
    return store.row(select(table).where(column == key))


def tax_rates(store: Store, scope: Scope, *, after: After, limit: int, country: str | None = None) -> Page:
    """Rates of tax by country, code, category and the day they hold from."""
    conditions = _same(country=(tables.tax_rates.c.country, country))
    return _page(store, tables.tax_rates, conditions, after, limit)


def payment_terms(store: Store, scope: Scope, *, after: After, limit: int) -> Page:
    """When invoices may be due."""
    return _page(store, tables.payment_terms, [], after, limit)


def seller_address(store: Store, scope: Scope, *, address_id: str) -> Row | None:
    """One address of a seller."""
    of = tables.addresses.c
    return store.row(select(tables.addresses).where(of.address_id == address_id, of.entity_id.is_not(None)))


def tax_rate(store: Store, scope: Scope, *, key: tuple[str, str, str, date]) -> Row | None:
    """One rate by its country, code, category and first day."""
    same = [column == value for column, value in zip(tables.tax_rates.primary_key, key, strict=True)]
    return store.row(select(tables.tax_rates).where(*same))


def terms(store: Store, scope: Scope, *, terms_id: str) -> Row | None:
    """One kind of payment terms."""
    return _one(store, tables.payment_terms, terms_id)


# What is sold.


def products(store: Store, scope: Scope, *, after: After, limit: int) -> Page:
    """What plans sell."""
    return _page(store, tables.products, [], after, limit)


def product(store: Store, scope: Scope, *, product_id: str) -> Row | None:
    """One product."""
    return _one(store, tables.products, product_id)


def skus(store: Store, scope: Scope, *, after: After, limit: int, product_id: str | None = None) -> Page:
    """Goods, each with `units`: how many base units each of its units holds."""
    found = _page(store, tables.skus, _same(of=(tables.skus.c.product_id, product_id)), after, limit)
    return Page(_with_units(store, found.rows), found.after)


def sku(store: Store, scope: Scope, *, sku_id: str) -> Row | None:
    """One kind of goods with its `units`."""
    row = _one(store, tables.skus, sku_id)
    return _with_units(store, [row])[0] if row else None


def _with_units(store: Store, rows: Sequence[Row]) -> list[Row]:
    of = tables.unit_conversions.c
    asked = select(of.sku_id, of.unit, of.factor).where(of.sku_id.in_([row["sku_id"] for row in rows]))
    units: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for one in store.rows(asked.order_by(of.sku_id, of.factor, of.unit)):
        units[one["sku_id"]][one["unit"]] = one["factor"]
    return [row | {"units": units[row["sku_id"]]} for row in rows]


def meters(store: Store, scope: Scope, *, after: After, limit: int) -> Page:
    """What usage is counted in."""
    return _page(store, tables.meters, [], after, limit)


def meter(store: Store, scope: Scope, *, meter_id: str) -> Row | None:
    """One meter."""
    return _one(store, tables.meters, meter_id)


_LATEST = (
    select(func.max(tables.plan_versions.c.version))
    .where(tables.plan_versions.c.plan_id == tables.plans.c.plan_id)
    .scalar_subquery()
    .label("version")
)
"""The newest version of a plan; null before its first."""
PLANS = select(tables.plans, _LATEST)


def plans(
    store: Store,
    scope: Scope,
    *,
    after: After,
    limit: int,
    product_id: str | None = None,
    is_add_on: bool | None = None,
) -> Page:
    """Plans with the number of their newest `version`."""
    of = tables.plans.c
    statement = PLANS.where(*_same(product=(of.product_id, product_id), add_on=(of.is_add_on, is_add_on)))
    return page(store, statement, [of.plan_id], after=after, limit=limit)


def plan(store: Store, scope: Scope, *, plan_id: str) -> Row | None:
    """One plan with the number of its newest `version`."""
    return store.row(PLANS.where(tables.plans.c.plan_id == plan_id))


def plan_versions(store: Store, scope: Scope, *, plan_id: str, after: After, limit: int) -> Page:
    """The versions of a plan, the newest first, each with its `components` and `thresholds`."""
    of = tables.plan_versions.c
    statement = select(tables.plan_versions).where(of.plan_id == plan_id)
    found = page(store, statement, [of.version], after=after, limit=limit, descending=True)
    return Page(_with_parts(store, plan_id, found.rows), found.after)


def version_of(store: Store, scope: Scope, *, plan_id: str, version: int) -> Row | None:
    """One version of a plan with its `components` and `thresholds`."""
    of = tables.plan_versions.c
    row = store.row(select(tables.plan_versions).where(of.plan_id == plan_id, of.version == version))
    return _with_parts(store, plan_id, [row])[0] if row else None


_PART = ("component_id", "position", "name", "kind", "meter_id", "sku_id", "bundle_id", "bundle_share_ppm")


def _with_parts(store: Store, plan_id: str, rows: Sequence[Row]) -> list[Row]:
    numbers = [row["version"] for row in rows]
    parts: defaultdict[int, list[Row]] = defaultdict(list)
    of = tables.components.c
    asked = select(of.plan_version, *(of[name] for name in _PART)).where(
        of.plan_id == plan_id, of.plan_version.in_(numbers)
    )
    for one in store.rows(asked.order_by(of.plan_version, of.position)):
        parts[one.pop("plan_version")].append(one)
    amounts: defaultdict[int, list[Row]] = defaultdict(list)
    bound = tables.plan_thresholds.c
    limits = select(bound.plan_version, bound.currency, bound.amount_minor).where(
        bound.plan_id == plan_id, bound.plan_version.in_(numbers)
    )
    for one in store.rows(limits.order_by(bound.plan_version, bound.currency, bound.amount_minor)):
        amounts[one.pop("plan_version")].append(one)
    return [
        row | {"components": parts[row["version"]], "thresholds": amounts[row["version"]]} for row in rows
    ]


# What it costs.


def _visible(scope: Scope) -> list[ColumnElement[bool]]:
    """The price lists a caller may see: those for all, and its own."""
    if scope.price_owners is None:
        return []
    of = tables.price_lists.c
    own = and_(of.level.in_(["group", "customer", "contract"]), of.owner_id.in_(sorted(scope.price_owners)))
    # General lists are those of nobody, which the index on owners knows.
    return [or_(of.owner_id.is_(None), own)]


def price_lists(
    store: Store,
    scope: Scope,
    *,
    after: After,
    limit: int,
    level: str | None = None,
    owner_id: str | None = None,
    currency: str | None = None,
) -> Page:
    """Price lists: general ones, and those of a group, a customer or a contract."""
    of = tables.price_lists.c
    wanted = _same(level=(of.level, level), owner=(of.owner_id, owner_id), currency=(of.currency, currency))
    return _page(store, tables.price_lists, [*_visible(scope), *wanted], after, limit)


def price_list(store: Store, scope: Scope, *, list_id: str) -> Row | None:
    """One price list; None where there is none, or none the caller may see."""
    of = tables.price_lists.c
    return store.row(select(tables.price_lists).where(of.list_id == list_id, *_visible(scope)))


_PRICES = select(tables.prices).join(
    tables.price_lists, tables.price_lists.c.list_id == tables.prices.c.list_id
)


def prices(
    store: Store,
    scope: Scope,
    *,
    after: After,
    limit: int,
    list_id: str | None = None,
    component_id: str | None = None,
) -> Page:
    """Prices in the words they are published in (`terms_of`)."""
    of = tables.prices.c
    wanted = _same(list=(of.list_id, list_id), component=(of.component_id, component_id))
    statement = _PRICES.where(*_visible(scope), *wanted)
    found = page(store, statement, [of.price_id], after=after, limit=limit)
    tiers = tiers_of(store, [row["price_id"] for row in found.rows])
    return Page([terms_of(row, tiers[row["price_id"]]) for row in found.rows], found.after)


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """One price in full. terms: as `terms_of`. row: as it is stored."""

    terms: Row
    row: Row


def price(store: Store, scope: Scope, *, price_id: str) -> PriceSheet | None:
    """One price; None where there is none, or none the caller may see."""
    row = store.row(_PRICES.where(tables.prices.c.price_id == price_id, *_visible(scope)))
    if row is None:
        return None
    return PriceSheet(terms_of(row, tiers_of(store, [price_id])[price_id]), row)


def tiers_of(store: Store, price_ids: Sequence[str]) -> defaultdict[str, list[Row]]:
    """The tiers of prices in their order, by price."""
    of = tables.price_tiers.c
    found: defaultdict[str, list[Row]] = defaultdict(list)
    asked = select(tables.price_tiers).where(of.price_id.in_(price_ids))
    for row in store.rows(asked.order_by(of.price_id, of.position)):
        found[row["price_id"]].append(row)
    return found


_AMOUNTS = {
    "fee_per_event": "fee_mantissa",
    "free_amount": "free_amount_mantissa",
    "min_per_event": "min_per_event_mantissa",
    "max_per_event": "max_per_event_mantissa",
    "window_commitment": "window_commitment_mantissa",
}


def terms_of(row: Row, tiers: Sequence[Row]) -> Row:
    """A row of `prices` and its tiers in the words of `NewPrice`: unit prices and rates in percent as decimal
    text, what a period costs at least and at most in minor units. What a price does not say is null."""
    scale = row["price_scale"]
    unit = _text(row["price_mantissa"], scale)
    is_rate = row["model"] == "percentage"
    return {
        "price_id": row["price_id"],
        "list_id": row["list_id"],
        "component_id": row["component_id"],
        "model": row["model"],
        "currency": row["currency"],
        "price": None if is_rate else unit,
        "rate_percent": _percent(row["price_mantissa"], scale) if is_rate else None,
        "tiers": [_tier(row["model"], tier, scale) for tier in tiers],
        **{
            name: row[name]
            for name in ("package_size", "free_units", "partial_package", "block_policy", "free_events")
        },
        **{told: _text(row[column], scale) for told, column in _AMOUNTS.items()},
        "minimum_spend_minor": row["minimum_spend_minor"],
        "maximum_spend_minor": row["maximum_spend_minor"],
        "quantity_from": row["quantity_from"],
        "window": row["window_unit"],
        "overage_factor": _plain(Decimal(row["overage_factor_ppm"]) / PPM),
        "window_true_up": row["window_true_up"],
        "prorate": row["prorate"],
        "in_advance": row["is_ahead"],
        "recorded_at": row["recorded_at"],
    }


def _tier(model: str, tier: Row, scale: int) -> Row:
    has_rate = model == "graduated_percentage"
    return {
        "up_to": tier["up_to"],
        "unit": None if has_rate else _text(tier["unit_mantissa"], scale),
        "rate_percent": _percent(tier["unit_mantissa"], scale) if has_rate else None,
        "flat": _text(tier["flat_mantissa"], scale),
        "size": tier["block_size"],
        "max_blocks": tier["max_blocks"],
    }


def _text(mantissa: int | None, scale: int) -> str | None:
    return None if mantissa is None else _plain(decimal(Scaled(mantissa, scale)))


def _percent(mantissa: int | None, scale: int) -> str | None:
    return None if mantissa is None else _plain(decimal(Scaled(mantissa, scale)) * 100)


def _plain(value: Decimal) -> str:
    """Digits with a point, without noughts at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Tried:
    """What a quantity costs under a price: exact in major units, and posted in minor units."""

    quantity: Decimal
    exact: Decimal
    posted_minor: int
    currency: str
    steps: tuple[Step, ...]


def try_price(store: Store, scope: Scope, *, price_id: str, quantity: str) -> Tried:
    """What a quantity costs under a price, before minimum, maximum and discounts; of a price of single events
    the quantity is the value of one. Raises `no_price` where the caller sees none, `negative_quantity`, and
    as `parse_decimal`."""
    sheet = price(store, scope, price_id=price_id)
    if sheet is None:
        raise BillingError("no_price", price_id)
    row = sheet.row
    terms, amount = price_terms(store, row), parse_decimal(quantity)
    steps: tuple[Step, ...] = ()
    if terms.model in EVENT_MODELS:
        events = rate_events(terms, [quantity])
        num, den = events.num, events.den
    else:
        rated = rate(terms, amount)
        num, den, steps = rated.num, rated.den, steps_of(terms, amount)
    return Tried(
        quantity=decimal(amount),
        exact=ratio(num, den),
        posted_minor=post(num * ten_to(currency_exponent(row["currency"])), den),
        currency=row["currency"],
        steps=steps,
    )


# Reductions, campaigns, indexes, policies.


def discounts(store: Store, scope: Scope, *, after: After, limit: int) -> Page:
    """Discounts; of a caller bound to customers those they were given."""
    return _page(store, tables.discounts, _given(scope), after, limit)


def discount(store: Store, scope: Scope, *, discount_id: str) -> Row | None:
    """One discount; None where there is none, or none the caller was given."""
    of = tables.discounts.c
    return store.row(select(tables.discounts).where(of.discount_id == discount_id, *_given(scope)))


def _given(scope: Scope) -> list[ColumnElement[bool]]:
    if is_merchant(scope):
        return []
    of = tables.customer_discounts.c
    given = select(of.discount_id).where(*scope.where(of.customer_id))
    return [tables.discounts.c.discount_id.in_(given)]


def campaigns(store: Store, scope: Scope, *, after: After, limit: int) -> Page:
    """Campaigns with their `thresholds`, each a currency and an amount."""
    found = _page(store, tables.campaigns, _merchants(scope), after, limit)
    return Page(_with_thresholds(store, found.rows), found.after)


def campaign(store: Store, scope: Scope, *, campaign_id: str) -> Row | None:
    """One campaign; None where there is none, or the caller is not the merchant."""
    row = _one(store, tables.campaigns, campaign_id) if is_merchant(scope) else None
    return _with_thresholds(store, [row])[0] if row else None


def _with_thresholds(store: Store, rows: Sequence[Row]) -> list[Row]:
    of = tables.campaign_thresholds.c
    amounts: defaultdict[str, list[Row]] = defaultdict(list)
    asked = select(of.campaign_id, of.currency, of.threshold_minor).where(
        of.campaign_id.in_([row["campaign_id"] for row in rows])
    )
    for one in store.rows(asked.order_by(of.campaign_id, of.currency)):
        amounts[one.pop("campaign_id")].append(one)
    return [row | {"thresholds": amounts[row["campaign_id"]]} for row in rows]


def index_values(
    store: Store, scope: Scope, *, after: After, limit: int, index_id: str | None = None
) -> Page:
    """Values of indexes, each as it was published for a month."""
    wanted = _same(index=(tables.index_values.c.index_id, index_id))
    found = _page(store, tables.index_values, [*_merchants(scope), *wanted], after, limit)
    return Page([_with_value(row) for row in found.rows], found.after)


def _with_value(row: Row) -> Row:
    value = _text(row["value_mantissa"], row["value_scale"])
    return {name: row[name] for name in ("index_id", "month", "published_on", "recorded_at")} | {
        "value": value
    }


def policies(store: Store, scope: Scope, *, after: After, limit: int, name: str | None = None) -> Page:
    """Versions of policies, each with its settings."""
    wanted = _same(name=(tables.policies.c.name, name))
    return _page(store, tables.policies, [*_merchants(scope), *wanted], after, limit)


def policy(store: Store, scope: Scope, *, name: str, version: int) -> Row | None:
    """One version of a policy; None where there is none, or the caller is not the merchant."""
    of = tables.policies.c
    own = [of.name == name, of.version == version, *_merchants(scope)]
    return store.row(select(tables.policies).where(*own))
