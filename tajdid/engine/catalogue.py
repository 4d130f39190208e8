"""Products, plans and prices as they are published, and what a quantity costs under one of them."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import bindparam, case, select

from billing.core.money import Scaled, currency_exponent
from billing.reads import catalog
from billing.reads.price_steps import decimal, step_of
from billing.reads.scope import everything
from billing.service.published_prices import price_terms
from billing.store.store import Row, Store
from billing.store.tables import components, meters, plan_versions, plans, price_lists, prices, products
from dashboard.engine import UNKNOWN, EngineProblem, PriceSheet, Tried
from tajdid.engine.explaining import PRICE, as_step

_PLANS = (
    select(
        plans.c.plan_id,
        plans.c.name,
        plans.c.tier,
        plans.c.is_add_on,
        products.c.name.label("product"),
        products.c.tax_code,
        plan_versions.c.version,
        plan_versions.c.interval,
        plan_versions.c.in_advance,
        plan_versions.c.recorded_at.label("published_at"),
    )
    .join(products, products.c.product_id == plans.c.product_id)
    .join(plan_versions, plan_versions.c.plan_id == plans.c.plan_id)
    .order_by(plans.c.is_add_on, plans.c.plan_id, plan_versions.c.version)
    .limit(2_000)
)
_COMPONENTS = (
    select(
        components.c.component_id,
        components.c.position,
        components.c.name,
        components.c.kind,
        meters.c.name.label("meter"),
        meters.c.unit,
        meters.c.aggregation,
        components.c.sku_id.label("sku"),
        components.c.bundle_id.label("bundle"),
    )
    .outerjoin(meters, meters.c.meter_id == components.c.meter_id)
    .where(components.c.plan_id == bindparam("plan"), components.c.plan_version == bindparam("version"))
    .order_by(components.c.position)
)
_LEVELS = case({"list": 0, "group": 1, "customer": 2, "contract": 3}, value=price_lists.c.level, else_=4)
_PRICES = (
    select(
        prices.c.price_id,
        prices.c.list_id,
        price_lists.c.name.label("list_name"),
        price_lists.c.level,
        price_lists.c.owner_id,
        price_lists.c.currency,
        price_lists.c.valid_start,
        price_lists.c.valid_end,
        prices.c.model,
        prices.c.price_mantissa,
        prices.c.price_scale,
        prices.c.quantity_from,
    )
    .join(price_lists, price_lists.c.list_id == prices.c.list_id)
    .where(prices.c.component_id == bindparam("component"))
    .order_by(_LEVELS, price_lists.c.currency, price_lists.c.valid_start.desc(), prices.c.price_id)
)


def all_plans(store: Store) -> pl.DataFrame:
    """Every version of every plan."""
    return store.frame(_PLANS)


def components_of(store: Store, plan_id: str, version: int) -> pl.DataFrame:
    """What a version of a plan is made of."""
    return store.frame(_COMPONENTS, {"plan": plan_id, "version": version})


def prices_of(store: Store, component_id: str, level: str | None, limit: int) -> pl.DataFrame:
    """The prices of a component, general lists first."""
    at_level = [] if level is None else [price_lists.c.level == level]
    rows = store.rows(_PRICES.where(*at_level).limit(limit), {"component": component_id})
    schema = {
        "price_id": pl.String,
        "list_id": pl.String,
        "list_name": pl.String,
        "level": pl.String,
        "owner_id": pl.String,
        "currency": pl.String,
        "valid_start": pl.Date,
        "valid_end": pl.Date,
        "model": pl.String,
        "unit_price": pl.String,
        "quantity_from": pl.Int64,
    }
    shown = [row | {"unit_price": _text(row["price_mantissa"], row["price_scale"])} for row in rows]
    return pl.DataFrame([[row[name] for name in schema] for row in shown], schema=schema, orient="row")


def _text(mantissa: int | None, scale: int) -> str | None:
    return None if mantissa is None else f"{decimal(Scaled(mantissa, scale)):f}"


_MANTISSAS = {
    "fee_mantissa": "fee_per_event",
    "free_amount_mantissa": "free_amount",
    "min_per_event_mantissa": "min_per_event",
    "max_per_event_mantissa": "max_per_event",
    "window_commitment_mantissa": "window_commitment",
}
_COUNTS = ("package_size", "free_units", "free_events", "quantity_from")
_SPENDS = {"minimum_spend_minor": "minimum_spend", "maximum_spend_minor": "maximum_spend"}


def sheet_of(store: Store, price_id: str) -> PriceSheet:
    """A price in full. Raises EngineProblem where there is none."""
    row = _row(store, price_id)
    terms = price_terms(store, row)
    return PriceSheet(
        price_id=row["price_id"],
        list_id=row["list_id"],
        model=row["model"],
        currency=row["currency"],
        unit_price=None
        if row["price_mantissa"] is None
        else decimal(Scaled(row["price_mantissa"], row["price_scale"])),
        facts=_facts(row),
        tiers=tuple(as_step(step_of(terms, place)) for place in range(len(terms.tiers))),
    )


def _row(store: Store, price_id: str) -> Row:
    row = store.row(PRICE, {"id": price_id})
    if row is None:
        raise EngineProblem(UNKNOWN, "no_price", price_id)
    return row


def _facts(row: Row) -> dict[str, str]:
    facts: dict[str, Any] = {name: row[name] for name in _COUNTS if row[name]}
    facts |= {
        told: _text(row[column], row["price_scale"])
        for column, told in _MANTISSAS.items()
        if row[column] is not None
    }
    exponent = currency_exponent(row["currency"])
    facts |= {
        told: _text(row[column], exponent) for column, told in _SPENDS.items() if row[column] is not None
    }
    if row["window_unit"]:
        facts["window"] = row["window_unit"]
    if row["prorate"] != "none":
        facts["prorate"] = row["prorate"]
    if row["model"] == "package":
        facts["partial_package"] = row["partial_package"]
    if row["model"] == "tiered_block":
        facts["block_policy"] = row["block_policy"]
    return {name: str(value) for name, value in facts.items()}


def tried(store: Store, price_id: str, quantity: str) -> Tried:
    """What a quantity costs under a price, before minimum, maximum and discounts; of a price of single events
    the quantity is the value of one. Raises `negative_quantity` and as `parse_decimal`."""
    _row(store, price_id)
    found = catalog.try_price(store, everything(), price_id=price_id, quantity=quantity)
    steps = tuple(as_step(one) for one in found.steps)
    return Tried(found.quantity, found.exact, found.posted_minor, found.currency, steps)
