"""Page 1, revenue overview: are we growing, and what moved? Subscriptions, or else orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import streamlit as st

from dashboard import (
    address,
    charts,
    cohorts,
    figures,
    frame,
    plan,
    receivables,
    scope,
    theme,
    timeline,
    words,
)
from dashboard.figures import Figures
from dashboard.frame import Card, Check, Drill
from dashboard.queries import retention, revenue
from dashboard.receivables import Receivables
from dashboard.scope import ALL, Scope
from dashboard.screens import order_revenue, strips
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

OVERDUE = {"overdue": 31}
CARDS = ("mrr", "nrr_12m", "gross_mrr_churn")
MOVEMENTS = ("new", "expansion", "reactivation", "contraction", "churn")
BETWEEN = ("entered", "left", "fx_impact")  # bars that stand only where something moved
ECONOMICS = ("arr", "customers", "quick_ratio", "arpa", "ltv_formula", "cac", "ltv_to_cac", "cac_payback")
# What a figure of fct_unit_economics divides: the columns of its parts.
PARTS = {
    "ltv_formula": ("ltv_part", "ltv_base"),
    "cac": ("sm_cost", "new_customers"),
    "ltv_to_cac": ("ltv", "cac"),
    "cac_payback": ("sm_cost", "new_margin_mrr"),
}


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "revenue", _("Are we growing, and what moved?"))
    scope.page(view, subscriptions, order_revenue.show)


def subscriptions(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.subscriptions(view, published)
    if chosen is None:
        return
    with frame.panel(view):
        known = figures.read(published, chosen)
        chosen = replace(chosen, plan=address.chosen("plan", list(plans(view, published, chosen)), ALL))
        bridge = published.rows(revenue.BRIDGE, **chosen.values).row(0, named=True)
        owed = receivables.at_close(published, chosen)
        frame.cards(view, subscription_cards(view, chosen, known, owed))
        rows = st.container()
        charts_of(view, published, chosen, bridge, owed)
        st.subheader(_("Unit economics"), anchor=False)
        frame.cards(
            view,
            [figures.card_of(view, chosen, known, metric_id, rows=metric_id) for metric_id in ECONOMICS],
        )
        with rows:
            frame.drill(view, published, subscription_drills(view, published, chosen, known, bridge, owed))
    timeline.editor(view)


def charts_of(
    view: View, published: Published, chosen: Scope, bridge: Mapping[str, Any], owed: Receivables
) -> None:
    """What moved, where it leads, who owes, and who may leave."""
    with frame.panel(view):
        bridge_chart(view, published, chosen, bridge)
    left, right = st.columns(2, gap="large")
    with left, frame.panel(view):
        trend_chart(view, published, chosen)
    with right, frame.panel(view):
        receivables.chart(view, published, chosen, owed)
    left, right = st.columns(2, gap="large")
    with left, frame.panel(view):
        monthly = published.rows(retention.COHORTS, **chosen.values, grain="month")
        grain = cohorts.best_grain(monthly, "start_customers", view.min_customers)
        by_age = published.rows(retention.COHORTS, **chosen.values, grain=grain)
        values = {**chosen.values, "grain": grain}
        strips.newest_cohorts(
            view, published, by_age, "customers", "start_customers", grain, retention.COHORTS, values
        )
    with right, frame.panel(view):
        strips.top_risks(view, published, chosen.segment, chosen.currency)


def subscription_cards(view: View, chosen: Scope, known: Figures, owed: Receivables) -> list[Card]:
    _ = view.text.gettext
    metric = receivables.overdue_metric(view, _("Overdue for more than 30 days"))
    now, former = (owed.overdue(month, OVERDUE["overdue"]) for month in (chosen.month, chosen.compared))
    overdue = figures.card_against(view, chosen, metric, now, former, rows="overdue")
    return [*(figures.card_of(view, chosen, known, one, rows=one) for one in CARDS), overdue]


def subscription_drills(
    view: View,
    published: Published,
    chosen: Scope,
    known: Figures,
    bridge: Mapping[str, Any],
    owed: Receivables,
) -> list[Drill]:
    """The rows behind each card, each bar of the bridge, each month of the trend and each bucket."""
    retained = [
        figures.retention_drill(view, chosen, known.values, metric)
        for metric in ("nrr_12m", "gross_mrr_churn")
    ]
    return [
        *mrr_drills(view, chosen, known.values),
        *month_drills(view, published, chosen),
        *retained,
        *(bar_drill(view, chosen, name, bridge[name]) for name in (*MOVEMENTS, *BETWEEN)),
        quick_ratio_drill(view, chosen, known.values),
        *(parts_drill(view, chosen, known.values, metric_id) for metric_id in PARTS),
        *receivables.drills(view, chosen, owed, OVERDUE),
    ]


def mrr_drills(view: View, chosen: Scope, values: pl.DataFrame) -> Iterator[Drill]:
    """The customers who pay: behind what they pay, its year, how many they are, and what one pays."""
    _ = view.text.gettext
    amount = Column("mrr", view.metric("mrr").label, "money", currency=chosen.currency)
    year = Column("arr", view.metric("arr").label, "money", currency=chosen.currency)
    who = [*figures.customer_columns(view), Column("plan_name", _("Plan"))]
    paying = Column("is_paying", _("Paying"), "count")
    value = {
        name: figures.value_of(values, name, chosen.month) for name in ("mrr", "arr", "customers", "arpa")
    }
    checks = {
        "mrr": [Check(amount, value["mrr"].numerator)],
        "arr": [Check(year, value["arr"].numerator)],
        "customers": [Check(paying, value["customers"].numerator)],
        "arpa": [Check(amount, value["arpa"].numerator), Check(paying, value["arpa"].denominator)],
    }
    for metric_id, checked in checks.items():
        yield Drill(
            metric_id,
            figures.of_month(view, view.metric(metric_id).label, chosen.month),
            revenue.MRR_ROWS,
            chosen.values,
            [*who, *(check.column for check in checked)],
            checked,
            metric=metric_id,
        )


def month_key(month: date) -> str:
    """The rows behind a month of the trend."""
    return f"mrr-{month:%Y-%m}"


def month_drills(view: View, published: Published, chosen: Scope) -> Iterator[Drill]:
    """The customers who paid in the month of the trend that the address asks for."""
    amount = Column("mrr", view.metric("mrr").label, "money", currency=chosen.currency)
    for month, mrr in published.rows(revenue.TREND, **chosen.values).select("month", "mrr").iter_rows():
        if address.read("rows") == month_key(month):
            yield Drill(
                month_key(month),
                figures.of_month(view, amount.label, month),
                revenue.MRR_ROWS,
                {**chosen.values, "month": month},
                [*figures.customer_columns(view), Column("plan_name", view.text.gettext("Plan")), amount],
                [Check(amount, mrr)],
            )


def plans(view: View, published: Published, chosen: Scope) -> dict[str, str]:
    """The plans that the bridge can be narrowed to: id → name, all of them first."""
    known = published.rows(revenue.PLANS, **chosen.values)
    return {ALL: view.text.gettext("All plans"), **dict(known.iter_rows())}


def bar_names(view: View, chosen: Scope) -> dict[str, str]:
    """The bars of the bridge between opening and closing, in their order."""
    _ = view.text.gettext
    category = words.category(view.text)
    is_plan = chosen.plan != ALL
    return {
        **{name: category(name) for name in MOVEMENTS},
        "entered": _("Entered plan") if is_plan else _("Entered segment"),
        "left": _("Left plan") if is_plan else _("Left segment"),
        "fx_impact": _("Exchange rates"),
    }


def bar_drill(view: View, chosen: Scope, name: str, expected: Any) -> Drill:
    """The rows behind a bar: customers who moved; else the segments, plans and channels that did. A customer
    of several plans stands in one of them as a whole, so customers are no rows of a plan."""
    if name in MOVEMENTS and chosen.plan == ALL:
        return movement_drill(view, chosen, name, expected)
    _ = view.text.gettext
    delta = Column("delta", _("Change of MRR"), "money", currency=chosen.currency, signed=True)
    return Drill(
        name,
        figures.of_month(view, bar_names(view, chosen)[name], chosen.month),
        revenue.CELL_ROWS,
        {**chosen.values, "category": name},
        [
            Column("segment", _("Segment")),
            Column("plan_name", _("Plan")),
            Column("acquisition_channel", _("Channel")),
            delta,
        ],
        [Check(delta, expected)],
        metric=f"{name}_mrr" if name in MOVEMENTS else None,
    )


def movement_drill(view: View, chosen: Scope, name: str, expected: Any) -> Drill:
    _ = view.text.gettext
    delta = Column("delta", _("Change of MRR"), "money", currency=chosen.currency, signed=True)
    return Drill(
        name,
        figures.of_month(view, words.category(view.text)(name), chosen.month),
        revenue.MOVEMENT_ROWS,
        {**chosen.values, "category": name},
        [
            *figures.customer_columns(view),
            Column("opening_mrr", _("MRR before"), "money", currency=chosen.currency),
            delta,
            Column("closing_mrr", _("MRR after"), "money", currency=chosen.currency),
            Column("main_reason", _("Reason"), words=words.reason(view.text)),
            Column("cause", _("Cause"), words=words.cause(view.text)),
        ],
        [Check(delta, expected)],
        metric=f"{name}_mrr",
    )


def quick_ratio_drill(view: View, chosen: Scope, values: pl.DataFrame) -> Drill:
    """Every customer whose MRR moved: what was gained, and what was lost."""
    _ = view.text.gettext
    value = figures.value_of(values, "quick_ratio", chosen.month)
    gained = Column("gained", _("Gained"), "money", currency=chosen.currency)
    lost = Column("lost", _("Lost"), "money", currency=chosen.currency)
    return Drill(
        "quick_ratio",
        figures.of_month(view, view.metric("quick_ratio").label, chosen.month),
        revenue.MOVED_ROWS,
        chosen.values,
        [
            *figures.customer_columns(view),
            Column("category", _("Movement"), words=words.category(view.text)),
            gained,
            lost,
        ],
        [Check(gained, value.numerator), Check(lost, value.denominator)],
    )


def parts_drill(view: View, chosen: Scope, values: pl.DataFrame, metric_id: str) -> Drill:
    """What a figure of unit economics is made of."""
    _ = view.text.gettext
    value = figures.value_of(values, metric_id, chosen.month)
    money = {
        "closing_mrr": _("MRR at the close"),
        "margin_mrr": _("Of it gross profit"),
        "new_mrr": _("New MRR of the quarter"),
        "new_margin_mrr": _("Of the new gross profit"),
        "sm_cost": _("Sales and marketing cost, quarter before"),
        "ltv": view.metric("ltv_formula").label,
        "cac": view.metric("cac").label,
    }
    columns = {
        name: Column(name, label, "money", currency=chosen.currency) for name, label in money.items()
    } | {
        "closing_customers": Column("closing_customers", _("Customers"), "count"),
        "mean_churn": Column("mean_churn", _("Mean customer churn a month"), "percent"),
        "new_customers": Column("new_customers", _("New customers of the quarter"), "count"),
        "ltv_part": Column(
            "ltv_part", _("Gross profit × months of churn"), "money", currency=chosen.currency
        ),
        "ltv_base": Column("ltv_base", _("Customers × sum of churn"), "decimal"),
    }
    shown = {
        "ltv_formula": ("closing_mrr", "margin_mrr", "closing_customers", "mean_churn"),
        "cac": (),
        "ltv_to_cac": (),
        "cac_payback": ("new_mrr",),
    }
    part, base = PARTS[metric_id]
    return Drill(
        metric_id,
        figures.of_month(view, view.metric(metric_id).label, chosen.month),
        revenue.UNIT_ECONOMICS,
        chosen.values,
        [columns[name] for name in (*shown[metric_id], part, base)],
        [Check(columns[part], value.numerator), Check(columns[base], value.denominator)]
        if value.amount is not None
        else [],
        metric=metric_id,
    )


def bridge_chart(view: View, published: Published, chosen: Scope, bridge: Mapping[str, Any]) -> None:
    """Opening, movements, closing; says whether they add up."""
    _, show = view.text.gettext, view.show
    named = plans(view, published, chosen)
    if len(named) > 2:
        address.choice(
            "plan",
            _("Plan of the bridge"),
            list(named),
            ALL,
            named.__getitem__,
            resets=("rows", "page"),
        )
    bars = bar_names(view, chosen)
    names = {"opening": _("Opening"), **bars, "closing": _("Closing")}
    # Changes of segment and plan cancel out in the whole company and are no movement of it.
    hidden = {"entered", "left"} if bridge["entered"] + bridge["left"] == 0 else set()
    shown = {
        name: label
        for name, label in names.items()
        if name not in hidden and (name not in BETWEEN or bridge[name])
    }
    steps = [
        charts.Step(
            label,
            show.size(bridge[name], chosen.currency),
            show.money_short(bridge[name], chosen.currency, signed=name not in ("opening", "closing")),
            is_total=name in ("opening", "closing"),
        )
        for name, label in shown.items()
    ]
    rows = pl.DataFrame(
        {"step": list(shown.values()), "amount": [bridge[name] for name in shown]},
        schema_overrides={"amount": pl.Object},
    )
    start = charts.axis_start(steps)
    opening, closing = (show.money(bridge[name], chosen.currency) for name in ("opening", "closing"))
    frame.chart(
        view,
        published,
        "bridge",
        _("MRR bridge, {month}, {currency}").format(month=show.month(chosen.month), currency=chosen.currency),
        lambda: charts.bridge(steps, view.text.is_right_to_left),
        _("Bridge of MRR from {opening} to {closing}.").format(opening=opening, closing=closing),
        [Column("step", _("Step")), Column("amount", _("Amount"), "money", currency=chosen.currency)],
        rows,
        query=revenue.BRIDGE,
        values=chosen.values,
        opens=[name if name in bars else None for name in shown],
    )
    if start > 0:
        st.caption(
            _("The axis begins at {amount}, not at zero, so that the movements can be seen.").format(
                amount=show.major_short(start, chosen.currency)
            )
        )
    frame.verdict(
        view,
        _("Opening + movements = closing: {closing}").format(closing=closing),
        bridge["unexplained"] == 0,
        show.money(bridge["unexplained"], chosen.currency),
    )
    if shown.keys() & {"entered", "left"}:
        st.caption(
            _("What moved between segments, plans and channels without a change stands as entered and left.")
        )
    behind = {name: label for name, label in bars.items() if name in MOVEMENTS or name in shown}
    frame.rows_choice(view, _("Rows behind a movement"), behind)


def trend_chart(view: View, published: Published, chosen: Scope) -> None:
    _, show = view.text.gettext, view.show
    trend = published.rows(revenue.TREND, **chosen.values)
    label = view.metric("mrr").label
    wanted = plan.wanted(view, "mrr", chosen.currency, chosen.segment)
    goals = [wanted.get(month) for month in trend["month"]]
    money = [Column("mrr", label, "money", currency=chosen.currency)]
    series = [
        charts.Series(
            label,
            [show.size(mrr, chosen.currency) for mrr in trend["mrr"]],
            [show.money(mrr, chosen.currency) for mrr in trend["mrr"]],
            colour=theme.BLUE,
        )
    ]
    if any(goal is not None for goal in goals):
        money.append(Column("target", _("Target"), "money", currency=chosen.currency))
        series.append(
            charts.Series(
                _("Target"),
                [None if goal is None else show.size(goal, chosen.currency) for goal in goals],
                [show.money(goal, chosen.currency) for goal in goals],
                is_dashed=True,
                colour=theme.AMBER,
            )
        )
    timeline.chart(
        view,
        published,
        "trend",
        _("{metric} by month, {currency}").format(metric=label, currency=chosen.currency),
        trend["month"].to_list(),
        lambda marks: charts.lines(
            [show.month(month) for month in trend["month"]],
            series,
            view.text.is_right_to_left,
            size=show.size_short,
            marks=marks,
            opens=True,
        ),
        figures.trend_words(view, label, trend, "mrr", lambda mrr: show.money(mrr, chosen.currency)),
        [Column("month", _("Month"), "month"), *money],
        trend.with_columns(pl.Series("target", goals, dtype=pl.Object)),
        query=revenue.TREND,
        values=chosen.values,
        opens=[month_key(month) for month in trend["month"]],
    )
    newest_first = trend["month"].sort(descending=True)
    frame.rows_choice(
        view, _("Customers behind a month"), {month_key(month): show.month(month) for month in newest_first}
    )


render(open_view())
