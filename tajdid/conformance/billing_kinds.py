"""Every kind of billing case but scenarios: each is answered by one public function of the engine's rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

from billing.core.adjustments import Discount, TaxLine, discount_lines, tax_lines, tax_of
from billing.core.calendar import (
    DayCount,
    boundaries,
    boundary,
    cut_of_time,
    factor,
    local_date,
    midnight,
    parse_interval,
    sample_factor,
)
from billing.core.money import Scaled, allocate, parse_decimal, parse_ppm, parse_price, parse_quantity
from billing.core.pricing import (
    Price,
    PriceTier,
    Ratio,
    rate,
    rate_events,
    true_up,
    window_charge,
)
from billing.core.usage import (
    Meter,
    UsageEvent,
    charges_by_day,
    quantities_after_events,
    quantity,
    trace,
)
from tajdid.conformance.billing_form import (
    Convention,
    Given,
    Money,
    Unsupported,
    convention_of,
    day_of,
    exact,
    instant_of,
    is_instant,
    money_of,
    rounding_of,
)

Expect = Mapping[str, Any]


@dataclass(frozen=True)
class Frame:
    """What every kind starts from."""

    given: Given
    money: Money
    convention: Convention


TIMELESS = ("day_count", "change_day", "cancel_day")
"""Settings that mean nothing to a case without time."""


def frame_of(case: Mapping[str, Any], *settings: str) -> Frame:
    """The given part, currency and convention of a case that obeys some settings, or has no use for them."""
    convention = convention_of(case.get("convention", {}))
    convention.only(*settings)
    money = money_of(case.get("currency"), convention.rounding.mode)
    return Frame(Given(case.get("given"), "given"), money, convention)


# Prices.

PRICE_KEYS = frozenset(
    [
        "model",
        "unit_price",
        "tiers",
        "package_size",
        "package_price",
        "free_units",
        "partial_package",
        "rate_percent",
        "fee_per_event",
        "free_events",
        "free_amount",
        "min_per_event",
        "max_per_event",
        "policy",
        "flat_fee_on_zero",
        "minimum_spend",
        "maximum_spend",
        "window_commitment",
        "overage_factor",
        "true_up",
    ]
)


@dataclass(frozen=True)
class Terms:
    """A price model of a case, with the limits around it in major units."""

    price: Price
    minimum: Fraction | None = None
    maximum: Fraction | None = None
    window: Fraction | None = None
    overage: Fraction = Fraction(1)
    trues_up: bool = False

    @property
    def takes_events(self) -> bool:
        return self.price.model in ("percentage", "dynamic")


def _money_at(values: Mapping[str, Scaled]) -> tuple[int, dict[str, int]]:
    """Prices brought to one scale."""
    scale = max((value.scale for value in values.values()), default=0)
    return scale, {name: value.at_scale(scale) for name, value in values.items()}


def _share(percent: object) -> Scaled:
    value = parse_price(percent)
    return parse_decimal(_text(Fraction(value.mantissa, 100 * 10**value.scale)))


def _text(value: Fraction) -> str:
    scale = next(scale for scale in range(40) if (value * 10**scale).denominator == 1)
    digits = str(int(value * 10**scale)).rjust(scale + 1, "0")
    return f"{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}"


def terms_of(given: Given, convention: Convention) -> Terms:
    """A price model with its fields; what its model does not know is refused."""
    model = given.need("model")
    settings = {
        "flat_fee_on_zero": str(given.take("flat_fee_on_zero", convention.policy.flat_fee_on_zero)),
        "percentage_free": convention.policy.percentage_free,
    }
    if settings["flat_fee_on_zero"] not in ("none", "first_tier"):
        raise Unsupported(f"flat_fee_on_zero {settings['flat_fee_on_zero']!r}")
    if model not in _PRICES:
        raise Unsupported(f"price model {model!r}")
    price = replace(_PRICES[model](given), settings=settings)
    window, trues_up = given.take("window_commitment"), given.take("true_up", False)
    minimum, maximum, overage = (
        given.take(key) for key in ("minimum_spend", "maximum_spend", "overage_factor")
    )
    given.done()
    return Terms(
        price,
        None if minimum is None else exact(minimum),
        None if maximum is None else exact(maximum),
        None if window is None else exact(window),
        Fraction(1) if overage is None else exact(overage),
        trues_up is True,
    )


def _per_unit(given: Given) -> Price:
    price = parse_price(given.need("unit_price"))
    return Price("per_unit", price.scale, price.mantissa)


def _package(given: Given) -> Price:
    price = parse_price(given.need("package_price"))
    partial = given.take("partial_package", "up")
    if partial not in ("up", "down"):
        raise Unsupported(f"partial_package {partial!r}")
    return Price(
        "package",
        price.scale,
        price.mantissa,
        package_size=parse_quantity(given.need("package_size")),
        free_units=parse_quantity(given.take("free_units") or "0"),
        partial_package=partial,
    )


def _tiered(model: str, unit_of: Callable[[Given], Scaled]) -> Callable[[Given], Price]:
    def read(given: Given) -> Price:
        bounds, money = [], {}
        for i, tier in enumerate(given.each("tiers")):
            bound = tier.need("up_to")
            bounds.append(None if bound is None else parse_quantity(bound))
            money[f"unit{i}"] = unit_of(tier)
            money[f"flat{i}"] = parse_price(tier.take("flat_fee") or "0")
            tier.done()
        scale, mantissas = _money_at(money)
        tiers = (
            PriceTier(up_to, mantissas[f"unit{i}"], mantissas[f"flat{i}"]) for i, up_to in enumerate(bounds)
        )
        return Price(model, scale, tiers=tuple(tiers))

    return read


def _blocks(given: Given) -> Price:
    policy = given.take("policy", "all_tiers")
    if policy not in ("all_tiers", "top_tier"):
        raise Unsupported(f"policy {policy!r} of tiered_block")
    tiers, money = [], {}
    for i, tier in enumerate(given.each("tiers")):
        size, most = parse_quantity(tier.need("block_size")), tier.take("max_blocks")
        tiers.append((size, None if most is None else int(exact(most))))
        money[f"block{i}"] = parse_price(tier.need("block_price"))
        tier.done()
    scale, mantissas = _money_at(money)
    return Price(
        "tiered_block",
        scale,
        tiers=tuple(
            PriceTier(None, mantissas[f"block{i}"], size=size, max_blocks=most)
            for i, (size, most) in enumerate(tiers)
        ),
        block_policy=policy,
    )


def _percentage(given: Given) -> Price:
    names = ("fee_per_event", "free_amount", "min_per_event", "max_per_event")
    raw = {name: given.take(name) for name in names}
    scale, money = _money_at({name: parse_price(value) for name, value in raw.items() if value is not None})
    free_events = given.take("free_events")
    return Price(
        "percentage",
        scale,
        rate=_share(given.need("rate_percent")),
        fee=money.get("fee_per_event", 0),
        free_events=None if free_events is None else int(exact(free_events)),
        free_amount=money.get("free_amount"),
        min_per_event=money.get("min_per_event"),
        max_per_event=money.get("max_per_event"),
    )


_PRICES: Mapping[str, Callable[[Given], Price]] = {
    "per_unit": _per_unit,
    "graduated": _tiered("graduated", lambda tier: parse_price(tier.take("unit_price") or "0")),
    "volume": _tiered("volume", lambda tier: parse_price(tier.take("unit_price") or "0")),
    "graduated_percentage": _tiered(
        "graduated_percentage", lambda tier: _share(tier.take("rate_percent") or "0")
    ),
    "package": _package,
    "tiered_block": _blocks,
    "percentage": _percentage,
    "dynamic": lambda given: Price("dynamic", 0),
}


def rated(price: Price, amount: Scaled | Ratio) -> Fraction:
    result = rate(price, amount)
    return Fraction(result.num, result.den)


# charge_model


def charge_model(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, *TIMELESS, "flat_fee_on_zero", "percentage_free")
    given = frame.given
    terms = terms_of(given.inner("price"), frame.convention)
    events, windows = given.take("events"), given.take("window_quantities")
    already, billed = given.take("already_rated_quantity"), given.take("already_billed")
    given.done()
    points = expect["points"]
    before = parse_quantity(already) if already is not None else None
    if events is not None or windows is not None:
        if len(points) != 1 or before is not None or "quantity" in points[0]:
            raise Unsupported("events or windows beside a quantity")
    elif terms.takes_events or terms.window is not None:
        raise Unsupported(f"{terms.price.model} without events or windows")
    answers = []
    for point in points:
        # The quantity of a point is an input that stands among the answers.
        point_input = {"quantity": exact(point["quantity"])} if "quantity" in point else {}
        if events is not None:
            answer = _events_answer(terms, events)
        elif windows is not None:
            answer = _windows_answer(terms, windows)
        else:
            answer = _quantity_answer(terms, parse_quantity(point["quantity"]), before)
        answers.append(
            {**point_input, **_limited(answer, terms, frame, None if billed is None else exact(billed))}
        )
    return {"points": answers}


def _quantity_answer(terms: Terms, amount: Scaled, before: Scaled | None) -> dict[str, Any]:
    """The rated answer before limits; `before` is what the same period had already priced."""
    earlier = Fraction(0) if before is None else rated(terms.price, before)
    if before is not None:
        scale = max(amount.scale, before.scale)
        amount = Scaled(amount.at_scale(scale) + before.at_scale(scale), scale)
    result = rate(terms.price, amount)
    parts = [Fraction(part, result.den) for part in result.parts]
    answer: dict[str, Any] = {"amount": Fraction(result.num, result.den) - earlier, "earlier": earlier}
    if before is None:
        answer |= {"parts": parts}
    return answer


def _events_answer(terms: Terms, events: list[Any]) -> dict[str, Any]:
    if not terms.takes_events:
        raise Unsupported(f"events under {terms.price.model}")
    result = rate_events(terms.price, events)
    return {
        "amount": Fraction(result.num, result.den),
        "earlier": Fraction(0),
        "free_events_used": result.free_events,
        "free_amount_used": Fraction(*result.free_amount),
    }


def _windows_answer(terms: Terms, windows: list[Any]) -> dict[str, Any]:
    if terms.window is None:
        raise Unsupported("window quantities without a commitment")
    costs = []
    for amount in windows:
        cost = rated(terms.price, parse_quantity(amount))
        unit = cost.denominator * terms.window.denominator
        factor = terms.overage
        num = window_charge(
            int(cost * unit),
            int(terms.window * unit),
            factor.numerator,
            factor.denominator,
            int(terms.trues_up),
        )
        assert isinstance(num, int)
        costs.append(Fraction(num, unit * factor.denominator))
    return {"amount": sum(costs, Fraction(0)), "earlier": Fraction(0), "per_window": costs}


def _limited(answer: dict[str, Any], terms: Terms, frame: Frame, billed: Fraction | None) -> dict[str, Any]:
    """The answer within its least and most, which compare with the whole period, rounded by convention."""
    amount, earlier = answer.pop("amount"), answer.pop("earlier")
    if billed is not None:
        earlier = billed
    elif terms.maximum is not None:
        earlier = min(earlier, terms.maximum)
    room = None if terms.maximum is None else max(terms.maximum - earlier, Fraction(0))
    usage_part = amount if room is None else min(amount, room)
    missing = Fraction(0)
    if terms.minimum is not None:
        unit = usage_part.denominator * earlier.denominator * terms.minimum.denominator
        missing = Fraction(
            _whole(true_up(int((usage_part + earlier) * unit), int(terms.minimum * unit))), unit
        )
    total = usage_part + missing
    if "parts" in answer:
        answer |= _detail(answer.pop("parts"), room)
    rounding = frame.convention.rounding
    if rounding.kind == "decimals":
        total = rounding.to_decimals(total)
    return answer | {
        "amount": total,
        "posted": frame.money.posted(total),
        "usage_part": usage_part,
        "true_up": missing,
    }


def _whole(value: Any) -> int:
    assert isinstance(value, int)
    return value


def _detail(parts: list[Fraction], room: Fraction | None) -> dict[str, Any]:
    """Gross, cut and net of each tier entered, the room filled from the first."""
    detail = []
    for part in parts:
        net = part if room is None else min(part, room)
        room = None if room is None else room - net
        detail.append({"gross": part, "discount": part - net, "net": net})
    return {"breakdown": parts, "detail": detail}


# usage_aggregation


def usage_aggregation(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, "flat_fee_on_zero", "percentage_free", "part_rounding")
    given = frame.given
    zone = str(given.take("timezone", "UTC"))
    meter = Meter(
        str(given.need("aggregation")),
        given.take("carry_over", False) is True,
        str(given.take("grain") or "second"),
    )
    prorate, billed = given.take("prorate"), given.take("billed", "in_arrears")
    if prorate not in (None, "day") or billed not in ("in_advance", "in_arrears"):
        raise Unsupported(f"prorate {prorate!r}, billed {billed!r}")
    if prorate == "day" and meter.aggregation not in ("sum", "unique_count", "count", "latest"):
        raise Unsupported(f"prorate by day of {meter.aggregation!r}")
    if "unit_price" in given:
        terms = Terms(_per_unit(given))
    else:
        terms = terms_of(given.inner("price"), frame.convention)
    events = [_event(event, zone) for event in given.each("events")]
    periods = given.each("periods")
    given.done()
    if terms.window is not None:
        raise Unsupported("window_commitment of a metered price")
    present: set[str] = set()
    closing = Scaled(0, 0)
    answers = []
    for period in periods:
        start, end = instant_of(period.need("start"), zone), instant_of(period.need("end"), zone)
        opening = period.take("opening")
        period.done()
        if not meter.carry_over:
            closing, present = Scaled(0, 0), set()
        if opening is not None:
            closing = parse_decimal(opening)
        levels = trace(meter, events, start, end, closing, present)
        closing = Scaled(levels.closing, levels.scale)
        in_advance = billed == "in_advance"
        if prorate == "day":
            totals = charges_by_day(
                terms.price, levels, lambda at: local_date(at, zone), in_advance=in_advance
            )
        elif terms.takes_events:
            if meter.aggregation != "sum":
                raise Unsupported(f"{terms.price.model} of {meter.aggregation!r}")
            inside = sorted(
                (event for event in events if start <= event.at < end), key=lambda event: event.at
            )
            totals = _totals_of_events(terms, inside)
        else:
            running = quantities_after_events(meter, levels, in_advance=in_advance)
            opening_only = quantity(meter, levels._replace(steps=()), in_advance=in_advance)
            totals = [rated(terms.price, amount) for amount in [opening_only, *running]]
        totals = [_within_limits(total, terms) for total in totals]
        answers.append(_period_answer(frame, totals, Fraction(closing.mantissa, 10**closing.scale)))
    return {"periods": answers}


def _within_limits(total: Fraction, terms: Terms) -> Fraction:
    if terms.maximum is not None:
        total = min(total, terms.maximum)
    return total if terms.minimum is None else max(total, terms.minimum)


def _totals_of_events(terms: Terms, events: list[UsageEvent]) -> list[Fraction]:
    values = [_text(Fraction(event.value.mantissa, 10**event.value.scale)) for event in events]
    result = rate_events(terms.price, values)
    return [Fraction(sum(result.nums[:n]), result.den) for n in range(len(values) + 1)]


def _period_answer(frame: Frame, totals: list[Fraction], level: Fraction) -> dict[str, Any]:
    """`totals`: the period's exact charge at its opening, then after each event."""
    money = frame.money
    posted = [money.posted(total) for total in totals]
    if frame.convention.policy.part_rounding == "own":
        changes = [money.posted(after - before) for before, after in pairwise(totals)]
    else:
        changes = [after - before for before, after in pairwise(posted)]
    return {
        "amount": frame.convention.rounding.amount(totals[-1], money),
        "units_at_end": level,
        "closing_level": level,
        "per_event": changes,
        "running_total_after_event": posted[1:],
    }


def _event(given: Given, zone: str) -> UsageEvent:
    at = instant_of(given.need("at"), zone)
    if "value" in given:
        event = UsageEvent(at, parse_decimal(given.take("value")))
    elif "add" in given:
        event = UsageEvent(at, item=str(given.take("add")))
    else:
        event = UsageEvent(at, item=str(given.need("remove")), adds=False)
    given.done()
    return event


# proration


def share_of(
    service: tuple[Any, Any], reference: tuple[Any, Any], day_count: DayCount, zone: str = "UTC"
) -> Fraction:
    """The engine's factor, of dates or (for seconds) of instants."""
    ends = [*service, *reference]
    if day_count == "second":
        ends = [midnight(end, zone) if type(end) is date else end for end in ends]
    share = factor(ends[0], ends[1], ends[2], ends[3], day_count)
    assert isinstance(share.num, int)
    assert isinstance(share.den, int)
    return Fraction(share.num, share.den)


_SAMPLES: Mapping[str, DayCount] = {
    "actual_over_actual": "actual_day",
    "actual_over_30": "actual_over_30",
    "strict_30_over_360": "strict_30_over_360",
    "fixed_30": "fixed_30",
}


def proration(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, "day_count", "change_day", "cancel_day")
    given = frame.given
    if "first_day" in given:
        return _samples(given)
    if "stubs" in given or "factors" in given:
        return _stubs(frame, given.each("stubs" if "stubs" in given else "factors"))
    return _change(frame)


def _samples(given: Given) -> dict[str, Any]:
    samples = [(day_of(given.need("first_day")), day_of(given.need("last_day")))]
    if "also" in given:
        also = given.inner("also")
        samples.append((day_of(also.need("first_day")), day_of(also.need("last_day"))))
        also.done()
    given.done()
    return {
        name: [Fraction(*sample_factor(first, last, count)) for first, last in samples]
        for name, count in _SAMPLES.items()
    }


def _stubs(frame: Frame, stubs: list[Given]) -> dict[str, Any]:
    factors = []
    for stub in stubs:
        service = (day_of(stub.need("start")), day_of(stub.need("end")))
        first, last = stub.need("reference")
        stub.done()
        share = share_of(service, (day_of(first), day_of(last)), frame.convention.day_count)
        factors.append(frame.convention.rounding.factor(share))
    frame.given.done()
    return {"factors": factors}


def _change(frame: Frame) -> dict[str, Any]:
    """A change within a period: what is left of it is priced, or the part named `used`."""
    given, policy, count = frame.given, frame.convention.policy, frame.convention.day_count
    zone = str(given.take("timezone", "UTC"))
    first, last = given.need("period")
    period = (_moment(first, count, zone), _moment(last, count, zone))
    full_lines, new_interval = given.each("full_lines"), given.take("new_interval")
    changed_at = given.take("change_at")
    changed_on = None if changed_at is None else day_of(changed_at, zone)
    if "used" in given:
        start, end = (_moment(day, count, zone) for day in given.need("used"))
    elif changed_on is not None:
        start = _moment(changed_at, count, zone)
        if count != "second":
            start = min(cut_of_time(changed_on, is_used=policy.change_day == "used"), period[1])
        end = period[1]
    else:
        raise Unsupported("neither change_at nor used")
    share = share_of((start, end), period, count, zone)
    amounts = [_part(frame, line, share) for line in given.each("lines")]
    amounts += [_part(frame, line, Fraction(1)) for line in full_lines]
    given.done()
    answer: dict[str, Any] = {
        "factor": frame.convention.rounding.factor(share),
        "lines": [{"amount": amount} for amount in amounts],
        "net": sum(amounts, Fraction(0)),
    }
    if new_interval is not None and changed_on is not None:
        answer["new_period"] = [changed_on, boundary(changed_on, parse_interval(new_interval), 1)]
    return answer


def _moment(text: Any, count: DayCount, zone: str) -> Any:
    return instant_of(text, zone) if count == "second" and is_instant(text) else day_of(text, zone)


def _part(frame: Frame, line: Given, share: Fraction) -> Fraction:
    line.drop("label")
    full = exact(line.need("full_amount"))
    line.done()
    if full < 0 and frame.convention.day_count == "none":
        return Fraction(0)
    return frame.convention.rounding.amount(full * share, frame.money)


# schedule, discount, tax, rounding


def schedule(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, *TIMELESS, "month_end")
    given = frame.given
    zone = str(given.take("timezone", "UTC"))
    start, anchor = day_of(given.need("start"), zone), day_of(given.need("anchor"), zone)
    interval = parse_interval(given.need("interval"))
    given.done()
    return {"boundaries": list(islice(boundaries(start, anchor, interval), len(expect["boundaries"])))}


def discount(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, *TIMELESS, "discount_order")
    given, money = frame.given, frame.money
    allocation = given.take("allocation", "largest_remainder")
    if allocation != "largest_remainder":
        raise Unsupported(f"allocation {allocation!r}")
    if "weights" in given:
        total, weights = (
            money.minor(given.need("amount")),
            [parse_quantity(text) for text in given.need("weights")],
        )
        given.done()
        scale = max((weight.scale for weight in weights), default=0)
        taken = allocate(total, [weight.at_scale(scale) for weight in weights])
        return {"per_line": [money.major(part) for part in taken], "total_discount": money.major(total)}
    labels, lines = [], []
    for line in given.need("lines"):
        named = Given(line if isinstance(line, dict) else {"amount": line}, "given.lines")
        labels.append(named.take("label"))
        lines.append(money.minor(named.need("amount")))
        named.done()
    discounts = []
    for one in given.each("discounts"):
        percent, amount, on = one.take("percent"), one.take("amount"), one.take("on", "all")
        one.done()
        names = [on] if isinstance(on, str) else on
        reached = frozenset(i for i, label in enumerate(labels) if label in names)
        if on != "all" and len(reached) < len(set(names)):
            raise Unsupported(f"a discount on {on!r}")
        discounts.append(
            Discount(
                None if percent is None else parse_ppm(percent),
                None if amount is None else money.minor(amount),
                None if on == "all" else reached,
            )
        )
    given.done()
    taken = discount_lines(lines, discounts, order=frame.convention.policy.discount_order, mode=money.mode)
    return {
        "total_discount": money.major(sum(taken)),
        "per_line": [money.major(part) for part in taken],
        "net": money.major(sum(lines) - sum(taken)),
    }


def tax(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """Each line on its own where taxes per line are expected, else once for each rate.

    Where `tax_scope` names the group, the taxes of lines are their shares of it.
    """
    frame = frame_of(case, *TIMELESS, "tax_scope", "tax_base")
    given, money = frame.given, frame.money
    is_exact = frame.convention.policy.tax_base == "exact_net"
    nets, rates = [], []
    for line in given.each("lines"):
        line.drop("label")
        net = exact(line.need("net"))
        nets.append(net if is_exact else money.posted(net))
        rates.append(line.need("tax_percent"))
        line.done()
    given.done()
    taxes = [_tax(net, percent, money) for net, percent in zip(nets, rates, strict=True)]
    groups = []
    for percent in dict.fromkeys(exact(percent) for percent in rates):
        base = sum(
            (net for net, other in zip(nets, rates, strict=True) if exact(other) == percent), Fraction(0)
        )
        group_tax = _tax(base, _text(percent), money)
        groups.append({"tax_percent": percent, "net": base, "tax": group_tax, "total": base + group_tax})
    scope = frame.convention.policy.tax_scope if "tax_scope" in frame.convention.named else None
    if scope is None:
        scope = "group" if "groups" in expect or "per_line_tax" not in expect else "line"
    elif scope == "group" and not is_exact:
        minor = [int(net * 10**money.exponent) for net in nets]
        of_lines = [TaxLine(net, parse_ppm(rate)) for net, rate in zip(minor, rates, strict=True)]
        taxes = [money.major(one) for one in tax_lines(of_lines, scope="group", mode=money.mode)]
    posted = [group["tax"] for group in groups] if scope == "group" else taxes
    total = sum(posted, Fraction(0))
    net = sum((money.posted(net) for net in nets), Fraction(0))
    listed = expect.get("groups", [])
    if len(listed) == len(groups) and all("tax_percent" in group for group in listed):
        order = [exact(group["tax_percent"]) for group in listed]
        groups.sort(
            key=lambda group: order.index(group["tax_percent"]) if group["tax_percent"] in order else -1
        )
    return {"per_line_tax": taxes, "groups": groups, "total_tax": total, "total": net + total}


def _tax(net: Fraction, percent: Any, money: Money) -> Fraction:
    minor = net * 10**money.exponent
    posted = tax_of(minor.numerator, minor.denominator, parse_ppm(percent), money.mode)
    return money.major(_whole(posted))


def rounding(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, *TIMELESS)
    given = frame.given
    mode = rounding_of(given.take("mode", "half_up"))
    money = replace(frame.money, mode=mode.mode)
    values = [exact(value) for value in given.need("values")]
    given.done()
    posted = [mode.amount(value, money) for value in values]
    return {"posted": posted, "minor_units": [money.post(value) for value in values]}


KINDS: Mapping[str, Callable[[Mapping[str, Any], Expect], dict[str, Any]]] = {
    "charge_model": charge_model,
    "usage_aggregation": usage_aggregation,
    "proration": proration,
    "schedule": schedule,
    "discount": discount,
    "tax": tax,
    "rounding": rounding,
}
