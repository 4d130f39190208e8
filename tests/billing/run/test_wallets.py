"""Wallets: balance given away or bought, drawn by bill runs, that expires, tops itself up and adds up."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from shop import at, fee, join, new_store, open_shop, parked, run, sell, take
from sqlalchemy import select, text, update
from test_credit_notes import refused

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.wallets import expire_grants
from billing.service import catalog, customers, subscriptions, wallets
from billing.service.credit_notes import issue_credit_note
from billing.service.voids import void_invoice
from billing.store import tables
from billing.store.store import Store, open_store

JANUARY, FEBRUARY, MARCH = (date(2025, month, 1) for month in (1, 2, 3))


def shop(store: Store, price: str = "25", tax_rate_ppm: int = 0, **named: Any) -> str:
    """Anna, who pays a monthly fee from January on, and has a wallet."""
    open_shop(store, tax_rate_ppm=tax_rate_ppm)
    sell(store, "basic", fee(price))
    join(store, "anna")
    take(store, JANUARY, "basic")
    return purse(store, "purse", **named)


def purse(store: Store, wallet_id: str, **named: Any) -> str:
    about = {"name": wallet_id, "wallet_id": wallet_id} | named
    return wallets.open_wallet(store, at(JANUARY, 1), customer_id="anna", **about)


def give(store: Store, amount: str, on: date = JANUARY, wallet_id: str = "purse", **named: Any) -> str:
    return wallets.grant(store, at(on, 2), wallet_id=wallet_id, amount=amount, reason="welcome", **named)


def pay(store: Store, on: date) -> None:
    """Let anna's card pay what is due."""
    if not store.rows(select(tables.payment_methods)):
        customers.add_payment_method(store, at(on, 1), customer_id="anna", gateway_ref="card")
    collect(store, SimulatedGateway(), at(on, 23))


def invoices(store: Store) -> list[tuple[str, int, str]]:
    frame = store.frame(select(tables.invoices)).sort("invoice_id")
    return frame.select("kind", "total_minor", "state").rows()


def moves(store: Store) -> list[tuple[str, int]]:
    frame = store.frame(select(tables.wallet_movements)).sort("movement_id")
    return frame.select("kind", "amount_minor").rows()


def left_of(store: Store) -> dict[str, int]:
    """What is left of each grant, from the tables."""
    taken = (
        store.frame(select(tables.wallet_movements)).group_by("grant_id").agg(pl.col("amount_minor").sum())
    )
    grants = store.frame(select(tables.wallet_grants)).join(taken, on="grant_id", how="left", suffix="_taken")
    left = pl.col("amount_minor") - pl.col("amount_minor_taken").fill_null(0)
    return dict(grants.sort("grant_id").select("grant_id", left.alias("left")).rows())


def balance(store: Store, account: str) -> int:
    """What an account owes the customer, by the journal."""
    books = store.frame(select(tables.journal_lines)).filter(account=account)
    return int(books["credit_minor"].sum() - books["debit_minor"].sum())


def check_books(store: Store) -> None:
    """Credit and balance are payments and notes and grants, less what they paid, went back or expired; what
    is owed is what nothing paid. Nothing is below 0, and each entry balances."""
    frames = {
        name: store.frame(select(table))
        for name, table in (
            ("invoices", tables.invoices),
            ("notes", tables.credit_notes),
            ("used", tables.applications),
            ("paid", tables.payments),
            ("back", tables.refunds),
            ("books", tables.journal_lines),
        )
    }
    by_kind = dict(frames["used"].group_by("source_kind").agg(pl.col("amount_minor").sum()).rows())
    paid = frames["paid"].filter(state="captured")["amount_minor"].sum()
    back = frames["back"].filter(state="refunded")["amount_minor"].sum()
    credit = frames["notes"]["total_minor"].sum() + paid - back
    credit -= by_kind.get("credit_note", 0) + by_kind.get("payment", 0)
    assert balance(store, "customer_credit") == credit >= 0
    left = left_of(store)
    assert all(one >= 0 for one in left.values())
    assert balance(store, "wallet") == sum(left.values())
    drawn = sum(amount for kind, amount in moves(store) if kind in ("draw", "returned"))
    assert drawn == by_kind.get("wallet", 0)
    owed = frames["invoices"].filter(state="open")["total_minor"].sum()
    is_open = frames["invoices"].filter(state="open").select("invoice_id")
    owed -= frames["used"].join(is_open, on="invoice_id")["amount_minor"].sum()
    assert -balance(store, "receivable") == owed
    sides = frames["books"].group_by("entry_id").agg(pl.col("debit_minor", "credit_minor").sum())
    assert (sides["debit_minor"] == sides["credit_minor"]).all()
    per_invoice = frames["used"].group_by("invoice_id").agg(pl.col("amount_minor").sum())
    assert (
        per_invoice.join(frames["invoices"], on="invoice_id")
        .filter((pl.col("amount_minor") > pl.col("total_minor")) | (pl.col("amount_minor") < 0))
        .is_empty()
    )


def test_a_grant_of_100_pays_25_and_then_35(store: Store) -> None:
    shop(store)
    give(store, "100")
    run(store, JANUARY)
    assert list(left_of(store).values()) == [7500]
    sell(store, "more", fee("10"))
    take(store, FEBRUARY, "more")
    run(store, FEBRUARY)
    assert moves(store) == [("draw", 2500), ("draw", 3500)]
    assert list(left_of(store).values()) == [4000]
    assert invoices(store) == [("regular", 2500, "paid"), ("regular", 3500, "paid")]
    assert balance(store, "wallet") == 4000
    check_books(store)


def test_a_wallet_pays_after_tax_and_what_it_lacks_stays_open(store: Store) -> None:
    shop(store, tax_rate_ppm=200_000)
    give(store, "10")
    run(store, JANUARY)
    assert moves(store) == [("draw", 1000)]
    assert invoices(store) == [("regular", 3000, "open")]
    pay(store, JANUARY)
    amounts = store.frame(select(tables.payments))["amount_minor"].to_list()
    assert (amounts, balance(store, "receivable")) == ([2000], 0)


def test_credit_of_a_note_pays_before_a_wallet(store: Store) -> None:
    """10.00 off January, paid by card, pay February before the wallet does."""
    shop(store)
    run(store, JANUARY)
    pay(store, JANUARY)
    line_id = store.rows(select(tables.line_items))[0]["line_id"]
    issue_credit_note(store, at(FEBRUARY, 1), reason="goodwill", lines=[(line_id, 1000)])
    give(store, "100", FEBRUARY)
    run(store, FEBRUARY)
    used = store.frame(select(tables.applications)).sort("application_id")
    assert used.select("source_kind", "amount_minor").rows()[1:] == [("credit_note", 1000), ("wallet", 1500)]
    check_books(store)


def test_wallets_are_drawn_by_priority_then_by_expiry_given_before_bought_the_oldest_first(
    store: Store,
) -> None:
    shop(store, "33", priority=2)
    purse(store, "first", priority=1, product_id="goods")
    last = give(store, "5", expires_on=FEBRUARY)
    bought = wallets.top_up(store, at(JANUARY, 1), wallet_id="first", amount="7")
    pay(store, JANUARY)
    young = give(store, "8", wallet_id="first")
    old = give(store, "6", date(2024, 12, 1), wallet_id="first")
    soon = give(store, "9", wallet_id="first", expires_on=MARCH)
    run(store, date(2025, 1, 2))
    grant = {row["invoice_id"]: row["grant_id"] for row in store.rows(select(tables.wallet_grants))}[bought]
    drawn = store.frame(select(tables.wallet_movements)).sort("movement_id")
    assert drawn.select("grant_id", "amount_minor").rows() == [
        (soon, 900),
        (old, 600),
        (young, 800),
        (grant, 700),
        (last, 300),
    ]


def test_balance_that_is_bought_is_invoiced_taxed_and_usable_once_paid(store: Store) -> None:
    shop(store, tax_rate_ppm=190_000)
    invoice_id = wallets.top_up(
        store, at(JANUARY, 1), wallet_id="purse", amount="17.9699999999999988631316", product_id="goods"
    )
    top_up = store.rows(select(tables.invoices))[0]
    assert (top_up["invoice_id"], top_up["kind"], top_up["number"]) == (
        invoice_id,
        "top_up",
        "INV-2025-000001",
    )
    assert (top_up["net_minor"], top_up["tax_minor"], top_up["state"]) == (1797, 341, "open")
    line = store.rows(select(tables.line_items))[0]
    assert (line["kind"], line["item_id"], line["tax_category"]) == ("top_up", None, "standard")
    assert store.rows(select(tables.tax_lines.c.tax_minor)) == [{"tax_minor": 341}]
    assert {name: balance(store, name) for name in ("receivable", "wallet", "tax_payable")} == {
        "receivable": -2138,
        "wallet": 1797,
        "tax_payable": 341,
    }
    run(store, JANUARY)
    assert moves(store) == []
    pay(store, JANUARY)
    run(store, FEBRUARY)
    assert moves(store) == [("draw", 1797)]
    check_books(store)
    topics = store.frame(select(tables.outbox)).filter(subject_id=invoice_id)["topic"].to_list()
    assert topics == ["invoice.issued"]


def test_a_top_up_is_taxed_as_the_customer_is(store: Store) -> None:
    """A business of another country of the EU accounts for the tax itself."""
    open_shop(store, tax_rate_ppm=190_000)
    join(store, "anna", country="FR", tax_number="FR1", tax_number_confirmed_on=JANUARY)
    purse(store, "purse", product_id="goods")
    wallets.top_up(store, at(JANUARY), wallet_id="purse", amount="10")
    line = store.rows(select(tables.line_items))[0]
    assert (line["tax_category"], line["tax_minor"]) == ("reverse_charge", 0)


def test_balance_expires_on_its_day_and_not_before(store: Store) -> None:
    shop(store)
    give(store, "60", expires_on=FEBRUARY)
    run(store, JANUARY)
    assert expire_grants(store, at(date(2025, 1, 31), 22)) == {}
    assert expire_grants(store, at(FEBRUARY, 1)) == {"EUR": 3500}
    assert expire_grants(store, at(FEBRUARY, 2)) == {}
    run(store, FEBRUARY)
    assert moves(store) == [("draw", 2500), ("expiry", 3500)]
    assert (balance(store, "wallet"), balance(store, "wallet_breakage")) == (0, 3500)
    assert "wallet.expired" in store.frame(select(tables.outbox))["topic"].to_list()


def test_what_expires_today_pays_nothing_today_even_before_it_is_taken_away(store: Store) -> None:
    shop(store)
    give(store, "60", expires_on=FEBRUARY)
    run(store, JANUARY)
    run(store, FEBRUARY)
    assert moves(store) == [("draw", 2500)]


def test_a_low_balance_is_topped_up_once_a_day_and_collected(store: Store) -> None:
    shop(store, product_id="goods", low_balance="20", top_up="50")
    give(store, "40")
    run(store, JANUARY)
    assert invoices(store) == [("regular", 2500, "paid"), ("top_up", 5000, "open")]
    sell(store, "more", fee("1"))
    take(store, JANUARY, "more")
    run(store, JANUARY, 21)
    assert [kind for kind, *_ in invoices(store)] == ["regular", "top_up", "regular"]
    pay(store, JANUARY)
    assert invoices(store)[1] == ("top_up", 5000, "paid")
    run(store, FEBRUARY)
    assert list(left_of(store).values()) == [0, 3800]
    assert len(invoices(store)) == 4
    check_books(store)


def test_a_balance_that_expires_is_topped_up_too(store: Store) -> None:
    shop(store, product_id="goods", low_balance="20", top_up="50")
    give(store, "30", expires_on=date(2025, 1, 5))
    expire_grants(store, at(date(2025, 1, 5)))
    assert invoices(store) == [("top_up", 5000, "open")]


def test_a_top_up_that_cannot_be_taxed_is_told_and_stops_no_run(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "basic", fee("25"))
    catalog.create_product(store, at(JANUARY, 1), product_id="odd", name="Odd", tax_code="odd")
    join(store, "anna")
    take(store, JANUARY, "basic")
    purse(store, "purse", product_id="odd", low_balance="20", top_up="50")
    give(store, "40")
    run(store, JANUARY)
    assert parked(store) == {}
    assert invoices(store) == [("regular", 2500, "paid")]
    assert "wallet.top_up_failed" in store.frame(select(tables.outbox))["topic"].to_list()
    refused("no_tax_rate", wallets.top_up, store, at(JANUARY, 22), wallet_id="purse", amount="1")


def test_a_void_returns_what_was_drawn(store: Store) -> None:
    shop(store)
    give(store, "10")
    run(store, JANUARY)
    (invoice,) = store.rows(select(tables.invoices))
    void_invoice(store, at(JANUARY, 21), invoice_id=invoice["invoice_id"], reason="wrong")
    assert moves(store) == [("draw", 1000), ("returned", -1000)]
    assert list(left_of(store).values()) == [1000]
    check_books(store)
    run(store, JANUARY, 22)
    assert moves(store)[2:] == [("draw", 1000)]
    check_books(store)


def test_a_top_up_is_voided_with_what_it_bought_unless_that_was_drawn(store: Store) -> None:
    shop(store, tax_rate_ppm=200_000)
    invoice_id = wallets.top_up(store, at(JANUARY, 1), wallet_id="purse", amount="10", product_id="goods")
    void_invoice(store, at(JANUARY, 2), invoice_id=invoice_id, reason="mistake")
    assert moves(store) == [("revoked", 1000)]
    assert invoices(store) == [("top_up", 1200, "void")]
    assert [balance(store, one) for one in ("wallet", "tax_payable", "receivable")] == [0, 0, 0]
    run(store, JANUARY)
    assert len(moves(store)) == 1
    check_books(store)


def test_what_is_left_of_bought_balance_can_be_credited_and_no_more(store: Store) -> None:
    """Of 100.00 bought and paid 25.00 are drawn, and 75.00 credited with their tax."""
    shop(store, tax_rate_ppm=200_000)
    wallets.top_up(store, at(JANUARY, 1), wallet_id="purse", amount="100", product_id="goods")
    pay(store, JANUARY)
    run(store, date(2025, 1, 2))
    line_id = store.rows(select(tables.line_items).where(tables.line_items.c.kind == "top_up"))[0]["line_id"]

    def credit(amount: int) -> None:
        issue_credit_note(store, at(FEBRUARY), reason="leaves", lines=[(line_id, amount)], give_back=True)

    refused("over_credit", credit, 7001)
    refused("illegal_transition", wallets.close_wallet, store, at(FEBRUARY), wallet_id="purse")
    credit(7000)
    assert moves(store) == [("draw", 3000), ("revoked", 7000)]
    assert store.rows(select(tables.refunds.c.amount_minor)) == [{"amount_minor": 8400}]
    check_books(store)
    wallets.close_wallet(store, at(FEBRUARY), wallet_id="purse")


def test_a_closed_wallet_pays_nothing_and_what_was_given_is_gone(store: Store) -> None:
    shop(store)
    give(store, "10")
    wallets.close_wallet(store, at(JANUARY, 3), wallet_id="purse")
    run(store, JANUARY)
    assert moves(store) == [("expiry", 1000)]
    check_books(store)


def test_a_wallet_pays_by_hand_no_more_than_it_has_or_is_owed(store: Store) -> None:
    shop(store)
    run(store, JANUARY)
    give(store, "10")
    invoice_id = store.rows(select(tables.invoices))[0]["invoice_id"]

    def draw(amount_minor: int, invoice_id: str = invoice_id, wallet_id: str = "purse") -> None:
        wallets.draw(
            store,
            at(JANUARY, 21),
            wallet_id=wallet_id,
            invoice_id=invoice_id,
            amount_minor=amount_minor,
        )

    refused("over_draw", draw, 1001)
    refused("amount_out_of_range", draw, 2501)
    refused("negative_quantity", draw, 0)
    refused("unknown_wallet", draw, 1, wallet_id="none")
    refused("unknown_invoice", draw, 1, invoice_id="none")
    draw(400)
    draw(600)
    refused("over_draw", draw, 1)
    assert moves(store) == [("draw", 400), ("draw", 600)]
    give(store, "20")
    draw(1500)
    assert invoices(store) == [("regular", 2500, "paid")]
    refused("illegal_transition", draw, 1)
    check_books(store)


def test_wallets_that_cannot_be_right_are_refused(store: Store) -> None:
    shop(store)

    def opened(**named: Any) -> None:
        wallets.open_wallet(store, at(JANUARY), **({"customer_id": "anna", "name": "other"} | named))

    refused("unknown_customer", opened, customer_id="none")
    refused("unknown_product", opened, product_id="none")
    refused("missing_value", opened, low_balance="1")
    refused("missing_value", opened, low_balance="1", top_up="1")
    refused("negative_quantity", opened, low_balance="1", top_up="-1", product_id="goods")
    refused("immutable", opened, wallet_id="purse")
    top_up: Callable[..., str] = wallets.top_up
    for code, named in (
        ("unknown_wallet", {"wallet_id": "none"}),
        ("missing_value", {}),
        ("unknown_product", {"product_id": "none"}),
        ("negative_quantity", {"product_id": "goods", "amount": "0.004"}),
        ("float_money", {"product_id": "goods", "amount": 17.97}),
        ("amount_out_of_range", {"product_id": "goods", "amount": "1" + "0" * 15}),
        ("empty_period", {"product_id": "goods", "expires_on": JANUARY}),
    ):
        refused(code, top_up, store, at(JANUARY), **({"wallet_id": "purse", "amount": "1"} | named))
    for code, named in (
        ("missing_value", {"reason": " "}),
        ("too_many_decimals", {"amount": "1.001"}),
        ("negative_quantity", {"amount": "0"}),
        ("empty_period", {"expires_on": JANUARY}),
        ("unknown_wallet", {"wallet_id": "none"}),
    ):
        about = {"wallet_id": "purse", "amount": "1", "reason": "gift"}
        refused(code, wallets.grant, store, at(JANUARY), **(about | named))
    wallets.close_wallet(store, at(JANUARY), wallet_id="purse")
    refused("illegal_transition", wallets.close_wallet, store, at(JANUARY), wallet_id="purse")
    refused("illegal_transition", give, store, "1")
    assert store.rows(select(tables.wallet_grants)) == []


WAITING = select(text("pid")).select_from(
    text("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
)


def test_two_runs_at_once_draw_a_grant_once(request: pytest.FixtureRequest) -> None:
    """Two members of one payer are billed by two runs; the payer's grant covers one and a half of them."""
    fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
    url = fresh()
    with open_store(url) as one, open_store(url) as other:
        shop(one)
        for name in ("left", "right"):
            join(one, name)
            own = tables.customers.c.customer_id == name  # In a tree of its own, so that two runs take them.
            one.execute(update(tables.customers).where(own).values(bill_to_id="anna"))
            take(one, JANUARY, "basic", name)
        run(one, JANUARY, 1)
        give(one, "60", JANUARY)
        with ThreadPoolExecutor() as pool:
            done = [pool.submit(run, store, FEBRUARY, chunk_size=1) for store in (one, other)]
            assert sum(each.result().invoices for each in done) == 3
        assert sum(amount for _, amount in moves(one)) == 6000
        check_books(one)


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", [1, 3])
def test_credit_and_balance_add_up_whatever_happens(seed: int) -> None:
    draw, gateway = random.Random(seed), SimulatedGateway(seed, decline_ppm=300_000)
    store = new_store()
    shop(store, "29.99", tax_rate_ppm=190_000, product_id="goods", low_balance="5", top_up="12.34")
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    on, kinds = JANUARY, set[str]()
    for step in range(60):
        on += timedelta(days=draw.randrange(1, 6))
        run(store, on)
        kind = draw.choice(KINDS)
        with suppress(BillingError):
            act(store, on, kind, draw)
            kinds.add(kind)
        if step % 3 == 0:
            collect(store, gateway, at(on, 22))
        expire_grants(store, at(on, 23))
        check_books(store)
    assert {kind for kind, _ in moves(store)} == {"draw", "expiry", "returned", "revoked"}
    assert kinds == set(KINDS)
    assert parked(store) == {}
    numbers = store.frame(select(tables.invoices))["number"].sort().to_list()
    assert numbers == [f"INV-2025-{place:06}" for place in range(1, len(numbers) + 1)]


KINDS = ("grant", "top_up", "note", "void", "void", "change", "draw")


def act(store: Store, on: date, kind: str, draw: random.Random) -> None:
    """Something happens in the evening, to an open invoice where there is one."""
    amount = f"{draw.randrange(1, 12)}.{draw.randrange(100):02}"
    issued = store.frame(select(tables.invoices)).sort("invoice_id")
    still_open = issued.filter(state="open")
    invoice_id = draw.choice((still_open if still_open.height else issued)["invoice_id"].to_list())
    if kind == "grant":
        expires_on = draw.choice([None, on + timedelta(days=draw.randrange(2, 50))])
        give(store, amount, on, expires_on=expires_on)
    elif kind == "top_up":
        wallets.top_up(store, at(on, 21), wallet_id="purse", amount=amount)
    elif kind == "note":
        issue_credit_note(store, at(on, 21), reason="goodwill", invoice_id=invoice_id)
    elif kind == "void":
        void_invoice(store, at(on, 21), invoice_id=invoice_id, reason="wrong")
    elif kind == "draw":
        wallets.draw(
            store,
            at(on, 21),
            wallet_id="purse",
            invoice_id=invoice_id,
            amount_minor=draw.randrange(1, 900),
        )
    else:
        subscription = store.rows(select(tables.subscriptions))[0]["subscription_id"]
        subscriptions.change_quantity(
            store, at(on, 21), subscription_id=subscription, quantity=draw.randrange(3)
        )
