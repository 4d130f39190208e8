"""Who stands on a document and where: addresses of customers and sellers, contacts, accounts to pay into.

An address holds from its day on and is never edited, so a document issued before it keeps the one before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.service.acts import act, announce
from billing.service.customers import customer
from billing.store.store import Row, Store
from billing.store.tables import addresses, contacts, legal_entities

CUSTOMER_ROLES = ("bill_to", "ship_to")

_ENTITY = select(legal_entities).where(legal_entities.c.entity_id == bindparam("id"))
_CONTACT = select(contacts).where(contacts.c.contact_id == bindparam("id"))


@act
def set_customer_address(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    lines: Sequence[str],
    city: str,
    country: str,
    role: str = "bill_to",
    postal_code: str = "",
    region: str = "",
    valid_from: date | None = None,
) -> str:
    """Where a customer is billed (`bill_to`) or supplied (`ship_to`; without one, where it is billed), from a
    day on, today by default; returns the address's id. `lines` stand above the city.

    Raises `unknown_customer`, `unknown_setting` for another role, `missing_value` without lines or city,
    `unknown_country`, and `country_mismatch` for a ship-to outside the customer's country, which decides tax.
    """
    row = customer(store, customer_id)
    if role not in CUSTOMER_ROLES:
        raise BillingError("unknown_setting", f"role = {role!r}")
    if role == "ship_to":
        _check_same_country(country, row["country"])
    valid_from = valid_from or local_date(at, row["time_zone"])
    owner: Row = {"customer_id": customer_id, "role": role, "valid_from": valid_from}
    return _add_address(store, at, owner, lines, postal_code, city, region, country)


@act
def set_seller_address(
    store: Store,
    at: datetime,
    *,
    entity_id: str,
    lines: Sequence[str],
    city: str,
    country: str,
    valid_from: date,
    postal_code: str = "",
    region: str = "",
) -> str:
    """Where a seller is, from a day on; returns the address's id. Raises `unknown_entity`, `missing_value`,
    `unknown_country`, `country_mismatch` outside the seller's country."""
    _check_same_country(country, _entity(store, entity_id)["country"])
    owner: Row = {"entity_id": entity_id, "role": "seller", "valid_from": valid_from}
    return _add_address(store, at, owner, lines, postal_code, city, region, country)


def _check_same_country(country: str, own_country: str) -> None:
    if country != own_country:
        raise BillingError("country_mismatch", f"{country} is not {own_country}")


def _add_address(
    store: Store,
    at: datetime,
    owner: Row,
    lines: Sequence[str],
    postal_code: str,
    city: str,
    region: str,
    country: str,
) -> str:
    written = [line.strip() for line in lines if line.strip()]
    if not written or not city.strip():
        raise BillingError("missing_value", "an address has a line and a city")
    if not re.fullmatch("[A-Z]{2}", country):
        raise BillingError("unknown_country", repr(country))
    address_id = store.new_id("adr")
    row: Row = owner | {
        "address_id": address_id,
        "lines": "\n".join(written),
        "postal_code": postal_code.strip(),
        "city": city.strip(),
        "region": region.strip(),
        "country": country,
    }
    store.insert(addresses, [row], at)
    announce(store, at, "address.set", owner.get("customer_id") or owner["entity_id"], row)
    return address_id


@act
def add_contact(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    name: str,
    role: str = "billing",
    email: str | None = None,
    locale: str | None = None,
) -> str:
    """A person at a customer; returns the contact's id. Documents are addressed to the newest with the role
    `billing`. Raises `unknown_customer`, `missing_value` without name or role."""
    customer(store, customer_id)
    if not name.strip() or not role.strip():
        raise BillingError("missing_value", "a contact has a name and a role")
    contact_id = store.new_id("con")
    row: Row = {"contact_id": contact_id, "customer_id": customer_id, "role": role.strip()}
    row |= {"name": name.strip(), "email": email, "locale": locale}
    store.insert(contacts, [row], at)
    announce(store, at, "contact.added", contact_id, {"customer_id": customer_id, "role": role})
    return contact_id


@act
def remove_contact(store: Store, at: datetime, *, contact_id: str) -> None:
    """A contact is there no more; documents of before keep it. Raises `unknown_contact`, for one that was
    removed too."""
    row = store.row(_CONTACT, {"id": contact_id})
    if row is None or row["removed_at"] is not None:
        raise BillingError("unknown_contact", contact_id)
    store.update(contacts, [{"contact_id": contact_id, "removed_at": at}], at)
    announce(store, at, "contact.removed", contact_id, {"customer_id": row["customer_id"]})


@act
def change_seller(
    store: Store,
    at: datetime,
    *,
    entity_id: str,
    registration: str | None = None,
    email: str | None = None,
    bank_name: str | None = None,
    iban: str | None = None,
    bic: str | None = None,
) -> None:
    """Set what documents print of a seller besides its name, tax number and address; what is not named stays.

    Raises `unknown_entity`, `bad_account` for an IBAN whose check digits are wrong.
    """
    _entity(store, entity_id)
    if iban is not None:
        iban = _checked_iban(iban)
    given = {
        "registration": registration,
        "email": email,
        "bank_name": bank_name,
        "iban": iban,
        "bic": bic,
    }
    changes: Row = {name: value for name, value in given.items() if value is not None}
    if changes:
        store.update(legal_entities, [{"entity_id": entity_id} | changes], at)
        announce(store, at, "legal_entity.changed", entity_id, changes)


def _checked_iban(iban: str) -> str:
    """An IBAN without blanks: its letters as numbers (A is 10), the first four signs last, leave 1 of 97."""
    compact = iban.replace(" ", "").upper()
    if not re.fullmatch("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", compact):
        raise BillingError("bad_account", f"{iban!r} is no IBAN")
    digits = "".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])
    if int(digits) % 97 != 1:
        raise BillingError("bad_account", f"the check digits of {iban!r} are wrong")
    return compact


def _entity(store: Store, entity_id: str) -> Row:
    row = store.row(_ENTITY, {"id": entity_id})
    if row is None:
        raise BillingError("unknown_entity", entity_id)
    return row
