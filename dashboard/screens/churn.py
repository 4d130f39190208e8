"""Page 5, churn risk: whom to call today? The ranked list and the work on it, what changed within a week, one
customer's reasons, and whether earlier lists were right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, frame, paging, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import churn
from dashboard.records.actions import STATES
from dashboard.scope import ALL
from dashboard.screens import acting
from dashboard.screens.acting import Account, prompt_of
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

LIST_ROWS = 25
BANDS = (ALL, "high", "watch")
RANKINGS = ("value", "risk")
LISTS = ("now", "later", "leaving")
OWNERS = (ALL, "mine", "nobody")
CHANGES = ("new", "risen", "fallen", "gone")
PLACE = "churn"
FILTERS = ("segment", "band", "list", "owner", "state")


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
    acting.undo_bar(view, PLACE)
    with frame.panel(view):
        chosen = filters(view, published, parts)
        summary = published.rows(churn.SUMMARY, **chosen.values).row(0, named=True)
        if not summary["customers"]:
            frame.empty(view, _("No customer of this segment was scored."), FILTERS)
            return
        basis(view, summary)
        if not summary["is_leaving"]:
            frame.cards(view, cards(view, summary))
            frame.drill(view, published, drills(view, summary, chosen))
        listed = risk_list(view, published, summary, chosen)
    if not listed.is_empty():
        with frame.panel(view):
            work(view, published, listed)
        with frame.panel(view):
            one_customer(view, published, chosen, listed)
    if chosen.list_name == "now":
        with frame.panel(view):
            changes(view, published, chosen)
    with frame.panel(view):
        earlier_lists(view, published)


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
    owner: str
    state: str

    @property
    def values(self) -> dict[str, object]:
        return {
            "segment": self.segment,
            "band": self.band,
            "ranking": self.ranking,
            "list_name": self.list_name,
            "currency": self.currency,
            "owner": self.owner,
            "state": self.state,
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
                resets=("rows", "page", "listed", "customer"),
            )
        currency = currencies[0]
        if len(currencies) > 1:
            resets: tuple[str, ...] = ("rows", "page", "listed", "customer")
            currency = address.choice("currency", _("Currency"), currencies, currency, str, resets=resets)
        list_name = lists[0]
        if len(lists) > 1:
            list_name = address.choice(
                "list",
                _("List"),
                lists,
                list_name,
                words.risk_list(view.text),
                resets=("rows", "page", "listed", "customer", "band"),
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
            resets=("listed", "customer"),
            as_buttons=True,
        )
        orders = {"value": _("Revenue at risk"), "risk": _("Probability")}
        ranking = address.choice(
            "ranking",
            _("Highest first by"),
            RANKINGS,
            "value",
            orders.__getitem__,
            resets=("listed", "customer"),
            as_buttons=True,
        )
        owners = {ALL: _("All accounts"), "mine": _("Mine"), "nobody": _("Unassigned")}
        resets = ("listed", "customer")
        owner = address.choice("owner", _("Owner"), OWNERS, ALL, owners.__getitem__, resets=resets)
        states = {ALL: _("All"), **{one: words.state(view.text)(one) for one in STATES}}
        state = address.choice("state", _("State"), list(states), "open", states.__getitem__, resets=resets)
    return Chosen(segment, band, ranking, list_name, currency, owner, state)


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


def list_columns(view: View, summary: Mapping[str, Any]) -> list[Column]:
    """What the page shows of the list; its file has all columns."""
    _ = view.text.gettext
    currency = summary["currency"]
    yearly = (
        Column("yearly_revenue_minor", _("Revenue, last 365 days"), "money", currency=currency)
        if summary["is_repeat_trade"]
        else Column("mrr_minor", _("MRR"), "money", currency=currency)
    )
    people = [Column("owner", _("Owner"), "id"), Column("touched_on", _("Last touch"), "day")]
    if summary["is_leaving"]:
        decision = Column("decision_on", _("Decision point"), "day")
        return [Column("name", _("Customer")), yearly, decision, *people]
    score = (
        Column("p_90", _("Score"), "bar")
        if summary["with_probability"]
        else Column("rule_points", _("Points"), "count")
    )
    change = [Column("change_7_days", _("In 7 days"), "points")] if summary["with_week"] else []
    renewal = [] if summary["is_repeat_trade"] else [Column("decision_on", _("Renewal"), "day")]
    unlikely = [Column("p_nonrenewal_next_term", _("No renewal"), "bar")] if summary["is_later"] else []
    return [
        Column("name", _("Customer")),
        score,
        *change,
        *unlikely,
        yearly,
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
    values = {**chosen.values, **acting.values(view)}
    counted = churn.WORK_COUNT if chosen.owner == ALL else churn.OWNED_COUNT
    count = published.rows(counted, **values)["customers"].item()
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
    paging.choice("listed", pages, page, ("customer",))
    frame.download(
        view,
        "risk-list",
        file_columns(view, about),
        lambda: with_steps(
            view, published.rows(churn.WORK_ROWS, **values, limit=frame.EXPORT_ROWS, offset=0)
        ),
        published,
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
    accounts = {row["customer_id"]: account_of(row) for row in listed.iter_rows(named=True)}
    with st.expander(_("Act on several customers of this page")):
        chosen = st.multiselect(
            _("Customers to act on"),
            list(accounts),
            format_func=lambda one: accounts[one].name,
            key="act-customers",
            placeholder=_("Choose from the page above"),
        )
        held = set(listed.filter("in_holdout")["customer_id"])
        if held.intersection(chosen):
            st.caption(
                _("Among them are customers of the comparison group: the score prompts no contact with them.")
            )
        acting.panel(view, published, [accounts[one] for one in chosen], PLACE)


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


render(open_view())
