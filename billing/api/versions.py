"""Versions of the API by the day they began. The code speaks the newest; what older ones said differently
stands here as steps, taken on the way in and on the way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from billing.web.context import Caller
from billing.web.problems import Problem

HEADER = "Tajdid-Version"
FIRST = date(2026, 12, 1)


@dataclass(frozen=True)
class Change:
    """What changed on a day.

    routes: methods and templates of paths. up: what was sent in the old form, in the new one. down: what is
    answered in the new form, in the old one. topics: events whose form changed. event_down: such an event in
    the old one. sunset: the day from which the form before may be gone.
    """

    on: date
    about: str
    routes: frozenset[tuple[str, str]]
    up: Callable[[Any], Any] | None = None
    down: Callable[[Any], Any] | None = None
    topics: frozenset[str] = frozenset()
    event_down: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    sunset: date | None = None


CHANGES: tuple[Change, ...] = ()
"""From the oldest to the newest; each on a day of its own."""


def known() -> tuple[date, ...]:
    """The versions that are answered, the newest last."""
    return (FIRST, *(one.on for one in CHANGES))


def version_of(header: str | None, caller: Caller) -> date:
    """The version that a request asks for, else that of its key. Raises Problem `bad_version`."""
    if header is None:
        return caller.version or known()[-1]
    for one in known():
        if header == one.isoformat():
            return one
    raise Problem("bad_version", f"there are {', '.join(map(str, known()))}", field=HEADER)


def event_in(version: date | None, event: dict[str, Any]) -> dict[str, Any]:
    """An event as a version shows it, pulled or sent; None: the newest."""
    for one in reversed(CHANGES):
        if version is not None and one.on > version and one.event_down and event["type"] in one.topics:
            event = one.event_down(event)
    return event


class VersionedRoute(APIRoute):
    """A route that is spoken to, and answers, in the version of the request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def versioned(request: Request) -> Response:
            from billing.api.route import context_of

            path = request.scope["route"].path
            of_route = [one for one in CHANGES if (request.method, path) in one.routes]
            since: list[Change] = []
            if of_route:
                # The form of the body depends on who sends it.
                context = await context_of(request)
                request.scope["let_in"] = context.caller
                since = [one for one in of_route if context.version and one.on > context.version]
                await _raise(request, since)
            return _lowered(await handle(request), request, since)

        return versioned


async def _raise(request: Request, changes: Iterable[Change]) -> None:
    steps = [one.up for one in changes if one.up is not None]
    body = await request.body() if steps else b""
    try:
        sent = json.loads(body) if body else None
    except ValueError:  # The route says so.
        return
    if isinstance(sent, dict):
        for step in steps:
            sent = step(sent)
        request._body = json.dumps(sent).encode()


def _lowered(response: Response, request: Request, changes: Iterable[Change]) -> Response:
    version = request.scope.get("version")
    if version is not None:
        response.headers[HEADER] = version.isoformat()
    ends = [one.sunset for one in changes if one.sunset is not None]
    if ends:
        response.headers["Sunset"] = format_datetime(datetime.combine(min(ends), time(), UTC), usegmt=True)
    steps = [one.down for one in changes if one.down is not None]
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if not steps or not is_json or response.status_code >= 400:
        return response
    answer = json.loads(bytes(response.body))
    for step in reversed(steps):
        answer = step(answer)
    response.body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    response.headers["content-length"] = str(len(response.body))
    return response
