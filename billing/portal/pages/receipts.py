"""What came of something that was confirmed."""

from __future__ import annotations

from datetime import date

from starlette.responses import Response

from billing.portal import terms
from billing.portal.answers import page
from billing.portal.routes import Routes
from billing.portal.tasks import TASKS
from billing.portal.visit import Visit
from billing.reads import portal as reads
from billing.web.problems import Problem

routes = Routes()


@routes.page("/receipts/{key}", also=TASKS)
def receipt(visit: Visit) -> Response:
    with visit.looking() as store:
        said = reads.receipt(store, caller=visit.actor, key=visit.path("key"))
        if said is None or "act" not in said:
            raise Problem("not_found")
        if said["act"] == "top_up":
            paid = reads.invoice(store, visit.scope, invoice_id=str(said["invoice_id"]))
            if paid is None:
                raise Problem("not_found")
            return page(visit, "receipt_top_up.html", said=said, invoice=paid, terms=terms)
        held = reads.subscription(store, visit.now, visit.scope, subscription_id=str(said["subscription_id"]))
    if held is None:
        raise Problem("not_found")
    days = {name: said[name] and date.fromisoformat(said[name]) for name in ("from_on", "ends_on")}
    return page(visit, "receipt.html", said=said, days=days, held=held, terms=terms)
