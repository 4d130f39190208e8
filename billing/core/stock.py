"""Goods whose stock decides what is billed: which deliveries a contract's rule asks for, how much of one is
still to come, and what of it is owed.

Goods of an item are ordered once a period, for the day its service begins, whole: goods that were delivered
are not prorated. The rule of the contract that holds on that day decides about a shortfall. `standing` bills
the period whatever the stock, like any seat, and nothing here is asked of it. Under the other rules only what
was allocated is owed, compared by amount with what was billed of the period.

    ordered = allocated + substituted + released + skipped + open (the backorder)
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from billing.core.cuts import agreed
from billing.core.invoicing import LINE_KEY, PolicyVersion, terms_id, with_policy
from billing.core.money import QUANTITY_LIMIT, BillingError, power_of_ten, wide, within

RULES = ("standing", "reserve_first", "substitute", "skip_with_credit")
KIND = "goods"
PERIOD = [*LINE_KEY, "reference_start"]
"""What names a delivery."""
SORTS = ("allocated", "substituted", "released", "skipped")
"""What may become of goods that were ordered."""
SHORT = ("short", "substitute_short")
"""What was allocated, or substituted, and did not arrive: it counts there, and is not to be paid."""


def checked_rule(rule: str) -> str:
    """A rule, as it is. Raises `unknown_setting` for another word."""
    if rule not in RULES:
        raise BillingError("unknown_setting", f"stock rule {rule!r}; there are {', '.join(RULES)}")
    return rule


# What is ordered.


def deliveries(parts: pl.DataFrame, goods: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
    """The deliveries that periods of service ask for, and the rule each stands under.

    parts: segments as `invoicing.segments` gives them. goods: `component_id`, `sku_id`. rules: `item_id`,
    `valid_from`, `rule`, one row a day on which a rule begins; before the first it is standing. Returns one
    row a PERIOD: its first segment, with `sku_id`, `rule`, `open_until` (the day its service ends, when a
    backorder of it does) and, in arrears, the `due_on` of its last segment.
    """
    rows = parts.join(goods, on="component_id", maintain_order="left").sort(*PERIOD, "service_start")
    first = rows.group_by(PERIOD, maintain_order=True).agg(
        pl.all().exclude("due_on").first(),
        pl.col("service_end").max().alias("open_until"),
        pl.when(pl.col("in_advance").first())
        .then(pl.col("due_on").first())
        .otherwise(pl.col("due_on").last())
        .alias("due_on"),
    )
    began = rules.rename({"valid_from": "_began"}).sort("_began")
    return (
        first.sort("service_start", maintain_order=True)
        .join_asof(
            began,
            left_on="service_start",
            right_on="_began",
            by="item_id",
            strategy="backward",
            check_sortedness=False,
        )
        .drop("_began")
        .with_columns(pl.col("rule").fill_null("standing"))
        .sort(PERIOD)
    )


def by_stock(found: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
    """The deliveries that their stock decides about: of something, under such a rule, or ordered under one
    before it went. Adds the order's `order_id` and `ordered_from`, null where none was made yet."""
    known = orders.select(*PERIOD, "order_id", pl.col("service_start").alias("ordered_from"))
    return found.join(known, on=PERIOD, how="left", maintain_order="left").filter(
        ((pl.col("rule") != "standing") & (pl.col("quantity_mantissa") > 0))
        | pl.col("order_id").is_not_null()
    )


# How an order stands.


def standing_of(orders: pl.DataFrame, allocations: pl.DataFrame) -> pl.DataFrame:
    """Orders with the quantity of each of SORTS and SHORT, what is to be paid for in the ordered goods
    (`billable`) and in their successor (`billable_substitute`), and `open`, all at the scale of the order;
    `last_on`, the last day on which anything became of them; `substitute_sku_id` and `substitute_price_id` of
    what was given instead, if anything.

    orders: `order_id`, `quantity_mantissa`, `quantity_scale`. allocations: `order_id`, `position`, `kind`,
    `quantity_mantissa`, `quantity_scale` of at most the order's, `allocated_on`, `sku_id`, `price_id`.
    """
    scaled = allocations.join(
        orders.select("order_id", pl.col("quantity_scale").alias("_scale")), on="order_id"
    ).with_columns(
        (wide(pl.col("quantity_mantissa")) * power_of_ten(pl.col("_scale") - pl.col("quantity_scale"))).alias(
            "_quantity"
        )
    )
    is_substitute = pl.col("kind") == "substituted"
    sums = (
        scaled.sort("order_id", "position")
        .group_by("order_id", maintain_order=True)
        .agg(
            *(
                pl.col("_quantity").filter(pl.col("kind") == sort).sum().cast(pl.Int64).alias(sort)
                for sort in (*SORTS, *SHORT)
            ),
            pl.col("allocated_on").max().alias("last_on"),
            pl.col("sku_id").filter(is_substitute).first().alias("substitute_sku_id"),
            pl.col("price_id").filter(is_substitute).first().alias("substitute_price_id"),
        )
    )
    gone = pl.col("allocated") + pl.col("substituted") + pl.col("released") + pl.col("skipped")
    return (
        orders.join(sums, on="order_id", how="left", maintain_order="left")
        .with_columns(pl.col(*SORTS, *SHORT).fill_null(0))
        .with_columns(
            pl.max_horizontal(pl.col("allocated") - pl.col("short"), 0).alias("billable"),
            pl.max_horizontal(pl.col("substituted") - pl.col("substitute_short"), 0).alias(
                "billable_substitute"
            ),
            (pl.col("quantity_mantissa") - gone).alias("open"),
        )
    )


def at_scale_of(orders: pl.DataFrame, mantissa: str, scale: str) -> pl.DataFrame:
    """Orders with the new quantity in columns `mantissa` and `scale` as theirs, at the finer of both scales,
    and the most they ever wanted (`most_mantissa`). One that would leave the bounds so stays as it is."""
    finer = pl.max_horizontal("quantity_scale", scale)
    moved = within(wide(pl.col(mantissa)) * power_of_ten(finer - pl.col(scale)), QUANTITY_LIMIT)
    most = within(
        wide(pl.col("most_mantissa")) * power_of_ten(finer - pl.col("quantity_scale")), QUANTITY_LIMIT
    )
    fits = moved.is_not_null() & most.is_not_null()
    highest = pl.max_horizontal(moved, most)
    return orders.with_columns(
        pl.when(fits).then(highest.cast(pl.Int64)).otherwise("most_mantissa").alias("most_mantissa"),
        pl.when(fits).then(moved.cast(pl.Int64)).otherwise("quantity_mantissa").alias("quantity_mantissa"),
        pl.when(fits).then(finer).otherwise("quantity_scale").alias("quantity_scale"),
    )


def given_up(orders: pl.DataFrame) -> pl.DataFrame:
    """Orders whose `released` and `skipped` are cut where the order has become smaller than it was when they
    were written: what was given up comes back first, so that as much as can be stays allocated.

    orders: as `standing_of` gives them. Moves `released`, `skipped` and `open`.
    """
    beyond = pl.max_horizontal(-pl.col("open"), 0)
    back = pl.min_horizontal(beyond, pl.col("released"))
    rest = pl.min_horizontal(beyond - back, pl.col("skipped"))
    return orders.with_columns(
        pl.col("released") - back, pl.col("skipped") - rest, pl.col("open") + back + rest
    )


def settled(orders: pl.DataFrame, on: date) -> pl.DataFrame:
    """Orders once a stock has answered for a day: what is short is skipped where the rule says so, and
    released where the service of the period is over; else it stays open. What left before the order became
    smaller stays, though it is more than the order wants.

    orders: as `given_up` gives them, with `rule`, `open_until` and `is_answered` (the stock said how much
    there is). Moves `released`, `skipped`, `open`; adds `is_closed`: nothing more is to come.
    """
    is_short = pl.col("is_answered") & (pl.col("open") > 0)
    skips = is_short & (pl.col("rule") == "skip_with_credit")
    ends = is_short & ~skips & (pl.col("open_until") <= on)
    left = pl.when(skips | ends).then(0).otherwise("open")
    return orders.with_columns(
        (pl.col("skipped") + pl.when(skips).then("open").otherwise(0)).alias("skipped"),
        (pl.col("released") + pl.when(ends).then("open").otherwise(0)).alias("released"),
        left.alias("open"),
        (pl.col("is_answered") & (left <= 0)).alias("is_closed"),
    )


# What is owed.


def owed(
    found: pl.DataFrame,
    orders: pl.DataFrame,
    terms: pl.DataFrame,
    versions: Sequence[PolicyVersion],
    up_to: date,
) -> pl.DataFrame:
    """What is due of deliveries by a day, one row an order, ready to be priced.

    found: as `by_stock` gives them. orders: as `standing_of` gives them, of what became of them by the day.
    terms: as `stretches` takes them. The line's service reaches from the day of the order to the end of its
    period. In advance it is due as soon as it is allocated, in arrears with its period. An order whose period
    is gone (a change dated back) is priced on the terms of its day; without any, it stays as it was billed.
    """
    drop = ["rule", "sku_id", "open_until", "ordered_from"]
    own = found.drop(drop).join(_facts(orders).drop(PERIOD), on="order_id", maintain_order="left")
    gone = orders.join(own, on="order_id", how="anti", maintain_order="left")
    if gone.height:
        own = pl.concat([own, _without_period(gone, terms, versions)], how="diagonal").select(own.columns)
    later = pl.when("in_advance").then(pl.max_horizontal("due_on", "last_on")).otherwise("due_on")
    return (
        own.with_columns(
            pl.col("ordered_from").alias("service_start"),
            pl.col("reference_end").alias("service_end"),
            pl.col("billable").alias("quantity_mantissa"),
            pl.col("ordered_scale").alias("quantity_scale"),
            later.alias("due_on"),
        )
        .filter(pl.col("due_on") <= up_to)
        .sort(PERIOD)
    )


def _facts(orders: pl.DataFrame) -> pl.DataFrame:
    """What is taken from an order, under names of its own."""
    return orders.select(
        "order_id",
        *PERIOD,
        pl.col("service_start").alias("ordered_from"),
        "billable",
        "billable_substitute",
        "last_on",
        pl.col("sku_id").alias("ordered_sku_id"),
        "substitute_sku_id",
        "substitute_price_id",
        pl.col("quantity_scale").alias("ordered_scale"),
    )


def _without_period(
    orders: pl.DataFrame, terms: pl.DataFrame, versions: Sequence[PolicyVersion]
) -> pl.DataFrame:
    is_begun = pl.col("effective_start") <= pl.col("ordered_from")
    day = pl.col("effective_start").to_physical()
    rows = (
        _facts(orders)
        .join(orders.select("order_id", "reference_end"), on="order_id", maintain_order="left")
        .join(terms, on=LINE_KEY, maintain_order="left")
        .sort("order_id", ~is_begun, day * pl.when(is_begun).then(-1).otherwise(1))
        .unique("order_id", keep="first", maintain_order=True)
        .with_columns(agreed(), pl.col("ordered_from").alias("due_on"))
    )
    return with_policy(rows, versions).with_columns(terms_id())


# What was given instead.


def substitute_component(component_id: pl.Expr, sku_id: pl.Expr) -> pl.Expr:
    """The component of a line for a successor, by which it is told from that for the ordered goods."""
    return pl.concat_str(component_id, pl.lit("/"), sku_id)


def substitutes(owed_rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is to be priced of successors that were given instead of ordered goods, in like frames: all that
    came at the price of the ordered goods, and the successor at its own price (null where it has none).

    owed_rows: as `owed` gives them.
    """
    rows = owed_rows.filter(pl.col("substitute_sku_id").is_not_null())
    together = rows.with_columns(pl.col("quantity_mantissa") + pl.col("billable_substitute"))
    own = rows.with_columns(
        pl.col("billable_substitute").alias("quantity_mantissa"),
        pl.col("substitute_price_id").alias("price_id"),
    )
    return together, own


def substitute_amounts(ordered: pl.DataFrame, together: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """What successors cost: the lower of what they cost as such, and what as much more of the ordered goods
    would have cost; rows to be compared with what was billed, with the component of a substitute.

    ordered: the priced rows of `owed`. together, own: `substitutes`, priced.
    """
    money = ["gross_minor", "discount_minor", "net_minor"]
    before = ordered.select("order_id", *(pl.col(name).alias(f"_{name}") for name in (*money, "amount_num")))
    rows = together.join(before, on="order_id", maintain_order="left").with_columns(
        *(pl.col(name) - pl.col(f"_{name}") for name in money),
        (pl.col("amount_num") - pl.col("_amount_num")).alias("amount_num"),
    )
    columns = [*money, "amount_num", "amount_den", "price_id"]
    theirs = own.select("order_id", "failure", *columns)
    rows = rows.join(theirs, on="order_id", suffix="_own", maintain_order="left")
    is_lower = pl.col("failure_own").is_null() & (pl.col("net_minor_own") < pl.col("net_minor"))
    is_lower = is_lower.fill_null(False)
    priced_as = pl.when(is_lower).then("substitute_sku_id").otherwise("ordered_sku_id")
    return rows.with_columns(
        *(pl.when(is_lower).then(f"{name}_own").otherwise(name).alias(name) for name in columns),
        pl.col("billable_substitute").alias("quantity_mantissa"),
        substitute_component(pl.col("component_id"), pl.col("substitute_sku_id")).alias("component_id"),
        pl.format("{}: {} instead of {}", "component_name", "substitute_sku_id", "ordered_sku_id").alias(
            "component_name"
        ),
        pl.struct(
            pl.col("ordered_sku_id").alias("instead_of"),
            pl.col("substitute_sku_id").alias("given"),
            priced_as.alias("priced_as"),
        )
        .struct.json_encode()
        .str.strip_chars("{}")
        .alias("amount_detail"),
    ).select(*together.columns, "amount_detail")
