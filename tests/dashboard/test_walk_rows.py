"""The walk from MRR to cash: what a part of it leaves unexplained leads to the steps it is made of."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import tiny_world
from reader import Open, badges

from churn_model.tables import create_tables as create_churn_tables

MATCHES = "✓ Sum matches"
MARCH = date(2025, 3, 1)
# walk, step, kind, amount of March: 560.33 + 20.00 − 80.33 leave 0.25 of the 500.25 that were earned.
WALK = [
    ("mrr_to_recognised", "closing_mrr", "figure", "56033"),
    ("mrr_to_recognised", "timing", "change", "2000"),
    ("mrr_to_recognised", "calendar", "change", "-8033"),
    ("mrr_to_recognised", "unexplained_a", "unexplained", "25"),
    ("recognised_to_invoiced", "recognised", "figure", "50025"),
    ("recognised_to_invoiced", "deferred_closing", "change", "1000"),
    ("recognised_to_invoiced", "unexplained_b", "unexplained", "0"),
    ("recognised_to_invoiced", "net_invoiced", "figure", "51025"),
    ("invoiced_to_gross", "tax", "change", "10000"),
    ("invoiced_to_gross", "gross_invoiced", "figure", "61025"),
    ("gross_to_cash", "receivables_change", "change", "-1000"),
    ("gross_to_cash", "unexplained_c", "unexplained", "-25"),
    ("gross_to_cash", "cash_received", "figure", "60000"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.describe_build(
            connection, build_id, as_of=date(2025, 3, 31), currency="EUR", subscriptions=True
        )
        create_churn_tables(connection)
        rows = [
            {
                "month": MARCH,
                "currency": "EUR",
                "step_no": number,
                "walk": walk,
                "step": step,
                "kind": kind,
                "amount": Decimal(amount),
                "status": "fine" if kind == "unexplained" else None,
            }
            for number, (walk, step, kind, amount) in enumerate(WALK, 1)
        ]
        tiny_world.insert(connection, "marts.fct_reconciliation", rows)

    folder = tmp_path_factory.mktemp("walks")
    tiny_world.publish(folder / "lumen", "20250401T0430-w1", fill, title=("Lumen", "لومن"))
    return folder


@pytest.mark.parametrize(("step", "sum_"), [("a", "+€0.25"), ("b", "€0.00"), ("c", "−€0.25")])
def test_what_a_walk_leaves_unexplained_is_its_steps_added_up(
    open_page: Open, home: Path, step: str, sum_: str
) -> None:
    app = open_page("health", home=home, rows=f"unexplained_{step}")
    assert not app.exception
    assert not app.error
    said = [text.value for text in app.text if text.value.startswith("Counts as, sum of all rows: ")]
    assert len(said) == 1
    assert said[0].endswith(sum_)
    assert any(MATCHES in badge for badge in badges(app))
    assert not any("✗" in badge for badge in badges(app))
