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

from billing.core.pricing import rate_frame

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
