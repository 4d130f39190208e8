"""What one reader looks at: company, language, published build, freshness. Made anew on each run.

The one place of the dashboard that asks the environment and the clock.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from secrets import token_hex
from typing import Any

import duckdb
import polars as pl

from dashboard import address, keyed, snapshot
from dashboard.companies import Company, companies
from dashboard.engine import Engine
from dashboard.engine_access import engine_for
from dashboard.format import DIGITS, LATIN, Formatter
from dashboard.i18n import LANGUAGES, SOURCE_LANGUAGE, Text, text
from dashboard.people import session
from dashboard.people.reader import NOBODY, Reader
from dashboard.people.scope import is_company, is_everything, scope_of
from dashboard.people.session import NOBODY_HERE, Visit
from dashboard.queries import Query
from dashboard.queries import build as build_queries
from dashboard.records.database import Guarded, Records, open_records
from dashboard.snapshot import Build, BuildAttempt
from pipelines.warehouse import Snapshot, WarehouseError

FRESH_FOR = timedelta(days=2)
HOME = "TAJDID_HOME"
DEFAULT_HOME = Path(__file__).resolve().parents[1] / "workspace"
logger = logging.getLogger(__name__)


def served_at(company: str) -> str | None:
    """Where the billing screens of a company are served beside the dashboard, as whoever started both says
    (TAJDID_SERVED, the company; TAJDID_ADMIN_URL); None where they are not."""
    return os.environ.get("TAJDID_ADMIN_URL") if os.environ.get("TAJDID_SERVED") == company else None


class Freshness(Enum):
    """How far the figures can be trusted: current and tested; behind; a test or the last build failed."""

    FRESH = "fresh"
    LATE = "late"
    FAILED = "failed"


@dataclass(frozen=True)
class Metric:
    """A metric of the registry, in the reader's language."""

    metric_id: str
    label: str
    definition: str
    formula: str
    unit: str
    good_direction: str


class Withheld(Exception):
    """The reader's roles do not include what a query asks for."""


@dataclass(frozen=True)
class Published:
    """A company's published figures, open for reading."""

    snapshot: Snapshot
    build: Build

    def rows(self, query: Query, **values: object) -> pl.DataFrame:
        """What a query finds. Raises Withheld for a table that the reader's roles do not include."""
        try:
            return snapshot.answer(self.snapshot, query, values)
        except duckdb.CatalogException as error:
            if is_everything(self.snapshot):
                raise
            raise Withheld(query.name) from error

    @property
    def is_company(self) -> bool:
        """Whether the reader sees the figures of the whole company, not of their own accounts alone."""
        return is_company(self.snapshot)

    @property
    def has_accounts(self) -> bool:
        """Whether there is any customer whose rows the reader may see."""
        return not self.rows(build_queries.ANY_CUSTOMER).is_empty()

    def sees(self, customer_id: str) -> bool:
        """Whether a customer is among those whose rows the reader may see."""
        return not self.rows(build_queries.CUSTOMER, customer=customer_id).is_empty()


@dataclass(frozen=True)
class View:
    """Everything a page needs to draw itself.

    `records` is what people wrote about the company (None without a company), `engine` its billing engine
    (None where the server was started without one).
    """

    now: datetime
    companies: tuple[Company, ...]
    company: Company | None
    text: Text
    show: Formatter
    published: Published | None
    attempts: tuple[BuildAttempt, ...]
    problem: str | None = None  # why the published file cannot be read
    reader: Reader = NOBODY
    records: Records | None = None
    engine: Engine | None = None
    visit: Visit = NOBODY_HERE
    slots: dict[str, Any] = field(default_factory=dict, compare=False)
    """What one run of a page keeps: places that a later step fills (the menu and the mark of each card), and
    what its parts read together."""

    def may(self, permission: str) -> bool:
        """Whether the reader's roles give a permission (of people/permissions.py). Raises KeyError."""
        return self.reader.may(permission)

    def may_open(self, page: str) -> bool:
        """Whether the reader's roles open a page, named as in the address."""
        return self.reader.may_open(page)

    @property
    def language(self) -> str:
        return self.text.language

    @property
    def failed_attempt(self) -> BuildAttempt | None:
        """The last build, when it failed; readers then see the snapshot before it."""
        last = self.attempts[0] if self.attempts else None
        return last if last is not None and not last.is_published else None

    def told_of(self, attempt: BuildAttempt) -> str:
        """What a build says of itself, to who looks after it: it may name files, and rows of anybody."""
        return attempt.message if self.may("manage_people") else ""

    @property
    def freshness(self) -> Freshness:
        """Failed tests weigh more than age.

        A sample company's day never moves, so its figures never grow old.
        """
        if self.published is None or self.failed_attempt or self.published.build.failed_tests:
            return Freshness.FAILED
        build = self.published.build
        is_late = self.now.date() - build.as_of > FRESH_FOR
        return Freshness.LATE if is_late and not build.is_sample else Freshness.FRESH

    @property
    def as_of(self) -> date | None:
        """The last day the figures speak of."""
        return self.published.build.as_of if self.published else None

    @property
    def min_customers(self) -> int:
        """Below so many customers a share is only shown as too small to mean anything."""
        return self.published.build.min_customers if self.published else 0

    def metric(self, metric_id: str) -> Metric:
        """A metric by its id. Raises KeyError when the registry does not hold it."""
        assert self.published is not None
        row = keyed.first(self.published.rows(build_queries.METRICS), metric_id=metric_id)
        if row is None:
            raise KeyError(metric_id)
        return Metric(
            metric_id=metric_id,
            label=row[f"label_{self.language}"],
            definition=row[f"definition_{self.language}"],
            formula=row["formula"],
            unit=row["unit"],
            good_direction=row["good_direction"],
        )

    def definition(self, metric_id: str) -> str | None:
        """What a metric means; None where the build was made before the registry held it."""
        try:
            return self.metric(metric_id).definition
        except KeyError:
            return None


def clock() -> datetime:
    """The instant, for what happens after the page was drawn, such as a download."""
    return datetime.now(UTC)


def home() -> Path:
    """The workspace folder: TAJDID_HOME, else `workspace` beside the project."""
    return Path(os.environ.get(HOME) or DEFAULT_HOME)


_run = threading.local()


@contextmanager
def shared(view: View) -> Iterator[None]:
    """Within the block, `open_view` of this thread gives `view`: a page has the one that its frame has."""
    _run.view = view
    try:
        yield
    finally:
        del _run.view


def open_view() -> View:
    """The view of this run: the one that is shared, else the one that the address asks for."""
    found: View | None = getattr(_run, "view", None)
    return new_view() if found is None else found


def new_view() -> View:
    """The view the address asks for: its company (else the first), its language (else English).

    Of the companies only those are there in which the reader has a role; where nobody may see anything,
    `visit.door` says why. Whatever goes wrong on the way to a reader, nobody is let in.
    """
    now = clock()
    visit = session.visit(home(), now)
    known = [one for one in companies(home()) if visit.opens(one.name)] if visit.door is None else []
    company = address.chosen("company", known, known[0], lambda one: one.name) if known else None
    words = text(address.chosen("lang", list(LANGUAGES), SOURCE_LANGUAGE))
    reader = visit.reader(company.name if company else None)
    published, problem = None, None
    try:
        opened = snapshot.published(company.folder, scope_of(reader)) if company else None
        published = Published(opened, snapshot.build_of(opened)) if opened else None
    except (WarehouseError, duckdb.Error) as error:
        opened, problem = None, _problem(error, reader)
    show = Formatter(
        words.language,
        snapshot.exponents(opened) if opened else {},
        address.chosen("digits", list(DIGITS), LATIN),
    )
    return View(
        now=now,
        companies=tuple(known),
        company=company,
        text=replace(words, written=show.written),
        show=show,
        published=published,
        attempts=tuple(snapshot.attempts(company.folder)) if company else (),
        problem=problem,
        reader=reader,
        engine=engine_for(reader, company.folder, published) if company else None,
        records=_records(company, visit, reader) if company else None,
        visit=visit,
    )


def _records(company: Company, visit: Visit, reader: Reader) -> Records | None:
    """What people wrote about a company, to be written only while the reader of this page is let in."""
    if company.records_url is None:
        return None
    return Guarded(
        open_records(company.records_url), lambda: session.is_still(visit, company.name, reader, clock())
    )


def _problem(error: Exception, reader: Reader) -> str:
    """What is said of a published file that cannot be read: paths and details only to who looks after it."""
    reference = token_hex(4)
    logger.error("the published figures cannot be read, reference %s", reference, exc_info=error)
    return str(error) if reader.may("manage_people") else reference


def month_before(month: date, months: int = 1) -> date:
    """First day of the month that lies `months` before."""
    index = month.year * 12 + month.month - 1 - months
    return date(index // 12, index % 12 + 1, 1)
