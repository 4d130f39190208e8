"""Every page opens in both languages for both kinds of company, and shows the figures worked out by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
import tiny_orders
import tiny_world
import yaml
from reader import Open, badges, html

from dashboard import cohorts, snapshot
from dashboard.queries import retention

PAGES = ("revenue", "retention", "churn", "health", "opportunity")
TITLES = {
    "revenue": ("Revenue overview", "نظرة عامة على الإيراد"),
    "retention": ("Retention and cohorts", "الاحتفاظ والأفواج"),
    "churn": ("Churn risk", "خطر التسرّب"),
    "health": ("Data health", "سلامة البيانات"),
    "opportunity": ("Subscription opportunity", "فرصة الاشتراك"),
}


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("company", ["lumen", "bazaar"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error(open_page: Open, page: str, company: str, lang: str) -> None:
    app = open_page(page, company, lang)
    assert [error.message for error in app.exception] == []
    assert [error.value for error in app.error] == []
    assert app.title[0].value == TITLES[page][lang == "ar"]


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_how_fresh_it_is_and_that_a_sample_is_one(open_page: Open, page: str, lang: str) -> None:
    shown = badges(open_page(page, "bazaar", lang))
    assert shown[0].startswith(":green-badge[")
    assert "2025" in shown[0]
    assert {"en": "Sample data", "ar": "بيانات تجريبية"}[lang] in shown[1]


def test_the_cards_of_revenue_are_those_worked_out_by_hand(open_page: Open) -> None:
    cards = {metric.label: (metric.value, metric.delta) for metric in open_page("revenue").metric}
    values = list(cards.values())
    assert values[0] == ("€560.33", "+€110.33 (+24.5%)")  # 560.333333 against 450.00
    assert values[1][0] == "94.1%"  # 480 of 510 paid twelve months before
    assert values[2][0] == "17.8%"  # 80 lost of 450
    assert values[3][0] == "€28.00"  # 20.05 + 7.95


def test_the_cards_of_orders_are_those_worked_out_by_hand(open_page: Open) -> None:
    shown = [(metric.value, metric.delta) for metric in open_page("revenue", "bazaar").metric]
    assert shown[0] == ("£180.00", "+£70.00 (+63.6%)")  # against 80 + 40 − 10 in February
    assert shown[1] == ("3", "+1 (+50.0%)")
    assert shown[2] == ("3", "+1 (+50.0%)")
    assert shown[3] == ("50.0%", "+16.7 points")  # 2 of 4, against 1 of 3


def test_a_segment_shows_its_own_figures(open_page: Open) -> None:
    app = open_page("revenue", segment="enterprise")
    assert app.metric[0].value == "€350.00"


def test_the_same_month_last_year_can_be_compared_with(open_page: Open) -> None:
    app = open_page("revenue", compare="year")
    assert app.metric[0].delta == "+€50.33 (+9.9%)"  # 560.333333 against 510.00 in March 2024


def test_a_closed_month_can_be_chosen_in_the_address(open_page: Open) -> None:
    assert open_page("revenue", month="2024-07").metric[0].value == "€450.00"


@pytest.mark.parametrize("month", ["2099-01", "nonsense", "2025-13", "<b>"])
def test_a_month_nobody_knows_falls_back_to_the_newest(open_page: Open, month: str) -> None:
    assert open_page("revenue", month=month).metric[0].value == "€560.33"


def test_an_unknown_company_and_language_fall_back_to_the_first(open_page: Open) -> None:
    app = open_page("revenue", company="nobody", lang="xx")
    assert app.title[0].value == "Revenue overview"
    assert app.metric[0].value == "£180.00"


def test_choosing_a_company_changes_the_address(open_page: Open) -> None:
    app = open_page("revenue", "lumen")
    app.sidebar.selectbox(key="choice-company").select("bazaar").run()
    assert app.metric[0].value == "£180.00"
    assert "company" not in app.query_params  # the first company needs no parameter
    app.sidebar.selectbox(key="choice-company").select("lumen").run()
    assert app.query_params["company"] == "lumen"


def test_choosing_another_company_forgets_the_filters_of_the_last_one(open_page: Open) -> None:
    app = open_page("revenue", "bazaar", month="2025-02", country="France")
    app.sidebar.selectbox(key="choice-company").select("lumen").run()
    assert set(app.query_params) == {"company", "lang"}


def test_a_company_without_scores_says_so(open_page: Open) -> None:
    app = open_page("churn", "lumen")
    assert "No customer of this company has been scored" in app.info[0].value
    assert "No orders to score." in [text.value for text in app.text]
    assert len(app.metric) == 0


def test_a_company_without_orders_says_what_the_opportunity_page_needs(open_page: Open) -> None:
    app = open_page("opportunity", "lumen")
    assert "needs an order history" in app.info[0].value


def test_the_opportunity_says_when_there_is_no_rhythm(open_page: Open) -> None:
    app = open_page("opportunity", "bazaar")
    assert "Repeat, but not on a rhythm" in app.warning[0].value
    assert app.metric[0].value == "£16.50"  # 11.25375 + 5.25


def test_a_risk_list_ranks_the_riskiest_first_with_reasons(open_page: Open) -> None:
    app = open_page("churn", "bazaar", band="all", ranking="risk")
    assert [metric.value for metric in app.metric] == ["4", "2", "1.8", "£121.00"]
    listing = next(html.value for html in app.get("html") if "Strongest reason" in html.value)
    places = [listing.index(f"<bdi>{customer}</bdi>") for customer in ("K3", "K4", "K2", "K1")]
    assert places == sorted(places)
    reasons = next(html.value for html in app.get("html") if "Associated with the score" in html.value)
    assert reasons.count("<tr>") == 1 + 4  # head, three reasons, one that protects


def test_a_risk_list_begins_with_high_risks_by_what_is_at_stake(open_page: Open) -> None:
    listing = html(open_page("churn", "bazaar"))
    assert listing.index("<bdi>K3</bdi>") < listing.index("<bdi>K4</bdi>")  # 32.40 before 16.50
    assert "<bdi>K2</bdi>" not in listing


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_score_on_the_overview_has_its_reasons_its_day_and_its_model(open_page: Open, lang: str) -> None:
    app = open_page("revenue", "bazaar", lang)
    reasons = {
        "en": "Last order 70 days ago · 2 order days · Few articles",
        "ar": "آخر طلب قبل 70 يومًا · يوما طلب · أصناف قليلة",
    }
    assert reasons[lang] in html(app)
    scored = {"en": "Scored for March 31, 2025 by model `", "ar": "`"}
    assert any(scored[lang] in caption.value for caption in app.caption)


def test_an_arabic_risk_list_speaks_arabic(open_page: Open) -> None:
    listing = " ".join(html.value for html in open_page("churn", "bazaar", "ar").get("html"))
    assert "آخر طلب قبل 70 يومًا" in listing
    assert "تذكير بإعادة الطلب" in listing
    assert "Last order" not in listing


def test_health_shows_builds_sources_and_the_record_of_the_model(open_page: Open) -> None:
    app = open_page("health", "bazaar")
    shown = " ".join(html.value for html in app.get("html"))
    assert "20250401T0430-b1" in shown
    assert "lines.csv" in shown
    assert "Negative quantity" in shown
    assert "Recency rule" in shown
    assert "0.780" in shown


def test_a_share_of_too_few_customers_is_not_shown(open_page: Open, tmp_path: Path) -> None:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        connection.execute("UPDATE raw_meta.policy SET min_customers = 30")

    tiny_world.publish(tmp_path / "lumen", "b1", fill, title=("Lumen", "لومن"))
    app = open_page("revenue", home=tmp_path)
    assert [metric.value for metric in app.metric][:4] == ["€560.33", "n too small", "n too small", "€28.00"]
    assert any("5 customers" in caption.value for caption in app.caption)  # who paid in March 2024


def test_a_cohort_of_too_few_customers_keeps_its_place_without_a_share() -> None:
    rows = pl.DataFrame(
        {
            "cohort_month": [date(2025, 1, 1), date(2025, 1, 1), date(2025, 2, 1)],
            "age_months": [0, 1, 0],
            "customers": [40, 30, 3],
            "start_customers": [40, 40, 3],
        }
    )
    cells = cohorts.grid(rows, "customers", "start_customers", "start_customers", 30)
    assert cells.shares == [[1.0, 0.75], [None, None]]
    assert cells.small == {date(2025, 2, 1): 3}


def test_a_cohort_of_too_few_customers_says_how_many(open_page: Open) -> None:
    drawn = open_page("retention", grain="month").get("plotly_chart")[0].proto.spec
    assert "Mar 2025 \\u00b7 n too small: 1" in drawn
    assert "Jan 2024 \\u00b7" not in drawn


def test_cohorts_by_quarter_reach_an_age_when_all_their_months_have(open_page: Open, workspace: Path) -> None:
    opened = snapshot.published(workspace / "lumen")
    assert opened is not None
    values = {"currency": "EUR", "segment": "all", "month": date(2025, 3, 1), "grain": "quarter"}
    rows = snapshot.answer(opened, retention.COHORTS, values)
    first = rows.filter(pl.col("cohort_month") == date(2024, 1, 1))
    assert first["age_months"].max() == 13  # February's customer began a month after January's
    assert first["start_customers"].unique().to_list() == [5]
    assert first.filter(pl.col("age_months") == 13)["customers"].to_list() == [4]
    app = open_page("retention", grain="quarter", rows="cohort-2024-01")
    assert any("✓" in badge for badge in badges(app))
    assert not any("✗" in badge for badge in badges(app))


def test_cohorts_become_quarters_when_many_months_are_too_small() -> None:
    rows = pl.DataFrame({"age_months": [0, 0, 0, 1], "start_customers": [40, 40, 2, 40]})
    assert cohorts.best_grain(rows, "start_customers", 30) == "quarter"
    assert cohorts.best_grain(rows, "start_customers", 2) == "month"


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_walk_to_cash_and_the_calibration_are_defined_by_the_registry(
    open_page: Open, tmp_path: Path, lang: str
) -> None:
    steps = [
        ("closing_mrr", "figure", 1_000, None),
        ("usage", "change", 200, None),
        ("unexplained_a", "unexplained", 1, "fine"),
        ("recognised", "figure", 1_201, None),
    ]

    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_orders.fill_orders(connection, build_id)
        names = ("month", "currency", "step_no", "walk", "step", "kind", "amount", "status")
        tiny_world.insert(
            connection,
            "marts.fct_reconciliation",
            [
                dict(zip(names, (date(2025, 2, 1), "GBP", number, "mrr_to_recognised", *step), strict=True))
                for number, step in enumerate(steps, start=1)
            ],
        )

    tiny_world.publish(tmp_path / "bazaar", "b1", fill, title=("Bazaar", "بازار"))
    app = open_page("health", "bazaar", lang, home=tmp_path)
    assert not app.exception
    assert not app.error
    registry = yaml.safe_load((tiny_world.PROJECT / "models" / "metrics" / "trust.yml").read_text("utf-8"))
    known = {metric["id"]: metric[f"definition_{lang}"] for metric in registry["metrics"]}
    helps = {heading.value: heading.proto.help for heading in app.subheader}
    for title, metric_id in {
        ("Reconciliation: from MRR to cash", "المطابقة: من الإيراد"): "mrr_to_cash",
        ("A: MRR to recognised revenue", "أ: من الإيراد"): "mrr_to_cash",
        ("Calibration: predicted", "المعايرة: النسبة المتوقعة"): "calibration",
    }.items():
        (said,) = (help for heading, help in helps.items() if heading.startswith(title[lang == "ar"]))
        assert said == known[metric_id]
    label = ("Unexplained A", "غير المفسَّر أ")[lang == "ar"]
    assert [metric.help for metric in app.metric if metric.label == label] == [known["unexplained"]]
