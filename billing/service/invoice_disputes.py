"""Acts on invoices that a customer disputes: while a dispute is open its part of the invoice is not chased.

A dispute of a payment at the customer's bank is another thing (the table disputes).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select

from billing.core.calendar import local_date
from billing.core.money import BillingError, allocate, share
from billing.jobs.receive import hold
from billing.service.acts import act, announce
from billing.service.credit_notes import issue_credit_note, posted_lines
from billing.store.store import Row, Store
from billing.store.tables import invoice_disputes, invoices, line_items

OUTCOMES = ("accepted", "rejected")

_PAYER = select(invoices.c.customer_id).where(invoices.c.invoice_id == bindparam("id"))
_DISPUTED = select(
    invoice_disputes.c.line_id, func.sum(invoice_disputes.c.amount_minor).label("amount_minor")
).where(invoice_disputes.c.invoice_id == bindparam("id"), invoice_disputes.c.closed_on.is_(None))
_DISPUTE = (
    select(invoice_disputes, invoices.c.customer_id, invoices.c.currency)
    .join(invoices, invoices.c.invoice_id == invoice_disputes.c.invoice_id)
    .where(invoice_disputes.c.dispute_id == bindparam("id"))
    .with_for_update(of=invoice_disputes)
)


@act
def dispute_invoice(
    store: Store,
    at: datetime,
    *,
    invoice_id: str,
    reason: str,
    line_id: str | None = None,
    amount_minor: int | None = None,
) -> str:
    """A customer disputes an open invoice, or a line of it, tax included; returns the dispute's id.
    `amount_minor`: all that is open of it and not disputed yet.

    Raises `missing_value` without reason, `unknown_invoice`, `unknown_line` for a line that is no charge of
    it, `illegal_transition` for an invoice that is not open, `negative_quantity`, `amount_out_of_range` above
    what is open, or left of the line, and not disputed yet.
    """
    if not reason.strip():
        raise BillingError("missing_value", "a dispute without reason")
    found = store.row(_PAYER, {"id": invoice_id})
    if found is None:
        raise BillingError("unknown_invoice", invoice_id)
    held = hold(store, [found["customer_id"]], [invoice_id])
    debt = held.debts.row(0, named=True)
    if debt["state"] != "open":
        raise BillingError("illegal_transition", f"{invoice_id} is {debt['state']}")
    most = _undisputed(store, debt, line_id)
    amount = most if amount_minor is None else amount_minor
    if amount_minor is not None and amount_minor <= 0:
        raise BillingError("negative_quantity", f"a dispute of {amount_minor}")
    if not 0 < amount <= most:
        raise BillingError("amount_out_of_range", f"{amount} of {most} open and not disputed yet")
    dispute = {
        "dispute_id": store.new_id("idp"),
        "invoice_id": invoice_id,
        "line_id": line_id,
        "amount_minor": amount,
        "reason": reason.strip(),
        "opened_on": local_date(at, held.payers["time_zone"][0]),
    }
    store.insert(invoice_disputes, [dispute], at)
    facts = {"customer_id": found["customer_id"], "currency": debt["currency"]}
    announce(store, at, "invoice.disputed", invoice_id, dispute | facts)
    return str(dispute["dispute_id"])


def _undisputed(store: Store, debt: Row, line_id: str | None) -> int:
    """What of an invoice, or of a line of it, is open and in no open dispute."""
    rows = store.rows(_DISPUTED.group_by(invoice_disputes.c.line_id), {"id": debt["invoice_id"]})
    disputed: dict[str | None, int] = {row["line_id"]: row["amount_minor"] for row in rows}
    most: int = debt["open_minor"] - sum(disputed.values())
    if line_id is not None:
        lines = [line for line in _charges(store, debt["invoice_id"]) if line["line_id"] == line_id]
        if not lines:
            raise BillingError("unknown_line", line_id)
        most = min(most, _left(lines[0]) - disputed.get(line_id, 0))
    return max(most, 0)


def _charges(store: Store, invoice_id: str) -> list[Row]:
    rows = posted_lines(store, line_items.c.invoice_id, [invoice_id])
    return [row for row in rows if row["entry"] == "charge" and row["kind"] != "rebate"]


def _left(line: Row) -> int:
    return int(line["left_minor"] + line["left_tax_minor"])


@act
def close_invoice_dispute(store: Store, at: datetime, *, dispute_id: str, outcome: str) -> str | None:
    """Accept a dispute, so that a credit note takes its amount off the invoice, or reject it; returns the
    note's id. What is credited is shared by what is left of the lines; where tax allows no such amount to
    the cent, it is the nearest.

    Raises `unknown_dispute`, `unknown_setting` for another outcome, `illegal_transition` for one that is
    closed, and as `issue_credit_note`.
    """
    if outcome not in OUTCOMES:
        raise BillingError("unknown_setting", f"outcome = {outcome!r}")
    dispute = store.row(_DISPUTE, {"id": dispute_id})
    if dispute is None:
        raise BillingError("unknown_dispute", dispute_id)
    if dispute["closed_on"] is not None:
        raise BillingError("illegal_transition", f"{dispute_id} is {dispute['outcome']}")
    note_id = _credit(store, at, dispute) if outcome == "accepted" else None
    held = hold(store, [dispute["customer_id"]], [dispute["invoice_id"]])
    today = local_date(at, held.payers["time_zone"][0])
    change = {"dispute_id": dispute_id, "closed_on": today, "outcome": outcome}
    store.update(invoice_disputes, [change], at)
    facts = {name: dispute[name] for name in ("customer_id", "invoice_id", "amount_minor", "currency")}
    announce(
        store, at, "invoice.dispute_closed", dispute_id, facts | {"outcome": outcome, "note_id": note_id}
    )
    return note_id


def _credit(store: Store, at: datetime, dispute: Row) -> str:
    lines = _charges(store, dispute["invoice_id"])
    if dispute["line_id"] is not None:
        lines = [line for line in lines if line["line_id"] == dispute["line_id"]]
    reason = f"dispute: {dispute['reason']}"
    return issue_credit_note(store, at, lines=_shares(lines, dispute["amount_minor"]), reason=reason)


def _shares(lines: Sequence[Row], amount_minor: int) -> list[tuple[str, int]]:
    """The net that is credited of each line, so that with its tax it comes to the amount."""
    lines = [line for line in lines if _left(line) > 0]
    amount = min(amount_minor, sum(_left(line) for line in lines))
    parts = allocate(amount, [_left(line) for line in lines])
    nets = [
        (line["line_id"], share(part, line["left_minor"], _left(line)))
        for line, part in zip(lines, parts, strict=True)
    ]
    return [(line_id, net) for line_id, net in nets if net > 0]
