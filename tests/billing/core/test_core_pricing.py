"""Price models: the same amount as a number, as a column, in a frame, and by an independent reckoning."""

from fractions import Fraction
from math import ceil, floor

import polars as pl
import pytest
from both_ways import BOTH_WAYS
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.money import CURRENCY_EXPONENTS, BillingError, Scaled, format_scaled, parse_quantity
from billing.core.pricing import (
    UNBOUNDED,
    BlockTier,
    PercentageTerms,
    Price,
    PriceTier,
    Tier,
    blocks_of_all_tiers,
    blocks_of_top_tier,
    check_tiers,
    flat,
    graduated_parts,
    package,
    per_unit,
    percentage_of_event,
    rate,
    rate_events,
    rate_frame,
    true_up,
    volume_parts,
    window_charge,
)

# The reference: exact fractions, one row at a time, sharing nothing with the engine.


def reference(price, quantity, *, first_tier=False):
    """Amount in major units of a price given as (model, unit prices in major units, tiers)."""
    model, tiers = price["model"], price.get("tiers", [])
    if model == "flat":
        return price["unit"]
    if model == "per_unit":
        return quantity * price["unit"]
    if model == "package":
        blocks = max(quantity - price["free"], 0) / price["size"]
        return price["unit"] * (ceil(blocks) if price["partial"] == "up" else floor(blocks))
    if quantity == 0:
        return tiers[0][2] if first_tier else Fraction(0)
    if model == "volume":
        unit, fee = next((unit, fee) for up_to, unit, fee in tiers if up_to is None or quantity <= up_to)
        return quantity * unit + fee
    amount, lower = Fraction(0), Fraction(0)
    for up_to, unit, fee in tiers:
        if quantity > lower:
            amount += (quantity - lower if up_to is None else min(quantity, up_to) - lower) * unit + fee
        if up_to is None:
            break
        lower = up_to
    return amount


def engine_price(price, settings=None):
    def money(value):
        return int(value * 10**6)

    return Price(
        price["model"],
        6,
        money(price.get("unit", 0)),
        tuple(
            PriceTier(None if up_to is None else Scaled(int(up_to), 0), money(unit), money(fee))
            for up_to, unit, fee in price.get("tiers", [])
        ),
        Scaled(int(price.get("size", 1)), 0),
        Scaled(int(price.get("free", 0)), 0),
        price.get("partial", "up"),
        settings=settings or {},
    )


TIERED = [
    (Fraction(100), Fraction(1), Fraction(0)),
    (Fraction(200), Fraction(1, 2), Fraction(0)),
    (None, Fraction(1, 4), Fraction(0)),
]
FEES = [
    (Fraction(5), Fraction(0), Fraction(100)),
    (Fraction(10), Fraction(0), Fraction(50)),
    (Fraction(15), Fraction(10), Fraction(0)),
    (None, Fraction(5), Fraction(0)),
]


def amount(price, quantity, settings=None):
    rated = rate(engine_price(price, settings), parse_quantity(quantity))
    return Fraction(rated.num, rated.den)


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        ({"model": "flat", "unit": Fraction(30)}, "7", "30"),
        ({"model": "per_unit", "unit": Fraction(1)}, "1.995", "1.995"),
        ({"model": "graduated", "tiers": TIERED}, "150", "125"),
        ({"model": "graduated", "tiers": TIERED}, "0", "0"),
        ({"model": "graduated", "tiers": FEES}, "5", "100"),
        ({"model": "graduated", "tiers": FEES}, "5.001", "150"),
        ({"model": "graduated", "tiers": FEES}, "22", "235"),
        ({"model": "volume", "tiers": TIERED}, "100", "100"),
        ({"model": "volume", "tiers": TIERED}, "100.5", "50.25"),
        ({"model": "volume", "tiers": TIERED}, "150", "75"),
        ({"model": "volume", "tiers": FEES}, "5", "100"),
        ({"model": "package", "size": 10, "free": 5, "unit": Fraction(100)}, "12", "100"),
        ({"model": "package", "size": 10, "free": 5, "unit": Fraction(100)}, "3", "0"),
        ({"model": "package", "size": 100, "unit": Fraction(1), "partial": "down"}, "250", "2"),
        ({"model": "package", "size": 100, "unit": Fraction(1)}, "100.001", "2"),
    ],
)
def test_examples_a_bookkeeper_can_check(price, quantity, expected):
    assert amount(price, quantity) == Fraction(expected)


def test_a_flat_fee_at_quantity_zero_is_billed_only_where_the_setting_says_so():
    for model in ("graduated", "volume"):
        price = {"model": model, "tiers": FEES}
        assert amount(price, "0") == 0
        assert amount(price, "0", {"flat_fee_on_zero": "first_tier"}) == 100


# The models, both ways.

INT_TIERS = [Tier(100, 100, 0), Tier(200, 50, 700), Tier(UNBOUNDED, 25, 0)]


def total(parts):
    amounts = [part.amount for part in parts]
    return amounts[0] + amounts[1] + amounts[2]


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(
    ("quantity", "graduated", "volume"),
    [
        (0, 0, 0),
        (1, 100, 100),
        (100, 10_000, 10_000),
        (101, 10_750, 5_750),
        (200, 15_700, 10_700),
        (201, 15_725, 5_025),
    ],
)
def test_tiers_meet_at_their_bounds(apply, quantity, graduated, volume):
    assert apply(lambda q: total(graduated_parts(q, INT_TIERS)), quantity) == graduated
    assert apply(lambda q: total(volume_parts(q, INT_TIERS)), quantity) == volume


@pytest.mark.parametrize("apply", BOTH_WAYS)
def test_simple_models(apply):
    assert apply(per_unit, 3, 250) == 750
    assert apply(flat, 250, 1000) == 250_000
    assert apply(package, 12, 10, 100, 5, 1, 1) == 100
    assert apply(package, 16, 10, 100, 5, 1, 0) == 100
    assert apply(package, 16, 10, 100, 5, 1, 1) == 200
    assert apply(true_up, 100, 150) == 50
    assert apply(true_up, 200, 150) == 0
    assert apply(window_charge, 4, 10, 2, 1, 1) == 10
    assert apply(window_charge, 14, 10, 2, 1, 1) == 18
    assert apply(window_charge, 4, 10, 2, 1, 0) == 4


BLOCKS = [BlockTier(100, 1000, 100), BlockTier(1000, 100_000, 100), BlockTier(1000, UNBOUNDED, 50)]


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(
    ("quantity", "top", "all_tiers"),
    [
        (0, 0, 0),
        (1, 100, 100),
        (1000, 1000, 1000),
        (1001, 200, 1100),
        (101_000, 10_100, 11_000),
        (101_001, 5_100, 11_050),
    ],
)
def test_blocks_are_filled_in_turn_or_all_taken_from_the_top(apply, quantity, top, all_tiers):
    assert apply(lambda q: total(blocks_of_top_tier(q, BLOCKS, 1)), quantity) == top
    assert apply(lambda q: total(blocks_of_all_tiers(q, BLOCKS, 1)), quantity) == all_tiers


def percentages(free_events, free_amount, *, ends_first, values):
    price = Price(
        "percentage",
        2,
        rate=Scaled(10, 2),
        fee=100,
        free_events=free_events,
        free_amount=free_amount,
        settings={"percentage_free": "first_limit" if ends_first else "last_limit"},
    )
    rated = rate_events(price, values)
    return (
        [str(Fraction(num, rated.den)) for num in rated.nums],
        rated.free_events,
        Fraction(*rated.free_amount),
    )


def test_the_free_part_of_percentages_ends_with_the_first_or_the_last_limit():
    values = ["30", "30", "30", "30"]
    # Two events and 50.00 are free: the second event crosses 50 and pays 10 % of 10 and the fee of 1.00.
    assert percentages(2, 5000, ends_first=True, values=values) == (["0", "2", "4", "4"], 1, 50)
    # By the last limit both events are free whole, and the 50 is then used up.
    assert percentages(2, 5000, ends_first=False, values=values) == (["0", "0", "4", "4"], 2, 60)
    assert percentages(3, None, ends_first=True, values=values) == (["0", "0", "0", "4"], 3, 90)
    assert percentages(None, 5000, ends_first=True, values=values) == (["0", "2", "4", "4"], 1, 50)
    assert percentages(0, None, ends_first=True, values=values) == (["4", "4", "4", "4"], 0, 0)


def test_percentages_stay_between_their_least_and_most_and_columns_agree():
    price = Price("percentage", 2, rate=Scaled(299, 4), min_per_event=175, max_per_event=1200)
    rated = rate_events(price, ["10", "80", "10000"])
    assert Fraction(rated.num, rated.den) == Fraction("16.142")
    terms = PercentageTerms(299, 10_000, 0, UNBOUNDED, 0, 175, 1200, 0, 1)
    frame = pl.DataFrame({"value": [1000, 8000, 1_000_000], "place": [1, 2, 3], "before": [0, 1000, 9000]})
    frame = frame.cast(pl.Int128)
    charge = percentage_of_event(pl.col("value"), pl.col("place"), pl.col("before"), terms)
    in_column = frame.select(charge.amount).to_series().to_list()
    assert [Fraction(num, 100 * 10_000) for num in in_column] == [
        Fraction(num, rated.den) for num in rated.nums
    ]


# The frame.

CURRENCIES = ["USD", "JPY", "KWD"]
MONEY = st.integers(0, 10**9).map(lambda n: Fraction(n, 10**6))
BOUNDS = st.lists(st.integers(1, 10**6), min_size=0, max_size=4, unique=True).map(sorted)


@st.composite
def some_price(draw, models=("flat", "per_unit", "graduated", "volume", "package")):
    model = draw(st.sampled_from(models))
    price = {"model": model, "unit": draw(MONEY), "currency": draw(st.sampled_from(CURRENCIES))}
    if model in ("graduated", "volume"):
        price["tiers"] = [(Fraction(b), draw(MONEY), draw(MONEY)) for b in draw(BOUNDS)]
        price["tiers"].append((None, draw(MONEY), draw(MONEY)))
    if model == "package":
        price |= {
            "size": draw(st.integers(1, 1000)),
            "free": draw(st.integers(0, 50)),
            "partial": draw(st.sampled_from(["up", "down"])),
        }
    return price


QUANTITIES = st.builds(lambda m, s: Scaled(m, s), st.integers(0, 10**9), st.sampled_from([0, 3, 6]))


def tables(prices):
    rows, tiers = [], []
    for i, price in enumerate(prices):
        rows.append(
            {
                "price_id": f"p{i}",
                "model": price["model"],
                "currency": price["currency"],
                "price_mantissa": int(price["unit"] * 10**6),
                "price_scale": 6,
                "package_size": price.get("size"),
                "free_units": price.get("free", 0),
                "partial_package": price.get("partial", "up"),
                "block_policy": "all_tiers",
            }
        )
        for position, (up_to, unit, fee) in enumerate(price.get("tiers", []), start=1):
            tiers.append(
                {
                    "price_id": f"p{i}",
                    "position": position,
                    "up_to": None if up_to is None else int(up_to),
                    "unit_mantissa": int(unit * 10**6),
                    "flat_mantissa": int(fee * 10**6),
                    "block_size": None,
                    "max_blocks": None,
                }
            )
    price_frame = pl.DataFrame(rows, schema_overrides={"package_size": pl.Int64}, infer_schema_length=None)
    names = ["position", "up_to", "unit_mantissa", "flat_mantissa", "block_size", "max_blocks"]
    schema = {"price_id": pl.String, **dict.fromkeys(names, pl.Int64)}
    return price_frame, pl.DataFrame(tiers, schema=schema)


@settings(max_examples=60, deadline=None)
@given(
    prices=st.lists(some_price(), min_size=1, max_size=4),
    quantities=st.lists(QUANTITIES, min_size=1, max_size=4),
    bills_zero=st.booleans(),
)
def test_a_frame_prices_each_row_as_the_number_does_and_as_fractions_do(prices, quantities, bills_zero):
    price_frame, tier_frame = tables(prices)
    rows = [(f"p{i}", quantity) for quantity in quantities for i in range(len(prices))]
    setting = "first_tier" if bills_zero else "none"
    items = pl.DataFrame(
        {
            "price_id": [price_id for price_id, _ in rows],
            "quantity_mantissa": [quantity.mantissa for _, quantity in rows],
            "quantity_scale": [quantity.scale for _, quantity in rows],
            "flat_fee_on_zero": [setting] * len(rows),
        }
    )
    rated = rate_frame(items, price_frame, tier_frame)
    assert rated["failure"].null_count() == len(rows)
    in_frame = [Fraction(num, den) for num, den in rated.select("amount_num", "amount_den").iter_rows()]
    for place, (price_id, quantity) in enumerate(rows):
        price = prices[int(price_id[1:])]
        exact = Fraction(quantity.mantissa, 10**quantity.scale)
        expected = reference(price, exact, first_tier=bills_zero)
        assert amount(price, format_scaled(quantity), {"flat_fee_on_zero": setting}) == expected
        assert in_frame[place] == expected * 10 ** CURRENCY_EXPONENTS[price["currency"]]
    alone = rate_frame(items.head(1), price_frame, tier_frame)
    assert alone.row(0) == rated.row(0)


@given(price=some_price(models=("graduated",)), low=QUANTITIES, high=QUANTITIES)
def test_graduated_never_falls_and_equals_volume_inside_the_first_tier(price, low, high):
    first, second = sorted((Fraction(q.mantissa, 10**q.scale), format_scaled(q)) for q in (low, high))
    assert amount(price, first[1]) <= amount(price, second[1])
    if price["tiers"][0][0] is None or first[0] <= price["tiers"][0][0]:
        assert amount(price, first[1]) == amount({**price, "model": "volume"}, first[1])


def one_row(**changes):
    price_frame, tier_frame = tables([{"model": "per_unit", "unit": Fraction(2), "currency": "EUR"}])
    values = {"price_id": "p0", "quantity_mantissa": 3, "quantity_scale": 0} | changes
    items = pl.DataFrame({name: [value] for name, value in values.items()})
    return rate_frame(items, price_frame, tier_frame).row(0, named=True)


def test_a_row_that_cannot_be_priced_says_why_and_has_no_amount():
    assert one_row()["amount_num"] == 3 * 2 * 10**6 * 100
    assert one_row(price_id="nobody")["failure"] == "no_price"
    assert one_row(quantity_mantissa=-1)["failure"] == "negative_quantity"
    assert one_row(quantity_mantissa=10**15 + 1)["failure"] == "amount_out_of_range"
    assert one_row(quantity_mantissa=10**15)["failure"] == "amount_out_of_range"
    assert one_row(quantity_mantissa=10**15)["amount_num"] is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "matrix"}, "unknown_model"),
        ({"currency": "XXX"}, "unknown_currency"),
        ({"model": "volume"}, "bad_tiers"),
        ({"price_mantissa": None}, "amount_out_of_range"),
    ],
)
def test_a_price_that_is_unsound_spares_its_siblings(change, code):
    prices, tiers = tables([{"model": "per_unit", "unit": Fraction(2), "currency": "EUR"}] * 2)
    broken = prices.with_columns(
        pl.when(pl.col("price_id") == "p1").then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in change.items()
    )
    items = pl.DataFrame({"price_id": ["p1", "p0"], "quantity_mantissa": [3, 3], "quantity_scale": [0, 0]})
    assert rate_frame(items, broken, tiers)["failure"].to_list() == [code, None]


def test_tiers_that_do_not_rise_or_do_not_end_open_are_refused():
    for bounds in (
        [],
        [Scaled(5, 0)],
        [None, None],
        [Scaled(5, 0), Scaled(50, 1), None],
        [Scaled(0, 0), None],
    ):
        with pytest.raises(BillingError, match="bad_tiers"):
            check_tiers(bounds)
    check_tiers([Scaled(5, 1), Scaled(6, 1), None])


def test_an_empty_frame_has_the_shape_of_a_full_one():
    prices, tiers = tables([{"model": "per_unit", "unit": Fraction(2), "currency": "EUR"}])
    items = pl.DataFrame({"price_id": ["p0"], "quantity_mantissa": [3], "quantity_scale": [0]})
    assert rate_frame(items.head(0), prices, tiers).schema == rate_frame(items, prices, tiers).schema
