"""Figures of closed months as builds printed them, why they are others now, and under other definitions.

Each build is a file as the pipeline publishes it, made by the same models in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from subscription_models import models
from test_subscription_rules import APR, FEB, JAN, MAR, version

from pipelines import history, meta, warehouse
from pipelines.alternatives import alternatives, policy_sensitivity, restatement_causes
from pipelines.compiled import execute, needed
from pipelines.policy import SETTINGS, read_policy
from pipelines.sources.loading import create_raw_tables
from pipelines.variants import opened

Rows = Mapping[str, Iterable[Mapping[str, Any]]]
FIRST, SECOND = datetime(2024, 4, 1, 6, tzinfo=UTC), datetime(2024, 5, 1, 6, tzinfo=UTC)
LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)


def publish(folder: Path, built_at: datetime, rows: Rows, **settings: Any) -> Path:
    """A build of these raw rows, by `schema.table`, as of the day before it; what it prints is kept."""
    build_id = built_at.strftime("%Y%m%dT%H%M%S")
    stage = warehouse.start_stage(folder, None)
    as_of = date.fromordinal(built_at.date().toordinal() - 1)
    with duckdb.connect(stage) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        create_raw_tables(connection)
        history.load(connection, folder)
        about = {"company": "small", "as_of": as_of, "is_sample": False, "sources": ()}
        meta.write_build(connection, build_id=build_id, built_at=built_at, **about)
        meta.write_policy(connection, read_policy(None, settings))
        for table, some in rows.items():
            recorded = [{"recorded_at": LONG_AGO, "load_id": "1"} | dict(row) for row in some]
            connection.register("arriving", pl.DataFrame(recorded, infer_schema_length=None).to_arrow())
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
            connection.unregister("arriving")
        execute(connection, needed(models(), "fct_restatements", "dim_policy"))
    snapshot = warehouse.publish(folder, build_id)
    history.keep(folder, snapshot)
    return snapshot


def read(snapshot: Path, query: str) -> list[tuple[Any, ...]]:
    with warehouse.Snapshot(snapshot) as reader:
        return reader.cursor().execute(query).fetchall()


PRINTS = (
    "SELECT strftime(month, '%m'), build_id[5:8], value::BIGINT FROM marts.fct_metric_prints "
    "WHERE metric_id = 'mrr' AND segment = 'all' ORDER BY printed_at, month"
)
RESTATED = (
    "SELECT strftime(month, '%m'), first_value::BIGINT, value::BIGINT, difference::BIGINT, times_restated "
    "FROM marts.fct_restatements WHERE metric_id = 'mrr' AND segment = 'all' ORDER BY month"
)


def test_a_build_prints_what_closed_and_what_is_no_more_as_it_was(tmp_path):
    folder = tmp_path / "small"
    known = [version(JAN, None, 1000)]
    first = publish(folder, FIRST, {"raw_billing.subscription_versions": known})
    assert read(first, PRINTS) == [("01", "0401", 1000), ("02", "0401", 1000), ("03", "0401", 1000)]
    assert read(first, RESTATED) == []
    late = version(FEB, None, 500, "b", "y", recorded_at=datetime(2024, 4, 20, tzinfo=UTC))
    second = publish(folder, SECOND, {"raw_billing.subscription_versions": [*known, late]})
    again = [("02", "0501", 1500), ("03", "0501", 1500), ("04", "0501", 1500)]
    assert read(second, PRINTS) == read(first, PRINTS) + again
    assert read(second, RESTATED) == [("02", 1000, 1500, 500, 1), ("03", 1000, 1500, 500, 1)]
    third = publish(folder, SECOND.replace(hour=9), {"raw_billing.subscription_versions": [*known, late]})
    assert read(third, PRINTS) == read(second, PRINTS)
    # Y is gone, as is the segment's figure that only it had.
    fourth = publish(folder, SECOND.replace(hour=12), {"raw_billing.subscription_versions": known})
    assert read(fourth, PRINTS)[-3:] == [("02", "0501", 1000), ("03", "0501", 1000), ("04", "0501", 1000)]
    assert read(fourth, RESTATED) == [("04", 1500, 1000, -500, 1)]


def test_a_figure_that_is_no_more_is_printed_as_nothing(tmp_path):
    folder = tmp_path / "small"
    one = version(JAN, None, 1000)
    in_dollars = version(JAN, None, 300, "b", "y", currency="USD")
    people = [customer("x", "small"), customer("y", "big")]
    rates = [rate(JAN, "2"), rate(JAN, "2", "budget")]
    raw = {
        "raw_billing.subscription_versions": [one, in_dollars],
        "raw_billing.customers": people,
        "raw_billing.fx_rates": rates,
    }
    publish(folder, FIRST, raw)
    later = publish(folder, SECOND, raw | {"raw_billing.subscription_versions": [one]})
    found = read(
        later,
        "SELECT DISTINCT segment, first_value::BIGINT, value FROM marts.fct_restatements "
        "WHERE metric_id = 'mrr' AND segment = 'big'",
    )
    assert found == [("big", 600, None)]


def customer(customer_id: str, segment: str) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "name": customer_id,
        "segment": segment,
        "is_test": False,
        "created_on": JAN,
        "valid_from": JAN,
        "valid_to": None,
    }


def rate(on: date, value: str, name: str = "daily", **rest: Any) -> dict[str, Any]:
    about = {"rate_on": on, "from_currency": "USD", "to_currency": "EUR", "rate": value, "rate_set": name}
    return about | rest


def test_each_cause_adds_its_part_and_together_they_are_the_difference(tmp_path):
    """March, first reported 10.00 + 3.00 USD at 2 = 16.00 of two customers. Then came 5.00 more, y was found
    to belong to x, the dollar of February's end (the rate of March) was corrected to 3, and trials count."""
    folder, came = tmp_path / "small", datetime(2024, 4, 20, tzinfo=UTC)
    trial = version(JAN, None, 700, "t", "z", status="trialing", trial_end_on=date(2024, 12, 31))
    versions = [version(JAN, None, 1000), version(JAN, None, 300, "b", "y", currency="USD"), trial]
    rates = [rate(JAN, "2"), rate(date(2024, 3, 31), "2"), rate(JAN, "2", "budget")]
    raw = {"raw_billing.subscription_versions": versions, "raw_billing.fx_rates": rates}
    first = publish(folder, FIRST, raw)
    assert read(first, PRINTS)[-1] == ("03", "0401", 1600)
    late = version(FEB, None, 500, "c", "w", recorded_at=came)
    corrected = rate(date(2024, 3, 31), "3", recorded_at=came)
    parent = {"customer_id": "y", "parent_customer_id": "x", "valid_from": JAN, "valid_to": None}
    second = publish(
        folder,
        SECOND,
        {
            "raw_billing.subscription_versions": [*versions, late],
            "raw_billing.fx_rates": [*rates, corrected],
            "raw_billing.customer_parents": [parent | {"recorded_at": came}],
        },
        definition_version="2",
        trials="in",
    )
    assert read(second, PRINTS)[-2][-1] == 1000 + 500 + 900 + 700
    with opened(second) as connection:
        causes = restatement_causes(connection, models(), lambda _: None).filter(month=MAR, segment="all")

    def of(metric: str) -> dict[str, float]:
        (row,) = causes.filter(metric_id=metric).to_dicts()
        return {name.removeprefix("by_"): row[name] for name in row if name.startswith("by_")}

    assert of("mrr") == {"models": 0, "rows": 500, "parents": 0, "rates": 300, "definition": 700}
    assert of("customers") == {"models": 0, "rows": 1, "parents": -1, "rates": 0, "definition": 1}
    known = causes.drop_nulls()
    assert known.height > 10
    total = sum(pl.col(f"by_{cause}") for cause in ("models", "rows", "parents", "rates", "definition"))
    rest = known.select((pl.col("first_value") + total - pl.col("value")).abs().max()).item()
    assert rest < 1e-9


def test_figures_are_shown_under_each_alternative_that_moves_them_one_setting_at_a_time(tmp_path):
    trial = version(FEB, None, 700, "t", "z", status="trialing", trial_end_on=date(2024, 12, 31))
    pause = [version(JAN, MAR, 1000), version(MAR, APR, 1000, status="paused"), version(APR, None, 1000)]
    snapshot = publish(tmp_path / "small", SECOND, {"raw_billing.subscription_versions": [*pause, trial]})
    told: list[str] = []
    with opened(snapshot) as connection:
        found = policy_sensitivity(connection, models(), told.append)

    def mrr(setting: str, alternative: str) -> list[tuple[float, float]]:
        rows = found.filter(setting=setting, alternative=alternative, metric_id="mrr").sort("month")
        return rows.select("figure_in_force", "figure").rows()

    assert mrr("trials", "in") == [(1000, 1000), (1000, 1700), (0, 700), (1000, 1700)]
    assert mrr("pause", "pause_ignored") == [(1000, 1000), (1000, 1000), (0, 1000), (1000, 1000)]
    assert mrr("week_factor", "4") == []
    off = found.filter(pl.col("difference").is_not_null())
    assert off.select((pl.col("figure") - pl.col("figure_in_force") == pl.col("difference")).all()).item()
    tried = {(line.split(" = ")[0], line.split(" = ")[1].split(":")[0]) for line in told}
    assert tried == {(name, str(value)) for name, value in alternatives(read_policy(None))}
    assert {name for name, _ in tried} == set(SETTINGS)


def test_the_alternatives_stand_beside_the_snapshot_and_go_with_it(tmp_path):
    folder = tmp_path / "small"
    raw = {"raw_billing.subscription_versions": [version(JAN, None, 1000)]}
    snapshot = publish(folder, SECOND, raw)
    beside = warehouse.policy_path(snapshot)
    assert not beside.exists()
    with duckdb.connect(beside) as connection:
        connection.execute("CREATE TABLE fct_policy_sensitivity AS SELECT 13 AS months")
    assert read(snapshot, "SELECT months FROM policy.fct_policy_sensitivity") == [(13,)]
    newer = publish(folder, SECOND.replace(hour=9), raw)
    warehouse.prune(folder, keep=1)
    assert newer.exists()
    assert not snapshot.exists()
    assert not beside.exists()


def test_a_figure_that_only_the_alternative_has_stands_beside_none(tmp_path):
    since = date(2022, 1, 1)
    customers = [version(since, None, 1000, f"i{number}", f"c{number}") for number in range(12)]
    margin = {"month": APR, "segment": "all", "margin_bp": 5000}
    raw = {"raw_billing.subscription_versions": customers, "raw_crm.gross_margins": [margin]}
    snapshot = publish(tmp_path / "small", SECOND, raw)
    with opened(snapshot) as connection:
        found = policy_sensitivity(connection, models(), lambda _: None, {"ltv_horizon_months"})
    # 24 months at half of 1000; 36 months of history there are not
    assert found.select("metric_id", "month", "figure_in_force", "figure", "difference").rows() == [
        ("ltv_survival_24", APR, None, 12_000, None)
    ]
