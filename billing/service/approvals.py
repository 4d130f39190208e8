"""What waits for a person's word: approve it, and it is carried out once; reject it, and nothing happens."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.dun import dun
from billing.service.acts import act, announce
from billing.service.carried_orders import carry_out
from billing.service.orders import approved
from billing.service.subscriptions import cancel
from billing.service.write_offs import write_off
from billing.store.store import Row, Store
from billing.store.tables import approvals, customers, invoices, items, line_items, subscriptions

_LISTED = select(
    approvals.c.approval_id,
    approvals.c.kind,
    approvals.c.customer_id,
    approvals.c.subject_id,
    approvals.c.state,
    approvals.c.proposed_on,
    approvals.c.decided_on,
    approvals.c.decided_by,
    approvals.c.details,
).order_by(approvals.c.approval_id)


def list_approvals(store: Store, *, state: str | None = "pending") -> pl.DataFrame:
    """Approvals in the order they were asked for, `details` as JSON; None lists all states."""
    if state is None:
        return store.frame(_LISTED)
    return store.frame(_LISTED.where(approvals.c.state == bindparam("state")), {"state": state})


@act
def approve(store: Store, at: datetime, *, approval_id: str, decided_by: str) -> None:
    """Carry out what an approval is about, once.

    order: the act, as if it were made today. collection: the subscriptions on the case's unpaid invoices (all
    the payer's when none is named) end today with reason `payment`. write_off: what is still open of the
    invoices that were proposed is given up. Raises `unknown_approval`,
    `illegal_transition` where it was decided before,
    `missing_value` without a name, and what is carried out raises: it then waits on.
    """
    row, today = _decided(store, at, approval_id, "approved", decided_by)
    _CARRY_OUT[row["kind"]](store, at, row)
    _tell(store, at, row, "approval.approved", decided_by, today)


@act
def reject(store: Store, at: datetime, *, approval_id: str, decided_by: str) -> None:
    """Let nothing come of what an approval is about. Raises as `approve`."""
    row, today = _decided(store, at, approval_id, "rejected", decided_by)
    _tell(store, at, row, "approval.rejected", decided_by, today)


_ONE = (
    select(approvals, customers.c.time_zone)
    .join(customers, customers.c.customer_id == approvals.c.customer_id)
    .where(approvals.c.approval_id == bindparam("id"))
    .with_for_update(of=approvals)
)


def _decided(store: Store, at: datetime, approval_id: str, state: str, decided_by: str) -> tuple[Row, date]:
    """A pending approval, held and marked as decided, and the payer's today."""
    if not decided_by.strip():
        raise BillingError("missing_value", "nobody is named who decides")
    row = store.row(_ONE, {"id": approval_id})
    if row is None:
        raise BillingError("unknown_approval", approval_id)
    if row["state"] != "pending":
        raise BillingError("illegal_transition", f"{approval_id} is {row['state']}")
    today = local_date(at, row["time_zone"])
    change = {
        "approval_id": approval_id,
        "state": state,
        "decided_on": today,
        "decided_by": decided_by.strip(),
    }
    store.update(approvals, [change], at)
    return row, today


def _tell(store: Store, at: datetime, row: Row, topic: str, decided_by: str, today: date) -> None:
    facts = {"kind": row["kind"], "customer_id": row["customer_id"], "subject_id": row["subject_id"]}
    announce(store, at, topic, row["approval_id"], facts | {"decided_by": decided_by, "on": today})


_BILLED = (
    select(items.c.subscription_id, line_items.c.invoice_id)
    .join(line_items, line_items.c.item_id == items.c.item_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .where(subscriptions.c.status != "canceled")
)
_RUNNING = select(subscriptions.c.subscription_id).where(
    subscriptions.c.bill_to == bindparam("payer"), subscriptions.c.status != "canceled"
)


def _hand_over(store: Store, at: datetime, row: Row) -> None:
    """End what the unpaid invoices were for; the case itself goes on until the money comes or is written
    off."""
    invoice_ids = [item["invoice_id"] for item in _details(row)["items"]]
    named = read_by_ids(store, _BILLED, line_items.c.invoice_id, invoice_ids)
    found = named if named.height else store.frame(_RUNNING, {"payer": row["customer_id"]})
    for subscription_id in found["subscription_id"].unique().sort():
        cancel(store, at, subscription_id=subscription_id, when="now", reason="payment")
    dun(store, at, customer_id=row["customer_id"])


def _give_up(store: Store, at: datetime, row: Row) -> None:
    """Write off what is still open of the invoices that were proposed; with nothing else overdue the case
    closes."""
    invoice_ids = [item["invoice_id"] for item in _details(row)["items"]]
    for one in read_by_ids(store, _STILL_OPEN, invoices.c.invoice_id, invoice_ids)["invoice_id"].sort():
        write_off(store, at, invoice_id=one, reason=f"approved as {row['approval_id']}")
    dun(store, at, customer_id=row["customer_id"])


_STILL_OPEN = select(invoices.c.invoice_id).where(invoices.c.state == "open")


def _details(row: Row) -> dict[str, Any]:
    return dict(json.loads(row["details"]))


def _place(store: Store, at: datetime, row: Row) -> None:
    """Carry an order out as if it were made now, whatever its payer owes."""
    with approved():
        carry_out(store, at, _details(row)["order"])


_CARRY_OUT = {"collection": _hand_over, "write_off": _give_up, "order": _place}
