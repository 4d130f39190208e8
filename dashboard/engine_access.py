"""Which part of the billing engine a reader reaches, decided here and not by what a page hides.

Whoever sees all accounts and opens the Billing group reaches all of it. Others reach documents alone; who
sees only their own accounts those of these accounts, as the warehouse tells whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from dashboard.engine import (
    UNKNOWN,
    Account,
    Change,
    Document,
    Engine,
    EngineProblem,
    Examination,
    Page,
    Posted,
    Previewed,
    PriceSheet,
    Run,
    Tried,
    Wanted,
    engine_of,
)
from dashboard.people.reader import Reader
from dashboard.people.scope import scope_of
from dashboard.queries import Query
from dashboard.queries import engine as queries

MOST_ACCOUNTS = 5_000
"""Whose documents are listed at once; a reader with more accounts chooses one."""


class Rows(Protocol):
    """What is published for the reader, within their scope (view.Published)."""

    def rows(self, query: Query, **values: Any) -> pl.DataFrame: ...


def engine_for(reader: Reader, folder: Path, published: Rows | None) -> Engine | None:
    """The engine of a company as a reader reaches it; None where there is none."""
    engine = engine_of(folder)
    if engine is None:
        return None
    only_own = scope_of(reader).only_own
    if reader.may("bill") and not only_own:
        return engine
    return DocumentsOnly(engine, published if only_own else None, only_own)


class DocumentsOnly:
    """Documents of the engine, all of them or those of a reader's own accounts; nothing else."""

    def __init__(self, engine: Engine, published: Rows | None, only_own: bool) -> None:
        self._engine, self._published, self._only_own = engine, published, only_own

    @property
    def exponents(self) -> Mapping[str, int]:
        return self._engine.exponents

    def today(self) -> date:
        return self._engine.today()

    def _own(self, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The customers that are asked for, or all, as far as they are the reader's."""
        if not self._only_own:
            return asked
        if asked is not None:
            return tuple(one for one in asked if self._is_own(one))
        if self._published is None:
            return ()
        return tuple(self._published.rows(queries.OWN_ACCOUNTS, limit=MOST_ACCOUNTS)["customer_id"])

    def _is_own(self, customer: str) -> bool:
        if not self._only_own:
            return True
        if self._published is None:
            return False
        return bool(self._published.rows(queries.HAS_ACCOUNT, customer_id=customer).item())

    def _checked(self, document: str) -> str:
        """The document, if it is one of the reader's; else there is none."""
        if not self._is_own(self._engine.owner_of(document)):
            raise EngineProblem(UNKNOWN, "unknown_document", document)
        return document

    def document_counts(self, customers: tuple[str, ...] | None) -> pl.DataFrame:
        return self._engine.document_counts(self._own(customers))

    def documents(self, wanted: Wanted, after: str | None, limit: int) -> Page:
        return self._engine.documents(replace(wanted, customers=self._own(wanted.customers)), after, limit)

    def owner_of(self, document: str) -> str:
        return self._engine.owner_of(self._checked(document))

    def document(self, document: str, language: str) -> Document:
        return self._engine.document(self._checked(document), language)

    def pdf(self, document: str, language: str) -> bytes:
        return self._engine.pdf(self._checked(document), language)

    def json(self, document: str) -> str:
        return self._engine.json(self._checked(document))

    def drafts(self, customer: str) -> pl.DataFrame:
        if not self._is_own(customer):
            raise EngineProblem(UNKNOWN, "unknown_customer", customer)
        return self._engine.drafts(customer)

    def dunning(self, customers: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
        return self._engine.dunning(self._own(customers), limit)

    def collections(self, customers: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
        return self._engine.collections(self._own(customers), limit)

    def find_customers(self, words: str, limit: int) -> pl.DataFrame:
        found = self._engine.find_customers(words, limit)
        own = [self._is_own(one) for one in found["customer_id"]]
        return found.filter(pl.Series(own, dtype=pl.Boolean))

    def names(self, customers: Sequence[str]) -> Mapping[str, str]:
        return self._engine.names([one for one in customers if self._is_own(one)])

    # What else the engine knows is not for these readers.

    def runs(self, kind: str | None, limit: int) -> Sequence[Run]:
        raise EngineProblem(UNKNOWN)

    def run(self, key: str) -> Run:
        raise EngineProblem(UNKNOWN)

    def posted(self, run: str) -> Posted:
        raise EngineProblem(UNKNOWN)

    def set_aside(self, limit: int) -> pl.DataFrame:
        raise EngineProblem(UNKNOWN)

    def examination(self) -> Examination | None:
        raise EngineProblem(UNKNOWN)

    def account(self, customer: str, on: date) -> Account:
        raise EngineProblem(UNKNOWN)

    def preview(self, change: Change, language: str) -> Previewed:
        raise EngineProblem(UNKNOWN)

    def plans(self) -> pl.DataFrame:
        raise EngineProblem(UNKNOWN)

    def components(self, plan: str, version: int) -> pl.DataFrame:
        raise EngineProblem(UNKNOWN)

    def prices(self, component: str, level: str | None, limit: int) -> pl.DataFrame:
        raise EngineProblem(UNKNOWN)

    def price(self, price: str) -> PriceSheet:
        raise EngineProblem(UNKNOWN)

    def try_price(self, price: str, quantity: str) -> Tried:
        raise EngineProblem(UNKNOWN)
