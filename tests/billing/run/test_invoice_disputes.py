"""Invoices that customers dispute: what is not chased meanwhile, and what a word of ours makes of it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from shop import at
from sqlalchemy import select
from test_bank_transfers import balances, shop

from billing.core.money import BillingError
from billing.jobs.reconcile import reconcile
from billing.service import transfers
from billing.service.invoice_disputes import close_invoice_dispute, dispute_invoice
from billing.store import tables
from billing.store.store import Store

ON = date(2025, 1, 20)


def line_of(store: Store, invoice_id: str) -> str:
    lines = store.rows(select(tables.line_items).where(tables.line_items.c.invoice_id == invoice_id))
    return str(lines[0]["line_id"])


def dispute(store: Store, invoice_id: str, **named: Any) -> str:
    return dispute_invoice(store, at(ON), invoice_id=invoice_id, **{"reason": "short delivery"} | named)


def test_an_accepted_dispute_takes_its_amount_off_the_invoice(store: Store) -> None:
    (paper,) = shop(store, "anna")
    of = dispute(store, paper, amount_minor=24_000)
    note_id = close_invoice_dispute(store, at(ON), dispute_id=of, outcome="accepted")
    note = store.rows(select(tables.credit_notes).where(tables.credit_notes.c.note_id == note_id))[0]
    assert (note["net_minor"], note["tax_minor"]) == (20_000, 4000)
    assert balances(store)["receivable"] == 96_000
    row = store.rows(select(tables.invoice_disputes))[0]
    assert (row["closed_on"], row["outcome"], row["amount_minor"]) == (ON, "accepted", 24_000)
    with pytest.raises(BillingError, match="illegal_transition"):
        close_invoice_dispute(store, at(ON), dispute_id=of, outcome="rejected")
    assert reconcile(store, ON).agrees


def test_a_rejected_dispute_leaves_the_invoice_as_it_is(store: Store) -> None:
    (paper,) = shop(store, "anna")
    of = dispute(store, paper, line_id=line_of(store, paper))
    assert close_invoice_dispute(store, at(ON), dispute_id=of, outcome="rejected") is None
    assert balances(store)["receivable"] == 120_000
    assert dispute(store, paper) != of


def test_what_is_left_is_disputed_after_a_part_was(store: Store) -> None:
    (paper,) = shop(store, "anna")
    line_id = line_of(store, paper)
    for named in ({"amount_minor": 15_000}, {"line_id": line_id, "amount_minor": 5000}, {}):
        dispute(store, paper, **named)
    found = [row["amount_minor"] for row in store.rows(select(tables.invoice_disputes))]
    assert sorted(found) == [5000, 15_000, 100_000]
    told = store.rows(select(tables.outbox.c.payload).where(tables.outbox.c.topic == "invoice.disputed"))
    assert sorted(json.loads(row["payload"])["amount_minor"] for row in told) == sorted(found)


def test_no_more_is_disputed_than_is_open_and_nothing_twice(store: Store) -> None:
    paper, other = shop(store, "anna", "bruno")
    transfers.receive_transfer(store, at(ON), invoice_id=paper, amount_minor=100_000)
    refused = [
        ({"amount_minor": 20_001}, "amount_out_of_range"),
        ({"amount_minor": 0}, "negative_quantity"),
        ({"line_id": line_of(store, other)}, "unknown_line"),
        ({"reason": " "}, "missing_value"),
    ]
    for named, code in refused:
        with pytest.raises(BillingError, match=code):
            dispute(store, paper, **named)
    dispute(store, paper, amount_minor=15_000)
    dispute(store, paper, line_id=line_of(store, paper), amount_minor=5000)
    with pytest.raises(BillingError, match="amount_out_of_range"):
        dispute(store, paper)
    with pytest.raises(BillingError, match="unknown_invoice"):
        dispute(store, "none")
    transfers.receive_transfer(store, at(ON), invoice_id=paper, amount_minor=20_000)
    with pytest.raises(BillingError, match="illegal_transition"):
        dispute(store, paper)
    with pytest.raises(BillingError, match="unknown_dispute"):
        close_invoice_dispute(store, at(ON), dispute_id="none", outcome="accepted")
