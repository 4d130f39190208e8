"""Page 6, renewals: what renews in 30, 60 and 90 days? By week and one by one, with what is at stake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, charts, frame, paging, scope, theme, timeline, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import Query, renewals
from dashboard.scope import ALL, segment_choice
from dashboard.screens import acting
from dashboard.screens.acting import Account, prompt_of
from dashboard.screens.renewal_days import HORIZONS, page_of, totals_of, weeks_of
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

PLACE = "renewals"
LIST_ROWS = 50
KINDS = (ALL, "auto", "manual")
FILTERS = ("days", "segment", "kind", "owner", "listed", "rows", "page")


@dataclass(frozen=True)
class Chosen:
    """What the filters say. `days`: how far the list and the calendar look ahead."""

    days: int
    segment: str
    kind: str
    owner: str
    currency: str

    @property
    def values(self) -> dict[str, object]:
        return {**asdict(self), "week": None}


def render(view: View) -> None:
    _ = view.text.gettext
    question = _("What renews in 30, 60 and 90 days, and what is at stake?")
    frame.header(view, PLACE, question)
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    source = renewals.COMPANY if published.is_company else renewals.ACCOUNTS
    parts = published.rows(source.parts)
    if parts.is_empty():
        of_company = _("No subscription of this company has a term, so nothing comes up for renewal.")
        of_accounts = _("No subscription of your accounts has a term, so nothing comes up for renewal.")
        frame.empty(view, of_company if published.is_company else of_accounts)
        return
    with frame.panel(view):
        chosen = filters(view, published, parts)
        values = {**chosen.values, **acting.values(view, chosen.owner), "as_of": published.build.as_of}
        drawn_from = source.by_day if chosen.owner == ALL else renewals.BY_DAY_OF_ACCOUNTS
        by_day = published.rows(drawn_from, **values)
        totals = totals_of(by_day)
        past = published.rows(source.past, **values).row(0, named=True)
        weeks = weeks_of(by_day, published.build.as_of, chosen.days)
        frame.cards(view, cards(view, totals, past, chosen))
        every_week = week_drills(view, weeks, chosen, values)
        frame.drill(view, published, drills(view, totals, past, chosen, values))
        if not totals[chosen.days]["renewals"]:
            acting.undo_bar(view, PLACE)
            frame.empty(view, _("Nothing of this choice comes up for renewal in these days."), FILTERS)
            return
        calendar(view, published, weeks, chosen, every_week, drawn_from, values)
        with frame.panel(view):
            renewal_list(view, published, chosen, values, by_day)


def filters(view: View, published: Published, parts: pl.DataFrame) -> Chosen:
    """Draw the filters and say what they are set to. `parts`: rows of renewals.PARTS."""
    _ = view.text.gettext
    resets = ("listed", "rows", "page")
    by_currency = parts.group_by("currency").agg(pl.col("renewals").sum())
    currencies = by_currency.sort("renewals", "currency", descending=[True, False])["currency"].to_list()
    segments = [ALL, *parts["segment"].unique().sort().to_list()]
    kinds = {ALL: _("All"), "auto": _("Renews by itself"), "manual": _("Needs a decision")}

    def within(days: int) -> str:
        return view.text.ngettext("{count} day", "{count} days", days).format(count=view.show.number(days))

    with scope.filters(view):
        days = address.choice("days", _("Look ahead"), HORIZONS, 90, within, resets=resets, as_buttons=True)
        segment = segment_choice(view, segments, resets) if len(segments) > 2 else ALL
        kind = address.choice("kind", _("Kind of renewal"), KINDS, ALL, kinds.__getitem__, resets=resets)
        owner = acting.owner_choice(view, published, resets)
        currency = currencies[0]
        if len(currencies) > 1:
            currency = address.choice("currency", _("Currency"), currencies, currency, str, resets=resets)
    return Chosen(days, segment, kind, owner, currency)


def within_words(view: View, days: int) -> str:
    """The title of a card: MRR that comes up within so many days."""
    return view.text.gettext("MRR renewing in {days} days").format(days=view.show.number(days))


def cards(
    view: View, totals: Mapping[int, Mapping[str, Any]], past: Mapping[str, Any], chosen: Chosen
) -> list[Card]:
    """What comes up within 30, 60 and 90 days, each with those before it, and how the last year came out."""
    _, show = view.text.gettext, view.show
    shown = []
    for days in HORIZONS:
        count = totals[days]["renewals"]
        note = view.text.ngettext("{count} renewal", "{count} renewals", count)
        shown.append(
            Card(
                within_words(view, days),
                show.money(totals[days]["mrr"], chosen.currency),
                help=view.definition("renewing_mrr"),
                note=note.format(count=show.number(count)),
                rows=f"within-{days}",
            )
        )
    rate = Decimal(past["mrr_renewed"]) / Decimal(past["mrr_due"]) if past["mrr_due"] else None
    count = past["renewals"]
    note = view.text.ngettext("of {count} decided renewal", "of {count} decided renewals", count)
    note = note.format(count=show.number(count))
    if (chosen.owner, chosen.kind) != (ALL, ALL):  # the record is kept by segment alone
        everybody = _("of all owners and kinds")
        note = f"{note} · {everybody}"
    value = show.percent(rate)
    if 0 < count < view.min_customers:
        value = _("n too small")
    shown.append(
        Card(
            _("Renewal rate, 12 months"),
            value,
            help=view.definition("renewal_rate_12m"),
            note=note,
            rows="renewal-rate",
        )
    )
    return shown


def list_columns(view: View, chosen: Chosen) -> list[Column]:
    """What the page shows of the list, below the day and the model of its scores."""
    _ = view.text.gettext
    return [
        Column("name", _("Customer")),
        Column("due_on", _("Term ends"), "day"),
        Column("notice_by_on", _("Notice by"), "day"),
        Column("is_notice_over", _("Notice"), words=words.notice(view.text)),
        at_stake(view, chosen),
        Column("auto_renew", _("Renews by itself"), words=words.yes_no_known(view.text)),
        Column("cancel_requested_on", _("Cancellation asked"), "day"),
        Column("p_90", _("Risk score"), "bar"),
        Column(f"reason_{view.language}", _("Strongest reason")),
        Column("owner", _("Owner"), "id"),
        Column("touched_on", _("Last touch"), "day"),
    ]


def columns(view: View, chosen: Chosen) -> list[Column]:
    """Those of rows that stand by themselves: a score says its own day and model."""
    _ = view.text.gettext
    return [
        *list_columns(view, chosen),
        Column("scored_for", _("Scored for"), "day"),
        Column("model_id", _("Model"), "id"),
    ]


def at_stake(view: View, chosen: Chosen) -> Column:
    return Column("mrr", view.text.gettext("MRR at stake"), "money", currency=chosen.currency)


def file_columns(view: View, chosen: Chosen) -> list[Column]:
    _ = view.text.gettext
    return [
        *columns(view, chosen),
        Column("customer_id", _("Customer id"), "id"),
        Column("subscription_id", _("Subscription"), "id"),
        Column("segment", _("Segment")),
        Column("state", _("State"), words=words.state(view.text)),
        Column("p_nonrenewal_next_term", _("No renewal"), "percent"),
        Column(f"reason_2_{view.language}", _("Second reason")),
        Column(f"reason_3_{view.language}", _("Third reason")),
    ]


def drills(
    view: View,
    totals: Mapping[int, Mapping[str, Any]],
    past: Mapping[str, Any],
    chosen: Chosen,
    values: Mapping[str, object],
) -> list[Drill]:
    """The rows behind the cards; each adds up to its card."""
    _ = view.text.gettext
    due = Column("mrr_due", _("MRR that was due"), "money", currency=chosen.currency)
    renewed = Column("mrr_renewed", _("MRR renewed"), "money", currency=chosen.currency)
    found = [
        Drill(
            f"within-{days}",
            within_words(view, days),
            renewals.ROWS,
            {**values, "days": days},
            columns(view, chosen),
            [Check(at_stake(view, chosen), totals[days]["mrr"])],
            expected_rows=totals[days]["renewals"],
        )
        for days in HORIZONS
    ]
    found.append(
        Drill(
            "renewal-rate",
            _("Renewal rate, 12 months"),
            renewals.PAST_ROWS,
            values,
            [
                Column("name", _("Customer")),
                Column("segment", _("Segment")),
                Column("due_on", _("Term ended"), "day"),
                Column("outcome", _("Outcome"), words=words.renewal(view.text)),
                Column("cause", _("Cause"), words=words.cause(view.text)),
                due,
                renewed,
            ],
            [Check(renewed, past["mrr_renewed"]), Check(due, past["mrr_due"])],
            expected_rows=past["renewals"],
        )
    )
    return found


def week_drills(
    view: View, weeks: pl.DataFrame, chosen: Chosen, values: Mapping[str, object]
) -> dict[date, Drill]:
    """The rows behind each week of the calendar."""
    return {
        row["week"]: Drill(
            f"week-{row['week'].isoformat()}",
            week_words(view, row["week"]),
            renewals.ROWS,
            {**values, "week": row["week"]},
            columns(view, chosen),
            [Check(at_stake(view, chosen), row["mrr"])],
            expected_rows=row["renewals"],
        )
        for row in weeks.filter(pl.col("renewals") > 0).iter_rows(named=True)
    }


def week_words(view: View, week: date) -> str:
    """A week by its first and last day."""
    first, last = view.show.day_short(week), view.show.day_short(week + timedelta(days=6))
    return view.text.gettext("Week {first} to {last}").format(first=first, last=last)


def calendar(
    view: View,
    published: Published,
    weeks: pl.DataFrame,
    chosen: Chosen,
    every: Mapping[date, Drill],
    drawn_from: Query,
    values: Mapping[str, object],
) -> None:
    """What is at stake in each week, parted by whether it renews by itself."""
    _, show = view.text.gettext, view.show
    parts = {"auto_mrr": _("Renews by itself"), "manual_mrr": _("Needs a decision")}
    colours = {"auto_mrr": theme.BLUE, "manual_mrr": theme.AMBER}
    title = _("MRR at stake by week, {currency}").format(currency=chosen.currency)
    total = sum(weeks["mrr"].to_list(), Decimal(0))
    most = weeks.sort("mrr", descending=True).row(0, named=True)
    described = _("{total} comes up in {count} weeks; most of it, {most}, in the week of {week}.").format(
        total=show.money(total, chosen.currency),
        count=show.number(weeks.filter(pl.col("renewals") > 0).height),
        most=show.money(most["mrr"], chosen.currency),
        week=show.day(most["week"]),
    )
    timeline.chart(
        view,
        published,
        "renewal-weeks",
        title,
        weeks["week"].to_list(),
        lambda marks: charts.stacked_columns(
            [show.day_short(week) for week in weeks["week"]],
            [
                charts.Series(
                    label,
                    [show.size(mrr, chosen.currency) for mrr in weeks[name]],
                    [show.money(mrr, chosen.currency) for mrr in weeks[name]],
                    colour=colours[name],
                )
                for name, label in parts.items()
            ],
            view.text.is_right_to_left,
            size=show.size_short,
            marks=marks,
        ),
        described,
        [
            Column("week", _("Week from"), "day"),
            Column("renewals", _("Renewals"), "count"),
            *(Column(name, label, "money", currency=chosen.currency) for name, label in parts.items()),
            at_stake(view, chosen),
        ],
        weeks,
        each="week",
        query=drawn_from,
        values=values,
        opens=[every[week].key if week in every else None for week in weeks["week"]],
    )
    frame.rows_choice(view, _("Rows behind a week"), {one.key: one.title for one in every.values()})
    frame.drill(view, published, list(every.values()))


def renewal_list(
    view: View,
    published: Published,
    chosen: Chosen,
    values: Mapping[str, object],
    by_day: pl.DataFrame,
) -> None:
    """Every renewal of the choice, soonest first, and the work on it."""
    _ = view.text.gettext

    def listed(offset: int, most: int) -> pl.DataFrame:
        asked = page_of(by_day, published.build.as_of, chosen.days, offset, most)
        return published.rows(renewals.PAGE, **values, **asked)

    st.subheader(_("Renewals, soonest first"), anchor=False)
    for scored in published.rows(renewals.SCORED).iter_rows(named=True):
        basis = _("Scored for {day} by model {model}.")
        st.text(
            basis.format(day=view.show.day(scored["as_of"]), model=view.show.identifier(scored["model_id"]))
        )
    pages = paging.count(totals_of(by_day)[chosen.days]["renewals"], LIST_ROWS)
    page = paging.current("listed", pages)
    rows = listed((page - 1) * LIST_ROWS, LIST_ROWS)
    frame.table(view, _("Renewals"), list_columns(view, chosen), rows)
    paging.choice(view, "listed", pages, page)
    frame.download(
        view,
        "renewals",
        file_columns(view, chosen),
        lambda: listed(0, frame.EXPORT_ROWS),
        published,
        title=_("Renewals, soonest first"),
    )
    acting.undo_bar(view, PLACE)
    acting.several(view, published, _("Act on customers of this page"), accounts_of(rows), PLACE)


def accounts_of(rows: pl.DataFrame) -> list[Account]:
    """The customers on screen, each once, with their newest score where there is one."""
    return [
        Account(
            row["customer_id"],
            row["name"],
            prompt_of(row["scored_for"], row["model_id"], row["recommended_play"]),
        )
        for row in rows.unique("customer_id", keep="first", maintain_order=True).iter_rows(named=True)
    ]


render(open_view())
