"""The discounts of a Stripe export, a row for each item that one covers.

A coupon is given to an item, to a subscription with all its items, or to a customer; the last one counts for
subscriptions without a discount of their own in that time. A fixed amount is taken from an invoice, so it is
shared over the items of a subscription that it covers. A discount of which only the billed lines tell is
rebuilt from what they took off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from pipelines.sources.stripe_fields import posted
from pipelines.sources.stripe_history import Stretch, Version
from pipelines.sources.stripe_objects import Coupon, Discount

FOR_EVER = date.max


@dataclass(frozen=True)
class Run:
    """One row of raw_billing.discounts, but for its place among the discounts of its item."""

    discount_id: str
    item_id: str
    percent_ppm: int | None
    amount_minor: int | None
    currency: str | None
    duration: str
    valid_from: date
    valid_to: date | None
    level: int


class Discounts:
    """What an export tells of discounts, wherever it does: by id, with the coupon and the last day known."""

    def __init__(self) -> None:
        self._known: dict[str, Discount] = {}
        self._coupons: dict[str, Coupon] = {}
        self._ended: dict[str, date] = {}

    def add_coupon(self, coupon: Coupon) -> None:
        self._coupons[coupon.coupon_id] = coupon

    def add(
        self,
        given: Iterable[Discount | str],
        *,
        customer_id: str | None = None,
        subscription_id: str | None = None,
        item_id: str | None = None,
    ) -> None:
        """Take in the discounts of an owner: whole ones, or ids of those that are told elsewhere too."""
        for one in given:
            found = (
                Discount(one, None, None, None, None, None, None, None, False)
                if isinstance(one, str)
                else one
            )
            before = self._known.get(found.discount_id, found)
            self._known[found.discount_id] = Discount(
                found.discount_id,
                found.coupon or before.coupon,
                found.coupon_id or before.coupon_id,
                found.starts_on or before.starts_on,
                found.ends_on or before.ends_on,
                found.customer_id or before.customer_id or customer_id,
                found.subscription_id or before.subscription_id or subscription_id,
                found.item_id or before.item_id or item_id,
                found.is_of_invoice or before.is_of_invoice,
            )

    def end(self, discount_id: str, day: date) -> None:
        """A discount that was taken away ends that day."""
        self._ended[discount_id] = min(day, self._ended.get(discount_id, day))

    def coupon_of(self, discount_id: str | None) -> Coupon | None:
        found = self._known.get(discount_id or "")
        if found is None:
            return None
        return found.coupon or self._coupons.get(found.coupon_id or "")

    def whole(self) -> list[tuple[Discount, Coupon]]:
        """The discounts of which the coupon and the first day are known, in the order of their ids."""
        found = []
        for discount_id in sorted(self._known):
            one, coupon = self._known[discount_id], self.coupon_of(discount_id)
            if coupon is None or one.starts_on is None or one.is_of_invoice:
                continue
            ended = self._ended.get(discount_id)
            ends_on = min(filter(None, (one.ends_on, ended)), default=None)
            found.append((replace(one, ends_on=ends_on), coupon))
        return found


def runs(
    discounts: Discounts,
    versions: Sequence[Version],
    taken: Iterable[tuple[str | None, Stretch, int]],
) -> list[Run]:
    """The runs of all discounts. `taken`: discount id (or none), stretch and amount of recurring lines."""
    items: dict[str, list[Version]] = defaultdict(list)
    for version in versions:
        if version.status != "canceled":
            items[version.item_id].append(version)
    of_subscription: dict[str, list[str]] = defaultdict(list)
    of_customer: dict[str, set[str]] = defaultdict(set)
    for item_id, lives in items.items():
        of_subscription[lives[0].subscription_id].append(item_id)
        of_customer[lives[0].customer_id].add(lives[0].subscription_id)
    whole = discounts.whole()
    own: dict[str, list[tuple[date, date]]] = defaultdict(list)
    for one, coupon in whole:
        if one.subscription_id is not None and one.item_id is None:
            own[one.subscription_id].append(_days(one, coupon))
    found: list[Run] = []
    for one, coupon in whole:
        if one.item_id is not None:
            groups = [[one.item_id] if one.item_id in items else []]
        elif one.subscription_id is not None:
            groups = [of_subscription.get(one.subscription_id, [])]
        else:
            first, last = _days(one, coupon)
            groups = [
                of_subscription[subscription_id]
                for subscription_id in sorted(of_customer.get(one.customer_id or "", ()))
                if not any(first < until and start < last for start, until in own[subscription_id])
            ]
        for group in groups:
            found += _runs_of(one, coupon, sorted(group), items)
    return found + _rebuilt({one.discount_id for one, _ in whole}, taken)


def numbered(found: Iterable[Run]) -> list[tuple[Run, int]]:
    """Each run with its place in the order in which the discounts of its item are taken off."""
    ordered = sorted(found, key=lambda one: (one.item_id, one.level, one.valid_from, one.discount_id))
    places: dict[str, int] = defaultdict(int)
    result = []
    for one in ordered:
        places[one.item_id] += 1
        result.append((one, places[one.item_id]))
    return result


def _days(one: Discount, coupon: Coupon) -> tuple[date, date]:
    assert one.starts_on is not None
    end = one.ends_on
    if end is None and coupon.duration == "repeating":
        end = after(one.starts_on, "month", coupon.months or 1)
    return one.starts_on, end or FOR_EVER


def _runs_of(
    one: Discount, coupon: Coupon, group: Sequence[str], items: Mapping[str, list[Version]]
) -> list[Run]:
    """The runs of a discount on items that one invoice bills."""
    start, end = _days(one, coupon)
    covered = []
    for item_id in group:
        lives = [life for life in items[item_id] if life.valid_from < end and (life.valid_to or end) > start]
        if coupon.products:
            lives = [life for life in lives if life.price.product and life.price.plan_id in coupon.products]
        if lives:
            covered.append((item_id, lives[0]))
    shares: list[int | None] = [None] * len(covered)
    if coupon.amount_off is not None:
        shares = list(_shared(coupon.amount_off, [life.amount_minor for _, life in covered]))
    found = []
    for (item_id, life), share in zip(covered, shares, strict=True):
        until = end
        if coupon.duration == "once":
            interval = life.price.interval or "month"
            until = min(end, after(max(start, life.valid_from), interval, life.price.interval_count))
        found.append(
            Run(
                one.discount_id,
                item_id,
                coupon.percent_ppm,
                share,
                coupon.currency if share is not None else None,
                coupon.duration,
                start,
                None if until == FOR_EVER else max(until, start),
                0 if one.item_id else 1 if one.subscription_id else 2,
            )
        )
    return found


def _shared(total: int, weights: Sequence[int]) -> list[int]:
    """Parts of a fixed amount by weight: whole parts, then one more to the largest remainders."""
    weight = sum(weights)
    if weight == 0:
        return [total if place == 0 else 0 for place in range(len(weights))]
    shares = [total * one // weight for one in weights]
    rests = sorted(range(len(weights)), key=lambda place: (-(total * weights[place] % weight), place))
    for place in rests[: total - sum(shares)]:
        shares[place] += 1
    return shares


def after(start: date, interval: str, count: int) -> date:
    """The day that many intervals later; the last of its month where the day is not in it."""
    if interval in ("day", "week"):
        return start + timedelta(days=count * (7 if interval == "week" else 1))
    months = start.year * 12 + start.month - 1 + count * (12 if interval == "year" else 1)
    first = date(months // 12, months % 12 + 1, 1)
    following = date((months + 1) // 12, (months + 1) % 12 + 1, 1)
    return first.replace(day=min(start.day, (following - first).days))


def _rebuilt(known: set[str], taken: Iterable[tuple[str | None, Stretch, int]]) -> list[Run]:
    """What lines took off for discounts that nothing else tells of. One that a single line names, while a
    later line of the item names none, was taken once."""
    by_discount: dict[tuple[str, str], list[tuple[Stretch, int]]] = defaultdict(list)
    last_days: dict[str, date] = {}
    for discount_id, stretch, minor in taken:
        last_days[stretch.item_id] = max(stretch.starts_on, last_days.get(stretch.item_id, stretch.starts_on))
        if discount_id is not None and discount_id not in known and minor > 0:
            by_discount[discount_id, stretch.item_id].append((stretch, minor))
    found: list[Run] = []
    for (discount_id, item_id), lines in sorted(by_discount.items()):
        lines.sort(key=lambda one: one[0].starts_on)
        is_once = len(lines) == 1 and last_days[item_id] > lines[0][0].starts_on
        runs_here: list[Run] = []
        for stretch, gross in lines:
            minor = posted(gross * stretch.net_share)
            before = runs_here[-1] if runs_here else None
            if before and before.valid_to == stretch.starts_on and before.amount_minor == minor:
                runs_here[-1] = replace(before, valid_to=stretch.ends_on)
                continue
            runs_here.append(
                Run(
                    discount_id if before is None else f"{discount_id} {stretch.starts_on}",
                    item_id,
                    None,
                    minor,
                    stretch.price.currency,
                    "once" if is_once else "repeating",
                    stretch.starts_on,
                    stretch.ends_on,
                    3,
                )
            )
        found += runs_here
    return found
