"""Several requests in one, each with its own outcome."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from starlette.types import ASGIApp

from billing.api.bulk import inside, outcome
from billing.api.idempotency import key_of
from billing.api.parameters import check_parameters
from billing.api.route import Routes, context_of, demand
from billing.api.shapes.bulk import Bulk, Operation, Outcomes
from billing.web.as_json import to_json
from billing.web.context import Context
from billing.web.problems import Problem, shown

routes = Routes("Bulk", "bulk")


@routes.router.post(
    "/bulk",
    operation_id="bulk",
    status_code=207,
    responses={207: {"model": Outcomes}},
    openapi_extra={"x-scope": "bulk:write", "x-subject": None, "x-needs-key": False},
    dependencies=[Depends(demand("bulk:write")), Depends(check_parameters)],
)
async def bulk(request: Request, context: Annotated[Context, Depends(context_of)], body: Bulk) -> Response:
    """Up to 100 requests, done one after another, each by itself: what one does stands whatever becomes of
    the next. Each needs the scopes that it would need alone, too. With an Idempotency-Key for all, each
    request without its own has `<key>:<its number from 0>`."""
    routed = inside(request.app)
    key = key_of(request)
    data = []
    for number, one in enumerate(body.operations):
        if urlsplit(one.path).path.rstrip("/") == "/v1/bulk":  # As `outcome` reads it.
            data.append(_nested(context))
            continue
        own_key = one.idempotency_key or (f"{key}:{number}" if key and one.method != "GET" else None)
        data.append(await _done(routed, request, context, one, own_key))
    return Response(to_json({"object": "bulk", "data": data}), 207, media_type="application/json")


async def _done(
    routed: ASGIApp, request: Request, context: Context, one: Operation, key: str | None
) -> dict[str, object]:
    return await outcome(
        routed,
        request,
        context,
        method=one.method,
        path=one.path,
        body=one.body,
        key=key,
        if_match=one.if_match,
    )


def _nested(context: Context) -> dict[str, object]:
    problem = Problem("bad_parameter", "a request among others is not made of others", field="path")
    said = shown(problem, base_url=context.services.base_url, request_id=context.request_id)
    return {"status": problem.status, "body": said}
