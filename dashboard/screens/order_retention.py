"""Page 2 for repeat trade: who comes back, by month of first order."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import address, charts, cohorts, figures, frame, scope, timeline
from dashboard.frame import Check, Drill
from dashboard.queries import orders
from dashboard.scope import OrderScope
from dashboard.tables import Column
from dashboard.view import Published, View

MEASURES = {
    "order_cohort_customers": ("active_customers", "cohort_customers"),
    "order_cohort_revenue": ("revenue_minor", "first_revenue_minor"),
}


def show(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.orders(view, published, by_country=False, compares=False)
    if chosen is None:
        return
    with frame.panel(view):
        rows = published.rows(orders.COHORTS, **chosen.values)
        heat_map(view, published, chosen, rows)
    left, right = st.columns(2, gap="large")
    with left, frame.panel(view):
        repeat_trend(view, published, chosen)
    with right, frame.panel(view):
        second_orders(view, published, chosen)
    timeline.editor(view)


def heat_map(view: View, published: Published, chosen: OrderScope, rows: pl.DataFrame) -> None:
    """Cohorts of first orders by age, and the way to each cohort's customers."""
    _ = view.text.gettext
    names = {"order_cohort_customers": _("Customers"), "order_cohort_revenue": _("Revenue")}
    measure = address.choice(
        "measure", _("Share of"), list(MEASURES), "order_cohort_customers", names.__getitem__, as_buttons=True
    )
    titles = {
        "order_cohort_customers": _(
            "Customers with an order, % of the cohort, by month of first order and age in months"
        ),
        "order_cohort_revenue": _(
            "Net revenue, % of the first month's, by month of first order and age in months"
        ),
    }
    cohorts.heat_map(
        view,
        published,
        cohorts.grid(rows, *MEASURES[measure], "cohort_customers", view.min_customers),
        titles[measure],
        orders.COHORTS,
        chosen.values,
        metric=measure,
    )
    cohorts.rows_choice(view, rows)
    frame.drill(view, published, drills(view, chosen, rows))


def drills(view: View, chosen: OrderScope, rows: pl.DataFrame) -> list[Drill]:
    """The customers of each cohort, with what they ordered at the age chosen, or in the newest month."""
    _ = view.text.gettext
    revenue = Column("revenue_minor", _("Net revenue in the month"), "money", currency=chosen.currency)
    active = Column("is_active", _("Ordered in the month"), "count")
    return [
        Drill(
            cohorts.key(row["cohort_month"]),
            _("First order in {start}, seen in {month}").format(
                start=view.show.month(row["cohort_month"]), month=view.show.month(row["order_month"])
            ),
            orders.COHORT_ROWS,
            {**chosen.values, "month": row["order_month"], "cohort_month": row["cohort_month"]},
            [
                Column("customer_id", _("Customer id"), "id"),
                Column("orders", _("Orders"), "count"),
                active,
                revenue,
            ],
            [Check(active, row["active_customers"]), Check(revenue, row["revenue_minor"])],
            expected_rows=row["cohort_customers"],
        )
        for row in cohorts.cells_opened(rows)
    ]


def repeat_trend(view: View, published: Published, chosen: OrderScope) -> None:
    _, show = view.text.gettext, view.show
    metric = view.metric("repeat_rate")
    trend = published.rows(orders.REPEAT, **chosen.values).filter(
        pl.col("is_window_complete") & (pl.col("window_customers") >= published.build.min_customers)
    )
    timeline.chart(
        view,
        published,
        "repeat",
        _("{metric}, window of 365 days").format(metric=metric.label),
        trend["month"].to_list(),
        lambda marks: charts.lines(
            [show.month(month) for month in trend["month"]],
            [
                charts.Series(
                    metric.label,
                    trend["repeat_rate"].to_list(),
                    [show.percent(rate) for rate in trend["repeat_rate"]],
                )
            ],
            view.text.is_right_to_left,
            is_percent=True,
            marks=marks,
        ),
        figures.trend_words(view, metric.label, trend, "repeat_rate", show.percent),
        [
            Column("month", _("Month"), "month"),
            Column("window_customers", _("Customers"), "count"),
            Column("repeat_customers", _("Came back"), "count"),
            Column("repeat_rate", metric.label, "percent"),
        ],
        trend,
        query=orders.REPEAT,
        values=chosen.values,
    )


def second_orders(view: View, published: Published, chosen: OrderScope) -> None:
    _, show = view.text.gettext, view.show
    values = {**chosen.values, "min_customers": published.build.min_customers}
    rows = published.rows(orders.SECOND_ORDERS, **values)
    label = _("Second order within 90 days")
    timeline.chart(
        view,
        published,
        "second",
        _("Second order within 90 days, by month of first order"),
        rows["month"].to_list(),
        lambda marks: charts.lines(
            [show.month(month) for month in rows["month"]],
            [charts.Series(label, rows["share"].to_list(), [show.percent(share) for share in rows["share"]])],
            view.text.is_right_to_left,
            is_percent=True,
            marks=marks,
        ),
        figures.trend_words(view, label, rows, "share", show.percent),
        [
            Column("month", _("Month of first order"), "month"),
            Column("customers", _("Customers"), "count"),
            Column("came_back", _("Came back"), "count"),
            Column("share", label, "percent"),
        ],
        rows,
        help=_("Only months whose customers have all been watched for 90 days."),
        query=orders.SECOND_ORDERS,
        values=values,
    )
