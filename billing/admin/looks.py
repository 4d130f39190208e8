"""What a screen shows, before it is HTML: facts, tables, forms and links, their texts ready in a language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["good", "bad", "warn", "info", ""]


@dataclass(frozen=True)
class Cell:
    """A value. `is_data`: text that came from outside, shown in its own direction; `is_code`: an id or a
    code; `tone`: shown as a badge."""

    text: str
    href: str | None = None
    is_number: bool = False
    is_data: bool = False
    is_code: bool = False
    tone: Tone | None = None


@dataclass(frozen=True)
class Table:
    """columns: their headings. numbers: places of those that hold numbers. empty: said of no rows."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    empty: str
    numbers: frozenset[int] = frozenset()
    more: str | None = None
    """Where the rows behind the last one are."""


@dataclass(frozen=True)
class Ask:
    """A field of a form. `options`: value and text of each choice. `is_code`: an id, a code or a scope,
    written from left to right in any language."""

    name: str
    label: str
    value: str = ""
    kind: Literal["text", "search", "number", "date", "choice", "hidden"] = "text"
    options: Sequence[tuple[str, str]] = ()
    is_required: bool = False
    hint: str | None = None
    is_code: bool = False


@dataclass(frozen=True)
class Form:
    """A form that changes something (`post`) or only asks (`get`). `name`: what its token is for."""

    action: str
    button: str
    asks: Sequence[Ask] = ()
    method: Literal["get", "post"] = "post"
    name: str = ""
    tone: Literal["primary", "danger", ""] = "primary"
    swaps: str | None = None
    """The id of the part of the page that the answer replaces where scripts run."""


@dataclass(frozen=True)
class Link:
    href: str
    text: str
    tone: Literal["primary", "danger", ""] = ""
    is_outside: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a screen; `name` is its id on the page."""

    title: str
    facts: Sequence[tuple[str, Cell]] = ()
    table: Table | None = None
    forms: Sequence[Form] = ()
    links: Sequence[Link] = ()
    notes: Sequence[str] = ()
    name: str = ""


@dataclass(frozen=True)
class Notice:
    tone: Tone
    text: str
    code: str = ""


@dataclass(frozen=True)
class Screen:
    """A page. `back`: where one comes from. `template`: what shows it."""

    title: str
    sections: Sequence[Section] = ()
    lead: str = ""
    filters: Form | None = None
    links: Sequence[Link] = ()
    notices: Sequence[Notice] = ()
    back: Link | None = None
    current: str = ""
    """The entry of the navigation that this page belongs to."""
    status: int = 200
    template: str = "screen.html"
    values: Mapping[str, object] = field(default_factory=dict)
