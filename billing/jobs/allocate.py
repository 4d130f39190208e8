"""Orders goods from the stock, before the bill run charges for them.

For the goods of contracts whose rule lets the stock decide, each period of service is one order, made on its
first day. First the orders are written, so that their keys are kept; then the stock is asked for all that is
open, while no transaction holds anybody up; then its answers are written in one transaction with what
follows from them: what is short waits as a backorder and is asked for again each time, is skipped, or is
released when the service of its period ends. A crash in between asks again with the same key, which never
allocates twice (gateways.stock). An order that moved while its answer was on the way is asked for again the
next time.

What was allocated is a fact; what is owed of it the bill run finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import partial

import polars as pl
from sqlalchemy import bindparam, select

from billing.core import invoicing, stock
from billing.core.choice import LEVELS, Offer, choose
from billing.core.invoicing import PolicyVersion
from billing.core.money import BillingError, Scaled, format_scaled, power_of_ten, wide
from billing.gateways.stock import Stock, Want
from billing.jobs.bill_facts import MEMBERS, read_by_ids, read_policies, read_terms
from billing.jobs.bill_stock import StockFacts, has_stock_rules, read_stock
from billing.store.messages import announce_rows, keep_rejected_once, rows_as_json
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    contract_stock_rules,
    contracts,
    customers,
    items,
    price_lists,
    prices,
    skus,
    stock_allocations,
    stock_orders,
    subscriptions,
)


@dataclass(frozen=True, slots=True)
class AllocationSummary:
    """What one call did: orders made, those that were asked for, and how many of these got more, wait for
    more, were given up in part (released or skipped) or had no answer that could be noted."""

    ordered: int = 0
    asked: int = 0
    allocated: int = 0
    backordered: int = 0
    given_up: int = 0
    unknown: int = 0


def allocate(
    store: Store,
    port: Stock,
    at: datetime,
    *,
    up_to: date,
    chunk_size: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> AllocationSummary:
    """Order the goods of all periods that began by a day, and ask the stock for what is open.

    Call it daily, before `bill` to the same day. A second call to the same day orders nothing, and allocates
    nothing unless goods came in. An answer that cannot be is kept among the rejected inputs
    (`bad_allocation`) and its order asked for again; it stops no other. Raises `naive_time`.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    done = AllocationSummary()
    if not has_stock_rules(store):
        return done
    concerned = _concerned(store, up_to)
    for first in range(0, len(concerned), chunk_size):
        ids = concerned[first : first + chunk_size]
        ordered = store.perform(partial(_order, store, at, ids, up_to))
        done = _sum(done, AllocationSummary(ordered), _ask(store, port, at, ids, up_to))
        if progress:
            progress(first + len(ids), len(concerned))
    return done


def _sum(*parts: AllocationSummary) -> AllocationSummary:
    names = [field.name for field in fields(AllocationSummary)]
    return AllocationSummary(*(sum(getattr(part, name) for part in parts) for name in names))


# Who is concerned.

_DUE = (
    select(customers.c.customer_id)
    .select_from(contract_stock_rules)
    .join(subscriptions, subscriptions.c.contract_id == contract_stock_rules.c.contract_id)
    .join(customers, customers.c.customer_id == subscriptions.c.sold_to)
    .where(customers.c.next_bill_on <= bindparam("up_to"), customers.c.parked_at.is_(None))
    .distinct()
)
_WAITING = (
    select(items.c.customer_id)
    .select_from(stock_orders)
    .join(items, items.c.item_id == stock_orders.c.item_id)
    .where(stock_orders.c.closed_on.is_(None))
    .distinct()
)
_HELD = MEMBERS.order_by(customers.c.customer_id).with_for_update(of=customers)


def _concerned(store: Store, up_to: date) -> list[str]:
    """Customers with a rule who are due, and those with an open order."""
    due, waiting = store.frame(_DUE, {"up_to": up_to}), store.frame(_WAITING)
    return sorted({*due["customer_id"], *waiting["customer_id"]})


# Ordering.


def _order(store: Store, at: datetime, ids: Sequence[str], up_to: date) -> int:
    """Write the orders that are missing, and let those follow whose period changed; how many are new."""
    store.join_by_index()
    known = read_policies(store)
    members = read_by_ids(store, _HELD, customers.c.customer_id, ids)
    made = 0
    for (name,), of_policy in members.group_by("policy_name", maintain_order=True):
        found = _deliveries(store, of_policy, known[str(name)], up_to)
        if found is not None:
            made += _write_orders(store, at, *found, up_to)
    return made


def _deliveries(
    store: Store, members: pl.DataFrame, versions: Sequence[PolicyVersion], up_to: date
) -> tuple[StockFacts, pl.DataFrame] | None:
    """What the stock decides about for customers of one policy, among all that began by a day."""
    held = invoicing.version_on(versions, up_to).settings
    horizon = pl.max_horizontal(pl.lit(invoicing.horizon(up_to, held)), "unsettled_from")
    floors = members.select("customer_id", "time_zone", horizon.alias("floor"))
    terms = read_terms(store, members["customer_id"].to_list()).join(floors, on="customer_id")
    facts = read_stock(store, terms, floors)
    if facts is None:
        return None
    _, parts = invoicing.service_and_parts(terms, versions, up_to)
    found = stock.deliveries(parts, facts.goods, facts.rules)
    return facts, found.filter(pl.col("service_start") <= up_to)


def _write_orders(store: Store, at: datetime, facts: StockFacts, found: pl.DataFrame, up_to: date) -> int:
    orders = facts.orders.filter(pl.col("service_start") <= up_to)
    found = stock.by_stock(found, orders)
    new = found.filter(pl.col("order_id").is_null()).drop("order_id")
    ids = pl.Series("order_id", store.new_ids("order", new.height), dtype=pl.String)
    columns = [column.name for column in stock_orders.c]
    rows = new.with_columns(ids, pl.col("quantity_mantissa").alias("most_mantissa"))
    store.insert(stock_orders, rows.select(name for name in columns if name in rows.columns), at)
    payload = ["customer_id", "item_id", "sku_id", "quantity_mantissa", "quantity_scale"]
    announce_rows(store, at, "stock_order.created", "order_id", rows.select("order_id", *payload))
    wanted = found.select(
        *stock.PERIOD,
        pl.col("quantity_mantissa").alias("_mantissa"),
        pl.col("quantity_scale").alias("_scale"),
        pl.col("open_until").alias("_until"),
    )
    is_gone = pl.col("_mantissa").is_null()
    asked = orders.join(wanted, on=stock.PERIOD, how="left", maintain_order="left").with_columns(
        pl.col("_mantissa").fill_null(0),
        pl.coalesce("_scale", "quantity_scale").alias("_scale"),
        pl.when(is_gone).then("service_start").otherwise("_until").alias("_until"),
    )
    moved = stock.at_scale_of(asked, "_mantissa", "_scale")
    was = asked.select(
        "order_id", pl.col("quantity_mantissa").alias("_was"), pl.col("quantity_scale").alias("_was_at")
    )
    has_moved = (pl.col("quantity_mantissa") != pl.col("_was")) | (
        pl.col("quantity_scale") != pl.col("_was_at")
    )
    has_end = pl.col("_until") != pl.col("open_until")
    changed = moved.join(was, on="order_id").filter(has_moved | has_end)
    store.update(
        stock_orders,
        changed.select(
            "order_id",
            "quantity_mantissa",
            "quantity_scale",
            "most_mantissa",
            pl.col("_until").alias("open_until"),
            pl.when(has_moved).then(None).otherwise("closed_on").alias("closed_on"),
        ),
        at,
    )
    return new.height


# Asking.

_OPEN = (
    select(
        *(column for column in stock_orders.c if column.name not in ("recorded_at", "changed_at")),
        items.c.customer_id,
        subscriptions.c.contract_id,
        customers.c.group_id,
        customers.c.currency,
        contracts.c.substitutes_agreed_on,
        skus.c.successor_sku_id,
    )
    .select_from(items)
    .join(stock_orders, stock_orders.c.item_id == items.c.item_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .join(skus, skus.c.sku_id == stock_orders.c.sku_id)
    .outerjoin(contracts, contracts.c.contract_id == subscriptions.c.contract_id)
    .where(stock_orders.c.closed_on.is_(None))
)
_OF_OPEN = (
    select(*(column for column in stock_allocations.c if column.name != "recorded_at"))
    .select_from(items)
    .join(stock_orders, stock_orders.c.item_id == items.c.item_id)
    .join(stock_allocations, stock_allocations.c.order_id == stock_orders.c.order_id)
    .where(stock_orders.c.closed_on.is_(None))
)


_STATE = ["order_id", "quantity_mantissa", "quantity_scale", "open_until", "last_position"]
"""What tells whether an order still stands as it did: what became of it is only ever added to."""


def _ask(store: Store, port: Stock, at: datetime, ids: Sequence[str], on: date) -> AllocationSummary:
    """Ask for all open orders of some customers, and write what the stock answered."""
    with store.snapshot():
        store.join_by_index()
        before = _open_orders(store, ids, on)
    if before.is_empty():
        return AllocationSummary()
    answered, wrong = _answered(port, stock.given_up(before), on)
    answered, wrong_too = _substituted(port, answered, on)
    rejected = pl.concat([wrong, wrong_too])
    return store.perform(partial(_note, store, at, ids, before, answered, rejected, on))


def _open_orders(store: Store, ids: Sequence[str], on: date) -> pl.DataFrame:
    """The open orders of some customers as they stand, with the `last_position` of what became of them."""
    orders = read_by_ids(store, _OPEN, items.c.customer_id, ids).sort("order_id")
    known = read_by_ids(store, _OF_OPEN, items.c.customer_id, ids)
    last = known.group_by("order_id").agg(pl.col("position").max().alias("last_position"))
    return (
        stock.standing_of(orders.filter(pl.col("service_start") <= on), known)
        .join(last, on="order_id", how="left", maintain_order="left")
        .with_columns(pl.col("last_position").fill_null(0))
    )


def _note(
    store: Store,
    at: datetime,
    ids: Sequence[str],
    before: pl.DataFrame,
    answered: pl.DataFrame,
    rejected: pl.DataFrame,
    on: date,
) -> AllocationSummary:
    """Write what the stock answered for orders that stood as `before`, but of those that moved since."""
    store.join_by_index()
    members = read_by_ids(store, _HELD, customers.c.customer_id, ids)
    still = answered.join(_open_orders(store, ids, on), on=_STATE, how="semi", maintain_order="left")
    # The question may have reached the stock after that of another run, and be what holds there now.
    moved = answered.join(still, on="order_id", how="anti").select("order_id")
    store.update(stock_orders, moved.with_columns(pl.lit(None, pl.Date).alias("closed_on")), at)
    after = stock.settled(_with_prices(store, still, on), on)
    rows = _rows(before, after, on)
    store.insert(stock_allocations, rows, at)
    closed = after.filter("is_closed").select("order_id", pl.lit(on).alias("closed_on"))
    store.update(stock_orders, closed, at)
    touched = after.join(rows.select("order_id").unique(), on="order_id", how="semi", maintain_order="left")
    _mark(store, at, members, touched, on)
    payload = ["customer_id", "item_id", "sku_id", *stock.SORTS, "open", "quantity_scale"]
    announce_rows(store, at, "stock_order.moved", "order_id", touched.select("order_id", *payload))
    keep_rejected_once(store, at, "allocate", rejected)
    return _counted(before, after, rows, moved.height)


def _counted(before: pl.DataFrame, after: pl.DataFrame, rows: pl.DataFrame, moved: int) -> AllocationSummary:
    has_more = after.join(before, on="order_id", suffix="_before").filter(
        pl.col("allocated") > pl.col("allocated_before")
    )
    given_up = rows.filter(pl.col("kind").is_in(["released", "skipped"]), pl.col("quantity_mantissa") > 0)
    return AllocationSummary(
        asked=after.height + moved,
        allocated=has_more.height,
        backordered=after.filter(pl.col("is_answered"), pl.col("open") > 0).height,
        given_up=given_up["order_id"].n_unique(),
        unknown=after.filter(~pl.col("is_answered")).height + moved,
    )


def _answered(port: Stock, orders: pl.DataFrame, on: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Orders with what the stock holds for each now as `allocated`, `open` accordingly, and `is_answered`;
    and the answers that cannot be."""
    wanted = pl.col("quantity_mantissa") - pl.col("substituted") - pl.col("released") - pl.col("skipped")
    asked = orders.with_columns(
        pl.max_horizontal(wanted, 0).alias("_wanted"),
        pl.col("order_id").alias("_key"),
        pl.lit(True).alias("is_answered"),
    )
    return _asked(port, asked, on)


def _asked(
    port: Stock, orders: pl.DataFrame, on: date, sort: str = "allocated"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Orders with what the stock holds of `sku_id` for each `_key` that wants `_wanted`, as `sort`, `open`
    accordingly, and `is_answered` where this answer is known too; and the answers that cannot be, as
    `keep_rejected_once` takes them."""
    columns = ["_key", "sku_id", "_wanted", "quantity_scale"]
    wants = [Want(key, sku_id, Scaled(*of)) for key, sku_id, *of in orders.select(columns).iter_rows()]
    most = orders.select(pl.max_horizontal("most_mantissa", sort)).to_series()
    answers = port.allocate(wants, on)
    holds = [
        None if answer is None else _possible(answer, want.quantity.scale, limit)
        for want, answer, limit in zip(wants, answers, most, strict=True)
    ]
    wrong = [
        (want.key, want.sku_id, format_scaled(want.quantity), format_scaled(answer))
        for want, answer, held in zip(wants, answers, holds, strict=True)
        if answer is not None and held is None
    ]
    now = pl.col("_holds").fill_null(pl.col(sort))
    answered = orders.with_columns(pl.Series("_holds", holds, dtype=pl.Int64)).with_columns(
        now.alias(sort),
        (pl.col("open") + pl.col(sort) - now).alias("open"),
        pl.col("is_answered") & pl.col("_holds").is_not_null(),
    )
    return answered.drop("_holds", "_wanted", "_key"), _rejected(wrong)


def _possible(answer: Scaled, scale: int, most: int) -> int | None:
    """An answer at the scale of its order; None where it is finer, or more than the order ever wanted. What
    was wanted before an order became smaller may have left the stock, also where that was never noted."""
    try:
        mantissa = answer.at_scale(scale)
    except BillingError:
        return None
    return mantissa if 0 <= mantissa <= most else None


def _rejected(wrong: Sequence[tuple[str, str, str, str]]) -> pl.DataFrame:
    names = ("key", "sku_id", "wanted", "given")
    rows = pl.DataFrame(wrong, schema=dict.fromkeys(names, pl.String), orient="row")
    return rows.select(
        pl.lit("bad_allocation").alias("code"),
        pl.format("{} wants {} and was given {}", "key", "wanted", "given").alias("detail"),
        rows_as_json(rows).alias("payload"),
    )


# Successors.

_OFFERS = (
    select(
        components.c.sku_id,
        price_lists.c.owner_id,
        price_lists.c.list_id,
        price_lists.c.level,
        price_lists.c.currency,
        price_lists.c.valid_start,
        price_lists.c.valid_end,
        prices.c.price_id,
        prices.c.component_id,
        prices.c.quantity_from,
    )
    .select_from(components)
    .join(prices, prices.c.component_id == components.c.component_id)
    .join(price_lists, price_lists.c.list_id == prices.c.list_id)
    .where(components.c.bundle_id.is_(None), price_lists.c.level.in_(LEVELS))
)


def _substituted(port: Stock, orders: pl.DataFrame, on: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Orders with the successors that stand in for what is short, where the contract says so and the customer
    agreed; and the answers that cannot be. Their key is the order's with their SKU. It is asked also where
    nothing is short any more: the stock may hold some, by an answer that got lost, and gives them back; so
    does it where the order became smaller."""
    may = (
        pl.col("is_answered")
        & (pl.col("rule") == "substitute")
        & (pl.col("substitutes_agreed_on") <= on)
        & pl.coalesce("substitute_sku_id", "successor_sku_id").is_not_null()
    ).fill_null(False)
    goes_back = (pl.col("open") < 0) & (pl.col("substituted") > 0)
    asked = orders.filter(may | goes_back)
    if asked.is_empty():
        return orders, _rejected([])
    given = pl.coalesce("substitute_sku_id", "successor_sku_id")
    answered, wrong = _asked(
        port,
        asked.with_columns(
            pl.col("sku_id").alias("_ordered"),
            given.alias("sku_id"),
            given.alias("substitute_sku_id"),
            pl.max_horizontal(pl.col("substituted") + pl.col("open"), 0).alias("_wanted"),
            pl.concat_str("order_id", pl.lit("/"), given).alias("_key"),
        ),
        on,
        "substituted",
    )
    answered = answered.with_columns(pl.col("_ordered").alias("sku_id")).select(orders.columns)
    return pl.concat([orders.filter(~(may | goes_back)), answered]).sort("order_id"), wrong


def _with_prices(store: Store, orders: pl.DataFrame, on: date) -> pl.DataFrame:
    """Orders with the price their customer has for the successor on its first day, if there is one."""
    is_new = (pl.col("substituted") > 0) & pl.col("substitute_price_id").is_null()
    new = orders.filter(is_new)
    if new.is_empty():
        return orders
    given = new["substitute_sku_id"].unique().sort().to_list()
    offers = read_by_ids(store, _OFFERS, components.c.sku_id, given).rows(named=True)
    found = [
        _price_of(row, [one for one in offers if _is_offered(one, row)], on) for row in new.rows(named=True)
    ]
    priced = new.with_columns(pl.Series("substitute_price_id", found, dtype=pl.String))
    return pl.concat([orders.filter(~is_new), priced]).sort("order_id")


def _is_offered(offer: Row, order: Row) -> bool:
    owner = None if offer["level"] == "list" else order[f"{offer['level']}_id"]
    return bool(offer["sku_id"] == order["substitute_sku_id"] and offer["owner_id"] == owner)


def _price_of(order: Row, offers: Sequence[Row], on: date) -> str | None:
    quantity = Scaled(order["substituted"], order["quantity_scale"])
    named = [Offer(**{name: one[name] for name in Offer.__slots__}) for one in offers]
    taken = choose(order["substitute_sku_id"], named, currency=order["currency"], on=on, quantity=quantity)
    return None if taken.taken is None else taken.taken.price_id


def _rows(before: pl.DataFrame, after: pl.DataFrame, on: date) -> pl.DataFrame:
    """What became of orders since they stood as `before`, as rows of `stock_allocations`."""
    was = before.select("order_id", *(pl.col(sort).alias(f"_{sort}") for sort in stock.SORTS))
    both = after.join(was, on="order_id", maintain_order="left")
    parts = [
        both.with_columns(
            pl.lit(sort).alias("kind"), (pl.col(sort) - pl.col(f"_{sort}")).alias("quantity_mantissa")
        )
        for sort in stock.SORTS
    ]
    is_given = pl.col("kind") == "substituted"
    rows = pl.concat(parts).filter(pl.col("quantity_mantissa") != 0)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("order_id")
    return rows.sort("order_id", maintain_order=True).select(
        "order_id",
        (pl.col("last_position") + place).alias("position"),
        "kind",
        pl.when(is_given).then("substitute_sku_id").otherwise("sku_id").alias("sku_id"),
        "quantity_mantissa",
        "quantity_scale",
        pl.lit(on).alias("allocated_on"),
        _reason().alias("reason"),
        pl.when(is_given).then("substitute_price_id").alias("price_id"),
    )


def _reason() -> pl.Expr:
    is_over = pl.col("open_until") == pl.col("reference_end")
    return (
        pl.when(pl.col("quantity_mantissa") < 0)
        .then(pl.lit("order_changed"))
        .when(pl.col("kind") == "skipped")
        .then(pl.lit("out_of_stock"))
        .when(pl.col("kind") == "released")
        .then(pl.when(is_over).then(pl.lit("period_end")).otherwise(pl.lit("service_ended")))
    )


def _mark(store: Store, at: datetime, members: pl.DataFrame, touched: pl.DataFrame, on: date) -> None:
    """Let the next bill run look at the periods that more, or less, is owed of."""
    since = touched.group_by("customer_id").agg(
        pl.col("service_start").min().dt.offset_by("-1d").alias("_since")
    )
    store.update(
        customers,
        members.join(since, on="customer_id").select(
            "customer_id",
            pl.min_horizontal("next_bill_on", pl.lit(on)).alias("next_bill_on"),
            pl.when(pl.col("unsettled_from").is_not_null())
            .then(pl.min_horizontal("unsettled_from", "_since"))
            .alias("unsettled_from"),
        ),
        at,
    )


# What a stock holds that forgot it.

_HOLDINGS = select(
    stock_allocations.c.order_id,
    stock_allocations.c.kind,
    stock_allocations.c.sku_id,
    stock_allocations.c.quantity_mantissa,
    stock_allocations.c.quantity_scale,
).where(stock_allocations.c.kind.in_(["allocated", "substituted"]))


def holdings(store: Store) -> dict[tuple[str, str], Scaled]:
    """What the stock holds for each key of a SKU, as it answered: for a simulated stock to begin with."""
    rows = store.frame(_HOLDINGS)
    finest = pl.col("quantity_scale").max().over("order_id")
    exact = wide(pl.col("quantity_mantissa")) * power_of_ten(finest - pl.col("quantity_scale"))
    sums = (
        rows.with_columns(exact.alias("_exact"), finest.alias("_finest"))
        .group_by("order_id", "kind", "sku_id", "_finest", maintain_order=True)
        .agg(pl.col("_exact").sum().cast(pl.Int64))
    )
    return {
        (order_id if kind == "allocated" else f"{order_id}/{sku_id}", sku_id): Scaled(mantissa, scale)
        for order_id, kind, sku_id, scale, mantissa in sums.iter_rows()
    }
