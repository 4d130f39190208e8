"""A path leads to the route that FastAPI itself would find, and to none where it would find none."""

from __future__ import annotations

import re
from typing import Any

from fastapi.routing import APIRoute
from small_api import api_of_nothing
from starlette.routing import Match

from billing.api.finding import ByResource


def _scope(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], "root_path": ""}


def test_every_route_is_found_as_the_first_that_fits() -> None:
    app = api_of_nothing()
    finder = app.router.routes[0]
    assert isinstance(finder, ByResource)
    every = [one for group in finder._routes.values() for one in group]
    assert {f"/v1{path.removeprefix('/v1')}" for path in (one.path for one in every)} == {
        path for path in app.openapi()["paths"] if path.startswith("/v1/")
    }
    for route in every:
        for method in route.methods or ():
            scope = _scope(method, re.sub(r"{\w+}", "one", route.path))
            match, found = finder.matches(scope)
            assert match == Match.FULL
            first = next(one for one in every if one.matches(scope)[0] == Match.FULL)
            assert isinstance(found["route"], APIRoute)
            assert found["route"] is first


def test_what_fits_no_route_is_left_to_others() -> None:
    finder = api_of_nothing().router.routes[0]
    for method, path in (
        ("GET", "/v1/nothing"),
        ("PUT", "/v1/subscriptions"),
        ("GET", "/v1/subscriptions/"),
        ("GET", "/v1"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/v1/subscriptions/a/b/c/d"),
    ):
        assert finder.matches(_scope(method, path)) == (Match.NONE, {})
