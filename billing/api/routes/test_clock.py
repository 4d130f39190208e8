"""The clock of a company for trying; a live one has none, and no such routes."""

from __future__ import annotations

from datetime import datetime

from billing.api.performing import Act
from billing.api.resources import merchants
from billing.api.route import Routes
from billing.api.shapes.keys import NewTime, Time
from billing.service.test_clock import Clock, clock_of, set_clock
from billing.store.store import Row, Store
from billing.web.context import Context

routes = Routes("Test clock", "test_clock")


@routes.get("/test-clock", answer=Time)
def test_clock(context: Context) -> Row:
    """What time it is."""
    with context.looking() as store:
        return _shown(clock_of(store), context.now())


@routes.put("/test-clock", answer=Time, status=202)
def change_test_clock(context: Context, body: NewTime) -> Act:
    """Let time go on. What a company does each day is done for every day in between; `state` is advancing
    until then."""
    merchants(context)

    def work(store: Store, at: datetime) -> Row:
        set_clock(store, at, to=body.now)
        return _shown(clock_of(store), at)

    return Act(work, status=202)


def _shown(clock: Clock | None, now: datetime) -> Row:
    now_at, target_at = clock or Clock(now)
    state = "ready" if target_at is None else "advancing"
    return {"object": "test_clock", "now_at": now_at, "target_at": target_at, "state": state}
