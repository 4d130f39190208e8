"""What is let in: sizes of path, query and body, and bodies and texts that mean one thing only.

A body is read here, counted as it arrives, and handed on whole. JSON is refused where readers of JSON
disagree (a member named twice, NaN, numbers past 64 bits), where it is nested deep, and where a text holds
what no database takes (NUL, half a surrogate pair). Who may ask for what is decided elsewhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import anyio
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.web.problems import Problem

KB = 1024
PATH_BYTES, QUERY_BYTES = 2 * KB, 8 * KB
BODY_BYTES, FORM_BYTES, BULK_BYTES = 256 * KB, 64 * KB, 10 * KB * KB
MAX_DEPTH = 20
WHOLE_DIGITS = 19
"""Digits of a whole number that may fit 64 bits."""
BODY_SECONDS = 60.0

JSON, LINES, FORM = "application/json", "application/x-ndjson", "application/x-www-form-urlencoded"
_LARGE = 64 * KB
"""Bodies beyond this many bytes are looked through beside the event loop, not in it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXT = re.compile(rb'"[^"]*"')
_PAIR = re.compile(rb"\{\}|\[\]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'"[]{}'))
_PAIRED = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_NO_TEXT_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True)
class Kind:
    """Which bodies a path takes: `most` bytes, of these media types. `is_rows`: of JSON that holds many rows
    only the outline is looked at; who reads it refuses each row for itself."""

    most: int = BODY_BYTES
    types: tuple[str, ...] = (JSON,)
    is_rows: bool = False


@dataclass(frozen=True)
class Limits:
    """The kinds of body by path; `other` where a path has none of its own."""

    other: Kind = Kind()
    by_path: Mapping[str, Kind] = field(default_factory=dict)

    def of(self, path: str) -> Kind:
        return self.by_path.get(path, self.other)


class LimitRequests:
    """Refuses what is beyond the limits, by a Problem, before anything else reads it."""

    def __init__(self, app: ASGIApp, limits: Limits = Limits(), seconds: float = BODY_SECONDS) -> None:
        self._app, self._limits, self._seconds = app, limits, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        check_address(scope)
        kind = self._limits.of(scope["path"])
        headers = Headers(scope=scope)
        _check_length(headers, kind)
        body = await self._read(receive, kind, headers)
        if body is not None:
            await _check_body(body, headers, kind)
            await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive, kind: Kind, headers: Headers) -> bytes | None:
        """The whole body; None where the client went away."""
        parts: list[bytes] = []
        size = 0
        with anyio.move_on_after(self._seconds) as waiting:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > kind.most:
                    raise Problem("too_large", f"a body of at most {kind.most} bytes")
                if not message.get("more_body", False):
                    break
        if waiting.cancelled_caught:
            raise Problem("too_slow", f"the body did not arrive within {self._seconds:g} seconds")
        if headers.get("content-length", str(size)) != str(size):
            raise Problem("bad_length", f"{size} bytes came")
        return b"".join(parts)


def check_address(scope: Scope) -> None:
    """Refuse a path or a query that is too long, is no UTF-8, or holds control characters."""
    raw_path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    raw_path = raw_path.split(b"?", 1)[0]
    query: bytes = scope["query_string"]
    if len(raw_path) > PATH_BYTES:
        raise Problem("uri_too_long", f"a path of at most {PATH_BYTES} bytes")
    if len(query) > QUERY_BYTES:
        raise Problem("uri_too_long", f"a query of at most {QUERY_BYTES} bytes")
    for what, raw in (("path", raw_path), ("query", query)):
        try:
            text = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise Problem("bad_parameter", f"the {what} is no UTF-8") from None
        if _CONTROL.search(text):
            raise Problem("bad_parameter", f"the {what} holds a control character")


def read_json(body: bytes) -> Any:
    """What a JSON text says. Raises `bad_json`, `too_deep`, and `amount_out_of_range` for a whole number of
    more than 19 digits."""
    check_depth(body)
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_members,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise Problem("bad_json", "it is no UTF-8") from None
    except RecursionError:
        raise Problem("too_deep", f"at most {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise Problem("bad_json", f"{error.msg} at character {error.pos}") from None
    if b"\\u" in body:
        for text in _texts(value):
            check_text(text)
    return value


def check_text(text: str) -> None:
    """Refuse what no database takes: NUL, and half a surrogate pair. Raises `bad_json`."""
    if _NO_TEXT.search(text):
        raise Problem("bad_json", "a text holds NUL or half a surrogate pair")


def check_depth(body: bytes) -> None:
    """Refuse JSON that is nested more than MAX_DEPTH deep, without reading it. Raises `too_deep`."""
    if b"\\" in body:
        body = _ESCAPED.sub(b"", body)
    # Two quotes that meet begin or end texts without brackets, or stand between two texts: nothing is lost.
    kept = body.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    kept = _TEXT.sub(b"", kept)
    for _level in range(MAX_DEPTH):
        kept = _PAIR.sub(b"", kept)
    if kept.count(b"[") + kept.count(b"{") > MAX_DEPTH or (kept and _PAIR.search(kept)):
        raise Problem("too_deep", f"at most {MAX_DEPTH} levels")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Problem("bad_json", "a member is named twice")
    return members


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > WHOLE_DIGITS:
        raise Problem("amount_out_of_range", f"a whole number has at most {WHOLE_DIGITS} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Problem("bad_json", "a number is larger than numbers may be")
    return number


def _refuse_constant(name: str) -> None:
    raise Problem("bad_json", f"{name} is no JSON")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def _check_length(headers: Headers, kind: Kind) -> None:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("unsupported_media_type", "a body is sent without Content-Encoding")
    length = headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit() and len(length) <= WHOLE_DIGITS):
        raise Problem("bad_length", "Content-Length is a whole number")
    if int(length) > kind.most:
        raise Problem("too_large", f"a body of at most {kind.most} bytes")


async def _check_body(body: bytes, headers: Headers, kind: Kind) -> None:
    if not body:
        return
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in kind.types:
        raise Problem("unsupported_media_type", f"a body is {' or '.join(kind.types)}")
    if media_type == FORM:
        check_form(body)
        return
    check = check_rows if kind.is_rows else read_json
    if len(body) > _LARGE:
        await to_thread.run_sync(check, body)
    else:
        check(body)


def check_form(body: bytes) -> None:
    """Refuse a form whose texts are no UTF-8 or hold NUL. Raises `bad_parameter`."""
    with suppress(UnicodeDecodeError):
        if "\x00" not in unquote_to_bytes(body).decode("utf-8"):
            return
    raise Problem("bad_parameter", "the form holds NUL or is no UTF-8")


def check_rows(body: bytes) -> None:
    """Refuse rows of JSON that are nested deep, are no UTF-8, or hold what no database takes. Raises
    `too_deep`, `bad_json`."""
    check_depth(body)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("bad_json", "it is no UTF-8") from None
    plain = _PAIRED.sub(b"", body.replace(b"\\\\", b"")) if b"\\u" in body else body
    if b"\x00" in plain or _NO_TEXT_ESCAPED.search(plain):
        raise Problem("bad_json", "a text holds NUL or half a surrogate pair")


def _replayed(body: bytes, receive: Receive) -> Receive:
    is_told = False

    async def replay() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
