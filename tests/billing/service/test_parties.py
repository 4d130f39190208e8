"""Addresses, contacts and accounts: what documents print, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing.core.money import BillingError
from billing.service import parties
from billing.service.customers import change_customer, create_customer
from billing.store import tables
from billing.store.store import Store

AT = datetime(2025, 3, 10, 12, tzinfo=UTC)


def address(store: Store, **named: Any) -> str:
    about = {"customer_id": "anna", "lines": ["Hauptstr. 1"], "city": "Berlin", "country": "DE"} | named
    return parties.set_customer_address(store, AT, **about)


def seller_address(store: Store, **named: Any) -> str:
    about = {"entity_id": "seller", "lines": ["Hof 3"], "city": "Kiel", "country": "DE"} | named
    return parties.set_seller_address(store, AT, valid_from=date(2025, 1, 1), **about)


def test_an_address_that_moves_leaves_the_one_before(company: Store) -> None:
    address(company, valid_from=date(2025, 1, 1), postal_code=" 10115 ")
    address(company, lines=["c/o Bert", " ", "Ring 2"], region="Berlin")
    rows = company.rows(tables.addresses.select().order_by("valid_from"))
    assert [(row["valid_from"], row["lines"], row["postal_code"], row["region"]) for row in rows] == [
        (date(2025, 1, 1), "Hauptstr. 1", "10115", ""),
        (date(2025, 3, 10), "c/o Bert\nRing 2", "", "Berlin"),
    ]


def test_a_day_is_that_of_the_customers_zone(company: Store) -> None:
    create_customer(
        company,
        AT,
        customer_id="sam",
        name="Sam",
        entity_id="seller",
        currency="USD",
        country="NZ",
        time_zone="Pacific/Auckland",
    )
    late = datetime(2025, 3, 10, 22, tzinfo=UTC)
    parties.set_customer_address(
        company, late, customer_id="sam", lines=["Quay 1"], city="Auckland", country="NZ"
    )
    (row,) = company.rows(tables.addresses.select())
    assert row["valid_from"] == date(2025, 3, 11)


def test_a_tax_number_keeps_its_history(company: Store) -> None:
    change_customer(company, AT, customer_id="anna", tax_number="DE123456789")
    rows = company.rows(tables.customer_versions.select().order_by("valid_from"))
    assert [(row["valid_from"], row["tax_number"]) for row in rows] == [
        (date(2025, 1, 1), None),
        (date(2025, 3, 10), "DE123456789"),
    ]


def test_a_contact_comes_and_goes(company: Store) -> None:
    contact_id = parties.add_contact(
        company, AT, customer_id="anna", name=" Bea ", email="bea@anna.example", locale="ar"
    )
    parties.remove_contact(company, AT, contact_id=contact_id)
    (row,) = company.rows(tables.contacts.select())
    assert (row["name"], row["role"], row["locale"], row["removed_at"]) == ("Bea", "billing", "ar", AT)
    with pytest.raises(BillingError, match="unknown_contact"):
        parties.remove_contact(company, AT, contact_id=contact_id)


def test_an_account_is_kept_without_blanks_and_what_is_not_named_stays(company: Store) -> None:
    # The German and Kuwaiti examples of the IBAN registry.
    parties.change_seller(company, AT, entity_id="seller", email="ar@seller.example")
    parties.change_seller(company, AT, entity_id="seller", iban="DE89 3704 0044 0532 0130 00")
    row = company.row(tables.legal_entities.select())
    assert row is not None
    assert (row["email"], row["iban"]) == ("ar@seller.example", "DE89370400440532013000")
    parties.change_seller(company, AT, entity_id="seller", iban="KW81CBKU0000000000001234560101")


REFUSED: list[tuple[str, Any]] = [
    ("unknown_customer", lambda store: address(store, customer_id="nobody")),
    ("unknown_setting", lambda store: address(store, role="home")),
    ("missing_value", lambda store: address(store, lines=[" "])),
    ("missing_value", lambda store: address(store, city=" ")),
    ("unknown_country", lambda store: address(store, country="Germany")),
    ("country_mismatch", lambda store: address(store, role="ship_to", country="FR")),
    ("country_mismatch", lambda store: seller_address(store, country="FR")),
    ("unknown_entity", lambda store: seller_address(store, entity_id="nobody")),
    ("unknown_entity", lambda store: parties.change_seller(store, AT, entity_id="nobody", bic="X")),
    ("bad_account", lambda store: parties.change_seller(store, AT, entity_id="seller", iban="12345")),
    (
        "bad_account",
        lambda store: parties.change_seller(
            store, AT, entity_id="seller", iban="DE89 3704 0044 0532 0130 01"
        ),
    ),
    ("unknown_customer", lambda store: parties.add_contact(store, AT, customer_id="nobody", name="X")),
    ("missing_value", lambda store: parties.add_contact(store, AT, customer_id="anna", name=" ")),
    ("unknown_contact", lambda store: parties.remove_contact(store, AT, contact_id="nobody")),
]


@pytest.mark.parametrize(("code", "act"), REFUSED)
def test_what_cannot_be_right_is_refused_and_kept(company: Store, code: str, act: Any) -> None:
    with pytest.raises(BillingError, match=code):
        act(company)
    assert [row["code"] for row in company.rows(tables.rejected_inputs.select())] == [code]
    assert not company.rows(tables.addresses.select())
    assert not company.rows(tables.contacts.select())
