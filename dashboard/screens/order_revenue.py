"""Page 1 for repeat trade: revenue of orders by month, and whether buyers come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, figures, frame, scope, theme, timeline, words
from dashboard.figures import Value
from dashboard.frame import Card, Check, Drill
from dashboard.queries import orders
from dashboard.scope import ALL, OrderScope
from dashboard.screens import strips
from dashboard.tables import Column
from dashboard.view import Published, View


def show(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.orders(view, published)
    if chosen is None:
        return
    with frame.panel(view):
        months = published.rows(orders.REVENUE, **chosen.values)
        repeat = published.rows(orders.REPEAT, **chosen.values)
        now = figures.row_of(months, chosen.month)
        frame.cards(view, cards(view, published, chosen, months, repeat))
        frame.drill(view, published, drills(view, chosen, now, figures.row_of(repeat, chosen.month)))
        revenue_chart(view, published, chosen, months, now)
    left, right = st.columns(2, gap="large")
    with left, frame.panel(view):
        customers_chart(view, published, chosen, repeat)
    with right, frame.panel(view):
        countries_chart(view, published, chosen)
    left, right = st.columns(2, gap="large")
    with left, frame.panel(view):
        by_age = published.rows(orders.COHORTS, **chosen.values)
        strips.newest_cohorts(
            view,
            published,
            by_age,
            "active_customers",
            "cohort_customers",
            "month",
            orders.COHORTS,
            chosen.values,
        )
    with right, frame.panel(view):
        strips.top_risks(view, published)
    timeline.editor(view)


def cards(
    view: View, published: Published, chosen: OrderScope, months: pl.DataFrame, repeat: pl.DataFrame
) -> list[Card]:
    _, show = view.text.gettext, view.show
    now, before = figures.row_of(months, chosen.month), figures.row_of(months, chosen.compared)
    buyers, buyers_before = figures.row_of(repeat, chosen.month), figures.row_of(repeat, chosen.compared)

    def one(metric_id: str, current: Value, former: Value, rows: str, note: str | None = None) -> Card:
        metric = view.metric(metric_id)
        against = figures.compared(view, chosen, metric, former)
        return figures.card(
            view,
            metric,
            current,
            against.value,
            chosen.currency,
            against.words,
            verdict=against.verdict,
            rows=rows,
            note=note,
        )

    def rate(row: Mapping[str, Any]) -> Value:
        return Value(row.get("repeat_customers"), row.get("window_customers"), row.get("window_customers"))

    whole = None if chosen.country == ALL else _("of all countries")
    window = _("in 365 days") if buyers.get("is_window_complete") else _("the data is younger than 365 days")
    return [
        one(
            "order_revenue",
            Value(now.get("revenue_minor", 0)),
            Value(before.get("revenue_minor")),
            "order_revenue",
        ),
        one("orders", Value(now.get("orders", 0)), Value(before.get("orders")), "orders"),
        one(
            "order_customers",
            Value(buyers.get("customers")),
            Value(buyers_before.get("customers")),
            "order_customers",
            whole or _("{count} for the first time").format(count=show.number(buyers.get("new_customers"))),
        ),
        one("repeat_rate", rate(buyers), rate(buyers_before), "repeat_rate", whole or window),
    ]


def drills(view: View, chosen: OrderScope, now: Mapping[str, Any], buyers: Mapping[str, Any]) -> list[Drill]:
    """The rows behind each card."""
    _ = view.text.gettext
    amount = Column("net_minor", _("Net amount"), "money", currency=chosen.currency)
    is_order = Column("is_order", _("Orders"), "count")
    order_columns = [
        Column("order_id", _("Order"), "id"),
        Column("customer_id", _("Customer id"), "id"),
        Column("ordered_on", _("Day"), "day"),
        Column("country", _("Country")),
        Column("is_credit", _("Credit note"), words=words.yes_no(view.text)),
        Column("lines", _("Lines"), "count"),
        amount,
    ]
    who = Column("customer_id", _("Customer id"), "id")
    repeat, counted = (
        Column("is_repeat", _("Came back"), "count"),
        Column("is_customer", _("Customers"), "count"),
    )
    new = Column("is_new", _("First order"), "count")
    return [
        Drill(
            "order_revenue",
            figures.of_month(view, view.metric("order_revenue").label, chosen.month),
            orders.ORDER_ROWS,
            chosen.values,
            order_columns,
            [Check(amount, now.get("revenue_minor"))],
        ),
        Drill(
            "orders",
            figures.of_month(view, view.metric("orders").label, chosen.month),
            orders.ORDER_ROWS,
            chosen.values,
            [*order_columns, is_order],
            [Check(is_order, now.get("orders"))],
            metric="orders",
            notes=[_("Credit notes are listed, and count as no order.")],
        ),
        Drill(
            "order_customers",
            figures.of_month(view, view.metric("order_customers").label, chosen.month),
            orders.CUSTOMER_ROWS,
            chosen.values,
            [who, Column("country", _("Country")), Column("orders", _("Orders"), "count"), new],
            [Check(new, buyers.get("new_customers"))],
            expected_rows=buyers.get("customers"),
        ),
        Drill(
            "repeat_rate",
            figures.of_month(view, view.metric("repeat_rate").label, chosen.month),
            orders.WINDOW_ROWS,
            chosen.values,
            [
                who,
                Column("order_days", _("Order days"), "count"),
                Column("first_on", _("First in the window"), "day"),
                Column("last_on", _("Last"), "day"),
                repeat,
            ],
            [Check(repeat, buyers.get("repeat_customers")), Check(counted, buyers.get("window_customers"))],
        ),
    ]


def revenue_chart(
    view: View, published: Published, chosen: OrderScope, months: pl.DataFrame, now: Mapping[str, Any]
) -> None:
    """Sales and credit notes by month; says whether they add up to the revenue."""
    _, show = view.text.gettext, view.show
    money = {name: Column(name, label, "money", currency=chosen.currency) for name, label in (
        ("sales_minor", _("Orders")),
        ("credits_minor", _("Credit notes")),
        ("revenue_minor", view.metric("order_revenue").label),
    )}  # fmt: skip
    timeline.chart(
        view,
        published,
        "order-revenue",
        _("Orders and credit notes by month, {currency}").format(currency=chosen.currency),
        months["month"].to_list(),
        lambda marks: charts.stacked_columns(
            [show.month(month) for month in months["month"]],
            [
                charts.Series(
                    money[name].label,
                    [show.size(minor, chosen.currency) for minor in months[name]],
                    [show.money(minor, chosen.currency) for minor in months[name]],
                    colour=colour,
                )
                for name, colour in (("sales_minor", theme.BLUE), ("credits_minor", theme.RED))
            ],
            view.text.is_right_to_left,
            show.size_short,
            marks,
        ),
        figures.trend_words(
            view,
            money["revenue_minor"].label,
            months,
            "revenue_minor",
            lambda minor: show.money(minor, chosen.currency),
        ),
        [
            Column("month", _("Month"), "month"),
            Column("orders", _("Number of orders"), "count"),
            *money.values(),
        ],
        months,
        query=orders.REVENUE,
        values=chosen.values,
    )
    if now:
        net = now["revenue_minor"]
        frame.verdict(
            view,
            _("Orders {sales} + credit notes {credits} = {net}").format(
                sales=show.money(now["sales_minor"], chosen.currency),
                credits=show.money(now["credits_minor"], chosen.currency),
                net=show.money(net, chosen.currency),
            ),
            now["sales_minor"] + now["credits_minor"] == net == now["goods_minor"] + now["other_minor"],
            show.money(net, chosen.currency),
        )
        st.caption(
            _("Of it goods {goods}; postage, discounts and adjustments {other}.").format(
                goods=show.money(now["goods_minor"], chosen.currency),
                other=show.money(now["other_minor"], chosen.currency),
            )
        )


def customers_chart(view: View, published: Published, chosen: OrderScope, repeat: pl.DataFrame) -> None:
    _, show = view.text.gettext, view.show
    parts = (
        ("returning_customers", _("Returning"), theme.BLUE),
        ("new_customers", _("First order"), theme.GREEN),
    )
    timeline.chart(
        view,
        published,
        "buyers",
        _("Customers who ordered, by month"),
        repeat["month"].to_list(),
        lambda marks: charts.stacked_columns(
            [show.month(month) for month in repeat["month"]],
            [
                charts.Series(
                    label,
                    repeat[name].to_list(),
                    [show.number(count) for count in repeat[name]],
                    colour=colour,
                )
                for name, label, colour in parts
            ],
            view.text.is_right_to_left,
            show.size_short,
            marks,
        ),
        figures.trend_words(view, _("Customers who ordered"), repeat, "customers", show.number),
        [
            Column("month", _("Month"), "month"),
            *(Column(name, label, "count") for name, label, _colour in parts),
            Column("customers", _("All"), "count"),
        ],
        repeat,
        query=orders.REPEAT,
        values=chosen.values,
        metric="order_customers",
    )


def countries_chart(view: View, published: Published, chosen: OrderScope) -> None:
    _, show = view.text.gettext, view.show
    countries = published.rows(orders.BY_COUNTRY, **chosen.values)
    frame.chart(
        view,
        published,
        "countries",
        _("Net revenue by country, {month}, {currency}").format(
            month=show.month(chosen.month), currency=chosen.currency
        ),
        lambda: charts.bars(
            countries["country"].to_list(),
            [show.size(minor, chosen.currency) for minor in countries["revenue_minor"]],
            [show.money(minor, chosen.currency) for minor in countries["revenue_minor"]],
            view.text.is_right_to_left,
        ),
        _("The {count} countries with the most revenue, largest first.").format(
            count=show.number(countries.height)
        ),
        [
            Column("country", _("Country")),
            Column("orders", _("Number of orders"), "count"),
            Column("revenue_minor", view.metric("order_revenue").label, "money", currency=chosen.currency),
        ],
        countries,
        query=orders.BY_COUNTRY,
        values=chosen.values,
    )
