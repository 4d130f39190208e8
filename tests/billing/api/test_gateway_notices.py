"""What the gateway tells by a call of its own: signed by it, heard once, told again where it came early."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from calling import api_of
from small_offer import open_offer
from sqlalchemy import select
from starlette.testclient import TestClient

from billing.gateways.simulated import SimulatedGateway
from billing.gateways.simulated_notices import SimulatedNotices
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.webhook_messages import signed
from billing.service.catalog import add_tax_rate
from billing.service.customers import add_payment_method, create_customer
from billing.service.subscriptions import subscribe
from billing.store.store import Store
from billing.store.tables import disputes, invoices, payments
from billing.web.context import now

AT = datetime(2025, 1, 1, 20, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"g" * 32).decode()


class Told:
    """The gateway, which tells of the one charge of 20.00 that it has taken up."""

    def __init__(self, client: TestClient, key: str) -> None:
        self.client, self.key = client, key

    def __call__(
        self, notice_id: str, *, secret: str = SECRET, at: datetime | None = None, **said: Any
    ) -> Any:
        body = json.dumps({"key": self.key, "on": "2025-01-05"} | said).encode()
        headers = signed(notice_id, at or now(), body, [secret])
        return self.client.post("/v1/gateway-notices", content=body, headers=headers)


@pytest.fixture
def told(sqlite_store: Store, _sqlite_database: str) -> Iterator[Told]:
    store = sqlite_store
    open_offer(store)
    add_tax_rate(store, AT, country="DE", tax_rate_ppm=0, valid_from=date(2000, 1, 1))
    create_customer(
        store, AT, customer_id="anna", name="Anna", entity_id="seller", currency="EUR", country="DE"
    )
    add_payment_method(store, AT, customer_id="anna", gateway_ref="card")
    subscribe(store, AT, customer_id="anna", plan_id="basic", quantity=2)
    bill(store, AT, up_to=date(2025, 1, 1))
    gateway = SimulatedGateway()
    gateway.plan("anna", "captured", delay_days=5)
    assert collect(store, gateway, AT).unknown == 1
    (payment,) = store.rows(select(payments.c.payment_id))
    notices = SimulatedNotices(SECRET)
    with api_of(_sqlite_database, clock=lambda: AT + timedelta(days=4), notices=notices) as app:
        yield Told(TestClient(app, raise_server_exceptions=False), f"{payment['payment_id']}/1")


def states(store: Store) -> tuple[str, str]:
    (payment,), (invoice,) = store.rows(select(payments.c.state)), store.rows(select(invoices.c.state))
    return payment["state"], invoice["state"]


def test_a_charge_that_settles_late_and_its_dispute_come_in_by_notices_each_once(
    told: Told, sqlite_store: Store
) -> None:
    early = told("n2", kind="dispute_opened", ref="d1", amount_minor=2000)
    assert (early.status_code, early.json()["code"]) == (422, "unknown_payment")
    for _ in range(2):
        answer = told("n1", kind="answer", outcome="captured", gateway_ref="ref", fee_minor=30)
        assert answer.status_code == 204, answer.text
    assert states(sqlite_store) == ("captured", "paid")
    for _ in range(2):
        assert told("n2", kind="dispute_opened", ref="d1", amount_minor=2000).status_code == 204
    assert states(sqlite_store) == ("captured", "open")
    other = told("n2", kind="dispute_opened", ref="d2", amount_minor=1)
    assert (other.status_code, other.json()["code"]) == (409, "key_conflict")
    assert told("n3", kind="dispute_closed", ref="d1", outcome="won").status_code == 204
    assert states(sqlite_store) == ("captured", "paid")
    (dispute,) = sqlite_store.rows(select(disputes))
    assert (dispute["gateway_ref"], dispute["outcome"]) == ("d1", "won")


def test_what_the_gateway_did_not_sign_or_signed_long_ago_changes_nothing(
    told: Told, sqlite_store: Store
) -> None:
    said: dict[str, Any] = {"kind": "answer", "outcome": "captured"}
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    refused = [
        told("n1", secret=other, **said),
        told("n1", at=now() - timedelta(minutes=6), **said),
        told("n1", at=now() + timedelta(minutes=6), **said),
        told.client.post("/v1/gateway-notices", json={"key": told.key} | said),
        told.client.post("/v1/gateway-notices", json=said, headers={"webhook-timestamp": "1e9"}),
    ]
    assert [(one.status_code, one.json()["code"]) for one in refused] == [(401, "unauthenticated")] * 5
    assert states(sqlite_store) == ("pending", "open")


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "answer", "outcome": "lost"},
        {"kind": "answer", "outcome": "captured", "fee_minor": -1},
        {"kind": "answer", "outcome": "captured", "key": "of nobody/1"},
        {"kind": "dispute_opened", "ref": "d", "amount_minor": "10"},
        {"kind": "dispute_closed", "ref": "d"},
        {"kind": "rumour", "ref": "d"},
        {"kind": "answer", "outcome": "captured", "on": "soon"},
    ],
    ids=str,
)
def test_a_notice_that_says_nothing_we_know_is_refused_and_may_come_again(
    told: Told, said: dict[str, Any]
) -> None:
    assert [told("n", **said).status_code for _ in range(2)] == [422, 422]
    assert told("n", kind="answer", outcome="captured").status_code == 204


def test_without_a_secret_there_is_no_such_address() -> None:
    with api_of("sqlite://") as app:
        client = TestClient(app, raise_server_exceptions=False)
        assert client.post("/v1/gateway-notices", json={}).status_code == 404
