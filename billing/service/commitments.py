"""What a customer promises to spend, agreed anew while the subscription runs.

The promise is part of an item's dated versions, so a change of it is prorated like any other: each day of a
period counts with the promise of that day.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from billing.core.subscription import ItemVersion, Subscription, When
from billing.service.acts import act
from billing.service.catalog import plan_version
from billing.service.policies import policy_on
from billing.service.subscriptions import (
    change_item,
    check_minimum,
    check_open,
    day_of_change,
    live,
    save_changes,
    version_from,
)
from billing.store.store import Store


@act
def change_commitment(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    committed_minimum_minor: int,
    item_id: str | None = None,
    when: When = "now",
) -> Subscription:
    """Set what an item, or a subscription's main item, promises beyond its recurring amount, per interval.

    It holds from today, the period's end or a day (`when`), also in versions still scheduled; 0 ends the
    promise. The period in which it changes is owed day by day: 900.00 until the 15th of 30 days and 1,900.00
    after it are 1,400.00.
    Raises `negative_quantity`, `amount_out_of_range`, `illegal_transition` outside the service.
    """
    standing = live(store, at, subscription_id)
    subscription = standing.subscription
    item = subscription.item(item_id) if item_id else subscription.main_item
    check_minimum(committed_minimum_minor)
    current = version_from(item, max(standing.today, subscription.starts_on))
    interval = plan_version(store, current.plan_id, current.plan_version).interval
    settings = policy_on(store, standing.customer["policy_name"], standing.today).settings
    on = day_of_change(standing, current, interval, when, settings)
    check_open(item, on)

    def edit(version: ItemVersion) -> ItemVersion:
        return replace(version, committed_minimum_minor=committed_minimum_minor)

    changed = change_item(store, item, on, None, edit, "commitment")
    facts = {"item_id": item.item_id, "committed_minimum_minor": committed_minimum_minor, "on": on}
    return save_changes(store, at, standing, [changed], "subscription.commitment_changed", facts)
