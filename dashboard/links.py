"""Where things lead: a customer to all that is known of it, an invoice to its lines and their explanation.

A row leads nowhere where its key is missing or the reader has no such page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import streamlit as st

from dashboard import address
from dashboard.i18n import Text
from dashboard.people.reader import Reader
from dashboard.view import View, served_at


def customer(row: Mapping[str, Any]) -> str | None:
    """The page of the customer whose `customer_id` the row holds."""
    return _to("customer", "customer", row.get("customer_id"))


def invoice(row: Mapping[str, Any]) -> str | None:
    """The document whose number the row holds as `invoice_no`."""
    return _to("documents", "document", row.get("invoice_no"))


# Columns that lead somewhere wherever they stand: the name of a column → where its rows lead.
BY_NAME: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "name": customer,
    "customer_id": customer,
    "invoice_no": invoice,
}


def _to(page: str, parameter: str, key: object) -> str | None:
    if key is None or key == "" or not address.offers(page):
        return None
    return address.to(page, **{parameter: str(key)})


def billing_of(text: Text, reader: Reader, company: str | None, customer_id: str) -> Mapping[str, str]:
    """Where the account's billing is looked after, and the way into its portal as the customer sees it, by
    label; nothing where no such screens are served for this company, or the reader may not bill."""
    _ = text.gettext
    screens = served_at(company) if company is not None else None
    if screens is None or not reader.may("bill"):
        return {}
    own = f"{screens}/admin/customers/{quote(customer_id, safe='')}"
    return {_("Billing of this account"): own, _("Portal of this account"): f"{own}/portal"}


def page_link(view: View, page: str, label: str, **parameters: str) -> None:
    """A link to another page, with what is carried there; nothing where the reader has no such page.

    `label` is a word of ours: it is read as Markdown, so nothing from data belongs there.
    """
    if address.offers(page):
        st.page_link(f"screens/{page}.py", label=label, query_params={**address.carried(), **parameters})
