"""Takes back changes that have not acted yet: of plan or quantity, pauses, add-ons to come or go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from billing.core.money import BillingError
from billing.core.subscription import Change, Item, ItemVersion, Subscription
from billing.service.acts import act
from billing.service.catalog import plan_version
from billing.service.prices import at_quantity, priced_by
from billing.service.subscriptions import save_changes, with_prices
from billing.store.store import Store
from billing.store.subscriptions import read_standing

PLAN = ("plan_id", "plan_version", "anchor_on")
PRICE = ("list_id", "price_id", "choice_id", "recurring_minor")
QUANTITY = ("quantity_mantissa", "quantity_scale")
OTHERS = (("pause",), ("discount_ids",), ("committed_minimum_minor",))


@act
def undo_change(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    item_id: str | None = None,
    on: date | None = None,
) -> Subscription:
    """Take back what is to change on a day after today (`on`), or on any; of one item if named.

    What a later change said of its own stays. A trial still ends on its day. An end of the subscription is
    taken back by `undo_cancel`. Raises `illegal_transition` where nothing is to change.
    """
    standing = read_standing(store, at, subscription_id)
    subscription, today = standing.subscription, standing.today
    if subscription.is_canceled(today):
        raise BillingError("illegal_transition", f"{subscription_id} is canceled")
    if on is not None and on <= today:
        raise BillingError("illegal_transition", f"what changed by {on} has taken effect")
    asked = [subscription.item(item_id)] if item_id else list(subscription.items)
    changes = []
    for item in asked:
        versions = _undone(store, at, item, today, on, str(standing.customer["currency"]))
        gone = tuple(version for version in item.versions if version not in versions)
        if gone:
            written = tuple(version for version in versions if version not in item.versions)
            changes.append((item, Change(gone, written)))
    if not changes:
        raise BillingError("illegal_transition", f"nothing of {subscription_id} is to change then")
    facts = {"item_ids": [item.item_id for item, _ in changes], "on": on}
    return save_changes(store, at, standing, changes, "subscription.change_undone", facts)


def _undone(
    store: Store, at: datetime, item: Item, today: date, on: date | None, currency: str
) -> tuple[ItemVersion, ...]:
    """The versions of an item without what changes on a day, or without all that changes after today."""
    days = {version.effective_start for version in item.versions}
    days |= {version.effective_end for version in item.versions if version.effective_end is not None}
    versions = item.versions
    for day in sorted((day for day in days if day > today), reverse=True):
        if on is None or day == on:
            versions = _without(store, at, item, versions, day, currency)
    if versions == item.versions:
        return versions
    joined: list[ItemVersion] = []
    for version in versions:
        before = joined[-1] if joined else None
        if before and version.effective_start > today and _terms(before) == _terms(version):
            joined[-1] = replace(before, effective_end=version.effective_end)
        else:
            joined.append(version)
    old = set(item.versions)
    return tuple(one if one in old else replace(one, version_id=store.new_id("ver")) for one in joined)


def _terms(version: ItemVersion) -> ItemVersion:
    return replace(
        version,
        version_id="",
        effective_start=date.min,
        effective_end=None,
        reason="",
    )


def _without(
    store: Store, at: datetime, item: Item, versions: Sequence[ItemVersion], day: date, currency: str
) -> tuple[ItemVersion, ...]:
    """The versions without the change of one day."""
    before = next((version for version in versions if version.effective_end == day), None)
    after = next((version for version in versions if version.effective_start == day), None)
    if after is None:
        # It is to end: it goes on instead.
        return tuple(replace(one, effective_end=None) if one is before else one for one in versions)
    if before is None:
        # It is to begin: an add-on does not, the plan itself is the subscription.
        return () if item.is_add_on else tuple(versions)
    if before.phase != after.phase:
        return tuple(versions)

    def restored(version: ItemVersion) -> ItemVersion:
        moved = version
        for names in (PLAN, QUANTITY, *OTHERS):
            theirs, ours = _values(after, names), _values(version, names)
            if theirs != _values(before, names) and theirs == ours:
                moved = replace(moved, **dict(zip(names, _values(before, names), strict=True)))  # type: ignore[arg-type]
        if _values(moved, PLAN + QUANTITY) == _values(before, PLAN + QUANTITY):
            return replace(moved, **dict(zip(PRICE, _values(before, PRICE), strict=True)))  # type: ignore[arg-type]
        if _values(moved, PLAN + QUANTITY) == _values(version, PLAN + QUANTITY):
            return moved
        choice = before.choice_id if moved.plan_id == before.plan_id else version.choice_id
        plan = plan_version(store, moved.plan_id, moved.plan_version)
        return with_prices(
            moved, at_quantity(store, at, priced_by(store, plan, choice), moved.quantity), currency
        )

    return tuple(restored(one) if one.effective_start >= day else one for one in versions)


def _values(version: ItemVersion, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(version, name) for name in names)
