"""Acts on subscriptions: the dated facts they write, the state that follows, and what they refuse."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.core.money import BillingError
from billing.jobs.turn import turn
from billing.service import contracts as contract_acts
from billing.service import subscriptions as acts
from billing.service.catalog import NewPrice, create_price_list
from billing.service.customers import create_customer
from billing.service.policies import set_policy
from billing.service.subscriptions import AddOn, NewContract
from billing.store.store import Store
from billing.store.tables import (
    contract_terms,
    contracts,
    customers,
    dunning_cases,
    item_versions,
    metadata,
    outbox,
    rejected_inputs,
    subscriptions,
)


def at(month: int, day: int, year: int = 2025, hour: int = 9) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def on(month: int, day: int, year: int = 2025) -> date:
    return date(year, month, day)


def subscribe(store: Store, **more: Any) -> str:
    """Anna takes basic for 12 seats from 1 January 2025 as subscription `s`."""
    when = more.pop("when", at(1, 1))
    wanted = {"customer_id": "anna", "plan_id": "basic", "quantity": 12, "subscription_id": "s"} | more
    return acts.subscribe(store, when, **wanted).subscription_id


def versions(store: Store, *columns: str) -> list[tuple[Any, ...]]:
    """Live versions of all items, by item and start."""
    frame = store.frame(
        item_versions.select()
        .where(item_versions.c.superseded_at.is_(None))
        .order_by(item_versions.c.item_id, item_versions.c.effective_start)
    )
    return frame.select("effective_start", "effective_end", *columns).rows()


def stored(store: Store, *columns: str) -> tuple[Any, ...]:
    row = store.row(subscriptions.select())
    assert row is not None
    return tuple(row[name] for name in columns)


def refused(store: Store) -> list[tuple[str, str]]:
    found = store.rows(rejected_inputs.select().order_by(rejected_inputs.c.reject_id))
    return [(row["source"], row["code"]) for row in found]


def topics(store: Store) -> list[str]:
    found = store.rows(outbox.select().order_by(outbox.c.message_id))
    return [row["topic"] for row in found if row["topic"].startswith("subscription.")]


# Beginning.


def test_a_subscription_starts_today_with_one_version(company: Store) -> None:
    subscribe(company)
    # 10.00 + 10 seats at 5.00 + 2 at 4.00
    assert versions(company, "plan_id", "quantity_mantissa", "recurring_minor", "phase", "reason") == [
        (on(1, 1), None, "basic", 12, 6800, "regular", "subscribe")
    ]
    assert stored(company, "status", "anchor_on", "starts_on", "bill_to") == (
        "active",
        on(1, 1),
        on(1, 1),
        "anna",
    )
    assert topics(company) == ["subscription.created"]
    row = company.row(select(customers.c.next_bill_on))
    assert row == {"next_bill_on": on(1, 1)}


def test_the_next_bill_day_is_only_ever_lowered(company: Store) -> None:
    subscribe(company)
    company.update(customers, [{"customer_id": "anna", "next_bill_on": on(1, 5)}], at(1, 2))
    acts.change_quantity(company, at(1, 10), subscription_id="s", quantity=13)
    assert company.row(select(customers.c.next_bill_on)) == {"next_bill_on": on(1, 5)}
    company.update(customers, [{"customer_id": "anna", "next_bill_on": on(2, 1)}], at(1, 10))
    acts.change_quantity(company, at(1, 11), subscription_id="s", quantity=14)
    assert company.row(select(customers.c.next_bill_on)) == {"next_bill_on": on(1, 11)}


def test_a_trial_is_a_phase_and_the_anchor_is_its_end(company: Store) -> None:
    subscribe(company, trial_days=14)
    assert versions(company, "phase", "anchor_on", "recurring_minor") == [
        (on(1, 1), on(1, 15), "trial", on(1, 15), 6800),
        (on(1, 15), None, "regular", on(1, 15), 6800),
    ]
    assert stored(company, "status", "trial_ends_on") == ("trialing", on(1, 15))


def test_a_trial_of_a_calendar_aligned_plan_keeps_its_anchor(company: Store) -> None:
    subscribe(company, trial_days=14, anchor_on=on(1, 1))
    assert {row[2] for row in versions(company, "anchor_on")} == {on(1, 1)}


def test_a_past_start_bills_all_or_waits_for_the_next_boundary(company: Store) -> None:
    subscribe(company, subscription_id="all", starts_on=on(11, 10, 2024))
    set_policy(company, at(1, 1), valid_from=on(1, 1), settings={"backdated_start": "from_next_boundary"})
    subscribe(company, subscription_id="later", starts_on=on(11, 10, 2024))
    found = company.rows(subscriptions.select().order_by(subscriptions.c.subscription_id))
    assert [row["billing_starts_on"] for row in found] == [on(11, 10, 2024), on(1, 10)]


def test_add_ons_share_the_anchor(company: Store) -> None:
    acts.subscribe(
        company, at(1, 1), customer_id="anna", plan_id="basic", add_ons=[AddOn("support", 2)], trial_days=9
    )
    assert {row[2] for row in versions(company, "anchor_on")} == {on(1, 10)}
    assert sorted({row[2:] for row in versions(company, "plan_id", "recurring_minor")}) == [
        ("basic", 1500),
        ("support", 3000),
    ]


def test_the_recurring_amount_leaves_usage_out_and_counts_part_seats_exactly(company: Store) -> None:
    subscribe(company, plan_id="pro", quantity="2.5")
    # 25.00 + 2.5 × 5.00
    assert versions(company, "recurring_minor", "quantity_mantissa", "quantity_scale") == [
        (on(1, 1), None, 3750, 25, 1)
    ]


def test_the_narrowest_price_list_wins_for_each_component(company: Store) -> None:
    for list_id, level, owner, fee in (
        ("group", "group", "wholesale", "9"),
        ("customer", "customer", "anna", "8"),
        ("other", "customer", "bert", "1"),
        ("half", "contract", "c1", "2"),
    ):
        prices = [NewPrice("basic.1.fee", "flat", fee), NewPrice("basic.1.seats", "per_unit", "1")]
        create_price_list(
            company,
            at(1, 1),
            list_id=list_id,
            name=list_id,
            currency="EUR",
            valid_start=on(1, 1),
            level=level,
            owner_id=owner,
            prices=prices[:1] if list_id == "half" else prices,
        )
    subscribe(company, contract=NewContract(contract_id="c1"))
    # The contract prices the fee alone: 2.00, and 12 seats of the customer's own list at 1.00.
    assert versions(company, "list_id", "price_id", "recurring_minor") == [
        (on(1, 1), None, "half", "half.basic.1.fee", 1400)
    ]


# Changing.


def test_an_upgrade_acts_today_and_a_downgrade_at_the_period_end(company: Store) -> None:
    subscribe(company)
    acts.change_plan(company, at(1, 16), subscription_id="s", plan_id="pro")
    acts.change_plan(company, at(1, 20), subscription_id="s", plan_id="basic")
    assert versions(company, "plan_id", "reason", "recurring_minor") == [
        (on(1, 1), on(1, 16), "basic", "subscribe", 6800),
        (on(1, 16), on(2, 1), "pro", "upgrade", 8500),
        (on(2, 1), None, "basic", "downgrade", 6800),
    ]


def test_the_yearly_amount_decides_what_is_an_upgrade(company: Store) -> None:
    # 12 × 85.00 = 1020.00 a year against 240.00 + 12 × 50.00 = 840.00: a downgrade.
    subscribe(company, plan_id="pro")
    acts.change_plan(company, at(1, 16), subscription_id="s", plan_id="pro-yearly")
    assert versions(company, "plan_id", "anchor_on", "reason") == [
        (on(1, 1), on(2, 1), "pro", on(1, 1), "subscribe"),
        (on(2, 1), None, "pro-yearly", on(1, 1), "interval"),
    ]


@pytest.mark.parametrize(
    ("setting", "anchor"), [("keep", on(1, 31)), ("reset", on(3, 12)), ("billing_day", on(2, 28))]
)
def test_a_new_interval_finds_its_anchor_by_policy(company: Store, setting: str, anchor: date) -> None:
    set_policy(company, at(1, 1), valid_from=on(1, 1), settings={"interval_anchor": setting})
    subscribe(company, plan_id="pro", when=at(1, 31))
    acts.change_plan(company, at(3, 12), subscription_id="s", plan_id="pro-yearly", when="now")
    assert versions(company, "anchor_on")[-1] == (on(3, 12), None, anchor)


def test_a_quantity_holds_for_a_plan_change_that_waits(company: Store) -> None:
    subscribe(company, plan_id="pro")
    acts.change_plan(company, at(1, 10), subscription_id="s", plan_id="basic")
    acts.change_quantity(company, at(1, 16), subscription_id="s", quantity=20)
    assert versions(company, "plan_id", "quantity_mantissa", "recurring_minor", "reason") == [
        (on(1, 1), on(1, 16), "pro", 12, 8500, "subscribe"),
        (on(1, 16), on(2, 1), "pro", 20, 12500, "quantity"),
        (on(2, 1), None, "basic", 20, 10000, "downgrade"),
    ]


def test_an_upgrade_overrides_a_downgrade_that_waits(company: Store) -> None:
    subscribe(company, plan_id="pro")
    acts.change_plan(company, at(1, 10), subscription_id="s", plan_id="basic")
    acts.change_plan(company, at(1, 12), subscription_id="s", plan_id="pro")
    assert {row[2] for row in versions(company, "plan_id")} == {"pro"}


def test_a_change_undone_the_same_day_leaves_no_interval_of_it(company: Store) -> None:
    subscribe(company)
    acts.change_quantity(company, at(3, 12), subscription_id="s", quantity=30)
    acts.change_quantity(company, at(3, 12, hour=15), subscription_id="s", quantity=12)
    assert versions(company, "quantity_mantissa", "recurring_minor") == [
        (on(1, 1), on(3, 12), 12, 6800),
        (on(3, 12), None, 12, 6800),
    ]


def test_versions_are_superseded_and_never_updated(company: Store) -> None:
    subscribe(company)
    before = company.frame(item_versions.select())
    acts.change_quantity(company, at(3, 12), subscription_id="s", quantity=30)
    first = company.frame(item_versions.select().where(item_versions.c.superseded_at.is_not(None)))
    facts = [name for name in before.columns if name not in ("superseded_at", "changed_at")]
    assert first.select(facts).equals(before.select(facts))
    assert first["superseded_at"].to_list() == first["changed_at"].to_list() == [at(3, 12)]


def test_the_same_quantity_writes_no_version(company: Store) -> None:
    subscribe(company)
    acts.change_quantity(company, at(3, 12), subscription_id="s", quantity=12)
    assert versions(company) == [(on(1, 1), None)]


@pytest.mark.parametrize(("setting", "day"), [("credit", on(1, 16)), ("period_end", on(2, 1))])
def test_fewer_seats_act_now_or_at_the_period_end_by_policy(company: Store, setting: str, day: date) -> None:
    set_policy(company, at(1, 1), valid_from=on(1, 1), settings={"seat_decrease": setting})
    subscribe(company)
    acts.change_quantity(company, at(1, 16), subscription_id="s", quantity=3)
    assert versions(company, "quantity_mantissa")[-1] == (day, None, 3)


def test_a_change_before_the_start_acts_from_the_start(company: Store) -> None:
    subscribe(company, starts_on=on(2, 10))
    acts.change_quantity(company, at(1, 16), subscription_id="s", quantity=3)
    acts.change_plan(company, at(1, 16), subscription_id="s", plan_id="pro")
    assert versions(company, "quantity_mantissa", "plan_id") == [(on(2, 10), None, 3, "pro")]


def test_a_plan_change_in_a_trial_may_move_its_end(company: Store) -> None:
    subscribe(company, trial_days=14)
    acts.change_plan(company, at(1, 5), subscription_id="s", plan_id="pro", trial_days=30)
    assert versions(company, "phase", "plan_id", "anchor_on") == [
        (on(1, 1), on(1, 5), "trial", "basic", on(1, 15)),
        (on(1, 5), on(1, 15), "trial", "pro", on(1, 15)),
        (on(1, 15), on(1, 31), "trial", "pro", on(1, 15)),
        (on(1, 31), None, "regular", "pro", on(1, 31)),
    ]
    assert stored(company, "trial_ends_on", "anchor_on", "status") == (on(1, 31), on(1, 31), "trialing")


def test_an_add_on_comes_and_goes(company: Store) -> None:
    subscribe(company)
    item = acts.add_item(company, at(1, 10), subscription_id="s", plan_id="support")
    acts.remove_item(company, at(1, 20), item_id=item.item_id)
    assert versions(company, "plan_id") == [
        (on(1, 1), None, "basic"),
        (on(1, 10), on(2, 1), "support"),
    ]


def test_an_add_on_removed_on_its_first_day_leaves_nothing(company: Store) -> None:
    subscribe(company)
    item = acts.add_item(company, at(1, 10), subscription_id="s", plan_id="support")
    acts.remove_item(company, at(1, 10), item_id=item.item_id, when="now")
    assert versions(company, "plan_id") == [(on(1, 1), None, "basic")]
    with pytest.raises(BillingError, match="illegal_transition"):
        acts.remove_item(company, at(1, 10), item_id=item.item_id, when="now")


@pytest.mark.parametrize(
    ("day", "when"),
    [
        ((1, 20), "period_end"),
        ((1, 21), on(2, 1)),
        ((1, 21), on(2, 5)),
        ((2, 1), "now"),
        ((2, 1), "period_end"),
        ((2, 1), on(2, 1)),
    ],
)
def test_an_add_on_that_has_ended_by_a_day_is_not_removed_on_it_again(
    company: Store, day: tuple[int, int], when: Any
) -> None:
    subscribe(company)
    item = acts.add_item(company, at(1, 10), subscription_id="s", plan_id="support")
    acts.remove_item(company, at(1, 20), item_id=item.item_id)
    before = topics(company)
    with pytest.raises(BillingError, match="illegal_transition"):
        acts.remove_item(company, at(*day), item_id=item.item_id, when=when)
    assert topics(company) == before


def test_the_end_of_an_add_on_that_is_still_to_come_moves_forward(company: Store) -> None:
    subscribe(company)
    item = acts.add_item(company, at(1, 10), subscription_id="s", plan_id="support")
    acts.remove_item(company, at(1, 20), item_id=item.item_id)
    acts.remove_item(company, at(1, 21), item_id=item.item_id, when=on(1, 25))
    assert versions(company, "plan_id")[1] == (on(1, 10), on(1, 25), "support")


# Pausing.


def test_a_pause_covers_its_days_and_ends_by_itself(company: Store) -> None:
    subscribe(company)
    acts.pause(company, at(1, 10), subscription_id="s", until=on(1, 20))
    assert versions(company, "pause", "reason") == [
        (on(1, 1), on(1, 10), None, "subscribe"),
        (on(1, 10), on(1, 20), "customer", "pause"),
        (on(1, 20), None, None, "resume"),
    ]
    assert stored(company, "status") == ("paused",)


def test_resuming_ends_a_pause_and_leaves_what_comes_after_it(company: Store) -> None:
    subscribe(company)
    acts.pause(company, at(1, 10), subscription_id="s")
    acts.resume(company, at(1, 15), subscription_id="s")
    assert versions(company, "pause") == [
        (on(1, 1), on(1, 10), None),
        (on(1, 10), on(1, 15), "customer"),
        (on(1, 15), None, None),
    ]
    assert stored(company, "status") == ("active",)


def test_a_pause_undone_the_same_day_leaves_none(company: Store) -> None:
    subscribe(company)
    acts.pause(company, at(1, 10), subscription_id="s")
    acts.resume(company, at(1, 10), subscription_id="s")
    assert {row[2] for row in versions(company, "pause")} == {None}


def test_a_change_in_a_pause_keeps_the_pause(company: Store) -> None:
    subscribe(company)
    acts.pause(company, at(1, 10), subscription_id="s", until=on(1, 20))
    acts.change_quantity(company, at(1, 12), subscription_id="s", quantity=20)
    assert versions(company, "pause", "quantity_mantissa") == [
        (on(1, 1), on(1, 10), None, 12),
        (on(1, 10), on(1, 12), "customer", 12),
        (on(1, 12), on(1, 20), "customer", 20),
        (on(1, 20), None, None, 20),
    ]


# Ending and coming back.


def test_a_cancellation_acts_at_the_period_end_and_can_be_undone(company: Store) -> None:
    subscribe(company)
    acts.cancel(company, at(1, 16), subscription_id="s", reason="too_expensive")
    columns = ("status", "ends_on", "cancel_requested_on", "cancel_reason")
    assert stored(company, *columns) == ("active", on(2, 1), on(1, 16), "too_expensive")
    acts.undo_cancel(company, at(1, 20), subscription_id="s")
    assert stored(company, *columns) == ("active", None, None, None)
    assert versions(company) == [(on(1, 1), None)]


@pytest.mark.parametrize(
    ("when", "ends_on"), [("now", on(1, 16)), ("period_end", on(2, 1)), (on(1, 25), on(1, 25))]
)
def test_a_cancellation_names_its_day(company: Store, when: Any, ends_on: date) -> None:
    subscribe(company)
    assert acts.cancel(company, at(1, 16), subscription_id="s", when=when).ends_on == ends_on


def test_a_cancellation_in_a_trial_acts_at_its_end(company: Store) -> None:
    subscribe(company, trial_days=45)
    assert acts.cancel(company, at(1, 3), subscription_id="s").ends_on == on(2, 15)


def test_time_alone_turns_the_stored_status(company: Store) -> None:
    subscribe(company, starts_on=on(1, 5), trial_days=10)
    acts.pause(company, at(1, 2), subscription_id="s", from_on=on(1, 20), until=on(1, 25))
    acts.cancel(company, at(1, 2), subscription_id="s", when=on(1, 28))
    seen = []
    for day in range(2, 32):
        turn(company, at(1, day, hour=0))
        if not seen or seen[-1][1] != stored(company, "status")[0]:
            seen.append((day, stored(company, "status")[0]))
    assert seen == [
        (2, "scheduled"),
        (5, "trialing"),
        (15, "active"),
        (20, "paused"),
        (25, "active"),
        (28, "canceled"),
    ]
    assert stored(company, "turns_on") == (None,)


def test_states_are_derived_in_their_order(company: Store) -> None:
    subscribe(company, trial_days=14)
    case = {
        "case_id": "d",
        "customer_id": "anna",
        "currency": "EUR",
        "track": "card",
        "opened_on": on(1, 2),
        "deadline_on": on(1, 23),
    }
    company.insert(dunning_cases, [case], at(1, 2))
    seen = [acts.change_quantity(company, at(1, 3), subscription_id="s", quantity=2).status]
    seen.append(acts.pause(company, at(1, 4), subscription_id="s").status)
    acts.resume(company, at(1, 5), subscription_id="s")
    seen.append(acts.pause(company, at(1, 6), subscription_id="s", cause="overdue").status)
    seen.append(acts.cancel(company, at(1, 7), subscription_id="s", when="now").status)
    assert seen == ["past_due", "paused", "suspended", "canceled"]
    assert stored(company, "was_in_dunning") == (True,)


def test_coming_back_writes_new_items_under_the_same_id_and_leaves_the_gap(company: Store) -> None:
    subscribe(company)
    acts.cancel(company, at(1, 16), subscription_id="s", when=on(1, 25))
    back = acts.reactivate(company, at(3, 10), subscription_id="s", quantity=5)
    assert [version.effective_start for version in back.main_item.versions] == [on(3, 10)]
    assert sorted(versions(company, "quantity_mantissa", "anchor_on", "reason")) == [
        (on(1, 1), on(1, 25), 12, on(1, 1), "subscribe"),
        (on(3, 10), None, 5, on(3, 10), "reactivate"),
    ]
    assert stored(company, "status", "ends_on", "cancel_reason") == ("active", None, None)


# Contracts.


def test_a_contract_renews_at_the_price_of_the_day(company: Store) -> None:
    subscribe(company, contract=NewContract(term="P6M", contract_id="c"))
    prices = [NewPrice("basic.1.fee", "flat", "12"), NewPrice("basic.1.seats", "per_unit", "5")]
    create_price_list(
        company,
        at(6, 1),
        list_id="new",
        name="New",
        currency="EUR",
        valid_start=on(6, 1),
        prices=prices,
    )
    assert contract_acts.renew_due(company, at(6, 30)).renewed == ()
    assert contract_acts.renew_due(company, at(7, 1)).renewed == ("c",)
    assert contract_acts.renew_due(company, at(7, 1)).renewed == ()
    # 12.00 + 12 × 5.00
    assert versions(company, "list_id", "recurring_minor", "reason") == [
        (on(1, 1), on(7, 1), "standard", 6800, "subscribe"),
        (on(7, 1), None, "new", 7200, "renewal"),
    ]
    terms = company.rows(contract_terms.select().order_by(contract_terms.c.term_start))
    assert [(row["term_start"], row["term_end"]) for row in terms] == [
        (on(1, 1), on(7, 1)),
        (on(7, 1), on(1, 1, 2026)),
    ]


def test_a_renewal_made_late_catches_up_on_every_term(company: Store) -> None:
    subscribe(company, when=at(1, 31), contract=NewContract(term="P1M", contract_id="c"))
    contract_acts.renew_due(company, at(4, 30))
    terms = company.rows(contract_terms.select().order_by(contract_terms.c.term_start))
    assert [row["term_start"] for row in terms] == [on(1, 31), on(2, 28), on(3, 28), on(4, 28)]


def test_notice_ends_the_subscription_with_its_term(company: Store) -> None:
    subscribe(company, contract=NewContract(term="P1Y", notice_days=60, contract_id="c"))
    contract_acts.give_notice(company, at(11, 2), contract_id="c", reason="switched")
    assert stored(company, "ends_on", "cancel_reason") == (on(1, 1, 2026), "switched")
    assert contract_acts.renew_due(company, at(1, 1, 2026)).ended == ("c",)
    assert company.row(select(contracts.c.ended_on)) == {"ended_on": on(1, 1, 2026)}
    assert stored(company, "cancel_reason", "cancel_requested_on") == ("switched", on(11, 2))


def test_a_term_that_does_not_renew_ends(company: Store) -> None:
    subscribe(company, contract=NewContract(term="P1M", auto_renew=False))
    assert len(contract_acts.renew_due(company, at(2, 1)).ended) == 1
    assert stored(company, "status", "ends_on", "cancel_reason") == ("canceled", on(2, 1), "term_ended")


# What is refused.

CANCELED = "illegal_transition"


@pytest.mark.parametrize(
    ("act", "arguments", "code"),
    [
        ("change_plan", {"subscription_id": "s", "plan_id": "nothing"}, "unknown_plan"),
        ("change_plan", {"subscription_id": "s", "plan_id": "support"}, "illegal_plan"),
        ("change_plan", {"subscription_id": "none", "plan_id": "pro"}, "unknown_subscription"),
        ("change_quantity", {"subscription_id": "s", "quantity": -1}, "negative_quantity"),
        ("change_quantity", {"subscription_id": "s", "quantity": 1.5}, "float_money"),
        ("change_quantity", {"item_id": "none", "quantity": 1}, "unknown_item"),
        ("change_quantity", {"subscription_id": "s", "quantity": 1, "when": "soon"}, "unknown_setting"),
        (
            "change_quantity",
            {"subscription_id": "s", "quantity": 1, "when": date(2024, 12, 31)},
            "illegal_transition",
        ),
        ("add_item", {"subscription_id": "s", "plan_id": "pro"}, "illegal_plan"),
        ("pause", {"subscription_id": "s", "until": date(2025, 1, 10)}, "empty_period"),
        ("pause", {"subscription_id": "s", "cause": "mood"}, "unknown_setting"),
        ("resume", {"subscription_id": "s"}, "illegal_transition"),
        ("cancel", {"subscription_id": "s", "reason": "mood"}, "unknown_setting"),
        ("cancel", {"subscription_id": "s", "when": "term_end"}, "illegal_transition"),
        ("undo_cancel", {"subscription_id": "s"}, "illegal_transition"),
        ("reactivate", {"subscription_id": "s"}, "illegal_transition"),
        ("give_notice", {"contract_id": "none"}, "unknown_contract"),
        ("subscribe", {"customer_id": "none", "plan_id": "basic"}, "unknown_customer"),
        ("subscribe", {"customer_id": "anna", "plan_id": "support"}, "illegal_plan"),
        ("subscribe", {"customer_id": "anna", "plan_id": "basic", "subscription_id": "s"}, "immutable"),
        ("subscribe", {"customer_id": "anna", "plan_id": "basic", "quantity": "x"}, "bad_decimal"),
        (
            "subscribe",
            {"customer_id": "anna", "plan_id": "basic", "starts_on": date(2022, 1, 1)},
            "before_horizon",
        ),
        ("subscribe", {"customer_id": "anna", "plan_id": "basic", "trial_days": -1}, "negative_quantity"),
    ],
)
def test_a_wrong_act_is_refused_with_its_code_and_changes_nothing(
    company: Store, act: str, arguments: dict[str, Any], code: str
) -> None:
    subscribe(company)
    before = {name: company.frame(table.select()).height for name, table in metadata.tables.items()}
    with pytest.raises(BillingError) as error:
        getattr(contract_acts if act == "give_notice" else acts, act)(company, at(1, 10), **arguments)
    assert error.value.code == code
    assert refused(company) == [(act, code)]
    before["rejected_inputs"] += 1
    before["audit_log"] += 1
    after = {name: company.frame(table.select()).height for name, table in metadata.tables.items()}
    assert after == before


@pytest.mark.parametrize(
    ("act", "arguments"),
    [
        ("change_plan", {"plan_id": "pro"}),
        ("change_quantity", {"quantity": 3}),
        ("add_item", {"plan_id": "support"}),
        ("pause", {}),
        ("resume", {}),
        ("cancel", {}),
        ("undo_cancel", {}),
    ],
)
def test_a_canceled_subscription_takes_no_change(company: Store, act: str, arguments: dict[str, Any]) -> None:
    subscribe(company)
    acts.cancel(company, at(1, 5), subscription_id="s", when="now")
    with pytest.raises(BillingError, match="illegal_transition"):
        getattr(acts, act)(company, at(1, 5), subscription_id="s", **arguments)
    assert refused(company) == [(act, "illegal_transition")]


def test_a_late_notice_is_refused(company: Store) -> None:
    subscribe(company, contract=NewContract(contract_id="c", notice_days=60))
    with pytest.raises(BillingError, match="was due by 2025-11-02"):
        contract_acts.give_notice(company, at(11, 3), contract_id="c")


def test_a_plan_without_a_price_in_the_customers_currency_is_refused(company: Store) -> None:
    for currency, code in (("USD", "currency_mismatch"), ("JPY", "currency_mismatch")):
        create_customer(
            company,
            at(1, 1),
            customer_id=currency,
            name=currency,
            entity_id="seller",
            currency=currency,
            country="US",
        )
        with pytest.raises(BillingError, match=code):
            acts.subscribe(company, at(1, 1), customer_id=currency, plan_id="pro")
    acts.subscribe(company, at(1, 1), customer_id="USD", plan_id="basic", quantity=2)
    # 11.00 + 2 × 6.00
    assert versions(company, "recurring_minor") == [(on(1, 1), None, 2300)]


def test_a_refused_act_leaves_the_callers_transaction_whole(company: Store) -> None:
    with company.transaction():
        subscribe(company)
        with pytest.raises(BillingError):
            acts.change_quantity(company, at(1, 5), subscription_id="s", quantity=-1)
        acts.change_quantity(company, at(1, 6), subscription_id="s", quantity=20)
    assert versions(company, "quantity_mantissa")[-1] == (on(1, 6), None, 20)
    assert refused(company) == [("change_quantity", "negative_quantity")]


def test_an_act_needs_an_instant_with_a_zone(company: Store) -> None:
    with pytest.raises(BillingError, match="naive_time"):
        subscribe(company, when=datetime(2025, 1, 1))  # noqa: DTZ001


def test_the_customers_zone_decides_what_today_is(company: Store) -> None:
    create_customer(
        company,
        at(1, 1),
        customer_id="sydney",
        name="Sydney",
        entity_id="seller",
        currency="EUR",
        country="AU",
        time_zone="Australia/Sydney",
    )
    acts.subscribe(company, at(1, 10, hour=13), customer_id="sydney", plan_id="basic")
    assert versions(company) == [(on(1, 11), None)]


def test_every_change_writes_one_message(company: Store) -> None:
    subscribe(company)
    acts.change_quantity(company, at(1, 2), subscription_id="s", quantity=13)
    acts.change_plan(company, at(1, 3), subscription_id="s", plan_id="pro")
    acts.pause(company, at(1, 4), subscription_id="s")
    acts.resume(company, at(1, 5), subscription_id="s")
    acts.cancel(company, at(1, 6), subscription_id="s", when="now")
    acts.reactivate(company, at(1, 7), subscription_id="s")
    assert topics(company) == [
        f"subscription.{happening}"
        for happening in (
            "created",
            "quantity_changed",
            "plan_changed",
            "paused",
            "resumed",
            "canceled",
            "reactivated",
        )
    ]
    count = select(func.count(outbox.c.message_id.distinct()).label("ids"), func.count().label("rows"))
    row = company.row(count)
    assert row is not None
    assert row["ids"] == row["rows"]
