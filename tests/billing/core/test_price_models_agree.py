"""Columns and a reckoning by exact fractions agree on 100,000 random prices and quantities of each model.

The reference knows one price and one quantity at a time and shares nothing with the engine but the bounds
that the specification sets: amounts of a line up to 10^15 minor units, numerators up to 2^124.
"""

import random
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

import polars as pl
import pytest

from billing.core.event_pricing import rate_events_of_frame
from billing.core.money import Scaled
from billing.core.pricing import Price, rate_events, rate_frame

PAIRS, QUANTITIES_A_PRICE = 100_000, 5
EXPONENTS = {"EUR": 2, "JPY": 0, "KWD": 3}
LINE_LIMIT, EXACT_LIMIT, QUANTITY_LIMIT, PRICE_LIMIT = 10**15, 2**124, 10**15, 10**18


@dataclass
class Case:
    """A price in major units: `unit`, and tiers of (bound, unit, flat fee) or (size, blocks, price)."""

    model: str
    currency: str
    scale: int
    unit: int
    tiers: list[tuple[Any, Any, int]] = field(default_factory=list)
    size: int = 1
    free: int = 0
    partial: str = "up"
    policy: str = "all_tiers"

    def money(self, mantissa: int) -> Fraction:
        return Fraction(mantissa, 10**self.scale)


# The reference.


def reference(case: Case, quantity: Fraction, *, bills_zero: bool) -> Fraction:
    if case.model == "flat":
        return case.money(case.unit)
    if case.model == "per_unit":
        return quantity * case.money(case.unit)
    if case.model == "package":
        packs = max(quantity - case.free, 0) / case.size
        return (ceil(packs) if case.partial == "up" else floor(packs)) * case.money(case.unit)
    if case.model == "tiered_block":
        return blocks(case, quantity)
    if quantity == 0:
        return case.money(case.tiers[0][2]) if bills_zero else Fraction(0)
    if case.model == "volume":
        held = next(tier for tier in case.tiers if tier[0] is None or quantity <= tier[0])
        return quantity * case.money(held[1]) + case.money(held[2])
    total, start = Fraction(0), 0
    for bound, unit, fee in case.tiers:
        if quantity <= start:
            break
        top = quantity if bound is None else min(quantity, bound)
        total += (top - start) * case.money(unit) + case.money(fee)
        start = bound
    return total


def blocks(case: Case, quantity: Fraction) -> Fraction:
    left, total = quantity, Fraction(0)
    for size, most, price in case.tiers:
        fits = most is None or left <= size * most
        if case.policy == "top_tier":
            if fits:
                return ceil(quantity / size) * case.money(price)
        else:
            total += ceil(left / size if fits else Fraction(most)) * case.money(price)
            if fits:
                return total
        left -= size * most
    raise AssertionError("the last tier is open")


# Random prices and quantities, many of them at an edge.


def mantissa(draw: random.Random, limit: int) -> int:
    """Small ones most often, some as large as they may be."""
    kind = draw.random()
    if kind < 0.1:
        return 0
    if kind < 0.95:
        return draw.randrange(10 ** draw.randrange(1, 10))
    return limit - draw.randrange(3) if kind > 0.98 else draw.randrange(limit)


def some_case(draw: random.Random, model: str) -> Case:
    currency = draw.choice(sorted(EXPONENTS))
    case = Case(model, currency, draw.choice([0, 2, 6, 12]), mantissa(draw, PRICE_LIMIT))
    if model == "package":
        case.size, case.free = 1 + mantissa(draw, 10**15 - 1), draw.choice([0, 0, 3, 10**15])
        case.partial = draw.choice(["up", "down"])
    count = draw.randrange(1, 6)
    if model in ("graduated", "graduated_percentage", "volume"):
        bounds = sorted({1 + mantissa(draw, 10**15 - 1) for _ in range(count)})
        case.tiers = [
            (bound, mantissa(draw, PRICE_LIMIT), mantissa(draw, PRICE_LIMIT)) for bound in [*bounds, None]
        ]
    if model == "tiered_block":
        case.policy = draw.choice(["all_tiers", "top_tier"])
        sizes = [1 + mantissa(draw, 10**15 - 1) for _ in range(count)]
        case.tiers = [(size, 1 + mantissa(draw, 10**15 - 1), mantissa(draw, PRICE_LIMIT)) for size in sizes]
        case.tiers.append((1 + mantissa(draw, 10**15 - 1), None, mantissa(draw, PRICE_LIMIT)))
    return case


def edges(case: Case) -> list[int]:
    """Quantities at which something begins."""
    if case.model == "package":
        return [case.free, case.free + case.size, case.size]
    if case.model == "tiered_block":
        ends = [0]
        for size, most, _ in case.tiers[:-1]:
            ends.append(ends[-1] + size * most)
        return [*ends, *(size for size, _, _ in case.tiers)]
    return [0, *(bound for bound, _, _ in case.tiers if bound is not None)]


def some_quantity(draw: random.Random, case: Case) -> tuple[int, int]:
    scale = draw.choice([0, 3, 6, 12])
    if draw.random() < 0.4:
        value = draw.choice(edges(case)) * 10**scale + draw.choice([-1, 0, 0, 1])
        if 0 <= value <= 2**62:
            return value, scale
    value = mantissa(draw, QUANTITY_LIMIT)
    return value + 3 if draw.random() < 0.01 else value, scale


def tables_of(cases: list[Case]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The prices as rows of the tables `prices` and `price_tiers`."""
    is_tiered = [bool(case.tiers) for case in cases]
    prices = pl.DataFrame(
        {
            "price_id": [f"p{i}" for i in range(len(cases))],
            "model": [case.model for case in cases],
            "currency": [case.currency for case in cases],
            "price_mantissa": [None if t else c.unit for c, t in zip(cases, is_tiered, strict=True)],
            "price_scale": [case.scale for case in cases],
            "package_size": [case.size if case.model == "package" else None for case in cases],
            "free_units": [case.free for case in cases],
            "partial_package": [case.partial for case in cases],
            "block_policy": [case.policy for case in cases],
        },
        schema_overrides={"price_mantissa": pl.Int64, "package_size": pl.Int64},
    )
    rows = []
    for i, case in enumerate(cases):
        for position, (first, second, third) in enumerate(case.tiers, start=1):
            of_blocks = (None, third, 0, first, second)
            of_bounds = (first, second, third, None, None)
            rows.append((f"p{i}", position, *(of_blocks if case.model == "tiered_block" else of_bounds)))
    names = ["up_to", "unit_mantissa", "flat_mantissa", "block_size", "max_blocks"]
    schema = {"price_id": pl.String, "position": pl.Int64, **dict.fromkeys(names, pl.Int64)}
    return prices, pl.DataFrame(rows, schema=schema, orient="row")


MODELS = ["flat", "per_unit", "graduated", "graduated_percentage", "volume", "package", "tiered_block"]


@pytest.mark.parametrize("model", MODELS)
def test_a_frame_agrees_with_exact_fractions_and_never_wraps(model: str) -> None:
    draw = random.Random(model)
    cases = [some_case(draw, model) for _ in range(PAIRS // QUANTITIES_A_PRICE)]
    pairs = [
        (i, *some_quantity(draw, case)) for _ in range(QUANTITIES_A_PRICE) for i, case in enumerate(cases)
    ]
    zero_fees = [draw.random() < 0.5 for _ in pairs]
    items = pl.DataFrame(
        {
            "price_id": [f"p{i}" for i, _, _ in pairs],
            "quantity_mantissa": [value for _, value, _ in pairs],
            "quantity_scale": [scale for _, _, scale in pairs],
            "flat_fee_on_zero": ["first_tier" if bills else "none" for bills in zero_fees],
        }
    )
    rated = rate_frame(items, *tables_of(cases))
    answers = rated.select("amount_num", "amount_den", "failure").iter_rows()
    refused = 0
    for (i, value, scale), bills_zero, (num, den, failure) in zip(pairs, zero_fees, answers, strict=True):
        case = cases[i]
        amount = reference(case, Fraction(value, 10**scale), bills_zero=bills_zero)
        amount *= 10 ** EXPONENTS[case.currency]
        parts = amount * 10 ** (scale + case.scale)
        if value > QUANTITY_LIMIT or amount > LINE_LIMIT or parts > EXACT_LIMIT:
            assert (num, den, failure) == (None, None, "amount_out_of_range"), (case, value, scale)
            refused += 1
        else:
            assert failure is None, (case, value, scale, failure)
            assert num * amount.denominator == amount.numerator * den, (case, value, scale)
    assert PAIRS // 200 < refused < PAIRS // 2


# Prices of single events.


@dataclass
class EventCase:
    """A percentage (or dynamic) price; money and rate are mantissas of one scale."""

    model: str
    scale: int
    rate: int = 0
    fee: int | None = None
    free_events: int | None = None
    free_amount: int | None = None
    least: int | None = None
    most: int | None = None


def some_event_case(draw: random.Random, model: str) -> EventCase:
    if model == "dynamic":
        return EventCase(model, 0)

    def maybe(limit: int) -> int | None:
        return mantissa(draw, limit) if draw.random() < 0.5 else None

    case = EventCase(model, draw.choice([2, 4, 6, 12]), mantissa(draw, PRICE_LIMIT), maybe(PRICE_LIMIT))
    case.free_events = draw.choice([None, None, 0, 1, 3])
    case.free_amount = maybe(10**15)
    bounds = sorted([mantissa(draw, PRICE_LIMIT), mantissa(draw, PRICE_LIMIT)])
    case.least, case.most = draw.choice([(None, None), (bounds[0], None), (None, bounds[1]), tuple(bounds)])
    return case


def charges(case: EventCase, values: list[Fraction], setting: str) -> list[Fraction]:
    """What each event of a period costs, read off the rule: the free part ends when its first limit (or its
    last) is used up; an event that crosses the free amount pays the rate on the rest, and the fee."""
    if case.model == "dynamic":
        return values

    def money(amount: int | None) -> Fraction | None:
        return None if amount is None else Fraction(amount, 10**case.scale)

    free_events, free_amount = case.free_events or None, money(case.free_amount or None)
    found, before = [], Fraction(0)
    for place, value in enumerate(values, start=1):
        counts = [] if free_events is None else [place <= free_events]
        rest = None if free_amount is None else max(free_amount - before, Fraction(0))
        amounts = [] if rest is None else [rest > 0]
        is_open = bool(counts + amounts) and (all if setting == "first_limit" else any)(counts + amounts)
        if not is_open:
            free = Fraction(0)
        elif rest is None or (setting == "last_limit" and any(counts)):
            free = value
        else:
            free = min(value, rest)
        before += value
        if is_open and free == value:
            found.append(Fraction(0))
            continue
        charge = (value - free) * Fraction(case.rate, 10**case.scale) + (money(case.fee) or 0)
        most = money(case.most)
        charge = charge if most is None else min(charge, most)
        found.append(max(charge, money(case.least) or Fraction(0)))
    return found


@pytest.mark.parametrize("setting", ["first_limit", "last_limit"])
@pytest.mark.parametrize("model", ["percentage", "dynamic"])
def test_events_in_columns_agree_with_exact_fractions_and_never_wrap(model: str, setting: str) -> None:
    draw = random.Random(f"{model} {setting}")
    cases = [some_event_case(draw, model) for _ in range(1_000)]
    periods = []
    for period in range(PAIRS // 10):
        price, scale = draw.randrange(len(cases)), draw.choice([0, 2, 6, 12])
        top = 10 ** draw.randrange(1, 16)
        values = [min(draw.randrange(top + 1) * draw.choice([0, 1, 1, 1]), 10**15) for _ in range(10)]
        periods.append((period, price, scale, values))
    columns: dict[str, list[Any]] = {"segment": [], "price_id": [], "value_mantissa": [], "value_scale": []}
    for period, price, scale, values in periods:
        columns["segment"] += [period] * len(values)
        columns["price_id"] += [f"p{price}"] * len(values)
        columns["value_mantissa"] += values
        columns["value_scale"] += [scale] * len(values)
    events = pl.DataFrame(columns).with_columns(
        pl.col("segment").alias("period"), pl.lit(setting).alias("percentage_free")
    )
    named = {
        "price_mantissa": "rate",
        "fee_mantissa": "fee",
        "free_events": "free_events",
        "free_amount_mantissa": "free_amount",
        "min_per_event_mantissa": "least",
        "max_per_event_mantissa": "most",
    }
    prices = pl.DataFrame(
        {
            "price_id": [f"p{i}" for i in range(len(cases))],
            "model": [model] * len(cases),
            "price_scale": [case.scale for case in cases],
            **{
                column: pl.Series([getattr(case, name) for case in cases], dtype=pl.Int64)
                for column, name in named.items()
            },
        }
    )
    rated = rate_events_of_frame(events, prices)
    assert rated["segment"].to_list() == list(range(len(periods)))
    refused = 0
    for (_, price, scale, values), (num, den, failure) in zip(
        periods, rated.select("event_num", "event_den", "event_failure").iter_rows(), strict=True
    ):
        case = cases[price]
        each = charges(case, [Fraction(value, 10**scale) for value in values], setting)
        parts = 10 ** (max(scale, case.scale) + case.scale)
        if failure is None:
            assert num * sum(each).denominator == sum(each).numerator * den, (case, values, scale)
            continue
        # Refused are sums that would not fit, or single charges before a maximum cuts them.
        assert failure == "amount_out_of_range"
        uncut = [Fraction(value, 10**scale) * Fraction(case.rate, 10**case.scale) for value in values]
        fee = Fraction(case.fee or 0, 10**case.scale)
        bounds = [Fraction(bound or 0, 10**case.scale) for bound in (case.least, case.most)]
        largest = max([*each, *(one + fee for one in uncut), fee, *bounds])
        assert largest * parts * len(values) > EXACT_LIMIT, (case, values, scale)
        refused += 1
    assert refused < len(periods) // 3


def test_events_of_a_number_and_of_a_column_agree() -> None:
    price = Price("percentage", 2, rate=Scaled(10, 2), fee=100, free_events=2, free_amount=5000)
    values = [30, 30, 0, 30]
    events = pl.DataFrame(
        {
            "segment": [0] * 4,
            "period": [0] * 4,
            "price_id": ["p"] * 4,
            "value_mantissa": values,
            "value_scale": [0] * 4,
            "percentage_free": ["first_limit"] * 4,
        }
    )
    row = {"price_id": "p", "model": "percentage", "price_mantissa": 10, "price_scale": 2}
    row |= {"fee_mantissa": 100, "free_events": 2, "free_amount_mantissa": 5000}
    row |= {"min_per_event_mantissa": None, "max_per_event_mantissa": None}
    schema = {name: pl.Int64 for name in row if name.endswith("event_mantissa")}
    rated = rate_events_of_frame(events, pl.DataFrame([row], schema_overrides=schema)).row(0, named=True)
    # 0 + (1 + 1) + 1 for an event of nothing, + (3 + 1).
    assert Fraction(rated["event_num"], rated["event_den"]) == 7
    in_numbers = rate_events(price, values)
    assert Fraction(in_numbers.num, in_numbers.den) == 7
