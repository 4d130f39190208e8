"""A world that has something of everything, made by acts and jobs alone: what the doctor looks at."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from shop import (
    OPENED,
    PLANS,
    Part,
    at,
    fee,
    item_of,
    join,
    open_shop,
    run,
    sell,
    take,
    use,
)
from sqlalchemy import select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.jobs.give_back import give_back
from billing.jobs.match_transfers import import_transfers
from billing.jobs.wallets import expire_grants
from billing.service import charges, commitments, customers, subscriptions, transfers
from billing.service.catalog import NewTier
from billing.service.credit_notes import issue_credit_note
from billing.service.discounts import create_discount, give_discount
from billing.service.policies import set_policy
from billing.service.pools import agree_pool
from billing.service.subscriptions import NewContract
from billing.service.transfers import match_transfer, return_transfer, unmatch_transfer
from billing.service.voids import void_invoice
from billing.service.wallets import grant, open_wallet, top_up
from billing.service.write_offs import write_off
from billing.store import tables
from billing.store.store import Store

START, END = date(2025, 1, 1), date(2025, 5, 11)
STEP = timedelta(days=10)
ON_TERMS = ("fritz", "lena", "mia")


def build(store: Store) -> Store:
    """Five months of thirteen customers in three currencies, billed and collected every tenth day."""
    _open(store)
    _join(store)
    gateway = SimulatedGateway()
    gateway.plan("emil", "insufficient_funds", from_on=date(2025, 4, 25))
    gateway.plan("gina", "account_closed", from_on=date(2025, 3, 1))
    gateway.plan("bert", ["insufficient_funds", "captured"], from_on=date(2025, 2, 1))
    on = START
    while on <= END:
        _act(store, on)
        run(store, on)
        collect(store, gateway, at(on, 21))
        _transfers(store, on)
        dun(store, at(on, 22))
        give_back(store, gateway, at(on, 22))
        expire_grants(store, at(on, 23))
        on += STEP
    return store


def _open(store: Store) -> None:
    open_shop(store)
    set_policy(
        store, OPENED, name="noted", valid_from=OPENED.date(), settings={"credit_document": "credit_note"}
    )
    for plan_id, (interval, in_advance, parts) in PLANS.items():
        sell(store, plan_id, parts, interval=interval, in_advance=in_advance)
    sell(store, "yen", fee("980"), currency="JPY")
    sell(
        store,
        "dollar",
        [Part("fee", "fee", "49.90"), Part("seat", "seat", "4.95", "per_unit")],
        currency="USD",
    )
    sell(store, "pooled", [Part("calls", "usage", "10.00", "per_unit")], in_advance=False)
    tiers = {"tiers": [NewTier(10, "2.00", "5.00"), NewTier(None, "1.50")]}
    sell(store, "tiered", [Part("seat", "seat", None, "graduated", tiers)])
    create_discount(store, OPENED, discount_id="twice", name="Twice", discount_ppm=100_000, times=2)
    create_discount(
        store, OPENED, discount_id="loyal", name="Loyal", discount_ppm=70_000, scope="document", times=9
    )


def _join(store: Store) -> None:
    about = {"bert": "JPY", "cora": "USD"}
    for customer_id in (
        "anna",
        "bert",
        "cora",
        "emil",
        "fritz",
        "gina",
        "hugo",
        "ida",
        "jan",
        "kim",
        "lena",
        "mia",
        "site",
    ):
        named = {"collection": "terms"} if customer_id in ON_TERMS else {}
        if customer_id == "ida":
            named["policy_name"] = "noted"
        if customer_id == "site":
            named |= {"parent_id": "kim", "bill_to_id": "kim"}
        join(store, customer_id, currency=about.get(customer_id, "EUR"), **named)
        if customer_id not in (*ON_TERMS, "site"):
            customers.add_payment_method(
                store, OPENED, customer_id=customer_id, gateway_ref=f"card-{customer_id}"
            )


def _act(store: Store, on: date) -> None:
    day = (on - START).days
    if day == 0:
        _subscribe(store, on)
    if day:
        for customer_id, value in (("anna", 500), ("ida", 300), ("jan", 900), ("kim", 200)):
            item = item_of(store, f"{customer_id}-sub")
            use(store, on, item, on - timedelta(days=day % 20), value + day, f"{customer_id} {day}")
    if day == 0:
        give_discount(store, at(on), customer_id="cora", discount_id="loyal", valid_start=on)
    if day == 10:
        wallet = open_wallet(store, at(on), customer_id="anna", name="Prepaid")
        grant(store, at(on), wallet_id=wallet, amount="40.00", reason="Welcome", expires_on=date(2025, 3, 1))
        top_up(store, at(on), wallet_id=wallet, amount="30.00", product_id="goods")
    if day == 120:
        lost = store.row(
            select(tables.invoices).where(
                tables.invoices.c.customer_id == "gina", tables.invoices.c.state == "open"
            )
        )
        assert lost is not None
        write_off(store, at(on), invoice_id=lost["invoice_id"], reason="Gone")
    if day == 20:
        subscriptions.change_plan(store, at(on), subscription_id="anna-sub", plan_id="large", when="now")
        subscriptions.change_quantity(store, at(on), subscription_id="cora-sub", quantity=7)
        charges.add_charge(store, at(on), subscription_id="hugo-sub", description="Set up", amount="25.00")
    if day == 40:
        subscriptions.change_quantity(store, at(on), subscription_id="cora-sub", quantity=2, when="now")
        subscriptions.change_plan(store, at(on), subscription_id="ida-sub", plan_id="small", when="now")
    if day == 60:
        subscriptions.pause(store, at(on), subscription_id="cora-sub", until=on + timedelta(days=10))
    if day == 70:
        subscriptions.cancel(store, at(on), subscription_id="hugo-sub", when="now", money="refund")
    if day == 90:
        subscriptions.cancel(store, at(on), subscription_id="ida-sub", when="now")
    if day == 80:
        lines = store.rows(
            select(tables.line_items)
            .where(tables.line_items.c.customer_id == "cora")
            .order_by(tables.line_items.c.line_id)
            .limit(1)
        )
        issue_credit_note(store, at(on), reason="Kind", lines=[(lines[0]["line_id"], 1234)])
    if day == 90:
        _statement(store, on)
    if day == 100:
        owed = store.row(select(tables.invoices).where(tables.invoices.c.customer_id == "mia"))
        assert owed is not None
        void_invoice(store, at(on), invoice_id=owed["invoice_id"], reason="Wrong name")
    if day == 110:
        subscriptions.reactivate(store, at(on), subscription_id="hugo-sub")


def _subscribe(store: Store, on: date) -> None:
    def sub(customer_id: str, plan_id: str, **named: object) -> None:
        take(store, on, plan_id, customer_id, subscription_id=f"{customer_id}-sub", **named)

    sub("anna", "small", quantity=3)
    sub("bert", "yen")
    sub("cora", "dollar", quantity=5)
    sub("emil", "week")
    sub("fritz", "quarter", quantity=4, contract=NewContract(term="P1Y", contract_id="fritz-frame"))
    sub("gina", "small", trial_days=14)
    sub("hugo", "large", quantity=2, discount_ids=["twice"])
    sub("ida", "large", quantity=1)
    sub("jan", "arrears")
    sub("kim", "pooled", contract=NewContract(term="P1Y", contract_id="frame"))
    sub("lena", "large", quantity=1)
    sub("mia", "quarter", quantity=1)
    sub("site", "tiered", quantity=14, bill_to="kim")
    tiers = [NewTier(1000, "10.00"), NewTier(None, "9.00")]
    agree_pool(
        store, at(on), contract_id="frame", components=["pooled.1.calls"], tiers=tiers, clause_id="pool"
    )
    commitments.change_commitment(store, at(on), subscription_id="jan-sub", committed_minimum_minor=5000)


def _statement(store: Store, on: date) -> None:
    """What came in at the bank: one transfer that stays unknown, one that goes back, and one that is matched
    by hand, wrongly at first, and brings more than is owed."""
    rows = {
        "entity_id": ["seller"] * 3,
        "bank_ref": ["b1", "b2", "b3"],
        "received_on": [on.isoformat()] * 3,
        "amount": ["10.00", "20.00", "500.00"],
        "currency": ["EUR"] * 3,
    }
    import_transfers(store, at(on), pl.DataFrame(rows))
    is_new = tables.bank_transfers.c.bank_ref.in_(rows["bank_ref"])
    asked = select(tables.bank_transfers).where(is_new).order_by(tables.bank_transfers.c.bank_ref)
    _, back, known = [row["transfer_id"] for row in store.rows(asked)]
    return_transfer(store, at(on), transfer_id=back)
    match_transfer(store, at(on), transfer_id=known, customer_id="fritz")
    unmatch_transfer(store, at(on), transfer_id=known)
    match_transfer(store, at(on), transfer_id=known, customer_id="lena")


def _transfers(store: Store, on: date) -> None:
    """Fritz pays by transfer, in two parts."""
    asked = select(tables.invoices).where(
        tables.invoices.c.customer_id == "fritz", tables.invoices.c.state == "open"
    )
    for row in store.rows(asked):
        paid = store.rows(
            select(tables.applications).where(tables.applications.c.invoice_id == row["invoice_id"])
        )
        left = row["total_minor"] - sum(one["amount_minor"] for one in paid)
        amount = left if paid else left // 2
        transfers.receive_transfer(
            store, at(on, 21), invoice_id=row["invoice_id"], amount_minor=amount, bank_ref=f"bank {on}"
        )
