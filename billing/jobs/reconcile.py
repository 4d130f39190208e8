"""Reconciles the books of a month: every document against its postings, and balances against what is open.

Three questions, each answered for every seller and currency. Does each document of the month stand in the
journal with its amounts, and nothing else? Do the sums of all before it agree? Is what the ledger says of a
customer now what the documents say is open, kept and prepaid? What differs is named row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Date, Select, String, and_, bindparam, case, cast, func, null, or_, select

from billing.core.calendar import add_months
from billing.core.reconciliation import ACCOUNT, ROW, balances, differences, expected, trial_balance
from billing.store.debts import OPEN_MINOR
from billing.store.store import Store
from billing.store.tables import (
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
    payments,
    payouts,
    refunds,
    wallet_grants,
    wallet_movements,
    wallets,
    write_offs,
)


class Source(NamedTuple):
    """Documents of one event. `statement`: `document_id`, `entity_id`, `currency`, `on`, `net_minor`, and if
    any `tax_minor`, `fee_minor`. `undone`: the event of those with amounts below 0."""

    kind: str
    event: str
    statement: Select[Any]
    undone: str | None = None


def _documents(
    document_id: Any, of: Any, on: Any, net: Any, tax: Any = None, *, entity: Any = None
) -> Select[Any]:
    amounts = [net.label("net_minor")] if tax is None else [net.label("net_minor"), tax.label("tax_minor")]
    return select(
        document_id.label("document_id"),
        (of.c.entity_id if entity is None else entity).label("entity_id"),
        of.c.currency,
        on.label("on"),
        *amounts,
    )


def _of_invoices(kind_is_top_up: bool) -> Select[Any]:
    is_top_up = invoices.c.kind == "top_up"
    return _documents(
        invoices.c.invoice_id, invoices, invoices.c.issued_on, invoices.c.net_minor, invoices.c.tax_minor
    ).where(invoices.c.state != "draft", is_top_up if kind_is_top_up else ~is_top_up)


_BOUGHT = (
    select(
        credit_note_lines.c.note_id,
        func.sum(credit_note_lines.c.net_minor).label("net_minor"),
        func.sum(credit_note_lines.c.tax_minor).label("tax_minor"),
    )
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .where(line_items.c.kind == "top_up")
    .group_by(credit_note_lines.c.note_id)
    .subquery()
)


def _of_notes(is_bought: bool) -> Select[Any]:
    """Notes, less what of them takes balance out of a wallet; or that."""
    amounts = [
        func.coalesce(_BOUGHT.c[name], 0)
        if is_bought
        else credit_notes.c[name] - func.coalesce(_BOUGHT.c[name], 0)
        for name in ("net_minor", "tax_minor")
    ]
    return _documents(credit_notes.c.note_id, credit_notes, credit_notes.c.issued_on, *amounts).outerjoin(
        _BOUGHT, _BOUGHT.c.note_id == credit_notes.c.note_id
    )


def _of_payments(kind: str, on: Any, *, by_transfer: bool) -> Select[Any]:
    """Payments that came by a bank transfer, told as what became of it; or the others, those captured."""
    if by_transfer:
        of, entity = payments.c.transfer_id, bank_transfers.c.entity_id
        rows = _documents(of, payments, on, payments.c.amount_minor, entity=entity).join(
            bank_transfers, bank_transfers.c.transfer_id == payments.c.transfer_id
        )
    else:
        of, entity = payments.c.payment_id, customers.c.entity_id
        rows = _documents(of, payments, on, payments.c.amount_minor, entity=entity).join(
            customers, customers.c.customer_id == payments.c.customer_id
        )
        rows = rows.where(payments.c.transfer_id.is_(None), payments.c.state == "captured")
    return rows.where(payments.c.kind == kind, on.is_not(None))


def _of_applications(*kinds: str) -> Select[Any]:
    return (
        _documents(
            applications.c.application_id, invoices, applications.c.applied_on, applications.c.amount_minor
        )
        .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
        .where(applications.c.source_kind.in_(kinds))
    )


_DISCOUNTS = (
    _documents(
        applications.c.application_id,
        invoices,
        applications.c.applied_on,
        applications.c.amount_minor - func.coalesce(early_discounts.c.tax_minor, 0),
        func.coalesce(early_discounts.c.tax_minor, 0),
    )
    .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
    .outerjoin(early_discounts, early_discounts.c.application_id == applications.c.application_id)
    .where(applications.c.source_kind == "early_discount")
)


def _of_refunds(is_by_gateway: bool) -> Select[Any]:
    by_gateway = payments.c.method_id.is_not(None)
    return (
        _documents(
            refunds.c.refund_id,
            payments,
            refunds.c.refunded_on,
            refunds.c.amount_minor,
            entity=customers.c.entity_id,
        )
        .join(payments, payments.c.payment_id == refunds.c.payment_id)
        .join(customers, customers.c.customer_id == payments.c.customer_id)
        .where(refunds.c.state == "refunded", by_gateway if is_by_gateway else ~by_gateway)
    )


def _of_transfers(on: Any, *conditions: Any) -> Select[Any]:
    return _documents(bank_transfers.c.transfer_id, bank_transfers, on, bank_transfers.c.amount_minor).where(
        *conditions
    )


def _of_disputes(on: Any, *conditions: Any) -> Select[Any]:
    return (
        _documents(disputes.c.dispute_id, payments, on, disputes.c.amount_minor, entity=customers.c.entity_id)
        .join(payments, payments.c.payment_id == disputes.c.payment_id)
        .join(customers, customers.c.customer_id == payments.c.customer_id)
        .where(*conditions)
    )


_PAYOUTS = _documents(
    payouts.c.payout_id, payouts, payouts.c.received_on, payouts.c.amount_minor
).add_columns(payouts.c.fee_minor)
_WRITTEN_OFF = _documents(
    write_offs.c.write_off_id, invoices, write_offs.c.written_off_on, write_offs.c.amount_minor
).join(invoices, invoices.c.invoice_id == write_offs.c.invoice_id)
_GIVEN = (
    _documents(
        wallet_grants.c.grant_id,
        wallets,
        wallet_grants.c.granted_on,
        wallet_grants.c.amount_minor,
        entity=customers.c.entity_id,
    )
    .join(wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id)
    .join(customers, customers.c.customer_id == wallets.c.customer_id)
)
_EXPIRED = (
    _documents(
        wallet_movements.c.movement_id,
        wallets,
        wallet_movements.c.moved_on,
        wallet_movements.c.amount_minor,
        entity=customers.c.entity_id,
    )
    .join(wallet_grants, wallet_grants.c.grant_id == wallet_movements.c.grant_id)
    .join(wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id)
    .join(customers, customers.c.customer_id == wallets.c.customer_id)
    .where(wallet_movements.c.kind == "expiry")
)
_RECEIVED, _UNDONE = payments.c.received_on, payments.c.undone_on
SOURCES = (
    Source("invoice", "invoice_issued", _of_invoices(False)),
    Source("invoice", "wallet_topped_up", _of_invoices(True)),
    Source("credit_note", "credit_note_issued", _of_notes(False)),
    Source("credit_note", "wallet_revoked", _of_notes(True)),
    Source("payment", "payment_captured", _of_payments("charge", _RECEIVED, by_transfer=False)),
    Source("payment", "bank_transfer_received", _of_payments("transfer", _RECEIVED, by_transfer=False)),
    Source("bank_transfer", "transfer_received", _of_transfers(bank_transfers.c.received_on)),
    Source(
        "bank_transfer",
        "transfer_returned",
        _of_transfers(bank_transfers.c.closed_on, bank_transfers.c.state == "returned"),
    ),
    Source("bank_transfer", "transfer_matched", _of_payments("transfer", _RECEIVED, by_transfer=True)),
    Source("bank_transfer", "transfer_unmatched", _of_payments("transfer", _UNDONE, by_transfer=True)),
    Source("bank_transfer", "transfer_recovered", _of_payments("recovery", _RECEIVED, by_transfer=True)),
    Source("bank_transfer", "recovery_undone", _of_payments("recovery", _UNDONE, by_transfer=True)),
    Source("application", "credit_applied", _of_applications("payment", "credit_note"), "credit_unapplied"),
    Source("application", "wallet_drawn", _of_applications("wallet"), "wallet_returned"),
    Source("application", "early_payment_discount", _DISCOUNTS, "early_discount_undone"),
    Source("refund", "payment_refunded", _of_refunds(True)),
    Source("refund", "transfer_refunded", _of_refunds(False)),
    Source("dispute", "payment_reversed", _of_disputes(disputes.c.opened_on)),
    Source("dispute", "payment_reinstated", _of_disputes(disputes.c.closed_on, disputes.c.outcome == "won")),
    Source("payout", "payout_received", _PAYOUTS),
    Source("write_off", "invoice_written_off", _WRITTEN_OFF, "write_off_undone"),
    Source("wallet_grant", "wallet_granted", _GIVEN.where(~wallet_grants.c.is_paid)),
    Source("wallet_movement", "wallet_expired", _EXPIRED),
)
"""Every document that moves an account. A transfer that was matched as it came in is told as received and
matched on one day: what it moves is the same."""

_START: Any = bindparam("start", type_=Date)
_END: Any = bindparam("end", type_=Date)


def _in_month(statement: Select[Any]) -> Select[Any]:
    rows = statement.subquery()
    return select(rows).where(rows.c.on >= _START, rows.c.on < _END)


def _before(statement: Select[Any]) -> Select[Any]:
    """Sums of documents before the month: they are settled, and not looked at one by one."""
    rows = statement.subquery()
    sums = [func.sum(rows.c[name]).label(name) for name in rows.c.keys() if name.endswith("_minor")]  # noqa: SIM118
    by = (rows.c.entity_id, rows.c.currency)
    return select(*by, *sums).where(rows.c.on < _START).group_by(*by)


_IN_MONTH = [_in_month(source.statement) for source in SOURCES]
_BEFORE = [_before(source.statement) for source in SOURCES]

_TRANSFER_OF = (
    select(payments.c.transfer_id)
    .where(payments.c.payment_id == journal_entries.c.source_id, journal_entries.c.source_kind == "payment")
    .scalar_subquery()
)
_POSTED = (
    select(
        journal_entries.c.entity_id,
        journal_lines.c.currency,
        journal_lines.c.account,
        journal_entries.c.source_kind,
        journal_entries.c.source_id,
        _TRANSFER_OF.label("transfer_id"),
        journal_lines.c.debit_minor,
        journal_lines.c.credit_minor,
    )
    .join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)
    .where(journal_entries.c.posted_on >= _START, journal_entries.c.posted_on < _END)
)
_POSTED_BEFORE = (
    select(
        journal_entries.c.entity_id,
        journal_lines.c.currency,
        journal_lines.c.account,
        func.sum(journal_lines.c.debit_minor - journal_lines.c.credit_minor).label("amount_minor"),
    )
    .join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)
    .where(journal_entries.c.posted_on < _START)
    .group_by(journal_entries.c.entity_id, journal_lines.c.currency, journal_lines.c.account)
)


class Reconciliation(NamedTuple):
    """The books of a month.

    trial_balance: as core.reconciliation. movements: ACCOUNT, `event`, `documents` (how many),
    `amount_minor`, debits positive. expected: `amount_minor` by ACCOUNT at the month's end, as the documents
    say. differences: `entity_id`, `currency`, `account`, `document_kind`, `document_id`, `expected_minor`,
    `posted_minor`, of the month and of all before it. standing: the same, of customers as they stand now:
    `document_kind` is customer, or what is wrong of an invoice.
    """

    month: date
    trial_balance: pl.DataFrame
    movements: pl.DataFrame
    expected: pl.DataFrame
    differences: pl.DataFrame
    standing: pl.DataFrame

    @property
    def agrees(self) -> bool:
        return self.differences.is_empty() and self.standing.is_empty()


def reconcile(store: Store, month: date) -> Reconciliation:
    """Reconcile the books up to the end of a month; `month`: any day of it. Reads one moment of the database,
    and writes nothing."""
    start = month.replace(day=1)
    days = {"start": start, "end": add_months(start, 1)}
    with store.snapshot():
        postings = _told(store, days)
        wanted_before = _wanted_before(store, days)
        posted = _posted(store, days)
        before = store.frame(_POSTED_BEFORE, days)
        found = differences(balances(postings, ROW), balances(posted, ROW), ROW)
        if differences(wanted_before, before, ACCOUNT).height:
            found = pl.concat([_all_before(store, start), found])
        standing = _standing(store)
    in_month = balances(postings, ACCOUNT)
    closing = pl.concat([wanted_before, in_month]).group_by(ACCOUNT).agg(pl.col("amount_minor").sum())
    movements = balances(postings, [*ACCOUNT, "event"]).join(
        postings.group_by(*ACCOUNT, "event").agg(pl.col("document_id").n_unique().alias("documents")),
        on=[*ACCOUNT, "event"],
    )
    return Reconciliation(
        start,
        trial_balance(before, posted),
        movements.sort(*ACCOUNT, "event"),
        closing.sort(ACCOUNT),
        found,
        standing,
    )


def _told(store: Store, days: dict[str, date]) -> pl.DataFrame:
    """The postings that the documents of some days ask for."""
    return expected(_events(zip(SOURCES, (store.frame(one, days) for one in _IN_MONTH), strict=True)))


def _events(found: Iterable[tuple[Source, pl.DataFrame]]) -> pl.DataFrame:
    zero = pl.lit(0, pl.Int64)
    frames = [
        rows.with_columns(
            *(zero.alias(name) for name in ("tax_minor", "fee_minor") if name not in rows.columns),
            pl.lit(source.kind).alias("document_kind"),
            pl.lit(source.event).alias("event"),
            pl.lit(source.undone, pl.String).alias("undone"),
        )
        for source, rows in found
    ]
    told = pl.concat(frames, how="diagonal")
    return told.with_columns(pl.col(name).fill_null(0) for name in ("tax_minor", "fee_minor"))


def _wanted_before(store: Store, days: dict[str, date]) -> pl.DataFrame:
    sums = zip(SOURCES, (store.frame(one, days) for one in _BEFORE), strict=True)
    return balances(expected(_events(sums)), ACCOUNT)


def _posted(store: Store, days: dict[str, date]) -> pl.DataFrame:
    """The journal of some days, by the document each line stands for."""
    is_transfer = pl.col("transfer_id").is_not_null()
    return store.frame(_POSTED, days).with_columns(
        pl.when(is_transfer).then(pl.lit("bank_transfer")).otherwise("source_kind").alias("document_kind"),
        pl.coalesce("transfer_id", "source_id").alias("document_id"),
    )


def _all_before(store: Store, start: date) -> pl.DataFrame:
    """What differs before the month, document by document: read only where the sums say that it does."""
    days = {"start": date.min.replace(year=1900), "end": start}
    return differences(balances(_told(store, days), ROW), balances(_posted(store, days), ROW), ROW)


# As customers stand now.

_PARTY = ["entity_id", "currency", "account", "customer_id"]


def _summed(entity: Any, currency: Any, customer: Any, amount: Any) -> Select[Any]:
    by = (entity.label("entity_id"), currency.label("currency"), customer.label("customer_id"))
    return select(*by, func.sum(amount).label("amount_minor")).group_by(entity, currency, customer)


_OF_PAYER = (credit_notes.c.entity_id, credit_notes.c.currency, credit_notes.c.customer_id)
_OF_INVOICE = (invoices.c.entity_id, invoices.c.currency, invoices.c.customer_id)
_ENTITY = func.coalesce(bank_transfers.c.entity_id, customers.c.entity_id)
_OF_PAYMENT = (_ENTITY, payments.c.currency, payments.c.customer_id)
_OF_WALLET = (customers.c.entity_id, wallets.c.currency, wallets.c.customer_id)


def _with_seller(statement: Select[Any]) -> Select[Any]:
    """Payments with what says whose books they are in."""
    return statement.join(customers, customers.c.customer_id == payments.c.customer_id).outerjoin(
        bank_transfers, bank_transfers.c.transfer_id == payments.c.transfer_id
    )


_OWED = _summed(*_OF_INVOICE, OPEN_MINOR).where(invoices.c.state == "open")
_KEPT = (
    _summed(*_OF_PAYER, credit_notes.c.total_minor),
    _with_seller(_summed(*_OF_PAYMENT, payments.c.amount_minor - payments.c.reversed_minor)).where(
        payments.c.state == "captured", payments.c.kind != "recovery"
    ),
    _summed(*_OF_INVOICE, -applications.c.amount_minor)
    .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
    .where(applications.c.source_kind.in_(["payment", "credit_note"])),
    _with_seller(
        _summed(*_OF_PAYMENT, -refunds.c.amount_minor).join(
            payments, payments.c.payment_id == refunds.c.payment_id
        )
    ).where(refunds.c.state == "refunded"),
)
_PREPAID = (
    _summed(*_OF_WALLET, wallet_grants.c.amount_minor)
    .join(wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id)
    .join(customers, customers.c.customer_id == wallets.c.customer_id),
    _summed(*_OF_WALLET, -wallet_movements.c.amount_minor)
    .join(wallet_grants, wallet_grants.c.grant_id == wallet_movements.c.grant_id)
    .join(wallets, wallets.c.wallet_id == wallet_grants.c.wallet_id)
    .join(customers, customers.c.customer_id == wallets.c.customer_id),
)
_UNALLOCATED = _summed(
    bank_transfers.c.entity_id, bank_transfers.c.currency, cast(null(), String), bank_transfers.c.amount_minor
).where(bank_transfers.c.state == "unmatched")
_BY_CUSTOMER = (
    select(
        journal_entries.c.entity_id,
        journal_lines.c.currency,
        journal_lines.c.account,
        journal_lines.c.customer_id,
        func.sum(journal_lines.c.debit_minor - journal_lines.c.credit_minor).label("amount_minor"),
    )
    .join(journal_entries, journal_entries.c.entry_id == journal_lines.c.entry_id)
    .where(journal_lines.c.account.in_(["receivable", "customer_credit", "wallet", "unallocated_receipts"]))
    .group_by(
        journal_entries.c.entity_id,
        journal_lines.c.currency,
        journal_lines.c.account,
        journal_lines.c.customer_id,
    )
)
_CONTRADICTING = select(
    invoices.c.entity_id,
    invoices.c.currency,
    invoices.c.state,
    invoices.c.invoice_id.label("document_id"),
    OPEN_MINOR.label("posted_minor"),
    case((invoices.c.state == "uncollectible", invoices.c.written_off_minor), else_=0).label(
        "expected_minor"
    ),
).where(
    or_(
        and_(invoices.c.state.in_(["paid", "void"]), OPEN_MINOR != 0),
        and_(invoices.c.state == "open", OPEN_MINOR < 0),
        and_(invoices.c.state == "uncollectible", invoices.c.written_off_minor != OPEN_MINOR),
    )
)


def _standing(store: Store) -> pl.DataFrame:
    """Where the ledger says otherwise of a customer than the documents, credit is below 0, or the state of an
    invoice contradicts what is open of it."""
    owed = store.frame(_OWED).with_columns(pl.lit("receivable").alias("account"))
    owing = [
        store.frame(statement).with_columns(-pl.col("amount_minor"), pl.lit(account).alias("account"))
        for account, statements in (
            ("customer_credit", _KEPT),
            ("wallet", _PREPAID),
            ("unallocated_receipts", (_UNALLOCATED,)),
        )
        for statement in statements
    ]
    wanted = pl.concat([owed, *owing], how="diagonal").group_by(_PARTY).agg(pl.col("amount_minor").sum())
    is_nobodys = pl.col("account") == "unallocated_receipts"
    posted = (
        store.frame(_BY_CUSTOMER)
        .with_columns(pl.when(~is_nobodys).then("customer_id").alias("customer_id"))
        .group_by(_PARTY)
        .agg(pl.col("amount_minor").sum())
    )
    is_credit = pl.col("account").is_in(["customer_credit", "wallet"])
    overdrawn = wanted.filter(is_credit, pl.col("amount_minor") > 0).select(
        *_PARTY, pl.lit(0, pl.Int64).alias("expected_minor"), pl.col("amount_minor").alias("posted_minor")
    )
    of_customers = pl.concat([differences(wanted, posted, _PARTY), overdrawn]).select(
        *ACCOUNT,
        pl.lit("customer").alias("document_kind"),
        pl.col("customer_id").alias("document_id"),
        "expected_minor",
        "posted_minor",
    )
    of_invoices = store.frame(_CONTRADICTING).select(
        "entity_id",
        "currency",
        pl.lit("receivable").alias("account"),
        pl.format("{} invoice", "state").alias("document_kind"),
        "document_id",
        "expected_minor",
        "posted_minor",
    )
    return pl.concat([of_customers, of_invoices]).sort(*ROW, nulls_last=True)
