"""Void an invoice that is wrong and unpaid: all of it is credited, and what is owed then is billed anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, or_, select

from billing.core.adjustments import applied
from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.credit import OWNER, STANDING, open_credit, undo_applications, write_applications
from billing.jobs.journal import post_events
from billing.jobs.payments_ahead import lower, payments_ahead
from billing.jobs.wallets import KIND as TOP_UP
from billing.service.acts import act, announce
from billing.service.credit_notes import (
    Credit,
    bought_by,
    credit_of,
    hold,
    posted_lines,
    roundings,
    write_note,
)
from billing.store.messages import mark_to_bill
from billing.store.store import Row, Store
from billing.store.tables import applications, credit_note_lines, invoices, line_items

_INVOICE = select(invoices).where(invoices.c.invoice_id == bindparam("id"))


@act
def void_invoice(store: Store, at: datetime, *, invoice_id: str, reason: str) -> str:
    """Credit the whole of an open invoice and void it; returns the note's id. The next run bills the facts as
    they are then, and the invoice it issues names this one.

    Credit that paid a part of it is credit again, but for notes that took off some of its own lines: they
    settle that part. Charges ahead are given up, and a dunning case with nothing else unpaid is closed.

    Raises `missing_value` without reason, `unknown_invoice`, `illegal_transition` for one that is not open,
    that money paid in part, that is being charged just now, that bought balance drawn since, or of which
    something was taken back that was given back or stands on another document; `period_locked`.
    """
    if not reason.strip():
        raise BillingError("missing_value", "a void without reason")
    posted = posted_lines(store, line_items.c.invoice_id, [invoice_id])
    if not posted:
        raise BillingError("unknown_invoice", invoice_id)
    hold(store, posted)
    posted = posted_lines(store, line_items.c.invoice_id, [invoice_id])
    head, today = posted[0], local_date(at, posted[0]["time_zone"])
    invoice = store.row(_INVOICE, {"id": invoice_id})
    assert invoice is not None
    if invoice["state"] != "open":
        raise BillingError("illegal_transition", f"{invoice_id} is {invoice['state']}")
    ahead = payments_ahead(store, invoice_id)
    if ahead is None:
        raise BillingError("illegal_transition", f"a charge of {invoice_id} is under way")
    events = [undo_applications(store, at, _undoable(store, invoice_id), head, today)]
    if invoice["kind"] == TOP_UP and bought_by(store, invoice_id)["left_minor"] < head["left_minor"]:
        raise BillingError("illegal_transition", f"what {invoice_id} bought was drawn")
    credits = _whole(store, posted)
    note = write_note(store, at, head, credits, kind="void", reason=reason.strip(), on=today)
    events.append(note.events)
    events.append(_settled(store, at, head, invoice, credits, note.note_id, today))
    change = {"invoice_id": invoice_id, "state": "void", "voided_on": today}
    store.update(invoices, [change], at)
    post_events(store, at, pl.concat(events, how="diagonal"))
    for other in ahead:
        lower(store, at, other, 0, closed_as="credited")
    _mark(store, at, posted, today)
    facts = {name: invoice[name] for name in ("customer_id", "number", "currency", "total_minor")}
    announce(store, at, "invoice.voided", invoice_id, facts | {"note_id": note.note_id})
    return note.note_id


def _undoable(store: Store, invoice_id: str) -> pl.DataFrame:
    """What pays the invoice, all of it credit."""
    standing = read_by_ids(store, STANDING, applications.c.invoice_id, [invoice_id])
    is_credit = pl.col("source_kind").is_in(["credit_note", "wallet"]) | (
        (pl.col("source_kind") == "payment") & pl.col("was_there")
    )
    if standing.filter(~is_credit).height:
        raise BillingError("illegal_transition", f"{invoice_id} is paid in part; credit what is wrong of it")
    return standing.sort("application_id")


def _whole(store: Store, posted: Sequence[Row]) -> list[Credit]:
    """What is left of each charge; credits and rebates among the lines are undone as they are, also those
    that take back a charge beside them (usage that was billed before)."""
    modes = roundings(store)
    beside = {
        line["reverses_line_id"]: line
        for line in posted
        if line["entry"] == "credit" and line["kind"] != "rebate"
    }
    for line in posted:
        for left, whole in _LEFT.items() if line["line_id"] in beside else ():
            line[left] -= beside[line["line_id"]][whole]
    credits = [
        credit_of(line, line["left_minor"], modes)
        if line["entry"] == "charge" and line["kind"] != "rebate"
        else Credit(line, line["net_minor"], line["tax_minor"], line["document_discount_minor"])
        for line in posted
    ]
    net, tax = sum(one.net_minor for one in credits), sum(one.tax_minor for one in credits)
    if net < 0 or tax < 0:
        _refuse_taken(posted[0]["invoice_id"])
    return credits


_LEFT = {
    "left_minor": "net_minor",
    "left_tax_minor": "tax_minor",
    "left_document_discount_minor": "document_discount_minor",
}


def _refuse_taken(invoice_id: str) -> None:
    detail = f"what was taken back of {invoice_id} stands elsewhere; credit what is left of it instead"
    raise BillingError("illegal_transition", detail)


_CORRECTING = select(
    credit_note_lines.c.note_id.label("source_id"),
    credit_note_lines.c.line_id,
    (credit_note_lines.c.net_minor + credit_note_lines.c.tax_minor).label("of_invoice_minor"),
).where(or_(credit_note_lines.c.kind.is_(None), credit_note_lines.c.kind != "rebate"))


def _settled(
    store: Store, at: datetime, head: Row, invoice: Row, credits: Sequence[Credit], note_id: str, on: date
) -> pl.DataFrame:
    """Pay the invoice from the notes that took all of it back, the void's last; returns the events."""
    ids = [one.line["line_id"] for one in credits]
    of = read_by_ids(store, _CORRECTING, credit_note_lines.c.line_id, ids)
    of = of.group_by("source_id").agg(pl.col("of_invoice_minor").sum())
    sources = (
        open_credit(store, [head["payer_id"]])
        .filter(source_kind="credit_note")
        .join(of, on="source_id")
        .sort(pl.col("source_id") == note_id, "source_id")
        .with_columns(pl.min_horizontal("left_minor", "of_invoice_minor").alias("left_minor"))
    )
    if sources["left_minor"].sum() < invoice["total_minor"]:
        _refuse_taken(invoice["invoice_id"])
    owner = {name: head[name] for name in OWNER}
    target = owner | {"invoice_id": invoice["invoice_id"], "open_minor": invoice["total_minor"]}
    debts = pl.DataFrame([target])
    paid = applied(sources, debts).with_columns(pl.lit(on).alias("applied_on"))
    return write_applications(store, at, paid, debts.clear())


def _mark(store: Store, at: datetime, posted: Sequence[Row], on: date) -> None:
    """Let the next run look at whoever is billed on the lines, from the first of their days on."""
    since: dict[str, date] = {}
    for line in posted:
        if line["kind"] == TOP_UP:
            continue
        first = since.get(line["customer_id"], line["service_start"])
        since[line["customer_id"]] = min(first, line["service_start"])
    for customer_id in sorted(since):
        mark_to_bill(store, at, customer_id, on, since=since[customer_id])
