"""Orders that wait for an approver of the customer's own."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from billing.portal import terms
from billing.portal.answers import page
from billing.portal.forms import done
from billing.portal.routes import Routes
from billing.portal.visit import ROWS, Visit
from billing.reads import portal as reads
from billing.service.purchase_requests import decide_request, withdraw_request
from billing.store.store import Row, Store
from billing.web.problems import Problem

routes = Routes()


@routes.page("/requests", task="users")
def requests(visit: Visit) -> Response:
    return _shown(visit, None)


def _shown(visit: Visit, problem: str | None) -> Response:
    after = visit.query("after")
    with visit.looking() as store:
        found = reads.requests(store, visit.scope, after=(after,) if after else None, limit=ROWS)
    return page(visit, "requests.html", requests=found.rows, more=found.after, problem=problem, terms=terms)


@routes.deed("/requests/{request_id}/decide", task="users", needs="approver")
def decide(visit: Visit) -> Response:
    row = _the_request(visit)
    assert visit.user is not None
    user_id = str(visit.user["user_id"])
    is_approved = visit.form.get("answer") == "approve"
    if not is_approved and visit.form.get("answer") != "reject":
        raise Problem("bad_parameter", "answer")

    def work(store: Store, at: datetime) -> str:
        return decide_request(
            store, at, request_id=row["request_id"], decided_by=user_id, is_approved=is_approved
        )

    return done(visit, work, "/requests", _shown, str(row["customer_id"]))


@routes.deed("/requests/{request_id}/withdraw", task="users", needs="buyer")
def withdraw(visit: Visit) -> Response:
    row = _the_request(visit)
    if visit.user is None or row["asked_by"] != visit.user["user_id"]:
        raise Problem("role_missing")
    asked_by = str(visit.user["user_id"])

    def work(store: Store, at: datetime) -> None:
        withdraw_request(store, at, request_id=row["request_id"], asked_by=asked_by)

    return done(visit, work, "/requests", _shown)


def _the_request(visit: Visit) -> Row:
    with visit.looking() as store:
        row = reads.request(store, visit.scope, request_id=visit.path("request_id"))
    if row is None:
        raise Problem("not_found")
    return row
