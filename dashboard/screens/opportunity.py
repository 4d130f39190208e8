"""Page 11, subscription opportunity: who buys like a subscriber, what would it bring, can that be trusted?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, charts, frame, words
from dashboard.frame import Card, Check, Drill
from dashboard.queries import opportunity
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

LIST_ROWS = 25


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "opportunity", _("Who already buys like a subscriber?"))
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    if not published.build.has_orders:
        frame.empty(
            view,
            _(
                "This page needs an order history: name a source of kind “orders” in company.toml. Then it "
                "lists who buys on a rhythm."
            ),
        )
        return
    summaries = published.rows(opportunity.SUMMARY)
    if summaries.is_empty():
        frame.empty(
            view, _("Nobody has bought goods in the last 365 days, so there is no rhythm to look for.")
        )
        return
    currencies = summaries["currency"].to_list()
    currency = currencies[0]
    if len(currencies) > 1:
        currency = address.choice("currency", _("Currency"), currencies, currencies[0], str)
    summary = summaries.filter(pl.col("currency") == currency).row(0, named=True)
    with frame.panel(view):
        answer(view, summary)
        frame.cards(view, cards(view, summary))
        frame.drill(view, published, drills(view, published, summary))
    with frame.panel(view):
        parts_chart(view, published, summary)
    with frame.panel(view):
        pair_list(view, published, summary)
    with frame.panel(view):
        proof(view, published, summary)


def ratio(part: int | None, whole: int | None) -> Decimal | None:
    return Decimal(part) / Decimal(whole) if part is not None and whole else None


def answer(view: View, summary: Mapping[str, Any]) -> None:
    """What the figures say, in one sentence, before anyone sells a number."""
    _, show = view.text.gettext, view.show
    rates = {
        "regular": show.percent(ratio(summary["regular_hits"], summary["regular_pairs"])),
        "irregular": show.percent(ratio(summary["irregular_hits"], summary["irregular_pairs"])),
    }
    if summary["verdict"] == "on_a_rhythm":
        st.success(
            _(
                "There is a rhythm: regular pairs bought again in time in {regular} of cases, irregular ones "
                "in {irregular}."
            ).format(**rates)
        )
    elif summary["verdict"] == "repeat_not_on_a_rhythm":
        st.warning(
            _(
                "Repeat, but not on a rhythm: regular pairs bought again in time in {regular} of cases, "
                "irregular ones in {irregular}. Being regular so far adds little, "
                "so the list is a place to ask, not a "
                "forecast."
            ).format(**rates)
        )
    else:
        st.info(
            _("Too little history to say whether the rhythm holds: fewer than 30 pairs could be measured.")
        )


def cards(view: View, summary: Mapping[str, Any]) -> list[Card]:
    _, show = view.text.gettext, view.show
    currency = summary["currency"]
    rate = ratio(summary["regular_hits"], summary["regular_pairs"])
    share = ratio(summary["predictable_revenue"], summary["goods_revenue_minor"])
    return [
        Card(
            view.metric("expected_mrr").label,
            show.money(summary["expected_mrr"], currency),
            help=view.metric("expected_mrr").definition,
            note=_("potential {potential} × measured hit rates").format(
                potential=show.money(summary["potential_mrr"], currency)
            ),
            rows="expected_mrr",
        ),
        Card(
            _("Pairs of customer and article"),
            show.number(summary["pairs"]),
            help=view.definition("opportunity_pairs"),
            note=_("{customers} customers, {skus} articles").format(
                customers=show.number(summary["customers"]), skus=show.number(summary["skus"])
            ),
            rows="pairs",
        ),
        Card(
            view.metric("hit_rate").label,
            show.percent(rate),
            help=view.metric("hit_rate").definition,
            note=_("{hits} of {pairs} pairs, measured on {day}").format(
                hits=show.number(summary["regular_hits"]),
                pairs=show.number(summary["regular_pairs"]),
                day=show.day(summary["measured_on"]),
            ),
            rows="hit_rate",
        ),
        Card(
            view.metric("predictable_share").label,
            show.percent(share),
            help=view.metric("predictable_share").definition,
            note=_("of {revenue} goods revenue in 365 days").format(
                revenue=show.money(summary["goods_revenue_minor"], currency)
            ),
            rows="predictable_share",
        ),
    ]


def pair_columns(view: View, published: Published, currency: str) -> list[Column]:
    """The columns of the list; articles have a column of names where the source knows any."""
    _ = view.text.gettext
    has_names = published.rows(opportunity.HAS_NAMES, currency=currency).item()
    names = [Column("sku_name", _("Article"))] if has_names else []
    return [
        Column("customer_id", _("Customer id"), "id"),
        Column("sku", _("Code"), "id"),
        *names,
        Column("country", _("Country")),
        Column("purchase_days", _("Purchase days"), "count"),
        Column("median_gap_days", _("Usual gap, days"), "count"),
        Column("next_expected_on", _("Next expected"), "day"),
        Column("proposal", _("Proposal")),
        Column("net_spend_minor", _("Spent in 365 days"), "money", currency=currency),
        Column("potential_mrr", _("Potential MRR"), "money", currency=currency),
        Column("hit_rate", _("Hit rate"), "percent"),
        Column("expected_mrr", _("Expected MRR"), "money", currency=currency),
    ]


def with_proposal(view: View, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with what could be offered, in words: quantity and interval."""
    _ = view.text.gettext
    proposals = [
        _("{quantity} {interval}").format(
            quantity=view.show.number(row["proposed_quantity"]),
            interval=words.interval(view.text, row["proposed_interval"], row["proposed_interval_count"]),
        )
        for row in rows.iter_rows(named=True)
    ]
    return rows.with_columns(pl.Series("proposal", proposals, dtype=pl.String))


def drills(view: View, published: Published, summary: Mapping[str, Any]) -> list[Drill]:
    _ = view.text.gettext
    currency = summary["currency"]
    values = {"currency": currency}
    potential = Column("potential_mrr", _("Potential MRR"), "money", currency=currency)
    expected = Column("expected_mrr", _("Expected MRR"), "money", currency=currency)
    checks = [Check(potential, summary["potential_mrr"]), Check(expected, summary["expected_mrr"])]
    return [
        Drill(
            "expected_mrr",
            _("Expected MRR by customer"),
            opportunity.CUSTOMER_ROWS,
            values,
            [
                Column("customer_id", _("Customer id"), "id"),
                Column("country", _("Country")),
                Column("pairs", _("Articles"), "count"),
                Column("next_expected_on", _("Next expected"), "day"),
                Column("net_spend_minor", _("Spent in 365 days"), "money", currency=currency),
                potential,
                expected,
            ],
            checks,
            expected_rows=summary["customers"],
        ),
        Drill(
            "pairs",
            _("Pairs of customer and article"),
            opportunity.PAIR_ROWS,
            values,
            pair_columns(view, published, currency),
            checks,
            expected_rows=summary["pairs"],
            metric="opportunity_pairs",
            adds=lambda rows: with_proposal(view, rows),
        ),
        hit_rate_drill(view, summary),
        *part_drills(view, published, currency),
        Drill(
            "predictable_share",
            view.metric("predictable_share").label,
            opportunity.PARTS,
            values,
            part_columns(view, currency),
            [Check(part_columns(view, currency)[1], summary["goods_revenue_minor"])],
            notes=[_("The first two parts are predictable.")],
        ),
    ]


def part_key(part: str) -> str:
    """The rows behind a part of the year's goods revenue."""
    return f"part-{part}"


def part_drills(view: View, published: Published, currency: str) -> Iterator[Drill]:
    """The customers behind each part, with what each adds to it."""
    _ = view.text.gettext
    revenue = Column("revenue", _("Goods revenue"), "money", currency=currency)
    for row in published.rows(opportunity.PARTS, currency=currency).iter_rows(named=True):
        yield Drill(
            part_key(row["part"]),
            words.part(view.text)(row["part"]),
            opportunity.PART_ROWS,
            {"currency": currency, "part": row["part"]},
            [
                Column("customer_id", _("Customer id"), "id"),
                Column("order_days", _("Order days"), "count"),
                revenue,
            ],
            [Check(revenue, row["revenue"])],
            expected_rows=row["customers"],
        )


def hit_rate_drill(view: View, summary: Mapping[str, Any]) -> Drill:
    """The measured pairs by how many purchase days they had."""
    _ = view.text.gettext
    hits, pairs = Column("hits", _("Bought again in time"), "count"), Column("pairs", _("Pairs"), "count")
    return Drill(
        "hit_rate",
        view.metric("hit_rate").label,
        opportunity.HIT_CLASSES,
        {"currency": summary["currency"]},
        [
            Column("purchase_days_class", _("Purchase days")),
            pairs,
            hits,
            Column("hit_rate", _("Hit rate"), "percent"),
        ],
        [Check(hits, summary["regular_hits"]), Check(pairs, summary["regular_pairs"])],
    )


def part_columns(view: View, currency: str) -> list[Column]:
    _ = view.text.gettext
    return [
        Column("part", _("Part"), words=words.part(view.text)),
        Column("revenue", _("Goods revenue"), "money", currency=currency),
        Column("share", _("Share"), "percent"),
        Column("customers", _("Customers"), "count"),
    ]


def parts_chart(view: View, published: Published, summary: Mapping[str, Any]) -> None:
    """A year's goods revenue in four parts that add up."""
    _, show = view.text.gettext, view.show
    currency = summary["currency"]
    parts = published.rows(opportunity.PARTS, currency=currency)
    part = words.part(view.text)
    frame.chart(
        view,
        published,
        "parts",
        _("Goods revenue of the last 365 days by how it repeats, {currency}").format(currency=currency),
        lambda: charts.bars(
            [part(name) for name in parts["part"]],
            [show.size(revenue, currency) for revenue in parts["revenue"]],
            [
                f"{show.money(revenue, currency)} · {show.percent(share)}"
                for revenue, share in zip(parts["revenue"], parts["share"], strict=True)
            ],
            view.text.is_right_to_left,
        ),
        _("Four parts of {total}; the first two are predictable.").format(
            total=show.money(summary["goods_revenue_minor"], currency)
        ),
        part_columns(view, currency),
        parts,
        query=opportunity.PARTS,
        values={"currency": currency},
        opens=[part_key(name) for name in parts["part"]],
    )
    frame.rows_choice(
        view, _("Customers behind a part"), {part_key(name): part(name) for name in parts["part"]}
    )
    frame.verdict(
        view,
        _("The parts add up to {total}").format(total=show.money(summary["goods_revenue_minor"], currency)),
        frame.matches(sum(parts["revenue"]), summary["goods_revenue_minor"]),
        show.money(summary["goods_revenue_minor"], currency),
    )


def pair_list(view: View, published: Published, summary: Mapping[str, Any]) -> None:
    """Whom to ask, about what: the best first."""
    _, show = view.text.gettext, view.show
    columns = pair_columns(view, published, summary["currency"])
    best = Drill("best-pairs", "", opportunity.PAIR_ROWS, {"currency": summary["currency"]}, columns)
    rows = with_proposal(view, frame.page_of(published, best, 1, LIST_ROWS))
    st.subheader(_("The {count} best pairs").format(count=show.number(rows.height)), anchor=False)
    frame.table(view, _("Pairs of customer and article"), columns, rows)
    frame.download(
        view,
        best.key,
        columns,
        lambda: with_proposal(view, frame.page_of(published, best, 1, frame.EXPORT_ROWS)),
        published,
        title=_("Pairs of customer and article"),
    )


def proof(view: View, published: Published, summary: Mapping[str, Any]) -> None:
    """The record of earlier lists: how many pairs bought again in time, beside pairs without a rhythm."""
    _ = view.text.gettext
    rates = published.rows(opportunity.HIT_RATES, currency=summary["currency"])
    st.subheader(_("Did earlier lists come true?"), anchor=False, help=view.metric("hit_rate").definition)
    frame.table(
        view,
        _("Did earlier lists come true?"),
        [
            Column(
                "purchase_days_class",
                _("Purchase days"),
                words=lambda name: _("all") if name == "all" else view.show.identifier(name),
            ),
            Column("pair_kind", _("Kind of pair"), words=words.pair_kind(view.text)),
            Column("pairs", _("Pairs"), "count"),
            Column("hits", _("Bought again in time"), "count"),
            Column("hit_rate", _("Hit rate"), "percent"),
            Column("left_out_pairs", _("Still open, left out"), "count"),
        ],
        rates,
    )


render(open_view())
