"""Nobody sees or touches what is another's: on every route, by path, list, filter, expansion and body.

Routes are found by themselves. What a path or a query names by a word that is in none of the tables here
fails: whoever adds a route says whose the thing is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import pytest
import world
from callers import ALL, client
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from specification import body_of, method_of, query_of, routes_of

from billing.web.context import Caller

PUBLIC = {
    "entity_id": "seller",
    "product_id": "goods",
    "sku_id": "paper",
    "meter_id": "calls",
    "plan_id": "basic",
    "terms_id": "net14",
    "index_id": "cpi",
    "component_id": "basic.1.fee",
    "month": "2025-01",
    "run_id": "none",
    "task": "cancel",
}
"""Things that belong to no customer, by the word that names them."""
ALIASES = {
    "parent_id": "customer_id",
    "root_id": "customer_id",
    "bill_to_id": "customer_id",
    "bill_to": "customer_id",
    "ship_to": "customer_id",
    "owner_id": "customer_id",
    "invoice": "number",
    "subject_id": "subscription_id",
    "caller_id": "key_id",
    "source_id": "invoice_id",
}
"""Other words for a customer's things."""
FILTERS = {("/v1/customers", "name"): "B ", ("/v1/customers", "email"): "bea@b-head.example"}
"""Filters that find something of B for the merchant, by route."""
BODIES: dict[str, Any] = {
    "/v1/previews": {"act": "cancel", "arguments": {"subscription_id": "x"}},
    "/v1/usage-events": {
        "source": "isolation",
        "event_id": "isolation",
        "item_id": "x",
        "meter_id": "x",
        "value": 1,
        "occurred_on": "2025-02-02",
    },
}
"""Bodies that fit, where the least that fits the specification does not."""
TAKES_WHAT_IT_CAN = ("/v1/usage-events/bulk",)
"""Routes that refuse parts of a body and take the rest."""
MERCHANTS = ("/v1/reconciliations/{month}",)
"""What no customer reads, as nothing of it is a customer's."""
PLAIN = ("currency", "country", "level", "on", "valid_on", "changed_since")
"""Filters and members that name nothing."""


@pytest.fixture(scope="module")
def both(api_over_world: Any) -> Iterator[tuple[FastAPI, world.World]]:
    bound = [
        Caller("key", name, name, ALL, customer_id=of) for name, of in (("a", "a-head"), ("s", "a-shop"))
    ]
    with api_over_world(*bound) as opened:
        yield opened


def words_of(route: APIRoute) -> list[str]:
    return re.findall(r"{(\w+)(?::\w+)?}", route.path)


def address(route: APIRoute, ids: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: ids[found[1]], route.path)


def ids_of(company: world.Company) -> dict[str, str]:
    """What a company has, by every word that may name it."""
    more = {word: company.ids[same] for word, same in ALIASES.items()}
    return PUBLIC | more | company.ids


def missing(ids: Mapping[str, str]) -> dict[str, str]:
    """Ids of the same words that nothing has."""
    return {word: value if word in PUBLIC else _nothing(word, value) for word, value in ids.items()}


def _nothing(word: str, value: str) -> str:
    return "999999999" if value.isdigit() else f"no-{word}"[:30]


def is_private(word: str) -> bool:
    return word in ALIASES or word in PRIVATE


PRIVATE = frozenset(
    (
        *world.KINDS,
        *world.PARTS,
        "invoice_dispute_id",
        "number",
        "discount_id",
        "event_id",
        "order_id",
        "customer_id",
        "message_id",
        "subject_id",
    )
)


def needed_of(app: FastAPI, route: APIRoute, ids: Mapping[str, str]) -> dict[str, str]:
    """The filters without which a list is not given."""
    told = [word for word, one in query_of(app, route).items() if one.get("required")]
    return {word: ids[word] for word in told}


def sent_to(app: FastAPI, route: APIRoute, ids: Mapping[str, str]) -> tuple[Any, dict[str, Any]] | None:
    """A body that fits and names these things, and its members."""
    found = body_of(app, route)
    return None if found is None else (filled(BODIES.get(route.path, found[0]), ids), found[1])


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """A body in which each thing that is named is one of these."""
    if isinstance(value, dict):
        return {
            word: ids[word] if word in ids and isinstance(one, str) else filled(one, ids)
            for word, one in value.items()
        }
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    return value


def named_in(value: Any) -> set[str]:
    """The words of a body, at any depth, that name a customer's things."""
    if isinstance(value, dict):
        inner = [named_in(one) for one in value.values()]
        return {word for word in value if is_private(word)}.union(*inner)
    if isinstance(value, list):
        return set().union(*(named_in(one) for one in value))
    return set()


def with_other(value: Any, word: str, one: str) -> Any:
    """A body that names another thing by a word, at any depth."""
    if isinstance(value, dict):
        return {name: one if name == word else with_other(each, word, one) for name, each in value.items()}
    if isinstance(value, list):
        return [with_other(each, word, one) for each in value]
    return value


def call(who: TestClient, route: APIRoute, path: str, body: Any = None, **query: str) -> Any:
    """The answer to somebody, whatever version of the thing there is."""

    def answer(**headers: str) -> Any:
        return who.request(method_of(route), path, json=body, params=query, headers=headers)

    keyed = {"Idempotency-Key": token_hex(8)} if method_of(route) != "GET" else {}
    first = answer(**keyed)
    return answer(**keyed, **{"If-Match": "*"}) if first.status_code == 428 else first


def told(answer: Any, ids: Mapping[str, str]) -> tuple[int, str, list[tuple[str, str]]]:
    """What an answer says, without the ids it was asked for and its request's own."""
    said = json.loads(answer.content or b"null")
    if isinstance(said, dict):
        said.pop("request_id", None)
    text = json.dumps(said, sort_keys=True)
    for one in sorted({one for one in ids.values() if not one.isdigit()}, key=len, reverse=True):
        text = text.replace(one, "…")
    own = ("content-length", "x-request-id", "etag")
    return answer.status_code, text, [one for one in answer.headers.items() if one[0] not in own]


def said_code(answer: Any) -> str | None:
    """The code of a problem; None of an answer that is none."""
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return str(answer.json()["code"]) if is_problem else None


def shown_ids(answer: Any) -> set[str]:
    """All texts in an answer that might be ids."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            for one in value.values():
                yield from texts(one)
        elif isinstance(value, list):
            for one in value:
                yield from texts(one)

    return (
        set(texts(json.loads(answer.content or b"null")))
        if "json" in answer.headers.get("content-type", "")
        else set(re.findall(r"[\w.-]+", answer.text))
    )


@contextmanager
def about(route: APIRoute, what: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{route.methods} {route.path}, {what}: {error}") from error


def test_every_route_is_made_as_routes_are_and_names_only_what_is_known(
    both: tuple[FastAPI, world.World],
) -> None:
    app, made = both
    known = ids_of(made.a)
    for route in routes_of(app):
        assert (route.openapi_extra or {}).get("x-scope"), f"{route.path} asks for no scope"
        for word in words_of(route):
            assert word in known, f"{route.path}: nobody says whose {word} is"
        for word, said in query_of(app, route).items():
            is_known = word in known or word in PLAIN or not word.endswith("_id")
            assert is_known, f"{route.path}: nobody says whose the filter {word} is"
            assert not said.get("required") or word in known, f"{route.path} needs {word}"


def test_what_is_anothers_is_answered_as_what_is_not_there(both: tuple[FastAPI, world.World]) -> None:
    app, made = both
    who, own, foreign = client(app, "a"), ids_of(made.a), ids_of(made.b)
    nothing, looked = missing(foreign), 0
    for route in routes_of(app):
        private = [word for word in words_of(route) if is_private(word)]
        sent, _ = sent_to(app, route, own) or (None, {})
        asked = needed_of(app, route, own)
        for chosen in {tuple(private), *((word,) for word in private)} - {()}:
            theirs, none = (own | {word: ids[word] for word in chosen} for ids in (foreign, nothing))
            with about(route, f"B's {chosen}"):
                answers = [call(who, route, address(route, ids), sent, **asked) for ids in (theirs, none)]
                assert told(answers[0], theirs) == told(answers[1], none)
                is_for_nobody = answers[0].json()["code"] == "scope_missing"
                assert answers[0].status_code == 404 or is_for_nobody, answers[0].text
                looked += 1
    assert looked > 20


def test_what_is_ones_own_is_there(both: tuple[FastAPI, world.World]) -> None:
    """So that the 404 above says something."""
    app, made = both
    who, own = client(app, "a"), ids_of(made.a)
    for route in routes_of(app):
        if method_of(route) == "GET":
            asked = needed_of(app, route, own)
            with about(route, "A's own"):
                answer = call(who, route, address(route, own), **asked)
                expected = (403, "scope_missing") if route.path in MERCHANTS else (200, None)
                assert (answer.status_code, said_code(answer)) == expected, answer.text


def test_a_list_holds_only_ones_own_whatever_is_asked(both: tuple[FastAPI, world.World]) -> None:
    app, made = both
    merchant, who = client(app, "merchant"), client(app, "a")
    own, foreign = ids_of(made.a), ids_of(made.b)
    nothing, seen = missing(foreign), set()
    for route in routes_of(app):
        if method_of(route) != "GET":
            continue
        query = query_of(app, route)
        path = address(route, own)
        needed = needed_of(app, route, own)
        with about(route, "listed"):
            assert not shown_ids(call(who, route, path, **needed)) & made.b.every
        theirs = needed_of(app, route, foreign)
        seen |= shown_ids(call(merchant, route, address(route, foreign), **theirs)) & made.b.every
        for word in query:
            with about(route, f"filtered by B's {word}"):
                if is_private(word):
                    answers = [
                        call(who, route, path, **needed | {word: ids[word]}) for ids in (foreign, nothing)
                    ]
                    assert told(answers[0], foreign) == told(answers[1], nothing)
                elif (route.path, word) in FILTERS:
                    answer = call(who, route, path, **needed | {word: FILTERS[route.path, word]})
                    assert answer.json()["data"] == []
    kinds = ("customer_id", "address_id", "contact_id", "wallet_id", "po_id", "list_id", "grant_id")
    assert {made.b.ids[kind] for kind in kinds} <= seen, "the merchant sees what A does not"


def test_an_expansion_shows_only_ones_own(both: tuple[FastAPI, world.World]) -> None:
    app, made = both
    who, own = client(app, "a"), ids_of(made.a)
    looked = 0
    for route in routes_of(app):
        said = query_of(app, route).get("expand")
        if said is None:
            continue
        wanted = said["description"].rsplit(": ", 1)[-1].split(", ")
        for one in wanted:
            with about(route, f"expanded {one}"):
                answer = call(who, route, address(route, own), expand=one)
                assert answer.status_code == 200, answer.text
                assert not shown_ids(answer) & made.b.every
                looked += 1
    assert looked >= 5


def test_below_is_not_above(both: tuple[FastAPI, world.World]) -> None:
    """Who is bound to the shop does not see the head that the shop stands below."""
    app, made = both
    who = client(app, "s")
    assert who.get(f"/v1/customers/{made.a.head}").status_code == 404
    shop = who.get(f"/v1/customers/{made.a.shop}", params={"expand": "parent,payer"}).json()
    assert shop["parent"] is None
    assert shop["payer"]["customer_id"] == made.a.shop
    listed = who.get("/v1/customers").json()["data"]
    assert [row["customer_id"] for row in listed] == [made.a.shop]
    assert [row["list_id"] for row in who.get("/v1/price-lists").json()["data"]] == ["standard"]


def test_what_a_body_names_of_another_is_refused_as_what_is_not_there(
    both: tuple[FastAPI, world.World],
) -> None:
    app, made = both
    who, own, foreign = client(app, "a"), ids_of(made.a), ids_of(made.b)
    nothing, looked = missing(foreign), 0
    for route in routes_of(app):
        found = sent_to(app, route, own)
        if found is None:
            continue
        example, members = found
        words = named_in(example) | {word for word in members if is_private(word)}
        words -= set(NEW_IDS.get(route.path, ()))
        for word in words:
            answers = []
            for ids in (foreign, nothing):
                body = with_other(example, word, ids[word])
                if word in members and word not in body:
                    body |= {word: [ids[word]] if _is_list(members[word]) else ids[word]}
                answers.append((call(who, route, address(route, own), body), own | ids))
            with about(route, f"a body with B's {word}"):
                (theirs, ids), (none, no_ids) = answers
                assert told(theirs, ids) == told(none, no_ids)
                if route.path not in TAKES_WHAT_IT_CAN:
                    assert theirs.status_code in (403, 404, 409, 422), theirs.text
                    assert theirs.json()["code"] != "invalid", theirs.text
                looked += 1
    assert looked > 5


NEW_IDS = {
    "/v1/customers": ("customer_id",),
    "/v1/wallets": ("wallet_id",),
    "/v1/purchase-orders": ("po_id", "number"),
    "/v1/price-lists": ("list_id",),
    "/v1/discounts": ("discount_id",),
    "/v1/charges": ("charge_id",),
    "/v1/contracts/{contract_id}/index-clauses": ("clause_id",),
    "/v1/contracts/{contract_id}/pools": ("clause_id",),
    "/v1/subscriptions": ("subscription_id",),
    "/v1/subscriptions/{subscription_id}/reactivate": ("contract_id",),
    "/v1/usage-events": ("event_id",),
}
"""Members by which a caller names what it makes."""


def _is_list(member: Mapping[str, Any]) -> bool:
    return member.get("type") == "array"


def test_a_place_in_the_merchants_list_leads_nobody_to_what_is_anothers(
    both: tuple[FastAPI, world.World],
) -> None:
    app, made = both
    place = client(app, "merchant").get("/v1/customers", params={"limit": 2}).json()["next"]
    answer = client(app, "a").get("/v1/customers", params={"limit": 2, "after": place})
    assert not shown_ids(answer) & made.b.every


def test_what_is_done_in_bulk_reaches_no_further(both: tuple[FastAPI, world.World]) -> None:
    app, made = both
    asked = [f"/v1/customers/{one}" for one in (made.a.head, made.b.head, "nobody")]
    operations = [{"method": "POST", "path": f"{path}/contacts", "body": {"name": "Eve"}} for path in asked]
    answer = client(app, "a").post("/v1/bulk", json={"operations": operations})
    outcomes = answer.json()
    assert [one["status"] for one in outcomes["data"]] == [201, 404, 404], outcomes
    assert not shown_ids(answer) & made.b.every - {made.b.head}
