"""Page 3, cash and receivables: is billed money arriving?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from dashboard import (
    address,
    charts,
    failed_charges,
    figures,
    frame,
    receivables,
    scope,
    theme,
    timeline,
    words,
)
from dashboard.failed_charges import OUTCOMES
from dashboard.figures import Figures, Value
from dashboard.frame import Card, Check, Drill
from dashboard.queries import cash
from dashboard.receivables import Receivables
from dashboard.scope import ALL, Scope
from dashboard.tables import Column
from dashboard.view import Published, View, month_before, open_view

SHOWN_MONTHS = 24
SHOWN_CUSTOMERS = 10
OVERDUE = {"overdue": 1}
DECIDED_AFTER = timedelta(days=60)
PARTS = ("received", "refunded", "disputes_lost", "fees")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "cash", _("Is billed money arriving?"))
    if view.published is None:
        frame.nothing_published(view)
    elif not view.published.build.has_subscriptions:
        frame.empty(
            view,
            _(
                "This page needs invoices and payments. Name a source that has them in company.toml, such as "
                "billing or an export in the shape of Stripe."
            ),
        )
    else:
        money(view, view.published)


def money(view: View, published: Published) -> None:
    _ = view.text.gettext
    chosen = scope.subscriptions(view, published, cash.CHOICES, _("There is no invoice and no payment yet."))
    if chosen is None:
        return
    with frame.panel(view):
        known = figures.read(published, chosen)
        owed = receivables.at_close(published, chosen)
        failed = failures(view, published, chosen)
        series = cash_series(published, chosen)
        frame.cards(view, cards(view, chosen, known, owed, failed))
        frame.drill(view, published, list(drills(view, published, chosen, known, owed, failed, series)))
        left, right = st.columns(2, gap="large")
        with left, frame.panel(view):
            cash_chart(view, published, chosen, series)
        with right, frame.panel(view):
            receivables.chart(view, published, chosen, owed)
        left, right = st.columns(2, gap="large")
        with left, frame.panel(view):
            funnel(view, published, chosen, failed)
        with right, frame.panel(view):
            recovery_trend(view, published, chosen)
        with frame.panel(view):
            top_overdue(view, published, chosen, owed)
    timeline.editor(view)


# Cards


def cards(view: View, chosen: Scope, known: Figures, owed: Receivables, failed: Failures) -> list[Card]:
    _ = view.text.gettext
    metric = receivables.overdue_metric(view, _("Overdue"))
    now, former = (owed.overdue(month) for month in (chosen.month, chosen.compared))
    beyond = owed.overdue(chosen.month, 31).numerator
    note = _("of it more than 30 days: {amount}").format(amount=view.show.money(beyond, chosen.currency))
    return [
        figures.card_against(view, chosen, metric, now, former, rows="overdue", note=note),
        figures.card_of(view, chosen, known, "dso", rows="dso"),
        figures.card_of(view, chosen, known, "net_cash", rows="net_cash"),
        failed.card(view),
    ]


# Failed charges


@dataclass(frozen=True)
class Failures:
    """What became of the charges that failed first in one month: the newest whose 60 days are over."""

    chosen: Scope
    stages: pl.DataFrame
    trend: pl.DataFrame
    changes: pl.DataFrame

    @property
    def month(self) -> date:
        return self.chosen.month

    def amount(self, column: str, *outcomes: str) -> Decimal:
        return failed_charges.total(self.stages, column, outcomes)

    def value(self, month: date) -> Value:
        row = figures.row_of(self.trend, month)
        if not row:
            return Value(None, why_null="nothing_failed")
        return Value(row["recovered"], row["failed"], row["customers"])

    def card(self, view: View) -> Card:
        """The share recovered; the month it speaks of is said."""
        metric = view.metric("dunning_recovery")
        now, former = self.value(self.month), self.value(self.chosen.compared)
        note = view.text.gettext("of charges that failed first in {month}, within 60 days").format(
            month=view.show.month(self.month)
        )
        return figures.card_against(
            view, self.chosen, metric, now, former, self.changes, rows="dunning-decided", note=note
        )


def failures(view: View, published: Published, chosen: Scope) -> Failures:
    """The charges that failed in the chosen month, or before it where that month is not decided yet."""
    assert view.as_of is not None
    month = chosen.month
    while month > month_before(chosen.month, 3) and last_day(month) + DECIDED_AFTER > view.as_of:
        month = month_before(month)
    cohort = replace(
        chosen,
        month=month,
        compared=scope.compared_with(month, chosen.compare),
        is_provisional=chosen.is_provisional and month == chosen.month,
    )
    first = month_before(chosen.month, SHOWN_MONTHS - 1)
    values = {**cohort.values, "first_month": min(first, cohort.compared)}
    known = figures.read(published, cohort)
    return Failures(
        cohort, published.rows(cash.DUNNING, **values), published.rows(cash.RECOVERY, **values), known.changes
    )


def last_day(month: date) -> date:
    return month_before(month, -1) - timedelta(days=1)


def funnel(view: View, published: Published, chosen: Scope, failed: Failures) -> None:
    """What failed, how it was recovered, and what became of the rest; says whether the parts add up."""
    _, show = view.text.gettext, view.show
    parts = failed_charges.parts(view, failed.stages)
    frame_rows = pl.DataFrame(
        {
            "step": [part.label for part in parts],
            "amount": [part.amount for part in parts],
            "invoices": [part.invoices or None for part in parts],
        },
        schema_overrides={"amount": pl.Object},
    )
    frame.chart(
        view,
        published,
        "dunning",
        _("Failed charges of {month} and what became of them, {currency}").format(
            month=show.month(failed.month), currency=chosen.currency
        ),
        lambda: charts.bars(
            [part.label for part in parts],
            [show.size(part.amount, chosen.currency) for part in parts],
            [show.money(part.amount, chosen.currency) for part in parts],
            view.text.is_right_to_left,
            [part.colour for part in parts],
        ),
        _("Of {failed} that failed, {recovered} was recovered.").format(
            failed=show.money(failed.amount("failed"), chosen.currency),
            recovered=show.money(failed.amount("recovered"), chosen.currency),
        ),
        [
            Column("step", _("Step")),
            Column("invoices", _("Invoices"), "count"),
            Column("amount", _("Amount"), "money", currency=chosen.currency),
        ],
        frame_rows if failed.amount("failed") else frame_rows.clear(),
        help=view.metric("dunning_recovery").definition,
        query=cash.DUNNING,
        values=failed.chosen.values,
        opens=[part.rows for part in parts],
    )
    if not failed.amount("failed"):
        return
    sum_of_parts = sum((part.amount for part in parts[1:]), Decimal(0))
    frame.verdict(
        view,
        _("The parts add up to what failed: {amount}").format(
            amount=show.money(sum_of_parts, chosen.currency)
        ),
        sum_of_parts == failed.amount("failed"),
        show.money(failed.amount("failed"), chosen.currency),
    )
    outcome, there = words.dunning_outcome(view.text), set(failed.stages["outcome"].to_list())
    options = {
        "dunning-all": _("All charges that failed"),
        **{f"dunning-{name}": outcome(name) for name in OUTCOMES if name in there},
        **{
            f"dunning-by-{way}": failed_charges.paid_words(view, way)
            for way in failed_charges.paid_by(failed.stages)
        },
    }
    frame.rows_choice(view, _("Invoices behind a part"), options)


def recovery_trend(view: View, published: Published, chosen: Scope) -> None:
    _, show = view.text.gettext, view.show
    metric = view.metric("dunning_recovery")
    values = {**chosen.values, "first_month": month_before(chosen.month, SHOWN_MONTHS - 1)}
    assert view.as_of is not None
    decided = [
        month
        for month in published.rows(cash.RECOVERY, **values)["month"].to_list()
        if last_day(month) + DECIDED_AFTER <= view.as_of
    ]
    trend = published.rows(cash.RECOVERY, **values).filter(
        pl.col("month").is_in(decided) & (pl.col("customers") >= view.min_customers)
    )
    shares = [float(share) for share in trend["share"]]
    timeline.chart(
        view,
        published,
        "recovery",
        _("{metric}, by month of the first failure").format(metric=metric.label),
        trend["month"].to_list(),
        lambda marks: charts.lines(
            [show.month(month) for month in trend["month"]],
            [charts.Series(metric.label, shares, [show.percent(share) for share in shares])],
            view.text.is_right_to_left,
            is_percent=True,
            marks=marks,
        ),
        figures.trend_words(view, metric.label, trend, "share", show.percent),
        [
            Column("month", _("Month"), "month"),
            Column("failed", _("Failed"), "money", currency=chosen.currency),
            Column("recovered", _("Recovered"), "money", currency=chosen.currency),
            Column("share", metric.label, "percent"),
        ],
        trend,
        query=cash.RECOVERY,
        values=values,
    )


# Cash in


def cash_series(published: Published, chosen: Scope) -> pl.DataFrame:
    """Money by month of two years, or by day of the chosen month; segments are not known of it."""
    by_day = address.read("by") == "day"
    first = chosen.month if by_day else month_before(chosen.month, SHOWN_MONTHS - 1)
    return published.rows(cash.CASH, **chosen.values, first_month=first, by_day=by_day)


def cash_chart(view: View, published: Published, chosen: Scope, series: pl.DataFrame) -> None:
    """Received above the line, refunds, lost disputes and fees below it."""
    _, show = view.text.gettext, view.show
    names = {"month": _("Month"), "day": _("Day")}
    grain = address.choice(
        "by", _("Cash by"), list(names), "month", names.__getitem__, resets=("rows", "page"), as_buttons=True
    )
    by_day = grain == "day"
    named = show.day_short if by_day else show.month
    title = _("Money received and given back by month, {currency}").format(currency=chosen.currency)
    if by_day:
        title = _("Money received and given back by day, {month}, {currency}").format(
            month=show.month(chosen.month), currency=chosen.currency
        )
    labels = {
        "received": _("Received"),
        "refunded": _("Refunds"),
        "disputes_lost": _("Disputes lost"),
        "fees": _("Fees"),
    }
    colours = (theme.GREEN, theme.AMBER, theme.RED, theme.GREY)
    parts = [
        (name, labels[name], colour)
        for name, colour in zip(PARTS, colours, strict=True)
        if name == "received" or any(series[name].to_list())
    ]
    net = view.metric("net_cash")
    words_of = figures.trend_words(
        view,
        net.label,
        series.rename({"day": "month"}),
        "net",
        lambda sum_: show.money(sum_, chosen.currency),
    )
    timeline.chart(
        view,
        published,
        "cash",
        title,
        series["day"].to_list(),
        lambda marks: charts.stacked_columns(
            [named(day) for day in series["day"]],
            [
                charts.Series(
                    label,
                    [show.size(amount, chosen.currency) for amount in series[name]],
                    [show.money(amount, chosen.currency) for amount in series[name]],
                    colour=colour,
                )
                for name, label, colour in parts
            ],
            view.text.is_right_to_left,
            show.size_short,
            marks,
        ),
        words_of,
        [
            Column("day", names[grain], "day" if by_day else "month"),
            *(Column(name, labels[name], "money", currency=chosen.currency) for name in PARTS),
            Column("net", net.label, "money", currency=chosen.currency),
        ],
        series,
        each="day" if by_day else "month",
        query=cash.CASH,
        values={**chosen.values, "first_month": series["day"].min(), "by_day": by_day},
        opens=[f"cash-{day:%Y-%m-%d}" for day in series["day"]],
    )
    if chosen.segment != ALL:
        st.caption(_("Of all segments: money by day is not kept by segment."))
    days = series["day"].to_list()[::-1]
    frame.rows_choice(
        view, _("Payments behind a month or day"), {f"cash-{day:%Y-%m-%d}": named(day) for day in days}
    )


# Rows


def drills(
    view: View,
    published: Published,
    chosen: Scope,
    known: Figures,
    owed: Receivables,
    failed: Failures,
    series: pl.DataFrame,
) -> Iterator[Drill]:
    """The rows behind each card, bar and column."""
    _, show = view.text.gettext, view.show
    yield from receivables.drills(view, chosen, owed, OVERDUE)
    method = published.rows(cash.DSO_METHOD)["value"].to_list()
    yield dso_drill(view, chosen, known, owed, "countback" in method)
    net = figures.value_of(known.values, "net_cash", chosen.month)
    label = figures.of_month(view, view.metric("net_cash").label, chosen.month)
    yield payments(view, chosen, "net_cash", label, (chosen.month, last_day(chosen.month)), net.numerator)
    everyone = replace(chosen, segment=ALL)
    by_day = address.read("by") == "day"
    for row in series.iter_rows(named=True):
        day = row["day"]
        title = show.day(day) if by_day else show.month(day)
        days = (day, day if by_day else last_day(day))
        yield payments(view, everyone, f"cash-{day:%Y-%m-%d}", title, days, row["net"])
    for name in ("all", "decided", *OUTCOMES):
        yield dunning_drill(view, failed, name)
    for way in failed_charges.paid_by(failed.stages):
        yield paid_drill(view, failed, way)


def payments(
    view: View,
    chosen: Scope,
    key: str,
    title: str,
    days: tuple[date, date],
    expected: Decimal | int | None,
) -> Drill:
    _ = view.text.gettext
    amount = Column("amount", _("Amount"), "money", currency=chosen.currency, signed=True)
    return Drill(
        key,
        title,
        cash.CASH_ROWS,
        {**chosen.values, "from_day": days[0], "to_day": days[1]},
        [
            Column("event_on", _("Day"), "day"),
            Column("event_kind", _("Movement"), words=words.cash_event(view.text)),
            Column("source_id", _("Payment or refund"), "id"),
            Column("invoice_no", _("Invoice"), "id"),
            Column("name", _("Customer")),
            *receivables.native(view),
            amount,
        ],
        [Check(amount, expected)],
        notes=[_("A payment of several invoices leads to the one it paid most of.")],
    )


def dso_drill(view: View, chosen: Scope, known: Figures, owed: Receivables, is_counted_back: bool) -> Drill:
    """What is owed and what was billed in 90 days: the two parts of the days outstanding.

    Where the policy counts back month by month, what was billed in 90 days is no part of it.
    """
    _, show = view.text.gettext, view.show
    value = figures.value_of(known.values, "dso", chosen.month)
    open_amount = Column("owed", _("Owed at the close"), "money", currency=chosen.currency)
    billed = Column("billed", _("Billed in 90 days"), "money", currency=chosen.currency)
    note = _("90 × {owed} owed / {billed} billed.").format(
        owed=show.money(owed.total, chosen.currency), billed=show.money(value.denominator, chosen.currency)
    )
    checks = [Check(open_amount, owed.total), Check(billed, value.denominator)]
    if is_counted_back:
        checks = checks[:1]
        note = _("Counted back: the days of the last months whose billing makes up what is owed.")
    return Drill(
        "dso",
        figures.of_month(view, view.metric("dso").label, chosen.month),
        cash.DSO_ROWS,
        {**chosen.values, "closed_on": owed.closed_on},
        [
            Column("invoice_no", _("Invoice"), "id"),
            Column("name", _("Customer")),
            Column("issued_on", _("Issued on"), "day"),
            Column("due_on", _("Due on"), "day"),
            *receivables.native(view),
            open_amount,
            billed,
        ],
        checks,
        notes=[note],
    )


def dunning_drill(view: View, failed: Failures, name: str) -> Drill:
    """The charges of an outcome, of all, or of those that are decided: `name`."""
    titles: Mapping[str, str] = {
        "all": view.text.gettext("All charges that failed"),
        "decided": view.metric("dunning_recovery").label,
    }
    outcomes = {"all": (), "decided": ("recovered", "exhausted", "lost")}.get(name, (name,))
    lost = failed.amount("failed", *outcomes) - failed.amount("recovered", *outcomes)
    expected: list[Any] = [failed.amount("failed", *outcomes), failed.amount("recovered", *outcomes), lost]
    if name == "decided" and not failed.trend.is_empty():
        value = failed.value(failed.month)
        expected[:2] = [value.denominator, value.numerator]
    title = titles.get(name) or words.dunning_outcome(view.text)(name)
    checks = zip(amounts_of_charges(view, failed), expected, strict=True)
    return _charges(
        view, failed, name, title, {"outcome": name, "paid_by": None}, [Check(*one) for one in checks]
    )


def paid_drill(view: View, failed: Failures, way: str) -> Drill:
    """The charges whose money came in one way: by an attempt, or otherwise."""
    _failed, recovered, _rest = amounts_of_charges(view, failed)
    return _charges(
        view,
        failed,
        f"by-{way}",
        failed_charges.paid_words(view, way),
        {"outcome": "all", "paid_by": way},
        [Check(recovered, failed_charges.paid(failed.stages, way, "recovered"))],
    )


def amounts_of_charges(view: View, failed: Failures) -> list[Column]:
    _, currency = view.text.gettext, failed.chosen.currency
    return [
        Column("failed", _("Failed"), "money", currency=currency),
        Column("recovered", _("Recovered"), "money", currency=currency),
        Column("rest", _("Not recovered"), "money", currency=currency),
    ]


def _charges(
    view: View, failed: Failures, key: str, title: str, asked: Mapping[str, object], checks: list[Check]
) -> Drill:
    _ = view.text.gettext
    return Drill(
        f"dunning-{key}",
        figures.of_month(view, title, failed.month),
        cash.DUNNING_ROWS,
        {**failed.chosen.values, "cohort_month": failed.month, **asked},
        [
            Column("invoice_no", _("Invoice"), "id"),
            Column("name", _("Customer")),
            Column("first_failed_on", _("First failed on"), "day"),
            Column("attempts", _("Attempts"), "count"),
            Column("outcome", _("Outcome"), words=words.dunning_outcome(view.text)),
            Column("recovered_on", _("Paid on"), "day"),
            *receivables.native(view),
            *amounts_of_charges(view, failed),
        ],
        checks,
    )


def top_overdue(view: View, published: Published, chosen: Scope, owed: Receivables) -> None:
    """The customers who owe most of what is past due."""
    _, show = view.text.gettext, view.show
    title = _("Who owes most of what is overdue, {day}").format(day=show.day(owed.closed_on))
    st.subheader(title, anchor=False)
    total = owed.overdue(chosen.month).numerator
    rows = published.rows(
        cash.OVERDUE_CUSTOMERS,
        **chosen.values,
        closed_on=owed.closed_on,
        days_from=1,
        days_to=receivables.FOREVER,
        limit=SHOWN_CUSTOMERS,
    )
    if rows.is_empty() or not total:
        st.caption(_("Nothing is overdue."))
        return
    shares = [float(amount / Decimal(total)) for amount in rows["amount"]]
    columns = [
        Column("name", _("Customer")),
        Column("customer_id", _("Customer id"), "id"),
        Column("invoices", _("Overdue invoices"), "count"),
        Column("days_late", _("Oldest, days past due"), "count"),
        Column("share", _("Share of all overdue"), "bar"),
        Column("amount", _("Overdue"), "money", currency=chosen.currency),
    ]
    listing = rows.with_columns(pl.Series("share", shares))
    frame.table(view, title, columns, listing)
    frame.download(view, "overdue-customers", columns, lambda: listing, published, title=title)


render(open_view())
