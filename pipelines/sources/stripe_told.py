"""What a Stripe export tells of subscriptions: their objects, their events, and the lines that billed them.

Of the states of one day the last counts. A discount that a state names and the next one does not was taken
away that day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pipelines.sources.stripe_discounts import runs
from pipelines.sources.stripe_documents import (
    DocumentLine,
    dispute,
)
from pipelines.sources.stripe_fields import Body, Refused, key, part, reference
from pipelines.sources.stripe_history import Proration, Snapshot, Stretch, Told
from pipelines.sources.stripe_known import Export, Given, Reject, each, know
from pipelines.sources.stripe_objects import (
    Item,
    Subscription,
    discount,
    item,
    subscription,
)
from pipelines.sources.stripe_versions import versions


def take_subscriptions(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    read = export.read

    def take(body: Body, one: Given) -> None:
        found = subscription(body, read)
        told = export.told[found.subscription_id]
        told.latest, told.load_id = found, one.load_id
        _take_in(export, found, one.load_id)

    def take_item(body: Body, one: Given) -> None:
        found = item(body, read)
        told = export.told.get(key(body, "subscription"))
        if told is None or told.latest is None:
            raise Refused("unknown_reference", "subscription")
        know(export, found.price, one.load_id)
        export.discounts.add(found.discounts, item_id=found.item_id)
        if all(known.item_id != found.item_id for known in told.latest.items):
            told.latest = _with_item(told.latest, found)

    each(export, given, "subscription", take)
    each(export, given, "subscription_item", take_item)


def _with_item(found: Subscription, added: Item) -> Subscription:
    """The subscription with an item that has a row of its own; its period is the subscription's too."""
    return replace(
        found,
        items=(*found.items, added),
        period_start=found.period_start or added.period_start,
        period_end=found.period_end or added.period_end,
    )


def _take_in(export: Export, found: Subscription, load_id: str) -> None:
    export.discounts.add(
        found.discounts, customer_id=found.customer_id, subscription_id=found.subscription_id
    )
    for part_item in found.items:
        know(export, part_item.price, load_id)
        export.discounts.add(
            part_item.discounts,
            customer_id=found.customer_id,
            subscription_id=found.subscription_id,
            item_id=part_item.item_id,
        )


def take_events(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    """Take the events in the order of their time; of the states of one day the last counts."""
    read = export.read
    states: dict[str, list[tuple[tuple[Any, str], Snapshot, str]]] = defaultdict(list)

    def take(body: Body, one: Given) -> None:
        moment, event_id = read.created(body), key(body)
        kind, data = body.get("type"), part(body, "data")
        if not isinstance(kind, str):
            raise Refused("missing_key", "type")
        thing, day = part(data, "object"), read.day(moment)
        try:
            if kind.startswith("customer.subscription."):
                state = subscription(thing, read)
                earlier = part(data, "previous_attributes")
                before = subscription(_earlier(thing, earlier), read) if earlier else None
                snapshot = Snapshot(day, state, before, kind == "customer.subscription.created")
                states[state.subscription_id].append(((moment, event_id), snapshot, one.load_id))
                _take_in(export, state, one.load_id)
            elif kind.startswith("customer.discount."):
                found = discount(thing, read)
                export.discounts.add([found])
                if kind == "customer.discount.deleted":
                    export.discounts.end(found.discount_id, day)
            else:
                export.cash.closings[dispute(thing, read).dispute_id] = day
        except Refused as refused:
            raise Refused(refused.reason, f"data.object.{refused.field}") from refused

    each(export, given, "event", take)
    for subscription_id, found_states in states.items():
        told = export.told[subscription_id]
        found_states.sort(key=lambda one: one[0])
        by_day: dict[date, Snapshot] = {}
        for _, snapshot, load_id in found_states:
            earlier_that_day = by_day.get(snapshot.day)
            if earlier_that_day is not None:
                snapshot = replace(
                    snapshot,
                    before=earlier_that_day.before,
                    is_first=snapshot.is_first or earlier_that_day.is_first,
                )
            by_day[snapshot.day] = snapshot
            told.load_id = told.load_id or load_id
        told.snapshots = list(by_day.values())
        _end_discounts(export, told.snapshots)


def _earlier(thing: Body, changed: Body) -> Body:
    """The object as it was before an event: what changed is laid over it."""
    merged = dict(thing)
    for name, value in changed.items():
        now = merged.get(name)
        merged[name] = {**now, **value} if isinstance(now, dict) and isinstance(value, dict) else value
    items = thing.get("items")
    if "items" not in changed and isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict):
        only = dict(items[0])
        if changed.get("quantity") is not None:
            only["quantity"] = changed["quantity"]
        if isinstance(changed.get("plan"), dict):
            only.pop("price", None)
            only["plan"] = {**part(thing, "plan"), **changed["plan"]}
        merged["items"] = [only]
    return merged


def _end_discounts(export: Export, snapshots: Sequence[Snapshot]) -> None:
    """A discount that a state names and the next one does not was taken away that day."""
    for before, after in pairwise(snapshots):
        for discount_id in _named(before.state) - _named(after.state):
            export.discounts.end(discount_id, after.day)


def _named(state: Subscription) -> set[str]:
    given = [*state.discounts, *(one for part_item in state.items for one in part_item.discounts)]
    return {one if isinstance(one, str) else one.discount_id for one in given}


def take_billed_lines(export: Export) -> None:
    """What the lines of invoices say of subscriptions: stretches, and prorations."""
    for document, lines, load_id in export.invoices.values():
        if document.status == "void":
            continue
        groups: dict[tuple[str, date, date], list[DocumentLine]] = defaultdict(list)
        for one in lines:
            source, item_id = one.line, export.item_of(one.line)
            if item_id is None or source.subscription_id is None or source.starts_on is None:
                continue
            if source.kind == "proration":
                export.told[source.subscription_id].prorations.append(
                    Proration(item_id, source.starts_on, source.price_id, source.quantity, source.amount < 0)
                )
            elif (
                export.kind_of(source) == "recurring" and source.ends_on and source.ends_on > source.starts_on
            ):
                groups[item_id, source.starts_on, source.ends_on].append(one)
        for (item_id, starts_on, ends_on), same in groups.items():
            found = export.price_of(same[0].line)
            if found is None or found.interval is None:
                export.unpriced_lines += len(same)
                continue
            subscription_id = same[0].line.subscription_id
            assert subscription_id is not None
            gross = sum(one.line.amount for one in same)
            paid = sum(one.line.amount - one.discount_minor for one in same)
            inside = sum(one.line.amount - one.discount_minor - one.net_minor for one in same)
            export.told[subscription_id].stretches.append(
                Stretch(
                    item_id,
                    subscription_id,
                    document.customer_id,
                    starts_on,
                    ends_on,
                    found,
                    sum((one.line.quantity or Decimal(0) for one in same), Decimal(0))
                    if any(one.line.quantity is not None for one in same)
                    else Decimal(1),
                    gross,
                    Fraction(paid - inside, paid) if inside and paid else Fraction(1),
                    document.status != "uncollectible",
                    document.invoice_id,
                    load_id,
                )
            )


def work_out_versions(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    rows: dict[str, Given] = {}
    for one in given.get("subscription", ()):
        rows.setdefault(reference(one.body, "id") or "", one)
    refused_rows = {id(one.given) for one in export.rejects}
    for subscription_id in sorted(export.told):
        told = export.told[subscription_id]
        row = rows.get(subscription_id)
        if told.latest is None and row is not None and id(row) in refused_rows:
            continue
        try:
            found = versions(told)
        except Refused as refused:
            cause = row or _row_behind(given, subscription_id, told)
            export.rejects.append(Reject(cause, refused.reason, refused.field))
            continue
        is_alone = told.latest is None and not told.snapshots
        export.billed_alone += is_alone and bool(found)
        load_ids = {one.item_id: one.load_id for one in told.stretches} if is_alone else {}
        export.versions += [(one, load_ids.get(one.item_id, told.load_id)) for one in found]


def _row_behind(given: Mapping[str, Sequence[Given]], subscription_id: str, told: Told) -> Given:
    """What tells of a subscription without an object: its newest event, else the newest invoice."""
    if told.snapshots:
        of_it = [
            one
            for one in given["event"]
            if reference(part(part(one.body, "data"), "object"), "id") == subscription_id
        ]
    else:
        newest = max(told.stretches, key=lambda one: (one.starts_on, one.invoice_id)).invoice_id
        of_it = [one for one in given["invoice"] if reference(one.body, "id") == newest]
    return max(of_it, key=lambda one: str(one.body.get("created")))


def work_out_discounts(export: Export) -> None:
    by_id = {(one.item_id, one.starts_on): one for told in export.told.values() for one in told.stretches}
    taken = []
    for _, lines, _ in export.invoices.values():
        for one in lines:
            item_id = export.item_of(one.line)
            if item_id is None or one.line.starts_on is None or export.kind_of(one.line) != "recurring":
                continue
            stretch = by_id.get((item_id, one.line.starts_on))
            if stretch is None:
                continue
            named = [*one.line.discounts] or [(None, 0)]
            taken += [(discount_id, stretch, minor) for discount_id, minor in named]
    export.runs = runs(export.discounts, [one for one, _ in export.versions], taken)
