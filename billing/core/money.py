"""Money and exact numbers: what an amount is, how text becomes one, and the only place where one is rounded.

A posted amount is a whole number of minor units of its currency. A price or a quantity is a mantissa and a
scale (0.000125 is 125 at scale 6). Between the two an amount is an exact fraction `num / den`, and `post`
makes it whole.

Every rule here takes a number (Python `int`) or a column (`polars.Expr`), and is the same arithmetic for
both. In a column a product that would leave the bounds is null, and null spreads to what is made of it: a
caller looks for nulls and parks their customer. For numbers the same product raises `amount_out_of_range`.

What is charged, and when, is decided elsewhere; this module knows no price, period or tax.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, overload

import polars as pl

from billing.core.refusals import in_words

Number: TypeAlias = int | pl.Expr
RoundingMode: TypeAlias = Literal["half_up", "half_even", "up", "down"]

EXACT_LIMIT = 2**124
"""Greatest size of a numerator or a denominator, so that `post` can double them in 128 bits."""
LINE_LIMIT = 10**15
"""Greatest posted amount of one line, in minor units."""
DOCUMENT_LIMIT = 10**17
"""Greatest posted amount of one document, in minor units."""
PRICE_LIMIT = 10**18
QUANTITY_LIMIT = 10**15
MAX_SCALE = 12
PPM = 1_000_000
"""Parts of a whole in a rate: 1 % is 10,000 ppm."""

ROUNDING_MODES: tuple[RoundingMode, ...] = ("half_up", "half_even", "up", "down")


class BillingError(Exception):
    """An input or an act that is refused. `code` is stable and meant for programs, `detail` for people;
    `field` names the argument that is to blame, where one is."""

    def __init__(self, code: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field

    @property
    def message(self) -> str:
        """What is wrong, in plain words."""
        return in_words(self.code, self.detail)


# Currencies (ISO 4217), by the number of decimals of their minor unit.
_EXPONENT_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_EXPONENT_2 = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP "
    "GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD "
    "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP "
    "PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT "
    "TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_EXPONENT_3 = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENT_4 = "CLF UYW"

CURRENCY_EXPONENTS: Mapping[str, int] = {
    code: exponent
    for exponent, codes in ((0, _EXPONENT_0), (2, _EXPONENT_2), (3, _EXPONENT_3), (4, _EXPONENT_4))
    for code in codes.split()
}


def currency_exponent(currency: str) -> int:
    """Decimals of a posted amount: EUR 2, JPY 0, KWD 3. Raises `unknown_currency`."""
    try:
        return CURRENCY_EXPONENTS[currency]
    except KeyError:
        raise BillingError("unknown_currency", f"{currency!r} is no currency of ISO 4217") from None


def ten_to(power: int) -> int:
    """10**power, for a power that is not negative."""
    return int(10**power)


def power_of_ten(power: pl.Expr) -> pl.Expr:
    """10**power as Int128, for a column that is not negative."""
    return pl.lit(10, dtype=pl.Int128).pow(power.cast(pl.UInt32))


def minor_per_major(currency: pl.Expr) -> pl.Expr:
    """How many minor units a currency's major unit has, as Int128; null for a currency nobody knows."""
    units = {code: ten_to(exponent) for code, exponent in CURRENCY_EXPONENTS.items()}
    return wide(currency.replace_strict(units, default=None, return_dtype=pl.Int64))


class Scaled(NamedTuple):
    """An exact decimal: mantissa / 10**scale, scale 0 to 12."""

    mantissa: int
    scale: int

    def at_scale(self, scale: int) -> int:
        """The mantissa at another scale. Raises `too_many_decimals` where that would lose a digit."""
        if scale >= self.scale:
            return self.mantissa * ten_to(scale - self.scale)
        whole, rest = divmod(self.mantissa, ten_to(self.scale - scale))
        if rest:
            raise BillingError("too_many_decimals", f"{format_scaled(self)} has more than {scale} decimals")
        return whole


_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)


def _digits(text: object) -> tuple[int, int]:
    """Mantissa and number of decimals of a decimal text, without trailing zeros. Only text and `int` are
    taken."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text, 0
    if not isinstance(text, str):
        raise BillingError("float_money", f"{text!r} is not decimal text: binary floats are refused")
    if len(text) > 100 or not _DECIMAL.fullmatch(text):
        raise BillingError("bad_decimal", f"{text[:100]!r} is not a decimal number")
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    return int(f"{whole}{decimals}"), len(decimals)


def parse_decimal(text: object, *, scale: int = MAX_SCALE, limit: int = EXACT_LIMIT) -> Scaled:
    """Decimal text (or an `int`) as mantissa and scale, the scale being as small as the text allows.

    Raises `float_money` for anything but text and `int`, `bad_decimal`, `too_many_decimals` beyond `scale`,
    `amount_out_of_range` for a mantissa above `limit`.
    """
    mantissa, decimals = _digits(text)
    if decimals > scale:
        raise BillingError("too_many_decimals", f"{text!r} has more than {scale} decimals")
    if abs(mantissa) > limit:
        raise BillingError("amount_out_of_range", f"{text!r} is beyond {limit}")
    return Scaled(mantissa, decimals)


def parse_price(text: object) -> Scaled:
    """A unit price or fee, in major units. Raises as `parse_decimal`, and `negative_price`."""
    price = parse_decimal(text, limit=PRICE_LIMIT)
    if price.mantissa < 0:
        raise BillingError("negative_price", f"{text!r}")
    return price


def parse_quantity(text: object, *, scale: int = MAX_SCALE) -> Scaled:
    """A quantity. Raises as `parse_decimal`, and `negative_quantity`."""
    quantity = parse_decimal(text, scale=scale, limit=QUANTITY_LIMIT)
    if quantity.mantissa < 0:
        raise BillingError("negative_quantity", f"{text!r}")
    return quantity


def parse_money(text: object, currency: str) -> int:
    """An amount of money in major units ("12.34") as minor units (1234).

    Raises as `parse_decimal`, and `unknown_currency`; more decimals than the currency has are refused.
    """
    exponent = currency_exponent(currency)
    return parse_decimal(text, scale=exponent, limit=DOCUMENT_LIMIT).at_scale(exponent)


def post_money(text: object, currency: str, mode: RoundingMode = "half_up") -> int:
    """An amount in major units with any number of decimals, posted at entry: what a wallet top-up is."""
    mantissa, decimals = _digits(text)
    minor = post(mantissa * ten_to(currency_exponent(currency)), ten_to(decimals), mode)
    return within(minor, DOCUMENT_LIMIT)


def parse_ppm(percent: object) -> int:
    """A percentage ("8.875") as parts per million (88,750).

    Raises `bad_rate` for less than 0 or more than 100 %, `too_many_decimals` for more than four.
    """
    rate = parse_decimal(percent, scale=4).at_scale(4)
    if not 0 <= rate <= PPM:
        raise BillingError("bad_rate", f"{percent!r} % is not between 0 and 100")
    return rate


def parse_share(percent: object) -> Scaled:
    """The rate of a price in percent ("2.99") as an exact share (0.0299); it may be above 1.

    Raises `bad_rate` for less than 0, `too_many_decimals` for more than ten.
    """
    rate = parse_decimal(percent, scale=MAX_SCALE - 2, limit=PRICE_LIMIT)
    if rate.mantissa < 0:
        raise BillingError("bad_rate", f"{percent!r} % is below 0")
    return Scaled(rate.mantissa, rate.scale + 2) if rate.mantissa else Scaled(0, 0)


def format_scaled(value: Scaled) -> str:
    """Decimal text with exactly `scale` decimals."""
    digits = str(abs(value.mantissa)).rjust(value.scale + 1, "0")
    text = f"{digits[: -value.scale]}.{digits[-value.scale :]}" if value.scale else digits
    return f"-{text}" if value.mantissa < 0 else text


def format_minor(amount_minor: int, currency: str) -> str:
    """Minor units as decimal text in major units: 1234 in EUR is "12.34"."""
    return format_scaled(Scaled(amount_minor, currency_exponent(currency)))


# Arithmetic for numbers and columns alike.


@overload
@overload
def wide(value: int) -> int: ...
@overload
def wide(value: pl.Expr) -> pl.Expr: ...
@overload
def wide(value: Number) -> Number: ...
def wide(value: Number) -> Number:
    """The value with room for products: a column becomes 128 bits wide, a number has no limit."""
    return value.cast(pl.Int128) if isinstance(value, pl.Expr) else value


@overload
@overload
def sign(value: int) -> int: ...
@overload
def sign(value: pl.Expr) -> pl.Expr: ...
@overload
def sign(value: Number) -> Number: ...
def sign(value: Number) -> Number:
    """-1, 0 or 1."""
    return value.sign() if isinstance(value, pl.Expr) else (value > 0) - (value < 0)


@overload
def choose(condition: bool, then: int, otherwise: int) -> int: ...
@overload
def choose(condition: pl.Expr, then: Number, otherwise: Number) -> pl.Expr: ...
@overload
def choose(condition: bool | pl.Expr, then: Number, otherwise: Number) -> Number: ...
def choose(condition: bool | pl.Expr, then: Number, otherwise: Number) -> Number:
    """`then` where the condition holds, else `otherwise`; where a condition of a column is null, null."""
    if isinstance(condition, pl.Expr):
        return pl.when(condition).then(then).when(~condition).then(otherwise)
    return then if condition else otherwise


@overload
def greatest(left: int, right: int) -> int: ...
@overload
def greatest(left: pl.Expr, right: Number) -> pl.Expr: ...
@overload
def greatest(left: Number, right: pl.Expr) -> pl.Expr: ...
@overload
def greatest(left: Number, right: Number) -> Number: ...
def greatest(left: Number, right: Number) -> Number:
    """The larger of two. Null where one of them is null."""
    return choose(left >= right, left, right)


@overload
def least(left: int, right: int) -> int: ...
@overload
def least(left: pl.Expr, right: Number) -> pl.Expr: ...
@overload
def least(left: Number, right: pl.Expr) -> pl.Expr: ...
@overload
def least(left: Number, right: Number) -> Number: ...
def least(left: Number, right: Number) -> Number:
    """The smaller of two. Null where one of them is null."""
    return choose(left <= right, left, right)


@overload
@overload
def within(value: int, limit: int) -> int: ...
@overload
def within(value: pl.Expr, limit: int) -> pl.Expr: ...
@overload
def within(value: Number, limit: int) -> Number: ...
def within(value: Number, limit: int) -> Number:
    """The value if its size is at most `limit`: else null in a column, `amount_out_of_range` for a number."""
    if isinstance(value, pl.Expr):
        return pl.when((value <= limit) & (value >= -limit)).then(value)
    if abs(value) > limit:
        raise BillingError("amount_out_of_range", f"{value} is beyond {limit}")
    return value


@overload
@overload
def product(left: int, right: int) -> int: ...
@overload
def product(left: pl.Expr, right: Number) -> pl.Expr: ...
@overload
def product(left: int, right: pl.Expr) -> pl.Expr: ...
@overload
def product(left: Number, right: Number) -> Number: ...
def product(left: Number, right: Number) -> Number:
    """left x right, checked before it is formed, because 128-bit columns wrap silently.

    Beyond EXACT_LIMIT: null in a column, `amount_out_of_range` for a number.
    """
    if isinstance(left, int) and isinstance(right, int):
        return within(left * right, EXACT_LIMIT)
    if isinstance(left, pl.Expr) and isinstance(right, pl.Expr):
        left, right = wide(left), wide(right)
        fits = abs(left) <= pl.lit(EXACT_LIMIT, dtype=pl.Int128) // greatest(abs(right), 1)
        return pl.when(fits).then(left * right)
    if isinstance(left, pl.Expr) and isinstance(right, int):
        return within(wide(left), EXACT_LIMIT // max(abs(right), 1)) * right
    return product(right, left)


@overload
@overload
def post(num: int, den: int, mode: RoundingMode = ...) -> int: ...
@overload
def post(num: pl.Expr, den: Number, mode: RoundingMode = ...) -> pl.Expr: ...
@overload
def post(num: int, den: pl.Expr, mode: RoundingMode = ...) -> pl.Expr: ...
@overload
def post(num: Number, den: Number, mode: RoundingMode = ...) -> Number: ...
def post(num: Number, den: Number, mode: RoundingMode = "half_up") -> Number:
    """num / den as a whole number, rounded by name: `half_up` (halves away from zero), `half_even`, `up`,
    `down`.

    The size is rounded and the sign given back, since engines divide negatives differently. Columns come
    back 128 bits wide, null where a size is beyond EXACT_LIMIT or den is not positive; a number raises
    instead.
    """
    if mode not in ROUNDING_MODES:
        raise BillingError("unknown_setting", f"rounding {mode!r}")
    num, den = within(wide(num), EXACT_LIMIT), _divisor(den)
    size = num * sign(num)
    bias: Number
    if mode == "down":
        bias = 0
    elif mode == "half_up":
        bias = den
    elif mode == "up":
        bias = 2 * den - 1
    else:
        bias = den - 1 + (size // den) % 2
    return sign(num) * ((2 * size + bias) // (2 * den))


def _divisor(den: Number) -> Number:
    if isinstance(den, pl.Expr):
        return pl.when((den > 0) & (den <= EXACT_LIMIT)).then(wide(den))
    if den <= 0:
        raise ZeroDivisionError(f"the denominator {den} is not positive")
    return within(den, EXACT_LIMIT)


@overload
@overload
def share(total: int, weight: int, whole: int, mode: RoundingMode = ...) -> int: ...
@overload
def share(total: pl.Expr, weight: Number, whole: Number, mode: RoundingMode = ...) -> pl.Expr: ...
@overload
def share(total: int, weight: pl.Expr, whole: Number, mode: RoundingMode = ...) -> pl.Expr: ...
@overload
def share(total: Number, weight: Number, whole: Number, mode: RoundingMode = ...) -> Number: ...
def share(total: Number, weight: Number, whole: Number, mode: RoundingMode = "half_up") -> Number:
    """total x weight / whole, posted."""
    num = product(total, weight)
    return post(num, whole, mode)


@overload
@overload
def part(num_before: int, num_after: int, den: int, mode: RoundingMode = ...) -> int: ...
@overload
def part(num_before: pl.Expr, num_after: pl.Expr, den: Number, mode: RoundingMode = ...) -> pl.Expr: ...
@overload
def part(num_before: Number, num_after: Number, den: Number, mode: RoundingMode = ...) -> Number: ...
def part(num_before: Number, num_after: Number, den: Number, mode: RoundingMode = "half_up") -> Number:
    """One part of a whole by running totals: what is posted up to its end less what was posted up to its
    start.

    The parts of a whole, each beginning where the one before ended, add up to the posted whole.
    """
    return post(num_after, den, mode) - post(num_before, den, mode)


def running_parts(nums: Sequence[int], den: int, mode: RoundingMode = "half_up") -> list[int]:
    """Posted parts of a whole that is the sum of `nums` / den, in order; they add up to the posted sum."""
    parts, before = [], 0
    for num in nums:
        parts.append(part(before, before + num, den, mode))
        before += num
    return parts


def allocate(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Whole shares of a total by weight, adding up to it (largest remainder, ties to the earlier weight).

    Weights are not negative; where all are zero the first takes everything. A negative total is shared as
    its size. Raises `negative_quantity` and `amount_out_of_range`.
    """
    if not weights:
        return []
    if any(weight < 0 for weight in weights):
        raise BillingError("negative_quantity", "a weight is negative")
    within(total_minor, DOCUMENT_LIMIT)
    product(abs(total_minor), sum(weights))
    frame = pl.DataFrame(
        {
            "group": pl.Series([0] * len(weights), dtype=pl.Int64),
            "total_minor": pl.Series([total_minor] * len(weights), dtype=pl.Int128),
            "weight": pl.Series(weights, dtype=pl.Int128),
        }
    )
    shares = with_shares(frame, "share", total="total_minor", weight="weight", group="group")
    return [int(value) for value in shares["share"].to_list()]


def with_shares(rows: pl.DataFrame, name: str, *, total: str, weight: str, group: str) -> pl.DataFrame:
    """`allocate` for many groups: sets `name` (Int128), each row's share of its group's total.

    `group` names one column, `total` one whose value is the same on all rows of a group; rows stand in the
    order that breaks ties. Weights are not negative. Null for a whole group where a product would leave the
    bounds.
    """
    numbered = rows.with_row_index("_row")
    sums = numbered.group_by(group).agg(
        wide(pl.col(weight)).sum().alias("_sum"), pl.col("_row").min().alias("_first")
    )
    is_first = (pl.col("_row") == pl.col("_first")).cast(pl.Int128)
    part = pl.when(pl.col("_sum") == 0).then(is_first).otherwise(wide(pl.col(weight)))
    floored = (
        numbered.select("_row", group, total, weight)
        .join(sums, on=group, how="left", maintain_order="left")
        .with_columns(part.alias("_part"), greatest(pl.col("_sum"), 1).alias("_whole"))
        .with_columns(product(abs(wide(pl.col(total))), pl.col("_part")).alias("_weighted"))
        .with_columns(
            (pl.col("_weighted") // pl.col("_whole")).alias("_share"),
            (pl.col("_weighted") % pl.col("_whole")).alias("_rest"),
        )
    )
    # The missing units are the remainders' sum; they go to the largest of these, the earlier row first.
    rests = (
        floored.filter(pl.col("_rest") > 0)
        .select("_row", group, "_rest", "_whole")
        .sort(group, "_rest", "_row", descending=[False, True, False])
        .with_columns(pl.int_range(pl.len()).alias("_place"))
    )
    if rests.height:
        missing = pl.col("_rest").sum().over(group) // pl.col("_whole")
        place = pl.col("_place") - pl.col("_place").min().over(group)
        up = rests.filter(place < missing).select("_row", pl.lit(1, dtype=pl.Int128).alias("_up"))
        floored = floored.join(up, on="_row", how="left", maintain_order="left").with_columns(
            pl.col("_share") + pl.col("_up").fill_null(0)
        )
    share = sign(wide(pl.col(total))) * pl.col("_share")
    if floored["_weighted"].null_count():
        share = pl.when(pl.col("_weighted").is_not_null().all().over(group)).then(share)
    return rows.with_columns(floored.select(share.alias(name)).to_series())
