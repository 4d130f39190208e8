"""Page 1 for repeat trade: revenue of orders by month, and whether buyers come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, charts, figures, frame, scope, theme, timeline, words
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
        by_country = published.rows(orders.BY_COUNTRY, **chosen.values)
        behind_charts = chart_drills(view, chosen, months, repeat, by_country)
        behind_cards = drills(view, chosen, now, figures.row_of(repeat, chosen.month))
        frame.drill(view, published, [*behind_cards, *behind_charts])
        revenue_chart(view, published, chosen, months, now)
    left, right = st.columns(2, gap="large")
    with left, frame.panel(view):
        customers_chart(view, published, chosen, repeat)
    with right, frame.panel(view):
        countries_chart(view, published, chosen, by_country)
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
        strips.top_risks(view, published, currency=chosen.currency)
    timeline.editor(view)


def cards(
    view: View, published: Published, chosen: OrderScope, months: pl.DataFrame, repeat: pl.DataFrame
) -> list[Card]:
    _, show = view.text.gettext, view.show
    now, before = figures.row_of(months, chosen.month), figures.row_of(months, chosen.compared)
    buyers, buyers_before = figures.row_of(repeat, chosen.month), figures.row_of(repeat, chosen.compared)

    def one(metric_id: str, current: Value, former: Value, rows: str, note: str | None = None) -> Card:
        return figures.card_against(
            view, chosen, view.metric(metric_id), current, former, rows=rows, note=note
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
    is_order = Column("is_order", _("Orders"), "count")
    repeat, counted = (
        Column("is_repeat", _("Came back"), "count"),
        Column("is_customer", _("Customers"), "count"),
    )
    return [
        orders_drill(view, chosen, "order_revenue", now.get("revenue_minor")),
        Drill(
            "orders",
            figures.of_month(view, view.metric("orders").label, chosen.month),
            orders.ORDER_ROWS,
            chosen.values,
            [*order_columns(view, chosen), is_order],
            [Check(is_order, now.get("orders"))],
            metric="orders",
            notes=[_("Credit notes are listed, and count as no order.")],
        ),
        buyers_drill(view, chosen, "order_customers", buyers),
        Drill(
            "repeat_rate",
            figures.of_month(view, view.metric("repeat_rate").label, chosen.month),
            orders.WINDOW_ROWS,
            chosen.values,
            [
                Column("customer_id", _("Customer id"), "id"),
                Column("order_days", _("Order days"), "count"),
                Column("first_on", _("First in the window"), "day"),
                Column("last_on", _("Last"), "day"),
                repeat,
            ],
            [Check(repeat, buyers.get("repeat_customers")), Check(counted, buyers.get("window_customers"))],
        ),
    ]


def order_columns(view: View, chosen: OrderScope) -> list[Column]:
    _ = view.text.gettext
    return [
        Column("order_id", _("Order"), "id"),
        Column("customer_id", _("Customer id"), "id"),
        Column("ordered_on", _("Day"), "day"),
        Column("country", _("Country")),
        Column("is_credit", _("Credit note"), words=words.yes_no(view.text)),
        Column("lines", _("Lines"), "count"),
        Column("net_minor", _("Net amount"), "money", currency=chosen.currency),
    ]


def orders_drill(
    view: View, chosen: OrderScope, key: str, expected: int | None, title: str | None = None
) -> Drill:
    """The orders and credit notes of a month, of all countries or of one."""
    columns = order_columns(view, chosen)
    return Drill(
        key,
        figures.of_month(view, title or view.metric("order_revenue").label, chosen.month),
        orders.ORDER_ROWS,
        chosen.values,
        columns,
        [Check(columns[-1], expected)],
    )


def buyers_drill(view: View, chosen: OrderScope, key: str, buyers: Mapping[str, Any]) -> Drill:
    """The customers who ordered in a month."""
    _ = view.text.gettext
    new = Column("is_new", _("First order"), "count")
    return Drill(
        key,
        figures.of_month(view, view.metric("order_customers").label, chosen.month),
        orders.CUSTOMER_ROWS,
        chosen.values,
        [
            Column("customer_id", _("Customer id"), "id"),
            Column("country", _("Country")),
            Column("orders", _("Orders"), "count"),
            new,
        ],
        [Check(new, buyers.get("new_customers"))],
        expected_rows=buyers.get("customers"),
    )


def chart_drills(
    view: View, chosen: OrderScope, months: pl.DataFrame, repeat: pl.DataFrame, countries: pl.DataFrame
) -> Iterator[Drill]:
    """The rows behind the one bar that the address asks for."""
    opened = address.read("rows")
    for row in months.iter_rows(named=True):
        if opened == month_key("orders", row["month"]):
            yield orders_drill(view, replace(chosen, month=row["month"]), opened, row["revenue_minor"])
    for row in repeat.iter_rows(named=True):
        if opened == month_key("buyers", row["month"]):
            yield buyers_drill(view, replace(chosen, month=row["month"]), opened, row)
    for row in countries.iter_rows(named=True):
        if opened == country_key(row["country"]):
            of_country = replace(chosen, country=row["country"])
            title = view.text.gettext("Net revenue of one country")  # its name is data: it stands in the rows
            yield orders_drill(view, of_country, opened, row["revenue_minor"], title)


def month_key(kind: str, month: date) -> str:
    """How the rows of a month's column are called in the address."""
    return f"{kind}-{month:%Y-%m}"


def country_key(country: str) -> str:
    return f"country-{country}"


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
        opens=[month_key("orders", month) for month in months["month"]],
    )
    frame.rows_choice(
        view,
        _("Orders behind a month"),
        {month_key("orders", month): show.month(month) for month in months["month"].reverse()},
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
        opens=[month_key("buyers", month) for month in repeat["month"]],
    )
    frame.rows_choice(
        view,
        _("Customers behind a month"),
        {month_key("buyers", month): show.month(month) for month in repeat["month"].reverse()},
    )


def countries_chart(view: View, published: Published, chosen: OrderScope, countries: pl.DataFrame) -> None:
    _, show = view.text.gettext, view.show
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
        opens=[country_key(country) for country in countries["country"]],
    )
    if not countries.is_empty():
        names = {country_key(country): country for country in countries["country"]}
        frame.rows_choice(view, _("Orders behind a country"), names)
