"""What is owed less what is billed: from dated facts to the lines, invoices and credit notes of a run.

Frames in, frames out; each function is one step of a bill run and works the same on one row and on a
million. Dates are tabulated once per distinct anchor (calendar.py), quantities priced by pricing.py, tax and
shares posted by adjustments.py and money.py. Here is decided which time and usage is due, what of it is
billed already, and on which document the rest goes.

Recurring lines are compared by the time they cover: time billed on other terms is credited, time not billed
is charged. Usage is compared by amount. So a first run, a rerun, a backdated change and late usage are the
same sentence, and a run with nothing new posts nothing.

A row that cannot be billed is not dropped in silence: it gives its customer a failure, a code and a detail.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, cast

import polars as pl

from billing.core.adjustments import with_tax
from billing.core.bundles import with_bundle_shares, with_exact_shares
from billing.core.calendar import (
    DayCount,
    add_months,
    calendar_table,
    factor,
    local_date,
    midnight,
    parse_interval,
    period_containing,
)
from billing.core.cuts import (
    agreed,
    moves_cuts,
    service_bounds,
    with_high_water,
    with_moved_cuts,
)
from billing.core.discounts import with_discounts
from billing.core.exact_tax import with_exact_target
from billing.core.money import (
    DOCUMENT_LIMIT,
    EXACT_LIMIT,
    LINE_LIMIT,
    Number,
    RoundingMode,
    post,
    product,
    wide,
    within,
)
from billing.core.policy import Policy
from billing.core.pricing import cut_at, rate_frame

MAX_LINES_OF_ITEM = 120
"""New lines of one item in one run; more parks its customer."""


class PolicyVersion(NamedTuple):
    """A version of a named policy, as the run takes it."""

    name: str
    version: int
    valid_from: date
    settings: Policy


PolicyKey = tuple[str, int]


def version_on(versions: Sequence[PolicyVersion], on: date) -> PolicyVersion:
    """The version that holds on a day: the latest valid_from, the first one for earlier days."""
    held = [one for one in versions if one.valid_from <= on]
    return max(held, key=lambda one: (one.valid_from, one.version)) if held else versions[0]


# 3-5: what time is owed on which terms.

LINE_KEY = ["item_id", "component_id"]
SERVICE = ["service_start", "service_end"]
SERVICE_KEY = [*LINE_KEY, *SERVICE]
REFERENCE = ["reference_start", "reference_end"]


def stretches(terms: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """Unbroken service on equal terms.

    terms: one row a live version and component of its plan. Returns one row an item, component and stretch
    `[start, end)` (FOREVER for no end), ordered so; with `is_usage`, `quantity_*` as it is priced (a fee
    once, a seat each, usage later), `agreed` (what makes terms equal) and `stops`: no service of the item
    follows at once. Where settings move cuts, also the days they are due (core.cuts): `begins_on`,
    `closes_on`. Paused and trial time is left out, of usage only the trial where `trial_usage` is free.
    """
    is_usage = pl.col("kind") == "usage"
    is_regular = pl.col("phase") != "trial"
    is_running = pl.col("pause").is_null()
    if settings.suspension_billing == "continue":
        is_running |= pl.col("pause") == "overdue"
    usage_counts = pl.lit(True) if settings.trial_usage == "bill" else is_regular
    is_seat = pl.col("kind") == "seat"
    has_moved = moves_cuts(settings)
    if has_moved:
        terms = with_moved_cuts(terms, settings, is_running)
    rows = (
        terms.with_columns(
            *([] if has_moved else service_bounds()),
            is_usage.alias("is_usage"),
            pl.when(is_seat).then("quantity_mantissa").otherwise(1).alias("quantity_mantissa"),
            pl.when(is_seat).then("quantity_scale").otherwise(0).alias("quantity_scale"),
        )
        .filter(
            pl.col("start") < pl.col("end"),
            pl.when("is_usage").then(usage_counts).otherwise(is_regular & is_running),
        )
        .sort(*LINE_KEY, "start")
        .with_columns(agreed())
    )
    goes_on = pl.all_horizontal(
        pl.col("start") == pl.col("end").shift(1),
        *(
            pl.col(name) == pl.col(name).shift(1)
            for name in (*LINE_KEY, "agreed", "anchor_on", "interval", "in_advance")
        ),
    ).fill_null(False)
    merged = rows.with_columns((~goes_on).cum_sum().alias("_stretch"))
    if rows.height and merged.item(-1, "_stretch") != rows.height:
        rows = (
            merged.group_by("_stretch", maintain_order=True)
            .agg(
                pl.all().exclude(_AT_END).first(), pl.col(*(name for name in _AT_END if name in rows)).last()
            )
            .select(rows.columns)
        )
    starts = rows.select("item_id", "is_usage", pl.col("start").alias("end")).unique()
    following = starts.with_columns(pl.lit(False).alias("stops"))
    return rows.join(
        following, on=["item_id", "is_usage", "end"], how="left", maintain_order="left"
    ).with_columns(pl.col("stops").fill_null(True))


_AT_END = ("end", "closes_on")


def horizon(up_to: date, settings: Policy) -> date:
    """The day before which nothing is billed or corrected any more."""
    return add_months(up_to, -settings.horizon_months)


_CUTTING = (
    "change_day",
    "cancel_day",
    "seat_decrease",
    "suspension_billing",
    "term_end",
    "trial_usage",
    "usage_on_change",
)


def service_and_parts(
    terms: pl.DataFrame, versions: Sequence[PolicyVersion], up_to: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Stretches by the settings that hold on a day, and segments, each cut by those of its own period."""
    held = version_on(versions, up_to).settings
    service = stretches(terms, held)
    parts = segments(service, versions, up_to)
    groups: dict[tuple[str, ...], list[PolicyVersion]] = {}
    for one in _of_periods(terms, versions, up_to):
        groups.setdefault(_cutting(one.settings), []).append(one)
    if groups.keys() <= {_cutting(held)}:
        return service, parts
    found = []
    for key, alike in groups.items():
        mine = parts
        if key != _cutting(held):
            settings = alike[0].settings
            mine = segments(stretches(terms, settings), versions, up_to, settings)
        found.append(mine.filter(pl.col("policy_version").is_in([one.version for one in alike])))
    if any("closes_on" in mine.columns for mine in found):
        found = [mine if "closes_on" in mine.columns else _unmoved(mine) for mine in found]
    return service, pl.concat(found, how="diagonal").sort(*LINE_KEY, "service_start", maintain_order=True)


def _cutting(settings: Policy) -> tuple[str, ...]:
    return tuple(getattr(settings, name) for name in _CUTTING)


def _unmoved(parts: pl.DataFrame) -> pl.DataFrame:
    return parts.with_columns(pl.col("start").alias("begins_on"), pl.col("end").alias("closes_on"))


def _of_periods(terms: pl.DataFrame, versions: Sequence[PolicyVersion], up_to: date) -> list[PolicyVersion]:
    """The versions that hold for some period a run looks at: from the one that holds its oldest floor."""
    ordered = sorted(versions, key=lambda one: (one.valid_from, one.version))
    if len({_cutting(one.settings) for one in ordered}) == 1 or terms.is_empty():
        return ordered
    floor = min([up_to, *terms.select(pl.col("floor").min()).drop_nulls().to_series()])
    anchors = terms.select("anchor_on", "interval").unique().iter_rows()
    earliest = min(period_containing(anchor, parse_interval(text), floor).start for anchor, text in anchors)
    until = [one.valid_from for one in ordered[1:]] + [date.max]
    return [
        one for one, end in zip(ordered, until, strict=True) if end > earliest and one.valid_from <= up_to
    ]


def segments(
    service: pl.DataFrame,
    versions: Sequence[PolicyVersion],
    up_to: date,
    settings: Policy | None = None,
) -> pl.DataFrame:
    """Service cut at the boundaries of its periods, with the day each part is due.

    service: as `stretches` gives it, of customers of one policy; settings: those it was made with, by default
    the ones of the day. Returns one row an item, component and
    `service_start`, with `service_end`, its reference period, `due_on`, `goes_on_after` (service continues
    past the period), `ends_here` (the item's service does not), the policy version of the period and
    `terms_id`. Periods reach from the one that holds a row's `floor` to the one that holds `up_to`.
    """
    settings = settings or version_on(versions, up_to).settings
    anchors = service.select("anchor_on", "interval").unique()
    first_days = service.select(pl.max_horizontal("floor", "start").min())
    first_day = min([up_to, *first_days.drop_nulls().to_series()])
    calendar = calendar_table(anchors.iter_rows(), first_day, up_to)
    rows = (
        service.join(
            calendar.drop("n"), on=["anchor_on", "interval"], how="inner", maintain_order="left_right"
        )
        .filter(
            pl.col("start") < pl.col("period_end"),
            pl.col("end") > pl.col("period_start"),
            pl.col("period_end") > pl.col("floor"),
        )
        .rename({"period_start": "reference_start", "period_end": "reference_end"})
        .with_columns(
            pl.max_horizontal("start", "reference_start").alias("service_start"),
            pl.min_horizontal("end", "reference_end").alias("service_end"),
            (pl.col("end") > pl.col("reference_end")).alias("goes_on_after"),
        )
    )
    if settings.seat_decrease == "high_water":
        rows = with_high_water(rows)
    is_first, is_last = pl.col("service_start") == pl.col("start"), pl.col("service_end") == pl.col("end")
    begins_on, closes_on = pl.col("service_start"), pl.col("service_end")
    if "closes_on" in rows.columns:
        begins_on = pl.when(is_first).then("begins_on").otherwise(begins_on)
        closes_on = pl.when(is_last).then("closes_on").otherwise(closes_on)
    ends_here = pl.col("stops") & is_last
    after_service = pl.when(ends_here).then(closes_on).otherwise(pl.col("reference_end"))
    usage_due = closes_on if settings.usage_on_change == "at_change" else after_service
    return with_policy(
        rows.with_columns(
            pl.when(pl.col("is_usage") & ~pl.col("is_ahead").fill_null(False))
            .then(usage_due)
            .when("is_usage")
            .then(begins_on)
            .when("in_advance")
            .then(begins_on)
            .otherwise(after_service)
            .alias("due_on"),
            ends_here.alias("ends_here"),
        ),
        versions,
    ).with_columns(terms_id())


def terms_id() -> pl.Expr:
    """What names the terms a line is priced on: those agreed, and the policy of its period."""
    return pl.format("{}|{}.{}", "agreed", "policy_name", "policy_version").alias("terms_id")


def with_policy(rows: pl.DataFrame, versions: Sequence[PolicyVersion]) -> pl.DataFrame:
    """Adds `policy_name` and `policy_version`: the version that holds when the reference period starts."""
    first, *later = sorted(versions, key=lambda one: (one.valid_from, one.version))
    version = pl.lit(first.version, dtype=pl.Int64)
    for one in later:
        is_later = pl.col("reference_start") >= one.valid_from
        version = pl.when(is_later).then(pl.lit(one.version, dtype=pl.Int64)).otherwise(version)
    return rows.with_columns(pl.lit(first.name).alias("policy_name"), version.alias("policy_version"))


def next_bill_days(service: pl.DataFrame, parts: pl.DataFrame, up_to: date) -> pl.DataFrame:
    """The first day after `up_to` on which a customer owes something more: customer_id, next_bill_on."""
    begins_on = pl.col("begins_on" if "begins_on" in service.columns else "start")
    days = [
        service.filter(begins_on > up_to).select("customer_id", begins_on.alias("next_bill_on")),
        parts.filter(pl.col("due_on") > up_to).select("customer_id", pl.col("due_on").alias("next_bill_on")),
        parts.filter(pl.col("goes_on_after"), pl.col("reference_end") > up_to).select(
            "customer_id", pl.col("reference_end").alias("next_bill_on")
        ),
    ]
    return pl.concat(days).group_by("customer_id").agg(pl.col("next_bill_on").min())


def unbillable() -> pl.Expr:
    """The code of a row whose price a run cannot bill, else null."""
    return (
        pl.when(pl.col("price_id").is_null())
        .then(pl.lit("no_price"))
        .when(pl.col("price_currency") != pl.col("currency"))
        .then(pl.lit("currency_mismatch"))
    )


# 8-10: owed less billed.


class Coverage(NamedTuple):
    """The time to charge (rows of the expected), the time to credit (line_id, service), and what stays."""

    to_charge: pl.DataFrame
    to_credit: pl.DataFrame
    kept: pl.DataFrame


def coverage(expected: pl.DataFrame, charged: pl.DataFrame, credited: pl.DataFrame) -> Coverage:
    """Compare recurring time owed with time billed, item by item and component by component.

    expected: due segments. charged: posted charges (`line_id`, LINE_KEY, SERVICE, REFERENCE, `terms_id`).
    credited: time taken back from them (`line_id`, SERVICE). Time that is owed and billed on equal terms and
    period is kept; what is only billed is to credit, what is only owed to charge.
    """
    same = [*SERVICE_KEY, *REFERENCE, "terms_id"]
    if charged.is_empty():
        return Coverage(expected, charged.select("line_id", *SERVICE), expected.clear())
    untouched = charged
    if credited.height:
        untouched = charged.join(credited.select("line_id").unique(), on="line_id", how="anti")
    owed = expected.join(untouched, on=same, how="anti", maintain_order="left")
    kept = expected.join(untouched, on=same, how="semi") if owed.height else expected.clear()
    billed = charged.join(
        untouched.join(expected, on=same, how="semi").select("line_id"), on="line_id", how="anti"
    )
    nothing = charged.select("line_id", *SERVICE).clear()
    if billed.is_empty():
        return Coverage(owed, nothing, kept)
    contested = billed.select(LINE_KEY).unique()
    free = owed.join(contested, on=LINE_KEY, how="anti", maintain_order="left")
    owed = owed.join(contested, on=LINE_KEY, how="semi", maintain_order="left").with_row_index("_owed")
    cells = _cells(owed, billed, credited)
    owed_cells = _covered(cells, owed)
    billed_cells = _covered(cells, billed)
    if credited.height:
        taken = cells.join(
            credited.join(billed.select("line_id", *LINE_KEY), on="line_id"), on=LINE_KEY, how="inner"
        ).filter(_is_inside)
        billed_cells = billed_cells.join(taken, on=["line_id", "cell_start"], how="anti")
    agreed = owed_cells.join(billed_cells, on=[*LINE_KEY, "cell_start", *REFERENCE, "terms_id"], how="semi")
    at = [*LINE_KEY, "cell_start"]
    to_charge = _runs(owed_cells.join(agreed, on=at, how="anti"), "_owed")
    to_credit = _runs(
        billed_cells.join(agreed, on=[*at, *REFERENCE, "terms_id"], how="anti"), "line_id"
    ).select("line_id", *SERVICE)
    kept_parts = _runs(agreed, "_owed")
    columns = expected.columns
    return Coverage(
        pl.concat([free, to_charge.select(columns)]),
        to_credit,
        pl.concat([kept, kept_parts.select(columns)]),
    )


_is_inside = (pl.col("service_start") <= pl.col("cell_start")) & (pl.col("service_end") >= pl.col("cell_end"))


def _cells(*intervals: pl.DataFrame) -> pl.DataFrame:
    """The time between neighbouring edges of any interval, per item and component."""
    *keyed, credited = intervals
    lines = keyed[-1].select("line_id", *LINE_KEY)
    edges = [
        frame.select(*LINE_KEY, pl.col(name).alias("cell_start"))
        for frame in (*keyed, credited.join(lines, on="line_id"))
        for name in SERVICE
    ]
    return (
        pl.concat(edges)
        .unique()
        .sort(*LINE_KEY, "cell_start")
        .with_columns(pl.col("cell_start").shift(-1).over(LINE_KEY).alias("cell_end"))
        .drop_nulls("cell_end")
    )


def _covered(cells: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """The cells each interval covers, with the interval's columns."""
    return cells.join(intervals, on=LINE_KEY, how="inner", maintain_order="left").filter(_is_inside)


def _runs(cells: pl.DataFrame, source: str) -> pl.DataFrame:
    """Neighbouring cells of one source joined again, as its service."""
    ordered = cells.sort(source, "cell_start")
    breaks = (pl.col(source) != pl.col(source).shift(1)) | (
        pl.col("cell_start") != pl.col("cell_end").shift(1)
    )
    return (
        ordered.with_columns(breaks.fill_null(True).cum_sum().alias("_run"))
        .group_by("_run", maintain_order=True)
        .agg(
            pl.all().exclude("cell_start", "cell_end", *SERVICE).first(),
            pl.col("cell_start").first().alias("service_start"),
            pl.col("cell_end").last().alias("service_end"),
        )
    )


def due_usage(
    parts: pl.DataFrame, snapshots: pl.DataFrame, reopened: pl.DataFrame, up_to: date
) -> pl.DataFrame:
    """The usage segments a run compares: those of items whose regular usage invoice is due.

    parts: usage segments with due_on <= up_to. snapshots: the periods whose quantity was billed before
    (LINE_KEY, SERVICE). reopened: those of them whose invoice is void; their items are compared at once. An
    item's latest due period decides: once it is billed, what arrives late waits for
    the next one. An item that stopped has no next one, so late usage of it is due at once; the last of its
    service says so (the terms before a change in the period of the end are due at that period's end).
    """
    latest = parts.filter(pl.col("due_on") == pl.col("due_on").max().over("item_id"))
    is_new = latest.join(snapshots, on=SERVICE_KEY, how="anti")
    is_last = pl.col("service_end") == pl.col("service_end").max().over("item_id")
    has_ended = parts.filter(is_last & pl.col("ends_here"))
    regular = pl.concat(one.select("item_id") for one in (is_new, has_ended, reopened)).unique()
    return parts.join(regular, on="item_id", how="semi", maintain_order="left")


# 7: amounts.


@dataclass(frozen=True)
class Catalogue:
    """What prices lines: rows of `prices`, `price_tiers` and `discounts`, and the policies by version."""

    prices: pl.DataFrame
    tiers: pl.DataFrame
    discounts: pl.DataFrame
    policies: Mapping[PolicyKey, Policy]
    bundles: pl.DataFrame = field(default_factory=pl.DataFrame)
    """What bundles cover, as `bundles.with_bundle_shares` takes it."""


def by_policy(
    rows: pl.DataFrame,
    policies: Mapping[PolicyKey, Policy],
    work: Callable[[pl.DataFrame, Policy], pl.DataFrame],
) -> pl.DataFrame:
    """Rows after work that depends on the settings of their policy version; order is kept."""
    keys = rows.select("policy_name", "policy_version").unique().rows()
    if len(keys) <= 1:
        return work(rows, policies[cast(PolicyKey, keys[0])] if keys else Policy())
    groups = rows.with_row_index("_place").partition_by("policy_name", "policy_version", as_dict=True)
    parts = [work(group, policies[cast(PolicyKey, key)]) for key, group in groups.items()]
    return pl.concat(parts).sort("_place").drop("_place")


def with_factor(rows: pl.DataFrame, policies: Mapping[PolicyKey, Policy]) -> pl.DataFrame:
    """Adds `factor_num` and `factor_den`: the share of the service in its reference period."""
    is_by_second = any(settings.day_count == "second" for settings in policies.values())
    instants = _with_midnights(rows) if is_by_second else rows

    def with_shares(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        suffix = "_at" if settings.day_count == "second" else ""
        names = [f"{name}{suffix}" for name in (*SERVICE, *REFERENCE)]
        start, end, whole_start, whole_end = (pl.col(name) for name in names)
        share = factor(start, end, whole_start, whole_end, cast(DayCount, settings.day_count))
        return part.with_columns(
            _column(share.num).cast(pl.Int64).alias("factor_num"),
            _column(share.den).cast(pl.Int64).alias("factor_den"),
        )

    return by_policy(instants, policies, with_shares).select(*rows.columns, "factor_num", "factor_den")


def _with_midnights(rows: pl.DataFrame) -> pl.DataFrame:
    """The UTC instants at which the dates of service and reference begin in each row's zone."""
    days = [rows.select("time_zone", pl.col(name).alias("on")) for name in (*SERVICE, *REFERENCE)]
    distinct = pl.concat(days).unique()
    begins = [midnight(on, zone) for zone, on in distinct.select("time_zone", "on").iter_rows()]
    table = distinct.with_columns(pl.Series("at", begins, dtype=pl.Datetime("us", "UTC")))
    for name in (*SERVICE, *REFERENCE):
        named = table.rename({"on": name, "at": f"{name}_at"})
        rows = rows.join(named, on=["time_zone", name], how="left", maintain_order="left")
    return rows


def _column(value: Number) -> pl.Expr:
    return value if isinstance(value, pl.Expr) else pl.lit(value, dtype=pl.Int64)


def with_fee_on_zero(rows: pl.DataFrame, policies: Mapping[PolicyKey, Policy]) -> pl.DataFrame:
    """Adds the setting `flat_fee_on_zero`, as `rate_frame` takes it, where some policy has one."""
    if all(settings.flat_fee_on_zero == "none" for settings in policies.values()):
        return rows

    def with_setting(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        return part.with_columns(pl.lit(settings.flat_fee_on_zero).alias("flat_fee_on_zero"))

    return by_policy(rows, policies, with_setting)


def rated(rows: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Adds the exact amount of the whole (`amount_num`, `amount_den`), its discounted part
    (`discount_num`, `discount_den`) and `failure`, null or a code."""
    priced = rate_frame(with_fee_on_zero(rows, catalogue.policies), catalogue.prices, catalogue.tiers)
    if has_maximum(catalogue):
        priced = _cut(priced, catalogue.prices)
    return with_discounts(priced, catalogue.discounts)


CUT_BY = ["kind", *LINE_KEY, "reference_start", "service_start"]
"""What `rated` needs to know of a row beside its price and quantity where a price has a maximum spend."""


def has_maximum(catalogue: Catalogue) -> bool:
    return catalogue.prices["maximum_spend_minor"].null_count() < catalogue.prices.height


def _cut(rows: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Amounts cut at the maximum spend of their price, and `cut_num`, what was cut off.

    The usage of a period fills its maximum segment by segment; a fee or seat has it for a whole interval.
    """
    room = EXACT_LIMIT // 2**10  # So that a thousand segments of a period can be added up.
    maximum = prices.select("price_id", wide(pl.col("maximum_spend_minor")).alias("_maximum"))
    period = ["price_id", *LINE_KEY, "reference_start"]
    rows = (
        rows.join(maximum, on="price_id", how="left", maintain_order="left")
        .with_columns(within(product(pl.col("_maximum"), pl.col("amount_den")), room).alias("_most"))
        .with_columns(pl.min_horizontal("amount_num", "_most").alias("_own"))
    )
    before = (pl.col("_own").cum_sum().over(period, order_by="service_start") - pl.col("_own")).alias(
        "_before"
    )
    is_usage = pl.col("kind") == "usage"
    rows = rows.with_columns(pl.when(is_usage).then(before).otherwise(pl.lit(0, pl.Int128)).alias("_before"))
    has_none = pl.col("_maximum").is_null()
    kept = (
        pl.when(has_none)
        .then("amount_num")
        .otherwise(cut_at(pl.col("_own"), pl.col("_before"), pl.col("_most")))
    )
    beyond = pl.when(~has_none & pl.col("_most").is_null()).then(pl.lit("amount_out_of_range"))
    return rows.with_columns(
        kept.alias("amount_num"),
        (pl.col("amount_num") - kept).fill_null(0).alias("cut_num"),
        pl.coalesce("failure", beyond).alias("failure"),
    ).drop("_maximum", "_most", "_own", "_before")


def _with_posted(rows: pl.DataFrame, amounts: Mapping[str, tuple[Number, Number]], mode: str) -> pl.DataFrame:
    """Adds amounts num / den as posted Int64 columns, null where one would leave the bounds.

    Each step makes columns: nested in one another, the expressions of money.py double with every level.
    """
    parts = [
        wide(_column(value)).alias(f"_{name}_{side}")
        for name, fraction in amounts.items()
        for side, value in zip(("num", "den"), fraction, strict=True)
    ]
    posted = [
        post(pl.col(f"_{name}_num"), pl.col(f"_{name}_den"), cast(RoundingMode, mode)).alias(name)
        for name in amounts
    ]
    bounded = [within(pl.col(name), LINE_LIMIT).cast(pl.Int64) for name in amounts]
    spent = [f"_{name}_{side}" for name in amounts for side in ("num", "den")]
    return rows.with_columns(parts).with_columns(posted).with_columns(bounded).drop(spent)


def _share(of: str, time: str | None = None) -> tuple[pl.Expr, pl.Expr]:
    """The exact amount or discount of a rated row, of the whole or of `time` parts of `factor_den`."""
    num, den = pl.col(f"{of}_num"), pl.col(f"{of}_den")
    return (num, den) if time is None else (product(num, pl.col(time)), product(den, pl.col("factor_den")))


def _priced(rows: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    """The posted columns a frame needs and the fraction each comes from: without discounts only the gross."""
    gross, discount = ("gross_minor", "amount"), ("discount_minor", "discount")
    has_discounts = (rows["discount_ids"] != "").any()
    return (gross, discount) if has_discounts else (gross,)


def charges(to_charge: pl.DataFrame, kept: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Recurring lines to charge.

    to_charge, kept: as `coverage` gives them, the first rated. Adds `factor_num`, `factor_den` and the posted
    `gross_minor`, `discount_minor`, `net_minor`. Parts of one period on one set of terms come from running
    totals of the time they cover, so they add up to the posted whole [`part_rounding`: own rounds each].
    """
    period = [*LINE_KEY, "terms_id", *REFERENCE]
    rows = with_factor(to_charge, catalogue.policies)
    billed = pl.lit(0, dtype=pl.Int64)
    before = kept.join(rows.select(period).unique(), on=period, how="semi")
    if before.height:
        covered = (
            with_factor(before, catalogue.policies)
            .group_by(period)
            .agg(pl.col("factor_num").sum().alias("_kept"))
        )
        rows = rows.join(covered, on=period, how="left", maintain_order="left")
        billed = pl.col("_kept").fill_null(0)
    after = pl.col("factor_num").cum_sum().over(period, order_by="service_start") + billed
    rows = rows.with_columns(pl.min_horizontal(after, "factor_den").alias("_after")).with_columns(
        pl.max_horizontal(pl.col("_after") - pl.col("factor_num"), 0).alias("_before")
    )

    def with_parts(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        if settings.part_rounding == "own":
            part = part.with_columns(
                pl.col("factor_num").alias("_after"), pl.lit(0, dtype=pl.Int64).alias("_before")
            )
        begins_later = (part["_before"] != 0).any()
        amounts = {}
        for name, of in _priced(part):
            amounts[name] = _share(of, "_after")
            if begins_later:
                amounts[f"{name}_before"] = _share(of, "_before")
        part = _with_posted(part, amounts, settings.rounding)
        if catalogue.bundles.height:
            part = with_bundle_shares(part, list(amounts), catalogue.bundles)
        if begins_later:
            part = part.with_columns(
                pl.col(name) - pl.col(f"{name}_before") for name, _ in _priced(part)
            ).drop(f"{name}_before" for name, _ in _priced(part))
        return _with_net(part)

    posted = by_policy(rows, catalogue.policies, with_parts)
    return with_exact_shares(posted, catalogue.bundles) if catalogue.bundles.height else posted


def _with_net(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `net_minor`, and `discount_minor` of 0 where nothing took a discount."""
    if "discount_minor" not in rows.columns:
        rows = rows.with_columns(pl.lit(0, dtype=pl.Int64).alias("discount_minor"))
    return rows.with_columns((pl.col("gross_minor") - pl.col("discount_minor")).alias("net_minor"))


def usage_amounts(parts: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Adds to usage segments with their quantity, rated, what they cost: `gross_minor`, `discount_minor`,
    `net_minor`."""

    def with_amounts(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        amounts = {name: _share(of) for name, of in _priced(part)}
        return _with_net(_with_posted(part, amounts, settings.rounding))

    return by_policy(parts, catalogue.policies, with_amounts)


def beyond_billed(owed: pl.DataFrame, billed: pl.DataFrame, kept: pl.DataFrame | None = None) -> pl.DataFrame:
    """What is owed beyond what was billed, as rows with a positive or negative difference.

    owed: rows compared by amount, with `gross_minor`, `discount_minor`, `net_minor`, `failure`. billed: sums
    of what was posted of them per LINE_KEY and SERVICE (`gross_minor`, `net_minor`), as `billed_amounts`
    gives them. Rows without a difference are dropped unless they failed, or are `kept` (LINE_KEY, SERVICE).
    """
    is_new = pl.col("net_minor").is_null() | (pl.col("net_minor") != 0) | pl.col("failure").is_not_null()
    if kept is not None:
        named = kept.select(*SERVICE_KEY, pl.lit(True).alias("is_kept"))
        owed = owed.join(named, on=SERVICE_KEY, how="left", maintain_order="left")
        is_new |= pl.col("is_kept").is_not_null()
    return (
        owed.join(billed, on=SERVICE_KEY, how="left", maintain_order="left", suffix="_billed")
        .with_columns(
            pl.col(name) - pl.col(f"{name}_billed").fill_null(0) for name in ("gross_minor", "net_minor")
        )
        .with_columns((pl.col("gross_minor") - pl.col("net_minor")).alias("discount_minor"))
        .filter(is_new)
    )


def billed_amounts(charged: pl.DataFrame, credited: pl.DataFrame) -> pl.DataFrame:
    """What was posted of lines compared by amount, less its credits, summed per LINE_KEY and SERVICE.

    charged: their charges (`line_id`, LINE_KEY, SERVICE, `gross_minor`, `net_minor`). credited: positive
    sizes (`line_id`, `gross_minor`, `net_minor`).
    """
    sums = charged.select("line_id", *SERVICE_KEY, "gross_minor", "net_minor")
    if credited.height:
        back = credited.join(charged.select("line_id", *SERVICE_KEY), on="line_id", suffix="_credit")
        sums = pl.concat(
            [
                sums,
                back.select(
                    "line_id",
                    *LINE_KEY,
                    *(f"{name}_credit" if f"{name}_credit" in back.columns else name for name in SERVICE),
                    -pl.col("gross_minor"),
                    -pl.col("net_minor"),
                ).rename({f"{name}_credit": name for name in SERVICE if f"{name}_credit" in back.columns}),
            ]
        )
    return sums.group_by(*SERVICE_KEY).agg(pl.col("gross_minor", "net_minor").sum())


def shared_over_lines(to_take: pl.DataFrame, charged: pl.DataFrame, credited: pl.DataFrame) -> pl.DataFrame:
    """Usage to take back, spread over the lines that billed it, the newest first, each as far as it goes.

    to_take: LINE_KEY, SERVICE and `net_minor` below 0. Returns `line_id`, SERVICE and `take_minor` above 0.
    """
    taken = credited.group_by("line_id").agg(pl.col("net_minor").sum().alias("_taken"))
    lines = (
        charged.join(taken, on="line_id", how="left")
        .with_columns((pl.col("net_minor") - pl.col("_taken").fill_null(0)).alias("_left"))
        .select("line_id", *SERVICE_KEY, "_left")
    )
    key = SERVICE_KEY
    rows = (
        to_take.select(*key, (-pl.col("net_minor")).alias("_take"))
        .join(lines, on=key, how="inner")
        .sort(*key, "line_id", descending=[False] * len(key) + [True])
    )
    before = pl.col("_left").cum_sum().over(key) - pl.col("_left")
    return (
        rows.with_columns(
            pl.min_horizontal(pl.max_horizontal(pl.col("_take") - before, 0), "_left").alias("take_minor")
        )
        .filter(pl.col("take_minor") > 0)
        .select("line_id", *SERVICE, "take_minor")
    )


def credits_of_time(
    to_credit: pl.DataFrame,
    origin: pl.DataFrame,
    credited: pl.DataFrame,
    adjusted: pl.DataFrame,
    catalogue: Catalogue,
) -> pl.DataFrame:
    """Credits of recurring time, on the terms of the lines that charged it.

    to_credit: `line_id`, SERVICE. origin: those lines, rated on their own price and quantity. credited: what
    earlier credits took back (`line_id`, SERVICE, `net_minor`, `tax_minor`, `document_discount_minor`,
    positive). adjusted: what was taken off the lines' amounts and not of their time (the same without
    SERVICE). Nets are those before the discounts of documents. Returns origin's columns with the credit's
    SERVICE, factor and positive `gross_minor`, `discount_minor`, `net_minor`, `tax_minor` and
    `document_discount_minor`.

    Credit k is what is posted for all time removed so far less what was credited so far
    [`credit_rounding`: kept_time posts what stays instead], at most what adjustments left, and once all of a
    line is removed, what is left of it. Its tax and its part of the document's discount are the same share of
    the line's.
    """
    parts = origin.drop(SERVICE)
    rows = with_factor(
        to_credit.join(
            parts.rename({"factor_num": "_line_num", "factor_den": "_line_den"}), on="line_id"
        ).sort("line_id", "service_start"),
        catalogue.policies,
    )
    before = credited.join(to_credit.select("line_id").unique(), on="line_id", how="semi")
    removed_before = pl.lit(0, dtype=pl.Int64)
    if before.height:
        earlier = (
            with_factor(
                before.select("line_id", *SERVICE, *_TAKEN).join(
                    parts.select("line_id", *REFERENCE, "time_zone", "policy_name", "policy_version"),
                    on="line_id",
                ),
                catalogue.policies,
            )
            .group_by("line_id")
            .agg(
                pl.col("factor_num").sum().alias("_removed"),
                *_taken_before("before"),
            )
        )
        rows = rows.join(earlier, on="line_id", how="left", maintain_order="left")
        removed_before = pl.col("_removed").fill_null(0)
    else:
        rows = rows.with_columns(pl.lit(0, dtype=pl.Int64).alias(f"{name}_before") for name in _TAKEN)
    rows = rows.with_columns(
        (pl.col("factor_num").cum_sum().over("line_id") + removed_before).alias("_after"),
        *(pl.col(f"{name}_before").fill_null(0) for name in _TAKEN),
    ).with_columns(pl.max_horizontal(pl.col("_line_num") - pl.col("_after"), 0).alias("_stays"))
    rows = _with_adjustments(rows, adjusted)

    def with_targets(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        keeps = settings.credit_rounding == "kept_time"
        priced = _priced(part)
        shares = {f"_{name}": _share(of, "_stays" if keeps else "_after") for name, of in priced}
        part = _with_posted(part, shares, settings.rounding)
        if catalogue.bundles.height:
            part = with_bundle_shares(part, list(shares), catalogue.bundles)
        for name, _ in priced:
            share, line = pl.col(f"_{name}"), pl.col(name)
            target = line - share if keeps else share
            part = part.with_columns(
                pl.when(pl.col("_stays") == 0).then(line).otherwise(target).alias(f"_{name}")
            )
        if len(priced) == 1:
            part = part.with_columns(pl.lit(0, dtype=pl.Int64).alias("_discount_minor"))
        return with_exact_target(part, settings) if has_exact else part

    has_exact = any(settings.tax_base == "exact_net" for settings in catalogue.policies.values())
    rows = by_policy(rows, catalogue.policies, with_targets)
    net = pl.col("_gross_minor") - pl.col("_discount_minor")
    rows = rows.with_columns(
        pl.max_horizontal(
            pl.min_horizontal(net, pl.col("net_minor") - pl.col("net_minor_adjusted")), "net_minor_before"
        ).alias("_target"),
        _less_before(pl.col("_discount_minor"), pl.lit(0, dtype=pl.Int64)).alias("discount_minor"),
    )
    return _taken_by_targets(rows, catalogue).with_columns(
        (pl.col("net_minor") + pl.col("discount_minor")).alias("gross_minor")
    )


_TAKEN = ("net_minor", "tax_minor", "document_discount_minor")
"""What a credit takes back of its line, each by a running total."""


def _taken_before(when: str) -> list[pl.Expr]:
    """What credits of a line took back, as sums."""
    return [pl.col(name).sum().alias(f"{name}_{when}") for name in _TAKEN]


def _with_adjustments(rows: pl.DataFrame, adjusted: pl.DataFrame) -> pl.DataFrame:
    """Adds what was taken off a line by hand, of whatever time: `net_minor_adjusted` and so on."""
    sums = adjusted.group_by("line_id").agg(_taken_before("adjusted"))
    return rows.join(sums, on="line_id", how="left", maintain_order="left").with_columns(
        pl.col(f"{name}_adjusted").fill_null(0) for name in _TAKEN
    )


def _less_before(target: pl.Expr, first: pl.Expr) -> pl.Expr:
    """A running target less the one before it on the same line."""
    return target - target.shift(1).over("line_id").fill_null(first)


def _taken_by_targets(rows: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """From the net taken of each line so far (`_target`, and beside it what was adjusted) to the net of each
    credit, and its share of the line's tax and of its document's discount."""
    _, *shared = _TAKEN
    rows = rows.with_columns(
        pl.when(pl.col("net_minor") == 0).then(1).otherwise("net_minor").alias("_whole"),
        *(pl.col(f"{name}_before") + pl.col(f"{name}_adjusted") for name in shared),
    )

    def with_tax(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        taken = pl.col("_target") + pl.col("net_minor_adjusted")
        shares = {f"_{name}": (product(pl.col(name), taken), pl.col("_whole")) for name in shared}
        part = _with_posted(part, shares, settings.rounding)
        if "_exact_tax" in part.columns:
            exact = pl.min_horizontal(pl.col("_exact_tax") + pl.col("tax_minor_adjusted"), "tax_minor")
            exact = pl.max_horizontal(exact, "tax_minor_before")
            exact = pl.when(pl.col("_exact_tax").is_not_null()).then(exact)
            part = part.with_columns(pl.coalesce(exact, "_tax_minor").alias("_tax_minor"))
        return part

    return by_policy(rows, catalogue.policies, with_tax).with_columns(
        _less_before(pl.col("_target"), pl.col("net_minor_before")).alias("net_minor"),
        *(_less_before(pl.col(f"_{name}"), pl.col(f"{name}_before")).alias(name) for name in shared),
    )


def credits_of_usage(
    to_take: pl.DataFrame,
    origin: pl.DataFrame,
    credited: pl.DataFrame,
    adjusted: pl.DataFrame,
    catalogue: Catalogue,
) -> pl.DataFrame:
    """Credits of usage: `take_minor` of each line, with its share of the line's tax. As `credits_of_time`."""
    earlier = credited.group_by("line_id").agg(_taken_before("before"))
    rows = (
        to_take.join(origin.drop(SERVICE), on="line_id")
        .sort("line_id")
        .join(earlier, on="line_id", how="left", maintain_order="left")
        .with_columns(pl.col(f"{name}_before").fill_null(0) for name in _TAKEN)
        .with_columns((pl.col("net_minor_before") + pl.col("take_minor")).alias("_target"))
    )
    return _taken_by_targets(_with_adjustments(rows, adjusted), catalogue).with_columns(
        pl.col("net_minor").alias("gross_minor"), pl.lit(0, dtype=pl.Int64).alias("discount_minor")
    )


# 11: tax.

EU = frozenset(
    (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    )
)


class TaxRule(NamedTuple):
    """The category of a line, and the country whose rate it bears (None: no tax)."""

    category: str
    country: str | None


def tax_rule(seller: str, ship_to: str, *, has_number: bool, category: str) -> TaxRule:
    """What tax a sale bears. `category` is the product's: standard, reduced or zero."""
    if seller == ship_to:
        return TaxRule(category, None if category == "zero" else seller)
    if seller in EU and ship_to in EU:
        if has_number:
            return TaxRule("reverse_charge", None)
        return TaxRule(category, None if category == "zero" else ship_to)
    return TaxRule("export", None)


TAX_CASE = ["seller_country", "ship_country", "has_tax_number", "tax_code", "product_category", "tax_on"]


def tax_terms(lines: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    """The tax of each distinct case among lines, on its tax point (`tax_on`).

    lines: with TAX_CASE. rates: rows of `tax_rates`. Returns TAX_CASE with `tax_category`, `tax_country` and
    `tax_rate_ppm`, null where a rate is owed but none is known.
    """
    known: dict[tuple[str, str, str], list[tuple[date, int]]] = {}
    for row in rates.sort("valid_from").iter_rows(named=True):
        key = (row["country"], row["tax_code"], row["category"])
        known.setdefault(key, []).append((row["valid_from"], row["tax_rate_ppm"]))
    found = []
    for case in lines.select(TAX_CASE).unique().iter_rows():
        seller, ship_to, has_number, tax_code, category, on = case
        rule = tax_rule(seller, ship_to, has_number=has_number, category=category)
        rate: int | None = 0
        if rule.country is not None:
            versions = known.get((rule.country, tax_code, rule.category), [])
            rate = next((ppm for start, ppm in reversed(versions) if start <= on), None)
        found.append((*case, rule.category, rule.country or ship_to, rate))
    schema = lines.select(TAX_CASE).schema
    return pl.DataFrame(
        found,
        schema={**schema, "tax_category": pl.String, "tax_country": pl.String, "tax_rate_ppm": pl.Int64},
        orient="row",
    )


def untaxed(lines: pl.DataFrame) -> pl.DataFrame:
    """Customers with a line whose tax rate nobody set."""
    detail = pl.format("no rate of {} in {}", "tax_code", "tax_country")
    code = pl.when(pl.col("tax_rate_ppm").is_null()).then(pl.lit("no_tax_rate"))
    return failures_of(lines, code, detail)


def untaxable(lines: pl.DataFrame) -> pl.DataFrame:
    """Customers with a line whose tax leaves the bounds."""
    code = pl.when(pl.col("tax_minor").is_null()).then(pl.lit("amount_out_of_range"))
    return failures_of(lines, code, pl.format("tax of item {}", pl.col("item_id")))


def taxed(lines: pl.DataFrame, scope: str, mode: str = "half_up") -> pl.DataFrame:
    """Adds `tax_minor` to charges: per document, category and rate, or per line [`tax_scope`].

    lines: with `document` (the group they will be invoiced in), `net_minor`, `tax_category`,
    `tax_rate_ppm`; in the order that breaks ties.
    """
    group = ["document", "tax_category", "tax_country", "tax_rate_ppm"]
    return with_tax(lines, group, scope=scope, mode=cast(RoundingMode, mode))


# 12: documents.

_NEVER = pl.lit(False)


def documents(lines: pl.DataFrame, *, separate_credits: pl.Expr, skip_zero: pl.Expr = _NEVER) -> pl.DataFrame:
    """The documents of a run, one row a group of lines.

    lines: with `document`, `entry`, `net_minor`, `tax_minor` (credits negative). Returns `document`, the
    sums of the invoice (`net_minor`, `tax_minor`, `total_minor`) and of the credit note (`note_net_minor`,
    `note_tax_minor`, `note_total_minor`, sizes), `has_invoice`, `has_note`, `is_skipped` (an invoice of 0.00
    that is not issued). Credits stand on the invoice
    unless they outweigh its charges, in net, tax or total, or `separate_credits` holds: then they become the
    note.
    """
    is_charge = pl.col("entry") == "charge"
    sums = lines.group_by("document", maintain_order=True).agg(
        pl.col("net_minor").sum().alias("_net"),
        pl.col("tax_minor").sum().alias("_tax"),
        *(
            wide(pl.col(f"{name}_minor"))
            .filter(is_charge == wanted)
            .sum()
            .cast(pl.Int64)
            .alias(f"_{name}_{entry}")
            for entry, wanted in (("charged", True), ("credited", False))
            for name in ("net", "tax")
        ),
        is_charge.any().alias("_has_charges"),
        (~is_charge).any().alias("_has_credits"),
        separate_credits.any().alias("_separates"),
        skip_zero.any().alias("_skips_zero"),
    )
    net, tax = pl.col("_net"), pl.col("_tax")
    has_note = pl.col("_has_credits") & ((net < 0) | (tax < 0) | (net + tax < 0) | pl.col("_separates"))
    return (
        sums.with_columns(
            has_note.alias("has_note"), (pl.col("_has_charges") | ~has_note).alias("has_invoice")
        )
        .with_columns(
            pl.when("has_note").then("_net_charged").otherwise("_net").alias("net_minor"),
            pl.when("has_note").then("_tax_charged").otherwise("_tax").alias("tax_minor"),
            pl.when("has_note").then(-pl.col("_net_credited")).otherwise(0).alias("note_net_minor"),
            pl.when("has_note").then(-pl.col("_tax_credited")).otherwise(0).alias("note_tax_minor"),
        )
        .with_columns(
            (pl.col("net_minor") + pl.col("tax_minor")).alias("total_minor"),
            (pl.col("note_net_minor") + pl.col("note_tax_minor")).alias("note_total_minor"),
        )
        .select(
            "document",
            "has_invoice",
            "has_note",
            (pl.col("has_invoice") & pl.col("_skips_zero") & (pl.col("total_minor") == 0)).alias(
                "is_skipped"
            ),
            *(f"{prefix}{name}_minor" for prefix in ("", "note_") for name in ("net", "tax", "total")),
        )
    )


def due_days(issued_on: pl.Expr, net_days: pl.Expr, end_of_month: pl.Expr) -> pl.Expr:
    """The day an invoice is due: net days after its issue, from the end of that month where agreed."""
    start = pl.when(end_of_month.fill_null(False)).then(issued_on.dt.month_end()).otherwise(issued_on)
    return start + pl.duration(days=net_days.fill_null(0))


# 13: failures.

FAILURE_SCHEMA = pl.Schema({"customer_id": pl.String(), "code": pl.String(), "detail": pl.String()})
_NO_FAILURES = pl.DataFrame(schema=FAILURE_SCHEMA)


def failures_of(rows: pl.DataFrame, code: pl.Expr, detail: pl.Expr) -> pl.DataFrame:
    """One row a customer that has a row with a code: its first."""
    if rows.is_empty():
        return _NO_FAILURES
    coded = rows.select("customer_id", code.alias("code"), detail.alias("detail"))
    if coded["code"].null_count() == coded.height:
        return _NO_FAILURES
    return coded.filter(pl.col("code").is_not_null()).unique("customer_id", keep="first", maintain_order=True)


def line_failures(lines: pl.DataFrame) -> pl.DataFrame:
    """Customers with a line that has no price, or whose amounts leave the bounds."""
    out_of_range = pl.any_horizontal(
        pl.col(name).is_null() | (pl.col(name).abs() > LINE_LIMIT)
        for name in ("gross_minor", "discount_minor", "net_minor")
    )
    code = pl.coalesce("failure", pl.when(out_of_range).then(pl.lit("amount_out_of_range")))
    detail = pl.format(
        "item {}, component {}, from {}", "item_id", "component_id", pl.col("service_start").cast(pl.String)
    )
    return failures_of(lines, code, detail)


def crowded_items(lines: pl.DataFrame) -> pl.DataFrame:
    """Customers of items with more new lines in one run than anyone would read."""
    counts = (
        lines.group_by("customer_id", "item_id", maintain_order=True)
        .len()
        .filter(pl.col("len") > MAX_LINES_OF_ITEM)
    )
    return failures_of(
        counts, pl.lit("too_many_lines"), pl.format("item {} has {} new lines", "item_id", "len")
    )


def large_documents(found: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Customers with lines on a document beyond the bound of one."""
    beyond = found.filter(
        (pl.col("total_minor").abs() > DOCUMENT_LIMIT) | (pl.col("note_total_minor").abs() > DOCUMENT_LIMIT)
    ).select("document")
    return failures_of(
        lines.join(beyond, on="document", how="semi"),
        pl.lit("amount_out_of_range"),
        pl.lit("the sum of a document"),
    )


def issue_days(zones: Iterable[str], at: datetime) -> dict[str, date]:
    """The date an instant has in each zone."""
    return {zone: local_date(at, zone) for zone in set(zones)}
