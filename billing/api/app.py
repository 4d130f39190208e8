"""The API as an ASGI application."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from billing.api import routes as package
from billing.core.money import BillingError
from billing.store.errors import is_of_the_system, is_passing
from billing.web.as_json import to_json
from billing.web.context import Caller, Services
from billing.web.problems import MEDIA_TYPE, Problem, problem_of, shown
from billing.web.stores import Busy

Authenticate = Callable[[Services, str | None], Caller]
"""Who sends an Authorization header. Raises Problem `unauthenticated`."""

logger = logging.getLogger(__name__)


def application(services: Services, authenticate: Authenticate) -> FastAPI:
    """All routes of the modules in billing.api.routes, and problem+json for whatever goes wrong."""
    app = FastAPI(title="Tajdid", version="1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.services, app.state.authenticate = services, authenticate
    for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__)):
        app.include_router(importlib.import_module(f"{package.__name__}.{module}").routes.router)
    _answer_problems(app, services)
    return app


def _answer_problems(app: FastAPI, services: Services) -> None:
    def answer(request: Request, problem: Problem) -> Response:
        said = shown(problem, base_url=services.base_url, request_id=request.scope.get("request_id", ""))
        return Response(to_json(said), problem.status, problem.headers, MEDIA_TYPE)

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem)

    @app.exception_handler(BillingError)
    async def _refused(request: Request, refused: BillingError) -> Response:
        return answer(request, problem_of(refused))

    @app.exception_handler(Busy)
    async def _busy(request: Request, _busy: Busy) -> Response:
        return answer(request, Problem("busy", headers={"Retry-After": "1"}))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, _of_shape(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}.get(
            error.status_code
        )
        problem = Problem(code or "invalid", status=error.status_code, headers=error.headers)
        return answer(request, problem)

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> Response:
        if isinstance(error, DBAPIError) and is_passing(error):
            return answer(request, Problem("busy", headers={"Retry-After": "1"}))
        if isinstance(error, DBAPIError) and (error.connection_invalidated or is_of_the_system(error)):
            return answer(request, Problem("unavailable", headers={"Retry-After": "5"}))
        logger.exception("request %s failed", request.scope.get("request_id", ""))
        return answer(request, Problem("internal"))


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
