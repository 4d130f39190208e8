"""What a contract says about goods that run short, and what is reported of their delivery."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
from sqlalchemy import String, bindparam, func, or_, select

from billing.core.calendar import local_date
from billing.core.money import BillingError, Scaled, format_scaled, parse_quantity
from billing.core.stock import SHORT, checked_rule, standing_of
from billing.service.acts import act, announce
from billing.service.policies import check_horizon, policy_on
from billing.store.messages import mark_to_bill
from billing.store.store import Row, Store
from billing.store.tables import (
    contract_stock_rules,
    contracts,
    customers,
    items,
    stock_allocations,
    stock_orders,
    subscriptions,
)

_CONTRACT = (
    select(contracts, customers.c.time_zone, customers.c.policy_name)
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .where(contracts.c.contract_id == bindparam("id"))
)
_REVISIONS = select(func.count().label("count")).where(
    contract_stock_rules.c.contract_id == bindparam("id"),
    contract_stock_rules.c.valid_from == bindparam("on"),
)
_CUSTOMERS = (
    select(subscriptions.c.sold_to)
    .where(subscriptions.c.contract_id == bindparam("id"))
    .distinct()
    .order_by(subscriptions.c.sold_to)
)


@act
def set_stock_rule(
    store: Store, at: datetime, *, contract_id: str, rule: str, valid_from: date | None = None
) -> None:
    """What is billed when goods of a contract run short (core.stock.RULES), for deliveries due from a day on
    (today). What was ordered before stays under the rule of its day.

    Raises `unknown_contract`, `unknown_setting` for another rule, `before_horizon`.
    """
    row = _contract(store, contract_id)
    today = local_date(at, row["time_zone"])
    on = valid_from or today
    check_horizon(on, today, policy_on(store, row["policy_name"], today).settings)
    count = store.row(_REVISIONS, {"id": contract_id, "on": on})
    assert count is not None
    new = {"contract_id": contract_id, "valid_from": on, "revision": count["count"]}
    store.insert(contract_stock_rules, [new | {"rule": checked_rule(rule)}], at)
    for one in store.rows(_CUSTOMERS, {"id": contract_id}):
        mark_to_bill(store, at, one["sold_to"], today, since=on)
    announce(store, at, "contract.stock_rule_set", contract_id, {"rule": rule, "valid_from": on})


@act
def agree_to_substitutes(store: Store, at: datetime, *, contract_id: str) -> None:
    """The customer takes the successor of goods that run short, at the lower of both prices, from today on.

    Raises `unknown_contract`, `illegal_transition` where they agreed before.
    """
    row = _contract(store, contract_id)
    if row["substitutes_agreed_on"] is not None:
        raise BillingError("illegal_transition", f"substitutes were agreed on {row['substitutes_agreed_on']}")
    today = local_date(at, row["time_zone"])
    store.update(contracts, [{"contract_id": contract_id, "substitutes_agreed_on": today}], at)
    announce(store, at, "contract.substitutes_agreed", contract_id, {"on": today})


@act
def report_delivery(
    store: Store, at: datetime, *, order_id: str, delivered: int | str, sku_id: str | None = None
) -> None:
    """How much of what an order was allocated has arrived in all, of the ordered goods or (`sku_id`) of their
    successor. What is missing is not paid for: if it was billed, it is credited. A later report says anew how
    much it was.

    Raises `unknown_order`, `over_delivery` beyond what was allocated, `negative_quantity`, `float_money`,
    `too_many_decimals`.
    """
    order = store.row(_ORDER, {"id": order_id})
    if order is None:
        raise BillingError("unknown_order", order_id)
    today = local_date(at, order["time_zone"])
    mark_to_bill(store, at, order["customer_id"], today, since=order["service_start"])
    arrived = parse_quantity(delivered).at_scale(order["quantity_scale"])
    known = store.frame(_OF_ORDER, {"id": order_id})
    now = standing_of(pl.DataFrame([order]).select("order_id", "quantity_mantissa", "quantity_scale"), known)
    given, short = ("allocated", "short")
    if sku_id is not None and sku_id != order["sku_id"]:
        given, short = ("substituted", "substitute_short")
        if now.item(0, "substitute_sku_id") != sku_id:
            raise BillingError("over_delivery", f"{order_id} was allocated no {sku_id}")
    missing = now.item(0, given) - arrived
    if missing < 0:
        raise BillingError("over_delivery", f"{order_id} was allocated less than {delivered}")
    change = missing - now.item(0, short)
    if change == 0:
        return
    row = {
        "order_id": order_id,
        "position": known.height + 1,
        "kind": short,
        "sku_id": sku_id or order["sku_id"],
        "quantity_mantissa": change,
        "quantity_scale": order["quantity_scale"],
        "allocated_on": today,
        "reason": "short_delivery",
    }
    store.insert(stock_allocations, [row], at)
    announce(
        store, at, "stock_order.delivered", order_id, {"delivered": str(delivered), "sku_id": row["sku_id"]}
    )


_ORDER = (
    select(stock_orders, items.c.customer_id, customers.c.time_zone)
    .join(items, items.c.item_id == stock_orders.c.item_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .where(stock_orders.c.order_id == bindparam("id"))
)
_OF_ORDER = select(stock_allocations).where(stock_allocations.c.order_id == bindparam("id"))


def _contract(store: Store, contract_id: str) -> Row:
    row = store.row(_CONTRACT, {"id": contract_id})
    if row is None:
        raise BillingError("unknown_contract", contract_id)
    return row


# What is listed.

_CUSTOMER = bindparam("customer", type_=String)

_ORDERS = (
    select(
        stock_orders.c.order_id,
        items.c.customer_id,
        stock_orders.c.item_id,
        stock_orders.c.sku_id,
        stock_orders.c.service_start,
        stock_orders.c.open_until,
        stock_orders.c.closed_on,
        stock_orders.c.quantity_mantissa,
        stock_orders.c.quantity_scale,
    )
    .join(items, items.c.item_id == stock_orders.c.item_id)
    .where(or_(_CUSTOMER.is_(None), items.c.customer_id == _CUSTOMER))
)
_MOVES = (
    select(stock_allocations, items.c.customer_id, stock_orders.c.service_start)
    .join(stock_orders, stock_orders.c.order_id == stock_allocations.c.order_id)
    .join(items, items.c.item_id == stock_orders.c.item_id)
    .where(or_(_CUSTOMER.is_(None), items.c.customer_id == _CUSTOMER))
)
_IS_OPEN = stock_orders.c.closed_on.is_(None)


def backorders(store: Store, *, customer_id: str | None = None) -> pl.DataFrame:
    """The orders of which something is still to come, of one customer or of all: `order_id`, `customer_id`,
    `item_id`, `sku_id`, the days `due_on` and `open_until`, and as text what was `ordered`, `allocated`,
    `substituted` and is `open`."""
    asked = {"customer": customer_id}
    orders = store.frame(_ORDERS.where(_IS_OPEN), asked)
    found = standing_of(orders, store.frame(_MOVES.where(_IS_OPEN), asked)).filter(pl.col("open") > 0)
    return (
        _in_words(
            found.rename({"quantity_mantissa": "ordered"}), "ordered", "allocated", "substituted", "open"
        )
        .rename({"service_start": "due_on"})
        .select(*_LISTED, "open_until", "ordered", "allocated", "substituted", "open")
        .sort("due_on", "order_id")
    )


_LISTED = ("order_id", "customer_id", "item_id", "sku_id", "due_on")
_GIVEN_UP = ("released", "skipped", *SHORT)


def shortfalls(store: Store, *, customer_id: str | None = None) -> pl.DataFrame:
    """What of orders was given up or did not arrive, and is not billed, with the reason: `order_id`,
    `customer_id`, `sku_id`, `due_on`, `on`, `kind`, `quantity` as text, `reason`. What came back to an order
    that changed is below 0."""
    is_given_up = stock_allocations.c.kind.in_(_GIVEN_UP)
    rows = store.frame(_MOVES.where(is_given_up), {"customer": customer_id})
    return (
        _in_words(rows.rename({"quantity_mantissa": "quantity"}), "quantity")
        .select(
            "order_id",
            "customer_id",
            "sku_id",
            pl.col("service_start").alias("due_on"),
            pl.col("allocated_on").alias("on"),
            "kind",
            "quantity",
            "reason",
            "position",
        )
        .sort("on", "order_id", "position")
        .drop("position")
    )


def _in_words(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    scales = rows["quantity_scale"].to_list()
    return rows.with_columns(
        pl.Series(
            name,
            [format_scaled(Scaled(one, scale)) for one, scale in zip(rows[name], scales, strict=True)],
            dtype=pl.String,
        )
        for name in names
    )
