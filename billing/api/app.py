"""The API as an ASGI application."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from billing.api import routes as package
from billing.api.finding import ByResource
from billing.api.gateway_notices import notice_route
from billing.api.help_pages import help_routes
from billing.api.openapi import described
from billing.web.answers import as_json, problem_from
from billing.web.calls import CallLog
from billing.web.context import Caller, Services
from billing.web.health import watching_routes
from billing.web.layers import Door, add_layers, bare_application
from billing.web.limits import BULK_BYTES, JSON, LINES, Kind, Limits
from billing.web.logs import METHODS
from billing.web.metrics import Metrics
from billing.web.problems import Problem

Authenticate = Callable[[Services, str | None], Caller]
"""Who sends an Authorization header. Raises Problem `unauthenticated`."""

BULK = ("/v1/usage-events/bulk",)
"""Paths that take many rows at once."""
MANY = (*BULK, "/v1/bulk")
"""Paths that carry many things at once, which are asked for less often."""
_LIMITS = Limits(by_path={path: Kind(BULK_BYTES, (JSON, LINES), is_rows=True) for path in BULK})


def application(services: Services, authenticate: Authenticate, *, door: Door | None = None) -> FastAPI:
    """All routes of the modules in billing.api.routes, and problem+json for whatever goes wrong.

    door: what it needs where it listens on a network.
    """
    calls = CallLog(services.stores)
    app = bare_application(
        services.stores,
        title="Tajdid",
        version="1",
        openapi_url="/openapi.json",
        redirect_slashes=False,
        on_shutdown=[calls.close],
    )
    app.state.parameters = {}
    app.state.services, app.state.authenticate, app.state.calls = services, authenticate, calls
    routers: list[APIRouter] = [
        importlib.import_module(f"{package.__name__}.{module}").routes.router
        for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__))
        if module != "test_clock" or services.mode == "test"
    ]
    for router in routers:
        app.include_router(router)
    every = [one for router in routers for one in router.routes if isinstance(one, APIRoute)]
    app.router.routes.insert(0, ByResource(every))
    metrics = Metrics(calls.figures)
    app.router.routes.extend([*watching_routes(services, metrics), *help_routes()])
    if services.notices is not None:
        app.router.routes.append(notice_route(services, services.notices))
    app.openapi = lambda: described(app, services.base_url)  # type: ignore[method-assign]
    app.add_exception_handler(RequestValidationError, _raise)
    app.add_exception_handler(HTTPException, _raise)
    add_layers(app, as_json(services.base_url), _LIMITS, watches=(metrics.watch, calls.watch), door=door)
    return app


async def _raise(request: Request, failure: Exception) -> Response:
    """Let the layer above answer, as it answers all else."""
    if isinstance(failure, RequestValidationError):
        raise _of_shape(failure)
    problem = problem_from(failure)
    if problem.status == 405:
        problem.headers["Allow"] = ", ".join(_methods(request))
    raise problem


def _methods(request: Request) -> list[str]:
    """What an address can be asked by: its methods may be routes of their own."""
    described = request.app.openapi()["paths"].get(request.url.path)
    if described is not None:
        return sorted(method.upper() for method in described)
    routes = request.app.router.routes

    def is_known(method: str) -> bool:
        return any(one.matches({**request.scope, "method": method})[0] is Match.FULL for one in routes)

    return [method for method in sorted(METHODS) if is_known(method)]


def _of_shape(error: RequestValidationError) -> Problem:
    """What does not fit the shape: of the address `bad_parameter`, of the body `invalid`."""
    errors = []
    in_body = True
    for one in error.errors():
        place, *path = one["loc"]
        in_body = in_body and place == "body"
        if one["type"] == "json_invalid":
            return Problem("bad_json", str(one.get("ctx", {}).get("error", "")))
        code = "missing_value" if one["type"] == "missing" else "invalid"
        errors.append({"field": "/".join(map(str, path)), "code": code, "detail": str(one["msg"])})
    first = errors[0]
    return Problem(
        "invalid" if in_body else "bad_parameter", first["detail"], field=first["field"], errors=errors
    )
