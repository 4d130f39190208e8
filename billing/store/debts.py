"""What invoices still ask for, as whoever pays or shows them reads it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, func, select

from billing.store.tables import applications, bank_transfers, invoices, payments

_APPLIED = select(func.coalesce(func.sum(applications.c.amount_minor), 0)).where(
    applications.c.invoice_id == invoices.c.invoice_id
)
OPEN_MINOR = invoices.c.total_minor - _APPLIED.scalar_subquery()
"""What of an invoice nothing has paid yet."""
_IN_TIME = (
    _APPLIED.outerjoin(
        payments,
        and_(payments.c.payment_id == applications.c.source_id, applications.c.source_kind == "payment"),
    )
    .outerjoin(bank_transfers, bank_transfers.c.transfer_id == payments.c.transfer_id)
    .where(
        applications.c.source_kind.in_(["payment", "wallet"]),
        func.coalesce(bank_transfers.c.received_on, payments.c.received_on, applications.c.applied_on)
        <= invoices.c.early_discount_until,
    )
)


def _of_discount(sums: Any) -> Any:
    return case((invoices.c.early_discount_ppm > 0, sums.scalar_subquery()), else_=0)


_RECOVERABLE = invoices.c.written_off_minor - invoices.c.recovered_minor
DEBT = select(
    invoices.c.invoice_id,
    invoices.c.customer_id.label("payer_id"),
    invoices.c.entity_id,
    invoices.c.currency,
    invoices.c.state,
    invoices.c.issued_on,
    invoices.c.due_on,
    invoices.c.net_minor,
    invoices.c.total_minor,
    invoices.c.written_off_minor,
    case(
        (invoices.c.state == "open", OPEN_MINOR), (invoices.c.state == "uncollectible", _RECOVERABLE), else_=0
    ).label("open_minor"),
    case((invoices.c.state == "open", invoices.c.early_discount_ppm), else_=0).label("discount_ppm"),
    invoices.c.early_discount_until.label("discount_until"),
    _of_discount(_APPLIED.where(applications.c.source_kind == "credit_note")).label("noted_minor"),
    _of_discount(_IN_TIME).label("in_time_minor"),
    (_of_discount(_APPLIED.where(applications.c.source_kind == "early_discount")) > 0).label("is_discounted"),
)
"""What an invoice still asks for, and the terms of its early-payment discount, as core.receipts takes them.
What was written off asks for what was not recovered yet."""
