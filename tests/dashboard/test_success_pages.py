"""Churn risk, renewals and the customer page, worked with as a customer-success manager does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import success_world
import tiny_world
from reader import Open, badges, html
from streamlit.testing.v1 import AppTest

from dashboard.queries import Query, churn, customer, renewals
from dashboard.records import actions, annotations, notes
from dashboard.records.actions import Action
from dashboard.records.database import Records
from dashboard.screens import acting, renewal_days

NOBODY_ACTED: dict[str, Any] = {
    "acted_customers": [],
    "acted_states": [],
    "acted_owners": [],
    "acted_until": [],
    "acted_touched": [],
    "acted_next": [],
    "looked_after_by": None,
}
WHOLE: dict[str, Any] = {"limit": 50, "offset": 0}
EVERY = {"segment": "all", "list_name": "now", "currency": "EUR", "band": "all", "ranking": "value"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("success")
    success_world.publish(folder / "vela")
    return folder


@pytest.fixture(scope="module")
def warehouse(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    (path,) = (home / "vela" / "warehouse").glob("*.duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)")
        yield connection


@pytest.fixture
def records(home: Path) -> Records:
    """The company's app.db, as empty as on the first day."""
    for file in (home / "vela").glob("app.db*"):
        file.unlink()
    from dashboard.records.database import open_records

    open_records.cache_clear()
    return open_records(f"sqlite:///{home / 'vela' / 'app.db'}")


def asked(warehouse: duckdb.DuckDBPyConnection, query: Query, **values: Any) -> list[dict[str, Any]]:
    given = {
        **EVERY,
        **NOBODY_ACTED,
        **WHOLE,
        "state": "all",
        "kind": "all",
        "week": None,
        "as_of": success_world.AS_OF,
        **values,
    }
    return warehouse.sql(query.sql, params=query.parameters(given)).pl().to_dicts()


def worked(warehouse: duckdb.DuckDBPyConnection, **values: Any) -> list[str]:
    """Who stands on the list, which is as long as is said."""
    listed = [row["customer_id"] for row in asked(warehouse, churn.WORK_ROWS, **values)]
    assert asked(warehouse, churn.WORK_COUNT, **values) == [{"customers": len(listed)}]
    return listed


def words_of(app: AppTest) -> str:
    """All that stands on the page, without the marks that isolate numbers."""
    said = [one.value for kind in (app.caption, app.text, app.info, app.markdown) for one in kind]
    return re.sub("[\u2066-\u2069]", "", " ".join([*said, re.sub(r"<[^>]+>", " ", html(app))]))


def test_the_list_is_filtered_by_owner_and_state(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert worked(warehouse) == ["C2", "C1", "C4", "C3", "C6"]
    assert worked(warehouse, looked_after_by="Dana") == ["C2", "C1"]
    assert worked(warehouse, looked_after_by="") == ["C3", "C6"]
    assert worked(warehouse, looked_after_by="Omar") == ["C4"]
    assert worked(warehouse, looked_after_by="Nobody of that name") == []
    acted = {
        "acted_customers": ["C1", "C2", "C3"],
        "acted_states": ["done", "snoozed", "open"],
        "acted_owners": [None, "", "Dana"],
        "acted_until": [None, date(2025, 5, 1), None],
        "acted_touched": [date(2025, 3, 30), None, None],
        "acted_next": [None, None, None],
    }
    assert worked(warehouse, state="open", **acted) == ["C4", "C3", "C6"]
    assert worked(warehouse, looked_after_by="Dana", **acted) == ["C1", "C3"]
    assert worked(warehouse, looked_after_by="", **acted) == ["C2", "C6"]
    rows = {row["customer_id"]: row for row in asked(warehouse, churn.WORK_ROWS, **acted)}
    assert rows["C1"]["due_on"] is None
    assert rows["C2"]["due_on"] == date(2025, 5, 1)
    assert rows["C3"]["due_on"] == success_world.AS_OF + timedelta(days=5)


def test_the_day_of_a_week_before_is_told(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    assert asked(warehouse, churn.DAYS_BEFORE) == [{"as_of": success_world.AS_OF - timedelta(days=7)}]


def test_who_is_held_out_is_never_prompted(warehouse: duckdb.DuckDBPyConnection) -> None:
    (held,) = [row for row in asked(warehouse, churn.WORK_ROWS) if row["in_holdout"]]
    assert held["customer_id"] == success_world.HELD_OUT
    assert [held[name] for name in ("play_en", "play_ar", "play_owner", "due_on")] == [None] * 4


def test_the_change_of_a_week_is_against_the_same_model(warehouse: duckdb.DuckDBPyConnection) -> None:
    changed = {row["customer_id"]: row["change_7_days"] for row in asked(warehouse, churn.WORK_ROWS)}
    assert {name: None if by is None else round(by, 6) for name, by in changed.items()} == {
        "C1": 0.25,
        "C2": 0.2,
        "C3": -0.4,
        "C4": None,
        "C6": 0.0,
    }
    rows = asked(warehouse, churn.CHANGE_ROWS, change="all")
    assert {row["customer_id"]: row["change"] for row in rows} == {
        "C2": "risen",
        "C3": "fallen",
        "C4": "new",
        "C5": "gone",
    }


def test_the_top_risks_of_the_overview_are_those_of_its_segment(open_page: Open, home: Path) -> None:
    for segment, customers in (("all", {"C1", "C2", "C4"}), ("enterprise", {"C1", "C2"}), ("smb", {"C4"})):
        app = open_page("revenue", "vela", home=home, segment=segment)
        listed = html(app).split("Top risks</caption>")[1].split("</table>")[0]
        assert set(re.findall(r"customer=(C\d)", listed)) == customers


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_renewal_rate_says_that_it_is_that_of_all_owners(open_page: Open, home: Path, lang: str) -> None:
    said = {"en": "of all owners and kinds", "ar": "لجميع المسؤولين والأنواع"}[lang]
    everybody, mine = (
        open_page("renewals", "vela", lang, home=home, **more) for more in ({}, {"kind": "auto"})
    )
    assert not any(said in one.value for one in everybody.caption)
    assert any(said in one.value for one in mine.caption)


def test_what_renews_adds_up_by_horizon_and_by_week(warehouse: duckdb.DuckDBPyConnection) -> None:
    by_day = asked(warehouse, renewals.BY_DAY)
    totals = {days: sum(row["mrr"] for row in by_day if row["days_left"] <= days) for days in (30, 60, 90)}
    assert totals == {30: 10_000, 60: 35_000, 90: 41_000}  # 100.00; + 250.00; + 60.00; beyond: 70.00
    for days, total in totals.items():
        assert sum(row["mrr"] for row in asked(warehouse, renewals.ROWS, days=days)) == total
    assert [row["week"].weekday() for row in by_day] == [0] * len(by_day)
    assert [row["customer_id"] for row in asked(warehouse, renewals.ROWS, days=90, kind="auto")] == ["C1"]
    assert [row["customer_id"] for row in asked(warehouse, renewals.ROWS, days=90, kind="manual")] == [
        "C2",
        "C5",
    ]


@pytest.mark.parametrize("kind", ["all", "auto", "manual"])
@pytest.mark.parametrize("segment", ["all", "enterprise", "smb"])
def test_the_figures_of_all_accounts_are_those_of_the_company(
    warehouse: duckdb.DuckDBPyConnection, kind: str, segment: str
) -> None:
    for name in ("by_day", "past"):
        whole, rows = (
            asked(warehouse, getattr(source, name), kind=kind, segment=segment)
            for source in (renewals.COMPANY, renewals.ACCOUNTS)
        )
        assert whole == rows
    assert asked(warehouse, renewals.COMPANY.parts) == [
        {"currency": "EUR", "segment": "enterprise", "renewals": 5},
        {"currency": "EUR", "segment": "smb", "renewals": 2},
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize("days", [30, 60, 90])
def test_the_pages_of_the_list_are_the_list_and_ask_of_their_own_days_alone(
    warehouse: duckdb.DuckDBPyConnection, days: int, size: int
) -> None:
    by_day = pl.DataFrame(asked(warehouse, renewals.BY_DAY))
    whole = asked(warehouse, renewals.ROWS, days=days)
    listed = []
    for offset in range(0, len(whole) + size, size):
        part = renewal_days.page_of(by_day, success_world.AS_OF, days, offset, size)
        rows = asked(warehouse, renewals.PAGE, days=days, **part)
        assert all(part["from_day"] <= row["due_on"] <= part["to_day"] for row in rows)
        listed += rows
    assert listed == whole


def test_a_page_begins_and_ends_within_days_that_hold_several() -> None:
    counts = [(-3, 2), (0, 3), (10, 4), (40, 1)]
    by_day = pl.DataFrame(counts, ["days_left", "renewals"], orient="row")
    monday = date(2025, 3, 31)

    def asked_for(offset: int, rows: int, days: int = 90) -> tuple[object, ...]:
        return tuple(renewal_days.page_of(by_day, monday, days, offset, rows).values())

    day = {left: monday + timedelta(days=left) for left, _ in counts}
    assert asked_for(0, 2) == (day[-3], day[-3], 2, 0)
    assert asked_for(1, 2) == (day[-3], day[0], 2, 1)
    assert asked_for(4, 4) == (day[0], day[10], 4, 2)
    assert asked_for(8, 4) == (day[10], day[40], 4, 3)
    assert asked_for(8, 4, days=30) == (day[10], day[10], 4, 3)
    assert asked_for(10, 4)[2] == 0


def test_every_week_of_the_days_ahead_stands_in_the_calendar_and_those_of_what_is_due_already() -> None:
    amounts = ("mrr", "auto_mrr", "manual_mrr")
    rows = [
        (date(2025, 3, 24), -3, 1, 700, 0, 700),  # due on Friday 28 March, may still renew
        (date(2025, 4, 7), 8, 2, 1000, 400, 600),
        (date(2025, 4, 7), 10, 1, 500, 500, 0),
        (date(2025, 4, 28), 30, 1, 250, 250, 0),
        (date(2025, 4, 28), 31, 1, 90, 0, 90),
    ]
    by_day = pl.DataFrame(rows, ["week", "days_left", "renewals", *amounts], orient="row").with_columns(
        pl.col(amounts).cast(pl.Decimal(38, 16))
    )
    monday = date(2025, 3, 31)
    assert renewal_days.totals_of(by_day) == {
        30: {"renewals": 5, "mrr": 2450},
        60: {"renewals": 6, "mrr": 2540},
        90: {"renewals": 6, "mrr": 2540},
    }
    assert renewal_days.weeks_of(by_day, monday, 30).rows() == [
        (date(2025, 3, 24), 1, 700, 0, 700),
        (date(2025, 3, 31), 0, 0, 0, 0),
        (date(2025, 4, 7), 3, 1500, 900, 600),
        (date(2025, 4, 14), 0, 0, 0, 0),
        (date(2025, 4, 21), 0, 0, 0, 0),
        (date(2025, 4, 28), 1, 250, 250, 0),
    ]
    assert renewal_days.weeks_of(by_day.clear(), date(2025, 4, 6), 30)["week"].to_list() == [
        date(2025, 4, 7) + timedelta(weeks=step) for step in range(5)
    ]


def test_of_the_risk_of_one_customer_the_last_days_are_read(warehouse: duckdb.DuckDBPyConnection) -> None:
    week_before = success_world.AS_OF - timedelta(days=7)
    assert asked(warehouse, customer.SCORED_SINCE, limit=1) == [
        {"since": success_world.AS_OF, "is_more": True}
    ]
    assert asked(warehouse, customer.SCORED_SINCE) == [{"since": week_before, "is_more": False}]
    for since, days in (
        (success_world.AS_OF, [success_world.AS_OF]),
        (week_before, [success_world.AS_OF, week_before]),
    ):
        rows = asked(warehouse, customer.RISK_HISTORY, customer_id="C2", since=since)
        assert [row["as_of"] for row in rows] == days


def test_a_search_takes_its_words_as_they_are(warehouse: duckdb.DuckDBPyConnection) -> None:
    def found(asked_for: str, like: str) -> list[str]:
        return [
            row["customer_id"]
            for row in asked(warehouse, customer.SEARCH, asked=asked_for, like=like, limit=20)
        ]

    assert found("acme", "%acme%") == ["S1", "C1"]
    assert found("C3", "%C3%") == ["C3"]
    assert found("%", "%\\%%") == []


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_contact_is_logged_on_the_account_and_taken_back(
    open_page: Open, home: Path, records: Records, lang: str
) -> None:
    app = open_page("churn", "vela", lang, home=home, customer="C1", band="all")
    (button,) = [one for one in app.button if one.key and "act-churn-one" in one.key]
    app.text_area[-1].input("Asked for a call back")
    button.click().run()
    (event,) = actions.events(records, "C1", 10)
    assert (event["action"], event["channel"], event["outcome"]) == ("contacted", "call", "reached")
    assert (event["note"], event["as_of"], event["model_id"], event["play"]) == (
        "Asked for a call back",
        success_world.AS_OF,
        success_world.MODEL,
        "onboarding",
    )
    assert event["recorded_by"] == "local"
    assert "Acme Supplies" not in html(app)  # the list shows what is open
    app.button(key="undo-last").click().run()
    assert actions.events(records, "C1", 10)[0]["undone_at"] is not None
    assert "Acme Supplies" in html(app)


def test_accounts_are_assigned_together_and_found_under_their_owner(
    open_page: Open, home: Path, records: Records
) -> None:
    app = open_page("churn", "vela", home=home, band="all")
    app.multiselect(key="act-customers-churn").set_value(["C1", "C3"])
    app.button_group(key="act-kind-churn-list").set_value("assigned").run()
    (button,) = [one for one in app.button if one.key and "act-churn-list-assigned" in one.key]
    button.click().run()
    assert {name: one.owner for name, one in actions.standings(records, date(2030, 1, 1)).items()} == {
        "C1": "Local reader",
        "C3": "Local reader",
    }
    app.query_params["owner"] = "mine"
    app.run()
    listed = html(app)
    assert "Acme Supplies" in listed
    assert "Cedar GmbH" not in listed


def test_a_list_is_that_of_one_colleague_who_is_chosen_by_name(
    open_page: Open, home: Path, records: Records
) -> None:
    now = datetime(2025, 4, 2, 8, tzinfo=UTC)
    actions.record(records, [Action("C3", actions.ASSIGNED, owner="mine")], now, "dana")
    app = open_page("churn", "vela", home=home, band="all")
    choice = app.selectbox(key="choice-owner")
    assert choice.options == ["All accounts", "Mine", "Unassigned", "Dana", "Omar", "mine"]
    choice.set_value("of:Omar").run()
    assert app.query_params["owner"] in ("of:Omar", ["of:Omar"])
    assert listed(app) == {"C4"}
    app.selectbox(key="choice-owner").set_value("of:mine").run()
    assert listed(app) == {"C3"}
    app = open_page("renewals", "vela", home=home, owner="of:Omar")
    assert listed(app) == {"C5"}


def test_of_very_many_colleagues_one_is_found_by_a_part_of_the_name(
    open_page: Open, home: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "COLLEAGUES_LISTED", 1)
    app = open_page("churn", "vela", home=home, band="all")
    choice = app.selectbox(key="choice-owner")
    assert choice.options == ["All accounts", "Mine", "Unassigned", "Dana"]
    written(app, "mar")
    assert app.selectbox(key="choice-owner").value == "of:Omar"
    assert listed(app) == {"C4"}
    written(app, "Zoë")
    assert app.selectbox(key="choice-owner").value == "of:Omar"
    assert [toast.value for toast in app.toast] == ["Nobody who looks after accounts is called that."]


def written(app: AppTest, name: str) -> None:
    """What a reader writes into the choice of owner instead of choosing from its list."""
    choice = app.selectbox(key="choice-owner")
    choice.options.append(name)
    choice.set_value(name).run()


def listed(app: AppTest) -> set[str]:
    """The customers that tables of the page lead to."""
    assert not app.exception
    return set(re.findall(r"customer=(\w+)", html(app)))


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_renewal_says_why_it_is_at_risk_and_whether_notice_can_still_be_given(
    open_page: Open, home: Path, records: Records, lang: str
) -> None:
    app = open_page("renewals", "vela", lang, home=home, rows="within-90")
    said = [re.sub("[\u2066-\u2069]", "", one.value) for one in app.text]
    assert any(success_world.MODEL in one and "2025" in one for one in said)
    rows = {
        name: row
        for row in html(app).split("</table>")[0].split("<tr>")  # the rows behind a card stand first
        for name in ("C1", "C2", "C5")
        if f"customer={name}" in row and "2025" in row
    }
    over, possible, reason = {
        "en": ("Day is over", "Still possible", "Active users 3 of 20 seats"),
        "ar": ("انقضى موعده", "ما زال ممكنًا", "السبب: Active users 3 of 20 seats"),
    }[lang]
    assert over in rows["C1"]  # the notice day was five days ago
    assert over in rows.pop("C5")  # it was the day that the figures end with
    assert possible in rows["C2"]
    for name, row in rows.items():
        assert f"{reason} ({name})" in row
        assert success_world.MODEL in row
        assert "2025-03-31" in row  # the day of the score


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_note_on_a_date_stands_below_the_weeks_of_renewals(
    open_page: Open, home: Path, records: Records, lang: str
) -> None:
    at = datetime(2025, 4, 1, tzinfo=UTC)
    within, beyond = date(2025, 4, 24), date(2026, 1, 1)
    annotations.write(records, at, "dana", "Dana", within, "Price rise")
    annotations.write(records, at, "dana", "Dana", beyond, "Far away")
    said = " ".join(one.value for one in open_page("renewals", "vela", lang, home=home).text)
    assert "Price rise" in said
    assert "Far away" not in said


def test_what_the_crm_logged_stands_on_the_timeline_and_among_the_contacts(
    open_page: Open, home: Path, records: Records
) -> None:
    said = words_of(open_page("customer", "vela", home=home, customer="C2"))
    assert "In the CRM" in said
    assert "Meeting" in said
    assert "site visit" in said  # a kind of the CRM's own, in its words
    said = words_of(open_page("customer", "vela", "ar", home=home, customer="C2", part="work"))
    assert "site visit" in said
    assert "اجتماع" in said


def test_what_was_done_is_announced_once_and_its_undo_stands_by_the_forms(
    open_page: Open, home: Path, records: Records
) -> None:
    app = open_page("churn", "vela", home=home, customer="C1", band="all")
    (button,) = [one for one in app.button if one.key and "act-churn-one" in one.key]
    button.click().run()
    assert [toast.value for toast in app.toast] == ["Contact logged on 1 account."]
    order = [element.key for element in app.main if getattr(element, "key", None)]
    keys = [one.key for one in app.button]
    assert keys.index("undo-last") < min(
        number for number, key in enumerate(keys) if key and key.startswith("FormSubmitter:act-")
    ), order
    app.run()
    assert not app.toast
    assert [one.key for one in app.button if one.key == "undo-last"] == ["undo-last"]


def test_what_was_done_and_noted_stands_on_the_customers_page(
    open_page: Open, home: Path, records: Records
) -> None:
    now = datetime(2025, 4, 2, 8, tzinfo=UTC)
    wait = Action("C2", actions.SNOOZED, until_on=date(2025, 4, 20), note="On leave")
    actions.record(records, [wait], now, "dana")
    notes.write(records, "C2", "Prefers <b>e-mail</b>", now, "dana")
    said = words_of(open_page("customer", "vela", home=home, customer="C2"))
    assert "Active users 3 of 20 seats (C2) · Two urgent tickets are open · Price rose by 12 %" in said
    assert "Scored for March 31, 2025 by model `m-current`" in said
    assert "Snoozed · until 2025-04-20 · On leave" in said
    assert "Prefers &lt;b&gt;e-mail&lt;/b&gt;" in said
    assert "Expansion · Quantity" in said
    assert "+€50.00" in said
    app = open_page("customer", "vela", home=home, customer="C2", part="work")
    (delete,) = [one for one in app.button if one.key and one.key.startswith("note-delete-")]
    delete.click().run()
    assert notes.of(records, "C2", 10) == []
    app.button(key="undo-note-button").click().run()
    assert [one["body"] for one in notes.of(records, "C2", 10)] == ["Prefers <b>e-mail</b>"]


def test_every_part_of_the_customers_page_opens(open_page: Open, home: Path, records: Records) -> None:
    app = open_page("customer", "vela", "ar", home=home, customer="C2")
    expected = {
        "subscriptions": "C2-sub",
        "invoices": "20.05",
        "payments": "25.05",
        "usage": "15.0%",
        "risk": "m-current",
        "work": "",
    }
    for part, shown in expected.items():
        app.query_params["part"] = part
        app.run()
        assert [error.message for error in app.exception] == []
        assert [error.value for error in app.error] == []
        assert shown in words_of(app)


def test_an_unknown_customer_is_said_to_be_unknown(open_page: Open, home: Path, records: Records) -> None:
    app = open_page("customer", "vela", home=home, customer="<script>alert(1)</script>")
    assert "There is no customer with this id" in app.info[0].value
    assert app.code[0].value == "<script>alert(1)</script>"
    assert app.exception == []


def test_a_customer_of_orders_has_its_orders_and_its_rhythm(open_page: Open) -> None:
    app = open_page("customer", "bazaar", customer="K1", part="orders")
    assert [error.message for error in app.exception] == []
    assert "O6" in words_of(app)
    assert "£90.00" in words_of(app)


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_rows_behind_what_renews_add_up_to_the_card(
    open_page: Open, home: Path, records: Records, lang: str
) -> None:
    app = open_page("renewals", "vela", lang, home=home, rows="within-60")
    assert [error.message for error in app.exception] == []
    assert app.metric[1].value.strip("\u2066\u2069") in ("€350.00", "350.00\xa0€")
    assert app.metric[3].value.strip("\u2066\u2069") == "75.0%"  # 150.00 of 200.00 renewed
    verdicts = [one for one in badges(app) if {"en": "Sum", "ar": "المجموع"}[lang] in one]
    assert len(verdicts) == 2
    assert all("✓" in one for one in verdicts)


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_cards_of_renewals_are_defined_by_the_registry(
    open_page: Open, home: Path, warehouse: duckdb.DuckDBPyConnection, records: Records, lang: str
) -> None:
    app = open_page("renewals", "vela", lang, home=home, rows="renewal-rate")
    known = dict(
        warehouse.execute(f"SELECT metric_id, definition_{lang} FROM warehouse.marts.dim_metrics").fetchall()
    )
    wanted = ["renewing_mrr", "renewing_mrr", "renewing_mrr", "renewal_rate_12m"]
    assert [metric.help for metric in app.metric] == [known[one] for one in wanted]
    assert known["renewal_rate_12m"] in [one.value for one in app.text]  # in the rows behind the card


@pytest.mark.parametrize("column", ["segment", "expected_save_minor"])
def test_a_list_that_cannot_be_read_leaves_the_rest_of_the_page(
    open_page: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    """Without a column that the filters read, or that the figures do: as in scores of another release."""

    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        success_world.fill(connection, build_id)
        connection.execute(f"ALTER TABLE churn.churn_scores DROP COLUMN {column}")

    tiny_world.publish(tmp_path / "vela", "b1", fill, title=("Success", "نجاح"))
    app = open_page("churn", "vela", home=tmp_path)
    assert not app.exception
    assert app.error
    assert all("Reference: " in error.value for error in app.error)
    assert "UnboundLocalError" not in caplog.text
    assert "Was an earlier list right?" in [heading.value for heading in app.subheader]


def test_a_company_of_orders_has_nothing_to_renew(open_page: Open) -> None:
    app = open_page("renewals", "bazaar")
    assert "No subscription of this company has a term" in app.info[0].value


def test_a_long_list_stands_a_page_at_a_time_in_the_digits_of_its_reader(
    open_page: Open, home: Path, records: Records
) -> None:
    at = datetime(2025, 4, 1, tzinfo=UTC)
    for number in range(21):
        notes.write(records, "C2", f"Note {number}", at + timedelta(minutes=number), "dana")
    app = open_page("customer", "vela", "ar", home=home, customer="C2", part="work", digits="arab")
    said = [re.sub("[\u2066-\u2069]", "", one.value) for one in app.text]
    assert "الصفحة ١ من ٢" in said
    assert app.button(key="pages-notes-back").disabled
    app.button(key="pages-notes-next").click().run()
    assert app.query_params["notes"] in ("2", ["2"])
    assert [one.value for one in app.text if one.value.startswith("Note")] == ["Note 0"]
    assert app.button(key="pages-notes-next").disabled
