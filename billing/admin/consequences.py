"""What an act that cannot be undone would do in money, found by doing it and taking it back.

What is shown has a mark. The act is done only while the same mark is found again, in its own transaction: so
nobody agrees to one sum and does another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, func, select

from billing.core.calendar import add_months
from billing.core.ledger import DEBIT_ACCOUNTS
from billing.jobs.dry_run import dry_run
from billing.service.previews import preview_change
from billing.store.store import Store
from billing.store.tables import journal_entries, journal_lines

Work = Callable[[Store, datetime], object]


@dataclass(frozen=True)
class Figure:
    """A sum that would come to be. `kind`: what the sum is of: a document, an account, a refund; or a count
    (`currency` None)."""

    kind: str
    name: str
    amount: int
    currency: str | None


@dataclass(frozen=True)
class Consequence:
    figures: tuple[Figure, ...]

    def mark(self, act: str, key: str, answers: Mapping[str, str]) -> str:
        """The mark of what is shown of an act on a thing, with the answers given to its questions."""
        said = [act, key, sorted(answers.items()), [list(vars(one).values()) for one in self.figures]]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def posted_by(store: Store, at: datetime, work: Work) -> Consequence:
    """What an act issues and posts by itself. Raises what it raises."""
    with dry_run(store) as found:
        work(store, at)
    documents = [
        Figure("document", row["kind"], row["total_minor"], row["currency"])
        for row in found.documents.iter_rows(named=True)
    ]
    return Consequence((*documents, *_balances(found.postings)))


def _balances(postings: pl.DataFrame) -> list[Figure]:
    """How the balance of each account moves: of a debit account by debit less credit, else the reverse."""
    moved: dict[tuple[str, str], int] = {}
    for row in postings.iter_rows(named=True):
        more = row["debit_minor"] - row["credit_minor"]
        key = (row["account"], row["currency"])
        moved[key] = moved.get(key, 0) + (more if row["account"] in DEBIT_ACCOUNTS else -more)
    return [Figure("account", name, amount, currency) for (name, currency), amount in moved.items() if amount]


def billed_by(store: Store, at: datetime, work: Work, customer_id: str) -> Consequence:
    """What the next bill run of a customer would issue, and give back, after an act. Raises as it does."""
    told = preview_change(store, at, work, customer_id=customer_id, shows_held=True)
    currencies = told.lines.group_by("document").agg(pl.col("currency").first())
    documents = told.documents.join(currencies, on="document", how="left")
    refunds = told.refunds.join(currencies, on="document", how="left")
    return Consequence(
        (
            *_sums(documents, "document", "invoice", "total_minor"),
            *_sums(documents, "document", "credit_note", "note_total_minor"),
            *_sums(refunds, "refund", "refund", "amount_minor"),
        )
    )


def _sums(rows: pl.DataFrame, kind: str, name: str, column: str) -> list[Figure]:
    sums = rows.group_by("currency").agg(pl.col(column).sum()).sort("currency")
    return [
        Figure(kind, name, int(row[column]), row["currency"])
        for row in sums.iter_rows(named=True)
        if row[column]
    ]


_STANDING = (
    select(journal_lines.c.currency, func.sum(journal_lines.c.debit_minor).label("debit_minor"))
    .join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)
    .where(
        journal_entries.c.entity_id == bindparam("entity"),
        journal_entries.c.posted_on >= bindparam("first"),
        journal_entries.c.posted_on < bindparam("next"),
    )
    .group_by(journal_lines.c.currency)
    .order_by(journal_lines.c.currency)
)


def standing_in(store: Store, entity_id: str, first: date) -> Consequence:
    """What was posted of a seller in the month that begins on `first`: the debits, as many as credits."""
    rows = store.rows(_STANDING, {"entity": entity_id, "first": first, "next": add_months(first, 1)})
    return Consequence(
        tuple(Figure("month", "posted", int(row["debit_minor"]), row["currency"]) for row in rows)
    )


def counted(counts: Mapping[str, int]) -> Consequence:
    """What an act without money of its own ends, as numbers."""
    return Consequence(tuple(Figure("count", name, number, None) for name, number in counts.items()))
