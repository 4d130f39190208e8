"""Page 5, churn risk: whom to call today? The ranked list and the work on it, what changed within a week, one
customer's reasons, and whether earlier lists were right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import figures, frame, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import churn
from dashboard.scope import ALL
from dashboard.screens import acting, churn_filters, churn_list, churn_past
from dashboard.screens.churn_filters import Chosen
from dashboard.screens.churn_list import PLACE
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

FILTERS = ("segment", "band", "list", "owner", "state")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "churn", _("Whom to call today?"))
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    parts = published.rows(churn.PARTS)
    if parts.is_empty():
        no_scores(view, published)
        return
    doubts(view, published)
    chosen: Chosen | None = None
    listed: pl.DataFrame | None = None
    with frame.panel(view):
        chosen = churn_filters.filters(view, published, parts)
        summary = published.rows(churn.SUMMARY, **chosen.values).row(0, named=True)
        if not summary["customers"]:
            acting.undo_bar(view, PLACE)
            frame.empty(view, _("No customer of this segment was scored."), FILTERS)
            return
        basis(view, summary)
        if not summary["is_leaving"]:
            frame.cards(view, cards(view, summary))
            frame.drill(view, published, drills(view, summary, chosen))
        listed = churn_list.risk_list(view, published, summary, chosen)
        acting.undo_bar(view, PLACE)
    if chosen is not None and listed is not None and not listed.is_empty():
        with frame.panel(view):
            churn_list.work(view, published, listed)
        with frame.panel(view):
            churn_list.one_customer(view, published, chosen, listed)
    if chosen is not None and chosen.list_name == "now":
        with frame.panel(view):
            churn_past.changes(view, published, chosen)
    with frame.panel(view):
        churn_past.earlier_lists(view, published)


def no_scores(view: View, published: Published) -> None:
    """Why there is no score, in the words of the scoring run."""
    _ = view.text.gettext
    st.info(_("No customer of this company has been scored, so there is no list to call."))
    for reason in published.rows(churn.STATUS)[f"reason_{view.language}"].drop_nulls():
        st.text(reason)


def doubts(view: View, published: Published) -> None:
    """Why today's run wrote no scores, or only points, or what to doubt in them; older scores stay on the
    page with their day."""
    status = published.rows(churn.STATUS)
    is_doubtful = status["state"].is_in(["withheld", "rule_only"]) | (
        status["reason_code"] == "scored_with_drift"
    )
    for row in status.filter(is_doubtful).iter_rows(named=True):
        st.warning(row[f"reason_{view.language}"])


def basis(view: View, summary: Mapping[str, Any]) -> None:
    """What the scores are: of which day, by which model, and what they mean."""
    _, show = view.text.gettext, view.show
    if summary["is_repeat_trade"]:
        meaning = _("The score is the probability of no order in the next 90 days.")
    else:
        meaning = _("The score is the probability that the last subscription ends within 90 days.")
    if summary["is_leaving"]:
        meaning = _("These customers have given notice: save or settle.")
    elif not summary["with_probability"]:
        meaning = _(
            "Too little history for a model: the list follows a rule, and its points are no probability."
        )
    st.caption(
        _(
            "{meaning} Scored for {day} by model {model}. How good it has been stands under Data health."
        ).format(meaning=meaning, day=show.day(summary["as_of"]), model=f"`{summary['model_id']}`")
    )


def cards(view: View, summary: Mapping[str, Any]) -> list[Card]:
    _, show = view.text.gettext, view.show
    return [
        Card(
            _("Customers scored"),
            show.number(summary["customers"]),
            help=view.definition("scored_customers"),
            rows="scored",
        ),
        Card(
            _("High risk"),
            show.number(summary["high"]),
            help=view.definition("high_risk_customers"),
            rows="high",
        ),
        Card(
            _("Expected to leave"),
            show.number(summary["expected_leavers"], 1),
            help=view.definition("expected_leavers"),
            rows="expected",
        ),
        Card(
            _("Revenue at risk, 90 days"),
            show.money(summary["revenue_at_risk_minor"], summary["currency"]),
            help=view.definition("revenue_at_risk_90"),
            rows="at-risk",
        ),
    ]


def risk_columns(view: View, summary: Mapping[str, Any]) -> list[Column]:
    _ = view.text.gettext
    currency = summary["currency"]
    yearly = churn_list.yearly(view, summary)
    score = churn_list.score(view, summary)
    saving = (
        [Column("expected_save_minor", _("Expected saving"), "money", currency=currency)]
        if summary["with_saving"]
        else []
    )
    contract = [
        Column("commitment_class", _("Commitment"), words=words.commitment(view.text)),
        Column("decision_on", _("Decision point"), "day"),
    ]
    if summary["is_leaving"]:
        return [Column("name", _("Customer")), *contract, yearly]
    cause = [Column("cause", _("Cause"), words=words.cause(view.text))]
    about = [] if summary["is_repeat_trade"] else [*cause, *contract]
    renewal = [Column("p_nonrenewal_next_term", _("No renewal"), "bar")] if summary["is_later"] else []
    change = [Column("p_90_change", _("Change in points"), "points")] if summary["with_change"] else []
    return [
        Column("name", _("Customer")),
        score,
        *change,
        *renewal,
        *about,
        yearly,
        Column("revenue_at_risk_90_minor", _("Revenue at risk"), "money", currency=currency),
        *saving,
        Column(f"reason_{view.language}", _("Strongest reason")),
        Column(f"reason_2_{view.language}", _("Second reason")),
        Column(f"reason_3_{view.language}", _("Third reason")),
        Column(f"play_{view.language}", _("Next step")),
        Column("play_owner", _("Owner"), words=words.owner(view.text)),
        Column("due_on", _("Due on"), "day"),
        Column("in_holdout", _("Comparison group"), words=words.yes_no(view.text)),
    ]


def drills(view: View, summary: Mapping[str, Any], chosen: Chosen) -> list[Drill]:
    _ = view.text.gettext
    columns = risk_columns(view, summary)
    at_risk = Column("revenue_at_risk_90_minor", _("Revenue at risk"), "money", currency=summary["currency"])
    all_rows = {**chosen.values, "band": ALL}
    basis = [figures.scored_words(view, summary)]
    return [
        Drill(
            "scored",
            _("Customers scored"),
            churn.RISK_ROWS,
            all_rows,
            columns,
            notes=basis,
            expected_rows=summary["customers"],
            metric="scored_customers",
        ),
        Drill(
            "high",
            _("High risk"),
            churn.RISK_ROWS,
            {**all_rows, "band": "high"},
            columns,
            notes=basis,
            expected_rows=summary["high"],
            metric="high_risk_customers",
        ),
        Drill(
            "expected",
            _("Expected to leave"),
            churn.RISK_ROWS,
            all_rows,
            columns,
            [Check(Column("p_90", _("Probability"), "decimal"), summary["expected_leavers"])],
            notes=basis,
            metric="expected_leavers",
        ),
        Drill(
            "at-risk",
            _("Revenue at risk, 90 days"),
            churn.RISK_ROWS,
            all_rows,
            columns,
            [Check(at_risk, summary["revenue_at_risk_minor"])],
            notes=basis,
        ),
    ]


render(open_view())
