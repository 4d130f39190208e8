"""Documents that bill runs issued, read as they are sent: their facts, their sums, what is refused."""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import polars as pl
import pytest
from shop import OPENED, Part, at, item_of, join, new_store, open_shop, run, sell, take, use
from sqlalchemy import select

from billing.core.money import BillingError, Scaled
from billing.documents.as_json import to_json
from billing.documents.document import EarlyDiscount, InvoiceDocument, missing_facts
from billing.documents.reading import document_of, find_document
from billing.jobs.match_transfers import import_transfers
from billing.service import catalog, customers, discounts, parties, subscriptions
from billing.service.charges import add_charge
from billing.store import tables
from billing.store.store import Store

JANUARY, MIDDLE, FEBRUARY = date(2024, 1, 1), date(2024, 1, 16), date(2024, 2, 1)


def shop_with_addresses(store: Store, **customer: Any) -> Store:
    """The shop with what documents print of it and of anna; plan pro: 31.00, 5.00 a seat, calls by tiers."""
    open_shop(store)
    parties.set_seller_address(
        store,
        OPENED,
        entity_id="seller",
        lines=["Hafenstraße 12"],
        postal_code="20457",
        city="Hamburg",
        country="DE",
        valid_from=date(2000, 1, 1),
    )
    parties.change_seller(store, OPENED, entity_id="seller", iban="DE89370400440532013000", bic="COBADEFFXXX")
    store.update(tables.legal_entities, [{"entity_id": "seller", "tax_number": "DE811569869"}], OPENED)
    steps = (catalog.NewTier(100, "1"), catalog.NewTier(None, "0.5"))
    sell(
        store,
        "pro",
        [
            Part("fee", "fee", "31"),
            Part("seats", "seat", "5", "per_unit"),
            Part("calls", "usage", None, "graduated", {"tiers": steps}),
        ],
    )
    join(store, "anna", **customer)
    parties.set_customer_address(
        store, OPENED, customer_id="anna", lines=["Ring 2"], postal_code="10115", city="Berlin", country="DE"
    )
    return store


def number(store: Store, document_number: str) -> InvoiceDocument:
    return document_of(store, find_document(store, document_number))


def told(document: InvoiceDocument) -> Any:
    return json.loads(to_json(document))


def shown(document: InvoiceDocument) -> list[tuple[str, str, str | None, str]]:
    return [
        (line["description"], line["quantity"], line["unit_price"], line["net"])
        for line in told(document)["lines"]
    ]


@pytest.mark.usefixtures("each_database")
def test_an_invoice_says_who_what_how_much_and_until_when() -> None:
    store = shop_with_addresses(new_store(), tax_number="DE123456789", collection="terms")
    take(store, JANUARY, "pro", quantity=3)
    run(store, JANUARY)
    invoice = number(store, "INV-2024-000001")
    assert missing_facts(invoice) == []
    # 31.00 and 3 seats of 5.00, and 19 % of it.
    assert shown(invoice) == [("Pro, fee", "1", "31", "31.00"), ("Pro, seats", "3", "5", "15.00")]
    facts = told(invoice)
    assert (facts["net"], facts["tax"], facts["total"], facts["open"]) == ("46.00", "8.74", "54.74", "54.74")
    assert [(tax["category"], tax["tax_rate_percent"], tax["net"]) for tax in facts["taxes"]] == [
        ("standard", "19", "46.00")
    ]
    assert (invoice.seller.tax_number, invoice.buyer.tax_number) == ("DE811569869", "DE123456789")
    assert (invoice.seller.city, invoice.buyer.city, invoice.buyer.lines) == (
        "Hamburg",
        "Berlin",
        ("Ring 2",),
    )
    assert (invoice.issued_on, invoice.service_start, invoice.service_end) == (JANUARY, JANUARY, FEBRUARY)
    assert invoice.account is not None
    assert invoice.account.iban == "DE89370400440532013000"
    assert invoice.terms is not None
    assert invoice.terms.collection == "terms"


@pytest.mark.usefixtures("each_database")
def test_a_change_shows_the_part_of_the_period_and_the_invoice_it_takes_back_from() -> None:
    store = shop_with_addresses(new_store())
    sell(store, "max", [Part("fee", "fee", "62")])
    take(store, JANUARY, "pro", subscription_id="sub")
    run(store, JANUARY)
    subscriptions.change_plan(store, at(MIDDLE), subscription_id="sub", plan_id="max", when="now")
    run(store, MIDDLE)
    invoice = number(store, "INV-2024-000002")
    credit = next(line for line in invoice.lines if line.description == "Pro, fee")
    charge = next(line for line in invoice.lines if line.description == "Max, fee")
    assert (credit.net_minor, credit.corrects, credit.unit_price) == (-1600, "INV-2024-000001", Scaled(31, 0))
    assert charge.proration is not None
    assert (charge.proration.part, charge.proration.whole, charge.proration.unit) == (16, 31, "day")
    assert (charge.net_minor, charge.unit_price, charge.is_average) == (3200, Scaled(62, 0), False)


@pytest.mark.usefixtures("each_database")
def test_usage_by_tiers_shows_its_average_price_beside_the_tiers() -> None:
    store = shop_with_addresses(new_store())
    take(store, JANUARY, "pro", subscription_id="sub")
    run(store, JANUARY)
    use(store, MIDDLE, item_of(store, "sub"), date(2024, 1, 10), 150, "e1")
    run(store, FEBRUARY)
    invoice = number(store, "INV-2024-000002")
    calls = next(line for line in invoice.lines if line.kind == "usage")
    # 100 at 1.00 and 50 at 0.50 are 125.00, 0.8333 a call.
    assert (calls.gross_minor, calls.quantity, calls.unit_price, calls.is_average) == (
        12500,
        Scaled(150, 0),
        Scaled(8333, 4),
        True,
    )
    assert calls.price is not None
    assert [(tier.up_to, tier.unit_price) for tier in calls.price.tiers] == [
        (100, Scaled(10, 1)),
        (None, Scaled(5, 1)),
    ]
    assert (calls.service_start, calls.service_end) == (JANUARY, FEBRUARY)


@pytest.mark.usefixtures("each_database")
def test_a_credit_note_names_what_it_corrects_and_what_became_of_it() -> None:
    store = shop_with_addresses(new_store())
    take(store, JANUARY, "pro", subscription_id="sub")
    run(store, JANUARY)
    subscriptions.cancel(store, at(MIDDLE), subscription_id="sub", when="now")
    run(store, MIDDLE)
    note = number(store, "CN-2024-000001")
    # 16 of 31 days of 31.00 and 5.00 are 16.00 and 2.58; so of their taxes of 5.89 and 0.95, 3.04 and 0.49.
    assert (note.kind, note.net_minor, note.tax_minor, note.total_minor) == ("credit_note", 1858, 353, 2211)
    assert [(one.number, one.issued_on) for one in note.corrects] == [("INV-2024-000001", JANUARY)]
    assert [(one.kind, one.reference, one.amount_minor) for one in note.settlements] == [
        ("invoice", "INV-2024-000001", 2211)
    ]
    assert (note.open_minor, note.reason) == (0, "change")
    invoice = number(store, "INV-2024-000001")
    assert [(one.kind, one.reference, one.amount_minor) for one in invoice.settlements] == [
        ("credit_note", "CN-2024-000001", 2211)
    ]
    assert (invoice.total_minor, invoice.open_minor) == (4284, 2073)


@pytest.mark.parametrize(
    ("country", "tax_number", "category"),
    [("FR", "FR40303265045", "reverse_charge"), ("KW", None, "export")],
)
def test_what_bears_no_tax_says_why(country: str, tax_number: str | None, category: str) -> None:
    store = open_shop(new_store())
    store.update(tables.legal_entities, [{"entity_id": "seller", "tax_number": "DE811569869"}], OPENED)
    sell(store, "pro", [Part("fee", "fee", "31")])
    join(store, "anna", country=country, tax_number=tax_number, tax_number_confirmed_on=JANUARY)
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    invoice = number(store, "INV-2024-000001")
    (tax,) = told(invoice)["taxes"]
    assert (tax["category"], tax["tax"], tax["net"], bool(tax["reason"])) == (category, "0.00", "31.00", True)
    assert missing_facts(invoice) == ["seller.address", "buyer.address"]


def shop_with_early_discount() -> Store:
    """anna owes 1,200.00 (1,000 + 200) since New Year under 2/10 net 30."""
    store = open_shop(new_store(), tax_rate_ppm=200_000)
    sell(store, "pro", [Part("fee", "fee", "1000")])
    catalog.create_payment_terms(
        store, OPENED, terms_id="2/10 net 30", net_days=30, discount_ppm=20_000, discount_days=10
    )
    join(store, "anna", collection="terms", terms_id="2/10 net 30")
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    return store


@pytest.mark.usefixtures("each_database")
def test_an_early_discount_says_what_is_to_pay_until_when() -> None:
    terms = number(shop_with_early_discount(), "INV-2024-000001").terms
    assert terms is not None
    assert (terms.net_days, terms.end_of_month) == (30, False)
    # 2/10 net 30: 1,200.00 paid with 1,176.00.
    assert terms.early_discount == EarlyDiscount(
        discount_ppm=20_000, until=date(2024, 1, 11), discount_minor=2400, to_pay_minor=117_600
    )


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize(
    ("amount", "received_on", "offered"),
    [
        # 1,176.00 have to come by the 11th, and no more than 700.00 are left to come.
        ("500.00", date(2024, 1, 15), None),
        # It came in time, though it was matched on the 20th.
        ("500.00", date(2024, 1, 11), (2400, 67_600)),
        # Late, but so little that 1,176.00 are left to come in time: of 1,180.00, not of 1,176.00.
        ("20.00", date(2024, 1, 12), (400, 117_600)),
        ("24.00", date(2024, 1, 12), None),
    ],
)
def test_a_document_offers_the_early_discount_that_money_in_time_still_brings(
    amount: str, received_on: date, offered: tuple[int, int] | None
) -> None:
    store = shop_with_early_discount()
    paid = {"entity_id": "seller", "bank_ref": "1", "received_on": str(received_on), "amount": amount}
    paid |= {"currency": "EUR", "payer_name": "", "reference": "INV-2024-000001"}
    import_transfers(store, at(date(2024, 1, 20)), pl.DataFrame([paid]))
    terms = number(store, "INV-2024-000001").terms
    assert terms is not None
    early = terms.early_discount
    assert (early and (early.discount_minor, early.to_pay_minor)) == offered


@pytest.mark.usefixtures("each_database")
def test_a_document_prints_names_numbers_and_addresses_as_on_its_day() -> None:
    store = shop_with_addresses(new_store(), tax_number="DE111111111")
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    before = to_json(number(store, "INV-2024-000001"))
    later = at(MIDDLE)
    parties.set_customer_address(
        store, later, customer_id="anna", lines=["Neuer Weg 9"], city="Köln", country="DE"
    )
    # Dated back, but not known when the invoice was issued.
    parties.set_customer_address(
        store, later, customer_id="anna", lines=["X"], city="Y", country="DE", valid_from=date(2023, 12, 1)
    )
    customers.change_customer(store, later, customer_id="anna", name="Anna KG", tax_number="DE222222222")
    assert to_json(number(store, "INV-2024-000001")) == before
    run(store, FEBRUARY)
    invoice = number(store, "INV-2024-000002")
    assert (invoice.buyer.name, invoice.buyer.city, invoice.buyer.tax_number) == (
        "Anna KG",
        "Köln",
        "DE222222222",
    )


def test_an_address_that_came_late_is_better_than_none() -> None:
    store = open_shop(new_store())
    sell(store, "pro", [Part("fee", "fee", "31")])
    join(store, "anna")
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    assert missing_facts(number(store, "INV-2024-000001")) == [
        "seller.address",
        "seller.tax_number",
        "buyer.address",
    ]
    parties.set_customer_address(
        store, at(MIDDLE), customer_id="anna", lines=["Ring 2"], city="Berlin", country="DE"
    )
    assert number(store, "INV-2024-000001").buyer.city == "Berlin"


@pytest.mark.usefixtures("each_database")
def test_an_invoice_for_several_sites_names_each_and_one_for_another_site_its_place() -> None:
    store = shop_with_addresses(new_store())
    for site in ("north", "south"):
        join(store, site, name=f"Site {site}", parent_id="anna", bill_to_id="anna")
    take(store, JANUARY, "pro", "north")
    run(store, JANUARY)
    one = number(store, "INV-2024-000001")
    assert one.ship_to is not None
    assert (one.buyer.name, one.ship_to.name) == ("anna", "Site north")
    take(store, FEBRUARY, "pro", "south")
    run(store, FEBRUARY)
    both = number(store, "INV-2024-000002")
    assert both.ship_to is None
    assert [line.party for line in both.lines] == ["Site north"] * 2 + ["Site south"] * 2


@pytest.mark.usefixtures("each_database")
def test_states_orders_replacements_and_payments_are_told() -> None:
    store = shop_with_addresses(new_store())
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    run(store, FEBRUARY)
    first, second = (find_document(store, f"INV-2024-{place:06}") for place in (1, 2))
    order = {"po_id": "po", "customer_id": "anna", "number": "PO 77", "currency": "EUR"}
    store.insert(tables.purchase_orders, [order | {"valid_start": JANUARY}], OPENED)
    store.update(tables.invoices, [{"invoice_id": first, "state": "void", "voided_on": MIDDLE}])
    store.update(tables.invoices, [{"invoice_id": second, "replaces_id": first, "po_id": "po"}])
    void, open_one = document_of(store, first), document_of(store, second)
    assert (void.state, void.state_on, void.open_minor, void.replaced_by) == (
        "void",
        MIDDLE,
        0,
        "INV-2024-000002",
    )
    assert (open_one.replaces, open_one.purchase_order) == ("INV-2024-000001", "PO 77")
    store.update(
        tables.invoices,
        [
            {
                "invoice_id": second,
                "state": "uncollectible",
                "written_off_on": MIDDLE,
                "written_off_minor": 4284,
            }
        ],
    )
    lost = document_of(store, second)
    assert [(one.kind, one.amount_minor) for one in lost.settlements] == [("write_off", 4284)]


def test_what_is_applied_and_undone_does_not_count() -> None:
    store = shop_with_addresses(new_store())
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    invoice_id = find_document(store, "INV-2024-000001")
    row = {"source_kind": "wallet", "source_id": "grant", "invoice_id": invoice_id, "applied_on": JANUARY}
    store.insert(
        tables.applications,
        [
            row | {"application_id": "a", "amount_minor": 1000, "reverses_id": None},
            row | {"application_id": "b", "amount_minor": -1000, "reverses_id": "a"},
            row | {"application_id": "c", "amount_minor": 600, "reverses_id": None, "source_id": "other"},
        ],
        OPENED,
    )
    invoice = document_of(store, invoice_id)
    assert [(one.kind, one.amount_minor) for one in invoice.settlements] == [("wallet", 600)]
    assert invoice.open_minor == 3684


def test_a_charge_that_comes_once_has_its_amount_as_price() -> None:
    store = shop_with_addresses(new_store())
    take(store, JANUARY, "pro", subscription_id="sub")
    add_charge(store, at(JANUARY), subscription_id="sub", description="Set-up", amount="120")
    run(store, JANUARY)
    line = next(one for one in number(store, "INV-2024-000001").lines if one.description == "Set-up")
    assert (line.net_minor, line.unit_price, line.is_average) == (12000, Scaled(1200000, 4), False)


# What is refused.


def one_invoice() -> tuple[Store, str]:
    store = shop_with_addresses(new_store())
    take(store, JANUARY, "pro", quantity=3)
    run(store, JANUARY)
    return store, find_document(store, "INV-2024-000001")


def test_an_unknown_document_is_refused() -> None:
    store, _ = one_invoice()
    for read in (document_of, find_document):
        with pytest.raises(BillingError, match="unknown_document"):
            read(store, "INV-2024-000009")


def test_a_number_that_two_sellers_have_needs_an_id() -> None:
    store, invoice_id = one_invoice()
    catalog.create_legal_entity(store, OPENED, entity_id="other", name="Other", country="FR")
    row = store.row(select(tables.invoices))
    assert row is not None
    store.insert(tables.invoices, [row | {"invoice_id": "twin", "entity_id": "other"}])
    with pytest.raises(BillingError, match=f"{invoice_id} or twin|twin or {invoice_id}"):
        find_document(store, "INV-2024-000001")
    assert find_document(store, "twin") == "twin"


def test_a_document_without_number_is_refused() -> None:
    store, invoice_id = one_invoice()
    store.update(tables.invoices, [{"invoice_id": invoice_id, "number": None}])
    with pytest.raises(BillingError, match="not_issued"):
        document_of(store, invoice_id)


@pytest.mark.parametrize(
    ("table", "column", "by"),
    [
        (tables.invoices, "total_minor", 1),
        (tables.invoices, "net_minor", -1),
        (tables.invoices, "tax_minor", 1),
        (tables.line_items, "tax_minor", 1),
        (tables.line_items, "tax_rate_ppm", -120_000),
        (tables.tax_lines, "base_minor", 1),
        (tables.tax_lines, "tax_minor", -1),
        (tables.tax_lines, "tax_rate_ppm", 10_000),
    ],
)
def test_a_document_that_does_not_add_up_is_not_shown(table: Any, column: str, by: int) -> None:
    store, invoice_id = one_invoice()
    row = store.rows(select(table))[0]
    key = next(iter(table.primary_key.columns)).name
    store.update(table, [{key: row[key], column: row[column] + by}], key=(key,))
    with pytest.raises(BillingError, match="sums_differ"):
        document_of(store, invoice_id)


def test_an_invoice_paid_more_than_it_is_or_paid_with_a_rest_is_not_shown() -> None:
    store, invoice_id = one_invoice()
    store.update(tables.invoices, [{"invoice_id": invoice_id, "state": "paid", "paid_on": MIDDLE}])
    with pytest.raises(BillingError, match="paid, but 5474 is left"):
        document_of(store, invoice_id)
    row = {"application_id": "a", "source_kind": "wallet", "source_id": "g", "invoice_id": invoice_id}
    store.insert(tables.applications, [row | {"amount_minor": 5475, "applied_on": JANUARY}], OPENED)
    with pytest.raises(BillingError, match="5475 settled of 5474"):
        document_of(store, invoice_id)


# Sums of random documents.

PLACES = [("DE", None), ("FR", None), ("FR", "FR40303265045"), ("KW", None)]
CURRENCIES = ("EUR", "USD", "JPY", "KWD")


def busy_shop(seed: int) -> Store:
    """24 customers of all currencies and tax cases, with discounts, changes and cancellations at random,
    billed now and then for three months."""
    draw = random.Random(seed)
    store = open_shop(new_store(seed), tax_scope=draw.choice(["group", "line"]))
    catalog.add_tax_rate(store, OPENED, country="FR", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1))
    for plan_id in ("small", "large"):
        price = {"small": "10.007", "large": "33.33"}[plan_id]
        sell(store, plan_id, [Part("fee", "fee", price), Part("seats", "seat", "3.3333", "per_unit")])
        for currency in CURRENCIES[1:]:
            catalog.create_price_list(
                store,
                OPENED,
                list_id=f"{plan_id}-{currency}",
                name=plan_id,
                currency=currency,
                valid_start=date(2000, 1, 1),
                prices=[
                    catalog.NewPrice(f"{plan_id}.1.fee", "flat", price),
                    catalog.NewPrice(f"{plan_id}.1.seats", "per_unit", "3.3333"),
                ],
            )
    discounts.create_discount(
        store,
        OPENED,
        discount_id="third",
        name="A third",
        scope="item",
        discount_ppm=333_333,
        valid_start=date(2000, 1, 1),
    )
    acts: list[tuple[date, str, str]] = []
    for place in range(24):
        country, tax_number = draw.choice(PLACES)
        join(
            store,
            f"c{place}",
            country=country,
            currency=CURRENCIES[place % 4],
            tax_number=tax_number,
            tax_number_confirmed_on=JANUARY if tax_number else None,
        )
        acts.append((JANUARY + timedelta(days=draw.randrange(20)), "take", f"c{place}"))
        for _ in range(draw.randrange(4)):
            kind = draw.choice(["plan", "seats", "seats", "cancel"])
            acts.append((JANUARY + timedelta(days=draw.randrange(20, 85)), kind, f"c{place}"))
    acts.sort()
    for day in (12, 31, 50, 61, 91):
        on = JANUARY + timedelta(days=day)
        while acts and acts[0][0] <= on:
            when, kind, customer_id = acts.pop(0)
            perform(store, draw, at(when), kind, customer_id)
        run(store, on)
    return store


def perform(store: Store, draw: random.Random, when: datetime, kind: str, customer_id: str) -> None:
    one = {"subscription_id": f"s-{customer_id}"}
    try:
        if kind == "take":
            some = draw.choice([[], ["third"]])
            take(
                store, when.date(), "small", customer_id, quantity=draw.randrange(9), discount_ids=some, **one
            )
        elif kind == "plan":
            subscriptions.change_plan(store, when, plan_id="large", when="now", **one)
        elif kind == "seats":
            subscriptions.change_quantity(store, when, quantity=draw.randrange(9), when="now", **one)
        else:
            subscriptions.cancel(store, when, when="now", **one)
    except BillingError:
        pass  # What its state does not allow is refused.


def check_sums(facts: Any) -> None:
    """The arithmetic of a document as its reader would do it, from the decimal texts alone."""
    lines, taxes = facts["lines"], facts["taxes"]
    number_of = Decimal
    for line in lines:
        assert number_of(line["gross"]) - number_of(line["discount"]) == number_of(line["net"])
    for name in ("net", "tax"):
        assert sum(number_of(line[name]) for line in lines) == number_of(facts[name])
        assert sum(number_of(tax[name]) for tax in taxes) == number_of(facts[name])
    total = number_of(facts["net"]) + number_of(facts["tax"])
    assert total == number_of(facts["total"])
    paid = sum(number_of(one["amount"]) for one in facts["settlements"])
    assert total - paid == number_of(facts["open"])
    unit = number_of(1).scaleb(-{"JPY": 0, "KWD": 3}.get(facts["currency"], 2))
    only_charges = all(number_of(line["net"]) >= 0 for line in lines) and facts["kind"] == "invoice"
    for tax in taxes:
        exact = number_of(tax["net"]) * number_of(tax["tax_rate_percent"]) / 100
        if only_charges and len([line for line in lines if line["tax_rate_ppm"] == tax["tax_rate_ppm"]]) == 1:
            assert number_of(tax["tax"]) == exact.quantize(unit, ROUND_HALF_UP)
        assert abs(number_of(tax["tax"]) - exact) < 2 * unit * len(lines)


def test_the_sums_of_300_random_documents_add_up() -> None:
    checked, seed = 0, 0
    while checked < 300:
        seed += 1
        store = busy_shop(seed)
        issued = select(tables.invoices.c.invoice_id.label("id"), tables.invoices.c.total_minor)
        noted = select(tables.credit_notes.c.note_id.label("id"), tables.credit_notes.c.total_minor)
        documents = store.rows(issued) + store.rows(noted)
        assert documents
        for row in documents:
            facts = told(document_of(store, row["id"]))
            assert facts["total_minor"] == row["total_minor"]
            check_sums(facts)
        checked += len(documents)
        store.close()
