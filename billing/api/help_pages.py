"""What each code of a problem means, as a page: where the `type` of a problem leads."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from billing.core.refusals import REFUSALS
from billing.web.problems import STATUS, WEB_CODES, Problem, title_of

_WHAT_TO_DO = {
    202: "The order is kept and waits for a person's word: follow the approval that the answer names.",
    400: "Mend the request: as it is, it will be refused again.",
    401: "Send a key that is valid, as `Authorization: Bearer …`.",
    403: "Use a key that was given this scope, or ask whoever gives out keys.",
    404: "Check the address and the id. What belongs to somebody else is answered alike.",
    409: "Read the thing again: its state does not allow this now, whoever asks.",
    412: "Read the thing again and send its newer ETag.",
    428: "Read the thing and send its ETag as `If-Match`.",
    429: "Wait as many seconds as `Retry-After` says.",
    500: "This is our failure. Tell us the request id; to repeat it with the same Idempotency-Key is safe.",
    503: "Try again after as many seconds as `Retry-After` says; with an Idempotency-Key that is safe.",
}
_OTHERWISE = "Mend what the problem's `field` and `detail` name, and send the request again."


def help_routes() -> list[BaseRoute]:
    """`/docs/errors` and `/docs/errors/{code}`. They need no key."""
    return [Route("/docs/errors", _all), Route("/docs/errors/{code}", _one)]


def codes() -> list[str]:
    """Every code that an answer may have, sorted."""
    return sorted({*REFUSALS, *WEB_CODES})


async def _all(_request: Request) -> Response:
    rows = "".join(
        f'<tr><td><a href="/docs/errors/{code}">{code}</a></td><td>{STATUS[code]}</td>'
        f"<td>{escape(title_of(code))}</td></tr>"
        for code in codes()
    )
    head = "<tr><th>code</th><th>status</th><th>meaning</th></tr>"
    return _page("Codes of problems", f"<table>{head}{rows}</table>")


async def _one(request: Request) -> Response:
    code = request.path_params["code"]
    if code not in STATUS:
        raise Problem("not_found")
    status = STATUS[code]
    about = [f"<p>{escape(title_of(code))}</p>", f"<p>{escape(_WHAT_TO_DO.get(status, _OTHERWISE))}</p>"]
    if code.startswith("unknown_"):
        about.append("<p>Of the thing that the address itself names, the status is 404.</p>")
    about.append(f'<p>Status {status}. <a href="/docs/errors">All codes</a></p>')
    return _page(code, "".join(about))


def _page(title: str, content: str) -> Response:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"></head>'
        f"<body><h1>{title}</h1>{content}</body></html>",
        headers={"Cache-Control": "public, max-age=3600"},
    )
