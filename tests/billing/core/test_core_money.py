"""Money: exact until posted, rounded by name, shared without loss."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext
from fractions import Fraction

import polars as pl
import pytest
from both_ways import BOTH_WAYS, as_column
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.money import (
    CURRENCY_EXPONENTS,
    EXACT_LIMIT,
    ROUNDING_MODES,
    BillingError,
    Scaled,
    allocate,
    currency_exponent,
    format_minor,
    greatest,
    least,
    parse_decimal,
    parse_money,
    parse_ppm,
    parse_price,
    parse_quantity,
    part,
    post,
    post_money,
    product,
    running_parts,
    share,
    sign,
    with_shares,
)

TIES = [
    # num, den, half_up, half_even, up, down
    (25, 10, 3, 2, 3, 2),
    (35, 10, 4, 4, 4, 3),
    (-25, 10, -3, -2, -3, -2),
    (-35, 10, -4, -4, -4, -3),
    (5, 10, 1, 0, 1, 0),
    (-5, 10, -1, 0, -1, 0),
    (24, 10, 2, 2, 3, 2),
    (26, 10, 3, 3, 3, 2),
    (-26, 10, -3, -3, -3, -2),
    (20, 10, 2, 2, 2, 2),
    (0, 10, 0, 0, 0, 0),
    (1, 3, 0, 0, 1, 0),
    (3, 2, 2, 2, 2, 1),
]


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(("num", "den", "half_up", "half_even", "up", "down"), TIES)
def test_a_fraction_is_posted_by_the_named_mode(apply, num, den, half_up, half_even, up, down):
    posted = {mode: apply(post, num, den, mode=mode) for mode in ROUNDING_MODES}
    assert posted == {"half_up": half_up, "half_even": half_even, "up": up, "down": down}


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(("days_left", "expected_minor"), [(30, 3000), (15, 1500), (1, 100), (0, 0)])
def test_an_upgrade_pays_for_the_days_left(apply, days_left, expected_minor):
    assert apply(post, 3000 * days_left, 30) == expected_minor


DECIMAL_MODES = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "up": ROUND_UP, "down": ROUND_DOWN}


@given(num=st.integers(-(10**30), 10**30), scale=st.integers(0, 12), mode=st.sampled_from(ROUNDING_MODES))
def test_posting_agrees_with_decimal_arithmetic(num, scale, mode):
    with localcontext(prec=60):
        with_decimals = Decimal(num).scaleb(-scale).quantize(Decimal(1), rounding=DECIMAL_MODES[mode])
    assert post(num, 10**scale, mode) == int(with_decimals)


@settings(max_examples=50)
@given(num=st.integers(0, EXACT_LIMIT), den=st.integers(1, EXACT_LIMIT), mode=st.sampled_from(ROUNDING_MODES))
def test_posting_is_odd_and_the_same_for_columns(num, den, mode):
    assert post(-num, den, mode) == -post(num, den, mode)
    assert as_column(post, num, den, mode=mode) == post(num, den, mode)
    assert as_column(post, -num, den, mode=mode) == post(-num, den, mode)


def test_a_denominator_is_positive_and_a_mode_is_known():
    with pytest.raises(ZeroDivisionError):
        post(1, 0)
    assert as_column(post, 1, 0) is None
    with pytest.raises(BillingError, match="unknown_setting"):
        post(1, 2, "nearest")


def test_a_product_beyond_the_bounds_is_refused_and_never_wraps():
    assert product(2**62, 2**62) == 2**124
    assert as_column(product, 2**62, 2**62) == 2**124
    with pytest.raises(BillingError, match="amount_out_of_range"):
        product(2**62, 2**62 + 1)
    assert as_column(product, 2**62, 2**62 + 1) is None
    assert as_column(product, -(2**100), 2**100) is None
    column = pl.DataFrame({"a": [2**40]}).select(product(pl.col("a"), 2**90)).to_series()
    assert column.to_list() == [None]
    column = pl.DataFrame({"a": [2**40]}).select(product(10**20, pl.col("a"))).to_series()
    assert column.to_list() == [2**40 * 10**20]


def test_nulls_spread_instead_of_vanishing():
    frame = pl.DataFrame({"a": [None, 3], "b": [1, 2]}, schema={"a": pl.Int128, "b": pl.Int128})
    a, b = pl.col("a"), pl.col("b")
    assert frame.select(greatest(a, b)).to_series().to_list() == [None, 3]
    assert frame.select(least(a, b)).to_series().to_list() == [None, 2]
    assert frame.select(product(a, b)).to_series().to_list() == [None, 6]
    assert frame.select(post(a, b)).to_series().to_list() == [None, 2]


@pytest.mark.parametrize("apply", BOTH_WAYS)
def test_signs_and_extremes(apply):
    assert [apply(sign, value) for value in (-3, 0, 9)] == [-1, 0, 1]
    assert apply(greatest, -3, 4) == 4
    assert apply(least, -3, 4) == -3
    assert apply(share, 1000, 1, 3) == 333


# Sharing.


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (5, [1, 1, 1], [2, 2, 1]),
        (9000, [100, 200], [3000, 6000]),
        (1000, [100, 50, 30, 20], [500, 250, 150, 100]),
        (7, [0, 0, 0], [7, 0, 0]),
        (-5, [1, 1, 1], [-2, -2, -1]),
        (0, [3, 4], [0, 0]),
        (1, [0, 1, 0], [0, 1, 0]),
        (10, [1, 2, 4], [1, 3, 6]),
        (5, [], []),
    ],
)
def test_a_total_is_shared_by_weight_and_adds_up(total, weights, expected):
    assert allocate(total, weights) == expected


@given(
    total=st.integers(-(10**15), 10**15),
    weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=12),
)
def test_shares_add_up_and_never_differ_by_a_whole_unit(total, weights):
    shares = allocate(total, weights)
    assert sum(shares) == total
    if sum(weights):
        exact = [Fraction(total * weight, sum(weights)) for weight in weights]
        assert all(abs(given - wanted) < 1 for given, wanted in zip(shares, exact, strict=True))
        assert all(given == 0 for given, weight in zip(shares, weights, strict=True) if weight == 0)


def test_groups_of_a_frame_are_shared_each_on_its_own():
    frame = pl.DataFrame(
        {"invoice": ["a", "b", "a", "b", "a"], "total": [5, 100, 5, 100, 5], "weight": [1, 3, 1, 1, 1]}
    )
    shares = with_shares(frame, "share", total="total", weight="weight", group="invoice")["share"].to_list()
    assert shares == [2, 75, 2, 25, 1]


def test_a_group_beyond_the_bounds_has_no_shares_and_spares_the_others():
    frame = pl.DataFrame(
        {"invoice": ["a", "a", "b"], "total": [2**100, 2**100, 9], "weight": [2**100, 1, 1]},
        schema={"invoice": pl.String, "total": pl.Int128, "weight": pl.Int128},
    )
    shares = with_shares(frame, "share", total="total", weight="weight", group="invoice")["share"].to_list()
    assert shares == [None, None, 9]


def test_negative_weights_and_too_large_totals_are_refused():
    with pytest.raises(BillingError, match="negative_quantity"):
        allocate(5, [1, -1])
    with pytest.raises(BillingError, match="amount_out_of_range"):
        allocate(10**18, [1, 1])


def test_parts_by_running_totals_meet_the_whole():
    thirds = [part(1000 * k, 1000 * (k + 1), 3) for k in range(3)]
    assert thirds == [333, 334, 333]
    assert sum(thirds) == 1000
    assert as_column(part, 1000, 2000, 3) == 334


@given(nums=st.lists(st.integers(-(10**12), 10**12), max_size=10), den=st.integers(1, 10**9))
def test_running_parts_add_up_to_the_posted_sum(nums, den):
    assert sum(running_parts(nums, den)) == post(sum(nums), den)


# Text.


def test_decimal_text_becomes_mantissa_and_scale():
    assert parse_decimal("0.000125") == Scaled(125, 6)
    assert parse_decimal("-12.3400") == Scaled(-1234, 2)
    assert parse_decimal("7") == Scaled(7, 0)
    assert parse_decimal(12) == Scaled(12, 0)
    assert parse_decimal(".5") == Scaled(5, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (0.1, "float_money"),
        (True, "float_money"),
        (None, "float_money"),
        ("", "bad_decimal"),
        ("1,5", "bad_decimal"),
        ("1e5", "bad_decimal"),
        ("NaN", "bad_decimal"),
        ("١٢", "bad_decimal"),
        ("9" * 200, "bad_decimal"),
        ("0.0000000000001", "too_many_decimals"),
        ("9" * 40, "amount_out_of_range"),
    ],
)
def test_text_that_is_no_exact_number_is_refused_with_a_code(text, code):
    with pytest.raises(BillingError) as refused:
        parse_decimal(text)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("currency", "text", "minor"),
    [("USD", "12.34", 1234), ("JPY", "323", 323), ("KWD", "7.250", 7250), ("CLF", "1.2345", 12345)],
)
def test_money_is_read_and_written_in_its_currency(currency, text, minor):
    assert parse_money(text, currency) == minor
    assert format_minor(minor, currency) == text
    assert format_minor(-minor, currency) == f"-{text}"


@pytest.mark.parametrize(
    ("currency", "text", "code"),
    [
        ("JPY", "0.5", "too_many_decimals"),
        ("USD", "1.005", "too_many_decimals"),
        ("XXX", "1", "unknown_currency"),
        ("eur", "1", "unknown_currency"),
        ("USD", "9999999999999999999", "amount_out_of_range"),
    ],
)
def test_money_a_currency_cannot_hold_is_refused(currency, text, code):
    with pytest.raises(BillingError) as refused:
        parse_money(text, currency)
    assert refused.value.code == code


def test_a_top_up_is_posted_at_entry():
    assert post_money("17.9699999999999988631316", "EUR") == 1797
    assert post_money("100.5", "JPY") == 101
    assert post_money("0.0005", "KWD") == 1


def test_prices_quantities_and_rates_have_their_own_doors():
    assert parse_price("0.000125") == Scaled(125, 6)
    assert parse_quantity("5.001", scale=3) == Scaled(5001, 3)
    assert parse_ppm("8.875") == 88_750
    assert parse_ppm("100") == 1_000_000
    for refused, code in [
        (lambda: parse_price("-1"), "negative_price"),
        (lambda: parse_price("1" + "0" * 19), "amount_out_of_range"),
        (lambda: parse_quantity("-1"), "negative_quantity"),
        (lambda: parse_quantity("1.5", scale=0), "too_many_decimals"),
        (lambda: parse_quantity("9" * 16), "amount_out_of_range"),
        (lambda: parse_ppm("100.01"), "bad_rate"),
        (lambda: parse_ppm("-1"), "bad_rate"),
    ]:
        with pytest.raises(BillingError) as raised:
            refused()
        assert raised.value.code == code


def test_currencies_know_their_decimals():
    assert [currency_exponent(code) for code in ("JPY", "EUR", "KWD", "CLF", "SAR", "ISK", "TND")] == [
        0, 2, 3, 4, 2, 0, 3,
    ]  # fmt: skip
    assert set(CURRENCY_EXPONENTS.values()) == {0, 2, 3, 4}
    assert all(len(code) == 3 and code.isupper() for code in CURRENCY_EXPONENTS)
