"""dbt itself making an increment: what is touched comes anew, all else is left as it lies there."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines import models, warehouse
from pipelines.policy import read_policy
from pipelines.run import SourceConfig, build
from pipelines.sources.loading import create_raw_tables

ROOT = Path(__file__).resolve().parents[2]
SOURCES_YML = """\
sources:
  - {name: raw_billing, schema: raw_billing, tables: [{name: customers}]}
"""
STAGED = "select customer_id, segment, '' as note from {{ source('raw_billing', 'customers') }}"
PARTS = """\
{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'touched': 'raw_meta.touched_customers',
  'through': ['staging.stg_customers'],
  'reads': {'raw_billing.customers': 'customer_id'},
  'stays': ["update intermediate.int_segments set note = 'stayed'"],
}) }}
select * from {{ ref('stg_customers') }} where segment is not null
"""


@pytest.fixture
def parts_project(project: Path) -> Path:
    for name in ("models", "tests/warehouse"):
        shutil.rmtree(project / name)
    for name, text in (
        ("staging/_sources.yml", SOURCES_YML),
        ("staging/stg_customers.sql", STAGED),
        ("intermediate/int_segments.sql", PARTS),
    ):
        path = project / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return project


def test_dbt_rebuilds_the_touched_rows_and_no_others(parts_project, tmp_path):
    stage = tmp_path / "warehouse.duckdb"

    def made() -> list[tuple[str, str, str]]:
        folders = {"target": tmp_path / "target", "logs": tmp_path / "logs"}
        outcome = models.build_models(parts_project, stage, **folders, progress=lambda _: None)
        assert outcome.failures == ()
        with duckdb.connect(stage) as connection:
            return connection.execute("FROM intermediate.int_segments ORDER BY ALL").fetchall()

    with duckdb.connect(stage) as connection:
        create_raw_tables(connection)
        connection.execute(
            "INSERT INTO raw_billing.customers BY NAME SELECT unnest(['a', 'b', 'c']) AS customer_id, "
            "'old' AS segment"
        )
    assert made() == [("a", "old", ""), ("b", "old", ""), ("c", "old", "")]
    with duckdb.connect(stage) as connection:
        connection.execute("UPDATE raw_billing.customers SET segment = 'new' WHERE customer_id <> 'c'")
        connection.execute("DELETE FROM raw_billing.customers WHERE customer_id = 'c'")
        connection.execute("INSERT INTO raw_meta.increment BY NAME SELECT true AS is_open")
        connection.execute("CREATE SCHEMA touched")
        connection.execute("INSERT INTO raw_meta.touched_customers VALUES ('a'), ('c')")
    assert made() == [("a", "new", ""), ("b", "old", "stayed")]


PERIODS = "subscription_id,customer_id,start,end,amount,currency,interval\n"


def tables(snapshot: Path) -> dict[str, tuple[int, int]]:
    """Of each table of the models how many rows it has and the sum of their hashes."""
    with warehouse.Snapshot(snapshot) as reader:
        connection = reader.cursor()
        names = connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_type = "
            "'BASE TABLE' AND table_schema IN ('staging', 'intermediate', 'marts') "
            "AND NOT contains(table_name, '_touched_')"
        ).fetchall()
        return {
            name: connection.execute(
                f"SELECT count(*), sum(hash(row)::HUGEINT) FROM {name} AS row"
            ).fetchall()[0]
            for (name,) in names
        }


if "TAJDID_TEST_INCREMENTS" in os.environ:  # three builds of all models

    def test_builds_of_the_real_models_agree_whether_they_add_or_begin_anew(request_for, tmp_path):
        first = replace(request_for(), project=ROOT, as_of=date(2024, 5, 30))
        periods = first.folder / "periods"
        periods.mkdir()
        lines = [f"s{n},c{n},2024-0{1 + n % 5}-0{1 + n % 9},,{10 + n}.00,GBP,month\n" for n in range(40)]
        (periods / "periods.csv").write_text(PERIODS + "".join(lines), encoding="utf-8")
        sources = (SourceConfig("periods", "periods", str(periods)),)
        policy = read_policy(None, {"reporting_currency": "GBP", "reporting_timezone": "Europe/London"})
        first = replace(first, sources=sources, policy=policy)
        begun = build(first)
        assert begun.status == "published", begun.message
        lines[3] = lines[3].replace(",,", ",2024-05-20,")
        lines.append("s50,c50,2024-05-31,,3.00,GBP,month\n")
        (periods / "periods.csv").write_text(PERIODS + "".join(lines), encoding="utf-8")
        other = tmp_path / "other"
        shutil.copytree(first.folder, other)
        second = replace(first, as_of=date(2024, 5, 31), built_at=first.built_at + timedelta(hours=1))
        told: list[str] = []
        added = build(second, progress=told.append)
        assert any("2 of 40 customers" in one for one in told), told
        anew = build(replace(second, folder=other, is_full=True))
        assert added.warehouse is not None, added.message
        assert anew.warehouse is not None, anew.message
        assert tables(added.warehouse) == tables(anew.warehouse)
