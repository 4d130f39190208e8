"""Page 8, SQL workbench: can I answer a new question safely? Tables, editor, answer, what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import streamlit as st

from dashboard import address, charts, frame, keeping, words
from dashboard.export import download
from dashboard.queries import named, workbench
from dashboard.records import saved_queries
from dashboard.records.database import Records
from dashboard.records.saved_queries import LONGEST_NAME, SavedQuery
from dashboard.tables import Column
from dashboard.view import Published, View, clock, open_view
from dashboard.workbench import box, questions
from dashboard.workbench import words as workbench_words
from dashboard.workbench.pool import Answer, Busy, Question, Value

AT_ONCE_SECONDS = 1.5
LOOK_EVERY = 1.0
PAGE_ROWS = 100
MOST_FIELDS = 40
LONGEST_VALUE = 1_000
CELL_CHARACTERS = 500
DRAWN_ROWS = 500
DRAWN_COLUMNS = 4
STATE = "workbench"


@dataclass
class Desk:
    """What lies on a reader's desk in one company: the text, its values, and the question asked last."""

    text: str = ""
    version: int = 0
    values: dict[str, Value] = field(default_factory=dict)
    loaded: tuple[str | None, ...] | None = None
    asked: Question | None = None
    problem: Answer | None = None
    page: int = 1
    undo: int | None = None

    def put(self, text: str, values: Mapping[str, Value]) -> None:
        """Put another text into the editor, with its values."""
        self.text, self.values, self.version = text, dict(values), self.version + 1


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "workbench", _("Can I answer a new question safely?"))
    if not view.may("sql"):
        st.info(_("Your role does not include questions of your own in SQL."))
        return
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    questions.workers().warm()
    desk = desk_of(view)
    tables = catalogue(published)
    load(view, desk, tables)
    main, side = st.columns([1.6, 1], gap="medium")
    with main:
        with frame.panel(view):
            writing(view, published, desk, tables)
        with frame.panel(view):
            answer_of(view, published, desk)
    with side:
        with frame.panel(view):
            browser(view, published, desk, tables)
        if view.records is not None:
            with frame.panel(view):
                kept(view, view.records, desk)
            with frame.panel(view):
                history(view, view.records, desk)


def desk_of(view: View) -> Desk:
    desks: dict[str, Desk] = st.session_state.setdefault(STATE, {})
    return desks.setdefault(view.company.name if view.company else "", Desk())


def catalogue(published: Published) -> list[dict[str, Any]]:
    """The tables that can be asked, with their columns and what they are."""
    try:
        rows = published.rows(workbench.TABLES)
    except duckdb.CatalogException:  # built before models were described beside the figures
        rows = published.rows(workbench.TABLES_ALONE)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        table = found.setdefault(
            (row["schema_name"], row["table_name"]),
            {
                "schema": row["schema_name"],
                "name": row["table_name"],
                "info": described(row["table_description"]),
                "columns": [],
            },
        )
        column = {
            "name": row["column_name"],
            "type": row["data_type"],
            "info": described(row["column_description"]),
        }
        table["columns"].append(column)
    return list(found.values())


def described(description: str | None) -> str:
    """What a model says of itself, without the marks of its code."""
    return (description or "").replace("`", "")


def load(view: View, desk: Desk, tables: Sequence[Mapping[str, Any]]) -> None:
    """Put what the address asks for into the editor, once: a statement of the dashboard, or a saved one."""
    wanted = tuple(address.read(name) for name in ("query", "values", "saved", "table"))
    if desk.loaded == wanted:
        return
    desk.loaded = wanted
    query = named().get(wanted[0] or "")
    saved = saved_of(view, wanted[2])
    if saved is not None:
        desk.put(saved.text, {name: Value(*value) for name, value in saved.parameters.items()})
    elif query is not None and questions.can_be_asked(query):
        desk.put(query.sql.strip(), questions.values_from(wanted[1]))
    elif wanted[3] and (table := next((one for one in tables if one["name"] == wanted[3]), None)):
        desk.put(select_of(table), {})
    elif not desk.text and tables:
        first = next((one["name"] for one in tables if one["name"] == "fct_metric_values"), tables[0]["name"])
        desk.put(workbench.first_rows("marts", first, ["*"]), {})


def saved_of(view: View, query_id: str | None) -> SavedQuery | None:
    if view.records is None or query_id is None or not query_id.isdigit():
        return None
    seen = saved_queries.seen_by(view.records, view.reader.reader_id)
    return next((one for one in seen if str(one.query_id) == query_id), None)


def writing(view: View, published: Published, desk: Desk, tables: Sequence[Mapping[str, Any]]) -> None:
    """The editor, the values of its parameters, and the button that asks."""
    _ = view.text.gettext
    st.subheader(_("Question"), anchor=False)

    @st.fragment
    def part() -> None:
        typed = box.editor(
            desk.text,
            desk.version,
            tables,
            label=_("Question in SQL"),
            hint=_("Write a query. Ctrl and Enter together ask it."),
            key="workbench-editor",
        )
        desk.text = questions.readable(typed.text)
        fields(view, desk)
        with st.container(horizontal=True, vertical_alignment="center"):
            is_pressed = st.button(_("Run"), key="workbench-run", type="primary")
            st.caption(
                _("One statement on marts and churn, 30 seconds, 10,000 rows. Questions are recorded.")
            )
        if is_pressed or typed.is_run:
            ask(view, published, desk)
            st.rerun()

    part()


def fields(view: View, desk: Desk) -> None:
    """A field for each parameter of the text."""
    _ = view.text.gettext
    kind_words = workbench_words.kind(view.text)
    for name in questions.parameters_of(desk.text)[:MOST_FIELDS]:
        old = desk.values.get(name, Value("text", ""))
        kind_place, text_place = st.columns([1, 2])
        with kind_place:
            kind = st.selectbox(
                _("Kind of ${name}").format(name=name),
                workbench_words.KINDS,
                index=workbench_words.KINDS.index(old.kind),
                format_func=kind_words,
                key=f"workbench-kind-{name}-{desk.version}",
            )
        with text_place:
            hints = {"day": "2025-12-31", "yes_no": "yes / no", "instant": "2025-12-31T12:00:00+00:00"}
            text = st.text_input(
                _("Value of ${name}").format(name=name),
                value=old.text,
                max_chars=LONGEST_VALUE,
                placeholder=hints.get(kind),
                disabled=kind == "nothing",
                key=f"workbench-value-{name}-{desk.version}",
            )
        desk.values[name] = Value(kind, text[:LONGEST_VALUE])  # the browser's limit is no limit


def ask(view: View, published: Published, desk: Desk) -> None:
    desk.page, desk.problem, desk.asked = 1, None, None
    try:
        desk.asked = questions.ask(view, published, desk.text, desk.values)
    except Busy:
        desk.problem = Answer("refused", "busy")
        return
    desk.asked.wait(AT_ONCE_SECONDS)


def answer_of(view: View, published: Published, desk: Desk) -> None:
    """The answer, or that it is being looked for, with a way to stop."""
    _ = view.text.gettext
    question = desk.asked
    if desk.problem is not None:
        problem(view, desk.problem)
    if question is None:
        return
    if question.answer is None:
        waiting(view, question)
        return
    if question.answer.state != "answered":
        problem(view, question.answer)
        return
    result(view, published, desk, question.answer)


def waiting(view: View, question: Question) -> None:
    """Look again every second until the question has ended, without drawing the page anew."""
    _ = view.text.gettext

    @st.fragment(run_every=LOOK_EVERY)
    def part() -> None:
        if question.answer is not None:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center", key="workbench-waiting"):
            st.text(_("Looking for the answer …"))
            st.button(
                _("Cancel"), key="workbench-cancel", on_click=questions.workers().stop, args=(question,)
            )

    part()


def problem(view: View, answer: Answer) -> None:
    st.error(workbench_words.told(view.text, answer))
    if answer.code in workbench_words.WITH_DETAIL and answer.detail:
        st.code(answer.detail, language=None, wrap_lines=True)


def result(view: View, published: Published, desk: Desk, answer: Answer) -> None:
    """The rows as a table in pages, as a chart, and as a file."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    rows = answer.rows
    count = ngettext("{count} row", "{count} rows", rows.height).format(count=show.number(rows.height))
    taken = _("{seconds} seconds").format(seconds=show.number(answer.seconds, 2))
    st.subheader(_("Answer"), anchor=False)
    st.caption(f"{count} · {taken}")
    if answer.is_cut:
        st.warning(_("There is more than is shown: only the first rows were fetched."))
    table_tab, chart_tab = st.tabs([_("Rows"), _("Chart")])
    with table_tab:
        pages = max(1, -(-rows.height // PAGE_ROWS))
        desk.page = min(desk.page, pages)
        part = rows.slice((desk.page - 1) * PAGE_ROWS, PAGE_ROWS)
        frame.table(view, _("Answer"), shown_columns(rows), part)
        if pages > 1:
            st.session_state["workbench-page"] = desk.page
            st.pagination(pages, key="workbench-page", on_change=turn, args=(desk,))
        if rows.height:
            download(view, "answer", file_columns(rows), lambda: rows, published, title=_("Answer"))
    with chart_tab:
        drawing(view, rows)


def turn(desk: Desk) -> None:
    desk.page = int(st.session_state["workbench-page"])


def shown_columns(rows: pl.DataFrame) -> list[Column]:
    """Values as they are, numbers at the right: what they mean only the reader knows."""
    return [
        Column(name, shortened(name), "count" if kind.is_numeric() else "text", words=shortened)
        for name, kind in rows.schema.items()
    ]


def file_columns(rows: pl.DataFrame) -> list[Column]:
    return [
        Column(name, name, "ratio" if kind.is_numeric() else "text") for name, kind in rows.schema.items()
    ]


def shortened(value: object) -> str:
    """A value as a page shows it: its beginning, where it has no end. Files have all of it."""
    words = plain(value)
    return words if len(words) <= CELL_CHARACTERS else words[:CELL_CHARACTERS] + "…"


def plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def drawing(view: View, rows: pl.DataFrame) -> None:
    """A chart of chosen columns."""
    _ = view.text.gettext
    numbers = [name for name, kind in rows.schema.items() if kind.is_numeric()]
    if rows.height < 2 or not numbers:
        st.caption(_("A chart needs at least two rows and a column of numbers."))
        return
    others = [name for name in rows.columns if name not in numbers] or rows.columns
    kinds = {"bar": _("Columns"), "line": _("Lines")}
    first, second, third = st.columns(3)
    with first:
        kind = st.selectbox(_("Kind of chart"), list(kinds), format_func=kinds.__getitem__, key="chart-kind")
    with second:
        along = st.selectbox(_("Along"), rows.columns, index=rows.columns.index(others[0]), key="chart-along")
    with third:
        drawn = st.multiselect(
            _("Drawn"), numbers, default=numbers[:1], max_selections=DRAWN_COLUMNS, key="chart-drawn"
        )
    if not drawn:
        st.caption(_("Choose what is to be drawn."))
        return
    head = rows.head(DRAWN_ROWS)
    if rows.height > DRAWN_ROWS:
        st.caption(_("The first {count} rows are drawn.").format(count=view.show.number(DRAWN_ROWS)))
    places = [shortened(value) for value in head[along]]
    sizes = {name: [None if value is None else float(value) for value in head[name]] for name in drawn}
    described = _("{drawn} along {along}, {count} rows.").format(
        drawn=", ".join(drawn), along=along, count=view.show.number(head.height)
    )
    st.plotly_chart(
        figure_of(view, kind, places, sizes),
        theme=None,
        config=charts.CONFIG,
        key="workbench-chart",
        alt=described,
    )


def figure_of(view: View, kind: str, places: Sequence[str], sizes: Mapping[str, list[float | None]]) -> Any:
    is_right_to_left, size = view.text.is_right_to_left, view.show.size_short
    shown = {name: [plain(value) for value in values] for name, values in sizes.items()}
    if kind == "line":
        series = [charts.Series(name, values, shown[name]) for name, values in sizes.items()]
        return charts.lines(places, series, is_right_to_left, size=size)
    colours = iter(charts.TEMPLATE.layout.colorway)
    series = [
        charts.Series(name, values, shown[name], colour=next(colours)) for name, values in sizes.items()
    ]
    return charts.stacked_columns(places, series, is_right_to_left, size=size)


def browser(view: View, published: Published, desk: Desk, tables: Sequence[Mapping[str, Any]]) -> None:
    """One table with what it is, its columns and its tests."""
    _ = view.text.gettext
    st.subheader(_("Tables"), anchor=False)
    names = {f"{table['schema']}.{table['name']}": table for table in tables}
    chosen = st.selectbox(_("Table"), list(names), key="workbench-table")
    if chosen is None:
        st.caption(_("There are no tables to ask."))
        return
    table = names[chosen]
    if table["info"]:
        st.text(view.show.name(table["info"]))
    st.button(
        _("Write a query of it"),
        key="workbench-select",
        on_click=desk.put,
        args=(select_of(table), {}),
        type="tertiary",
    )
    columns = pl.DataFrame(
        [(one["name"], " · ".join(filter(None, (one["type"], one["info"])))) for one in table["columns"]],
        schema={"name": pl.String, "info": pl.String},
        orient="row",
    )
    with st.expander(_("Columns"), expanded=True, key="workbench-columns"), st.container(height=360):
        parts = [
            Column("name", _("Column"), "id", href=lambda _row: None),
            Column("info", _("Type and meaning")),
        ]
        frame.table(view, _("Columns of {table}").format(table=chosen), parts, columns)
    if not table["info"] and table["schema"] == "marts":
        return
    tests = published.rows(workbench.TESTS_OF_TABLE, table=table["name"])
    with st.expander(_("Tests"), key="workbench-tests"):
        parts = [
            Column("test_name", _("Test"), "id"),
            Column("status", _("Result"), words=words.test_status(view.text)),
            Column("asks", _("What it asks")),
        ]
        frame.table(view, _("Tests of {table}").format(table=chosen), parts, tests)


def select_of(table: Mapping[str, Any]) -> str:
    return workbench.first_rows(table["schema"], table["name"], [one["name"] for one in table["columns"]])


def kept(view: View, records: Records, desk: Desk) -> None:
    """The reader's own saved questions and those of others that are shared, and a form to save one."""
    _ = view.text.gettext
    reader_id = view.reader.reader_id
    with st.expander(_("Saved questions"), expanded=True, key="workbench-saved"):
        seen = {str(one.query_id): one for one in saved_queries.seen_by(records, reader_id)}
        if seen:
            chosen = st.selectbox(
                _("Saved question"),
                list(seen),
                format_func=lambda key: name_of(view, seen[key]),
                key="workbench-saved-choice",
            )
            with st.container(horizontal=True):
                st.button(_("Open"), key="workbench-open", on_click=open_saved, args=(desk, seen[chosen]))
                if seen[chosen].owner == reader_id:
                    st.button(
                        _("Delete"),
                        key="workbench-delete",
                        on_click=delete_saved,
                        args=(records, reader_id, desk, seen[chosen]),
                    )
        else:
            st.caption(_("No question has been saved yet."))
        if desk.undo is not None:
            st.button(
                _("Undo the deletion"), key="workbench-undo", on_click=undo, args=(records, reader_id, desk)
            )
        name = st.text_input(_("Name of this question"), max_chars=LONGEST_NAME, key="workbench-name")
        is_shared = view.may("share_views") and st.toggle(_("Share with everybody"), key="workbench-share")
        if st.button(_("Save"), key="workbench-save"):
            if not name.strip() or not desk.text.strip():
                st.warning(_("Give the question a name and a text."))
                return
            values = {key: (value.kind, value.text) for key, value in desk.values.items()}
            used = {key: values[key] for key in questions.parameters_of(desk.text) if key in values}
            saved_queries.save(records, reader_id, clock(), name, desk.text, used, is_shared=bool(is_shared))
            st.rerun()


def name_of(view: View, saved: SavedQuery) -> str:
    if saved.owner == view.reader.reader_id:
        return saved.name
    return view.text.gettext("{name} (by {owner})").format(name=saved.name, owner=saved.owner)


def open_saved(desk: Desk, saved: SavedQuery) -> None:
    """The address then names the question, so that it can be sent to somebody it is shared with."""
    desk.loaded = None
    address.clear(("query", "values", "table"))
    address.write("saved", str(saved.query_id))


def delete_saved(records: Records, reader_id: str, desk: Desk, saved: SavedQuery) -> None:
    with keeping.written():
        if saved_queries.remove(records, reader_id, clock(), saved.query_id):
            desk.undo = saved.query_id


def undo(records: Records, reader_id: str, desk: Desk) -> None:
    if desk.undo is not None:
        with keeping.written():
            saved_queries.restore(records, reader_id, clock(), desk.undo)
            desk.undo = None


def history(view: View, records: Records, desk: Desk) -> None:
    """The reader's last questions; one of them can be put back into the editor."""
    _, show = view.text.gettext, view.show
    with st.expander(_("My last questions"), key="workbench-history"):
        runs = {run.run_id: run for run in saved_queries.runs_of(records, view.reader.reader_id)}
        if not runs:
            st.caption(_("Nothing has been asked yet."))
            return
        chosen = st.selectbox(
            _("Question asked before"),
            list(runs),
            format_func=lambda key: (
                f"{show.instant(runs[key].recorded_at)} · {' '.join(runs[key].text.split())[:80]}"
            ),
            key="workbench-run-choice",
        )
        run = runs[chosen]
        ended = workbench_words.state(view.text)(run.state)
        st.caption(
            _("{state}, {rows} rows, {seconds} seconds").format(
                state=ended, rows=show.number(run.row_count), seconds=show.number(run.seconds, 2)
            )
        )
        values = {name: Value(*value) for name, value in run.parameters.items()}
        st.button(
            _("Put it into the editor"), key="workbench-again", on_click=desk.put, args=(run.text, values)
        )


render(open_view())
