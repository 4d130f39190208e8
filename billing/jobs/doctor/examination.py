"""The doctor: proves on a live database that what must hold holds, and names every row that breaks it.

All checks read one snapshot, so a run, a collection or an act that goes on meanwhile gives no false alarm.
The database compares and adds up; only what is broken comes out, a page at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.jobs.doctor.acts import ACTS
from billing.jobs.doctor.amounts import AMOUNTS
from billing.jobs.doctor.books import BOOKS
from billing.jobs.doctor.check import Check
from billing.jobs.doctor.documents import DOCUMENTS
from billing.jobs.doctor.lives import LIVES
from billing.jobs.doctor.money import MONEY
from billing.jobs.doctor.second_run import SECOND_RUN
from billing.jobs.doctor.usage import USAGE
from billing.store.store import Row, Store

CHECKS: tuple[Check, ...] = (*LIVES, *DOCUMENTS, *MONEY, *BOOKS, *AMOUNTS, *USAGE, *SECOND_RUN, *ACTS)


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that breaks a check: its table and key, what was found in it and what should have been (null
    where there is nothing to compare)."""

    check: str
    table: str
    key: dict[str, Any]
    found: Any
    wanted: Any
    sentence: str

    @property
    def difference(self) -> int | None:
        """By how much it is wrong, where both are numbers."""
        if isinstance(self.found, int) and isinstance(self.wanted, int):
            return self.found - self.wanted
        return None

    def in_words(self) -> str:
        """One line: the check, the row, what is wrong and by how much, and what must hold."""
        row = ", ".join(f"{name} {value}" for name, value in self.key.items())
        parts = [f"{self.check}: {self.table} {row}"]
        if self.found is not None:
            parts.append(f"has {self.found}")
        if self.wanted is not None:
            off = "" if self.difference is None else f" ({self.difference:+})"
            parts.append(f"should have {self.wanted}{off}")
        return f"{', '.join(parts)}. {self.sentence}"


def examine(
    store: Store,
    at: datetime,
    *,
    checks: Sequence[Check] = CHECKS,
    progress: Callable[[Check], None] | None = None,
) -> Iterator[Finding]:
    """Every finding of the checks, one after the other, as the database stands when it begins.

    `at` says what day it is for customers. `progress` is told each check before it begins. Nothing is
    written.
    """
    with store.snapshot():
        for check in checks:
            if progress:
                progress(check)
            yield from _findings(store, at, check)


def _findings(store: Store, at: datetime, check: Check) -> Iterator[Finding]:
    for row in _broken(store, at, check):
        values = dict(row)
        found, wanted = values.pop("found", None), values.pop("wanted", None)
        yield Finding(check.code, check.table, values, found, wanted, check.sentence)


def _broken(store: Store, at: datetime, check: Check) -> Iterator[Row]:
    if callable(check.broken):
        yield from check.broken(store, at)
        return
    for page in store.pages(check.broken):
        yield from page
