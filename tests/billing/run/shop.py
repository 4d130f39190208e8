"""A shop for tests of bill runs: its catalogue, its customers, and random lives of one of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, Protocol

import polars as pl
from sqlalchemy import select

from billing.core.money import BillingError
from billing.jobs.bill_run import bill
from billing.jobs.import_usage import import_usage
from billing.service import catalog, customers, subscriptions
from billing.service.policies import set_policy
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

OPENED = datetime(2020, 1, 1, 6, tzinfo=UTC)


def at(on: date, hour: int = 8) -> datetime:
    return datetime(on.year, on.month, on.day, hour, tzinfo=UTC)


def open_shop(store: Store, *, tax_rate_ppm: int = 190_000, **settings: str | int) -> Store:
    """A seller in DE with one product, a meter `calls` and the given policy settings; no plans yet."""
    if settings:
        set_policy(store, OPENED, valid_from=OPENED.date(), settings=settings)
    catalog.create_legal_entity(store, OPENED, entity_id="seller", name="Seller GmbH", country="DE")
    catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=tax_rate_ppm, valid_from=date(2000, 1, 1))
    catalog.create_product(store, OPENED, product_id="goods", name="Goods")
    catalog.create_meter(store, OPENED, meter_id="calls", name="Calls")
    return store


class Part(NamedTuple):
    """A component and its price."""

    name: str
    kind: str
    price: str | None
    model: str = "flat"
    terms: dict[str, Any] = {}  # noqa: RUF012 - never changed


def sell(
    store: Store,
    plan_id: str,
    parts: Iterable[Part],
    *,
    interval: str = "P1M",
    in_advance: bool = True,
    currency: str = "EUR",
) -> None:
    """Publish a plan with a price list of its own."""
    parts = list(parts)
    catalog.create_plan(store, OPENED, plan_id=plan_id, name=plan_id.title(), product_id="goods")
    catalog.publish_plan_version(
        store,
        OPENED,
        plan_id=plan_id,
        interval=interval,
        in_advance=in_advance,
        components=[
            catalog.NewComponent(part.name, part.kind, "calls" if part.kind == "usage" else None)
            for part in parts
        ],
    )
    catalog.create_price_list(
        store,
        OPENED,
        list_id=f"{plan_id}-{currency}",
        name=plan_id,
        currency=currency,
        valid_start=date(2000, 1, 1),
        prices=[
            catalog.NewPrice(f"{plan_id}.1.{part.name}", part.model, part.price, **part.terms)
            for part in parts
        ],
    )


def sell_alone(
    store: Store,
    part: catalog.NewComponent,
    price: catalog.NewPrice,
    *,
    plan_id: str = "plan",
    interval: str = "P1M",
    in_advance: bool = False,
    currency: str = "EUR",
    is_add_on: bool = False,
) -> None:
    """Publish a plan of one component, with a price list of its own for its price."""
    catalog.create_plan(
        store, OPENED, plan_id=plan_id, name=plan_id.title(), product_id="goods", is_add_on=is_add_on
    )
    catalog.publish_plan_version(
        store, OPENED, plan_id=plan_id, interval=interval, in_advance=in_advance, components=[part]
    )
    catalog.create_price_list(
        store,
        OPENED,
        list_id=f"{plan_id}-list",
        name=plan_id,
        currency=currency,
        valid_start=date(2000, 1, 1),
        prices=[price],
    )


def fee(price: str) -> list[Part]:
    return [Part("fee", "fee", price)]


def join(store: Store, customer_id: str, **named: Any) -> str:
    """A new customer of the shop, in DE and EUR unless told otherwise."""
    about = {"name": customer_id, "entity_id": "seller", "currency": "EUR", "country": "DE"} | named
    return customers.create_customer(store, OPENED, customer_id=customer_id, **about)


def take(store: Store, on: date, plan_id: str, customer_id: str = "anna", **named: Any) -> str:
    """Subscribe; the subscription's id."""
    new = subscriptions.subscribe(store, at(on), customer_id=customer_id, plan_id=plan_id, **named)
    return new.subscription_id


def run(store: Store, on: date, hour: int = 20, **named: Any) -> Any:
    return bill(store, at(on, hour), up_to=on, **named)


def item_of(store: Store, subscription_id: str) -> str:
    """The newest item of a subscription."""
    found = store.rows(
        select(tables.items.c.item_id).where(tables.items.c.subscription_id == subscription_id)
    )
    return max(str(row["item_id"]) for row in found)


def use(store: Store, arrived: date, item_id: str, on: date, value: int, event_id: str) -> None:
    """A usage event of a day that arrived on another."""
    events = {
        "source": ["meter"],
        "event_id": [event_id],
        "item_id": [item_id],
        "meter_id": ["calls"],
        "value": [value],
        "occurred_on": [on],
    }
    import_usage(store, at(arrived), pl.DataFrame(events))


LINE = ("component_id", "entry", "service_start", "service_end", "net_minor")


def lines(store: Store, *columns: str) -> list[tuple[Any, ...]]:
    """Posted lines, in the order of their ids."""
    frame = store.frame(select(tables.line_items).order_by(tables.line_items.c.line_id))
    return frame.select(columns or LINE).rows()


def notes(store: Store) -> list[tuple[date, date, int, int]]:
    """Lines of credit notes: service, net and tax."""
    frame = store.frame(select(tables.credit_note_lines)).sort("note_id", "position")
    return frame.select("service_start", "service_end", "net_minor", "tax_minor").rows()


def parked(store: Store) -> dict[str, str]:
    rows = store.rows(select(tables.customers.c.customer_id, tables.customers.c.parked_code))
    return {row["customer_id"]: row["parked_code"] for row in rows if row["parked_code"]}


# Random lives of one customer.


class Act(NamedTuple):
    on: date
    kind: str
    plan: str
    number: int
    when: str | None


PLANS: dict[str, tuple[str, bool, list[Part]]] = {
    "small": (
        "P1M",
        True,
        [
            Part("fee", "fee", "10.01"),
            Part("seat", "seat", "3.33", "per_unit"),
            Part("use", "usage", "0.007", "per_unit"),
        ],
    ),
    "large": (
        "P1M",
        True,
        [
            Part("fee", "fee", "19.99"),
            Part("seat", "seat", "2.5", "per_unit"),
            Part("use", "usage", "0.003", "per_unit"),
        ],
    ),
    "quarter": ("P3M", True, [Part("fee", "fee", "55.55"), Part("seat", "seat", "7", "per_unit")]),
    "arrears": ("P1M", False, [Part("fee", "fee", "31.00"), Part("use", "usage", "0.01", "per_unit")]),
    "week": ("P1W", True, [Part("fee", "fee", "5.05")]),
}


def life(seed: int) -> tuple[Act, ...]:
    """A subscription's acts in order of their days, some of them refused by its state."""
    draw = random.Random(seed)
    plans, on = list(PLANS), date(2024, 1, 1) + timedelta(days=draw.randrange(60))
    acts = [Act(on, "subscribe", draw.choice(plans), draw.randrange(6), draw.choice(["", "", "trial"]))]
    kinds = ["plan", "plan", "quantity", "quantity", "usage", "usage", "pause", "resume", "cancel", "return"]
    for _ in range(draw.randrange(1, 9)):
        on += timedelta(days=draw.randrange(40))
        when = draw.choice(["now", "period_end", None])
        acts.append(Act(on, draw.choice(kinds), draw.choice(plans), draw.randrange(6), when))
    return tuple(acts)


def last_day(acts: Sequence[Act]) -> date:
    """A day by which all that these acts bring is due."""
    return acts[-1].on + timedelta(days=100)


class Pool(Protocol):
    """Databases, fresh each time they are taken."""

    def take(self) -> str: ...

    def give_back(self, url: str) -> None: ...


_pool: Pool | None = None
_opened: list[tuple[Store, Pool | None]] = []
_kept: list[tuple[Store, Pool | None]] = []


@contextmanager
def databases_of(pool: Pool) -> Iterator[None]:
    """Let `new_store` take its databases from a pool."""
    global _pool
    _pool = pool
    try:
        yield
    finally:
        _close(_kept)
        lived.cache_clear()
        _pool = None


def new_store(seed: int = 1) -> Store:
    """An empty store, in memory or of the pool; closed when the test ends."""
    store = open_store(new_url(), IdGenerator(seed), is_disposable=True)
    if _pool is None:
        store.migrate()
    _opened.append((store, _pool))
    return store


def new_url() -> str:
    return "sqlite://" if _pool is None else _pool.take()


def close_stores() -> None:
    _close(_opened)


def _close(stores: list[tuple[Store, Pool | None]]) -> None:
    while stores:
        store, pool = stores.pop()
        store.close()
        if pool is not None:
            pool.give_back(store._engine.url.render_as_string(hide_password=False))


@cache
def lived(seed: int, runs: str, **named: Any) -> Store:
    """The shop after a life, to be looked at by many tests."""
    return kept(live(life(seed), runs, **named))


def kept(store: Store) -> Store:
    """The store that was opened last, to be looked at by many tests: it stays open until the module ends."""
    _kept.append(_opened.pop())
    return store


def shop_of_lives(**settings: str | int) -> Store:
    """A shop with the plans of `life` and one customer, anna."""
    store = new_store()
    open_shop(store, **settings)
    for plan_id, (interval, in_advance, parts) in PLANS.items():
        sell(store, plan_id, parts, interval=interval, in_advance=in_advance)
    join(store, "anna")
    return store


def perform(store: Store, act: Act, number: int) -> None:
    """Let anna act; what her subscription's state does not allow is refused."""
    when, one = at(act.on), {"subscription_id": "sub"}
    with suppress(BillingError):
        if act.kind == "subscribe":
            days = 10 if act.when else 0
            take(store, act.on, act.plan, quantity=act.number, trial_days=days, **one)
        elif act.kind == "plan":
            subscriptions.change_plan(store, when, plan_id=act.plan, when=act.when, **one)  # type: ignore[arg-type]
        elif act.kind == "quantity":
            subscriptions.change_quantity(store, when, quantity=act.number, when=act.when, **one)  # type: ignore[arg-type]
        elif act.kind == "pause":
            until = act.on + timedelta(days=5 + 3 * act.number) if act.number else None
            subscriptions.pause(store, when, until=until, **one)
        elif act.kind == "resume":
            subscriptions.resume(store, when, **one)
        elif act.kind == "cancel":
            subscriptions.cancel(store, when, when=act.when or "now", **one)
        elif act.kind == "return":
            subscriptions.reactivate(store, when, **one)
        else:
            on = act.on - timedelta(days=5 * act.number)
            use(store, act.on, item_of(store, "sub"), on, 100 + act.number, str(number))


def live(acts: Sequence[Act], runs: str, **settings: str | int) -> Store:
    """The shop after these acts, billed after `each` act and day, `daily`, or `once` at the end."""
    store = shop_of_lives(**settings)
    on, done = acts[0].on, 0
    while on <= last_day(acts):
        while done < len(acts) and acts[done].on == on:
            perform(store, acts[done], done)
            done += 1
            if runs == "each":
                run(store, on, 9)
        if runs != "once":
            run(store, on)
        on += timedelta(days=1)
    run(store, last_day(acts))
    return store
