"""Orders goods from the stock, before the bill run charges for them.

For the goods of contracts whose rule lets the stock decide, each period of service is one order, made on its
first day. First the orders are written, so that their keys are kept; then the stock is asked for all that is
open, and its answers are written in one transaction with what follows from them: what is short waits as a
backorder and is asked for again each time, is skipped, or is released when the service of its period ends. A
crash in between asks again with the same key, which never allocates twice (gateways.stock).

What was allocated is a fact; what is owed of it the bill run finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core import invoicing, stock
from billing.core.choice import LEVELS, Offer, choose
from billing.core.invoicing import PolicyVersion
from billing.core.money import BillingError, Scaled, power_of_ten, wide
from billing.gateways.stock import Stock, Want
from billing.jobs.bill_facts import MEMBERS, read_by_ids, read_policies, read_terms
from billing.jobs.bill_stock import StockFacts, has_stock_rules, read_stock
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    contract_stock_rules,
    contracts,
    customers,
    items,
    outbox,
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
    more, were given up in part (released or skipped) or had no answer."""

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
    nothing unless goods came in. Raises `naive_time`, and `bad_allocation` where the stock answers nonsense.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    done = AllocationSummary()
    if not has_stock_rules(store):
        return done
    concerned = _concerned(store, up_to)
    for first in range(0, len(concerned), chunk_size):
        ids = concerned[first : first + chunk_size]
        with store.transaction():
            store.join_by_index()
            ordered = _order(store, at, ids, up_to)
        with store.transaction():
            store.join_by_index()
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
    rows = new.with_columns(ids)
    store.insert(stock_orders, rows.select(name for name in columns if name in rows.columns), at)
    _announce(
        store,
        at,
        rows.select(
            pl.lit("stock_order.created").alias("topic"),
            "order_id",
            pl.struct("customer_id", "item_id", "sku_id", "quantity_mantissa", "quantity_scale"),
        ),
    )
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


def _ask(store: Store, port: Stock, at: datetime, ids: Sequence[str], on: date) -> AllocationSummary:
    """Ask for all open orders of some customers, and write what the stock answered."""
    members = read_by_ids(store, _HELD, customers.c.customer_id, ids)
    orders = read_by_ids(store, _OPEN, items.c.customer_id, ids).sort("order_id")
    orders = orders.filter(pl.col("service_start") <= on)
    if orders.is_empty():
        return AllocationSummary()
    known = read_by_ids(store, _OF_OPEN, items.c.customer_id, ids)
    before = stock.standing_of(orders, known)
    answered = _answered(port, stock.given_up(before), on)
    after = stock.settled(_substituted(store, port, answered, on), on)
    rows = _rows(before, after, known, on)
    store.insert(stock_allocations, rows, at)
    closed = after.filter("is_closed").select("order_id", pl.lit(on).alias("closed_on"))
    store.update(stock_orders, closed, at)
    touched = after.join(rows.select("order_id").unique(), on="order_id", how="semi", maintain_order="left")
    _mark(store, at, members, touched, on)
    _announce(store, at, _progress(touched))
    has_more = after.join(before, on="order_id", suffix="_before").filter(
        pl.col("allocated") > pl.col("allocated_before")
    )
    given_up = rows.filter(pl.col("kind").is_in(["released", "skipped"]), pl.col("quantity_mantissa") > 0)
    return AllocationSummary(
        asked=after.height,
        allocated=has_more.height,
        backordered=after.filter(pl.col("is_answered"), pl.col("open") > 0).height,
        given_up=given_up["order_id"].n_unique(),
        unknown=after.filter(~pl.col("is_answered")).height,
    )


def _answered(port: Stock, orders: pl.DataFrame, on: date) -> pl.DataFrame:
    """Orders with what the stock holds for each now as `allocated`, `open` accordingly, and `is_answered`."""
    wanted = pl.col("quantity_mantissa") - pl.col("substituted") - pl.col("released") - pl.col("skipped")
    wanted = pl.max_horizontal(wanted, 0)
    return _asked(port, orders.with_columns(wanted.alias("_wanted"), pl.col("order_id").alias("_key")), on)


def _asked(port: Stock, orders: pl.DataFrame, on: date, sort: str = "allocated") -> pl.DataFrame:
    """Orders with what the stock holds of `sku_id` for each `_key` that wants `_wanted`, as `sort`, `open`
    accordingly, and `is_answered`."""
    wants = [
        Want(key, sku_id, Scaled(mantissa, scale))
        for key, sku_id, mantissa, scale in orders.select(
            "_key", "sku_id", "_wanted", "quantity_scale"
        ).iter_rows()
    ]
    answers = [
        None if answer is None else answer.at_scale(want.quantity.scale)
        for want, answer in zip(wants, port.allocate(wants, on), strict=True)
    ]
    orders = orders.with_columns(pl.Series("_holds", answers, dtype=pl.Int64))
    wrong = orders.filter((pl.col("_holds") < 0) | (pl.col("_holds") > pl.max_horizontal("_wanted", sort)))
    if wrong.height:
        one = wrong.row(0, named=True)
        detail = f"{one['_key']} wants {one['_wanted']} and was given {one['_holds']}"
        raise BillingError("bad_allocation", detail)
    holds = pl.col("_holds").fill_null(pl.col(sort))
    return orders.with_columns(
        holds.alias(sort),
        (pl.col("open") + pl.col(sort) - holds).alias("open"),
        pl.col("_holds").is_not_null().alias("is_answered"),
    ).drop("_holds", "_wanted", "_key")


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


def _substituted(store: Store, port: Stock, orders: pl.DataFrame, on: date) -> pl.DataFrame:
    """Orders with the successors that stand in for what is short, where the contract says so and the customer
    agreed; of an order that became smaller they go back. Their key is the order's with their SKU."""
    may = (
        pl.col("is_answered")
        & (pl.col("rule") == "substitute")
        & (pl.col("substitutes_agreed_on") <= on)
        & pl.coalesce("substitute_sku_id", "successor_sku_id").is_not_null()
    ).fill_null(False)
    goes_back = (pl.col("open") < 0) & (pl.col("substituted") > 0)
    is_asked = (may & (pl.col("open") > 0)) | goes_back
    asked = orders.filter(is_asked)
    if asked.is_empty():
        return orders
    given = pl.coalesce("substitute_sku_id", "successor_sku_id")
    answered = _asked(
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
    ).with_columns(pl.col("_ordered").alias("sku_id"))
    priced = _with_prices(store, answered, on).select(orders.columns)
    return pl.concat([orders.filter(~is_asked), priced]).sort("order_id")


def _with_prices(store: Store, orders: pl.DataFrame, on: date) -> pl.DataFrame:
    """Orders with the price their customer has for the successor on its first day, if there is one."""
    given = orders["substitute_sku_id"].unique().sort().to_list()
    offers = read_by_ids(store, _OFFERS, components.c.sku_id, given).rows(named=True)
    found = [
        row["substitute_price_id"] or _price_of(row, [one for one in offers if _is_offered(one, row)], on)
        for row in orders.iter_rows(named=True)
    ]
    return orders.with_columns(pl.Series("substitute_price_id", found, dtype=pl.String))


def _is_offered(offer: Row, order: Row) -> bool:
    owner = None if offer["level"] == "list" else order[f"{offer['level']}_id"]
    return bool(offer["sku_id"] == order["substitute_sku_id"] and offer["owner_id"] == owner)


def _price_of(order: Row, offers: Sequence[Row], on: date) -> str | None:
    quantity = Scaled(order["substituted"], order["quantity_scale"])
    named = [Offer(**{name: one[name] for name in Offer.__slots__}) for one in offers]
    taken = choose(order["substitute_sku_id"], named, currency=order["currency"], on=on, quantity=quantity)
    return None if taken.taken is None else taken.taken.price_id


def _rows(before: pl.DataFrame, after: pl.DataFrame, known: pl.DataFrame, on: date) -> pl.DataFrame:
    """What became of orders since they stood as `before`, as rows of `stock_allocations`."""
    was = before.select("order_id", *(pl.col(sort).alias(f"_{sort}") for sort in stock.SORTS))
    count = known.group_by("order_id").agg(pl.col("position").max().alias("_last"))
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
    return (
        rows.join(count, on="order_id", how="left", maintain_order="left")
        .sort("order_id", maintain_order=True)
        .select(
            "order_id",
            (pl.col("_last").fill_null(0) + place).alias("position"),
            "kind",
            pl.when(is_given).then("substitute_sku_id").otherwise("sku_id").alias("sku_id"),
            "quantity_mantissa",
            "quantity_scale",
            pl.lit(on).alias("allocated_on"),
            _reason().alias("reason"),
            pl.when(is_given).then("substitute_price_id").alias("price_id"),
        )
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


def _progress(touched: pl.DataFrame) -> pl.DataFrame:
    payload = ["customer_id", "item_id", "sku_id", *stock.SORTS, "open"]
    return touched.select(
        pl.lit("stock_order.moved").alias("topic"), "order_id", pl.struct(*payload, "quantity_scale")
    )


def _announce(store: Store, at: datetime, messages: pl.DataFrame) -> None:
    """One message an order: `topic`, `order_id` and what it says."""
    topic, subject, payload = messages.columns
    rows = messages.select(
        topic, pl.col(subject).alias("subject_id"), pl.col(payload).struct.json_encode().alias("payload")
    )
    ids = pl.Series("message_id", store.new_ids("msg", rows.height), dtype=pl.String)
    store.insert(outbox, rows.with_columns(ids), at)


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
