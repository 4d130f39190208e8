"""The bill run: takes a chunk of due customers, works out what they owe, writes it, goes on to the next.

A chunk is one transaction: invoices, lines, tax, numbers, journal, outbox, and the day its customers are due
again. So a crash loses at most the open chunk, and the next run goes on where this one ended: whoever is
still due was not billed. A chunk that fails for a reason nobody foresaw is rolled back and halved until the
customer at fault stands alone and is parked; where all of a half are at fault, the other half is tried one
by one. A chunk that collided with another transaction is tried again.

A run holds a claim on itself while it lives (store.claims). A run that is called `running` and whose claim is
free was killed: the next one calls it `interrupted`. One that ends by an error is `failed`.

Customers that another transaction holds (an act, an import of usage, a second run) are passed over, and
waited for at the end: so what was due when the run began is billed when it ends, by this run or the other.

`preview` works out the same for one customer and writes nothing; a dry run of all is a run that is taken back
(jobs.dry_run).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Select, bindparam, select

from billing.core.money import BillingError
from billing.jobs.bill_documents import park, write
from billing.jobs.bill_draft import Draft, draft
from billing.jobs.bill_facts import (
    DUE_COUNT,
    DUE_ROOTS,
    MEMBERS,
    read_by_ids,
)
from billing.jobs.bill_groups import GROUP
from billing.jobs.bill_pools import draw_siblings, free, parked_together, units_of, with_siblings
from billing.store.claims import claim, clear, left_behind, release
from billing.store.errors import is_of_the_system, is_passing
from billing.store.messages import keep_rejected
from billing.store.store import Store
from billing.store.tables import (
    billing_chunks,
    billing_runs,
    customers,
)

_ATTEMPTS = 4
"""How often a chunk is tried that collides with another transaction, before it counts as failed."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did. `run_id` is None when nothing was due; `net_minor` by currency, credits deducted."""

    run_id: str | None = None
    customers: int = 0
    lines: int = 0
    invoices: int = 0
    credit_notes: int = 0
    parked: int = 0
    held: int = 0
    """Documents that wait for a purchase order."""
    net_minor: dict[str, int] = field(default_factory=dict)


# What is called.


def bill(
    store: Store,
    at: datetime,
    *,
    up_to: date,
    customer_ids: Sequence[str] | None = None,
    chunk_size: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> RunSummary:
    """Bill every customer that owes something up to and including a day; or these alone, with whoever else of
    their trees does, so that what is billed together stays together.

    Documents are issued on the payer's day of `at`. A second run to the same day posts nothing. Raises
    `naive_time`, and `period_locked` when the books of the day are closed; a customer that cannot be billed
    is parked instead. After each chunk `progress` is told how many of the due trees of customers have been
    looked at, and of how many.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    _mark_interrupted(store, at)
    many = _due_count(store, up_to, customer_ids)
    if not many:
        return RunSummary()
    run, done = _Run(store, at, up_to), 0
    try:
        for roots in _due_roots(store, up_to, customer_ids, chunk_size):
            run.bill_chunk(roots)
            done += len(roots)
            if progress:
                progress(done, max(many, done))
        if not store.is_sqlite:
            run.waits = True
            for roots in _due_roots(store, up_to, customer_ids, chunk_size):
                run.bill_chunk(roots)
    except BaseException:
        with suppress(Exception):  # The error tells more than what the database says of it afterwards.
            run.end("failed")
        raise
    return run.finish()


def _due_count(store: Store, up_to: date, of: Sequence[str] | None) -> int:
    if of is not None and not of:
        return 0
    values = {"up_to": up_to}
    found = store.frame(DUE_COUNT, values) if of is None else _of(store, DUE_COUNT, of, values)
    return int(found["roots"].item())


def _due_roots(store: Store, up_to: date, of: Sequence[str] | None, chunk_size: int) -> Iterator[list[str]]:
    """The trees in which somebody (of these) is due as the run begins, in chunks and in the order of their
    ids."""
    values = {"up_to": up_to}
    found = (
        store.spool(DUE_ROOTS, values, size=chunk_size)
        if of is None
        else _of(store, DUE_ROOTS, of, values).iter_slices(chunk_size)
    )
    for chunk in found:
        yield chunk["root_id"].to_list()


def _of(store: Store, statement: Select[Any], ids: Sequence[str], values: Mapping[str, Any]) -> pl.DataFrame:
    return read_by_ids(store, statement, customers.c.customer_id, ids, values)


_RUNNING = select(billing_runs.c.run_id).where(
    billing_runs.c.mode == "bill", billing_runs.c.state == "running"
)


def _mark_interrupted(store: Store, at: datetime) -> None:
    """Runs nobody works on any more, though nobody said that they ended; and the claims of those that were
    killed before their first commit, which no row names."""
    for row in store.rows(_RUNNING):
        if claim(store, row["run_id"]):
            store.update(billing_runs, [row | {"state": "interrupted", "finished_at": at}], at)
            release(store, row["run_id"])
    if _unnamed_claims(store):
        # Whoever writes is alone: no run is between its claim and the row that names it.
        with store.transaction():
            for run_id in _unnamed_claims(store):
                clear(store, run_id)


def _unnamed_claims(store: Store) -> set[str]:
    found = left_behind(store, "run")
    return found and found - {row["run_id"] for row in store.rows(_RUNNING)}


def preview(store: Store, at: datetime, *, customer_id: str, up_to: date, shows_held: bool = False) -> Draft:
    """What a run would post for a customer up to a day, parked or due or not, and for those it shares a pool
    with; nothing is written. With days of grace it shows what stays a draft for them too.

    To preview a change, act and preview in one transaction and roll it back. Raises `unknown_customer`.
    """
    members = store.frame(MEMBERS.where(customers.c.customer_id == customer_id))
    if members.is_empty():
        raise BillingError("unknown_customer", customer_id)
    return draft(store, at, with_siblings(store, members, up_to), up_to, in_grace=True, shows_held=shows_held)


class _Standing(NamedTuple):
    """What a run had done before a chunk."""

    run_id: str | None
    chunks: int
    counts: dict[str, int]
    net_minor: dict[str, int]
    held: frozenset[tuple[str, ...]]
    held_customers: frozenset[str]


class _Run:
    """One run: its chunks, halved where they fail, and what they add up to."""

    def __init__(self, store: Store, at: datetime, up_to: date) -> None:
        self.store, self.at, self.up_to = store, at, up_to
        self.waits = False
        self.failed = 0
        """Customers parked because they failed alone."""
        self.run_id: str | None = None
        self.chunks = 0
        self.counts = dict.fromkeys(("customers", "lines", "invoices", "credit_notes", "parked"), 0)
        self.net_minor: dict[str, int] = {}
        self.held: frozenset[tuple[str, ...]] = frozenset()
        """The groups of documents that are held."""
        self.held_customers: frozenset[str] = frozenset()
        """Who stays due because of that."""

    def bill_chunk(
        self, roots: Sequence[str], only: Sequence[str] | None = None, attempts: int = _ATTEMPTS
    ) -> None:
        """One transaction for the due customers of some roots (or those named of them)."""
        before = _Standing(
            self.run_id,
            self.chunks,
            dict(self.counts),
            dict(self.net_minor),
            self.held,
            self.held_customers,
        )
        members: Sequence[str] = only or ()
        try:
            with self.store.transaction(savepoint=True):
                self.store.join_by_index()
                frame = _due_members(
                    self.store, roots, self.up_to, only, but=self.held_customers, waits=self.waits
                )
                members = frame["customer_id"].to_list()
                if frame.height:
                    self._post(frame)
        except BillingError as error:
            if error.code == "period_locked":
                refused = (error.code, error.message, {"up_to": self.up_to})
                keep_rejected(self.store, self.at, "bill", [refused])
                raise
            self._halve(roots, members, before, error)
        except Exception as error:
            if is_of_the_system(error) or not self.store.is_connected:
                raise
            if attempts > 1 and is_passing(error) and not self.store.is_in_transaction:
                self._back_to(before)
                self.bill_chunk(roots, only, attempts - 1)
                return
            self._halve(roots, members, before, error)

    def _post(self, members: pl.DataFrame) -> None:
        free(self.store, self.at, members)
        found = draft(self.store, self.at, members, self.up_to, locks=True)
        self._open()
        write(self.store, self.at, str(self.run_id), found)
        self._checkpoint(found)
        self._count(found)

    def _open(self) -> None:
        """The run's own row, once there is something to post."""
        if self.run_id is not None:
            return
        self.run_id = self.store.new_id("run")
        claim(self.store, self.run_id)
        row = {
            "run_id": self.run_id,
            "up_to": self.up_to,
            "mode": "bill",
            "state": "running",
            "started_at": self.at,
        }
        self.store.insert(billing_runs, [row], self.at)

    def _checkpoint(self, found: Draft) -> None:
        roots = found.members["root_id"].sort()
        self.chunks += 1
        row = {
            "run_id": self.run_id,
            "position": self.chunks,
            "first_root_id": roots[0],
            "last_root_id": roots[-1],
            "state": "done",
            "customers": found.members.height,
            "parked": found.failures.height,
            "invoices": found.invoices,
            "lines": found.lines.height,
        }
        self.store.insert(billing_chunks, [row], self.at)

    def _count(self, found: Draft) -> None:
        self.counts["customers"] += found.members.height
        self.counts["lines"] += found.lines.height
        self.counts["invoices"] += found.invoices
        self.counts["credit_notes"] += int(found.documents["has_note"].sum())
        self.counts["parked"] += found.failures.height
        self.held |= set(found.held.select(GROUP).iter_rows())
        if found.held.height:
            still_due = found.next_days.filter(pl.col("next_bill_on") <= self.up_to)
            self.held_customers |= set(still_due["customer_id"])
        sums = found.lines.group_by("currency").agg(pl.col("net_minor").sum())
        for currency, net_minor in sums.iter_rows():
            self.net_minor[currency] = self.net_minor.get(currency, 0) + net_minor

    def _back_to(self, before: _Standing) -> None:
        """Forget a chunk that was rolled back."""
        if self.run_id is not None and before.run_id is None:
            release(self.store, self.run_id)
        self.run_id, self.chunks, self.counts, self.net_minor, self.held, self.held_customers = before

    def _halve(
        self,
        roots: Sequence[str],
        members: Sequence[str],
        before: _Standing,
        error: Exception,
    ) -> None:
        """Bill the halves of a chunk that failed; a customer who fails alone is parked, and with it those who
        share its pool."""
        self._back_to(before)
        if not members:
            raise error
        units = units_of(self.store, roots, members, self.up_to)
        if len(units) > 1:
            middle, failed = len(units) // 2, self.failed
            self.bill_chunk(roots, list(chain(*units[:middle])))
            # So what fails as a whole takes one draft a customer, not one more for every half of a half.
            is_hopeless = self.failed - failed == len(list(chain(*units[:middle]))) > 1
            step = 1 if is_hopeless else len(units) - middle
            for first in range(middle, len(units), step):
                self.bill_chunk(roots, list(chain(*units[first : first + step])))
            return
        detail = f"{type(error).__name__}: {error}"[:500]
        with self.store.transaction(savepoint=True):
            self._open()
            park(self.store, self.at, parked_together(members, "unexpected", detail))
        self.failed += len(members)
        self.counts["customers"] += len(members)
        self.counts["parked"] += len(members)

    def end(self, state: str) -> None:
        """Say how the run ended, where it began to post; a broken connection leaves that to the next run."""
        if self.run_id is None or not self.store.is_connected:
            return
        row = {"run_id": self.run_id, "state": state, "finished_at": self.at}
        try:
            self.store.update(billing_runs, [row], self.at)
        finally:
            release(self.store, self.run_id)

    def finish(self) -> RunSummary:
        self.end("done")
        net_minor = dict(sorted(self.net_minor.items()))
        return RunSummary(self.run_id, **self.counts, held=len(self.held), net_minor=net_minor)


_DUE = MEMBERS.where(customers.c.next_bill_on <= bindparam("up_to"), customers.c.parked_at.is_(None))
_DUE_AND_FREE = _DUE.with_for_update(skip_locked=True, of=customers)
_DUE_WHEN_FREE = _DUE.order_by(customers.c.customer_id).with_for_update(of=customers)


def _due_members(
    store: Store,
    roots: Sequence[str],
    up_to: date,
    only: Sequence[str] | None,
    *,
    but: Collection[str],
    waits: bool,
) -> pl.DataFrame:
    """The customers of a chunk that are due, ordered, and locked so that no act and no second run comes
    between reading and writing (PostgreSQL; SQLite has one writer anyway). Those that another transaction
    holds are passed over, or waited for, one after the other in the order of their ids; but: those looked at
    before, who are still due. Who shares a pool with one of them comes with it."""
    due = _DUE_WHEN_FREE if waits else _DUE_AND_FREE
    values = {"up_to": up_to}
    if only is not None:
        members = read_by_ids(store, due, customers.c.customer_id, only, values)
    else:
        members = read_by_ids(store, due, customers.c.root_id, roots, values)
    if but:
        members = members.filter(~pl.col("customer_id").is_in(list(but)))
    return draw_siblings(store, members, up_to, waits=waits).sort("root_id", "customer_id")
