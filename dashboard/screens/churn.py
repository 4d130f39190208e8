"""Page 5, churn risk: whom to call today? The ranked list, and one customer's reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
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
LISTS = ("now", "later", "leaving")
# What the list leaves to its file and to the rows behind the cards: a window holds the rest.
ASIDE = ("p_90_change", "expected_save_minor", "commitment_class", "play_owner", "in_holdout")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "churn", _("Churn risk"), _("Whom to call today?"))
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    parts = published.rows(churn.PARTS)
    if parts.is_empty():
        no_scores(view, published)
        return
    doubts(view, published)
    with frame.panel(view):
        chosen = filters(view, published, parts)
        summary = published.rows(churn.SUMMARY, **chosen.values).row(0, named=True)
        if not summary["customers"]:
            frame.empty(view, _("No customer of this segment was scored."), ("segment", "band", "list"))
            return
        basis(view, summary)
        if not summary["is_leaving"]:
            frame.cards(view, cards(view, summary))
            frame.drill(view, published, drills(view, summary, chosen))
        risk_list(view, published, summary, chosen)
    if not summary["is_leaving"]:
        with frame.panel(view):
            one_customer(view, published, chosen)


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


@dataclass(frozen=True)
class Chosen:
    """What the filters say; `ranking` is value (revenue at risk first) or risk (probability first)."""

    segment: str
    band: str
    ranking: str
    list_name: str
    currency: str

    @property
    def values(self) -> dict[str, object]:
        return {
            "segment": self.segment,
            "band": self.band,
            "ranking": self.ranking,
            "list_name": self.list_name,
            "currency": self.currency,
        }


def filters(view: View, published: Published, parts: pl.DataFrame) -> Chosen:
    """Draw the filters; the 90-day list begins with those at high risk, where there are any. `parts`: the
    lists and currencies there are."""
    _ = view.text.gettext
    segments = [ALL, *published.rows(churn.SEGMENTS)["segment"].to_list()]
    currencies = parts["currency"].unique(maintain_order=True).to_list()
    lists = [name for name in LISTS if name in set(parts["list_name"])]
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
        currency = currencies[0]
        if len(currencies) > 1:
            resets = ("rows", "page", "customer")
            currency = address.choice("currency", _("Currency"), currencies, currency, str, resets=resets)
        list_name = lists[0]
        if len(lists) > 1:
            list_name = address.choice(
                "list",
                _("List"),
                lists,
                list_name,
                words.risk_list(view.text),
                resets=("rows", "page", "customer", "band"),
                as_buttons=True,
            )
        every = {"segment": ALL, "list_name": list_name, "currency": currency}
        has_high = published.rows(churn.SUMMARY, **every)["high"].item() > 0
        band = address.choice(
            "band",
            _("Risk"),
            BANDS,
            "high" if has_high and list_name == "now" else ALL,
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
    return Chosen(segment, band, ranking, list_name, currency)


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
            help=_(
                "Probability times the revenue of a year that is not committed yet, customer by customer."
            ),
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
    """The list itself, a page of the first; the file holds all of them, and all columns."""
    _, show = view.text.gettext, view.show
    columns = risk_columns(view, summary)
    ranked = Drill("risk-list", _("Customers by risk"), churn.RISK_ROWS, chosen.values, columns)
    rows = frame.page_of(published, ranked, 1, LIST_ROWS)
    title = _("The first {count} to call").format(count=show.number(rows.height))
    if chosen.list_name != "now":
        title = words.risk_list(view.text)(chosen.list_name)
    st.subheader(title, anchor=False)
    shown = [column for column in columns if column.name not in ASIDE]
    frame.table(view, ranked.title, shown, without_a_step(view, rows))
    frame.download(
        view, ranked.key, columns, lambda: frame.page_of(published, ranked, 1, frame.EXPORT_ROWS), published
    )


def without_a_step(view: View, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, in which the next step of the comparison group is that there is none."""
    step = f"play_{view.language}"
    if step not in rows.columns:
        return rows
    none = pl.lit(view.text.gettext("Comparison group: no contact"))
    return rows.with_columns(pl.when("in_holdout").then(none).otherwise(step).alias(step))


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
    score = published.rows(churn.ONE_SCORE, **chosen.values, customer_id=customer).row(0, named=True)
    reasons = published.rows(churn.CUSTOMER, **chosen.values, customer_id=customer)
    with st.container(horizontal=True):
        st.badge(
            words.band(view.text)(score["band_fixed"]),
            color="red" if score["band_fixed"] == "high" else "gray",
        )
        if score["cause"]:
            st.badge(words.cause(view.text)(score["cause"]), color="gray")
        if score["p_90"] is not None:
            st.text(
                _("Score {score}; a typical customer has {typical}.").format(
                    score=show.percent(score["p_cause_90"]), typical=show.percent(score["p_reference"])
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
