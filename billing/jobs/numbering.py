"""Gives documents their numbers: without a gap, per seller, kind and year of issue."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from billing.store.store import Store

MARKS = {"invoice": "INV", "credit_note": "CN"}


def numbers(store: Store, at: datetime, kind: str, wanted: pl.DataFrame) -> pl.Series:
    """The numbers of documents (`entity_id`, `issued_on`) of a kind of MARKS, in the order of the rows. They
    are taken in the transaction that issues, and return with its rollback."""
    year = pl.col("issued_on").dt.year()
    series = wanted.select("entity_id", year.alias("year")).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).over("entity_id", "year").alias("place")
    )
    first = [
        (entity_id, of_year, store.take_numbers(str(entity_id), kind, int(of_year), count, at))
        for entity_id, of_year, count in series.group_by("entity_id", "year", maintain_order=True)
        .len()
        .iter_rows()
    ]
    table = pl.DataFrame(
        first,
        schema={"entity_id": pl.String, "year": series.schema["year"], "first": pl.Int64},
        orient="row",
    )
    number = (pl.col("first") + pl.col("place")).cast(pl.String).str.zfill(6)
    return (
        series.join(table, on=["entity_id", "year"], how="left", maintain_order="left")
        .select(pl.concat_str(pl.lit(f"{MARKS[kind]}-"), pl.col("year"), pl.lit("-"), number))
        .to_series()
    )
