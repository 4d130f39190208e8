"""The lines of a document: what is charged, how much of it, at which price, for which part of a period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.money import Scaled, currency_exponent, post, ten_to
from billing.documents.document import Line, PriceTerms, Proration, Tier
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    items,
    line_items,
    meters,
    policies,
    price_tiers,
    prices,
    skus,
    subscriptions,
    tax_lines,
)

LINE = (
    select(
        line_items,
        components.c.kind.label("component_kind"),
        meters.c.unit.label("meter_unit"),
        skus.c.base_unit,
        subscriptions.c.ship_to,
        prices.c.model,
        prices.c.price_mantissa,
        prices.c.price_scale,
        prices.c.fee_mantissa,
        prices.c.package_size,
        prices.c.free_units,
        policies.c.day_count,
        tax_lines.c.category.label("sum_category"),
        tax_lines.c.country.label("sum_country"),
        tax_lines.c.tax_rate_ppm.label("sum_rate_ppm"),
        tax_lines.c.base_minor.label("sum_base_minor"),
        tax_lines.c.tax_minor.label("sum_tax_minor"),
    )
    .outerjoin(components, components.c.component_id == line_items.c.component_id)
    .outerjoin(meters, meters.c.meter_id == components.c.meter_id)
    .outerjoin(skus, skus.c.sku_id == components.c.sku_id)
    .outerjoin(items, items.c.item_id == line_items.c.item_id)
    .outerjoin(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .outerjoin(prices, prices.c.price_id == line_items.c.price_id)
    .outerjoin(
        policies,
        (policies.c.name == line_items.c.policy_name) & (policies.c.version == line_items.c.policy_version),
    )
    .outerjoin(tax_lines, tax_lines.c.line_id == line_items.c.line_id)
)
"""Posted lines with all that is told of them."""
_TIERS = select(price_tiers).where(price_tiers.c.price_id == bindparam("id")).order_by(price_tiers.c.position)


def category_of(row: Row) -> str:
    return row["tax_category"] or "outside_scope"


def _unit(row: Row) -> str:
    if row["component_kind"] == "seat":
        return row["base_unit"] or "seat"
    return row["meter_unit"] or ""


def _proration(row: Row) -> Proration | None:
    part, whole = row["factor_num"], row["factor_den"]
    if part == whole or not whole:
        return None
    if row["day_count"] != "second":
        return Proration(part=part, whole=whole, unit="day")
    for unit, seconds in (("day", 86_400), ("hour", 3_600)):
        if part % seconds == whole % seconds == 0:
            return Proration(part=part // seconds, whole=whole // seconds, unit=unit)
    return Proration(part=part, whole=whole, unit="second")


def _price_terms(store: Store, row: Row) -> PriceTerms | None:
    if row["model"] is None:
        return None
    scale = row["price_scale"]
    tiers = store.rows(_TIERS, {"id": row["price_id"]}) if row["price_mantissa"] is None else []
    return PriceTerms(
        model=row["model"],
        unit_price=_scaled(row["price_mantissa"], scale),
        fee=_scaled(row["fee_mantissa"], scale),
        package_size=row["package_size"],
        free_units=row["free_units"],
        tiers=tuple(
            Tier(
                up_to=tier["up_to"],
                unit_price=Scaled(tier["unit_mantissa"], scale),
                flat_fee=Scaled(tier["flat_mantissa"], scale),
            )
            for tier in tiers
            if tier["block_size"] is None
        ),
    )


def _scaled(mantissa: int | None, scale: int) -> Scaled | None:
    return None if mantissa is None else Scaled(mantissa, scale)


def _unit_price(
    price: PriceTerms | None, quantity: Scaled, row: Row, gross_minor: int
) -> tuple[Scaled | None, bool]:
    """The price of a unit, and whether it is an average: only a price that makes the line's amount stands as
    such. None for no quantity."""
    if not quantity.mantissa or not row["factor_num"]:
        return None, False
    exponent = currency_exponent(row["currency"])
    # The amount in parts of a minor unit is price * num / den.
    num = quantity.mantissa * row["factor_num"] * ten_to(exponent)
    den = ten_to(quantity.scale) * row["factor_den"]
    for candidate in _candidates(price, quantity):
        exact, parts = candidate.mantissa * num, den * ten_to(candidate.scale)
        if abs(exact - abs(gross_minor) * parts) < parts:
            return candidate, False
    scale = exponent + 2
    unit = abs(gross_minor) * den * ten_to(scale)
    # A charge without a price, such as one that comes once, has the price its amount makes.
    return Scaled(post(unit, num), scale), price is not None or unit % num != 0


def _candidates(price: PriceTerms | None, quantity: Scaled) -> list[Scaled]:
    if price is None:
        return []
    if price.model in ("flat", "per_unit") and price.unit_price is not None:
        return [price.unit_price]
    reached = (
        tier.unit_price
        for tier in price.tiers
        if tier.up_to is None or quantity.mantissa <= tier.up_to * ten_to(quantity.scale)
    )
    return [next(reached, Scaled(0, 0))] if price.model in ("volume", "graduated") else []


def line_of(
    store: Store, row: Row, position: int, party: str | None, corrects: str | None, amounts: Mapping[str, Any]
) -> Line:
    """A line of an invoice; `amounts` are those of the document, which a note has of its own."""
    price = _price_terms(store, row)
    quantity = Scaled(row["quantity_mantissa"], row["quantity_scale"])
    unit_price, is_average = _unit_price(price, quantity, row, amounts["gross_minor"])
    facts: dict[str, Any] = {
        "quantity": quantity,
        "unit_price": unit_price,
        "is_average": is_average,
        "price": price,
        "proration": _proration(row),
    }
    return Line(
        position=position,
        line_id=row["line_id"],
        description=row["description"],
        party=party,
        unit=_unit(row),
        tax_category=category_of(row),
        tax_rate_ppm=row["tax_rate_ppm"],
        corrects=corrects,
        **facts | dict(amounts),
    )
