"""The portal as an ASGI application: its pages, their assets, and a page for whatever goes wrong."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from billing.gateways.mail import Mailer
from billing.portal import pages as package
from billing.portal import terms
from billing.portal.answers import door_page, page
from billing.portal.door import NotSignedIn, door_routes, language_of, nothing_here
from billing.portal.tasks import first_page
from billing.portal.visit import PACKAGE, PREFIX, Desk, Visit
from billing.web.answers import Write, problem_from
from billing.web.assets import serve_asset
from billing.web.context import Services
from billing.web.health import watching_routes
from billing.web.languages import words
from billing.web.layers import Door, add_layers, bare_application
from billing.web.limits import FORM, FORM_BYTES, Kind, Limits
from billing.web.metrics import Metrics
from billing.web.pages import POLICY, Pages
from billing.web.problems import Problem

_LIMITS = Limits(other=Kind(FORM_BYTES, (FORM,)))


def application(
    services: Services,
    *,
    mailer: Mailer,
    titles: Mapping[str, str],
    url: str | None = None,
    more: Mapping[str, Any] | None = None,
    door: Door | None = None,
) -> FastAPI:
    """The portal of a company.

    titles: what the door and letters call the seller in each language. url: where customers reach
    it, by default `services.portal_url` or `base_url`; behind https cookies are bound to the host. more: what
    some pages need beside: `hosted`, a gateway's fields for new ways to pay (gateways.hosted).
    door: what it needs where it listens on a network.
    """
    where = (url or services.portal_url or services.base_url).rstrip("/")
    desk = Desk(services, mailer, Pages(PACKAGE, PREFIX), where, titles, dict(more or {}))
    app = bare_application(services.stores, title="Tajdid portal")
    app.state.desk = desk
    app.router.routes.extend(door_routes(desk))
    for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__)):
        app.router.routes.extend(importlib.import_module(f"{package.__name__}.{module}").routes.routes(desk))
    app.router.routes.append(Route(f"{PREFIX}/assets/{{name:path}}", serve_asset, methods=["GET"]))
    metrics = Metrics()
    app.router.routes.extend(watching_routes(services, metrics))
    app.router.routes.append(nothing_here(desk))
    app.add_exception_handler(NotSignedIn, _to_the_door)
    app.add_exception_handler(HTTPException, _raise)
    if door is not None and door.rates is not None:
        door = replace(door, rates=replace(door.rates, knows_keys=False))
    add_layers(app, _page_of(desk), _LIMITS, watches=(metrics.watch,), policy=POLICY, door=door)
    return app


async def _to_the_door(request: Request, _error: Exception) -> Response:
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": f"{PREFIX}/sign-in"})
    return RedirectResponse(f"{PREFIX}/sign-in", 303)


async def _raise(_request: Request, failure: Exception) -> Response:
    """Let the layer above answer, as it answers all else."""
    raise problem_from(failure)


def _page_of(desk: Desk) -> Write:
    """Problems as pages, which say the same of what is not there and of what is another's. Who is signed in
    keeps menu and language; where a request is turned away before that is asked, the menu that all have."""

    def write(scope: Any, problem: Problem) -> Response:
        request = Request(scope)
        is_missing = problem.code.startswith("unknown_")
        code, status = ("not_found", 404) if is_missing else (problem.code, problem.status)
        visit: Visit | None = scope.get("visit")
        if visit is not None:
            text = terms.refusal(visit.words, code)
            back = PREFIX + first_page(visit.session.task, visit.session.target)
            answer = page(visit, "problem.html", status, text=text, back=back)
        else:
            language, seed = language_of(desk, request), desk.form_cookie.of(request) or ""
            text = terms.refusal(words(language, PACKAGE), code)
            answer = door_page(
                desk, request, language, seed, "problem.html", status, text=text, back=f"{PREFIX}/"
            )
        for name, value in problem.headers.items():
            answer.headers[name] = value
        return answer

    return write
