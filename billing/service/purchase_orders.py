"""Purchase orders: what a payer may be billed for, up to a budget, while the order is valid.

A subscription names its order (`service.invoicing`), which then has invoices of its own. A document that
needs an order it does not have, or does not fit into its order, is held by the bill run (`jobs.bill_orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError, currency_exponent, parse_money
from billing.jobs.bill_orders import billed_on_orders
from billing.service.acts import act, announce
from billing.service.customers import customer as customer_row
from billing.store.store import Row, Store
from billing.store.tables import held_documents, purchase_orders


@dataclass(frozen=True, slots=True)
class PurchaseOrder:
    """An order as it stands. `billed_minor`: invoiced on it less what was credited, before tax."""

    po_id: str
    customer_id: str
    number: str
    currency: str
    budget_minor: int | None
    valid_start: date
    valid_end: date | None
    billed_minor: int

    @property
    def left_minor(self) -> int | None:
        """What may still be billed; None without a budget."""
        return None if self.budget_minor is None else self.budget_minor - self.billed_minor


@act
def create_purchase_order(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    number: str,
    budget: str | None = None,
    currency: str | None = None,
    valid_start: date | None = None,
    valid_end: date | None = None,
    po_id: str | None = None,
) -> str:
    """An order of a payer, by the payer's own number; returns its id. `budget`: what may be billed on it
    before tax ("5000.00"), None for no bound. Invoices issued in [valid_start (today), valid_end) count to
    it.

    Raises `unknown_customer`, `missing_value` without number, `unknown_currency`, `negative_quantity`,
    `empty_period`, `immutable` (the id or the number is taken), and as money is read.
    """
    payer = customer_row(store, customer_id)
    if not number.strip():
        raise BillingError("missing_value", "an order without number")
    currency = currency or str(payer["currency"])
    currency_exponent(currency)
    row = {
        "po_id": po_id or store.new_id("po"),
        "customer_id": customer_id,
        "number": number.strip(),
        "currency": currency,
        "budget_minor": _budget(budget, currency),
        "valid_start": valid_start or local_date(at, payer["time_zone"]),
        "valid_end": valid_end,
    }
    _check_period(row)
    store.insert(purchase_orders, [row], at)
    announce(store, at, "purchase_order.created", str(row["po_id"]), row)
    return str(row["po_id"])


@act
def change_purchase_order(store: Store, at: datetime, /, *, po_id: str, **changes: Any) -> None:
    """Change `budget`, `valid_start` or `valid_end` of an order; documents that were held join the next run.

    Raises `unknown_purchase_order`, `unknown_setting` for another name, `po_exhausted` for a budget below
    what was billed, and as `create_purchase_order`.
    """
    unknown = set(changes) - {"budget", "valid_start", "valid_end"}
    if unknown:
        raise BillingError("unknown_setting", f"orders have no {', '.join(sorted(unknown))} to change")
    row = _held_order(store, po_id)
    new: Row = {name: value for name, value in changes.items() if name != "budget"}
    if "budget" in changes:
        new["budget_minor"] = _budget(changes["budget"], row["currency"])
        billed = _billed(store, [po_id]).get(po_id, 0)
        if new["budget_minor"] is not None and new["budget_minor"] < billed:
            raise BillingError("po_exhausted", f"{po_id}: {billed} minor units are billed already")
    _check_period(row | new)
    store.update(purchase_orders, [{"po_id": po_id} | new], at)
    announce(store, at, "purchase_order.changed", po_id, {"customer_id": row["customer_id"]} | new)


@act
def close_purchase_order(store: Store, at: datetime, *, po_id: str, on: date | None = None) -> None:
    """Let an order be valid no more from a day (today) on. Raises `unknown_purchase_order`,
    `illegal_transition` where it ended by then."""
    row = _held_order(store, po_id)
    day = on or local_date(at, customer_row(store, row["customer_id"])["time_zone"])
    if row["valid_end"] is not None and row["valid_end"] <= day:
        raise BillingError("illegal_transition", f"{po_id} ended on {row['valid_end']}")
    end = max(day, row["valid_start"])
    store.update(purchase_orders, [{"po_id": po_id, "valid_end": end}], at)
    facts = {"customer_id": row["customer_id"], "valid_end": end}
    announce(store, at, "purchase_order.closed", po_id, facts)


def list_purchase_orders(store: Store, *, customer_id: str) -> list[PurchaseOrder]:
    """The orders of a payer with what was billed on each, in the order of their validity."""
    found = store.rows(_OF_PAYER, {"id": customer_id})
    billed = _billed(store, [row["po_id"] for row in found])
    return [PurchaseOrder(**row, billed_minor=billed.get(row["po_id"], 0)) for row in found]


_COLUMNS = [
    purchase_orders.c[name]
    for name in ("po_id", "customer_id", "number", "currency", "budget_minor", "valid_start", "valid_end")
]
_OF_PAYER = (
    select(*_COLUMNS)
    .where(purchase_orders.c.customer_id == bindparam("id"))
    .order_by(purchase_orders.c.valid_start, purchase_orders.c.po_id)
)
_ORDER = select(*_COLUMNS).where(purchase_orders.c.po_id == bindparam("id")).with_for_update()
_HELD = (
    select(held_documents)
    .where(held_documents.c.run_id == bindparam("id"))
    .order_by(held_documents.c.held_id)
)


def held_documents_of(store: Store, *, run_id: str) -> list[Row]:
    """What a run held back: payer, currency, order, code, and the net amount of each document."""
    return store.rows(_HELD, {"id": run_id})


def _held_order(store: Store, po_id: str) -> Row:
    """The row of an order, held so that no run bills on it meanwhile (PostgreSQL)."""
    row = store.row(_ORDER, {"id": po_id})
    if row is None:
        raise BillingError("unknown_purchase_order", po_id)
    return row


def _billed(store: Store, po_ids: list[str]) -> dict[str, int]:
    return dict(billed_on_orders(store, po_ids).iter_rows()) if po_ids else {}


def _budget(text: str | None, currency: str) -> int | None:
    if text is None:
        return None
    budget = parse_money(text, currency)
    if budget < 0:
        raise BillingError("negative_quantity", f"a budget of {text}")
    return budget


def _check_period(row: Row) -> None:
    if row["valid_end"] is not None and row["valid_end"] <= row["valid_start"]:
        raise BillingError("empty_period", f"{row['valid_start']} to {row['valid_end']} holds no day")
