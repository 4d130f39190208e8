"""The frame every page shares: head, freshness, cards, charts with their table, rows behind a number.

Pages decide what stands where; how it looks and behaves is decided here. What comes from data is shown only
as plain text, through the table template or as a widget's value, never inside Markdown, a style or a script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl
import streamlit as st

from dashboard import address, charts, drawn, keeping, menu, outline, paging, tables, welcome, words
from dashboard.drills import EXPORT_ROWS, PAGE_ROWS, Check, Drill, matches, page_of, sums, to_take_away
from dashboard.export import download
from dashboard.format import DIGITS, DIGITS_CHOICE, LATIN
from dashboard.i18n import LANGUAGES, SOURCE_LANGUAGE
from dashboard.links import page_link
from dashboard.menu import definition
from dashboard.queries import Query
from dashboard.scope import FILTERS_PLACE
from dashboard.states import clear_filters, empty, nothing_published, panel, withheld
from dashboard.tables import Column
from dashboard.view import Freshness, Published, View

__all__ = [
    "EXPORT_ROWS",
    "PAGE_ROWS",
    "Card",
    "Check",
    "Drill",
    "cards",
    "chart",
    "definition",
    "download",
    "drill",
    "empty",
    "header",
    "matches",
    "nothing_published",
    "page_link",
    "page_of",
    "panel",
    "rows_choice",
    "sidebar",
    "sums",
    "table",
    "verdict",
    "withheld",
]
CARDS_A_ROW = 4
NARROWING = ("segment", "country", "month")
"""Filters of several pages that may leave a chart with nothing to draw."""


@dataclass(frozen=True)
class Card:
    """One figure at the head of a page.

    `rows` names the rows behind it (a Drill's key); `note` stands below it.
    """

    title: str
    value: str
    help: str | None = None
    change: str | None = None
    against: str | None = None
    change_is_good: bool | None = None
    change_is_up: bool | None = None
    note: str | None = None
    rows: str | None = None


def sidebar(view: View, groups: Sequence[tuple[str, Sequence[tuple[Any, str]]]]) -> None:
    """Company, language and the pages, in groups."""
    _ = view.text.gettext
    with st.sidebar:
        st.markdown(f"### {_('Tajdid')}")
        if view.company is not None:
            address.choice(
                "company",
                _("Company"),
                [company.name for company in view.companies],
                view.companies[0].name,
                {company.name: company.title(view.language) for company in view.companies}.__getitem__,
                resets=address.all_but("company", "lang", "digits"),
            )
        address.choice(
            "lang",
            _("Language"),
            list(LANGUAGES),
            SOURCE_LANGUAGE,
            LANGUAGES.__getitem__,
            as_buttons=True,
        )
        if view.language in DIGITS_CHOICE:
            address.choice(
                "digits",
                _("Digits"),
                list(DIGITS),
                LATIN,
                DIGITS.__getitem__,
                as_buttons=True,
            )
        carried = address.carried()
        for title, pages in groups:
            st.caption(title)
            for page, label in pages:
                st.page_link(page, label=label, query_params=carried)


def header(view: View, page: str, question: str) -> None:
    """The page's head: title and freshness, the question it answers, banners for late or failed builds."""
    with st.container(gap="xsmall", key="page-head"):
        _head(view, page, question)


def _head(view: View, page: str, question: str) -> None:
    _ = view.text.gettext
    with st.container(horizontal=True, vertical_alignment="center", key="head"):
        st.title(words.page_titles(view.text)[page], anchor=False, width="content")
        if view.published is not None:
            _freshness(view, view.published, page)
    st.caption(question)
    keeping.tell(view.text)
    if view.company is not None and view.company.problem:
        st.warning(
            _("The company.toml of this company cannot be read, so its names and sources are unknown.")
        )
        if view.may("manage_people"):
            st.code(view.company.problem, language=None, wrap_lines=True)
    if view.published is not None:
        _banners(view, view.published)
        welcome.show(view, page)
        _reports(view, page)


def _reports(view: View, page: str) -> None:
    """What changed since the reader was last here; then the place of the filters, and below it saved views,
    e-mails and the board pack."""
    from dashboard import restatements, saved_views  # they draw with this frame themselves

    with panel(view):
        restatements.notice(view)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", key="choices"):
        view.slots[FILTERS_PLACE] = st.container(key="filters-place")
        with panel(view):
            saved_views.bar(view, page)
    outline.drawn(view, outline.CHOICES)
    with panel(view):
        saved_views.below(view)


def _freshness(view: View, published: Published, page: str) -> None:
    """The day the figures speak of, in a badge that leads to data health."""
    _ = view.text.gettext
    build = published.build
    looks: dict[Freshness, tuple[Literal["green", "orange", "red"], str, str]] = {
        Freshness.FRESH: ("green", "✓", _("Up to date, all tests passed")),
        Freshness.LATE: ("orange", "!", _("Late: newer data was expected")),
        Freshness.FAILED: ("red", "✗", _("Attention: a build or a test failed")),
    }
    colour, mark, meaning = looks[view.freshness]
    said = _("Data to {as_of}, built {built}").format(
        as_of=view.show.day(build.as_of), built=view.show.instant(build.built_at)
    )
    with st.container(horizontal=True, key="freshness"):
        st.badge(f"{mark} {said}", color=colour, help=meaning)
        if build.is_sample:
            st.badge(_("Sample data"), color="blue", help=_("This company is an example, not your business."))
        if page != "health":
            page_link(view, "health", _("Can I trust it?"))


def _banners(view: View, published: Published) -> None:
    _ = view.text.gettext
    build, failed = published.build, view.failed_attempt
    built = view.show.instant(build.built_at)
    if failed is not None:
        st.error(
            _(
                "The last build failed ({when}). The figures below are those of the last good one, built "
                "{built}."
            ).format(when=view.show.instant(failed.finished_at or failed.started_at), built=built)
        )
        with st.expander(_("What failed")):
            st.code(f"{failed.step}\n{view.told_of(failed)}".strip(), language=None, wrap_lines=True)
    elif view.freshness is Freshness.LATE:
        st.warning(
            _("Newer data was expected. The figures below reach to {as_of} and were built {built}.").format(
                as_of=view.show.day(build.as_of), built=built
            )
        )


def cards(view: View, shown: Sequence[Card]) -> None:
    """Figures side by side, at most four a row; each with a button that opens the rows behind it."""
    _ = view.text.gettext
    for first in range(0, len(shown), CARDS_A_ROW):
        row = shown[first : first + CARDS_A_ROW]
        for column, card in zip(st.columns(CARDS_A_ROW), row, strict=False):
            with column, st.container(border=True, height="stretch"):
                _card(view, card)
        outline.drawn(view, outline.CARDS)


def _card(view: View, card: Card) -> None:
    _ = view.text.gettext
    colour: Literal["green", "red", "gray"] = "gray"
    if card.change_is_good is not None:
        colour = "green" if card.change_is_good else "red"
    arrow: Literal["up", "down", "off"] = "off"
    if card.change_is_up is not None:
        arrow = "up" if card.change_is_up else "down"
    st.metric(
        card.title,
        card.value,
        card.change,
        delta_color=colour,
        delta_arrow=arrow,
        help=card.help,
    )
    notes = [note for note in (card.against if card.change else None, card.note) if note]
    if notes:
        st.caption(" · ".join(notes))
    if card.rows is None:
        return
    if view.published is not None and view.published.build.failed_tests:
        view.slots[f"mark-{card.rows}"] = st.container()
    with st.container(horizontal=True):
        is_open = address.read("rows") == card.rows
        st.button(
            _("Hide the rows") if is_open else _("Show the rows"),
            key=f"rows-{card.rows}",
            on_click=_open_rows,
            args=(None if is_open else card.rows,),
            type="tertiary",
        )
        view.slots[f"menu-{card.rows}"] = menu.button(view, card.rows)


def _open_rows(key: str | None) -> None:
    address.write("rows", key)
    address.write("page", None)


def rows_choice(view: View, label: str, options: Mapping[str, str]) -> None:
    """The keyboard's way to the rows behind a chart: a list of its parts (key of the Drill → name)."""
    _ = view.text.gettext
    codes = ["", *options]
    key = f"rows-choice-{next(iter(options), '')}"
    opened = address.read("rows")
    st.session_state[key] = opened if opened in options else ""

    def changed() -> None:
        _open_rows(st.session_state[key] or None)

    st.selectbox(
        label, codes, key=key, format_func=lambda code: options.get(code) or _("Choose …"), on_change=changed
    )


def drill(view: View, published: Published, drills: Sequence[Drill]) -> None:
    """The rows behind the number that the address asks for: sums checked, definition, SQL, file.

    What the cards above left open is filled here: their menus, and the mark of a number whose tests failed.
    """
    opened = address.read("rows")
    for one in drills:
        menu.fill(view, published, one)
        menu.mark(view, published, one)
        if one.key == opened:
            with st.container(border=True, key="drill"), panel(view):
                _drill(view, published, one)


def _drill(view: View, published: Published, one: Drill) -> None:
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    st.subheader(_("Rows behind: {title}").format(title=one.title), anchor=False)
    total = sums(published, one)
    count = total["row_count"]
    for check in one.checks:
        _check(view, check, total)
    if one.expected_rows is not None:
        verdict(
            view,
            _("Rows: {count}").format(count=show.number(count)),
            count == one.expected_rows,
            show.number(one.expected_rows),
        )
    if not one.checks and one.expected_rows is None:
        st.caption(ngettext("{count} row", "{count} rows", count).format(count=show.number(count)))
    for note in one.notes:
        st.caption(note)
    rows_tab, definition_tab, sql_tab = st.tabs([_("Rows"), _("Definition"), _("SQL")])
    with rows_tab:
        pages = paging.count(count, PAGE_ROWS)
        page = paging.current("page", pages)
        frame = page_of(published, one, page)
        table(view, one.title, one.columns, one.adds(frame))
        paging.choice(view, "page", pages, page)
        if count > EXPORT_ROWS:
            st.caption(
                _("A file holds the first {count} rows; narrow the filters for the rest.").format(
                    count=show.number(EXPORT_ROWS)
                )
            )
        download(view, one.key, one.columns, lambda: to_take_away(published, one), published, title=one.title)
    with definition_tab:
        definition(view, one.metric_id)
    with sql_tab:
        menu.sql(view, published, one.query, one.values)
    st.button(_("Close"), key="close-rows", on_click=_open_rows, args=(None,))


def _check(view: View, check: Check, total: Mapping[str, Any]) -> None:
    found = total[check.column.name]
    row = {check.column.name: 0 if found is None else found}
    expected = {check.column.name: 0 if check.expected is None else check.expected}
    label = view.text.gettext("{column}, sum of all rows: {sum}").format(
        column=check.column.label, sum=check.column.shown(row, view.show)
    )
    verdict(view, label, matches(found, check.expected), check.column.shown(expected, view.show))


def verdict(view: View, label: str, is_match: bool, expected: str) -> None:
    """A statement that was checked, with the answer; `expected` says what a wrong sum should have been."""
    _ = view.text.gettext
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(label)
        if is_match:
            st.badge("✓ " + _("Sum matches"), color="green")
        else:
            st.badge(
                "✗ " + _("Sum differs: the page shows {expected}").format(expected=expected), color="red"
            )


def table(view: View, caption: str, columns: Sequence[Column], frame: pl.DataFrame) -> None:
    """A table of formatted, escaped cells; says so when it has no rows."""
    if frame.is_empty():
        st.caption(view.text.gettext("No rows."))
        return
    outline.drawn(view, outline.TABLE)
    st.html(tables.html(caption, columns, frame.iter_rows(named=True), view.show, view.text.direction))


def chart(
    view: View,
    published: Published,
    name: str,
    title: str,
    draw: Callable[[], Any],
    description: str,
    columns: Sequence[Column],
    frame: pl.DataFrame,
    help: str | None = None,
    *,
    query: Query | None = None,
    values: Mapping[str, object] | None = None,
    metric: str | None = None,
    opens: Sequence[str | None] = (),
) -> None:
    """A chart under its title, described in words, with the same values as a table and as a file.

    `query` with its `values` is what it was drawn from, `metric` the id of what it shows: its menu has both.
    `opens` are the rows behind its bars, in their order on the axis: a click on a bar opens them.
    """
    _ = view.text.gettext
    title = titled(view, title, columns)
    metric = metric or (query.metric if query else None)
    if help is None and metric is not None:
        help = view.definition(metric)
    st.subheader(title, anchor=False, help=help)
    outline.drawn(view, outline.CHART)
    if frame.is_empty():
        st.caption(_("There is nothing to draw for this choice."))
        clear_filters(view, NARROWING, f"clear-{name}")
        return
    # The switch lies in what a narrow window scrolls, so that the keyboard gets there.
    with st.container(key=f"scroll-{name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            as_table = st.toggle(_("Show as table"), key=f"table-{name}")
            more = menu.button(view, f"chart-{name}")
        if more.open:
            with more, panel(view):
                menu.content(view, published, metric, query, values or {})
                download(view, name, columns, lambda: frame, published, title=title, place="menu-")
        if as_table:
            table(view, title, columns, frame)
            download(view, name, columns, lambda: frame, published, title=title)
        else:
            figure = draw()
            if view.show.system != LATIN:
                figure = drawn.in_digits(figure, view.show.written)
            _drawn(figure, name, description, opens)


def titled(view: View, title: str, columns: Sequence[Column]) -> str:
    """A chart's title with the unit of its values: the currency, or that they are shares; where the title
    does not say so itself."""
    currencies = sorted({column.currency for column in columns if column.kind == "money" and column.currency})
    is_share = any(column.kind == "percent" for column in columns)
    if any(sign in title for sign in ("%", "٪", *currencies)):
        return title
    unit = view.show.written("%") if is_share else " · ".join(currencies)
    return view.text.gettext("{title}, {unit}").format(title=title, unit=unit) if unit else title


def _drawn(figure: Any, name: str, description: str, opens: Sequence[str | None]) -> None:
    key = f"chart-{name}"
    if not opens:
        st.plotly_chart(figure, theme=None, config=charts.CONFIG, key=key, alt=description)
        return

    def clicked() -> None:
        for point in st.session_state[key].selection.points[:1]:
            rows = opens[point["point_index"]]
            if rows is not None:
                _open_rows(rows)

    st.plotly_chart(
        figure,
        theme=None,
        config=charts.CONFIG,
        key=key,
        alt=description,
        on_select=clicked,
        selection_mode="points",
    )
