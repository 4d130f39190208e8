"""Checks of money in: payments, what they pay, refunds, wallets, dunning cases and what people decide."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, exists, func, literal, or_, select
from sqlalchemy.orm import aliased

from billing.core.dunning import BADNESS
from billing.jobs.doctor.books import IS_CAPTURED, IS_TRANSFER
from billing.jobs.doctor.check import Check, above, dangling, differs, rows, unequal
from billing.store.tables import (
    applications,
    approvals,
    asked_attempts,
    bank_transfers,
    campaigns,
    credit_notes,
    customers,
    disputes,
    dunning_cases,
    early_discounts,
    held_documents,
    invoice_disputes,
    invoices,
    payment_attempts,
    payment_methods,
    payments,
    purchase_orders,
    refunds,
    wallet_grants,
    wallet_movements,
    wallets,
    write_offs,
)

_IS_UNDONE = payments.c.undone_on.is_not(None)
_IS_LIVE = payments.c.state.in_(["pending", "failed"])
_APPLIED = (
    select(func.coalesce(func.sum(applications.c.amount_minor), 0))
    .where(applications.c.invoice_id == payments.c.invoice_id)
    .scalar_subquery()
)

PAYMENTS = (
    Check(
        "payment_state",
        "payments",
        "A payment is pending, failed, captured or canceled; what came in (and was undone) has a day.",
        rows(
            payments,
            or_(
                payments.c.state.not_in(["pending", "failed", "captured", "canceled"]),
                payments.c.received_on.is_not(None) != or_(IS_CAPTURED, _IS_UNDONE),
                and_(IS_CAPTURED, _IS_UNDONE),
                and_(~_IS_LIVE, payments.c.next_attempt_at.is_not(None)),
            ),
            payments.c.state,
        ),
    ),
    Check(
        "payment_asked",
        "payments",
        "A payment under way asks for no more than is open of its invoice.",
        select(
            payments.c.payment_id,
            payments.c.amount_minor.label("found"),
            (invoices.c.total_minor - _APPLIED).label("wanted"),
        )
        .join(invoices, invoices.c.invoice_id == payments.c.invoice_id)
        .where(_IS_LIVE, payments.c.amount_minor > invoices.c.total_minor - _APPLIED),
    ),
    Check(
        "payment_twice",
        "invoices",
        "One payment at a time is under way for an invoice.",
        select(payments.c.invoice_id, func.count().label("found"))
        .where(_IS_LIVE, payments.c.invoice_id.is_not(None))
        .group_by(payments.c.invoice_id)
        .having(func.count() > 1),
    ),
    Check(
        "payment_attempt",
        "payments",
        "A captured charge has the attempt that captured it, and it is the last.",
        rows(
            payments,
            and_(
                IS_CAPTURED,
                ~IS_TRANSFER,
                ~exists().where(
                    payment_attempts.c.payment_id == payments.c.payment_id,
                    payment_attempts.c.attempt == payments.c.attempt,
                    payment_attempts.c.outcome == "captured",
                ),
            ),
            payments.c.attempt,
        ),
    ),
    Check(
        "attempt_captured",
        "payment_attempts",
        "Where an attempt captured the money, the payment is captured.",
        select(
            payment_attempts.c.payment_id,
            payment_attempts.c.attempt,
            payments.c.state.label("found"),
        )
        .outerjoin(payments, payments.c.payment_id == payment_attempts.c.payment_id)
        .where(payment_attempts.c.outcome == "captured", differs(payments.c.state, "captured")),
    ),
    Check(
        "payment_method",
        "payment_methods",
        "A customer has one default way to pay at a time.",
        select(payment_methods.c.customer_id, func.count().label("found"))
        .where(payment_methods.c.is_default, payment_methods.c.valid_to.is_(None))
        .group_by(payment_methods.c.customer_id)
        .having(func.count() > 1),
    ),
    Check(
        "payment_reversed",
        "payments",
        "What the bank took back of a payment is its disputes that are open or lost.",
        unequal(
            select(payments.c.payment_id, payments.c.reversed_minor.label("amount")),
            select(disputes.c.payment_id, disputes.c.amount_minor.label("amount")).where(
                disputes.c.outcome.is_distinct_from("won")
            ),
        ),
    ),
)

# --- what pays what ---


def _used(kind: str) -> Select[Any]:
    return select(applications.c.source_id, applications.c.amount_minor.label("amount")).where(
        applications.c.source_kind == kind
    )


_ORIGIN = aliased(applications)
_SAME = ("source_kind", "source_id", "invoice_id")


def _source_currency(table: Any, kind: str) -> ColumnElement[bool]:
    """Whether a source of a kind is there, in the currency and of the payer of the invoice."""
    (key,) = table.primary_key
    return exists().where(
        applications.c.source_kind == kind,
        key == applications.c.source_id,
        table.c.currency == invoices.c.currency,
        table.c.customer_id == invoices.c.customer_id,
    )


_LEFT_OF_PAYMENT = (
    payments.c.amount_minor
    - payments.c.reversed_minor
    - select(func.coalesce(func.sum(applications.c.amount_minor), 0))
    .where(applications.c.source_id == payments.c.payment_id, applications.c.source_kind == "payment")
    .scalar_subquery()
    - select(func.coalesce(func.sum(refunds.c.amount_minor), 0))
    .where(
        refunds.c.payment_id == payments.c.payment_id,
        refunds.c.note_id.is_(None),
        refunds.c.state != "failed",
    )
    .scalar_subquery()
)

APPLICATIONS = (
    Check(
        "payment_applied",
        "payments",
        "A payment pays and gives back no more than it brought and kept.",
        above(
            [
                _used("payment"),
                select(refunds.c.payment_id, refunds.c.amount_minor.label("amount")).where(
                    refunds.c.state != "failed", refunds.c.note_id.is_(None)
                ),
            ],
            select(
                payments.c.payment_id,
                (payments.c.amount_minor - payments.c.reversed_minor).label("amount"),
            ).where(IS_CAPTURED),
        ),
    ),
    Check(
        "note_applied",
        "credit_notes",
        "A credit note pays and gives back no more than its total.",
        above(
            [
                _used("credit_note"),
                select(refunds.c.note_id, refunds.c.amount_minor.label("amount")).where(
                    refunds.c.state != "failed", refunds.c.note_id.is_not(None)
                ),
            ],
            select(credit_notes.c.note_id, credit_notes.c.total_minor.label("amount")),
        ),
    ),
    Check(
        "payment_spent",
        "payments",
        "Nothing is left of a payment that is called spent, but of a recovery, which is no credit.",
        rows(
            payments,
            and_(
                IS_CAPTURED,
                payments.c.is_spent,
                payments.c.kind != "recovery",
                _LEFT_OF_PAYMENT != 0,
            ),
            _LEFT_OF_PAYMENT,
            literal(0, BigInteger),
        ),
    ),
    Check(
        "application_parties",
        "applications",
        "What pays an invoice is of its payer, and in its currency.",
        select(applications.c.application_id, applications.c.source_id.label("found"))
        .outerjoin(invoices, invoices.c.invoice_id == applications.c.invoice_id)
        .where(
            or_(
                invoices.c.invoice_id.is_(None),
                and_(
                    applications.c.source_kind.in_(["payment", "credit_note"]),
                    ~_source_currency(payments, "payment"),
                    ~_source_currency(credit_notes, "credit_note"),
                ),
            )
        ),
    ),
    Check(
        "application_reversal",
        "applications",
        "What undoes an application mirrors it; nothing else is negative.",
        select(
            applications.c.application_id,
            applications.c.amount_minor.label("found"),
            (-_ORIGIN.c.amount_minor).label("wanted"),
        )
        .outerjoin(_ORIGIN, _ORIGIN.c.application_id == applications.c.reverses_id)
        .where(
            case(
                (applications.c.reverses_id.is_(None), applications.c.amount_minor <= 0),
                else_=or_(
                    _ORIGIN.c.application_id.is_(None),
                    _ORIGIN.c.reverses_id.is_not(None),
                    applications.c.amount_minor != -_ORIGIN.c.amount_minor,
                    *(applications.c[name] != _ORIGIN.c[name] for name in _SAME),
                ),
            )
        ),
    ),
    Check(
        "application_reversed_twice",
        "applications",
        "An application is undone once.",
        select(applications.c.reverses_id.label("application_id"), func.count().label("found"))
        .where(applications.c.reverses_id.is_not(None))
        .group_by(applications.c.reverses_id)
        .having(func.count() > 1),
    ),
)

REFUNDS = (
    Check(
        "refund_of_payment",
        "payments",
        "No more is given back through a payment than it brought.",
        above(
            select(refunds.c.payment_id, refunds.c.amount_minor.label("amount")).where(
                refunds.c.state != "failed"
            ),
            select(
                payments.c.payment_id,
                (payments.c.amount_minor - payments.c.reversed_minor).label("amount"),
            ).where(IS_CAPTURED),
        ),
    ),
    Check(
        "refund_state",
        "refunds",
        "A refund is requested, refunded or failed; one that was made has its day, and is asked no more.",
        rows(
            refunds,
            or_(
                refunds.c.state.not_in(["requested", "refunded", "failed"]),
                (refunds.c.state == "refunded") != refunds.c.refunded_on.is_not(None),
                and_(refunds.c.state != "requested", refunds.c.next_attempt_at.is_not(None)),
            ),
            refunds.c.state,
        ),
    ),
)

WALLETS = (
    Check(
        "grant_left",
        "wallet_grants",
        "Something or nothing is left of a grant, never less.",
        above(
            select(wallet_movements.c.grant_id, wallet_movements.c.amount_minor.label("amount")),
            select(wallet_grants.c.grant_id, wallet_grants.c.amount_minor.label("amount")),
        ),
    ),
    Check(
        "grant_returned",
        "wallet_grants",
        "No more comes back to a grant than was taken.",
        above(
            select(wallet_movements.c.grant_id, (-wallet_movements.c.amount_minor).label("amount")),
            select(wallet_grants.c.grant_id, (0 * wallet_grants.c.amount_minor).label("amount")),
        ),
    ),
    Check(
        "grant_draws",
        "wallet_grants",
        "What was drawn from a grant paid invoices.",
        unequal(
            select(
                wallet_movements.c.grant_id,
                wallet_movements.c.invoice_id,
                wallet_movements.c.amount_minor.label("amount"),
            ).where(wallet_movements.c.kind.in_(["draw", "returned"])),
            select(
                applications.c.source_id.label("grant_id"),
                applications.c.invoice_id,
                applications.c.amount_minor.label("amount"),
            ).where(applications.c.source_kind == "wallet"),
        ),
    ),
    Check(
        "wallet_currency",
        "wallets",
        "A wallet is in the currency of its customer.",
        select(wallets.c.wallet_id, wallets.c.currency.label("found"), customers.c.currency.label("wanted"))
        .join(customers, customers.c.customer_id == wallets.c.customer_id)
        .where(customers.c.currency != wallets.c.currency),
    ),
    Check(
        "grant_invoice",
        "wallet_grants",
        "A grant that was bought names its invoice.",
        rows(
            wallet_grants,
            and_(
                wallet_grants.c.is_paid,
                or_(
                    wallet_grants.c.invoice_id.is_(None),
                    ~exists().where(invoices.c.invoice_id == wallet_grants.c.invoice_id),
                ),
            ),
            wallet_grants.c.invoice_id,
        ),
    ),
)

# --- transfers, discounts, disputes, write-offs ---

WRITE_OFFS = (
    Check(
        "write_off",
        "invoices",
        "What an invoice lost is its write-offs, less those that were taken back.",
        unequal(
            select(invoices.c.invoice_id, invoices.c.written_off_minor),
            select(write_offs.c.invoice_id, write_offs.c.amount_minor),
        ),
    ),
)

TRANSFERS = (
    Check(
        "transfer_state",
        "bank_transfers",
        "A transfer is matched with a payment, or waits, or was returned.",
        rows(
            bank_transfers,
            or_(
                bank_transfers.c.state.not_in(["matched", "unmatched", "returned"]),
                (bank_transfers.c.state == "matched") != bank_transfers.c.payment_id.is_not(None),
            ),
            bank_transfers.c.state,
        ),
    ),
    Check(
        "transfer_payment",
        "bank_transfers",
        "A matched transfer is payments that add up to it; another is none.",
        unequal(
            select(payments.c.transfer_id, payments.c.amount_minor).where(
                IS_CAPTURED, payments.c.transfer_id.is_not(None)
            ),
            select(bank_transfers.c.transfer_id, bank_transfers.c.amount_minor).where(
                bank_transfers.c.state == "matched"
            ),
        ),
    ),
    Check(
        "early_discount",
        "early_discounts",
        "What an invoice that was paid early did not cost is applied to it.",
        unequal(
            select(applications.c.application_id, applications.c.amount_minor).where(
                applications.c.source_kind == "early_discount"
            ),
            select(
                early_discounts.c.application_id, early_discounts.c.net_minor + early_discounts.c.tax_minor
            ),
        ),
    ),
    Check(
        "dispute_amount",
        "disputes",
        "A dispute is about no more than its payment.",
        select(
            disputes.c.dispute_id,
            disputes.c.amount_minor.label("found"),
            payments.c.amount_minor.label("wanted"),
        )
        .join(payments, payments.c.payment_id == disputes.c.payment_id)
        .where(disputes.c.amount_minor > payments.c.amount_minor),
    ),
    Check(
        "dispute_outcome",
        "disputes",
        "A dispute that is closed has an outcome, and an open one has none.",
        rows(disputes, disputes.c.closed_on.is_(None) != disputes.c.outcome.is_(None), disputes.c.outcome),
    ),
    Check(
        "invoice_dispute",
        "invoice_disputes",
        "A disputed part is within its invoice.",
        select(
            invoice_disputes.c.dispute_id,
            invoice_disputes.c.amount_minor.label("found"),
            invoices.c.total_minor.label("wanted"),
        )
        .join(invoices, invoices.c.invoice_id == invoice_disputes.c.invoice_id)
        .where(
            or_(
                invoice_disputes.c.amount_minor > invoices.c.total_minor,
                invoice_disputes.c.closed_on.is_(None) != invoice_disputes.c.outcome.is_(None),
            )
        ),
    ),
)

# --- dunning ---

_IS_OPEN = dunning_cases.c.closed_on.is_(None)
_WORST = (
    select(func.coalesce(func.max(case(BADNESS, value=dunning_cases.c.state)), 0))
    .where(dunning_cases.c.customer_id == customers.c.customer_id, _IS_OPEN)
    .scalar_subquery()
)
_HAS_LOST = exists().where(
    invoices.c.customer_id == customers.c.customer_id,
    invoices.c.state == "uncollectible",
    invoices.c.written_off_minor > invoices.c.recovered_minor,
)

_IS_ASKED_FOR = exists().where(
    asked_attempts.c.payment_id == payments.c.payment_id, asked_attempts.c.attempt == payments.c.attempt
)

DUNNING = (
    Check(
        "case_twice",
        "dunning_cases",
        "One case is open per customer, currency and track.",
        select(
            dunning_cases.c.customer_id,
            dunning_cases.c.currency,
            dunning_cases.c.track,
            func.count().label("found"),
        )
        .where(_IS_OPEN)
        .group_by(dunning_cases.c.customer_id, dunning_cases.c.currency, dunning_cases.c.track)
        .having(func.count() > 1),
    ),
    Check(
        "overdue_state",
        "customers",
        "The overdue state of a customer is the worst of its open cases, or written off where money is lost.",
        rows(
            customers,
            and_(
                differs(case(BADNESS, value=customers.c.overdue_state), _WORST),
                or_(customers.c.overdue_state != "written_off", ~_HAS_LOST),
            ),
            customers.c.overdue_state,
            case({place: state for state, place in BADNESS.items()}, value=_WORST),
        ),
    ),
    Check(
        "case_end",
        "dunning_cases",
        "A closed case says how it ended, an open one does not.",
        rows(dunning_cases, dunning_cases.c.closed_as.is_(None) != _IS_OPEN, dunning_cases.c.closed_as),
    ),
    Check(
        "case_of_payment",
        "payments",
        "A payment that waits in a case waits in an open one.",
        select(payments.c.payment_id, payments.c.case_id.label("found"))
        .outerjoin(dunning_cases, dunning_cases.c.case_id == payments.c.case_id)
        .where(
            payments.c.state == "failed",
            or_(dunning_cases.c.case_id.is_(None), dunning_cases.c.closed_on.is_not(None)),
            ~and_(payments.c.case_id.is_(None), payments.c.next_attempt_at.is_not(None), _IS_ASKED_FOR),
        ),
    ),
)

_OF_A_CASE = exists().where(dunning_cases.c.case_id == approvals.c.subject_id)
_NEEDS_ORDER = held_documents.c.code != "po_missing"
_ORDER = exists().where(purchase_orders.c.po_id == held_documents.c.po_id)

DECISIONS = (
    Check(
        "customer_campaign",
        "customers",
        "The campaign of a customer is there.",
        dangling(customers.c.campaign_id, campaigns.c.campaign_id),
    ),
    Check(
        "credit_limit",
        "customers",
        "A credit limit is not below 0.",
        rows(customers, customers.c.credit_limit_minor < 0, customers.c.credit_limit_minor),
    ),
    Check(
        "approval",
        "approvals",
        "What waits is of a known kind, of a case where it is about one, and has a day once it is decided.",
        rows(
            approvals,
            or_(
                approvals.c.kind.not_in(["order", "collection", "write_off"]),
                approvals.c.state.not_in(["pending", "approved", "rejected", "withdrawn"]),
                (approvals.c.state == "pending") != approvals.c.decided_on.is_(None),
                and_(approvals.c.kind != "order", ~_OF_A_CASE),
            ),
            approvals.c.state,
        ),
    ),
    Check(
        "held_document",
        "held_documents",
        "A document was held for want of a purchase order, or by one that is there.",
        rows(
            held_documents,
            or_(
                held_documents.c.code.not_in(["po_missing", "po_expired", "po_exhausted"]),
                and_(_NEEDS_ORDER, ~_ORDER),
            ),
            held_documents.c.code,
        ),
    ),
)

MONEY = (*WRITE_OFFS, *PAYMENTS, *APPLICATIONS, *REFUNDS, *WALLETS, *TRANSFERS, *DUNNING, *DECISIONS)
