"""Renewals, trials, cancellations, subscription churn: rules on examples, then rows of random companies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from plain_events import ends, renewals, subscription_churn, trials
from plain_metrics import Books
from random_events import random_events
from subscription_models import models, warehouse
from test_cash_marts import build_tests, warehouse_test
from test_subscription_rules import APR, FEB, JAN, MAR, MAY, history, version

from pipelines.compiled import execute, needed

MARTS = ("fct_renewals", "fct_trials", "fct_cancellations", "int_metric_parts__events", "dim_days")
DAY = timedelta(days=1)
Rows = list[tuple[Any, ...]]


def renewal_rows(*versions: dict[str, Any], as_of: date = date(2024, 6, 30), **settings: Any) -> Rows:
    columns = "due_on, outcome, decided_on, cause, mrr_before::BIGINT, mrr_after::BIGINT"
    connection = warehouse(history(*versions, as_of=as_of), ("fct_renewals",), **settings)
    return connection.execute(f"SELECT {columns} FROM marts.fct_renewals ORDER BY due_on").fetchall()


def term(start: date, end: date | None, amount: int, due_on: date, **rest: Any) -> dict[str, Any]:
    return version(start, end, amount, term_start=start, term_end=due_on, **rest)


# Renewals.


def test_a_term_is_renewed_where_service_goes_on_in_the_next_one():
    rows = renewal_rows(term(JAN, APR, 1000, APR), term(APR, None, 1200, date(2025, 4, 1)))
    assert rows == [
        (APR, "renewed", APR, None, 1000, 1200),
        (date(2025, 4, 1), "undecided", None, None, 1200, None),
    ]


def test_the_days_hold_what_of_a_subscription_ends_together_once():
    due = date(2025, 4, 1)
    sold = {"subscription_id": "s", "term_start": APR, "term_end": due}
    company = history(
        version(APR, None, 1000, "a", auto_renew=True, **sold),
        version(APR, None, 200, "b", auto_renew=False, **sold),  # one that needs a word: the whole needs it
        version(APR, None, 50, "c", subscription_id="t", term_start=APR, term_end=due, auto_renew=True),
        version(APR, None, 7, "d", subscription_id="u", term_start=APR, term_end=due),  # nobody knows
        term(JAN, APR, 300, APR, item="e", auto_renew=True),
    )
    connection = warehouse(company, ("fct_renewal_days",))
    columns = "due_on, outcome, currency, is_automatic, renewals, mrr::BIGINT"
    found = connection.execute(f"SELECT {columns} FROM marts.fct_renewal_days ORDER BY ALL").fetchall()
    assert found == [
        (APR, "lost", "EUR", True, 1, 300),
        (due, "undecided", "EUR", False, 2, 1207),
        (due, "undecided", "EUR", True, 1, 50),
    ]
    assert warehouse_test(connection, "renewal_days_equal_renewals") == []
    connection.execute("UPDATE marts.fct_renewal_days SET is_automatic = true WHERE renewals = 2")
    assert warehouse_test(connection, "renewal_days_equal_renewals") != []
    connection.execute("UPDATE marts.fct_renewal_days SET renewals = 3 WHERE renewals = 2")
    assert len(warehouse_test(connection, "renewal_days_equal_renewals")) > 1


def test_a_term_is_worth_what_was_paid_on_its_last_day():
    rows = renewal_rows(
        term(JAN, MAR, 1000, APR), term(MAR, APR, 1500, APR), term(APR, None, 800, date(2025, 1, 1))
    )
    assert rows[0] == (APR, "renewed", APR, None, 1500, 800)


@pytest.mark.parametrize(("days_late", "outcome"), [(0, "renewed"), (30, "renewed"), (31, "lost")])
def test_a_renewal_may_be_thirty_days_late(days_late, outcome):
    again = APR + days_late * DAY
    rows = renewal_rows(term(JAN, APR, 1000, APR), version(again, None, 1000))
    decided_on = again if outcome == "renewed" else APR + 30 * DAY
    assert [row[:3] for row in rows] == [(APR, outcome, decided_on)]


@pytest.mark.parametrize(("days", "outcome"), [(0, "lost"), (44, "lost"), (45, "renewed")])
def test_how_late_is_a_setting(days, outcome):
    rows = renewal_rows(
        term(JAN, APR, 1000, APR), version(APR + 45 * DAY, None, 1000), late_renewal_days=days
    )
    assert [row[1] for row in rows] == [outcome]


@pytest.mark.parametrize(
    ("as_of", "outcome"),
    [(date(2024, 3, 31), "undecided"), (APR, "undecided"), (date(2024, 4, 30), "undecided"), (MAY, "lost")],
)
def test_a_term_is_undecided_until_its_last_day_has_passed(as_of, outcome):
    assert [row[1] for row in renewal_rows(term(JAN, APR, 1000, APR), as_of=as_of)] == [outcome]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({}, "voluntary"),
        ({"end_cause": "involuntary"}, "involuntary"),
        ({"cancel_reason": "payment"}, "involuntary"),
        ({"end_cause": "merge", "cancel_reason": "payment"}, "merge"),
        ({"end_cause": "migration"}, "migration"),
    ],
)
def test_a_lost_term_has_the_cause_of_its_end(said, cause):
    assert renewal_rows(term(JAN, APR, 1000, APR, **said)) == [(APR, "lost", APR + 30 * DAY, cause, 1000, 0)]
    after = version(APR, None, 1000, status="canceled", **said)
    assert renewal_rows(term(JAN, APR, 1000, APR), after)[0][3] == cause


def test_what_ended_before_its_term_is_not_due():
    assert renewal_rows(term(JAN, date(2024, 3, 31), 1000, APR)) == []
    assert len(renewal_rows(term(JAN, APR, 1000, APR))) == 1


def test_an_item_without_terms_has_no_renewals():
    assert renewal_rows(version(JAN, MAR, 1000), version(MAR, None, 1000)) == []


def test_service_that_simply_runs_on_is_renewed():
    assert renewal_rows(term(JAN, None, 1000, APR)) == [(APR, "renewed", APR, None, 1000, 1000)]


def test_a_canceled_version_is_no_service():
    rows = renewal_rows(
        term(JAN, APR, 1000, APR), term(APR, None, 1000, date(2024, 5, 20), status="canceled")
    )
    assert [row[:2] for row in rows] == [(APR, "lost")]


@pytest.mark.parametrize(("waits", "outcome"), [(30, "renewed"), (31, "lost")])
def test_what_waits_for_a_renewal_keeps_its_mrr_and_is_not_renewed(waits, outcome):
    until = APR + waits * DAY
    rows = renewal_rows(
        term(JAN, APR, 1000, APR),
        version(APR, until, 1000, status="renewal_pending"),
        version(until, None, 1300),
    )
    assert [row[1] for row in rows] == [outcome]
    assert rows[0][5] == (1300 if outcome == "renewed" else 0)


def test_one_term_end_is_one_row_whatever_the_versions_say_of_its_start():
    rows = renewal_rows(
        term(JAN, FEB, 1000, APR), version(FEB, APR, 1100, term_end=APR), version(APR, None, 1100)
    )
    assert [row[4] for row in rows] == [1100]


def test_test_customers_have_no_events():
    company = history(
        term(JAN, APR, 1000, APR, cancel_requested_on=FEB),
        version(JAN, FEB, 1000, item="b", status="trialing"),
        customers=[{"customer_id": "x", "segment": "s", "valid_from": JAN, "is_test": True}],
    )
    connection = warehouse(company, MARTS)
    for mart in ("fct_renewals", "fct_trials", "fct_cancellations"):
        assert connection.execute(f"SELECT count(*) FROM marts.{mart}").fetchall() == [(0,)]


def test_a_term_keeps_its_worth_where_churn_counts_from_the_request():
    rows = renewal_rows(
        term(JAN, APR, 1000, APR, cancel_requested_on=date(2024, 2, 10)), churn_at="cancel_request"
    )
    assert rows == [(APR, "lost", APR + 30 * DAY, "voluntary", 1000, 0)]


def test_the_renewal_rate_is_made_of_decided_terms_in_the_reporting_currency():
    company = history(
        term(JAN, APR, 3000, APR, item="a"),
        version(APR, None, 5000, item="a"),
        term(JAN, APR, 1000, APR, item="b"),
        term(JAN, date(2024, 4, 20), 7000, date(2024, 4, 20), item="c", currency="USD"),
        version(date(2024, 4, 25), None, 7000, item="c", currency="USD"),
        term(JAN, date(2024, 6, 10), 9000, date(2024, 6, 10), item="d"),
        rates={"EUR": Fraction(1), "USD": Fraction("0.5")},
    )
    rows = (
        warehouse(company, MARTS)
        .execute(
            "SELECT strftime(month, '%m'), metric_id, numerator::DOUBLE, denominator::DOUBLE, why_null "
            "FROM intermediate.int_metric_parts__events WHERE segment = 'all' AND currency = 'EUR' "
            "AND metric_id LIKE 'renewal%' ORDER BY ALL"
        )
        .fetchall()
    )
    assert rows == [
        ("04", "renewal_rate", 6500, 7500, None),
        ("04", "renewal_rate_count", 2, 3, None),
        ("04", "renewals_due", 7500, None, None),
        ("04", "renewals_due_count", 3, None, None),
        ("04", "renewals_undecided", 0, None, None),
        ("06", "renewal_rate", 0, 0, "no_renewals_decided"),
        ("06", "renewal_rate_count", 0, 0, "no_renewals_decided"),
        ("06", "renewals_due", 9000, None, None),
        ("06", "renewals_due_count", 1, None, None),
        ("06", "renewals_undecided", 1, None, None),
    ]


# Trials.


def trial_rows(*versions: dict[str, Any], as_of: date = date(2024, 6, 30), **settings: Any) -> Rows:
    columns = "trial_start, trial_end, outcome, converted_on, mrr_at_conversion::BIGINT"
    connection = warehouse(history(*versions, as_of=as_of), ("fct_trials",), **settings)
    return connection.execute(f"SELECT {columns} FROM marts.fct_trials ORDER BY trial_start").fetchall()


def trial(start: date, end: date | None, **rest: Any) -> dict[str, Any]:
    return version(start, end, 1000, status="trialing", **rest)


@pytest.mark.parametrize("policy", ["out", "in"])
def test_a_trial_converts_when_the_item_pays(policy):
    assert trial_rows(trial(JAN, FEB), version(FEB, None, 1200), trials=policy) == [
        (JAN, FEB, "converted", FEB, 1200)
    ]


@pytest.mark.parametrize(("days", "outcome"), [(14, "converted"), (15, "not_converted")])
def test_a_trial_has_fourteen_days_after_its_end_to_convert(days, outcome):
    assert trial_rows(trial(JAN, FEB), version(FEB + days * DAY, None, 1200))[0][2] == outcome


@pytest.mark.parametrize(
    ("as_of", "outcome"),
    [(date(2024, 1, 20), "pending"), (date(2024, 2, 14), "pending"), (date(2024, 2, 15), "not_converted")],
)
def test_a_trial_is_pending_before_its_fourteenth_day(as_of, outcome):
    assert [row[2] for row in trial_rows(trial(JAN, FEB), as_of=as_of)] == [outcome]


def test_a_trial_that_pays_early_stays_pending_so_that_cohorts_are_not_flattered():
    rows = trial_rows(trial(JAN, FEB), version(FEB, None, 1200), as_of=date(2024, 2, 10))
    assert rows == [(JAN, FEB, "pending", FEB, 1200)]


def test_a_free_or_discounted_away_item_has_not_converted():
    assert trial_rows(trial(JAN, FEB), version(FEB, None, 0))[0][2:] == ("not_converted", None, None)


def test_the_last_known_end_of_a_trial_counts():
    moved = date(2024, 2, 20)
    assert trial_rows(trial(JAN, FEB, trial_end_on=FEB), trial(FEB, moved, trial_end_on=moved)) == [
        (JAN, moved, "not_converted", None, None)
    ]
    assert trial_rows(trial(JAN, None, trial_end_on=FEB))[0][:2] == (JAN, FEB)
    assert trial_rows(trial(JAN, FEB, trial_end_on=JAN + 5 * DAY), trial(FEB, MAR))[0][1] == MAR
    assert trial_rows(trial(JAN, None)) == [(JAN, None, "pending", None, None)]


def test_a_second_trial_of_an_item_is_a_trial_of_its_own():
    rows = trial_rows(trial(JAN, FEB), trial(FEB + 3 * DAY, MAR), version(MAR, None, 900))
    assert rows == [
        (JAN, FEB, "not_converted", None, None),
        (FEB + 3 * DAY, MAR, "converted", MAR, 900),
    ]


def test_trials_that_are_still_to_come_are_left_out():
    assert trial_rows(trial(date(2024, 7, 1), None), version(JAN, FEB, 1000, item="b")) == []


def test_trial_conversion_counts_matured_trials_of_the_start_cohort():
    company = history(
        trial(JAN, FEB, item="a"), version(FEB, None, 100, item="a"),
        trial(JAN + 9 * DAY, FEB, item="b"),
        trial(date(2024, 6, 1), date(2024, 6, 20), item="c"), version(date(2024, 6, 20), None, 100, item="c"),
    )  # fmt: skip
    rows = (
        warehouse(company, MARTS)
        .execute(
            "SELECT strftime(month, '%m'), metric_id, numerator::INT, denominator::INT, customers::INT, "
            "why_null FROM intermediate.int_metric_parts__events "
            "WHERE segment = 'all' AND metric_id LIKE 'trial%' ORDER BY ALL"
        )
        .fetchall()
    )
    assert rows == [
        ("01", "trial_conversion", 1, 2, 1, None),
        ("01", "trials_pending", 0, None, 1, None),
        ("01", "trials_started", 2, None, 1, None),
        ("06", "trial_conversion", 0, 0, 0, "no_trials_matured"),
        ("06", "trials_pending", 1, None, 1, None),
        ("06", "trials_started", 1, None, 1, None),
    ]


# Cancellations.

CANCELLATION = (
    "requested_on, effective_on, state, end_cause, mrr_before::BIGINT, mrr_lost::BIGINT, returned_on, "
    "is_taken_back"
)


def cancellation_rows(*versions: dict[str, Any], as_of: date = date(2024, 6, 30), **settings: Any) -> Rows:
    connection = warehouse(history(*versions, as_of=as_of), ("fct_cancellations",), **settings)
    return cancellations_of(connection)


def cancellations_of(connection: duckdb.DuckDBPyConnection) -> Rows:
    query = f"SELECT {CANCELLATION} FROM marts.fct_cancellations ORDER BY requested_on, effective_on"
    return connection.execute(query).fetchall()


def test_an_end_of_service_is_a_cancellation_in_effect():
    said = {"cancel_requested_on": FEB, "cancel_reason": "too_expensive"}
    expected = [(FEB, APR, "in_effect", "voluntary", 1000, 1000, None, False)]
    assert cancellation_rows(version(JAN, APR, 1000, **said)) == expected
    # the request may stand on the version after the end alone
    after = version(APR, None, 1000, status="canceled", **said)
    assert cancellation_rows(version(JAN, APR, 1000), after) == expected


def test_a_new_version_is_no_cancellation():
    assert cancellation_rows(version(JAN, FEB, 1000), version(FEB, None, 900)) == []


def test_an_end_without_a_request_counts_on_its_day():
    assert cancellation_rows(version(JAN, APR, 1000, cancel_reason="payment")) == [
        (None, APR, "in_effect", "involuntary", 1000, 1000, None, False)
    ]
    assert cancellation_rows(version(JAN, APR, 1000, end_cause="merge"))[0][3] == "merge"
    # the end of a period that is still running has not been asked for
    assert cancellation_rows(version(JAN, date(2024, 9, 1), 1000)) == []


@pytest.mark.parametrize(
    ("as_of", "state", "lost"),
    [
        (date(2024, 2, 9), None, 0),
        (date(2024, 2, 10), "scheduled", 0),
        (date(2024, 3, 31), "scheduled", 0),
        (APR, "in_effect", 1000),
    ],
)
def test_a_request_is_scheduled_until_it_takes_effect(as_of, state, lost):
    rows = cancellation_rows(version(JAN, APR, 1000, cancel_requested_on=date(2024, 2, 10)), as_of=as_of)
    assert [row[2] for row in rows] == ([state] if state else [])
    assert sum(row[5] for row in rows) == lost


def test_a_request_without_an_end_stays_open():
    assert cancellation_rows(version(JAN, None, 1000, cancel_requested_on=FEB)) == [
        (FEB, None, "requested", "voluntary", 1000, 0, None, False)
    ]


def test_service_that_comes_back_takes_the_cancellation_back():
    rows = cancellation_rows(
        version(JAN, APR, 1000, cancel_requested_on=FEB), version(MAY + 9 * DAY, None, 700)
    )
    assert rows == [(FEB, APR, "in_effect", "voluntary", 1000, 1000, MAY + 9 * DAY, True)]


def test_a_subscription_comes_back_with_another_item_once_it_had_ended_as_a_whole():
    old = version(JAN, APR, 1000, item="a", subscription_id="s")
    again = version(MAY, None, 1000, item="b", subscription_id="s")
    beside = version(JAN, None, 1000, item="c", subscription_id="s")
    assert [row[6:] for row in cancellation_rows(old, again)] == [(MAY, True)]
    assert [row[6:] for row in cancellation_rows(old, again, beside)] == [(None, False)]


def test_a_request_that_later_versions_do_not_repeat_is_taken_back():
    rows = cancellation_rows(version(JAN, MAR, 1000, cancel_requested_on=FEB), version(MAR, None, 1000))
    assert rows == [(FEB, MAR, "taken_back", None, 1000, 0, None, True)]


def recorded(connection: duckdb.DuckDBPyConnection, day: int, **changes: Any) -> None:
    """Record the one version again on a day of May."""
    names = ", ".join(f"${name} AS {name}" for name in changes)
    connection.execute(
        "INSERT INTO raw_billing.subscription_versions BY NAME SELECT * REPLACE "
        f"($recorded_at AS recorded_at, {names}) FROM raw_billing.subscription_versions LIMIT 1",
        {"recorded_at": datetime(2024, 5, day, tzinfo=UTC), **changes},
    )


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([None], [(FEB, MAY, "taken_back", None, 1000, 0, None, True)]),
        ([MAR], [(MAR, MAY, "in_effect", "voluntary", 1000, 1000, None, False)]),
        (
            [None, APR],
            [
                (FEB, MAY, "taken_back", None, 1000, 0, None, True),
                (APR, MAY, "in_effect", "voluntary", 1000, 1000, None, False),
            ],
        ),
        ([None, FEB], [(FEB, MAY, "in_effect", "voluntary", 1000, 1000, None, False)]),
    ],
)
def test_a_request_withdrawn_is_remembered_and_one_that_was_dated_anew_is_not(later, expected):
    connection = warehouse(history(version(JAN, MAY, 1000, cancel_requested_on=FEB)), ("fct_cancellations",))
    for number, requested_on in enumerate(later):
        end = MAY if requested_on else None
        recorded(connection, number + 1, cancel_requested_on=requested_on, valid_to=end)
    execute(connection, needed(models(), "fct_cancellations"))
    assert cancellations_of(connection) == expected


def test_what_left_mrr_before_its_end_loses_nothing_then():
    rows = cancellation_rows(version(JAN, MAR, 1000), version(MAR, APR, 1000, status="paused"))
    assert [row[4:6] for row in rows] == [(0, 0)]


# Subscription churn.


def churn_rows(*versions: dict[str, Any], **rest: Any) -> Rows:
    return (
        warehouse(history(*versions, as_of=date(2024, 4, 30), **rest), MARTS)
        .execute(
            "SELECT strftime(month, '%m'), segment, numerator::INT, denominator::INT "
            "FROM intermediate.int_metric_parts__events WHERE metric_id = 'subscription_churn' ORDER BY ALL"
        )
        .fetchall()
    )


def test_a_subscription_has_churned_when_none_of_its_items_pays_at_the_close():
    rows = churn_rows(
        version(JAN, date(2024, 2, 20), 1000, item="a", subscription_id="s"),
        version(JAN, date(2024, 3, 15), 500, item="b", subscription_id="s"),
        version(JAN, None, 700, item="c", subscription_id="t"),
        version(date(2024, 2, 5), date(2024, 2, 25), 700, item="d"),
    )
    assert [row for row in rows if row[1] == "all"] == [
        ("02", "all", 0, 2),
        ("03", "all", 1, 2),
        ("04", "all", 0, 1),
    ]


def test_a_subscription_stands_in_the_segment_of_its_opening():
    customers = [
        {"customer_id": "x", "segment": "small", "valid_from": JAN, "is_test": False},
        {"customer_id": "x", "segment": "large", "valid_from": date(2024, 2, 15), "is_test": False},
    ]
    rows = churn_rows(version(JAN, date(2024, 3, 15), 1000), customers=customers)
    assert [row for row in rows if row[3]] == [
        ("02", "all", 0, 1),
        ("02", "small", 0, 1),
        ("03", "all", 1, 1),
        ("03", "large", 1, 1),
    ]


# Days.


def test_days_run_from_the_first_fact_to_the_end_of_the_year():
    connection = warehouse(history(version(date(2023, 12, 30), None, 100), as_of=APR), ("dim_days",))
    rows = connection.execute("SELECT * FROM marts.dim_days ORDER BY day").fetchall()
    assert rows[1] == (date(2023, 12, 31), date(2023, 12, 1), date(2023, 10, 1), 2023, 7, True)
    assert rows[2] == (JAN, JAN, JAN, 2024, 1, False)
    assert [row[0] for row in rows if row[5]][2] == date(2024, 2, 29)
    assert (rows[0][0], rows[-1][0], len(rows)) == (date(2023, 12, 30), date(2024, 12, 31), 2 + 366)


def test_a_company_without_facts_has_the_days_of_its_as_of_year_that_are_left():
    connection = warehouse(history(as_of=date(2024, 12, 30)), MARTS)
    assert connection.execute("SELECT count(*) FROM marts.dim_days").fetchall() == [(2,)]
    for mart in ("fct_renewals", "fct_trials", "fct_cancellations"):
        assert connection.execute(f"SELECT count(*) FROM marts.{mart}").fetchall() == [(0,)]


# Random companies.


class Company:
    def __init__(self, seed: int) -> None:
        self.history = random_events(seed)
        self.books = Books(self.history)
        self.connection = warehouse(self.history, MARTS)

    def rows(self, query: str) -> Rows:
        return self.connection.execute(query).fetchall()


@pytest.fixture(scope="module", params=range(3))
def company(request: pytest.FixtureRequest) -> Company:
    return Company(request.param)


def exact(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def test_every_renewal_agrees(company: Company) -> None:
    expected = renewals(company.books)
    found = {}
    for item, due_on, before, after, *row in company.rows(
        "SELECT subscription_item_id, due_on, mrr_before, mrr_after, outcome, decided_on, cause, "
        "customer_id, segment, currency FROM marts.fct_renewals"
    ):
        names = ("outcome", "decided_on", "cause", "customer", "segment", "currency")
        found[item, due_on] = {
            **dict(zip(names, row, strict=True)), "before": exact(before), "after": exact(after)
        }  # fmt: skip
        if due_on - DAY > company.history.as_of:  # the plain books end with the as-of day
            found[item, due_on]["before"] = expected[item, due_on]["before"]
    assert found == expected
    assert {row["outcome"] for row in found.values()} == {"renewed", "lost", "undecided"}


def test_every_trial_agrees(company: Company) -> None:
    names = ("end", "outcome", "converted_on", "mrr", "customer", "segment")
    found = {
        (item, start): dict(zip(names, (end, outcome, on, exact(mrr), *place), strict=True))
        for item, start, end, outcome, on, mrr, *place in company.rows(
            "SELECT subscription_item_id, trial_start, trial_end, outcome, converted_on, mrr_at_conversion, "
            "customer_id, segment FROM marts.fct_trials"
        )
    }
    assert found == trials(company.books)


def test_every_end_of_service_agrees(company: Company) -> None:
    found = {
        (item, on): {"lost": exact(lost), "returned_on": returned_on}
        for item, on, lost, returned_on in company.rows(
            "SELECT subscription_item_id, effective_on, mrr_lost, returned_on FROM marts.fct_cancellations "
            "WHERE state = 'in_effect'"
        )
    }
    assert found == ends(company.books)


def test_every_cell_of_subscription_churn_agrees(company: Company) -> None:
    found = {
        (month, currency, segment): (int(lost), int(started))
        for month, currency, segment, lost, started in company.rows(
            "SELECT month, currency, segment, numerator, denominator "
            "FROM intermediate.int_metric_parts__events WHERE metric_id = 'subscription_churn'"
        )
    }
    assert found == subscription_churn(company.books)


def test_segments_sum_to_the_whole(company: Company) -> None:
    apart = company.rows(
        "SELECT month, currency, metric_id FROM intermediate.int_metric_parts__events GROUP BY ALL "
        "HAVING sum(numerator) FILTER (segment = 'all') <> sum(numerator) FILTER (segment <> 'all') "
        "OR sum(denominator) FILTER (segment = 'all') <> sum(denominator) FILTER (segment <> 'all')"
    )
    assert apart == []


def test_the_build_sees_a_trial_and_a_renewal_of_a_later_day():
    name = "no_month_after_the_as_of_month"
    (test,) = (test for test in build_tests() if test.name == f"assert_{name}")
    company = history(
        version(JAN, FEB, 1000, status="trialing", trial_end_on=FEB),
        term(FEB, APR, 1000, APR),
        term(APR, None, 1000, date(2025, 4, 1)),
    )
    connection = warehouse(company, test.reads)
    assert warehouse_test(connection, name) == []
    connection.execute("UPDATE marts.fct_trials SET trial_start = DATE '2024-07-01'")
    connection.execute("UPDATE marts.fct_renewals SET due_on = DATE '2024-07-01' WHERE due_on < '2024-07-01'")
    assert warehouse_test(connection, name) == [
        ("fct_trials", date(2024, 7, 1)),
        ("fct_renewals", date(2024, 7, 1)),
    ]
