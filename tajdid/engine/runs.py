"""What ran: bill runs as the engine keeps them, other jobs as the audit log does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import and_, bindparam, func, select

from billing.reads.runs import ids_of_run
from billing.store.audit import entries
from billing.store.store import Row, Store
from billing.store.tables import (
    audit_log,
    billing_chunks,
    billing_runs,
    credit_notes,
    customers,
    held_documents,
    invoices,
    journal_entries,
    journal_lines,
)
from dashboard.engine import UNKNOWN, EngineProblem, Examination, Posted, Run

BILL = "bill"
JOBS = (
    "collect",
    "dun",
    "retry",
    "import_usage",
    "import_transfers",
    "import_subscriptions",
    "send_messages",
    "renew_due",
    "index_prices_due",
)
"""Jobs the audit log tells of; a bill run has rows of its own."""

_COUNTS = (
    func.sum(billing_chunks.c.customers).label("customers"),
    func.sum(billing_chunks.c.invoices).label("invoices"),
    func.sum(billing_chunks.c.lines).label("lines"),
    func.sum(billing_chunks.c.parked).label("parked"),
)
_RUNS = (
    select(billing_runs, *_COUNTS)
    .outerjoin(billing_chunks, billing_chunks.c.run_id == billing_runs.c.run_id)
    .where(billing_runs.c.mode == BILL)
    .group_by(billing_runs.c.run_id)
)
_NEWEST = _RUNS.order_by(billing_runs.c.started_at.desc(), billing_runs.c.run_id.desc())
_RUN = _RUNS.where(billing_runs.c.run_id == bindparam("id"))
_ENTRY = select(audit_log).where(audit_log.c.entry_id == bindparam("id"))
_BY = (
    select(audit_log)
    .where(audit_log.c.subject_id == bindparam("id"), audit_log.c.act.in_([BILL, "retry"]))
    .order_by(audit_log.c.happened_at.desc())
    .limit(1)
)


def last_runs(store: Store, kind: str | None, limit: int) -> list[Run]:
    """The last jobs of a kind, or of all, newest first."""
    found: list[Run] = []
    if kind in (None, BILL):
        found += [_of_run(store, row) for row in store.rows(_NEWEST.limit(limit))]
    known = {one.key for one in found}
    for act in JOBS if kind is None else [kind] if kind in JOBS else []:
        own = islice(entries(store, act=act, limit=limit), limit)
        found += [_of_entry(row) for row in own if row["subject_id"] not in known]
    return sorted(found, key=lambda one: (one.started_at, one.key), reverse=True)[:limit]


def run_of(store: Store, key: str) -> Run:
    """A job by its key. Raises EngineProblem where there is none."""
    row = store.row(_RUN, {"id": key})
    if row is not None:
        return _of_run(store, row)
    entry = store.row(_ENTRY, {"id": key})
    if entry is None or entry["act"] not in (*JOBS, BILL):
        raise EngineProblem(UNKNOWN, "unknown_entry", key)
    return _of_entry(entry | {"arguments": json.loads(entry["arguments"])})


def _of_run(store: Store, row: Row) -> Run:
    entry = store.row(_BY, {"id": row["run_id"]})
    return Run(
        key=row["run_id"],
        kind=entry["act"] if entry else BILL,
        state=row["state"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        up_to=row["up_to"],
        actor=entry["actor"] if entry else None,
        code=None,
        **{name: int(row[name] or 0) for name in ("customers", "invoices", "lines", "parked")},
        arguments=None,
    )


def _of_entry(row: Row) -> Run:
    arguments = row["arguments"]
    up_to = arguments.get("up_to")
    day = up_to.get("$date") if isinstance(up_to, dict) else up_to
    return Run(
        key=row["entry_id"],
        kind=row["act"],
        state=row["outcome"],
        started_at=row["happened_at"],
        finished_at=None,
        up_to=date.fromisoformat(day) if day else row["happened_at"].date(),
        actor=row["actor"],
        code=row["code"],
        customers=None,
        invoices=None,
        lines=None,
        parked=None,
        arguments=json.dumps(arguments, ensure_ascii=False) if arguments else None,
    )


# What a run posted.

_HELD = (
    select(
        held_documents.c.customer_id,
        customers.c.name,
        held_documents.c.currency,
        held_documents.c.code,
        held_documents.c.net_minor,
    )
    .join(customers, customers.c.customer_id == held_documents.c.customer_id)
    .where(held_documents.c.run_id == bindparam("id"))
    .order_by(held_documents.c.held_id)
    .limit(200)
)


def posted_by(store: Store, run_id: str) -> Posted:
    """What a run posted by currency, its journal, and what it held back."""
    documents, journals = [], []
    for kind, table, key, prefix in (
        ("invoice", invoices, invoices.c.invoice_id, "inv"),
        ("credit_note", credit_notes, credit_notes.c.note_id, "note"),
    ):
        own = (ids_of_run(store, run_id, prefix, key), table.c.run_id == run_id, table.c.number.is_not(None))
        sums = [func.sum(table.c[name]).label(name) for name in ("net_minor", "tax_minor", "total_minor")]
        found = store.rows(
            select(table.c.currency, func.count().label("documents"), *sums)
            .where(*own)
            .group_by(table.c.currency)
            .order_by(table.c.currency)
        )
        documents += [{"kind": kind} | row for row in found]
        journals += store.rows(
            select(
                journal_lines.c.currency,
                func.sum(journal_lines.c.debit_minor).label("debit_minor"),
                func.sum(journal_lines.c.credit_minor).label("credit_minor"),
            )
            .join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)
            .join(table, and_(journal_entries.c.source_id == key, journal_entries.c.source_kind == kind))
            .where(*own)
            .group_by(journal_lines.c.currency)
        )
    return Posted(
        _whole(documents, _DOCUMENTS),
        _whole(journals, _JOURNAL).group_by("currency", maintain_order=True).sum(),
        _whole(store.rows(_HELD, {"id": run_id}), _HELD_ROWS),
    )


_DOCUMENTS = {
    "kind": pl.String,
    "currency": pl.String,
    "documents": pl.Int64,
    "net_minor": pl.Int64,
    "tax_minor": pl.Int64,
    "total_minor": pl.Int64,
}
_JOURNAL = {"currency": pl.String, "debit_minor": pl.Int64, "credit_minor": pl.Int64}
_HELD_ROWS = {
    "customer_id": pl.String,
    "name": pl.String,
    "currency": pl.String,
    "code": pl.String,
    "net_minor": pl.Int64,
}


def _whole(rows: Sequence[Row], schema: dict[str, Any]) -> pl.DataFrame:
    """Rows as a frame of whole numbers, whatever the driver calls a sum."""
    return pl.DataFrame(
        [
            [
                int(row[name]) if kind == pl.Int64 and row[name] is not None else row[name]
                for name, kind in schema.items()
            ]
            for row in rows
        ],
        schema=schema,
        orient="row",
    )


# Who is set aside.

_PARKED = (
    select(
        customers.c.customer_id,
        customers.c.name,
        customers.c.parked_at,
        customers.c.parked_code.label("code"),
        customers.c.parked_detail.label("detail"),
    )
    .where(customers.c.parked_at.is_not(None))
    .order_by(customers.c.customer_id)
)


def parked(store: Store, limit: int) -> pl.DataFrame:
    """Customers whom bill runs leave aside."""
    return store.frame(_PARKED.limit(limit))


# The doctor.

LAST_EXAMINATION = "doctor.json"
KEPT_FINDINGS = 200


def keep_examination(
    folder: Path, at: datetime, checks: int, findings: Sequence[dict[str, Any]], count: int
) -> None:
    """Keep what the doctor found in the company's logs, for the dashboard; the last time alone."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    partial = logs / f".{LAST_EXAMINATION}.partial"
    told = {"examined_at": at.isoformat(), "checks": checks, "count": count, "findings": list(findings)}
    partial.write_text(json.dumps(told, default=str, ensure_ascii=False), encoding="utf-8")
    partial.replace(logs / LAST_EXAMINATION)


def last_examination(folder: Path) -> Examination | None:
    """What the doctor found last; None where it was never called or left nothing that can be read."""
    path = folder / "logs" / LAST_EXAMINATION
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        findings = [
            {
                "check": str(one["check"]),
                "table": str(one["table"]),
                "key": ", ".join(f"{name} {value}" for name, value in one["key"].items()),
                "sentence": str(one["sentence"]),
            }
            for one in told["findings"]
        ]
        schema = dict.fromkeys(("check", "table", "key", "sentence"), pl.String)
        at = datetime.fromisoformat(told["examined_at"])
        return Examination(at, int(told["checks"]), int(told["count"]), pl.DataFrame(findings, schema))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
