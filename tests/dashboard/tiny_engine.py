"""A small company of the billing engine, whose every amount can be worked out with a pencil.

Plan basic: 10.00 a month, and seats at 5.00 up to 10, then 4.00. Tax in DE is 19 %; nobody set that of FR.
Anna (12 seats, by transfer): 10.00 + 50.00 + 8.00 = 68.00, with tax 80.92, on 1 January and on 1 February.
Bert pays by card in KWD: 3.000. Cleo buys in FR and is set aside. Dora's name is hostile.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from small_offer import FIRST, STEPS, open_offer, price_in
from sqlalchemy import select

from billing.jobs.bill_run import bill
from billing.jobs.dun import dun
from billing.service.acts import job
from billing.service.catalog import (
    NewPrice,
    add_prices,
    add_tax_rate,
    create_legal_entity,
    create_payment_terms,
)
from billing.service.credit_notes import issue_credit_note
from billing.service.customers import add_payment_method, create_customer
from billing.service.subscriptions import subscribe
from billing.service.transfers import receive_transfer
from billing.store.store import Store, open_store
from billing.store.tables import invoices, line_items

TODAY = date(2025, 2, 20)
HOSTILE = '<script>alert("x")</script> =1+1 \u202etfel'
COMPANY = """\
name = "tiny"
title_en = "Tiny"
title_ar = "صغيرة"
sample = true
as_of = 2025-02-20
database_url = "{url}"

[sources.billing]
kind = "billing"
"""


def at(month: int, day: int, hour: int = 9) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


def fill(store: Store) -> None:
    """The company on 20 February 2025: two bill runs, a payment in part, a credit note, a reminder."""
    _offer(store)
    _customers(store)
    for month in (1, 2):
        with job(store, at(month, 1), "bill", up_to=date(2025, month, 1)) as work:
            work.subject_id = bill(store, at(month, 1), up_to=date(2025, month, 1)).run_id
    january = invoice_of(store, "anna", date(2025, 1, 1))
    receive_transfer(store, at(1, 20), invoice_id=january, amount_minor=3000, bank_ref="ref-1")
    fee = store.rows(
        select(line_items.c.line_id).where(
            line_items.c.invoice_id == january, line_items.c.component_id == "basic.1.fee"
        )
    )
    issue_credit_note(store, at(1, 25), reason="goodwill", lines=[(fee[0]["line_id"], 500)])
    with job(store, at(2, 20), "dun"):
        dun(store, at(2, 20))


def invoice_of(store: Store, customer_id: str, on: date) -> str:
    rows = store.rows(
        select(invoices.c.invoice_id).where(invoices.c.customer_id == customer_id, invoices.c.issued_on == on)
    )
    return str(rows[0]["invoice_id"])


def _offer(store: Store) -> None:
    open_offer(store)
    create_legal_entity(store, FIRST, entity_id="vendeur", name="Vendeur SA", country="FR")
    add_tax_rate(store, FIRST, country="DE", tax_rate_ppm=190_000, valid_from=date(2000, 1, 1))
    create_payment_terms(store, FIRST, terms_id="net-14", net_days=14)
    prices = [NewPrice("pro.1.seats", "volume", tiers=STEPS), NewPrice("support.1.fee", "flat", "31")]
    add_prices(store, FIRST, list_id="standard", prices=prices)
    dinars = (NewPrice("basic.1.fee", "flat", "3"), NewPrice("basic.1.seats", "flat", "0"))
    price_in(store, "dinars", "KWD", *dinars)


def _customers(store: Store) -> None:
    for customer_id, name, entity_id, currency, seats in (
        ("anna", "Anna AG", "seller", "EUR", 12),
        ("bert", "شركة بيرت", "seller", "KWD", 1),
        ("cleo", "Cleo SARL", "vendeur", "EUR", 1),
        ("dora", HOSTILE, "seller", "EUR", 10),
    ):
        by_transfer = customer_id == "anna"
        create_customer(
            store,
            FIRST,
            customer_id=customer_id,
            name=name,
            entity_id=entity_id,
            currency=currency,
            country="FR" if entity_id == "vendeur" else "DE",
            collection="terms" if by_transfer else "automatic",
            terms_id="net-14" if by_transfer else None,
        )
        if not by_transfer:
            add_payment_method(store, FIRST, customer_id=customer_id, gateway_ref=f"card-{customer_id}")
        subscribe(
            store,
            FIRST,
            subscription_id=f"sub-{customer_id}",
            customer_id=customer_id,
            plan_id="basic",
            quantity=seats,
            starts_on=date(2025, 1, 1),
        )


def publish(folder: Path) -> Path:
    """A company's folder with its billing database, and nothing published."""
    folder.mkdir(parents=True)
    (folder / "company.toml").write_text(COMPANY.format(url="sqlite:///billing.db"), encoding="utf-8")
    with open_store(f"sqlite:///{folder / 'billing.db'}") as store:
        store.migrate()
        fill(store)
    return folder
