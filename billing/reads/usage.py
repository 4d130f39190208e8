"""Usage: the events taken in, what they come to so far, and the inputs that were refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, exists, or_, select

from billing.core.calendar import local_date, next_boundary, parse_interval
from billing.core.money import BillingError, Scaled
from billing.jobs.bill_run import preview
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    customers,
    item_versions,
    items,
    meters,
    plan_versions,
    rejected_inputs,
    resolved_inputs,
    subscriptions,
    usage_events,
)

_EVENTS = select(
    *(column for column in usage_events.c if column.name != "payload_hash"),
    meters.c.scale,
).join(meters, meters.c.meter_id == usage_events.c.meter_id)


def events_of_item(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    item_id: str,
    meter_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """The events of an item's meter in [since, until), as they happened. `value_mantissa` is at `scale`."""
    asked = _EVENTS.where(
        *scope.where(usage_events.c.customer_id),
        usage_events.c.item_id == item_id,
        usage_events.c.meter_id == meter_id,
    )
    if since is not None:
        asked = asked.where(usage_events.c.occurred_at >= since)
    if until is not None:
        asked = asked.where(usage_events.c.occurred_at < until)
    keys = [usage_events.c.occurred_at, usage_events.c.source, usage_events.c.event_id]
    return page(store, asked, keys, after=after, limit=limit)


def unbilled_events(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    customer_id: str,
    reason: str | None = None,
) -> Page:
    """The events of a customer that nothing bills, by source and id; `reason`: only those of this
    `unbilled_reason`."""
    asked = _EVENTS.where(
        *scope.where(usage_events.c.customer_id),
        usage_events.c.customer_id == customer_id,
        usage_events.c.unbilled_reason.is_not(None),
    )
    if reason is not None:
        asked = asked.where(usage_events.c.unbilled_reason == reason)
    keys = [usage_events.c.source, usage_events.c.event_id]
    return page(store, asked, keys, after=after, limit=limit)


_EVENT = _EVENTS.where(
    usage_events.c.source == bindparam("source"), usage_events.c.event_id == bindparam("id")
)


def event(store: Store, scope: Scope, *, source: str, event_id: str) -> Row | None:
    """One event; None where there is none in the scope."""
    row = store.row(_EVENT, {"source": source, "id": event_id})
    return row if row is not None and scope.holds(row["customer_id"]) else None


_OWNERS = select(items.c.item_id, items.c.customer_id.label("owner"))


def within_scope(store: Store, scope: Scope, own_id: str, events: pl.DataFrame) -> pl.DataFrame:
    """Events for `import_usage` with `customer_id` set such that it takes none for items outside the scope,
    which to it are items nobody knows. `own_id`: a customer of the scope. The store is in a transaction."""
    if scope.ids is None:
        return events
    with store.temporary(events.select("item_id").drop_nulls().unique()) as given:
        owners = store.frame(_OWNERS.join(given, given.c.item_id == items.c.item_id))
    owners = owners.filter(pl.col("owner").is_in(sorted(scope.ids)))
    told = pl.col("customer_id") if "customer_id" in events.columns else pl.lit(None, pl.String)
    is_ours = pl.col("owner").is_not_null()
    customer_id = pl.when(is_ours).then(pl.coalesce(told, "owner")).otherwise(pl.lit(own_id))
    joined = events.join(owners, on="item_id", how="left", maintain_order="left")
    return joined.with_columns(customer_id.alias("customer_id")).drop("owner")


# Usage so far.


@dataclass(frozen=True, slots=True)
class Used:
    """What an item used of a component in a period, and what it comes to by now: before tax and document
    discounts, less what was billed of it before its end."""

    item_id: str
    component_id: str
    meter_id: str | None
    service_start: date
    service_end: date
    quantity: Scaled
    currency: str
    net_minor: int
    description: str


_CUSTOMER = select(customers.c.time_zone).where(customers.c.customer_id == bindparam("id"))
_METERED = (
    select(
        item_versions.c.anchor_on,
        plan_versions.c.interval,
        subscriptions.c.billing_starts_on,
    )
    .join(items, items.c.item_id == item_versions.c.item_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(
        plan_versions,
        (plan_versions.c.plan_id == item_versions.c.plan_id)
        & (plan_versions.c.version == item_versions.c.plan_version),
    )
    .where(
        items.c.customer_id == bindparam("id"),
        item_versions.c.superseded_at.is_(None),
        item_versions.c.effective_start <= bindparam("today"),
        or_(
            item_versions.c.effective_end.is_(None),
            item_versions.c.effective_end > bindparam("today"),
        ),
        exists().where(
            components.c.plan_id == item_versions.c.plan_id,
            components.c.plan_version == item_versions.c.plan_version,
            components.c.meter_id.is_not(None),
        ),
    )
)
_METERS = select(components.c.component_id, components.c.meter_id).where(
    components.c.component_id.in_(bindparam("ids", expanding=True))
)


def so_far(store: Store, at: datetime, scope: Scope, *, customer_id: str) -> list[Used] | None:
    """What a customer used in the periods that run and in those that are not billed yet, as bill runs would
    post it at their ends if nothing more came; None where there is no such customer in the scope.

    Usage that is billed is not part of it. The store works in temporary tables, so lend it one that
    rehearses. Raises what would set the customer aside.
    """
    row = store.row(_CUSTOMER, {"id": customer_id})
    if row is None or not scope.holds(customer_id):
        return None
    today = local_date(at, row["time_zone"])
    ends = [
        next_boundary(one["anchor_on"], parse_interval(one["interval"]), max(today, one["billing_starts_on"]))
        for one in store.rows(_METERED, {"id": customer_id, "today": today})
    ]
    with store.transaction():
        found = preview(store, at, customer_id=customer_id, up_to=max([today, *ends]), shows_held=True)
    for failure in found.failures.filter(customer_id=customer_id).iter_rows(named=True):
        raise BillingError(failure["code"], failure["detail"] or "")
    lines = (
        found.lines.filter(pl.col("service_start") <= today, customer_id=customer_id, kind="usage")
        .filter(entry="charge")
        .sort("item_id", "service_start", "component_id")
    )
    ids = lines["component_id"].unique().to_list()
    of = {one["component_id"]: one["meter_id"] for one in store.rows(_METERS, {"ids": ids})}
    return [
        Used(
            item_id=line["item_id"],
            component_id=line["component_id"],
            meter_id=of.get(line["component_id"]),
            service_start=line["service_start"],
            service_end=line["service_end"],
            quantity=Scaled(line["quantity_mantissa"], line["quantity_scale"]),
            currency=line["currency"],
            net_minor=line["net_minor"],
            description=line["description"],
        )
        for line in lines.iter_rows(named=True)
    ]


# What was refused.


def rejected(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    source: str | None = None,
    code: str | None = None,
    is_open: bool | None = None,
) -> Page:
    """Refused inputs with the code, as they were sent, by their key; of the whole merchant alone, as nobody
    can say whose they are. `source`: the act or import that refused them; `is_open`: whether they were not
    taken in since."""
    was_resolved = exists().where(resolved_inputs.c.reject_id == rejected_inputs.c.reject_id)
    asked = select(rejected_inputs, was_resolved.label("is_resolved"))
    if scope.ids is not None:
        return Page([])
    if source is not None:
        asked = asked.where(rejected_inputs.c.source == source)
    if code is not None:
        asked = asked.where(rejected_inputs.c.code == code)
    if is_open is not None:
        asked = asked.where(~was_resolved if is_open else was_resolved)
    return page(store, asked, [rejected_inputs.c.reject_id], after=after, limit=limit)
