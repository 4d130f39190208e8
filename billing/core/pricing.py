"""Price models: a quantity in, an exact amount out.

The models are arithmetic on mantissas and take numbers or columns. A quantity is a mantissa in parts of
`den` (for three decimals 1000); bounds of tiers and flat fees are brought to the same parts, so an amount
comes out in parts of `den` times the price's own scale. `rate` prices one quantity and `rate_frame` a frame
of them; both call the same models, and neither rounds.

Which quantity and which price are meant, proration and rounding are decided elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import polars as pl

from billing.core.money import (
    EXACT_LIMIT,
    LINE_LIMIT,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    BillingError,
    Number,
    Scaled,
    choose,
    greatest,
    least,
    minor_per_major,
    parse_decimal,
    power_of_ten,
    product,
    ten_to,
    wide,
    within,
)

UNBOUNDED = 10**34
"""The bound of an open tier, in any parts: above every quantity, below what 128 bits hold."""


class Tier(NamedTuple):
    """One tier as the models take it, each field a number or a column.

    `up_to` is the inclusive bound in parts of the quantity, `unit` the price of a unit at the price's
    scale, `flat` the fee due once the tier is entered, at the scale of the amount.
    """

    up_to: Number
    unit: Number
    flat: Number


class TierPart(NamedTuple):
    """What one tier adds: whether it was entered (0 or 1) and its amount."""

    entered: Number
    amount: Number


# The models.


def flat(price: Number, den: Number) -> Number:
    """The price, whatever the quantity."""
    return product(price, den)


def per_unit(quantity: Number, price: Number) -> Number:
    """Each unit at one price."""
    return product(quantity, price)


def graduated_parts(quantity: Number, tiers: Sequence[Tier], zero_fee: Number = 0) -> list[TierPart]:
    """Each unit at the price of the tier it falls in, and the flat fee of each tier entered.

    At quantity 0 no tier is entered; with `zero_fee` 1 the first one is all the same.
    """
    parts: list[TierPart] = []
    floor: Number = 0
    for position, tier in enumerate(tiers):
        units = greatest(least(quantity, tier.up_to) - floor, 0)
        entered = choose(quantity > floor, 1, zero_fee if position == 0 else 0)
        parts.append(TierPart(entered, product(units, tier.unit) + tier.flat * entered))
        floor = tier.up_to
    return parts


def volume_parts(quantity: Number, tiers: Sequence[Tier], zero_fee: Number = 0) -> list[TierPart]:
    """All units at the price of the tier that holds the whole quantity, and that tier's flat fee."""
    parts: list[TierPart] = []
    floor: Number = 0
    for position, tier in enumerate(tiers):
        is_above = choose(quantity > floor, 1, zero_fee if position == 0 else 0)
        entered = choose(quantity <= tier.up_to, is_above, 0)
        parts.append(TierPart(entered, (product(quantity, tier.unit) + tier.flat) * entered))
        floor = tier.up_to
    return parts


def package(
    quantity: Number, size: Number, price: Number, free: Number, den: Number, rounds_up: Number
) -> Number:
    """Blocks of `size` beyond the free units, a block begun counting whole (`rounds_up` 1) or not at all (0).

    `size` and `free` are in the parts of the quantity.
    """
    blocks = (greatest(quantity - free, 0) + (size - 1) * rounds_up) // size
    return product(product(blocks, price), den)


class BlockTier(NamedTuple):
    """Blocks of one size: `size` and `capacity` (UNBOUNDED for the last) in parts of the quantity."""

    size: Number
    capacity: Number
    price: Number


def blocks_of_all_tiers(quantity: Number, tiers: Sequence[BlockTier], den: Number) -> list[TierPart]:
    """Tiers are filled in turn; in each a block begun counts whole."""
    parts: list[TierPart] = []
    floor: Number = 0
    for tier in tiers:
        units = least(greatest(quantity - floor, 0), tier.capacity)
        blocks = (units + tier.size - 1) // tier.size
        parts.append(TierPart(choose(units > 0, 1, 0), product(product(blocks, tier.price), den)))
        floor = floor + tier.capacity
    return parts


def blocks_of_top_tier(quantity: Number, tiers: Sequence[BlockTier], den: Number) -> list[TierPart]:
    """Everything in blocks of the highest tier reached: one whose lower tiers cannot hold the quantity."""
    parts: list[TierPart] = []
    floor: Number = 0
    for tier in tiers:
        ceiling = floor + tier.capacity
        entered = choose(quantity > floor, choose(quantity <= ceiling, 1, 0), 0)
        blocks = product((quantity + tier.size - 1) // tier.size, entered)
        parts.append(TierPart(entered, product(product(blocks, tier.price), den)))
        floor = ceiling
    return parts


class EventCharge(NamedTuple):
    """What one event of a percentage price costs, what of it was free, and whether all of it was (0 or 1)."""

    amount: Number
    free_amount: Number
    free_events: Number


class PercentageTerms(NamedTuple):
    """A percentage price: `rate` is a share at scale `rate_den` (0.0299 is 299 of 10,000); money in one
    scale.

    A limit that is not agreed is without bound (`free_events`, `free_amount`, `most`) or 0 (`fee`, `least`).
    `has_free_part` is 0 where neither limit is agreed; `ends_first` 1 ends the free part with the first
    limit used up, 0 with the last.
    """

    rate: Number
    rate_den: Number
    fee: Number
    free_events: Number
    free_amount: Number
    least: Number
    most: Number
    has_free_part: Number
    ends_first: Number


class FreePart(NamedTuple):
    """What of an event's value is free, and whether an event that pays nothing is free of the fee too."""

    amount: Number
    may_be_whole: Number


def free_part_of_event(
    value: Number, place: Number, amount_before: Number, terms: PercentageTerms
) -> FreePart:
    """`place` is 1 for the first event of the period, `amount_before` the values of those before it."""
    is_free_place = choose(place <= terms.free_events, terms.has_free_part, 0)
    free_rest = greatest(terms.free_amount - amount_before, 0) * terms.has_free_part
    by_amount = least(value, free_rest)
    has_rest = choose(free_rest > 0, 1, 0)
    ends_last = 1 - terms.ends_first
    free_if_last = value * is_free_place + by_amount * (1 - is_free_place)
    free = by_amount * is_free_place * terms.ends_first + free_if_last * ends_last
    both, either = is_free_place * has_rest, greatest(is_free_place, has_rest)
    return FreePart(free, both * terms.ends_first + either * ends_last)


def charge_of_event(paid: Number, may_be_free: Number, terms: PercentageTerms) -> EventCharge:
    """The charge of what an event has to pay, in parts of the money's scale times `rate_den`."""
    is_free = choose(paid > 0, 0, may_be_free)
    charge = within(product(paid, terms.rate) + product(terms.fee, terms.rate_den), EXACT_LIMIT)
    bounded = greatest(
        least(charge, product(terms.most, terms.rate_den)), product(terms.least, terms.rate_den)
    )
    return EventCharge(bounded * (1 - is_free), paid, is_free)


def percentage_of_event(
    value: Number, place: Number, amount_before: Number, terms: PercentageTerms
) -> EventCharge:
    """The charge of one event, in parts of the money's scale times `rate_den`.

    A value that crosses the free amount pays the rate on its rest, and the fee; an event wholly free pays
    nothing.
    """
    free = free_part_of_event(value, place, amount_before, terms)
    charge = charge_of_event(value - free.amount, free.may_be_whole, terms)
    return EventCharge(charge.amount, free.amount, charge.free_events)


def true_up(amount: Number, minimum: Number) -> Number:
    """What is missing to a minimum, both in the same parts."""
    return greatest(minimum - amount, 0)


def cut_at(amount: Number, before: Number, maximum: Number) -> Number:
    """What of an amount fits under a maximum that `before` has begun to fill, all in the same parts."""
    return least(before + amount, maximum) - least(before, maximum)


def window_charge(
    cost: Number, commitment: Number, factor_num: Number, factor_den: Number, trues_up: Number
) -> Number:
    """One window of a commitment, in parts of `factor_den`: the commitment is the least (with `trues_up`
    1), and what exceeds it costs the factor times the price."""
    base = choose(trues_up == 1, commitment, least(cost, commitment))
    return product(base, factor_den) + product(greatest(cost - commitment, 0), factor_num)


# One price, as published.

MODELS = (
    "flat",
    "per_unit",
    "graduated",
    "volume",
    "package",
    "percentage",
    "graduated_percentage",
    "tiered_block",
    "dynamic",
)
TIERED = ("graduated", "graduated_percentage", "volume")
"""Models whose tiers have bounds; those of `tiered_block` have blocks instead."""
EVENT_MODELS = ("percentage", "dynamic")
"""Models that price single events."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """`up_to` inclusive (None: open), `unit` price or rate and `flat` fee at the price's scale.

    For blocks `unit` is the price of a block, `size` its units and `max_blocks` what the tier holds.
    """

    up_to: Scaled | None
    unit: int
    flat: int = 0
    size: Scaled | None = None
    max_blocks: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """The terms of one price; money in major units as mantissas of one `scale` (rates: as shares, 0.05 for
    5 %)."""

    model: str
    scale: int
    unit: int = 0
    tiers: tuple[PriceTier, ...] = ()
    package_size: Scaled = Scaled(1, 0)  # noqa: RUF009 - a tuple, hence immutable
    free_units: Scaled = Scaled(0, 0)  # noqa: RUF009
    partial_package: str = "up"
    block_policy: str = "all_tiers"
    rate: Scaled = Scaled(0, 0)  # noqa: RUF009
    fee: int = 0
    free_events: int | None = None
    free_amount: int | None = None
    min_per_event: int | None = None
    max_per_event: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def bills_zero(self) -> int:
        return int(self.settings.get("flat_fee_on_zero", "none") == "first_tier")


def check_tiers(bounds: Sequence[Scaled | None]) -> None:
    """Raises `bad_tiers` unless bounds rise from above 0 and only the last is open."""
    if not bounds or bounds[-1] is not None or any(bound is None for bound in bounds[:-1]):
        raise BillingError("bad_tiers", "the last tier, and only it, is without bound")
    scale = max((bound.scale for bound in bounds if bound), default=0)
    rising = [0, *(bound.at_scale(scale) for bound in bounds if bound)]
    if any(after <= before for before, after in pairwise(rising)):
        raise BillingError("bad_tiers", "the bounds of tiers rise")


def check_blocks(sizes: Sequence[Scaled | None], max_blocks: Sequence[int | None]) -> None:
    """Raises `bad_tiers` unless every tier has blocks of a size above 0, and only the last holds any number
    of them."""
    if not sizes or any(size is None or size.mantissa <= 0 for size in sizes):
        raise BillingError("bad_tiers", "a block has a size above 0")
    *bounded, last = max_blocks
    if last is not None or any(most is None or most <= 0 for most in bounded):
        raise BillingError("bad_tiers", "the last tier of blocks, and only it, is without bound")


class Rated(NamedTuple):
    """An exact amount `num / den` in major units, and how it came about.

    `parts` are the amounts of the tiers entered, in parts of `den`; a price without tiers has one.
    """

    num: int
    den: int
    parts: tuple[int, ...]


Ratio: TypeAlias = tuple[int, int]


def rate(price: Price, quantity: Scaled | Ratio) -> Rated:
    """One quantity (a `Scaled`, or an exact fraction num, den) priced exactly.

    Raises `negative_quantity`, `amount_out_of_range`, `bad_tiers`, `unknown_model`.
    """
    num, den = (quantity.mantissa, ten_to(quantity.scale)) if isinstance(quantity, Scaled) else quantity
    if num < 0:
        raise BillingError("negative_quantity", f"{num}/{den}")
    finer = ten_to(max((bound.scale for bound in _bounds(price)), default=0))
    num, den = num * finer, den * finer
    parts = [part for part in _MODELS_OF_NUMBERS[_known(price.model)](price, num, den) if part.entered]
    amounts = tuple(_int(part.amount) for part in parts)
    return Rated(sum(amounts), den * ten_to(price.scale), amounts)


def _known(model: str) -> str:
    if model not in _MODELS_OF_NUMBERS:
        raise BillingError("unknown_model", f"{model!r} does not price a quantity")
    return model


def _int(value: Number) -> int:
    assert isinstance(value, int)
    return value


def _bounds(price: Price) -> list[Scaled]:
    bounds = [price.package_size, price.free_units]
    for tier in price.tiers:
        bounds += [bound for bound in (tier.up_to, tier.size) if bound is not None]
    return bounds


def _in_parts(value: Scaled, den: int) -> int:
    return value.mantissa * den // ten_to(value.scale)


def _tiers(price: Price, den: int) -> list[Tier]:
    check_tiers([tier.up_to for tier in price.tiers])
    return [
        Tier(
            UNBOUNDED if tier.up_to is None else _in_parts(tier.up_to, den),
            tier.unit,
            tier.flat * den,
        )
        for tier in price.tiers
    ]


def _block_tiers(price: Price, den: int) -> list[BlockTier]:
    most = [tier.max_blocks for tier in price.tiers]
    check_blocks([tier.size for tier in price.tiers], [*most[:-1], None])
    tiers = []
    for position, tier in enumerate(price.tiers, start=1):
        size = _in_parts(tier.size or Scaled(1, 0), den)
        is_open = position == len(price.tiers)
        tiers.append(BlockTier(size, UNBOUNDED if is_open else size * (tier.max_blocks or 0), tier.unit))
    return tiers


def _one_part(amount: Number) -> list[TierPart]:
    return [TierPart(1, amount)]


def _package_of(price: Price, num: int, den: int) -> list[TierPart]:
    size, free = _in_parts(price.package_size, den), _in_parts(price.free_units, den)
    if size <= 0:
        raise BillingError("bad_tiers", "a package has a size above 0")
    return _one_part(package(num, size, price.unit, free, den, int(price.partial_package == "up")))


def _blocks_of(price: Price, num: int, den: int) -> list[TierPart]:
    blocks = blocks_of_top_tier if price.block_policy == "top_tier" else blocks_of_all_tiers
    return blocks(num, _block_tiers(price, den), den)


_MODELS_OF_NUMBERS: Mapping[str, Callable[[Price, int, int], list[TierPart]]] = {
    "flat": lambda price, num, den: _one_part(flat(price.unit, den)),
    "per_unit": lambda price, num, den: _one_part(per_unit(num, price.unit)),
    "graduated": lambda price, num, den: graduated_parts(num, _tiers(price, den), price.bills_zero),
    "graduated_percentage": lambda price, num, den: graduated_parts(
        num, _tiers(price, den), price.bills_zero
    ),
    "volume": lambda price, num, den: volume_parts(num, _tiers(price, den), price.bills_zero),
    "package": _package_of,
    "tiered_block": _blocks_of,
}


def without_flat_fees(price: Price) -> Price:
    """The same price, its tiers costing only by the unit."""
    return replace(price, tiers=tuple(replace(tier, flat=0) for tier in price.tiers))


class RatedEvents(NamedTuple):
    """The exact amounts of single events in major units, `nums` / `den`, and the free part that was used."""

    nums: tuple[int, ...]
    den: int
    free_events: int
    free_amount: Ratio

    @property
    def num(self) -> int:
        return sum(self.nums)


def rate_events(price: Price, values: Sequence[object]) -> RatedEvents:
    """Events in their order under a `percentage` or `dynamic` price. Values are decimal texts in major
    units."""
    parsed = [parse_decimal(value) for value in values]
    if any(value.mantissa < 0 for value in parsed):
        raise BillingError("negative_quantity", "an event of a percentage or dynamic price is not negative")
    scale = max([price.scale, *(value.scale for value in parsed)])
    amounts = [value.at_scale(scale) for value in parsed]
    if price.model == "dynamic":
        return RatedEvents(tuple(amounts), ten_to(scale), 0, (0, 1))
    if price.model != "percentage":
        raise BillingError("unknown_model", f"{price.model!r} does not price single events")
    terms = _percentage_terms(price, scale)
    charges, before = [], 0
    for place, amount in enumerate(amounts, start=1):
        charges.append(percentage_of_event(amount, place, before, terms))
        before += amount
    return RatedEvents(
        tuple(_int(charge.amount) for charge in charges),
        ten_to(scale + price.rate.scale),
        sum(_int(charge.free_events) for charge in charges),
        (sum(_int(charge.free_amount) for charge in charges), ten_to(scale)),
    )


def _percentage_terms(price: Price, scale: int) -> PercentageTerms:
    def money(mantissa: int | None, absent: int) -> int:
        return absent if mantissa is None else mantissa * ten_to(scale - price.scale)

    has_free_part = bool(price.free_events or price.free_amount)
    ends_first = price.settings.get("percentage_free", "first_limit") == "first_limit"
    absent = UNBOUNDED if ends_first else 0
    return PercentageTerms(
        rate=price.rate.mantissa,
        rate_den=ten_to(price.rate.scale),
        fee=money(price.fee, 0),
        free_events=price.free_events or absent,
        free_amount=money(price.free_amount, absent) or absent,
        least=money(price.min_per_event, 0),
        most=EXACT_LIMIT // ten_to(price.rate.scale)
        if price.max_per_event is None
        else money(price.max_per_event, 0),
        has_free_part=int(has_free_part),
        ends_first=int(ends_first),
    )


# Many prices at once.

FRAME_MODELS = ("flat", "per_unit", *TIERED, "package", "tiered_block")


def rate_frame(items: pl.DataFrame, prices: pl.DataFrame, tiers: pl.DataFrame) -> pl.DataFrame:
    """Many quantities priced exactly, each by its own price.

    items: one row a quantity, with `price_id`, `quantity_mantissa`, `quantity_scale`; columns `quantity_num`
    and `quantity_den`, where not null, hold the exact mantissa of a quantity that is no decimal number; a
    column `flat_fee_on_zero` (`none` or `first_tier`) holds that setting per row, else it is `none`. Rows
    that are not priced by their quantity bring what they cost, as event_pricing.py finds it for a model of
    events and windows.py for windows: `event_num` / `event_den` in major units, and `event_failure`.
    prices, tiers: rows of the tables `prices` and `price_tiers`; one row a price, one a price and position.
    Returns items, in their order, with `amount_num` and `amount_den` (Int128, minor units of the price's
    currency) and `failure`: null, or the code of what is wrong with the row, which then has no amount
    (`no_price`, `unknown_model`, `bad_tiers`, `negative_quantity`, `amount_out_of_range`).
    """
    terms, positions = _terms_of_prices(prices, tiers)
    rows = items.with_row_index("_row").join(terms, on="price_id", how="left", maintain_order="left")
    zero_fee = (
        pl.col("flat_fee_on_zero") == "first_tier" if "flat_fee_on_zero" in items.columns else pl.lit(False)
    )
    if "event_num" not in items.columns:
        rows = rows.with_columns(pl.lit(None, pl.Int128).alias(name) for name in ("event_num", "event_den"))
        rows = rows.with_columns(pl.lit(None, pl.String).alias("event_failure"))
    mantissa = within(wide(pl.col("quantity_mantissa")), QUANTITY_LIMIT)
    den = power_of_ten(pl.col("quantity_scale"))
    if "quantity_num" in items.columns:
        mantissa = pl.when(mantissa.is_not_null()).then(pl.coalesce("quantity_num", mantissa))
        den = den * pl.col("quantity_den").fill_null(1)
    rows = rows.with_columns(
        mantissa.alias("_quantity"),
        den.alias("_den"),
        zero_fee.cast(pl.Int128).fill_null(0).alias("_zero_fee"),
    )
    amounts = [
        group.select("_row", _amount_of_rule(str(rule), positions).alias("_amount"))
        for (rule,), group in rows.group_by("_rule", maintain_order=True)
    ]
    empty = pl.DataFrame(schema={"_row": pl.UInt32, "_amount": pl.Int128})
    rows = rows.hstack(pl.concat(amounts or [empty]).sort("_row").select("_amount"))
    if "event_num" in items.columns:
        is_told = pl.col("event_den").is_not_null()
        rows = rows.with_columns(pl.when(is_told).then("event_num").otherwise("_amount").alias("_amount"))
    return (
        rows.with_columns(
            product(pl.col("_amount"), pl.col("_minor_per_major")).alias("_num"),
            pl.coalesce("event_den", pl.col("_den") * pl.col("_price_den")).alias("_den"),
        )
        .with_columns(_failure().alias("failure"))
        .with_columns(
            pl.when(pl.col("failure").is_null()).then(pl.col("_num")).alias("amount_num"),
            pl.when(pl.col("failure").is_null()).then(pl.col("_den")).alias("amount_den"),
        )
        .select(*items.columns, "amount_num", "amount_den", "failure")
    )


def _terms_of_prices(prices: pl.DataFrame, tiers: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """One row a price with its terms as wide columns, and how many tiers the longest has.

    A price with fewer tiers goes on with tiers that nothing can enter.
    """
    terms = prices.select(
        "price_id",
        pl.col("model").alias("_model"),
        wide(pl.col("price_mantissa")).alias("_price"),
        power_of_ten(pl.col("price_scale")).alias("_price_den"),
        wide(pl.col("package_size")).alias("_size"),
        wide(pl.col("free_units")).fill_null(0).alias("_free"),
        (pl.col("partial_package") == "up").cast(pl.Int128).fill_null(1).alias("_rounds_up"),
        pl.when(pl.col("model") == "tiered_block").then("block_policy").otherwise("model").alias("_rule"),
        minor_per_major(pl.col("currency")).alias("_minor_per_major"),
    )
    if tiers.is_empty():
        unknown = pl.lit(None, pl.Boolean)
        return terms.with_columns(unknown.alias("_is_sound"), unknown.alias("_has_blocks")), 0
    ranked = tiers.sort("price_id", "position").with_columns(
        pl.int_range(pl.len()).over("price_id").alias("_place"),
        pl.col("up_to").shift(1).over("price_id").alias("_before"),
        (pl.int_range(pl.len()) == pl.len() - 1).over("price_id").alias("_is_last"),
    )
    rises = (pl.col("up_to") > pl.col("_before").fill_null(0)).fill_null(False)
    sound = ranked.group_by("price_id").agg(
        pl.when(pl.col("_is_last")).then(pl.col("up_to").is_null()).otherwise(rises).all().alias("_is_sound")
    )
    terms = terms.join(sound, on="price_id", how="left")
    terms = terms.join(_sound_blocks(ranked), on="price_id", how="left")
    positions = ranked.select((pl.col("_place").max() + 1).fill_null(0)).item()
    for place in range(positions):
        tier = ranked.filter(pl.col("_place") == place).select(
            "price_id",
            wide(pl.col("up_to")).alias(f"_up_to_{place}"),
            wide(pl.col("unit_mantissa")).alias(f"_unit_{place}"),
            wide(pl.col("flat_mantissa")).fill_null(0).alias(f"_flat_{place}"),
            wide(pl.col("block_size")).fill_null(1).alias(f"_size_{place}"),
            _capacity().alias(f"_capacity_{place}"),
        )
        terms = terms.join(tier, on="price_id", how="left")
    return terms, positions


_OPEN_UNITS = 10 * QUANTITY_LIMIT
"""The capacity of an open tier of blocks: more whole units than any quantity has."""


def _capacity() -> pl.Expr:
    """Whole units a tier of blocks holds."""
    units = product(wide(pl.col("block_size")), wide(pl.col("max_blocks"))).fill_null(_OPEN_UNITS)
    return least(units, _OPEN_UNITS)


def _sound_blocks(ranked: pl.DataFrame) -> pl.DataFrame:
    """Whether the tiers of each price can be filled with blocks: `price_id`, `_has_blocks`."""
    is_open = pl.col("max_blocks").is_null()
    fits = pl.when(pl.col("_is_last")).then(is_open).otherwise(pl.col("max_blocks") > 0)
    is_sound = (fits & (pl.col("block_size") > 0)).fill_null(False)
    return ranked.group_by("price_id").agg(is_sound.all().alias("_has_blocks"))


def _amount_of_rule(rule: str, positions: int) -> pl.Expr:
    """The amount at the scale of quantity and price, of rows that share a model (of blocks: a policy).

    Null where it cannot be told.
    """
    quantity, den, price = pl.col("_quantity"), pl.col("_den"), within(pl.col("_price"), PRICE_LIMIT)
    zero_fee = pl.col("_zero_fee")
    tiers = [
        Tier(
            (pl.col(f"_up_to_{place}") * den).fill_null(UNBOUNDED),
            within(pl.col(f"_unit_{place}").fill_null(0), PRICE_LIMIT),
            within(pl.col(f"_flat_{place}").fill_null(0), PRICE_LIMIT) * den,
        )
        for place in range(positions)
    ]
    amount: Number
    if rule == "flat":
        amount = flat(price, den)
    elif rule == "per_unit":
        amount = per_unit(quantity, price)
    elif rule in TIERED and tiers:
        parts = (volume_parts if rule == "volume" else graduated_parts)(quantity, tiers, zero_fee)
        amount = pl.when(pl.col("_is_sound")).then(_sum_of(parts))
    elif rule in ("all_tiers", "top_tier") and tiers:
        amount = _amount_of_blocks(rule, positions)
    elif rule == "package":
        size = pl.when(pl.col("_size") > 0).then(pl.col("_size") * den)
        amount = package(quantity, size, price, pl.col("_free") * den, den, pl.col("_rounds_up"))
    else:
        amount = pl.lit(None, dtype=pl.Int128)
    assert isinstance(amount, pl.Expr)
    return amount.cast(pl.Int128)


def _sum_of(parts: Sequence[TierPart]) -> pl.Expr:
    return pl.sum_horizontal([part.amount for part in parts], ignore_nulls=False)


def _amount_of_blocks(rule: str, positions: int) -> pl.Expr:
    """As `_amount_of_rule`, for blocks."""
    den = pl.col("_den")
    tiers = [
        BlockTier(
            pl.col(f"_size_{place}").fill_null(1) * den,
            pl.col(f"_capacity_{place}").fill_null(_OPEN_UNITS) * den,
            within(pl.col(f"_unit_{place}").fill_null(0), PRICE_LIMIT),
        )
        for place in range(positions)
    ]
    blocks = blocks_of_top_tier if rule == "top_tier" else blocks_of_all_tiers
    return pl.when(pl.col("_has_blocks")).then(_sum_of(blocks(pl.col("_quantity"), tiers, den)))


def _failure() -> pl.Expr:
    is_bad = pl.col("_model").is_in(TIERED) & ~pl.col("_is_sound").fill_null(False)
    is_bad |= (pl.col("_model") == "tiered_block") & ~pl.col("_has_blocks").fill_null(False)
    return (
        pl.when(pl.col("_model").is_null())
        .then(pl.lit("no_price"))
        .when(~pl.col("_model").is_in(FRAME_MODELS) & pl.col("event_den").is_null())
        .then(pl.lit("unknown_model"))
        .when(pl.col("_minor_per_major").is_null())
        .then(pl.lit("unknown_currency"))
        .when(is_bad)
        .then(pl.lit("bad_tiers"))
        .when(pl.col("event_failure").is_not_null())
        .then("event_failure")
        .when(pl.col("_quantity") < 0)
        .then(pl.lit("negative_quantity"))
        .when(
            pl.col("_num").is_null()
            | pl.col("_quantity").is_null()
            | (pl.col("_num") > product(pl.col("_den"), LINE_LIMIT)).fill_null(False)
            | (pl.col("_num") > EXACT_LIMIT)
        )
        .then(pl.lit("amount_out_of_range"))
    )
