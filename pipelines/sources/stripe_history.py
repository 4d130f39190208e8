"""What a Stripe export tells of a subscription over time, and the versions that follow from it, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipelines.sources.stripe_objects import Price, Subscription


@dataclass(frozen=True)
class Stretch:
    """What a recurring line billed: days, price, quantity, and the amount before discounts and tax.

    `net_share` is what a tax inside the price leaves of it.
    """

    item_id: str
    subscription_id: str
    customer_id: str
    starts_on: date
    ends_on: date
    price: Price
    quantity: Decimal
    amount: int
    net_share: Fraction
    is_collected: bool
    invoice_id: str
    load_id: str

    @property
    def is_trial(self) -> bool:
        return self.amount == 0 and self.price.recurring(self.quantity) not in (0, None)


@dataclass(frozen=True)
class Proration:
    """The charge (or, where is_credit, the credit) for the rest of a period from a day of change on."""

    item_id: str
    on: date
    price_id: str | None
    quantity: Decimal | None
    is_credit: bool


@dataclass(frozen=True)
class Snapshot:
    """A subscription's state from a day on, as an event tells it; `before` is what the event says was
    before it, `is_first` that it tells of the subscription's creation."""

    day: date
    state: Subscription
    before: Subscription | None
    is_first: bool


@dataclass
class Told:
    """All that an export tells of one subscription."""

    latest: Subscription | None = None
    snapshots: list[Snapshot] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    prorations: list[Proration] = field(default_factory=list)
    load_id: str = ""


@dataclass(frozen=True)
class Version:
    """One row of subscription_versions, before it has its number."""

    item_id: str
    subscription_id: str
    customer_id: str
    price: Price
    quantity: Decimal
    amount_minor: int
    status: str
    valid_from: date
    valid_to: date | None
    term_start: date | None
    term_end: date | None
    auto_renew: bool | None
    trial_end_on: date | None
    cancel_requested_on: date | None
    cancel_reason: str | None
    end_cause: str | None
    is_rebuilt: bool
