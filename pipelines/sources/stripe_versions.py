"""The versions of a subscription's items: what it cost, how much of it, and in which status, day by day.

A subscription object tells its state, not its history. What was before is told, in this order, by the events
of the subscription, each with the whole state of its moment, and by the recurring lines that were billed,
prorations aside; a state that is told by such lines alone is marked as rebuilt. A state holds from the first
day it is told for until another one is told. When a line shows another state than the one before it and a
proration charged that very price and quantity earlier, the change was on the proration's day.

The status of a day follows from the days that an object names (start, trial, end) and from its status. A
collection is paused from the first day that is not paid for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipelines.sources.periods import INTERVALS, MRR_LIMIT
from pipelines.sources.stripe_fields import Refused, posted
from pipelines.sources.stripe_history import Proration, Stretch, Told, Version
from pipelines.sources.stripe_objects import Item, Price, Subscription

PAYMENT_FAILED = "payment_failed"
YEAR = 12
"""Months from which on an interval is a term, which is renewed."""


@dataclass(frozen=True)
class _State:
    """A price and quantity of an item; None in a claim says that the item is no more."""

    price: Price
    quantity: Decimal
    amount_minor: int

    @property
    def what(self) -> tuple[str, Decimal, int]:
        return self.price.price_id, self.quantity, self.amount_minor


@dataclass(frozen=True)
class _Claim:
    day: date
    state: _State | None
    is_rebuilt: bool


@dataclass(frozen=True)
class _Segment:
    """A stretch of days that one state of the subscription governs. Its status holds from `since`, its pause
    from `paused_from`."""

    day: date
    state: Subscription
    since: date
    paused_from: date | None


def versions(told: Told) -> list[Version]:
    """The versions of all items of a subscription, in the order of items and days.

    Raises Refused when an amount can't be told, or is absurd.
    """
    if told.latest is None and not told.snapshots:
        return _billed_alone(told.stretches)
    segments = _segments(told)
    found: list[Version] = []
    if not _item_ids(told):
        raise Refused("missing_key", "items")
    for item_id in _item_ids(told):
        found += _item_versions(item_id, told, segments)
    return found


def _item_ids(told: Told) -> list[str]:
    states = [told.latest, *(part for one in told.snapshots for part in (one.before, one.state))]
    ids = [item.item_id for state in states if state for item in state.items]
    return sorted({*ids, *(stretch.item_id for stretch in told.stretches)})


# The life of the subscription


def _segments(told: Told) -> list[_Segment]:
    """The states that govern, in the order of their days; the first one governs the days before it too."""
    states: list[tuple[date | None, Subscription]] = []
    for number, snapshot in enumerate(told.snapshots):
        if number == 0 and snapshot.before is not None:
            states.append((None, snapshot.before))
        day = None if number == 0 and snapshot.is_first else snapshot.day
        if states and states[-1][0] == day:
            states.pop()
        states.append((day, snapshot.state))
    latest = told.latest
    if latest is not None and not states:
        states.append((None, latest))
    elif latest is not None and states[-1][1].status not in ("canceled", "incomplete_expired"):
        # The object is newer than the events, unless these tell of the end.
        day, last = states[-1]
        if _life(last) == _life(latest):
            states[-1] = (day, latest)
        else:
            begins = max(filter(None, (day, latest.period_start, latest.starts_on)))
            states.append((min(begins, latest.ends_on) if latest.ends_on else begins, latest))
    segments: list[_Segment] = []
    paused_from: date | None = None
    for day, state in states:
        since = day or state.starts_on
        if day is None and state.status in ("past_due", "unpaid"):
            since = state.period_start or state.starts_on
        if not state.is_collection_paused:
            paused_from = None
        elif paused_from is None:
            paused_from = _first_unpaid_day(told, state, day)
        segments.append(_Segment(day or state.starts_on, state, since, paused_from))
    return segments


def _life(state: Subscription) -> tuple[object, ...]:
    return state.status, state.ends_on, state.trial_end, state.is_collection_paused, state.resumes_on


def _first_unpaid_day(told: Told, state: Subscription, day: date | None) -> date:
    collected = [stretch for stretch in told.stretches if stretch.is_collected]
    if day is None:
        known = max((stretch.ends_on for stretch in collected), default=None)
        return known or state.period_start or state.starts_on
    return max((one.ends_on for one in collected if one.starts_on <= day < one.ends_on), default=day)


def _governing(segments: Sequence[_Segment], day: date) -> _Segment:
    found = segments[0]
    for segment in segments:
        if segment.day <= day:
            found = segment
    return found


def _status(segments: Sequence[_Segment], day: date) -> str | None:
    """The status of a day; None on a day before the subscription."""
    segment = _governing(segments, day)
    state = segment.state
    if day < state.starts_on:
        return None
    if state.ends_on is not None and day >= state.ends_on:
        return "canceled"
    if state.status in ("incomplete", "incomplete_expired"):
        return "incomplete"
    if state.trial_start is not None and state.trial_end is not None:
        if state.trial_start <= day < state.trial_end:
            return "trialing"
    elif state.status == "trialing":
        return "trialing"
    if state.status == "paused":
        return "paused"
    is_paused = segment.paused_from is not None and day >= segment.paused_from
    if is_paused and (state.resumes_on is None or day < state.resumes_on):
        return "paused"
    if state.status in ("past_due", "unpaid") and day >= segment.since:
        return state.status
    return "active"


def _days_of_life(segments: Sequence[_Segment]) -> Iterable[date | None]:
    for one in segments:
        state = one.state
        yield from (one.day, one.since, one.paused_from, state.starts_on, state.trial_start)
        yield from (state.trial_end, state.ends_on, state.resumes_on)


# The states of an item


def _item_versions(item_id: str, told: Told, segments: Sequence[_Segment]) -> list[Version]:
    stretches = sorted(
        (one for one in told.stretches if one.item_id == item_id),
        key=lambda one: (one.starts_on, one.ends_on),
    )
    claims = _claims(item_id, told, stretches)
    if not claims:
        return []
    last = segments[-1].state
    begins = _begins(item_id, told, stretches)
    claims[0] = replace(claims[0], day=min(claims[0].day, begins))
    terms = [one for one in stretches if _months(one.price) >= YEAR and not one.is_trial]
    cuts = {claims[0].day, *(claim.day for claim in claims), *(one.starts_on for one in terms)}
    cuts |= {day for day in _days_of_life(segments) if day is not None}
    newest = [claim.state for claim in claims if claim.state is not None][-1]
    if _months(newest.price) >= YEAR and last.period_start is not None:
        cuts.add(last.period_start)
    found: list[Version] = []
    for day, until in _pairs(sorted(day for day in cuts if day >= claims[0].day)):
        claim = [one for one in claims if one.day <= day][-1]
        status = _status(segments, day)
        if status is None or (claim.state is None and not found):
            continue
        if claim.state is None:
            status = "canceled"
        governing = _governing(segments, day).state
        state = claim.state or _State(found[-1].price, found[-1].quantity, found[-1].amount_minor)
        term = _term(state.price, day, terms, governing) if status != "canceled" else None
        version = Version(
            item_id,
            governing.subscription_id,
            governing.customer_id,
            state.price,
            state.quantity,
            state.amount_minor,
            status,
            day,
            until,
            term[0] if term else None,
            term[1] if term else None,
            governing.auto_renews if term else None,
            governing.trial_end if status == "trialing" else None,
            None,
            None,
            None,
            claim.is_rebuilt,
        )
        if found and _continues(found[-1], version):
            version = replace(
                version,
                valid_from=found[-1].valid_from,
                is_rebuilt=found[-1].is_rebuilt and version.is_rebuilt,
            )
            found.pop()
        found.append(version)
    return _ended(found, last, claims[-1].state is None)


def _pairs(days: list[date]) -> list[tuple[date, date | None]]:
    return list(zip(days, [*days[1:], None], strict=True))


def _continues(before: Version, after: Version) -> bool:
    same = replace(before, valid_from=after.valid_from, valid_to=after.valid_to, is_rebuilt=after.is_rebuilt)
    return before.valid_to == after.valid_from and same == after


def _ended(found: list[Version], last: Subscription, is_removed: bool) -> list[Version]:
    """Say on the last version of service why it ends, and since when that was asked for."""
    service = [number for number, one in enumerate(found) if one.status != "canceled"]
    if not service or found[service[-1]].valid_to is None:
        return found
    number = service[-1]
    is_failed = last.reason == PAYMENT_FAILED
    if is_removed and found[number].valid_to != last.ends_on:
        found[number] = replace(found[number], end_cause="voluntary")
    elif found[number].status != "incomplete":
        found[number] = replace(
            found[number],
            cancel_requested_on=None if is_failed else last.canceled_on,
            cancel_reason="payment" if is_failed else last.feedback or last.reason,
            end_cause="involuntary" if is_failed else "voluntary",
        )
    return found


def _begins(item_id: str, told: Told, stretches: Sequence[Stretch]) -> date:
    """The first day of an item: the earliest that an object or a line tells."""
    days = [
        _added_on(item, state) for state in _states(told) for item in state.items if item.item_id == item_id
    ]
    return min([*days, *(one.starts_on for one in stretches)])


def _added_on(item: Item, subscription: Subscription) -> date:
    """An item began with its subscription, unless it was added to it later."""
    if item.created_on is None or item.created_on <= subscription.created_on:
        return subscription.starts_on
    return item.created_on


def _states(told: Told) -> list[Subscription]:
    states = [part for one in told.snapshots for part in (one.before, one.state) if part is not None]
    return [*states, told.latest] if told.latest is not None else states


def _claims(item_id: str, told: Told, stretches: Sequence[Stretch]) -> list[_Claim]:
    """What is told of an item's state, in the order of days: the last one told for a day counts."""
    prorations = [one for one in told.prorations if one.item_id == item_id]
    first_event = told.snapshots[0] if told.snapshots else None
    claims: list[_Claim] = []
    for stretch in stretches:
        if first_event is not None and (first_event.is_first or stretch.starts_on >= first_event.day):
            continue
        state = _billed_state(stretch)
        if not _is_new(claims, state):
            continue
        before = max((one.starts_on for one in stretches if one.starts_on < stretch.starts_on), default=None)
        day = _changed_on(state, prorations, before, stretch.starts_on) or stretch.starts_on
        claims = [*(one for one in claims if one.day < day), _Claim(day, state, True)]
    if first_event is not None and first_event.before is not None:
        claims = _with_undated(claims, item_id, first_event.before, told, stretches, prorations)
    for snapshot in told.snapshots:
        state_then = _state_of(item_id, snapshot.state, told, stretches)
        if state_then is None and not claims:
            continue
        claims = [*(one for one in claims if one.day < snapshot.day), _Claim(snapshot.day, state_then, False)]
    last = told.latest
    if last is not None and (
        not told.snapshots or told.snapshots[-1].state.status not in ("canceled", "incomplete_expired")
    ):
        claims = _with_undated(claims, item_id, last, told, stretches, prorations)
    return claims


def _with_undated(
    claims: list[_Claim],
    item_id: str,
    subscription: Subscription,
    told: Told,
    stretches: Sequence[Stretch],
    prorations: Sequence[Proration],
) -> list[_Claim]:
    """Add a state that is told without the day it began on."""
    state = _state_of(item_id, subscription, told, stretches)
    if state is None:
        if not claims or claims[-1].state is None:
            return claims
        day = max(_removed_on(stretches, prorations) or claims[-1].day, claims[-1].day)
        return [*claims, _Claim(day, None, False)]
    if not _is_new(claims, state):
        return [*claims[:-1], replace(claims[-1], is_rebuilt=False)]
    item = next(one for one in subscription.items if one.item_id == item_id)
    period_start = item.period_start or subscription.period_start
    if not claims or period_start is None:
        day = claims[-1].day if claims else _added_on(item, subscription)
    else:
        before = max([claims[-1].day, *(one.starts_on for one in stretches)])
        day = _changed_on(state, prorations, before, None) or max(period_start, claims[-1].day)
    return [*(one for one in claims if one.day < day), _Claim(day, state, False)]


def _is_new(claims: Sequence[_Claim], state: _State) -> bool:
    return not claims or claims[-1].state is None or claims[-1].state.what != state.what


def _changed_on(
    state: _State, prorations: Sequence[Proration], before: date | None, shown_on: date | None
) -> date | None:
    """The day a state began on that a line shows first: that of the proration which charged it since the line
    before, or `shown_on`."""
    days = [
        one.on
        for one in prorations
        if not one.is_credit
        and one.price_id == state.price.price_id
        and one.quantity == state.quantity
        and before is not None
        and before <= one.on
        and (shown_on is None or one.on <= shown_on)
    ]
    return max(days, default=shown_on)


def _removed_on(stretches: Sequence[Stretch], prorations: Sequence[Proration]) -> date | None:
    """The day an item went: that of the credit for its rest, else the end of what was billed."""
    charged = {one.on for one in prorations if not one.is_credit}
    credited = max((one.on for one in prorations if one.is_credit and one.on not in charged), default=None)
    billed = stretches[-1] if stretches else None
    if credited is not None and (billed is None or credited >= billed.starts_on):
        return credited
    return billed.ends_on if billed else None


def _billed_state(stretch: Stretch) -> _State:
    price, quantity = stretch.price, stretch.quantity
    value = (
        price.recurring(quantity) if price.unit is not None or price.is_metered or stretch.is_trial else None
    )
    if value is None:
        value = Fraction(stretch.amount)
    return _State(price, quantity, _bounded(price, posted(value * stretch.net_share)))


def _state_of(
    item_id: str, subscription: Subscription, told: Told, stretches: Sequence[Stretch]
) -> _State | None:
    item = next((one for one in subscription.items if one.item_id == item_id), None)
    return None if item is None else _State(item.price, item.quantity, _amount(item, told, stretches))


def _amount(item: Item, told: Told, stretches: Sequence[Stretch]) -> int:
    """The recurring amount of an item: of its price, or where tiers decide, what was billed for as much."""
    price, quantity = item.price, item.quantity
    share = stretches[-1].net_share if stretches else Fraction(1)
    value = price.recurring(quantity)
    if price.unit is None and not price.is_metered:
        billed = [
            one
            for one in [*told.stretches, *stretches]
            if one.price.price_id == price.price_id and one.quantity == quantity and not one.is_trial
        ]
        if billed:
            value, share = Fraction(billed[-1].amount), billed[-1].net_share
    if value is None:
        raise Refused("bad_amount", "items.price.unit_amount")
    return _bounded(price, posted(value * share))


def _bounded(price: Price, minor: int) -> int:
    months, parts = INTERVALS[price.interval or "month"]
    if minor * months >= MRR_LIMIT * parts * price.interval_count:
        raise Refused("too_large", "items.price.unit_amount")
    return minor


# Terms


def _months(price: Price) -> int:
    return {"month": 1, "year": YEAR}.get(price.interval or "", 0) * price.interval_count


def _term(price: Price, day: date, terms: Sequence[Stretch], state: Subscription) -> tuple[date, date] | None:
    """The term of a day, where the price is one of a year or more: what was billed, else the period."""
    if _months(price) < YEAR:
        return None
    billed = [one for one in terms if one.starts_on <= day < one.ends_on]
    if billed:
        return billed[-1].starts_on, billed[-1].ends_on
    if state.period_start is not None and state.period_end is not None:
        return (
            (state.period_start, state.period_end) if state.period_start <= day < state.period_end else None
        )
    return None


# Subscriptions that only invoices tell of


def _billed_alone(stretches: Sequence[Stretch]) -> list[Version]:
    """What was billed was served, and no day beyond it is known."""
    found: list[Version] = []
    ordered = sorted(stretches, key=lambda one: (one.item_id, one.starts_on, one.ends_on))
    for stretch in ordered:
        before = found[-1] if found and found[-1].item_id == stretch.item_id else None
        starts_on = stretch.starts_on
        if before is not None and before.valid_to is not None and before.valid_to > starts_on:
            if before.valid_from >= starts_on:
                found.pop()
            else:
                found[-1] = before = replace(before, valid_to=starts_on)
        if starts_on >= stretch.ends_on:
            continue
        state = _billed_state(stretch)
        is_term = _months(stretch.price) >= YEAR and not stretch.is_trial
        version = Version(
            stretch.item_id,
            stretch.subscription_id,
            stretch.customer_id,
            state.price,
            state.quantity,
            state.amount_minor,
            "trialing" if stretch.is_trial else "active",
            starts_on,
            stretch.ends_on,
            starts_on if is_term else None,
            stretch.ends_on if is_term else None,
            None,
            stretch.ends_on if stretch.is_trial else None,
            None,
            None,
            None,
            True,
        )
        if found and found[-1].item_id == stretch.item_id and _continues(found[-1], version):
            version = replace(version, valid_from=found[-1].valid_from)
            found.pop()
        found.append(version)
    return found
