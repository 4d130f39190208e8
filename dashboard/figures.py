"""What metrics share on all pages: a value as a card, the customers behind retention, a trend in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from dashboard.frame import Card, Check, Drill
from dashboard.queries import retention
from dashboard.scope import Scope
from dashboard.tables import Column
from dashboard.view import Metric, View, month_before

MONEY = frozenset({"minor", "minor_per_month", "minor_per_year"})
RATIOS = frozenset({"ratio", "share"})


@dataclass(frozen=True)
class Value:
    """A metric in one month.

    Money and counts are whole numbers or decimals; a ratio keeps both of its parts.
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


def value_of(values: pl.DataFrame, metric_id: str, month: object) -> Value:
    """A metric's value in a month, from rows of fct_metric_values; empty where there is no such row."""
    rows = values.filter((pl.col("metric_id") == metric_id) & (pl.col("month") == month))
    if rows.is_empty():
        return Value(None)
    row: Mapping[str, Any] = rows.row(0, named=True)
    return Value(row["numerator"], row["denominator"], row["customers"], row["why_null"])


def row_of(rows: pl.DataFrame, month: object) -> dict[str, Any]:
    """The row of a month; empty where there is none."""
    found = rows.filter(pl.col("month") == month)
    return {} if found.is_empty() else found.row(0, named=True)


def card(
    view: View,
    metric: Metric,
    now: Value,
    before: Value | None,
    currency: str,
    against: str,
    *,
    rows: str | None = None,
    note: str | None = None,
) -> Card:
    """The card of a metric. `against` says in words what `before` is."""
    _, show = view.text.gettext, view.show
    if metric.unit in MONEY:
        shown = show.money(now.numerator, currency)
    elif metric.unit in RATIOS:
        shown = show.percent(now.ratio)
    else:
        shown = show.number(now.numerator)
    is_small = metric.unit in RATIOS and now.customers is not None and now.customers < view.min_customers
    if (metric.unit in RATIOS and now.ratio is None) or now.numerator is None:
        shown, note = _("Not computable"), _("There is nothing to divide by: no customer paid at the start.")
    elif is_small:
        shown, note = _("n too small"), small_words(view, now.customers or 0)
    change, difference = (None, None) if is_small else _change(view, metric, now, before, currency)
    is_good = None
    if difference and metric.good_direction in ("up", "down") and not is_small:
        is_good = (difference > 0) == (metric.good_direction == "up")
    return Card(
        title=metric.label,
        value=shown,
        help=metric.definition,
        change=change,
        against=against,
        change_is_good=is_good,
        change_is_up=None if not difference else difference > 0,
        note=note,
        rows=rows,
    )


def small_words(view: View, customers: int) -> str:
    """How many customers there are, where they are too few for a share."""
    count = view.show.number(customers)
    return view.text.ngettext("{count} customer", "{count} customers", customers).format(count=count)


def _change(
    view: View, metric: Metric, now: Value, before: Value | None, currency: str
) -> tuple[str | None, Decimal | None]:
    """The change in words, and its size; money with its share of the former value, ratios in points."""
    _, show = view.text.gettext, view.show
    if before is None:
        return None, None
    if metric.unit in RATIOS:
        if now.ratio is None or before.ratio is None:
            return None, None
        points = now.ratio - before.ratio
        return view.text.whole(_("{points} points").format(points=show.points(points))), points
    if now.numerator is None or before.numerator is None:
        return None, None
    difference = Decimal(now.numerator) - Decimal(before.numerator)
    shown = (
        show.money(difference, currency, signed=True)
        if metric.unit in MONEY
        else show.number(difference, signed=True)
    )
    if before.numerator:
        share = difference / Decimal(before.numerator)
        shown = f"{shown} ({show.percent(share, signed=True)})"
    return shown, difference


def of_month(view: View, title: str, month: date) -> str:
    """A title with the month it speaks of."""
    return view.text.gettext("{title}, {month}").format(title=title, month=view.show.month(month))


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
