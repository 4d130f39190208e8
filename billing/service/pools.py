"""Pools: a clause of a contract by which what a customer tree takes in a contract year counts together.

The bill run finds the prices and the rebates (core/pools.py). A pool never changes; who takes part is told by
the tree and by what its customers have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import bindparam, func, select

from billing.core.calendar import local_date, parse_interval
from billing.core.money import BillingError, parse_price
from billing.core.pools import check_pool_tiers
from billing.service.acts import act, announce
from billing.service.catalog import NewPrice, NewTier
from billing.service.policies import check_horizon, policy_on
from billing.service.published_prices import price_rows
from billing.store.messages import mark_to_bill
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    contract_clauses,
    contract_terms,
    contracts,
    customers,
    items,
    meters,
    pool_members,
    pool_tiers,
    price_lists,
    prices,
    skus,
    subscriptions,
)

_CONTRACT = (
    select(
        contracts.c.contract_id,
        contracts.c.ended_on,
        func.min(contract_terms.c.term_start).label("first_day"),
        customers.c.root_id,
        customers.c.currency,
        customers.c.policy_name,
        customers.c.time_zone,
    )
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .join(contract_terms, contract_terms.c.contract_id == contracts.c.contract_id)
    .where(contracts.c.contract_id == bindparam("contract_id"))
    .group_by(contracts.c.contract_id, customers.c.customer_id)
)


@act
def agree_pool(
    store: Store,
    at: datetime,
    *,
    contract_id: str,
    tiers: Sequence[NewTier],
    skus: Sequence[str] = (),
    components: Sequence[str] = (),
    first_on: date | None = None,
    interval: str = "P1Y",
    clause_id: str | None = None,
) -> str:
    """Let goods and usage be priced by what the contract's customer tree takes together; returns the clause's
    id.

    tiers: per-unit prices by the volume of a contract year, in base units and in the contract's currency,
    falling as it rises. They hold for the periods that end after `first_on`, by default all of the contract;
    years are counted from its start.

    Raises `unknown_contract`, `illegal_transition` (it has ended), `unknown_sku`, `unknown_component`,
    `illegal_plan` (nothing is counted, or fees, seats or levels), `bad_tiers`, `pool_overlap`,
    `bad_interval`, `before_horizon`, and as `parse_price`.
    """
    parse_interval(interval)
    contract = store.row(_CONTRACT, {"contract_id": contract_id})
    if contract is None:
        raise BillingError("unknown_contract", contract_id)
    if contract["ended_on"] is not None:
        raise BillingError("illegal_transition", f"{contract_id} ended on {contract['ended_on']}")
    today = local_date(at, contract["time_zone"])
    begins_on = first_on or contract["first_day"]
    settings = policy_on(store, contract["policy_name"], today).settings
    check_horizon(begins_on, today, settings)
    counted = _checked_members(store, skus, components)
    _check_overlap(store, contract["root_id"], counted)
    clause_id = clause_id or store.new_id("clause")
    clause: Row = {
        "clause_id": clause_id,
        "contract_id": contract_id,
        "kind": "pool",
        "first_on": begins_on,
        "interval": interval,
    }
    of_tiers = _prices(clause_id, next(iter(counted)), tiers, contract["currency"])
    of_list = {
        "list_id": clause_id,
        "name": f"Pool of {contract_id}",
        "level": "pool",
        "owner_id": clause_id,
        "currency": contract["currency"],
        "valid_start": begins_on,
    }
    store.insert(contract_clauses, [clause], at)
    named = [("sku", one) for one in skus] + [("component", one) for one in components]
    store.insert(
        pool_members,
        [{"clause_id": clause_id, "kind": kind, "member_id": one} for kind, one in named],
        at,
    )
    store.insert(price_lists, [of_list], at)
    store.insert(prices, of_tiers, at)
    bounds = [
        {"clause_id": clause_id, "position": place, "up_to": tier.up_to, "price_id": row["price_id"]}
        for place, (tier, row) in enumerate(zip(tiers, of_tiers, strict=True), start=1)
    ]
    store.insert(pool_tiers, bounds, at)
    mark_pool(store, at, clause_id, begins_on)
    announce(store, at, "contract.clause_added", contract_id, clause | {"members": [one for _, one in named]})
    return clause_id


_components, _skus = components, skus
_OF_SKU = (
    select(_skus.c.sku_id, _components.c.component_id, _components.c.bundle_id)
    .outerjoin(_components, _components.c.sku_id == _skus.c.sku_id)
    .where(_skus.c.sku_id == bindparam("sku_id"))
    .order_by(_components.c.component_id)
)
_COMPONENT = (
    select(_components, meters.c.aggregation, meters.c.is_recurring)
    .outerjoin(meters, meters.c.meter_id == _components.c.meter_id)
    .where(_components.c.component_id == bindparam("component_id"))
)


def _checked_members(store: Store, skus: Sequence[str], components: Sequence[str]) -> list[str]:
    """The components that count by now: goods, and usage that is added up."""
    found: list[str] = []
    for sku_id in skus:
        rows = store.rows(_OF_SKU, {"sku_id": sku_id})
        if not rows:
            raise BillingError("unknown_sku", sku_id)
        sold = [row for row in rows if row["component_id"] is not None]
        if any(row["bundle_id"] is not None for row in sold):
            raise BillingError("illegal_plan", f"{sku_id} is sold in a bundle, which has one price")
        found += [str(row["component_id"]) for row in sold]
    for component_id in components:
        row = store.row(_COMPONENT, {"component_id": component_id})
        if row is None:
            raise BillingError("unknown_component", component_id)
        adds_up = (
            row["kind"] == "usage" and row["aggregation"] in ("sum", "count") and not row["is_recurring"]
        )
        if not (adds_up or row["sku_id"] is not None) or row["bundle_id"] is not None:
            raise BillingError("illegal_plan", f"{component_id}: a pool counts goods, and usage that adds up")
        found.append(component_id)
    if not found:
        raise BillingError("illegal_plan", "a pool counts at least one component or SKU that is sold")
    if len(set(found)) < len(found):
        raise BillingError("pool_overlap", "the pool names a component twice")
    return found


_POOLED = (
    select(contract_clauses.c.clause_id, _components.c.component_id)
    .join(contracts, contracts.c.contract_id == contract_clauses.c.contract_id)
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .join(pool_members, pool_members.c.clause_id == contract_clauses.c.clause_id)
    .join(
        _components,
        ((pool_members.c.kind == "component") & (pool_members.c.member_id == _components.c.component_id))
        | ((pool_members.c.kind == "sku") & (pool_members.c.member_id == _components.c.sku_id)),
    )
    .where(customers.c.root_id == bindparam("root_id"), contracts.c.ended_on.is_(None))
)


def _check_overlap(store: Store, root_id: str, counted: Sequence[str]) -> None:
    for row in store.rows(_POOLED, {"root_id": root_id}):
        if row["component_id"] in counted:
            raise BillingError("pool_overlap", f"{row['component_id']} counts in {row['clause_id']}")


def _prices(clause_id: str, component_id: str, tiers: Sequence[NewTier], currency: str) -> list[Row]:
    """The tiers as per-unit prices at one scale."""
    plain = NewTier()
    for tier in tiers:
        if tier.flat != plain.flat or tier.rate_percent or tier.size or tier.max_blocks:
            raise BillingError("bad_tiers", "a tier of a pool has a bound and a price for each unit")
    units = [parse_price(tier.unit) for tier in tiers]
    check_pool_tiers([tier.up_to for tier in tiers], units)
    scale = max(unit.scale for unit in units)
    begins = [0, *((tier.up_to or 0) + 1 for tier in tiers[:-1])]
    rows = []
    for place, (tier, unit, first) in enumerate(zip(tiers, units, begins, strict=True), start=1):
        new = NewPrice(component_id, "per_unit", tier.unit, quantity_from=first)
        row, _ = price_rows(new, f"{clause_id}.{place}", clause_id, currency)
        rows.append(row | {"price_mantissa": unit.at_scale(scale), "price_scale": scale})
    return rows


# Who takes part.

_TAKES_PART = (
    select(customers.c.customer_id, customers.c.time_zone)
    .join(items, items.c.customer_id == customers.c.customer_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .where(customers.c.root_id == bindparam("root_id"))
    .distinct()
    .order_by(customers.c.customer_id)
)
_OF_ROOT = (
    select(contract_clauses.c.clause_id, contract_clauses.c.first_on, customers.c.root_id)
    .join(contracts, contracts.c.contract_id == contract_clauses.c.contract_id)
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .where(contract_clauses.c.kind == "pool")
)
_OF_CLAUSE = _OF_ROOT.where(contract_clauses.c.clause_id == bindparam("clause_id"))
_OF_CONTRACT = _OF_ROOT.where(contracts.c.contract_id == bindparam("contract_id"))
_OF_TREE = _OF_ROOT.where(customers.c.root_id == bindparam("root_id"))


def mark_pool(store: Store, at: datetime, clause_id: str, since: date) -> None:
    """Let the next run look at everybody in the tree of a pool from a day on."""
    clause = store.row(_OF_CLAUSE, {"clause_id": clause_id})
    assert clause is not None
    for row in store.rows(_TAKES_PART, {"root_id": clause["root_id"]}):
        mark_to_bill(store, at, row["customer_id"], local_date(at, row["time_zone"]), since=since)


def mark_pools_of_contract(store: Store, at: datetime, contract_id: str, since: date) -> None:
    """A contract ended, and with it its pools."""
    for clause in store.rows(_OF_CONTRACT, {"contract_id": contract_id}):
        mark_pool(store, at, clause["clause_id"], since)


def mark_pools_of_trees(store: Store, at: datetime, root_ids: Sequence[str], customer_id: str) -> None:
    """A customer moved from one tree to another: their pools are counted anew, and the customer's prices."""
    for root_id in root_ids:
        for clause in store.rows(_OF_TREE, {"root_id": root_id}):
            mark_pool(store, at, clause["clause_id"], clause["first_on"])
            row = store.row(select(customers.c.time_zone).where(customers.c.customer_id == customer_id))
            assert row is not None
            mark_to_bill(store, at, customer_id, local_date(at, row["time_zone"]), since=clause["first_on"])
