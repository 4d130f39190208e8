"""What people wrote, as marts: actions with who took them back, targets in force, notes, the team's views."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from subscription_models import models

from pipelines.compiled import execute, needed
from pipelines.policy import read_policy
from tajdid.conformance.analytics_models import open_warehouse

AS_OF = date(2024, 5, 31)
AT = datetime(2024, 5, 30, 9, tzinfo=UTC)


def event(number: int, action: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "customer_id": "c1",
        "action": action,
        "recorded_by": "dana",
        "recorded_at": AT + timedelta(hours=number),
        "source_system": "app.db",
        "load_id": "b-0001",
        **more,
    }


def target(number: int, amount: int, **more: Any) -> dict[str, Any]:
    return {
        "target_id": number,
        "metric_id": "mrr",
        "month": date(2024, 6, 1),
        "currency": "EUR",
        "segment": "all",
        "amount": amount,
        "recorded_by": "dana",
        "recorded_at": AT + timedelta(hours=number),
        "source_system": "app.db",
        "load_id": "b-0001",
        **more,
    }


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Rows with moments of their own, as the source writes them."""
    for row in rows:
        marks = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


@pytest.fixture(scope="module")
def warehouse() -> duckdb.DuckDBPyConnection:
    connection = open_warehouse(read_policy(None), AS_OF)
    ((known_to,),) = connection.execute("SELECT known_to FROM raw_meta.build").fetchall()
    later = known_to + timedelta(hours=1)
    rows = [
        event(1, "contacted", channel="call", outcome="reached", contacted_at=AT, as_of=date(2024, 5, 29)),
        event(2, "assigned", owner="Omar"),
        event(3, "undone", undoes="e1", recorded_by="omar"),
        event(4, "closed", outcome="saved", recorded_at=later),
    ]
    insert(connection, "raw_app.customer_actions", rows)
    first = target(1, 500_000)
    taken_away = first | {"deleted_at": AT + timedelta(hours=2), "recorded_at": AT + timedelta(hours=2)}
    others = [target(2, 600_000), target(3, 10, month=date(2024, 7, 1), recorded_at=later)]
    insert(connection, "raw_app.targets", [first, taken_away, *others])
    note = {"note_id": "n1", "customer_id": "c1", "recorded_by": "dana", "source_system": "app.db"}
    insert(
        connection,
        "raw_app.customer_notes",
        [
            note | {"version_no": 1, "body": "One", "is_deleted": False, "recorded_at": AT, "load_id": "b-1"},
            note | {"version_no": 2, "body": "Two", "is_deleted": False, "recorded_at": AT, "load_id": "b-2"},
        ],
    )
    said = {
        "annotation_id": 1,
        "happened_on": date(2024, 3, 1),
        "words": "Prices rose",
        "author_name": "Dana",
        "recorded_by": "dana",
        "recorded_at": AT,
        "source_system": "app.db",
        "load_id": "b-1",
    }
    gone = said | {"annotation_id": 2, "words": "A mistake"}
    insert(
        connection,
        "raw_app.annotations",
        [
            said,
            gone,
            gone | {"deleted_at": AT, "deleted_by": "dana", "load_id": "b-2"},
            said | {"annotation_id": 3, "recorded_at": later},
        ],
    )
    view = {
        "view_id": "v1",
        "name": "Small firms",
        "page": "revenue",
        "parameters": "{}",
        "owner_name": "Dana",
        "recorded_by": "dana",
        "recorded_at": AT,
        "source_system": "app.db",
        "load_id": "b-1",
    }
    renamed = view | {"name": "Firms", "recorded_at": AT + timedelta(hours=1)}
    insert(
        connection,
        "raw_app.saved_views",
        [view, renamed, view | {"view_id": "v2", "recorded_at": later}],
    )
    wanted = (
        *("fct_customer_actions", "fct_targets", "stg_app__customer_notes"),
        *("dim_annotations", "dim_saved_views"),
    )
    execute(connection, needed(models(), *wanted))
    return connection


def test_an_action_that_was_taken_back_stays_and_says_so(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert warehouse.sql(
        "SELECT event_id, action, is_undone, undone_by, undone_at FROM marts.fct_customer_actions ORDER BY 1"
    ).fetchall() == [
        ("e1", "contacted", True, "omar", AT + timedelta(hours=3)),
        ("e2", "assigned", False, None, None),
    ]


def test_the_target_in_force_is_the_one_nobody_took_away(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert warehouse.sql("SELECT month, amount FROM marts.fct_targets").fetchall() == [
        (date(2024, 6, 1), 600_000)
    ]


def test_a_note_is_its_last_version(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert warehouse.sql("SELECT note_id, body FROM staging.stg_app__customer_notes").fetchall() == [
        ("n1", "Two")
    ]


def test_the_notes_on_dates_are_those_on_the_charts(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert warehouse.sql("SELECT * FROM marts.dim_annotations").fetchall() == [
        (1, date(2024, 3, 1), "Prices rose", "Dana", "dana", AT)
    ]


def test_a_view_of_the_team_is_as_it_was_last_changed(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert warehouse.sql("SELECT * FROM marts.dim_saved_views").fetchall() == [
        ("v1", "Firms", "revenue", "{}", "Dana", "dana", AT + timedelta(hours=1))
    ]
