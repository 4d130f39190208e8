"""Scenarios that need no story: documents, credits, schedules, commitments and balances, from the rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from billing.core.adjustments import (
    Discount,
    PostedLine,
    TaxLine,
    commitment_true_up,
    credit_line,
    discount_lines,
    draw_from_grants,
    tax_lines,
)
from billing.core.calendar import (
    add_months,
    cut_of_time,
    days_between,
    days_of_30_between,
    local_date,
    next_boundary,
    parse_interval,
    period_containing,
)
from billing.core.dunning import CampaignState, CampaignTerms, Overdue, retry_schedule, run_campaign
from billing.core.money import allocate, parse_money, parse_ppm, post, post_money
from tajdid.conformance.billing_form import Given, Unsupported, day_of, exact, instant_of, is_instant
from tajdid.conformance.billing_kinds import Expect, Frame, frame_of, share_of

DOCUMENT_KEYS = frozenset(
    [
        "lines",
        "net",
        "tax_percent",
        "coupon",
        "coupons",
        "discount",
        "discount_percent",
        "credit",
        "do",
        "paid",
        "payments",
    ]
)


# A document of given lines.


@dataclass
class Line:
    """A line of the document: gross, then what was taken off, its tax, and what credits took back."""

    label: str
    gross: int
    rate_ppm: int
    tax: int | None
    discount: int = 0
    credited_gross: int = 0
    credited: PostedLine = field(default_factory=lambda: PostedLine(0, 0))

    @property
    def net(self) -> int:
        return self.gross - self.discount


def document(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, "tax_scope", "discount_order", "credit_target", "credit_document")
    given, money = frame.given, frame.money
    lines = _lines(frame)
    discounts = _discounts(frame, lines)
    for line, taken in zip(
        lines,
        discount_lines(
            [line.gross for line in lines],
            discounts,
            order=frame.convention.policy.discount_order,
            mode=money.mode,
        ),
        strict=True,
    ):
        if line.tax is not None and taken:
            raise Unsupported("a discount on a line whose tax is given")
        line.discount = taken
    taxes = tax_lines(
        [TaxLine(line.net, line.rate_ppm) for line in lines],
        scope=frame.convention.policy.tax_scope,
        mode=money.mode,
    )
    for line, tax in zip(lines, taxes, strict=True):
        line.tax = tax if line.tax is None else line.tax
        line.credited = PostedLine(line.net, line.tax)
    total = sum(line.net + (line.tax or 0) for line in lines)
    credits, act = given.take("credit"), given.take("do")
    paid = _paid(given, total, frame)
    given.done()
    answer: dict[str, Any] = {
        "per_line_discount": [money.major(line.discount) for line in lines],
        "per_line_tax": [money.major(line.tax or 0) for line in lines],
        "invoices": [
            {
                "lines": [
                    {
                        "label": line.label,
                        "amount": money.major(line.gross),
                        "tax": money.major(line.tax or 0),
                    }
                    for line in lines
                ],
                "subtotal": money.major(sum(line.gross for line in lines)),
                "discount": money.major(sum(line.discount for line in lines)),
                "tax": money.major(sum(line.tax or 0 for line in lines)),
                "total": money.major(total),
            }
        ],
        "credit_notes": [],
    }
    if act is not None:
        if act != "void" or credits is not None or paid:
            raise Unsupported(f"do {act!r} with a credit or payment")
        credits = [{"line": place} for place in range(len(lines))]
    if credits is not None:
        notes = _credit_notes(frame, lines, credits, expect)
        answer["credit_notes"] = _settled(frame, notes, total - paid)
        answer["account_credit"] = sum((note["left"] for note in answer["credit_notes"]), Fraction(0))
    return answer


def _lines(frame: Frame) -> list[Line]:
    given, money = frame.given, frame.money
    percent = given.take("tax_percent", "0")
    if "net" in given:
        return [Line("", money.minor(given.take("net")), parse_ppm(percent), None)]
    lines = []
    for one in given.each("lines"):
        amount = one.take("amount") if "amount" in one else one.need("net")
        tax = one.take("tax")
        rate = one.take("tax_percent", percent)
        label = str(one.take("label", ""))
        one.done()
        lines.append(
            Line(label, money.minor(amount), parse_ppm(rate), None if tax is None else money.minor(tax))
        )
    return lines


def _discounts(frame: Frame, lines: list[Line]) -> list[Discount]:
    given, money = frame.given, frame.money
    discounts = [
        Discount(amount_minor=money.minor(given.take(key))) for key in ("coupon", "discount") if key in given
    ]
    if "discount_percent" in given:
        discounts.append(Discount(ppm=parse_ppm(given.take("discount_percent"))))
    for one in given.each("coupons"):
        on = one.take("on", "all")
        places = None if on == "all" else frozenset(_places(lines, on))
        amount = one.need("amount")
        one.done()
        discounts.append(Discount(amount_minor=money.minor(amount), on=places))
    return discounts


def _places(lines: list[Line], on: Any) -> list[int]:
    labels = [on] if isinstance(on, str) else list(on)
    places = [i for i, line in enumerate(lines) if line.label in labels]
    if len(places) < len(set(labels)):
        raise Unsupported(f"labels {labels!r} that no line has")
    return places


def _paid(given: Given, total: int, frame: Frame) -> int:
    paid, payments = given.take("paid"), given.take("payments")
    if payments not in (None, "all paid"):
        raise Unsupported(f"payments {payments!r}")
    return total if payments else 0 if paid is None else frame.money.minor(paid)


def _credit_notes(
    frame: Frame, lines: list[Line], credits: list[Any], expect: Expect
) -> list[dict[str, Any]]:
    """Money for each line in order makes one note; named lines one, or one each where so many are listed."""
    money = frame.money
    if all(isinstance(credit, str) for credit in credits):
        if len(credits) > len(lines):
            raise Unsupported("more credits than lines")
        parts = [
            _credit(frame, line, net=money.minor(credit))
            for line, credit in zip(lines, credits, strict=False)
        ]
        return [_note([part for part in parts if part["net"]])]
    parts = []
    for credit in credits:
        one = Given(credit, "given.credit")
        place, gross = one.need("line"), one.take("gross")
        one.done()
        line = lines[place if isinstance(place, int) else _places(lines, place)[0]]
        parts.append(_credit(frame, line, gross=None if gross is None else money.minor(gross)))
    listed = expect.get("credit_notes", [])
    return [_note([part]) for part in parts] if len(listed) == len(parts) else [_note(parts)]


def _credit(frame: Frame, line: Line, *, net: int | None = None, gross: int | None = None) -> dict[str, Any]:
    """Take back part of a line: by its net, or by its gross with the share of its discount."""
    money, discount = frame.money, 0
    if net is None:
        gross = line.gross - line.credited_gross if gross is None else gross
        before = post(line.discount * line.credited_gross, line.gross or 1, money.mode)
        line.credited_gross += gross
        discount = post(line.discount * line.credited_gross, line.gross or 1, money.mode) - before
        net = gross - discount
    credit = credit_line(line.credited, net, money.mode)
    line.credited = line.credited._replace(
        credited_net_minor=line.credited.credited_net_minor + credit.net_minor,
        credited_tax_minor=line.credited.credited_tax_minor + credit.tax_minor,
    )
    return {
        "label": line.label,
        "net": money.major(credit.net_minor),
        "tax": money.major(credit.tax_minor),
        "total": money.major(credit.total_minor),
        "discount": money.major(discount),
    }


def _note(parts: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {
        key: sum((part[key] for part in parts), Fraction(0)) for key in ("net", "tax", "total", "discount")
    }
    return {"lines": parts, **sums}


def _settled(frame: Frame, notes: list[dict[str, Any]], due_minor: int) -> list[dict[str, Any]]:
    """A note first pays what is due on the invoice it corrects; the rest stays credit; no refund."""
    due = frame.money.major(due_minor)
    to_origin = frame.convention.policy.credit_target == "origin_first"
    settled = []
    for note in notes:
        applied = min(note["total"], due) if to_origin else Fraction(0)
        due -= applied
        settled.append(
            {**note, "refunded": Fraction(0), "credited": note["total"], "left": note["total"] - applied}
        )
    return settled


# Credits for days of a month.


def credited_days(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, "day_count")
    given, money, count = frame.given, frame.money, frame.convention.day_count
    if count not in ("fixed_30", "actual_over_30", "strict_30_over_360"):
        raise Unsupported(f"days of an unnamed month under day_count {count}")
    price, credits, days = money.minor(given.need("price")), [], []
    for one in given.each("cases"):
        start, end = day_of(one.need("from")), day_of(one.need("to"))
        one.done()
        month = (start, add_months(start, 1))
        if not start < end <= month[1]:
            raise Unsupported(f"{start} to {end} is more than a month")
        share = share_of((start, end), month, count)
        credits.append(money.posted(money.major(price) * share))
        between = days_between if count == "actual_over_30" else days_of_30_between
        days.append(between(start, end))
    given.done()
    return {"credits": credits, "days": days}


# Two plans of several components with an item discount.


def components_changed(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, "day_count", "change_day")
    given, money, count = frame.given, frame.money, frame.convention.day_count
    zone = str(given.take("timezone", "UTC"))
    first, last = given.need("period")
    period, changed_at = (day_of(first, zone), day_of(last, zone)), given.need("change_at")
    start: Any = instant_of(changed_at, zone)
    if not (count == "second" and is_instant(changed_at)):
        is_used = frame.convention.policy.change_day == "used"
        start = min(cut_of_time(local_date(start, zone), is_used=is_used), period[1])
    share = share_of((start, period[1]), period, count, zone)
    discount = money.minor(given.take("discount", "0"))
    answers = {}
    for side, key in (("old", "credit_lines"), ("new", "charge_lines")):
        plan = given.inner(side)
        prices = [money.minor(price) for price in plan.need("components")]
        plan.done()
        shares = allocate(min(discount, sum(prices)), prices)
        left = [Fraction(price - off) for price, off in zip(prices, shares, strict=True)]
        if side == "old" and count == "none":
            left = [Fraction(0)] * len(left)
        answers[key] = [money.posted(money.major(1) * amount * share) for amount in left]
    given.done()
    return answers


# Commitments.


def commitments(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """The true-up of the first period after a start, for each calendar."""
    frame = frame_of(case, "day_count", "true_up_rounding")
    given, money, policy = frame.given, frame.money, frame.convention.policy
    fee, commitment = money.minor(given.need("fee")), money.minor(given.need("commitment"))
    start = day_of(given.need("start"))
    if given.take("billing", "in_arrears") not in ("in_arrears", "in_advance"):
        raise Unsupported("billing of a commitment")
    true_ups = []
    for one in given.each("cases"):
        interval, anchor = parse_interval(one.need("interval")), day_of(one.need("anchor"))
        one.done()
        period = period_containing(anchor, interval, start)
        share = share_of((start, period.end), period, frame.convention.day_count)
        missing = commitment_true_up(
            commitment * share.numerator,
            fee * share.numerator,
            share.denominator,
            rounding=policy.true_up_rounding,
            mode=money.mode,
        )
        true_ups.append(money.major(missing))
    given.done()
    return {"true_ups": true_ups}


def commitment_invoices(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """A fee and its commitment in arrears, billed by one run. A downgrade waits for the period's end, and the
    commitment is due for the whole running period."""
    frame = frame_of(case, "day_count", "true_up_rounding")
    given, money, policy = frame.given, frame.money, frame.convention.policy
    if given.need("billing") != "in_arrears":
        raise Unsupported("a commitment billed in advance")
    zone = str(given.take("timezone", "UTC"))
    fee, commitment = money.minor(given.need("fee")), money.minor(given.need("commitment"))
    interval, requested = (
        parse_interval(given.need("interval")),
        day_of(given.need("request_downgrade"), zone),
    )
    anchor = given.need("anchor")
    anchor = requested.replace(day=1) if anchor == "calendar" else day_of(anchor, zone)
    ran_on = day_of(given.need("applied"), zone)
    given.done()
    period = period_containing(anchor, interval, requested)
    if not period.end <= ran_on < next_boundary(anchor, interval, period.end):
        raise Unsupported("a run that bills not just the period of the downgrade")
    missing = commitment_true_up(commitment, fee, 1, rounding=policy.true_up_rounding, mode=money.mode)
    amounts = [fee, missing] if missing else [fee]
    lines = [{"amount": money.major(amount), "period": list(period)} for amount in amounts]
    subtotal = money.major(sum(amounts))
    return {
        "invoices": [
            {"at": ran_on, "lines": lines, "subtotal": subtotal, "tax": Fraction(0), "total": subtotal}
        ]
    }


# Dunning.


def retries(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case)
    failed_at, gaps = frame.given.need("failed_at"), frame.given.need("gaps_days")
    frame.given.done()
    if is_instant(failed_at):
        failed = instant_of(failed_at)
        attempts: list[Any] = list(retry_schedule(failed, gaps))
        wants_days = not all(is_instant(attempt) for attempt in expect.get("attempts", []))
        attempts = [attempt.date() for attempt in attempts] if wants_days else attempts
    else:
        attempts = list(retry_schedule(day_of(failed_at), gaps))
    failed_on = day_of(failed_at)
    states = [
        {"at": failed_on if not is_instant(one["at"]) else failed_at} for one in expect.get("states", [])
    ]
    return {"attempts": attempts, "states": states}


def campaign(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case, "campaign_gap")
    given = frame.given
    terms = CampaignTerms(
        {code: _minor_of(code, amount) for code, amount in given.need("thresholds").items()},
        int(exact(given.need("max_attempts"))),
        int(exact(given.need("days_between"))),
        frame.convention.policy.campaign_gap,
    )
    overdue = []
    for one in given.each("overdue"):
        currency = one.take("currency", frame.money.code)
        overdue.append(Overdue(day_of(one.need("at")), currency, _minor_of(currency, one.need("amount"))))
        one.done()
    runs = [day_of(run) for run in given.need("runs")]
    given.done()
    states: dict[str, CampaignState] = {}
    made, finished = [], None
    for run in runs:
        open_before = any(_is_open(states.get(code), terms) for code in terms.thresholds_minor)
        states = run_campaign(terms, overdue, states, run)
        made.append({code: state.attempts for code, state in states.items()})
        if open_before and not any(_is_open(states[code], terms) for code in terms.thresholds_minor):
            finished = run
    answer: dict[str, Any] = {"attempts_after_run": made}
    return answer if finished is None else answer | {"finished_notice_at": finished}


def _is_open(state: CampaignState | None, terms: CampaignTerms) -> bool:
    return state is None or state.attempts < terms.max_attempts


def _minor_of(currency: str, amount: Any) -> int:
    return parse_money(amount, currency)


# Prepaid balance.


def top_up(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    frame = frame_of(case)
    given, money = frame.given, frame.money
    stored = money.major(post_money(given.need("credits"), money.code, money.mode))
    rate = exact(given.need("rate"))
    given.done()
    return {"stored": stored, "invoice_total": money.posted(stored * rate)}


def wallet(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """Draws, or invoices with their tax, from grants in the order given."""
    frame = frame_of(case)
    given, money = frame.given, frame.money
    left = []
    for grant in given.each("grants"):
        left.append(money.minor(grant.need("amount")))
        grant.done()
    ppm = parse_ppm(given.take("tax_percent", "0"))
    key = "draws" if "draws" in given else "charges"
    amounts = [money.minor(amount) for amount in given.need(key)]
    given.done()
    drawn, after, used = [], [], [0] * len(left)
    for net in amounts:
        due = net + post(net * ppm, 1_000_000, money.mode)
        draw = draw_from_grants(left, due)
        if key == "draws" and draw.unpaid_minor:
            raise Unsupported("over_draw: a draw above what is left")
        left = [rest - taken for rest, taken in zip(left, draw.taken_minor, strict=True)]
        used = list(draw.taken_minor)
        drawn.append(money.major(sum(used)))
        after.append(money.major(sum(left)))
    return {
        "draws": drawn,
        "left_after": after,
        "used_from": [money.major(amount) for amount in used],
        "left": [money.major(amount) for amount in left],
    }


Shape = Callable[[frozenset[str]], bool]


def _has(*needed: str, within: frozenset[str] | None = None) -> Shape:
    """Keys that must be there, and the only ones that may be (none named: just those needed)."""
    allowed = frozenset(needed) if within is None else within | set(needed)
    return lambda keys: keys >= set(needed) and keys <= allowed


SHAPES: tuple[tuple[Shape, Callable[[Mapping[str, Any], Expect], dict[str, Any]]], ...] = (
    (_has("lines", within=DOCUMENT_KEYS), document),
    (_has("net", within=DOCUMENT_KEYS - {"lines"}), document),
    (_has("failed_at", "gaps_days"), retries),
    (_has("thresholds", "max_attempts", "days_between", "overdue", "runs"), campaign),
    (_has("credits", "rate"), top_up),
    (_has("grants", "draws"), wallet),
    (_has("grants", "charges", within=frozenset({"tax_percent"})), wallet),
    (_has("fee", "commitment", "start", "cases", within=frozenset({"billing"})), commitments),
    (
        _has(
            "fee",
            "commitment",
            "request_downgrade",
            "applied",
            "interval",
            "anchor",
            "billing",
            within=frozenset({"timezone"}),
        ),
        commitment_invoices,
    ),
)


def answer_of(given: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Expect], dict[str, Any]] | None:
    """The rule that answers what is given, by its keys; None where it takes a story."""
    keys = frozenset(given)
    if keys == {"price", "cases"} and all(set(one) == {"from", "to"} for one in given["cases"]):
        return credited_days
    if keys >= {"old", "new", "period", "change_at"} and keys <= {
        "old",
        "new",
        "period",
        "change_at",
        "discount",
        "timezone",
    }:
        if all(set(given[side]) == {"components"} for side in ("old", "new")):
            return components_changed
        return None
    return next((rule for shape, rule in SHAPES if shape(keys)), None)
