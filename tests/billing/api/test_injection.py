"""What a client sends becomes no header, no line of a log and no mark of a page; and logs hold no person."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from doors import open_app
from starlette.testclient import TestClient

from billing.web.logs import JsonLines, write_logs

HOSTILE = (
    'x"\r\nSet-Cookie: a=b',
    "x\nlevel=error",
    "\x1b[31mred",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "%0d%0aX-Evil: 1",
    "'; drop table customers; --",
)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process writes as its log."""
    loggers = [
        logging.getLogger(name) for name in ("", "billing.web", "uvicorn", "uvicorn.error", "uvicorn.access")
    ]
    before = [(one, one.handlers[:], one.level, one.propagate) for one in loggers]
    stream = io.StringIO()
    write_logs(stream)
    yield stream
    for logger, handlers, level, propagates in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagates


def test_a_client_names_a_request_only_in_plain_signs(lines: io.StringIO) -> None:
    with open_app() as client:
        for given, noted in (("order-17.a", "order-17.a"), ("a b", None), ("a" * 65, None), ('"x', None)):
            answer = client.get("/v1/notes/a", headers={"X-Request-Id": given})
            line = json.loads(lines.getvalue().splitlines()[-1])
            assert answer.headers["x-request-id"] == line["request_id"] != given
            assert line["client_request_id"] == noted


def sent_everywhere(client: TestClient, text: str) -> None:
    client.post("/v1/notes", json={"text": text})
    client.post("/v1/notes", json={text: text})
    client.get("/v1/notes/a", params={"name": text})
    client.get("/v1/notes/a", params={text: "a"})
    client.get(f"/v1/notes/{text.encode().hex()}")
    client.get("/v1/failing", params={"fields": text})
    plain = text.encode("latin-1").replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\x1b", b" ")
    client.get("/v1/notes/a", headers={"Authorization": plain, "X-Request-Id": plain, "User-Agent": plain})


def test_every_line_of_a_log_is_one_of_json_and_holds_nothing_that_was_sent(lines: io.StringIO) -> None:
    with open_app() as client:
        for text in HOSTILE:
            sent_everywhere(client, text)
            sent_everywhere(client, "marked " + text)
    written = lines.getvalue()
    assert "marked" not in written
    assert "secret of the database" not in written
    assert "203.0.113.9" not in written
    assert written.isascii()
    found = [json.loads(line) for line in written.splitlines()]
    assert {line["event"] for line in found} == {"request", "failure"}
    failure = next(line for line in found if line["event"] == "failure")
    assert failure["raised"][0]["type"] == "builtins.RuntimeError"
    assert "doors.py" in failure["raised"][0]["places"][-1]


def test_a_line_of_the_log_tells_what_was_asked_by_whom_and_how_it_ended(lines: io.StringIO) -> None:
    with open_app() as client:
        client.post("/v1/notes", json={"text": "a"}, headers={"Authorization": "Bearer good one"})
        client.get("/v1/notes/a", headers={"Authorization": "Bearer bad"})
        client.get("/health/live")
    taken, refused = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (taken["method"], taken["route"], taken["status"], taken["code"]) == (
        "POST",
        "/v1/notes",
        200,
        None,
    )
    assert taken["caller"].startswith("key:")
    assert (taken["bytes_in"], taken["bytes_out"]) == (12, len('{"text":"a","number":null}'))
    assert (refused["status"], refused["code"], refused["caller"]) == (401, "unauthenticated", None)


def test_what_other_code_logs_is_a_line_too() -> None:
    record = logging.LogRecord("other", logging.ERROR, "f.py", 1, "two\nlines of %s", ("\x1b[0m",), None)
    written = JsonLines().format(record)
    assert "\n" not in written
    assert json.loads(written)["event"] == "two\nlines of \x1b[0m"


def test_answers_carry_no_header_that_was_sent() -> None:
    with open_app() as client:
        for text in HOSTILE:
            for answer in (
                client.get("/v1/notes/a", params={"name": text}),
                client.post("/v1/notes", json={"text": text}),
                client.get("/docs/errors/" + text.encode().hex()),
            ):
                assert "set-cookie" not in answer.headers
                assert "x-evil" not in answer.headers
                assert text not in str(answer.headers)


def test_a_problem_is_shown_by_a_browser_as_text_and_never_as_a_page() -> None:
    with open_app() as client:
        answer = client.post("/v1/notes", json={"<script>": 1})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
