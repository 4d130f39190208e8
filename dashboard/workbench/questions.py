"""A question between the pages: its name in the address, its parameters, and asking it for a reader."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

import streamlit as st

from dashboard.people.scope import Scope, scope_of, statements
from dashboard.queries import Query, named
from dashboard.records import audit, saved_queries
from dashboard.records.database import RecordsError
from dashboard.view import Published, View, clock
from dashboard.workbench.pool import Answer, Place, Pool, Question, Value
from dashboard.workbench.rules import LONGEST_STATEMENT, SCHEMAS
from dashboard.workbench.words import KINDS

TABLE = re.compile(r"\bwarehouse\.(\w+)\.")
# Strings, quoted names and comments, in which a $ is no parameter. One that is not closed reaches to the end:
# looking for its end from each beginning anew would hold up the whole server.
QUOTED = re.compile(r"'[^']*(?:'|\Z)|\"[^\"]*(?:\"|\Z)|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
PARAMETER = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
LONGEST_VALUES = 4_000
KEPT_PLACES = 32


def parameters_of(text: str) -> list[str]:
    """Names of the parameters a text has, in its order."""
    return list(dict.fromkeys(PARAMETER.findall(QUOTED.sub(" ", readable(text)))))


def readable(text: str) -> str:
    """As much of a text as shows that it is longer than a statement may be: no more of it is kept or read."""
    return text[: LONGEST_STATEMENT + 1]


def can_be_asked(query: Query) -> bool:
    """Whether a statement of the dashboard reads only what the workbench offers."""
    return named().get(query.name) == query and set(TABLE.findall(query.sql)) <= set(SCHEMAS)


def link(query: Query, values: Mapping[str, object]) -> dict[str, str]:
    """The parameters of the address that open a statement in the workbench: its name and its values."""
    given = {name: value_of(value) for name, value in query.parameters(values).items()}
    written = json.dumps({name: [one.kind, one.text] for name, one in given.items()}, ensure_ascii=False)
    return {"query": query.name, "values": written}


def value_of(value: object) -> Value:
    """A value as it is written in a field."""
    if value is None:
        return Value("nothing", "")
    if isinstance(value, bool):
        return Value("yes_no", "yes" if value else "no")
    if isinstance(value, int):
        return Value("whole", str(value))
    if isinstance(value, datetime):
        return Value("instant", value.isoformat())
    if isinstance(value, date):
        return Value("day", value.isoformat())
    if isinstance(value, list):  # DuckDB reads a list from its text, cast to what the statement says
        return Value("text", f"[{', '.join(map(_part, value))}]")
    return Value("text" if isinstance(value, str) else "number", str(value))


def _part(value: object) -> str:
    return "NULL" if value is None else json.dumps(str(value), ensure_ascii=False)


def values_from(written: str | None) -> dict[str, Value]:
    """The values an address holds; none where they are not understood."""
    if not written or len(written) > LONGEST_VALUES:
        return {}
    try:
        return {
            str(name): Value(str(kind), str(text))
            for name, (kind, text) in json.loads(written).items()
            if kind in KINDS
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


@st.cache_resource(show_spinner=False, on_release=lambda pool: pool.close())
def workers() -> Pool:
    """The workers of this server."""
    return Pool()


@lru_cache(maxsize=KEPT_PLACES)
def place_of(path: Path, scope: Scope) -> Place:
    """The tables of a snapshot that can be asked, as they are seen in a scope."""
    return Place(str(path), tuple(statements(path, scope, SCHEMAS)), is_whole=scope.is_everything)


def ask(view: View, published: Published, text: str, values: Mapping[str, Value]) -> Question:
    """Ask for the reader of the view, in what they may see. Raises Busy.

    What was asked, when, how it ended and how long it took goes into the records before the answer is shown.
    """
    records, reader_id, text = view.records, view.reader.reader_id, readable(text)
    used = {name: values[name] for name in parameters_of(text) if name in values}
    written = {name: (value.kind, value.text) for name, value in used.items()}

    def note(_question: Question, answer: Answer) -> None:
        if records is None:
            raise RecordsError("There are no records to note this in.")
        at = clock()
        detail = json.dumps(
            {
                "rows": answer.rows.height,
                "seconds": answer.seconds,
                "state": answer.state,
                "code": answer.code,
                "values": written,
                "text": text,
            },
            ensure_ascii=False,
        )
        audit.note(records, reader_id, at, "query", "workbench", detail)
        saved_queries.note_run(
            records,
            reader_id,
            at,
            text,
            written,
            state=answer.state,
            code=answer.code,
            row_count=answer.rows.height,
            seconds=answer.seconds,
        )

    place = place_of(published.snapshot.path, scope_of(view.reader))
    return workers().start(reader_id, place, text, used, note)
