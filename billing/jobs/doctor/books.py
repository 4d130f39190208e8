"""Checks of the books: every event has its entry and no entry is without one, entries balance, and what the
accounts of a customer say is what the documents say.

What an event posts is core.ledger's word; here stands only which rows are events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Select,
    String,
    and_,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from billing.core.ledger import EVENT_RULES
from billing.jobs.doctor.check import Check, rows, unequal
from billing.store.tables import (
    accounting_periods,
    applications,
    bank_transfers,
    credit_note_lines,
    credit_notes,
    customers,
    disputes,
    early_discounts,
    invoices,
    journal_entries,
    journal_lines,
    line_items,
    outbox,
    payments,
    payouts,
    refunds,
    wallet_grants,
    wallet_movements,
    wallets,
    write_offs,
)

# --- events ---

IS_TRANSFER = or_(payments.c.kind == "transfer", payments.c.method_id.is_(None))
"""Money that came in at the bank, and not through the gateway."""
IS_ISSUED = invoices.c.number.is_not(None)
IS_CAPTURED = payments.c.state == "captured"
_IS_DRAW = applications.c.source_kind == "wallet"
_IS_CREDIT = applications.c.source_kind.in_(["payment", "credit_note"])


def _event(
    kind: str,
    source: Any,
    on: Any,
    net: Any,
    tax: Any = None,
    fee: Any = None,
    *,
    of: Any = None,
    customer: Any = None,
    currency: Any = None,
    entity: Any = None,
) -> Select[Any]:
    """The rows of one event; `of`: the table that has its customer, currency and seller."""
    of = source.table if of is None else of
    return select(
        literal(kind).label("source_kind"),
        source.label("source_id"),
        (of.c.entity_id if entity is None else entity).label("entity_id"),
        on.label("posted_on"),
        (of.c.customer_id if customer is None else customer).label("customer_id"),
        (of.c.currency if currency is None else currency).label("currency"),
        net.label("net_minor"),
        (literal(0) if tax is None else tax).label("tax_minor"),
        (literal(0) if fee is None else fee).label("fee_minor"),
    )


def _of_invoice(kind: str) -> Select[Any]:
    return _event(
        "invoice", invoices.c.invoice_id, invoices.c.issued_on, invoices.c.net_minor, invoices.c.tax_minor
    ).where(invoices.c.state != "draft", (invoices.c.kind == "top_up") == (kind == "top_up"))


_IS_UNDONE = payments.c.undone_on.is_not(None)
_DIRECT = ("bank_transfer_received", "written_off_recovered")
_IS_DIRECT = or_(
    payments.c.transfer_id.is_(None),
    exists().where(
        journal_entries.c.source_id == payments.c.payment_id, journal_entries.c.event.in_(_DIRECT)
    ),
)
"""Money the books have as the customer's from the day it came in. Only they know; that each transfer stands
in them once is shown by the balance of what is unallocated."""


def _of_payment(*where: Any, on: Any = payments.c.received_on) -> Select[Any]:
    """Payments that came in, also those that were undone since."""
    return (
        _event(
            "payment",
            payments.c.payment_id,
            on,
            payments.c.amount_minor,
            entity=func.coalesce(bank_transfers.c.entity_id, customers.c.entity_id),
        )
        .join(customers, customers.c.customer_id == payments.c.customer_id)
        .outerjoin(bank_transfers, bank_transfers.c.transfer_id == payments.c.transfer_id)
        .where(or_(IS_CAPTURED, _IS_UNDONE), *where)
    )


def _of_transfer(on: Any, *where: Any) -> Select[Any]:
    """Transfers that are in the books before anybody knows whose they are."""
    nobody = cast(null(), String)
    return _event(
        "bank_transfer",
        bank_transfers.c.transfer_id,
        on,
        bank_transfers.c.amount_minor,
        customer=nobody,
    ).where(*where)


_IS_KNOWN_AT_ONCE = exists().where(
    payments.c.transfer_id == bank_transfers.c.transfer_id,
    journal_entries.c.source_id == payments.c.payment_id,
    journal_entries.c.event.in_(_DIRECT),
)


def _of_discount(*where: Any) -> Select[Any]:
    return (
        _event(
            "application",
            early_discounts.c.application_id,
            early_discounts.c.granted_on,
            func.abs(early_discounts.c.net_minor),
            func.abs(early_discounts.c.tax_minor),
            of=invoices,
        )
        .join(invoices, invoices.c.invoice_id == early_discounts.c.invoice_id)
        .where(*where)
    )


def _of_application(*where: Any) -> Select[Any]:
    return (
        _event(
            "application",
            applications.c.application_id,
            applications.c.applied_on,
            func.abs(applications.c.amount_minor),
            of=invoices,
        )
        .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
        .where(*where)
    )


def _of_write_off(*where: Any) -> Select[Any]:
    return (
        _event(
            "write_off",
            write_offs.c.write_off_id,
            write_offs.c.written_off_on,
            func.abs(write_offs.c.amount_minor),
            of=invoices,
        )
        .join(invoices, invoices.c.invoice_id == write_offs.c.invoice_id)
        .where(*where)
    )


def _of_wallet(kind: str, source: Any, on: Any, *where: Any) -> Select[Any]:
    """What a grant gives or loses beside invoices."""
    event = _event(kind, source, on, source.table.c.amount_minor, of=wallets, entity=customers.c.entity_id)
    if source.table is not wallet_grants:
        event = event.join(wallet_grants, wallet_grants.c.grant_id == source.table.c.grant_id)
    return (
        event.join(wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id)
        .join(customers, customers.c.customer_id == wallets.c.customer_id)
        .where(*where)
    )


def _top_ups(name: str) -> Any:
    """What a note takes back of top-ups."""
    return (
        select(func.coalesce(func.sum(credit_note_lines.c[name]), 0))
        .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
        .where(credit_note_lines.c.note_id == credit_notes.c.note_id, line_items.c.kind == "top_up")
        .scalar_subquery()
    )


def _of_note(net: Any, tax: Any) -> Select[Any]:
    return _event("credit_note", credit_notes.c.note_id, credit_notes.c.issued_on, net, tax)


_TOP_UP_NET, _TOP_UP_TAX = _top_ups("net_minor"), _top_ups("tax_minor")


def _of_refund(*where: Any) -> Select[Any]:
    return (
        _event(
            "refund",
            refunds.c.refund_id,
            refunds.c.refunded_on,
            refunds.c.amount_minor,
            of=payments,
            entity=customers.c.entity_id,
        )
        .join(payments, payments.c.payment_id == refunds.c.payment_id)
        .join(customers, customers.c.customer_id == payments.c.customer_id)
        .where(refunds.c.state == "refunded", *where)
    )


def _of_dispute(on: Any, *where: Any) -> Select[Any]:
    """What banks took back of payments, and gave again."""
    return (
        _event(
            "dispute",
            disputes.c.dispute_id,
            on,
            disputes.c.amount_minor,
            of=payments,
            entity=func.coalesce(invoices.c.entity_id, customers.c.entity_id),
        )
        .join(payments, payments.c.payment_id == disputes.c.payment_id)
        .join(customers, customers.c.customer_id == payments.c.customer_id)
        .outerjoin(invoices, invoices.c.invoice_id == payments.c.invoice_id)
        .where(*where)
    )


def _of_payout() -> Select[Any]:
    nobody = cast(null(), String)
    return _event(
        "payout",
        payouts.c.payout_id,
        payouts.c.received_on,
        payouts.c.amount_minor,
        fee=payouts.c.fee_minor,
        customer=nobody,
    )


_IS_RECOVERY = payments.c.kind == "recovery"
_IS_MONEY = and_(~_IS_RECOVERY, IS_TRANSFER)

EVENTS: Mapping[str, Select[Any]] = {
    "invoice_issued": _of_invoice("regular"),
    "wallet_topped_up": _of_invoice("top_up"),
    "credit_note_issued": _of_note(
        credit_notes.c.net_minor - _TOP_UP_NET, credit_notes.c.tax_minor - _TOP_UP_TAX
    ),
    "wallet_revoked": _of_note(_TOP_UP_NET, _TOP_UP_TAX),
    "wallet_granted": _of_wallet(
        "wallet_grant",
        wallet_grants.c.grant_id,
        wallet_grants.c.granted_on,
        wallet_grants.c.is_paid.is_(False),
    ),
    "wallet_expired": _of_wallet(
        "wallet_movement",
        wallet_movements.c.movement_id,
        wallet_movements.c.moved_on,
        wallet_movements.c.kind == "expiry",
    ),
    "wallet_drawn": _of_application(_IS_DRAW, applications.c.amount_minor > 0),
    "wallet_returned": _of_application(_IS_DRAW, applications.c.amount_minor < 0),
    "invoice_written_off": _of_write_off(write_offs.c.amount_minor > 0),
    "write_off_undone": _of_write_off(write_offs.c.amount_minor < 0),
    "payment_captured": _of_payment(payments.c.kind == "charge", ~IS_TRANSFER),
    "bank_transfer_received": _of_payment(_IS_MONEY, _IS_DIRECT),
    "written_off_recovered": _of_payment(_IS_RECOVERY, _IS_DIRECT),
    "transfer_received": _of_transfer(bank_transfers.c.received_on, ~_IS_KNOWN_AT_ONCE),
    "transfer_matched": _of_payment(_IS_MONEY, ~_IS_DIRECT),
    "transfer_recovered": _of_payment(_IS_RECOVERY, ~_IS_DIRECT),
    "transfer_unmatched": _of_payment(_IS_MONEY, _IS_UNDONE, on=payments.c.undone_on),
    "recovery_undone": _of_payment(_IS_RECOVERY, _IS_UNDONE, on=payments.c.undone_on),
    "transfer_returned": _of_transfer(bank_transfers.c.closed_on, bank_transfers.c.state == "returned"),
    "early_payment_discount": _of_discount(early_discounts.c.net_minor > 0),
    "early_discount_undone": _of_discount(early_discounts.c.net_minor < 0),
    "credit_applied": _of_application(_IS_CREDIT, applications.c.amount_minor > 0),
    "credit_unapplied": _of_application(_IS_CREDIT, applications.c.amount_minor < 0),
    "payment_reversed": _of_dispute(disputes.c.opened_on),
    "payment_reinstated": _of_dispute(disputes.c.closed_on, disputes.c.outcome == "won"),
    "payout_received": _of_payout(),
    "payment_refunded": _of_refund(payments.c.method_id.is_not(None)),
    "transfer_refunded": _of_refund(payments.c.method_id.is_(None)),
}
"""The rows of each event: its document, seller, day, customer, currency and amounts."""


def _owed_postings(event: str) -> list[Select[Any]]:
    """What an event owes each account, as debit less credit, by the rules of the ledger."""
    of = EVENTS[event].subquery()
    found = []
    for rule in EVENT_RULES[event]:
        amount = sum((of.c[name] for name in rule.amounts[1:]), of.c[rule.amounts[0]])
        found.append(
            select(
                literal(event).label("event"),
                of.c.source_id,
                of.c.customer_id,
                literal(rule.account).label("account"),
                of.c.currency,
                (amount if rule.side == "debit" else -amount).label("amount"),
            )
        )
    return found


_BALANCE = journal_lines.c.debit_minor - journal_lines.c.credit_minor
_POSTED = select(
    journal_entries.c.event,
    journal_entries.c.source_id,
    journal_lines.c.customer_id,
    journal_lines.c.account,
    journal_lines.c.currency,
    _BALANCE.label("amount"),
).join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)


def _all_events() -> Any:
    parts = []
    for event, statement in EVENTS.items():
        of = statement.subquery()
        parts.append(
            select(
                literal(event).label("event"),
                of.c.source_kind,
                of.c.source_id,
                of.c.entity_id,
                of.c.posted_on,
            ).where(or_(of.c.net_minor != 0, of.c.tax_minor != 0, of.c.fee_minor != 0))
        )
    return union_all(*parts).subquery()


_KNOWN = _all_events()

ENTRIES = (
    Check(
        "entry_balance",
        "journal_entries",
        "The debit of an entry is its credit, in each currency.",
        unequal(
            select(
                journal_lines.c.entry_id,
                journal_lines.c.currency,
                journal_lines.c.debit_minor.label("amount"),
            ),
            select(
                journal_lines.c.entry_id,
                journal_lines.c.currency,
                journal_lines.c.credit_minor.label("amount"),
            ),
        ),
    ),
    Check(
        "entry_sides",
        "journal_lines",
        "A line of the journal has one side, which is positive.",
        rows(
            journal_lines,
            or_(
                journal_lines.c.debit_minor < 0,
                journal_lines.c.credit_minor < 0,
                (journal_lines.c.debit_minor == 0) == (journal_lines.c.credit_minor == 0),
            ),
        ),
    ),
    Check(
        "entry_lines",
        "journal_entries",
        "An entry has lines.",
        rows(journal_entries, ~exists().where(journal_lines.c.entry_id == journal_entries.c.entry_id)),
    ),
    Check(
        "entry_of_line",
        "journal_lines",
        "A line of the journal has an entry.",
        rows(journal_lines, ~exists().where(journal_entries.c.entry_id == journal_lines.c.entry_id)),
    ),
    Check(
        "entry_amounts",
        "journal_entries",
        "Every document and payment has its entry, with its amounts, and no entry is without one.",
        unequal(_POSTED, [part for event in EVENTS for part in _owed_postings(event)]),
    ),
    Check(
        "entry_day",
        "journal_entries",
        "An entry is posted by the seller and on the day of its document.",
        select(
            journal_entries.c.entry_id,
            journal_entries.c.posted_on.label("found"),
            _KNOWN.c.posted_on.label("wanted"),
        )
        .join(
            _KNOWN,
            and_(
                _KNOWN.c.source_id == journal_entries.c.source_id,
                _KNOWN.c.source_kind == journal_entries.c.source_kind,
                _KNOWN.c.event == journal_entries.c.event,
            ),
        )
        .where(
            or_(
                journal_entries.c.posted_on != _KNOWN.c.posted_on,
                journal_entries.c.entity_id != _KNOWN.c.entity_id,
            )
        ),
    ),
)

# --- balances ---


def _account(name: str, side: str) -> Select[Any]:
    balance = _BALANCE if side == "debit" else -_BALANCE
    return select(journal_lines.c.customer_id, journal_lines.c.currency, balance.label("amount")).where(
        journal_lines.c.account == name
    )


def _of_customers(table: Any, amount: Any, *where: Any) -> Select[Any]:
    return select(table.c.customer_id, table.c.currency, amount.label("amount")).where(*where)


def _applied(sign: int, *where: Any) -> Select[Any]:
    return (
        select(
            invoices.c.customer_id,
            invoices.c.currency,
            (sign * applications.c.amount_minor).label("amount"),
        )
        .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
        .where(*where)
    )


_REFUNDED = (
    select(payments.c.customer_id, payments.c.currency, (-refunds.c.amount_minor).label("amount"))
    .join(payments, payments.c.payment_id == refunds.c.payment_id)
    .where(refunds.c.state == "refunded")
)
CREDIT = (
    _of_customers(
        payments,
        payments.c.amount_minor - payments.c.reversed_minor,
        IS_CAPTURED,
        payments.c.kind != "recovery",
    ),
    _of_customers(credit_notes, credit_notes.c.total_minor),
    _applied(-1, _IS_CREDIT),
    _REFUNDED,
)
"""What credit a customer has by the documents: what came in, less what was used and given back."""


def _negative(parts: Any) -> Select[Any]:
    both = union_all(*parts).subquery()
    total = func.sum(both.c.amount)
    return (
        select(both.c.customer_id, both.c.currency, total.label("found"))
        .group_by(both.c.customer_id, both.c.currency)
        .having(total < 0)
    )


WALLET = (
    select(wallets.c.customer_id, wallets.c.currency, wallet_grants.c.amount_minor.label("amount")).join(
        wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id
    ),
    select(wallets.c.customer_id, wallets.c.currency, (-wallet_movements.c.amount_minor).label("amount"))
    .join(wallet_grants, wallet_grants.c.grant_id == wallet_movements.c.grant_id)
    .join(wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id),
)
"""What a customer has in wallets: grants, less what was taken from them."""

BALANCES = (
    Check(
        "wallet",
        "customers",
        "A customer's wallets in the books are what its grants have left.",
        unequal(_account("wallet", "credit"), WALLET),
    ),
    Check(
        "receivable",
        "customers",
        "What the books say a customer owes is what its open invoices say.",
        unequal(
            _account("receivable", "debit"),
            [
                _of_customers(invoices, invoices.c.total_minor, invoices.c.state == "open"),
                _applied(-1, invoices.c.state == "open"),
            ],
        ),
    ),
    Check(
        "customer_credit",
        "customers",
        "A customer's credit in the books is payments and notes less what they paid and what was given back.",
        unequal(_account("customer_credit", "credit"), CREDIT),
    ),
    Check("credit_negative", "customers", "No customer's credit is below 0.", _negative(CREDIT)),
)

# --- money nobody owns yet ---

UNALLOCATED = (
    Check(
        "unallocated",
        "legal_entities",
        "What the books call unallocated is the transfers that wait for somebody.",
        unequal(
            select(journal_entries.c.entity_id, journal_lines.c.currency, (-_BALANCE).label("amount"))
            .join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)
            .where(journal_lines.c.account == "unallocated_receipts"),
            select(
                bank_transfers.c.entity_id, bank_transfers.c.currency, bank_transfers.c.amount_minor
            ).where(bank_transfers.c.state == "unmatched"),
        ),
    ),
)

# --- closed months ---

LOCKS = (
    Check(
        "entry_locked",
        "journal_entries",
        "Nothing is posted into a month after it was closed.",
        select(
            journal_entries.c.entry_id,
            journal_entries.c.posted_on.label("found"),
        )
        .join(
            accounting_periods,
            and_(
                accounting_periods.c.entity_id == journal_entries.c.entity_id,
                accounting_periods.c.month <= journal_entries.c.posted_on,
                func.extract("year", accounting_periods.c.month)
                == func.extract("year", journal_entries.c.posted_on),
                func.extract("month", accounting_periods.c.month)
                == func.extract("month", journal_entries.c.posted_on),
            ),
        )
        .where(journal_entries.c.recorded_at > accounting_periods.c.locked_at),
    ),
)

# --- messages ---


def _told(topic: str, column: Any, *where: Any) -> Select[Any]:
    return select(
        literal(topic).label("topic"), column.label("subject_id"), literal(1).label("amount")
    ).where(*where)


_OWED_MESSAGES = (
    _told("invoice.issued", invoices.c.invoice_id, IS_ISSUED),
    _told("credit_note.issued", credit_notes.c.note_id),
    _told("invoice.voided", invoices.c.invoice_id, invoices.c.voided_on.is_not(None), IS_ISSUED),
    _told("payment.captured", payments.c.payment_id, or_(IS_CAPTURED, _IS_UNDONE)),
    _told("refund.made", refunds.c.refund_id, refunds.c.state == "refunded"),
)
TOPICS = ("invoice.issued", "invoice.voided", "credit_note.issued", "payment.captured", "refund.made")

MESSAGES = (
    Check(
        "message",
        "outbox",
        "Every document and every payment is told once.",
        unequal(
            select(outbox.c.topic, outbox.c.subject_id, literal(1).label("amount")).where(
                outbox.c.topic.in_(TOPICS)
            ),
            _OWED_MESSAGES,
        ),
    ),
)

BOOKS = (*ENTRIES, *BALANCES, *UNALLOCATED, *LOCKS, *MESSAGES)
