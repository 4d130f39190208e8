"""Pages and other answers, with the headers that keep them to themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from billing.portal.menu import menu_of, plain_menu
from billing.portal.visit import PACKAGE, PREFIX, Desk, Visit
from billing.web.forms import token_of
from billing.web.languages import words


def page(visit: Visit, template: str, status: int = 200, /, **values: Any) -> Response:
    """A page of somebody who is signed in."""
    seed = visit.session.csrf_seed
    known = {
        "visit": visit,
        "brand": visit.customer["seller"],
        "nav": menu_of(visit),
        "signed_in": visit.user["name"] if visit.user else visit.customer["name"],
        "csrf": lambda form: token_of(seed, form),
        "here": _here(visit.request),
        "has_forms": True,
        "said": defaultdict(str, visit.form),  # what was sent, for a form that is shown again
    }
    return _shown(visit.desk, visit.language, template, status, known | values)


def door_page(
    desk: Desk,
    request: Request,
    language: str,
    seed: str,
    template: str,
    status: int = 200,
    /,
    **values: Any,
) -> Response:
    """A page of somebody who is not."""
    is_inside = desk.session_cookie.of(request) is not None
    known = {
        "brand": desk.titles[language],
        "nav": plain_menu(words(language, PACKAGE), request.url.path) if is_inside and not seed else (),
        "signed_in": None,
        "csrf": lambda form: token_of(seed, form),
        "here": _here(request),
        "has_forms": bool(seed),
    }
    return _shown(desk, language, template, status, known | values)


def _shown(desk: Desk, language: str, template: str, status: int, values: Mapping[str, Any]) -> HTMLResponse:
    return HTMLResponse(desk.pages.render(template, language, values), status)


def _here(request: Request) -> str:
    """Path and query, to come back to; the way in is never repeated, as its address holds a secret."""
    path = request.url.path
    if path == f"{PREFIX}/enter" or request.method == "POST":
        return f"{PREFIX}/"
    return f"{path}?{request.url.query}" if request.url.query else path


def go(path: str) -> Response:
    """To another page of the portal, by GET. path: below the prefix, such as `/invoices`."""
    return RedirectResponse(PREFIX + path, 303)


def back_to(place: str) -> Response:
    """To where somebody was, if that is a page of the portal."""
    is_ours = place.startswith(f"{PREFIX}/") and place.isascii() and place.isprintable() and "\\" not in place
    return RedirectResponse(place if is_ours else f"{PREFIX}/", 303)


def download(content: bytes, name: str, kind: str) -> Response:
    """A file under a name that is safe in a header."""
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "_" for sign in name)
    said = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return Response(content, 200, {"content-disposition": said}, kind)
