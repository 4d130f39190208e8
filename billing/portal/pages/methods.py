"""Ways to pay: added on a page of the gateway's, chosen, removed. No number of a card comes through here."""

from __future__ import annotations

import secrets
from datetime import datetime
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from billing.core.money import BillingError
from billing.gateways.hosted import HostedFields
from billing.portal import terms
from billing.portal.answers import go, page
from billing.portal.forms import done
from billing.portal.routes import Routes
from billing.portal.visit import PREFIX, Visit
from billing.reads import payments as reads
from billing.service.payment_methods import (
    finish_setup,
    hash_of,
    is_setup_of,
    remove_payment_method,
    set_default_method,
    start_setup,
)
from billing.store.store import Row, Store
from billing.web.cookies import Cookie
from billing.web.problems import Problem

routes = Routes()
_HALF_AN_HOUR = 1800


@routes.page("/methods", task="methods")
def methods(visit: Visit) -> Response:
    return _shown(visit, None)


def _shown(visit: Visit, problem: str | None) -> Response:
    return page(visit, "methods.html", methods=_own(visit), problem=problem, terms=terms)


def _own(visit: Visit) -> list[Row]:
    with visit.looking() as store:
        found = reads.methods(store, visit.scope, customer_id=visit.customer_id, on=visit.today, limit=100)
    return sorted(found.rows, key=lambda one: not one["is_default"])


@routes.deed("/methods/add", task="methods", form="add-method")
def add(visit: Visit) -> Response:
    """On to the gateway's page. What names the visit there stays in a cookie, which no script reads."""
    hosted, setup_id = _hosted(visit), f"setup_{secrets.token_urlsafe(16)}"
    back = f"{visit.desk.url}{PREFIX}/methods/done"
    start = hosted.start(setup_id, visit.customer_id, back, visit.now)

    def work(store: Store, at: datetime) -> None:
        start_setup(
            store,
            at,
            setup_id=setup_id,
            customer_id=visit.customer_id,
            token_hash=hash_of(start.token),
            expires_at=start.expires_at,
        )

    visit.write(work)
    # A browser lets a form lead to its own site alone: to another the customer goes by a link.
    if _origin(start.url) == _origin(visit.desk.url):
        answer: Response = RedirectResponse(start.url, 303)
    else:
        answer = page(visit, "to_gateway.html", url=start.url, host=urlsplit(start.url).hostname)
    _cookie(visit).give(answer, f"{setup_id}.{start.token}", seconds=_HALF_AN_HOUR)
    return answer


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _hosted(visit: Visit) -> HostedFields:
    found = visit.desk.more.get("hosted")
    if found is None:
        raise Problem("task_closed", "methods")
    hosted: HostedFields = found
    return hosted


def _cookie(visit: Visit) -> Cookie:
    return Cookie("tajdid_setup", visit.desk.url)


@routes.page("/methods/done", task="methods")
def entered(visit: Visit) -> Response:
    """Back from the gateway's page: what was entered there is told, and kept when the customer says so."""
    _, token = _visited(visit)
    finished = _hosted(visit).finish(token, visit.now) if token else None
    if finished is None:
        return go("/methods")
    return page(visit, "method_entered.html", finished=finished)


@routes.deed("/methods/done", task="methods", form="keep-method")
def keep(visit: Visit) -> Response:
    setup_id, token = _visited(visit)
    finished = _hosted(visit).finish(token, visit.now) if token else None
    if finished is None:
        raise BillingError("illegal_transition", "nothing was entered")

    def work(store: Store, at: datetime) -> str:
        return finish_setup(store, at, setup_id=setup_id, finished=finished)

    answer = done(visit, work, "/methods", _shown)
    _cookie(visit).take_back(answer)
    return answer


def _visited(visit: Visit) -> tuple[str, str]:
    """Setup and token of the gateway's page that this browser was sent to; empty for none, and for one that
    it was sent to for another customer."""
    setup_id, _, token = (_cookie(visit).of(visit.request) or "").partition(".")
    with visit.looking() as store:
        is_own = is_setup_of(store, setup_id=setup_id, customer_id=visit.customer_id, token=token)
    return (setup_id, token) if is_own else ("", "")


@routes.deed("/methods/{method_id}/default", task="methods", form="default-method")
def choose(visit: Visit) -> Response:
    method_id = _the_method(visit)
    return done(
        visit, lambda store, at: set_default_method(store, at, method_id=method_id), "/methods", _shown
    )


@routes.deed("/methods/{method_id}/remove", task="methods", form="remove-method")
def remove(visit: Visit) -> Response:
    method_id = _the_method(visit)
    return done(
        visit, lambda store, at: remove_payment_method(store, at, method_id=method_id), "/methods", _shown
    )


def _the_method(visit: Visit) -> str:
    method_id = visit.path("method_id")
    if method_id not in {one["method_id"] for one in _own(visit)}:
        raise Problem("not_found")
    return method_id
