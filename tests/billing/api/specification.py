"""What the specification of the API says of its routes: parameters, and bodies that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute


def routes_of(app: FastAPI) -> list[APIRoute]:
    """All routes of the API, those of routers that were included too."""

    def walked(routes: Iterable[Any]) -> Iterator[APIRoute]:
        for one in routes:
            if isinstance(one, APIRoute):
                yield one
            inner = getattr(one, "original_router", one)
            if inner is not one or not isinstance(one, BaseRoute):
                yield from walked(inner.routes)

    found = [one for one in walked(app.routes) if one.path.startswith("/v1/")]
    assert {one.path_format for one in found} >= {p for p in app.openapi()["paths"] if p.startswith("/v1/")}
    return found


def method_of(route: APIRoute) -> str:
    (method,) = route.methods or ()
    return method


def said_of(app: FastAPI, route: APIRoute) -> dict[str, Any]:
    """What the specification says of a route."""
    said: dict[str, Any] = app.openapi()["paths"][route.path_format][method_of(route).lower()]
    return said


def query_of(app: FastAPI, route: APIRoute) -> dict[str, Any]:
    """The parameters of a route's address behind the question mark."""
    return {one["name"]: one for one in said_of(app, route).get("parameters", ()) if one["in"] == "query"}


def body_of(app: FastAPI, route: APIRoute) -> tuple[Any, dict[str, Any]] | None:
    """A body that fits a route, and its members; None where it takes none."""
    content = said_of(app, route).get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return None
    schema = _found(app, content["application/json"].get("schema", {}))
    return _fitting(app, schema), schema.get("properties", {})


def _found(app: FastAPI, schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        named: dict[str, Any] = app.openapi()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        return named
    return dict(schema)


_TEXTS = {"date": "2025-06-01", "date-time": "2025-06-01T08:00:00Z"}


def _fitting(app: FastAPI, schema: Mapping[str, Any]) -> Any:
    """The example of a schema, or the least that fits it."""
    schema = _found(app, schema)
    for told in ("examples", "enum"):
        if schema.get(told):
            return schema[told][0]
    if "const" in schema:
        return schema["const"]
    for told in ("anyOf", "oneOf"):
        if told in schema:
            return _fitting(app, next(one for one in schema[told] if one.get("type") != "null"))
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        members = schema.get("properties", {})
        return {name: _fitting(app, members[name]) for name in schema.get("required", ()) if name in members}
    if kind == "array":
        return [_fitting(app, schema["items"])] * schema.get("minItems", 1)
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
    if kind == "boolean":
        return False
    if "pattern" in schema and "\\d" in schema["pattern"]:
        return "1"
    return _TEXTS.get(schema.get("format", ""), "x" * max(schema.get("minLength", 1), 1))
