"""The ranked list of customers at risk: a page of it, the work on it, and one customer's reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, frame, paging, words
from dashboard.queries import churn
from dashboard.screens import acting
from dashboard.screens.acting import Account, prompt_of
from dashboard.screens.churn_filters import Chosen
from dashboard.tables import Column
from dashboard.view import Published, View

PLACE = "churn"
LIST_ROWS = 25


def yearly(view: View, summary: Mapping[str, Any]) -> Column:
    """What a customer brings: MRR, of repeat trade the revenue of a year."""
    _ = view.text.gettext
    if summary["is_repeat_trade"]:
        return Column(
            "yearly_revenue_minor", _("Revenue, last 365 days"), "money", currency=summary["currency"]
        )
    return Column("mrr_minor", _("MRR"), "money", currency=summary["currency"])


def score(view: View, summary: Mapping[str, Any]) -> Column:
    """What ranks a customer: a probability, or the points of a rule."""
    _ = view.text.gettext
    if summary["with_probability"]:
        return Column("p_90", _("Score"), "bar")
    return Column("rule_points", _("Points"), "count")


def list_columns(view: View, summary: Mapping[str, Any]) -> list[Column]:
    """What the page shows of the list; its file has all columns."""
    _ = view.text.gettext
    revenue = yearly(view, summary)
    people = [Column("owner", _("Owner"), "id"), Column("touched_on", _("Last touch"), "day")]
    if summary["is_leaving"]:
        decision = Column("decision_on", _("Decision point"), "day")
        return [Column("name", _("Customer")), revenue, decision, *people]
    change = [Column("change_7_days", _("In 7 days"), "points")] if summary["with_week"] else []
    renewal = [] if summary["is_repeat_trade"] else [Column("decision_on", _("Renewal"), "day")]
    unlikely = [Column("p_nonrenewal_next_term", _("No renewal"), "bar")] if summary["is_later"] else []
    return [
        Column("name", _("Customer")),
        score(view, summary),
        *change,
        *unlikely,
        revenue,
        Column(f"reason_{view.language}", _("Strongest reason")),
        *renewal,
        *people,
        Column(f"play_{view.language}", _("Next step")),
        Column("due_on", _("Due on"), "day"),
    ]


def file_columns(view: View, summary: Mapping[str, Any]) -> list[Column]:
    """The columns of the list's file: those of the page, all reasons, the amounts, and which score it was."""
    _ = view.text.gettext
    currency = summary["currency"]
    shown = list_columns(view, summary)
    more = [
        Column("customer_id", _("Customer id"), "id"),
        Column("segment", _("Segment")),
        Column("commitment_class", _("Commitment"), words=words.commitment(view.text)),
        Column("state", _("State"), words=words.state(view.text)),
    ]
    if summary["is_leaving"]:
        return [*shown, *more]
    return [
        *shown,
        *more,
        Column("cause", _("Cause"), words=words.cause(view.text)),
        Column("revenue_at_risk_90_minor", _("Revenue at risk"), "money", currency=currency),
        Column("expected_save_minor", _("Expected saving"), "money", currency=currency),
        Column(f"reason_2_{view.language}", _("Second reason")),
        Column(f"reason_3_{view.language}", _("Third reason")),
        Column("play_owner", _("Who acts"), words=words.owner(view.text)),
        Column("in_holdout", _("Comparison group"), words=words.yes_no(view.text)),
        Column("as_of", _("Scored for"), "day"),
        Column("model_id", _("Model"), "id"),
    ]


def risk_list(view: View, published: Published, summary: Mapping[str, Any], chosen: Chosen) -> pl.DataFrame:
    """The list itself, a page of it at a time; returns the rows on screen. The file holds all of them."""
    _, show = view.text.gettext, view.show
    about = {**summary, "with_week": not published.rows(churn.DAYS_BEFORE).is_empty()}
    values = {**chosen.values, **acting.values(view, chosen.owner)}
    count = published.rows(churn.WORK_COUNT, **values)["customers"].item()
    pages = paging.count(count, LIST_ROWS)
    page = paging.current("listed", pages)
    rows = published.rows(churn.WORK_ROWS, **values, limit=LIST_ROWS, offset=(page - 1) * LIST_ROWS)
    title = _("Whom to call")
    if chosen.list_name != "now":
        title = words.risk_list(view.text)(chosen.list_name)
    st.subheader(title, anchor=False)
    ngettext = view.text.ngettext
    st.caption(ngettext("{count} customer", "{count} customers", count).format(count=show.number(count)))
    if rows.is_empty():
        frame.empty(
            view, _("No customer of the list has this owner, state and risk."), ("owner", "state", "band")
        )
        return rows
    frame.table(view, _("Customers by risk"), list_columns(view, about), with_steps(view, rows))
    paging.choice(view, "listed", pages, page, ("customer",))
    frame.download(
        view,
        "risk-list",
        file_columns(view, about),
        lambda: with_steps(
            view, published.rows(churn.WORK_ROWS, **values, limit=frame.EXPORT_ROWS, offset=0)
        ),
        published,
        title=title,
    )
    return rows


def with_steps(view: View, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the next step in words, by where each account stands. Of the comparison group it is that
    there is none."""
    _ = view.text.gettext
    step = f"play_{view.language}"
    return rows.with_columns(
        pl.when("in_holdout")
        .then(pl.lit(_("Comparison group: no contact")))
        .when(pl.col("state") == "snoozed")
        .then(pl.lit(_("Snoozed: look again on the day beside")))
        .when((pl.col("state") == "contacted") & pl.col("due_on").is_not_null())
        .then(pl.lit(_("Follow up the last contact")))
        .when(pl.col("state") == "contacted")
        .then(pl.lit(_("Contacted: set the outcome")))
        .when(pl.col("state") == "done")
        .then(pl.lit(_("Done")))
        .otherwise(step)
        .alias(step)
    )


def account_of(row: Mapping[str, Any]) -> Account:
    """A row of the list as an account to act on, with the score that prompts it."""
    prompt = prompt_of(row["as_of"], row["model_id"], row["recommended_play"])
    return Account(row["customer_id"], row["name"], prompt)


def work(view: View, published: Published, listed: pl.DataFrame) -> None:
    """Act on one or more of the customers on screen."""
    _ = view.text.gettext
    accounts = [account_of(row) for row in listed.iter_rows(named=True)]
    held = set(listed.filter("in_holdout")["customer_id"])
    acting.several(view, published, _("Act on several customers of this page"), accounts, PLACE, held)


def one_customer(view: View, published: Published, chosen: Chosen, listed: pl.DataFrame) -> None:
    """Why one customer has its score, what to do about it, and what was done."""
    _, show = view.text.gettext, view.show
    names = dict(zip(listed["customer_id"], listed["name"], strict=True))
    st.subheader(_("One customer"), anchor=False)
    customer = address.choice("customer", _("Customer"), list(names), next(iter(names)), names.__getitem__)
    row = listed.filter(pl.col("customer_id") == customer).row(0, named=True)
    score = published.rows(churn.ONE_SCORE, **chosen.values, customer_id=customer).row(0, named=True)
    reasons = published.rows(churn.CUSTOMER, **chosen.values, customer_id=customer)
    with st.container(horizontal=True):
        if score["band_fixed"]:
            st.badge(
                words.band(view.text)(score["band_fixed"]),
                color="red" if score["band_fixed"] == "high" else "gray",
            )
        if score["cause"]:
            st.badge(words.cause(view.text)(score["cause"]), color="gray")
        st.badge(words.state(view.text)(row["state"]), color="blue")
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
    basis = _("Scored for {day} by model {model}.")
    if score["support"] is not None:
        basis = _("Scored for {day} by model {model}, from {support} comparable customers.")
    st.caption(
        basis.format(
            day=show.day(score["as_of"]),
            model=f"`{score['model_id']}`",
            support=show.number(score["support"]),
        )
    )
    if score["in_holdout"]:
        st.caption(_("This customer is in the comparison group: no contact is prompted by the score."))
    frame.page_link(view, "customer", _("All about this customer"), customer=customer)
    account = account_of(row)
    acting.panel(view, published, [account], PLACE, "one")
    acting.history(view, account, PLACE)
