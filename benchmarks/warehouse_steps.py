"""What `make bench-warehouse` does in processes of their own, so that each is measured alone:

write FILE CUSTOMERS       make the input
load STAGE FILE AS_OF      give a new stage its raw tables, policy and build, and the periods of the file
compare STAGE STAGE        fail when the movements or balances of a month differ between the two sides
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time
from pathlib import Path

import duckdb

from pipelines import meta
from pipelines.policy import read_policy
from pipelines.sources.loading import create_raw_tables

MOVEMENTS = ("new_mrr", "expansion_mrr", "contraction_mrr", "churn_mrr", "reactivation_mrr", "closing_mrr")
OURS = ", ".join(f"sum({name}_native)::DECIMAL(20, 6)" for name in MOVEMENTS)
NAIVE = ", ".join(f"{name}::DECIMAL(20, 6)" for name in MOVEMENTS)


def load(stage: Path, periods: Path, as_of: date) -> None:
    built_at = datetime.combine(as_of, time(23, 59), tzinfo=UTC)
    with duckdb.connect(stage) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA raw_meta")
        create_raw_tables(connection)
        meta.write_build(
            connection,
            build_id="bench",
            company="bench",
            as_of=as_of,
            built_at=built_at,
            is_sample=True,
            sources=(),
        )
        meta.write_policy(connection, read_policy(None))
        connection.execute(
            "INSERT INTO raw_billing.subscription_versions BY NAME "
            "SELECT * EXCLUDE (seats, subscription_id), subscription_id AS subscription_item_id, "
            "subscription_id, seats::DECIMAL(38, 12) AS quantity, 'month' AS \"interval\", "
            "1 AS interval_count, 'active' AS status, false AS is_deleted, "
            "valid_from::TIMESTAMPTZ AS recorded_at, "
            "'bench' AS source_system, 'bench' AS load_id FROM read_parquet(?)",
            [str(periods)],
        )


def compare(ours: Path, naive: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{ours}' AS warehouse (READ_ONLY)")
        connection.execute(f"ATTACH '{naive}' AS naive (READ_ONLY)")
        ours_months = (
            f"SELECT month, {OURS}, sum(closing_customers)::BIGINT "
            "FROM warehouse.marts.fct_mrr_months GROUP BY 1"
        )
        naive_months = f"SELECT month, {NAIVE}, closing_customers FROM naive.naive.mrr_months"
        differing = connection.execute(
            f"({ours_months} EXCEPT {naive_months}) UNION ALL "
            f"({naive_months} EXCEPT {ours_months}) ORDER BY 1"
        ).fetchall()
        (months,) = connection.execute(f"SELECT count(*) FROM ({naive_months})").fetchall()[0]
    if differing or not months:
        sys.exit(f"The two sides differ in {len(differing)} rows of {months} months: {differing[:4]}")


def main() -> None:
    step, *given = sys.argv[1:]
    if step == "write":
        from warehouse_periods import write_periods

        write_periods(Path(given[0]), int(given[1]))
    elif step == "load":
        load(Path(given[0]), Path(given[1]), date.fromisoformat(given[2]))
    else:
        compare(Path(given[0]), Path(given[1]))


if __name__ == "__main__":
    main()
