"""Values as the API writes them: amounts whole numbers, decimals text, days and instants in ISO form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

from billing.core.money import Scaled, format_scaled


def to_json(value: object) -> bytes:
    """A value as JSON. Raises TypeError for what has no form there, such as a binary float out of place."""
    return json.dumps(
        value, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def instant(at: datetime) -> str:
    """An instant in RFC 3339, in UTC."""
    text = at.astimezone(UTC).isoformat()
    return text.removesuffix("+00:00") + "Z"


def members(value: object) -> object:
    """A dataclass as an object, and exact decimals in it as text, to any depth. A `Scaled` by itself, outside
    a dataclass, goes through here too, as JSON would take it for a list."""
    if isinstance(value, Scaled):
        return format_scaled(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: members(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: members(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [members(one) for one in value]
    return value


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if is_dataclass(value) and not isinstance(value, type):
        return members(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
