"""Page 4, forecast and targets: will we hit plan?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, charts, figures, frame, plan, scope, theme, timeline, words
from dashboard.figures import Figures, Value
from dashboard.frame import Card, Check, Drill
from dashboard.plan import Plan
from dashboard.queries import Query, forecast, orders, revenue
from dashboard.scope import ALL, OrderScope, Scope
from dashboard.tables import Column
from dashboard.view import Published, View, month_before, open_view

SHOWN_MONTHS = 24
TABLE_MONTHS = 12
NEAR = (1, 6)  # the months ahead by which the methods are compared
NAIVE = "last_value"
METRICS = (
    "mrr",
    "new_mrr",
    "expansion_mrr",
    "nrr_12m",
    "grr_12m",
    "gross_mrr_churn",
    "logo_churn",
    "customers",
    "arpa",
    "quick_ratio",
    "net_cash",
    "dso",
    "dunning_recovery",
)
RETAINED = ("nrr_12m", "grr_12m", "gross_mrr_churn", "logo_churn")
OF_ORDERS = ("order_revenue", "orders")
ORDER_METRICS = (*OF_ORDERS, "order_customers", "repeat_rate")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "forecast", _("Will we hit plan?"))
    scope.page(view, subscriptions, order_targets)


def subscriptions(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.subscriptions(view, published)
    if chosen is None:
        return
    with frame.panel(view):
        origin = replace(chosen, month=month_before(chosen.month)) if chosen.is_provisional else chosen
        known = figures.read(published, chosen)
        ahead = published.rows(forecast.HEADLINE, **origin.values)
        record = published.rows(forecast.BACKTEST, **chosen.values)
        metric_id = metric_choice(view, METRICS)
        shown = subscription_plan(view, published, chosen, metric_id, ahead)
        expected = Expected(view, chosen, origin.month, ahead, record)
        frame.cards(view, cards(view, chosen, known, expected, published))
        frame.drill(view, published, list(drills(view, published, chosen, known, expected, shown)))
        with frame.panel(view):
            values = history_values(chosen, shown.metric.metric_id)
            plan_chart(view, published, shown, chosen.month, forecast.HISTORY, values)
            expected.explained()
        with frame.panel(view):
            variance_table(view, published, shown, chosen.month)
        with frame.panel(view):
            backtest(view, published, expected)
        with frame.panel(view):
            segments = [ALL, *published.rows(revenue.SEGMENTS)["segment"].to_list()]
            plan.editor(view, shown, units(view, METRICS, chosen.currency), segments)
    timeline.editor(view)


def order_targets(view: View, published: Published) -> None:
    """Targets of repeat trade beside what came; nothing of it is forecast."""
    _ = view.text.gettext
    chosen = scope.orders(view, published, compares=False)
    if chosen is None:
        return
    with frame.panel(view):
        st.caption(
            _("Orders are not forecast: a forecast needs subscriptions. Targets stand beside what came.")
        )
        metric_id = metric_choice(view, ORDER_METRICS)
        shown = order_plan(view, published, chosen, metric_id)
        with frame.panel(view):
            query = orders.REVENUE if metric_id in OF_ORDERS else orders.REPEAT
            plan_chart(view, published, shown, chosen.month, query, chosen.values)
        with frame.panel(view):
            variance_table(view, published, shown, chosen.month)
        with frame.panel(view):
            plan.editor(view, shown, units(view, ORDER_METRICS, chosen.currency), [chosen.segment])
    timeline.editor(view)


def metric_choice(view: View, metrics: Sequence[str]) -> str:
    labels = {metric_id: view.metric(metric_id).label for metric_id in metrics}
    return address.choice(
        "metric",
        view.text.gettext("Metric"),
        list(metrics),
        metrics[0],
        labels.__getitem__,
        resets=("rows", "page"),
    )


def units(view: View, metrics: Sequence[str], currency: str) -> dict[str, Any]:
    return {metric_id: figures.unit_of(view, view.metric(metric_id), currency) for metric_id in metrics}


# What was, what is expected, what should be


def subscription_plan(
    view: View, published: Published, chosen: Scope, metric_id: str, ahead: pl.DataFrame
) -> Plan:
    rows = published.rows(forecast.HISTORY, **history_values(chosen, metric_id))
    actual = {
        row["month"]: Value(row["numerator"], row["denominator"], row["customers"], row["why_null"])
        for row in rows.iter_rows(named=True)
        if not row["is_provisional"]
    }
    expected = {}
    if metric_id == "mrr":
        expected = {
            row["month"]: (row["point"], row["low"], row["high"]) for row in ahead.iter_rows(named=True)
        }
    wanted = plan.wanted(view, metric_id, chosen.currency, chosen.segment)
    return Plan(view.metric(metric_id), chosen.currency, chosen.segment, actual, expected, wanted)


def history_values(chosen: Scope, metric_id: str) -> dict[str, object]:
    """What the months of a metric are asked with."""
    first = month_before(chosen.month, SHOWN_MONTHS - 1)
    return {**chosen.values, "metric_id": metric_id, "first_month": first}


def order_plan(view: View, published: Published, chosen: OrderScope, metric_id: str) -> Plan:
    """A month that is still running has met or missed no target yet, so it is no actual one."""
    closed = pl.col("month").is_in(
        published.rows(orders.MONTHS).filter(~pl.col("is_provisional"))["month"].to_list()
    )
    months = published.rows(orders.REVENUE, **chosen.values).filter(closed)
    repeat = published.rows(orders.REPEAT, **chosen.values).filter(closed)
    values = {
        "order_revenue": lambda: {
            row["month"]: Value(row["revenue_minor"]) for row in months.iter_rows(named=True)
        },
        "orders": lambda: {row["month"]: Value(row["orders"]) for row in months.iter_rows(named=True)},
        "order_customers": lambda: {
            row["month"]: Value(row["customers"]) for row in repeat.iter_rows(named=True)
        },
        "repeat_rate": lambda: {
            row["month"]: Value(row["repeat_customers"], row["window_customers"], row["window_customers"])
            for row in repeat.iter_rows(named=True)
        },
    }
    wanted = plan.wanted(view, metric_id, chosen.currency, chosen.segment)
    return Plan(view.metric(metric_id), chosen.currency, chosen.segment, values[metric_id](), {}, wanted)


# How good the forecast is


@dataclass(frozen=True)
class Expected:
    """The forecast shown, and how its method has done beside the simplest one."""

    view: View
    chosen: Scope
    origin: date
    ahead: pl.DataFrame
    record: pl.DataFrame

    @property
    def method(self) -> str | None:
        return None if self.ahead.is_empty() else str(self.ahead["method"][0])

    @property
    def last(self) -> dict[str, Any]:
        """The forecast furthest ahead that there is."""
        found = self.ahead.filter(pl.col("point").is_not_null())
        return {} if found.is_empty() else found.row(-1, named=True)

    def error(self, method: str | None, horizons: tuple[int, int] = NEAR) -> Value:
        """Size of past errors over what came, both summed over months ahead."""
        if method is None:
            return Value(None)
        rows = self.record.filter(
            (pl.col("method") == method) & pl.col("horizon_months").is_between(*horizons)
        )
        if rows.is_empty():
            return Value(None)
        return Value(sum(rows["error_size"].to_list()), sum(rows["actual_sum"].to_list()))

    def explained(self) -> None:
        """In words: the method, why it is the one, how wrong it has been, and what its amounts leave out."""
        view, _ = self.view, self.view.text.gettext
        method = words.forecast_method(view.text)
        if not self.last:
            why = None if self.ahead.is_empty() else self.ahead["why_null"][0]
            st.caption(words.forecast_null(view.text)(why or "history_too_short"))
            return
        said = [
            _("Forecast from the close of {month} by: {method}.").format(
                month=view.show.month(self.origin), method=method(self.method)
            ),
            words.headline_why(view.text)(self.last["headline_why"]),
        ]
        own, naive = self.error(self.method).ratio, self.error(NAIVE).ratio
        if own is not None and naive is not None and self.method != NAIVE:
            pattern = _(
                "Over 1 to 6 months its error was {own} of MRR, against {naive} had MRR simply been expected "
                "to stay."
            )
            said.append(pattern.format(own=view.show.percent(own), naive=view.show.percent(naive)))
        if self.last["is_simulated"]:
            said.append(_("The interval is simulated from past months, and rather too narrow."))
        said.append(
            _("The interval is made to hold four of five outcomes. Exchange rates are taken as constant.")
        )
        st.caption(" ".join(said))


def cards(view: View, chosen: Scope, known: Figures, expected: Expected, published: Published) -> list[Card]:
    _, show = view.text.gettext, view.show
    mrr = view.metric("mrr_forecast")
    now = figures.value_of(known.values, "mrr", chosen.month)
    last = expected.last
    ahead = figures.card(
        view,
        replace(mrr, label=figures.of_month(view, mrr.label, last["month"]) if last else mrr.label),
        Value(last.get("point"), why_null=None if last else "nothing_known"),
        now,
        chosen.currency,
        _("against MRR of {month}").format(month=show.month(chosen.month)),
        rows="forecast",
        note=interval_words(view, chosen, last),
    )
    error = view.metric("forecast_error")
    own = expected.error(expected.method)
    naive = expected.error(NAIVE)
    good = figures.card(
        view,
        replace(error, label=_("{metric}, 1 to 6 months ahead").format(metric=error.label)),
        own,
        naive if expected.method != NAIVE else None,
        chosen.currency,
        _("no other method was closer")
        if expected.method == NAIVE
        else _("against the last value: {value}").format(value=show.percent(naive.ratio)),
        rows="backtest-near",
    )
    mrr_card = figures.card_of(view, chosen, known, "mrr", rows="actual")
    return [mrr_card, ahead, target_card(view, chosen, expected, published), good]


def interval_words(view: View, chosen: Scope, last: Mapping[str, Any]) -> str | None:
    if not last or last["low"] is None:
        return None
    low, high = (view.show.money_short(last[bound], chosen.currency) for bound in ("low", "high"))
    return view.text.gettext("80% interval: {low} to {high}").format(low=low, high=high)


def target_card(view: View, chosen: Scope, expected: Expected, published: Published) -> Card:
    """How far the forecast lies from the last target it reaches."""
    _ = view.text.gettext
    shown = subscription_plan(view, published, chosen, "mrr", expected.ahead)
    reached = [
        month for month in sorted(shown.expected) if month in shown.wanted and shown.expected[month][0]
    ]
    if not reached:
        return Card(
            _("Forecast against target"),
            _("No target"),
            note=_("Write targets of MRR below, for months that are forecast."),
        )
    month = reached[-1]
    point, target = shown.expected[month][0], shown.target(view, month)
    assert point is not None
    assert target is not None
    row = plan.variance(view, shown, [month]).row(0, named=True)
    difference = point - target
    return Card(
        figures.of_month(view, _("Forecast against target"), month),
        view.show.money(difference, chosen.currency, signed=True),
        change=view.show.percent(difference / target, signed=True) if target else None,
        against=_("against the target of {value}").format(value=shown.shown(view, target)),
        change_is_good=None if not difference else difference > 0,
        change_is_up=None if not difference else difference > 0,
        note=row["meaning"],
        rows="forecast-target",
    )


def plan_chart(
    view: View,
    published: Published,
    shown: Plan,
    month: date,
    query: Query,
    values: Mapping[str, object],
) -> None:
    """Actual, expected with its interval, and target as a dashed line. `query` with `values` gave the actual
    ones."""
    _, show = view.text.gettext, view.show
    first = month_before(month, SHOWN_MONTHS - 1)
    last = max([month, *shown.expected, *(one for one in shown.wanted if one <= month_before(month, -12))])
    months = []
    while first <= last:
        months.append(first)
        first = month_before(first, -1)
    starts = next((place for place, one in enumerate(months) if one in shown.actual), 0)
    months = months[starts:]
    is_percent = figures.is_percentage(shown.metric)

    def drawn(amount: Decimal | None) -> float | None:
        if amount is None:
            return None
        is_money = shown.metric.unit in figures.MONEY
        return show.size(amount, shown.currency) if is_money else float(amount)

    def line(
        name: str, amounts: Sequence[Decimal | None], colour: str, dashed: bool = False
    ) -> charts.Series:
        words_of = [shown.shown(view, amount) for amount in amounts]
        return charts.Series(name, [drawn(one) for one in amounts], words_of, is_dashed=dashed, colour=colour)

    actual = [shown.known(view, one) for one in months]
    points = [shown.expected.get(one, (None, None, None))[0] for one in months]
    newest = max((place for place, amount in enumerate(actual) if amount is not None), default=None)
    joined = list(points)
    if newest is not None and newest + 1 < len(months) and points[newest + 1] is not None:
        joined[newest] = actual[newest]
    series = [line(_("Actual"), actual, theme.BLUE)]
    if shown.expected:
        series.append(line(_("Forecast"), joined, theme.GREY))
    wanted = [shown.target(view, one) for one in months]
    if any(one is not None for one in wanted):
        series.append(line(_("Target"), wanted, theme.AMBER, dashed=True))
    band = None
    if any(bounds[1] is not None for bounds in shown.expected.values()):
        bounds = [shown.expected.get(one, (None, None, None)) for one in months]
        band = charts.Band(
            _("80% interval"), [drawn(one[1]) for one in bounds], [drawn(one[2]) for one in bounds]
        )
    table = plan.variance(view, shown, months)
    label = shown.metric.label
    title = _("{metric}: actual, forecast and target").format(metric=label)
    if not shown.expected:
        title = _("{metric}: actual and target").format(metric=label)
    came = [(one, float(amount)) for one, amount in zip(months, actual, strict=True) if amount is not None]
    trend = pl.DataFrame(came, schema={"month": pl.Date, "amount": pl.Float64}, orient="row")
    timeline.chart(
        view,
        published,
        "plan",
        title,
        months,
        lambda marks: charts.lines(
            [show.month(one) for one in months],
            series,
            view.text.is_right_to_left,
            is_percent=is_percent,
            size=show.size_short,
            marks=marks,
            band=band,
        ),
        figures.trend_words(
            view, label, trend, "amount", lambda amount: shown.shown(view, Decimal(str(amount)))
        ),
        plan.columns(view, shown, table),
        table if actual else table.clear(),
        query=query,
        values=values,
        metric=shown.metric.metric_id,
    )


def variance_table(view: View, published: Published, shown: Plan, month: date) -> None:
    """Month by month: a year back, and as far ahead as something is expected or wanted."""
    _ = view.text.gettext
    newest = max(shown.actual, default=month)  # the month chosen may still be running
    ahead = sorted({one for one in (*shown.expected, *shown.wanted) if one > newest})
    back = [one for one in sorted(shown.actual) if one > month_before(month, TABLE_MONTHS)]
    months = sorted({*back, *ahead})[: TABLE_MONTHS + plan.MONTHS_AHEAD]
    title = _("{metric} by month against its target").format(metric=shown.metric.label)
    st.subheader(title, anchor=False)
    rows = plan.variance(view, shown, months)
    frame.table(view, title, plan.columns(view, shown, rows), rows)
    if not rows.is_empty():
        if not plan.has_target(rows):
            st.caption(_("No target is written for any of these months."))
        frame.download(view, "targets", plan.all_columns(view, shown), lambda: rows, published, title=title)
    if shown.metric.metric_id in ("mrr", *RETAINED):
        frame.rows_choice(
            view,
            _("Customers behind a month"),
            {f"actual-{one:%Y-%m}": view.show.month(one) for one in reversed(back)},
        )


def backtest(view: View, published: Published, expected: Expected) -> None:
    """Errors of every method by months ahead, each beside the naive ones, with the way to the forecasts."""
    _, show = view.text.gettext, view.show
    method = words.forecast_method(view.text)
    record = expected.record
    horizons = sorted(set(record["horizon_months"].to_list()))
    methods = sorted(set(record["method"].to_list()), key=lambda one: (one != expected.method, one))
    colours = (theme.BLUE, theme.GREY, theme.AMBER)

    def shares(name: str) -> list[float | None]:
        own = dict(
            record.filter(pl.col("method") == name).select("horizon_months", "error_share").iter_rows()
        )
        return [own.get(horizon) for horizon in horizons]

    series = [
        charts.Series(
            method(name), shares(name), [show.percent(share) for share in shares(name)], colour=colour
        )
        for name, colour in zip(methods, colours, strict=False)
    ]
    frame.chart(
        view,
        published,
        "backtest",
        _("How far past forecasts were off, by months ahead"),
        lambda: charts.lines(
            [show.number(horizon) for horizon in horizons],
            series,
            view.text.is_right_to_left,
            is_percent=True,
        ),
        _("Error of {count} methods by months ahead, as a share of what came.").format(
            count=show.number(len(methods))
        ),
        [
            Column("horizon_months", _("Months ahead"), "count"),
            Column("method", _("Method"), words=method),
            Column("origins", _("Forecasts tried"), "count"),
            Column("error_share", view.metric("forecast_error").label, "percent"),
            Column("bias_share", view.metric("forecast_bias").label, "percent", signed=True),
            Column("coverage", view.metric("forecast_coverage").label, "percent"),
        ],
        record,
        query=forecast.BACKTEST,
        values=expected.chosen.values,
    )
    if horizons and expected.method:
        frame.rows_choice(
            view,
            _("Past forecasts so many months ahead"),
            {f"backtest-{horizon}": show.number(horizon) for horizon in horizons},
        )


# Rows


def drills(
    view: View, published: Published, chosen: Scope, known: Figures, expected: Expected, shown: Plan
) -> Iterator[Drill]:
    yield mrr_drill(view, chosen, "actual", figures.value_of(known.values, "mrr", chosen.month))
    for month, value in shown.actual.items():
        then = replace(chosen, month=month)
        key = f"actual-{month:%Y-%m}"
        if shown.metric.metric_id == "mrr":
            yield mrr_drill(view, then, key, value)
        elif shown.metric.metric_id in RETAINED and address.read("rows") == key:
            values = published.rows(revenue.VALUES, **then.values)
            yield replace(figures.retention_drill(view, then, values, shown.metric.metric_id), key=key)
    yield from (forecast_drill(view, expected, key) for key in ("forecast", "forecast-target"))
    if expected.method:
        yield backtest_drill(view, expected, "backtest-near", NEAR)
        for horizon in set(expected.record["horizon_months"].to_list()):
            yield backtest_drill(view, expected, f"backtest-{horizon}", (horizon, horizon))


def mrr_drill(view: View, chosen: Scope, key: str, value: Value) -> Drill:
    _ = view.text.gettext
    amount = Column("mrr", view.metric("mrr").label, "money", currency=chosen.currency)
    return Drill(
        key,
        figures.of_month(view, view.metric("mrr").label, chosen.month),
        revenue.MRR_ROWS,
        chosen.values,
        [*figures.customer_columns(view), Column("plan_name", _("Plan")), amount],
        [Check(amount, value.numerator)],
    )


def forecast_drill(view: View, expected: Expected, key: str) -> Drill:
    _ = view.text.gettext
    currency = expected.chosen.currency
    point = Column("point", _("Forecast"), "money", currency=currency)
    return Drill(
        key,
        _("Forecast from the close of {month}").format(month=view.show.month(expected.origin)),
        forecast.HEADLINE,
        {**expected.chosen.values, "month": expected.origin},
        [
            Column("month", _("Month"), "month"),
            Column("horizon_months", _("Months ahead"), "count"),
            Column("method", _("Method"), words=words.forecast_method(view.text)),
            point,
            Column("low", _("Lower bound"), "money", currency=currency),
            Column("high", _("Upper bound"), "money", currency=currency),
        ],
        expected_rows=expected.ahead.height,
    )


def backtest_drill(view: View, expected: Expected, key: str, horizons: tuple[int, int]) -> Drill:
    """The past forecasts of the method shown: their errors add up to the error share."""
    _, show = view.text.gettext, view.show
    currency = expected.chosen.currency
    size = Column("error_size", _("Size of the error"), "money", currency=currency)
    actual = Column("actual", _("What came"), "money", currency=currency)
    value = expected.error(expected.method, horizons)
    ahead = show.number(horizons[0])
    if horizons[0] != horizons[1]:
        ahead = _("{first} to {last}").format(first=ahead, last=show.number(horizons[1]))
    return Drill(
        key,
        _("Past forecasts {ahead} months ahead").format(ahead=ahead),
        forecast.BACKTEST_ROWS,
        {
            **expected.chosen.values,
            "method": expected.method,
            "horizon_from": horizons[0],
            "horizon_to": horizons[1],
        },
        [
            Column("origin_month", _("Made at the close of"), "month"),
            Column("target_month", _("For"), "month"),
            Column("point", _("Forecast"), "money", currency=currency),
            actual,
            Column("error", _("Error"), "money", currency=currency, signed=True),
            size,
        ],
        [Check(size, value.numerator), Check(actual, value.denominator)],
    )


render(open_view())
