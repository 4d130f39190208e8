"""Who stands on a document, as on its day.

A fact counts as it was known when the document was issued, so that it prints the same ever after; what nobody
knew then (an address that came late) is taken as it was first entered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing.documents.document import Party
from billing.store.store import Row, Store
from billing.store.tables import addresses, contacts, customer_versions

_VERSIONS = (
    select(customer_versions)
    .where(customer_versions.c.customer_id == bindparam("id"))
    .order_by(customer_versions.c.valid_from, customer_versions.c.revision)
)
_ADDRESSES = (
    select(addresses)
    .where(addresses.c.customer_id == bindparam("id"))
    .order_by(addresses.c.valid_from, addresses.c.recorded_at, addresses.c.address_id)
)
_SELLER_ADDRESSES = (
    select(addresses)
    .where(addresses.c.entity_id == bindparam("id"))
    .order_by(addresses.c.valid_from, addresses.c.recorded_at, addresses.c.address_id)
)
_CONTACTS = (
    select(contacts)
    .where(contacts.c.customer_id == bindparam("id"), contacts.c.role == "billing")
    .order_by(contacts.c.recorded_at, contacts.c.contact_id)
)


def _as_issued(rows: Sequence[Row], on: date, at: datetime) -> Row | None:
    """Of rows in the order of their days the one that held on a day, by what was known then."""
    if not rows:
        return None
    held = [row for row in rows if row["valid_from"] <= on and row["recorded_at"] <= at]
    return held[-1] if held else rows[0]


class Parties:
    """The customers and the seller of a document, each as on its day."""

    def __init__(self, store: Store, head: Row) -> None:
        self._store, self._on, self._at = store, head["issued_on"], head["recorded_at"]

    def name(self, customer_id: str) -> str:
        return str(self._version(customer_id)["name"])

    def _version(self, customer_id: str) -> Row:
        found = _as_issued(self._store.rows(_VERSIONS, {"id": customer_id}), self._on, self._at)
        assert found is not None, f"{customer_id} has no version"
        return found

    def _address(self, customer_id: str, role: str) -> Row | None:
        rows = self._store.rows(_ADDRESSES, {"id": customer_id})
        return _as_issued([row for row in rows if row["role"] == role], self._on, self._at)

    def buyer(self, customer_id: str) -> Party:
        version = self._version(customer_id)
        known = [
            row
            for row in self._store.rows(_CONTACTS, {"id": customer_id})
            if row["recorded_at"] <= self._at and (row["removed_at"] is None or row["removed_at"] > self._at)
        ]
        contact: Mapping[str, Any] = known[-1] if known else {}
        return Party(
            name=version["name"],
            tax_number=version["tax_number"],
            contact=contact.get("name"),
            email=contact.get("email"),
            **_place(self._address(customer_id, "bill_to"), version["country"]),
        )

    def ship_to(self, customer_id: str) -> Party:
        version = self._version(customer_id)
        address = self._address(customer_id, "ship_to") or self._address(customer_id, "bill_to")
        return Party(name=version["name"], **_place(address, version["country"]))

    def has_ship_to(self, customer_id: str) -> bool:
        return self._address(customer_id, "ship_to") is not None

    def seller(self, entity: Row) -> Party:
        rows = self._store.rows(_SELLER_ADDRESSES, {"id": entity["entity_id"]})
        return Party(
            name=entity["name"],
            tax_number=entity["tax_number"],
            email=entity["email"],
            registration=entity["registration"],
            **_place(_as_issued(rows, self._on, self._at), entity["country"]),
        )


def _place(address: Row | None, country: str) -> dict[str, Any]:
    if address is None:
        return {"country": country}
    parts = {name: address[name] for name in ("postal_code", "city", "region", "country")}
    return {"lines": tuple(address["lines"].split("\n")), **parts}
