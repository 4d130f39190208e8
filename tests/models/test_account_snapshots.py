"""Account snapshots: every family of features by hand, with what is null and what comes after the day."""

from __future__ import annotations

import math
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from account_cases import day, hand_made_world
from account_models import FIRST_LOAD, Accounts, Row, noon, snapshots

from churn_model.accounts import account_features
from tajdid.conformance.analytics_models import compiled_tests

AS_OF = date(2025, 7, 31)
MARCH, APRIL, MAY, JUNE = (date(2025, 3, 31), date(2025, 4, 30), date(2025, 5, 31), date(2025, 6, 30))
Snapshots = dict[tuple[str, date], Row]


@pytest.fixture(scope="module")
def built() -> duckdb.DuckDBPyConnection:
    return hand_made_world().build(AS_OF)


@pytest.fixture(scope="module")
def found(built: duckdb.DuckDBPyConnection) -> Snapshots:
    return snapshots(built)


def of(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def assert_features(row: Row, **expected: float | str | None) -> None:
    for name, value in expected.items():
        if isinstance(value, float):
            assert row[name] == pytest.approx(value, abs=1e-12), name
        else:
            assert row[name] == value, name


def test_snapshots_are_month_ends_from_the_first_price_on_and_the_as_of_day(found: Snapshots) -> None:
    days = sorted({as_of for _, as_of in found})
    assert days[0] == date(2023, 9, 30)
    assert days[-1] == AS_OF
    assert len(days) == 23
    assert all((one + timedelta(days=1)).day == 1 for one in days)


def test_money_moves_by_what_is_taken_not_by_price_alone(found: Snapshots) -> None:
    assert_features(
        found["grower", MAY],
        tenure_days=502.0,
        mrr_minor=13_200,
        currency="EUR",
        mrr=math.log(13_200),
        mrr_change_90=math.log(13_200 / 13_200),
        mrr_change_365=math.log(1.32),
        price_rise_365=math.log(1.1),
        upgrades_365=1.0,
        downgrades_365=0.0,
        last_change_was_down=0.0,
        seats=12.0,
        seats_change_90=0.0,
        add_on_share=0.0,
        plan_tier="gold",
        interval_months=1.0,
        live_subscriptions=1.0,
        segment="large",
        country_group="DE",
        acquisition_channel="web",
        month_of_year=5.0,
    )
    assert_features(
        found["grower", JUNE],
        mrr_minor=15_000,
        mrr_change_90=math.log(150 / 132),
        upgrades_365=2.0,
        add_on_share=0.12,
        seats=12.0,
        live_subscriptions=2.0,
    )
    assert_features(
        found["grower", MARCH],
        mrr_change_90=math.log(1.32),
        seats_change_90=math.log(1.2),
        price_rise_90=math.log(1.1),
        price_rise_open=math.log(1.1),
    )
    assert_features(found["grower", MAY], price_rise_90=0.0, price_rise_open=0.0)


def test_a_rise_of_price_is_open_to_who_may_answer_it_by_leaving_within_90_days() -> None:
    world, start, risen_on = Accounts(), date(2024, 9, 1), date(2025, 3, 1)
    until = date(2025, 9, 1)
    term = {"term_start": start, "term_end": until, "notice_by_on": until - timedelta(days=60)}
    for name, terms in (("bound", term | {"auto_renew": True}), ("free", {})):
        world.version(name, start, valid_from=start, amount_minor=10_000, **terms)
        world.version(name, risen_on, valid_from=start, valid_to=risen_on, amount_minor=10_000, **terms)
        world.version(name, risen_on, no=2, valid_from=risen_on, amount_minor=11_000, **terms)
    found, rise = snapshots(world.build(APRIL)), math.log(1.1)
    # the last day for notice, 3 July, is 94 days after the end of March and 64 after that of April
    assert_features(found["bound", MARCH], price_rise_90=rise, price_rise_open=0.0)
    assert_features(found["bound", APRIL], price_rise_90=rise, price_rise_open=rise)
    assert_features(found["free", MARCH], price_rise_90=rise, price_rise_open=rise)
    assert of(found["free", date(2024, 10, 31)], "price_rise_90", "price_rise_open") == (None, None)


def test_what_needs_a_longer_past_is_null_until_it_is_there(found: Snapshots) -> None:
    early = found["grower", date(2024, 3, 31)]
    names = (
        "mrr_change_90",
        "seats_change_90",
        "mrr_change_365",
        "price_rise_365",
        "upgrades_365",
        "overage_share",
    )
    assert of(early, *names) == (None,) * 6
    assert early["last_change_was_down"] is None
    assert early["tenure_days"] == 76


def test_a_commitment_has_its_days_and_what_it_still_owes(found: Snapshots) -> None:
    assert_features(
        found["renewer", JUNE],
        mrr_minor=10_000,
        commitment_class="term",
        interval_months=12.0,
        months_to_term_end=63 / 30.4375,
        days_to_notice=3.0,
        auto_renew=1.0,
        renewals_so_far=1.0,
        decision_on=date(2025, 7, 3),
        committed_365_minor=20_712,
    )
    assert_features(
        found["renewer", AS_OF],
        days_to_notice=-28.0,
        months_to_term_end=32 / 30.4375,
        decision_on=date(2026, 7, 3),
        committed_365_minor=120_000,
    )
    monthly = found["grower", JUNE]
    assert of(monthly, "commitment_class", "committed_365_minor") == ("monthly", 0)
    names = ("months_to_term_end", "days_to_notice", "auto_renew", "renewals_so_far", "decision_on")
    assert of(monthly, *names) == (None,) * 5


@pytest.mark.parametrize(
    ("terms", "decision_on", "committed_minor"),
    [
        # asked anew before each term, or with notice given: the term ends and nothing is renewed yet
        (("2024-09-01", "2025-09-01", "2025-07-03", False), "2025-09-01", 10_521),
        # notice of 60 days and of a month, both passed: the next term is sure, only its end is open
        (("2024-09-01", "2025-09-01", "2025-07-03", True), "2026-07-03", 120_000),
        (("2024-08-31", "2025-08-31", "2025-07-31", True), "2026-07-31", 120_000),
        # the notice day is tomorrow: no term is sure beyond the one that runs
        (("2024-09-01", "2025-09-01", "2025-08-01", True), "2025-08-01", 10_521),
        # quarters counted from their first day: 31 May, 31 August, 30 November; 122 days of 365 are sure
        (("2025-05-31", "2025-08-31", "2025-07-31", True), "2025-10-30", 40_110),
        # a month's term with 45 days of notice: of the ends 15 August, 15 September only the second is open
        (("2025-07-15", "2025-08-15", "2025-07-01", True), "2025-08-01", 15_123),
        # a term that says its last day instead of the day after it
        (("2024-09-01", "2025-08-31", "2025-07-31", True), "2026-07-31", 120_000),
        # no first day told: as long as the interval that is billed
        ((None, "2025-09-01", "2025-07-03", True), "2026-07-03", 120_000),
        # one without a notice day can be left to its end
        (("2024-09-01", "2025-09-01", None, True), "2025-09-01", 10_521),
    ],
)
def test_a_notice_day_that_has_passed_leaves_the_decision_to_the_next_term(
    terms: tuple[str | None, str, str | None, bool], decision_on: str, committed_minor: int
) -> None:
    start, end, notice, auto_renew = terms
    world = Accounts()
    world.version(
        "one",
        date(2024, 9, 1),
        valid_from=date(2024, 9, 1),
        amount_minor=120_000,
        interval="year",
        term_start=start and date.fromisoformat(start),
        term_end=date.fromisoformat(end),
        notice_by_on=notice and date.fromisoformat(notice),
        auto_renew=auto_renew,
    )
    row = snapshots(world.build(AS_OF))["one", AS_OF]
    assert row["decision_on"] == date.fromisoformat(decision_on)
    assert row["committed_365_minor"] == committed_minor


def test_a_term_that_was_given_notice_is_not_renewed() -> None:
    world = Accounts()
    term = {"term_start": date(2024, 9, 1), "term_end": date(2025, 9, 1), "notice_by_on": day("07-03")}
    row = term | {"valid_from": date(2024, 9, 1), "amount_minor": 120_000, "interval": "year"}
    world.version("one", date(2024, 9, 1), **row, auto_renew=True)
    leaving = {"cancel_requested_on": day("06-20"), "valid_to": date(2025, 9, 1)}
    world.version("one", day("06-20"), **row, **leaving, auto_renew=True)
    found = snapshots(world.build(AS_OF))
    assert of(found["one", AS_OF], "has_notice", "decision_on", "committed_365_minor") == (
        True,
        date(2025, 9, 1),
        10_521,
    )


def test_a_year_that_is_paid_for_is_a_commitment_without_a_term(found: Snapshots) -> None:
    assert_features(
        found["prepaid", JUNE],
        commitment_class="term",
        decision_on=date(2026, 3, 10),
        months_to_term_end=253 / 30.4375,
        committed_365_minor=83_178,
        days_to_notice=None,
        auto_renew=None,
        renewals_so_far=None,
    )
    assert found["prepaid", date(2025, 2, 28)]["decision_on"] == date(2025, 3, 10)
    assert found["prepaid", MARCH]["decision_on"] == date(2026, 3, 10)


def test_discounts_and_their_ends_count_where_the_end_was_known(found: Snapshots) -> None:
    assert_features(found["discounted", JUNE], mrr_minor=9_000, discount_bp=1000.0, discount_ends_90=1.0)
    assert_features(found["discounted", APRIL], discount_bp=1000.0, discount_ends_90=0.0)
    assert_features(found["unsure", JUNE], mrr_minor=9_000, discount_bp=1000.0, discount_ends_90=None)
    assert_features(found["grower", JUNE], discount_bp=0.0, discount_ends_90=0.0)


def test_payments_are_late_failed_and_open_as_of_the_day(found: Snapshots) -> None:
    assert_features(
        found["debtor", MAY],
        failed_payments_90=2.0,
        days_since_failed_payment=11.0,
        declined_in_a_row=1.0,
        open_dunning_attempts=2.0,
        days_overdue_max=16.0,
        unpaid_over_mrr=1.0,
        days_to_card_expiry=92.0,
        payment_method="card",
        late_share_365=2 / 3,
        disputes_365=1.0,
        overage_share=0.25,
    )
    assert_features(
        found["debtor", MARCH],
        failed_payments_90=0.0,
        days_since_failed_payment=None,
        declined_in_a_row=None,
        open_dunning_attempts=0.0,
        days_overdue_max=0.0,
        unpaid_over_mrr=0.0,
        late_share_365=0.0,
    )
    names = ("failed_payments_90", "days_overdue_max", "unpaid_over_mrr", "payment_method", "late_share_365")
    assert of(found["grower", JUNE], *names) == (None,) * 5


def test_charges_that_were_declined_are_counted_up_to_the_last_that_was_not() -> None:
    """Attempts: the charge, its day, whether it came in."""
    tried = {
        "recovering": [
            ("c1", "01-05", False),
            ("c1", "01-12", True),
            ("c2", "02-05", True),
            ("c3", "03-05", False),
            ("c3", "03-07", True),
            ("c4", "04-05", False),
            ("c4", "04-08", False),
            ("c4", "04-12", True),
        ],
        "recovered": [("c5", "03-05", False), ("c5", "03-07", True), ("c6", "04-05", True)],
        "sound": [("c7", "04-05", True)],
        "failing": [("c8", "04-20", False), ("c8", "04-22", False)],
    }
    start = date(2024, 1, 1)
    world = Accounts()
    for name, attempts in tried.items():
        world.version(name, start, valid_from=start, amount_minor=1_000)
        world.record(
            "raw_billing.invoices",
            start,
            invoice_id=f"first-{name}",
            customer_id=name,
            currency="EUR",
            status="paid",
            issued_on=start,
            net_minor=0,
            tax_minor=0,
            total_minor=0,
        )
        for number, (charge, on, came) in enumerate(attempts, start=1):
            world.record(
                "raw_billing.payments",
                day(on),
                payment_id=f"p-{charge}",
                attempt_no=number,
                customer_id=name,
                currency="EUR",
                amount_minor=1_000,
                kind="charge",
                method="card",
                status="captured" if came else "declined",
                invoice_id=charge,
                attempted_at=noon(day(on)),
            )
    found = snapshots(world.build(JUNE))
    in_a_row = {name: found[name, APRIL]["declined_in_a_row"] for name in tried}
    assert in_a_row == {"recovering": 2, "recovered": 0, "sound": 0, "failing": 1}
    assert found["recovering", MARCH]["declined_in_a_row"] == 1
    assert found["sound", date(2024, 12, 31)]["declined_in_a_row"] is None


def test_whoever_is_unpaid_beyond_the_days_of_grace_is_gone_for_a_payment(found: Snapshots) -> None:
    assert ("debtor", JUNE) not in found
    assert of(found["debtor", MAY], "is_at_risk", "ended_on", "ended_cause") == (
        True,
        day("06-15"),
        "involuntary",
    )


def test_use_is_of_windows_that_end_with_the_day(found: Snapshots) -> None:
    assert_features(
        found["user", JUNE],
        active_users_28=6.0,
        seat_use=0.6,
        usage_trend=math.log(51 / 100),
        usage_to_usual_365=None,
        active_days_28=2.0,
        feature_breadth_28=1.0,
        days_since_use=5.0,
        no_usage_feed=False,
    )
    assert_features(
        found["user", AS_OF],
        active_users_28=0.0,
        usage_trend=math.log(1 / 51),
        days_since_use=36.0,
    )
    silent = found["grower", JUNE]
    names = (
        "active_users_28",
        "seat_use",
        "usage_trend",
        "active_days_28",
        "feature_breadth_28",
        "days_since_use",
    )
    assert of(silent, "no_usage_feed", *names) == (True, *[None] * 6)
    assert found["user", APRIL]["no_usage_feed"] is True


def test_a_usual_level_of_use_is_that_of_the_year_beside_the_other_customers(found: Snapshots) -> None:
    half = math.log(10 / 137.5) / 2
    assert_features(found["fader", JUNE], usage_to_usual_365=half, active_users_28=None, seat_use=None)
    assert_features(found["steady", JUNE], usage_to_usual_365=-half)
    assert found["steady", date(2025, 2, 28)]["usage_to_usual_365"] is None


def test_the_highest_level_of_use_is_that_of_a_quarter_of_two_years(found: Snapshots) -> None:
    half = (math.log(10 / 274) - math.log(137.5 / 274)) / 2
    assert_features(found["fader", JUNE], usage_to_peak_730=half)
    assert_features(found["steady", JUNE], usage_to_peak_730=-half)
    assert found["steady", date(2025, 2, 28)]["usage_to_peak_730"] is None


def test_the_use_of_four_weeks_stands_beside_that_of_the_highest_quarter() -> None:
    """Four weeks as of thirteen: 8 are 26, 40 are 130."""
    start = date(2024, 1, 1)
    world = Accounts()
    for name, now in (("fader", 8.0), ("steady", 40.0)):
        world.version(name, start, valid_from=start, amount_minor=1_000)
        for used, quantity in ((date(2024, 10, 1), 273.0), (day("05-01"), 100.0), (day("06-10"), now)):
            world.record(
                "raw_billing.usage_days",
                used,
                subscription_item_id=f"{name}-item",
                meter="calls",
                used_on=used,
                quantity=quantity,
                active_users=None,
            )
    found = snapshots(world.build(JUNE))
    half = (math.log(27 / 274) - math.log(131 / 274)) / 2
    assert_features(found["fader", JUNE], usage_28_to_peak=half)
    assert_features(found["steady", JUNE], usage_28_to_peak=-half)
    assert found["steady", date(2025, 2, 28)]["usage_28_to_peak"] is None


def test_support_and_crm_speak_as_of_the_day(found: Snapshots) -> None:
    assert_features(
        found["user", JUNE],
        segment="small",
        tickets_90=2.0,
        open_urgent=1.0,
        first_response_h_90=4.0,
        csat_last=4.0,
        csat_age_days=27.0,
        nps_last=8.0,
        nps_age_days=30.0,
        champion_left_180=1.0,
        complaints_180=None,
        days_since_contact=20.0,
        admin_last_seen_days=3.0,
        onboarded_30=1.0,
        no_crm_account=False,
    )
    assert_features(found["user", AS_OF], open_urgent=0.0, csat_last=1.0, csat_age_days=26.0)
    assert_features(found["user", date(2025, 2, 28)], champion_left_180=0.0, tickets_90=0.0)
    assert_features(found["user", date(2024, 12, 31)], tickets_90=None, open_urgent=None)
    assert_features(found["user", JUNE], tickets_change_90=None)
    assert_features(found["user", AS_OF], tickets_change_90=math.log(2.5 / 0.5))
    assert_features(found["grower", AS_OF], tickets_change_90=math.log(0.5 / (90 / 270 + 0.5)))
    stranger = found["grower", JUNE]
    assert_features(stranger, tickets_90=0.0, open_urgent=0.0, no_crm_account=True)
    names = (
        "first_response_h_90",
        "csat_last",
        "nps_last",
        "champion_left_180",
        "days_since_contact",
        "onboarded_30",
    )
    assert of(stranger, *names) == (None,) * 6


def test_complaints_are_counted_once_anybody_made_one() -> None:
    start = date(2024, 1, 1)
    world = Accounts()
    for name in ("content", "complaining", "stranger"):
        world.version(name, start, valid_from=start, amount_minor=1_000)
    for name in ("content", "complaining"):
        world.record("raw_crm.accounts", start, account_id=f"acc-{name}", customer_id=name, valid_from=start)
    made = [
        ("complaint", date(2024, 11, 1), "complaining"),
        ("delivery_complaint", date(2025, 1, 2), "complaining"),
        ("delivery_complaint", date(2025, 3, 31), "complaining"),
        ("complaint_form_sent", date(2025, 3, 31), "complaining"),
        ("call", date(2024, 3, 1), "content"),
    ]
    for number, (kind, happened, name) in enumerate(made):
        world.record(
            "raw_crm.activities",
            happened,
            activity_id=str(number),
            account_id=f"acc-{name}",
            kind=kind,
            happened_at=noon(happened),
        )
    found = snapshots(world.build(JUNE))
    names = ("content", "complaining", "stranger")
    by_day = {
        on: tuple(found[name, on]["complaints_180"] for name in names)
        for on in (date(2024, 10, 31), date(2024, 11, 30), MARCH, JUNE)
    }
    assert list(by_day.values()) == [(None, None, None), (0, 1, None), (0, 3, None), (0, 2, None)]
    lately = [found["complaining", on]["complaints_90"] for on in by_day]
    assert lately == [None, 1, 2, 0], (
        "2 January is 88 days before the end of March, which is 91 before that of June"
    )
    assert [found["content", on]["complaints_90"] for on in by_day] == [None, 0, 0, 0]
    since = [found["complaining", on]["days_since_complaint"] for on in by_day]
    assert since == [None, 29, 0, 91]
    assert found["content", JUNE]["days_since_complaint"] is None


def test_the_priority_of_an_imported_ticket_is_known_from_the_import_on() -> None:
    """What it was on the days before, nobody knows: it may have become urgent when the customer left."""
    world = Accounts()
    for name in ("urgent", "low", "none", "closed", "watched"):
        world.version(name, date(2024, 1, 1), valid_from=date(2024, 1, 1), amount_minor=1_000)
    imported = {"recorded_at": noon(day("05-20")), "load_id": FIRST_LOAD}
    ticket = {"opened_at": noon(day("04-10"))}
    for name, priority, closed in (
        ("urgent", "urgent", None),
        ("low", "low", None),
        ("closed", "urgent", "04-20"),
    ):
        row = {"ticket_id": name, "customer_id": name, "priority": priority, **ticket, **imported}
        world.rows.append(("raw_crm.tickets", row | {"closed_at": closed and noon(day(closed))}))
    watched = {"ticket_id": "w", "customer_id": "watched", "opened_at": noon(day("06-10"))}
    world.record("raw_crm.tickets", day("06-10"), **watched, priority="urgent")
    world.record("raw_crm.tickets", day("07-10"), **watched, priority="low")
    found = snapshots(world.build(AS_OF))
    told = {
        name: [found[name, on]["open_urgent"] for on in (MARCH, APRIL, MAY, JUNE, AS_OF)] for name, _ in found
    }
    assert told == {
        "urgent": [None, None, 1, 1, 1],
        "low": [None, None, 0, 0, 0],
        "none": [None, 0, 0, 0, 0],
        "closed": [None, 0, 0, 0, 0],
        "watched": [None, 0, 0, 1, 0],
    }
    assert [found[name, APRIL]["tickets_90"] for name in ("urgent", "low", "none")] == [1, 1, 0]


def test_an_export_without_first_days_speaks_of_all_days_and_its_activities_of_their_own(
    found: Snapshots,
) -> None:
    names = ("segment", "no_crm_account", "days_since_contact")
    assert of(found["exported", MAY], *names) == ("mid", False, 30)
    assert of(found["exported", APRIL], *names) == ("mid", False, None)


def test_orders_beside_a_subscription_have_their_rhythm(found: Snapshots) -> None:
    assert_features(
        found["buyer", JUNE],
        days_since_order=29.0,
        orders_30=1.0,
        orders_90=1.0,
        orders_180=2.0,
        orders_365=None,
        amount_90=4_500.0,
        amount_365=None,
        order_trend=math.log(1.5 / 1.5),
        gap_mean=75.5,
        gap_sd=math.sqrt(2 * 14.5**2),
        recency_over_gap=29 / 75.5,
        skus_180=2.0,
        credit_share_180=500 / 8_000,
        breadth_change=0.0,
        orders_same_season=None,
    )
    assert of(found["grower", JUNE], "days_since_order", "orders_90", "amount_90") == (None,) * 3


def ordered(world: Accounts, customer: str, on: date, currency: str, amount_minor: int) -> None:
    order = {"order_id": f"{customer}{on}{currency}"}
    bought = {"ordered_at": noon(on), "currency": currency, "is_credit": False}
    world.record("raw_orders.orders", on, **order, customer_id=customer, **bought)
    world.record(
        "raw_orders.order_lines", on, **order, line_no=1, sku="a", quantity=1, amount_minor=amount_minor
    )


def test_orders_are_summed_in_the_currency_of_the_account() -> None:
    """A dollar is half a euro here, and a yen, which has no minor unit, ten euro cents."""
    world, start = Accounts(), date(2024, 1, 1)
    for currency, rate in (("USD", "0.5"), ("JPY", "10")):
        row = {"from_currency": currency, "to_currency": "EUR", "rate": Decimal(rate), "rate_set": "budget"}
        world.record("raw_billing.fx_rates", day("07-01"), rate_on=day("07-01"), **row)
    customers = {"euro": "EUR", "dollar": "USD", "pound": "GBP", "none": "EUR", "old": "EUR"}
    for name, currency in customers.items():
        world.version(name, start, valid_from=start, amount_minor=1_000, currency=currency)
    for name in ("euro", "dollar"):
        ordered(world, name, day("02-01"), "EUR", 700)
        ordered(world, name, day("06-01"), "USD", 1_001)
        ordered(world, name, day("07-10"), "EUR", 300)
        ordered(world, name, day("07-20"), "JPY", 20)
    ordered(world, "pound", day("02-01"), "EUR", 500)
    ordered(world, "pound", day("07-20"), "GBP", 250)
    ordered(world, "old", date(2024, 1, 10), "GBP", 900)
    found = snapshots(world.build(AS_OF))
    told = {name: of(found[name, AS_OF], "amount_90", "amount_365") for name in customers}
    assert told == {
        "euro": (1_001, 1_701),  # 500.5 + 300 + 200 = 1,000.5, and 700
        "dollar": (2_001, 3_401),  # 1,001 + 600 + 400, and 1,400
        "pound": (250, None),  # nobody knows what a euro is in pounds
        "none": (None, None),
        "old": (0, 0),
    }
    # the rate was not known in June
    assert found["euro", JUNE]["amount_90"] is None


@pytest.mark.parametrize(
    ("name", "null_en", "null_ar"),
    [
        (
            "mrr_change_90",
            "No MRR to compare with 90 days ago",
            "لا إيراد شهريًا متكررًا يُقارن بما قبل 90 يومًا",
        ),
        ("mrr_change_365", "No MRR to compare with a year ago", "لا إيراد شهريًا متكررًا يُقارن بما قبل سنة"),
        ("orders_365", "No full year of orders known", "لا سنة كاملة من الطلبات معروفة"),
        ("gap_mean", "Too few orders to know a rhythm", "الطلبات أقل من أن تُظهر وتيرة"),
        ("gap_sd", "Too few orders to know a rhythm", "الطلبات أقل من أن تُظهر وتيرة"),
        ("credit_share_180", "Nothing bought in 180 days", "لا مشتريات خلال 180 يومًا"),
    ],
)
def test_a_sentence_of_a_gap_is_true_of_every_gap_of_its_feature(
    name: str, null_en: str, null_ar: str
) -> None:
    feature = {one.name: one for one in account_features()}[name]
    assert (feature.template_null_en, feature.template_null_ar) == (null_en, null_ar)


def test_a_customer_without_mrr_then_has_no_change_of_mrr(found: Snapshots) -> None:
    """Long a customer, and not paying 90 days ago: the gap is not one of tenure."""
    row = found["long", JUNE]
    assert row["tenure_days"] > 90
    assert row["mrr_change_90"] is None
    assert found["long", day("05-31")]["mrr_change_90"] is not None


def test_sentences_of_days_are_true_below_zero_and_of_one() -> None:
    known = {one.name: one for one in account_features()}
    assert known["days_to_card_expiry"].template_en.startswith("Days until the card expires: {value}")
    assert known["days_to_notice"].template_en.startswith("Days to the last day for notice: {value}")
    for feature in known.values():
        assert "{value} days in" not in feature.template_en, feature.name


def test_notice_is_known_from_the_day_it_was_recorded(found: Snapshots) -> None:
    assert_features(
        found["noticed", APRIL],
        is_at_risk=True,
        has_notice=False,
        ended_on=day("06-15"),
        ended_cause="voluntary",
        ended_recorded_on=day("05-10"),
        known_day_assumed=False,
    )
    assert of(found["noticed", MAY], "is_at_risk", "has_notice") == (False, True)
    assert ("noticed", JUNE) not in found


def test_an_end_recorded_late_is_not_known_before_and_falls_on_the_day_after(found: Snapshots) -> None:
    assert_features(
        found["backdated", APRIL], is_at_risk=True, ended_on=day("05-01"), ended_recorded_on=day("05-20")
    )
    assert ("backdated", MAY) not in found


def test_an_imported_end_is_known_when_it_was_asked_for_else_on_its_own_day(found: Snapshots) -> None:
    assert of(found["imported", APRIL], "is_at_risk", "known_day_assumed", "ended_on") == (
        True,
        True,
        day("06-15"),
    )
    assert found["imported", MAY]["has_notice"] is True
    assert of(found["vanished", MAY], "is_at_risk", "ended_on") == (True, day("06-15"))
    assert ("imported", JUNE) not in found
    assert ("vanished", JUNE) not in found


def test_a_history_that_dates_its_rows_assumes_no_day() -> None:
    """A first load whose rows say when they were written is believed; one that names a single moment tells
    nothing of when its rows became known."""
    start = date(2024, 1, 1)
    for second, is_assumed in ((noon(date(2024, 2, 1)), False), (noon(start), True)):
        world = Accounts()
        for name, recorded_at in (("first", noon(start)), ("second", second)):
            world.version(name, None, valid_from=start, amount_minor=1_000)
            world.rows[-1][1]["recorded_at"] = recorded_at
        found = snapshots(world.build(MARCH))
        assert {row["known_day_assumed"] for row in found.values()} == {is_assumed}


def test_a_short_return_is_no_end_and_a_long_one_is(found: Snapshots) -> None:
    february = date(2025, 2, 28)
    assert of(found["brief", february], "returned_within_30", "ended_on", "ended_cause") == (True, None, None)
    assert of(found["long", february], "returned_within_30", "ended_on") == (False, day("03-10"))
    assert found["brief", MARCH]["returned_within_30"] is False
    assert ("long", APRIL) not in found
    assert found["long", JUNE]["ended_on"] is None


def test_a_merge_is_no_churn_and_ends_the_watch(found: Snapshots) -> None:
    assert of(found["child", APRIL], "ended_on", "observed_until") == (None, day("05-15"))
    assert ("child", MAY) not in found
    assert of(found["parent", APRIL], "mrr_minor", "observed_until") == (7_000, AS_OF)
    assert found["parent", MAY]["mrr_minor"] == 10_000


def test_the_share_of_mrr_lost_is_known_ninety_days_later(found: Snapshots) -> None:
    assert found["noticed", APRIL]["mrr_lost_share_90"] == 1
    assert found["grower", MARCH]["mrr_lost_share_90"] == 0
    assert found["grower", MAY]["mrr_lost_share_90"] is None


def test_trials_and_test_customers_are_not_there(found: Snapshots) -> None:
    assert not {"trier", "tester"} & {customer for customer, _ in found}


def test_who_leaves_the_bridge_is_known_to_the_outcomes(built: duckdb.DuckDBPyConnection) -> None:
    tests = compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")
    (check,) = (test.sql for test in tests if test.name == "assert_account_ends_explain_the_bridge")
    gone = built.execute(
        "SELECT count(*) FROM intermediate.int_customer_days WHERE category = 'churn'"
    ).fetchone()
    assert gone is not None
    assert gone[0] >= 7
    assert built.execute(check).fetchall() == []
    built.execute(
        "UPDATE intermediate.int_account_outcomes SET live_to = live_to - 1 WHERE customer_id = 'noticed'"
    )
    assert built.execute(check).fetchall() == [("noticed", day("06-15"))]
