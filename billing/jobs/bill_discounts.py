"""Reads the discounts of a draft where they are more than plain shares, and writes the uses that count."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import select

from billing.core.cuts import agreed_discounts
from billing.core.discounts import ids_of, is_plain, uses_of
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
    rows = lines.filter(pl.col("discount_minor") > 0, pl.col("entry") == "charge").with_columns(
        agreed_discounts()
    )
    if rows.height:
        store.insert(discount_uses, uses_of(rows, store.frame(select(discounts))), at)
