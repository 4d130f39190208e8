"""Subscriptions as they stand, what is to change of them, their items through time and their charges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import ColumnElement, bindparam, exists, select

from billing.core.money import Scaled
from billing.core.subscription import Item
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.subscriptions import ITEMS, SUBSCRIPTIONS, Standing, standings_of
from billing.store.tables import customers, item_versions, items, one_time_charges, subscriptions

_WRITTEN = ("recorded_at", "changed_at")
_SUBSCRIPTIONS = SUBSCRIPTIONS.add_columns(*(subscriptions.c[name] for name in _WRITTEN))
_ITEMS = ITEMS.where(items.c.subscription_id.in_(bindparam("ids", expanding=True))).order_by(
    items.c.item_id, item_versions.c.effective_start
)


def subscriptions_of(
    store: Store,
    at: datetime,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    customer_id: str | None = None,
    bill_to: str | None = None,
    status: str | None = None,
    plan_id: str | None = None,
    contract_id: str | None = None,
    changed_since: datetime | None = None,
) -> Page:
    """Subscriptions, the newest first; with `changed_since` in the order in which they were changed.

    Rows: `subscription_id`, `standing` (store.subscriptions.Standing), `recorded_at`, `changed_at`. `status`:
    as it was stored when time or an act last turned it; `plan_id`: of any item, now or later.
    """
    asked = _SUBSCRIPTIONS.where(*scope.where(subscriptions.c.sold_to))
    for column, wanted in (
        (subscriptions.c.sold_to, customer_id),
        (subscriptions.c.bill_to, bill_to),
        (subscriptions.c.status, status),
        (subscriptions.c.contract_id, contract_id),
    ):
        if wanted is not None:
            asked = asked.where(column == wanted)
    if plan_id is not None:
        asked = asked.where(_has_plan(plan_id))
    if changed_since is None:
        found = page(
            store, asked, [subscriptions.c.subscription_id], after=after, limit=limit, descending=True
        )
    else:
        asked = asked.where(subscriptions.c.changed_at >= changed_since)
        keys = [subscriptions.c.changed_at, subscriptions.c.subscription_id]
        found = page(store, asked, keys, after=after, limit=limit)
    return replace(found, rows=_standing(store, at, found.rows))


def _has_plan(plan_id: str) -> ColumnElement[bool]:
    return exists().where(
        items.c.subscription_id == subscriptions.c.subscription_id,
        item_versions.c.item_id == items.c.item_id,
        item_versions.c.superseded_at.is_(None),
        item_versions.c.plan_id == plan_id,
    )


_ONE = _SUBSCRIPTIONS.where(subscriptions.c.subscription_id == bindparam("id"))


def subscription_of(store: Store, at: datetime, scope: Scope, *, subscription_id: str) -> Row | None:
    """One subscription as `subscriptions_of` gives it; None where there is none in the scope."""
    rows = store.rows(_ONE, {"id": subscription_id})
    return _standing(store, at, rows)[0] if rows and scope.holds(rows[0]["sold_to"]) else None


def _standing(store: Store, at: datetime, rows: Sequence[Row]) -> list[Row]:
    if not rows:
        return []
    parts = store.rows(_ITEMS, {"ids": [row["subscription_id"] for row in rows]})
    bare = [{name: value for name, value in row.items() if name not in _WRITTEN} for row in rows]
    return [
        {
            "subscription_id": row["subscription_id"],
            "standing": standing,
            **{name: row[name] for name in _WRITTEN},
        }
        for row, standing in zip(rows, standings_of(at, bare, parts), strict=True)
    ]


# Items.


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an item is, and of what."""

    item_id: str
    subscription_id: str
    customer_id: str


_OWNER = select(items.c.item_id, items.c.subscription_id, items.c.customer_id).where(
    items.c.item_id == bindparam("id")
)


def owner_of_item(store: Store, scope: Scope, *, item_id: str) -> Owner | None:
    """Whose an item is; None where there is none in the scope."""
    row = store.row(_OWNER, {"id": item_id})
    return Owner(**row) if row is not None and scope.holds(row["customer_id"]) else None


_VERSIONS = select(item_versions).where(
    item_versions.c.item_id == bindparam("item"), item_versions.c.superseded_at.is_(None)
)


def versions_of_item(
    store: Store, scope: Scope, *, item_id: str, after: Sequence[object] | None, limit: int
) -> Page | None:
    """What an item was, is and will be, by day, as it holds now; None where there is none in the scope."""
    if owner_of_item(store, scope, item_id=item_id) is None:
        return None
    keys = [item_versions.c.effective_start]
    return page(store, _VERSIONS, keys, after=after, limit=limit, values={"item": item_id})


@dataclass(frozen=True, slots=True)
class Ahead:
    """What becomes of an item on a day after today. `reason`: why, as its version says it, or `item_end` and
    `subscription_end`, with nothing after it. Money in minor units of the customer's currency, a period."""

    on: date
    item_id: str
    reason: str
    plan_id: str | None = None
    plan_version: int | None = None
    quantity: Scaled | None = None
    phase: str | None = None
    pause: str | None = None
    recurring_minor: int | None = None
    committed_minimum_minor: int | None = None


def changes_ahead(standing: Standing) -> list[Ahead]:
    """What is to change of a subscription after today, by day. What lies beyond its end is left out, as it
    will not happen unless the end is taken back."""
    of, today = standing.subscription, standing.today
    found = [one for item in of.items for one in _of_item(item, today)]
    if of.ends_on is None:
        return sorted(found, key=_place)
    ends = [
        Ahead(of.ends_on, item.item_id, "subscription_end")
        for item in of.items
        if of.ends_on > today and item.is_open_after(of.ends_on)
    ]
    return sorted([*(one for one in found if one.on < of.ends_on), *ends], key=_place)


def _place(one: Ahead) -> tuple[date, str]:
    return one.on, one.item_id


def _of_item(item: Item, today: date) -> list[Ahead]:
    begins = [
        Ahead(
            on=version.effective_start,
            item_id=item.item_id,
            reason=version.reason,
            plan_id=version.plan_id,
            plan_version=version.plan_version,
            quantity=version.quantity,
            phase=version.phase,
            pause=version.pause,
            recurring_minor=version.recurring_minor,
            committed_minimum_minor=version.committed_minimum_minor,
        )
        for version in item.versions
        if version.effective_start > today
    ]
    end = item.versions[-1].effective_end if item.versions else None
    return begins if end is None or end <= today else [*begins, Ahead(end, item.item_id, "item_end")]


# Charges that come once.

_CHARGES = (
    select(
        one_time_charges,
        items.c.subscription_id,
        items.c.customer_id,
        customers.c.currency,
    )
    .join(items, items.c.item_id == one_time_charges.c.item_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
)


def charges(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    subscription_id: str | None = None,
    customer_id: str | None = None,
) -> Page:
    """Charges, the newest first, with their `subscription_id`, `customer_id` and `currency`."""
    asked = _CHARGES.where(*scope.where(items.c.customer_id))
    if subscription_id is not None:
        asked = asked.where(items.c.subscription_id == subscription_id)
    if customer_id is not None:
        asked = asked.where(items.c.customer_id == customer_id)
    return page(store, asked, [one_time_charges.c.charge_id], after=after, limit=limit, descending=True)


_CHARGE = _CHARGES.where(one_time_charges.c.charge_id == bindparam("id"))


def charge(store: Store, scope: Scope, *, charge_id: str) -> Row | None:
    """One charge as `charges` gives it; None where there is none in the scope."""
    row = store.row(_CHARGE, {"id": charge_id})
    return row if row is not None and scope.holds(row["customer_id"]) else None
