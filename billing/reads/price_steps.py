"""What each tier of a price adds to a quantity, exactly: of a price that is tried, of a line that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.core.money import Scaled
from billing.core.pricing import Price, PriceTier, rate


@dataclass(frozen=True, slots=True)
class Step:
    """What one tier of a price adds: its units, the price of each (or of a block, or the share), its flat
    fee and its exact amount in major units. `first`, `last`: the units it holds, `last` None for the open
    one. `units` None: the tier as it is published."""

    first: int
    last: int | None
    units: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal
    amount: Decimal


def decimal(value: Scaled) -> Decimal:
    """An exact scaled integer as a decimal."""
    return Decimal(value.mantissa).scaleb(-value.scale)


def ratio(num: int, den: int) -> Decimal:
    """An exact fraction as a decimal of so many digits as anybody reads."""
    return Decimal(num) / Decimal(den)


def steps_of(price: Price, quantity: Scaled) -> tuple[Step, ...]:
    """What each tier that a quantity enters adds; nothing for a price without tiers."""
    if not price.tiers:
        return ()
    rated = rate(price, quantity)
    entered = _entered(price, quantity, len(rated.parts))
    return tuple(
        replace(
            step_of(price, place),
            units=_units(price, quantity, place),
            amount=ratio(part, rated.den),
        )
        for place, part in zip(entered, rated.parts, strict=True)
    )


def _entered(price: Price, quantity: Scaled, count: int) -> Sequence[int]:
    """Places of the tiers that add something: all from the first on, or the one that holds the quantity."""
    if price.model == "volume" or price.block_policy == "top_tier":
        return range(_reached(price, quantity), _reached(price, quantity) + count)
    return range(count)


def _reached(price: Price, quantity: Scaled) -> int:
    amount = decimal(quantity)
    return next(
        place for place in range(len(price.tiers)) if (top := _top(price, place)) is None or amount <= top
    )


def _top(price: Price, place: int) -> Decimal | None:
    """The last unit that a tier holds; None for the open one."""
    tier = price.tiers[place]
    if tier.size is None:
        return None if tier.up_to is None else decimal(tier.up_to)
    if tier.max_blocks is None:
        return None
    return sum(
        (decimal(one.size or Scaled(1, 0)) * (one.max_blocks or 0) for one in price.tiers[: place + 1]),
        Decimal(0),
    )


def _units(price: Price, quantity: Scaled, place: int) -> Decimal:
    amount = decimal(quantity)
    if price.model == "volume" or price.block_policy == "top_tier":
        return amount
    floor = _top(price, place - 1) if place else Decimal(0)
    top = _top(price, place)
    assert floor is not None
    return (amount if top is None else min(amount, top)) - floor


def step_of(price: Price, place: int) -> Step:
    """A tier as it is published."""
    tier: PriceTier = price.tiers[place]
    floor = (_top(price, place - 1) or Decimal(0)) if place else Decimal(0)
    top = _top(price, place)
    return Step(
        first=int(floor) + 1,
        last=None if top is None else int(top),
        units=None,
        unit_price=decimal(Scaled(tier.unit, price.scale)),
        flat_fee=decimal(Scaled(tier.flat, price.scale)),
        amount=Decimal(0),
    )
