"""Ramps: what a contract agrees for later days (quantity, discounts, commitment, prices), written by one act.

Each phase is a dated version like any other, so the bill run knows no ramp; `preview_change` with this act
shows what the first periods would cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise

from sqlalchemy import select

from billing.core.money import BillingError
from billing.core.subscription import Edit, ItemVersion, Subscription, after_change
from billing.service.acts import act
from billing.service.catalog import plan_version
from billing.service.goods import order_of
from billing.service.orders import check_orders
from billing.service.policies import policy_on
from billing.service.prices import at_quantity, price_plan, priced_by
from billing.service.subscriptions import change_item, check_minimum, difference, save_changes, with_prices
from billing.store.store import Store
from billing.store.subscriptions import Standing, read_standing
from billing.store.tables import discounts


@dataclass(frozen=True, slots=True)
class Phase:
    """What holds from a day on, until a later phase says otherwise; None leaves a field as it is.

    `at_prices_of_day`: the price lists valid on `from_on` are looked at anew, such as the contract's own
    list for its second year. `unit`: what goods are ordered in."""

    from_on: date
    quantity: int | str | None = None
    unit: str | None = None
    discount_ids: Sequence[str] | None = None
    committed_minimum_minor: int | None = None
    at_prices_of_day: bool = False


@act
def agree_ramp(store: Store, at: datetime, *, subscription_id: str, phases: Sequence[Phase]) -> Subscription:
    """Write the phases of a subscription's main item, all or none.

    Raises `unknown_subscription`, `illegal_transition` where a phase begins before today or outside the
    service, `empty_period` unless their days rise, `unknown_discount`, `no_price`, `overdue_restricted`, and
    as `order_of`.
    """
    standing = read_standing(store, at, subscription_id)
    subscription = standing.subscription
    check_orders(store, subscription.bill_to)
    _check_days(standing, [phase.from_on for phase in phases])
    item = subscription.main_item
    versions = item.versions
    for phase in phases:
        edit = _as_agreed(store, at, standing, phase)
        _, change = change_item(store, replace(item, versions=versions), phase.from_on, None, edit, "ramp")
        versions = after_change(versions, change)
    changed = (item, difference(item.versions, versions))
    facts = {"phases": [phase.from_on for phase in phases]}
    return save_changes(store, at, standing, [changed], "subscription.ramp_agreed", facts)


def _check_days(standing: Standing, days: Sequence[date]) -> None:
    if any(later <= earlier for earlier, later in pairwise(days)):
        raise BillingError("empty_period", f"the phases of a ramp rise: {', '.join(map(str, days))}")
    subscription = standing.subscription
    first = max(standing.today, subscription.starts_on)
    for on in days:
        if on < first or subscription.is_canceled(on) or subscription.main_item.version_on(on) is None:
            raise BillingError("illegal_transition", f"no phase of {subscription.subscription_id} on {on}")


def _as_agreed(store: Store, at: datetime, standing: Standing, phase: Phase) -> Edit:
    subscription, customer = standing.subscription, standing.customer
    settings = policy_on(store, customer["policy_name"], standing.today).settings
    currency = str(customer["currency"])
    for discount_id in phase.discount_ids or ():
        if store.row(select(discounts).where(discounts.c.discount_id == discount_id)) is None:
            raise BillingError("unknown_discount", discount_id)

    if phase.committed_minimum_minor is not None:
        check_minimum(phase.committed_minimum_minor)

    def edit(version: ItemVersion) -> ItemVersion:
        plan = plan_version(store, version.plan_id, version.plan_version)
        agreed = version
        if phase.quantity is not None:
            order = order_of(store, plan, phase.quantity, phase.unit, settings)
            agreed = replace(agreed, **order.columns)  # type: ignore[arg-type]
        if phase.discount_ids is not None:
            agreed = replace(agreed, discount_ids=",".join(phase.discount_ids))
        if phase.committed_minimum_minor is not None:
            agreed = replace(agreed, committed_minimum_minor=phase.committed_minimum_minor)
        price = at_quantity(store, at, priced_by(store, plan, version.choice_id), agreed.quantity)
        if phase.at_prices_of_day:
            price = price_plan(
                store,
                at,
                plan,
                currency=currency,
                on=phase.from_on,
                customer_id=subscription.sold_to,
                group_id=customer["group_id"],
                contract_id=subscription.contract_id,
                quantity=agreed.quantity,
            )
        return with_prices(agreed, price, currency)

    return edit
