"""What is sold and at what price: legal entities, tax rates, products, meters, plans, price lists.

Published plan versions and prices never change; a new price is a new list or a new version. Money comes in
as decimal text in major units ("12.50"), quantities of tiers and packages as whole units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from sqlalchemy import bindparam, func, or_, select

from billing.core.calendar import parse_interval
from billing.core.choice import LEVELS
from billing.core.money import PPM, BillingError, currency_exponent, parse_money
from billing.service.acts import act, announce
from billing.service.published_prices import NewPrice as NewPrice
from billing.service.published_prices import NewTier as NewTier
from billing.service.published_prices import check_events, price_rows
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    legal_entities,
    meters,
    payment_terms,
    plan_thresholds,
    plan_versions,
    plans,
    price_lists,
    price_tiers,
    prices,
    products,
    skus,
    tax_rates,
)

KINDS = ("fee", "seat", "usage")
AGGREGATIONS = ("sum", "count", "max", "latest", "unique_count", "weighted_sum")


@dataclass(frozen=True, slots=True)
class NewComponent:
    """A priced part of a plan. `kind`: fee (once an item), seat (each unit), usage (of a meter).

    With `sku_id` the units of a seat are goods, and the item is ordered in their units.
    """

    name: str
    kind: str
    meter_id: str | None = None
    component_id: str | None = None
    """Default: plan, version and name joined, such as `pro.1.fee`."""
    sku_id: str | None = None
    bundle: str | None = None
    """The name of the component whose price covers this one, which then has no price of its own."""
    bundle_share_ppm: int = 0
    """Its share of that price; those of a bundle add up to 1,000,000."""


@dataclass(frozen=True, slots=True)
class Component:
    component_id: str
    name: str
    kind: str
    meter_id: str | None
    sku_id: str | None = None


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """A published version of a plan and its components that have a price: of a bundle the bundle itself."""

    plan_id: str
    version: int
    interval: str
    in_advance: bool
    is_add_on: bool
    components: tuple[Component, ...]


# Writing.


@act
def create_legal_entity(
    store: Store, at: datetime, *, entity_id: str, name: str, country: str, tax_number: str | None = None
) -> str:
    """A seller that issues invoices. `country` is ISO 3166 alpha-2."""
    row = {"entity_id": entity_id, "name": name, "country": country, "tax_number": tax_number}
    store.insert(legal_entities, [row], at)
    announce(store, at, "legal_entity.created", entity_id, row)
    return entity_id


@act
def add_tax_rate(
    store: Store,
    at: datetime,
    *,
    country: str,
    tax_rate_ppm: int,
    valid_from: date,
    tax_code: str = "standard",
    category: str = "standard",
) -> None:
    """A rate of a country from a day on (19 % = 190000). Raises `bad_rate` outside 0 to 100 %."""
    if not 0 <= tax_rate_ppm <= PPM:
        raise BillingError("bad_rate", f"{tax_rate_ppm} ppm")
    row = {"country": country, "tax_code": tax_code, "category": category, "valid_from": valid_from}
    store.insert(tax_rates, [row | {"tax_rate_ppm": tax_rate_ppm}], at)
    announce(store, at, "tax_rate.added", country, row | {"tax_rate_ppm": tax_rate_ppm})


@act
def create_payment_terms(
    store: Store,
    at: datetime,
    *,
    terms_id: str,
    net_days: int,
    end_of_month: bool = False,
    discount_ppm: int = 0,
    discount_days: int = 0,
) -> str:
    """When an invoice is due: days after issue, counted from the month's end if asked. Paid within
    `discount_days` of its issue it costs `discount_ppm` less ("2/10 net 30": 20,000 within 10 of 30 days).
    Raises `bad_rate`."""
    if net_days < 0 or discount_days < 0 or not 0 <= discount_ppm < PPM:
        detail = f"net_days = {net_days}, discount of {discount_ppm} ppm within {discount_days} days"
        raise BillingError("bad_rate", detail)
    row = {"terms_id": terms_id, "net_days": net_days, "end_of_month": end_of_month}
    row |= {"discount_ppm": discount_ppm, "discount_days": discount_days}
    store.insert(payment_terms, [row], at)
    announce(store, at, "payment_terms.created", terms_id, {"net_days": net_days})
    return terms_id


@act
def create_product(
    store: Store,
    at: datetime,
    *,
    product_id: str,
    name: str,
    tax_code: str = "standard",
    category: str = "standard",
) -> str:
    """What plans sell. `tax_code` finds its rate in a country; `category`: standard, reduced or zero."""
    row = {"product_id": product_id, "name": name, "tax_code": tax_code, "category": category}
    store.insert(products, [row], at)
    announce(store, at, "product.created", product_id, row)
    return product_id


@act
def create_meter(
    store: Store,
    at: datetime,
    *,
    meter_id: str,
    name: str,
    aggregation: str = "sum",
    scale: int = 0,
    unit: str = "unit",
    is_recurring: bool = False,
    grain: str = "second",
) -> str:
    """What usage is counted in. `scale`: decimals of its quantities; `is_recurring`: the level at the end of
    a period opens the next; `grain`: the time a weighted_sum counts in, second or (whole) hour. Raises
    `unknown_setting`."""
    if aggregation not in AGGREGATIONS or not 0 <= scale <= 12 or grain not in ("second", "hour"):
        raise BillingError("unknown_setting", f"aggregation {aggregation!r}, scale {scale}, grain {grain!r}")
    row = {
        "meter_id": meter_id,
        "name": name,
        "aggregation": aggregation,
        "scale": scale,
        "unit": unit,
        "is_recurring": is_recurring,
        "grain": grain,
    }
    store.insert(meters, [row], at)
    announce(store, at, "meter.created", meter_id, row)
    return meter_id


@act
def create_plan(
    store: Store,
    at: datetime,
    *,
    plan_id: str,
    name: str,
    product_id: str,
    tier: str | None = None,
    is_add_on: bool = False,
) -> str:
    """A plan, still without a version. `tier` ranks it for people; an add-on joins a subscription."""
    row = {
        "plan_id": plan_id,
        "name": name,
        "product_id": product_id,
        "tier": tier,
        "is_add_on": is_add_on,
    }
    store.insert(plans, [row], at)
    announce(store, at, "plan.created", plan_id, row)
    return plan_id


@act
def publish_plan_version(
    store: Store,
    at: datetime,
    *,
    plan_id: str,
    interval: str,
    components: Sequence[NewComponent],
    in_advance: bool = True,
    thresholds: Mapping[str, Sequence[str]] | None = None,
) -> PlanVersion:
    """The next version of a plan: interval (P1M, P1Y …) and components. It never changes afterwards.

    thresholds: amounts before tax by currency ({"EUR": ["200.00"]}). Usage of a running period is billed
    early once it costs one of them. Raises `unknown_plan`, `bad_interval`, `unknown_meter`, `illegal_plan`
    for no or wrong components, or thresholds without usage; `unknown_currency`, `bad_tiers` for amounts that
    do not rise from above 0.
    """
    parse_interval(interval)
    if store.row(select(plans.c.plan_id).where(plans.c.plan_id == plan_id)) is None:
        raise BillingError("unknown_plan", plan_id)
    if not components or any(new.kind not in KINDS for new in components):
        raise BillingError("illegal_plan", f"{plan_id}: components are of kind {', '.join(KINDS)}")
    for new in components:
        _check_meter(store, new)
        _check_sku(store, new)
    if len({new.sku_id for new in components if new.sku_id is not None}) > 1:
        raise BillingError("illegal_plan", f"{plan_id}: an item has one quantity, so goods of one SKU")
    bundles = _check_bundles(components)
    version = (latest_version(store, plan_id) or 0) + 1
    store.insert(
        plan_versions,
        [{"plan_id": plan_id, "version": version, "interval": interval, "in_advance": in_advance}],
        at,
    )
    ids = {new.name: new.component_id or f"{plan_id}.{version}.{new.name}" for new in components}
    rows: list[Row] = [
        {
            "component_id": ids[new.name],
            "plan_id": plan_id,
            "plan_version": version,
            "position": position,
            "name": new.name,
            "kind": new.kind,
            "meter_id": new.meter_id,
            "sku_id": new.sku_id,
            "bundle_id": ids[new.bundle or new.name] if new.bundle or new.name in bundles else None,
            "bundle_share_ppm": new.bundle_share_ppm if new.bundle else None,
        }
        for position, new in enumerate(components, start=1)
    ]
    store.insert(_components, rows, at)
    amounts = _thresholds(thresholds or {})
    if amounts and all(new.kind != "usage" for new in components):
        raise BillingError("illegal_plan", f"{plan_id}: thresholds watch usage, and it has none")
    of = {"plan_id": plan_id, "plan_version": version}
    store.insert(plan_thresholds, [of | one for one in amounts], at)
    announce(store, at, "plan.published", plan_id, {"version": version, "interval": interval})
    return plan_version(store, plan_id, version)


_components = components


def _thresholds(given: Mapping[str, Sequence[str]]) -> list[Row]:
    rows: list[Row] = []
    for currency, texts in given.items():
        amounts = [parse_money(text, currency) for text in texts]
        if not all(before < amount for before, amount in pairwise([0, *amounts])):
            raise BillingError("bad_tiers", f"thresholds rise from above 0, not {', '.join(texts)}")
        rows += [{"currency": currency, "amount_minor": amount} for amount in amounts]
    return rows


def _check_sku(store: Store, new: NewComponent) -> None:
    if new.sku_id is None:
        return
    if new.kind != "seat":
        raise BillingError("illegal_plan", f"component {new.name}: goods are sold by the unit, as a seat is")
    if store.row(select(skus.c.sku_id).where(skus.c.sku_id == new.sku_id)) is None:
        raise BillingError("unknown_sku", new.sku_id)


def _check_bundles(parts: Sequence[NewComponent]) -> set[str]:
    """The names of bundles. Each covers fees only, or seats only, and all of its price is shared out."""
    by_name = {new.name: new for new in parts}
    shares: dict[str, int] = {}
    for new in parts:
        if new.bundle is None:
            continue
        whole = by_name.get(new.bundle)
        if whole is None or whole.bundle is not None or whole.kind != new.kind or new.kind == "usage":
            raise BillingError("illegal_plan", f"component {new.name}: no bundle of its kind {new.bundle}")
        if new.bundle_share_ppm < 0:
            raise BillingError("illegal_plan", f"component {new.name}: a share below 0")
        shares[new.bundle] = shares.get(new.bundle, 0) + new.bundle_share_ppm
    if any(share != PPM for share in shares.values()):
        raise BillingError("illegal_plan", "the shares of a bundle add up to 1,000,000")
    return set(shares)


def _check_meter(store: Store, new: NewComponent) -> None:
    if (new.kind == "usage") != (new.meter_id is not None):
        raise BillingError("illegal_plan", f"component {new.name}: usage has a meter, nothing else has one")
    known = select(meters.c.meter_id).where(meters.c.meter_id == new.meter_id)
    if new.meter_id is not None and store.row(known) is None:
        raise BillingError("unknown_meter", new.meter_id)


@act
def create_price_list(
    store: Store,
    at: datetime,
    *,
    list_id: str,
    name: str,
    currency: str,
    valid_start: date,
    valid_end: date | None = None,
    level: str = "list",
    owner_id: str | None = None,
    prices: Sequence[NewPrice] = (),
) -> str:
    """A price list and its prices. `level` contract, customer or group needs its `owner_id`.

    Raises `unknown_currency`, `empty_period`, `unknown_setting`, and as `add_prices`.
    """
    currency_exponent(currency)
    if valid_end is not None and valid_end <= valid_start:
        raise BillingError("empty_period", f"{valid_start} to {valid_end} holds no day")
    if level not in LEVELS or (level == "list") != (owner_id is None):
        raise BillingError("unknown_setting", f"level {level!r} with owner {owner_id!r}")
    row = {
        "list_id": list_id,
        "name": name,
        "level": level,
        "owner_id": owner_id,
        "currency": currency,
        "valid_start": valid_start,
        "valid_end": valid_end,
    }
    store.insert(price_lists, [row], at)
    announce(store, at, "price_list.created", list_id, row)
    if prices:
        add_prices(store, at, list_id=list_id, prices=prices)
    return list_id


@act
def add_prices(store: Store, at: datetime, *, list_id: str, prices: Sequence[NewPrice]) -> list[str]:
    """Prices of a list, one per component and quantity break; returns their ids, by default list and
    component joined.

    Raises `immutable` where the list has a price for the component, `unknown_component`, and as
    `price_rows`.
    """
    listed = store.row(select(price_lists).where(price_lists.c.list_id == list_id))
    if listed is None:
        raise BillingError("no_price", f"there is no price list {list_id}")
    rows, tiers = [], []
    for new in prices:
        price_id = new.price_id or _default_price_id(list_id, new)
        row, of_tiers = price_rows(new, price_id, list_id, listed["currency"])
        rows.append(row)
        tiers += of_tiers
        _check_component(store, list_id, new)
    store.insert(_prices, rows, at)
    store.insert(price_tiers, tiers, at)
    ids = [str(row["price_id"]) for row in rows]
    announce(store, at, "prices.added", list_id, {"price_ids": ids})
    return ids


_prices = prices


def _default_price_id(list_id: str, new: NewPrice) -> str:
    """List and component joined, and the quantity where it is a break."""
    joined = f"{list_id}.{new.component_id}"
    return f"{joined}.from-{new.quantity_from}" if new.quantity_from else joined


_COMPONENT = (
    select(components.c.kind, components.c.bundle_id, meters.c.aggregation, meters.c.is_recurring)
    .outerjoin(meters, meters.c.meter_id == components.c.meter_id)
    .where(components.c.component_id == bindparam("component_id"))
)


def _check_component(store: Store, list_id: str, new: NewPrice) -> None:
    component_id = new.component_id
    found = store.row(_COMPONENT, {"component_id": component_id})
    if found is None:
        raise BillingError("unknown_component", component_id)
    if found["bundle_id"] not in (None, component_id):
        raise BillingError("unknown_component", f"{component_id} is covered by {found['bundle_id']}")
    if found["bundle_id"] is not None and new.minimum_spend is not None:
        raise BillingError("unknown_setting", f"minimum_spend of {component_id}, a bundle")
    check_events(new, found["kind"], found["aggregation"], found["is_recurring"])
    priced = select(prices.c.price_id).where(
        prices.c.list_id == list_id,
        prices.c.component_id == component_id,
        prices.c.quantity_from == new.quantity_from,
    )
    if store.row(priced) is not None:
        raise BillingError(
            "immutable", f"{list_id} has a price for {component_id}; a new price is a new list"
        )


# Reading.

_LATEST = select(func.max(plan_versions.c.version).label("version")).where(
    plan_versions.c.plan_id == bindparam("plan_id")
)


def latest_version(store: Store, plan_id: str) -> int | None:
    """The number of a plan's newest version, None without one."""
    row = store.row(_LATEST, {"plan_id": plan_id})
    return None if row is None or row["version"] is None else int(row["version"])


def plan_version(store: Store, plan_id: str, version: int | None = None) -> PlanVersion:
    """A version of a plan, by default the newest. Raises `unknown_plan`."""
    number = version or latest_version(store, plan_id)
    known = store.memory.get(("plan", plan_id, number))
    if known is None:
        known = store.memory["plan", plan_id, number] = _read_plan(store, plan_id, number)
    assert isinstance(known, PlanVersion)
    return known


def _read_plan(store: Store, plan_id: str, number: int | None) -> PlanVersion:
    row = store.row(
        select(plan_versions, plans.c.is_add_on)
        .join(plans, plans.c.plan_id == plan_versions.c.plan_id)
        .where(plan_versions.c.plan_id == plan_id, plan_versions.c.version == number)
    )
    if row is None:
        raise BillingError("unknown_plan", f"{plan_id} has no version {number or ''}".strip())
    parts = store.rows(
        select(components)
        .where(
            components.c.plan_id == plan_id,
            components.c.plan_version == number,
            or_(components.c.bundle_id.is_(None), components.c.bundle_id == components.c.component_id),
        )
        .order_by(components.c.position)
    )
    return PlanVersion(
        plan_id=plan_id,
        version=row["version"],
        interval=row["interval"],
        in_advance=row["in_advance"],
        is_add_on=row["is_add_on"],
        components=tuple(
            Component(part["component_id"], part["name"], part["kind"], part["meter_id"], part["sku_id"])
            for part in parts
        ),
    )
