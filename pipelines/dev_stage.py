"""Stage the raw tables into a file of your own, so that dbt can be run on it by hand while working on models.

    python -m pipelines.dev_stage --out /tmp/mine --orders data/online_retail_ii/lines.parquet --as-of
    2011-12-09 \\
        --currency GBP --timezone Europe/London
    TAJDID_STAGE_FILE=/tmp/mine/warehouse.duckdb dbt build --profiles-dir . --target-path /tmp/mine/target

The file is always called warehouse.duckdb, because views carry the catalog's name. It starts empty each
time; a build of the product (`tajdid warehouse build`) is made of the same steps, but incremental, tested
and published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from pipelines import meta
from pipelines.policy import PolicyError, read_policy
from pipelines.sources import KINDS
from pipelines.sources.loading import SourceConfig, SourceError, Stage, create_raw_tables

PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str]) -> int:
    """Stage the sources named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.dev_stage", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for warehouse.duckdb")
    for kind in KINDS:
        parser.add_argument(f"--{kind}", metavar="PLACE", help=f"folder, file or database URL of {kind}")
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--currency", default="EUR")
    parser.add_argument("--timezone", default="UTC")
    parser.add_argument("--policy", type=Path, help="a policy.toml; --currency and --timezone win over it")
    options = parser.parse_args(arguments)
    sources = tuple(
        SourceConfig(kind, kind, place) for kind in KINDS if (place := getattr(options, kind)) is not None
    )
    try:
        stage_sources(options.out, sources, options)
    except (SourceError, PolicyError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def stage_sources(out: Path, sources: tuple[SourceConfig, ...], options: argparse.Namespace) -> Path:
    """Write `out`/warehouse.duckdb anew with the raw tables of these sources; returns the file."""
    place = {"reporting_currency": options.currency, "reporting_timezone": options.timezone}
    policy = read_policy(options.policy, place)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "warehouse.duckdb"
    file.unlink(missing_ok=True)
    built_at = datetime.now(UTC)
    with duckdb.connect(file) as connection:
        create_raw_tables(connection)
        meta.write_build(
            connection,
            build_id="dev",
            company="dev",
            as_of=options.as_of,
            built_at=built_at,
            is_sample=False,
            sources=sources,
        )
        meta.write_policy(connection, policy)
        meta.write_metrics(connection, *meta.registry_files(PROJECT / "models"))
        stage = Stage(
            connection,
            "dev",
            built_at,
            out,
            policy.reporting_currency,
            policy.reporting_timezone,
            progress=print,
        )
        for source in sources:
            with stage.transaction():
                KINDS[source.kind](stage, source)
        for load in stage.loads:
            counts = f"{load.rows_accepted:,} of {load.rows_read:,} rows, {load.rows_rejected:,} set aside"
            print(f"{load.target_table}: {load.file_name}: {counts}")
    print(f"Staged {file}")
    return file


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
