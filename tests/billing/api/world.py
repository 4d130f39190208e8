"""Two companies in one database that have something of every kind, made by acts and jobs alone.

Each has a head, which pays by card and has a contract, and below it a shop, which pays by transfer and is
late. Whatever is named after a company is named alike in the other, so that nothing but the owner differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from small_offer import FIRST, open_offer
from sqlalchemy import Table, select

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.gateways.simulated_stock import SimulatedStock
from billing.jobs.allocate import allocate
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.jobs.import_usage import import_usage
from billing.jobs.sequence_events import sequence_events
from billing.service import catalog, charges, customers, parties, subscriptions
from billing.service.api_keys import create_key, mint
from billing.service.chargebacks import open_chargeback
from billing.service.credit_notes import issue_credit_note
from billing.service.discounts import create_discount, give_discount
from billing.service.goods import create_sku
from billing.service.index_clauses import add_index_clause, publish_index_value
from billing.service.invoice_disputes import dispute_invoice
from billing.service.payment_methods import hash_of, start_setup
from billing.service.portal_users import invite_user
from billing.service.purchase_orders import create_purchase_order
from billing.service.purchase_requests import ask_for_approval
from billing.service.refunds import refund
from billing.service.stock import set_stock_rule
from billing.service.subscriptions import NewContract
from billing.service.transfers import receive_transfer
from billing.service.wallets import draw, grant, open_wallet, top_up
from billing.service.webhook_endpoints import create_endpoint
from billing.store import tables
from billing.store.store import Row, Store

COMPANIES = ("a", "b")
START = FIRST.date()
NOW = datetime(2025, 3, 20, 12, tzinfo=UTC)
"""When the world is looked at."""


@dataclass
class Company:
    """What a company has, by the name of a path's parameter: the id of one of each kind. `every`: all ids of
    things that are its own, to look for in answers."""

    name: str
    ids: dict[str, str] = field(default_factory=dict)
    every: set[str] = field(default_factory=set)

    @property
    def head(self) -> str:
        return f"{self.name}-head"

    @property
    def shop(self) -> str:
        return f"{self.name}-shop"


@dataclass(frozen=True)
class World:
    """Companies by name."""

    companies: Mapping[str, Company]

    @property
    def a(self) -> Company:
        return self.companies["a"]

    @property
    def b(self) -> Company:
        return self.companies["b"]


def build(store: Store) -> World:
    """The world, in a migrated database without customers."""
    _open(store)
    world = World({name: Company(name) for name in COMPANIES})
    for company in world.companies.values():
        _join(store, company)
        _order(store, company)
    _trade(store)
    for company in world.companies.values():
        _correct(store, company)
        _wait(store, company)
    dun(store, at(date(2025, 3, 10)))
    sequence_events(store, NOW)
    for company in world.companies.values():
        _find(store, company)
    return world


def at(on: date, hour: int = 8) -> datetime:
    return datetime(on.year, on.month, on.day, hour, tzinfo=UTC)


def _open(store: Store) -> None:
    """Plans of small_offer, goods by the case, an index, and 19 % of tax."""
    open_offer(store, catalog.NewComponent("calls", "usage", "calls"))
    catalog.add_tax_rate(store, FIRST, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
    catalog.create_payment_terms(store, FIRST, terms_id="net14", net_days=14)
    catalog.add_prices(
        store,
        FIRST,
        list_id="standard",
        prices=[
            catalog.NewPrice("pro.1.seats", "per_unit", "5"),
            catalog.NewPrice("pro.1.calls", "per_unit", "0.01"),
            catalog.NewPrice("support.1.fee", "flat", "30"),
        ],
    )
    create_sku(
        store, FIRST, sku_id="paper", product_id="goods", name="Paper", base_unit="case", units={"pallet": 48}
    )
    catalog.create_plan(store, FIRST, plan_id="standing", name="Standing", product_id="goods")
    paper = catalog.NewComponent("paper", "seat", sku_id="paper")
    catalog.publish_plan_version(store, FIRST, plan_id="standing", interval="P1M", components=[paper])
    catalog.add_prices(
        store, FIRST, list_id="standard", prices=[catalog.NewPrice("standing.1.paper", "per_unit", "20")]
    )
    publish_index_value(
        store, FIRST, index_id="cpi", month=date(2024, 12, 1), value="118.2", published_on=START
    )


def _join(store: Store, company: Company) -> None:
    name = company.name
    about = {"entity_id": "seller", "currency": "EUR", "country": "DE"}
    customers.create_customer(
        store, FIRST, customer_id=company.head, name=f"{name.upper()} Head", group_id=f"{name}-group", **about
    )
    customers.create_customer(
        store,
        FIRST,
        customer_id=company.shop,
        name=f"{name.upper()} Shop",
        parent_id=company.head,
        collection="terms",
        terms_id="net14",
        **about,
    )
    for customer_id in (company.head, company.shop):
        where = {"lines": [f"{name.upper()} Street 1"], "city": "Berlin", "country": "DE"}
        parties.set_customer_address(store, FIRST, customer_id=customer_id, **where)
        parties.add_contact(
            store, FIRST, customer_id=customer_id, name="Bea", email=f"bea@{customer_id}.example"
        )
    customers.add_payment_method(store, FIRST, customer_id=company.head, gateway_ref=f"card-{name}")
    customers.add_payment_method(
        store, FIRST, customer_id=company.head, gateway_ref=f"other-{name}", is_default=False
    )
    catalog.create_price_list(
        store,
        FIRST,
        list_id=f"{name}-list",
        name=f"Prices of {name}",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        level="customer",
        owner_id=company.head,
        prices=[catalog.NewPrice("pro.1.fee", "flat", "22")],
    )
    setup: dict[str, Any] = {"setup_id": f"{name}-setup", "token_hash": hash_of(name), "expires_at": NOW}
    start_setup(store, FIRST, customer_id=company.head, **setup)
    create_discount(
        store, FIRST, discount_id=f"{name}-loyal", name=f"Loyal {name}", discount_ppm=50_000, scope="document"
    )
    give_discount(store, FIRST, customer_id=company.head, discount_id=f"{name}-loyal")
    minted = mint("live")
    create_key(
        store,
        FIRST,
        owner=name,
        name=f"Key of {name}",
        prefix=minted.prefix,
        key_hash=minted.key_hash,
        scopes=["customers:read"],
        version=date(2026, 12, 1),
        customer_id=company.head,
    )
    create_purchase_order(
        store, FIRST, customer_id=company.head, number="4711", budget="9000.00", po_id=f"{name}-po"
    )


def _order(store: Store, company: Company) -> None:
    name = company.name
    contract = NewContract(term="P1Y", contract_id=f"{name}-frame")
    subscriptions.subscribe(
        store,
        FIRST,
        customer_id=company.head,
        plan_id="pro",
        quantity=3,
        subscription_id=f"{name}-sub",
        contract=contract,
    )
    add_index_clause(
        store,
        FIRST,
        contract_id=f"{name}-frame",
        index_id="cpi",
        base_value="118.2",
        first_on=date(2026, 1, 1),
        clause_id=f"{name}-clause",
    )
    supply = NewContract(term="P1Y", contract_id=f"{name}-supply")
    for customer_id, plan_id, subscription_id, under in (
        (company.shop, "basic", f"{name}-late", None),
        (company.head, "standing", f"{name}-goods", supply),
    ):
        subscriptions.subscribe(
            store,
            FIRST,
            customer_id=customer_id,
            plan_id=plan_id,
            quantity=10,
            subscription_id=subscription_id,
            contract=under,
        )
    set_stock_rule(store, FIRST, contract_id=f"{name}-supply", rule="reserve_first")
    events = {
        "source": ["meter"],
        "event_id": [f"{name}-event"],
        "item_id": [_first(store, tables.items, "subscription_id", f"{name}-sub")["item_id"]],
        "meter_id": ["calls"],
        "value": ["12.5"],
        "occurred_on": [START],
    }
    import_usage(store, at(START + timedelta(days=1)), pl.DataFrame(events))
    create_endpoint(
        store,
        FIRST,
        endpoint_id=f"{name}-endpoint",
        owner=name,
        customer_id=company.head,
        url="https://hooks.example.com/in",
        sealed="never opened here",
        version=START,
    )
    wallet_id = open_wallet(
        store, FIRST, customer_id=company.shop, name="Prepaid", wallet_id=f"{name}-wallet"
    )
    grant(store, FIRST, wallet_id=wallet_id, amount="5.00", reason="Welcome", expires_on=date(2026, 1, 1))


def _trade(store: Store) -> None:
    """January and February: billed, collected, and the goods of the month set aside."""
    gateway, stock = SimulatedGateway(), SimulatedStock()
    stock.plan("paper", 15)  # Of the forty that are wanted in two months.
    for on in (START, date(2025, 2, 1)):
        allocate(store, stock, at(on, 9), up_to=on)
        bill(store, at(on, 20), up_to=on)
        collect(store, gateway, at(on, 21))


def _correct(store: Store, company: Company) -> None:
    """A credit, a refund and a dispute of what the head paid; a transfer and an objection of the shop."""
    on = at(date(2025, 2, 10))
    paid = _first(store, tables.invoices, "customer_id", company.head, state="paid")
    line = _first(store, tables.line_items, "invoice_id", paid["invoice_id"])
    issue_credit_note(store, on, reason="Kind", lines=[(line["line_id"], 500)])
    payment = _first(store, tables.payments, "customer_id", company.head)
    refund(store, on, payment_id=payment["payment_id"], amount_minor=100)
    open_chargeback(store, on, payment_id=payment["payment_id"], amount_minor=700)
    owed = _first(store, tables.invoices, "customer_id", company.shop, state="open")
    receive_transfer(
        store, on, invoice_id=owed["invoice_id"], amount_minor=300, bank_ref=f"bank {company.name}"
    )
    dispute_invoice(store, on, invoice_id=owed["invoice_id"], reason="Short", amount_minor=200)
    top_up(store, on, wallet_id=f"{company.name}-wallet", amount="20.00", product_id="goods")
    grant(store, on, wallet_id=f"{company.name}-wallet", amount="7.00", reason="Sorry")
    draw(store, on, wallet_id=f"{company.name}-wallet", invoice_id=owed["invoice_id"], amount_minor=150)
    charges.add_charge(store, on, subscription_id=f"{company.name}-sub", description="Set up", amount="25.00")


def _wait(store: Store, company: Company) -> None:
    """The shop may owe no more, so what it orders waits for a person's word; an order of the head's buyer
    waits for an approver."""
    on = at(date(2025, 2, 11))
    buyer = invite_user(
        store, on, customer_id=company.head, email=f"buyer@{company.name}-head.example", name="Buyer"
    )
    ask_for_approval(
        store,
        on,
        customer_id=company.head,
        asked_by=buyer,
        act="cancel",
        arguments={"subscription_id": f"{company.name}-sub"},
        due_now_minor=0,
        yearly_minor=0,
        currency="EUR",
        preview_hash="x",
    )
    customers.change_customer(store, on, customer_id=company.shop, credit_limit_minor=1)
    with suppress(BillingError):
        subscriptions.subscribe(store, on, customer_id=company.shop, plan_id="basic")


KINDS: Mapping[str, tuple[Table, str, str]] = {
    "address_id": (tables.addresses, "customer_id", "head"),
    "contact_id": (tables.contacts, "customer_id", "head"),
    "method_id": (tables.payment_methods, "customer_id", "head"),
    "setup_id": (tables.method_setups, "customer_id", "head"),
    "contract_id": (tables.contracts, "customer_id", "head"),
    "subscription_id": (tables.subscriptions, "sold_to", "head"),
    "item_id": (tables.items, "customer_id", "head"),
    "invoice_id": (tables.invoices, "customer_id", "shop"),
    "note_id": (tables.credit_notes, "customer_id", "head"),
    "payment_id": (tables.payments, "customer_id", "head"),
    "transfer_id": (tables.bank_transfers, "customer_id", "shop"),
    "wallet_id": (tables.wallets, "customer_id", "shop"),
    "po_id": (tables.purchase_orders, "customer_id", "head"),
    "approval_id": (tables.approvals, "customer_id", "shop"),
    "case_id": (tables.dunning_cases, "customer_id", "shop"),
    "list_id": (tables.price_lists, "owner_id", "head"),
    "endpoint_id": (tables.webhook_endpoints, "customer_id", "head"),
    "key_id": (tables.api_keys, "customer_id", "head"),
    "user_id": (tables.portal_users, "customer_id", "head"),
    "request_id": (tables.purchase_requests, "customer_id", "head"),
}
"""Things of a customer, by their key: the table, whose it says it is, and which customer has one."""
PARTS: Mapping[str, tuple[Table, str]] = {
    "charge_id": (tables.one_time_charges, "item_id"),
    "clause_id": (tables.contract_clauses, "contract_id"),
    "line_id": (tables.line_items, "invoice_id"),
    "refund_id": (tables.refunds, "payment_id"),
    "dispute_id": (tables.disputes, "payment_id"),
    "grant_id": (tables.wallet_grants, "wallet_id"),
    "price_id": (tables.prices, "list_id"),
}
"""Things of these things."""


def _find(store: Store, company: Company) -> None:
    """Note the ids of what a company has."""
    ids = company.ids
    ids["customer_id"] = company.head
    owners = (company.head, company.shop)
    company.every |= {*owners, f"{company.name}-loyal", f"{company.name}-event", f"{company.name}-group"}
    for key, (table, owner, who) in KINDS.items():
        ids[key] = str(_first(store, table, owner, getattr(company, who))[key])
        company.every |= _all(store, table, key, owner, owners)
    for key, (table, owner) in PARTS.items():
        whole = _all(store, *_whole_of(owner), owners)
        ids[key] = sorted(_all(store, table, key, owner, tuple(whole)))[0]
        company.every |= _all(store, table, key, owner, tuple(whole))
    sent = _first(store, tables.webhook_deliveries, "endpoint_id", ids["endpoint_id"])
    event = _first(store, tables.events, "sequence", sent["sequence"])
    ids |= {name: str(event[name]) for name in ("sequence", "message_id", "subject_id")}
    company.every |= _all(store, tables.events, "message_id", "customer_id", owners)
    of_sub = _first(store, tables.items, "subscription_id", f"{company.name}-sub")
    goods = _first(store, tables.items, "subscription_id", f"{company.name}-goods")
    told = _first(store, tables.events, "customer_id", company.head)
    objection = _first(store, tables.invoice_disputes, "invoice_id", ids["invoice_id"])
    ids |= {
        "subscription_id": f"{company.name}-sub",
        "item_id": str(of_sub["item_id"]),
        "order_id": str(_first(store, tables.stock_orders, "item_id", goods["item_id"])["order_id"]),
        "invoice_dispute_id": str(objection["dispute_id"]),
        "discount_id": f"{company.name}-loyal",
        "event_id": str(told["message_id"]),
        "sequence": str(told["sequence"]),
    }
    company.every |= {ids["invoice_dispute_id"], ids["order_id"]}
    company.every |= _all(store, tables.events, "message_id", "customer_id", owners)
    for table in (tables.invoices, tables.credit_notes):
        company.every |= _all(store, table, "number", "customer_id", owners)
    ids["number"] = str(_first(store, tables.invoices, "invoice_id", ids["invoice_id"])["number"])


def _whole_of(owner: str) -> tuple[Table, str, str]:
    table, of, _ = KINDS[owner]
    return table, owner, of


def _all(store: Store, table: Table, key: str, owner: str, owners: tuple[str, ...]) -> set[str]:
    asked = select(table.c[key]).where(table.c[owner].in_(owners))
    return {str(row[key]) for row in store.rows(asked)}


def _first(store: Store, table: Table, column: str, value: str, **more: Any) -> Row:
    """The row of smallest key."""
    asked = select(table).where(
        table.c[column] == value, *(table.c[name] == one for name, one in more.items())
    )
    row = store.row(asked.order_by(*table.primary_key))
    assert row is not None, f"no {table.name} of {value}"
    return row
