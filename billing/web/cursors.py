"""Places in a list as a caller carries them: opaque, bound to the list and its filters, and stamped."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from billing.web.as_json import instant
from billing.web.problems import Problem
from billing.web.seal import Vault

_STAMP = 8
"""Bytes of the stamp."""


def cursor_of(
    vault: Vault, name: str, filters: Mapping[str, str], after: Sequence[object] | None
) -> str | None:
    """A place as text; None for none. `name` tells lists apart, `filters` what is asked of this one."""
    if after is None:
        return None
    data = json.dumps([_written(one) for one in after], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_stamp(vault, name, filters, data) + data).decode().rstrip("=")


def place_of(vault: Vault, name: str, filters: Mapping[str, str], cursor: str) -> tuple[object, ...]:
    """The place of a cursor. Raises Problem `bad_cursor` for one that this list did not give."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        stamp, data = raw[:_STAMP], raw[_STAMP:]
        if not hmac.compare_digest(stamp, _stamp(vault, name, filters, data)):
            raise ValueError
        return tuple(_read(kind, value) for kind, value in json.loads(data))
    except ValueError:
        raise Problem(
            "bad_cursor", "take `next` of the page before, with the same filters", field="after"
        ) from None


def _stamp(vault: Vault, name: str, filters: Mapping[str, str], data: bytes) -> bytes:
    about = json.dumps([name, sorted(filters.items())]).encode()
    return vault.stamp(about + b"\0" + data, "cursor")[:_STAMP]


def _written(value: object) -> tuple[str, object]:
    if isinstance(value, datetime):
        return "at", instant(value)
    if isinstance(value, date):
        return "on", value.isoformat()
    return "is", value


def _read(kind: str, value: object) -> object:
    if kind == "at":
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    if kind == "on":
        return date.fromisoformat(str(value))
    return value
