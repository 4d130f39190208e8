"""What the overdue state of payers does to the subscriptions that are billed to them.

Overdue money makes them past_due. Those of a suspended payer are paused with the cause `overdue` from today,
unless their contract says `deliver_despite_hold`, and run again from the day the payer is cleared. Their
bills follow from these versions [`suspension_billing`].
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl
from sqlalchemy import exists, or_, select

from billing.core.dunning import SUSPENDING
from billing.core.subscription import Change, ItemVersion, after_change, change_versions
from billing.jobs.bill_facts import read_by_ids
from billing.store.messages import Message, announce, mark_all_to_bill
from billing.store.store import Store
from billing.store.subscriptions import (
    ITEMS,
    SUBSCRIPTIONS,
    Standing,
    standings_of,
    write_changes,
    write_statuses,
)
from billing.store.tables import contracts, items, subscriptions

_OF_PAYERS = SUBSCRIPTIONS.where(subscriptions.c.status != "canceled")
_DELIVERED = exists().where(
    contracts.c.contract_id == subscriptions.c.contract_id, contracts.c.deliver_despite_hold
)
_HELD_BACK = select(subscriptions.c.subscription_id).where(
    or_(subscriptions.c.contract_id.is_(None), ~_DELIVERED)
)


def act_on_overdue(store: Store, at: datetime, changed: pl.DataFrame) -> tuple[int, int]:
    """Bring subscriptions to the new states of their payers; how many were suspended, and how many run again.

    changed: `customer_id`, `before`, `overdue_state`, as they are in the database now.
    """
    after = {row["customer_id"]: row for row in changed.iter_rows(named=True)}
    found = _read(store, at, sorted(after))
    names = [one.subscription.subscription_id for one in found]
    held_back = read_by_ids(store, _HELD_BACK, subscriptions.c.subscription_id, names)
    may_be_held = set(held_back["subscription_id"])
    changes: list[Change] = []
    new: list[Standing] = []
    messages: list[Message] = []
    counts = {"subscription.paused": 0, "subscription.resumed": 0}
    for one in found:
        state = after[one.subscription.bill_to]
        stops = state["overdue_state"] in SUSPENDING
        is_turned = stops != (state["before"] in SUSPENDING)
        own: list[Change] = []
        if is_turned and (not stops or one.subscription.subscription_id in may_be_held):
            one, own = _with_pause(store, one, "overdue" if stops else None)
        new.append(one)
        if own:
            changes += own
            topic = "subscription.paused" if stops else "subscription.resumed"
            counts[topic] += 1
            messages.append((topic, one.subscription.subscription_id, _facts(one, stops)))
    write_changes(store, at, changes)
    write_statuses(store, at, new)
    days = [(one.subscription.sold_to, one.today) for one in new]
    mark_all_to_bill(store, at, days if changes else [])
    announce(store, at, messages)
    return counts["subscription.paused"], counts["subscription.resumed"]


_ITEMS = ITEMS.join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id).where(
    subscriptions.c.status != "canceled"
)


def _read(store: Store, at: datetime, payer_ids: list[str]) -> list[Standing]:
    """The subscriptions of payers that have not ended."""
    rows = read_by_ids(store, _OF_PAYERS, subscriptions.c.bill_to, payer_ids).sort("subscription_id")
    parts = read_by_ids(store, _ITEMS, subscriptions.c.bill_to, payer_ids)
    found = standings_of(at, rows.to_dicts(), parts.sort("item_id", "effective_start").to_dicts())
    return [one for one in found if not one.subscription.is_canceled(one.today)]


def _with_pause(store: Store, one: Standing, cause: str | None) -> tuple[Standing, list[Change]]:
    """A subscription that is paused from today on where it ran, or runs where it was suspended."""
    start = max(one.today, one.subscription.starts_on)
    was = None if cause else "overdue"

    def edit(version: ItemVersion) -> ItemVersion:
        return replace(version, pause=cause) if version.pause == was else version

    reason = "overdue" if cause else "resume"
    changes, after = [], []
    for item in one.subscription.items:
        change = change_versions(
            item.versions, start, None, edit, reason=reason, new_id=lambda: store.new_id("ver")
        )
        if not change.is_empty:
            changes.append(change)
            item = replace(item, versions=after_change(item.versions, change))
        after.append(item)
    return replace(one, subscription=replace(one.subscription, items=tuple(after))), changes


def _facts(one: Standing, stops: bool) -> dict[str, object]:
    about: dict[str, object] = {"customer_id": one.subscription.sold_to, "status": one.status}
    if stops:
        return about | {"from_on": one.today, "until": None, "cause": "overdue"}
    return about | {"on": one.today}
