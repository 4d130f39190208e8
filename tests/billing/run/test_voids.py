"""Void invoices: all of them is credited, and the next run bills the facts as they are then."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import polars as pl
import pytest
from shop import (
    at,
    fee,
    item_of,
    join,
    last_day,
    life,
    live,
    open_shop,
    parked,
    run,
    sell,
    sell_alone,
    take,
    use,
)
from sqlalchemy import select, update
from test_credit_notes import check_books, check_lines, refused
from test_customer_credit import receive

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.credit import open_credit
from billing.service import customers, subscriptions, transfers
from billing.service.catalog import NewComponent, NewPrice
from billing.service.credit_notes import issue_credit_note
from billing.service.voids import void_invoice
from billing.store import tables
from billing.store.store import Store

JANUARY, TENTH, FEBRUARY = date(2025, 1, 1), date(2025, 1, 10), date(2025, 2, 1)


def shop(store: Store, tax_rate_ppm: int = 200_000, **settings: str | int) -> str:
    open_shop(store, tax_rate_ppm=tax_rate_ppm, **settings)
    sell(store, "wrong", fee("31"))
    sell(store, "right", fee("10"))
    join(store, "anna")
    sub = take(store, JANUARY, "wrong")
    run(store, JANUARY)
    return sub


def ids(store: Store) -> list[str]:
    return store.frame(select(tables.invoices))["invoice_id"].sort().to_list()


def invoices(store: Store) -> list[tuple[int, str, int | None]]:
    """Total, state, and the place of the invoice that each replaces."""
    place = {invoice_id: number for number, invoice_id in enumerate(ids(store))}
    rows = store.frame(select(tables.invoices)).sort("invoice_id")
    return [
        (row["total_minor"], row["state"], place.get(row["replaces_id"]))
        for row in rows.iter_rows(named=True)
    ]


def void(store: Store, on: date = TENTH, number: int = 0, hour: int = 10) -> str:
    return void_invoice(store, at(on, hour), invoice_id=ids(store)[number], reason="wrong plan")


def applied(store: Store) -> list[tuple[str, int]]:
    frame = store.frame(select(tables.applications)).sort("application_id")
    return frame.select("source_kind", "amount_minor").rows()


def credit_kept(store: Store) -> int:
    return int(open_credit(store, ["anna"])["left_minor"].sum())


def test_a_wrong_plan_is_voided_and_the_right_one_billed(store: Store) -> None:
    """31.00 + 6.20 for January on the wrong plan, 10.00 + 2.00 on the right one."""
    sub = shop(store)
    note_id = void(store)
    subscriptions.change_plan(store, at(JANUARY, 9), subscription_id=sub, plan_id="right", when="now")
    run(store, TENTH)
    assert parked(store) == {}
    assert invoices(store) == [(3720, "void", None), (1200, "open", 0)]
    first = store.frame(select(tables.invoices)).sort("invoice_id").row(0, named=True)
    assert first["voided_on"] == TENTH
    note = store.row(select(tables.credit_notes))
    assert note is not None
    assert (note["note_id"], note["net_minor"], note["tax_minor"]) == (note_id, 3100, 620)
    assert (note["invoice_id"], note["reason"]) == (first["invoice_id"], "wrong plan")
    assert applied(store) == [("credit_note", 3720)]
    entries = store.frame(select(tables.journal_entries)).sort("entry_id")["event"].to_list()
    assert entries == ["invoice_issued", "credit_note_issued", "credit_applied", "invoice_issued"]
    assert check_books(store) == 0
    topics = store.frame(select(tables.outbox)).filter(subject_id=first["invoice_id"])["topic"].to_list()
    assert sorted(topics) == ["invoice.issued", "invoice.voided"]
    store.execute(update(tables.customers).values(next_bill_on=JANUARY, unsettled_from=None))
    assert run(store, TENTH, 22).lines == 0
    run(store, FEBRUARY)
    assert invoices(store)[2:] == [(1200, "open", None)]


def test_what_was_right_is_billed_as_it_was(store: Store) -> None:
    shop(store)
    void(store)
    run(store, TENTH)
    assert invoices(store) == [(3720, "void", None), (3720, "open", 0)]
    void(store, number=1, hour=22)
    run(store, TENTH, 23)
    assert invoices(store)[1:] == [(3720, "void", 0), (3720, "open", 1)]
    check_lines(store)


def test_a_subscription_that_never_was_owes_nothing(store: Store) -> None:
    sub = shop(store)
    void(store)
    subscriptions.cancel(store, at(TENTH, 11), subscription_id=sub, when=JANUARY)
    assert run(store, TENTH).lines == 0
    assert invoices(store) == [(3720, "void", None)]
    assert check_books(store) == 0


def test_usage_of_a_void_invoice_is_billed_with_the_next_run(store: Store) -> None:
    """100 calls at 1.00 in January; 20 more came late and are billed with them, once."""
    open_shop(store, tax_rate_ppm=0)
    sell_alone(store, NewComponent("use", "usage", "calls"), NewPrice("plan.1.use", "per_unit", "1"))
    join(store, "anna")
    item = item_of(store, take(store, JANUARY, "plan"))
    use(store, JANUARY, item, JANUARY, 100, "a")
    run(store, FEBRUARY)
    void(store, FEBRUARY, hour=21)
    use(store, FEBRUARY, item, date(2025, 1, 5), 20, "b")
    run(store, FEBRUARY, 22)
    assert invoices(store) == [(10000, "void", None), (12000, "open", 0)]
    last = store.frame(select(tables.line_items)).sort("line_id").row(-1, named=True)
    assert (last["quantity_mantissa"], last["revision"]) == (120, 1)
    store.execute(update(tables.customers).values(next_bill_on=JANUARY, unsettled_from=None))
    assert run(store, FEBRUARY, 23).lines == 0
    assert run(store, date(2025, 3, 1)).lines == 0


def test_credits_on_a_void_invoice_are_owed_again(store: Store) -> None:
    """On 16 January 10.00 for the month become 31.00 for 16 of its 31 days: 16.00 less 5.16 are billed."""
    open_shop(store, tax_rate_ppm=0)
    sell(store, "small", fee("10"))
    sell(store, "large", fee("31"))
    join(store, "anna")
    sub, changed = take(store, JANUARY, "small"), date(2025, 1, 16)
    run(store, JANUARY)
    subscriptions.change_plan(store, at(changed), subscription_id=sub, plan_id="large")
    run(store, changed)
    assert invoices(store) == [(1000, "open", None), (1084, "open", None)]
    void(store, changed, 1, 21)
    assert check_books(store) == 0
    run(store, changed, 22)
    assert invoices(store) == [(1000, "open", None), (1084, "void", None), (1084, "open", 1)]
    store.execute(update(tables.customers).values(next_bill_on=JANUARY, unsettled_from=None))
    assert run(store, changed, 23).lines == 0
    assert check_books(store) == 0


def test_an_invoice_of_which_a_later_one_took_back_is_voided_after_that(store: Store) -> None:
    sub, changed = shop(store), date(2025, 1, 16)
    subscriptions.change_plan(store, at(changed), subscription_id=sub, plan_id="wrong", when="now")
    sell(store, "large", fee("62"))
    subscriptions.change_plan(store, at(changed), subscription_id=sub, plan_id="large")
    run(store, changed)
    refused("illegal_transition", void, store, changed, hour=21)
    assert [state for _, state, _ in invoices(store)] == ["open", "open"]
    assert store.rows(select(tables.credit_notes)) == []
    void(store, changed, 1, 21)
    void(store, changed, 0, 22)
    run(store, changed, 23)
    # 15 days of 31.00 and 16 of 62.00, with a fifth of tax.
    assert sum(total for total, state, _ in invoices(store) if state == "open") == (1500 + 3200) * 6 // 5
    assert check_books(store) == 0


def test_a_note_over_a_part_settles_that_part_of_a_void(store: Store) -> None:
    shop(store)
    line_id = store.rows(select(tables.line_items))[0]["line_id"]
    issue_credit_note(store, at(TENTH), reason="goodwill", lines=[(line_id, 1000)])
    void(store)
    notes = store.frame(select(tables.credit_notes)).sort("note_id")
    assert notes["net_minor"].to_list() == [1000, 2100]
    assert applied(store) == [
        ("credit_note", 1200),
        ("credit_note", -1200),
        ("credit_note", 1200),
        ("credit_note", 2520),
    ]
    assert (credit_kept(store), check_books(store)) == (0, 0)
    run(store, TENTH)
    assert invoices(store) == [(3720, "void", None), (3720, "open", 0)]


def test_credit_that_paid_a_void_invoice_is_credit_again(store: Store) -> None:
    """12.00 of a second subscription, given back, pay a part of February of the first, which is voided."""
    shop(store, credit_target="balance")
    other = take(store, JANUARY, "right")
    run(store, JANUARY, 21)
    subscriptions.cancel(store, at(JANUARY, 22), subscription_id=other, when="now", money="credit")
    run(store, JANUARY, 23)
    assert credit_kept(store) == 1200
    run(store, FEBRUARY)
    assert applied(store) == [("credit_note", 1200)]
    void(store, FEBRUARY, 2, 22)
    assert credit_kept(store) == check_books(store) == 1200
    run(store, FEBRUARY, 23)
    assert invoices(store)[2:] == [(3720, "void", None), (3720, "open", 2)]
    assert applied(store)[-1] == ("credit_note", 1200)
    assert credit_kept(store) == check_books(store) == 0


def test_money_that_was_there_before_a_void_invoice_is_credit_again(store: Store) -> None:
    """5.00 without an invoice came on the 10th and pay a part of February."""
    shop(store)
    receive(store, TENTH, 500)
    run(store, FEBRUARY)
    assert applied(store) == [("payment", 500)]
    assert credit_kept(store) == 0
    void(store, FEBRUARY, 1, 21)
    assert credit_kept(store) == check_books(store) == 500
    run(store, FEBRUARY, 22)
    assert applied(store)[-1] == ("payment", 500)


@pytest.mark.parametrize("paid", ["transfer", "card", "void", "uncollectible", "unknown"])
def test_what_is_paid_or_closed_or_being_charged_is_not_voided(store: Store, paid: str) -> None:
    shop(store)
    invoice_id = ids(store)[0]
    if paid == "transfer":
        transfers.receive_transfer(store, at(JANUARY, 21), invoice_id=invoice_id, amount_minor=100)
    elif paid in ("card", "unknown"):
        customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
        gateway = SimulatedGateway()
        gateway.plan("anna", "unknown" if paid == "unknown" else "captured")
        collect(store, gateway, at(JANUARY, 22))
    elif paid == "void":
        void(store)
    else:
        store.execute(update(tables.invoices).values(state="uncollectible"))
    before = store.frame(select(tables.invoices))
    refused("illegal_transition", void, store)
    assert store.frame(select(tables.invoices)).equals(before)


def test_a_void_needs_an_invoice_and_a_reason(store: Store) -> None:
    shop(store)
    refused("unknown_invoice", void_invoice, store, at(TENTH), invoice_id="none", reason="wrong")
    refused("missing_value", void_invoice, store, at(TENTH), invoice_id=ids(store)[0], reason=" ")


def test_a_void_ends_all_attempts_to_charge_the_invoice(store: Store) -> None:
    shop(store)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    gateway = SimulatedGateway()
    gateway.plan("anna", "insufficient_funds")
    collect(store, gateway, at(JANUARY, 22))
    void(store, date(2025, 1, 2))
    payment = store.rows(select(tables.payments))[0]
    assert (payment["state"], payment["next_attempt_at"]) == ("canceled", None)
    case: dict[str, Any] = store.rows(select(tables.dunning_cases))[0]
    assert (case["closed_as"], case["recovered_minor"]) == ("credited", None)
    assert store.rows(select(tables.subscriptions.c.status)) == [{"status": "active"}]
    assert collect(store, gateway, at(date(2025, 1, 20))).attempts == 0
    assert store.frame(select(tables.payments)).filter(pl.col("state") != "canceled").is_empty()


def owed(store: Store) -> dict[tuple[str, str], int]:
    """What was billed of each item and component, less all credits."""
    key, net = ["item_id", "component_id"], pl.col("net_minor")
    posted = store.frame(select(tables.line_items))
    of_notes = store.frame(select(tables.credit_note_lines)).join(
        posted.select("line_id", *key), on="line_id"
    )
    both = pl.concat([posted.select(*key, net), of_notes.select(*key, -net)])
    sums = both.group_by(key).agg(net.sum())
    return {(item_id, component_id): total for item_id, component_id, total in sums.rows()}


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", [310, 311, 312])
def test_what_is_owed_after_a_life_is_owed_again_when_its_invoices_are_voided(seed: int) -> None:
    """Runs after each act, then all invoices that can be are voided, the newest first, and billed anew: to
    the cent, but for a cent a credit, whose rounding depends on what was taken back before."""
    acts = life(seed)
    with live(acts, "each") as store:
        before, on = owed(store), last_day(acts)
        credits = store.frame(select(tables.line_items)).filter(entry="credit").height
        credits += store.frame(select(tables.credit_note_lines)).height
        done = 0
        for number in reversed(range(len(ids(store)))):
            with suppress(BillingError):
                void(store, on, number, 21)
                done += 1
        assert done
        check_books(store)
        run(store, on, 22)
        assert parked(store) == {}
        after = owed(store)
        assert sum(abs(after.get(key, 0) - total) for key, total in before.items()) <= credits
        assert set(after) == set(before)
        check_books(store)
        store.execute(update(tables.customers).values(next_bill_on=acts[0].on, unsettled_from=None))
        again = run(store, on, 23)
        assert (again.lines, again.credit_notes) == (0, 0)
