"""The bridge narrowed to one plan: it adds up, and each bar of it leads to rows that add up to the bar."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import tiny_world
from reader import Open, badges, html


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lumen, whose small businesses have a plan of their own, one of which Cedar came to from Standard."""

    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        tiny_world.insert(
            connection, "marts.dim_plans", [{"plan_id": "Q", "plan_name": "Solo", "is_add_on": False}]
        )
        connection.execute("UPDATE marts.fct_mrr_months SET plan_id = 'Q' WHERE segment = 'smb'")
        connection.execute(
            "UPDATE marts.fct_mrr_months SET entered_mrr = 1000, closing_mrr = closing_mrr + 1000 "
            "WHERE plan_id = 'Q' AND month = DATE '2025-03-01'"
        )
        connection.execute(
            "UPDATE marts.fct_mrr_months SET left_mrr = -1000, closing_mrr = closing_mrr - 1000 "
            "WHERE plan_id = 'P' AND month = DATE '2025-03-01'"
        )

    folder = tmp_path_factory.mktemp("plans")
    tiny_world.publish(folder / "lumen", "20250401T0430-q1", fill, title=("Lumen", "لومن"))
    return folder


@pytest.mark.parametrize(
    ("lang", "rows", "words"),
    [("en", "expansion", "Expansion"), ("en", "left", "Left plan"), ("ar", "left", "غادر الخطة")],
)
def test_a_bar_of_one_plan_leads_to_what_moved_in_it(
    open_page: Open, home: Path, lang: str, rows: str, words: str
) -> None:
    """Of Standard: 300.00 at the opening, 50.00 more, 10.00 gone to another plan: 340.00 at the close."""
    app = open_page("revenue", lang=lang, home=home, plan="P", rows=rows)
    assert not app.exception
    assert not app.error
    assert any("340.00" in text.value and "=" in text.value for text in app.text)
    assert any(words in heading.value for heading in app.subheader)
    assert not any("✗" in badge for badge in badges(app))
    assert "Standard" in html(app)
    assert "Solo" not in html(app).split("Standard")[0]


def test_the_bridge_of_the_whole_company_moves_nothing_between_plans(open_page: Open, home: Path) -> None:
    app = open_page("revenue", home=home)
    assert "Opening + movements = closing: €560.33" in [text.value for text in app.text]
    assert app.selectbox(key="choice-plan").options == ["All plans", "Solo", "Standard"]
    assert not any("between segments, plans" in one.value for one in app.caption)


@pytest.mark.parametrize("plan", ["nobody", "'; DROP TABLE x; --"])
def test_a_plan_that_nobody_has_leaves_the_whole_bridge(open_page: Open, home: Path, plan: str) -> None:
    app = open_page("revenue", home=home, plan=plan)
    assert not app.error
    assert "Opening + movements = closing: €560.33" in [text.value for text in app.text]
