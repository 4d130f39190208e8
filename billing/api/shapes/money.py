"""Invoices, payments and the ways to pay, as they come in and go out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema

from billing.api.shapes.base import Answer, Body, Currency, Day, Id, Instant, Text
from billing.api.shapes.of_tables import row_of
from billing.store import tables

Amount = Annotated[int, Field(gt=0, le=10**15)]
"""Minor units, more than nothing."""
NotNegative = Annotated[int, Field(ge=0, le=10**15)]
Month = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{3}-(0[1-9]|1[0-2])$")]
Words = Annotated[str, Field(max_length=500)]
Reference = Annotated[str, Field(min_length=1, max_length=140, pattern=r"^[ -~]+$")]
ReturnUrl = Annotated[
    str,
    StringConstraints(min_length=10, max_length=2_000, pattern=r"^https?://[!-~]+$"),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
InvoiceState = Literal["open", "past_due", "uncollectible", "paid", "void"]
PaymentState = Literal["pending", "failed", "captured", "canceled"]
RefundState = Literal["requested", "refunded", "failed"]
TransferState = Literal["matched", "unmatched", "returned"]
ApprovalState = Literal["pending", "approved", "rejected", "withdrawn"]
ApprovalKind = Literal["order", "collection", "write_off"]
Track = Literal["card", "terms", "campaign"]


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [members]})


# What goes out.

LineItem = row_of(
    "InvoiceLine",
    "line_item",
    tables.line_items,
    without=("quantity_mantissa", "quantity_scale"),
    quantity=str,
)
Invoice = row_of("Invoice", "invoice", tables.invoices, without=("frozen_at",), open_minor=int)
CreditNote = row_of("CreditNote", "credit_note", tables.credit_notes, open_minor=int)
InvoiceDispute = row_of(
    "InvoiceDispute", "invoice_dispute", tables.invoice_disputes, customer_id=str, currency=str
)
Payment = row_of("Payment", "payment", tables.payments, without=("is_spent",))
Attempt = row_of("PaymentAttempt", "payment_attempt", tables.payment_attempts)
Application = row_of("Application", "application", tables.applications, customer_id=str, currency=str)
_OF_PAYMENT: dict[str, Any] = {"customer_id": str, "currency": str, "invoice_id": str | None}
Refund = row_of("Refund", "refund", tables.refunds, **_OF_PAYMENT)
Dispute = row_of("Dispute", "dispute", tables.disputes, **_OF_PAYMENT)
Transfer = row_of("Transfer", "transfer", tables.bank_transfers)
Payout = row_of("Payout", "payout", tables.payouts, reference=str)
Method = row_of("PaymentMethod", "payment_method", tables.payment_methods)
Case = row_of("DunningCase", "dunning_case", tables.dunning_cases)
Approval = row_of("Approval", "approval", tables.approvals, without=("details",), details=dict[str, Any])
Period = row_of("Period", "period", tables.accounting_periods, without=("recorded_at", "changed_at"))
AuditEntry = row_of("AuditEntry", "audit_entry", tables.audit_log, without=("arguments",))


class WholeDocument(Answer):
    """A document as it is sent, with all that is printed on it (`schema` names its form)."""

    number: str
    kind: str
    currency: str
    total_minor: int


class Posting(Answer):
    object: Literal["posting"]
    entry_id: str
    position: int
    account: str
    currency: str
    debit_minor: int
    credit_minor: int


class Sum(Answer):
    object: Literal["invoice_sum"]
    customer_id: str
    currency: str
    invoices: int
    open_minor: int
    overdue_minor: int


class Sums(Answer):
    object: Literal["invoice_sums"]
    data: list[Sum]


class Drafts(Answer):
    object: Literal["drafts"]
    documents: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    failures: list[dict[str, Any]]


class Setup(Answer):
    """A page of the gateway's: send the customer to `url` until `expires_at`, and finish the setup with
    `token` when it comes back. `frame_origin`: what a content security policy has to allow to frame it."""

    object: Literal["payment_method_setup"]
    setup_id: str
    customer_id: str
    state: Literal["open", "done"]
    expires_at: Instant
    method_id: str | None = None


class NewSetupAnswer(Setup):
    url: str | None = None
    token: str | None = None
    frame_origin: str | None


class Requested(Answer):
    object: Literal["refund_request"]
    payment_id: str
    refunds: list[dict[str, Any]]


class Matched(Answer):
    object: Literal["transfer_import"]
    accepted: int
    duplicate: int
    matched: int
    rejected: list[dict[str, Any]]


class QueuedCase(Answer):
    object: Literal["dunning_case"]
    case_id: str
    next_step: str | None


class Queue(Answer):
    object: Literal["dunning_queue"]
    data: list[QueuedCase]


class Parked(Answer):
    object: Literal["parked_customer"]
    customer_id: str
    code: str | None
    detail: str | None


class Retried(Answer):
    object: Literal["parked_customer"]
    customer_id: str
    is_parked: Literal[False]


class Reconciliation(Answer):
    object: Literal["reconciliation"]
    month: str
    agrees: bool
    trial_balance: list[dict[str, Any]]
    movements: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    standing: list[dict[str, Any]]


# What comes in.


class Pay(Body):
    """`method_id`: of the payer; without it the one that is charged by itself."""

    model_config = _example()

    method_id: Id | None = None


class WithReason(Body):
    model_config = _example(reason="Ordered twice")

    reason: Text


class MaybeReason(Body):
    model_config = _example(reason="Insolvent")

    reason: Words = ""


class NewInvoiceDispute(Body):
    """All that is open of the invoice, or of a line of it, unless an amount is named."""

    model_config = _example(reason="Too many seats", amount_minor=1500)

    reason: Text
    line_id: Id | None = None
    amount_minor: Amount | None = None


class DisputeOutcome(Body):
    model_config = _example(outcome="accepted")

    outcome: Literal["accepted", "rejected"]


class CreditLine(Body):
    line_id: Id
    net_minor: Amount


class NewCreditNote(Body):
    """Amounts before tax off some lines, or all that is left of an invoice."""

    model_config = _example(reason="Goodwill", lines=[{"line_id": "line_1", "net_minor": 500}])

    reason: Text
    lines: Annotated[list[CreditLine], Field(min_length=1, max_length=1_000)] | None = None
    invoice_id: Id | None = None
    give_back: bool = False


class NewTransfer(Body):
    """Money that came in for an invoice. `bank_ref`: the bank's own reference."""

    model_config = _example(invoice_id="inv_1", amount_minor=100, bank_ref="2025-11-03/17")

    invoice_id: Id
    amount_minor: Amount
    bank_ref: Reference | None = None
    received_on: Day | None = None


class Match(Body):
    """What a transfer pays: invoices, or the oldest of a customer."""

    model_config = _example(invoice_ids=["inv_1"])

    invoice_ids: list[Id] = Field(default_factory=list, max_length=100)
    customer_id: Id | None = None


class BankRow(Body):
    """A row of a bank statement; `amount` in major units as decimal text."""

    entity_id: Id
    bank_ref: Reference
    received_on: Annotated[str, Field(max_length=10)]
    amount: Annotated[str, Field(max_length=40)]
    currency: Annotated[str, Field(max_length=3)]
    payer_name: Words = ""
    reference: Words = ""


class BankRows(Body):
    model_config = _example(
        rows=[
            {
                "entity_id": "seller",
                "bank_ref": "2025-11-03/18",
                "received_on": "2025-11-03",
                "amount": "119.00",
                "currency": "EUR",
                "reference": "INV-2025-00001",
            }
        ]
    )

    rows: Annotated[list[BankRow], Field(min_length=1, max_length=1_000)]


class NewRefund(Body):
    model_config = _example(payment_id="pay_1", amount_minor=100)

    payment_id: Id
    amount_minor: Amount


class NewDispute(Body):
    """`reference`: the gateway's name of the dispute; without an amount all that is left of the payment."""

    model_config = _example(amount_minor=100, reference="dp_1")

    amount_minor: Amount | None = None
    reference: Reference | None = None


class ChargebackOutcome(Body):
    model_config = _example(outcome="won")

    outcome: Literal["won", "lost"]


class NewPayout(Body):
    """`reference`: the gateway's own."""

    model_config = _example(
        entity_id="seller", reference="po_77", currency="EUR", amount_minor=9700, fee_minor=300
    )

    entity_id: Id
    reference: Reference
    currency: Currency
    amount_minor: NotNegative
    fee_minor: NotNegative = 0
    received_on: Day | None = None


class NewSetup(Body):
    """`return_url`: where the gateway sends the customer afterwards."""

    model_config = _example(return_url="https://shop.example/account")

    return_url: ReturnUrl


class FinishSetup(Body):
    model_config = _example(token="the token that the setup was answered with", is_default=True)

    token: Annotated[str, Field(min_length=1, max_length=500)]
    is_default: bool = True


class MethodChange(Body):
    model_config = _example(is_default=True)

    is_default: Literal[True]
