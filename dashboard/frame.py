"""The frame every page shares: head, freshness, cards, charts with their table, rows behind a number, states.

Pages decide what stands where; how it looks and behaves is decided here. What comes from data is shown only
as plain text, through the table template or as a widget's value, never inside Markdown, a style or a script.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import polars as pl
import streamlit as st

from dashboard import address, charts, tables
from dashboard.i18n import LANGUAGES, SOURCE_LANGUAGE
from dashboard.queries import Query
from dashboard.tables import Column
from dashboard.view import Freshness, Published, View

PAGE_ROWS = 100
EXPORT_ROWS = 200_000
CARDS_A_ROW = 4
logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Check:
    """A column whose sum over all rows has to be a number that stands on the page."""

    column: Column
    expected: Decimal | int | None


@dataclass(frozen=True)
class Drill:
    """The rows behind a number: `query` gives all of them; each check adds up to what the page shows.

    `adds` puts columns beside those of the query that only words can fill.
    """

    key: str
    title: str
    query: Query
    values: Mapping[str, object]
    columns: Sequence[Column]
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()
    expected_rows: int | None = None
    metric: str | None = None
    adds: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows


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
                resets=address.all_but("company", "lang"),
            )
        address.choice(
            "lang",
            _("Language"),
            list(LANGUAGES),
            SOURCE_LANGUAGE,
            LANGUAGES.__getitem__,
            as_buttons=True,
        )
        for title, pages in groups:
            st.caption(title)
            for page, label in pages:
                st.page_link(page, label=label, query_params=address.carried())


def header(view: View, page: str, title: str, question: str) -> None:
    """The page's head: title, the question it answers, freshness, and a banner when the last build failed."""
    _ = view.text.gettext
    st.title(title, anchor=False)
    st.caption(question)
    if view.company is not None and view.company.problem:
        st.warning(
            _("The company.toml of this company cannot be read, so its names and sources are unknown.")
        )
        st.code(view.company.problem, language=None, wrap_lines=True)
    if view.published is None:
        return
    build = view.published.build
    as_of, built = view.show.day(build.as_of), view.show.instant(build.built_at)
    colours: dict[Freshness, Literal["green", "orange", "red"]] = {
        Freshness.FRESH: "green",
        Freshness.LATE: "orange",
        Freshness.FAILED: "red",
    }
    words = {
        Freshness.FRESH: _("Up to date, all tests passed"),
        Freshness.LATE: _("Late: newer data was expected"),
        Freshness.FAILED: _("Attention: a build or a test failed"),
    }
    with st.container(horizontal=True, key="freshness"):
        st.badge(
            _("Data to {as_of}, built {built}").format(as_of=as_of, built=built),
            color=colours[view.freshness],
            help=words[view.freshness],
        )
        if build.is_sample:
            st.badge(_("Sample data"), color="blue", help=_("This company is an example, not your business."))
        if page != "health" and view.may_open("health"):
            st.page_link("screens/health.py", label=_("Can I trust it?"), query_params=address.carried())
    failed = view.failed_attempt
    if failed is not None:
        st.error(
            _(
                "The last build failed ({when}). The figures below are those of the last good one, built "
                "{built}."
            ).format(when=view.show.instant(failed.finished_at or failed.started_at), built=built)
        )
        with st.expander(_("What failed")):
            st.code(f"{failed.step}\n{failed.message}".strip(), language=None, wrap_lines=True)


def nothing_published(view: View) -> None:
    """What stands where figures would, when a company has none yet."""
    _ = view.text.gettext
    if view.company is None:
        st.info(_("There is no company yet. Build the sample companies, then reload this page:"))
        st.code("tajdid demo", language=None)
        return
    failed = view.failed_attempt
    if view.problem is not None:
        st.error(_("The published figures of this company cannot be read. Build its warehouse again:"))
        st.code(view.problem, language=None, wrap_lines=True)
    elif failed is not None:
        st.error(_("The first build of this company failed, so there are no figures yet."))
        st.code(f"{failed.step}\n{failed.message}".strip(), language=None, wrap_lines=True)
    else:
        st.info(_("Nothing has been built for this company yet. Build its warehouse, then reload this page:"))
    st.code(f"tajdid warehouse build --company {view.company.name}", language=None)


@contextmanager
def panel(view: View) -> Iterator[None]:
    """A part of a page that may fail alone: the rest stays, and the log has the reference shown."""
    _ = view.text.gettext
    try:
        yield
    except Exception:
        reference = secrets.token_hex(4)
        logger.exception("panel failed, reference %s", reference)
        st.error(
            _(
                "This part could not be shown. The rest of the page is not affected. Reference: {reference}"
            ).format(reference=reference)
        )
        st.button(_("Try again"), key=f"retry-{reference}")


def cards(view: View, shown: Sequence[Card]) -> None:
    """Figures side by side, at most four a row; each with a button that opens the rows behind it."""
    _ = view.text.gettext
    for first in range(0, len(shown), CARDS_A_ROW):
        row = shown[first : first + CARDS_A_ROW]
        for column, card in zip(st.columns(CARDS_A_ROW), row, strict=False):
            with column, st.container(border=True, height="stretch"):
                _card(view, card)


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
    if card.rows is not None:
        is_open = address.read("rows") == card.rows
        st.button(
            _("Hide the rows") if is_open else _("Show the rows"),
            key=f"rows-{card.rows}",
            on_click=_open_rows,
            args=(None if is_open else card.rows,),
            type="tertiary",
        )


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
    """The rows behind the number that the address asks for: sums checked, definition, SQL, file."""
    opened = address.read("rows")
    for one in drills:
        if one.key == opened:
            with st.container(border=True, key="drill"), panel(view):
                _drill(view, published, one)


def sums(published: Published, one: Drill) -> dict[str, Any]:
    """Over all rows behind a number: their count as `row_count`, and the sum of each checked column."""
    parts = "".join(f", sum({check.column.name}) AS {check.column.name}" for check in one.checks)
    query = Query(
        f"{one.query.name}_sums",
        f"SELECT count(*)::BIGINT AS row_count{parts}\nFROM (\n{one.query.sql.strip()}\n)",
    )
    return published.rows(query, **one.values).row(0, named=True)


def matches(total: object, expected: object) -> bool:
    """Whether a sum is exactly the number shown; no rows count as zero.

    The last digits of a sum of probabilities depend on the order of adding: nine places are compared.
    """
    if isinstance(total, float) or isinstance(expected, float):
        return round(float(str(total or 0)), 9) == round(float(str(expected or 0)), 9)
    return Decimal(str(total or 0)) == Decimal(str(expected or 0))


def page_of(published: Published, one: Drill, page: int, size: int = PAGE_ROWS) -> pl.DataFrame:
    """One page of the rows behind a number, in their order."""
    query = Query(one.query.name, one.query.sql.rstrip() + "\nLIMIT $limit OFFSET $offset", one.query.metric)
    return published.rows(query, **one.values, limit=size, offset=(page - 1) * size)


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
        pages = max(1, -(-count // PAGE_ROWS))
        page = min(max(1, _whole(address.read("page"))), pages)
        frame = page_of(published, one, page)
        table(view, one.title, one.columns, one.adds(frame))
        if pages > 1:
            _pagination(view, pages, page)
        download(
            view, one.key, one.columns, lambda: one.adds(page_of(published, one, 1, EXPORT_ROWS)), published
        )
    with definition_tab:
        definition(view, one.metric or one.query.metric)
    with sql_tab:
        st.code(one.query.readable(published.build.build_id, one.values), language="sql", wrap_lines=True)
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


def _pagination(view: View, pages: int, page: int) -> None:
    st.session_state["rows-page"] = page

    def changed() -> None:
        address.write("page", str(st.session_state["rows-page"]))

    st.pagination(pages, key="rows-page", on_change=changed)


def _whole(value: str | None) -> int:
    return int(value) if value is not None and re.fullmatch(r"\d{1,6}", value) else 1


def definition(view: View, metric_id: str | None) -> None:
    """What a number means, in the registry's words."""
    _ = view.text.gettext
    if metric_id is None:
        st.caption(_("These rows belong to no metric of the registry."))
        return
    metric = view.metric(metric_id)
    st.markdown(f"**{metric.label}** (`{metric.metric_id}`)")
    st.text(metric.definition)
    st.caption(_("Formula"))
    st.code(metric.formula, language=None, wrap_lines=True)


def table(view: View, caption: str, columns: Sequence[Column], frame: pl.DataFrame) -> None:
    """A table of formatted, escaped cells; says so when it has no rows."""
    if frame.is_empty():
        st.caption(view.text.gettext("No rows."))
        return
    st.html(tables.html(caption, columns, frame.iter_rows(named=True), view.show, view.text.direction))


def download(
    view: View, name: str, columns: Sequence[Column], rows: Callable[[], pl.DataFrame], published: Published
) -> None:
    """A button that gives the rows as a CSV file; they are read when it is pressed."""
    _ = view.text.gettext
    company = view.company.name if view.company else "company"
    st.download_button(
        _("Export CSV"),
        data=lambda: tables.csv_file(columns, rows().iter_rows(named=True), view.show),
        file_name=f"{company}-{name}-{published.build.as_of.isoformat()}.csv",
        mime="text/csv",
        key=f"csv-{name}",
        on_click="ignore",
    )


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
) -> None:
    """A chart under its title, described in words, with the same values as a table and as a file."""
    _ = view.text.gettext
    st.subheader(title, anchor=False, help=help)
    if frame.is_empty():
        st.caption(_("There is nothing to draw for this choice."))
        return
    # The switch lies in what a narrow window scrolls, so that the keyboard gets there.
    with st.container(key=f"scroll-{name}"):
        as_table = st.toggle(_("Show as table"), key=f"table-{name}")
        if as_table:
            table(view, title, columns, frame)
            download(view, name, columns, lambda: frame, published)
        else:
            st.plotly_chart(draw(), theme=None, config=charts.CONFIG, key=f"chart-{name}", alt=description)


def empty(view: View, why: str, resets: Sequence[str] = ()) -> None:
    """Why there is nothing to see, and the one thing to do about it."""
    st.info(why)
    if resets:
        st.button(
            view.text.gettext("Clear the filters"),
            key="clear-filters",
            on_click=address.clear,
            args=(resets,),
        )


def needs_source(view: View) -> None:
    """What a page of revenue says to a company that has no source of any."""
    _ = view.text.gettext
    empty(
        view, _("This company has neither subscriptions nor orders yet. Name a source in its company.toml.")
    )
