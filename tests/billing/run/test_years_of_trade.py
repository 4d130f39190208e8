"""Any trade, day after day: customers, staff, gateway, bank and clock act at random, and after each day the
books balance and the doctor finds nothing.

TAJDID_TRADES says how many trades are played, TAJDID_TRADE_DAYS how many days each has on which the jobs run
(`make test-trades`). A trade is a function of its number; what was done stands in the error of one that
fails.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest
import shop
from polars.testing import assert_frame_equal
from sqlalchemy import func, select

from billing.core.money import BillingError
from billing.core.refusals import REFUSALS
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.doctor.examination import examine
from billing.jobs.dun import dun
from billing.jobs.give_back import give_back
from billing.jobs.import_usage import import_usage
from billing.jobs.match_transfers import import_transfers
from billing.jobs.wallets import expire_grants
from billing.service import (
    approvals,
    catalog,
    chargebacks,
    charges,
    contracts,
    credit_notes,
    customers,
    discounts,
    refunds,
    subscriptions,
    transfers,
    voids,
    wallets,
    write_offs,
)
from billing.store import tables
from billing.store.store import Row, Store

TRADES = int(os.environ.get("TAJDID_TRADES", "1"))
DAYS = int(os.environ.get("TAJDID_TRADE_DAYS", "25"))

PAYERS = ("anna", "bert", "kuwait")
BUYERS = (*PAYERS, "branch")
EUR_PLANS = tuple(shop.PLANS)
OUTCOMES = (
    "captured",
    "captured",
    "insufficient_funds",
    "stolen_card",
    "authentication_required",
    "timeout",
    "unknown",
)
WHENS = (None, "now", "period_end")


class Trade:
    """A shop and three payers: anna has a card, bert pays 30 days net with a discount for early payment and
    also for his branch, kuwait pays by card in dinars."""

    def __init__(self, store: Store, number: int, days: int = DAYS) -> None:
        self.store, self.days = store, days
        self.draw = random.Random(number)
        self.done: list[str] = []
        self.day = date(2024, 1, 1)
        self.hour = 8
        self.gateway = SimulatedGateway(fee_ppm=3_000)
        self.events = 0
        self.transfers = 0

    def open(self) -> None:
        store = shop.open_shop(self.store)
        catalog.add_tax_rate(
            store, shop.OPENED, country="FR", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1)
        )
        for plan_id, (interval, in_advance, parts) in shop.PLANS.items():
            shop.sell(store, plan_id, parts, interval=interval, in_advance=in_advance)
            catalog.create_price_list(
                store,
                shop.OPENED,
                list_id=f"{plan_id}-KWD",
                name=plan_id,
                currency="KWD",
                valid_start=date(2000, 1, 1),
                prices=[
                    catalog.NewPrice(f"{plan_id}.1.{part.name}", part.model, part.price, **part.terms)
                    for part in parts
                ],
            )
        catalog.create_payment_terms(
            store, shop.OPENED, terms_id="early", net_days=30, discount_ppm=20_000, discount_days=10
        )
        shop.join(store, "anna")
        shop.join(store, "bert", collection="terms", terms_id="early", time_zone="Europe/Berlin")
        shop.join(store, "kuwait", currency="KWD", country="KW", time_zone="Asia/Kuwait")
        shop.join(store, "branch", parent_id="bert", bill_to_id="bert", country="FR")
        for payer in ("anna", "kuwait"):
            customers.add_payment_method(store, shop.OPENED, customer_id=payer, gateway_ref=f"{payer}-1")

    # What time it is, and what is there.

    @property
    def at(self) -> datetime:
        return datetime.combine(self.day, time(self.hour), UTC)

    def do(self, act: Callable[..., Any], **arguments: Any) -> Any:
        """Act; what may not be is refused with a code that is explained."""
        try:
            return act(self.store, self.at, **arguments)
        except BillingError as refusal:
            if refusal.code not in REFUSALS or refusal.code == "unexpected":
                raise
            return None

    def rows(self, table: Any, *where: Any) -> list[Row]:
        return self.store.rows(select(table).where(*where).order_by(*table.primary_key.columns))

    def one(self, table: Any, number: int, *where: Any) -> Row | None:
        """A row of a table: the newest, or one before it."""
        found = self.rows(table, *where)
        return found[-1 - number % len(found)] if found else None

    def subscription(self, number: int) -> str:
        found = self.one(tables.subscriptions, number)
        return str(found["subscription_id"]) if found else "none"

    # Customers.

    def subscribe(self) -> None:
        buyer = self.draw.choice(BUYERS)
        plan = self.draw.choice(EUR_PLANS)
        quantity = self.draw.randrange(6)
        trial = self.draw.choice([0, 0, 10])
        if len(self.rows(tables.subscriptions)) < 8:
            term = subscriptions.NewContract("P3M", notice_days=10) if quantity == 5 else None
            self.do(
                subscriptions.subscribe,
                customer_id=buyer,
                plan_id=plan,
                quantity=quantity,
                trial_days=0 if term else trial,
                contract=term,
            )

    def change_plan(self) -> None:
        number = self.draw.randrange(6)
        plan = self.draw.choice(EUR_PLANS)
        when = self.draw.choice(WHENS)
        self.do(subscriptions.change_plan, subscription_id=self.subscription(number), plan_id=plan, when=when)

    def change_quantity(self) -> None:
        number = self.draw.randrange(6)
        quantity = self.draw.randrange(6)
        self.do(subscriptions.change_quantity, subscription_id=self.subscription(number), quantity=quantity)

    def pause(self) -> None:
        number = self.draw.randrange(6)
        days = self.draw.choice([None, 3, 20])
        until = self.day + timedelta(days=days) if days else None
        self.do(subscriptions.pause, subscription_id=self.subscription(number), until=until)

    def resume(self) -> None:
        number = self.draw.randrange(6)
        self.do(subscriptions.resume, subscription_id=self.subscription(number))

    def cancel(self) -> None:
        number = self.draw.randrange(6)
        when = self.draw.choice(["now", "period_end"])
        money = self.draw.choice([None, "credit", "refund", "none"])
        self.do(subscriptions.cancel, subscription_id=self.subscription(number), when=when, money=money)

    def come_back(self) -> None:
        number = self.draw.randrange(6)
        self.do(subscriptions.reactivate, subscription_id=self.subscription(number))

    def use(self) -> None:
        number = self.draw.randrange(6)
        quantity = self.draw.randint(1, 5_000)
        days_ago = self.draw.randint(0, 12)
        item = self.one(tables.items, number)
        if item is None:
            return
        self.events += 1
        event = {
            "source": ["meter"],
            "event_id": [str(self.events)],
            "item_id": [item["item_id"]],
            "meter_id": ["calls"],
            "value": [quantity],
            "occurred_on": [self.day - timedelta(days=days_ago)],
        }
        import_usage(self.store, self.at, pl.DataFrame(event))

    def give_another_card(self) -> None:
        payer = self.draw.choice(PAYERS)
        self.do(customers.add_payment_method, customer_id=payer, gateway_ref=f"{payer}-{self.day}")

    # Staff.

    def charge_once(self) -> None:
        number = self.draw.randrange(6)
        amount = self.draw.choice(["0.01", "7.50", "100"])
        self.do(
            charges.add_charge,
            subscription_id=self.subscription(number),
            amount=amount,
            description="Extra",
        )

    def credit(self) -> None:
        number = self.draw.randrange(6)
        percent = self.draw.randint(1, 100)
        give = self.draw.random() < 0.5
        line = self.one(tables.line_items, number, tables.line_items.c.net_minor > 0)
        if line:
            part = max(line["net_minor"] * percent // 100, 1)
            self.do(
                credit_notes.issue_credit_note,
                lines=[(line["line_id"], part)],
                reason="goodwill",
                give_back=give,
            )

    def void(self) -> None:
        number = self.draw.randrange(6)
        invoice = self.one(tables.invoices, number, tables.invoices.c.state == "open")
        if invoice:
            self.do(voids.void_invoice, invoice_id=invoice["invoice_id"], reason="wrong")

    def promise(self) -> None:
        payer = self.draw.choice(PAYERS)
        amount = self.draw.choice(["1.00", "40.005", "250"])
        days = self.draw.choice([None, 9])
        expires_on = self.day + timedelta(days=days) if days else None
        wallet = self.wallet(payer)
        self.do(wallets.grant, wallet_id=wallet, amount=amount, reason="welcome", expires_on=expires_on)

    def top_up(self) -> None:
        payer = self.draw.choice(PAYERS)
        amount = self.draw.choice(["17.9699999999999988631316", "300"])
        self.do(wallets.top_up, wallet_id=self.wallet(payer), amount=amount)

    def wallet(self, payer: str) -> str:
        if not self.rows(tables.wallets, tables.wallets.c.wallet_id == payer):
            self.do(
                wallets.open_wallet,
                customer_id=payer,
                name="Prepaid",
                product_id="goods",
                low_balance="5",
                top_up="20",
                wallet_id=payer,
            )
        return payer

    def refund(self) -> None:
        payer = self.draw.choice(PAYERS)
        percent = self.draw.randint(1, 100)
        is_own = tables.payments.c.customer_id == payer
        payment = self.one(tables.payments, 0, tables.payments.c.state == "captured", is_own)
        if payment:
            amount = max(payment["amount_minor"] * percent // 100, 1)
            self.do(refunds.refund, payment_id=payment["payment_id"], amount_minor=amount)

    def decide(self) -> None:
        number = self.draw.randrange(6)
        yes = self.draw.random() < 0.5
        asked = self.one(tables.approvals, number, tables.approvals.c.state == "pending")
        if asked:
            act = approvals.approve if yes else approvals.reject
            self.do(act, approval_id=asked["approval_id"], decided_by="boss")

    def give_up(self) -> None:
        invoice = self.one(tables.invoices, self.draw.randrange(6), tables.invoices.c.state == "open")
        if invoice:
            self.do(write_offs.write_off, invoice_id=invoice["invoice_id"], reason="hopeless")

    def hope_again(self) -> None:
        invoice = self.one(
            tables.invoices, self.draw.randrange(6), tables.invoices.c.state == "uncollectible"
        )
        if invoice:
            self.do(write_offs.reinstate, invoice_id=invoice["invoice_id"])

    def discount(self) -> None:
        """A discount on what a payer is invoiced in the next weeks: a tenth, or five in its currency."""
        payer = self.draw.choice(PAYERS)
        kind = self.draw.choice(["tenth", "five"])
        currency = "KWD" if payer == "kuwait" else "EUR"
        name = f"{kind}-{currency}"
        if not self.rows(tables.discounts, tables.discounts.c.discount_id == name):
            what: dict[str, Any] = {"discount_ppm": 100_000}
            if kind == "five":
                what = {"amount": "5", "currency": currency}
            self.do(
                discounts.create_discount,
                discount_id=name,
                name=name,
                scope="document",
                valid_start=date(2020, 1, 1),
                **what,
            )
        until = self.day + timedelta(days=self.draw.randint(1, 60))
        self.do(discounts.give_discount, customer_id=payer, discount_id=name, valid_end=until)

    # Gateway and bank.

    def take_back(self) -> None:
        """The bank of a payer takes a payment back, all of it or a part."""
        paid = tables.payments
        payment = self.one(paid, self.draw.randrange(6), paid.c.state == "captured", paid.c.kind == "charge")
        if payment:
            amount = self.draw.choice([None, max(payment["amount_minor"] // 2, 1)])
            self.do(chargebacks.open_chargeback, payment_id=payment["payment_id"], amount_minor=amount)

    def settle_dispute(self) -> None:
        open_one = self.one(tables.disputes, 0, tables.disputes.c.closed_on.is_(None))
        if open_one:
            outcome = self.draw.choice(["won", "lost"])
            self.do(chargebacks.close_chargeback, dispute_id=open_one["dispute_id"], outcome=outcome)

    def let_cards(self) -> None:
        payer = self.draw.choice(["anna", "kuwait"])
        outcome = self.draw.choice(OUTCOMES)
        self.gateway.plan(payer, outcome, from_on=self.day)

    def transfer(self) -> None:
        number = self.draw.randrange(6)
        kind = self.draw.choice(["whole", "whole", "early", "part", "over", "nobody"])
        invoice = self.one(tables.invoices, number, tables.invoices.c.state == "open")
        if invoice is None or invoice["currency"] != "EUR":
            return
        total = invoice["total_minor"]
        amount = {"early": total * 98 // 100, "part": total // 3, "over": total + 1_234}.get(kind, total)
        if amount <= 0:
            return
        self.transfers += 1
        row = {
            "entity_id": ["seller"],
            "bank_ref": [f"bank-{self.transfers}"],
            "received_on": [self.day.isoformat()],
            "amount": [f"{amount // 100}.{amount % 100:02}"],
            "currency": ["EUR"],
            "reference": ["thank you" if kind == "nobody" else f"Invoice {invoice['number']}"],
        }
        answer = import_transfers(self.store, self.at, pl.DataFrame(row))
        assert answer.accepted == 1

    def sort_out_a_transfer(self) -> None:
        number = self.draw.randrange(6)
        back = self.draw.random() < 0.5
        lost = self.one(tables.bank_transfers, number, tables.bank_transfers.c.state == "unmatched")
        if lost and back:
            self.do(transfers.return_transfer, transfer_id=lost["transfer_id"])
        elif lost:
            self.do(transfers.match_transfer, transfer_id=lost["transfer_id"], customer_id="bert")

    def unmatch(self) -> None:
        number = self.draw.randrange(6)
        done = self.one(tables.bank_transfers, number, tables.bank_transfers.c.state == "matched")
        if done:
            self.do(transfers.unmatch_transfer, transfer_id=done["transfer_id"])

    # The clock.

    def go_on(self, days: int) -> None:
        """The next days: the jobs run on the last of them."""
        self.day += timedelta(days=days)
        self.jobs()
        self.check()

    def run_again_with_the_clock_set_back(self) -> None:
        """A machine whose clock is an hour slow runs the jobs again."""
        self.hour = 7
        self.jobs()
        self.check()
        self.hour = 8

    def jobs(self) -> None:
        store, at = self.store, self.at
        contracts.renew_due(store, at)
        summary = bill(store, at, up_to=self.day)
        assert summary.parked == 0, self.rows(tables.customers, tables.customers.c.parked_at.is_not(None))
        collect(store, self.gateway, at)
        give_back(store, self.gateway, at)
        expire_grants(store, at)
        dun(store, at)

    def check(self) -> None:
        store = self.store
        assert list(examine(store, self.at)) == []
        sums = store.rows(
            select(
                tables.journal_lines.c.currency,
                func.sum(tables.journal_lines.c.debit_minor).label("debit"),
                func.sum(tables.journal_lines.c.credit_minor).label("credit"),
            ).group_by(tables.journal_lines.c.currency)
        )
        assert all(row["debit"] == row["credit"] for row in sums), sums
        taken = sum(self.gateway.captured_minor.values())
        paid = tables.payments
        booked = store.rows(
            select(func.coalesce(func.sum(paid.c.amount_minor), 0).label("sum")).where(
                paid.c.state == "captured", paid.c.kind == "charge"
            )
        )
        waiting = [row for row in self.rows(paid, paid.c.state == "pending") if row["attempt"]]
        assert int(booked[0]["sum"]) <= taken
        assert waiting or int(booked[0]["sum"]) == taken, "money that the gateway took is not in the books"

    # The trade.

    def play(self) -> None:
        self.open()
        acts = [getattr(self, name) for name in ACTS]
        for _ in range(self.days):
            for act in self.draw.choices(acts, k=self.draw.randint(1, 6)):
                self.done.append(f"{self.day} {act.__name__}")
                act()
            self.go_on(self.draw.choice((1, 1, 1, 2, 3, 5, 8, 16, 31)))
            if self.draw.random() < 0.1:
                self.run_again_with_the_clock_set_back()
        # Collection and dunning came after the day's run and may have ended or held back what it billed.
        bill(self.store, self.at, up_to=self.day)
        before = len(self.rows(tables.line_items))
        bill(self.store, self.at, up_to=self.day)
        assert len(self.rows(tables.line_items)) == before, "a second run to the same day posts nothing"


ACTS = (
    *("subscribe", "subscribe", "change_plan", "change_plan", "change_quantity", "change_quantity"),
    *("pause", "resume", "resume", "cancel", "come_back", "come_back", "use", "use", "use"),
    *("give_another_card", "give_another_card", "charge_once", "credit", "void", "promise", "top_up"),
    *("refund", "decide", "give_up", "hope_again", "discount", "take_back", "settle_dispute"),
    *("let_cards", "let_cards", "transfer", "transfer", "transfer", "sort_out_a_transfer", "unmatch"),
)


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("number", range(TRADES))
def test_after_every_day_of_a_trade_the_books_balance_and_the_doctor_finds_nothing(number: int) -> None:
    trade = Trade(shop.new_store(), number)
    try:
        trade.play()
    except Exception as error:
        error.add_note("\n".join(trade.done[-40:]))
        raise


class Unwatched(Trade):
    """A trade that nobody looks at before it is over."""

    def check(self) -> None:
        pass


@pytest.mark.parametrize("number", range(TRADES))
def test_a_trade_leaves_equal_tables_on_both_databases_and_in_whatever_order_they_read(
    every_store: tuple[Store, ...], number: int
) -> None:
    for store in every_store:
        Unwatched(store, number, days=2 * DAYS).play()
    filled = 0
    for table in tables.metadata.sorted_tables:
        key = [column.name for column in table.primary_key]
        rows, *others = (store.frame(select(table)).sort(key) for store in every_store)
        for other in others:
            assert_frame_equal(rows, other, check_row_order=True)
        filled += rows.height > 0
    assert filled > 45
