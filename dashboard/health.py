"""How far the figures can be trusted: what sources promised and kept, and what a failed test touches."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import streamlit as st

from dashboard import frame, trust_words
from dashboard.lineage import failed_metrics, failed_tables
from dashboard.queries import health as health_queries
from dashboard.tables import Column
from dashboard.view import FRESH_FOR, Published, View

__all__ = ["failed_metrics", "failed_tables", "freshness_of", "freshness_table", "promised_days"]


def promised_days(folder: Path) -> Mapping[str, int]:
    """Days within which each source should bring something new: `fresh_within_days` of company.toml.

    A source that names none has those of the company; a file that cannot be read promises nothing of its own.
    """
    try:
        content = tomllib.loads((folder / "company.toml").read_text(encoding="utf-8"))
        sources = content.get("sources", {}).items()
        named = {name: options.get("fresh_within_days") for name, options in sources}
    except (OSError, ValueError, AttributeError):
        return {}
    return {name: days for name, days in named.items() if type(days) is int}


def freshness_of(published: Published, promised: Mapping[str, int], now: datetime) -> pl.DataFrame:
    """A row a source: source_name, source_kind, last_load, last_new, promised_days, age_days, is_late.

    `last_new` is the last load that brought a row. A sample company's sources are as old as they were when it
    was built.
    """
    rows = published.rows(health_queries.FRESHNESS)
    at = published.build.built_at if published.build.is_sample else now
    found = []
    for row in rows.iter_rows(named=True):
        days = promised.get(row["source_name"], FRESH_FOR.days)
        newest = row["last_new"]
        age = None if newest is None else max(0, (at - newest).days)
        found.append({**row, "promised_days": days, "age_days": age, "is_late": age is None or age > days})
    return pl.DataFrame(
        found,
        schema={
            **rows.schema,
            "promised_days": pl.Int64,
            "age_days": pl.Int64,
            "is_late": pl.Boolean,
        },
    )


def freshness_table(
    view: View, published: Published, title: str, kinds: Collection[str] | None = None
) -> pl.DataFrame:
    """The sources with what they promised and kept; of some kinds, where `kinds` names their raw schemas."""
    _ = view.text.gettext
    promised = promised_days(view.company.folder) if view.company else {}
    rows = freshness_of(published, promised, view.now)
    if kinds is not None:
        rows = rows.filter(pl.col("raw_schemas").list.eval(pl.element().is_in(list(kinds))).list.any())
    late = trust_words.lateness(view.text)
    columns = [
        Column("source_name", _("Source")),
        Column("last_load", _("Last load"), "instant"),
        Column("last_new", _("Last new rows"), "instant"),
        Column("age_days", _("Days since"), "count"),
        Column("promised_days", _("Promised within days"), "count"),
        Column("is_late", _("State"), words=late),
    ]
    frame.table(view, title, columns, rows)
    if rows.is_empty():
        st.caption(_("No source has been loaded for it."))
    return rows
