"""What there is, what comes next, and what needs something done."""

from __future__ import annotations

from starlette.responses import Response

from billing.core.money import BillingError
from billing.portal import terms
from billing.portal.answers import page
from billing.portal.routes import Routes
from billing.portal.tasks import first_page
from billing.portal.visit import ROWS, Visit
from billing.reads import portal as reads
from billing.service.portal_settings import SETTINGS
from billing.store.store import Store
from billing.web.problems import Problem

routes = Routes()


@routes.page("/", also=tuple(SETTINGS))
def home(visit: Visit) -> Response:
    """The overview; to a link for one task it is where a task ends up that names nothing it is about."""
    task = visit.session.task
    if task is not None:
        if first_page(task, visit.session.target) != "/":
            raise Problem("task_closed", task)
        return page(visit, "nothing_left.html")
    after = visit.query("after")
    with visit.looking() as store:
        found = reads.subscriptions_of(
            store, visit.now, visit.scope, after=(after,) if after else None, limit=ROWS
        )
        needs = reads.needs(store, visit.scope, customer_id=visit.customer_id, today=visit.today)
        waiting = reads.waiting_orders(store, visit.scope, customer_id=visit.customer_id)
        names = reads.names(store, visit.scope, [row["held"].own.sold_to for row in found.rows])
        asked = reads.requests(store, visit.scope, state="pending", after=None, limit=ROWS).rows
    held = [row["held"] for row in found.rows]
    own = [one for one in held if one.own.sold_to == visit.customer_id and one.standing.status != "canceled"]
    with visit.rehearsing() as store:
        charge = _next_charge(store, visit, own)
    return page(
        visit,
        "home.html",
        subscriptions=held,
        more=found.after,
        needs=needs,
        waiting=waiting,
        asked=asked,
        charge=charge,
        names=names,
        terms=terms,
    )


def _next_charge(store: Store, visit: Visit, own: list[reads.Held]) -> reads.Charge | None:
    """What comes next, where it can be worked out now."""
    try:
        return reads.next_charge(store, visit.now, customer=visit.customer, held=own)
    except BillingError:
        return None
