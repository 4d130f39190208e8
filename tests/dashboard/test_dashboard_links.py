"""Where rows lead: to the customer and the invoice they speak of, where the reader has such a page."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st

from dashboard import address, links
from dashboard.format import Formatter
from dashboard.i18n import text
from dashboard.people.reader import LOCAL, Reader
from dashboard.tables import Column, html

HOSTILE = "C1&lang=xx#?/../"


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "query_params", {"company": "lumen", "lang": "ar", "rows": "mrr"})
    address.offer({"revenue": "", "customer": "customer", "documents": "documents"})


def test_an_address_takes_company_and_language_along_and_leaves_what_belongs_to_one_page() -> None:
    parts = urlsplit(address.to("customer", customer=HOSTILE))
    assert parts.path == "customer"
    assert parse_qs(parts.query) == {"company": ["lumen"], "lang": ["ar"], "customer": [HOSTILE]}


@pytest.mark.parametrize(("name", "value"), [("trade", "orders"), ("country", "France"), ("owner", "mine")])
def test_what_several_pages_filter_by_is_taken_along(name: str, value: str) -> None:
    address.write(name, value)
    assert address.carried() == {"company": "lumen", "lang": "ar", name: value}


def test_the_landing_page_is_the_root() -> None:
    assert address.to("revenue").startswith("./?company=lumen")


def test_a_row_leads_to_its_customer_and_to_its_invoice() -> None:
    row = {"customer_id": "C1", "invoice_no": "2025/7", "name": "Acme"}
    assert links.customer(row) == "customer?company=lumen&lang=ar&customer=C1"
    assert links.invoice(row) == "documents?company=lumen&lang=ar&document=2025%2F7"


@pytest.mark.parametrize("key", [None, ""])
def test_a_row_without_a_key_leads_nowhere(key: str | None) -> None:
    assert links.customer({"customer_id": key}) is None
    assert links.invoice({}) is None


def test_an_account_leads_to_its_billing_and_portal_where_they_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert links.billing_of(text("en"), LOCAL, "lumen", "C1") == {}
    monkeypatch.setenv("TAJDID_SERVED", "lumen")
    monkeypatch.setenv("TAJDID_ADMIN_URL", "http://localhost:8512")
    assert links.billing_of(text("en"), LOCAL, "lumen", "C1&/") == {
        "Billing of this account": "http://localhost:8512/admin/customers/C1%26%2F",
        "Portal of this account": "http://localhost:8512/admin/customers/C1%26%2F/portal",
    }
    assert len(links.billing_of(text("ar"), LOCAL, "lumen", "C1")) == 2
    assert links.billing_of(text("en"), LOCAL, "other", "C1") == {}
    assert links.billing_of(text("en"), LOCAL, None, "C1") == {}
    csm = Reader("sara", "Sara", frozenset({"csm"}))
    assert links.billing_of(text("en"), csm, "lumen", "C1") == {}


def test_a_page_the_reader_does_not_have_is_led_to_by_nothing() -> None:
    address.offer({"revenue": ""})
    assert links.customer({"customer_id": "C1"}) is None
    assert not address.offers("customer")


def test_columns_of_customers_and_invoices_lead_there_by_themselves_once_a_row() -> None:
    columns = [
        Column("invoice_no", "Invoice", "id"),
        Column("name", "Customer"),
        Column("customer_id", "Id", "id"),
    ]
    rows = [{"invoice_no": "7", "name": "Acme", "customer_id": "C1"}]
    shown = html("All", columns, rows, Formatter("en"), "ltr")
    assert shown.count("<a ") == 2
    assert 'href="documents?company=lumen&amp;lang=ar&amp;document=7"' in shown
    assert 'href="customer?company=lumen&amp;lang=ar&amp;customer=C1"' in shown
