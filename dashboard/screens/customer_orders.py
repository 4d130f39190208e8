"""Part of one customer's page: its orders, their rhythm, and what it should be buying again."""

from __future__ import annotations

import streamlit as st

from dashboard import words
from dashboard.queries import customer as queries
from dashboard.screens.customer_parts import Shown, listing
from dashboard.tables import Column


def orders(shown: Shown) -> None:
    view, show, currency = shown.view, shown.view.show, shown.currency
    _ = view.text.gettext
    cadence = shown.published.rows(queries.CADENCE, **shown.values)
    st.subheader(_("Rhythm of its orders"), anchor=False)
    if cadence.is_empty():
        st.caption(_("It has bought no goods within a year, so there is no rhythm."))
    else:
        row = cadence.row(0, named=True)
        days = row["purchase_days"]
        st.text(
            view.text.ngettext(
                "{count} purchase day within a year, worth {spend}, the last on {day}.",
                "{count} purchase days within a year, worth {spend}, the last on {day}.",
                days,
            ).format(
                count=show.number(days),
                spend=show.money(row["net_spend_minor"], currency),
                day=show.day(row["last_purchase_on"]),
            )
        )
        if row["median_gap_days"] is not None:
            gap, since = row["median_gap_days"], row["days_since_last"]
            st.text(
                _("Usually {gap} days apart; {since} days have passed. Expected next on {day}.").format(
                    gap=show.number(gap), since=show.number(since), day=show.day(row["next_expected_on"])
                )
            )
    listing(
        shown,
        "customer-reorders",
        _("Articles and when they come up again"),
        queries.REORDERS,
        [
            Column("article", _("Article")),
            Column("purchase_days", _("Purchase days"), "count"),
            Column("last_purchase_on", _("Last bought"), "day"),
            Column("median_gap_days", _("Usual gap, days"), "count"),
            Column("days_since_last", _("Days since"), "count"),
            Column("next_expected_on", _("Expected next"), "day"),
            Column("net_spend_minor", _("Net spend"), "money", currency=currency),
        ],
        parameter="again",
    )
    listing(
        shown,
        "customer-orders",
        _("Orders and credit notes"),
        queries.ORDERS,
        [
            Column("order_id", _("Order"), "id"),
            Column("ordered_on", _("Day"), "day"),
            Column("is_credit", _("Credit note"), words=words.yes_no(view.text)),
            Column("lines", _("Lines"), "count"),
            Column("net_minor", _("Amount"), "money", currency=currency),
        ],
    )
