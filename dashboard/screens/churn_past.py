"""Beside earlier lists: what changed within a week, whether a list was right, and what contacting did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import frame, words
from dashboard.frame import Drill
from dashboard.queries import churn
from dashboard.scope import ALL
from dashboard.screens.churn_filters import Chosen
from dashboard.tables import Column
from dashboard.view import Published, View

CHANGES = ("new", "risen", "fallen", "gone")


def changes(view: View, published: Published, chosen: Chosen) -> None:
    """What changed on the 90-day list within a week: how many came, went, rose and fell, and who."""
    _, show = view.text.gettext, view.show
    st.subheader(_("What changed in 7 days"), anchor=False)
    days = published.rows(churn.DAYS_BEFORE)["as_of"]
    if days.is_empty():
        st.caption(_("There is no score of a week ago by the same model to compare with."))
        return
    st.caption(_("Against the scores of {day} by the same model.").format(day=show.day(days[0])))
    values = {**chosen.values, "change": ALL}
    counts = dict(published.rows(churn.CHANGES, **values).select("change", "customers").iter_rows())
    if not counts:
        st.caption(_("Nobody came onto the list, left it or crossed the line to high risk."))
        return
    names = {one: words.change(view.text)(one) for one in CHANGES if counts.get(one)}
    for_choice = {f"change-{one}": f"{name}: {show.number(counts[one])}" for one, name in names.items()}
    st.text(" · ".join(for_choice.values()))
    frame.rows_choice(view, _("Rows behind a change"), for_choice)
    columns = [
        Column("name", _("Customer")),
        Column("segment", _("Segment")),
        Column("p_before", _("Score a week ago"), "percent"),
        Column("p_90", _("Score"), "percent"),
        Column("change_7_days", _("In 7 days"), "points"),
        Column("revenue_at_risk_90_minor", _("Revenue at risk"), "money", currency=chosen.currency),
    ]
    drills = [
        Drill(
            f"change-{one}",
            name,
            churn.CHANGE_ROWS,
            {**values, "change": one},
            columns,
            expected_rows=counts[one],
        )
        for one, name in names.items()
    ]
    frame.drill(view, published, drills)


def earlier_lists(view: View, published: Published) -> None:
    """Was the list right: of a list whose 90 days are over, who left; and what contacting did, by play."""
    _, show = view.text.gettext, view.show
    st.subheader(_("Was an earlier list right?"), anchor=False)
    closed = published.rows(churn.CLOSED_LIST)
    if closed.is_empty():
        st.caption(_("No list is 90 days old yet, so nothing can be said of it. It will stand here then."))
    else:
        st.caption(
            _("The list of {day}, whose 90 days are over: who left, beside what its scores expected.").format(
                day=show.day(closed["as_of"][0])
            )
        )
        frame.table(
            view,
            _("Expected and left, by risk"),
            [
                Column("subject", _("Risk"), words=lambda one: subject_words(view, one)),
                Column("commitment_class", _("Commitment"), words=lambda one: class_words(view, one)),
                Column("customers", _("Customers"), "count"),
                Column("expected", _("Expected to leave"), "decimal"),
                Column("observed", _("Left"), "count"),
                Column("value", _("Left ÷ expected"), "ratio"),
            ],
            closed,
        )
    rates = published.rows(churn.SAVE_RATES)
    if rates.is_empty():
        return
    frame.table(
        view,
        _("What contacting did"),
        [
            Column("said", _("Next step")),
            Column("contacted", _("Customers contacted"), "count"),
            Column("listed", _("Listed"), "count"),
            Column("listed_left", _("Left of the listed"), "count"),
            Column("holdout", _("Comparison group"), "count"),
            Column("holdout_left", _("Left of the comparison group"), "count"),
            Column("rate", _("Save rate, points")),
        ],
        pl.DataFrame([save_rate_row(view, row) for row in rates.iter_rows(named=True)]),
    )
    st.caption(
        _(
            "The save rate compares all that were listed with the comparison group, contacted or not, so "
            "that it is due to the list. Contacts logged here count from the next build on."
        )
    )


def subject_words(view: View, subject: str) -> str:
    """The subject of a measure: all customers, or those of a band."""
    if subject == ALL:
        return view.text.gettext("All")
    return words.band(view.text)(subject.removeprefix("band:"))


def class_words(view: View, commitment: str) -> str:
    return view.text.gettext("All") if commitment == ALL else words.commitment(view.text)(commitment)


def save_rate_row(view: View, row: Mapping[str, Any]) -> dict[str, Any]:
    """A play's save rate in words: with its interval, or that there is not enough data."""
    _, show = view.text.gettext, view.show
    rate = _("Not enough data yet")
    if row["is_enough"]:
        rate = _("{value} ({low} to {high})").format(
            value=show.points(row["value"]), low=show.points(row["low"]), high=show.points(row["high"])
        )
    said = _("All plays") if row["play"] == ALL else row[f"play_{view.language}"] or row["play"]
    return {**row, "said": said, "rate": rate}
