"""A score once given stays: a build in which one changed or is missing fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from churn_model import score_history, tables
from churn_model.score_history import HistoryChanged
from pipelines import history, warehouse

AT = datetime(2026, 1, 1, tzinfo=UTC)


def scores(*customers: str, model_id: str = "m1") -> pl.DataFrame:
    rows = [
        {
            "customer_id": customer,
            "as_of": date(2025, 12, 31),
            "model_id": model_id,
            "scored_at": AT,
            "p_90": 0.1 + place / 10,
            "data_quality_flags": ["known_day_assumed"],
            "reason_1": {"feature": "seat_use", "points": 0.05},
        }
        for place, customer in enumerate(customers)
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A stage as a build finds it: last build's table, and what the files hold."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA raw_history")
        tables.create_tables(connection)
        reasons = scores("a", "b").drop("reason_1")
        tables.insert(connection, "churn_scores", reasons)
        connection.execute("CREATE TABLE raw_history.churn_scores AS FROM churn.churn_scores")
        yield connection


def test_an_unchanged_history_passes_and_is_loaded_whole(connection: duckdb.DuckDBPyConnection) -> None:
    score_history.check_files(connection)
    tables.create_tables(connection)
    score_history.load(connection)
    tables.insert(connection, "churn_scores", scores("a", model_id="m2").drop("reason_1"))
    score_history.check_tables(connection)
    assert connection.execute("SELECT count(*) FROM churn.churn_scores").fetchone() == (3,)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM raw_history.churn_scores WHERE customer_id = 'a'",
        "UPDATE raw_history.churn_scores SET p_90 = 0.11 WHERE customer_id = 'a'",
        "UPDATE raw_history.churn_scores SET data_quality_flags = [] WHERE customer_id = 'a'",
        "DROP TABLE raw_history.churn_scores",
        "ALTER TABLE raw_history.churn_scores DROP p_90",
        "ALTER TABLE raw_history.churn_scores DROP data_quality_flags",
    ],
)
def test_files_in_which_a_given_score_changed_or_is_missing_fail_the_build(
    connection: duckdb.DuckDBPyConnection, change: str
) -> None:
    connection.execute(change)
    with pytest.raises(HistoryChanged, match="bring the files back"):
        score_history.check_files(connection)


def test_a_published_column_without_values_need_not_be_in_the_files(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """As after the first build of a release that knows one more column."""
    connection.execute("ALTER TABLE raw_history.churn_scores DROP band_fixed")
    score_history.check_files(connection)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM churn.churn_scores WHERE customer_id = 'b'",
        "UPDATE churn.churn_scores SET band_fixed = 'high' WHERE customer_id = 'b'",
        "UPDATE churn.churn_scores SET model_id = 'm2'",
    ],
)
def test_a_table_in_which_a_given_score_changed_or_is_missing_fails_the_build(
    connection: duckdb.DuckDBPyConnection, change: str
) -> None:
    connection.execute(change)
    with pytest.raises(HistoryChanged, match="missing from churn_scores, or differ"):
        score_history.check_tables(connection)


def test_a_score_given_twice_fails_the_build(connection: duckdb.DuckDBPyConnection) -> None:
    tables.insert(connection, "churn_scores", scores("a").with_columns(p_90=0.9).drop("reason_1"))
    with pytest.raises(HistoryChanged, match="more than once"):
        score_history.check_tables(connection)


def test_a_release_with_a_new_column_keeps_what_was_given_and_gives_it_once(tmp_path: Path) -> None:
    """The files of an older release lack a column; the next build adds only its own rows."""
    kept = tmp_path / "history" / "churn_scores"
    kept.mkdir(parents=True)
    scores("a", "b").select("customer_id", "as_of", "model_id", "p_90").write_parquet(kept / "b1.parquet")
    file = tmp_path / "stage.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute((Path(history.__file__).parent / "raw_schema.sql").read_text(encoding="utf-8"))
        connection.execute("CREATE SCHEMA marts; CREATE TABLE marts.fct_metric_prints (build_id VARCHAR)")
        history.load(connection, tmp_path)
        tables.create_tables(connection)
        score_history.load(connection)
        tables.insert(connection, "churn_scores", scores("c").drop("reason_1"))
        score_history.check_tables(connection)
    target = warehouse.snapshot_path(tmp_path, "b2")
    target.parent.mkdir()
    file.rename(target)
    history.keep(tmp_path, target)
    assert pl.read_parquet(kept / "b2.parquet")["customer_id"].to_list() == ["c"]
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA raw_history")
        files = f"read_parquet('{kept}/*.parquet', union_by_name = true)"
        assert connection.execute(f"SELECT count(*) FROM {files}").fetchone() == (3,)
