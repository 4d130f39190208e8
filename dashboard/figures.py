"""What metrics share on all pages: a value as a card, the customers behind retention, a trend in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from dashboard import keyed, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import retention, revenue
from dashboard.records import targets
from dashboard.records.targets import Key
from dashboard.scope import OrderScope, Scope, compared_words
from dashboard.tables import Column
from dashboard.view import Metric, Published, View, month_before

MONEY = frozenset({"minor", "minor_per_month", "minor_per_year"})
RATIOS = frozenset({"ratio", "share"})
TIMES = frozenset({"quick_ratio", "ltv_to_cac"})
"""Ratios read as so many times, not as a percentage."""


@dataclass(frozen=True)
class Value:
    """A metric in one month.

    Money and counts are whole numbers or decimals; what is divided keeps both of its parts.
    """

    numerator: Decimal | int | None
    denominator: Decimal | int | None = None
    customers: int | None = None
    why_null: str | None = None

    @property
    def ratio(self) -> Decimal | None:
        if self.numerator is None or not self.denominator:
            return None
        return Decimal(self.numerator) / Decimal(self.denominator)

    @property
    def amount(self) -> Decimal | None:
        """The figure itself: the parts divided, or the one part there is."""
        if self.numerator is None or self.why_null is not None:
            return None
        return Decimal(self.numerator) if self.denominator is None else self.ratio


NOTHING = Value(None)
RUNNING = "running"
"""The verdict on a month that is still running, set against a whole month or its target: none yet."""


@dataclass(frozen=True)
class Compared:
    """What a figure is compared with, and that in words.

    `verdict` is a code of fct_metric_changes, or RUNNING. A `value` of None is not compared; the words then
    say why, where there is a reason.
    """

    value: Value | None
    words: str
    verdict: str | None = None


def value_of(values: pl.DataFrame, metric_id: str, month: object) -> Value:
    """A metric's value in a month, from rows of fct_metric_values; empty where there is no such row."""
    row = keyed.first(values, metric_id=metric_id, month=month)
    if row is None:
        return NOTHING
    return Value(row["numerator"], row["denominator"], row["customers"], row["why_null"])


def row_of(rows: pl.DataFrame, month: object) -> Mapping[str, Any]:
    """The row of a month; empty where there is none."""
    return keyed.first(rows, month=month) or {}


def is_percentage(metric: Metric) -> bool:
    return metric.unit in RATIOS and metric.metric_id not in TIMES


def shown(view: View, metric: Metric, amount: Decimal | None, currency: str, *, signed: bool = False) -> str:
    """A figure, or a difference of two, in the metric's unit."""
    _, show = view.text.gettext, view.show
    if metric.unit in MONEY:
        return show.money(amount, currency, signed=signed)
    if is_percentage(metric):
        return show.percent(amount, signed=signed)
    if metric.metric_id in TIMES:
        return _("{number} times").format(number=show.number(amount, 1, signed=signed))
    if metric.unit == "months":
        return _("{number} months").format(number=show.number(amount, 1, signed=signed))
    if metric.unit == "days":
        return _("{number} days").format(number=show.number(amount, 1, signed=signed))
    return show.number(amount, signed=signed)


def changed_by(view: View, metric: Metric, difference: Decimal | None, currency: str) -> str:
    """A change of a figure with its sign; of percentages in points."""
    if difference is not None and is_percentage(metric):
        points = view.text.gettext("{points} points").format(points=view.show.points(difference))
        return view.text.whole(points)
    return shown(view, metric, difference, currency, signed=True)


def compared(
    view: View,
    chosen: Scope | OrderScope,
    metric: Metric,
    former: Value | None,
    changes: pl.DataFrame | None = None,
) -> Compared:
    """What a metric of the chosen month is compared with: `former`, of another month, or its target.

    `changes` are rows of fct_metric_changes, which tell a change from noise.
    """
    _ = view.text.gettext
    if chosen.compare == "target":
        key = Key(metric.metric_id, chosen.month, chosen.currency, chosen.segment)
        wanted = targets.amounts(view.records, chosen.month, chosen.currency, chosen.segment).get(key)
        if wanted is None:
            return Compared(None, _("no target for {month}").format(month=view.show.month(chosen.month)))
        value = target_value(view, metric, wanted, chosen.currency)
        target = shown(view, metric, value.amount, chosen.currency)
        if chosen.is_provisional:
            said = _("{month} is still running, to {day}: against the target of {value} for all of it")
            month, day = view.show.month(chosen.month), view.show.day(view.as_of)
            return Compared(value, said.format(month=month, day=day, value=target), RUNNING)
        return Compared(value, _("against the target of {value}").format(value=target))
    said = compared_words(view, chosen.compared)
    if former is None or former.amount is None:
        return Compared(None, _("{against}: nothing to compare").format(against=said))
    amount = shown(view, metric, former.amount, chosen.currency)
    if chosen.is_provisional:
        said = _("{month} is still running, to {day}: against {value} of the whole of {compared}")
        said = said.format(
            month=view.show.month(chosen.month),
            day=view.show.day(view.as_of),
            value=amount,
            compared=view.show.month(chosen.compared),
        )
        return Compared(former, said, RUNNING)
    said = _("{against}: {value}").format(against=said, value=amount)
    verdict = None
    if changes is not None:
        found = keyed.first(changes, metric_id=metric.metric_id)
        verdict = None if found is None else found["verdict"]
    return Compared(former, said, verdict)


def target_value(view: View, metric: Metric, amount: int, currency: str) -> Value:
    """A target as a value of its metric."""
    unit = unit_of(view, metric, currency)
    if metric.unit in MONEY or unit.scale == 1:
        return Value(amount)
    return Value(amount, unit.scale * (100 if unit.is_percent else 1))


def unit_of(view: View, metric: Metric, currency: str) -> targets.Unit:
    """How a target of a metric is written."""
    is_share = metric.metric_id in SHARES
    unit = "times" if metric.metric_id in TIMES else metric.unit
    return targets.unit_of(unit, view.show.exponent(currency), is_share)


SHARES = frozenset({"grr_12m", "grr_1m", "gross_mrr_churn", "logo_churn", "repeat_rate", "dunning_recovery"})
"""Ratios that lie between 0 and 100 %."""


def card(
    view: View,
    metric: Metric,
    now: Value,
    before: Value | None,
    currency: str,
    against: str,
    *,
    verdict: str | None = None,
    rows: str | None = None,
    note: str | None = None,
) -> Card:
    """The card of a metric: value, change in size and in percent.

    `against` says in words what `before` is, or why there is none; `verdict` whether it is beyond noise.
    """
    _ = view.text.gettext
    said = [note] if note else []
    is_small = is_too_small(view, metric, now)
    if now.amount is None:
        value = _("Not computable")
        said = [*said, words.why_null(view.text)(now.why_null or "nothing_known")]
    elif is_small:
        value, said = _("n too small"), [small_words(view, now.customers or 0), *said]
    else:
        value = shown(view, metric, now.amount, currency)
    change, difference = (None, None) if is_small else _change(view, metric, now, before, currency)
    is_noise = verdict == "within_noise"
    is_good = None
    if difference and metric.good_direction in ("up", "down") and not is_noise and verdict != RUNNING:
        is_good = (difference > 0) == (metric.good_direction == "up")
    if change and verdict in ("changed", "within_noise"):
        said.append(_("within noise") if is_noise else _("beyond noise"))
    if before is None and against and now.amount is not None and not is_small:
        said.append(against)
    return Card(
        title=metric.label,
        value=value,
        help=metric.definition,
        change=change,
        against=against,
        change_is_good=is_good,
        change_is_up=None if not difference else difference > 0,
        note=" · ".join(said) or None,
        rows=rows,
    )


def is_too_small(view: View, metric: Metric, value: Value) -> bool:
    """Whether so few customers are behind a share that it would mean nothing."""
    return metric.unit in RATIOS and value.customers is not None and value.customers < view.min_customers


def small_words(view: View, customers: int) -> str:
    """How many customers there are, where they are too few for a share."""
    count = view.show.number(customers)
    return view.text.ngettext("{count} customer", "{count} customers", customers).format(count=count)


def _change(
    view: View, metric: Metric, now: Value, before: Value | None, currency: str
) -> tuple[str | None, Decimal | None]:
    """The change in words, and its size; amounts with their share of the former value, ratios in points."""
    _, show = view.text.gettext, view.show
    if before is None or now.amount is None or before.amount is None:
        return None, None
    difference = now.amount - before.amount
    if is_percentage(metric):
        return view.text.whole(_("{points} points").format(points=show.points(difference))), difference
    said = shown(view, metric, difference, currency, signed=True)
    if before.amount:
        share = difference / abs(before.amount)
        said = f"{said} ({show.percent(share, signed=True)})"
    return (said if metric.unit in MONEY or metric.unit == "count" else view.text.whole(said)), difference


@dataclass(frozen=True)
class Figures:
    """The metrics of the chosen month, whether they changed beyond noise, and which were restated."""

    values: pl.DataFrame
    changes: pl.DataFrame
    restatements: pl.DataFrame


def read(published: Published, chosen: Scope) -> Figures:
    """The figures of a page, of the chosen month and the one compared with."""
    queries = (revenue.VALUES, revenue.CHANGES, revenue.RESTATED)
    return Figures(*(published.rows(query, **chosen.values) for query in queries))


def card_against(
    view: View,
    chosen: Scope | OrderScope,
    metric: Metric,
    now: Value,
    former: Value | None,
    changes: pl.DataFrame | None = None,
    *,
    rows: str | None = None,
    note: str | None = None,
) -> Card:
    """The card of a metric beside what it is compared with; `former` and `changes` as in `compared`."""
    against = compared(view, chosen, metric, former, changes)
    return card(
        view,
        metric,
        now,
        against.value,
        chosen.currency,
        against.words,
        verdict=against.verdict,
        rows=rows,
        note=note,
    )


def card_of(
    view: View,
    chosen: Scope,
    known: Figures,
    metric_id: str,
    *,
    rows: str | None = None,
    note: str | None = None,
) -> Card:
    """The card of a metric of the chosen month."""
    metric = view.metric(metric_id)
    now, former = (value_of(known.values, metric_id, month) for month in (chosen.month, chosen.compared))
    said = [one for one in (note, restated(view, known.restatements, metric, chosen.currency)) if one]
    note = " · ".join(said) or None
    return card_against(view, chosen, metric, now, former, known.changes, rows=rows, note=note)


def restated(view: View, rows: pl.DataFrame, metric: Metric, currency: str) -> str | None:
    """That a figure is not as it was first reported, from rows of fct_restatements; None when it is."""
    row = keyed.first(rows, metric_id=metric.metric_id)
    if row is None:
        return None
    first = Value(row["first_numerator"], row["first_denominator"])
    return view.text.gettext("restated, first reported as {value}").format(
        value=shown(view, metric, first.amount, currency)
    )


def of_month(view: View, title: str, month: date) -> str:
    """A title with the month it speaks of."""
    return view.text.gettext("{title}, {month}").format(title=title, month=view.show.month(month))


def scored_words(view: View, score: Mapping[str, Any]) -> str:
    """Of which day a score is and by which model, as Markdown: no score stands without it."""
    return view.text.gettext("Scored for {day} by model {model}.").format(
        day=view.show.day(score["as_of"]), model=f"`{score['model_id']}`"
    )


def stored(view: View, unit: str | None, value: float | None, currency: str, *, signed: bool = False) -> str:
    """A figure as the warehouse keeps it, in its unit: money in its currency, a share as a percentage."""
    if value is None:
        return view.show.number(None)
    if unit in MONEY:
        return view.show.money(Decimal(repr(value)), currency, signed=signed)
    if unit in RATIOS:
        return view.show.percent(value, 2, signed=signed)
    return view.show.number(value, 2, signed=signed)


def customer_columns(view: View) -> list[Column]:
    """Who a row is about."""
    _ = view.text.gettext
    return [
        Column("name", _("Customer")),
        Column("customer_id", _("Customer id"), "id"),
        Column("segment", _("Segment")),
    ]


def retention_drill(view: View, chosen: Scope, values: pl.DataFrame, metric_id: str) -> Drill:
    """The customers a retention figure starts from, with what each paid then and pays now.

    Both parts of the ratio are sums of a column. An id that ends in `_12m` looks back 12 months, others one.
    """
    _ = view.text.gettext
    value = value_of(values, metric_id, chosen.month)
    start = Column("start_mrr", _("MRR at the start"), "money", currency=chosen.currency)
    parts = {
        "nrr": Column("end_mrr", _("MRR at the end"), "money", currency=chosen.currency),
        "grr": Column("kept_mrr", _("MRR kept"), "money", currency=chosen.currency),
        "gross": Column("lost_mrr", _("MRR lost"), "money", currency=chosen.currency),
    }
    part = parts.get(metric_id.split("_")[0], parts["nrr"])
    checks = [Check(part, value.numerator), Check(start, value.denominator)]
    columns = [*customer_columns(view), start, *parts.values()]
    if metric_id == "logo_churn":
        lost = Column("is_lost", _("Left"), "count")
        checks, columns = [Check(lost, value.numerator)], [*customer_columns(view), start, parts["nrr"], lost]
    metric = view.metric(metric_id)
    opening = month_before(chosen.month, 12 if metric_id.endswith("_12m") else 1)
    return Drill(
        metric_id,
        of_month(view, metric.label, chosen.month),
        retention.START_SET_ROWS,
        {**chosen.values, "opening_month": opening},
        columns,
        checks,
        metric=metric_id,
        notes=[_("Customers that paid at the close of {month}.").format(month=view.show.month(opening))],
        expected_rows=int(value.denominator or 0) if metric_id == "logo_churn" else None,
    )


def trend_words(view: View, label: str, trend: pl.DataFrame, column: str, shown: Callable[[Any], str]) -> str:
    """A line described for who cannot see it: what, from when to when, the last value and the direction."""
    _ = view.text.gettext
    if trend.is_empty():
        return label
    first, last = trend[column][0], trend[column][-1]
    pattern = _("{label} from {start} to {end}: now {value}, higher than at the start.")
    if last == first:
        pattern = _("{label} from {start} to {end}: now {value}, the same as at the start.")
    elif last < first:
        pattern = _("{label} from {start} to {end}: now {value}, lower than at the start.")
    return pattern.format(
        label=label,
        start=view.show.month(trend["month"][0]),
        end=view.show.month(trend["month"][-1]),
        value=shown(last),
    )
