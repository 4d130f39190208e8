"""Several requests in one: each is done by itself and has its own outcome, in the order given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Message, Scope

from billing.api.idempotency import HEADER
from billing.web.answers import AnswerProblems, as_json
from billing.web.context import Context
from billing.web.logs import LogRequests

MOST = 100
"""Requests in one, at most."""


def inside(app: FastAPI) -> ASGIApp:
    """The routes of an application as they are called for a caller that was let in: without what stands
    before them, each call in the list of calls."""
    handlers: Mapping[Any, Any] = app.exception_handlers
    routed = ExceptionMiddleware(AsyncExitStackMiddleware(app.router), handlers=handlers)
    answered = AnswerProblems(routed, as_json(app.state.services.base_url))
    return LogRequests(answered, watches=(app.state.calls.watch,))


async def outcome(
    routed: ASGIApp,
    outer: Request,
    context: Context,
    *,
    method: str,
    path: str,
    body: object,
    key: str | None,
    if_match: str | None,
) -> dict[str, object]:
    """Status, headers worth knowing and body of one request. A body that is no JSON is left out."""
    sent = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    reply = _Reply(sent)
    await routed(_scope(outer, context, method, path, sent, key, if_match), reply.receive, reply.send)
    told: dict[str, object] = {"status": reply.status}
    told |= {name: reply.headers[header] for header, name in _TOLD.items() if header in reply.headers}
    is_json = reply.headers.get("content-type", "").partition(";")[0].endswith("json")
    told["body"] = json.loads(bytes(reply.body)) if is_json and reply.body else None
    return told


_TOLD = {
    "etag": "etag",
    "location": "location",
    "idempotent-replayed": "replayed",
    "retry-after": "retry_after",
}


def _scope(
    outer: Request,
    context: Context,
    method: str,
    path: str,
    body: bytes,
    key: str | None,
    if_match: str | None,
) -> Scope:
    place = urlsplit(path)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        HEADER.lower(): key,
        "if-match": if_match,
        "tajdid-version": outer.headers.get("tajdid-version"),
        "accept-language": outer.headers.get("accept-language"),
    }
    return {
        "type": "http",
        "asgi": outer.scope.get("asgi", {"version": "3.0"}),
        "http_version": "1.1",
        "app": outer.app,
        "state": {},
        "scheme": outer.scope["scheme"],
        "server": outer.scope.get("server"),
        "client": outer.scope.get("client"),
        "root_path": outer.scope.get("root_path", ""),
        "method": method,
        "path": place.path,
        "raw_path": place.path.encode(),
        "query_string": place.query.encode(),
        "headers": [(name.encode(), one.encode()) for name, one in headers.items() if one is not None],
        "request_id": context.request_id,
        "let_in": context.caller,
    }


class _Reply:
    """Both ends of a request inside of the process."""

    def __init__(self, sent: bytes) -> None:
        self._sent, self.status = sent, 500
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    async def receive(self) -> Message:
        body, self._sent = self._sent, b""
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): one.decode() for name, one in message["headers"]}
        else:
            self.body += message.get("body", b"")
