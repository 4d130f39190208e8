"""Money given back: what a cancellation refunds, through which payments, and what stays credit."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any, Literal

import polars as pl
import pytest
from shop import (
    Part,
    at,
    fee,
    join,
    last_day,
    life,
    notes,
    open_shop,
    parked,
    perform,
    run,
    sell,
    shop_of_lives,
    take,
)
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.give_back import give_back
from billing.service import customers, refunds, subscriptions, transfers
from billing.service.previews import ChangePreview, preview_change
from billing.store import tables
from billing.store.store import Store

START, ENDED, MARCH = date(2025, 2, 8), date(2025, 2, 21), date(2025, 3, 1)


def shop(store: Store, currency: str = "EUR", price: str = "100", **settings: str | int) -> str:
    open_shop(store, tax_rate_ppm=200_000, cancel_day="used", **settings)
    sell(store, "basic", fee(price), currency=currency)
    join(store, "anna", currency=currency)
    sub = take(store, START, "basic", anchor_on=date(2025, 2, 1))
    run(store, START)
    return sub


def invoice(store: Store) -> dict[str, Any]:
    first = store.row(select(tables.invoices).order_by(tables.invoices.c.invoice_id))
    assert first is not None
    return first


def transfer(store: Store, amount_minor: int, on: date = START) -> str:
    return transfers.receive_transfer(
        store, at(on, 21), invoice_id=invoice(store)["invoice_id"], amount_minor=amount_minor
    )


def by_card(store: Store, gateway: SimulatedGateway, on: date = START) -> None:
    customers.add_payment_method(store, at(on, 21), customer_id="anna", gateway_ref="card")
    collect(store, gateway, at(on, 22))


def end(store: Store, sub: str, money: str | None = "refund", on: date = ENDED) -> None:
    subscriptions.cancel(store, at(on), subscription_id=sub, when="now", money=money)
    run(store, on)
    assert parked(store) == {}


def given(store: Store) -> list[tuple[str, int, str]]:
    """Refunds in the order they were asked for: payment, amount, state."""
    rows = store.rows(select(tables.refunds).order_by(tables.refunds.c.refund_id))
    return [(row["payment_id"], row["amount_minor"], row["state"]) for row in rows]


def previewed_end(store: Store, sub: str, money: Literal["credit", "refund"]) -> ChangePreview:
    return preview_change(
        store,
        at(ENDED),
        lambda store, at: subscriptions.cancel(store, at, subscription_id=sub, when="now", money=money),
        customer_id="anna",
    )


def test_a_preview_of_an_end_shows_what_would_be_given_back(store: Store) -> None:
    # 90.00 gross for 21 days, 75.00 paid, 14 days or 60.00 used.
    sub = shop(store)
    payment = transfer(store, 7500)
    seen = previewed_end(store, sub, "refund")
    assert given(store) == []
    assert seen.refunds.select("payment_id", "amount_minor").rows() == [(payment, 1500)]
    end(store, sub)
    assert given(store) == [
        (row["payment_id"], row["amount_minor"], "requested") for row in seen.refunds.to_dicts()
    ]


def test_a_preview_of_an_end_with_credit_gives_nothing_back(store: Store) -> None:
    sub = shop(store)
    transfer(store, 7500)
    seen = previewed_end(store, sub, "credit")
    assert seen.documents["note_total_minor"].sum() > 0
    assert seen.refunds.is_empty()


def check_books(store: Store) -> int:
    """The journal says what is owed and what is kept, refunds included. Returns the credit kept."""
    books = store.frame(select(tables.journal_lines))
    balance = dict(
        books.group_by("account").agg((pl.col("debit_minor") - pl.col("credit_minor")).sum()).rows()
    )
    total = {
        name: store.frame(select(table))[column].sum()
        for name, table, column in (
            ("invoices", tables.invoices, "total_minor"),
            ("notes", tables.credit_notes, "total_minor"),
            ("applied", tables.applications, "amount_minor"),
            ("paid", tables.payments, "amount_minor"),
        )
    }
    back = store.frame(select(tables.refunds)).filter(pl.col("state") == "refunded")["amount_minor"].sum()
    kept = total["notes"] + total["paid"] - total["applied"] - back
    assert balance["receivable"] == total["invoices"] - total["applied"]
    assert -balance["customer_credit"] == kept >= 0
    assert books["debit_minor"].sum() == books["credit_minor"].sum()
    return int(kept)


@pytest.mark.parametrize(
    ("currency", "price", "by", "target", "left"),
    [
        ("USD", "100", "act", "origin_first", 0),
        ("JPY", "10000", "policy", "balance", 15),
        ("KWD", "10", "policy", "origin_first", 0),
    ],
)
def test_what_was_paid_beyond_the_use_is_given_back_and_the_rest_is_credit(
    store: Store, currency: str, price: str, by: str, target: str, left: int
) -> None:
    """90.00, 9,000 and 9.000 are billed gross for 21 of 28 days at 20 %; a third of it is not used."""
    unit = 100
    settings = {"on_cancel": "refund"} if by == "policy" else {}
    sub = shop(store, currency, price, credit_target=target, **settings)
    assert invoice(store)["total_minor"] == 90 * unit
    paid = transfer(store, 75 * unit)
    end(store, sub, "refund" if by == "act" else None)
    assert [note[2:] for note in notes(store)] == [(25 * unit, 5 * unit)]
    assert given(store) == [(paid, 15 * unit, "requested")]
    refunds.refund_paid(store, at(ENDED, 21), refund_id=store.rows(select(tables.refunds))[0]["refund_id"])
    assert check_books(store) == left * unit
    assert invoice(store)["state"] == ("paid" if target == "origin_first" else "open")


def test_a_refund_goes_through_the_gateway_once_and_comes_off_the_credit(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub)
    assert [one[1:] for one in given(store)] == [(3000, "requested")]
    done = give_back(store, gateway, at(ENDED, 21))
    assert (done.refunded, done.refunded_minor) == (1, {"EUR": 3000})
    assert give_back(store, gateway, at(ENDED, 22)).asked == 0
    assert list(gateway.refunded_minor.values()) == [3000]
    assert check_books(store) == 0
    row = store.rows(select(tables.refunds))[0]
    assert (row["state"], row["refunded_on"]) == ("refunded", ENDED)
    entry = store.row(
        select(tables.journal_entries).where(tables.journal_entries.c.event == "payment_refunded")
    )
    assert entry is not None
    assert entry["source_id"] == row["refund_id"]
    topics = store.frame(select(tables.outbox))["topic"].to_list()
    assert topics.count("refund.requested") == topics.count("refund.made") == 1
    run(store, MARCH)
    assert len(given(store)) == 1


def test_an_unknown_refund_is_asked_again_with_its_key(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub)
    gateway.plan_refunds(["unknown", "unknown", "captured"])
    made = [give_back(store, gateway, at(ENDED + timedelta(days=day), 21)) for day in range(4)]
    assert [(one.asked, one.unknown, one.refunded) for one in made] == [
        (1, 1, 0),
        (1, 1, 0),
        (1, 0, 1),
        (0, 0, 0),
    ]
    assert len(gateway.refunded_minor) == 1
    assert check_books(store) == 0


def test_a_refund_that_is_declined_stays_credit_and_pays_the_next_invoice(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub)
    gateway.plan_refunds(["account_closed"])
    assert give_back(store, gateway, at(ENDED, 21)).failed == 1
    assert [one[1:] for one in given(store)] == [(3000, "failed")]
    assert check_books(store) == 3000
    take(store, MARCH, "basic")
    run(store, MARCH)
    assert check_books(store) == 0


def test_several_payments_are_given_back_newest_first(store: Store) -> None:
    sub, gateway = shop(store, on_cancel="refund"), SimulatedGateway()
    first = transfer(store, 4000)
    by_card(store, gateway, date(2025, 2, 9))
    assert invoice(store)["state"] == "paid"
    subscriptions.cancel(store, at(date(2025, 2, 10)), subscription_id=sub, when="now")
    run(store, date(2025, 2, 10))
    # 18 of the month's 28 days are not used: 64.29, with a tax of 12.86, come back.
    card = next(row["payment_id"] for row in store.rows(select(tables.payments)) if row["method_id"])
    assert sorted(given(store)) == sorted([(card, 5000, "requested"), (first, 2715, "requested")])
    assert give_back(store, gateway, at(date(2025, 2, 10), 21)).refunded_minor == {"EUR": 5000}


@pytest.mark.parametrize("paid", [0, 6000])
def test_what_was_not_paid_beyond_the_use_is_not_given_back(store: Store, paid: int) -> None:
    sub = shop(store)
    if paid:
        transfer(store, paid)
    end(store, sub)
    assert given(store) == []
    assert check_books(store) == 0
    assert invoice(store)["state"] == ("paid" if paid else "open")


def test_new_charges_of_the_day_do_not_eat_a_refund(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    take(store, ENDED, "basic")
    end(store, sub)
    assert [one[1:] for one in given(store)] == [(3000, "requested")]
    assert [
        row["total_minor"] for row in store.rows(select(tables.invoices).order_by(tables.invoices.c.number))
    ] == [
        9000,
        12000,
    ]


def test_each_invoice_gives_back_its_own_payment_and_earlier_credits_count_as_not_used(store: Store) -> None:
    """Two seats, then one: the credit stays and pays a part of March. Then the end, in March."""
    open_shop(store, tax_rate_ppm=0, credit_document="credit_note", on_cancel="refund")
    sell(store, "team", [Part("seat", "seat", "31", "per_unit")])
    join(store, "anna")
    gateway = SimulatedGateway()
    sub = take(store, MARCH, "team", quantity=2)
    run(store, MARCH)
    by_card(store, gateway, MARCH)
    subscriptions.change_quantity(store, at(date(2025, 3, 11)), subscription_id=sub, quantity=1)
    run(store, date(2025, 3, 11))
    run(store, date(2025, 4, 1))
    collect(store, gateway, at(date(2025, 4, 1), 22))
    # April costs 31.00, of which the credit of 21.00 paid most, and 10.00 the card.
    subscriptions.cancel(store, at(date(2025, 4, 16)), subscription_id=sub, when="now")
    run(store, date(2025, 4, 16))
    # 15.50 are used, 10.00 were paid: nothing comes back as money, the note is credit.
    assert given(store) == []
    assert check_books(store) == 1550


def test_a_customer_who_comes_back_after_a_refund_keeps_it(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub)
    subscriptions.reactivate(store, at(date(2025, 2, 25)), subscription_id=sub)
    run(store, date(2025, 2, 25))
    store.execute(update(tables.customers).values(next_bill_on=START, unsettled_from=None))
    run(store, MARCH)
    assert len(given(store)) == 1
    assert len(notes(store)) == 1


# By hand.


def test_kept_credit_is_given_back_by_hand_and_never_more(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub, "credit")
    payment_id = store.rows(select(tables.payments))[0]["payment_id"]
    for amount in (3001, 9001):
        with pytest.raises(BillingError, match="over_refund"):
            refunds.refund(store, at(ENDED, 21), payment_id=payment_id, amount_minor=amount)
    with pytest.raises(BillingError, match="negative_quantity"):
        refunds.refund(store, at(ENDED, 21), payment_id=payment_id, amount_minor=0)
    assert given(store) == []
    for hour, amount in ((21, 1000), (22, 2000)):
        refunds.refund(store, at(ENDED, hour), payment_id=payment_id, amount_minor=amount)
    with pytest.raises(BillingError, match="over_refund"):
        refunds.refund(store, at(ENDED, 23), payment_id=payment_id, amount_minor=1)
    assert give_back(store, gateway, at(ENDED, 23)).refunded_minor == {"EUR": 3000}
    assert check_books(store) == 0
    kept = store.frame(select(tables.rejected_inputs)).filter(pl.col("code") == "over_refund")
    assert kept.height == 3


def test_a_transfer_above_what_is_open_is_refused(store: Store) -> None:
    shop(store)
    with pytest.raises(BillingError, match="amount_out_of_range"):
        transfer(store, 9001)
    transfer(store, 9000)
    assert invoice(store)["state"] == "paid"
    with pytest.raises(BillingError, match="amount_out_of_range"):
        transfer(store, 1)
    assert check_books(store) == 0


def test_a_crash_while_giving_back_repeats_a_key_and_never_a_refund(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub)

    class Crashing:
        charge, find = gateway.charge, gateway.find

        def refund(self, key: str, charge_key: str, amount_minor: int) -> Any:
            gateway.refund(key, charge_key, amount_minor)
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="power"):
        give_back(store, Crashing(), at(ENDED, 21))
    assert give_back(store, gateway, at(ENDED, 22)).refunded == 1
    assert list(gateway.refunded_minor.values()) == [3000]
    assert check_books(store) == 0


def test_a_refund_that_goes_wrong_holds_up_no_other(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    join(store, "ben")
    customers.add_payment_method(store, at(START), customer_id="ben", gateway_ref="card")
    other = take(store, START, "basic", "ben", anchor_on=date(2025, 2, 1))
    run(store, START)
    by_card(store, gateway)
    end(store, sub)
    end(store, other)
    first, second = (row["refund_id"] for row in store.rows(select(tables.refunds).order_by("refund_id")))

    class Failing:
        charge, find = gateway.charge, gateway.find

        def refund(self, key: str, charge_key: str, amount_minor: int) -> Any:
            if key == first:
                raise RuntimeError("no line")
            return gateway.refund(key, charge_key, amount_minor)

    with pytest.raises(RuntimeError, match="no line"):
        give_back(store, Failing(), at(ENDED, 21))
    assert gateway.refunded_minor == {second: 3000}
    assert give_back(store, gateway, at(ENDED, 22)).refunded == 1
    assert gateway.refunded_minor == {first: 3000, second: 3000}
    assert check_books(store) == 0


def test_no_money_goes_back_while_the_books_of_the_day_are_closed(store: Store) -> None:
    sub, gateway = shop(store), SimulatedGateway()
    by_card(store, gateway)
    end(store, sub)
    lock = {"entity_id": "seller", "month": date(2025, 2, 1), "locked_at": at(ENDED, 20)}
    store.insert(tables.accounting_periods, [lock], at(ENDED, 20))
    with pytest.raises(BillingError, match="period_locked"):
        give_back(store, gateway, at(ENDED, 21))
    assert gateway.refunded_minor == {}
    assert give_back(store, gateway, at(MARCH, 21)).refunded == 1


# Any life.


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", [42, 50, 51])
def test_no_life_gives_back_more_than_was_paid_or_kept(seed: int) -> None:
    acts, draw, gateway = life(seed), random.Random(seed), SimulatedGateway()
    with shop_of_lives(on_cancel="refund") as store:
        customers.add_payment_method(store, at(acts[0].on, 1), customer_id="anna", gateway_ref="card")
        on, done = acts[0].on, 0
        while on <= last_day(acts):
            while done < len(acts) and acts[done].on == on:
                perform(store, acts[done], done)
                done += 1
            run(store, on)
            gateway.plan_refunds([draw.choice(["captured", "unknown", "do_not_honor"]) for _ in range(3)])
            if on.day % 3 == 0:
                collect(store, gateway, at(on, 21))
                give_back(store, gateway, at(on, 22))
            on += timedelta(days=1)
        gateway.plan_refunds([])
        give_back(store, gateway, at(on + timedelta(days=9)))
        check_books(store)
        made = store.frame(select(tables.refunds))
        assert made.height
        assert set(made["state"]) <= {"refunded", "failed"}
        live = made.filter(pl.col("state") == "refunded").with_columns(pl.col("amount_minor").alias("back"))
        assert sum(gateway.refunded_minor.values()) == live["back"].sum()
        paid = store.frame(select(tables.payments))
        by_payment = live.group_by("payment_id").agg(pl.col("back").sum()).join(paid, on="payment_id")
        assert (by_payment["back"] <= by_payment["amount_minor"]).all()
        used = store.frame(select(tables.applications)).select("source_id", "amount_minor")
        spent = pl.concat([used, live.select(pl.col("note_id").alias("source_id"), "amount_minor")])
        spent = spent.group_by("source_id").agg(pl.col("amount_minor").sum())
        kept = store.frame(select(tables.credit_notes)).join(spent, left_on="note_id", right_on="source_id")
        assert (kept["amount_minor"] <= kept["total_minor"]).all()
        store.execute(update(tables.customers).values(next_bill_on=acts[0].on, unsettled_from=None))
        again = run(store, last_day(acts), 23)
        assert (again.lines, again.credit_notes) == (0, 0)
