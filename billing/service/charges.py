"""Charges that come once: a set-up fee, a repair, a line that finance adds to a draft it has seen."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import LINE_LIMIT, BillingError, parse_money, within
from billing.service.acts import act, announce
from billing.service.orders import check_credit
from billing.service.policies import check_horizon, policy_on
from billing.store.messages import mark_to_bill
from billing.store.store import Row, Store
from billing.store.tables import customers, items, one_time_charges, subscriptions

_ITEM = (
    select(
        items.c.item_id,
        items.c.customer_id,
        subscriptions.c.bill_to,
        customers.c.currency,
        customers.c.time_zone,
        customers.c.policy_name,
    )
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .where(items.c.subscription_id == bindparam("id"))
    .order_by(items.c.is_add_on, items.c.ended_on.is_not(None), items.c.item_id.desc())
    .limit(1)
)
_CHARGE = (
    select(one_time_charges, items.c.customer_id, customers.c.time_zone, customers.c.policy_name)
    .join(items, items.c.item_id == one_time_charges.c.item_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .where(one_time_charges.c.charge_id == bindparam("id"))
)


@act
def add_charge(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    description: str,
    amount: str,
    charged_on: date | None = None,
    charge_id: str | None = None,
) -> str:
    """Charge a subscription once: an amount before tax ("10.00", in the customer's currency), due on a day
    (today), taxed as its plan's product. It bears no discount and meets no commitment. Returns its id.

    Raises `unknown_subscription`, `missing_value` without description, `negative_price`, `float_money`,
    `too_many_decimals`, `amount_out_of_range`, `before_horizon`, `immutable` (the id is taken),
    and Held as an order.
    """
    item = store.row(_ITEM, {"id": subscription_id})
    if item is None:
        raise BillingError("unknown_subscription", subscription_id)
    if not description.strip():
        raise BillingError("missing_value", "a charge without description")
    amount_minor = within(parse_money(amount, item["currency"]), LINE_LIMIT)
    if amount_minor < 0:
        raise BillingError("negative_price", f"{amount} {item['currency']}")
    today = local_date(at, item["time_zone"])
    row = {
        "charge_id": charge_id or store.new_id("charge"),
        "item_id": item["item_id"],
        "charged_on": charged_on or today,
        "description": description.strip(),
        "amount_minor": amount_minor,
    }
    _mark(store, at, item, row["charged_on"])
    store.insert(one_time_charges, [row], at)
    announce(store, at, "charge.added", row["charge_id"], row | {"subscription_id": subscription_id})
    check_credit(store, at, item["bill_to"])
    return str(row["charge_id"])


@act
def remove_charge(store: Store, at: datetime, *, charge_id: str) -> None:
    """Take a charge back: what was billed of it is credited. Raises `unknown_charge`, `illegal_transition`
    if it was taken back before, `before_horizon`."""
    row = store.row(_CHARGE, {"id": charge_id})
    if row is None:
        raise BillingError("unknown_charge", charge_id)
    if row["removed_at"] is not None:
        raise BillingError(
            "illegal_transition", f"charge {charge_id} was taken back on {row['removed_at']:%Y-%m-%d}"
        )
    _mark(store, at, row, row["charged_on"])
    store.update(one_time_charges, [{"charge_id": charge_id, "removed_at": at}], at)
    announce(store, at, "charge.removed", charge_id, {"customer_id": row["customer_id"]})


def _mark(store: Store, at: datetime, of: Row, charged_on: date) -> None:
    """Let the next run look at the day of a charge."""
    today = local_date(at, of["time_zone"])
    check_horizon(charged_on, today, policy_on(store, of["policy_name"], today).settings)
    mark_to_bill(store, at, of["customer_id"], today, since=charged_on)
