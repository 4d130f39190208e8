"""Turns whatever goes wrong into an answer, in one place: what is refused, what is busy, what nobody
foresaw."""

from __future__ import annotations

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.core.money import BillingError
from billing.store.errors import is_away, is_of_the_system, is_passing
from billing.web.as_json import to_json
from billing.web.logs import log_failure
from billing.web.problems import MEDIA_TYPE, Problem, problem_of, shown
from billing.web.stores import Busy

Write = Callable[[Scope, Problem], Response]
"""How a problem is shown to who asked."""

_BY_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
}


def as_json(base_url: str) -> Write:
    """Problems as problem+json; links to help begin with `base_url`."""

    def write(scope: Scope, problem: Problem) -> Response:
        said = shown(problem, base_url=base_url, request_id=scope.get("request_id", ""))
        return Response(to_json(said), problem.status, problem.headers, MEDIA_TYPE)

    return write


class AnswerProblems:
    """Answers what is raised below it, as `write` shows it. What nobody foresaw is logged."""

    def __init__(self, app: ASGIApp, write: Write) -> None:
        self._app, self._write = app, write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_begun = False

        async def sent(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as failure:
            problem = problem_from(failure)
            scope["code"] = problem.code
            if problem.status >= 500:
                log_failure(failure, request_id=scope.get("request_id"))
            if is_begun:
                raise  # A part is on its way already: the server ends the connection.
            await self._write(scope, problem)(scope, receive, send)


def problem_from(failure: Exception) -> Problem:
    """What a failure is to who asked. Of one that nobody foresaw nothing is told but its request id."""
    if isinstance(failure, Problem):
        return failure
    if isinstance(failure, BillingError):
        return problem_of(failure)
    if isinstance(failure, HTTPException):
        code = _BY_STATUS.get(
            failure.status_code, "internal" if failure.status_code >= 500 else "bad_request"
        )
        return Problem(code, status=failure.status_code, headers=failure.headers)
    if isinstance(failure, Busy) or is_passing(failure):
        return Problem("busy", headers={"Retry-After": "1"})
    if is_away(failure) or is_of_the_system(failure):
        return Problem("unavailable", headers={"Retry-After": "5"})
    return Problem("internal")
