"""Whether a process lives, and whether it is ready to answer: for whoever watches it or sends requests to
it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, column, select, table
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from billing.store.migrations import HEAD, NewerForm, compared
from billing.web.context import Services
from billing.web.metrics import Metrics, figures_route
from billing.web.problems import Problem

_VERSION: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))


def watching_routes(services: Services, metrics: Metrics) -> list[BaseRoute]:
    """`/health/live`: the process answers. `/health/ready`: its database does too, with the schema that this
    code knows; else 503. `/metrics`: see billing.web.metrics. None needs a key, none tells of customers."""

    def ready(_request: Request) -> Response:
        with services.stores.look() as store:
            found = store.row(_VERSION)
        version = found["version_num"] if found else None
        stands = compared(version)
        if stands != "same":
            why = f"the schema is at {version}, this code needs {HEAD}"
            why = str(NewerForm(version)) if stands == "newer" else why
            raise Problem("unavailable", why, headers={"Retry-After": "5"})
        return JSONResponse({"status": "ready", "schema": version})

    return [
        Route("/health/live", _live),
        Route("/health/ready", ready),
        Route("/metrics", figures_route(metrics, services.metrics_token)),
    ]


async def _live(_request: Request) -> Response:
    return JSONResponse({"status": "live"})
