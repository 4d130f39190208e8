"""Usage of periods that run, and what it costs so far."""

from __future__ import annotations

from starlette.responses import Response

from billing.core.money import BillingError, Scaled
from billing.portal import terms
from billing.portal.answers import page
from billing.portal.routes import Routes
from billing.portal.visit import Visit
from billing.reads import portal as reads

routes = Routes()


@routes.page("/usage")
def usage(visit: Visit) -> Response:
    problem = None
    used: list[reads.Used] = []
    with visit.rehearsing() as store:
        found = reads.subscriptions_of(store, visit.now, visit.scope, after=None, limit=reads.MOST_AHEAD)
        held = [row["held"] for row in found.rows]
        own = [one for one in held if one.own.sold_to == visit.customer_id]
        try:
            used = reads.used_so_far(store, visit.now, customer=visit.customer, held=own)
        except BillingError as refused:
            problem = terms.refusal(visit.words, refused.code)
    return page(visit, "usage.html", used=used, problem=problem, scaled=Scaled)
