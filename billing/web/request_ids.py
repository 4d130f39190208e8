"""Gives each request an id: it is answered, logged and kept with what the request did.

The id is ours. One that a client sends in `X-Request-Id` is only noted beside it, and only where it is short
and plain, so that nobody chooses what others look for in the logs."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def new_request_id() -> str:
    """An id that nobody can guess: `req_` and 20 signs."""
    return f"req_{secrets.token_hex(10)}"


class RequestIds:
    """Puts `request_id` and `client_request_id` (None where there is no plain one) into the scope of the
    request, and `X-Request-Id` on the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = new_request_id()
        given = Headers(scope=scope).get("x-request-id", "")
        scope["client_request_id"] = given if _PLAIN.fullmatch(given) else None

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        await self._app(scope, receive, sent)
