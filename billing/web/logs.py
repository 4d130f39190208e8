"""One line of JSON for each request and for each failure, of members that are listed here and of no others.

Lines hold ids and never names, e-mail addresses, network addresses, texts that a client sent, nor secrets. Of
an exception they hold its type and where it was raised, not its message: messages of a driver quote what was
written.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("billing.web")
QUIET = ("/health/live", "/health/ready", "/metrics")
"""Paths that machines ask for all the time."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

Watch = Callable[["Answered"], None]


class Answered:
    """A request that was answered, as it is logged and counted.

    route: the template of its path, such as `/v1/customers/{customer_id}`, or `(none)`. code: of what was
    refused. seconds: until the answer was sent.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.seconds = 0.0

    @property
    def route(self) -> str:
        return getattr(self.scope.get("route"), "path", None) or "(none)"

    @property
    def code(self) -> str | None:
        code: str | None = self.scope.get("code")
        return code


class LogRequests:
    """Logs each request once it is answered, and tells `watches` of it."""

    def __init__(self, app: ASGIApp, watches: tuple[Watch, ...] = ()) -> None:
        self._app, self._watches = app, watches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = Answered(scope)
        began = time.perf_counter()

        async def received() -> Message:
            message = await receive()
            answered.bytes_in += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.status = message["status"]
            answered.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            answered.seconds = time.perf_counter() - began
            for watch in self._watches:
                watch(answered)
            if scope["path"] not in QUIET:
                _LOG.info("request", extra={"members": _members(answered)})


def log_failure(failure: BaseException, **members: Any) -> None:
    """Log where a failure was raised. `members`: ids that say what it was about."""
    _LOG.error("failure", exc_info=failure, extra={"members": members})


def log_event(event: str, **members: Any) -> None:
    """Log what somebody should know of and nothing was raised for."""
    _LOG.warning(event, extra={"members": members})


def raised(failure: BaseException) -> dict[str, Any]:
    """Type of a failure and the places it came through, innermost last; of causes alike."""
    chain: list[dict[str, object]] = []
    seen: BaseException | None = failure
    while seen is not None and len(chain) < 5:
        frames = traceback.extract_tb(seen.__traceback__)[-12:]
        places = [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
        chain.append({"type": f"{type(seen).__module__}.{type(seen).__qualname__}", "places": places})
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return {"raised": chain}


def write_logs(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Let this process write its logs as lines of JSON, standard error by default, and only there."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOG.setLevel(level)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
        logger.setLevel(level)
    access = logging.getLogger("uvicorn.access")
    access.handlers[:] = []
    access.propagate = False


class JsonLines(logging.Formatter):
    """A record as one line of JSON. Signs beyond ASCII are escaped, so that no text ends a line or colours a
    terminal."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "members", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= raised(record.exc_info[1])
        return json.dumps(line, default=str)


def _members(answered: Answered) -> dict[str, Any]:
    scope = answered.scope
    return {
        "request_id": scope.get("request_id"),
        "client_request_id": scope.get("client_request_id"),
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "code": answered.code,
        "caller": scope.get("caller"),
        "ms": round(answered.seconds * 1000, 1),
        "bytes_in": answered.bytes_in,
        "bytes_out": answered.bytes_out,
    }


def _short(filename: str) -> str:
    return (
        filename.rpartition("/site-packages/")[2]
        if "/site-packages/" in filename
        else "/".join(filename.split("/")[-3:])
    )
