"""Parts of one customer's page: subscriptions and MRR, invoices, payments and dunning, use, risk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, figures, frame, paging, timeline, words
from dashboard.frame import Drill
from dashboard.queries import Query
from dashboard.queries import customer as queries
from dashboard.screens.acting import Account
from dashboard.tables import Column
from dashboard.view import Published, View

PLACE = "customer"
PART_ROWS = 50
HISTORY_ROWS = 60


@dataclass(frozen=True)
class Shown:
    """What a part shows: whose, in which currency, beside its newest score."""

    view: View
    published: Published
    account: Account
    currency: str
    score: Mapping[str, Any] | None

    @property
    def values(self) -> dict[str, object]:
        return {
            "customer_id": self.account.customer_id,
            "currency": self.currency,
            "lang": self.view.language,
            "as_of": self.published.build.as_of,
        }


def listing(
    shown: Shown,
    key: str,
    title: str,
    query: Query,
    columns: Sequence[Column],
    parameter: str = "at",
    more: Mapping[str, object] | None = None,
    adds: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows,
) -> None:
    """A page of a customer's rows with their file; `parameter` keeps the page in the address, `adds` puts
    columns of words beside those of the query."""
    one = Drill(key, title, query, {**shown.values, **(more or {})}, columns, adds=adds)
    count = frame.sums(shown.published, one)["row_count"]
    pages = paging.count(count, PART_ROWS)
    page = paging.current(parameter, pages)
    st.subheader(title, anchor=False)
    frame.table(shown.view, title, columns, adds(frame.page_of(shown.published, one, page, PART_ROWS)))
    paging.choice(shown.view, parameter, pages, page)
    if count:
        frame.download(
            shown.view,
            key,
            columns,
            lambda: adds(frame.page_of(shown.published, one, 1, frame.EXPORT_ROWS)),
            shown.published,
            title=f"{shown.account.name} · {title}",
        )


def subscriptions(shown: Shown) -> None:
    """What the customer pays for, and its MRR month by month."""
    view, currency = shown.view, shown.currency
    _ = view.text.gettext
    mrr_history(shown)
    listing(
        shown,
        "customer-subscriptions",
        _("Subscriptions"),
        queries.SUBSCRIPTIONS,
        [
            Column("plan", _("Plan")),
            Column("subscription_id", _("Subscription"), "id"),
            Column("mrr", _("MRR"), "money", currency=currency),
            Column("started_on", _("From"), "day"),
            Column("ended_on", _("Ended"), "day"),
            Column("renews_on", _("Term ends"), "day"),
            Column("notice_by_on", _("Notice by"), "day"),
            Column("is_notice_over", _("Notice"), words=words.notice(view.text)),
            Column("auto_renew", _("Renews by itself"), words=words.yes_no_known(view.text)),
            Column("cancel_requested_on", _("Cancellation asked"), "day"),
        ],
    )


def mrr_history(shown: Shown) -> None:
    view, show, currency = shown.view, shown.view.show, shown.currency
    months = shown.published.rows(queries.MRR_MONTHS, **shown.values)
    label = view.metric("mrr").label
    timeline.chart(
        view,
        shown.published,
        "customer-mrr",
        view.text.gettext("{metric} at month end").format(metric=label),
        months["month"].to_list(),
        lambda marks: charts.lines(
            [show.month(month) for month in months["month"]],
            [
                charts.Series(
                    label,
                    [show.size(mrr, currency) for mrr in months["mrr"]],
                    [show.money(mrr, currency) for mrr in months["mrr"]],
                )
            ],
            view.text.is_right_to_left,
            size=show.size_short,
            marks=marks,
        ),
        figures.trend_words(view, label, months, "mrr", lambda mrr: show.money(mrr, currency)),
        [
            Column("month", view.text.gettext("Month"), "month"),
            Column("mrr", label, "money", currency=currency),
        ],
        months,
        query=queries.MRR_MONTHS,
        values=shown.values,
    )


def invoices(shown: Shown) -> None:
    """The invoices, newest first; each leads to its document."""
    view, currency = shown.view, shown.currency
    _ = view.text.gettext
    listing(
        shown,
        "customer-invoices",
        _("Invoices"),
        queries.INVOICES,
        [
            Column("invoice_no", _("Invoice"), "id"),
            Column("issued_on", _("Issued"), "day"),
            Column("due_on", _("Due"), "day"),
            Column("status", _("Status"), words=words.invoice_status(view.text)),
            Column("total_minor", _("Total"), "money", currency=currency),
            Column("remaining_minor", _("Open amount"), "money", currency=currency),
            Column("settled_on", _("Settled"), "day"),
            Column("days_past_due", _("Days past due"), "count"),
        ],
    )


def payments(shown: Shown) -> None:
    """What came in or was taken off invoices, and the charges that failed."""
    view, currency = shown.view, shown.currency
    _ = view.text.gettext
    listing(
        shown,
        "customer-payments",
        _("Payments, credits and write-offs"),
        queries.RECEIPTS,
        [
            Column("event_on", _("Day"), "day"),
            Column("event_kind", _("What"), words=words.receivable(view.text)),
            Column("invoice_no", _("Invoice"), "id"),
            Column("amount_minor", _("Amount"), "money", currency=currency),
        ],
    )
    listing(
        shown,
        "customer-dunning",
        _("Failed charges and their recovery"),
        queries.DUNNING,
        [
            Column("first_failed_on", _("First failed"), "day"),
            Column("invoice_no", _("Invoice"), "id"),
            Column("failed_minor", _("Open amount then"), "money", currency=currency),
            Column("attempts", _("Attempts"), "count"),
            Column("outcome", _("Outcome"), words=words.recovery(view.text)),
            Column("recovered_on", _("Recovered on"), "day"),
            Column("recovered_minor", _("Recovered"), "money", currency=currency),
        ],
        parameter="failed",
    )


def usage(shown: Shown) -> None:
    """What month ends knew of use and support. A dash is "not known", never zero."""
    view = shown.view
    _ = view.text.gettext
    rows = shown.published.rows(queries.USAGE, **shown.values, limit=HISTORY_ROWS)
    st.subheader(_("Use and support, by month"), anchor=False)
    if rows.is_empty():
        st.caption(_("Nothing is known of this customer's use: it has had no subscription at a month end."))
        return
    if rows["no_usage_feed"][0]:
        st.caption(_("No usage feed names this customer."))
    frame.table(
        view,
        _("Use and support, by month"),
        [
            Column("as_of", _("Day"), "day"),
            Column("seats", _("Seats"), "count"),
            Column("active_users_28", _("Active users, 28 days"), "count"),
            Column("seat_use", _("Seats used"), "percent"),
            Column("active_days_28", _("Active days, 28 days"), "count"),
            Column("days_since_use", _("Days since use"), "count"),
            Column("tickets_90", _("Tickets, 90 days"), "count"),
            Column("csat_last", _("Last CSAT"), "count"),
            Column("nps_last", _("Last NPS answer"), "count"),
        ],
        rows,
    )


def risk(shown: Shown) -> None:
    """The newest score with its reasons and next step, and every earlier one."""
    view, show = shown.view, shown.view.show
    _ = view.text.gettext
    st.subheader(_("Risk"), anchor=False)
    score = shown.score
    if score is None:
        st.caption(_("This customer has no score of the newest day: it is not at risk, or cannot be scored."))
    else:
        _newest(shown, score)
    days = scored_days(shown)
    history = shown.published.rows(
        queries.RISK_HISTORY, **shown.values, since=days["since"], limit=HISTORY_ROWS
    )
    if history.is_empty():
        return
    st.subheader(_("Earlier scores and their reasons"), anchor=False)
    lang = view.language
    frame.table(
        view,
        _("Earlier scores and their reasons"),
        [
            Column("as_of", _("Scored for"), "day"),
            Column("model_id", _("Model"), "id"),
            Column("p_90", _("Score"), "percent"),
            Column("band_fixed", _("Risk"), words=words.band(view.text)),
            Column(f"reason_{lang}", _("Strongest reason")),
            Column(f"reason_2_{lang}", _("Second reason")),
            Column(f"reason_3_{lang}", _("Third reason")),
        ],
        history,
    )
    if days["is_more"]:
        count = show.number(HISTORY_ROWS)
        st.caption(_("Of the last {count} days that were scored.").format(count=count))


def scored_days(shown: Shown) -> Mapping[str, Any]:
    """From which day on scores are shown (`since`), and whether there are older ones (`is_more`)."""
    return shown.published.rows(queries.SCORED_SINCE, limit=HISTORY_ROWS).row(0, named=True)


def _newest(shown: Shown, score: Mapping[str, Any]) -> None:
    view, show = shown.view, shown.view.show
    _ = view.text.gettext
    if score["p_90"] is not None:
        st.text(
            _("Score {score}; a typical customer has {typical}.").format(
                score=show.percent(score["p_cause_90"]), typical=show.percent(score["p_reference"])
            )
        )
    reasons = [one for one in score["reasons"] if one is not None]
    if reasons:
        frame.table(
            view,
            _("Reasons"),
            [
                Column(f"sentence_{view.language}", _("Associated with the score")),
                Column("points", _("Points of probability"), "points"),
            ],
            pl.DataFrame(reasons, infer_schema_length=None),
        )
    st.caption(figures.scored_words(view, score))
    if score["in_holdout"]:
        st.caption(_("This customer is in the comparison group: no contact is prompted by the score."))
    elif score[f"play_{view.language}"]:
        st.text(
            _("Next step: {step} ({who}, by {day})").format(
                step=score[f"play_{view.language}"],
                who=words.owner(view.text)(score["play_owner"]),
                day=show.day(score["due_on"]),
            )
        )
