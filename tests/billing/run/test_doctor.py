"""The doctor is silent on a sound world, and names the row of every corruption that is planted in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import pytest
from rich_world import END, START, build
from shop import at, fee, join, kept, new_store, new_url, open_shop, run, sell, take
from soundness import assert_sound
from sqlalchemy import Table, delete, func, select, text, true, update

from billing.jobs.doctor.check import Check
from billing.jobs.doctor.examination import CHECKS, Finding, examine
from billing.service import catalog
from billing.store import tables as t
from billing.store.store import Row, Store, open_store

NOW = at(END, 22)


@pytest.fixture(scope="module")
def world(each_database: str) -> Store:
    return kept(build(new_store()))


def test_the_doctor_has_nothing_to_say_of_a_world_made_by_acts_and_jobs(world: Store) -> None:
    assert_sound(world, NOW)


# What is planted.

ANY = true()


class Plant(NamedTuple):
    """A corruption: of a row of a table, the first by its key that `where` holds for. `work` writes it and
    returns the row that is to be named; `names` says which of its columns hold the key of the finding where
    they have other names, `key` what the key holds beside."""

    check: str
    table: Table
    work: Callable[[Store, Row], Row]
    where: Any = ANY
    names: dict[str, str] = {}  # noqa: RUF012 - never changed
    key: dict[str, Any] = {}  # noqa: RUF012 - never changed


def _of(table: Table, row: Row) -> Any:
    condition = true()
    for column in table.primary_key:
        condition &= column == row[column.name]
    return condition


def change(check: str, table: Table, where: Any = ANY, **values: Any) -> Plant:
    """Columns of a row take other values."""

    def work(store: Store, row: Row) -> Row:
        store.execute(update(table).where(_of(table, row)).values(**values))
        plain = {name: value for name, value in values.items() if not hasattr(value, "compare")}
        return row | plain

    return Plant(check, table, work, where)


def drop(check: str, table: Table, where: Any = ANY) -> Plant:
    """A row is gone."""

    def work(store: Store, row: Row) -> Row:
        store.execute(delete(table).where(_of(table, row)))
        return row

    return Plant(check, table, work, where)


def add(check: str, table: Table, where: Any = ANY, **values: Any) -> Plant:
    """There is a second row like one, but for some values."""

    def work(store: Store, row: Row) -> Row:
        new = row | {name: value(row) if callable(value) else value for name, value in values.items()}
        store.insert(table, [new])
        return new

    return Plant(check, table, work, where)


def put(check: str, table: Table, like: Table, where: Any = ANY, **values: Any) -> Plant:
    """There is a row that has no place, made from a row of another table."""

    def work(store: Store, row: Row) -> Row:
        new = {name: value(row) if callable(value) else value for name, value in values.items()}
        store.insert(table, [new], NOW)
        return row | new

    return Plant(check, like, work, where)


line, invoice, note, note_line = t.line_items.c, t.invoices.c, t.credit_notes.c, t.credit_note_lines.c
payment, applied, entry, posted = t.payments.c, t.applications.c, t.journal_entries.c, t.journal_lines.c
IS_CHARGE = (line.entry == "charge") & (line.kind == "recurring") & (line.net_minor > 100)
IS_CREDITED = line.line_id.in_(
    select(line.reverses_line_id).where(line.entry == "credit", line.kind == "recurring")
)
IS_USED = (line.kind == "usage") & (line.entry == "charge") & (line.gross_minor > 0)
IS_COUNTED = t.usage_events.c.unbilled_reason.is_(None)
OF_SNAPSHOT = dict.fromkeys(("component_id", "service_start", "service_end", "revision"))
OF_PART = dict.fromkeys(("customer_id", "component_id", "kind", "entry", "service_start", "service_end"))
IS_OPEN = invoice.state == "open"
IS_PAID = (invoice.state == "paid") & (invoice.total_minor > 0)
CAPTURED = payment.state == "captured"
BY_CARD = CAPTURED & payment.method_id.is_not(None)
FAILED = payment.state == "failed"
IS_LAST = invoice.number == select(func.max(invoice.number)).scalar_subquery()
IS_MATCHED = t.bank_transfers.c.state == "matched"
FIRST_OF_MAY = date(2025, 5, 1)

APPROVAL = {
    "approval_id": "approval",
    "kind": "order",
    "customer_id": lambda row: row["customer_id"],
    "details": "{}",
    "state": "pending",
    "proposed_on": END,
}
HELD = {
    "held_id": "held",
    "run_id": lambda row: row["run_id"],
    "customer_id": "anna",
    "entity_id": "seller",
    "currency": "EUR",
    "net_minor": 100,
}
GRANT = {"wallet_id": "wallet", "amount_minor": 100, "is_paid": False, "granted_on": END}


def _wallet(store: Store, **values: Any) -> None:
    row = {"wallet_id": "wallet", "customer_id": "anna", "currency": "EUR", "name": "Prepaid"}
    store.insert(t.wallets, [row | values], NOW)


def _granted(store: Store, taken: list[int], **values: Any) -> Row:
    _wallet(store)
    row = GRANT | {"grant_id": "grant"} | values
    store.insert(t.wallet_grants, [row], NOW)
    moved = {"grant_id": "grant", "kind": "draw", "moved_on": END, "invoice_id": "gone"}
    rows = [moved | {"movement_id": f"m{n}", "amount_minor": amount} for n, amount in enumerate(taken)]
    store.insert(t.wallet_movements, rows, NOW)
    return row | {"invoice_id": "gone"}


def _circle(store: Store, row: Row) -> Row:
    store.execute(update(t.customers).where(t.customers.c.customer_id == "jan").values(parent_id="jan"))
    return {"customer_id": "jan"}


PLANTS = [
    # Customers, contracts, subscriptions.
    change("customer_root", t.customers, t.customers.c.customer_id == "site", root_id="anna"),
    Plant("customer_root", t.customers, _circle),
    change("customer_bill_to", t.customers, t.customers.c.customer_id == "cora", bill_to_id="kim"),
    change("customer_parked", t.customers, parked_code="no_price"),
    change("subscription_status", t.subscriptions, t.subscriptions.c.status == "active", status="paused"),
    change("subscription_status", t.subscriptions, t.subscriptions.c.status == "past_due", status="active"),
    drop("subscription_item", t.items, t.items.c.subscription_id == "fritz-sub"),
    change("subscription_end", t.subscriptions, t.subscriptions.c.status == "canceled", cancel_reason=None),
    change("item_customer", t.items, t.items.c.subscription_id == "jan-sub", customer_id="anna"),
    drop("contract_term", t.contract_terms),
    # Versions, prices.
    add(
        "version_overlap",
        t.item_versions,
        t.item_versions.c.superseded_at.is_(None) & t.item_versions.c.effective_end.is_(None),
        version_id="zzz",
    ),
    change(
        "version_period",
        t.item_versions,
        t.item_versions.c.effective_end.is_not(None),
        effective_end=t.item_versions.c.effective_start,
    ),
    change("version_amounts", t.item_versions, recurring_minor=-1),
    change("version_plan", t.item_versions, plan_version=9),
    change("version_choice", t.item_versions, choice_id="gone"),
    change("version_price", t.item_versions, price_id="gone"),
    change("price_tiers", t.price_tiers, t.price_tiers.c.up_to.is_(None), up_to=99),
    add("choice_price", t.price_choices, price_id="other"),
    put(
        "bundle_shares",
        t.components,
        t.components,
        **{name: (lambda row, name=name: row[name]) for name in ("plan_id", "plan_version", "name", "kind")},
        component_id="part",
        position=99,
        bundle_id=lambda row: row["component_id"],
        bundle_share_ppm=999_999,
    )._replace(names={"component_id": "bundle_id"}, where=t.components.c.kind == "fee"),
    change("line_price", t.line_items, line.price_id.is_not(None), price_id="gone"),
    change("line_item", t.line_items, item_id="gone"),
    change("line_policy", t.line_items, policy_version=99),
    # Time and usage.
    add(
        "day_charged_twice",
        t.line_items,
        IS_CHARGE,
        line_id="zzz",
        revision=7,
        service_end=lambda row: row["service_end"],
    )._replace(names={"day": "service_start"}),
    change("line_period", t.line_items, IS_CHARGE, reference_end=line.service_start),
    add("obligation", t.line_items, IS_CHARGE, line_id="zzz"),
    change("usage_snapshot", t.line_items, line.kind == "usage", service_end=date(2025, 12, 31)),
    put(
        "usage_unbilled",
        t.usage_events,
        t.usage_events,
        t.usage_events.c.occurred_on < date(2025, 3, 1),
        **{
            name: (lambda row, name=name: row[name])
            for name in ("source", "customer_id", "item_id", "meter_id", "occurred_at", "payload_hash")
        },
        event_id="zzz",
        occurred_on=date(2024, 12, 1),
        value_mantissa=5,
        seq=1,
    ),
    change("usage_item", t.usage_events, item_id="gone"),
    change("usage_quantity", t.usage_snapshots, quantity_mantissa=t.usage_snapshots.c.quantity_mantissa + 1),
    change(
        "usage_quantity", t.usage_events, IS_COUNTED, value_mantissa=t.usage_events.c.value_mantissa + 1
    )._replace(key=OF_SNAPSHOT),
    drop("usage_quantity", t.usage_events, IS_COUNTED)._replace(key=OF_SNAPSHOT),
    change(
        "usage_amount", t.line_items, IS_USED, gross_minor=line.gross_minor + 1, net_minor=line.net_minor + 1
    ),
    change(
        "usage_amount",
        t.line_items,
        IS_USED,
        gross_minor=line.gross_minor + 1,
        discount_minor=line.discount_minor + 1,
    ),
    change(
        "second_run", t.item_versions, t.item_versions.c.plan_id == "quarter", quantity_mantissa=9
    )._replace(key=OF_PART),
    Plant("stock_order", t.currencies, lambda store, _: _allocated(store, "allocated", 1)),
    Plant("stock_put_back", t.currencies, lambda store, _: _allocated(store, "short", -1)),
    # Sums of documents.
    change("invoice_net", t.line_items, net_minor=line.net_minor + 1),
    change("invoice_net", t.invoices, net_minor=invoice.net_minor - 1),
    change("invoice_tax", t.line_items, tax_minor=line.tax_minor + 1),
    change("invoice_total", t.invoices, total_minor=invoice.total_minor + 1),
    change("line_net", t.line_items, IS_CHARGE, gross_minor=line.gross_minor + 1),
    change("line_invoice", t.line_items, invoice_id="gone"),
    add("invoice_lines", t.invoices, invoice_id="zzz", number="INV-2025-999999"),
    change("line_sign", t.line_items, IS_CHARGE, net_minor=-line.net_minor),
    change("line_currency", t.line_items, currency="CHF"),
    change("note_net", t.credit_note_lines, net_minor=note_line.net_minor + 1),
    change("note_tax", t.credit_note_lines, tax_minor=note_line.tax_minor + 1),
    drop("note_net", t.credit_note_lines),
    change("note_total", t.credit_notes, total_minor=note.total_minor + 1),
    change("line_items_bound", t.line_items, gross_minor=10**15 + 1),
    change("invoices_bound", t.invoices, total_minor=10**17 + 1),
    change("credit_notes_bound", t.credit_notes, total_minor=10**17 + 1),
    change("credit_note_lines_bound", t.credit_note_lines, net_minor=10**15 + 1),
    # Credits and taxes of lines.
    change("credited_net", t.line_items, IS_CREDITED, net_minor=1),
    change("credited_tax", t.line_items, IS_CREDITED, tax_minor=1),
    change("credited_line", t.line_items, line.entry == "credit", component_id="other"),
    change("noted_line", t.credit_note_lines, line_id="gone"),
    change("note_line_sign", t.credit_note_lines, net_minor=-1),
    change("tax_lines", t.tax_lines, tax_minor=t.tax_lines.c.tax_minor + 1),
    change("tax_line_base", t.tax_lines, base_minor=t.tax_lines.c.base_minor + 1),
    change("tax_line_rate", t.tax_lines, tax_rate_ppm=70_000),
    change("tax_line_category", t.tax_lines, category="reduced"),
    drop("line_without_tax", t.tax_lines),
    # Numbers.
    change("invoice_number", t.invoices, number="INV-2025-00000x"),
    change("invoice_number", t.invoices, number="INV-2024-000001"),
    change("note_number", t.credit_notes, number="INV-2025-900000"),
    change("invoice_number_gap", t.invoices, IS_LAST, number="INV-2025-900000"),
    Plant("invoice_number_gap", t.invoices, lambda store, row: _again(store, row), IS_LAST),
    change(
        "note_number_gap",
        t.credit_notes,
        note.number == select(func.max(note.number)).scalar_subquery(),
        number="CN-2025-900000",
    ),
    change(
        "invoice_next_number",
        t.number_sequences,
        t.number_sequences.c.kind == "invoice",
        next_number=t.number_sequences.c.next_number + 1,
    ),
    change("note_next_number", t.number_sequences, t.number_sequences.c.kind == "credit_note", next_number=1),
    # States of invoices.
    change("invoice_state", t.invoices, IS_PAID, paid_on=None),
    change("invoice_state", t.invoices, state="lost"),
    change("invoice_issue", t.invoices, due_on=date(2024, 1, 1)),
    change("invoice_issue", t.invoices, number=None),
    change("invoice_sign", t.invoices, total_minor=-1),
    change("invoice_applied", t.applications, amount_minor=applied.amount_minor + 1),
    change("invoice_paid", t.applications, amount_minor=applied.amount_minor - 1),
    change("invoice_paid", t.invoices, IS_OPEN, state="paid", paid_on=END),
    change("invoice_open", t.invoices, IS_PAID, state="open", paid_on=None),
    change("invoice_void", t.invoices, IS_PAID, state="void", voided_on=END),
    change("invoice_written_off", t.invoices, IS_OPEN, state="uncollectible", written_off_on=END),
    change("invoice_written_off", t.invoices, IS_OPEN, recovered_minor=5),
    change("invoice_replaced", t.invoices, replaces_id="gone"),
    # Discounts and purchase orders.
    change("discount_times", t.discounts, t.discounts.c.scope == "item", times=1)._replace(
        key={"item_id": None}
    ),
    change("document_discount_times", t.discounts, t.discounts.c.scope == "document", times=1)._replace(
        key={"customer_id": None}
    ),
    change("document_discount", t.line_items, document_discount_minor=line.discount_minor + 1),
    change("discount_amount", t.discount_uses, amount_minor=t.discount_uses.c.amount_minor + 1),
    Plant(
        "purchase_order",
        t.invoices,
        lambda store, row: _ordered(store, row, row["net_minor"] - 1),
        invoice.net_minor > 1,
    ),
    # Payments.
    change("payment_state", t.payments, CAPTURED, received_on=None),
    change("payment_state", t.payments, FAILED, state="lost"),
    change("payment_asked", t.payments, FAILED, amount_minor=payment.amount_minor + 1),
    add("payment_twice", t.payments, FAILED, payment_id="zzz"),
    drop("payment_attempt", t.payment_attempts, t.payment_attempts.c.outcome == "captured"),
    change(
        "attempt_captured",
        t.payment_attempts,
        t.payment_attempts.c.payment_id.in_(select(payment.payment_id).where(FAILED)),
        outcome="captured",
    ),
    add("payment_method", t.payment_methods, method_id="zzz"),
    change("payment_reversed", t.payments, CAPTURED, reversed_minor=1),
    change("payment_applied", t.payments, BY_CARD, amount_minor=payment.amount_minor - 1),
    change("payment_spent", t.payments, BY_CARD, amount_minor=payment.amount_minor + 1, is_spent=True),
    change("note_applied", t.credit_notes, total_minor=1),
    change("application_parties", t.applications, source_id="gone"),
    change("application_parties", t.applications, invoice_id="gone"),
    change("application_reversal", t.applications, amount_minor=-applied.amount_minor),
    add(
        "application_reversal",
        t.applications,
        application_id="zzz",
        amount_minor=lambda row: 1 - row["amount_minor"],
        reverses_id=lambda row: row["application_id"],
    ),
    Plant("application_reversed_twice", t.applications, lambda store, row: _twice_undone(store, row)),
    change("refund_of_payment", t.refunds, amount_minor=10**9),
    change("refund_state", t.refunds, refunded_on=None),
    # Wallets, transfers, disputes.
    Plant("grant_left", t.currencies, lambda store, _: _granted(store, [60, 41])),
    Plant("grant_returned", t.currencies, lambda store, _: _granted(store, [-1])),
    Plant("grant_draws", t.currencies, lambda store, _: _granted(store, [60])),
    change("wallet", t.wallet_movements, amount_minor=t.wallet_movements.c.amount_minor + 1)._replace(
        key={"customer_id": None, "currency": None}
    ),
    change("write_off", t.write_offs, amount_minor=1),
    change("write_off", t.invoices, IS_OPEN, written_off_minor=7),
    Plant(
        "wallet_currency",
        t.currencies,
        lambda store, _: _wallet(store, currency="USD") or {"wallet_id": "wallet"},
    ),
    Plant("grant_invoice", t.currencies, lambda store, _: _granted(store, [], is_paid=True)),
    Plant("transfer_state", t.payments, lambda store, row: _transferred(store, row, state="unmatched")),
    change("transfer_payment", t.bank_transfers, IS_MATCHED, amount_minor=1),
    change("unallocated", t.bank_transfers, IS_MATCHED, state="unmatched", currency="EUR"),
    put(
        "early_discount",
        t.early_discounts,
        t.invoices,
        application_id="gone",
        invoice_id=lambda row: row["invoice_id"],
        payment_id="gone",
        net_minor=10,
        tax_minor=2,
        granted_on=END,
    ),
    Plant("dispute_amount", t.payments, lambda store, row: _disputed(store, row, row["amount_minor"] + 1)),
    Plant("dispute_outcome", t.payments, lambda store, row: _disputed(store, row, 1, closed_on=END)),
    put(
        "invoice_dispute",
        t.invoice_disputes,
        t.invoices,
        dispute_id="dispute",
        invoice_id=lambda row: row["invoice_id"],
        amount_minor=lambda row: row["total_minor"] + 1,
        opened_on=END,
    ),
    # Dunning.
    add("case_twice", t.dunning_cases, t.dunning_cases.c.closed_on.is_(None), case_id="zzz"),
    change("overdue_state", t.customers, overdue_state="written_off"),
    change(
        "overdue_state",
        t.customers,
        t.customers.c.customer_id == "mia",
        overdue_state="current",
    ),
    change("case_end", t.dunning_cases, t.dunning_cases.c.closed_on.is_(None), closed_as="recovered"),
    change("case_of_payment", t.payments, FAILED, case_id="gone"),
    change("customer_campaign", t.customers, campaign_id="gone"),
    change("credit_limit", t.customers, credit_limit_minor=-1),
    *(
        put("approval", t.approvals, t.customers, **(APPROVAL | values))
        for values in (
            {"kind": "discount"},
            {"state": "perhaps"},
            {"state": "approved"},
            {"decided_on": END},
            {"kind": "write_off", "subject_id": "gone"},
        )
    ),
    *(
        put("held_document", t.held_documents, t.billing_runs, **(HELD | {"code": code, "po_id": "gone"}))
        for code in ("po_expired", "po_lost")
    ),
    # Books.
    change("entry_balance", t.journal_lines, posted.debit_minor > 0, debit_minor=posted.debit_minor + 1),
    change("entry_sides", t.journal_lines, posted.debit_minor > 0, credit_minor=5),
    add("entry_lines", t.journal_entries, entry_id="zzz", source_id="zzz"),
    change("entry_of_line", t.journal_lines, entry_id="gone"),
    Plant("entry_amounts", t.journal_entries, lambda store, row: _moved(store, row))._replace(
        key={"account": None, "customer_id": None, "currency": None}
    ),
    drop("entry_amounts", t.journal_entries)._replace(
        key={"account": None, "customer_id": None, "currency": None}
    ),
    change("entry_day", t.journal_entries, posted_on=date(2025, 12, 31)),
    change("receivable", t.invoices, IS_OPEN, total_minor=invoice.total_minor + 5),
    change("receivable", t.journal_lines, posted.account == "receivable", customer_id="nobody")._replace(
        key={"customer_id": None}
    ),
    change("customer_credit", t.payments, CAPTURED, amount_minor=payment.amount_minor + 5),
    change("credit_negative", t.payments, BY_CARD, amount_minor=1),
    put(
        "entry_locked",
        t.accounting_periods,
        t.journal_entries,
        entry.posted_on == FIRST_OF_MAY,
        entity_id="seller",
        month=FIRST_OF_MAY,
        locked_at=datetime(2025, 5, 1, tzinfo=UTC),
    )._replace(key={"entry_id": None}),
    drop("message", t.outbox, t.outbox.c.topic == "invoice.issued"),
    add("message", t.outbox, t.outbox.c.topic == "payment.captured", message_id="zzz"),
    # Amounts computed again.
    change(
        "line_amount", t.line_items, IS_CHARGE, gross_minor=line.gross_minor + 2, net_minor=line.net_minor + 2
    ),
    change("line_amount", t.line_items, IS_CHARGE, quantity_mantissa=line.quantity_mantissa + 1)._replace(
        where=IS_CHARGE & line.component_id.like("%seat")
    ),
    change("line_amount", t.line_items, IS_CHARGE, factor_den=line.factor_den + 1),
    change("line_tax", t.line_items, IS_CHARGE, tax_minor=line.tax_minor + 1),
    change("credited_share", t.line_items, IS_CREDITED, tax_minor=line.tax_minor * 2),
    # Who did what.
    change("audit_code", t.audit_log, t.audit_log.c.outcome == "done", code="no_price"),
    change("audit_code", t.audit_log, t.audit_log.c.act == "cancel", outcome="perhaps"),
    change("audit_approval", t.audit_log, t.audit_log.c.act == "cancel", outcome="held", code="on_hold"),
    change("audit_customer", t.audit_log, t.audit_log.c.act == "cancel", customer_id="nobody"),
]


def _ordered(store: Store, row: Row, budget_minor: int) -> Row:
    order = {"po_id": "po", "customer_id": row["customer_id"], "number": "4711", "currency": row["currency"]}
    store.insert(t.purchase_orders, [order | {"budget_minor": budget_minor, "valid_start": END}], NOW)
    store.execute(update(t.invoices).where(_of(t.invoices, row)).values(po_id="po"))
    return order


def _twice_undone(store: Store, row: Row) -> Row:
    undone = row | {"amount_minor": -row["amount_minor"], "reverses_id": row["application_id"]}
    store.insert(t.applications, [undone | {"application_id": one} for one in ("zz1", "zz2")])
    return row


def _allocated(store: Store, kind: str, quantity: int) -> Row:
    row = {"order_id": "gone", "position": 1, "kind": kind, "sku_id": "s", "allocated_on": END}
    store.insert(t.stock_allocations, [row | {"quantity_mantissa": quantity, "quantity_scale": 0}], NOW)
    return row


def _again(store: Store, row: Row) -> Row:
    """The number of the invoice before, told otherwise."""
    before = int(row["number"].rsplit("-")[-1]) - 1
    store.execute(update(t.invoices).where(_of(t.invoices, row)).values(number=f"INV-2025-{before:07}"))
    return row


def _moved(store: Store, row: Row) -> Row:
    """A posting of an entry stands on another account."""
    of_entry = (posted.entry_id == row["entry_id"]) & (posted.position == 1)
    store.execute(update(t.journal_lines).where(of_entry).values(account="payment_fees"))
    return row


def _transferred(store: Store, row: Row, **values: Any) -> Row:
    new = {
        "transfer_id": "transfer",
        "entity_id": "seller",
        "bank_ref": "b",
        "received_on": END,
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "state": "matched",
        "payment_id": row["payment_id"],
    }
    store.insert(t.bank_transfers, [new | values], NOW)
    return new


def _disputed(store: Store, row: Row, amount_minor: int, **values: Any) -> Row:
    new = {"dispute_id": "dispute", "payment_id": row["payment_id"], "amount_minor": amount_minor}
    store.insert(t.disputes, [new | {"opened_on": END} | values], NOW)
    return new


# Planting it.


class _TakenBack(Exception):
    """Rolls the corruption back."""


@contextmanager
def lawless(store: Store) -> Iterator[None]:
    """A transaction that is taken back, in which the database lets everything pass."""
    try:
        if store.is_sqlite:
            store.execute(text("PRAGMA foreign_keys=OFF"))
            store.execute(text("PRAGMA ignore_check_constraints=ON"))
        with store.transaction():
            _forget_rules(store)
            yield
            raise _TakenBack
    except _TakenBack:
        pass
    finally:
        if store.is_sqlite:
            store.execute(text("PRAGMA ignore_check_constraints=OFF"))
            store.execute(text("PRAGMA foreign_keys=ON"))


def _forget_rules(store: Store) -> None:
    """Drop what keeps these corruptions out of a sound database: unique keys, checks, references."""
    for name in ("uq_line_items_obligation", "uq_dunning_cases_open"):
        store.execute(text(f"DROP INDEX {name}"))
    if store.is_sqlite:
        return
    store.execute(text("SET LOCAL session_replication_role = replica"))
    for row in store.rows(
        select(text("conname"), text("conrelid::regclass::text AS relation"))
        .select_from(text("pg_constraint"))
        .where(text("contype IN ('c', 'x') AND connamespace = 'public'::regnamespace"))
    ):
        store.execute(text(f"ALTER TABLE {row['relation']} DROP CONSTRAINT {row['conname']}"))


def findings(store: Store, code: str) -> list[Finding]:
    return list(examine(store, NOW, checks=[check for check in CHECKS if check.code == code]))


@pytest.mark.parametrize("plant", PLANTS, ids=[f"{n}-{one.check}" for n, one in enumerate(PLANTS)])
def test_a_corruption_is_named_by_its_row(world: Store, plant: Plant) -> None:
    key = list(plant.table.primary_key)
    with lawless(world):
        row = world.row(select(plant.table).where(plant.where).order_by(*key))
        assert row is not None, "the world has no such row"
        wrong = plant.work(world, row)
        found = findings(world, plant.check)
        assert found, "nothing was found"
        wanted = {name: wrong[plant.names.get(name, name)] for name in found[0].key if name not in plant.key}
        for one in found:
            assert {name: one.key[name] for name in wanted} == wanted, one
            assert one.found is None or one.found != one.wanted
        many = {
            "day_charged_twice",
            "entry_amounts",
            "entry_locked",
            "receivable",
            "discount_times",
            "second_run",
        }
        assert len(found) == 1 or plant.check in many
    assert findings(world, plant.check) == []


def test_every_check_has_a_corruption_that_it_finds() -> None:
    assert {plant.check for plant in PLANTS} == {check.code for check in CHECKS}


# Sound, though it may look wrong.


def test_two_countries_with_one_rate_are_taxed_apart(store: Store) -> None:
    open_shop(store)
    for country in ("AT", "FR"):
        catalog.add_tax_rate(
            store, at(START), country=country, tax_rate_ppm=200_000, valid_from=date(2020, 1, 1)
        )
    sell(store, "basic", fee("0.12"))
    join(store, "anna")
    for name, country in (("vienna", "AT"), ("paris", "FR")):
        join(store, name, country=country, parent_id="anna", bill_to_id="anna")
        take(store, START, "basic", name)
    run(store, START)
    # 0.024 of tax for each country is posted as 0.02; of both together it would be 0.05.
    assert store.rows(select(t.invoices.c.net_minor, t.invoices.c.tax_minor)) == [
        {"net_minor": 24, "tax_minor": 4}
    ]
    assert_sound(store, at(START, 22))


# Beside others, and in words.


def test_what_others_write_meanwhile_is_not_seen_and_the_next_examination_sees_it(each_database: str) -> None:
    url = new_url()
    with open_store(url) as one, open_store(url) as other:
        one.migrate()
        open_shop(one)
        sell(one, "basic", fee("10"))
        join(one, "anna")
        take(one, START, "basic")
        run(one, START)

        def spoil(check: Check) -> None:
            if check == CHECKS[1]:
                other.execute(update(t.invoices).values(net_minor=invoice.net_minor + 1))

        assert list(examine(one, at(START, 22), progress=spoil)) == []
        assert {found.check for found in examine(one, at(START, 22))} == {
            "invoice_net",
            "invoice_total",
            "entry_amounts",
        }


def test_a_finding_says_which_row_is_wrong_and_by_how_much() -> None:
    found = Finding("invoice_net", "invoices", {"invoice_id": "inv_1"}, 1001, 1000, "A sentence.")
    assert found.difference == 1
    assert found.in_words() == (
        "invoice_net: invoices invoice_id inv_1, has 1001, should have 1000 (+1). A sentence."
    )
    bare = Finding("case_twice", "dunning_cases", {"customer_id": "a", "currency": "EUR"}, None, None, "One.")
    assert bare.difference is None
    assert bare.in_words() == "case_twice: dunning_cases customer_id a, currency EUR. One."
