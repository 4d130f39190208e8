"""Credit notes by hand: an amount taken off issued lines, as goodwill or because it was wrong.

A note takes off an amount and no time: the service stays billed, so no run charges it again, and what a run
takes back of the same line later is at most what the note left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import polars as pl
from sqlalchemy import and_, bindparam, exists, or_, select
from sqlalchemy.orm import aliased

from billing.core.adjustments import PostedLine, applied, credit_line
from billing.core.calendar import local_date
from billing.core.money import BillingError, RoundingMode
from billing.jobs.bill_facts import OPEN_DEBT, hold_customers, read_by_ids, read_policies
from billing.jobs.bill_refunds import refunds_of, write_requested
from billing.jobs.credit import write_applications
from billing.jobs.journal import post_events
from billing.jobs.numbering import numbers
from billing.jobs.payments_ahead import lower, payments_ahead
from billing.jobs.wallets import GRANTS, write_movements
from billing.jobs.wallets import KIND as TOP_UP
from billing.service.acts import act, announce
from billing.service.policies import policy_on
from billing.store.debts import OPEN_MINOR
from billing.store.store import Row, Store
from billing.store.tables import (
    credit_note_lines,
    credit_notes,
    customers,
    invoices,
    line_items,
    wallet_grants,
)


class Credit(NamedTuple):
    """What is taken off one posted line (a row of `posted_lines`)."""

    line: Row
    net_minor: int
    tax_minor: int
    document_discount_minor: int
    """What it would be more without the discounts of the line's document."""


@act
def issue_credit_note(
    store: Store,
    at: datetime,
    *,
    reason: str,
    lines: Sequence[tuple[str, int]] | None = None,
    invoice_id: str | None = None,
    give_back: bool = False,
) -> str:
    """Credit amounts before tax of issued lines (`line_id`, `net_minor`), or all that is left of an invoice;
    returns the note's id. Its tax is the same share of each line's tax.

    It pays the invoices it corrects, then the oldest open one, and the rest is kept as credit
    [`credit_target`: balance keeps all]. With `give_back` what was paid for them in money and is not owed any
    more is asked back first, through the payments that brought it.

    Raises `missing_value` (no reason; not exactly one of `lines` and `invoice_id`), `unknown_invoice`,
    `unknown_line` (or of another payer, seller or currency than the others), `negative_quantity`,
    `over_credit` above what is left of a line, or of the balance it bought, `illegal_transition` for an
    invoice that was written off, `period_locked`.
    """
    if not reason.strip():
        raise BillingError("missing_value", "a credit note without reason")
    posted = _asked_for(store, lines, invoice_id)
    hold(store, posted)
    posted = posted_lines(store, line_items.c.line_id, [line["line_id"] for line in posted])
    head = posted[0]
    if any(line["state"] == "uncollectible" for line in posted):
        raise BillingError("illegal_transition", f"{head['invoice_id']} was written off")
    credits = _credits(store, posted, lines)
    today = local_date(at, head["time_zone"])
    back = _given_back(store, credits) if give_back else None
    note = write_note(store, at, head, credits, kind="adjustment", reason=reason.strip(), on=today)
    left = note.total_minor
    if back is not None and back.height:
        about = {"note_id": note.note_id, "issued_on": today, "payer_id": head["payer_id"]}
        write_requested(
            store, at, back.with_columns(pl.lit(value).alias(name) for name, value in about.items())
        )
        left -= int(back["amount_minor"].sum())
    events = [note.events]
    keeps = policy_on(store, head["payer_policy"], today).settings.credit_target == "balance"
    if not keeps:
        events.append(_apply(store, at, head, note.note_id, left, _invoices_of(posted), today))
    post_events(store, at, pl.concat(events, how="diagonal"))
    return note.note_id


def _asked_for(store: Store, lines: Sequence[tuple[str, int]] | None, invoice_id: str | None) -> list[Row]:
    """The charges a note is to credit."""
    if (lines is None) == (invoice_id is None) or (lines is not None and not lines):
        raise BillingError("missing_value", "a credit note is of some lines or of one invoice")
    if invoice_id is not None:
        found = posted_lines(store, line_items.c.invoice_id, [invoice_id])
        if not found:
            raise BillingError("unknown_invoice", invoice_id)
        charges = [line for line in found if line["entry"] == "charge"]
        if not charges:
            raise BillingError("over_credit", f"nothing is left of {invoice_id}")
        return charges
    ids = [line_id for line_id, _ in lines or ()]
    found = posted_lines(store, line_items.c.line_id, ids)
    known = {line["line_id"] for line in found if line["entry"] == "charge"}
    if missing := sorted(set(ids) - known):
        raise BillingError("unknown_line", missing[0])
    for line in found:
        if any(line[name] != found[0][name] for name in ("payer_id", "entity_id", "currency")):
            raise BillingError("unknown_line", f"{line['line_id']} is of another payer, seller or currency")
    return found


def _credits(store: Store, posted: Sequence[Row], lines: Sequence[tuple[str, int]] | None) -> list[Credit]:
    """What each line is credited; raises where it is more than is left, or nothing at all."""
    asked: dict[str, int] = {}
    for line_id, net_minor in lines or ():
        if net_minor <= 0:
            raise BillingError("negative_quantity", f"a credit of {net_minor}")
        asked[line_id] = asked.get(line_id, 0) + net_minor
    modes = roundings(store)
    credits = []
    for line in posted:
        if lines is not None or line["left_minor"] or line["left_tax_minor"]:
            net_minor = asked[line["line_id"]] if lines is not None else line["left_minor"]
            credits.append(credit_of(line, net_minor, modes))
    if not credits:
        raise BillingError("over_credit", f"nothing is left of {posted[0]['invoice_id']}")
    return credits


def credit_of(line: Row, net_minor: int, modes: Mapping[tuple[str, int], RoundingMode]) -> Credit:
    """A part of what is left of a line, its tax a running total."""
    mode = modes[line["policy_name"], line["policy_version"]]
    taken = line["net_minor"] - line["left_minor"]
    tax, discount = (
        credit_line(PostedLine(line["net_minor"], whole, taken, whole - left), net_minor, mode).tax_minor
        for whole, left in (
            (line["tax_minor"], line["left_tax_minor"]),
            (line["document_discount_minor"], line["left_document_discount_minor"]),
        )
    )
    return Credit(line, net_minor, tax, discount)


def roundings(store: Store) -> dict[tuple[str, int], RoundingMode]:
    """The rounding of each version of each policy."""
    return {
        (one.name, one.version): one.settings.rounding  # type: ignore[misc]
        for several in read_policies(store).values()
        for one in several
    }


# Posted lines, and what is left of them.

_LINE = (
    select(
        *(
            line_items.c[name]
            for name in (
                *("line_id", "invoice_id", "customer_id", "kind", "entry", "service_start", "service_end"),
                *("net_minor", "tax_minor", "document_discount_minor", "policy_name", "policy_version"),
                "reverses_line_id",
            )
        ),
        invoices.c.customer_id.label("payer_id"),
        invoices.c.entity_id,
        invoices.c.currency,
        invoices.c.state,
        customers.c.time_zone,
        customers.c.policy_name.label("payer_policy"),
    )
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .join(customers, customers.c.customer_id == invoices.c.customer_id)
    .where(invoices.c.number.is_not(None))
)
_origin = aliased(line_items)
_BY_LINES = (
    select(
        _origin.c.line_id,
        (-line_items.c.net_minor).label("taken_minor"),
        (-line_items.c.tax_minor).label("taken_tax_minor"),
        (-line_items.c.document_discount_minor).label("taken_document_discount_minor"),
    )
    .join(
        line_items,
        and_(line_items.c.item_id == _origin.c.item_id, line_items.c.reverses_line_id == _origin.c.line_id),
    )
    .where(
        line_items.c.entry == "credit",
        line_items.c.kind != "rebate",
        ~exists().where(credit_note_lines.c.line_id == line_items.c.line_id),  # Its invoice is void.
    )
)
_BY_NOTES = select(
    credit_note_lines.c.line_id,
    credit_note_lines.c.net_minor.label("taken_minor"),
    credit_note_lines.c.tax_minor.label("taken_tax_minor"),
    credit_note_lines.c.document_discount_minor.label("taken_document_discount_minor"),
).where(or_(credit_note_lines.c.kind.is_(None), credit_note_lines.c.kind != "rebate"))


def posted_lines(store: Store, column: object, ids: Sequence[str]) -> list[Row]:
    """Issued lines by the column that has one of the ids, with their payer, the state of their invoice, and
    what no credit took of them yet (`left_minor`, `left_tax_minor`, `left_document_discount_minor`), in order
    of their ids."""
    found = read_by_ids(store, _LINE, column, ids)
    of = found["line_id"].to_list()
    taken = pl.concat(
        [
            read_by_ids(store, _BY_LINES, _origin.c.line_id, of),
            read_by_ids(store, _BY_NOTES, credit_note_lines.c.line_id, of),
        ]
    )
    names = {
        "left_minor": ("net_minor", "taken_minor"),
        "left_tax_minor": ("tax_minor", "taken_tax_minor"),
        "left_document_discount_minor": ("document_discount_minor", "taken_document_discount_minor"),
    }
    sums = taken.group_by("line_id").agg(pl.col(name).sum() for _, name in names.values())
    return (
        found.join(sums, on="line_id", how="left")
        .with_columns(
            (pl.col(whole) - pl.col(of).fill_null(0)).alias(left) for left, (whole, of) in names.items()
        )
        .sort("line_id")
        .to_dicts()
    )


_CUSTOMER = select(customers.c.customer_id).where(customers.c.customer_id == bindparam("id"))
_INVOICE = select(invoices.c.invoice_id).where(invoices.c.invoice_id == bindparam("id"))


def hold(store: Store, posted: Sequence[Row]) -> None:
    """Hold who is billed by some lines, so that no run takes back of them meanwhile, then their payer, so
    that no credit is spent, then the invoices (PostgreSQL; SQLite has one writer). What is left is read
    after."""
    if store.is_sqlite:
        return
    payer_id = posted[0]["payer_id"]
    hold_customers(store, {line["customer_id"] for line in posted} - {payer_id})
    hold_customers(store, [payer_id])
    for invoice_id in _invoices_of(posted):
        store.row(_INVOICE.with_for_update(), {"id": invoice_id})


def _invoices_of(posted: Iterable[Row]) -> list[str]:
    return sorted({line["invoice_id"] for line in posted})


# Writing.


class Note(NamedTuple):
    """A note as it was written, and the events of its journal, not posted yet."""

    note_id: str
    total_minor: int
    events: pl.DataFrame


def write_note(
    store: Store, at: datetime, head: Row, credits: Sequence[Credit], *, kind: str, reason: str, on: date
) -> Note:
    """Write a credit note with its number and message, and take top-ups it credits out of their wallets.
    head: the payer, as in `posted_lines`. Raises `over_credit` where a wallet has less."""
    of = _invoices_of(credit.line for credit in credits)
    net, tax = sum(one.net_minor for one in credits), sum(one.tax_minor for one in credits)
    number = numbers(
        store, at, "credit_note", pl.DataFrame({"entity_id": [head["entity_id"]], "issued_on": [on]})
    )
    note = {
        "note_id": store.new_id("note"),
        "number": number[0],
        "entity_id": head["entity_id"],
        "customer_id": head["payer_id"],
        "invoice_id": of[0] if len(of) == 1 else None,
        "currency": head["currency"],
        "reason": reason,
        "issued_on": on,
        "net_minor": net,
        "tax_minor": tax,
        "total_minor": net + tax,
    }
    store.insert(credit_notes, [note], at)
    rows = [
        {
            "note_id": note["note_id"],
            "position": position,
            "line_id": one.line["line_id"],
            "kind": kind,
            "service_start": one.line["service_start"],
            "service_end": one.line["service_end"],
            "net_minor": one.net_minor,
            "tax_minor": one.tax_minor,
            "document_discount_minor": one.document_discount_minor,
        }
        for position, one in enumerate(credits, start=1)
    ]
    store.insert(credit_note_lines, rows, at)
    facts = {name: note[name] for name in ("customer_id", "number", "currency", "total_minor", "reason")}
    announce(store, at, "credit_note.issued", note["note_id"], facts)
    about = {
        "source_kind": "credit_note",
        "source_id": note["note_id"],
        "invoice_id": note["invoice_id"],
        "entity_id": head["entity_id"],
        "customer_id": head["payer_id"],
        "currency": head["currency"],
        "posted_on": on,
    }
    bought = [one for one in credits if one.line["kind"] == TOP_UP]
    _revoke(store, at, bought, on)
    others = [one for one in credits if one.line["kind"] != TOP_UP]
    parts = {"credit_note_issued": others, "wallet_revoked": bought}
    events = [
        about
        | {"event": event}
        | {name: sum(getattr(one, name) for one in part) for name in ("net_minor", "tax_minor")}
        for event, part in parts.items()
    ]
    return Note(note["note_id"], net + tax, pl.DataFrame(events, schema_overrides={"invoice_id": pl.String}))


def bought_by(store: Store, invoice_id: str) -> Row:
    """The grant that a top-up bought, with what is left of it."""
    return read_by_ids(store, GRANTS, wallet_grants.c.invoice_id, [invoice_id]).row(0, named=True)


def _revoke(store: Store, at: datetime, bought: Sequence[Credit], on: date) -> None:
    """Take credited top-ups out of their wallets, as far as nothing drew them."""
    rows = []
    for one in bought:
        grant = bought_by(store, one.line["invoice_id"])
        if one.net_minor > grant["left_minor"]:
            raise BillingError("over_credit", f"{one.net_minor} of {grant['left_minor']} left in the wallet")
        moved = {"kind": "revoked", "amount_minor": one.net_minor, "moved_on": on}
        rows.append(moved | {name: grant[name] for name in ("grant_id", "invoice_id")})
    if rows:
        write_movements(store, at, pl.DataFrame(rows))


def _given_back(store: Store, credits: Sequence[Credit]) -> pl.DataFrame:
    """What a note not written yet asks back as money, by payment."""
    lines = pl.DataFrame(
        {
            "document": 1,
            "entry": "credit",
            "is_refunded": True,
            "origin_invoice_id": [one.line["invoice_id"] for one in credits],
            "net_minor": [-one.net_minor for one in credits],
            "tax_minor": [-one.tax_minor for one in credits],
        }
    )
    return refunds_of(store, lines)


_OPEN = select(invoices.c.invoice_id, OPEN_MINOR.label("open_minor")).where(invoices.c.state == "open")


def _apply(
    store: Store, at: datetime, head: Row, note_id: str, left: int, corrected: Sequence[str], on: date
) -> pl.DataFrame:
    """Pay the corrected invoices, then the oldest open one; returns the events. An invoice that is being
    charged just now is left to its payment; one that waits to be charged again is charged the rest."""
    ahead = {one: payments_ahead(store, one) for one in corrected}
    payable = [one for one, others in ahead.items() if others is not None]
    own = read_by_ids(store, _OPEN, invoices.c.invoice_id, payable).sort("invoice_id")
    others = (
        read_by_ids(store, OPEN_DEBT, invoices.c.customer_id, [head["payer_id"]])
        .filter(
            ~pl.col("invoice_id").is_in(list(corrected)),
            entity_id=head["entity_id"],
            currency=head["currency"],
        )
        .sort("due_on", "invoice_id")
    )
    owner = {name: head[name] for name in ("payer_id", "entity_id", "currency")}
    debts = pl.concat([own, others.select(own.columns)]).with_columns(
        pl.lit(value).alias(name) for name, value in owner.items()
    )
    source = owner | {"source_kind": "credit_note", "source_id": note_id, "left_minor": left}
    paid = applied(pl.DataFrame([source]), debts).with_columns(pl.lit(on).alias("applied_on"))
    for invoice_id, open_minor in own.iter_rows():
        settled = int(paid.filter(invoice_id=invoice_id)["amount_minor"].sum())
        for other in ahead[invoice_id] or () if settled else ():
            lower(store, at, other, open_minor - settled, closed_as="credited")
    return write_applications(store, at, paid, debts)
