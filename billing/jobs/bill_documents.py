"""Writes what a bill run found: documents with their numbers, lines, tax, applications, journal, messages."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from billing.core import invoicing
from billing.core.adjustments import applied
from billing.core.thresholds import with_reversed
from billing.jobs.bill_discounts import write_uses
from billing.jobs.bill_draft import Draft
from billing.jobs.bill_facts import OPEN_DEBT, TERMS, hold_customers, read_by_ids
from billing.jobs.bill_groups import GROUP
from billing.jobs.bill_pools import with_related
from billing.jobs.bill_refunds import requested, write_requested
from billing.jobs.bill_unbilled import keep_reasons
from billing.jobs.bill_voids import replaced
from billing.jobs.credit import OWNER, mark_spent, open_credit, write_applications
from billing.jobs.journal import post_events
from billing.jobs.numbering import numbers
from billing.jobs.wallets import draws, top_up_drawn
from billing.store.messages import announce
from billing.store.store import Store
from billing.store.tables import (
    credit_note_lines,
    credit_notes,
    customers,
    held_documents,
    invoices,
    line_items,
    outbox,
    tax_lines,
    usage_snapshots,
)

# Writing.


def write(store: Store, at: datetime, run_id: str, found: Draft) -> None:
    """Post a draft: documents with their numbers, lines, tax, journal, messages, and the next days."""
    if found.failures.height:
        park(store, at, found.failures)
    store.update(customers, found.next_days, at)
    _write_usage(store, at, found)
    keep_reasons(store, at, found.members, found.unbilled, found.served)
    _write_held(store, at, run_id, found.held)
    if found.lines.is_empty():
        return
    papers = _papers(store, at, found)
    _hold_payers(store, found, papers)
    if found.voided.height:
        papers = papers.drop("replaces_id").join(
            replaced(store, found.lines, papers, found.voided),
            on="document",
            how="left",
            maintain_order="left",
        )
    notes, new_invoices = papers.filter("has_note"), papers.filter("has_invoice")
    back = requested(store, found.lines, papers)
    paid, debts = _applications(store, at, found, papers, back)
    _write_notes(store, at, run_id, notes)
    _write_invoices(store, at, run_id, new_invoices, paid)
    _write_lines(store, at, found, papers)
    if back.height:
        write_requested(store, at, back)
    events = [_issued(papers)]
    if paid.height:
        events.append(write_applications(store, at, paid, debts))
    post_events(store, at, pl.concat(events, how="diagonal"))
    _announce(store, at, papers)
    top_up_drawn(store, at, paid)


def _write_held(store: Store, at: datetime, run_id: str, held: pl.DataFrame) -> None:
    if held.is_empty():
        return
    rows = held.select(
        pl.Series("held_id", store.new_ids("held", held.height), dtype=pl.String),
        pl.lit(run_id).alias("run_id"),
        pl.col("payer_id").alias("customer_id"),
        "entity_id",
        "currency",
        "po_id",
        "code",
        "net_minor",
    )
    store.insert(held_documents, rows, at)
    announce(
        store,
        at,
        [("document.held", row["customer_id"], row) for row in rows.drop("run_id").iter_rows(named=True)],
    )


def _hold_payers(store: Store, found: Draft, papers: pl.DataFrame) -> None:
    """Hold the payers that are not billed themselves, before their credit is read: so none of it is given
    back or spent elsewhere meanwhile (PostgreSQL; SQLite has one writer).

    A payer stands above its members in their tree, so two runs with parts of one tree are all that could wait
    for each other, and they take payers in the order of their ids. Where the members they hold close a circle
    all the same, the database ends it, and the chunk it undid is tried again.
    """
    if store.is_sqlite:
        return
    payers = set(papers["payer_id"].to_list()) - set(found.members["customer_id"].to_list())
    hold_customers(store, payers)


def _write_usage(store: Store, at: datetime, found: Draft) -> None:
    for quantities in (found.usage, found.goods):
        store.insert(usage_snapshots, quantities.drop("customer_id"), at)


_PAPER = [
    "document",
    *GROUP,
    *TERMS,
    "issued_on",
    "collection",
    "keeps_credit",
]


def _papers(store: Store, at: datetime, found: Draft) -> pl.DataFrame:
    """The documents with their parties, days, ids and numbers. Notes come before invoices."""
    heads = found.lines.select(_PAPER).unique("document", keep="first", maintain_order=True)
    papers = found.documents.join(heads, on="document", how="left", maintain_order="left").with_columns(
        invoicing.due_days(pl.col("issued_on"), pl.col("net_days"), pl.col("end_of_month")).alias("due_on"),
        pl.lit(None, pl.String).alias("replaces_id"),
    )
    for kind, flag, prefix in (
        ("credit_note", pl.col("has_note"), "note"),
        ("invoice", pl.col("has_invoice") & ~pl.col("is_skipped"), "invoice"),
    ):
        wanted = papers.filter(flag)
        ids = pl.Series(f"{prefix}_id", store.new_ids("note" if prefix == "note" else "inv", wanted.height))
        numbered = wanted.select("document").with_columns(
            ids.cast(pl.String), numbers(store, at, kind, wanted).alias(f"{prefix}_number")
        )
        papers = papers.join(numbered, on="document", how="left", maintain_order="left")
    if papers["is_skipped"].any():
        unissued = papers.filter("is_skipped").select("document")
        ids = pl.Series("unissued_id", store.new_ids("inv", unissued.height), dtype=pl.String)
        papers = papers.join(
            unissued.with_columns(ids), on="document", how="left", maintain_order="left"
        ).with_columns(pl.coalesce("invoice_id", "unissued_id").alias("invoice_id"))
    return papers


def _write_notes(store: Store, at: datetime, run_id: str, notes: pl.DataFrame) -> None:
    store.insert(
        credit_notes,
        notes.select(
            "note_id",
            pl.col("note_number").alias("number"),
            "entity_id",
            pl.col("payer_id").alias("customer_id"),
            "currency",
            pl.lit("change").alias("reason"),
            "issued_on",
            *(pl.col(f"note_{name}").alias(name) for name in _SUMS),
            pl.lit(run_id).alias("run_id"),
        ),
        at,
    )


_SUMS = ("net_minor", "tax_minor", "total_minor")


def _write_invoices(store: Store, at: datetime, run_id: str, new: pl.DataFrame, paid: pl.DataFrame) -> None:
    """Invoices are issued open, or paid where nothing is left to pay. One that is not issued keeps its lines
    billed: it is void and has no number."""
    applied = paid.group_by("invoice_id").agg(pl.col("amount_minor").sum().alias("_applied"))
    is_paid = pl.col("total_minor") == pl.col("_applied").fill_null(0)
    rows = new.join(applied, on="invoice_id", how="left", maintain_order="left")
    store.insert(
        invoices,
        rows.select(
            "invoice_id",
            pl.col("invoice_number").alias("number"),
            "entity_id",
            pl.col("payer_id").alias("customer_id"),
            "currency",
            pl.col("payment_terms_id").alias("terms_id"),
            pl.col("invoice_kind").alias("kind"),
            "method_id",
            "po_id",
            "consolidation_group",
            "collection",
            pl.when("is_skipped")
            .then(pl.lit("void"))
            .when(is_paid)
            .then(pl.lit("paid"))
            .otherwise(pl.lit("open"))
            .alias("state"),
            "issued_on",
            "due_on",
            *_early_discount(),
            *_SUMS,
            pl.when(is_paid & ~pl.col("is_skipped")).then("issued_on").alias("paid_on"),
            pl.when("is_skipped").then("issued_on").alias("voided_on"),
            "replaces_id",
            pl.lit(run_id).alias("run_id"),
        ),
        at,
    )


def _early_discount() -> list[pl.Expr]:
    """What may be kept back of an invoice, and until which day, where its terms give it."""
    share = pl.col("discount_ppm").fill_null(0)
    until = pl.col("issued_on") + pl.duration(days=pl.col("discount_days"))
    return [
        share.alias("early_discount_ppm"),
        pl.when(share > 0).then(until).alias("early_discount_until"),
    ]


def _write_lines(store: Store, at: datetime, found: Draft, papers: pl.DataFrame) -> None:
    """Lines and their tax; credits of a note become lines of the note."""
    heads = papers.select("document", "has_note", "invoice_id", "note_id")
    rows = found.lines.join(heads, on="document", how="left", maintain_order="left")
    ids = pl.Series("line_id", store.new_ids("line", rows.height), dtype=pl.String)
    rows = with_reversed(with_related(rows.with_columns(ids)))
    on_note = pl.col("has_note") & (pl.col("entry") == "credit") & ~pl.col("is_already_billed")
    of_notes = rows.filter(on_note)
    if of_notes.height:
        place = pl.int_range(pl.len(), dtype=pl.Int64).over("note_id") + 1
        store.insert(
            credit_note_lines,
            of_notes.select(
                "note_id",
                place.alias("position"),
                pl.col("reverses_line_id").alias("line_id"),
                pl.when(pl.col("kind") == "rebate").then("kind").alias("kind"),
                *invoicing.SERVICE,
                -pl.col("net_minor"),
                -pl.col("tax_minor"),
                -pl.col("document_discount_minor"),
            ),
            at,
        )
    rows = rows.filter(~on_note)
    columns = [name for name in line_items.c.keys() if name in rows.columns]  # noqa: SIM118
    if not (rows["document_discount_minor"] != 0).any():
        columns.remove("document_discount_minor")
    store.insert(line_items, rows.select(columns), at)
    write_uses(store, at, rows)
    store.insert(
        tax_lines,
        rows.select(
            "line_id",
            pl.col("tax_code").fill_null("standard"),
            pl.col("tax_category").alias("category"),
            pl.col("tax_country").alias("country"),
            "tax_rate_ppm",
            pl.col("net_minor").alias("base_minor"),
            "tax_minor",
        ),
        at,
    )


def _applications(
    store: Store, at: datetime, found: Draft, papers: pl.DataFrame, back: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What credit and wallets pay of which invoice, and the older invoices among those. back: what is given
    back of notes, and pays nothing.

    Older credit pays first, then the notes of the run; they pay the run's own invoice, then the invoices they
    correct, then others still open, the oldest first [`credit_target`: balance keeps the rest]. Wallets pay
    what is left of new invoices.
    """
    older = open_credit(store, papers["payer_id"].unique().to_list())
    notes = papers.filter("has_note")
    left = pl.col("note_total_minor")
    if back.height:
        notes = notes.join(
            back.group_by("note_id").agg(pl.col("amount_minor").sum()),
            on="note_id",
            how="left",
            maintain_order="left",
        )
        left = left - pl.col("amount_minor").fill_null(0)
    kind = pl.lit("credit_note").alias("source_kind")
    of_run = notes.select(*OWNER, kind, pl.col("note_id").alias("source_id"), left.alias("left_minor"))
    new = papers.filter("has_invoice").select(*OWNER, "invoice_id", pl.col("total_minor").alias("open_minor"))
    payers = notes.filter(~pl.col("keeps_credit"))["payer_id"].unique().to_list()
    debts = new.clear()
    if payers:
        corrected = found.lines["origin_invoice_id"].drop_nulls().unique()
        debts = (
            read_by_ids(store, OPEN_DEBT, invoices.c.customer_id, payers)
            .sort(pl.col("invoice_id").is_in(corrected.implode()).not_(), "due_on", "invoice_id")
            .select(new.columns)
        )
    sources = pl.concat([older.select(of_run.columns), of_run])
    paid = applied(sources, pl.concat([new, debts]))
    mark_spent(store, at, older, paid)
    days = papers.select(*OWNER, pl.col("issued_on").alias("applied_on")).unique(OWNER, keep="first")
    drawn = draws(store, _less_paid(new, paid).join(days, on=OWNER, how="left", maintain_order="left"))
    return pl.concat([paid, drawn]).join(days, on=OWNER, how="left", maintain_order="left"), debts


def _less_paid(new: pl.DataFrame, paid: pl.DataFrame) -> pl.DataFrame:
    """What credit leaves to pay of new invoices."""
    if paid.is_empty():
        return new
    used = paid.group_by("invoice_id").agg(pl.col("amount_minor").sum())
    left = pl.col("open_minor") - pl.col("amount_minor").fill_null(0)
    rows = new.join(used, on="invoice_id", how="left", maintain_order="left")
    return rows.with_columns(left.alias("open_minor")).drop("amount_minor")


_EVENT = (
    "entity_id",
    pl.col("payer_id").alias("customer_id"),
    "currency",
    pl.col("issued_on").alias("posted_on"),
)


def _issued(papers: pl.DataFrame) -> pl.DataFrame:
    """The events of new documents: notes, then invoices."""
    notes = papers.filter("has_note").select(
        pl.lit("credit_note_issued").alias("event"),
        pl.lit("credit_note").alias("source_kind"),
        pl.col("note_id").alias("source_id"),
        pl.lit(None, dtype=pl.String).alias("invoice_id"),
        *_EVENT,
        pl.col("note_net_minor").alias("net_minor"),
        pl.col("note_tax_minor").alias("tax_minor"),
    )
    issued = papers.filter("has_invoice").select(
        pl.lit("invoice_issued").alias("event"),
        pl.lit("invoice").alias("source_kind"),
        pl.col("invoice_id").alias("source_id"),
        "invoice_id",
        *_EVENT,
        "net_minor",
        "tax_minor",
    )
    return pl.concat([notes, issued])


def _announce(store: Store, at: datetime, papers: pl.DataFrame) -> None:
    """One message a new document."""
    notes = papers.filter("has_note").select(
        pl.lit("credit_note.issued").alias("topic"),
        pl.col("note_id").alias("subject_id"),
        pl.struct(
            pl.col("payer_id").alias("customer_id"),
            pl.col("note_number").alias("number"),
            "currency",
            pl.col("note_total_minor").alias("total_minor"),
        ).alias("payload"),
    )
    issued = papers.filter(pl.col("has_invoice") & ~pl.col("is_skipped")).select(
        pl.lit("invoice.issued").alias("topic"),
        pl.col("invoice_id").alias("subject_id"),
        pl.struct(
            pl.col("payer_id").alias("customer_id"),
            pl.col("invoice_number").alias("number"),
            "currency",
            "total_minor",
        ).alias("payload"),
    )
    rows = pl.concat([notes, issued])
    store.insert(
        outbox,
        rows.select(
            pl.Series("message_id", store.new_ids("msg", rows.height), dtype=pl.String),
            "topic",
            "subject_id",
            pl.col("payload").struct.json_encode(),
        ),
        at,
    )


def park(store: Store, at: datetime, failures: pl.DataFrame) -> None:
    """Set customers aside with what is wrong; `unpark` by a fact that mends it is the service's."""
    rows = failures.select(
        "customer_id",
        pl.lit(at).alias("parked_at"),
        pl.col("code").alias("parked_code"),
        pl.col("detail").alias("parked_detail"),
    )
    store.update(customers, rows, at)
    messages = [
        ("customer.parked", row["customer_id"], {"code": row["code"], "detail": row["detail"]})
        for row in failures.iter_rows(named=True)
    ]
    announce(store, at, messages)
