"""The terms of a price: what a seller says of it, checked, as rows of `prices` and `price_tiers`, and back.

Money comes in as decimal text in major units ("12.50"), rates in percent ("2.99"), quantities of tiers and
packages as whole units. All mantissas of a price have one scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from billing.core.levels import PRORATIONS
from billing.core.money import (
    PPM,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    BillingError,
    Scaled,
    parse_decimal,
    parse_money,
    parse_price,
    parse_share,
    within,
)
from billing.core.pricing import EVENT_MODELS, MODELS, TIERED, Price, PriceTier, check_blocks, check_tiers
from billing.core.windows import WINDOWS
from billing.store.store import Row, Store
from billing.store.tables import price_tiers

HAS_TIERS = (*TIERED, "tiered_block")


@dataclass(frozen=True, slots=True)
class NewTier:
    """`up_to` whole units, inclusive, None for the open last; `unit` and `flat` in major units.

    graduated_percentage has `rate_percent` instead of `unit`. A tier of tiered_block has `size` and
    `max_blocks` (None for the open last) instead of `up_to`, and `unit` is the price of a block.
    """

    up_to: int | None = None
    unit: str = "0"
    flat: str = "0"
    rate_percent: str | None = None
    size: int | None = None
    max_blocks: int | None = None


@dataclass(frozen=True, slots=True)
class NewPrice:
    """The price of one component in one list.

    `price` for flat, per_unit, package; `tiers` for graduated, volume, graduated_percentage, tiered_block;
    `rate_percent` and the terms of events for percentage; nothing for dynamic, whose events are amounts.
    `minimum_spend` and `maximum_spend` bound what a period costs, whatever the model. `quantity_from`: the
    whole units of the item from which the price holds; a list may have several by it.
    """

    component_id: str
    model: str
    price: str | None = None
    tiers: Sequence[NewTier] = field(default=())
    package_size: int | None = None
    free_units: int = 0
    partial_package: str = "up"
    block_policy: str = "all_tiers"
    rate_percent: str | None = None
    fee_per_event: str | None = None
    free_events: int | None = None
    free_amount: str | None = None
    min_per_event: str | None = None
    max_per_event: str | None = None
    minimum_spend: str | None = None
    maximum_spend: str | None = None
    window: str | None = None
    """hour, day or month: usage is priced window by window, against `window_commitment`."""
    window_commitment: str | None = None
    overage_factor: str = "1"
    """What usage beyond the commitment costs, times its price."""
    window_true_up: bool = True
    """Whether a window costs at least the commitment."""
    prorate: str = "none"
    """day: a unit of a meter costs the days on which it is present."""
    in_advance: bool = False
    """The level of a recurring meter is due when a period starts; in it only a higher one costs money."""
    price_id: str | None = None
    quantity_from: int = 0


_OF_EVENTS = {
    "fee_per_event": "fee_mantissa",
    "free_amount": "free_amount_mantissa",
    "min_per_event": "min_per_event_mantissa",
    "max_per_event": "max_per_event_mantissa",
}
"""Amounts of a percentage price, and their columns."""
FACTOR_LIMIT = 10_000 * PPM


def price_rows(new: NewPrice, price_id: str, list_id: str, currency: str) -> tuple[Row, list[Row]]:
    """A price and its tiers as rows. Raises `unknown_model`, `bad_tiers`, `bad_rate`, `bad_bounds`,
    `negative_price`, `negative_quantity`, `unknown_setting`, and as `parse_decimal`."""
    _check_form(new)
    amounts = dict(_amounts(new))
    scale = max((amount.scale for amount in amounts.values()), default=0)
    mantissas = {name: within(amount.at_scale(scale), PRICE_LIMIT) for name, amount in amounts.items()}
    minimum, maximum = (
        None if text is None else _spend(text, currency) for text in (new.minimum_spend, new.maximum_spend)
    )
    least, most = mantissas.get("min_per_event_mantissa"), mantissas.get("max_per_event_mantissa")
    for low, high in ((minimum, maximum), (least, most)):
        if low is not None and high is not None and low > high:
            raise BillingError("bad_bounds", f"{new.component_id}: the minimum is above the maximum")
    row: Row = {
        "price_id": price_id,
        "list_id": list_id,
        "component_id": new.component_id,
        "model": new.model,
        "currency": currency,
        "price_mantissa": mantissas.get("price_mantissa"),
        "price_scale": scale,
        "package_size": new.package_size,
        "free_units": new.free_units,
        "partial_package": new.partial_package,
        "block_policy": new.block_policy,
        "free_events": new.free_events,
        **{column: mantissas.get(column) for column in _OF_EVENTS.values()},
        "minimum_spend_minor": minimum,
        "maximum_spend_minor": maximum,
        "quantity_from": new.quantity_from,
        "window_unit": new.window,
        "window_commitment_mantissa": mantissas.get("window_commitment_mantissa"),
        "overage_factor_ppm": parse_decimal(new.overage_factor, scale=6).at_scale(6),
        "window_true_up": new.window_true_up,
        "prorate": new.prorate,
        "is_ahead": new.in_advance,
    }
    tiers: list[Row] = [
        {
            "price_id": price_id,
            "position": position,
            "up_to": tier.up_to,
            "unit_mantissa": mantissas[f"unit {position}"],
            "flat_mantissa": mantissas[f"flat {position}"],
            "block_size": tier.size,
            "max_blocks": tier.max_blocks,
        }
        for position, tier in enumerate(new.tiers, start=1)
    ]
    return row, tiers


def _check_form(new: NewPrice) -> None:
    """The terms a model has, and no others."""
    if new.model not in MODELS:
        raise BillingError("unknown_model", f"{new.model!r}: {', '.join(MODELS)}")
    if new.model in HAS_TIERS:
        _check_tiers(new)
    elif new.tiers:
        raise BillingError("bad_tiers", f"{new.model} has no tiers")
    if new.model == "package" and not 1 <= (new.package_size or 0) <= QUANTITY_LIMIT:
        raise BillingError("unknown_model", "package needs a package_size of at least 1")
    if not 0 <= new.free_units <= QUANTITY_LIMIT or not 0 <= (new.free_events or 0) <= QUANTITY_LIMIT:
        raise BillingError(
            "negative_quantity", f"free_units = {new.free_units}, free_events = {new.free_events}"
        )
    if not 0 <= new.quantity_from <= QUANTITY_LIMIT:
        raise BillingError("negative_quantity", f"quantity_from = {new.quantity_from}")
    _check_window(new)
    if new.prorate not in PRORATIONS:
        raise BillingError("unknown_setting", f"prorate = {new.prorate!r}")
    if (new.prorate != "none" or new.in_advance) and (new.window or new.model in EVENT_MODELS):
        raise BillingError("unknown_model", f"{new.component_id}: a level has one price of its quantity")
    if new.partial_package not in ("up", "down"):
        raise BillingError("unknown_setting", f"partial_package = {new.partial_package!r}")
    if new.block_policy not in ("all_tiers", "top_tier"):
        raise BillingError("unknown_setting", f"block_policy = {new.block_policy!r}")
    told = [name for name in ("rate_percent", "free_events", *_OF_EVENTS) if getattr(new, name) is not None]
    if told and new.model != "percentage":
        raise BillingError("unknown_setting", f"{', '.join(told)} of a price that is {new.model}")


def _check_window(new: NewPrice) -> None:
    if (new.window is None) != (new.window_commitment is None) or new.window not in (None, *WINDOWS):
        raise BillingError("unknown_setting", f"window = {new.window!r} with {new.window_commitment!r}")
    if new.window is not None and new.model in EVENT_MODELS:
        raise BillingError("unknown_model", f"a window of a price that is {new.model}")
    factor = parse_decimal(new.overage_factor, scale=6).at_scale(6)
    if not 0 <= factor <= FACTOR_LIMIT:
        raise BillingError("bad_rate", f"overage_factor = {new.overage_factor}")
    if new.window is None and factor != PPM:
        raise BillingError("unknown_setting", "overage_factor without a window")


def _check_tiers(new: NewPrice) -> None:
    if new.model == "tiered_block":
        if any(tier.up_to is not None for tier in new.tiers):
            raise BillingError("bad_tiers", "a tier of blocks ends with its blocks, not at a bound")
        sizes = [None if tier.size is None else Scaled(tier.size, 0) for tier in new.tiers]
        check_blocks(sizes, [tier.max_blocks for tier in new.tiers])
        biggest = max((number or 0) for tier in new.tiers for number in (tier.size, tier.max_blocks))
    else:
        if any(tier.size is not None or tier.max_blocks is not None for tier in new.tiers):
            raise BillingError("bad_tiers", f"{new.model} has no blocks")
        check_tiers([None if tier.up_to is None else Scaled(tier.up_to, 0) for tier in new.tiers])
        biggest = max((tier.up_to or 0) for tier in new.tiers)
    within(biggest, QUANTITY_LIMIT)
    has_rates = new.model == "graduated_percentage"
    if any((tier.rate_percent is not None) != has_rates for tier in new.tiers):
        raise BillingError(
            "bad_tiers", "graduated_percentage has a rate_percent in each tier, no other model"
        )


def _amounts(new: NewPrice) -> Iterator[tuple[str, Scaled]]:
    """Every amount and rate of a price, under the name of its column or of its tier."""
    for position, tier in enumerate(new.tiers, start=1):
        rate = tier.rate_percent
        yield f"unit {position}", parse_price(tier.unit) if rate is None else parse_share(rate)
        yield f"flat {position}", parse_price(tier.flat)
    if new.window_commitment is not None:
        yield "window_commitment_mantissa", parse_price(new.window_commitment)
    if new.model == "percentage":
        yield "price_mantissa", parse_share(new.rate_percent if new.rate_percent is not None else "")
        for name, column in _OF_EVENTS.items():
            text = getattr(new, name)
            if text is not None:
                yield column, parse_price(text)
    elif new.model not in (*HAS_TIERS, "dynamic"):
        yield "price_mantissa", parse_price(new.price if new.price is not None else "")


def _spend(text: str, currency: str) -> int:
    amount_minor = parse_money(text, currency)
    if amount_minor < 0:
        raise BillingError("negative_price", f"{text!r}")
    return amount_minor


def check_events(new: NewPrice, kind: str, aggregation: str | None, is_recurring: bool | None) -> None:
    """Prices of single events need a meter that adds its events up, windows one that can be read for an hour
    or a day by itself, levels one that adds up or tells the level. Raises `unknown_model`."""
    is_level = new.prorate != "none" or new.in_advance
    if is_level and aggregation not in ("sum", "count", "latest", "unique_count"):
        raise BillingError("unknown_model", f"a level of a meter that is {aggregation}")
    if new.in_advance and not is_recurring:
        raise BillingError("unknown_model", "in advance a level is paid that goes on: of a recurring meter")
    if new.window is not None and (aggregation not in ("sum", "count", "max") or is_recurring):
        raise BillingError("unknown_model", f"a window of a meter that is {aggregation}")
    if new.model in EVENT_MODELS and (kind != "usage" or aggregation != "sum" or is_recurring):
        raise BillingError("unknown_model", f"{new.model} prices the events of a meter of sums")


def price_terms(store: Store, row: Row) -> Price:
    """A row of `prices`, with its tiers, as the terms the price models take."""
    tiers: list[dict[str, Any]] = []
    if row["model"] in HAS_TIERS:
        tiers = store.rows(
            select(price_tiers)
            .where(price_tiers.c.price_id == row["price_id"])
            .order_by(price_tiers.c.position)
        )
    is_rate = row["model"] == "percentage"
    mantissa = row["price_mantissa"] or 0
    return Price(
        model=row["model"],
        scale=row["price_scale"],
        unit=0 if is_rate else mantissa,
        tiers=tuple(
            PriceTier(
                up_to=None if tier["up_to"] is None else Scaled(tier["up_to"], 0),
                unit=tier["unit_mantissa"],
                flat=tier["flat_mantissa"],
                size=None if tier["block_size"] is None else Scaled(tier["block_size"], 0),
                max_blocks=tier["max_blocks"],
            )
            for tier in tiers
        ),
        package_size=Scaled(row["package_size"] or 1, 0),
        free_units=Scaled(row["free_units"], 0),
        partial_package=row["partial_package"],
        block_policy=row["block_policy"],
        rate=Scaled(mantissa, row["price_scale"]) if is_rate else Scaled(0, 0),
        fee=row["fee_mantissa"] or 0,
        free_events=row["free_events"],
        free_amount=row["free_amount_mantissa"],
        min_per_event=row["min_per_event_mantissa"],
        max_per_event=row["max_per_event_mantissa"],
    )
