"""Which of the scores given so far are in use: those that pages show, and those of a week before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest

from churn_model import stage, tables

NEWEST = date(2025, 3, 31)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables.create_tables(connection)
        yield connection


def give(
    connection: duckdb.DuckDBPyConnection, on: date, model_id: str, hour: int, commitment: str = "term"
) -> None:
    row = {
        "customer_id": "C1",
        "as_of": on,
        "model_id": model_id,
        "scored_at": datetime(on.year, on.month, on.day, hour, tzinfo=UTC),
        "commitment_class": commitment,
    }
    tables.insert(connection, "churn_scores", pl.DataFrame([row]))


def in_use(connection: duckdb.DuckDBPyConnection, flag: str = "is_in_use") -> list[tuple[date, str]]:
    stage.write_scorings(connection)
    return connection.sql(
        f"SELECT as_of, model_id FROM churn.churn_scorings WHERE {flag} ORDER BY is_repeat_trade"
    ).fetchall()


def test_without_a_score_none_is_in_use(connection: duckdb.DuckDBPyConnection) -> None:
    assert in_use(connection) == []


def test_the_last_day_is_in_use_by_the_model_that_scored_last(connection: duckdb.DuckDBPyConnection) -> None:
    give(connection, date(2025, 3, 30), "m3", 9)
    give(connection, NEWEST, "m1", 8)
    give(connection, NEWEST, "m2", 9)
    assert in_use(connection) == [(NEWEST, "m2")]


def test_the_model_in_use_goes_before_the_one_that_scored_last(connection: duckdb.DuckDBPyConnection) -> None:
    give(connection, NEWEST, "m1", 8)
    give(connection, NEWEST, "m2", 9)
    tables.insert(connection, "churn_status", pl.DataFrame([{"as_of": NEWEST, "model_id": "m1"}]))
    assert in_use(connection) == [(NEWEST, "m1")]


def test_accounts_and_repeat_trade_have_each_a_day_of_their_own(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    give(connection, NEWEST, "m1", 8)
    give(connection, date(2025, 3, 29), "t1", 8, "non_contract")
    assert in_use(connection) == [(NEWEST, "m1"), (date(2025, 3, 29), "t1")]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((24, 23), [date(2025, 3, 24)]),  # seven days before, and eight
        ((25, 17), [date(2025, 3, 17)]),  # six days are too few, fourteen are not too many
        ((25, 16), []),
    ],
)
def test_a_week_before_is_the_last_day_from_14_to_7_days_before_by_the_same_model(
    connection: duckdb.DuckDBPyConnection, days: tuple[int, int], expected: list[date]
) -> None:
    give(connection, NEWEST, "m1", 8)
    give(connection, date(2025, 3, 22), "m0", 8)
    for day in days:
        give(connection, date(2025, 3, day), "m1", 8)
    assert in_use(connection, "is_week_before") == [(day, "m1") for day in expected]
