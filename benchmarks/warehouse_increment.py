"""A day's increment beside a full build of the same rows: `python benchmarks/warehouse_increment.py`.

A warehouse of subscription periods (warehouse_periods.py) is built in full; then a day passes, on which one
customer in a thousand changes. Once only what changed is made anew, once everything, from the same raw rows,
and every table must come out the same. Node time is what dbt measures of the models between the raw rows and
the movement and month marts, and for the increment also what it takes to find who is touched; rows written
are those of tables. Claim, for 1,000,000 customers: at most 2 % of both. The start of dbt and the copy of the
file are shown apart, and so is the first day of a month, on which every customer's last row gets a new end.

SIZE=small checks that the benchmark works, not its figures.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import duckdb
from warehouse import HERE, MARTS, SIZES, Side, _step

SHARE = 1000
BUILT, DAY_AFTER, MONTH_AFTER = "2025-12-29", "2025-12-30", "2026-01-01"
RUNS = 3
LIMIT = 0.02
MOVED_ON = """
SELECT count(*) FROM marts.fct_customer_month_changes
WHERE until_month > (SELECT as_of_month FROM staging.stg_meta__build)
  AND (SELECT as_of_month > since_month FROM staging.stg_meta__build, staging.stg_meta__increment)
"""
"""On the first day of a month every customer's last row is updated."""


class Made(NamedTuple):
    """What making the models took: seconds in their nodes, and rows of tables written."""

    seconds: float
    rows: int


def built(side: Side, periods: Path) -> Made:
    """Run dbt on the stage as it stands."""
    side._dbt(periods, side.models)
    return Made(_seconds(side), _rows(side))


def _nodes(side: Side) -> dict[str, float]:
    results = json.loads((side.target / "run_results.json").read_text(encoding="utf-8"))["results"]
    return {one["unique_id"]: one["execution_time"] for one in results}


def _seconds(side: Side) -> float:
    return sum(_nodes(side).values())


def _rows(side: Side) -> int:
    """Rows of the tables; of those rebuilt in parts, the rows that an increment wrote."""
    manifest = json.loads((side.target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    counted = 0
    with duckdb.connect(side.stage, read_only=True) as connection:
        is_open = bool(connection.execute("SELECT 1 FROM raw_meta.increment WHERE is_open").fetchall())
        for name in _nodes(side):
            node = manifest[name]
            kind = node["config"]["materialized"]
            schema = "touched" if is_open and kind == "in_parts" else node["schema"]
            if kind != "view":
                query = f"SELECT count(*) FROM {schema}.{node['alias']}"
                counted += connection.execute(query).fetchall()[0][0]
        if is_open:
            counted += connection.execute(MOVED_ON).fetchall()[0][0]
    return counted


def same_tables(one: Side, other: Side) -> int:
    """Compare every table of two stages by its count and the sum of its rows' hashes; returns how many."""
    manifest = json.loads((one.target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    names = [
        f"{node['schema']}.{node['alias']}"
        for name in _nodes(one)
        if (node := manifest[name])["config"]["materialized"] != "view" and "_touched_" not in node["alias"]
    ]
    found = []
    for side in (one, other):
        with duckdb.connect(side.stage, read_only=True) as connection:
            found.append(
                [
                    connection.execute(
                        f"SELECT count(*), sum(hash(row)::HUGEINT) FROM {name} AS row"
                    ).fetchall()
                    for name in names
                ]
            )
    differing = [name for name, here, there in zip(names, *found, strict=True) if here != there]
    if differing:
        sys.exit(f"The increment and the full build differ in {', '.join(differing)}")
    return len(names)


def day(base: Side, folder: Path, periods: Path, as_of: str, name: str, customers: int) -> bool:
    """One day after the base: its increment beside the full build."""
    increments, fulls, finding, copying = [], [], [], []
    for run in range(RUNS if customers > 2_000 else 1):
        part = Side(f"part-{name}", base.project, base.models, folder)
        whole = Side(f"whole-{name}", base.project, base.models, folder)
        for side in (part, whole):
            side.stage.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(base.target, side.target, dirs_exist_ok=True)
        started = time.perf_counter()
        shutil.copyfile(base.stage, part.stage)
        copying.append(time.perf_counter() - started)
        _step("grow", part.stage, as_of, SHARE)
        told = json.loads(part.stage.with_name("grown.json").read_text(encoding="utf-8"))
        shutil.copyfile(part.stage, whole.stage)
        with duckdb.connect(whole.stage) as connection:
            connection.execute("UPDATE raw_meta.increment SET is_open = false")
        increments.append(built(part, periods))
        finding.append(told["seconds"])
        fulls.append(built(whole, periods))
        if run == 0:
            tables = same_tables(part, whole)
            slowest = part.slowest(6)
    seconds = statistics.median(one.seconds for one in increments) + statistics.median(finding)
    full_seconds = statistics.median(one.seconds for one in fulls)
    rows, full_rows = increments[0].rows, fulls[0].rows
    print(
        f"{name}, {told['touched']:,} of {customers:,} customers touched: {tables} tables agree with a full "
        f"build's\n  apart: copy of the file {statistics.median(copying):.2f} s | "
        f"finding who is touched {statistics.median(finding):.3f} s, part of the node time | "
        f"slowest models: {slowest}"
    )
    holds = True
    for what, here, there, unit in (
        ("node time", seconds, full_seconds, " s"),
        ("rows written", rows, full_rows, ""),
    ):
        is_within = here <= LIMIT * there
        holds &= is_within
        print(
            f"  {what}: {here:,.2f}{unit} of {there:,.2f}{unit} | {here / there:.2%} | limit {LIMIT:.0%} | "
            f"{'ok' if is_within else 'short'}",
            flush=True,
        )
    return holds


def main() -> None:
    size = os.environ.get("SIZE", "million")
    holds = []
    for customers in SIZES[size]:
        with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as place:
            folder = Path(place)
            periods = folder / "periods.parquet"
            _step("write", periods, customers)
            base = Side("base", HERE.parent, tuple(f"+{name}" for name in MARTS), folder)
            start = base.start(periods)
            base.stage.unlink(missing_ok=True)
            _step("load", base.stage, periods, BUILT)
            base._dbt(periods, base.models)
            print(
                f"{customers:,} customers; a later start of dbt alone: {base.start(periods).cost.wall:.1f} s"
            )
            del start
            holds.append(day(base, folder, periods, DAY_AFTER, "an ordinary day", customers))
            day(base, folder, periods, MONTH_AFTER, "the first days of a month", customers)
    sys.exit(0 if all(holds) or size == "small" else 1)


if __name__ == "__main__":
    main()
