"""The churn lists keep apart what must not be mixed: lists, currencies, classes, older models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest
from tiny_world import insert

from churn_model.stage import write_scorings
from churn_model.tables import create_tables
from dashboard.queries import Query, churn

AS_OF = date(2025, 3, 31)


def score(customer: str, list_name: str, rank: int, at_risk: int | None, **more: Any) -> dict[str, Any]:
    row = {
        "customer_id": customer,
        "as_of": AS_OF,
        "model_id": "m2",
        "scored_at": datetime(2025, 4, 1, tzinfo=UTC),
        "score_kind": "probability",
        "commitment_class": "term",
        "p_90": 0.5,
        "band_fixed": "high",
        "list_name": list_name,
        "value_rank": rank,
        "currency": "EUR",
        "revenue_at_risk_90_minor": at_risk,
        "score_pct": 50.0,
        "decision_on": date(2025, 5, 1),
        "cause": "voluntary",
    }
    return row | more


@pytest.fixture(scope="module")
def snapshot() -> Iterator[duckdb.DuckDBPyConnection]:
    """Accounts on three lists in two currencies, one customer of repeat trade, and older scores."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS warehouse; USE warehouse; CREATE SCHEMA marts")
        connection.execute(
            "CREATE TABLE marts.dim_customers (customer_id VARCHAR, name VARCHAR, is_current BOOLEAN)"
        )
        create_tables(connection)
        rows = [
            score("A1", "now", 2, 100, in_holdout=True, play_en="Call", play_ar="اتصال", play_owner="sales"),
            score("A2", "now", 1, 900, p_90=0.3, band_fixed="watch"),
            score("A3", "later", 1, 5000, p_nonrenewal_next_term=0.4),
            score("A4", "leaving", 1, None, p_90=None, band_fixed=None, score_kind="notice"),
            score("A5", "now", 1, 70, currency="KWD"),
            score("A6", "now", 1, 99, model_id="m1", scored_at=datetime(2025, 3, 31, tzinfo=UTC)),
            score("T1", "now", 1, 300, commitment_class="non_contract", model_id="t1", cause=None),
            score("T0", "now", 1, 8, commitment_class="non_contract", model_id="t0", as_of=date(2025, 2, 28)),
        ]
        insert(connection, "churn.churn_scores", rows)
        write_scorings(connection)
        yield connection


def asked(snapshot: duckdb.DuckDBPyConnection, query: Query, **values: Any) -> list[dict[str, Any]]:
    every = {"segment": "all", "list_name": "now", "currency": "EUR", "band": "all", "ranking": "value"}
    return snapshot.sql(query.sql, params=query.parameters(every | values)).pl().to_dicts()


def names(snapshot: duckdb.DuckDBPyConnection, **values: Any) -> list[str]:
    return [row["customer_id"] for row in asked(snapshot, churn.RISK_ROWS, **values)]


def test_there_is_a_part_for_each_list_and_currency(snapshot: duckdb.DuckDBPyConnection) -> None:
    parts = {(row["currency"], row["list_name"]): row["customers"] for row in asked(snapshot, churn.PARTS)}
    assert parts == {("EUR", "now"): 3, ("EUR", "later"): 1, ("EUR", "leaving"): 1, ("KWD", "now"): 1}


def test_renewals_later_and_those_leaving_are_not_on_the_90_day_list(
    snapshot: duckdb.DuckDBPyConnection,
) -> None:
    assert sorted(names(snapshot)) == ["A1", "A2", "T1"]
    assert names(snapshot, list_name="later") == ["A3"]
    assert names(snapshot, list_name="leaving") == ["A4"]
    assert names(snapshot, currency="KWD") == ["A5"]


def test_a_list_is_in_the_order_of_its_places_and_says_commitment_and_cause(
    snapshot: duckdb.DuckDBPyConnection,
) -> None:
    rows = [row for row in asked(snapshot, churn.RISK_ROWS) if row["commitment_class"] == "term"]
    assert [(row["customer_id"], row["cause"]) for row in rows] == [("A2", "voluntary"), ("A1", "voluntary")]
    assert {row["decision_on"] for row in rows} == {date(2025, 5, 1)}


def test_who_is_held_out_is_marked_and_has_no_play(snapshot: duckdb.DuckDBPyConnection) -> None:
    held = next(row for row in asked(snapshot, churn.RISK_ROWS) if row["customer_id"] == "A1")
    assert held["in_holdout"]
    assert [held[name] for name in ("play_en", "play_ar", "play_owner", "due_on")] == [None] * 4


def test_after_a_roll_back_the_scores_of_the_model_in_use_are_shown(
    snapshot: duckdb.DuckDBPyConnection,
) -> None:
    assert "A6" not in names(snapshot)
    insert(snapshot, "churn.churn_status", [{"as_of": AS_OF, "state": "scored", "model_id": "m1"}])
    write_scorings(snapshot)
    try:
        assert sorted(names(snapshot)) == ["A6", "T1"]
    finally:
        snapshot.execute("DELETE FROM churn.churn_status")
        write_scorings(snapshot)


def test_the_sums_are_those_of_the_rows_of_one_list(snapshot: duckdb.DuckDBPyConnection) -> None:
    (summary,) = asked(snapshot, churn.SUMMARY)
    assert (summary["customers"], summary["high"], summary["watch"]) == (3, 2, 1)
    assert (summary["revenue_at_risk_minor"], summary["is_leaving"], summary["is_later"]) == (
        1300,
        False,
        False,
    )
    (leaving,) = asked(snapshot, churn.SUMMARY, list_name="leaving")
    assert (leaving["customers"], leaving["is_leaving"], leaving["with_probability"]) == (1, True, 0)
