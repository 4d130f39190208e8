"""Plays a job and takes it back: the rows it would add and change, what it would post, what it would issue.

The job itself runs, as it always does, in one transaction that never commits. So there is no second way to
work out what it does. Outer systems are not asked: the caller gives the job ports that say what is assumed of
them (gateways.assumed). What the job writes is held until it is taken back, as by any transaction: on SQLite
other writers wait, on PostgreSQL those who want the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import polars as pl
from sqlalchemy import Table, and_, select

from billing.store.claims import release
from billing.store.store import Store, Written
from billing.store.tables import credit_notes, invoices, journal_entries, journal_lines

_KEEPS = {
    journal_entries: ("entry_id", "entity_id"),
    journal_lines: ("entry_id", "account", "currency", "debit_minor", "credit_minor"),
    invoices: ("number", "entity_id", "currency", "net_minor", "tax_minor", "total_minor"),
    credit_notes: ("number", "entity_id", "currency", "net_minor", "tax_minor", "total_minor"),
}
_DOCUMENTS = {"invoice": invoices, "credit_note": credit_notes}


@dataclass(slots=True)
class DryRun:
    """The difference a job would make; filled when its rehearsal ends.

    rows: `table`, `added`, `changed` (rows that were there before). postings: `entity_id`, `currency`,
    `account`, `debit_minor`, `credit_minor`. documents: `kind` (invoice, credit_note), `entity_id`,
    `currency`, `documents`, `net_minor`, `tax_minor`, `total_minor` of those that get a number.
    """

    rows: pl.DataFrame
    postings: pl.DataFrame
    documents: pl.DataFrame

    @property
    def is_empty(self) -> bool:
        return self.rows.is_empty()


_ROWS = {"table": pl.String, "added": pl.Int64, "changed": pl.Int64}


@contextmanager
def dry_run(store: Store) -> Iterator[DryRun]:
    """Take back what is done in the block, and tell what it was. An error in it leaves nothing either."""
    found = DryRun(pl.DataFrame(schema=_ROWS), pl.DataFrame(), pl.DataFrame())
    claimed = set(store.claimed)
    try:
        with store.rehearsal(_KEEPS) as written:
            yield found
    finally:
        # A job that broke off inside a transaction could not give its claims back.
        for name in set(store.claimed) - claimed:
            release(store, name)
    found.postings, found.documents = _postings(written), _documents(written)
    found.rows = _rows(store, written)


def _kept(written: Sequence[Written], table: Table) -> pl.DataFrame:
    frames = [one.kept for one in written if one.table is table and one.kept is not None]
    if frames:
        return pl.concat(frames, how="vertical_relaxed")
    kinds = {name: pl.Int64 if name.endswith("_minor") else pl.String for name in _KEEPS[table]}
    return pl.DataFrame(schema=kinds)


def _postings(written: Sequence[Written]) -> pl.DataFrame:
    by = ["entity_id", "currency", "account"]
    lines = _kept(written, journal_lines).join(_kept(written, journal_entries), on="entry_id")
    return lines.group_by(by).agg(pl.col("debit_minor", "credit_minor").sum()).sort(by)


def _documents(written: Sequence[Written]) -> pl.DataFrame:
    by = ["kind", "entity_id", "currency"]
    issued = pl.concat(
        _kept(written, table).with_columns(pl.lit(kind).alias("kind")) for kind, table in _DOCUMENTS.items()
    ).filter(pl.col("number").is_not_null())
    sums = pl.col("net_minor", "tax_minor", "total_minor").sum()
    return issued.group_by(by).agg(pl.len().cast(pl.Int64).alias("documents"), sums).sort(by)


# Rows.


def _rows(store: Store, written: Sequence[Written]) -> pl.DataFrame:
    """How many rows of each table are new, and how many of those that are there were written anew."""
    rows = []
    for name, group in groupby(sorted(written, key=_name), key=_name):
        of_table = list(group)
        added, changed = _changed(store, of_table)
        added += sum(one.added for one in of_table)
        if added or changed:
            rows.append((name, added, changed))
    return pl.DataFrame(rows, schema=_ROWS, orient="row")


def _name(one: Written) -> str:
    return str(one.table.name)


def _changed(store: Store, written: Sequence[Written]) -> tuple[int, int]:
    """Of the rows of a table that were written by key: how many were not there and are added, and how many
    are there."""
    table, new, there = written[0].table, 0, []
    by_columns: dict[tuple[str, ...], list[Written]] = {}
    for one in written:
        if one.keys is not None and one.keys.height:
            by_columns.setdefault(tuple(one.keys.columns), []).append(one)
    for ones in by_columns.values():
        keys = pl.concat([one.keys for one in ones if one.keys is not None], how="vertical_relaxed").unique()
        known = _known(store, table, keys)
        there.append(known)
        if ones[0].may_add:
            new += keys.height - known.height
    return new, pl.concat(there).unique().height if there else 0


def _known(store: Store, table: Table, keys: pl.DataFrame) -> pl.DataFrame:
    """The primary keys of the rows that are there by some keys."""
    found = []
    with store.transaction():
        for part in keys.iter_slices(50_000):
            with store.temporary(part) as given:
                on = [table.c[name] == given.c[name] for name in part.columns]
                found.append(store.frame(select(*table.primary_key).join(given, and_(*on))))
    return pl.concat(found)
