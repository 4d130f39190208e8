"""One request of somebody of the staff: who asks, what for, in which language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlencode

from starlette.requests import Request

from billing.admin.door import Staff
from billing.admin.looks import Cell, Tone
from billing.core.calendar import local_date
from billing.reads.page import Page
from billing.web.context import Context
from billing.web.cursors import cursor_of, place_of
from billing.web.languages import Words
from billing.web.problems import Problem

PREFIX = "/admin"
PAGE_ROWS = 50
LONGEST = 200
"""Signs of what is asked for in an address, at most."""


def path_to(*parts: str, **asked: str | None) -> str:
    """The address of a page below the prefix."""
    query = urlencode({name: value for name, value in asked.items() if value})
    path = "/".join([PREFIX, *(quote(part, safe=":") for part in parts)])
    return f"{path}?{query}" if query else path


def dashboard_page(url: str, company: str, language: str, page: str = "", **asked: str) -> str:
    """The address of a page of the dashboard about this company, in the language one reads here."""
    return f"{url}/{page}?{urlencode({'company': company, **asked, 'lang': language})}"


@dataclass(frozen=True)
class Visit:
    """`seed`: of the tokens of this session's forms. `company`: as the dashboard knows it."""

    request: Request
    context: Context
    staff: Staff
    words: Words
    seed: str
    company: str

    def key(self, name: str = "key") -> str:
        """What the path names."""
        return str(self.request.path_params[name])

    def asked(self, name: str) -> str | None:
        """A parameter of the address; None where it is empty. Raises `bad_parameter` for one too long."""
        value = self.request.query_params.get(name, "").strip()
        if len(value) > LONGEST:
            raise Problem("bad_parameter", f"{name} has more than {LONGEST} signs", field=name)
        return value or None

    def answers(self, names: Sequence[str]) -> dict[str, str]:
        """What was answered to some questions; '' to those that were not."""
        return {name: self.asked(name) or "" for name in names}

    def one_of(self, name: str, known: Sequence[str]) -> str | None:
        """A parameter that is one of a few; None for any other."""
        value = self.asked(name)
        return value if value in known else None

    def today(self) -> date:
        return local_date(self.context.now(), "UTC")

    # Lists.

    def place(self, name: str, **filters: str | None) -> tuple[object, ...] | None:
        """Where a page of a list begins. Raises Problem `bad_cursor`."""
        cursor = self.asked_cursor()
        if cursor is None:
            return None
        return place_of(self.context.services.vault, name, _given(filters), cursor)

    def asked_cursor(self) -> str | None:
        value = self.request.query_params.get("after", "")
        return value[:2000] or None

    def following(self, page: Page, name: str, **filters: str | None) -> str | None:
        """The address of the next page of a list."""
        cursor = cursor_of(self.context.services.vault, name, _given(filters), page.after)
        if cursor is None:
            return None
        return f"{self.request.url.path}?{urlencode({**_given(filters), 'after': cursor})}"

    # Values as they are shown.

    def money(self, minor: int | None, currency: str | None) -> Cell:
        text = self.words.money(minor, currency) if currency is not None else "–"
        return Cell(text, is_number=True)

    def day(self, on: date | None) -> Cell:
        return Cell(self.words.day(on))

    def data(self, text: str | None, href: str | None = None) -> Cell:
        """A text that came from outside."""
        return Cell(text or "–", href, is_data=text is not None)

    def code(self, text: str | None, href: str | None = None) -> Cell:
        """An id, a number or a code."""
        return Cell(text or "–", href if text else None, is_code=text is not None)

    def badge(self, text: str, tone: Tone = "") -> Cell:
        return Cell(text, tone=tone)


def _given(filters: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}
