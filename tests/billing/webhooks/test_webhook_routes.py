"""Webhook endpoints and events over HTTP, for the merchant and for a customer's own key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hooks import AT, Told, deliverer, happens, reveal, settle
from sqlalchemy import select

from billing.api import app as apps
from billing.gateways.receiver import Delivered
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.webhook_messages import signed
from billing.service.catalog import create_legal_entity
from billing.service.customers import create_customer
from billing.store.store import Store, open_store
from billing.store.tables import webhook_secrets
from billing.web.context import Caller, Services, now
from billing.web.seal import Vault
from billing.web.stores import Stores
from billing.web.webhook_secrets import revealing

VAULT = Vault(bytes(range(32)))
URL = "https://hooks.example.com/in"


def authenticate(_services: Services, header: str | None) -> Caller:
    """`merchant` sees all, `c0` and `c1` are keys of these customers."""
    name = (header or "").removeprefix("Bearer ")
    scopes = frozenset(("webhooks:write", "events:read"))
    return Caller("key", name, name, scopes, None if name == "merchant" else name)


class World:
    def __init__(self, url: str, store: Store) -> None:
        self.store = store
        stores = Stores(url, size=2)
        services = Services(stores, SimulatedGateway(), VAULT, lambda: AT)
        app = apps.application(services, authenticate)
        self.client = TestClient(app)
        self.stores = stores
        self.receiver = Told()

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "merchant", **headers: str) -> Any:
        sent = {
            "Authorization": f"Bearer {key}",
            **{name.replace("_", "-"): one for name, one in headers.items()},
        }
        return self.client.request(method, f"/v1{path}", json=body, headers=sent)

    def deliver(self) -> None:
        worker = deliverer(self.store, self.receiver)
        worker._reveal = revealing(VAULT)
        settle(worker, now())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    url = f"sqlite:///{tmp_path_factory.mktemp('hooks') / 'billing.db'}"
    with open_store(url) as store:
        store.migrate()
        create_legal_entity(store, AT, entity_id="le", name="Seller", country="DE")
        for name in ("c0", "c1"):
            create_customer(
                store, AT, customer_id=name, name=name, entity_id="le", currency="EUR", country="DE"
            )
        world = World(url, store)
        with world.client:
            yield world
        world.stores.close()


def made(world: World, *, key: str = "merchant", **body: Any) -> Any:
    answer = world.ask("POST", "/webhook-endpoints", {"url": URL} | body, key=key)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_endpoint_is_made_read_changed_and_removed_and_its_secret_shown_once(world: World) -> None:
    one = made(world, topics=["invoice.*"])
    path = f"/webhook-endpoints/{one['endpoint_id']}"
    kept = world.store.row(
        select(webhook_secrets.c.sealed).where(webhook_secrets.c.endpoint_id == one["endpoint_id"])
    )
    assert kept is not None
    assert reveal(kept["sealed"]) == one["secret"]
    assert one["secret"].removeprefix("whsec_") not in kept["sealed"]
    read = world.ask("GET", path)
    assert read.json() == {name: value for name, value in one.items() if name != "secret"}
    assert "secret" not in world.ask("GET", "/webhook-endpoints").text
    assert world.ask("PATCH", path, {"is_paused": True}).status_code == 428
    changed = world.ask("PATCH", path, {"is_paused": True}, If_Match=read.headers["etag"])
    assert (changed.status_code, changed.json()["state"]) == (200, "paused")
    stale = world.ask("PATCH", path, {"url": URL + "2"}, If_Match=read.headers["etag"])
    assert stale.status_code == 412
    assert world.ask("POST", f"{path}/enable").json()["state"] == "enabled"
    assert world.ask("POST", f"{path}/enable").status_code == 409
    assert world.ask("DELETE", path).status_code == 204
    assert world.ask("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"url": "https://127.0.0.1/"}, "forbidden_address", "url"),
        ({"url": "http://hooks.example.com/"}, "bad_address", "url"),
        ({"url": "https://user@hooks.example.com/"}, "bad_address", "url"),
        ({"url": URL, "topics": ["invoice.imagined"]}, "unknown_topic", "topics"),
        ({"url": URL, "customer_id": "nobody"}, "unknown_customer", "customer_id"),
        ({"url": URL, "state": "enabled"}, "invalid", "state"),
        ({}, "invalid", "url"),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(world: World, body: Any, code: str, field: str) -> None:
    answer = world.ask("POST", "/webhook-endpoints", body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, code, field)


def test_the_log_the_health_and_a_replay(world: World) -> None:
    one = made(world, topics=["payment.captured"])["endpoint_id"]
    path = f"/webhook-endpoints/{one}"
    assert world.ask("GET", f"{path}/health").json()["success_ppm"] is None
    happens(world.store, 4, lanes=2, at=AT + timedelta(hours=1))
    world.receiver.answers = lambda said: Delivered(500 if said["data"]["id"] == "pay0" else 204, head="oh")
    world.deliver()
    world.receiver.answers = lambda _said: Delivered(204)
    log = world.ask("GET", f"{path}/deliveries").json()["data"]
    assert [row["state"] for row in log] == ["delivered", "waiting", "delivered", "waiting"]
    assert [row["sequence"] for row in log] == sorted((row["sequence"] for row in log), reverse=True)
    waiting = world.ask("GET", f"{path}/deliveries?state=waiting").json()["data"]
    tried = world.ask("GET", f"{path}/deliveries/{waiting[-1]['sequence']}").json()
    assert [(each["attempt"], each["status"], each["answer_head"]) for each in tried["log"]] == [
        (1, 500, "oh")
    ]
    health = world.ask("GET", f"{path}/health").json()
    assert (health["attempts_24h"], health["success_ppm"], health["waiting"]) == (3, 666_666, 2)
    again = world.ask("POST", f"{path}/replay", {"from_sequence": 0})
    assert (again.status_code, again.json()["deliveries"], again.json()["next_sequence"]) == (202, 2, None)
    assert world.ask("POST", f"{path}/replay", {}).json()["code"] == "missing_value"
    assert world.ask("GET", f"{path}/deliveries/999999").status_code == 404


def test_a_rotation_signs_by_both_secrets_until_the_old_one_ends(world: World) -> None:
    one = made(world, topics=["payment.captured"])
    path = f"/webhook-endpoints/{one['endpoint_id']}"
    two = world.ask("POST", f"{path}/secrets", {"overlap_seconds": 60})
    assert two.status_code == 201
    assert now() < datetime.fromisoformat(two.json()["old_ends_at"]) <= now() + timedelta(seconds=60)
    world.receiver.requests.clear()
    assert world.ask("POST", f"{path}/test").status_code == 202
    world.deliver()
    _url, headers, body = next(each for each in world.receiver.requests if b"webhook.test" in each[2])
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    for secret in (one["secret"], two.json()["secret"]):
        alone = signed(headers["webhook-id"], at, body, [secret])["webhook-signature"]
        assert alone in headers["webhook-signature"].split()
    shown = world.ask("GET", f"{path}/secrets")
    assert len(shown.json()["data"]) == 2
    assert "whsec_" not in shown.text
    assert "sealed" not in shown.text


def test_a_customers_key_sees_its_own_endpoints_and_events_and_nothing_of_others(world: World) -> None:
    mine, other, all_of = (
        made(world, key="c0")["endpoint_id"],
        made(world, key="c1")["endpoint_id"],
        made(world)["endpoint_id"],
    )
    assert world.ask("GET", f"/webhook-endpoints/{mine}", key="c0").json()["customer_id"] == "c0"
    listed = world.ask("GET", "/webhook-endpoints", key="c0").json()["data"]
    assert {row["customer_id"] for row in listed} == {"c0"}
    paths = [("GET", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/test"), ("GET", "/secrets")]
    paths += [("GET", "/deliveries"), ("GET", "/deliveries/1"), ("GET", "/health"), ("PATCH", "")]
    bodies = {"/replay": {"from_sequence": 0}, "": {}, "/secrets": {}}
    for method, rest in [*paths, ("POST", "/replay"), ("POST", "/secrets")]:
        body = bodies.get(rest) if method in ("POST", "PATCH") else None
        tag = {"If_Match": "*"} if method == "PATCH" else {}
        answers = [
            world.ask(method, f"/webhook-endpoints/{one}{rest}", body, key="c0", **tag)
            for one in (other, all_of, "we_missing")
        ]
        said = {(each.status_code, each.json()["code"], len(each.json())) for each in answers}
        assert len(said) == 1, (method, rest, said)
        assert answers[0].status_code == 404
    refused = world.ask("POST", "/webhook-endpoints", {"url": URL, "customer_id": "c1"}, key="c0")
    assert refused.json()["code"] == "unknown_customer"
    happens(world.store, 2, lanes=2, at=AT + timedelta(hours=5), first=70)
    world.deliver()
    seen = world.ask("GET", "/events", key="c0").json()["data"]
    assert {row["data"]["customer_id"] for row in seen} == {"c0"}
    assert not {row["type"] for row in seen} & {"webhook_endpoint.created", "approval.requested"}
    every = world.ask("GET", "/events?limit=200").json()["data"]
    foreign = next(row for row in every if row["data"]["customer_id"] == "c1")
    assert world.ask("GET", f"/events/{foreign['message_id']}").json() == foreign
    hidden = world.ask("GET", f"/events/{foreign['message_id']}", key="c0")
    missing = world.ask("GET", "/events/msg_missing", key="c0")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json() | {"request_id": ""} == missing.json() | {"request_id": ""}


def test_who_pulls_events_by_the_last_sequence_misses_none(world: World) -> None:
    happens(world.store, 7, at=AT + timedelta(hours=6), first=80)
    world.deliver()
    every = [row["sequence"] for row in world.ask("GET", "/events?limit=200").json()["data"]]
    found: list[int] = []
    while True:
        last = found[-1] if found else 0
        page = world.ask("GET", f"/events?limit=3&after_sequence={last}").json()["data"]
        if not page:
            break
        found += [row["sequence"] for row in page]
    assert found == every
    assert every == sorted(set(every))
    some = world.ask("GET", "/events?topic=payment.captured&subject_id=pay81").json()["data"]
    assert [row["data"]["id"] for row in some] == ["pay81"]


def test_tables_keep_no_secret_in_the_open(world: World) -> None:
    secret = made(world)["secret"].removeprefix("whsec_")
    path = world.store.path
    assert path is not None
    assert secret.encode() not in path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
