"""Credit notes by hand: what they take off, what they pay, and that no run charges the same service again."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import date, timedelta
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
    lines,
    notes,
    open_shop,
    parked,
    perform,
    run,
    sell,
    sell_alone,
    shop_of_lives,
    take,
    use,
)
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service import customers, refunds, subscriptions
from billing.service.catalog import NewComponent, NewPrice
from billing.service.credit_notes import issue_credit_note
from billing.store import tables
from billing.store.store import Store

JANUARY, FEBRUARY = date(2025, 1, 1), date(2025, 2, 1)


def shop(store: Store, price: str = "31", tax_rate_ppm: int = 0, **settings: str | int) -> str:
    open_shop(store, tax_rate_ppm=tax_rate_ppm, **settings)
    sell(store, "basic", fee(price))
    join(store, "anna")
    sub = take(store, JANUARY, "basic")
    run(store, JANUARY)
    return sub


def credit(store: Store, on: date, *amounts: int, **named: Any) -> str:
    """A note over the first lines of anna's invoices."""
    ids = [row["line_id"] for row in store.rows(select(tables.line_items.c.line_id))]
    asked = list(zip(sorted(ids), amounts, strict=False)) if amounts else None
    return issue_credit_note(store, at(on, 21), reason="goodwill", lines=asked, **named)


def invoices(store: Store) -> list[tuple[int, str]]:
    frame = store.frame(select(tables.invoices)).sort("invoice_id")
    return frame.select("total_minor", "state").rows()


def first_invoice(store: Store) -> str:
    return str(store.frame(select(tables.invoices))["invoice_id"].min())


def applied(store: Store) -> list[tuple[str, int]]:
    frame = store.frame(select(tables.applications)).sort("application_id")
    return frame.select("source_kind", "amount_minor").rows()


def refused(code: str, call: Any, *args: Any, **named: Any) -> None:
    with pytest.raises(BillingError) as error:
        call(*args, **named)
    assert error.value.code == code


def check_books(store: Store) -> int:
    """The journal says what is owed and what is kept; the credit kept."""
    books = store.frame(select(tables.journal_lines))
    balance = dict(
        books.group_by("account").agg((pl.col("debit_minor") - pl.col("credit_minor")).sum()).rows()
    )
    per_entry = books.group_by("entry_id").agg((pl.col("debit_minor") - pl.col("credit_minor")).sum())
    assert (per_entry["debit_minor"] == 0).all()
    used = store.frame(select(tables.applications))["amount_minor"].sum()
    owed = store.frame(select(tables.invoices))["total_minor"].sum()
    given = store.frame(select(tables.credit_notes))["total_minor"].sum()
    paid = store.frame(select(tables.payments)).filter(state="captured")["amount_minor"].sum()
    back = store.frame(select(tables.refunds)).filter(state="refunded")["amount_minor"].sum()
    assert balance.get("receivable", 0) == owed - used >= 0
    assert -balance.get("customer_credit", 0) == given + paid - used - back >= 0
    return int(given + paid - used - back)


def test_half_of_a_line_takes_half_of_its_tax_and_the_rest_takes_what_is_left(store: Store) -> None:
    shop(store, "10", 100_000)
    credit(store, JANUARY, 500)
    credit(store, JANUARY, 500)
    assert [note[2:] for note in notes(store)] == [(500, 50), (500, 50)]
    assert invoices(store) == [(1100, "paid")]
    assert check_books(store) == 0


def test_the_tax_of_odd_parts_adds_up_to_the_tax_of_the_line(store: Store) -> None:
    """10.01 at 19 % bear 1.90: 3.33 take 0.63, the next 3.33 up to 1.26, the last 3.35 the rest."""
    shop(store, "10.01", 190_000)
    for amount in (333, 333, 335):
        credit(store, JANUARY, amount)
    assert [note[2:] for note in notes(store)] == [(333, 63), (333, 63), (335, 64)]
    refused("over_credit", credit, store, JANUARY, 1)


def test_a_note_has_its_number_journal_and_message(store: Store) -> None:
    shop(store, "10", 100_000)
    note_id = credit(store, FEBRUARY, 400)
    note = store.row(select(tables.credit_notes))
    assert note is not None
    assert (note["number"], note["invoice_id"], note["reason"], note["issued_on"]) == (
        "CN-2025-000001",
        first_invoice(store),
        "goodwill",
        FEBRUARY,
    )
    entries = store.frame(select(tables.journal_entries)).filter(source_id=note_id)
    assert entries["event"].to_list() == ["credit_note_issued"]
    posted = store.frame(select(tables.journal_lines)).filter(entry_id=entries["entry_id"][0])
    assert posted.sort("position").select("account", "debit_minor", "credit_minor").rows() == [
        ("deferred_revenue", 400, 0),
        ("tax_payable", 40, 0),
        ("customer_credit", 0, 440),
    ]
    topics = store.frame(select(tables.outbox)).filter(subject_id=note_id)["topic"].to_list()
    assert topics == ["credit_note.issued"]


def test_numbers_of_notes_have_no_gap_also_after_a_refusal(store: Store) -> None:
    shop(store)
    credit(store, JANUARY, 100)
    refused("over_credit", credit, store, JANUARY, 3001)
    credit(store, JANUARY, 100)
    numbers = store.frame(select(tables.credit_notes))["number"].sort().to_list()
    assert numbers == ["CN-2025-000001", "CN-2025-000002"]


def test_what_is_taken_off_by_hand_is_not_billed_again(store: Store) -> None:
    shop(store)
    credit(store, JANUARY, 2000)
    store.execute(update(tables.customers).values(next_bill_on=JANUARY, unsettled_from=None))
    assert run(store, JANUARY, 22).lines == 0
    assert run(store, FEBRUARY).net_minor == {"EUR": 3100}
    assert invoices(store) == [(3100, "open"), (3100, "open")]


@pytest.mark.parametrize(("by_hand", "by_run"), [(1000, 1600), (2000, 1100), (3100, 0)])
def test_a_later_cancellation_credits_at_most_what_is_left(store: Store, by_hand: int, by_run: int) -> None:
    """31.00 for January, 16 of its 31 days given back."""
    sub = shop(store)
    credit(store, JANUARY, by_hand)
    ended = date(2025, 1, 16)
    subscriptions.cancel(store, at(ended), subscription_id=sub, when="now", money="credit")
    run(store, ended)
    assert parked(store) == {}
    taken = -sum(line[4] for line in lines(store)[1:]) + sum(net for *_, net, _ in notes(store)[1:])
    assert taken == by_run
    store.execute(update(tables.customers).values(next_bill_on=JANUARY, unsettled_from=None))
    assert run(store, ended, 22).lines == 0
    refused("over_credit", credit, store, ended, 3100 - by_hand - by_run + 1)
    check_books(store)


def test_time_given_back_after_a_note_takes_the_rest_of_the_tax_with_the_rest_of_the_time(
    store: Store,
) -> None:
    """31.00 and 5.89 tax: 10.00 by hand take 1.90, the whole month given back takes 21.00 and 3.99."""
    sub = shop(store, tax_rate_ppm=190_000)
    credit(store, JANUARY, 1000)
    subscriptions.cancel(store, at(JANUARY, 22), subscription_id=sub, when="now", money="credit")
    run(store, JANUARY, 23)
    assert [note[2:] for note in notes(store)] == [(1000, 190), (2100, 399)]
    assert invoices(store) == [(3689, "paid")]


def test_usage_that_turns_out_less_is_credited_at_most_what_is_left(store: Store) -> None:
    """100 calls at 1.00; 80.00 taken off by hand, then 30 calls turn out wrong: 20.00 are left to credit."""
    open_shop(store, tax_rate_ppm=0)
    sell_alone(store, NewComponent("use", "usage", "calls"), NewPrice("plan.1.use", "per_unit", "1"))
    join(store, "anna")
    item = item_of(store, take(store, JANUARY, "plan"))
    use(store, JANUARY, item, JANUARY, 100, "a")
    run(store, FEBRUARY)
    credit(store, FEBRUARY, 8000)
    use(store, FEBRUARY, item, date(2025, 1, 2), -30, "b")
    run(store, date(2025, 3, 1))
    assert [net for *_, net, _ in notes(store)] == [8000, 2000]
    assert run(store, date(2025, 3, 1), 22).lines == 0
    check_books(store)


def test_credit_pays_the_invoice_it_corrects_then_the_oldest_and_the_rest_is_kept(store: Store) -> None:
    shop(store)
    run(store, FEBRUARY)
    newer = store.frame(select(tables.line_items)).sort("line_id")["line_id"][1]
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    issue_credit_note(store, at(FEBRUARY), reason="wrong", lines=[(newer, 3000)])
    assert invoices(store) == [(3100, "open"), (3100, "open")]
    credit(store, FEBRUARY, 3100)
    assert invoices(store) == [(3100, "paid"), (3100, "open")]
    collect(store, SimulatedGateway(), at(FEBRUARY, 22))
    assert applied(store) == [("credit_note", 3000), ("credit_note", 3100), ("payment", 100)]
    issue_credit_note(store, at(FEBRUARY, 23), reason="wrong", lines=[(newer, 100)])
    assert check_books(store) == 100


def test_credit_goes_on_to_the_oldest_open_invoice(store: Store) -> None:
    """January is paid by card; a note over it pays February, which is open, before March."""
    shop(store)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    collect(store, SimulatedGateway(), at(JANUARY, 22))
    run(store, FEBRUARY)
    run(store, date(2025, 3, 1))
    credit(store, date(2025, 3, 1), 3100)
    assert invoices(store) == [(3100, "paid"), (3100, "paid"), (3100, "open")]


def test_credit_is_kept_where_the_policy_says_so(store: Store) -> None:
    shop(store, credit_target="balance")
    credit(store, JANUARY, 1000)
    assert invoices(store) == [(3100, "open")]
    assert applied(store) == []
    assert check_books(store) == 1000
    run(store, FEBRUARY)
    assert applied(store) == [("credit_note", 1000)]


def test_all_that_is_left_of_an_invoice_is_credited_at_once(store: Store) -> None:
    shop(store)
    credit(store, JANUARY, 1000)
    credit(store, JANUARY, invoice_id=first_invoice(store))
    assert [net for *_, net, _ in notes(store)] == [1000, 2100]
    assert invoices(store) == [(3100, "paid")]
    refused("over_credit", credit, store, JANUARY, invoice_id=first_invoice(store))


def test_what_was_paid_and_is_not_owed_any_more_can_be_given_back(store: Store) -> None:
    shop(store)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    collect(store, SimulatedGateway(), at(JANUARY, 22))
    credit(store, FEBRUARY, 1200, give_back=True)
    back = store.rows(select(tables.refunds))
    payment = store.rows(select(tables.payments))[0]["payment_id"]
    assert [(one["payment_id"], one["amount_minor"]) for one in back] == [(payment, 1200)]
    refused("over_refund", refunds.refund, store, at(FEBRUARY), payment_id=payment, amount_minor=1)


def test_an_unpaid_invoice_gives_nothing_back(store: Store) -> None:
    shop(store)
    credit(store, FEBRUARY, 1200, give_back=True)
    assert store.rows(select(tables.refunds)) == []
    assert applied(store) == [("credit_note", 1200)]


@pytest.mark.parametrize(("amount", "state", "asked"), [(1000, "failed", 2100), (3100, "canceled", 3100)])
def test_a_payment_that_waits_for_its_next_attempt_asks_for_the_rest_alone(
    store: Store, amount: int, state: str, asked: int
) -> None:
    shop(store)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    gateway = SimulatedGateway()
    gateway.plan("anna", ["insufficient_funds", "captured"])
    collect(store, gateway, at(JANUARY, 22))
    credit(store, date(2025, 1, 2), amount)
    payment = store.rows(select(tables.payments))[0]
    assert (payment["state"], payment["amount_minor"]) == (state, asked)
    case = store.rows(select(tables.dunning_cases))[0]
    assert (case["closed_as"], case["recovered_minor"]) == ("credited" if state == "canceled" else None, None)
    collect(store, gateway, at(date(2025, 1, 10)))
    assert check_books(store) == 0
    assert invoices(store) == [(3100, "paid")]


def test_credit_notes_that_cannot_be_right_are_refused(store: Store) -> None:
    shop(store)
    join(store, "bert")
    take(store, JANUARY, "basic", "bert")
    run(store, JANUARY, 22)
    line_of = dict(store.frame(select(tables.line_items)).select("customer_id", "line_id").rows())
    anna, bert = line_of["anna"], line_of["bert"]

    def note(lines: list[tuple[str, int]] | None = None, reason: str = "wrong", **more: Any) -> None:
        issue_credit_note(store, at(JANUARY, 23), reason=reason, lines=lines, **more)

    refused("missing_value", note, [(anna, 1)], reason=" ")
    refused("missing_value", note)
    refused("missing_value", note, [])
    refused("missing_value", note, [(anna, 1)], invoice_id=first_invoice(store))
    refused("unknown_invoice", note, invoice_id="none")
    refused("unknown_line", note, [("none", 1)])
    refused("unknown_line", note, [(anna, 1), (bert, 1)])
    refused("negative_quantity", note, [(anna, 0)])
    refused("negative_quantity", note, [(anna, -1)])
    refused("over_credit", note, [(anna, 3000), (anna, 101)])
    store.execute(update(tables.invoices).values(state="uncollectible"))
    refused("illegal_transition", note, [(anna, 1)])
    assert store.rows(select(tables.credit_notes)) == []
    assert len(store.rows(select(tables.rejected_inputs))) == 11


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", [301, 304])
def test_notes_by_hand_never_make_a_run_bill_again_nor_credit_more_than_a_line(seed: int) -> None:
    acts, draw = life(seed), random.Random(seed)
    with shop_of_lives() as store:
        on, done = acts[0].on, 0
        while on <= last_day(acts):
            while done < len(acts) and acts[done].on == on:
                perform(store, acts[done], done)
                done += 1
            run(store, on)
            if draw.random() < 0.15:
                credit_something(store, on, draw)
            on += timedelta(days=1)
        credit_something(store, on, draw)
        store.execute(update(tables.customers).values(next_bill_on=acts[0].on, unsettled_from=None))
        again = run(store, last_day(acts), 23)
        assert (again.lines, again.credit_notes) == (0, 0)
        assert parked(store) == {}
        assert store.frame(select(tables.credit_note_lines)).filter(kind="adjustment").height
        check_lines(store)
        check_books(store)


def credit_something(store: Store, on: date, draw: random.Random) -> None:
    charges = store.frame(select(tables.line_items)).filter(pl.col("net_minor") > 0)["line_id"].sort()
    if len(charges):
        line_id = draw.choice(charges.to_list())
        for amount in (draw.randrange(1, 3000), 1):
            # More than is left of the line is refused.
            with suppress(BillingError):
                issue_credit_note(store, at(on, 21), reason="goodwill", lines=[(line_id, amount)])


def check_lines(store: Store) -> None:
    """All credits of a line are at most the line, in net and in tax, and its last one leaves neither."""
    posted = store.frame(select(tables.line_items))
    back = posted.filter(entry="credit").select(
        pl.col("reverses_line_id").alias("line_id"), -pl.col("net_minor"), -pl.col("tax_minor")
    )
    of_notes = store.frame(select(tables.credit_note_lines)).select("line_id", "net_minor", "tax_minor")
    taken = pl.concat([back, of_notes]).group_by("line_id").agg(pl.col("net_minor", "tax_minor").sum())
    both = posted.join(taken, on="line_id", suffix="_taken")
    assert both.filter(pl.col("net_minor_taken") > pl.col("net_minor")).is_empty()
    assert both.filter(pl.col("tax_minor_taken") > pl.col("tax_minor")).is_empty()
    whole = both.filter(pl.col("net_minor_taken") == pl.col("net_minor"))
    assert (whole["tax_minor_taken"] == whole["tax_minor"]).all()
