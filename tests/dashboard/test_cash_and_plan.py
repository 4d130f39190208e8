"""Cash, forecast and comparing: figures worked out by hand, their rows, targets and notes as written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
import tiny_orders
import tiny_world
from reader import Open, badges, html
from streamlit.proto.Metric_pb2 import Metric as MetricProto
from streamlit.testing.v1 import AppTest

from dashboard import failed_charges
from dashboard.format import Formatter
from dashboard.i18n import text
from dashboard.records import annotations, targets
from dashboard.records.database import Records, open_records
from dashboard.records.targets import Key
from dashboard.view import View

AT = datetime(2025, 4, 2, 9, tzinfo=UTC)
APRIL = Key("mrr", date(2025, 4, 1), "EUR")
CASH_ROWS = (
    "overdue", "dso", "net_cash", "dunning-decided", "current", "d1_30", "d31_60", "d91_plus",
    "cash-2025-02-01", "dunning-all", "dunning-recovered", "dunning-exhausted", "dunning-lost",
    "dunning-by-2", "dunning-by-otherwise",
)  # fmt: skip
FORECAST_ROWS = ("actual", "actual-2025-02", "forecast", "backtest-near", "backtest-2")
ECONOMICS_ROWS = ("arr", "customers", "arpa", "quick_ratio")


@pytest.fixture
def home(workspace: Path, tmp_path: Path) -> Path:
    """A workspace of its own, to be written in."""
    shutil.copytree(workspace, tmp_path / "home", ignore=shutil.ignore_patterns("app.db*"))
    return tmp_path / "home"


@pytest.fixture
def records(home: Path) -> Iterator[Records]:
    opened = open_records(f"sqlite:///{home / 'lumen' / 'app.db'}")
    yield opened
    opened.close()


@pytest.fixture
def view() -> View:
    """A reader of English, of no company."""
    return View(datetime(2025, 4, 1, tzinfo=UTC), (), None, text("en"), Formatter("en"), None, ())


def figures(app: AppTest) -> list[tuple[str, str]]:
    return [(card.value, card.delta) for card in app.metric]


def said(app: AppTest) -> str:
    """Everything the page says in plain words."""
    return "\n".join(one.value for one in [*app.caption, *app.text, *app.warning, *app.error, *app.info])


def assert_whole(app: AppTest) -> None:
    assert [problem.value for problem in [*app.exception, *app.error]] == []


def assert_adds_up(app: AppTest, rows: str) -> None:
    app.query_params["rows"] = rows
    app.run()
    assert_whole(app)
    assert any(heading.value.startswith("Rows behind") for heading in app.subheader), rows
    found = badges(app)
    assert any("✓ Sum matches" in badge for badge in found), rows
    assert not any("✗" in badge for badge in found), rows


def test_the_cards_of_cash_are_those_worked_out_by_hand(open_page: Open) -> None:
    app = open_page("cash")
    assert_whole(app)
    assert figures(app) == [
        ("€31.00", "−€97.00 (−75.8%)"),  # against 128.00
        ("27.7 days", "−68.2 days (−71.1%)"),  # 90 × 41.00 / 133.05, against 90 × 128.00 / 120.05
        ("€98.50", "+€48.50 (+97.0%)"),  # against 50.00
        ("76.5%", ""),  # 52.00 of 67.95: the newest charges whose 60 days are over failed in December
    ]
    assert "of it more than 30 days: €28.00" in said(app)
    assert "failed first in Dec 2024" in said(app)
    listing = html(app)
    assert listing.index("C2") < listing.index("C5") < listing.index("C6")  # owe 20.05, 7.95 and 3.00
    for rows in CASH_ROWS:
        assert_adds_up(app, rows)
    app.query_params["by"] = "day"
    assert_adds_up(app, "cash-2025-03-20")


def test_every_part_of_what_failed_leads_to_its_own_rows(view: View) -> None:
    stages = pl.DataFrame(
        [
            ("recovered", 1, 2, 2, 300, 300),
            ("recovered", 2, 1, 1, 200, 200),
            ("recovered", None, 1, 1, 100, 60),  # the rest was credited
            ("exhausted", None, 4, 1, 50, 10),  # of one of four a part was paid
            ("pending", None, 3, 0, 20, 0),
        ],
        schema=["outcome", "recovered_attempt", "invoices", "paid_invoices", "failed", "recovered"],
        orient="row",
    )
    everything, *parts = failed_charges.parts(view, stages)
    assert (everything.rows, everything.amount, everything.invoices) == ("dunning-all", 670, 11)
    assert [(part.rows, part.amount, part.invoices) for part in parts] == [
        ("dunning-by-1", 300, 2),
        ("dunning-by-2", 200, 1),
        ("dunning-by-otherwise", 70, 2),
        ("dunning-recovered", 40, None),
        ("dunning-pending", 20, 3),
        ("dunning-exhausted", 40, 4),
    ]
    assert sum(part.amount for part in parts) == everything.amount


def test_money_that_came_leads_to_the_invoice_it_paid(open_page: Open) -> None:
    app = open_page("cash", rows="cash-2025-03-01")
    (rows,) = [table for table in app.get("html") if "P1" in table.value]
    assert rows.value.count("document=A-5") == 2  # of P1 and of its fee
    assert rows.value.count("document=") == 2  # nobody knows what the others paid


def test_cash_is_told_as_of_any_closed_month_and_by_segment(open_page: Open) -> None:
    app = open_page("cash", month="2025-02")
    assert figures(app)[0][0] == "€128.00"
    assert_adds_up(app, "overdue")
    assert_adds_up(app, "dso")
    app.query_params["segment"] = "enterprise"
    app.query_params["month"] = "2025-03"
    for rows in ("overdue", "dso", "net_cash", "dunning-decided"):
        assert_adds_up(app, rows)
    assert figures(app)[0][0] == "€20.05"
    assert figures(app)[2][0] == "€93.50"  # 100.00 − 1.50 − 5.00
    assert "Of all segments" in said(app)


def test_a_company_of_orders_is_told_what_cash_needs(open_page: Open) -> None:
    assert "This page needs invoices and payments" in open_page("cash", "bazaar").info[0].value


def test_a_change_is_told_from_noise_and_a_restated_figure_is_marked(open_page: Open) -> None:
    app = open_page("revenue")
    notes = [caption.value for caption in app.caption]
    assert "against Feb 2025: €450.00 · restated, first reported as €550.00" in notes
    assert any(note.endswith("88.2% · within noise") for note in notes)
    assert any(note.endswith("0.0% · beyond noise") for note in notes)
    values = dict(zip([card.label for card in app.metric], figures(app), strict=True))
    assert values["Annual recurring revenue (ARR)"][0] == "€6,724.00"  # 12 × 560.333333
    assert values["Revenue per customer (ARPA)"][0] == "€112.07"  # of 5 customers
    assert values["Quick ratio"][0] == "2.4 times"  # 190.333333 gained, 80 lost
    for rows in ECONOMICS_ROWS:
        assert_adds_up(app, rows)


def test_a_forecast_stands_beside_how_good_it_was(open_page: Open) -> None:
    app = open_page("forecast")
    assert_whole(app)
    shown = figures(app)
    assert shown[1] == ("€680.33", "+€120.00 (+21.4%)")  # 560.333333 + 12 × 10.00
    assert shown[2][0] == "No target"
    assert "80% interval: €612 to €748" in said(app)
    assert "Survival model. It has been closest so far" in said(app)
    for rows in FORECAST_ROWS:
        assert_adds_up(app, rows)


def test_pages_speak_arabic_and_turn_their_charts(open_page: Open) -> None:
    for page, title in (("cash", "النقد والذمم المدينة"), ("forecast", "التوقعات والأهداف")):
        app = open_page(page, lang="ar")
        assert_whole(app)
        assert app.title[0].value == title
        specs = [chart.proto.spec for chart in app.get("plotly_chart")]
        assert specs
        assert all('"side":"right"' in spec for spec in specs)


def test_a_target_is_written_compared_with_deleted_and_brought_back(
    open_page: Open, home: Path, records: Records
) -> None:
    app = open_page("forecast", home=home)
    app.text_input(key="target-value").set_value("6,005").run()
    app.button(key="target-write").click().run()
    written = targets.in_force(records)
    assert {key: target.amount for key, target in written.items()} == {APRIL: 600_500}
    app.text_input(key="target-value").set_value("600.50").run()
    app.button(key="target-write").click().run()
    assert targets.in_force(records)[APRIL].amount == 60_050
    listing = html(app)
    assert "−€30.17" in listing  # 570.333333 expected
    assert "Open: the target lies within the interval" in listing
    assert figures(app)[2][0] == "−€30.17"
    app.button(key="target-delete").click().run()
    assert targets.in_force(records) == {}
    assert "Deleted: Apr 2025, €600.50" in said(app)
    app.button(key="target-undo-2025-04").click().run()
    assert targets.in_force(records)[APRIL].amount == 60_050
    everything = targets.history(records, "mrr", "EUR", "all")
    assert [one.amount for one in everything] == [60_050, 60_050, 600_500]
    assert [one.recorded_by for one in everything] == ["local"] * 3
    assert [one.deleted_at is None for one in everything] == [True, False, False]


def test_a_month_that_has_passed_takes_a_target_only_from_somebody_who_means_it(
    open_page: Open, home: Path, records: Records
) -> None:
    app = open_page("forecast", home=home)
    app.selectbox(key="target-month").select(date(2025, 3, 1)).run()
    assert "This month has passed" in app.warning[0].value
    assert app.button(key="target-write").disabled
    app.checkbox(key="target-sure").check().run()
    app.text_input(key="target-value").set_value("500").run()
    app.button(key="target-write").click().run()
    assert targets.in_force(records)[Key("mrr", date(2025, 3, 1), "EUR")].amount == 50_000
    overview = open_page("revenue", home=home, compare="target")
    assert figures(overview)[0] == ("€560.33", "+€60.33 (+12.1%)")
    notes = [caption.value for caption in overview.caption]
    assert any(note.startswith("against the target of €500.00") for note in notes)
    assert "no target for Mar 2025" in notes
    assert not open_page("retention", home=home, compare="target").exception


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "is not a number"),
        ("many", "is not a number"),
        ("600,50", "is not a number"),
        ("1e9", "is not a number"),
        ("12.345", "has more decimals"),
        ("9" * 30, "is larger than any target"),
        ("<b>1</b>", "is not a number"),
    ],
)
def test_what_is_no_number_is_refused_in_a_sentence(
    open_page: Open, home: Path, records: Records, written: str, why: str
) -> None:
    app = open_page("forecast", home=home)
    app.text_input(key="target-value").set_value(written).run()
    app.button(key="target-write").click().run()
    assert why in app.error[0].value
    assert targets.in_force(records) == {}


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        ("mrr,2026-01", "few_columns", 1),
        ("profit,2026-01,1", "no_metric", 1),
        ("mrr,2026-01,1\nmrr,2026-13,1", "no_month", 2),
        ("mrr,2026-01,1\nmrr,2026-01,2", "twice", 2),
        ("mrr,2026-01,1,moon", "no_segment", 1),
        ("grr_12m,2026-01,101", "over_full", 1),
        ("logo_churn,2026-01,-1", "negative", 1),
        ("metric,month,value", "nothing", None),
        ("x\n" * 1001, "too_many", None),
    ],
)
def test_pasted_lines_are_refused_as_a_whole_with_the_line_at_fault(
    content: str, reason: str, line: int | None
) -> None:
    units = {
        "mrr": targets.unit_of("minor_per_month", 2),
        "grr_12m": targets.unit_of("ratio", 2, is_share=True),
        "logo_churn": targets.unit_of("ratio", 2, is_share=True),
    }
    with pytest.raises(targets.Refused) as refused:
        targets.pasted(content, units, "EUR", ["all", "smb"])
    assert (refused.value.reason, refused.value.line) == (reason, line)


def test_pasted_lines_become_targets_whatever_parts_their_columns() -> None:
    units = {"mrr": targets.unit_of("minor_per_month", 3), "dso": targets.unit_of("days", 3)}
    wanted = {
        Key("mrr", date(2026, 1, 1), "KWD", "smb"): 1_250_500,
        Key("dso", date(2026, 2, 1), "KWD"): 45_500_000,
    }
    lines = "Metric;Month;Value;Segment\nmrr;2026-01;1,250.5;smb\n\ndso;2026-02;٤٥٫٥;"
    assert targets.pasted(lines, units, "KWD", ["all", "smb"]) == wanted
    assert targets.pasted(lines.replace(";", "\t"), units, "KWD", ["all", "smb"]) == wanted


def test_a_note_on_a_date_is_numbered_on_the_charts_and_told_below_them(
    open_page: Open, home: Path, records: Records
) -> None:
    hostile = "Price <b>up</b> [x](https://example.org) \u202eevil"
    annotations.write(records, AT, "amal", "Amal", date(2025, 2, 14), hostile)
    annotations.write(records, AT, "amal", "Amal", date(2025, 3, 20), "انقطاع الخدمة")
    for page in ("revenue", "retention", "cash", "forecast"):
        app = open_page(page, home=home)
        assert_whole(app)
        told = [text.value for text in app.text if "February 14, 2025" in text.value]
        assert told, page
        assert "\u202e" not in told[0]
        assert "<b>up</b>" in told[0]
        assert "Amal" in told[0]
        specs = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
        assert '"dash":"dot"' in specs
        assert "example.org" not in specs
    number = annotations.live(records)[0].annotation_id
    app.session_state["notes-on-dates"] = True  # as a click on their title does
    app.run()
    app.button(key=f"note-delete-{number}").click().run()
    assert [note.words for note in annotations.live(records)] == ["انقطاع الخدمة"]
    app.button(key=f"note-undo-{number}").click().run()
    assert len(annotations.live(records)) == 2
    app.text_input(key="note-words").set_value("New prices")
    app.button(key="FormSubmitter:note-form-Write the note").click().run()
    assert [note.words for note in annotations.live(records)][-1] == "New prices"
    assert annotations.live(records)[-1].happened_on == date(2025, 3, 31)


def test_a_note_says_why_it_is_refused(records: Records) -> None:
    write: Callable[..., int] = annotations.write
    for day, words, reason in (
        (date(2025, 1, 1), " \u202e\n", "no_words"),
        (date(2025, 1, 1), "x" * 201, "too_long"),
        (None, "x", "no_day"),
        (date(1900, 1, 1), "x", "no_day"),
    ):
        with pytest.raises(annotations.Refused) as refused:
            write(records, AT, "amal", "Amal", day, words)
        assert refused.value.reason == reason
    assert annotations.live(records) == []


def test_a_share_of_too_few_customers_has_met_no_target(open_page: Open, tmp_path: Path) -> None:
    def with_few(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        connection.execute(
            "UPDATE marts.fct_metric_values SET customers = 1 "
            "WHERE metric_id = 'nrr_12m' AND segment = 'smb' AND month = DATE '2025-03-01'"
        )

    tiny_world.publish(tmp_path / "lumen", "20250401T0430-f1", with_few, title=("Lumen", "لومن"))
    own = open_records(f"sqlite:///{tmp_path / 'lumen' / 'app.db'}")
    goals = {Key("nrr_12m", date(2025, month, 1), "EUR", "smb"): 1_000_000 for month in (2, 3)}
    targets.write(own, AT, "local", goals)
    app = open_page("forecast", home=tmp_path, metric="nrr_12m", segment="smb")
    assert not app.exception
    table = html(app).split("by month against its target</caption>")[1].split("</table>")[0]
    few, enough = (
        next(row for row in table.split("<tr") if month in row) for month in ("Mar 2025", "Feb 2025")
    )
    assert "n too small" in few
    assert "Met" not in few
    assert "Missed" not in few
    assert "Met" in enough or "Missed" in enough
    assert few.count("%") == 1  # of the target alone


def test_targets_stand_beside_the_months_on_the_pages_of_the_figures(
    open_page: Open, home: Path, records: Records
) -> None:
    march = date(2025, 3, 1)
    targets.write(
        records, AT, "local", {Key("mrr", march, "EUR"): 50_000, Key("nrr_12m", march, "EUR"): 1_050_000}
    )
    for page, toggle, target in (
        ("revenue", "table-trend", "€500.00"),
        ("retention", "table-retention-trend", "105.0%"),
    ):
        app = open_page(page, home=home)
        assert '"dash":"dash"' in "".join(chart.proto.spec for chart in app.get("plotly_chart"))
        app.toggle(key=toggle).set_value(True).run()
        assert not app.exception
        assert "Target" in html(app)
        assert target in html(app)


@pytest.mark.parametrize("page", ["retention", "forecast"])
def test_a_page_that_compares_with_nothing_offers_no_comparing(open_page: Open, page: str) -> None:
    offered = {choice.key for choice in open_page(page, "bazaar").selectbox}
    assert "choice-month" in offered
    assert "choice-compare" not in offered


def test_a_chart_without_anything_to_draw_offers_to_clear_the_filters(open_page: Open) -> None:
    app = open_page("cash", segment="enterprise")  # of whom a single charge failed: too few for a share
    assert "There is nothing to draw for this choice." in said(app)
    app.button(key="clear-recovery").click().run()
    assert "segment" not in app.query_params


def test_a_title_says_the_unit_of_its_chart(open_page: Open) -> None:
    titles = [heading.value for heading in open_page("retention").subheader]
    assert "Net and gross revenue retention over 12 months, %" in titles
    assert not any(title.count("%") > 1 for title in titles)
    arabic = [heading.value for heading in open_page("retention", lang="ar").subheader]
    assert any(title.endswith("، %") for title in arabic)
    arabic = [heading.value for heading in open_page("retention", lang="ar", digits="arab").subheader]
    assert any(title.endswith("، ٪") for title in arabic)


def running_march(folder: Path) -> Records:
    """Lumen as if March were still running, with a target of MRR for it and one for February."""

    def running(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        connection.execute("UPDATE marts.fct_metric_values SET is_provisional = month >= DATE '2025-03-01'")

    tiny_world.publish(folder / "lumen", "20250401T0430-p1", running, title=("Lumen", "لومن"))
    own = open_records(f"sqlite:///{folder / 'lumen' / 'app.db'}")
    targets.write(own, AT, "local", {Key("mrr", date(2025, month, 1), "EUR"): 60_000 for month in (2, 3)})
    return own


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", "Mar 2025 is still running, to March 31, 2025: against the target of €600.00 for all of it"),
        ("ar", "ما زال"),
    ],
)
def test_a_month_that_still_runs_is_not_judged_by_the_target_of_the_whole_month(
    open_page: Open, tmp_path: Path, lang: str, words: str
) -> None:
    running_march(tmp_path).close()
    now = open_page("revenue", lang=lang, home=tmp_path, compare="target", month="2025-03")
    closed = open_page("revenue", lang=lang, home=tmp_path, compare="target", month="2025-02")
    assert not now.exception
    assert [one.metric[0].color for one in (now, closed)] == [MetricProto.GRAY, MetricProto.RED]
    notes = [[caption.value for caption in app.caption if words in caption.value] for app in (now, closed)]
    assert [len(found) for found in notes] == [1, 0]


def test_a_month_of_orders_that_still_runs_has_missed_no_target(open_page: Open, tmp_path: Path) -> None:
    def running(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_orders.fill_orders(connection, build_id)
        for table in ("fct_repeat_months", "fct_order_months"):
            connection.execute(f"UPDATE marts.{table} SET is_provisional = order_month >= DATE '2025-03-01'")

    tiny_world.publish(tmp_path / "bazaar", "20250401T0430-p1", running, title=("Bazaar", "بازار"))
    own = open_records(f"sqlite:///{tmp_path / 'bazaar' / 'app.db'}")
    goals = {Key("order_revenue", date(2025, month, 1), "GBP"): 9_000_000 for month in (2, 3)}
    targets.write(own, AT, "local", goals)
    app = open_page("forecast", "bazaar", home=tmp_path, month="2025-03")
    assert not app.exception
    table = html(app).split("by month against its target</caption>")[1].split("</table>")[0]
    verdicts = {
        month: [row for row in table.split("<tr") if month in row] for month in ("Feb 2025", "Mar 2025")
    }
    assert ["Missed" in row for row in verdicts["Feb 2025"]] == [True]
    assert ["Missed" in row for row in verdicts["Mar 2025"]] == [False]


def test_targets_of_orders_stand_beside_what_came(open_page: Open, home: Path) -> None:
    app = open_page("forecast", "bazaar", home=home)
    assert_whole(app)
    assert "Orders are not forecast" in said(app)
    app.text_input(key="target-value").set_value("200").run()
    app.button(key="target-write").click().run()
    assert "£200.00" in html(app)


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        (
            "previous",
            "Mar 2025 is still running, to March 31, 2025: against €450.00 of the whole of Feb 2025",
        ),
        ("year", "Mar 2025 is still running, to March 31, 2025: against €510.00 of the whole of Mar 2024"),
    ],
)
def test_a_month_that_still_runs_is_not_judged_by_a_whole_month(
    open_page: Open, tmp_path: Path, compare: str, words: str
) -> None:
    running_march(tmp_path).close()
    now = open_page("revenue", home=tmp_path, compare=compare, month="2025-03")
    assert not now.exception
    assert now.metric[0].value == "€560.33"
    assert {card.color for card in now.metric if card.delta} == {MetricProto.GRAY}
    assert any(words in caption.value for caption in now.caption)
    arabic = open_page("revenue", lang="ar", home=tmp_path, compare=compare, month="2025-03")
    assert any("ما زال" in caption.value for caption in arabic.caption)


def test_a_forecast_without_targets_says_so_once(open_page: Open, home: Path) -> None:
    app = open_page("forecast", home=home)
    assert_whole(app)
    table = html(app).split("by month against its target</caption>")[1].split("</table>")[0]
    assert "No target" not in table
    assert "Difference to target" not in table
    assert said(app).count("No target is written for any of these months.") == 1
