"""The notice that figures of closed months are no longer what they were when the reader was last here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import figures, keeping, tables
from dashboard.figures import Value
from dashboard.pack import content
from dashboard.queries import reports
from dashboard.records import visits
from dashboard.records.database import RecordsError
from dashboard.records.visits import Visit
from dashboard.tables import Column
from dashboard.view import Published, View

PUT_AWAY = "restatements-put-away"


def notice(view: View) -> None:
    """Say which figures of closed months changed since the last visit, by how much and why, until put away.

    Nothing on a first visit, for readers without the pages of these figures, or without records.
    """
    if view.records is None or view.published is None or not view.may_open("revenue"):
        return
    build = view.published.build
    mark = f"{view.company.name if view.company else ''} {view.reader.reader_id} {build.build_id}"
    if st.session_state.get(PUT_AWAY) == mark:
        return
    try:
        visit = visits.last(view.records, view.reader.reader_id)
        rows = since(view.published, visit) if visit else None
        if rows is None or rows.is_empty():
            if visit is None or visit.build_id != build.build_id:
                know(view)
            st.session_state[PUT_AWAY] = mark
            return
    except RecordsError:
        return
    assert visit is not None
    show(view, visit, rows)


def since(published: Published, visit: Visit) -> pl.DataFrame:
    """The headline figures that are not what they were at the build a reader knows, newest month first."""
    metric_ids = content.METRICS if published.build.has_subscriptions else content.ORDER_METRICS
    asked = (reports.RESTATED_SINCE_WITH_CAUSES, reports.RESTATED_SINCE)
    return content.restated_rows(
        published, *asked, seen_at=visit.built_at.isoformat(), metric_ids=",".join(metric_ids)
    )


def know(view: View) -> None:
    """Keep that the reader knows the figures of this build."""
    assert view.records is not None
    assert view.published is not None
    build = view.published.build
    visits.put(view.records, view.now, view.reader.reader_id, build.build_id, build.built_at)


def show(view: View, visit: Visit, rows: pl.DataFrame) -> None:
    _, ngettext = view.text.gettext, view.text.ngettext
    with st.container(border=True, key="restatements"):
        said = ngettext(
            "{count} figure of a closed month has changed since your last visit ({day}).",
            "{count} figures of closed months have changed since your last visit ({day}).",
            rows.height,
        )
        st.warning(said.format(count=view.show.number(rows.height), day=view.show.day(visit.at.date())))
        lines = [line(view, row) for row in rows.iter_rows(named=True)]
        columns = [
            Column("metric", _("Metric")),
            Column("month", _("Month"), "month"),
            Column("then", _("Then")),
            Column("now", _("Now")),
            Column("change", _("Change")),
            Column("why", _("Why")),
        ]
        st.html(tables.html(_("Restated figures"), columns, lines, view.show, view.text.direction))
        st.button(_("Put away"), key="put-away-restatements", on_click=_put_away, args=(view,))


def line(view: View, row: Mapping[str, Any]) -> dict[str, object]:
    """One restated figure: what it was, what it is, by how much it changed and why."""
    metric, currency = view.metric(row["metric_id"]), row["currency"]
    then, now = (
        Value(row["seen_numerator"], row["seen_denominator"]).amount,
        Value(row["numerator"], row["denominator"]).amount,
    )
    difference = None if then is None or now is None else now - then
    return {
        "metric": metric.label,
        "month": row["month"],
        "then": figures.shown(view, metric, then, currency),
        "now": figures.shown(view, metric, now, currency),
        "change": figures.changed_by(view, metric, difference, currency),
        "why": content.why_restated(view, row),
    }


def _put_away(view: View) -> None:
    with keeping.written():
        know(view)
