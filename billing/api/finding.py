"""Which route a path belongs to: looked up by the resource that it begins with, as there are hundreds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class ByResource(BaseRoute):
    """All routes at once. Whatever fits none of them is left to the routes that come after."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._routes: defaultdict[tuple[str, int], list[APIRoute]] = defaultdict(list)
        for route in routes:
            self._routes[_place(route.path)].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            for route in self._routes.get(_place(scope["path"]), ()):
                match, found = route.matches(scope)
                if match == Match.FULL:
                    return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["route"].handle(scope, receive, send)


def _place(path: str) -> tuple[str, int]:
    """The resource of a path such as /v1/invoices/42, and how many parts it has."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 else "", path.count("/")
