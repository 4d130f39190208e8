"""What is not let in: too much, too deep, or what means two things."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anyio
import pytest
from doors import open_app
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from billing.web.limits import (
    BODY_BYTES,
    BULK_BYTES,
    MAX_DEPTH,
    LimitRequests,
    check_depth,
    check_rows,
    read_json,
)
from billing.web.problems import Problem

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_app() as one:
        yield one


def code_of(client: TestClient, body: bytes | Iterator[bytes], **headers: str) -> tuple[int, str]:
    answer = client.post("/v1/notes", content=body, headers={**JSON, **headers})
    return answer.status_code, answer.json().get("code", "")


def deep(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + closing * levels).encode()


def test_a_body_within_the_limits_is_taken_whole(client: TestClient) -> None:
    text = "ä" * 5_000
    answer = client.post("/v1/notes", json={"text": text, "number": 9_223_372_036_854_775_807})
    assert answer.json() == {"text": text, "number": 9_223_372_036_854_775_807}


def test_a_body_that_is_too_large_is_refused_also_where_it_comes_in_parts(client: TestClient) -> None:
    assert code_of(client, b" " * (BODY_BYTES + 1)) == (413, "too_large")

    def parts() -> Iterator[bytes]:
        for _part in range(BODY_BYTES // 1000 + 1):
            yield b" " * 1000

    assert code_of(client, parts()) == (413, "too_large")


def test_what_is_too_large_is_not_read_to_its_end() -> None:
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b" " * 100_000, "more_body": True}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    }
    with pytest.raises(Problem, match="too_large"):
        anyio.run(LimitRequests(nobody), scope, receive, unsent)
    assert asked == BODY_BYTES // 100_000 + 1


def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async def receive() -> Message:
        await anyio.sleep(10)
        raise AssertionError

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    }
    with pytest.raises(Problem, match="too_slow"):
        anyio.run(LimitRequests(nobody, seconds=0.01), scope, receive, unsent)


async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("nobody reads what is refused")


async def unsent(_message: Message) -> None:
    raise AssertionError("the layer above answers")


@pytest.mark.parametrize("length", ["3", "500", "0x10", "-1", "9" * 40, "١٢"])
def test_a_length_that_is_not_that_of_the_body_is_refused(length: str) -> None:
    body = b'{"text":"ab"}'
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/notes",
        "raw_path": b"/v1/notes",
        "query_string": b"",
        "headers": [(b"content-length", length.encode()), (b"content-type", b"application/json")],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    with pytest.raises(Problem, match="bad_length"):
        anyio.run(LimitRequests(nobody), scope, receive, unsent)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (deep(100_000), "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 50_000, "too_deep"),
        (deep(MAX_DEPTH + 1), "too_deep"),
        (b'{"text":"a","more":' + deep(MAX_DEPTH) + b"}", "too_deep"),
        (b'{"text":NaN}', "bad_json"),
        (b'{"number":-Infinity}', "bad_json"),
        (b'{"number":1e400}', "bad_json"),
        (b'{"text":"a","text":"b"}', "bad_json"),
        (b'{"text":"a","more":{"b":1,"b":1}}', "bad_json"),
        (b'{"text":"a","number":' + b"9" * 400 + b"}", "amount_out_of_range"),
        (b'{"text":"a","number":-' + b"9" * 20 + b"}", "amount_out_of_range"),
        (b'{"text":"a\\u0000b"}', "bad_json"),
        (b'{"text":"a\x00b"}', "bad_json"),
        (b'{"text":"\\ud800"}', "bad_json"),
        (b'{"\\udfff":"a"}', "bad_json"),
        (b'{"text":"a","more":{"b":["\\u0000"]}}', "bad_json"),
        (b'{"text":"\xff"}', "bad_json"),
        (b'{"text":"\xed\xa0\x80"}', "bad_json"),
        (b'{"text":"a"', "bad_json"),
        (b'{"text":"a"}{}', "bad_json"),
        (b'\xef\xbb\xbf{"text":"a"}', "bad_json"),
        ('{"text":"a"}'.encode("utf-16"), "bad_json"),
    ],
)
def test_json_that_is_deep_or_ambiguous_is_refused(client: TestClient, body: bytes, code: str) -> None:
    status = 422 if code == "amount_out_of_range" else 400
    assert code_of(client, body) == (status, code)


def test_brackets_in_texts_are_no_levels(client: TestClient) -> None:
    text = '[{"\\' * 100
    assert client.post("/v1/notes", json={"text": text}).json()["text"] == text
    emoji = json.dumps({"text": "😀 \\u0000"})
    assert client.post("/v1/notes", content=emoji, headers=JSON).json()["text"] == "😀 \\u0000"


TEXTS = st.text(st.sampled_from('[]{}"\\,: aé😀\n'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=40,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(value=VALUES, levels=st.integers(0, MAX_DEPTH + 3))
def test_the_depth_is_that_of_the_value(value: object, levels: int) -> None:
    for _level in range(levels):
        value = {"in": value}
    body = json.dumps(value, ensure_ascii=False).encode()
    if depth_of(value) > MAX_DEPTH:
        with pytest.raises(Problem, match="too_deep"):
            check_depth(body)
    else:
        assert read_json(body) == value
        assert read_json(json.dumps(value).encode()) == value


def test_rows_are_looked_at_from_outside_alone() -> None:
    rows = b"\n".join(b'{"event_id":"%d","text":"\\ud83d\\ude00 \\\\u0000 [{"}' % row for row in range(200))
    check_rows(rows)
    for bad in (b'\n{"text":"\\u0000"}', b'\n{"text":"\\ude00"}', b'\n{"text":"\xff"}', b"\n\x00"):
        with pytest.raises(Problem, match="bad_json"):
            check_rows(rows + bad)
    with pytest.raises(Problem, match="too_deep"):
        check_rows(rows + b"\n" + deep(MAX_DEPTH + 1))


def test_ten_megabytes_of_rows_are_looked_through_at_once() -> None:
    row = b'{"source":"meter","event_id":"e1234567","item_id":"it_1","quantity":"12.5"}\n'
    check_rows(row * (BULK_BYTES // len(row)))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP, identity"])
def test_a_body_is_not_unpacked(client: TestClient, encoding: str) -> None:
    assert code_of(client, b"\x1f\x8b", **{"Content-Encoding": encoding}) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "text/json"])
def test_a_body_of_another_kind_is_refused(client: TestClient, media_type: str) -> None:
    assert code_of(client, b'{"text":"a"}', **{"Content-Type": media_type}) == (415, "unsupported_media_type")
    assert code_of(client, b'{"text":"a"}', **{"Content-Type": "application/json; charset=utf-8"}) == (
        200,
        "",
    )


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/v1/notes/" + "a" * 3_000, 414, "uri_too_long"),
        ("/v1/notes/a?name=" + "a" * 9_000, 414, "uri_too_long"),
        ("/v1/notes/a%00b", 400, "bad_parameter"),
        ("/v1/notes/a%0Ab", 400, "bad_parameter"),
        ("/v1/notes/a%7F", 400, "bad_parameter"),
        ("/v1/notes/%ED%A0%80", 400, "bad_parameter"),
        ("/v1/notes/%ff", 400, "bad_parameter"),
        ("/v1/notes/a?name=%00", 400, "bad_parameter"),
        ("/v1/notes/a?name=%0d%0aSet-Cookie:x", 400, "bad_parameter"),
        ("/v1/notes/a?name=%ED%B0%80", 400, "bad_parameter"),
        ("/v1/notes/a?%00=b", 400, "bad_parameter"),
        ("/v1/notes/" + "a" * 200, 400, "bad_parameter"),
        ("/v1/notes/a%20b", 400, "bad_parameter"),
    ],
)
def test_addresses_are_short_and_of_plain_signs(
    client: TestClient, address: str, status: int, code: str
) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_address_may_hold_signs_of_any_script(client: TestClient) -> None:
    assert client.get("/v1/notes/a", params={"name": "قهوة 😀"}).json()["name"] == "قهوة 😀"
