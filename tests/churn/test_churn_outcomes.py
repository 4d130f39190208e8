"""The run looks back: outcomes of any scored day, save rates, monitoring rows, and the report written
again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl
import pytest

from churn_model import tables, watch
from churn_model.monitoring import measure_given
from churn_model.outcomes import outcomes_of

TODAY = date(2026, 6, 30)
AT = datetime(2026, 7, 1, tzinfo=UTC)
SCORED = date(2026, 1, 15)
"""No month end: outcomes do not depend on the days of the snapshots."""


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA intermediate; CREATE SCHEMA marts")
    tables.create_tables(connection)
    return connection


def give(
    connection: duckdb.DuckDBPyConnection,
    commitment: str,
    day: date,
    scores: dict[str, float],
    model_id: str = "m1",
    scored_at: datetime = AT,
) -> None:
    rows = [
        {
            "customer_id": customer,
            "as_of": day,
            "model_id": model_id,
            "scored_at": scored_at,
            "score_kind": "probability",
            "commitment_class": commitment,
            "p_90": p,
            "band_fixed": "high" if p >= 0.5 else "watch",
            "recommended_play": "review_call",
            "in_holdout": customer == "b",
        }
        for customer, p in scores.items()
    ]
    tables.insert(connection, "churn_scores", pl.DataFrame(rows))


def given(connection: duckdb.DuckDBPyConnection, as_of: date = TODAY) -> dict[str, tuple[bool, str | None]]:
    rows = outcomes_of(connection, as_of)
    return {row["customer_id"]: (row["left"], row["cause"]) for row in rows.to_dicts()}


def orders(connection: duckdb.DuckDBPyConnection, *rows: tuple[str, str, bool]) -> None:
    columns = "customer_id VARCHAR, ordered_on DATE, is_order_day BOOLEAN"
    connection.execute(f"CREATE TABLE intermediate.int_order_days ({columns})")
    for row in rows:
        connection.execute("INSERT INTO intermediate.int_order_days VALUES (?, ?, ?)", row)


def test_repeat_trade_left_who_did_not_order_in_the_ninety_days_after(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    orders(
        connection,
        ("on_the_day", "2026-01-15", True),
        ("next_day", "2026-01-16", True),
        ("day_90", "2026-04-15", True),
        ("day_91", "2026-04-16", True),
        ("credit_only", "2026-02-01", False),
        ("twice", "2026-02-01", True),
        ("twice", "2026-03-01", True),
    )
    who = ["on_the_day", "next_day", "day_90", "day_91", "credit_only", "twice", "never"]
    give(connection, "non_contract", SCORED, dict.fromkeys(who, 0.4))
    found = given(connection)
    assert {name for name, (left, _) in found.items() if left} == {
        *("on_the_day", "day_91", "credit_only", "never")
    }
    assert {name for name, (left, _) in found.items() if not left} == {"next_day", "day_90", "twice"}


@pytest.mark.parametrize(("today", "is_closed"), [(date(2026, 4, 14), False), (date(2026, 4, 15), True)])
def test_a_label_of_repeat_trade_closes_after_ninety_days(
    connection: duckdb.DuckDBPyConnection, today: date, is_closed: bool
) -> None:
    orders(connection)
    give(connection, "non_contract", SCORED, {"a": 0.4})
    assert bool(given(connection, today)) == is_closed


def snapshots(connection: duckdb.DuckDBPyConnection, *rows: tuple[object, ...]) -> None:
    connection.execute(
        "CREATE TABLE marts.fct_account_snapshots (customer_id VARCHAR, as_of DATE, is_at_risk BOOLEAN, "
        "ended_on DATE, ended_recorded_on DATE, ended_cause VARCHAR, returned_within_30 BOOLEAN, "
        "observed_until DATE)"
    )
    connection.executemany(
        "INSERT INTO marts.fct_account_snapshots VALUES (?, ?, true, ?, ?, ?, ?, '2026-06-30')", rows
    )


def test_accounts_left_by_the_newest_snapshot_up_to_the_scored_day(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    december = "2025-12-31"
    snapshots(
        connection,
        ("stays", december, None, None, None, None),
        ("leaves", december, "2026-03-01", "2026-03-01", "voluntary", False),
        ("unpaid", december, "2026-04-15", "2026-04-15", "involuntary", False),
        ("later", december, "2026-04-16", "2026-04-16", "voluntary", False),
        ("back_soon", december, "2026-03-01", "2026-03-01", "voluntary", True),
        ("recorded_late", december, "2026-03-01", "2026-05-16", "voluntary", False),
        ("ended_before", december, "2026-01-10", "2026-01-10", "voluntary", False),
        ("newest_counts", "2025-11-30", "2026-02-01", "2026-02-01", "voluntary", False),
        ("newest_counts", december, None, None, None, None),
        ("came_after", "2026-01-31", None, None, None, None),
    )
    who = ["stays", "leaves", "unpaid", "later", "back_soon", "recorded_late", "ended_before"]
    give(connection, "term", SCORED, dict.fromkeys([*who, "newest_counts", "came_after"], 0.3))
    found = given(connection)
    assert {name: cause for name, (left, cause) in found.items() if left} == {
        "leaves": "voluntary",
        "unpaid": "involuntary",
    }
    assert set(found) == {*who, "newest_counts"} - {"ended_before"}
    assert given(connection, date(2026, 5, 14)) == {}  # 120 days are over on 15 May


def test_a_customer_who_became_an_account_on_the_day_has_an_outcome_of_each_class(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A rebuild of the same day knows a contract that the first build did not: both scores stay. It ordered
    nothing more in the 90 days, and its contract goes on."""
    orders(connection)
    snapshots(connection, ("b", "2025-12-31", None, None, None, None))
    give(connection, "non_contract", SCORED, {"b": 0.4})
    give(connection, "term", SCORED, {"b": 0.1}, "m2", AT + timedelta(hours=1))
    found = outcomes_of(connection, TODAY)
    for commitment, observed in (("contract", 0), ("non_contract", 1)):
        scores = watch.given_scores(connection, commitment)
        measured = measure_given(scores, found, measured_on=TODAY, horizon_days=90)
        assert measured.filter(measure="brier", subject="all").select("customers", "observed").rows() == [
            (1, observed)
        ]
        assert watch.last_list(connection, scores, found, 90) is not None
        listed = watch.beside_outcomes(scores, found)
        assert listed.select("customer_id", "left").rows() == [("b", bool(observed))]
    call, together = watch.save_rates_of(connection, found)  # the list that stood is the account's
    assert (call.holdout, call.holdout_left) == (together.holdout, together.holdout_left) == (1, 0)


def test_without_scores_or_marts_there_are_no_outcomes(connection: duckdb.DuckDBPyConnection) -> None:
    assert outcomes_of(connection, TODAY).is_empty()
    orders(connection)
    assert outcomes_of(connection, TODAY).columns == ["customer_id", "as_of", "commitment", "left", "cause"]
