"""Short looks at other pages, for the overview: top risks and the newest cohorts."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import streamlit as st

from dashboard import cohorts, figures, frame
from dashboard.queries import Query, churn
from dashboard.scope import ALL
from dashboard.tables import Column
from dashboard.view import Published, View

SHOWN_RISKS = 5
SHOWN_COHORTS, SHOWN_AGES = 6, 12


def top_risks(view: View, published: Published, segment: str = ALL, currency: str | None = None) -> None:
    """The five customers of a segment with the most revenue at risk, and the way to the whole list: those
    of a currency, where any is scored in it."""
    _ = view.text.gettext
    st.subheader(_("Top risks"), anchor=False)
    parts = published.rows(churn.PARTS)
    scored = parts["currency"].to_list()
    if currency not in scored:
        currency = scored[0] if scored else None
    values = {
        "segment": segment,
        "band": "high",
        "ranking": "value",
        "list_name": "now",
        "currency": currency,
    }
    rows = published.rows(churn.TOP_ROWS, **values, limit=SHOWN_RISKS)
    if parts.is_empty():
        st.caption(_("No customer of this company has been scored, so there is no list to call."))
    elif rows.is_empty():
        st.caption(_("No customer is scored as high risk."))
    else:
        columns = [
            Column("name", _("Customer")),
            Column("p_90", _("Score"), "bar"),
            Column("revenue_at_risk_90_minor", _("Revenue at risk"), "money", currency=currency),
            Column("reasons", _("Reasons")),
        ]
        of_score = [f"{name}_{view.language}" for name in ("reason", "reason_2", "reason_3")]
        reasons = pl.concat_str(of_score, separator=" · ", ignore_nulls=True).alias("reasons")
        frame.table(view, _("Top risks"), columns, rows.with_columns(reasons))
        st.caption(figures.scored_words(view, rows.row(0, named=True)))
    frame.page_link(view, "churn", _("Open churn risk"))


def newest_cohorts(
    view: View,
    published: Published,
    rows: pl.DataFrame,
    part: str,
    whole: str,
    grain: str,
    query: Query,
    values: Mapping[str, object],
) -> None:
    """The newest cohorts by age, and the way to all of them."""
    _ = view.text.gettext
    newest = sorted(set(rows["cohort_month"].to_list()))[-SHOWN_COHORTS:]
    shown = rows.filter(pl.col("cohort_month").is_in(newest), pl.col("age_months") <= SHOWN_AGES)
    title = _("Newest cohorts: customers, % by age in months")
    cells = cohorts.grid(shown, part, whole, whole, view.min_customers, grain)
    cohorts.heat_map(view, published, cells, title, query, values, name="newest-cohorts")
    frame.page_link(view, "retention", _("Open retention and cohorts"))
