"""The Python client against the API itself: what it asks, asks again, and makes of the answers."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import tajdid_client
import world
from callers import ALL, callers, opened
from fastapi import FastAPI
from fastapi.testclient import TestClient
from source_trees import parsed
from tajdid_client import Held, Problem, Tajdid, calling, tag_of

from billing.store.store import open_store
from billing.web.context import Caller

FOLDER = Path(tajdid_client.__file__).parent
NEW = {"name": "Nora", "entity_id": "seller", "currency": "EUR", "country": "DE"}


class Through(httpx.BaseTransport):
    """Asks the application itself. `lose`: how many answers get lost on their way back."""

    def __init__(self, app: FastAPI) -> None:
        self.client, self.lose, self.asked = TestClient(app), 0, list[httpx.Request]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.client.request(
            request.method, str(request.url), headers=dict(request.headers), content=request.read()
        )
        if self.lose:
            self.lose -= 1
            raise httpx.ReadError("the connection broke", request=request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[FastAPI]:
    path = tmp_path_factory.mktemp("client") / "billing.db"
    shutil.copy(_sqlite_template, path)
    with open_store(f"sqlite:///{path}", is_disposable=True) as store:
        world.build(store)
    shop = Caller("key", "shop", "shop", ALL, customer_id="a-shop")
    with opened(f"sqlite:///{path}", callers(shop), world.NOW, mode="test") as made:
        yield made


@pytest.fixture
def through(app: FastAPI) -> Through:
    return Through(app)


@pytest.fixture
def api(through: Through, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tajdid]:
    monkeypatch.setattr(calling.time, "sleep", lambda _seconds: None)
    with Tajdid("http://127.0.0.1", "merchant", transport=through) as made:
        yield made


def test_a_list_goes_on_over_its_pages(api: Tajdid, through: Through) -> None:
    found = [one["customer_id"] for one in api.customers.list(root_id="b-head", limit=1)]
    assert found == ["b-head", "b-shop"]
    assert len(through.asked) == 2
    assert next(api.customers.list(limit=1))["customer_id"] == "a-head"
    assert len(through.asked) == 3, "a page is read when it is needed"


def test_a_thing_is_made_read_and_changed_in_the_version_that_was_read(api: Tajdid) -> None:
    made = api.customers.create({**NEW, "customer_id": "nora"})
    read = api.customers.customer("nora")
    assert (read, tag_of(read)) == (made, tag_of(made))
    changed = api.customers.change("nora", {"name": "Nora AG"}, if_match=tag_of(read))
    assert changed["name"] == "Nora AG"
    with pytest.raises(Problem) as refused:
        api.customers.change("nora", {"name": "Nora SE"}, if_match=tag_of(read))
    assert (refused.value.status, refused.value.code) == (412, "precondition_failed")


def test_what_has_no_answer_gives_none(api: Tajdid) -> None:
    made = api.customers.add_contact("a-head", {"name": "Cem"})
    assert api.customers.remove_contact(made["contact_id"]) is None


def test_a_change_whose_answer_got_lost_is_asked_for_again_and_done_once(
    api: Tajdid, through: Through
) -> None:
    through.lose = 2
    made = api.customers.add_contact("b-head", {"name": "Once"})
    keys = {request.headers["idempotency-key"] for request in through.asked}
    assert (len(through.asked), len(keys)) == (3, 1)
    names = [one["name"] for one in api.customers.contacts("b-head")]
    assert names.count("Once") == 1
    assert made["contact_id"] in {one["contact_id"] for one in api.customers.contacts("b-head")}


def test_where_the_api_is_not_reached_the_error_comes_after_all_tries(api: Tajdid, through: Through) -> None:
    through.lose = 99
    with pytest.raises(httpx.ReadError):
        api.customers.customer("a-head")
    assert len(through.asked) == 4


def answering(*answers: httpx.Response) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    asked: list[httpx.Request] = []
    waiting = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(waiting)

    return httpx.MockTransport(answer), asked


def test_a_busy_api_is_given_the_time_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(calling.time, "sleep", slept.append)
    transport, asked = answering(
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": "9999"}),
        httpx.Response(503),
        httpx.Response(200, json={"customer_id": "x"}),
    )
    with Tajdid("http://127.0.0.1", "key", version="2026-12-01", transport=transport) as api:
        assert api.customers.customer("x/../y")["customer_id"] == "x"
    assert slept[:2] == [7, 60]
    assert 1.5 <= slept[2] <= 2.5
    assert asked[0].url.raw_path == b"/v1/customers/x%2F..%2Fy"
    assert asked[0].headers["tajdid-version"] == "2026-12-01"
    assert asked[0].headers["authorization"] == "Bearer key"


def test_a_refusal_is_an_exception_with_all_that_was_said(api: Tajdid) -> None:
    with pytest.raises(Problem) as refused:
        api.customers.create({**NEW, "entity_id": "nobody"})
    problem = refused.value
    assert (problem.status, problem.code, problem.field) == (422, "unknown_entity", "entity_id")
    assert problem.title
    assert problem.request_id
    with pytest.raises(Problem) as unknown:
        api.customers.customer("nobody")
    assert (unknown.value.status, unknown.value.code) == (404, "unknown_customer")


def test_an_order_that_waits_is_told_apart_from_one_that_is_placed(api: Tajdid) -> None:
    api.customers.create({**NEW, "customer_id": "poor", "credit_limit_minor": 1})
    with pytest.raises(Held) as held:
        api.subscriptions.subscribe({"customer_id": "poor", "plan_id": "basic"})
    assert held.value.approval["code"] == "over_credit_limit"


def test_an_answer_that_is_no_json_is_a_problem_too() -> None:
    transport, _asked = answering(httpx.Response(502, text="<html>Bad gateway"))
    api = Tajdid("http://127.0.0.1", "key", tries=1, transport=transport)
    with api, pytest.raises(Problem) as refused:
        api.customers.customer("x")
    assert (refused.value.status, refused.value.code) == (502, "unknown")


def test_the_client_asks_for_nothing_that_the_api_does_not_have(app: FastAPI) -> None:
    """And says so where the API has become more: generate.py writes it anew."""
    written = (FOLDER / "operations.py").read_text()
    calls = re.findall(r'call\(\s*"(\w+)",\s*path_of\(\s*"([^"]+)"', written)
    asked = {(verb.lower(), path) for verb, path in calls}
    asked |= {("get", path) for path in re.findall(r'pages\(\s*path_of\(\s*"([^"]+)"', written)}
    said = {(verb, path) for path, verbs in app.openapi()["paths"].items() for verb in verbs}
    assert len(asked) > 100
    assert asked <= said


def test_the_client_needs_nothing_of_ours() -> None:
    allowed = {"httpx", "tajdid_client", "__future__"} | set(sys.stdlib_module_names)
    for file in (*FOLDER.glob("*.py"), FOLDER.parent / "generate.py"):
        for node in ast.walk(parsed(file)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed, file


def test_what_is_generated_is_what_the_generator_writes(app: FastAPI) -> None:
    """A method of each operation, typed by its shapes."""
    import generate

    written: Callable[[object], str] = generate.written
    code = written(app.openapi())
    compile(code, "operations.py", "exec")
    assert "class CustomersOperations:" in code
    assert re.search(r"def create\(self, body: NewCustomer, .*\) -> Customer:", code)
    assert re.search(r"def list\(self, \*, .*\) -> Iterator\[Customer\]:", code)
