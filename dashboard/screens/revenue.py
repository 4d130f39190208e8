"""Page 1, revenue overview: are we growing, and what moved? Subscriptions, or else orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, cohorts, figures, frame, scope, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import retention, revenue
from dashboard.scope import Scope
from dashboard.screens import order_revenue, strips
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

OVERDUE_FROM, FOREVER = 31, 1_000_000
CARDS = ("mrr", "nrr_12m", "gross_mrr_churn")
MOVEMENTS = ("new", "expansion", "reactivation", "contraction", "churn")
BUCKET_DAYS = {
    "current": (-FOREVER, 0),
    "d1_30": (1, 30),
    "d31_60": (31, 60),
    "d61_90": (61, 90),
    "d91_plus": (91, FOREVER),
}


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "revenue", _("Revenue overview"), _("Are we growing, and what moved?"))
    if view.published is None:
        frame.nothing_published(view)
    elif scope.trade(view, view.published) == "subscriptions":
        subscriptions(view, view.published)
    elif view.published.build.has_orders:
        order_revenue.show(view, view.published)
    else:
        frame.needs_source(view)


def subscriptions(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.subscriptions(view, published)
    if chosen is None:
        frame.empty(view, _("There is no month with recurring revenue yet: no subscription has started."))
        return
    with frame.panel(view):
        values = published.rows(revenue.VALUES, **chosen.values)
        bridge = published.rows(revenue.BRIDGE, **chosen.values).row(0, named=True)
        aging = published.rows(revenue.AGING, **chosen.values)
        frame.cards(view, subscription_cards(view, chosen, values, aging))
        frame.drill(view, published, subscription_drills(view, chosen, values, bridge, aging))
        with frame.panel(view):
            bridge_chart(view, published, chosen, bridge)
        left, right = st.columns(2, gap="large")
        with left, frame.panel(view):
            trend_chart(view, published, chosen)
        with right, frame.panel(view):
            aging_chart(view, published, chosen, aging)
        left, right = st.columns(2, gap="large")
        with left, frame.panel(view):
            monthly = published.rows(retention.COHORTS, **chosen.values, grain="month")
            grain = cohorts.best_grain(monthly, "start_customers", view.min_customers)
            by_age = published.rows(retention.COHORTS, **chosen.values, grain=grain)
            strips.newest_cohorts(view, published, by_age, "customers", "start_customers", grain)
        with right, frame.panel(view):
            strips.top_risks(view, published)


def subscription_cards(view: View, chosen: Scope, values: pl.DataFrame, aging: pl.DataFrame) -> list[Card]:
    _ = view.text.gettext
    against = scope.compared_words(view, chosen.compared)
    cards = [
        figures.card(
            view,
            view.metric(metric_id),
            figures.value_of(values, metric_id, chosen.month),
            figures.value_of(values, metric_id, chosen.compared),
            chosen.currency,
            against,
            rows=metric_id,
        )
        for metric_id in CARDS
    ]
    overdue = Card(
        _("Overdue for more than 30 days"),
        view.show.money(overdue_minor(aging), chosen.currency),
        help=view.metric("ar_bucket").definition,
        note=_("on {day}, whatever the month chosen").format(day=view.show.day(view.as_of)),
        rows="overdue",
    )
    return [*cards, overdue]


def overdue_minor(aging: pl.DataFrame) -> int:
    """What is past due by more than 30 days, in minor units."""
    return sum(
        row["remaining_minor"]
        for row in aging.iter_rows(named=True)
        if BUCKET_DAYS[row["bucket"]][0] >= OVERDUE_FROM
    )


def subscription_drills(
    view: View, chosen: Scope, values: pl.DataFrame, bridge: Mapping[str, Any], aging: pl.DataFrame
) -> list[Drill]:
    """The rows behind each card, each bar of the bridge and each bucket."""
    _ = view.text.gettext
    who = figures.customer_columns(view)
    amount = Column("mrr", view.metric("mrr").label, "money", currency=chosen.currency)
    mrr = Drill(
        "mrr",
        figures.of_month(view, view.metric("mrr").label, chosen.month),
        revenue.MRR_ROWS,
        chosen.values,
        [*who, Column("plan_name", _("Plan")), amount],
        [Check(amount, figures.value_of(values, "mrr", chosen.month).numerator)],
    )
    delta = Column("delta", _("Change of MRR"), "money", currency=chosen.currency, signed=True)
    category = words.category(view.text)
    movements = [
        Drill(
            name,
            figures.of_month(view, category(name), chosen.month),
            revenue.MOVEMENT_ROWS,
            {**chosen.values, "category": name},
            [
                *who,
                Column("opening_mrr", _("MRR before"), "money", currency=chosen.currency),
                delta,
                Column("closing_mrr", _("MRR after"), "money", currency=chosen.currency),
                Column("main_reason", _("Reason"), words=words.reason(view.text)),
                Column("cause", _("Cause"), words=words.cause(view.text)),
            ],
            [Check(delta, bridge[name])],
            metric=f"{name}_mrr",
        )
        for name in MOVEMENTS
    ]
    retained = [
        figures.retention_drill(view, chosen, values, metric) for metric in ("nrr_12m", "gross_mrr_churn")
    ]
    bucket = words.bucket(view.text)
    invoices = [
        invoice_drill(view, chosen, name, bucket(name), days, expected)
        for name, days, expected in [
            (row["bucket"], BUCKET_DAYS[row["bucket"]], row["remaining_minor"])
            for row in aging.iter_rows(named=True)
        ]
    ]
    overdue = invoice_drill(
        view,
        chosen,
        "overdue",
        _("Overdue for more than 30 days"),
        (OVERDUE_FROM, FOREVER),
        overdue_minor(aging),
    )
    return [mrr, *retained, *movements, overdue, *invoices]


def invoice_drill(
    view: View, chosen: Scope, key: str, title: str, days: tuple[int, int], expected_minor: int
) -> Drill:
    _ = view.text.gettext
    remaining = Column("remaining_minor", _("Open amount"), "money", currency=chosen.currency)
    return Drill(
        key,
        title,
        revenue.INVOICE_ROWS,
        {**chosen.values, "days_from": days[0], "days_to": days[1]},
        [
            Column("invoice_no", _("Invoice"), "id"),
            Column("name", _("Customer")),
            Column("due_on", _("Due on"), "day"),
            Column("days_past_due", _("Days past due"), "count"),
            Column("total_minor", _("Invoice total"), "money", currency=chosen.currency),
            remaining,
        ],
        [Check(remaining, expected_minor)],
    )


def bridge_chart(view: View, published: Published, chosen: Scope, bridge: Mapping[str, Any]) -> None:
    """Opening, movements, closing; says whether they add up."""
    _, show = view.text.gettext, view.show
    category = words.category(view.text)
    names = {
        "opening": _("Opening"),
        **{name: category(name) for name in MOVEMENTS},
        "entered": _("Entered segment"),
        "left": _("Left segment"),
        "fx_impact": _("Exchange rates"),
        "closing": _("Closing"),
    }
    # Changes of segment cancel out in the whole company and are no movement of it.
    hidden = {"entered", "left"} if bridge["entered"] + bridge["left"] == 0 else set()
    optional = {"entered", "left", "fx_impact"}
    shown = {
        name: label
        for name, label in names.items()
        if name not in hidden and (name not in optional or bridge[name])
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
        help=view.metric("mrr").definition,
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
    frame.rows_choice(view, _("Rows behind a movement"), {name: category(name) for name in MOVEMENTS})


def trend_chart(view: View, published: Published, chosen: Scope) -> None:
    _, show = view.text.gettext, view.show
    trend = published.rows(revenue.TREND, **chosen.values)
    label = view.metric("mrr").label
    frame.chart(
        view,
        published,
        "trend",
        _("{metric} by month, {currency}").format(metric=label, currency=chosen.currency),
        lambda: charts.lines(
            [show.month(month) for month in trend["month"]],
            [
                charts.Series(
                    label,
                    [show.size(mrr, chosen.currency) for mrr in trend["mrr"]],
                    [show.money(mrr, chosen.currency) for mrr in trend["mrr"]],
                )
            ],
            view.text.is_right_to_left,
            size=show.size_short,
        ),
        figures.trend_words(view, label, trend, "mrr", lambda mrr: show.money(mrr, chosen.currency)),
        [Column("month", _("Month"), "month"), Column("mrr", label, "money", currency=chosen.currency)],
        trend,
    )


def aging_chart(view: View, published: Published, chosen: Scope, aging: pl.DataFrame) -> None:
    _, show = view.text.gettext, view.show
    bucket = words.bucket(view.text)
    total = show.money(sum(aging["remaining_minor"]), chosen.currency)
    frame.chart(
        view,
        published,
        "aging",
        _("Open invoices by days past due, {currency}").format(currency=chosen.currency),
        lambda: charts.bars(
            [bucket(name) for name in aging["bucket"]],
            [show.size(minor, chosen.currency) for minor in aging["remaining_minor"]],
            [show.money(minor, chosen.currency) for minor in aging["remaining_minor"]],
            view.text.is_right_to_left,
        ),
        _("Open invoices of {total} in {count} buckets by age.").format(
            total=total, count=show.number(aging.height)
        ),
        [
            Column("bucket", _("Days past due"), words=bucket),
            Column("invoices", _("Invoices"), "count"),
            Column("remaining_minor", _("Open amount"), "money", currency=chosen.currency),
        ],
        aging,
        help=view.metric("ar_bucket").definition,
    )
    if not aging.is_empty():
        frame.rows_choice(
            view, _("Invoices behind a bucket"), {name: bucket(name) for name in aging["bucket"].to_list()}
        )


render(open_view())
