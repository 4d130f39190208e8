"""Page 5, churn risk: whom to call today? The ranked list, and one customer's reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import address, frame, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import churn
from dashboard.scope import ALL
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

LIST_ROWS = 25
BANDS = (ALL, "high", "watch")
RANKINGS = ("value", "risk")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "churn", _("Churn risk"), _("Whom to call today?"))
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    summary = published.rows(churn.SUMMARY, segment=ALL).row(0, named=True)
    if not summary["customers"]:
        no_scores(view, published)
        return
    with frame.panel(view):
        chosen = filters(view, published, has_high=summary["high"] > 0)
        summary = published.rows(churn.SUMMARY, **chosen.values).row(0, named=True)
        if not summary["customers"]:
            frame.empty(view, _("No customer of this segment was scored."), ("segment", "band"))
            return
        basis(view, summary)
        frame.cards(view, cards(view, summary))
        frame.drill(view, published, drills(view, summary, chosen))
        risk_list(view, published, summary, chosen)
    with frame.panel(view):
        one_customer(view, published, chosen)


def no_scores(view: View, published: Published) -> None:
    """Why there is no score, in the words of the scoring run."""
    _ = view.text.gettext
    st.info(_("No customer of this company has been scored, so there is no list to call."))
    status = published.rows(churn.STATUS)
    if not status.is_empty():
        reason = status.row(0, named=True)[f"reason_{view.language}"]
        if reason:
            st.text(reason)
    if published.build.has_subscriptions:
        st.text(
            _(
                "Scores for subscriptions are not part of this release. "
                "Repeat trade from an order history is scored."
            )
        )


@dataclass(frozen=True)
class Chosen:
    """What the filters say; `ranking` is value (revenue at risk first) or risk (probability first)."""

    segment: str
    band: str
    ranking: str

    @property
    def values(self) -> dict[str, object]:
        return {"segment": self.segment, "band": self.band, "ranking": self.ranking}


def filters(view: View, published: Published, has_high: bool) -> Chosen:
    """Draw the filters; the list begins with those at high risk, where there are any."""
    _ = view.text.gettext
    segments = [ALL, *published.rows(churn.SEGMENTS)["segment"].to_list()]
    names = {ALL: _("All"), "high": words.band(view.text)("high"), "watch": words.band(view.text)("watch")}
    with st.container(horizontal=True, key="filters"):
        segment = ALL
        if len(segments) > 2:
            segment = address.choice(
                "segment",
                _("Segment"),
                segments,
                ALL,
                lambda one: _("All segments") if one == ALL else one,
                resets=("rows", "page", "customer"),
            )
        band = address.choice(
            "band",
            _("Risk"),
            BANDS,
            "high" if has_high else ALL,
            names.__getitem__,
            resets=("page", "customer"),
            as_buttons=True,
        )
        orders = {"value": _("Revenue at risk"), "risk": _("Probability")}
        ranking = address.choice(
            "ranking",
            _("Highest first by"),
            RANKINGS,
            "value",
            orders.__getitem__,
            resets=("page", "customer"),
            as_buttons=True,
        )
    return Chosen(segment, band, ranking)


def basis(view: View, summary: Mapping[str, Any]) -> None:
    """What the scores are: of which day, by which model, and what they mean."""
    _, show = view.text.gettext, view.show
    if summary["is_repeat_trade"]:
        meaning = _("The score is the probability of no order in the next 90 days.")
    else:
        meaning = _("The score is the probability that the last subscription ends within 90 days.")
    if not summary["with_probability"]:
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
        Card(_("Customers scored"), show.number(summary["customers"]), rows="scored"),
        Card(
            _("High risk"),
            show.number(summary["high"]),
            help=_("Customers with a probability of 50 % or more."),
            rows="high",
        ),
        Card(
            _("Expected to leave"),
            show.number(summary["expected_leavers"], 1),
            help=_(
                "The sum of all probabilities: "
                "how many of the scored customers leave if the scores are right."
            ),
            rows="expected",
        ),
        Card(
            _("Revenue at risk, 90 days"),
            show.money(summary["revenue_at_risk_minor"], summary["currency"]),
            help=_("Probability times the revenue of a year, customer by customer."),
            rows="at-risk",
        ),
    ]


def risk_columns(view: View, summary: Mapping[str, Any]) -> list[Column]:
    _ = view.text.gettext
    currency = summary["currency"]
    yearly = (
        Column("yearly_revenue_minor", _("Revenue, last 365 days"), "money", currency=currency)
        if summary["is_repeat_trade"]
        else Column("mrr_minor", _("MRR"), "money", currency=currency)
    )
    score = (
        Column("p_90", _("Score"), "bar")
        if summary["with_probability"]
        else Column("rule_points", _("Points"), "count")
    )
    change = [Column("p_90_change", _("Change in points"), "points")] if summary["with_change"] else []
    return [
        Column("name", _("Customer")),
        score,
        *change,
        yearly,
        Column("revenue_at_risk_90_minor", _("Revenue at risk"), "money", currency=currency),
        Column(f"reason_{view.language}", _("Strongest reason")),
        Column(f"play_{view.language}", _("Next step")),
        Column("play_owner", _("Owner"), words=words.owner(view.text)),
        Column("due_on", _("Due on"), "day"),
    ]


def drills(view: View, summary: Mapping[str, Any], chosen: Chosen) -> list[Drill]:
    _ = view.text.gettext
    columns = risk_columns(view, summary)
    at_risk = next(column for column in columns if column.name == "revenue_at_risk_90_minor")
    all_rows = {**chosen.values, "band": ALL}
    return [
        Drill(
            "scored",
            _("Customers scored"),
            churn.RISK_ROWS,
            all_rows,
            columns,
            expected_rows=summary["customers"],
        ),
        Drill(
            "high",
            _("High risk"),
            churn.RISK_ROWS,
            {**all_rows, "band": "high"},
            columns,
            expected_rows=summary["high"],
        ),
        Drill(
            "expected",
            _("Expected to leave"),
            churn.RISK_ROWS,
            all_rows,
            columns,
            [Check(Column("p_90", _("Probability"), "decimal"), summary["expected_leavers"])],
        ),
        Drill(
            "at-risk",
            _("Revenue at risk, 90 days"),
            churn.RISK_ROWS,
            all_rows,
            columns,
            [Check(at_risk, summary["revenue_at_risk_minor"])],
        ),
    ]


def risk_list(view: View, published: Published, summary: Mapping[str, Any], chosen: Chosen) -> None:
    """The list itself, a page of the first; the file holds all."""
    _, show = view.text.gettext, view.show
    columns = risk_columns(view, summary)
    ranked = Drill("risk-list", _("Customers by risk"), churn.RISK_ROWS, chosen.values, columns)
    rows = frame.page_of(published, ranked, 1, LIST_ROWS)
    st.subheader(_("The first {count} to call").format(count=show.number(rows.height)), anchor=False)
    frame.table(view, ranked.title, columns, rows)
    frame.download(
        view, ranked.key, columns, lambda: frame.page_of(published, ranked, 1, frame.EXPORT_ROWS), published
    )


def one_customer(view: View, published: Published, chosen: Chosen) -> None:
    """Why one customer has its score, and what to do about it."""
    _, show = view.text.gettext, view.show
    ranked = Drill("", "", churn.RISK_ROWS, chosen.values, ())
    listed = frame.page_of(published, ranked, 1, frame.PAGE_ROWS)
    if listed.is_empty():
        return
    names = dict(zip(listed["customer_id"], listed["name"], strict=True))
    st.subheader(_("Reasons for one customer"), anchor=False)
    customer = address.choice("customer", _("Customer"), list(names), next(iter(names)), names.__getitem__)
    score = published.rows(churn.ONE_SCORE, segment=chosen.segment, customer_id=customer).row(0, named=True)
    reasons = published.rows(churn.CUSTOMER, segment=chosen.segment, customer_id=customer)
    with st.container(horizontal=True):
        st.badge(
            words.band(view.text)(score["band_fixed"]),
            color="red" if score["band_fixed"] == "high" else "gray",
        )
        st.text(
            _("Score {score}; a typical customer has {typical}.").format(
                score=show.percent(score["p_90"]), typical=show.percent(score["p_reference"])
            )
        )
    frame.table(
        view,
        _("Reasons"),
        [
            Column(f"sentence_{view.language}", _("Associated with the score")),
            Column("points", _("Points of probability"), "points"),
        ],
        reasons,
    )
    st.caption(
        _("Scored for {day} by model {model}, from {support} comparable customers.").format(
            day=show.day(score["as_of"]),
            model=f"`{score['model_id']}`",
            support=show.number(score["support"]),
        )
    )
    if score["in_holdout"]:
        st.caption(_("This customer is in the comparison group: no contact is prompted by the score."))


render(open_view())
