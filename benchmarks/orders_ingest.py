"""An orders file larger than memory should hold: part of `make bench-warehouse`.

Claim: ten million lines of CSV come into the stage within PEAK MB of memory (DuckDB's share of it included),
every bad line among them is counted with its reason, and the amounts add up to what was written. CPU seconds
are printed beside, and the peak of a tenth of the lines: it must not grow with the file. SIZE=small checks
that the benchmark works, not its figures.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from clock import cost_of, forget_peak, peak_mb

from pipelines import warehouse
from pipelines.sources import orders
from pipelines.sources.loading import SourceConfig, Stage, create_raw_tables

LINES = {"small": 50_000, "middle": 1_000_000, "full": 10_000_000}
PEAK = 2_000
BUILT_AT = datetime(2026, 1, 1, tzinfo=UTC)
SEED, BATCH = 20261, 500_000
BAD_EVERY = 20_000
"""Of so many lines one has a field too many, and one a quantity that is no number."""


def write_orders(path: Path, lines: int) -> tuple[int, int, int]:
    """Write so many lines, four an order on average; returns good lines, bad ones, and cents of the good."""
    draw = np.random.default_rng(SEED)
    good, bad, cents = 0, 0, 0
    with path.open("wb") as file:
        file.write(b"order_id,ordered_at,customer_id,sku,quantity,unit_price,currency,country\n")
        for before in range(0, lines, BATCH):
            count = min(BATCH, lines - before)
            number = pl.int_range(before, before + count, eager=True)
            quantity = pl.Series(draw.integers(1, 50, count))
            price = pl.Series(draw.integers(50, 20_000, count))
            place = number % BAD_EVERY
            is_text, is_long = place == 7, place == 11
            frame = pl.DataFrame(
                {
                    "order_id": "O" + (number // 4).cast(pl.String).str.zfill(9),
                    "ordered_at": "2025-"
                    + (number * 12 // lines + 1).cast(pl.String).str.zfill(2)
                    + "-03 10:00",
                    "customer_id": "C" + (number // 4 * 7919 % 500_000).cast(pl.String).str.zfill(7),
                    "sku": "S" + pl.Series(draw.integers(0, 20_000, count)).cast(pl.String).str.zfill(6),
                }
            ).with_columns(
                pl.when(is_text).then(pl.lit("many")).otherwise(quantity.cast(pl.String)).alias("quantity"),
                pl.concat_str(
                    (price // 100).cast(pl.String), pl.lit("."), (price % 100).cast(pl.String).str.zfill(2)
                ).alias("unit_price"),
                pl.lit("EUR").alias("currency"),
                pl.when(is_long).then(pl.lit("DE,too much")).otherwise(pl.lit("DE")).alias("country"),
            )
            frame.write_csv(file, include_header=False, quote_style="never")
            is_bad = is_text | is_long
            bad += int(is_bad.sum())
            good += count - int(is_bad.sum())
            cents += int((quantity * price).filter(~is_bad).sum())
    return good, bad, cents


def ingest(folder: Path, lines: int) -> bool:
    place = folder / f"orders-{lines}"
    place.mkdir()
    good, bad, cents = write_orders(place / "orders.csv", lines)
    size = (place / "orders.csv").stat().st_size // 2**20
    with warehouse.open_stage(folder / f"stage-{lines}.duckdb") as connection:
        create_raw_tables(connection)
        stage = Stage(connection, "bench", BUILT_AT, folder, "EUR", "UTC", progress=lambda _: None)

        def read() -> None:
            with stage.transaction():
                orders.load(stage, SourceConfig("orders", "orders", str(place)))

        forget_peak()
        cost, peak = cost_of(read), peak_mb()
        found = connection.execute(
            "SELECT rows_accepted, rows_rejected, "
            "(SELECT sum(amount_minor)::BIGINT FROM raw_orders.order_lines), "
            "(SELECT count(*) FROM raw_meta.rejects WHERE reason IN ('bad_row', 'bad_amount')) "
            "FROM raw_meta.loads"
        ).fetchall()
    is_right = found == [(good, bad, cents, bad)]
    is_within = peak <= PEAK
    print(
        f"orders, {lines:,} lines ({size:,} MB): {cost.cpu:.1f} s CPU ({cost.wall:.1f} s wall), "
        f"peak {peak:,.0f} MB | limit {PEAK:,} MB | {bad:,} bad lines counted, amounts "
        f"{'add up' if is_right else f'DIFFER: {found}'} | {'ok' if is_right and is_within else 'short'}",
        flush=True,
    )
    return is_right and is_within


def main() -> int:
    lines = LINES[os.environ.get("SIZE", "full")]
    with tempfile.TemporaryDirectory() as scratch:
        return 0 if all([ingest(Path(scratch), lines // 10), ingest(Path(scratch), lines)]) else 1


if __name__ == "__main__":
    sys.exit(main())
