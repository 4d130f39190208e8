"""What was done on an account, by whom, the newest first."""

from __future__ import annotations

from starlette.responses import Response

from billing.portal import terms
from billing.portal.answers import page
from billing.portal.routes import Routes
from billing.portal.visit import ROWS, Visit
from billing.reads import portal as reads
from billing.reads.scope import everything
from billing.store.audit import entries

routes = Routes()


@routes.page("/history")
def history(visit: Visit) -> Response:
    before = visit.query("before")
    with visit.looking() as store:
        own = reads.users(store, visit.scope, customer_id=visit.customer_id)
        names = {f"user:{one['user_id']}": one["name"] for one in own}
        place = before or None
        found = list(entries(store, customer_id=visit.customer_id, before=place, limit=ROWS + 1))
        others = {row["actor"] for row in found if row["actor"].startswith("user:")} - names.keys()
        names |= {
            actor: visit.words.gettext("A user of an account joined with yours")
            for actor in others
            if reads.user(store, everything(), user_id=actor.removeprefix("user:")) is not None
        }
    rows = [
        {"at": row["happened_at"], "act": row["act"], "outcome": row["outcome"], "code": row["code"]}
        | {"who": names.get(row["actor"]) or _kind(visit, row["actor"])}
        for row in found[:ROWS]
    ]
    more = found[ROWS - 1]["entry_id"] if len(found) > ROWS else None
    return page(visit, "history.html", rows=rows, more=more, terms=terms)


def _kind(visit: Visit, actor: str) -> str:
    """Who acted, without the names of the seller's people and keys."""
    _ = visit.words.gettext
    kind = actor.partition(":")[0]
    known = {"user": _("A user who was removed"), "link": _("Your account")}
    return known.get(kind, _("Your seller"))
