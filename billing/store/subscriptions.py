"""Subscriptions between tables and values: read one with its items, write what a change of it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import and_, bindparam, exists, func, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.core.subscription import (
    Change,
    Item,
    ItemVersion,
    Subscription,
    status_of,
    turning_day,
)
from billing.store.store import Row, Store
from billing.store.tables import customers, dunning_cases, item_versions, items, subscriptions

_OWN = tuple(field.name for field in fields(Subscription) if field.name != "items")
_VERSION = tuple(field.name for field in fields(ItemVersion))


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription beside what its customer brings to every decision. `today` is the customer's date."""

    subscription: Subscription
    customer: Row
    is_in_dunning: bool
    today: date

    @property
    def status(self) -> str:
        return status_of(self.subscription, self.today, is_in_dunning=self.is_in_dunning)


IS_DUNNED = and_(dunning_cases.c.closed_on.is_(None), func.coalesce(dunning_cases.c.state, "") != "current")
"""A case that makes its customer's subscriptions past_due: an open one, of net terms once it reminds."""
SUBSCRIPTIONS = select(
    *(subscriptions.c[name] for name in _OWN),
    *(
        customers.c[name].label(f"customer_{name}")
        for name in ("currency", "time_zone", "policy_name", "group_id")
    ),
    exists().where(dunning_cases.c.customer_id == subscriptions.c.bill_to, IS_DUNNED).label("is_in_dunning"),
).join(customers, customers.c.customer_id == subscriptions.c.sold_to)
"""Subscriptions with what their customers bring, for `standings_of`."""
ITEMS = select(
    items.c.subscription_id,
    items.c.item_id,
    items.c.is_add_on,
    items.c.ended_on,
    *(item_versions.c[name] for name in _VERSION if name != "item_id"),
).outerjoin(
    item_versions,
    (item_versions.c.item_id == items.c.item_id) & item_versions.c.superseded_at.is_(None),
)
"""Items with their live versions, for `standings_of`; by item and start."""
_SUBSCRIPTION = SUBSCRIPTIONS.where(subscriptions.c.subscription_id == bindparam("id"))
_ITEMS = ITEMS.where(items.c.subscription_id == bindparam("id")).order_by(
    items.c.item_id, item_versions.c.effective_start
)


def read_standing(store: Store, at: datetime, subscription_id: str) -> Standing:
    """A subscription as it stands. Raises `unknown_subscription`."""
    rows = store.rows(_SUBSCRIPTION, {"id": subscription_id})
    if not rows:
        raise BillingError("unknown_subscription", subscription_id)
    (standing,) = standings_of(at, rows, store.rows(_ITEMS, {"id": subscription_id}))
    return standing


def standings_of(at: datetime, rows: Sequence[Row], parts: Sequence[Row]) -> list[Standing]:
    """Subscriptions as they stand, of the rows of SUBSCRIPTIONS and of ITEMS."""
    found: dict[str, dict[str, tuple[bool, date | None, list[ItemVersion]]]] = {}
    for row in parts:
        one = dict(row)
        of_subscription = found.setdefault(one.pop("subscription_id"), {})
        of_item = one.pop("is_add_on"), one.pop("ended_on")
        *_, versions = of_subscription.setdefault(one["item_id"], (*of_item, []))
        if one["version_id"] is not None:
            versions.append(ItemVersion(**one))
    return [_standing(at, dict(row), found.get(row["subscription_id"], {})) for row in rows]


def _standing(
    at: datetime, row: Row, parts: Mapping[str, tuple[bool, date | None, list[ItemVersion]]]
) -> Standing:
    customer = {
        name: row.pop(f"customer_{name}") for name in ("currency", "time_zone", "policy_name", "group_id")
    }
    is_in_dunning = bool(row.pop("is_in_dunning"))
    own = tuple(
        Item(item_id, is_add_on, tuple(versions), ended_on)
        for item_id, (is_add_on, ended_on, versions) in parts.items()
    )
    return Standing(
        Subscription(**row, items=own),
        customer | {"customer_id": row["sold_to"]},
        is_in_dunning,
        local_date(at, customer["time_zone"]),
    )


def write_subscription(store: Store, at: datetime, new: Subscription, today: date) -> None:
    """Insert a subscription, its items and their versions."""
    row = _own_columns(new) | {"turns_on": turning_day(new, today)}
    store.insert(subscriptions, [row], at)
    write_items(store, at, new, new.items)


def write_items(store: Store, at: datetime, of: Subscription, new: Sequence[Item]) -> None:
    """Insert items of a subscription with their versions."""
    rows = [
        {
            "item_id": item.item_id,
            "subscription_id": of.subscription_id,
            "customer_id": of.sold_to,
            "is_add_on": item.is_add_on,
        }
        for item in new
    ]
    store.insert(items, rows, at)
    store.insert(item_versions, [_row_of(version) for item in new for version in item.versions], at)


def write_ends(store: Store, of: Subscription, *, with_term: bool) -> None:
    """Let the items of a subscription that ended keep its end, and what became of the money."""
    rows = [
        {
            "item_id": item.item_id,
            "ended_on": of.ends_on,
            "end_requested_on": of.cancel_requested_on,
            "end_reason": of.cancel_reason,
            "on_cancel": of.on_cancel,
            "ended_with_term": with_term,
        }
        for item in of.items
        if item.ended_on is None
    ]
    store.update(items, rows)


def write_changes(store: Store, at: datetime, changes: Sequence[Change]) -> None:
    """Supersede versions and insert those that hold instead."""
    gone = [version for change in changes for version in change.superseded]
    written = [_row_of(version) for change in changes for version in change.written]
    rows = [{"version_id": version.version_id, "superseded_at": at} for version in gone]
    store.update(item_versions, rows, at)
    store.insert(item_versions, written, at)


def _row_of(version: ItemVersion) -> Row:
    return {name: getattr(version, name) for name in _VERSION}


def write_standing(store: Store, at: datetime, before: Subscription, after: Standing) -> None:
    """Update a subscription's own columns where they changed, its status and the day it may turn."""
    new = after.subscription
    old_row, row = _own_columns(before), _own_columns(new) | {"status": after.status}
    changed: dict[str, Any] = {name: value for name, value in row.items() if value != old_row[name]}
    changed["turns_on"] = turning_day(new, after.today)
    store.update(subscriptions, [{"subscription_id": new.subscription_id} | changed], at)


def write_statuses(store: Store, at: datetime, new: Sequence[Standing]) -> None:
    """Store the status of subscriptions, and the day on which time alone may change it."""
    rows = [
        {
            "subscription_id": one.subscription.subscription_id,
            "status": one.status,
            "turns_on": turning_day(one.subscription, one.today),
        }
        for one in new
    ]
    store.update(subscriptions, rows, at)


def _own_columns(subscription: Subscription) -> Row:
    return {name: getattr(subscription, name) for name in _OWN}
