"""How each kind of analytics case becomes rows of a world, and which mart answers what it expects.

A kind takes every key it understands from `given`; what is left over makes the case unsupported. An answer
holds at least the expected keys; where a mapping must hold nothing else it is an Exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from pipelines.compiled import execute_after
from pipelines.sources.loading import currency_exponents
from tajdid.conformance.analytics_world import (
    CURRENCIES,
    MOVEMENTS,
    Answers,
    World,
    first_day,
    last_day,
    month_of,
    months_later,
)
from tajdid.conformance.billing_form import Given, Unsupported

METRICS = {
    "mrr": "mrr",
    "arr": "arr",
    "list_mrr": "list_mrr",
    "trial_mrr": "trial_mrr",
    "committed_mrr": "committed_mrr",
    "arpa": "arpa",
    "asp_new": "asp_new",
    "customers": "customers",
    "growth": "mrr_growth",
    "nrr": "nrr_1m",
    "grr": "grr_1m",
    "gross_mrr_churn_rate": "gross_mrr_churn",
    "net_mrr_churn_rate": "net_mrr_churn",
    "quick_ratio": "quick_ratio",
    "weighted_grr": "grr_1m",
}
"""What a case calls a figure, and its id in the registry."""

LONG_AGO = date(2000, 1, 1)
START = "2024-01"
"""A month for cases that name none."""


class Exactly(dict[str, Any]):
    """A mapping in which what is not expected must be zero, and what is not there is zero."""


class Case(Given):
    """What a case gives, with a look at a key that leaves it to be taken."""

    def peek(self, key: str) -> Any:
        return self._values.get(key)


def number(value: Any, what: str) -> Fraction:
    """A number of the file, exact. Raises Unsupported for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unsupported(f"{what} is no number")
    return Fraction(value)


def day(value: Any, what: str) -> date:
    if not isinstance(value, str):
        raise Unsupported(f"{what} is no day")
    return date.fromisoformat(value)


def optional_day(given: Given, key: str) -> date | None:
    value = given.take(key)
    return None if value is None else day(value, key)


def named_days(values: Any) -> list[date]:
    """All days and months (as their last day) that a part of a case names, keys included."""
    if isinstance(values, Mapping):
        return [found for key, value in values.items() for part in (key, value) for found in named_days(part)]
    if isinstance(values, list):
        return [found for value in values for found in named_days(value)]
    if isinstance(values, str):
        try:
            return [date.fromisoformat(values)] if len(values) == 10 else [last_day(values)]
        except ValueError:
            return []
    return []


def price(given: Given, name: str = "amount") -> dict[str, Any]:
    """The keys of a price: amount of one unit and interval, of how many units and intervals."""
    quantity = given.take("quantity", 1)
    interval = given.take("interval", "month")
    count = given.take("interval_count", 1)
    if interval not in ("day", "week", "month", "year", "one_time", None):
        raise Unsupported(f"interval {interval!r}")
    if not isinstance(quantity, int) or not isinstance(count, int):
        raise Unsupported("a quantity or interval_count that is no whole number")
    return {
        "amount": number(given.need(name), name) * quantity,
        "interval": interval,
        "interval_count": count,
        "quantity": quantity,
    }


def discounts(given: Given, world: World, item_id: str, start: date, end: date | None) -> None:
    """The discounts of a subscription: one over its whole life, or a list with days of their own."""
    percent = given.take("discount_percent")
    duration = given.take("discount_duration", "forever")
    if percent is not None:
        world.discount(item_id, number(percent, "discount_percent"), None, _duration(duration), start, end)
    for one in given.each("discounts"):
        one.drop("ref", "name")
        share, amount = one.take("percent"), one.take("amount")
        world.discount(
            item_id,
            None if share is None else number(share, "percent"),
            None if amount is None else number(amount, "amount"),
            _duration(one.take("duration", "forever")),
            optional_day(one, "start") or start,
            optional_day(one, "end") or end,
        )
        one.done()


def _duration(value: Any) -> str:
    if value not in ("once", "repeating", "forever"):
        raise Unsupported(f"discount duration {value!r}")
    return str(value)


def subscription(given: Given, world: World, start: date = LONG_AGO, customer: str | None = None) -> str:
    """One subscription with its price, days, discounts and end; a customer of its own unless one is named."""
    given.drop("ref", "name", "id")
    named = given.take("customer")
    item_id = world.item(customer if named is None else str(named))
    begins = optional_day(given, "start") or start
    ends = optional_day(given, "end")
    world.version(
        item_id,
        start=begins,
        end=ends,
        cancel_requested_on=optional_day(given, "cancel_asked"),
        end_cause=given.take("end_cause"),
        **price(given),
    )
    discounts(given, world, item_id, begins, ends)
    given.done()
    return item_id


def figures(world: World, expect: Mapping[str, Any], as_of: date) -> dict[str, Any]:
    """The named metrics: by month where the case expects months, else of the as-of month."""
    answers = world.run(as_of, "fct_metric_values")
    found: dict[str, Any] = {}
    for name, expected in expect.items():
        if name not in METRICS:
            continue
        metric = METRICS[name]
        if isinstance(expected, Mapping):
            found[name] = {month: answers.metric(metric, month) for month in expected}
        else:
            found[name] = answers.metric(metric, month_of(as_of))
    return found


# The kinds.


def normalise(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    subscription(given, world, first_day(START))
    return figures(world, expect, last_day(START))


def normalise_list(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    amounts = given.need("amounts")
    interval = {key: given.take(key) for key in ("interval", "interval_count", "quantity") if key in given}
    items = [
        subscription(Given({"amount": amount, **interval}, "given.amounts"), world, first_day(START))
        for amount in amounts
    ]
    answers = world.run(last_day(START), "fct_mrr_spells")
    rates = dict(answers.rows("SELECT customer_id, mrr_native FROM marts.fct_mrr_spells"))
    return {"mrr": [answers.major(rates.get(f"customer of {item}", Decimal(0))) for item in items]}


def mrr_total(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    named = named_days([expect, given.peek("subscriptions")])
    for line in given.each("lines"):
        count = line.take("subscribers", 1)
        shared = {key: line.take(key) for key in sorted(line.keys())}
        for _ in range(count):
            subscription(Given(shared, line.path), world, first_day(START))
    for one in given.each("subscriptions"):
        subscription(one, world, first_day(START))
    return figures(world, expect, max([last_day(START), *map(_month_end, named)]))


def ratio(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    for one in given.each("customers"):
        subscription(one, world, first_day(START))
    return figures(world, expect, last_day(START))


def movements(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    if "before" in given or "after" in given:
        return _swap(given, world)
    named = named_days([given.peek("periods"), given.peek("subscriptions"), expect])
    _periods(given.each("periods"), world)
    for one in given.each("subscriptions"):
        subscription(one, world, first_day(START))
    as_of = max(map(_month_end, named))
    answers = world.run(as_of, "fct_metric_values", "fct_mrr_movements")
    events = [
        {"day": on.isoformat(), "customer": customer, "movement": movement, "amount": amount}
        for on, customer, movement, amount in answers.events()
    ]
    return {
        **figures(world, expect, as_of),
        "months": _months(answers.movements(), expect.get("months")),
        "events": _in_expected_order(events, expect.get("events")),
    }


def _months(happened: Mapping[str, Mapping[str, Fraction]], expected: Any) -> Exactly:
    """Movements by month. Raises Unsupported for a movement no month can have."""
    for change in expected.values() if isinstance(expected, Mapping) else ():
        unknown = sorted(set(change) - {*MOVEMENTS, "fx_impact"})
        if unknown:
            raise Unsupported(f"movement {', '.join(map(repr, unknown))}")
    return Exactly({month: Exactly(change) for month, change in happened.items()})


def _periods(periods: Sequence[Given], world: World) -> None:
    """Stretches of days at one MRR; a customer's are versions of one subscription unless they overlap."""
    read: list[tuple[str, date, date | None, Fraction]] = []
    for period in periods:
        period.drop("ref", "subscription", "plan")
        rate = number(period.need("mrr"), "mrr")
        begins, ends = day(period.need("start"), "start"), optional_day(period, "end")
        read.append((str(period.take("customer", f"customer {len(read)}")), begins, ends, rate))
        period.done()
    running: list[tuple[str, str, date | None]] = []
    for customer, begins, ends, rate in sorted(read, key=lambda one: (one[0], one[1])):
        free = [one for one in running if one[0] == customer and one[2] is not None and one[2] <= begins]
        if free:
            running.remove(free[0])
        item_id = free[0][1] if free else world.item(customer)
        running.append((customer, item_id, ends))
        world.version(item_id, rate, begins, ends)


def _swap(given: Given, world: World) -> dict[str, Any]:
    """One subscription ends and another begins that day: what this adds and removes, list and net."""
    changed_on = first_day(months_later(START, 1))
    percent = given.take("discount_percent")
    for side, begins, ends in (("before", first_day(START), changed_on), ("after", changed_on, None)):
        value = given.need(side)
        one = Given(value if isinstance(value, Mapping) else {"list_mrr": value}, f"given.{side}")
        item_id = world.item("customer")
        world.version(item_id, number(one.need("list_mrr"), "list_mrr"), begins, ends)
        own = one.take("discount_percent", percent)
        if own is not None:
            world.discount(item_id, number(own, "discount_percent"), None, "forever", begins, ends)
        one.done()
    answers = world.run(last_day(month_of(changed_on)), "fct_mrr_movements")
    rows = answers.rows(
        "SELECT subscription_item_id, coalesce(sum(delta_native) FILTER (WHERE measure = 'mrr'), 0), "
        "coalesce(sum(delta_native) FILTER (WHERE measure IN ('mrr', 'discount')), 0) "
        "FROM marts.fct_mrr_movements WHERE movement_on = ? GROUP BY subscription_item_id",
        changed_on,
    )
    net = [answers.major(row[1]) for row in rows]
    listed = [answers.major(row[2]) for row in rows]
    return {
        "list_added": sum((one for one in listed if one > 0), Fraction(0)),
        "list_removed": sum((one for one in listed if one < 0), Fraction(0)),
        "net_added": sum((one for one in net if one > 0), Fraction(0)),
        "net_removed": sum((one for one in net if one < 0), Fraction(0)),
        "net_delta": sum(net, Fraction(0)),
    }


def rates(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    month = months_later(START, 1)
    if "customers" in given:
        for one in given.each("customers"):
            one.drop("ref", "customer", "name")
            _change(world, number(one.take("start", 0), "start"), number(one.take("end", 0), "end"), month)
            one.done()
        return figures(world, expect, last_day(month))
    start, end = given.take("start_mrr"), given.take("end_mrr")
    sizes = {name: number(given.take(name), name) for name in MOVEMENTS if name in given}
    needs_start = set(expect) - {"quick_ratio"}
    if needs_start and start is None:
        raise Unsupported("start_mrr is missing")
    if not sizes and end is not None:
        if set(expect) - {"growth"}:
            raise Unsupported("rates of customers from totals alone")
        _change(world, number(start, "start_mrr"), number(end, "end_mrr"), month)
        return figures(world, expect, last_day(month))
    opening = None if start is None else number(start, "start_mrr")
    if opening is None:
        opening = (
            2 * sum((sizes.get(name, Fraction(0)) for name in ("churn", "contraction")), Fraction(0)) + 1
        )
    gains = sum((sizes.get(name, Fraction(0)) for name in ("new", "expansion", "reactivation")), Fraction(0))
    losses = sum((sizes.get(name, Fraction(0)) for name in ("churn", "contraction")), Fraction(0))
    if end is not None and number(end, "end_mrr") != opening + gains - losses:
        raise Unsupported("end_mrr that is not start_mrr and the movements")
    _bridge(world, opening, [sizes], month)
    return figures(world, expect, last_day(month))


def _change(world: World, start: Fraction, end: Fraction, month: str) -> None:
    """A customer that pays one rate until a month and another from it on."""
    item_id = world.item()
    if start:
        world.version(item_id, start, LONG_AGO, first_day(month))
    if end:
        world.version(item_id, end, first_day(month))


def _bridge(
    world: World, start: Fraction, months: Sequence[Mapping[str, Fraction]], first_month: str
) -> None:
    """Customers whose movements are exactly these sizes: those who leave stand apart from those who change.

    Raises Unsupported where no set of customers can move like this.
    """
    least = Fraction(1, 100)
    shrinking = sum((sizes.get("contraction", Fraction(0)) for sizes in months), Fraction(0))
    grows = any(sizes.get("expansion") for sizes in months)
    # money that is free to leave: since when, how much
    reserved = (shrinking + least if shrinking else Fraction(0)) + (least if grows else Fraction(0))
    free = [(LONG_AGO, start - reserved)]
    if start < reserved:
        raise Unsupported("losses or growth that the opening cannot hold")
    for number_, sizes in enumerate(months):
        begins = first_day(months_later(first_month, number_))
        leaving = sizes.get("churn", Fraction(0))
        for position, (since, amount) in enumerate(free):
            part = min(leaving, amount)
            if part:
                world.version(world.item(), part, since, begins)
                free[position] = (since, amount - part)
                leaving -= part
        if leaving:
            raise Unsupported("losses or growth that the opening cannot hold")
        if sizes.get("new"):
            free.append((begins, sizes["new"]))
        if sizes.get("reactivation"):
            item_id = world.item()
            world.version(item_id, sizes["reactivation"], LONG_AGO, first_day(months_later(first_month, -2)))
            world.version(item_id, sizes["reactivation"], begins)
    steady = free[0][1]
    for since, amount in free[1:]:
        if amount:
            world.version(world.item(), amount, since)
    for movement, sign, balance in (
        ("contraction", -1, shrinking + least if shrinking else Fraction(0)),
        ("expansion", 1, steady + (least if grows else Fraction(0))),
    ):
        item_id, since = world.item(), LONG_AGO
        for number_, sizes in enumerate(months):
            if sizes.get(movement):
                begins = first_day(months_later(first_month, number_))
                world.version(item_id, balance, since, begins)
                balance, since = balance + sign * sizes[movement], begins
        if balance:
            world.version(item_id, balance, since)


def waterfall(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    start = number(given.need("start_mrr"), "start_mrr")
    months = given.need("months")
    if isinstance(months, Mapping):
        names, entries = sorted(months), [months[name] for name in sorted(months)]
        if names != [months_later(names[0], step) for step in range(len(names))]:
            raise Unsupported("months with a gap")
    else:
        names = [entry.get("month", months_later(START, step)) for step, entry in enumerate(months)]
        entries = months
    sizes = []
    for entry in entries:
        unknown = set(entry) - {*MOVEMENTS, "month", "name"}
        if unknown:
            raise Unsupported(f"movement {', '.join(map(repr, sorted(unknown)))}")
        sizes.append({name: abs(number(entry[name], name)) for name in MOVEMENTS if name in entry})
    _bridge(world, start, sizes, names[0])
    answers = world.run(last_day(names[-1]), "fct_metric_values")
    found: dict[str, Any] = {}
    for key, metric in (("end_mrr", "mrr"), ("growth", "mrr_growth"), ("mrr", "mrr")):
        by_month = {name: answers.metric(metric, name) for name in names}
        expected = expect.get(key)
        if isinstance(expected, list):
            found[key] = list(by_month.values())
        else:
            found[key] = by_month if isinstance(expected, Mapping) else by_month[names[-1]]
    return found


def logo_churn(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    if "active_at_start" in given:
        return _logo_counts(given, expect, world)
    if "start_count" in given:
        return _logo_window(given, expect, world)
    named = named_days([given.peek("subscriptions"), expect])
    for one in given.each("subscriptions"):
        if "amount" not in one:
            one = Given({**{key: one.take(key) for key in sorted(one.keys())}, "amount": 1}, one.path)
        subscription(one, world, first_day(START))
    as_of = max(map(_month_end, named))
    found = {}
    for key, months in expect.items():
        answers = _by_setting(key, world).run(as_of, "fct_metric_values")
        found[key] = {month: answers.metric("logo_churn", month) for month in months}
    return found


def _by_setting(key: str, world: World) -> World:
    """`rate` is the case's own policy; rate_by_VALUE, or a value alone, names an alternative."""
    value = key.removeprefix("rate_by_").removeprefix("rate_")
    if value == "rate":
        return world
    for setting, values in (
        ("churn_at", ("service_end", "cancel_request", "billing_end")),
        ("logo_denominator", ("start_only_matched", "start_only_all_churn", "start_plus_new")),
    ):
        if value in values:
            return world.under(**{setting: value})
    raise Unsupported(f"expect.{key}")


def _logo_counts(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    counts = {
        key: given.take(key, 0)
        for key in ("active_at_start", "new_in_period", "churned_from_start", "churned_from_new")
    }
    begins = first_day(START)
    for count, since, until in (
        (counts["active_at_start"] - counts["churned_from_start"], LONG_AGO, None),
        (counts["churned_from_start"], LONG_AGO, begins + timedelta(days=9)),
        (counts["new_in_period"] - counts["churned_from_new"], begins + timedelta(days=4), None),
        (counts["churned_from_new"], begins + timedelta(days=4), begins + timedelta(days=9)),
    ):
        if count < 0:
            raise Unsupported("more leavers than customers")
        for _ in range(count):
            world.version(world.item(), Fraction(1), since, until)
    return {
        key: _by_setting(key, world).run(last_day(START), "fct_metric_values").metric("logo_churn", START)
        for key in expect
    }


def _logo_window(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    count, window = given.need("start_count"), given.need("window_days")
    ends, asked = (
        optional_day(given, "ends") or optional_day(given, "end"),
        optional_day(given, "cancel_asked"),
    )
    for position in range(count):
        is_leaver = position == 0
        world.version(
            world.item(),
            Fraction(1),
            LONG_AGO,
            ends if is_leaver else None,
            cancel_requested_on=asked if is_leaver else None,
        )
    found: dict[str, Any] = {}
    for key, by_day in expect.items():
        answers = _by_setting(key, world).run(max(map(date.fromisoformat, by_day)), "fct_customer_days")
        found[key] = {on: _window_rate(answers, date.fromisoformat(on), window) for on in by_day}
    return found


def _window_rate(answers: Answers, on: date, window: int) -> Fraction | None:
    """Those lost in the window's days up to this one, of those who paid before it."""
    rows = answers.rows(
        "SELECT coalesce(sum(churned_customers) FILTER (WHERE day >= $1 AND day <= $2), 0), "
        "coalesce(sum(closing_customers - opening_customers) FILTER (WHERE day < $1), 0) "
        "FROM marts.fct_customer_days",
        on - timedelta(days=window),
        on,
    )
    lost, there = rows[0]
    return Fraction(int(lost), int(there)) if there else None


def churn_split(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    month = months_later(START, 1)
    for one in given.each("cancelled"):
        count, cause = one.take("n", 1), one.take("end_cause")
        if cause not in ("voluntary", "involuntary", "merge", "migration", None):
            raise Unsupported(f"end_cause {cause!r}")
        if "price" in one:
            terms = price(one, "price")
        else:
            terms = price(one)
        one.drop("ref", "reason")
        one.done()
        for _ in range(count):
            world.version(world.item(), start=LONG_AGO, end=first_day(month), end_cause=cause, **terms)
    answers = world.run(last_day(month), "fct_mrr_movements")
    rows = answers.rows(
        "SELECT CASE WHEN cause IN ('voluntary', 'involuntary') THEN cause ELSE 'other' END, "
        "-sum(delta_constant) FROM marts.fct_mrr_movements "
        "WHERE measure = 'mrr' AND cause IS NOT NULL GROUP BY ALL"
    )
    lost = {cause: answers.major(amount) for cause, amount in rows}
    found = {cause: lost.get(cause, Fraction(0)) for cause in ("voluntary", "involuntary", "other")}
    return {**found, "total": sum(found.values(), Fraction(0))}


def status(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    if "subscriptions" in given:
        return _statuses(given, expect, world)
    one = given.inner("subscription")
    paused, resumed = day(given.need("paused_from"), "paused_from"), optional_day(given, "resumed")
    begins = optional_day(one, "start") or LONG_AGO
    ends = optional_day(one, "end")
    terms = price(one)
    one.drop("ref", "customer")
    one.done()
    item_id = world.item()
    world.version(item_id, start=begins, end=paused, **terms)
    world.version(item_id, start=paused, end=resumed or ends, status="paused", **terms)
    if resumed is not None:
        world.version(item_id, start=resumed, end=ends, **terms)
    as_of = max(map(_month_end, [*named_days(expect), paused]))
    found: dict[str, Any] = {}
    for key, expected in expect.items():
        if key in ("pause_to_zero", "pause_ignored", "pause_contraction"):
            answers = world.under(pause=key).run(as_of, "fct_metric_values")
            found[key] = {month: answers.metric("mrr", month) for month in expected}
        elif key == "movements":
            happened = world.run(as_of, "fct_mrr_months").movements()
            later = {month: change for month, change in happened.items() if month >= month_of(paused)}
            found[key] = Exactly(
                {
                    month: _either(later.get(month, {}), expected.get(month, {}))
                    for month in {*later, *expected}
                }
            )
    return {**figures(world, expect, as_of), **found}


def _either(change: Mapping[str, Fraction], expected: Mapping[str, Any]) -> Exactly:
    """Movements of a month, under the expected name `one_or_other` where either of the two happened."""
    answer = Exactly(change)
    for name in expected:
        for one in name.split("_or_"):
            if "_or_" in name and one in answer:
                answer[name] = answer.pop(one)
        answer.setdefault(name, Fraction(0))
    return answer


def _statuses(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    on = last_day(START)
    for one in given.each("subscriptions"):
        count, state = one.take("n", 1), one.need("status")
        if state not in (
            "trialing", "active", "past_due", "renewal_pending", "paused", "unpaid", "incomplete", "canceled"
        ):  # fmt: skip
            raise Unsupported(f"status {state!r}")
        terms = price(one, "price" if "price" in one else "amount")
        one.drop("ref")
        one.done()
        for _ in range(count):
            world.version(world.item(), start=on, status=state, **terms)
    found: dict[str, Any] = {}
    for key in expect:
        if key in ("pause_to_zero", "pause_ignored", "pause_contraction"):
            found[key] = world.under(pause=key).run(on, "fct_metric_values").metric("mrr", START)
    return {**figures(world, expect, on), **found}


def delinquency(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    one = given.inner("subscription")
    due = day(given.need("invoice_due"), "invoice_due")
    unpaid = given.take("unpaid", True)
    paid_on = optional_day(given, "paid_on")
    if not isinstance(unpaid, bool):
        raise Unsupported("unpaid that is neither true nor false")
    item_id = subscription(one, world)
    amount = world.versions[-1]["amount"]
    invoice_id = world.invoice(amount, due, item_id=item_id)
    if not unpaid or paid_on is not None:
        world.pay(invoice_id, amount, paid_on or due)
    days = sorted(expect.get("mrr_on", {}))
    answers = world.run(date.fromisoformat(days[-1]), "fct_mrr_spells")
    return {"mrr_on": {on: answers.mrr_on(date.fromisoformat(on)) for on in days}}


_PRICE_KEYS = ("amount", "interval", "interval_count", "quantity")


def proration(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    changed_on = first_day(START) + timedelta(
        days=int(number(given.need("upgrade_after_days"), "upgrade_after_days"))
    )
    item_id = world.item()
    common = {key: given.take(key) for key in ("interval", "interval_count") if key in given}
    for side, begins, ends in (("before", first_day(START), changed_on), ("after", changed_on, None)):
        value = given.need(side)
        one = Given(
            {**common, **(value if isinstance(value, Mapping) else {"amount": value})}, f"given.{side}"
        )
        world.version(item_id, start=begins, end=ends, **price(one, "price" if "price" in one else "amount"))
        one.done()
    total = Fraction(0)
    for line in given.each("invoice_lines"):
        total += number(line.need("amount"), "amount")
        line.drop("proration", "ref", "label")
        line.done()
    world.invoice(total, changed_on, item_id=item_id, issued=changed_on)
    as_of = last_day(month_of(changed_on))
    answers = world.run(as_of, "fct_mrr_movements", "fct_mrr_spells", "fct_invoices")
    changes = [one for one in answers.events() if one[0] == changed_on]
    return {
        "mrr_before": answers.mrr_on(changed_on - timedelta(days=1)),
        "mrr_after": answers.mrr_on(changed_on),
        "movement": changes[0][2] if changes else None,
        "amount": changes[0][3] if changes else Fraction(0),
        "invoice_total": answers.major(answers.rows("SELECT sum(total_minor) FROM marts.fct_invoices")[0][0]),
    }


def calendar(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    days = [day(value, "days") for value in given.need("days")]
    for _ in range(given.take("base_active", 0)):
        world.version(world.item(), Fraction(1), LONG_AGO)
    joins, last_paid = optional_day(given, "joins"), optional_day(given, "last_paid_day")
    if joins is not None:
        world.version(
            world.item(), Fraction(1), joins, None if last_paid is None else last_paid + timedelta(days=1)
        )
    answers = world.run(max(days), "fct_customer_days")
    rows = {
        row[0]: row[1:]
        for row in answers.rows(
            "SELECT day, sum(closing_customers - opening_customers), sum(new_customers), "
            "sum(churned_customers) FROM marts.fct_customer_days GROUP BY day"
        )
    }
    active = [Fraction(int(sum(row[0] for changed, row in rows.items() if changed <= on))) for on in days]
    return {
        "active": active,
        "new": [Fraction(int(rows.get(on, (0, 0, 0))[1])) for on in days],
        "churned": [Fraction(int(rows.get(on, (0, 0, 0))[2])) for on in days],
    }


def snapshot(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    named = named_days([given.peek("subscription"), expect])
    one = given.inner("subscription")
    subscription(one, world, first_day(START))
    as_of = max(map(_month_end, [*named, last_day(months_later(month_of(max(named)), 1))]))
    happened = world.run(as_of, "fct_mrr_months").movements()
    lost = [month for month, change in sorted(happened.items()) if "churn" in change]
    return {**figures(world, expect, as_of), "churn_month": lost[0] if lost else None}


def trial(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    """Each month is a company of its own as-of day: what is scheduled is known only then."""
    shared = {key: given.take(key) for key in ("interval", "interval_count", "quantity") if key in given}
    shared_price = given.take("price")
    for one in given.each("subscriptions"):
        own = {key: one.take(key) for key in _PRICE_KEYS if key in one}
        if shared_price is not None:
            own.setdefault("amount", shared_price)
        begins = day(one.need("start"), "start")
        trial_end, ends = (
            optional_day(one, "trial_end"),
            optional_day(one, "ends") or optional_day(one, "end"),
        )
        one.drop("ref", "customer", "name")
        one.done()
        terms = price(Given({**shared, **own}, one.path))
        item_id = world.item()
        converts = begins if trial_end is None else trial_end
        if trial_end is not None:
            until = trial_end if ends is None else min(trial_end, ends)
            world.version(
                item_id, start=begins, end=until, status="trialing", trial_end_on=trial_end, **terms
            )
        if ends is None or ends > converts:
            world.version(item_id, start=converts, end=ends, **terms)
    months = sorted({month for by_month in expect.values() for month in by_month})
    by_month = {month: world.run(last_day(month), "fct_metric_values") for month in months}
    return {
        key: {month: by_month[month].metric(METRICS[key], month) for month in expected}
        for key, expected in expect.items()
        if key in METRICS
    }


def cohort(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    month = months_later(START, 1)
    for one in given.each("cohorts"):
        start = number(one.need("start_mrr"), "start_mrr")
        kept = start * number(one.need("grr"), "grr")
        one.drop("ref", "name", "cohort")
        one.done()
        _change(world, start, kept, month)
    return figures(world, expect, last_day(month))


def fx(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    contract = given.inner("contract")
    reporting, closes = given.need("reporting"), given.need("rates")
    budget = given.take("budget_rate")
    currency = contract.need("currency")
    contract.drop("ref", "customer")
    exponents = currency_exponents()
    if exponents.get(currency) != 2 or exponents.get(reporting) != 2:
        raise Unsupported(f"currencies {currency!r} and {reporting!r}")
    world.version(world.item(), start=LONG_AGO, currency=currency, **price(contract))
    contract.done()
    months = sorted(closes)
    constant = budget if budget is not None else closes[months[0]]
    for rate_on, value, rate_set in (
        *((last_day(month), closes[month], "daily") for month in months),
        (LONG_AGO, constant, "budget"),
    ):
        world.rates.append(
            {
                "rate_on": rate_on,
                "from_currency": currency,
                "to_currency": reporting,
                "rate": str(value),
                "rate_set": rate_set,
            }
        )
    worked = world.under(reporting_currency=reporting, constant_rate_set="budget")
    answers = worked.run(last_day(months[-1]), "fct_mrr_months")
    rows = answers.rows(
        "SELECT month, sum(closing_mrr), sum(closing_mrr_constant) FROM marts.fct_mrr_months GROUP BY month"
    )
    happened = answers.movements()
    return {
        "booked": {month_of(month): answers.major(booked) for month, booked, _ in rows},
        "constant": {month_of(month): answers.major(fixed) for month, _, fixed in rows},
        "movements": _months(
            {month: change for month, change in happened.items() if month > months[0]},
            expect.get("movements"),
        ),
    }


def aging(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    as_of = day(given.need("as_of"), "as_of")
    for one in given.each("invoices"):
        balance = number(one.need("balance"), "balance")
        total = number(one.take("total", balance), "total") if "total" in one else balance
        due = day(one.need("due"), "due")
        one.drop("ref", "customer")
        one.done()
        issued = min(due, as_of) - timedelta(days=14)
        invoice_id = world.invoice(total, due, issued=issued)
        if total != balance:
            world.pay(invoice_id, total - balance, issued)
    answers = world.run(as_of, "fct_ar_aging")
    buckets = dict(
        answers.rows(
            "SELECT bucket, sum(remaining_minor) FROM marts.fct_ar_aging WHERE snapshot_on = ? "
            "GROUP BY bucket",
            as_of,
        )
    )
    names = ("current", "d1_30", "d31_60", "d61_90", "d91_plus")
    found = {name: answers.major(buckets.get(name, Decimal(0))) for name in names}
    return {**found, "total": sum(found.values(), Fraction(0))}


UNIT_ECONOMICS = {
    "ltv": "ltv_formula",
    "cac": "cac",
    "ltv_to_cac": "ltv_to_cac",
    "cac_payback_months": "cac_payback",
}
"""What a case calls a figure of unit economics, and its id in the registry."""


def unit_economics(given: Case, expect: Mapping[str, Any], world: World) -> dict[str, Any]:
    """Averages are given, not customers: they stand as the parts of an otherwise empty company's last month,
    and the mart makes the figures of them."""
    answers = world.run(last_day(START), "int_metric_parts__unit_economics")
    rows = _unit_economics_parts(given, answers)
    table = "intermediate.int_unit_economics_parts"
    for row in rows:
        columns = ", ".join(f"? AS {name}" for name in row)
        answers.connection.execute(f"INSERT INTO {table} BY NAME SELECT {columns}", list(row.values()))
    execute_after(
        answers.connection, world.models, "int_unit_economics_parts", "int_metric_parts__unit_economics"
    )
    parts = {
        metric: None if why_null is not None else Fraction(numerator) / Fraction(denominator)
        for metric, numerator, denominator, why_null in answers.rows(
            "SELECT metric_id, numerator, denominator, why_null "
            "FROM intermediate.int_metric_parts__unit_economics WHERE month = ?",
            first_day(START),
        )
    }
    minor = {"ltv": 10**answers.exponent, "cac": 10**answers.exponent}
    return {
        name: None if (value := parts[metric]) is None else value / minor.get(name, 1)
        for name, metric in UNIT_ECONOMICS.items()
    }


def _unit_economics_parts(given: Case, answers: Answers) -> list[dict[str, Any]]:
    """The rows of the months a case speaks of, the last one with its averages."""
    arpa, margin = _optional_number(given, "arpa"), _optional_number(given, "gross_margin")
    cost, won = _optional_number(given, "sales_marketing"), _optional_number(given, "new_customers")
    customers = _optional_number(given, "customer_count" if "customer_count" in given else "customers")
    if customers is None:
        customers = Fraction(answers.rows("SELECT min_customers FROM staging.stg_meta__policy")[0][0])
    if margin is not None and margin > 1:
        raise Unsupported("a gross_margin above 1")
    for name, count in (("customers", customers), ("new_customers", won)):
        if count is not None and (count < 0 or count.denominator != 1):
            raise Unsupported(f"{name} that is no count")
    if arpa is None:
        customers = Fraction(0)
    minor = 10**answers.exponent
    closing = customers * (arpa or 0) * minor
    rows = [
        {
            "month": first_day(months_later(START, -age)),
            "currency": CURRENCIES[answers.exponent],
            "segment": "all",
            "is_provisional": False,
            "logo_lost": 0 if rate is None else rate.numerator,
            "logo_base": 0 if rate is None else rate.denominator,
        }
        for age, rate in enumerate(_churn_rates(given))
    ]
    rows[0] |= {
        "closing_mrr": _decimal(closing, "arpa"),
        "closing_customers": int(customers),
        "margin_mrr": None if margin is None else _decimal(closing * margin, "gross_margin"),
        "sm_cost": None if cost is None else _decimal(cost * minor, "sales_marketing"),
        "new_customers": None if won is None else int(won),
        "new_mrr": None if won is None or arpa is None else _decimal(won * arpa * minor, "arpa"),
    }
    return rows


def _churn_rates(given: Case) -> list[Fraction | None]:
    """Monthly churn, the last month first; None where nobody was there at its opening."""
    if "churn_series" not in given:
        return [_optional_number(given, "customer_churn_rate")]
    series = given.take("churn_series")
    if "customer_churn_rate" in given:
        raise Unsupported("customer_churn_rate beside churn_series")
    if not isinstance(series, list) or not series:
        raise Unsupported("churn_series that is no list of months")
    return [None if rate is None else number(rate, "churn_series") for rate in reversed(series)]


def _optional_number(given: Case, key: str) -> Fraction | None:
    value = given.take(key)
    return None if value is None else number(value, key)


def _decimal(value: Fraction, what: str) -> Decimal:
    """The number as the sixteen decimals of the models, exact. Raises Unsupported for a finer one."""
    scaled = value * 10**16
    if scaled.denominator != 1 or abs(scaled) >= 10**38:
        raise Unsupported(f"{what} that is finer or larger than the models count")
    return Decimal(scaled.numerator).scaleb(-16, Context(prec=40))


# Reading.


def _month_end(on: date) -> date:
    return last_day(month_of(on))


def _in_expected_order(events: list[dict[str, Any]], expected: Any) -> list[dict[str, Any]]:
    """The events sorted like the expected ones, where those have the same days and movements."""
    if not isinstance(expected, list):
        return events
    order = [(one.get("day"), one.get("movement"), str(one.get("customer", ""))) for one in expected]

    def place(event: dict[str, Any]) -> int:
        for position, (on, movement, customer) in enumerate(order):
            if (on, movement) == (event["day"], event["movement"]) and customer in ("", event["customer"]):
                return position
        return len(order)

    ordered = sorted(events, key=place)
    # a customer is compared as the case writes it, a number or a text
    written = {str(one["customer"]): one["customer"] for one in expected if "customer" in one}
    return [{**event, "customer": written.get(event["customer"], event["customer"])} for event in ordered]


KINDS: Mapping[str, Callable[[Case, Mapping[str, Any], World], dict[str, Any]]] = {
    "normalise": normalise,
    "normalise_list": normalise_list,
    "mrr_total": mrr_total,
    "ratio": ratio,
    "movements": movements,
    "rates": rates,
    "logo_churn": logo_churn,
    "churn_split": churn_split,
    "status": status,
    "delinquency": delinquency,
    "proration": proration,
    "calendar": calendar,
    "snapshot": snapshot,
    "trial": trial,
    "committed": trial,
    "ltv": unit_economics,
    "unit_economics": unit_economics,
    "cohort": cohort,
    "fx": fx,
    "waterfall": waterfall,
    "aging": aging,
}
