"""Entity tags: a hash of what a resource shows, as no column tells each change of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from billing.web.as_json import to_json

_NOT_SHOWN = frozenset(("next_bill_on", "unsettled_from", "recorded_at", "changed_at"))
"""Members that change without the resource changing for who reads it."""


def tag_of(shown: Mapping[str, object]) -> str:
    """The strong entity tag (RFC 9110) of a representation, whole and unexpanded."""
    kept = {name: value for name, value in sorted(shown.items()) if name not in _NOT_SHOWN}
    digest = hashlib.sha256(to_json(kept)).digest()
    return '"' + base64.urlsafe_b64encode(digest).decode()[:24] + '"'


def matches(header: str, tag: str) -> bool:
    """Whether a tag is among those of an If-Match or If-None-Match header."""
    given = {one.strip().removeprefix("W/") for one in header.split(",")}
    return "*" in given or tag in given
