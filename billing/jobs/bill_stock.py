"""Brings goods whose stock decides into a bill run: the rules of their contracts, what was ordered and what
became of it, and what of that is owed. The rules stand in core/stock.py; where no contract has one, nothing
here is asked but one statement a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from sqlalchemy import bindparam, select

from billing.core import stock
from billing.core.invoicing import SERVICE_KEY, PolicyVersion
from billing.core.money import power_of_ten, wide
from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Store
from billing.store.tables import (
    components,
    contract_stock_rules,
    items,
    stock_allocations,
    stock_orders,
    subscriptions,
    usage_snapshots,
)

_ANY = select(contract_stock_rules.c.contract_id).limit(1)
_RULES = (
    select(
        items.c.item_id,
        contract_stock_rules.c.valid_from,
        contract_stock_rules.c.revision,
        contract_stock_rules.c.rule,
    )
    .select_from(items)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(contract_stock_rules, contract_stock_rules.c.contract_id == subscriptions.c.contract_id)
)
# The goods of a bundle share its one price, so they are delivered and billed with it.
_GOODS = select(components.c.component_id, components.c.sku_id).where(
    components.c.sku_id.is_not(None), components.c.bundle_id.is_(None)
)
_ORDERS = (
    select(
        *(column for column in stock_orders.c if column.name not in ("recorded_at", "changed_at")),
        items.c.customer_id,
    )
    .select_from(items)
    .join(stock_orders, stock_orders.c.item_id == items.c.item_id)
    .where(stock_orders.c.reference_end > bindparam("since"))
)
_ALLOCATIONS = (
    select(*(column for column in stock_allocations.c if column.name != "recorded_at"), items.c.customer_id)
    .select_from(items)
    .join(stock_orders, stock_orders.c.item_id == items.c.item_id)
    .join(stock_allocations, stock_allocations.c.order_id == stock_orders.c.order_id)
    .where(stock_orders.c.reference_end > bindparam("since"))
)
_BILLED = (
    select(
        *(usage_snapshots.c[name] for name in SERVICE_KEY),
        usage_snapshots.c.revision,
        usage_snapshots.c.quantity_mantissa,
        usage_snapshots.c.quantity_scale,
    )
    .select_from(items)
    .join(usage_snapshots, usage_snapshots.c.item_id == items.c.item_id)
    .where(usage_snapshots.c.service_end > bindparam("since"))
)
_KEY = SERVICE_KEY


@dataclass(frozen=True)
class StockFacts:
    """What is known of the goods of some customers. rules, goods: as `stock.deliveries` takes them. orders:
    rows of `stock_orders` with `customer_id`, of periods that are not settled. allocations: of those."""

    rules: pl.DataFrame
    goods: pl.DataFrame
    orders: pl.DataFrame
    allocations: pl.DataFrame

    def standing(self, up_to: date) -> pl.DataFrame:
        """The orders with what became of them by a day."""
        return stock.standing_of(self.orders, self.allocations.filter(pl.col("allocated_on") <= up_to))


def has_stock_rules(store: Store) -> bool:
    """Whether any contract has a stock rule."""
    return store.row(_ANY) is not None


def read_stock(store: Store, terms: pl.DataFrame, floors: pl.DataFrame) -> StockFacts | None:
    """The facts of customers about their goods, None where no contract says anything of stock.

    terms: as `read_terms` gives them. floors: `customer_id`, `floor`.
    """
    if floors.is_empty() or not has_stock_rules(store):
        return None
    ids = floors["customer_id"].to_list()
    found = read_by_ids(store, _RULES, items.c.customer_id, ids)
    if found.is_empty():
        return None
    rules = found.sort("item_id", "valid_from", "revision").unique(
        ["item_id", "valid_from"], keep="last", maintain_order=True
    )
    sold = terms["component_id"].unique().sort().to_list()
    since = {"since": floors["floor"].min()}
    own = floors.select("customer_id", "floor")
    orders = (
        read_by_ids(store, _ORDERS, items.c.customer_id, ids, since)
        .join(own, on="customer_id")
        .filter(pl.col("reference_end") > pl.col("floor"))
        .drop("floor")
        .sort("order_id")
    )
    return StockFacts(
        rules.drop("revision"),
        read_by_ids(store, _GOODS, components.c.component_id, sold),
        orders,
        read_by_ids(store, _ALLOCATIONS, items.c.customer_id, ids, since).sort("order_id", "position"),
    )


@dataclass(frozen=True)
class Goods:
    """The goods of a draft that their stock decides about.

    parts: segments of everything else, delivered: of these. owed: deliveries that are due, to be priced.
    together, instead: of those that a successor was given for (`stock.substitutes`). charged: what was billed
    of deliveries, as lines with the service of their order. others: charges of everything else. waiting: the
    deliveries that nobody ordered yet. before: the quantities billed, at the scale they are owed at. days:
    when what came after the day will be due.
    """

    parts: pl.DataFrame
    delivered: pl.DataFrame
    owed: pl.DataFrame
    together: pl.DataFrame
    instead: pl.DataFrame
    charged: pl.DataFrame
    others: pl.DataFrame
    waiting: pl.DataFrame
    before: pl.DataFrame
    days: pl.DataFrame


def goods_of(
    store: Store,
    known: StockFacts,
    parts: pl.DataFrame,
    terms: pl.DataFrame,
    versions: Sequence[PolicyVersion],
    charged: pl.DataFrame,
    up_to: date,
) -> Goods:
    """Tell goods whose stock decides from what is billed by its time. charged: posted charges."""
    orders = known.standing(up_to)
    found = stock.by_stock(stock.deliveries(parts, known.goods, known.rules), orders)
    owed = stock.owed(found, orders, terms, versions, up_to)
    waiting = found.filter(pl.col("order_id").is_null(), pl.col("service_start") <= up_to)
    later = known.allocations.filter(pl.col("allocated_on") > up_to)
    both = pl.concat([found.select(stock.PERIOD), orders.select(stock.PERIOD)]).unique()
    given = orders.filter(pl.col("substitute_sku_id").is_not_null())
    as_given = stock.substitute_component(pl.col("component_id"), pl.col("substitute_sku_id"))
    service = pl.concat([orders, given.with_columns(as_given.alias("component_id"))]).select(
        *stock.PERIOD, pl.col("service_start").alias("_start"), pl.col("reference_end").alias("_end")
    )
    together, instead = stock.substitutes(owed)
    of_goods = charged.join(service, on=stock.PERIOD, how="inner", maintain_order="left").with_columns(
        pl.col("_start").alias("service_start"), pl.col("_end").alias("service_end")
    )
    return Goods(
        parts.join(found, on=stock.PERIOD, how="anti", maintain_order="left"),
        parts.join(found, on=stock.PERIOD, how="semi", maintain_order="left"),
        owed,
        together,
        instead,
        of_goods.select(charged.columns),
        charged.join(both, on=stock.PERIOD, how="anti", maintain_order="left"),
        waiting,
        _before(store, owed),
        pl.concat(
            [
                waiting.select("customer_id", pl.lit(up_to + timedelta(days=1)).alias("next_bill_on")),
                later.select("customer_id", pl.col("allocated_on").alias("next_bill_on")),
            ]
        ),
    )


def _before(store: Store, owed: pl.DataFrame) -> pl.DataFrame:
    given = owed.filter(pl.col("substitute_sku_id").is_not_null())
    as_given = stock.substitute_component(pl.col("component_id"), pl.col("substitute_sku_id"))
    scales = pl.concat([owed, given.with_columns(as_given.alias("component_id"))]).select(
        *_KEY, pl.col("quantity_scale").alias("_scale")
    )
    ids = owed["customer_id"].unique().sort().to_list()
    since = {"since": owed["service_start"].min() or date.min}
    found = read_by_ids(store, _BILLED, items.c.customer_id, ids, since)
    last = found.sort("revision").unique(_KEY, keep="last", maintain_order=True)
    mantissa = wide(pl.col("quantity_mantissa")) * power_of_ten(pl.col("_scale") - pl.col("quantity_scale"))
    return last.join(scales, on=_KEY).select(
        *_KEY, "revision", mantissa.cast(pl.Int64).alias("quantity_mantissa")
    )


def quantities(owed: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Rows for `usage_snapshots`: the quantities of deliveries that are billed now."""
    last = before.select(*_KEY, (pl.col("revision") + 1).alias("revision"))
    return owed.join(last, on=_KEY, how="left", maintain_order="left").with_columns(
        pl.col("revision").fill_null(0), pl.lit(0, pl.Int64).alias("last_event_seq")
    )
