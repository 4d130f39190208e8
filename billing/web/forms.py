"""Forms of people: read from a request's body, and proven to come from a page of ours.

A page puts a token in each form: an HMAC of the form's name under the seed of the visitor's session, so that
a form of another session, or another form of the same one, is refused. What browsers say about where a
request comes from is checked beside it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from billing.web.limits import FORM, FORM_BYTES
from billing.web.problems import Problem

MOST_FIELDS = 200
_SAME = ("same-origin", "none")


def token_of(seed: str, form: str) -> str:
    """The token of a form for whoever holds the seed."""
    return hmac.new(seed.encode(), form.encode(), hashlib.sha256).hexdigest()


def check_token(seed: str | None, form: str, given: str | None) -> None:
    """Raises `csrf` unless the token is that of the form under the seed."""
    expected = token_of(seed or "", form)
    if not hmac.compare_digest(expected.encode(), (given or "").encode()) or not seed:
        raise Problem("csrf", form)


def check_origin(headers: Mapping[str, str], base_url: str) -> None:
    """Raises `csrf` where a browser says that the request comes from elsewhere than pages of ours.

    headers: with names in small letters. base_url: where people reach us, such as `https://bill.example`.
    """
    own = urlsplit(base_url)
    origin = headers.get("origin")
    if origin is not None and origin != f"{own.scheme}://{own.netloc}":
        raise Problem("csrf", "the request comes from another site")
    if headers.get("sec-fetch-site", "same-origin") not in _SAME:
        raise Problem("csrf", "the request comes from another site")


def fields_of(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form, each once, as text without signs that no text has.

    Raises `bad_parameter` for another form of body, for text that is no UTF-8 or holds control signs other
    than the breaks of lines, and for a field that comes twice; `too_large` for more than FORM_BYTES.
    """
    if len(body) > FORM_BYTES:
        raise Problem("too_large", f"{len(body)} bytes")
    if body and content_type.partition(";")[0].strip().lower() != FORM:
        raise Problem("bad_parameter", f"a form is sent as {FORM}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise Problem("bad_parameter", "the form cannot be read") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Problem("bad_parameter", f"{name[:50]!r} comes twice")
        if any(sign < " " and sign not in "\r\n\t" for sign in name + value):
            raise Problem("bad_parameter", "control signs")
        found[name] = value.replace("\r\n", "\n").strip()
    return found


def check_typed(given: str | None, expected: str) -> None:
    """For an act that cannot be undone: what was typed is the number or the name it is about. Raises
    `not_confirmed`."""
    if (given or "").strip() != expected:
        raise Problem("not_confirmed", expected)
