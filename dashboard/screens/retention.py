"""Page 2, retention and cohorts: do customers stay and expand? Subscriptions, or else orders."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import address, charts, cohorts, figures, frame, plan, scope, theme, timeline
from dashboard.frame import Check, Drill
from dashboard.queries import retention
from dashboard.scope import Scope
from dashboard.screens import order_retention
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

CARDS = ("nrr_12m", "grr_12m", "logo_churn", "gross_mrr_churn")
# What a cohort's cell shares: its column at an age, and the column at age 0.
MEASURES = {
    "cohort_logo": ("customers", "start_customers"),
    "cohort_net": ("net_mrr", "start_mrr"),
    "cohort_gross": ("gross_mrr", "start_mrr"),
}


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "retention", _("Do customers stay and expand?"))
    scope.page(view, subscriptions, order_retention.show)


def subscriptions(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.subscriptions(view, published)
    if chosen is None:
        return
    with frame.panel(view):
        known = figures.read(published, chosen)
        frame.cards(
            view, [figures.card_of(view, chosen, known, metric_id, rows=metric_id) for metric_id in CARDS]
        )
        grain = cohort_grain(view, published, chosen)
        by_age = published.rows(retention.COHORTS, **chosen.values, grain=grain)
        drills = [figures.retention_drill(view, chosen, known.values, metric_id) for metric_id in CARDS]
        frame.drill(view, published, [*drills, *cohort_drills(view, chosen, by_age, grain)])
        measure = heat_map(view, published, chosen, by_age, grain)
        left, right = st.columns(2, gap="large")
        with left, frame.panel(view):
            retention_trend(view, published, chosen)
        with right, frame.panel(view):
            retention_curves(view, published, chosen, by_age, grain, measure)
    timeline.editor(view)


def retention_trend(view: View, published: Published, chosen: Scope) -> None:
    _, show = view.text.gettext, view.show
    trend = published.rows(
        retention.TREND, **chosen.values, window_months=12, min_customers=published.build.min_customers
    )
    nrr, grr = view.metric("nrr_12m"), view.metric("grr_12m")
    months, series, columns, rows = (
        trend["month"].to_list(),
        [],
        [Column("month", _("Month"), "month")],
        trend,
    )
    for metric, name, colour in ((nrr, "nrr", theme.BLUE), (grr, "grr", theme.GREEN)):
        series.append(
            charts.Series(
                metric.label, trend[name].to_list(), [show.percent(one) for one in trend[name]], colour=colour
            )
        )
        columns.append(Column(name, metric.label, "percent"))
        goals = plan.goals(view, metric, chosen, months)
        if any(goal is not None for goal in goals):
            label = _("Target: {metric}").format(metric=metric.label)
            shown = [show.percent(goal) for goal in goals]
            series.append(charts.Series(label, goals, shown, is_dashed=True, colour=colour))
            columns.append(Column(f"{name}_target", label, "percent"))
            rows = rows.with_columns(pl.Series(f"{name}_target", goals, dtype=pl.Float64))
    columns.append(Column("start_customers", _("Customers at the start"), "count"))
    timeline.chart(
        view,
        published,
        "retention-trend",
        _("Net and gross revenue retention over 12 months"),
        months,
        lambda marks: charts.lines(
            [show.month(month) for month in months],
            series,
            view.text.is_right_to_left,
            is_percent=True,
            marks=marks,
        ),
        figures.trend_words(view, nrr.label, trend, "nrr", show.percent),
        columns,
        rows,
        query=retention.TREND,
        values={**chosen.values, "window_months": 12, "min_customers": published.build.min_customers},
    )


def cohort_grain(view: View, published: Published, chosen: Scope) -> str:
    """Whether cohorts are months or quarters; the reader may choose the other."""
    _ = view.text.gettext
    monthly = published.rows(retention.COHORTS, **chosen.values, grain="month")
    best = cohorts.best_grain(monthly, "start_customers", view.min_customers)
    names = {"month": _("Month"), "quarter": _("Quarter")}
    return address.choice(
        "grain",
        _("Cohorts by"),
        list(names),
        best,
        names.__getitem__,
        resets=("rows", "page"),
        as_buttons=True,
    )


def heat_map(view: View, published: Published, chosen: Scope, rows: pl.DataFrame, grain: str) -> str:
    """Cohorts by age, by customers or by revenue, and the way to each cohort's customers.

    Returns what was chosen.
    """
    _ = view.text.gettext
    names = {
        "cohort_logo": _("Customers"),
        "cohort_net": _("Revenue"),
        "cohort_gross": _("Revenue without growth"),
    }
    measure = address.choice(
        "measure", _("Share of"), list(MEASURES), "cohort_logo", names.__getitem__, as_buttons=True
    )
    titles = {
        "cohort_logo": _("Customers still paying, % of those who began, by start and age in months"),
        "cohort_net": _("MRR kept and added, % of the first month's, by start and age in months"),
        "cohort_gross": _("MRR kept, % of the first month's, by start and age in months"),
    }
    cohorts.heat_map(
        view,
        published,
        cohorts.grid(rows, *MEASURES[measure], "start_customers", view.min_customers, grain),
        titles[measure],
        retention.COHORTS,
        {**chosen.values, "grain": grain},
        metric=measure,
    )
    cohorts.rows_choice(view, rows, grain)
    return measure


def retention_curves(
    view: View, published: Published, chosen: Scope, rows: pl.DataFrame, grain: str, measure: str
) -> None:
    """One line a cohort: the newest that has reached three months strong, the others grey."""
    _, show = view.text.gettext, view.show
    cells = cohorts.grid(rows, *MEASURES[measure], "start_customers", view.min_customers, grain)
    titles = {
        "cohort_logo": _("Customers still paying by age in months"),
        "cohort_net": _("MRR kept and added by age in months"),
        "cohort_gross": _("MRR kept by age in months"),
    }
    if cells.is_all_small:
        return
    reached = [index for index, row in enumerate(cells.shares) if sum(share is not None for share in row) > 3]
    strong = reached[-1] if reached else len(cells.months) - 1
    drawn = [index for index, month in enumerate(cells.months) if month not in cells.small]
    order = sorted(drawn, key=lambda index: index == strong)
    series = [
        charts.Series(
            cells.name(view, cells.months[index]),
            cells.shares[index],
            [show.percent(share) for share in cells.shares[index]],
            index == strong,
        )
        for index in order
    ]
    frame.chart(
        view,
        published,
        "curves",
        titles[measure],
        lambda: charts.lines(
            [str(age) for age in cells.ages], series, view.text.is_right_to_left, is_percent=True
        ),
        _("One line a cohort; the strong one began in {month}.").format(
            month=cohorts.span(view, cells.months[strong] if cells.months else None, grain)
        ),
        cells.columns(view),
        cells.frame,
        query=retention.COHORTS,
        values={**chosen.values, "grain": grain},
        metric=measure,
    )


def cohort_drills(view: View, chosen: Scope, rows: pl.DataFrame, grain: str) -> list[Drill]:
    """The customers of each cohort, with what they pay at the age chosen, or the greatest it has reached."""
    _ = view.text.gettext
    net = Column("net_mrr", _("MRR at this age"), "money", currency=chosen.currency)
    start = Column("start_mrr", _("MRR in the first month"), "money", currency=chosen.currency)
    gross = Column("gross_mrr", _("Of it kept, without growth"), "money", currency=chosen.currency)
    paying = Column("is_paying", _("Paying at this age"), "count")
    return [
        Drill(
            cohorts.key(row["cohort_month"]),
            _("Customers who began in {month}, at an age of {age} months").format(
                month=cohorts.span(view, row["cohort_month"], grain), age=view.show.number(row["age_months"])
            ),
            retention.COHORT_ROWS,
            {
                **chosen.values,
                "cohort_month": row["cohort_month"],
                "age_months": row["age_months"],
                "grain": grain,
            },
            [*figures.customer_columns(view), start, net, gross, paying],
            [
                Check(start, row["start_mrr"]),
                Check(net, row["net_mrr"]),
                Check(gross, row["gross_mrr"]),
                Check(paying, row["customers"]),
            ],
            expected_rows=row["start_customers"],
        )
        for row in cohorts.cells_opened(rows)
    ]


render(open_view())
