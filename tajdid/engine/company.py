"""The engine of one company, as `dashboard.engine.Engine` asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from sqlalchemy import make_url, select

from billing.core.money import CURRENCY_EXPONENTS
from billing.store.tables import customers
from dashboard.engine import (
    Account,
    Change,
    Document,
    Engine,
    Examination,
    Page,
    Posted,
    Previewed,
    PriceSheet,
    Run,
    Tried,
    Wanted,
)
from tajdid.engine import catalogue, papers, runs, whatif
from tajdid.engine.opening import names_of, reading, rehearsing
from tajdid.workspace import Company, WorkspaceError, load_company

KEPT_SECONDS = 60
"""How long counts over many rows are shown before they are taken anew."""
Found = TypeVar("Found")
_engines: dict[Path, Engine] = {}


def company_engine(folder: Path) -> Engine | None:
    """The engine of the company in a folder; None where it has no billing database, or a company.toml that
    cannot be read."""
    try:
        company = load_company(folder.parent, folder.name)
    except WorkspaceError:
        return None
    address = make_url(company.database_url)
    if address.get_backend_name() == "sqlite" and not Path(str(address.database)).is_file():
        return None
    known = _engines.get(folder)
    if not isinstance(known, CompanyEngine) or known.company != company:
        known = _engines[folder] = CompanyEngine(company)
    return known


class CompanyEngine:
    """Reads the billing database of a company, a connection an answer."""

    exponents: Mapping[str, int] = CURRENCY_EXPONENTS

    def __init__(self, company: Company) -> None:
        self.company = company
        self._url = company.database_url
        self._kept: dict[object, tuple[float, Any]] = {}

    def today(self) -> date:
        return self.company.as_of or datetime.now(UTC).date()

    def _remembered(self, key: object, found: Callable[[], Found], seconds: float = KEPT_SECONDS) -> Found:
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is None or kept[0] < now:
            if len(self._kept) > 500:
                self._kept.clear()
            kept = self._kept[key] = (now + seconds, found())
        answer: Found = kept[1]
        return answer

    # Runs.

    def runs(self, kind: str | None, limit: int) -> Sequence[Run]:
        with reading(self._url) as store:
            return runs.last_runs(store, kind, limit)

    def run(self, key: str) -> Run:
        with reading(self._url) as store:
            return runs.run_of(store, key)

    def posted(self, run: str) -> Posted:
        def found() -> Posted:
            with reading(self._url) as store:
                return runs.posted_by(store, run)

        # What a run that has ended posted never changes.
        is_over = self.run(run).state != "running"
        return self._remembered(("posted", run), found, float("inf")) if is_over else found()

    def set_aside(self, limit: int) -> pl.DataFrame:
        def found() -> pl.DataFrame:
            with reading(self._url) as store:
                return runs.parked(store, limit)

        return self._remembered(("set_aside", limit), found)

    def examination(self) -> Examination | None:
        return runs.last_examination(self.company.folder)

    # Documents.

    def document_counts(self, customers: tuple[str, ...] | None) -> pl.DataFrame:
        def found() -> pl.DataFrame:
            with reading(self._url) as store:
                return papers.counts(store, self.today(), customers)

        return self._remembered(("counts", customers), found)

    def documents(self, wanted: Wanted, after: str | None, limit: int) -> Page:
        with reading(self._url) as store:
            return papers.listed(store, self.today(), wanted, after, limit)

    def owner_of(self, document: str) -> str:
        with reading(self._url) as store:
            return papers.owner(store, document)[1]

    def document(self, document: str, language: str) -> Document:
        with reading(self._url) as store:
            return papers.whole(store, document, language)

    def pdf(self, document: str, language: str) -> bytes:
        fonts = self.company.folder / "fonts"
        with reading(self._url) as store:
            return papers.as_pdf(store, document, language, [fonts] if fonts.is_dir() else [])

    def json(self, document: str) -> str:
        with reading(self._url) as store:
            return papers.as_json(store, document)

    def drafts(self, customer: str) -> pl.DataFrame:
        # They are worked out in temporary tables, which a connection that may not write has none of.
        with rehearsing(self._url) as store:
            return whatif.drafts_of(store, customer, self.today())

    def dunning(self, customers: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
        with reading(self._url) as store:
            return papers.queue(store, self.today(), customers, limit)

    def collections(self, customers: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
        with reading(self._url) as store:
            return papers.tried_again(store, customers, limit)

    # Customers and previews.

    def find_customers(self, words: str, limit: int) -> pl.DataFrame:
        key = customers.c.customer_id
        by_id = select(key, customers.c.name).where(key >= words).order_by(key).limit(limit)
        with reading(self._url) as store:
            return store.frame(by_id).filter(pl.col("customer_id").str.starts_with(words))

    def names(self, customers: Sequence[str]) -> Mapping[str, str]:
        with reading(self._url) as store:
            return names_of(store, list(customers))

    def account(self, customer: str, on: date) -> Account:
        with reading(self._url) as store:
            return whatif.account_of(store, customer, on)

    def preview(self, change: Change, language: str) -> Previewed:
        with rehearsing(self._url) as store:
            return whatif.previewed(store, change, language)

    # Catalogue.

    def plans(self) -> pl.DataFrame:
        with reading(self._url) as store:
            return catalogue.all_plans(store)

    def components(self, plan: str, version: int) -> pl.DataFrame:
        with reading(self._url) as store:
            return catalogue.components_of(store, plan, version)

    def prices(self, component: str, level: str | None, limit: int) -> pl.DataFrame:
        with reading(self._url) as store:
            return catalogue.prices_of(store, component, level, limit)

    def price(self, price: str) -> PriceSheet:
        with reading(self._url) as store:
            return catalogue.sheet_of(store, price)

    def try_price(self, price: str, quantity: str) -> Tried:
        with reading(self._url) as store:
            return catalogue.tried(store, price, quantity)
