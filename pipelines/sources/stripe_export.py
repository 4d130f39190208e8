"""A Stripe export understood: objects of all kinds, what refers to what, and which rows are set aside.

A row is taken or set aside whole, with the objects inside it. Objects that more than one row tells of (a
price inside an item, a coupon inside a discount) are known from wherever they stand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pipelines.sources.columns import LINE_LIMIT
from pipelines.sources.stripe_cash import Cash
from pipelines.sources.stripe_discounts import Discounts, Run, runs
from pipelines.sources.stripe_documents import (
    CreditNote,
    DocumentLine,
    Invoice,
    NoteLine,
    balance_transaction,
    charge,
    credit_note,
    dispute,
    invoice,
    invoice_payment,
    note_line,
    refund,
    settled,
    settled_note,
)
from pipelines.sources.stripe_fields import Body, Reader, Refused, decimal, key, part, reference
from pipelines.sources.stripe_files import FIELDS, Row
from pipelines.sources.stripe_objects import (
    Customer,
    Item,
    Line,
    Price,
    Product,
    Subscription,
    coupon,
    customer,
    discount,
    discounts,
    item,
    line,
    price,
    product,
    subscription,
)
from pipelines.sources.stripe_versions import Proration, Snapshot, Stretch, Told, Version, versions


@dataclass(frozen=True)
class Given:
    """A row of a file, with the load it belongs to."""

    row: Row
    load_id: str

    @property
    def body(self) -> dict[str, Any]:
        return self.row.body


@dataclass(frozen=True)
class Reject:
    given: Given
    reason: str
    column: str

    @property
    def row_key(self) -> str | None:
        return reference(self.given.body, "id")

    @property
    def amount_minor(self) -> int | None:
        """The amount of the row, where it has one that can be told."""
        for name in ("total", "amount", "amount_paid"):
            try:
                value = decimal(self.given.body, name)
            except Refused:
                continue
            if value is not None and value == value.to_integral_value() and abs(value) <= LINE_LIMIT:
                return int(value)
        return None


@dataclass
class Export:
    """What the rows say, by id. Filled by `understood`."""

    read: Reader
    customers: dict[str, tuple[Customer, str]] = field(default_factory=dict)
    products: dict[str, tuple[Product, str]] = field(default_factory=dict)
    prices: dict[str, tuple[Price, str]] = field(default_factory=dict)
    invoices: dict[str, tuple[Invoice, list[DocumentLine], str]] = field(default_factory=dict)
    notes: dict[str, tuple[CreditNote, list[NoteLine], str]] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=lambda: defaultdict(Told))
    discounts: Discounts = field(default_factory=Discounts)
    cash: Cash = field(default_factory=Cash)
    versions: list[tuple[Version, str]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    billed_alone: int = 0
    unpriced_lines: int = 0

    def item_of(self, one: Line) -> str | None:
        """The item that a line bills; an older line names it by its subscription and price."""
        if one.item_id is not None or one.subscription_id is None or one.kind == "one_time":
            return one.item_id
        latest = self.told[one.subscription_id].latest if one.subscription_id in self.told else None
        for known in latest.items if latest else ():
            if known.price.price_id == one.price_id:
                return known.item_id
        return f"{one.subscription_id}/{one.price_id}"

    def price_of(self, one: Line) -> Price | None:
        return one.price or (self.prices[one.price_id][0] if one.price_id in self.prices else None)

    def kind_of(self, one: Line) -> str:
        found = self.price_of(one)
        return "usage" if one.kind == "recurring" and found is not None and found.is_metered else one.kind

    def failed_subscriptions(self) -> set[str]:
        """Subscriptions that ended because a payment failed."""
        return {one.subscription_id for one, _ in self.versions if one.end_cause == "involuntary"}


def understood(given: Mapping[str, Sequence[Given]], read: Reader) -> Export:
    """Understand the rows of an export, by kind. Rows that break a rule are among its `rejects`."""
    export = Export(read)
    _catalogue(export, given)
    _money(export, given)
    lines = _lines(export, given)
    documents = _invoices(export, given, lines)
    _notes(export, given, documents)
    _payments_of_invoices(export, given)
    _subscriptions(export, given)
    _events(export, given)
    _billed(export)
    _versions(export, given)
    _runs(export)
    return export


def _accepted(export: Export, given: Mapping[str, Sequence[Given]], kind: str) -> Iterator[Given]:
    """The rows of a kind that are the first of their id and no notice of a deletion."""
    seen: set[str] = set()
    for one in given.get(kind, ()):
        row_key = reference(one.body, "id")
        if one.body.get("deleted") is True:
            continue
        if row_key is None:
            export.rejects.append(Reject(one, "missing_key", "id"))
        elif row_key in seen:
            export.rejects.append(Reject(one, "duplicate_key", "id"))
        else:
            seen.add(row_key)
            yield one


def _each(
    export: Export,
    given: Mapping[str, Sequence[Given]],
    kind: str,
    take: Callable[[Body, Given], None],
) -> None:
    """Take every row of a kind; one that breaks a rule is set aside."""
    assert kind in FIELDS
    for one in _accepted(export, given, kind):
        try:
            take(one.body, one)
        except Refused as refused:
            export.rejects.append(Reject(one, refused.reason, refused.field))
        else:
            one.row.shorten()


def _catalogue(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    read = export.read

    def take_customer(body: Body, one: Given) -> None:
        found = customer(body, read)
        export.discounts.add(discounts(body, read), customer_id=found.customer_id)
        export.customers[found.customer_id] = found, one.load_id

    def take_product(body: Body, one: Given) -> None:
        found = product(body, read)
        export.products[found.product_id] = found, one.load_id

    def take_price(body: Body, one: Given) -> None:
        _know(export, price(body, read), one.load_id)

    def take_discount(body: Body, one: Given) -> None:
        found = discount(body, read)
        export.discounts.add([found])
        if export.discounts.coupon_of(found.discount_id) is None:
            raise Refused("unknown_reference" if found.coupon_id else "missing_key", "coupon")

    _each(export, given, "customer", take_customer)
    _each(export, given, "product", take_product)
    _each(export, given, "price", take_price)
    _each(export, given, "plan", take_price)
    _each(export, given, "coupon", lambda body, _: export.discounts.add_coupon(coupon(body, read)))
    _each(export, given, "discount", take_discount)


def _know(export: Export, found: Price, load_id: str) -> None:
    """Remember a price; one that tells its tiers or product is better than one that does not."""
    before = export.prices.get(found.price_id)
    if before is None or (found.tiers and not before[0].tiers):
        export.prices[found.price_id] = found, load_id


def _money(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    read, cash = export.read, export.cash

    def take_transaction(body: Body, one: Given) -> None:
        found = balance_transaction(body, read)
        cash.transactions[found.transaction_id] = found

    def take_charge(body: Body, one: Given) -> None:
        found = charge(body, read)
        cash.add(found, one.load_id)
        for inner in found.refunds:
            cash.refunds[inner.refund_id] = inner, one.load_id

    def take_refund(body: Body, one: Given) -> None:
        found = refund(body, read)
        if cash.payment_of(found.charge_id, found.payment_id) is None:
            raise Refused("unknown_reference", "charge")
        cash.refunds[found.refund_id] = found, one.load_id

    def take_dispute(body: Body, one: Given) -> None:
        found = dispute(body, read)
        if cash.payment_of(found.charge_id, found.payment_id) is None:
            raise Refused("unknown_reference", "charge")
        cash.disputes[found.dispute_id] = found, one.load_id

    _each(export, given, "balance_transaction", take_transaction)
    _each(export, given, "charge", take_charge)
    _each(export, given, "refund", take_refund)
    _each(export, given, "dispute", take_dispute)


def _lines(export: Export, given: Mapping[str, Sequence[Given]]) -> dict[str, list[tuple[Line, Given]]]:
    """The lines that have rows of their own, by invoice."""
    found: dict[str, list[tuple[Line, Given]]] = defaultdict(list)

    def take(body: Body, one: Given) -> None:
        read_line = line(body, export.read)
        found[read_line.invoice_id].append((read_line, one))

    _each(export, given, "line_item", take)
    return found


def _invoices(
    export: Export, given: Mapping[str, Sequence[Given]], lines: Mapping[str, list[tuple[Line, Given]]]
) -> set[str]:
    """Take the invoices with their lines; returns the ids of all that were taken, drafts with them."""
    read, taken = export.read, set[str]()

    def take(body: Body, one: Given) -> None:
        found = invoice(body, read)
        if found.is_issued:
            inside = {part_line.line_id for part_line in found.lines}
            own = [
                part_line
                for part_line, _ in lines.get(found.invoice_id, ())
                if part_line.line_id not in inside
            ]
            document = settled(found, [*found.lines, *own])
            export.invoices[found.invoice_id] = found, document, one.load_id
            export.discounts.add(found.discounts)
            for part_line in document:
                export.discounts.add(part_line.line.given)
                if part_line.line.price is not None:
                    _know(export, part_line.line.price, one.load_id)
        taken.add(found.invoice_id)

    _each(export, given, "invoice", take)
    for invoice_id, rows in lines.items():
        if invoice_id not in taken:
            export.rejects += [Reject(one, "unknown_reference", "invoice") for _, one in rows]
    return taken


def _notes(export: Export, given: Mapping[str, Sequence[Given]], invoices: set[str]) -> None:
    read = export.read
    lines: dict[str, list[tuple[NoteLine, Given]]] = defaultdict(list)

    def take_line(body: Body, one: Given) -> None:
        found = note_line(body, read)
        lines[found.note_id].append((found, one))

    taken = set[str]()

    def take(body: Body, one: Given) -> None:
        found = credit_note(body, read)
        if found.invoice_id not in invoices:
            raise Refused("unknown_reference", "invoice")
        inside = {part_line.line_id for part_line in found.lines}
        own = [part_line for part_line, _ in lines.get(found.note_id, ()) if part_line.line_id not in inside]
        document = settled_note(found, [*found.lines, *own])
        if not found.is_void and found.invoice_id in export.invoices:
            export.notes[found.note_id] = found, document, one.load_id
        taken.add(found.note_id)

    _each(export, given, "credit_note_line_item", take_line)
    _each(export, given, "credit_note", take)
    for note_id, rows in lines.items():
        if note_id not in taken:
            export.rejects += [Reject(one, "unknown_reference", "credit_note") for _, one in rows]


def _payments_of_invoices(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    def take(body: Body, one: Given) -> None:
        found = invoice_payment(body, export.read)
        if key(body, "invoice") not in export.invoices:
            raise Refused("unknown_reference", "invoice")
        if found is not None:
            export.cash.invoice_payments[found.invoice_id].append(found)

    _each(export, given, "invoice_payment", take)


def _subscriptions(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    read = export.read

    def take(body: Body, one: Given) -> None:
        found = subscription(body, read)
        told = export.told[found.subscription_id]
        told.latest, told.load_id = found, one.load_id
        _know_all(export, found, one.load_id)

    def take_item(body: Body, one: Given) -> None:
        found = item(body, read)
        told = export.told.get(key(body, "subscription"))
        if told is None or told.latest is None:
            raise Refused("unknown_reference", "subscription")
        _know(export, found.price, one.load_id)
        export.discounts.add(found.discounts, item_id=found.item_id)
        if all(known.item_id != found.item_id for known in told.latest.items):
            told.latest = _with_item(told.latest, found)

    _each(export, given, "subscription", take)
    _each(export, given, "subscription_item", take_item)


def _with_item(found: Subscription, added: Item) -> Subscription:
    """The subscription with an item that has a row of its own; its period is the subscription's too."""
    return replace(
        found,
        items=(*found.items, added),
        period_start=found.period_start or added.period_start,
        period_end=found.period_end or added.period_end,
    )


def _know_all(export: Export, found: Subscription, load_id: str) -> None:
    export.discounts.add(
        found.discounts, customer_id=found.customer_id, subscription_id=found.subscription_id
    )
    for part_item in found.items:
        _know(export, part_item.price, load_id)
        export.discounts.add(
            part_item.discounts,
            customer_id=found.customer_id,
            subscription_id=found.subscription_id,
            item_id=part_item.item_id,
        )


def _events(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
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
                _know_all(export, state, one.load_id)
            elif kind.startswith("customer.discount."):
                found = discount(thing, read)
                export.discounts.add([found])
                if kind == "customer.discount.deleted":
                    export.discounts.end(found.discount_id, day)
            else:
                export.cash.closings[dispute(thing, read).dispute_id] = day
        except Refused as refused:
            raise Refused(refused.reason, f"data.object.{refused.field}") from refused

    _each(export, given, "event", take)
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


def _billed(export: Export) -> None:
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


def _versions(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
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


def _runs(export: Export) -> None:
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
