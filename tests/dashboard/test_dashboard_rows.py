"""Each number leads to its rows: they add up to it exactly, and its definition and SQL stand beside them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from reader import Open, badges
from tiny_orders import PAIRS
from tiny_world import ARABIC_NAME, FORMULA_NAME, MARKUP_NAME

from dashboard import frame, snapshot
from dashboard.frame import Drill
from dashboard.queries import Query, revenue
from dashboard.view import Published
from pipelines.warehouse import run_sql

MATCHES = ":green-badge[✓ Sum matches]"
SUBSCRIPTION_ROWS = [
    *(
        ("revenue", key)
        for key in ("mrr", "nrr_12m", "gross_mrr_churn", "overdue", "current", "d31_60", "d91_plus")
    ),
    *(("revenue", key) for key in ("new", "expansion", "reactivation", "contraction", "churn")),
    *(("revenue", key) for key in ("mrr-2024-07", "mrr-2025-03")),
    *(("retention", key) for key in ("nrr_12m", "grr_12m", "logo_churn")),
    *(("retention", f"cohort-{month}") for month in ("2024-01", "2025-01")),
]
ORDER_ROWS = [
    *(("revenue", key) for key in ("order_revenue", "orders", "order_customers", "repeat_rate")),
    *(("revenue", key) for key in ("orders-2025-02", "buyers-2025-01", "country-United Kingdom")),
    *(("retention", f"cohort-{month}") for month in ("2025-01", "2025-02", "2025-03")),
    *(("churn", key) for key in ("scored", "high", "expected", "at-risk")),
    *(("opportunity", key) for key in ("expected_mrr", "pairs", "hit_rate", "predictable_share")),
    *(("opportunity", key) for key in ("part-subscribed", "part-regular", "part-one_order_day")),
    *(("health", key) for key in ("tests", "rejects")),
]


@pytest.mark.parametrize(("page", "rows"), SUBSCRIPTION_ROWS)
def test_rows_of_subscriptions_add_up_to_the_number(open_page: Open, page: str, rows: str) -> None:
    assert_adds_up(open_page, page, "lumen", rows, "en")


@pytest.mark.parametrize(("page", "rows"), ORDER_ROWS)
def test_rows_of_orders_add_up_to_the_number(open_page: Open, page: str, rows: str) -> None:
    assert_adds_up(open_page, page, "bazaar", rows, "en")


@pytest.mark.parametrize(
    ("company", "page", "rows"),
    [("lumen", "revenue", "churn"), ("lumen", "retention", "nrr_12m"), ("bazaar", "opportunity", "pairs")],
)
def test_rows_add_up_for_readers_of_arabic_too(open_page: Open, company: str, page: str, rows: str) -> None:
    assert_adds_up(open_page, page, company, rows, "ar")


@pytest.mark.parametrize(
    ("company", "cohort", "age", "said"),
    [
        ("lumen", "cohort-2024-01", "5", "at an age of 5 months"),
        ("lumen", "cohort-2024-01", "99", "at an age of 14 months"),
        ("bazaar", "cohort-2025-01", "1", "seen in Feb 2025"),
    ],
)
def test_rows_of_each_cell_of_a_cohort_add_up_to_it(
    open_page: Open, company: str, cohort: str, age: str, said: str
) -> None:
    app = open_page("retention", company, rows=cohort, age=age, grain="month")
    assert not app.exception
    assert said in next(one.value for one in app.subheader if one.value.startswith("Rows behind"))
    assert any("✓ Sum matches" in badge for badge in badges(app))
    assert not any("✗" in badge for badge in badges(app))


@pytest.mark.parametrize(
    ("page", "rows", "metric"),
    [
        ("churn", "scored", "scored_customers"),
        ("churn", "high", "high_risk_customers"),
        ("churn", "expected", "expected_leavers"),
        ("churn", "at-risk", "revenue_at_risk_90"),
        ("opportunity", "pairs", "opportunity_pairs"),
        ("opportunity", "expected_mrr", "expected_mrr"),
    ],
)
def test_a_number_is_defined_by_its_own_metric(open_page: Open, page: str, rows: str, metric: str) -> None:
    app = open_page(page, "bazaar", rows=rows)
    assert any(f"(`{metric}`)" in one.value for one in app.markdown)


def assert_adds_up(open_page: Open, page: str, company: str, rows: str, lang: str) -> None:
    app = open_page(page, company, lang, rows=rows)
    assert [error.value for error in [*app.exception, *app.error]] == []
    assert any(
        heading.value.startswith({"en": "Rows behind", "ar": "الصفوف وراء"}[lang])
        for heading in app.subheader
    )
    shown = badges(app)
    matching = {"en": "✓ Sum matches", "ar": "✓ المجموع مطابق"}[lang]
    assert any(matching in badge for badge in shown)
    assert not any("✗" in badge for badge in shown)


@pytest.mark.parametrize("segment", ["enterprise", "smb"])
@pytest.mark.parametrize("rows", ["mrr", "nrr_12m", "gross_mrr_churn", "new", "churn", "overdue"])
def test_rows_of_a_segment_add_up_to_its_number(open_page: Open, rows: str, segment: str) -> None:
    shown = badges(open_page("revenue", segment=segment, rows=rows))
    assert MATCHES in shown
    assert not any("✗" in badge for badge in shown)


def test_rows_of_a_quarter_that_has_only_begun_are_those_of_its_cell(open_page: Open) -> None:
    """At the close of January four customers have begun; who begins in February is not among them yet."""
    app = open_page("retention", month="2024-01", grain="quarter", rows="cohort-2024-01")
    assert MATCHES in badges(app)
    assert not any("✗" in badge for badge in badges(app))
    assert "Rows: 4" in [text.value for text in app.text]


def test_a_sum_that_differs_is_shown_as_different(open_page: Open, workspace: Path) -> None:
    published = Published(_opened(workspace / "lumen"), snapshot.build_of(_opened(workspace / "lumen")))
    values = {"month": None, "currency": "EUR", "segment": "all"}
    drill = Drill("x", "X", revenue.MRR_ROWS, values, ())
    assert frame.sums(published, drill)["row_count"] == 0
    assert not frame.matches(Decimal("560.34"), Decimal("560.333333"))
    assert frame.matches(None, 0)


def test_the_bridge_says_that_it_reconciles(open_page: Open) -> None:
    app = open_page("revenue")
    assert "Opening + movements = closing: €560.33" in [text.value for text in app.text]
    assert MATCHES in badges(app)


def test_rows_are_opened_and_closed_by_their_button(open_page: Open) -> None:
    app = open_page("revenue")
    app.button(key="rows-mrr").click().run()
    assert app.query_params["rows"] == "mrr"
    assert "Rows behind: " in app.subheader[0].value
    app.button(key="rows-mrr").click().run()
    assert "rows" not in app.query_params


def test_a_bar_of_the_bridge_can_be_reached_without_a_mouse(open_page: Open) -> None:
    app = open_page("revenue")
    app.selectbox(key="rows-choice-new").select("churn").run()
    assert app.query_params["rows"] == "churn"
    listing = next(html.value for html in app.get("html") if "Change of MRR" in html.value)
    assert "C3" in listing
    assert "−€50.00" in listing
    assert "The customer left" in listing


def test_the_statement_shown_gives_the_rows_when_copied(open_page: Open, workspace: Path) -> None:
    app = open_page("revenue", rows="mrr")
    statement = next(code.value for code in app.code if code.language == "sql")
    answer = run_sql(workspace / "lumen", statement)
    assert sum(answer["mrr"]) == Decimal("56033.3333")
    assert statement.startswith("-- tajdid query=mrr_rows metric=mrr build=20250401T0430-a1\n")
    assert "$" not in statement


def test_a_value_with_a_quote_is_written_safely_into_the_statement() -> None:
    query = Query("q", "SELECT $name AS name, $name_of AS other")
    shown = query.readable("b", {"name": "O'Neill \\1", "name_of": None})
    assert "SELECT 'O''Neill \\1' AS name, NULL AS other" in shown


@pytest.mark.parametrize("name", [MARKUP_NAME, FORMULA_NAME, ARABIC_NAME])
def test_names_from_data_are_shown_as_they_are_and_never_as_markup(open_page: Open, name: str) -> None:
    app = open_page("revenue", rows="mrr" if name != MARKUP_NAME else "churn")
    tables = [html.value for html in app.get("html") if "tj-table" in html.value]
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert any(f"<bdi>{escaped}</bdi>" in table for table in tables)
    assert not any("<b>" in table for table in tables)
    assert not any("example.org" in mark.value for mark in [*app.markdown, *app.caption, *app.subheader])


def test_the_expected_mrr_of_the_list_is_that_of_its_pairs() -> None:
    assert sum(Decimal(expected) for *_, expected in PAIRS) == Decimal("1650.375")


def _opened(folder: Path) -> snapshot.Snapshot:
    opened = snapshot.published(folder)
    assert opened is not None
    return opened
