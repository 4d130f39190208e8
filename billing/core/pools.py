"""Pools: what the customers of a tree take in a contract year counts together, and sets the price of each.

A pool has per-unit prices by its volume, the dearest first. Periods count for the contract year they end in,
in the order of the days they are due. Each line is priced by the volume that was reached with it, and what
the earlier, dearer lines of the year cost beyond the price reached in the end is the rebate of the pool: one
exact amount, posted once and shared over the items by their volume [`pool_effect`]. So the order in which
usage arrives does not matter, and a year billed month by month costs what it costs billed once.

Which customers and items a pool has, and what of its rebate was billed, is found elsewhere.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import cast

import polars as pl

from billing.core.calendar import parse_interval, period_containing
from billing.core.invoicing import LINE_KEY, SERVICE, PolicyKey, PolicyVersion, by_policy, with_policy
from billing.core.money import (
    EXACT_LIMIT,
    LINE_LIMIT,
    QUANTITY_LIMIT,
    BillingError,
    RoundingMode,
    Scaled,
    minor_per_major,
    post,
    power_of_ten,
    product,
    wide,
    with_shares,
    within,
)
from billing.core.policy import Policy
from billing.core.pricing import UNBOUNDED, Tier, check_tiers, graduated_parts

YEAR = ["clause_id", "year_start", "year_end"]
_ORDER = [*YEAR, "due_on", *LINE_KEY, "service_start"]
_SHARED_SCALE = 6
"""Decimals of the volume of goods that were there for a part of their period."""
_ROOM = EXACT_LIMIT // 2**20
"""The bound of an amount of which a million are added up."""


def check_pool_tiers(up_to: Sequence[int | None], units: Sequence[Scaled]) -> None:
    """Bounds rise to an open last one, prices fall. Raises `bad_tiers`, `amount_out_of_range`."""
    check_tiers([None if bound is None else Scaled(bound, 0) for bound in up_to])
    for bound in up_to:
        within(bound or 0, QUANTITY_LIMIT)
    scale = max(unit.scale for unit in units)
    mantissas = [unit.at_scale(scale) for unit in units]
    if any(later > earlier for earlier, later in pairwise(mantissas)):
        raise BillingError("bad_tiers", "the price of a pool falls as its volume rises")


# Contract years.


def year_start(anchor: date, interval: str, on: date) -> date:
    """The first day of the contract year a day lies in."""
    return period_containing(anchor, parse_interval(interval), on).start


def years(clauses: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """The contract years that hold a day of `[first, last]`, one row a YEAR.

    clauses: `clause_id`, `anchor_on`, `interval`, `first_on` (periods that end by it count in no year),
    `ended_on` (nor do those that end after it; null for none).
    """
    rows = []
    for row in clauses.iter_rows(named=True):
        length, on = parse_interval(row["interval"]), max(first, row["first_on"])
        while on <= last and (row["ended_on"] is None or on < row["ended_on"]):
            year = period_containing(row["anchor_on"], length, on)
            rows.append((row["clause_id"], year.start, min(year.end, row["ended_on"] or year.end)))
            on = year.end
    return pl.DataFrame(
        rows, schema={"clause_id": pl.String, "year_start": pl.Date, "year_end": pl.Date}, orient="row"
    )


def in_years(parts: pl.DataFrame, members: pl.DataFrame, of_years: pl.DataFrame) -> pl.DataFrame:
    """The segments that count in pools, with their YEAR: that of the end of their reference period.

    parts: as `segments` gives them. members: `clause_id`, `first_on`, `customer_id`, `component_id`.
    """
    return (
        parts.join(members, on=["customer_id", "component_id"], how="inner", maintain_order="left")
        .join(of_years, on="clause_id", how="inner", maintain_order="left")
        .filter(
            pl.col("reference_end") > pl.max_horizontal("year_start", "first_on"),
            pl.col("reference_end") <= pl.col("year_end"),
        )
        .drop("first_on")
    )


# Volumes and the prices they reach.


def with_volumes(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds the volume of each segment, `volume` at the `volume_scale` of its year; what the year held
    `before` it and with it (`after`); and what it held on the day the segment is due (`through`). Sorted.

    rows: with YEAR, LINE_KEY, `service_start`, `due_on`, `quantity_mantissa`, `quantity_scale`, and the share
    of the period that counts, `factor_num` / `factor_den`. `volume` is null where it leaves the bounds.
    """
    is_part = pl.col("factor_num") != pl.col("factor_den")
    decimals = pl.when(is_part).then(pl.max_horizontal("quantity_scale", _SHARED_SCALE))
    times = power_of_ten(pl.col("volume_scale") - pl.col("quantity_scale"))
    after = pl.col("_counted").cum_sum().over(YEAR)
    return (
        rows.sort(_ORDER)
        .with_columns(
            decimals.otherwise("quantity_scale").max().over(YEAR).cast(pl.Int64).alias("volume_scale")
        )
        .with_columns(product(wide(pl.col("quantity_mantissa")), times).alias("_whole"))
        .with_columns(product(pl.col("_whole"), pl.col("factor_num")).alias("_part"))
        .with_columns(post(pl.col("_part"), pl.col("factor_den")).alias("volume"))
        .with_columns(pl.col("volume").fill_null(0).alias("_counted"))
        .with_columns(after.alias("after"))
        .with_columns(
            (pl.col("after") - pl.col("_counted")).alias("before"),
            pl.col("after").last().over([*YEAR, "due_on"]).alias("through"),
        )
        .drop("_whole", "_part", "_counted")
    )


def with_tiers(rows: pl.DataFrame, tiers: pl.DataFrame, versions: Sequence[PolicyVersion]) -> pl.DataFrame:
    """Adds the price each segment bears: `pool_effect`, `tier` (its position), `unit_mantissa`, `unit_scale`,
    `pool_price_id`; the price of the year's whole volume, `last_mantissa`; and of what the segment brings,
    tier by tier, the exact cost `graduated_num` (at both scales).

    rows: as `with_volumes` gives them, with `is_goods` and `is_counted` (due by the run's day). tiers: rows
    of pools: `clause_id`, `position`, `up_to`, `price_id`, `price_mantissa`, `price_scale`.

    Where a year's volume makes all of it cheaper, a line bears the price of the volume reached on its day
    [`from_here`: usage is priced tier by tier; goods, which have one price a line, bear that of the tier they
    begin in].
    """
    rows = _with_effect(rows, versions)
    places = int(tiers.select((pl.col("position").max()).fill_null(0)).item())
    for place in range(1, places + 1):
        tier = tiers.filter(pl.col("position") == place).select(
            "clause_id",
            wide(pl.col("up_to")).alias(f"_up_to_{place}"),
            wide(pl.col("price_mantissa")).alias(f"_unit_{place}"),
        )
        rows = rows.join(tier, on="clause_id", how="left", maintain_order="left")
    den = power_of_ten(pl.col("volume_scale"))
    bounds = [pl.col(f"_up_to_{place}") * den for place in range(1, places + 1)]
    in_tiers = [
        Tier(bound.fill_null(UNBOUNDED), pl.col(f"_unit_{place}").fill_null(0), pl.lit(0, pl.Int128))
        for place, bound in enumerate(bounds, start=1)
    ]

    def tier_of(volume: pl.Expr, *, is_next: pl.Expr) -> pl.Expr:
        """The tier that holds a volume, or where `is_next` the one its next unit falls in."""
        beyond = [
            pl.when(is_next).then(volume >= bound).otherwise(volume > bound).fill_null(False).cast(pl.Int64)
            for bound in bounds
        ]
        return pl.sum_horizontal(beyond) + 1

    def cost(volume: pl.Expr) -> pl.Expr:
        parts = [cast(pl.Expr, part.amount) for part in graduated_parts(volume, in_tiers)]
        return pl.sum_horizontal(parts, ignore_nulls=False)

    is_from_here = pl.col("pool_effect") == "from_here"
    reached = pl.when(is_from_here).then(pl.when("is_goods").then("before").otherwise("after"))
    total = pl.col("volume").filter(pl.col("is_counted")).sum().over(YEAR).fill_null(0)
    last = tiers.select("clause_id", pl.col("position").alias("_last"), "price_mantissa").rename(
        {"price_mantissa": "last_mantissa"}
    )
    own = tiers.select(
        "clause_id",
        pl.col("position").alias("tier"),
        pl.col("price_id").alias("pool_price_id"),
        pl.col("price_mantissa").alias("unit_mantissa"),
        pl.col("price_scale").alias("unit_scale"),
    )
    return (
        rows.with_columns(reached.otherwise("through").alias("_reached"), total.alias("_total"))
        .with_columns(
            tier_of(pl.col("_reached"), is_next=is_from_here & pl.col("is_goods")).alias("tier"),
            tier_of(pl.col("_total"), is_next=pl.lit(False)).alias("_last"),
            cost(pl.col("after")).alias("_after_cost"),
            cost(pl.col("before")).alias("_before_cost"),
        )
        .with_columns((pl.col("_after_cost") - pl.col("_before_cost")).alias("graduated_num"))
        .join(own, on=["clause_id", "tier"], how="left", maintain_order="left")
        .join(last, on=["clause_id", "_last"], how="left", maintain_order="left")
        .drop("_reached", "_total", "_last", "_after_cost", "_before_cost")
        .drop(f"_{name}_{place}" for name in ("up_to", "unit") for place in range(1, places + 1))
    )


def _with_effect(rows: pl.DataFrame, versions: Sequence[PolicyVersion]) -> pl.DataFrame:
    """The policy version that holds when the year begins says what the pool does [`pool_effect`]."""
    effects = pl.DataFrame(
        [(one.version, one.settings.pool_effect) for one in versions],
        schema={"_version": pl.Int64, "pool_effect": pl.String},
        orient="row",
    )
    of_years = with_policy(
        rows.select(YEAR).unique().with_columns(pl.col("year_start").alias("reference_start")), versions
    ).select(*YEAR, pl.col("policy_version").alias("_version"))
    return (
        rows.join(of_years, on=YEAR, how="left", maintain_order="left")
        .join(effects, on="_version", how="left", maintain_order="left")
        .rename({"_version": "year_version"})
    )


# The rebate.


def rebates(rows: pl.DataFrame, policies: Mapping[PolicyKey, Policy], up_to: date) -> pl.DataFrame:
    """The rebate of each year whose rebate is due, shared over its items: one row a YEAR, item and component,
    also where it is 0. The first columns are those of the item's last segment.

    rows: as `with_tiers` gives them, of segments that count by `up_to`, with `currency`, the policy of
    `year_version` by `policy_name`, and what discounts leave of their price, `kept_mantissa` / `kept_scale`.
    SERVICE and reference become the year; `gross_minor`, `discount_minor` and `net_minor` are 0 or negative,
    null where an amount leaves the bounds.

    All that the year's lines cost beyond the last price is given back, at once [`year_end`: on the last day
    of the year; `from_here`: only what one line of goods costs beyond the tiers it fills]. What a discount
    took off a line was not paid: it is not given back, and does not count where the rebate is shared.
    """
    at_once, at_end = pl.col("pool_effect") == "retroactive_credit", pl.col("pool_effect") == "year_end"
    is_due = ~at_end | (pl.col("year_end") <= up_to)
    line = product(pl.col("volume"), pl.col("unit_mantissa"))
    all_cheaper = product(pl.col("volume"), pl.col("unit_mantissa") - pl.col("last_mantissa"))
    beyond = (
        pl.when(at_once | at_end)
        .then(all_cheaper)
        .when("is_goods")
        .then(line - pl.col("graduated_num"))
        .otherwise(pl.lit(0, pl.Int128))
    )
    in_year = pl.col("kept_scale").max().over(YEAR)
    kept = product(wide(pl.col("kept_mantissa")), power_of_ten(pl.col("_scale") - pl.col("kept_scale")))
    counted = (
        rows.filter(is_due, "is_counted")
        .with_columns(
            within(beyond, _ROOM).alias("_beyond"),
            in_year.alias("_scale"),
            minor_per_major(pl.col("currency")).alias("_minor"),
        )
        .with_columns(kept.alias("_kept"))
        .with_columns(
            within(product(pl.col("_beyond"), pl.col("_kept")), _ROOM).alias("_paid_beyond"),
            within(product(wide(pl.col("volume")), pl.col("_kept")), _ROOM).alias("_weight"),
        )
    )
    sums = counted.group_by(YEAR, maintain_order=True).agg(
        _sum_of("_beyond"),
        _sum_of("_paid_beyond"),
        pl.col("_minor", "_scale", "volume_scale", "unit_scale", "policy_name").first(),
        pl.col("year_version").first().alias("policy_version"),
    )
    den = power_of_ten(pl.col("volume_scale") + pl.col("unit_scale"))
    paid_den = product(den, power_of_ten(pl.col("_scale")))

    def posted(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        def whole(name: str, of: pl.Expr) -> pl.Expr:
            amount = post(product(pl.col(name), pl.col("_minor")), of, cast(RoundingMode, settings.rounding))
            return within(amount, LINE_LIMIT)

        paid, gross = whole("_paid_beyond", paid_den), whole("_beyond", den)
        return part.with_columns(paid.alias("_total"), (gross - paid).alias("_total_off"))

    sums = by_policy(sums, policies, posted).with_row_index("_pool")
    shared = (
        counted.group_by([*YEAR, *LINE_KEY], maintain_order=True)
        .agg(
            pl.all().exclude("volume", "policy_version", "_weight").last(),
            pl.col("volume").sum(),
            _sum_of("_weight"),
        )
        .sort(*YEAR, *LINE_KEY)
        .join(
            sums.select(*YEAR, "_pool", "_total", "_total_off", "policy_version"),
            on=YEAR,
            how="left",
            maintain_order="left",
        )
    )
    amounts = ("gross_minor", "discount_minor", "net_minor")
    if shared.is_empty():
        return shared.with_columns(pl.lit(None, pl.Int64).alias(name) for name in amounts)
    for name in ("_total", "_total_off"):
        shared = with_shares(shared, f"{name}_share", total=name, weight="_weight", group="_pool")
    net, off = (-pl.col(f"{name}_share").cast(pl.Int64) for name in ("_total", "_total_off"))
    return shared.with_columns(
        *(amount.alias(name) for name, amount in zip(amounts, (net + off, off, net), strict=True)),
        *(pl.col("year_start").alias(name) for name in (SERVICE[0], "reference_start")),
        *(pl.col("year_end").alias(name) for name in (SERVICE[1], "reference_end")),
    ).drop(pl.selectors.starts_with("_"))


def _sum_of(name: str) -> pl.Expr:
    """The sum, null where a part of it left the bounds."""
    return pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name)


# Failures.


def with_siblings(failures: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Failures, and those of all who share a pool with a customer that failed.

    failures: `customer_id`, `code`, `detail`. members: `clause_id`, `customer_id`.
    """
    while failures.height and members.height:
        of_pools = members.join(failures.select("customer_id").unique(), on="customer_id", how="semi")
        reason = of_pools.group_by("clause_id").agg(pl.col("customer_id").min().alias("_failed"))
        more = (
            members.join(reason, on="clause_id")
            .join(failures, on="customer_id", how="anti")
            .sort("customer_id", "clause_id")
            .unique("customer_id", keep="first", maintain_order=True)
        )
        if more.is_empty():
            break
        detail = pl.format("{} shares the pool {} and failed", "_failed", "clause_id")
        failures = pl.concat(
            [failures, more.select("customer_id", pl.lit(FAILED).alias("code"), detail.alias("detail"))]
        )
    return failures


FAILED = "pool_failed"
"""The code of a customer set aside because another member of its pool is."""
