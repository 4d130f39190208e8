"""Part of one customer's page: everything that has a day, newest first, also what was written about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import streamlit as st

from dashboard import words
from dashboard.queries import customer as queries
from dashboard.records import actions, notes
from dashboard.screens.acting import detail
from dashboard.screens.customer_parts import HISTORY_ROWS, Shown, listing, scored_days
from dashboard.tables import Column
from dashboard.view import View

# So many of the newest actions and notes stand on the timeline; all of them under contacts and notes.
WRITTEN_ROWS = 500


def timeline(shown: Shown) -> None:
    view = shown.view
    _ = view.text.gettext
    days = scored_days(shown)
    listing(
        shown,
        "customer-timeline",
        _("Timeline"),
        queries.TIMELINE,
        [
            Column("happened_on", _("Day"), "day"),
            Column("kind", _("What"), words=words.happening(view.text)),
            Column("said", _("Detail")),
            Column("invoice_no", _("Invoice"), "id"),
            Column("shown_amount", _("Amount"), "decimal", words=lambda amount: amount or "–"),
        ],
        more={**_written(shown), "since": days["since"]},
        adds=lambda rows: _said(view, rows),
    )
    if days["is_more"]:
        count = view.show.number(HISTORY_ROWS)
        st.caption(_("Risk scores are those of the last {count} days that were scored.").format(count=count))


def _written(shown: Shown) -> dict[str, object]:
    """Actions and notes as rows of the timeline: their days, kinds and words."""
    view, customer_id = shown.view, shown.account.customer_id
    rows: list[tuple[Any, str, str]] = []
    if view.records is not None and view.may("see_names"):
        for row in actions.events(view.records, customer_id, WRITTEN_ROWS):
            if row["undone_at"] is None:
                moment = row["contacted_at"] or row["recorded_at"]
                rows.append((moment.date(), "action", _action_words(view, row)))
        for note in notes.of(view.records, customer_id, WRITTEN_ROWS):
            rows.append((note["written_at"].date(), "note", note["body"]))
    return {
        "written_on": [row[0] for row in rows],
        "written_kinds": [row[1] for row in rows],
        "written_words": [row[2] for row in rows],
    }


def _action_words(view: View, row: dict[str, Any]) -> str:
    parts = [words.action(view.text)(row["action"]), detail(view, row), row["note"]]
    return " · ".join(part for part in parts if part)


def _said(view: View, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with codes in words and amounts in their own currency."""
    text = view.text
    codes: dict[str, Callable[[str | None], str]] = {
        "mrr": words.category(text),
        "invoice": words.invoice_status(text),
        "payment": words.receivable(text),
        "dunning": words.recovery(text),
        "renewal": words.renewal(text),
        "cancellation": words.cancellation(text),
        "score": words.band(text),
        "crm": words.crm_activity(text),
    }
    about: dict[str, Callable[[str | None], str]] = {"mrr": words.reason(text)}
    said, amounts = [], []
    for row in rows.iter_rows(named=True):
        parts = []
        if row["code"] is not None and row["kind"] in codes:
            parts.append(codes[row["kind"]](row["code"]))
        if row["about"] is not None:
            parts.append(about.get(row["kind"], str)(row["about"]))
        said.append(" · ".join(parts) or None)
        is_signed = row["kind"] == "mrr"
        amount = row["amount"]
        amounts.append(None if amount is None else view.show.money(amount, row["currency"], signed=is_signed))
    return rows.with_columns(
        pl.Series("said", said, pl.String), pl.Series("shown_amount", amounts, pl.String)
    )
