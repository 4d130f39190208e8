"""The sign-in page for passwords: a plain form, since only an answer of the server can set a safe cookie.

The cookie holds a token made at sign-in and nothing that the browser sent before; scripts cannot read it, and
other sites cannot send the form.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from math import ceil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, FileSystemLoader
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from dashboard import theme
from dashboard.i18n import LANGUAGES, SOURCE_LANGUAGE, Text, text
from dashboard.people import directory, entry
from dashboard.people.entry import COOKIE
from dashboard.people.settings import SignIn
from dashboard.records.database import RecordsError

PATH = "/sign-in"
MOST_BYTES = 8_000
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; font-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # "no-referrer" would make the browser hide where the form came from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NEXT = re.compile(r"/[a-z_]*(\?[^\s\\#]{0,2000})?")
logger = logging.getLogger(__name__)
_templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)


def routes(settings: SignIn, clock: Callable[[], datetime]) -> list[Route]:
    """The routes of sign-in by password; none for another kind."""
    if settings.kind != "password":
        return []

    async def show(request: Request) -> Response:
        words, target = _words(request.query_params.get("lang")), request.query_params.get("next")
        return _page(words, _safe(target))

    async def check(request: Request) -> Response:
        fields = await _fields(request)
        if fields is None:
            return Response(_not_ours(), 403, HEADERS, "text/plain")
        words, target = _words(fields.get("lang")), _safe(fields.get("next"))
        try:
            came = await run_in_threadpool(
                entry.enter,
                directory.open_people(settings.people_url),
                clock(),
                fields.get("name", ""),
                fields.get("password", ""),
            )
        except RecordsError:
            logger.exception("nobody can sign in: the list of people cannot be used")
            return _page(
                words, target, words.gettext("Nobody can sign in just now. Try again in a minute."), 503
            )
        if came.token is None:
            return _page(words, target, _why_not(words, came), 429 if came.locked_for else 401)
        answer = RedirectResponse(_beside(target), 303, HEADERS)
        answer.set_cookie(
            COOKIE,
            came.token,
            max_age=int(settings.session.total_seconds()),
            httponly=True,
            samesite="lax",
            secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
        )
        return answer

    return [Route(PATH, show, methods=["GET"]), Route(PATH, check, methods=["POST"])]


def _words(language: str | None) -> Text:
    return text(language if language in LANGUAGES else SOURCE_LANGUAGE)


def _not_ours() -> str:
    """What is said of a form of somebody else, in every language: which one it asks for is not believed."""
    said = (text(language).gettext("This form was not sent from this page.") for language in LANGUAGES)
    return "\n".join(said)


def _safe(target: str | None) -> str:
    """A page of this dashboard to go to, as `/page?…`; anything else becomes its first page."""
    return target if target and NEXT.fullmatch(target) else "/"


def _beside(target: str) -> str:
    """A page as seen from the sign-in form, which lies beside it: also under a path of a proxy."""
    return "." + target if target.startswith("/?") or target == "/" else target[1:]


async def _fields(request: Request) -> dict[str, str] | None:
    """The fields of a form that our own page sent; None for any other."""
    origin = urlsplit(request.headers.get("origin", ""))
    if not origin.netloc or origin.netloc != request.headers.get("host"):
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}


def _why_not(words: Text, came: entry.Entry) -> str:
    if came.locked_for is None:
        return words.gettext("This name and this password do not belong together.")
    minutes = max(1, ceil(came.locked_for.total_seconds() / 60))
    return words.ngettext(
        "Too many attempts. Try again in {count} minute.",
        "Too many attempts. Try again in {count} minutes.",
        minutes,
    ).format(count=minutes)


def _page(words: Text, target: str, problem: str | None = None, status: int = 200) -> Response:
    _ = words.gettext
    content = _templates.get_template("sign_in.html").render(
        language=words.language,
        direction=words.direction,
        colours=theme,
        title=_("Sign in"),
        product=_("Tajdid"),
        name=_("Name or e-mail address"),
        password=_("Password"),
        button=_("Sign in"),
        problem=problem,
        target=target,
        other=[(code, label) for code, label in LANGUAGES.items() if code != words.language],
    )
    return HTMLResponse(content, status, HEADERS)
