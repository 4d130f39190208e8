"""The menu of a number: what it means, its SQL, its rows and files, and whether its tests passed.

A menu is drawn with its number and filled only while it is open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import streamlit as st
from streamlit.elements.lib.mutable_popover_container import PopoverContainer

from dashboard import lineage
from dashboard.drills import Drill, to_take_away
from dashboard.export import download
from dashboard.links import page_link
from dashboard.queries import Query
from dashboard.states import panel
from dashboard.view import Published, View
from dashboard.workbench import questions

TABLES = re.compile(r"warehouse\.\w+\.(\w+)")


def button(view: View, key: str) -> PopoverContainer:
    """The menu's button; `key` is that of the number on its page."""
    return st.popover(view.text.gettext("More"), key=f"menu-{key}", type="tertiary", on_change="rerun")


def fill(view: View, published: Published, one: Drill) -> None:
    """Fill the menu of the card whose rows these are, if it is open."""
    more = view.slots.get(f"menu-{one.key}")
    if more is None or not more.open:
        return
    with more, panel(view):
        content(view, published, one.metric_id, one.query, one.values)
        download(
            view,
            one.key,
            one.columns,
            lambda: to_take_away(published, one),
            published,
            title=one.title,
            place="menu-",
        )


def content(
    view: View,
    published: Published,
    metric_id: str | None,
    query: Query | None,
    values: Mapping[str, object],
) -> None:
    """What a number means and where it comes from."""
    definition(view, metric_id)
    if query is not None:
        sql(view, published, query, values)


def definition(view: View, metric_id: str | None) -> None:
    """What a number means, in the registry's words, and the way to its tests and its lineage."""
    _ = view.text.gettext
    if metric_id is None:
        st.caption(_("These rows belong to no metric of the registry."))
        return
    if view.definition(metric_id) is None:
        st.caption(_("This build was made before the registry held this metric. Build again."))
        return
    metric = view.metric(metric_id)
    st.markdown(f"**{metric.label}** (`{metric.metric_id}`)")
    st.text(metric.definition)
    st.caption(_("Formula"))
    st.code(metric.formula, language=None, wrap_lines=True)
    page_link(view, "metrics", _("Tests, lineage and freshness"), metric=metric_id)


def sql(view: View, published: Published, query: Query, values: Mapping[str, object]) -> None:
    """The statement that gave the number, ready to be copied and run, and the way to the workbench."""
    words = query.readable(published.build.build_id, values)
    st.code(words, language="sql", wrap_lines=True)
    if view.may("sql") and questions.can_be_asked(query):
        label = view.text.gettext("Open in the SQL workbench")
        page_link(view, "workbench", label, **questions.link(query, values))


def mark(view: View, published: Published, one: Drill) -> None:
    """Mark the card of a number that rests on a table whose tests failed in this build."""
    place = view.slots.get(f"mark-{one.key}")
    if place is None:
        return
    names = lineage.failed_tests(published, set(TABLES.findall(one.query.sql)))
    if names:
        _, ngettext = view.text.gettext, view.text.ngettext
        with place:
            st.badge(
                "✗ "
                + ngettext("{count} failed test", "{count} failed tests", len(names)).format(
                    count=view.show.number(len(names))
                ),
                color="red",
                help=_("A test failed on a table this number is read from. Data health names it."),
            )
