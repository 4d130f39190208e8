"""Subscriptions as dated facts: which state they are in, and what a change writes.

An item's life is told by its live versions, which never overlap. A change supersedes the versions it
touches and writes new ones; nothing is updated. A change sets only the field it names, from its day on, also
in versions already scheduled for later. What the days cost is found later, by comparing with what was billed.

Who may act, which price list holds and what is saved are decided by the service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal, TypeAlias

from billing.core.calendar import Interval, next_boundary, parse_interval, period_containing
from billing.core.money import BillingError, Scaled, currency_exponent, post, ten_to
from billing.core.pricing import Price, rate

Status: TypeAlias = Literal["canceled", "scheduled", "suspended", "paused", "past_due", "trialing", "active"]
When: TypeAlias = Literal["now", "period_end"] | date

CANCEL_REASONS = (
    "too_expensive",
    "missing_features",
    "unused",
    "switched",
    "service",
    "closed_business",
    "other",
    "payment",
    "term_ended",
    "merge",
    "migration",
)
"""Why a subscription ended. `payment` is involuntary; `term_ended`, `merge`, `migration` are the engine's."""


@dataclass(frozen=True, slots=True)
class ItemVersion:
    """What an item was from `effective_start` to `effective_end` (None: without end); see `item_versions`."""

    version_id: str
    item_id: str
    effective_start: date
    effective_end: date | None
    plan_id: str
    plan_version: int
    list_id: str
    price_id: str
    choice_id: str
    quantity_mantissa: int
    quantity_scale: int
    discount_ids: str
    anchor_on: date
    phase: str
    pause: str | None
    reason: str
    recurring_minor: int
    committed_minimum_minor: int = 0
    ordered_mantissa: int | None = None
    ordered_scale: int | None = None
    ordered_unit: str | None = None

    @property
    def quantity(self) -> Scaled:
        return Scaled(self.quantity_mantissa, self.quantity_scale)

    def covers(self, on: date) -> bool:
        return self.effective_start <= on and (self.effective_end is None or on < self.effective_end)


@dataclass(frozen=True, slots=True)
class Item:
    """One subscribed plan or add-on and its live versions, by start."""

    item_id: str
    is_add_on: bool
    versions: tuple[ItemVersion, ...]
    ended_on: date | None = None
    """Its own end, once the subscription came back with other items."""

    def version_on(self, on: date) -> ItemVersion | None:
        """What the item is on a day; None where it has no service."""
        return next((version for version in self.versions if version.covers(on)), None)

    def paused_days(self, start: date, end: date) -> tuple[date, date | None]:
        """The days in one piece on which a customer pauses, once it does so from `start` to `end` too."""
        first, last = start, end
        own = [one for one in self.versions if one.pause == "customer"]
        for one in reversed(own):
            if one.effective_end == first:
                first = one.effective_start
        for one in own:
            if one.covers(last):
                if one.effective_end is None:
                    return first, None
                last = one.effective_end
        return first, last

    def is_open_after(self, on: date) -> bool:
        """Whether any service of this item is on or after the day."""
        return any(version.effective_end is None or version.effective_end > on for version in self.versions)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer's agreement as of one moment: its own facts and those of its items."""

    subscription_id: str
    contract_id: str | None
    sold_to: str
    bill_to: str
    ship_to: str
    anchor_on: date
    starts_on: date
    billing_starts_on: date
    ends_on: date | None
    trial_ends_on: date | None
    status: str
    cancel_requested_on: date | None
    cancel_reason: str | None
    was_in_dunning: bool
    on_cancel: str | None = None
    """What becomes of time paid beyond the end; None leaves it to the policy."""
    po_id: str | None = None
    terms_id: str | None = None
    method_id: str | None = None
    consolidation_group: str | None = None
    items: tuple[Item, ...] = ()

    @property
    def main_item(self) -> Item:
        """The newest item that is no add-on."""
        return [item for item in self.items if not item.is_add_on][-1]

    def item(self, item_id: str) -> Item:
        """Raises `unknown_item`."""
        for item in self.items:
            if item.item_id == item_id:
                return item
        raise BillingError("unknown_item", f"{item_id} is no item of {self.subscription_id}")

    def is_canceled(self, on: date) -> bool:
        return self.ends_on is not None and on >= self.ends_on

    def open_items(self, on: date) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.is_open_after(on))


def status(
    on: date,
    *,
    starts_on: date,
    ends_on: date | None,
    trial_ends_on: date | None,
    pause: str | None,
    is_in_dunning: bool,
) -> Status:
    """The state on a day, in the order that decides: canceled, scheduled, suspended, paused, past_due,
    trialing, active. `pause` is that of the version of the day."""
    if ends_on is not None and on >= ends_on:
        return "canceled"
    if on < starts_on:
        return "scheduled"
    if pause is not None:
        return "suspended" if pause == "overdue" else "paused"
    if is_in_dunning:
        return "past_due"
    if trial_ends_on is not None and on < trial_ends_on:
        return "trialing"
    return "active"


def status_of(subscription: Subscription, on: date, *, is_in_dunning: bool) -> Status:
    """The state of a subscription on a day, its pause read from its main item."""
    version = subscription.main_item.version_on(on)
    return status(
        on,
        starts_on=subscription.starts_on,
        ends_on=subscription.ends_on,
        trial_ends_on=subscription.trial_ends_on,
        pause=version.pause if version else None,
        is_in_dunning=is_in_dunning,
    )


# Dated changes.

Edit: TypeAlias = Callable[[ItemVersion], ItemVersion]


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of an item writes: versions that no longer hold, and those that do instead."""

    superseded: tuple[ItemVersion, ...]
    written: tuple[ItemVersion, ...]

    @property
    def is_empty(self) -> bool:
        return not self.superseded and not self.written


NOTHING = Change((), ())


def change_versions(
    versions: Sequence[ItemVersion],
    start: date,
    end: date | None,
    edit: Edit,
    *,
    reason: str,
    new_id: Callable[[], str],
    is_new_fact: bool = False,
) -> Change:
    """Edit what an item is in `[start, end)`.

    A version that lies across a bound is cut there. The piece that begins at `start` carries `reason`; what
    was scheduled for later keeps its own. A version the edit leaves as it is stays, unless `is_new_fact`
    asks for a row of its own (a renewal on unchanged terms). A change undone on its own day thus supersedes
    the first change: no interval is left of it.
    """
    superseded: list[ItemVersion] = []
    written: list[ItemVersion] = []
    for version in versions:
        edited_from, edited_to = _overlap(version, start, end)
        if edited_from is None:
            continue
        edited = edit(version)
        if edited == version and not is_new_fact:
            continue
        superseded.append(version)
        if version.effective_start < edited_from:
            written.append(replace(version, version_id=new_id(), effective_end=edited_from))
        written.append(
            replace(
                edited,
                version_id=new_id(),
                effective_start=edited_from,
                effective_end=edited_to,
                reason=reason if edited_from == start else version.reason,
            )
        )
        if edited_to is not None and edited_to != version.effective_end:
            written.append(replace(version, version_id=new_id(), effective_start=edited_to))
    return Change(tuple(superseded), tuple(written))


def _overlap(version: ItemVersion, start: date, end: date | None) -> tuple[date | None, date | None]:
    """The days of a version in `[start, end)`; (None, None) for none."""
    first = max(version.effective_start, start)
    ends = [bound for bound in (version.effective_end, end) if bound is not None]
    last = min(ends) if ends else None
    return (first, last) if last is None or first < last else (None, None)


def end_versions(versions: Sequence[ItemVersion], on: date, *, new_id: Callable[[], str]) -> Change:
    """Let an item's service end on a day: later versions fall away, the one across the day is cut."""
    superseded = [v for v in versions if v.effective_end is None or v.effective_end > on]
    written = [
        replace(version, version_id=new_id(), effective_end=on)
        for version in superseded
        if version.effective_start < on
    ]
    return Change(tuple(superseded), tuple(written))


def after_change(versions: Sequence[ItemVersion], change: Change) -> tuple[ItemVersion, ...]:
    """The live versions once a change is written. Raises `version_overlap`."""
    gone = {version.version_id for version in change.superseded}
    live = [version for version in versions if version.version_id not in gone] + list(change.written)
    live.sort(key=lambda version: version.effective_start)
    for before, after in pairwise(live):
        if before.effective_end is None or before.effective_end > after.effective_start:
            raise BillingError("version_overlap", f"{before.version_id} and {after.version_id}")
    return tuple(live)


def first_difference(change: Change) -> date | None:
    """The first day on which a change makes an item other than it was; None where it changes nothing."""
    before = {_terms_from_start(version): version.effective_end for version in change.superseded}
    days = []
    for version in change.written:
        terms = _terms_from_start(version)
        if terms not in before:
            days.append(version.effective_start)
            continue
        ends = {before.pop(terms), version.effective_end}
        if len(ends) > 1:
            days.append(min(end for end in ends if end is not None))
    days += [start.effective_start for start in before]
    return min(days, default=None)


def _terms_from_start(version: ItemVersion) -> ItemVersion:
    """What a version says but for its end, its cause and its name."""
    return replace(version, version_id="", effective_end=None, reason="")


# Amounts and days that decide between kinds of change.


@dataclass(frozen=True, slots=True)
class PricedComponent:
    """A component of a plan version with the price chosen for it. `kind`: fee, seat, usage. The minimum and
    maximum spend bound what a whole interval costs."""

    component_id: str
    kind: str
    price_id: str
    price: Price
    minimum_minor: int | None = None
    maximum_minor: int | None = None


def recurring_minor(components: Sequence[PricedComponent], quantity: Scaled, currency: str) -> int:
    """What one whole interval costs before discounts and tax: fees and seats, each posted, usage left out."""
    minor_per_major = ten_to(currency_exponent(currency))
    total = 0
    for component in components:
        if component.kind == "usage":
            continue
        rated = rate(component.price, Scaled(1, 0) if component.kind == "fee" else quantity)
        amount_minor = post(rated.num * minor_per_major, rated.den)
        if component.maximum_minor is not None:
            amount_minor = min(amount_minor, component.maximum_minor)
        total += max(amount_minor, component.minimum_minor or 0)
    return total


def yearly_amount(amount_minor: int, interval: str) -> tuple[int, int]:
    """An interval's amount as an exact yearly one, num and den: months count 12 a year, days 365."""
    length = parse_interval(interval)
    return (amount_minor * 12, length.months) if length.months else (amount_minor * 365, length.days)


def is_downgrade(old_minor: int, old_interval: str, new_minor: int, new_interval: str) -> bool:
    """Whether the yearly amount falls. Equal amounts are an upgrade."""
    old, old_den = yearly_amount(old_minor, old_interval)
    new, new_den = yearly_amount(new_minor, new_interval)
    return new * old_den < old * new_den


def change_day(when: When, today: date, anchor_on: date, interval: Interval) -> date:
    """The day a change acts: today, the first boundary after today, or the day that was named."""
    if when == "now":
        return today
    if when == "period_end":
        return next_boundary(anchor_on, interval, today)
    if isinstance(when, date):
        return when
    raise BillingError("unknown_setting", f"when = {when!r}: now, period_end or a date")


def anchor_after_change(setting: str, old_anchor: date, old_interval: Interval, on: date) -> date:
    """The anchor of a new interval that starts on a day, by `interval_anchor`: keep, reset (that day), or
    billing_day (the last boundary on or before it)."""
    if setting == "reset":
        return on
    if setting == "billing_day":
        return period_containing(old_anchor, old_interval, on).start
    return old_anchor


def trial_end(starts_on: date, trial_days: int) -> date | None:
    """The first day after a trial, None without one. Raises `date_out_of_range`."""
    if not trial_days:
        return None
    try:
        return starts_on + timedelta(days=trial_days)
    except OverflowError:
        raise BillingError("date_out_of_range", f"{starts_on} and {trial_days} days of trial") from None


def turning_day(subscription: Subscription, on: date) -> date | None:
    """The next day after `on` on which time alone may change the state."""
    days = [subscription.starts_on, subscription.trial_ends_on, subscription.ends_on]
    for version in subscription.main_item.versions:
        days += [version.effective_start, version.effective_end]
    ahead = [day for day in days if day is not None and day > on]
    return None if subscription.is_canceled(on) else min(ahead, default=None)
