"""An account and those below it, with what each owes, and all of them together."""

from __future__ import annotations

from starlette.responses import Response

from billing.portal.answers import page
from billing.portal.routes import Routes
from billing.portal.visit import Visit
from billing.reads import portal as reads

routes = Routes()
_ROWS = 100


@routes.page("/accounts")
def accounts(visit: Visit) -> Response:
    after = visit.query("after")
    with visit.looking() as store:
        found = reads.accounts(
            store, visit.scope, today=visit.today, after=(after,) if after else None, limit=_ROWS
        )
        sums = reads.owed(store, visit.scope, today=visit.today)
    return page(visit, "accounts.html", accounts=found.rows, more=found.after, sums=sums)
