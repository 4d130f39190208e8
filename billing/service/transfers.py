"""Acts of staff on money that came in at the bank: whose it is, said by hand, taken back, or sent back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import hold_customers, read_by_ids
from billing.jobs.journal import post_events
from billing.jobs.receive import hold, receive
from billing.jobs.undo_payments import undo_payments
from billing.service.acts import act, announce
from billing.service.customers import customer
from billing.store.debts import DEBT
from billing.store.store import Row, Store
from billing.store.tables import bank_transfers, invoices, payments, refunds

_TRANSFER = select(bank_transfers).where(bank_transfers.c.transfer_id == bindparam("id")).with_for_update()


@act
def receive_transfer(
    store: Store,
    at: datetime,
    *,
    invoice_id: str,
    amount_minor: int,
    bank_ref: str | None = None,
    received_on: date | None = None,
) -> str:
    """A transfer pays an open invoice, or a part of it; returns the payment's id. `received_on`: today.

    What is charged otherwise for the invoice is lowered to the rest, or given up where nothing is left: a
    dunning case with nothing else unpaid closes as recovered. Raises `unknown_invoice`, `negative_quantity`,
    `amount_out_of_range` above what is open, `illegal_transition` while a charge is under way or its outcome
    unknown, `immutable` where the bank's reference came before.
    """
    found = read_by_ids(store, DEBT, invoices.c.invoice_id, [invoice_id])
    if found.is_empty():
        raise BillingError("unknown_invoice", invoice_id)
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"a transfer of {amount_minor}")
    held = hold(store, found["payer_id"].to_list(), [invoice_id])
    debt = held.debts.row(0, named=True)
    open_minor = debt["open_minor"] if debt["state"] == "open" else 0
    if amount_minor > open_minor:
        raise BillingError("amount_out_of_range", f"{amount_minor} of {open_minor} open on {invoice_id}")
    transfer_id = store.new_id("btr")
    transfer = {
        "transfer_id": transfer_id,
        "entity_id": debt["entity_id"],
        "bank_ref": bank_ref or transfer_id,
        "received_on": received_on or local_date(at, held.payers["time_zone"][0]),
        "amount_minor": amount_minor,
        "currency": debt["currency"],
        "state": "unmatched",
    }
    store.insert(bank_transfers, [transfer], at)
    _match(store, at, transfer, debt["payer_id"], [invoice_id], is_new=True)
    row = store.row(_TRANSFER, {"id": transfer_id})
    assert row is not None
    return str(row["payment_id"])


@act
def match_transfer(
    store: Store,
    at: datetime,
    *,
    transfer_id: str,
    invoice_ids: Sequence[str] = (),
    customer_id: str | None = None,
) -> None:
    """Say whose an unmatched transfer is: it pays these invoices (open ones, or such as were written off), or
    the oldest of this customer. What is left over is the customer's credit.

    Raises `unknown_transfer`, `unknown_invoice`, `unknown_customer`, `missing_value` where neither or both
    are given, `mixed_payers`, `currency_mismatch` also for an invoice or a customer of another seller,
    `illegal_transition` for a transfer that is not unmatched, an invoice that asks for nothing, or one under
    charge.
    """
    transfer = _held(store, transfer_id, "unmatched")
    if bool(invoice_ids) == bool(customer_id):
        raise BillingError("missing_value", "invoice_ids or customer_id")
    payer_id = _payer_of(store, transfer, list(invoice_ids)) if invoice_ids else customer_id
    assert payer_id is not None
    if customer(store, payer_id)["entity_id"] != transfer["entity_id"] and not invoice_ids:
        raise BillingError("currency_mismatch", f"{payer_id} is a customer of another seller")
    _match(store, at, transfer, payer_id, list(invoice_ids), is_new=False)


def _held(store: Store, transfer_id: str, state: str) -> Row:
    row = store.row(_TRANSFER, {"id": transfer_id})
    if row is None:
        raise BillingError("unknown_transfer", transfer_id)
    if row["state"] != state:
        raise BillingError("illegal_transition", f"{transfer_id} is {row['state']}")
    return row


def _payer_of(store: Store, transfer: Row, invoice_ids: list[str]) -> str:
    found = read_by_ids(store, DEBT, invoices.c.invoice_id, invoice_ids)
    missing = set(invoice_ids) - set(found["invoice_id"].to_list())
    if missing:
        raise BillingError("unknown_invoice", ", ".join(sorted(missing)))
    closed = found.filter(~pl.col("state").is_in(["open", "uncollectible"]))
    if closed.height:
        raise BillingError("illegal_transition", f"{closed['invoice_id'][0]} is {closed['state'][0]}")
    is_other = (pl.col("currency") != transfer["currency"]) | (pl.col("entity_id") != transfer["entity_id"])
    if found.filter(is_other).height:
        raise BillingError("currency_mismatch", f"{transfer['currency']} of {transfer['entity_id']}")
    payers = found["payer_id"].unique().to_list()
    if len(payers) > 1:
        raise BillingError("mixed_payers", ", ".join(sorted(payers)))
    return str(payers[0])


def _match(
    store: Store, at: datetime, transfer: Row, payer_id: str, invoice_ids: list[str], *, is_new: bool
) -> None:
    names = ("transfer_id", "entity_id", "currency", "amount_minor", "received_on", "bank_ref")
    about = {"payer_id": payer_id, "matched_by": "hand", "is_new": is_new}
    money = pl.DataFrame([{name: transfer[name] for name in names} | about])
    named = pl.DataFrame(
        {"transfer_id": [transfer["transfer_id"]] * len(invoice_ids), "invoice_id": invoice_ids},
        schema={"transfer_id": pl.String, "invoice_id": pl.String},
    )
    if receive(store, at, money, named).is_empty():
        raise BillingError("illegal_transition", f"a charge of {', '.join(invoice_ids)} is under way")


@act
def unmatch_transfer(store: Store, at: datetime, *, transfer_id: str) -> None:
    """Take back a wrong match: the invoices are open again for what it paid and kept back, a card that was
    given up for it is charged again, and the transfer waits for a person.

    Raises `unknown_transfer`, and `illegal_transition` for one that is not matched, whose money was given
    back, or that paid an invoice which is void or written off since.
    """
    transfer = _held(store, transfer_id, "matched")
    asked = {"id": transfer_id, "customer": transfer["customer_id"]}
    hold_customers(store, [transfer["customer_id"]])
    undone = store.frame(_PAYMENTS_OF, asked)
    ids = undone["payment_id"].to_list()
    if read_by_ids(store, _REFUNDS, refunds.c.payment_id, ids).height:
        raise BillingError("illegal_transition", f"money of {transfer_id} was given back")
    today = local_date(at, customer(store, transfer["customer_id"])["time_zone"])
    undo_payments(store, at, undone, today)
    kept = {"state": "unmatched", "matched_by": "hand"}
    none = dict.fromkeys(("customer_id", "payment_id", "closed_on"))
    store.update(bank_transfers, [{"transfer_id": transfer_id} | kept | none], at)
    facts = {name: transfer[name] for name in ("customer_id", "amount_minor", "currency")}
    announce(store, at, "transfer.unmatched", transfer_id, facts)


_PAYMENTS_OF = (
    select(
        payments.c.payment_id,
        payments.c.invoice_id,
        payments.c.customer_id,
        payments.c.currency,
        payments.c.amount_minor,
        payments.c.kind,
        bank_transfers.c.entity_id,
    )
    .join(bank_transfers, bank_transfers.c.transfer_id == payments.c.transfer_id)
    .where(
        payments.c.customer_id == bindparam("customer"),
        payments.c.transfer_id == bindparam("id"),
        payments.c.undone_on.is_(None),
    )
    .order_by(payments.c.payment_id)
)
_REFUNDS = select(refunds.c.refund_id).where(refunds.c.state != "failed")


@act
def return_transfer(store: Store, at: datetime, *, transfer_id: str) -> None:
    """Note that an unmatched transfer was sent back. Raises `unknown_transfer`, `illegal_transition`."""
    transfer = _held(store, transfer_id, "unmatched")
    today = at.date()
    change = {"transfer_id": transfer_id, "state": "returned", "closed_on": today}
    store.update(bank_transfers, [change], at)
    event = {
        "event": "transfer_returned",
        "source_kind": "bank_transfer",
        "source_id": transfer_id,
        "entity_id": transfer["entity_id"],
        "posted_on": today,
        "customer_id": None,
        "invoice_id": None,
        "currency": transfer["currency"],
        "net_minor": transfer["amount_minor"],
    }
    post_events(store, at, pl.DataFrame([event]))
    facts = {name: transfer[name] for name in ("bank_ref", "amount_minor", "currency")}
    announce(store, at, "transfer.returned", transfer_id, facts)
