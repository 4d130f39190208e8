"""The layers of an application, outermost first: request id, log and figures, headers, problems, hosts and
rates (where it listens on a network), limits, problems of the routes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.applications import Starlette

from billing.web.answers import AnswerProblems, Write
from billing.web.headers import NOTHING, SecurityHeaders
from billing.web.hosts import KnownHosts, Networks
from billing.web.limits import LimitRequests, Limits
from billing.web.logs import LogRequests, Watch
from billing.web.rates import LimitRates, Rates
from billing.web.request_ids import RequestIds
from billing.web.stores import Stores

_SILENT = TelemetryConfig(
    tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False
)


@dataclass(frozen=True)
class Door:
    """What an application that listens on a network needs besides: the names it answers for, whose word on
    clients it takes, how often it may be asked (None: as often as one
    likes)."""

    hosts: Collection[str]
    proxies: Networks = ()
    rates: Rates | None = None


def bare_application(stores: Stores, *, openapi_url: str | None = None, **given: Any) -> FastAPI:
    """An application without routes: no pages of the library, no telemetry, and as many threads as stores.
    given: further arguments of FastAPI."""
    return FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=openapi_url,
        telemetry=_SILENT,
        on_startup=[stores.limit_threads],
        **given,
    )


def add_layers(
    app: Starlette,
    write: Write,
    limits: Limits,
    *,
    watches: tuple[Watch, ...] = (),
    policy: str = NOTHING,
    door: Door | None = None,
) -> None:
    """Put the layers around an application. write: how problems are shown. watches: told of each request.
    policy: its Content-Security-Policy."""
    # What is added later stands further out.
    app.add_middleware(AnswerProblems, write=write)
    app.add_middleware(LimitRequests, limits=limits)
    if door is not None and door.rates is not None:
        app.add_middleware(LimitRates, rates=door.rates)
    if door is not None:
        app.add_middleware(KnownHosts, hosts=door.hosts, proxies=door.proxies)
    app.add_middleware(AnswerProblems, write=write)
    app.add_middleware(SecurityHeaders, policy=policy)
    app.add_middleware(LogRequests, watches=watches)
    app.add_middleware(RequestIds)
