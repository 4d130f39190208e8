"""A small company to look after: one who paid, one who is late, one set aside, one whose order waits."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from small_offer import open_offer

from billing.admin.door import Entered, Staff
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.service.acts import Held
from billing.service.api_keys import create_key, mint
from billing.service.catalog import add_tax_rate, create_payment_terms
from billing.service.customers import add_payment_method, change_customer, create_customer
from billing.service.subscriptions import subscribe
from billing.service.wallets import grant, open_wallet
from billing.service.webhook_endpoints import create_endpoint
from billing.store.store import Store

JANUARY = datetime(2025, 1, 1, 20, tzinfo=UTC)
NOW = datetime(2025, 1, 20, 12, tzinfo=UTC)
SPITEFUL = '<script>alert("x")</script> {{ 7*7 }}'


def build(store: Store) -> None:
    """Basic for two seats is 20.00 a month, 23.80 with tax."""
    open_offer(store)
    add_tax_rate(store, JANUARY, country="DE", tax_rate_ppm=190_000, valid_from=date(2000, 1, 1))
    create_payment_terms(store, JANUARY, terms_id="net7", net_days=7)
    _join(store, "anna", "Anna Adler")
    add_payment_method(store, JANUARY, customer_id="anna", gateway_ref="card_of_anna")
    _take(store, "anna")
    _join(store, "bert", SPITEFUL, collection="terms", terms_id="net7")
    _take(store, "bert")
    _join(store, "carl", "Carl in Austria", country="AT")
    _take(store, "carl")
    _join(store, "dora", "Dora Dorn", credit_limit_minor=0)
    with suppress(Held):
        _take(store, "dora")
    wallet_id = open_wallet(store, JANUARY, customer_id="anna", name="Goodwill", wallet_id="wal-anna")
    grant(store, JANUARY, wallet_id=wallet_id, amount="5.00", reason="sorry")
    minted = mint("live")
    create_key(
        store,
        JANUARY,
        owner="tests",
        name="For tests",
        prefix=minted.prefix,
        key_hash=minted.key_hash,
        scopes=["*:read"],
        version=JANUARY.date(),
        key_id="key-1",
    )
    create_endpoint(
        store,
        JANUARY,
        owner="tests",
        url="https://hooks.example/in",
        sealed="sealed",
        version=JANUARY.date(),
        endpoint_id="we-1",
    )
    bill(store, JANUARY, up_to=JANUARY.date())
    collect(store, SimulatedGateway(1), JANUARY)
    dun(store, NOW)


def _join(store: Store, customer_id: str, name: str, country: str = "DE", **named: object) -> None:
    create_customer(
        store,
        JANUARY,
        customer_id=customer_id,
        name=name,
        entity_id="seller",
        currency="EUR",
        country=country,
    )
    if named:
        change_customer(store, JANUARY, customer_id=customer_id, **named)


def _take(store: Store, customer_id: str) -> None:
    subscribe(
        store,
        JANUARY,
        customer_id=customer_id,
        plan_id="basic",
        quantity=2,
        subscription_id=f"sub-{customer_id}",
    )


class SetDoor:
    """A door with two people: mia manages, finn does not. Who holds `token-<id>` is in."""

    cookie = "tajdid_session"
    session = timedelta(hours=12)
    is_open = False
    is_elsewhere = False

    def __init__(self) -> None:
        self.left: set[str] = set()

    def who(self, token: str | None) -> Staff | None:
        if token in self.left:
            return None
        return {
            "token-mia": Staff("mia", "Mia", True),
            "token-finn": Staff("finn", "Finn", False),
        }.get(token or "")

    def enter(self, name: str, password: str) -> Entered:
        if name == "locked":
            return Entered(locked_for=timedelta(seconds=90))
        return Entered(f"token-{name}") if password == "right" else Entered()

    def leave(self, token: str) -> None:
        self.left.add(token)
