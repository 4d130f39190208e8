"""Examples for the description of the API, made from the shapes: each passes the schema it stands beside.

A shape may say its own (`examples`); for the rest a value is chosen by the name of the member, as far as the
schema takes it, else by the schema alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_BY_NAME: Mapping[str, object] = {
    "address": "Hafenstr. 12",
    "category": "standard",
    "city": "Hamburg",
    "collection": "automatic",
    "country": "DE",
    "currency": "EUR",
    "decided_by": "staff:sara@example.com",
    "description": "Support in January",
    "detail": "what was sent",
    "email": "billing@example.com",
    "gateway": "simulated",
    "iban": "DE89370400440532013000",
    "interval": "P1M",
    "kind": "card",
    "label": "Visa •• 4242",
    "limit": 50,
    "lines": ["Hafenstr. 12"],
    "locale": "en",
    "month": "2026-01",
    "name": "Roastery Nord GmbH",
    "number": "INV-2026-000042",
    "postal_code": "20457",
    "quantity": "12",
    "reason": "other",
    "region": "HH",
    "tax_number": "DE136695976",
    "tax_rate_ppm": 190_000,
    "time_zone": "Europe/Berlin",
    "topic": "invoice.issued",
    "unit": "unit",
    "url": "https://shop.example.com/hooks/billing",
    "version": "2026-12-01",
}
_BY_ENDING: Mapping[str, object] = {
    "_minor": 4_900,
    "_ppm": 100_000,
    "_on": "2026-01-31",
    "_at": "2026-01-31T08:00:00Z",
    "_start": "2026-02-01",
    "_end": "2026-03-01",
    "_until": "2026-03-01",
    "_from": "2026-02-01",
    "_mantissa": 125,
    "_scale": 2,
    "_email": "billing@example.com",
    "_url": "https://shop.example.com/account",
}
_TEXTS = (
    "example",
    "12.50",
    "2026-01-31",
    "2026-01-31T08:00:00Z",
    "2026-01",
    "EUR",
    "DE",
    "P1M",
    "en",
    "1",
    "https://shop.example.com",
    "billing@example.com",
    "a",
)
_DEEPEST = 6


class NoExample(Exception):
    """A schema for which no example is found. The message says which."""


def example_of(schema: Schema, shapes: Mapping[str, Schema], name: str = "", *, is_full: bool = True) -> Any:
    """A value that passes the schema. shapes: the schemas that `$ref` names. is_full: also members that may
    be left out. Raises NoExample."""
    return _Maker(shapes, is_full).value(schema, name, 0)


class _Maker:
    def __init__(self, shapes: Mapping[str, Schema], is_full: bool) -> None:
        self._shapes, self._is_full = shapes, is_full

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        for said in ("examples", "enum"):
            if schema.get(said):
                return schema[said][0]
        for said in ("example", "const"):
            if said in schema:
                return schema[said]
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self._first(schema, schema[choice], name, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next(one for one in kind if one != "null")
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind == "string":
            return _text(schema, name)
        if kind in ("integer", "number"):
            return _number(schema, name)
        return {"boolean": False, "null": None}.get(str(kind), _named(name))

    def _resolved(self, schema: Schema) -> Schema:
        merged: dict[str, Any] = {}
        parts = [schema]
        while parts:
            part = dict(parts.pop())
            if reference := part.pop("$ref", None):
                parts.append(self._shapes[reference.rpartition("/")[2]])
            parts.extend(part.pop("allOf", ()))
            for key, said in part.items():
                merged[key] = {**merged[key], **said} if key == "properties" and key in merged else said
        return merged

    def _first(self, schema: Schema, choices: list[Schema], name: str, depth: int) -> Any:
        beside = {key: said for key, said in schema.items() if key not in ("anyOf", "oneOf")}
        rejected: NoExample | None = None
        for choice in choices:
            if choice.get("type") == "null" and len(choices) > 1:
                continue
            try:
                return self.value({**beside, **choice}, name, depth)
            except NoExample as none:
                rejected = none
        if rejected is not None and not any(one.get("type") == "null" for one in choices):
            raise rejected
        return None

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        needed = set(schema.get("required", ()))
        made = {}
        for name, member in schema.get("properties", {}).items():
            if name in needed or (self._is_full and depth < _DEEPEST):
                if depth > 2 * _DEEPEST:
                    raise NoExample(f"{name} holds itself")
                made[name] = self.value(member, name, depth + 1)
        others = schema.get("additionalProperties")
        if not schema.get("properties") and isinstance(others, Mapping) and self._is_full:
            made["example"] = self.value(others, "example", depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        if "prefixItems" in schema:
            return [self.value(one, name, depth + 1) for one in schema["prefixItems"]]
        if depth >= 2 * _DEEPEST and not schema.get("minItems"):
            return []
        one = self.value(schema.get("items", {}), name.removesuffix("s"), depth + 1)
        return [one] * max(schema.get("minItems", 1), min(1, schema.get("maxItems", 1)))


def _named(name: str) -> object:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.endswith("_id"):
        return f"{name.removesuffix('_id')}_000100000000001a2b3c"
    ending = next((ending for ending in _BY_ENDING if name.endswith(ending)), None)
    return "example" if ending is None else _BY_ENDING[ending]


def _text(schema: Schema, name: str) -> str:
    for text in _texts(schema, name):
        if _fits(text, schema):
            return text
    raise NoExample(f"{name}: {dict(schema)}")


def _texts(schema: Schema, name: str) -> Iterator[str]:
    formats = {"date": "2026-01-31", "date-time": "2026-01-31T08:00:00Z", "uri": "https://shop.example.com"}
    if schema.get("format") in formats:
        yield formats[schema["format"]]
    named = _named(name)
    if isinstance(named, str):
        yield named
    yield from _TEXTS
    yield "a" * schema.get("minLength", 1)


def _fits(text: str, schema: Schema) -> bool:
    long_enough = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return long_enough and re.search(schema.get("pattern", ""), text) is not None


def _number(schema: Schema, name: str) -> int | float:
    named = _named(name)
    number = named if isinstance(named, int) else 1
    least = schema.get("minimum", schema.get("exclusiveMinimum", number - 1) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", number + 1) - 1)
    found: int | float = min(max(number, least), most)
    return found
