"""What is known of a Stripe export while it is being understood: objects by id, and rows set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.sources.columns import LINE_LIMIT
from pipelines.sources.stripe_cash import Cash
from pipelines.sources.stripe_discounts import Discounts, Run
from pipelines.sources.stripe_documents import (
    CreditNote,
    DocumentLine,
    Invoice,
    NoteLine,
)
from pipelines.sources.stripe_fields import Body, Reader, Refused, decimal, reference
from pipelines.sources.stripe_files import Row
from pipelines.sources.stripe_history import Told, Version
from pipelines.sources.stripe_objects import (
    Customer,
    Line,
    Price,
    Product,
)
from pipelines.sources.stripe_shapes import FIELDS


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


def _accepted(export: Export, given: Mapping[str, Sequence[Given]], kind: str) -> Iterator[Given]:
    """The rows of a kind that are the first of their id and no notice of a deletion."""
    seen: set[str] = set()
    for one in given.get(kind, ()):
        row_key = reference(one.body, "id")
        if str(one.body.get("deleted")).lower() == "true":
            continue
        if row_key is None:
            export.rejects.append(Reject(one, "missing_key", "id"))
        elif row_key in seen:
            export.rejects.append(Reject(one, "duplicate_key", "id"))
        else:
            seen.add(row_key)
            yield one


def each(
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


def know(export: Export, found: Price, load_id: str) -> None:
    """Remember a price; one that tells its tiers or product is better than one that does not."""
    before = export.prices.get(found.price_id)
    if before is None or (found.tiers and not before[0].tiers):
        export.prices[found.price_id] = found, load_id
