"""A seller with customers who serve themselves: acme with a child and three users, and beta, whom none of
these may see."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from fastapi import FastAPI
from small_offer import FIRST, open_offer
from sqlalchemy import select

from billing.gateways.mail import Mail
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.portal.app import application
from billing.service.catalog import NewPrice, add_prices, add_tax_rate
from billing.service.credit_notes import issue_credit_note
from billing.service.customers import add_payment_method, create_customer
from billing.service.parties import add_contact, set_customer_address
from billing.service.portal_users import invite_user
from billing.service.purchase_orders import create_purchase_order
from billing.service.subscriptions import subscribe
from billing.store.store import IdGenerator, Store, open_store
from billing.store.tables import invoices
from billing.web.context import Services
from billing.web.layers import Door
from billing.web.seal import Vault
from billing.web.stores import Stores

NOW = datetime(2025, 3, 11, 9, tzinfo=UTC)
URL = "http://portal.test"
TITLES = {"en": "Seller GmbH", "ar": "شركة البائع"}
USERS = {
    "sara": {"customer_id": "acme", "role": "buyer", "limit_minor": 100_00, "locale": "en"},
    "omar": {"customer_id": "acme", "role": "approver", "sees_children": True, "locale": "ar"},
    "lina": {"customer_id": "acme", "role": "viewer", "is_account_admin": True},
    "nora": {"customer_id": "north", "role": "buyer"},
    "bob": {"customer_id": "beta", "role": "approver", "is_account_admin": True},
}


@dataclass
class Post:
    """Keeps letters, as a mailer that only remembers."""

    letters: list[Mail] = field(default_factory=list)

    def send(self, mail: Mail) -> None:
        self.letters.append(mail)


@dataclass
class Hands:
    """A clock that is set by hand."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, some: timedelta) -> None:
        self.at += some


_FIRST_OF_ACME = (
    select(invoices.c.invoice_id)
    .where(invoices.c.customer_id == "acme", invoices.c.state == "paid")
    .order_by(invoices.c.invoice_id)
)


def fill(store: Store) -> dict[str, str]:
    """The world in a migrated store; ids of users by name."""
    store.migrate()
    open_offer(store)
    prices = [
        NewPrice("pro.1.seats", "per_unit", "5"),
        NewPrice("support.1.fee", "flat", "30"),
    ]
    add_prices(store, FIRST, list_id="standard", prices=prices)
    add_tax_rate(store, FIRST, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
    for customer_id, name, parent_id in (
        ("acme", "Acme <b>& Sons</b>", None),
        ("north", "Acme North", "acme"),
        ("beta", "Beta", None),
    ):
        create_customer(
            store,
            FIRST,
            customer_id=customer_id,
            name=name,
            entity_id="seller",
            currency="EUR",
            country="DE",
            parent_id=parent_id,
            time_zone="Europe/Berlin",
        )
        add_payment_method(
            store,
            FIRST,
            customer_id=customer_id,
            gateway_ref=f"tok_{customer_id}_secret",
            method_id=f"pm_{customer_id}",
            expires_on=date(2025, 3, 31),
        )
        subscribe(
            store,
            FIRST,
            customer_id=customer_id,
            plan_id="basic",
            quantity=3,
            subscription_id=f"sub_{customer_id}",
            starts_on=date(2025, 1, 1),
        )
        set_customer_address(
            store, FIRST, customer_id=customer_id, lines=["Hauptstr. 1"], city="Berlin", country="DE"
        )
        add_contact(store, FIRST, customer_id=customer_id, name="Ann", email=f"ann@{customer_id}.example")
        create_purchase_order(store, FIRST, customer_id=customer_id, number=f"PO-{customer_id}", budget="500")
    gateway = SimulatedGateway(seed=1)
    gateway.plan("acme", "insufficient_funds", from_on=date(2025, 3, 1))
    for month in (1, 2, 3):
        at = datetime(2025, month, 1, 8, tzinfo=UTC)
        bill(store, at, up_to=at.date())
        collect(store, gateway, at + timedelta(hours=1))
    first = store.row(_FIRST_OF_ACME)
    assert first is not None
    issue_credit_note(store, NOW, reason="goodwill", invoice_id=first["invoice_id"])
    users = {}
    for name, facts in USERS.items():
        given = {"customer_id": facts["customer_id"], "name": name.title()} | facts
        users[name] = invite_user(store, NOW, email=f"{name}@{facts['customer_id']}.example", **given)
    return users


def world(path: Path) -> dict[str, str]:
    with open_store(f"sqlite:///{path}", IdGenerator(7)) as store:
        return fill(store)


def portal(database: str, post: Post, clock: Hands, *, url: str = URL, **more: object) -> FastAPI:
    services = Services(
        stores=Stores(database, size=4),
        gateway=SimulatedGateway(seed=1),
        vault=Vault(bytes(32)),
        clock=clock,
        base_url=url,
    )
    door = Door(hosts=("portal.test", "127.0.0.1"))
    return application(services, mailer=post, titles=TITLES, more=more, door=door)
