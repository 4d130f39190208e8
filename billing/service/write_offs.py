"""Acts of staff on debts nobody expects to be paid: write them off, and take that back.

Money that comes in for such an invoice later is matched to it as any other (service.transfers): it is a
recovery, at most what was written off, and no credit.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, exists, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.journal import post_events
from billing.jobs.payments_ahead import lower_charges
from billing.jobs.receive import Held, hold
from billing.service.acts import act, announce
from billing.store.store import Row, Store
from billing.store.tables import invoices, write_offs

_PAYER = select(invoices.c.customer_id).where(invoices.c.invoice_id == bindparam("id"))
_undoing = write_offs.alias()
_STANDING = (
    select(write_offs.c.write_off_id, write_offs.c.amount_minor)
    .where(
        write_offs.c.invoice_id == bindparam("id"),
        write_offs.c.reverses_id.is_(None),
        ~exists().where(
            _undoing.c.invoice_id == write_offs.c.invoice_id,
            _undoing.c.reverses_id == write_offs.c.write_off_id,
        ),
    )
    .order_by(write_offs.c.write_off_id)
)


@act
def write_off(store: Store, at: datetime, *, invoice_id: str, reason: str = "") -> str:
    """Give up what is open of an invoice: it becomes uncollectible, and nothing is charged for it any more;
    returns the write-off's id.

    Raises `unknown_invoice`, `illegal_transition` for an invoice that is not open or is being charged just
    now, `period_locked`.
    """
    held, debt, today = _held(store, at, invoice_id)
    if debt["state"] != "open":
        raise BillingError("illegal_transition", f"{invoice_id} is {debt['state']}")
    if debt["is_charged"]:
        raise BillingError("illegal_transition", f"a charge of {invoice_id} is under way")
    amount = debt["open_minor"]
    change = {"state": "uncollectible", "written_off_on": today, "written_off_minor": amount}
    store.update(invoices, [{"invoice_id": invoice_id} | change], at)
    write_off_id = note_write_off(store, at, debt, amount, today, reason=reason)
    none_left = pl.DataFrame({"invoice_id": [invoice_id], "left_minor": [0]})
    lower_charges(store, at, held.charges, none_left, closed_as="written_off")
    facts = {"customer_id": debt["payer_id"], "amount_minor": amount, "currency": debt["currency"]}
    announce(store, at, "invoice.written_off", invoice_id, facts | {"reason": reason})
    return write_off_id


@act
def reinstate(store: Store, at: datetime, *, invoice_id: str, reason: str = "") -> None:
    """Take a write-off back: the invoice is open again for what was given up. What was charged for it stays
    given up.

    Raises `unknown_invoice`, `illegal_transition` for an invoice that is not uncollectible, or of which money
    came in since (undo its match first), `period_locked`.
    """
    _, debt, today = _held(store, at, invoice_id)
    if debt["state"] != "uncollectible":
        raise BillingError("illegal_transition", f"{invoice_id} is {debt['state']}")
    amount = debt["written_off_minor"]
    if debt["open_minor"] != amount:
        raise BillingError("illegal_transition", f"{amount - debt['open_minor']} of {invoice_id} came in")
    change = {"state": "open", "written_off_on": None, "written_off_minor": 0}
    store.update(invoices, [{"invoice_id": invoice_id} | change], at)
    for row in store.rows(_STANDING, {"id": invoice_id}):
        undone, of = row["write_off_id"], row["amount_minor"]
        note_write_off(store, at, debt, of, today, reason=reason, reverses_id=undone)
    facts = {"customer_id": debt["payer_id"], "amount_minor": amount, "currency": debt["currency"]}
    announce(store, at, "invoice.reinstated", invoice_id, facts | {"reason": reason})


def _held(store: Store, at: datetime, invoice_id: str) -> tuple[Held, Row, date]:
    found = store.row(_PAYER, {"id": invoice_id})
    if found is None:
        raise BillingError("unknown_invoice", invoice_id)
    held = hold(store, [found["customer_id"]], [invoice_id])
    return held, held.debts.row(0, named=True), local_date(at, held.payers["time_zone"][0])


def note_write_off(
    store: Store,
    at: datetime,
    debt: Row,
    amount_minor: int,
    today: date,
    *,
    reason: str,
    reverses_id: str | None = None,
) -> str:
    """Keep a write-off, or what takes the one it names back, and post it; returns its id. What the invoice
    says of it is the caller's.

    debt: of DEBT, held.
    """
    write_off_id = store.new_id("off")
    row = {
        "write_off_id": write_off_id,
        "invoice_id": debt["invoice_id"],
        "amount_minor": -amount_minor if reverses_id else amount_minor,
        "reason": reason,
        "written_off_on": today,
        "reverses_id": reverses_id,
    }
    store.insert(write_offs, [row], at)
    posted = {
        "event": "write_off_undone" if reverses_id else "invoice_written_off",
        "source_kind": "write_off",
        "source_id": write_off_id,
        "entity_id": debt["entity_id"],
        "posted_on": today,
        "customer_id": debt["payer_id"],
        "invoice_id": debt["invoice_id"],
        "currency": debt["currency"],
        "net_minor": amount_minor,
    }
    post_events(store, at, pl.DataFrame([posted]))
    return write_off_id
