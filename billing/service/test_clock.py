"""The clock of a database for trying: it stands where it was set, and moves on only when it is told to.

To set it is an act of a moment; `advance` then lives through the time in between as a company would have,
each day's jobs at their hours and in their order. The clock moves on after the jobs of an hour are done, so
one that is killed goes on where it was: a job that runs twice at an instant does nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.gateway import Gateway
from billing.gateways.stock import Stock
from billing.jobs.allocate import allocate
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.jobs.give_back import give_back
from billing.jobs.remind_renewals import remind_of_renewals
from billing.jobs.turn import turn
from billing.jobs.wallets import expire_grants
from billing.service.acts import act, job
from billing.service.contracts import renew_due
from billing.service.index_clauses import index_prices_due
from billing.store.claims import claim, release
from billing.store.store import Store
from billing.store.tables import test_clock

LONGEST = timedelta(days=731)
"""How far the clock may be set ahead at once."""

_ID = "clock"
_CLAIM = "test_clock"
_CLOCK = select(test_clock.c.now_at, test_clock.c.target_at).where(test_clock.c.clock_id == _ID)


class Clock(NamedTuple):
    """What time it is in a database, and the time it is on its way to (None: it stands)."""

    now_at: datetime
    target_at: datetime | None = None


def clock_of(store: Store) -> Clock | None:
    """The clock of a database; None where it has none, and time is that of the world."""
    row = store.row(_CLOCK)
    return None if row is None else Clock(row["now_at"], row["target_at"])


@act
def set_clock(store: Store, at: datetime, *, to: datetime) -> None:
    """Let time go on to an instant. at: what time it is by the clock, or in the world where there is none.

    Raises `naive_time`, `illegal_transition` while it is on its way already, `bad_time` for what lies behind
    or more than two years ahead.
    """
    if to.tzinfo is None:
        raise BillingError("naive_time", f"{to} has no time zone", field="now")
    clock = clock_of(store)
    if clock is not None and clock.target_at is not None:
        raise BillingError("illegal_transition", f"the clock is on its way to {clock.target_at.isoformat()}")
    now = at if clock is None else clock.now_at
    if not now <= to <= now + LONGEST:
        raise BillingError("bad_time", f"it is {now.isoformat()}: up to two years ahead", field="now")
    row = {"clock_id": _ID, "now_at": now, "target_at": None if to == now else to}
    if clock is None:
        store.insert(test_clock, [row], at)
    else:
        store.update(test_clock, [row], at)


def advance(
    store: Store, gateway: Gateway, stock: Stock | None = None, *, until: Callable[[], bool] = lambda: False
) -> int:
    """Live through the time that the clock was told to pass; how many hours with work that were. Without a
    stock no goods are allocated. `until` ends it early, between two hours: the next call goes on. While
    another process is at it, none are lived through here."""
    if not claim(store, _CLAIM):
        return 0
    try:
        return _advance(store, gateway, stock, until)
    finally:
        with suppress(Exception):  # The error tells more than what the database says of it afterwards.
            release(store, _CLAIM)


def _advance(store: Store, gateway: Gateway, stock: Stock | None, until: Callable[[], bool]) -> int:
    clock, hours = clock_of(store), 0
    if clock is None or clock.target_at is None:
        return 0
    with job(store, clock.now_at, "advance_clock", to=clock.target_at) as _:
        for at, work in _hours(store, gateway, stock, clock.now_at, clock.target_at):
            if until():
                return hours
            for one in work:
                one(at)
            _move(store, at, clock.target_at)
            hours += 1
        _move(store, clock.target_at, None)
    return hours


def _move(store: Store, now: datetime, target: datetime | None) -> None:
    store.update(test_clock, [{"clock_id": _ID, "now_at": now, "target_at": target}], now)


Job = Callable[[datetime], object]


def _hours(
    store: Store, gateway: Gateway, stock: Stock | None, after: datetime, target: datetime
) -> Iterator[tuple[datetime, list[Job]]]:
    """The instants at which there is work, later than one and up to another, each with its jobs in order."""

    def allocates(at: datetime) -> None:
        if stock is not None:
            allocate(store, stock, at, up_to=at.date())

    def bills(at: datetime) -> None:
        bill(store, at, up_to=at.date())

    day_of_work: list[tuple[time, list[Job]]] = [
        (time(0, 30), [partial(turn, store)]),
        (
            time(8),
            [partial(renew_due, store), partial(index_prices_due, store), partial(remind_of_renewals, store)],
        ),
        (time(9, 30), [allocates, partial(expire_grants, store)]),
        (time(10), [bills]),
        (time(11), [partial(collect, store, gateway), partial(give_back, store, gateway)]),
        (time(12), [partial(dun, store)]),
    ]
    day = after.astimezone(UTC).date()
    while day <= target.astimezone(UTC).date():
        for hour, work in day_of_work:
            at = datetime.combine(day, hour, UTC)
            if after < at <= target:
                yield at, work
        day += timedelta(days=1)
