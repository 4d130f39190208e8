"""Discounts of items: part of their terms, acting on whole periods, before proration.

A version names its discounts by `discount_ids`, joined by commas. Shares act one after the other, each on
what is left. Then fixed amounts: an amount is shared over the fees and seats of the item by what is left of
their whole prices, and each share becomes part of that component's terms, written `id:minor_units`. So half a
period bears half of the share, and a credit takes back what its own line was given.

A discount reaches the periods that begin while it is valid, and if it counts its uses, that many periods of
an item from the first that bears it.
"""

from collections.abc import Mapping
from datetime import date
from functools import reduce
from typing import Any, cast

import polars as pl

from billing.core.calendar import calendar_table
from billing.core.cuts import FOREVER, agreed
from billing.core.money import LINE_LIMIT, PPM, RoundingMode, post, product, wide, with_shares, within
from billing.core.pricing import rate_frame

_MOST_SHARES = 4
"""Shares that one item may have, so that their product stays exact in 128 bits."""


def is_plain(discount: Mapping[str, Any]) -> bool:
    """Whether a discount is a share of every period, which needs nothing of what follows."""
    return (
        discount["discount_ppm"] is not None
        and discount["times"] is None
        and discount["valid_end"] is None
        and discount["valid_start"] <= date(1970, 1, 1)
    )


def ids_of(text: str) -> list[str]:
    """The discounts that terms name."""
    return [part.split(":")[0] for part in text.split(",") if part]


# What a discount takes off.


def with_discounts(rows: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """Adds what an item's discounts take off the whole, exact: `discount_num` over `discount_den`, a multiple
    of `amount_den`. Terms fail with a discount that is unknown or of documents, or an amount without share.
    """
    one = pl.lit(1, dtype=pl.Int128)
    if (rows["discount_ids"] == "").all():
        return rows.with_columns((one * 0).alias("discount_num"), one.alias("discount_den"))
    known = {row["discount_id"]: row for row in discounts.iter_rows(named=True)}
    texts = rows["discount_ids"].unique().sort().to_list()
    table = pl.DataFrame(
        [(text, *_taken(text, known)) for text in texts],
        schema={
            "discount_ids": pl.String,
            "_off": pl.Int128,
            "_of": pl.Int128,
            "_fixed": pl.Int128,
            "_is_known": pl.Boolean,
        },
        orient="row",
    )
    rows = rows.join(table, on="discount_ids", how="left", maintain_order="left").with_columns(
        product(pl.col("amount_num"), pl.col("_off")).alias("discount_num"),
        product(pl.col("amount_den"), pl.col("_of")).alias("discount_den"),
        pl.coalesce("failure", pl.when(~pl.col("_is_known")).then(pl.lit("unsupported_discount"))).alias(
            "failure"
        ),
    )
    if (table["_fixed"] != 0).any():
        whole = product(pl.col("amount_num"), pl.col("_of"))
        fixed = product(pl.col("_fixed"), pl.col("discount_den"))
        rows = rows.with_columns(whole.alias("_whole"), fixed.alias("_amount")).with_columns(
            pl.when(pl.col("_fixed") == 0)
            .then("discount_num")
            .otherwise(least_of(pl.col("discount_num") + pl.col("_amount"), pl.col("_whole")))
            .alias("discount_num")
        )
        rows = rows.drop("_whole", "_amount")
    return rows.drop("_off", "_of", "_fixed", "_is_known")


def least_of(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """The smaller of two, null where one is."""
    return pl.when(left <= right).then(left).when(left > right).then(right)


def _taken(text: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[int, int, int, bool]:
    """The share that terms take off, as a fraction, and the fixed amount beyond it; whether all is known."""
    parts = [part for part in text.split(",") if part]
    found = [known.get(part.split(":")[0]) for part in parts]
    if any(one is None or one["scope"] != "item" for one in found):
        return 0, 1, 0, False
    ppms = [one["discount_ppm"] for one in found if one is not None and one["discount_ppm"] is not None]
    fixed = [part.split(":")[1] for part in parts if ":" in part]
    if len(ppms) > _MOST_SHARES or len(ppms) + len(fixed) < len(parts):
        return 0, 1, 0, False
    left = reduce(lambda product_, ppm: product_ * (PPM - ppm), ppms, 1)
    return PPM ** len(ppms) - left, PPM ** len(ppms), sum(map(int, fixed)), True


def uses_of(lines: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """What the discounts that count their uses took off lines: `line_id`, `discount_id`, `amount_minor`.

    lines: charges with a discount: `line_id`, `discount_ids` as their terms name them, `gross_minor`,
    `discount_minor`, and their factor. All that was taken off a line is shared over its discounts by what
    each takes: a share of what is left before it, or an amount for the part of the period.
    """
    known = {row["discount_id"]: row for row in discounts.iter_rows(named=True)}
    texts = lines["discount_ids"].unique().sort().to_list()
    table = pl.DataFrame(
        [(text, *one) for text in texts for one in _takes(text, known)],
        schema={
            "discount_ids": pl.String,
            "discount_id": pl.String,
            "_counts": pl.Boolean,
            "_ppm": pl.Int64,
            "_fixed": pl.Int64,
        },
        orient="row",
    )
    counting = table.group_by("discount_ids").agg(pl.col("_counts").any()).filter("_counts")
    # Millionths of a minor unit.
    share = product(wide(pl.col("gross_minor")), pl.col("_ppm"))
    amount = product(wide(pl.col("_fixed")) * PPM, pl.col("factor_num")) // pl.col("factor_den")
    rows = (
        lines.join(counting, on="discount_ids", how="semi", maintain_order="left")
        .join(table, on="discount_ids", how="inner", maintain_order="left_right")
        .with_columns((share + amount).alias("_weight"))
    )
    return (
        with_shares(rows, "amount_minor", total="discount_minor", weight="_weight", group="line_id")
        .filter("_counts")
        .select("line_id", "discount_id", pl.col("amount_minor").cast(pl.Int64))
    )


def _takes(text: str, known: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, bool, int, int]]:
    """The discounts of terms: whether it counts its uses, its share of the whole in ppm, its amount."""
    found, left = [], PPM
    for part in (part for part in text.split(",") if part):
        discount_id, _, fixed = part.partition(":")
        one = known[discount_id]
        ppm = one["discount_ppm"] or 0
        found.append((discount_id, one["times"] is not None, left * ppm // PPM, int(fixed or 0)))
        left = left * (PPM - ppm) // PPM
    return found


def with_kept_share(rows: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """Adds what the shares of an item's discounts leave of a price, the decimal `kept_mantissa` at
    `kept_scale`; null where terms name a discount that is unknown or of documents."""
    known = {row["discount_id"]: row for row in discounts.iter_rows(named=True)}
    texts = rows["discount_ids"].unique().sort().to_list()
    table = pl.DataFrame(
        [(text, *_kept(text, known)) for text in texts],
        schema={"discount_ids": pl.String, "kept_mantissa": pl.Int128, "kept_scale": pl.Int64},
        orient="row",
    )
    return rows.join(table, on="discount_ids", how="left", maintain_order="left")


def _kept(text: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[int | None, int]:
    off, of, _, is_known = _taken(text, known)
    if not is_known:
        return None, 0
    left, scale = of - off, len(str(of)) - 1
    while scale and left % 10 == 0:
        left, scale = left // 10, scale - 1
    return left, scale


# Fixed amounts.


def with_fixed_shares(
    terms: pl.DataFrame,
    discounts: pl.DataFrame,
    prices: pl.DataFrame,
    tiers: pl.DataFrame,
    roundings: Mapping[int, RoundingMode],
) -> pl.DataFrame:
    """Terms with the share of each fixed amount that falls to their component; usage bears none.

    terms: one row a version and component, with `currency`. An amount of another currency keeps no share.
    roundings: of each version of the policy. Where they differ there is a share for each way to round,
    `id:minor_units:minor_units`, of which `in_force` keeps the one of the period.
    """
    known = {row["discount_id"]: row for row in discounts.iter_rows(named=True)}
    texts = [text for text in terms["discount_ids"].unique() if text]
    split = []
    for text in texts:
        found = [known[one] for one in ids_of(text) if one in known]
        amounts = [one for one in found if one["amount_minor"] is not None and one["scope"] == "item"]
        if amounts:
            fixed = {one["discount_id"] for one in amounts}
            rest = ",".join(one for one in ids_of(text) if one not in fixed)
            off, of, _, _ = _taken(rest, known)
            split += [
                (text, rest, place, one["discount_id"], one["amount_minor"], one["currency"], off, of)
                for place, one in enumerate(amounts)
            ]
    if not split:
        return terms
    table = pl.DataFrame(
        split,
        schema={
            "discount_ids": pl.String,
            "_rest": pl.String,
            "_place": pl.Int64,
            "_id": pl.String,
            "_amount": pl.Int64,
            "_currency": pl.String,
            "_off": pl.Int128,
            "_of": pl.Int128,
        },
        orient="row",
    )
    numbered = terms.with_row_index("_term")
    rows = numbered.join(
        table.filter(pl.col("_place") == 0).select("discount_ids", "_rest", "_off", "_of"), on="discount_ids"
    ).sort("_term")
    is_seat = pl.col("kind") == "seat"
    whole = rate_frame(
        rows.filter(pl.col("kind") != "usage").with_columns(
            pl.when(is_seat).then("quantity_mantissa").otherwise(1).alias("quantity_mantissa"),
            pl.when(is_seat).then("quantity_scale").otherwise(0).alias("quantity_scale"),
        ),
        prices,
        tiers,
    )
    modes = sorted(set(roundings.values()))
    num = product(pl.col("amount_num"), pl.col("_of") - pl.col("_off"))
    den = product(pl.col("amount_den"), pl.col("_of"))
    left = {f"_left_{mode}": within(post(num, den, mode), LINE_LIMIT).fill_null(0) for mode in modes}
    # A bundle has one price, whatever it covers.
    version = ["item_id", "effective_start"]
    parts = (
        whole.with_columns(**left)
        .unique([*version, "price_id"], keep="first", maintain_order=True)
        .select(*version, "price_id", "discount_ids", "currency", *left, pl.lit("").alias("_text"))
        .with_columns(pl.struct(version).rank("dense").alias("_version"))
        .sort("_version", maintain_order=True)
    )
    for place in range(int(cast(int, table["_place"].max())) + 1):
        of_place = table.filter(pl.col("_place") == place).select(
            "discount_ids", "_id", "_amount", "_currency"
        )
        parts = parts.join(of_place, on="discount_ids", how="left", maintain_order="left")
        is_meant = pl.col("_currency") == pl.col("currency")
        shares = [f"_share_{mode}" for mode in modes]
        for name, share in zip(left, shares, strict=True):
            total = least_of(wide(pl.col("_amount")), wide(pl.col(name)).sum().over("_version"))
            parts = parts.with_columns(pl.when(is_meant).then(total).otherwise(0).alias("_total"))
            parts = with_shares(parts, share, total="_total", weight=name, group="_version")
            parts = parts.with_columns(pl.col(name) - pl.col(share))
        text = pl.format(",{}:{}", "_id", pl.concat_str(*shares, separator=":"))
        parts = parts.with_columns(
            pl.concat_str(
                "_text",
                pl.when(is_meant).then(text).otherwise(pl.format(",{}", "_id")).fill_null(""),
            ).alias("_text"),
        ).drop("_id", "_amount", "_currency", "_total", *shares)
    named = (
        rows.join(
            parts.select(*version, "price_id", "_text"),
            on=[*version, "price_id"],
            how="left",
            maintain_order="left",
            nulls_equal=True,
        )
        .with_columns(pl.when(pl.col("kind") != "usage").then("_text").fill_null("").alias("_text"))
        .select("_term", pl.concat_str("_rest", "_text").str.strip_chars(",").alias("_new"))
    )
    return (
        numbered.join(named, on="_term", how="left", maintain_order="left")
        .with_columns(pl.coalesce("_new", "discount_ids").alias("discount_ids"))
        .drop("_term", "_new")
    )


def _with_share_of_policy(rows: pl.DataFrame, roundings: Mapping[int, RoundingMode]) -> pl.DataFrame:
    """`_one`, a discount of terms, with the share that its policy version rounds to."""
    modes = sorted(set(roundings.values()))
    if len(modes) == 1:
        return rows
    places = {version: 1 + modes.index(mode) for version, mode in roundings.items()}
    share = pl.col("_one").str.split(":").list.get(pl.col("_share_of"), null_on_oob=True)
    return (
        rows.with_columns(
            pl.col("policy_version").replace_strict(places, return_dtype=pl.Int64).alias("_share_of")
        )
        .with_columns(pl.concat_str("discount_id", share, separator=":", ignore_nulls=True).alias("_one"))
        .drop("_share_of")
    )


# Which periods have a discount.


def in_force(
    parts: pl.DataFrame,
    service: pl.DataFrame,
    terms: pl.DataFrame,
    discounts: pl.DataFrame,
    up_to: date,
    roundings: Mapping[int, RoundingMode],
) -> pl.DataFrame:
    """Segments with the discounts that reach their period, in the shares of its policy version.

    service: what was cut to segments, of which these may leave out what is settled. A period begins with its
    boundary, or with the item's first day.
    """
    numbered = parts.with_row_index("_part_of")
    named = _named(numbered, service, discounts).join(
        _uses(service, terms, discounts, up_to), on=_USE, how="left", maintain_order="left"
    )
    is_unknown = pl.col("valid_start").is_null()
    is_counted = pl.col("times").is_null() | pl.col("_use").is_not_null()
    reaches = (_is_valid & is_counted) | is_unknown
    held = _with_share_of_policy(named.filter(reaches), roundings)
    kept = held.group_by("_part_of").agg(pl.col("_one").str.join(",").alias("_kept"))
    has_had = pl.col("discount_ids") != ""
    rows = numbered.join(kept, on="_part_of", how="left", maintain_order="left").with_columns(
        pl.when(has_had).then(pl.col("_kept").fill_null("")).otherwise("discount_ids").alias("discount_ids"),
        has_had.alias("_has_had"),
    )
    anew = pl.format("{}|{}.{}", agreed(), "policy_name", "policy_version")
    return rows.with_columns(
        pl.when("_has_had").then(agreed()).otherwise("agreed").alias("agreed"),
        pl.when("_has_had").then(anew).otherwise("terms_id").alias("terms_id"),
    ).drop("_part_of", "_kept", "_has_had")


_USE = ["item_id", "discount_id", "reference_start", "reference_end"]
_is_valid = pl.col("_begins").is_between("valid_start", pl.col("valid_end").fill_null(FOREVER), closed="left")


def _named(rows: pl.DataFrame, service: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """One row a part of the discounts of rows with their period: its `discount_id`, what it is, and the day
    on which the period `_begins`."""
    firsts = service.group_by("item_id").agg(pl.col("start").min().alias("_first_day"))
    return (
        rows.filter(pl.col("discount_ids") != "")
        .join(firsts, on="item_id", how="left", maintain_order="left")
        .with_columns(
            pl.max_horizontal("reference_start", "_first_day").alias("_begins"),
            pl.col("discount_ids").str.split(",").alias("_one"),
        )
        .explode("_one")
        .with_columns(pl.col("_one").str.split(":").list.first().alias("discount_id"))
        .join(
            discounts.select("discount_id", "times", "valid_start", "valid_end"),
            on="discount_id",
            how="left",
            maintain_order="left",
        )
    )


def _uses(service: pl.DataFrame, terms: pl.DataFrame, discounts: pl.DataFrame, up_to: date) -> pl.DataFrame:
    """The periods of items that have a discount which counts its uses, up to a day: _USE and `_use`, numbered
    from 1 in the order in which they first bear it, whatever their intervals and however long ago.

    Usage in a trial counts no period.
    """
    counted = discounts.filter(pl.col("times").is_not_null())
    ids = pl.col("discount_ids").str.split(",").list.eval(pl.element().str.split(":").list.first())
    after_trials = (
        terms.filter(pl.col("phase") != "trial")
        .group_by("item_id")
        .agg(pl.col("effective_start").min().alias("_after_trial"))
    )
    rows = (
        service.join(after_trials, on="item_id", maintain_order="left")
        .with_columns(pl.max_horizontal("start", "_after_trial").alias("start"))
        .filter(
            pl.col("start") < pl.min_horizontal("end", pl.lit(up_to).dt.offset_by("1d")),
            ids.list.set_intersection(counted["discount_id"].to_list()).list.len() > 0,
        )
    )
    asked = rows.select("anchor_on", "interval").unique()
    first_day = min([up_to, *rows.select(pl.col("start").min()).drop_nulls().to_series()])
    calendar = calendar_table(asked.iter_rows(), first_day, up_to).rename(
        {"period_start": "reference_start", "period_end": "reference_end"}
    )
    periods = rows.join(calendar, on=["anchor_on", "interval"]).filter(
        pl.col("start") < pl.col("reference_end"), pl.col("end") > pl.col("reference_start")
    )
    return (
        _named(periods, service, counted)
        .filter(_is_valid)
        .group_by(*_USE, "times")
        .agg(pl.max_horizontal("start", "reference_start").min().alias("_since"))
        .sort("_since", "reference_start", "reference_end")
        .with_columns(pl.int_range(1, pl.len() + 1).over("item_id", "discount_id").alias("_use"))
        .filter(pl.col("_use") <= pl.col("times"))
        .select(*_USE, "_use")
    )
