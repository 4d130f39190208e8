"""What `make bench-warehouse` does in processes of their own, so that each is measured alone:

write FILE CUSTOMERS       make the input
load STAGE FILE AS_OF      give a new stage its raw tables, policy and build, and the periods of the file
copy STAGE FILE            write the stage's rows of customers' movements and months anew, as they stand
compare STAGE STAGE        fail when the movements or balances of a month differ between the two sides
grow STAGE AS_OF SHARE     let a day come on which one customer in SHARE changes, find who is touched, and say
                           in grown.json beside the stage how many there are and the seconds it took
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from time import perf_counter

import duckdb

from pipelines import increment, meta
from pipelines.policy import read_policy
from pipelines.sources.loading import create_raw_tables

MOVEMENTS = ("new_mrr", "expansion_mrr", "contraction_mrr", "churn_mrr", "reactivation_mrr", "closing_mrr")
OURS = ", ".join(f"sum({name}_native)::DECIMAL(20, 6)" for name in MOVEMENTS)
NAIVE = ", ".join(f"{name}::DECIMAL(20, 6)" for name in MOVEMENTS)


def _write_build(connection: duckdb.DuckDBPyConnection, build_id: str, as_of: date) -> None:
    meta.write_build(
        connection,
        build_id=build_id,
        company="bench",
        as_of=as_of,
        built_at=datetime.combine(as_of, time(23, 59), tzinfo=UTC),
        is_sample=True,
        sources=(),
    )


def load(stage: Path, periods: Path, as_of: date) -> None:
    with duckdb.connect(stage) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA raw_meta")
        create_raw_tables(connection)
        _write_build(connection, "bench", as_of)
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


CHANGES = """
WITH changing AS (
  SELECT * FROM (
    SELECT * FROM raw_billing.subscription_versions WHERE hash(customer_id) % $share = 0
    QUALIFY row_number() OVER (PARTITION BY subscription_item_id ORDER BY valid_from DESC) = 1
  ) WHERE coalesce(valid_to <= $on, true)
), more AS (
  SELECT * REPLACE (
    version_no + 1 AS version_no, $on AS valid_from, NULL AS valid_to, quantity + 1 AS quantity,
    amount_minor // quantity::BIGINT * (quantity::BIGINT + 1) AS amount_minor) FROM changing
), ended AS (
  SELECT * REPLACE ($on AS valid_to) FROM changing WHERE valid_to IS NULL
)
SELECT * REPLACE ($on::TIMESTAMPTZ AS recorded_at, $build || '-0001' AS load_id)
FROM (FROM more UNION ALL BY NAME FROM ended)
"""


def grow(stage: Path, as_of: date, share: int) -> None:
    build_id = f"grown-{as_of:%Y%m%d}"
    with duckdb.connect(stage) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("INSERT INTO raw_meta.fingerprints VALUES ('code', 'same')")
        before = increment.known(connection)
        connection.execute(
            f"INSERT INTO raw_billing.subscription_versions BY NAME {CHANGES}",
            {"share": share, "on": as_of, "build": build_id},
        )
        _write_build(connection, build_id, as_of)
        started = perf_counter()
        way = increment.decide(connection, before, "same")
        seconds = perf_counter() - started
        connection.execute("CHECKPOINT")
    if way.is_full:
        sys.exit(way.told())
    told = {"touched": way.touched, "seconds": seconds}
    stage.with_name("grown.json").write_text(json.dumps(told), encoding="utf-8")


COPIED = (
    "raw_billing.subscription_versions",
    "intermediate.int_subscription_versions",
    "intermediate.int_item_versions",
    "intermediate.int_item_steps",
    "intermediate.int_customer_attributes",
    "intermediate.int_customer_days",
    "intermediate.int_customer_month_cells",
    "marts.fct_mrr_movements",
    "marts.fct_customer_month_changes",
)
"""The tables with rows of each customer."""


def copy(stage: Path, file: Path) -> None:
    file.unlink(missing_ok=True)
    with duckdb.connect(file) as connection:
        connection.execute(f"ATTACH '{stage}' AS warehouse (READ_ONLY)")
        for name in COPIED:
            connection.execute(
                f"CREATE TABLE {name.split('.')[1]}_of_{name.split('.')[0]} AS FROM warehouse.{name}"
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
    elif step == "copy":
        copy(Path(given[0]), Path(given[1]))
    elif step == "grow":
        grow(Path(given[0]), date.fromisoformat(given[1]), int(given[2]))
    else:
        compare(Path(given[0]), Path(given[1]))


if __name__ == "__main__":
    main()
