"""Reads the discounts of a draft where they are more than plain shares, and writes the uses that count."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import select

from billing.core.discounts import ids_of, is_plain
from billing.core.money import PPM, post, product, wide
from billing.store.store import Store
from billing.store.tables import discount_uses, discounts


def special_discounts(store: Store, terms: pl.DataFrame) -> pl.DataFrame | None:
    """All discounts, where the terms name one that is an amount, counts its uses or is not always valid."""
    named = {one for text in terms["discount_ids"].unique() for one in ids_of(text)}
    if not named:
        return None
    known = store.frame(select(discounts))
    used = known.filter(pl.col("discount_id").is_in(list(named)))
    return None if all(is_plain(row) for row in used.iter_rows(named=True)) else known


def write_uses(store: Store, at: datetime, lines: pl.DataFrame) -> None:
    """Keep what each discount that counts its uses took off each new charge."""
    rows = lines.filter(pl.col("discount_minor") > 0, pl.col("entry") == "charge").select(
        "line_id",
        "gross_minor",
        "discount_minor",
        pl.col("terms_id").str.extract(r"\|\d+e-\d+\|([^|]*)\|[^|]*$").fill_null("").alias("text"),
    )
    if rows.is_empty():
        return
    known = {row["discount_id"]: row for row in store.rows(select(discounts))}
    uses = [rows.clear().select("line_id", pl.lit("").alias("discount_id"), "discount_minor")]
    for text in rows["text"].unique().sort():
        found = [known[one] for one in ids_of(text) if one in known]
        if all(one["times"] is None for one in found):
            continue
        part, left, taken = rows.filter(pl.col("text") == text), PPM, pl.lit(0, pl.Int64)
        for place, one in enumerate(found, start=1):
            amount = pl.col("discount_minor") - taken
            if place < len(found):
                ppm = one["discount_ppm"] or 0
                share = post(product(wide(pl.col("gross_minor")), left * ppm), PPM * PPM).cast(pl.Int64)
                amount, left = pl.min_horizontal(share, amount), left * (PPM - ppm) // PPM
            if one["times"] is not None:
                uses.append(
                    part.select(
                        "line_id",
                        pl.lit(one["discount_id"]).alias("discount_id"),
                        amount.alias("discount_minor"),
                    )
                )
            taken = taken + amount
    store.insert(discount_uses, pl.concat(uses).rename({"discount_minor": "amount_minor"}), at)
