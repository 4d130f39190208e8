"""What each source gave to a build, and why rows of it were set aside: what `--explain` shows.

Reads raw_meta of a snapshot, or the listing of rejects that a refused build leaves. It decides how that is
told; which rows are set aside, the sources decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl

from pipelines.sources.loading import currency_exponents
from pipelines.warehouse import Snapshot, quoted

REASONS: Mapping[str, str] = {
    "bad_row": "The line has more or fewer fields than the header, or is no JSON object. Look for a missing "
    "quotation mark or a delimiter inside a value.",
    "bad_encoding": "Some bytes are no text in the file's encoding. Save the file as UTF-8, or name its "
    "encoding in mapping.toml.",
    "missing_key": "A column that tells rows apart, or says whose the row is, is empty.",
    "duplicate_key": "The same key came before, in this file or another; the first row counts.",
    "bad_date": "The value is no day or time. Write 2025-12-31, or name the format in mapping.toml.",
    "bad_amount": "The value is no number, or no number that can stand in this column.",
    "bad_flag": "The value is neither true nor false (yes/no, y/n, t/f, 1/0).",
    "empty_range": "The stretch of days ends on or before the day it begins.",
    "negative_amount": "The amount is below zero where only a credit may be.",
    "negative_quantity": "The quantity is below zero outside a credit.",
    "unknown_currency": "The currency is no ISO 4217 code such as EUR.",
    "unknown_interval": "The interval is not day, week, month or year, or its count is no number from 1 to "
    "1200.",
    "unknown_value": "The word is none of those this column may hold.",
    "unknown_reference": "The row names something that no other row is about.",
    "overlap_in_subscription": "The days overlap an earlier row of the same subscription, which counts.",
    "future_recorded_at": "The row says it was recorded after this build began.",
    "too_large": "The number has more digits than are kept, or would make an absurd amount.",
}
CURRENCY = r'"currency"\s*:\s*"\s*(\w+)'
"""Where a reject's original row, a JSON object of the file's columns, tells its currency."""


@dataclass(frozen=True)
class Explanation:
    """A row a file or table in `loads`; a row a file, reason and column in `rejects`, largest first."""

    loads: pl.DataFrame
    rejects: pl.DataFrame

    @property
    def reasons(self) -> dict[str, str]:
        """What each reason among the rejects means, in plain words."""
        found = self.rejects["reason"].unique(maintain_order=True).to_list()
        return {reason: REASONS.get(reason, "See docs/metrics.md, section 1.") for reason in found}


def of_snapshot(snapshot: Snapshot, sources: Iterable[str]) -> Explanation:
    """What the build of a snapshot was given by the sources with these names.

    The rejects are all that are set aside now, also of files that did not change since an earlier build.
    """
    with snapshot.cursor() as connection:
        return of_build(connection, snapshot.build_id, sources)


def of_build(connection: duckdb.DuckDBPyConnection, build_id: str, sources: Iterable[str]) -> Explanation:
    """The same from a connection to a warehouse."""
    loads = connection.sql(
        "SELECT source_name AS source, target_table AS table, file_name AS file, rows_read AS read, "
        "rows_accepted AS accepted, rows_rejected AS 'set aside', rows_unchanged AS unchanged, note "
        "FROM raw_meta.loads WHERE build_id = $build_id ORDER BY source_name, target_table, file_name",
        params={"build_id": build_id},
    ).pl()
    silent = [name for name in sources if name not in loads["source"].to_list()]
    nothing = pl.DataFrame({"source": silent}, {"source": pl.String}).with_columns(
        note=pl.lit("gave nothing")
    )
    return Explanation(pl.concat([loads, nothing], how="diagonal"), _rejects(connection, "raw_meta.rejects"))


def of_listing(listing: Path) -> Explanation:
    """The rejects that a refused build listed; what it loaded went with it."""
    with duckdb.connect(":memory:") as connection:
        relation = f"read_csv({quoted(str(listing))}, header = true, all_varchar = true)"
        return Explanation(pl.DataFrame(), _rejects(connection, relation))


def _rejects(connection: duckdb.DuckDBPyConnection, relation: str) -> pl.DataFrame:
    """Rejects of a relation by file, reason and column; sizes of amounts add up by currency."""
    rows = connection.sql(
        "WITH rejects AS ("
        "SELECT *, abs(amount_minor::BIGINT)::HUGEINT AS size, row_number::BIGINT AS place, "
        f"coalesce(regexp_extract(original_row, {quoted(CURRENCY)}, 1, 'i'), '') AS currency "
        f"FROM {relation}), amounts AS ("
        "SELECT target_table, file_name, reason, column_name, currency, count(*) AS rows, "
        "sum(size)::VARCHAR AS size, min(place) AS first_row FROM rejects GROUP BY ALL) "
        "SELECT target_table, file_name, reason, column_name, sum(rows)::BIGINT AS rows, "
        "min(first_row) AS first_row, "
        "list({'currency': currency, 'size': size} ORDER BY currency) AS amounts "
        "FROM amounts GROUP BY ALL ORDER BY rows DESC, target_table, file_name, reason, column_name"
    ).pl()
    told = [", ".join(_amount(part) for part in parts if part["size"]) for parts in rows["amounts"].to_list()]
    return rows.select(
        pl.col("target_table").alias("table"),
        pl.col("file_name").alias("file"),
        "reason",
        pl.col("column_name").alias("column"),
        "rows",
        pl.Series("amount", told, pl.String),
        pl.col("first_row").alias("first in row"),
    )


def _amount(part: Mapping[str, str]) -> str:
    exponents = currency_exponents()
    code, size = part["currency"].upper(), Decimal(part["size"])
    if code not in exponents:
        return f"{size:,f} minor units"
    return f"{size.scaleb(-exponents[code]):,.{exponents[code]}f} {code}"
