"""What a board pack says, section by section, in the reader's words: ready to be set, with nothing left to
work out.

Each section is a plain dictionary whose `kind` names the function of pack.typ that draws it. Texts from the
data pass through `plain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import polars as pl

from dashboard import charts, cohorts, figures, receivables, scope, trust_words, words
from dashboard.figures import Figures, Value
from dashboard.frame import Card
from dashboard.pack import reading
from dashboard.pack.document import plain
from dashboard.queries import Query, churn, health, orders, renewals, reports, retention, revenue
from dashboard.receivables import Receivables
from dashboard.records import targets
from dashboard.scope import ALL, OrderScope, Scope
from dashboard.view import Freshness, Metric, Published, View, Withheld

Section = dict[str, Any]
METRICS = ("mrr", "nrr_12m", "grr_12m", "gross_mrr_churn", "logo_churn")
ORDER_METRICS = ("order_revenue", "orders", "order_customers", "repeat_rate")
OVERDUE_DAYS = 31
MOVEMENTS = ("new", "expansion", "reactivation", "contraction", "churn")
STEPS = ("opening", *MOVEMENTS, "entered", "left", "fx_impact", "closing")
LEAST_CAUSE = 1e-6
"""What a cause adds is worked out in floats: below this it is nothing."""
SHOWN_RISKS, SHOWN_ACCOUNTS, SHOWN_COHORTS, SHOWN_AGES = 10, 20, 18, 18
NOTICE_DAYS = 30
"""How far ahead the ends of notice are told."""


class NothingToReport(Exception):
    """The company has no figures yet to make a pack of."""


Parts = Mapping[str, Callable[[], list[Section]]]


def content(view: View, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The whole pack. `parameters` are those of the address.

    Raises NothingToReport for a company without a published month.
    """
    chosen, named = parts(view, parameters)
    return _pack(view, chosen, [one for make in named.values() for one in make()])


def parts(view: View, parameters: Mapping[str, str]) -> tuple[Scope | OrderScope, Parts]:
    """What a report can tell, by name and in its order, each made when it is asked for; and its scope.

    Raises NothingToReport for a company without a published month.
    """
    published = view.published
    trade = reading.trade_of(published, parameters) if published else None
    if published is None or trade is None:
        raise NothingToReport
    if trade == reading.SUBSCRIPTIONS:
        chosen = reading.subscription_scope(published, parameters)
        if chosen is None:
            raise NothingToReport
        return chosen, subscription_parts(view, published, chosen)
    of_orders = reading.order_scope(published, parameters)
    if of_orders is None:
        raise NothingToReport
    return of_orders, order_parts(view, published, of_orders)


def _pack(view: View, chosen: Scope | OrderScope, sections: list[Section]) -> dict[str, Any]:
    _, show = view.text.gettext, view.show
    assert view.company is not None
    assert view.published is not None
    part = chosen.segment if isinstance(chosen, Scope) else chosen.country
    if part == ALL:
        part_words = _("All segments") if isinstance(chosen, Scope) else _("All countries")
    else:
        part_words = plain(part)
    build = view.published.build
    return {
        "language": view.language,
        "direction": view.text.direction,
        "title": _("Board pack"),
        "company": plain(view.company.title(view.language)),
        "period": show.month(chosen.month),
        "cover": [
            f"{part_words} · {chosen.currency} · {scope.compared_words(view, chosen.compared)}",
            _("Data to {as_of}, built {built}").format(
                as_of=show.day(build.as_of), built=show.instant(build.built_at)
            ),
            freshness_words(view),
        ],
        "sample": _("Sample data: this company is an example, not your business.")
        if build.is_sample
        else None,
        "made": _("Made {when}").format(when=show.instant(view.now)),
        "page": _("Page {page} of {pages}"),
        "sections": sections,
    }


def section(
    kind: str, title: str, lead: str | None = None, *, new_page: bool = True, **parts: Any
) -> Section:
    return {"kind": kind, "title": title, "lead": lead, "new_page": new_page, **parts}


def subscription_parts(view: View, published: Published, chosen: Scope) -> Parts:
    """The parts of a report of subscriptions."""
    _ = view.text.gettext

    def metrics() -> list[Section]:
        known = figures.read(published, chosen)
        heads = [metric_card(view, chosen, known, metric_id) for metric_id in METRICS]
        overdue = overdue_card(view, chosen, receivables.at_close(published, chosen))
        return [section("cards", _("Six metrics"), cards=[*heads, overdue])]

    def trend() -> list[Section]:
        label = view.metric("mrr").label
        title = _("{metric} by month, {currency}").format(metric=label, currency=chosen.currency)
        return [columns(view, title, published.rows(revenue.TREND, **chosen.values), "mrr", chosen.currency)]

    return {
        "metrics": metrics,
        "trend": trend,
        "bridge": lambda: [bridge(view, published, chosen)],
        "cohorts": lambda: [cohort_section(view, published, chosen)],
        "aging": lambda: [aging_section(view, chosen, receivables.at_close(published, chosen))],
        "risks": lambda: [risks(view, published)],
        "definitions": lambda: [
            definitions(view, [*METRICS, "ar_bucket", "cohort_logo", "revenue_at_risk_90"])
        ],
        "status": lambda: data_status(view, published, chosen, METRICS),
    }


# Six metrics.


def metric_card(view: View, chosen: Scope, known: Figures, metric_id: str) -> Section:
    """A metric as its page shows it, with its target."""
    now = figures.value_of(known.values, metric_id, chosen.month)
    shown = figures.card_of(view, chosen, known, metric_id)
    return card_of(shown, *target_words(view, chosen, view.metric(metric_id), now))


def order_card(
    view: View, chosen: OrderScope, metric_id: str, now: Value, before: Value, note: str | None = None
) -> Section:
    """A metric of orders with its change and its target."""
    metric = view.metric(metric_id)
    shown = figures.card_against(view, chosen, metric, now, before, note=note)
    return card_of(shown, *target_words(view, chosen, metric, now))


def card_of(card: Card, target: str | None = None, target_tone: str = "plain") -> Section:
    """A card of a page, as the pack sets it."""
    tones = {None: "plain", True: "good", False: "bad"}
    arrow = {None: "", True: "▲ ", False: "▼ "}[card.change_is_up]
    return {
        "title": card.title,
        "value": card.value,
        "change": None if card.change is None else arrow + card.change,
        "tone": tones[card.change_is_good],
        "against": card.against,
        "note": card.note,
        "target": target,
        "target_tone": target_tone,
    }


def target_words(
    view: View, chosen: Scope | OrderScope, metric: Metric, now: Value
) -> tuple[str | None, str]:
    """The target of a metric and how far the month is from it; with the tone of that."""
    _ = view.text.gettext
    key = targets.Key(metric.metric_id, chosen.month, chosen.currency, chosen.segment)
    written = targets.amounts(view.records, chosen.month, chosen.currency, chosen.segment).get(key)
    target = None if written is None else figures.target_value(view, metric, written, chosen.currency).amount
    if target is None:
        return None, "plain"
    shown = figures.shown(view, metric, target, chosen.currency)
    if now.amount is None:
        return _("Target: {target}").format(target=shown), "plain"
    gap = now.amount - target
    if figures.is_percentage(metric):
        distance = view.text.whole(_("{points} points").format(points=view.show.points(gap)))
    else:
        distance = figures.shown(view, metric, gap, chosen.currency, signed=True)
    if chosen.is_provisional:
        pattern = _("Target {target} for the whole month, which is still running ({gap})")
        return pattern.format(target=shown, gap=distance), "plain"
    is_met = gap >= 0 if metric.good_direction == "up" else gap <= 0
    pattern = _("Target {target}: reached ({gap})") if is_met else _("Target {target}: missed ({gap})")
    return pattern.format(target=shown, gap=distance), "good" if is_met else "bad"


def overdue_card(view: View, chosen: Scope, owed: Receivables) -> Section:
    metric = receivables.overdue_metric(view, view.text.gettext("Overdue for more than 30 days"))
    now, former = (owed.overdue(month, OVERDUE_DAYS) for month in (chosen.month, chosen.compared))
    return card_of(figures.card_against(view, chosen, metric, now, former))


def columns(view: View, title: str, rows: pl.DataFrame, name: str, currency: str) -> Section:
    """An amount by month, as columns; the first, the last and every sixth are named."""
    show = view.show
    amounts = [max(0.0, show.size(amount, currency)) for amount in rows[name]]
    top = max([*amounts, 0.0]) or 1.0
    last = rows.height - 1
    return section(
        "columns",
        title,
        new_page=False,
        description=figures.trend_words(view, title, rows, name, lambda amount: show.money(amount, currency)),
        columns=[
            {
                "share": amount / top,
                "name": show.month(rows["month"][place]) if (last - place) % 6 == 0 else None,
                "shown": show.money_short(rows[name][place], currency) if (last - place) % 12 == 0 else None,
            }
            for place, amount in enumerate(amounts)
        ],
    )


# The bridge.


def bridge(view: View, published: Published, chosen: Scope) -> Section:
    """Opening, movements, closing, and whether they add up."""
    _, show = view.text.gettext, view.show
    parts = published.rows(revenue.BRIDGE, **chosen.values).row(0, named=True)
    category = words.category(view.text)
    names = {
        "opening": _("Opening"),
        **{name: category(name) for name in MOVEMENTS},
        "entered": _("Entered segment"),
        "left": _("Left segment"),
        "fx_impact": _("Exchange rates"),
        "closing": _("Closing"),
    }
    hidden = {"entered", "left"} if parts["entered"] + parts["left"] == 0 else set()
    hidden |= {name for name in ("entered", "left", "fx_impact") if not parts[name]}
    shown = [name for name in STEPS if name not in hidden]
    sizes = [
        charts.Step(
            names[name], show.size(parts[name], chosen.currency), "", is_total=name in ("opening", "closing")
        )
        for name in shown
    ]
    start = charts.axis_start(sizes)
    opening, closing = (show.money(parts[name], chosen.currency) for name in ("opening", "closing"))
    is_whole = parts["unexplained"] == 0
    notes = []
    if start > 0:
        notes.append(
            _("The axis begins at {amount}, not at zero, so that the movements can be seen.").format(
                amount=show.major_short(start, chosen.currency)
            )
        )
    return section(
        "bridge",
        _("MRR bridge, {month}, {currency}").format(month=show.month(chosen.month), currency=chosen.currency),
        description=_("Bridge of MRR from {opening} to {closing}.").format(opening=opening, closing=closing),
        steps=[
            {
                "name": names[name],
                "shown": show.money_short(parts[name], chosen.currency, signed=not step.is_total),
                "tone": "total" if step.is_total else "good" if step.size >= 0 else "bad",
                "from": low,
                "to": high,
            }
            for name, step, (low, high) in zip(shown, sizes, levels(sizes, start), strict=True)
        ],
        notes=notes,
        check=_("Opening + movements = closing: {closing}").format(closing=closing)
        + (" ✓" if is_whole else " ✗ " + show.money(parts["unexplained"], chosen.currency)),
        check_tone="good" if is_whole else "bad",
    )


def levels(steps: Sequence[charts.Step], start: float) -> list[tuple[float, float]]:
    """From where to where each step hangs, as shares of the height above the axis' start."""
    ends: list[tuple[float, float]] = []
    level = 0.0
    for step in steps:
        before = start if step.is_total else level
        level = step.size if step.is_total else level + step.size
        ends.append((before, level))
    top = max(max(pair) for pair in ends)
    low = min(start, *(min(pair) for pair in ends))
    span = (top - low) or 1.0
    return [((before - low) / span, (after - low) / span) for before, after in ends]


# Cohorts.


def cohort_section(view: View, published: Published, chosen: Scope) -> Section:
    _ = view.text.gettext
    monthly = published.rows(retention.COHORTS, **chosen.values, grain="month")
    grain = cohorts.best_grain(monthly, "start_customers", view.min_customers)
    rows = published.rows(retention.COHORTS, **chosen.values, grain=grain)
    grid = cohorts.grid(rows, "customers", "start_customers", "start_customers", view.min_customers, grain)
    return heat_map(view, _("Cohorts: customers still paying, % by age in months"), grid)


def heat_map(view: View, title: str, grid: cohorts.Grid) -> Section:
    """The newest cohorts that are large enough for a share."""
    _ = view.text.gettext
    kept = [place for place, month in enumerate(grid.months) if month not in grid.small][-SHOWN_COHORTS:]
    if not kept:
        why = _("Each cohort has fewer than {count} customers, too few for a share.")
        return section("words", title, why.format(count=view.show.number(view.min_customers)))
    ages = [
        place
        for place, age in enumerate(grid.ages)
        if age <= SHOWN_AGES and any(grid.shares[line][place] is not None for line in kept)
    ]
    return section(
        "heat_map",
        title,
        _("Each cell: of the cohort's customers at the start, how many per cent are there at that age.")
        + " "
        + _("Cohorts of fewer than {count} customers are left out.").format(
            count=view.show.number(view.min_customers)
        ),
        corner=_("Start"),
        heads=[view.show.number(grid.ages[place]) for place in ages],
        rows=[
            {
                "name": grid.name(view, grid.months[line]),
                "cells": [cell(view, grid.shares[line][place]) for place in ages],
            }
            for line in kept
        ],
    )


def cell(view: View, share: float | None) -> Section:
    if share is None:
        return {"shown": "", "fill": None}
    return {"shown": view.show.number(share * 100), "fill": fill(share)}


def fill(share: float) -> str:
    """The tone of a share on the heat map's scale."""
    if share > 1:
        return charts.OVER_FULL
    stops = [(float(str(place)), str(colour)) for place, colour in charts.SHARE_SCALE]
    for (low, first), (high, second) in pairwise(stops):
        if share <= high:
            part = (share - low) / (high - low)
            mixed = [
                round(int(first[at : at + 2], 16) * (1 - part) + int(second[at : at + 2], 16) * part)
                for at in (1, 3, 5)
            ]
            return "#" + "".join(f"{one:02x}" for one in mixed)
    return stops[-1][1]


# Receivables, risks.


def aging_section(view: View, chosen: Scope, owed: Receivables) -> Section:
    _, show = view.text.gettext, view.show
    title = _("Open invoices by days past due, {day}, {currency}").format(
        day=show.day(owed.closed_on), currency=chosen.currency
    )
    if not owed.buckets:
        return section("words", title, _("No invoice is open."))
    bucket = words.bucket(view.text)
    return bars(
        title,
        _("Open invoices of {total} in {count} buckets by age.").format(
            total=show.money(owed.total, chosen.currency), count=show.number(len(owed.buckets))
        ),
        [
            (bucket(name), owed.amount(name), receivables.BUCKET_DAYS[name][0] >= OVERDUE_DAYS)
            for name in owed.buckets
        ],
        lambda minor: show.size(minor, chosen.currency),
        lambda minor: show.money(minor, chosen.currency),
    )


def bars(
    title: str,
    description: str,
    parts: Sequence[tuple[str, Any, bool]],
    size: Callable[[Any], float],
    shown: Callable[[Any], str],
    *,
    new_page: bool = True,
) -> Section:
    """Amounts as bars in the given order; those marked are the ones to look at."""
    sizes = [max(0.0, size(amount)) for _, amount, _ in parts]
    top = max(sizes) or 1.0
    return section(
        "bars",
        title,
        description,
        new_page=new_page,
        description=description,
        bars=[
            {
                "name": name,
                "share": length / top,
                "shown": shown(amount),
                "tone": "bad" if is_marked else "total",
            }
            for (name, amount, is_marked), length in zip(parts, sizes, strict=True)
        ],
    )


def risks(view: View, published: Published) -> Section:
    """The customers with the most revenue at risk, each score with its three reasons."""
    _, show = view.text.gettext, view.show
    title = _("Top risks")
    parts = published.rows(churn.PARTS)
    if parts.is_empty():
        return section(
            "words", title, _("No customer of this company has been scored, so there is no list to call.")
        )
    currency = parts["currency"][0]
    values = {"segment": ALL, "band": ALL, "ranking": "value", "list_name": "now", "currency": currency}
    rows = published.rows(churn.TOP_ROWS, **values, limit=SHOWN_RISKS)
    if rows.is_empty():
        return section("words", title, _("No customer is to be called now."))
    return table(
        title,
        f"{scored_words(view, rows)} {whose(view, published)}",
        [
            (_("Customer"), "wide"),
            (_("Segment"), ""),
            (_("Risk"), ""),
            (_("Score"), "number"),
            (_("Revenue at risk"), "number"),
            (_("Reasons"), "wider"),
        ],
        [
            [
                plain(row["name"]),
                plain(row["segment"] or "–"),
                words.band(view.text)(row["band_fixed"]),
                show.percent(row["p_90"]),
                show.money(row["revenue_at_risk_90_minor"], currency),
                reasons(view, row),
            ]
            for row in rows.iter_rows(named=True)
        ],
    )


def newly_high(view: View, published: Published) -> Section:
    """The customers who came to high risk within a week, those with the most revenue at risk first."""
    _, show = view.text.gettext, view.show
    title = _("Newly at high risk")
    rows = published.rows(churn.NEWLY_HIGH, limit=SHOWN_ACCOUNTS)
    if rows.is_empty():
        return section("words", title, _("No customer came to high risk within a week."), new_page=False)
    return table(
        title,
        f"{scored_words(view, rows)} {whose(view, published)}",
        [
            (_("Customer"), "wide"),
            (_("A week before"), "number"),
            (_("Score"), "number"),
            (_("Revenue at risk"), "number"),
            (_("Reasons"), "wider"),
        ],
        [
            [
                plain(row["name"]),
                show.percent(row["p_before"]),
                show.percent(row["p_90"]),
                show.money(row["revenue_at_risk_90_minor"], row["currency"]),
                reasons(view, row),
            ]
            for row in rows.iter_rows(named=True)
        ],
        new_page=False,
    )


def notice_soon(view: View, published: Published) -> Section:
    """The terms whose last day of notice comes next, the nearest first."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    days = show.number(NOTICE_DAYS)
    title = ngettext("Notice ends within {days} day", "Notice ends within {days} days", NOTICE_DAYS)
    title = title.format(days=days)
    rows = published.rows(
        renewals.NOTICE_SOON, as_of=published.build.as_of, days=NOTICE_DAYS, limit=SHOWN_ACCOUNTS
    )
    if rows.is_empty():
        return section("words", title, _("No notice ends in these days."), new_page=False)
    shown = words.yes_no_known(view.text)
    lead = _("Until that day the customer may end the term. Who has asked to cancel is left out.")
    return table(
        title,
        f"{lead} {whose(view, published)}",
        [
            (_("Customer"), "wide"),
            (_("Notice by"), ""),
            (_("Term ends"), ""),
            (_("Renews by itself"), ""),
            (_("MRR at stake"), "number"),
        ],
        [
            [
                plain(row["name"]),
                show.day_short(row["notice_by_on"]),
                show.day_short(row["due_on"]),
                shown(row["auto_renew"]),
                show.money(row["mrr"], row["currency"]),
            ]
            for row in rows.iter_rows(named=True)
        ],
        new_page=False,
    )


def reasons(view: View, row: Mapping[str, Any]) -> str:
    """The reasons of a score, the strongest first."""
    found = [row[f"{name}_{view.language}"] for name in ("reason", "reason_2", "reason_3")]
    return " · ".join(plain(reason) for reason in found if reason) or "–"


def scored_words(view: View, rows: pl.DataFrame) -> str:
    """Of which day scores are and by which model; of both, where accounts and repeat trade are scored."""
    _, show = view.text.gettext, view.show
    return " ".join(
        _("Scores of {day}, model {model}.").format(day=show.day(day), model=show.identifier(plain(model)))
        for day, model in rows.select("as_of", "model_id").unique(maintain_order=True).iter_rows()
    )


def whose(view: View, published: Published) -> str:
    """Whose accounts a list is of: those of the company, or those that its reader looks after."""
    _ = view.text.gettext
    if published.is_company:
        return _("Whole company, whatever the segment chosen.")
    return _("Your own accounts, whatever the segment chosen.")


def table(
    title: str,
    lead: str | None,
    heads: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    *,
    new_page: bool = True,
) -> Section:
    """Rows under heads; a head is a label and how its column stands: `number`, `wide`, `wider` or plain."""
    widths = {"wide": 1, "wider": 3}
    return section(
        "rows",
        title,
        lead,
        new_page=new_page,
        heads=[
            {"label": label, "number": how == "number", "width": widths.get(how, 0)} for label, how in heads
        ],
        rows=rows,
    )


# Orders.


def order_parts(view: View, published: Published, chosen: OrderScope) -> Parts:
    """The parts of a report of a company that lives from orders, in the places of those of MRR."""
    _ = view.text.gettext
    months = published.rows(orders.REVENUE, **chosen.values)

    def trend() -> list[Section]:
        label = view.metric("order_revenue").label
        title = _("{metric} by month, {currency}").format(metric=label, currency=chosen.currency)
        return [columns(view, title, months.tail(24), "revenue_minor", chosen.currency)]

    def cohort_grid() -> list[Section]:
        rows = published.rows(orders.COHORTS, **chosen.values)
        size = "cohort_customers"
        grid = cohorts.grid(rows, "active_customers", size, size, view.min_customers)
        return [heat_map(view, _("Cohorts: customers with an order, % by age in months"), grid)]

    defined = [*ORDER_METRICS, "order_cohort_customers", "revenue_at_risk_90"]
    return {
        "metrics": lambda: [
            section("cards", _("Six metrics"), cards=order_cards(view, published, chosen, months))
        ],
        "trend": trend,
        "bridge": lambda: [order_table(view, chosen, months)],
        "cohorts": cohort_grid,
        "aging": lambda: [countries(view, published, chosen)],
        "risks": lambda: [risks(view, published)],
        "definitions": lambda: [definitions(view, defined)],
        "status": lambda: data_status(view, published, chosen, ORDER_METRICS),
    }


def countries(view: View, published: Published, chosen: OrderScope) -> Section:
    _, show = view.text.gettext, view.show
    rows = published.rows(orders.BY_COUNTRY, **chosen.values)
    title = _("Net revenue by country, {month}, {currency}").format(
        month=show.month(chosen.month), currency=chosen.currency
    )
    if rows.is_empty():
        return section("words", title, _("No order in this month."))
    return bars(
        title,
        _("The ten countries with the most net revenue."),
        [(plain(row["country"]), row["revenue_minor"], False) for row in rows.iter_rows(named=True)],
        lambda minor: show.size(minor, chosen.currency),
        lambda minor: show.money(minor, chosen.currency),
    )


def order_cards(view: View, published: Published, chosen: OrderScope, months: pl.DataFrame) -> list[Section]:
    _, show = view.text.gettext, view.show
    repeat = published.rows(orders.REPEAT, **chosen.values)
    now, before = (figures.row_of(months, month) for month in (chosen.month, chosen.compared))
    buyers, buyers_before = (figures.row_of(repeat, month) for month in (chosen.month, chosen.compared))
    whole = None if chosen.country == ALL else _("of all countries")
    parts: list[tuple[str, Value, Value, str | None]] = [
        ("order_revenue", Value(now.get("revenue_minor", 0)), Value(before.get("revenue_minor")), None),
        ("orders", Value(now.get("orders", 0)), Value(before.get("orders")), None),
        ("order_customers", Value(buyers.get("customers")), Value(buyers_before.get("customers")), whole),
        ("repeat_rate", repeat_rate(buyers), repeat_rate(buyers_before), whole),
    ]
    cards = [order_card(view, chosen, *part) for part in parts]
    sales, count = now.get("sales_minor"), now.get("orders")
    average = Decimal(sales) / count if sales is not None and count else None
    return [
        *cards,
        card_of(
            Card(
                _("Average order"),
                show.money(average, chosen.currency),
                note=_("sales before credit notes, for each order"),
            )
        ),
        card_of(
            Card(
                _("Credit notes"),
                show.money(now.get("credits_minor", 0), chosen.currency),
                note=_("{count} in the month").format(count=show.number(now.get("credit_notes", 0))),
            )
        ),
    ]


def repeat_rate(row: Mapping[str, Any]) -> Value:
    """The share of customers who came back, of a row of orders.REPEAT."""
    return Value(row.get("repeat_customers"), row.get("window_customers"), row.get("window_customers"))


def order_table(view: View, chosen: OrderScope, months: pl.DataFrame) -> Section:
    """Sales less credit notes, month by month: how net revenue comes about."""
    _, show = view.text.gettext, view.show

    def money(minor: int) -> str:
        return show.money(minor, chosen.currency)

    return table(
        _("How net revenue comes about, {currency}").format(currency=chosen.currency),
        _("Sales and credit notes make net revenue."),
        [
            (_("Month"), "wide"),
            (_("Orders"), "number"),
            (_("Sales"), "number"),
            (_("Credit notes"), "number"),
            (_("Net revenue"), "number"),
        ],
        [
            [
                show.month(row["month"]),
                show.number(row["orders"]),
                money(row["sales_minor"]),
                money(row["credits_minor"]),
                money(row["revenue_minor"]),
            ]
            for row in months.tail(13).reverse().iter_rows(named=True)
        ],
    )


# What it means, and whether it can be trusted.


def definitions(view: View, metric_ids: Sequence[str]) -> Section:
    metrics = [view.metric(metric_id) for metric_id in metric_ids if view.definition(metric_id)]
    items = [
        {"label": one.label, "definition": one.definition, "formula": f"{one.metric_id} = {one.formula}"}
        for one in metrics
    ]
    return section("definitions", view.text.gettext("Definitions"), items=items)


def freshness_words(view: View) -> str:
    _ = view.text.gettext
    return {
        Freshness.FRESH: _("Up to date, all tests passed"),
        Freshness.LATE: _("Late: newer data was expected"),
        Freshness.FAILED: _("Attention: a build or a test failed"),
    }[view.freshness]


def data_status(
    view: View, published: Published, chosen: Scope | OrderScope, metric_ids: Sequence[str]
) -> list[Section]:
    """Which build the figures come from, how it was tested, and what was restated."""
    _, show = view.text.gettext, view.show
    build = published.build
    tests = published.rows(health.TESTS).row(0, named=True)
    set_aside = published.rows(reports.SET_ASIDE)["set_aside"][0]
    tones = {Freshness.FRESH: "good", Freshness.LATE: "warn", Freshness.FAILED: "bad"}
    lines = [
        (_("State"), freshness_words(view), tones[view.freshness]),
        (_("Data to"), show.day(build.as_of), ""),
        (_("Built"), show.instant(build.built_at), ""),
        (_("Build"), show.identifier(plain(build.build_id)), ""),
        (
            _("Tests"),
            _("{passed} passed, {failed} failed, {warned} warned").format(
                passed=show.number(tests["passed"]),
                failed=show.number(tests["failed"]),
                warned=show.number(tests["warned"]),
            ),
            "bad" if tests["failed"] else "",
        ),
        (_("Rows set aside"), show.number(set_aside), ""),
    ]
    failed = view.failed_attempt
    if failed is not None:
        when = show.instant(failed.finished_at or failed.started_at)
        lines.append(
            (_("Last attempt"), _("failed, {when}: {step}").format(when=when, step=plain(failed.step)), "bad")
        )
    facts = [{"label": label, "value": value, "tone": tone} for label, value, tone in lines]
    return [section("facts", _("Data status"), facts=facts), restated(view, published, chosen, metric_ids)]


def restated(
    view: View, published: Published, chosen: Scope | OrderScope, metric_ids: Sequence[str]
) -> Section:
    """Figures of the last twelve closed months that are not as they were first reported."""
    _ = view.text.gettext
    title = _("Restated figures of the last twelve months")
    asked = (reports.RESTATED_WITH_CAUSES, reports.RESTATED)
    rows = restated_rows(published, *asked, metric_ids=",".join(metric_ids), month=chosen.month)
    if rows.is_empty():
        return section("words", title, _("None: every figure is as it was first reported."), new_page=False)
    return table(
        title,
        None,
        [
            (_("Metric"), "wide"),
            (_("Month"), ""),
            (_("First reported"), "number"),
            (_("Now"), "number"),
            (_("Restated"), ""),
            (_("Why"), "wide"),
        ],
        [
            [
                view.metric(row["metric_id"]).label,
                view.show.month(row["month"]),
                figure(
                    view, row["metric_id"], row["seen_numerator"], row["seen_denominator"], row["currency"]
                ),
                figure(view, row["metric_id"], row["numerator"], row["denominator"], row["currency"]),
                view.show.instant(row["restated_at"]),
                why_restated(view, row),
            ]
            for row in rows.iter_rows(named=True)
        ],
        new_page=False,
    )


def restated_rows(published: Published, with_causes: Query, plain: Query, **values: object) -> pl.DataFrame:
    """Restated figures, with what each cause adds where that has been worked out for this build."""
    try:
        return published.rows(with_causes, **values)
    except (duckdb.Error, Withheld):
        return published.rows(plain, **values)


def why_restated(view: View, row: Mapping[str, Any]) -> str:
    """What made a figure change and by how much; in general words where nobody has worked that out."""
    _ = view.text.gettext
    metric = view.metric(row["metric_id"])
    causes = [
        f"{label}: {figures.changed_by(view, metric, Decimal(repr(row[name])), row['currency'])}"
        for name, label in trust_words.restatement_cause(view.text).items()
        if abs(row.get(name) or 0) > LEAST_CAUSE
    ]
    if causes:
        return " · ".join(causes)
    return _("The definition was changed") if row["is_redefined"] else _("Data came late or was corrected")


def figure(
    view: View, metric_id: str, numerator: Decimal | None, denominator: Decimal | None, currency: str
) -> str:
    """A metric's figure from its parts."""
    return figures.shown(view, view.metric(metric_id), Value(numerator, denominator).amount, currency)
