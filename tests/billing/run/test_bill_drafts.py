"""Drafts, frozen quantities, and charges that come once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from shop import Part, at, fee, item_of, join, notes, open_shop, parked, run, sell, take
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.jobs.import_usage import import_usage
from billing.service import customers, subscriptions
from billing.service.catalog import add_tax_rate
from billing.service.charges import add_charge, remove_charge
from billing.service.drafts import drafts, freeze_quantities
from billing.service.policies import set_policy
from billing.service.previews import preview_change
from billing.store import tables
from billing.store.store import Store

JAN, FEB, MAR, APR = (date(2025, month, 1) for month in (1, 2, 3, 4))
DAY = timedelta(days=1)


def metered(store: Store, grace_days: int = 3, **settings: Any) -> str:
    """A fee of 31.00 a month in advance and calls at 1.00 each, drafts of some days; the item."""
    open_shop(store, grace_days=grace_days, **settings)
    sell(store, "plan", [*fee("31"), Part("calls", "usage", "1", "per_unit")])
    join(store, "anna")
    return item_of(store, take(store, JAN, "plan"))


def use(store: Store, item_id: str, on: date, value: int, *, arrives: datetime) -> None:
    place = len(store.rows(select(tables.usage_events.c.event_id)))
    event = {
        "source": "test",
        "event_id": f"event-{place}",
        "item_id": item_id,
        "meter_id": "calls",
        "occurred_at": at(on),
        "value": str(value),
    }
    assert import_usage(store, arrives, pl.DataFrame([event])).rejected.is_empty()


def run_daily(store: Store, first: date, last: date) -> None:
    while first <= last:
        run(store, first)
        first += DAY


def issued(store: Store) -> list[tuple[date, int]]:
    """Invoices by day: net."""
    rows = store.rows(select(tables.invoices).order_by(tables.invoices.c.number))
    return [(row["issued_on"], row["net_minor"]) for row in rows]


def usage(store: Store) -> list[tuple[date, int]]:
    """Usage lines: the start of their service, and net."""
    found = store.rows(
        select(tables.line_items)
        .where(tables.line_items.c.kind == "usage")
        .order_by(tables.line_items.c.line_id)
    )
    return [(row["service_start"], row["net_minor"]) for row in found]


def test_late_usage_that_waits_is_not_lost_for_a_customer_looked_at_for_all_time(store: Store) -> None:
    item = metered(store, grace_days=0)
    run_daily(store, JAN, FEB)
    store.execute(update(tables.customers).values(unsettled_from=None))
    use(store, item, date(2025, 1, 10), 7, arrives=at(date(2025, 2, 10)))
    add_charge(
        store, at(date(2025, 2, 11)), subscription_id=_subscription(store), description="Visit", amount="1"
    )
    run_daily(store, date(2025, 2, 11), MAR)
    assert usage(store) == [(JAN, 700)]


# Days of grace.


def test_an_invoice_is_issued_when_its_days_of_grace_are_over(store: Store) -> None:
    item = metered(store)
    use(store, item, JAN, 5, arrives=at(JAN))
    run_daily(store, JAN, date(2025, 2, 5))
    assert issued(store) == [(date(2025, 1, 4), 3100), (date(2025, 2, 4), 3600)]


def test_a_draft_counts_usage_that_comes_before_it_is_frozen(store: Store) -> None:
    item = metered(store)
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    run_daily(store, JAN, FEB)
    assert drafts(store, at(FEB), up_to=FEB).documents["net_minor"].to_list() == [3600]
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 3), 22))
    later = drafts(store, at(date(2025, 2, 3), 23), up_to=date(2025, 2, 3)).documents
    assert later.select(
        "customer_id", "currency", "issue_on", "lines", "net_minor", "total_minor"
    ).rows() == [("anna", "EUR", date(2025, 2, 4), 2, 4300, 5117)]
    run(store, date(2025, 2, 4))
    assert issued(store)[-1] == (date(2025, 2, 4), 4300)


def test_usage_that_comes_after_the_freeze_is_billed_with_the_next_invoice(store: Store) -> None:
    item = metered(store)
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    run_daily(store, JAN, date(2025, 2, 3))
    # The customer's midnight freezes it, whenever the run comes after that.
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 4), 1))
    run_daily(store, date(2025, 2, 4), date(2025, 3, 4))
    assert usage(store) == [(JAN, 500), (JAN, 700)]
    assert issued(store)[1:] == [(date(2025, 2, 4), 3600), (date(2025, 3, 4), 3800)]


def test_a_run_that_comes_late_issues_what_one_in_time_would_have(store: Store) -> None:
    item = metered(store)
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 9)))
    run(store, date(2025, 2, 10))
    assert usage(store) == [(JAN, 500)]
    run_daily(store, date(2025, 3, 1), date(2025, 3, 4))
    assert usage(store) == [(JAN, 500), (JAN, 700)]


def test_usage_after_the_freeze_is_not_billed_where_only_drafts_take_it(store: Store) -> None:
    item = metered(store, late_usage="while_draft")
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 2, 3)))
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 4), 1))
    run_daily(store, JAN, date(2025, 3, 4))
    assert usage(store) == [(JAN, 500)]
    reasons = store.frame(select(tables.usage_events)).sort("seq")["unbilled_reason"].to_list()
    assert reasons == [None, "late"]


def test_the_last_usage_of_an_item_that_ended_is_billed_though_it_came_after_the_freeze(store: Store) -> None:
    item = metered(store)
    subscriptions.cancel(store, at(JAN), subscription_id=_subscription(store), when=FEB, reason="other")
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    run_daily(store, JAN, date(2025, 2, 3))
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 4), 1))
    run_daily(store, date(2025, 2, 4), date(2025, 2, 10))
    assert usage(store) == [(JAN, 500), (JAN, 700)]


def _subscription(store: Store) -> str:
    row = store.row(select(tables.subscriptions.c.subscription_id))
    assert row is not None
    return str(row["subscription_id"])


def test_a_change_in_the_days_of_grace_is_in_the_invoice_and_needs_no_credit(store: Store) -> None:
    metered(store, grace_days=5)
    run_daily(store, JAN, date(2025, 1, 3))
    # 2 of 31 days are used.
    subscriptions.cancel(
        store, at(date(2025, 1, 3)), subscription_id=_subscription(store), when="now", reason="other"
    )
    run_daily(store, date(2025, 1, 3), date(2025, 1, 20))
    assert issued(store) == [(date(2025, 1, 6), 200)]
    assert notes(store) == []


def test_drafts_are_told_by_the_day_they_will_be_issued(store: Store) -> None:
    metered(store, grace_days=10)
    sell(store, "other", fee("20"))
    join(store, "bert")
    take(store, date(2025, 1, 5), "other")
    take(store, date(2025, 1, 7), "other", "bert")
    found = drafts(store, at(date(2025, 1, 8)), up_to=date(2025, 1, 8)).documents
    assert found.select("customer_id", "issue_on", "net_minor").rows() == [
        ("anna", date(2025, 1, 11), 3100),
        ("anna", date(2025, 1, 15), 2000),
        ("bert", date(2025, 1, 17), 2000),
    ]
    run_daily(store, date(2025, 1, 8), date(2025, 1, 20))
    assert issued(store) == [(row["issue_on"], row["net_minor"]) for row in found.iter_rows(named=True)]
    one = drafts(store, at(date(2025, 1, 8)), up_to=date(2025, 1, 8), customer_id="bert")
    assert one.documents.is_empty()


def test_without_days_of_grace_there_are_no_drafts(store: Store) -> None:
    metered(store, grace_days=0)
    assert drafts(store, at(JAN), up_to=JAN).documents.is_empty()
    with pytest.raises(BillingError, match="nobody"):
        drafts(store, at(JAN), up_to=JAN, customer_id="nobody")


def test_a_preview_shows_the_draft_a_change_would_leave(store: Store) -> None:
    metered(store)
    run(store, JAN)
    sell(store, "dear", fee("62"))
    subscription = _subscription(store)

    def upgrade(store: Store, at: datetime) -> object:
        return subscriptions.change_plan(store, at, subscription_id=subscription, plan_id="dear")

    day = date(2025, 1, 2)
    told = preview_change(store, at(day), upgrade, customer_id="anna")
    # A day of 31.00 for 31 days, then 30 of 62.00.
    assert sorted(told.lines["net_minor"].to_list()) == [100, 6000]
    upgrade(store, at(day))
    run_daily(store, day, date(2025, 1, 6))
    assert issued(store) == [(date(2025, 1, 4), 100), (date(2025, 1, 5), 6000)]


def test_a_policy_that_gets_days_of_grace_bills_nothing_again(store: Store) -> None:
    item = metered(store, grace_days=0)
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    run_daily(store, JAN, date(2025, 1, 31))
    set_policy(store, at(date(2025, 1, 31)), valid_from=FEB, settings={"grace_days": 4})
    run_daily(store, FEB, date(2025, 3, 6))
    assert issued(store) == [(JAN, 3100), (date(2025, 2, 5), 3600), (date(2025, 3, 5), 3100)]
    assert parked(store) == {}


def test_midnight_is_the_customers(store: Store) -> None:
    item = metered(store, grace_days=1)
    customers.change_customer(store, at(JAN), customer_id="anna", time_zone="Asia/Tokyo")
    # The second of February begins in Tokyo at 15:00 UTC of the first.
    use(store, item, date(2025, 1, 10), 5, arrives=datetime(2025, 2, 1, 14, 59, tzinfo=UTC))
    use(store, item, date(2025, 1, 10), 7, arrives=datetime(2025, 2, 1, 15, 0, tzinfo=UTC))
    run(store, date(2025, 2, 2))
    assert usage(store) == [(JAN, 500)]


# Quantities frozen by hand, and lines added to a draft.


def test_what_is_frozen_by_hand_stays_while_a_line_is_added_to_the_draft(store: Store) -> None:
    item = metered(store, grace_days=10)
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    run_daily(store, JAN, FEB)
    assert freeze_quantities(store, at(date(2025, 2, 2)), customer_id="anna") == 1
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 3)))
    assert freeze_quantities(store, at(date(2025, 2, 4)), customer_id="anna") == 0
    add_charge(
        store,
        at(date(2025, 2, 5)),
        subscription_id=_subscription(store),
        description="Set-up",
        amount="10",
        charged_on=FEB,
    )
    assert drafts(store, at(date(2025, 2, 5)), up_to=date(2025, 2, 5)).documents["net_minor"].to_list() == [
        3100 + 500 + 1000
    ]
    run_daily(store, date(2025, 2, 5), date(2025, 3, 11))
    assert usage(store) == [(JAN, 500), (JAN, 700)]
    assert issued(store)[1:] == [(date(2025, 2, 11), 4600), (date(2025, 3, 11), 3800)]


def test_freezing_holds_also_without_days_of_grace(store: Store) -> None:
    item = metered(store, grace_days=0)
    run_daily(store, JAN, date(2025, 1, 31))
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    assert freeze_quantities(store, at(FEB, 1), customer_id="anna") == 1
    use(store, item, date(2025, 1, 20), 7, arrives=at(FEB, 2))
    run(store, FEB)
    assert usage(store) == [(JAN, 500)]
    run(store, MAR)
    assert usage(store) == [(JAN, 500), (JAN, 700)]


@pytest.mark.parametrize(
    ("currency", "amount", "minor"), [("USD", "10.25", 1025), ("JPY", "10", 10), ("KWD", "10.125", 10125)]
)
def test_a_charge_is_billed_once_and_credited_when_it_is_taken_back(
    store: Store, currency: str, amount: str, minor: int
) -> None:
    open_shop(store, tax_rate_ppm=100_000)
    sell(store, "plan", fee("0"), currency=currency)
    join(store, "anna", currency=currency)
    subscription = take(store, JAN, "plan")
    charge = add_charge(store, at(JAN), subscription_id=subscription, description="Repair", amount=amount)
    run_daily(store, JAN, date(2025, 1, 3))
    of_charge = [line for line in store.rows(select(tables.line_items)) if line["kind"] == "one_time"]
    assert [(one["net_minor"], one["description"], one["component_id"]) for one in of_charge] == [
        (minor, "Repair", charge)
    ]
    assert of_charge[0]["tax_minor"] == (minor + 5) // 10
    remove_charge(store, at(date(2025, 1, 4)), charge_id=charge)
    run_daily(store, date(2025, 1, 4), date(2025, 1, 6))
    (note,) = store.rows(select(tables.credit_notes))
    assert (note["net_minor"], note["tax_minor"]) == (minor, (minor + 5) // 10)
    with pytest.raises(BillingError, match="illegal_transition"):
        remove_charge(store, at(date(2025, 1, 7)), charge_id=charge)


def test_a_charge_of_a_later_day_waits_for_it(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", fee("31"))
    join(store, "anna")
    subscription = take(store, JAN, "plan")
    add_charge(
        store,
        at(JAN),
        subscription_id=subscription,
        description="Visit",
        amount="80",
        charged_on=date(2025, 1, 20),
    )
    run(store, JAN)
    row = store.row(select(tables.customers.c.next_bill_on))
    assert row == {"next_bill_on": date(2025, 1, 20)}
    run(store, date(2025, 1, 20))
    assert issued(store) == [(JAN, 3100), (date(2025, 1, 20), 8000)]


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("unknown_subscription", {"subscription_id": "none"}),
        ("missing_value", {"description": " "}),
        ("negative_price", {"amount": "-1"}),
        ("float_money", {"amount": 1.5}),
        ("too_many_decimals", {"amount": "1.005"}),
        ("amount_out_of_range", {"amount": "10000000000000.01"}),
        ("before_horizon", {"charged_on": date(2020, 1, 1)}),
        ("immutable", {"charge_id": "taken"}),
    ],
)
def test_a_charge_that_cannot_be_is_refused_and_nothing_changes(
    store: Store, code: str, changed: dict[str, Any]
) -> None:
    open_shop(store)
    sell(store, "plan", fee("31"))
    join(store, "anna")
    subscription = take(store, JAN, "plan")
    good = {"subscription_id": subscription, "description": "Visit", "amount": "80"}
    add_charge(store, at(JAN), charge_id="taken", **good)
    run(store, JAN)
    before = [
        store.frame(select(one)).rows() for one in (tables.one_time_charges, tables.customers, tables.outbox)
    ]
    with pytest.raises(BillingError) as refused:
        add_charge(store, at(JAN, 21), **(good | changed))
    assert refused.value.code == code
    assert refused.value.message
    assert [
        store.frame(select(one)).rows() for one in (tables.one_time_charges, tables.customers, tables.outbox)
    ] == before
    (kept,) = store.rows(select(tables.rejected_inputs))
    assert kept["code"] == code


def test_an_unknown_charge_cannot_be_taken_back(store: Store) -> None:
    open_shop(store)
    with pytest.raises(BillingError, match="unknown_charge"):
        remove_charge(store, at(JAN), charge_id="none")


# What makes a draft anew.


def calls_of(store: Store, on: date) -> int:
    """Net usage billed by a day, less what was taken back of it."""
    run(store, on)
    back = {row["line_id"]: 0 for row in store.rows(select(tables.credit_note_lines))}
    for row in store.rows(select(tables.credit_note_lines)):
        back[row["line_id"]] += row["net_minor"]
    lines_ = store.rows(select(tables.line_items).where(tables.line_items.c.kind == "usage"))
    return sum(row["net_minor"] - back.get(row["line_id"], 0) for row in lines_)


@pytest.mark.parametrize("late_usage", ["next_invoice", "while_draft"])
def test_an_end_dated_back_loses_no_usage_that_stood_in_the_draft(store: Store, late_usage: str) -> None:
    item = metered(store, grace_days=5, late_usage=late_usage)
    run_daily(store, JAN, date(2025, 1, 29))
    use(store, item, date(2025, 1, 10), 7, arrives=at(date(2025, 1, 30)))
    run_daily(store, date(2025, 1, 30), date(2025, 2, 2))
    back_to = date(2025, 1, 20)
    subscriptions.cancel(
        store, at(date(2025, 2, 2), 21), subscription_id=_subscription(store), when=back_to, reason="other"
    )
    assert calls_of(store, date(2025, 2, 2)) == 700


@pytest.mark.parametrize("late_usage", ["next_invoice", "while_draft"])
def test_an_end_dated_back_takes_no_usage_back_that_was_billed(store: Store, late_usage: str) -> None:
    item = metered(store, grace_days=5, late_usage=late_usage)
    use(store, item, date(2025, 1, 10), 7, arrives=at(date(2025, 1, 30)))
    run_daily(store, JAN, date(2025, 2, 9))
    back_to = date(2025, 1, 20)
    subscriptions.cancel(
        store, at(date(2025, 2, 10)), subscription_id=_subscription(store), when=back_to, reason="other"
    )
    assert calls_of(store, date(2025, 2, 10)) == 700
    assert calls_of(store, date(2025, 2, 12)) == 700


def test_a_start_dated_back_has_its_days_of_grace_from_the_day_it_is_known(store: Store) -> None:
    open_shop(store, grace_days=3, late_usage="while_draft")
    sell(store, "plan", [*fee("31"), Part("calls", "usage", "1", "per_unit")])
    join(store, "anna")
    item = item_of(store, take(store, MAR, "plan", starts_on=JAN))
    use(store, item, date(2025, 1, 10), 7, arrives=at(MAR, 9))
    assert calls_of(store, MAR) == 700


def test_what_is_frozen_by_hand_is_frozen_also_where_late_usage_has_days(store: Store) -> None:
    item = metered(store, grace_days=10, late_usage="days:20")
    use(store, item, date(2025, 1, 10), 5, arrives=at(date(2025, 1, 10)))
    run_daily(store, JAN, FEB)
    freeze_quantities(store, at(date(2025, 2, 2)), customer_id="anna")
    use(store, item, date(2025, 1, 20), 7, arrives=at(date(2025, 2, 3)))
    run_daily(store, date(2025, 2, 3), date(2025, 2, 11))
    assert usage(store) == [(JAN, 500)]


def test_late_usage_in_a_draft_is_frozen_with_it(store: Store) -> None:
    item = metered(store, grace_days=5)
    run_daily(store, JAN, date(2025, 2, 9))
    use(store, item, date(2025, 1, 10), 7, arrives=at(date(2025, 2, 10)))
    run_daily(store, date(2025, 2, 10), date(2025, 3, 2))
    assert freeze_quantities(store, at(date(2025, 3, 2)), customer_id="anna") == 2
    use(store, item, date(2025, 1, 11), 9, arrives=at(date(2025, 3, 3)))
    run_daily(store, date(2025, 3, 3), date(2025, 3, 6))
    assert usage(store) == [(JAN, 700)]
    run_daily(store, date(2025, 3, 7), date(2025, 4, 6))
    assert usage(store) == [(JAN, 700), (JAN, 900)]


def test_fewer_days_of_grace_issue_drafts_earlier_and_leave_nothing_out(store: Store) -> None:
    item = metered(store, grace_days=10, late_usage="while_draft")
    run_daily(store, JAN, FEB)
    use(store, item, date(2025, 1, 10), 3, arrives=at(date(2025, 2, 4)))
    set_policy(store, at(date(2025, 2, 4)), valid_from=date(2025, 2, 5), settings={"grace_days": 2})
    assert drafts(store, at(date(2025, 2, 5)), up_to=date(2025, 2, 5)).documents["net_minor"].to_list() == [
        3400
    ]
    run_daily(store, date(2025, 2, 4), date(2025, 2, 5))
    assert issued(store) == [(date(2025, 1, 11), 3100), (date(2025, 2, 5), 3400)]


# What a draft says is what is issued.


def test_late_usage_stands_in_the_draft_of_its_items_next_invoice(store: Store) -> None:
    item = metered(store)
    run_daily(store, JAN, date(2025, 2, 9))
    use(store, item, date(2025, 1, 10), 7, arrives=at(date(2025, 2, 10)))
    run_daily(store, date(2025, 2, 10), date(2025, 3, 2))
    found = drafts(store, at(date(2025, 3, 2)), up_to=date(2025, 3, 2)).documents
    assert found.select("issue_on", "net_minor").rows() == [(date(2025, 3, 4), 3800)]
    run_daily(store, date(2025, 3, 3), date(2025, 3, 4))
    assert issued(store)[-1] == (date(2025, 3, 4), 3800)


def test_a_draft_bears_the_tax_of_the_day_it_will_be_issued(store: Store) -> None:
    metered(store)
    add_tax_rate(store, at(JAN), country="DE", tax_rate_ppm=200_000, valid_from=date(2025, 1, 3))
    run(store, JAN)
    (draft,) = drafts(store, at(date(2025, 1, 2)), up_to=date(2025, 1, 2)).documents.to_dicts()
    assert (draft["issue_on"], draft["tax_minor"]) == (date(2025, 1, 4), 620)
    run_daily(store, date(2025, 1, 2), date(2025, 1, 4))
    (invoice,) = store.rows(select(tables.invoices))
    assert invoice["tax_minor"] == 620


def test_the_draft_of_a_payer_holds_what_others_take_on_its_account(store: Store) -> None:
    metered(store)
    join(store, "kid", parent_id="anna", bill_to_id="anna")
    take(store, JAN, "plan", "kid")
    found = drafts(store, at(JAN), up_to=JAN, customer_id="anna").documents
    assert found.select("customer_id", "net_minor", "lines").rows() == [("anna", 6200, 2)]
    run_daily(store, JAN, date(2025, 1, 4))
    assert issued(store) == [(date(2025, 1, 4), 6200)]


def test_a_charge_taken_back_is_credited_on_the_day_the_draft_says(store: Store) -> None:
    metered(store, grace_days=5)
    charge = add_charge(
        store, at(JAN), subscription_id=_subscription(store), description="Visit", amount="80"
    )
    run_daily(store, JAN, date(2025, 1, 8))
    remove_charge(store, at(date(2025, 1, 9)), charge_id=charge)
    found = drafts(store, at(date(2025, 1, 9)), up_to=date(2025, 1, 9)).documents
    assert found.select("issue_on", "credit_minor").rows() == [(date(2025, 1, 9), 9520)]
    run(store, date(2025, 1, 9))
    assert [note[2] for note in notes(store)] == [8000]
