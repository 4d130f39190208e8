"""The portal as an ASGI application: its pages, their assets, and a page for whatever goes wrong."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from billing.core.money import BillingError
from billing.gateways.mail import Mailer
from billing.portal import pages as package
from billing.portal import terms
from billing.portal.answers import door_page, foreseen
from billing.portal.door import NotSignedIn, door_routes, language_of
from billing.portal.visit import PACKAGE, PREFIX, Desk
from billing.web.assets import serve_asset
from billing.web.context import Services
from billing.web.languages import words
from billing.web.page_headers import PageHeaders
from billing.web.pages import Pages
from billing.web.problems import Problem, problem_of
from billing.web.stores import Busy


def application(
    services: Services,
    *,
    mailer: Mailer,
    brand: str,
    url: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> FastAPI:
    """The portal of a company.

    brand: what the door calls the seller, before it is known whose customer asks. url: where customers reach
    it, by default `services.portal_url` or `base_url`; behind https cookies are bound to the host. more: what
    some pages need beside: `hosted`, the fields of a provider for new ways to pay.
    """
    where = (url or services.portal_url or services.base_url).rstrip("/")
    desk = Desk(services, mailer, Pages(PACKAGE, PREFIX), where, brand, dict(more or {}))
    app = FastAPI(title="Tajdid portal", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    app.router.routes.extend(door_routes(desk))
    for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__)):
        app.router.routes.extend(importlib.import_module(f"{package.__name__}.{module}").routes.routes(desk))
    app.router.routes.append(Route(f"{PREFIX}/assets/{{name:path}}", serve_asset, methods=["GET"]))
    app.add_middleware(PageHeaders, is_secure=desk.session_cookie.is_secure)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(services.allowed_hosts))
    _answer_problems(app, desk)
    return app


def _answer_problems(app: FastAPI, desk: Desk) -> None:
    def answer(request: Request, code: str, status: int) -> Response:
        language = language_of(desk, request)
        seed = desk.form_cookie.of(request) or ""
        text = terms.refusal(words(language, PACKAGE), code)
        return door_page(desk, request, language, seed, "problem.html", status, text=text, status=status)

    @app.exception_handler(NotSignedIn)
    async def _at_the_door(request: Request, _error: NotSignedIn) -> Response:
        if request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Redirect": f"{PREFIX}/sign-in"})
        return RedirectResponse(f"{PREFIX}/sign-in", 303)

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem.code, problem.status)

    @app.exception_handler(BillingError)
    async def _refused(request: Request, refused: BillingError) -> Response:
        subject = refused.code if refused.code.startswith("unknown_") else None
        problem = problem_of(refused, subject=subject)
        return answer(request, "not_found" if problem.status == 404 else problem.code, problem.status)

    @app.exception_handler(Busy)
    async def _busy(request: Request, _busy: Busy) -> Response:
        return answer(request, "busy", 503)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = "not_found" if error.status_code == 404 else "bad_parameter"
        return answer(request, code, error.status_code)

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> Response:
        problem = foreseen(error)
        return answer(request, problem.code, problem.status)
