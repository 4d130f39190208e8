"""A small company whose amounts anybody can add up, for tests of what is read of its money.

One seller, 20 % tax, one plan of 100.00 a month: each invoice is 120.00. New Year's invoices: anna pays by
card; her site annex is billed to itself, by transfer within 30 days, and has paid 50.00 of its own; zoe's
card is declined. On 1 February all three are billed again. Annex disputes 10.00 of its first invoice. 30.00
before tax are credited of anna's first invoice, which was paid, so its 36.00 pay a part of her second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.service import catalog, customers, subscriptions
from billing.service.credit_notes import issue_credit_note
from billing.service.invoice_disputes import dispute_invoice
from billing.service.transfers import receive_transfer
from billing.store import tables
from billing.store.store import Store

OPENED = datetime(2024, 12, 1, 8, tzinfo=UTC)
JANUARY, FEBRUARY = date(2025, 1, 1), date(2025, 2, 1)


def at(day: date, hour: int = 9) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


@dataclass(frozen=True)
class MoneyWorld:
    """Ids: `papers` by payer and month, `lines` of these, and what the story left behind."""

    papers: dict[tuple[str, int], str]
    lines: dict[str, str]
    note_id: str
    dispute_id: str
    runs: tuple[str, str]
    gateway: SimulatedGateway


def build(store: Store) -> MoneyWorld:
    """Play the story on an empty, migrated store."""
    catalog.create_legal_entity(store, OPENED, entity_id="seller", name="Seller GmbH", country="DE")
    catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1))
    catalog.create_payment_terms(store, OPENED, terms_id="net30", net_days=30)
    catalog.create_product(store, OPENED, product_id="goods", name="Goods")
    catalog.create_plan(store, OPENED, plan_id="basic", name="Basic", product_id="goods")
    fee = [catalog.NewComponent("fee", "fee")]
    catalog.publish_plan_version(store, OPENED, plan_id="basic", interval="P1M", components=fee)
    catalog.create_price_list(
        store,
        OPENED,
        list_id="list",
        name="List",
        currency="EUR",
        valid_start=date(2000, 1, 1),
        prices=[catalog.NewPrice("basic.1.fee", "flat", "100")],
    )
    _join(store, "anna", card="card-anna")
    _join(store, "annex", parent_id="anna", collection="terms", terms_id="net30")
    _join(store, "zoe", card="card-zoe")
    gateway = SimulatedGateway()
    gateway.plan("zoe", "insufficient_funds")
    first = bill(store, at(JANUARY, 6), up_to=JANUARY)
    papers = {(row["customer_id"], 1): row["invoice_id"] for row in store.rows(select(tables.invoices))}
    collect(store, gateway, at(JANUARY))
    receive_transfer(
        store, at(date(2025, 1, 20)), invoice_id=papers["annex", 1], amount_minor=5_000, bank_ref="bank-1"
    )
    second = bill(store, at(FEBRUARY, 6), up_to=FEBRUARY)
    later = {row["customer_id"]: row["invoice_id"] for row in store.rows(_OF.where(_ISSUED == FEBRUARY))}
    papers |= {(who, 2): invoice_id for who, invoice_id in later.items()}
    rows = store.rows(select(tables.line_items.c.invoice_id, tables.line_items.c.line_id))
    lines = {row["invoice_id"]: row["line_id"] for row in rows}
    dispute_id = dispute_invoice(
        store, at(FEBRUARY), invoice_id=papers["annex", 1], reason="too dear", amount_minor=1_000
    )
    note_id = issue_credit_note(store, at(FEBRUARY), reason="late", lines=[(lines[papers["anna", 1]], 3_000)])
    runs = (str(first.run_id), str(second.run_id))
    return MoneyWorld(papers, lines, note_id, dispute_id, runs, gateway)


_ISSUED = tables.invoices.c.issued_on
_OF = select(tables.invoices.c.customer_id, tables.invoices.c.invoice_id)


def _join(store: Store, name: str, *, card: str | None = None, **named: str) -> None:
    about = {"name": name.title(), "entity_id": "seller", "currency": "EUR", "country": "DE"} | named
    customers.create_customer(store, OPENED, customer_id=name, **about)  # type: ignore[arg-type]
    if card:
        customers.add_payment_method(store, OPENED, customer_id=name, gateway_ref=card)
    subscriptions.subscribe(
        store, OPENED, subscription_id=f"sub-{name}", customer_id=name, plan_id="basic", starts_on=JANUARY
    )
