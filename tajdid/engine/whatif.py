"""An account as it stands, and what a change of it would post: done, billed, and taken back."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import next_boundary, parse_interval, zone_of
from billing.core.money import BillingError
from billing.core.subscription import Item as HeldItem
from billing.core.subscription import ItemVersion
from billing.core.subscription import Subscription as Held
from billing.reads.price_steps import decimal
from billing.service.drafts import drafts
from billing.service.previews import preview_change
from billing.store.store import Row, Store
from billing.store.subscriptions import read_standing
from billing.store.tables import components, customers, plan_versions, plans, subscriptions
from billing.web import previews
from billing.web.previews import Act
from dashboard.engine import REFUSED, Account, Change, EngineProblem, Item, Previewed, Subscription
from tajdid.engine.explaining import lines_of_draft

MOST_SUBSCRIPTIONS = 50
_CUSTOMER = select(customers).where(customers.c.customer_id == bindparam("id"))
_OF_CUSTOMER = (
    select(subscriptions.c.subscription_id)
    .where(subscriptions.c.sold_to == bindparam("id"))
    .order_by(subscriptions.c.starts_on.desc(), subscriptions.c.subscription_id)
    .limit(MOST_SUBSCRIPTIONS)
)
_PLAN = (
    select(plans.c.name, plan_versions.c.interval)
    .join(plan_versions, plan_versions.c.plan_id == plans.c.plan_id)
    .where(plans.c.plan_id == bindparam("plan"), plan_versions.c.version == bindparam("version"))
)
_SEATS = select(components.c.component_id).where(
    components.c.plan_id == bindparam("plan"),
    components.c.plan_version == bindparam("version"),
    components.c.kind == "seat",
)


def noon(on: date, time_zone: str) -> datetime:
    """An instant of that day for the customer."""
    return datetime.combine(on, time(12), zone_of(time_zone))


def account_of(store: Store, customer_id: str, on: date) -> Account:
    """An account and its newest subscriptions as on a day. Raises `unknown_customer`."""
    row = store.row(_CUSTOMER, {"id": customer_id})
    if row is None:
        raise BillingError("unknown_customer", customer_id)
    at = noon(on, row["time_zone"])
    ids = [one["subscription_id"] for one in store.rows(_OF_CUSTOMER, {"id": customer_id})]
    return Account(
        customer_id=customer_id,
        name=row["name"],
        currency=row["currency"],
        overdue_state=row["overdue_state"],
        next_bill_on=row["next_bill_on"],
        parked_code=row["parked_code"],
        parked_detail=row["parked_detail"],
        subscriptions=tuple(
            _subscription(store, read_standing(store, at, one).subscription, on, row["currency"])
            for one in ids
        ),
    )


def _subscription(store: Store, held: Held, on: date, currency: str) -> Subscription:
    found = [(item, version) for item in held.items if (version := _current(item, on)) is not None]
    told = tuple(_item(store, item, version, currency) for item, version in found)
    main = next((version for item, version in found if not item.is_add_on), None)
    boundary = None
    if main is not None and (held.ends_on is None or held.ends_on > on):
        interval = _plan(store, main)["interval"]
        boundary = next_boundary(main.anchor_on, parse_interval(interval), max(on, held.billing_starts_on))
    return Subscription(
        subscription_id=held.subscription_id,
        status=held.status,
        starts_on=held.starts_on,
        ends_on=held.ends_on,
        next_boundary=boundary,
        items=told,
    )


def _current(item: HeldItem, on: date) -> ItemVersion | None:
    """What an item is on a day, or becomes after it; nothing for one that has ended."""
    if item.ended_on is not None and item.ended_on <= on:
        return None
    later = (version for version in item.versions if version.effective_start > on)
    return item.version_on(on) or next(later, None)


def _plan(store: Store, version: ItemVersion) -> Row:
    row = store.row(_PLAN, {"plan": version.plan_id, "version": version.plan_version})
    assert row is not None
    return row


def _item(store: Store, item: HeldItem, version: ItemVersion, currency: str) -> Item:
    plan = _plan(store, version)
    seats = store.row(_SEATS, {"plan": version.plan_id, "version": version.plan_version})
    return Item(
        item_id=item.item_id,
        plan_id=version.plan_id,
        plan_name=plan["name"],
        is_add_on=item.is_add_on,
        quantity=decimal(version.quantity),
        has_quantity=seats is not None,
        interval=plan["interval"],
        currency=currency,
        recurring_minor=version.recurring_minor,
    )


def drafts_of(store: Store, customer_id: str, on: date) -> pl.DataFrame:
    """What is due of a customer who pays and waits for its days of grace. Raises `unknown_customer`."""
    row = store.row(_CUSTOMER, {"id": customer_id})
    if row is None:
        raise BillingError("unknown_customer", customer_id)
    found = drafts(store, noon(on, row["time_zone"]), up_to=on, customer_id=customer_id).documents
    return found.select("issue_on", "currency", "lines", "total_minor", "credit_minor", "held")


# Previews.

_ACTS = {
    "quantity": "change_quantity",
    "plan": "change_plan",
    "pause": "pause",
    "resume": "resume",
    "cancel": "cancel",
    "add_on": "add_item",
    "remove": "remove_item",
}
"""The act of the engine by the word of the page."""
_GIVEN = {
    "quantity": ("quantity", "when"),
    "plan": ("plan_id", "when"),
    "pause": ("until",),
    "cancel": ("when",),
    "add_on": ("plan_id", "quantity"),
    "remove": ("when",),
}


def act_of(change: Change) -> Act:
    """The act of the engine that a change asks for. Raises `missing_value`, `unknown_setting`."""
    if change.act == "nothing":
        return lambda store, at: None
    if change.act not in _ACTS:
        raise BillingError("unknown_setting", f"act = {change.act!r}")
    arguments: dict[str, Any] = {name: getattr(change, name) for name in _GIVEN.get(change.act, ())}
    if change.act in ("quantity", "plan", "remove") and change.item_id:
        arguments["item_id"] = change.item_id
    elif change.act != "remove":
        arguments["subscription_id"] = change.subscription_id
    return previews.act_of(_ACTS[change.act], arguments)


_CUSTOMER_OF = (
    select(customers.c.customer_id, customers.c.time_zone)
    .join(subscriptions, subscriptions.c.sold_to == customers.c.customer_id)
    .where(subscriptions.c.subscription_id == bindparam("id"))
)


def previewed(store: Store, change: Change, language: str) -> Previewed:
    """What a change and the bill run up to a day would post; in a rehearsal, which takes it back. Raises what
    the act raises, and `unknown_subscription`."""
    row = store.row(_CUSTOMER_OF, {"id": change.subscription_id})
    if row is None:
        raise BillingError("unknown_subscription", change.subscription_id)
    if change.up_to < change.on:
        raise EngineProblem(REFUSED, "empty_period", f"{change.on} to {change.up_to}")
    at = noon(change.on, row["time_zone"])
    found = preview_change(
        store, at, act_of(change), customer_id=row["customer_id"], up_to=change.up_to, shows_held=True
    )
    currency = found.lines.group_by("document").agg(pl.col("currency").first())
    documents = found.documents.join(currency, on="document", how="left").sort("document")
    lines = tuple(
        (int(key[0]), str(rows.item(0, "currency")), line)
        for key, rows in sorted(found.lines.partition_by("document", as_dict=True).items())
        for line in lines_of_draft(store, rows.to_dicts(), language)
    )
    names = ("document", "currency", "net_minor", "tax_minor", "total_minor", "note_total_minor")
    return Previewed(
        documents=documents.select(names),
        lines=lines,
        refunds=found.refunds.select("payment_id", "amount_minor"),
        failures=_codes(found.failures),
        held=_codes(found.held),
    )


def _codes(rows: pl.DataFrame) -> pl.DataFrame:
    detail = pl.col("detail") if "detail" in rows.columns else pl.lit(None, pl.String)
    return rows.select("code", detail.alias("detail"))
