"""`POST /v1/gateway-notices`: what a gateway tells unasked. It shows no API key, its signature lets it in."""

from __future__ import annotations

import hashlib

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from billing.core.money import BillingError
from billing.gateways.gateway import Notices
from billing.service.notices import hear
from billing.service.requests import Reply, answer_once
from billing.web.context import Services, now
from billing.web.problems import Problem, problem_of

CALLER = "gateway"
PATH = "/v1/gateway-notices"


def notice_route(services: Services, notices: Notices) -> Route:
    """Each notice is heard once, by its id; one that is refused is not kept, so it may be told again."""

    async def told(request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await run_in_threadpool(heard, headers, await request.body(), request.scope.get("request_id"))

    def heard(headers: dict[str, str], body: bytes, request_id: str | None) -> Response:
        notice_id = notices.id_of(headers, body, now())
        if notice_id is None:
            raise Problem("unauthenticated", "the signature is not the gateway's, or too old")
        try:
            notice = notices.read(body)
            with services.stores.write(CALLER, request_id) as store:

                def work() -> Reply:
                    hear(store, services.clock(), notice)
                    return Reply(204)

                reply, _ = answer_once(
                    store,
                    services.clock,
                    caller=CALLER,
                    key=notice_id,
                    request_hash=hashlib.sha256(body).hexdigest(),
                    work=work,
                )
        except BillingError as refused:
            raise problem_of(refused) from refused
        return Response(status_code=reply.status)

    return Route(PATH, told, methods=["POST"])
