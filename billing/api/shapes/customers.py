"""Customers and what hangs on them, as they come in and go out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from billing.api.shapes.base import Answer, Body, Country, Currency, Day, Id, Text
from billing.api.shapes.changes import Changes

NewId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][!\"$&-.0->@-\[\]-~]*$")]
"""An id that a caller gives: it stands in addresses as it is."""
Collection = Literal["automatic", "terms"]
OverdueState = Literal["current", "reminded", "restricted", "suspended", "written_off"]
Role = Literal["bill_to", "ship_to"]
NotNegative = Annotated[int, Field(ge=0, le=10**15)]


def _email(text: str) -> str:
    name, at, host = text.rpartition("@")
    if not at or not name or "." not in host or any(sign.isspace() for sign in text):
        raise ValueError("write an e-mail address as bea@example.com")
    return text


Email = Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[ -~]+$"), AfterValidator(_email)]

_ANNA: dict[str, str] = {"name": "Anna GmbH", "entity_id": "seller", "currency": "EUR", "country": "DE"}


class NewCustomer(Body):
    """A customer to be. Without an id it gets one."""

    model_config = ConfigDict(json_schema_extra={"examples": [dict(_ANNA)]})

    name: Text
    entity_id: Id
    currency: Currency
    country: Country
    customer_id: NewId | None = None
    created_on: Day | None = None
    time_zone: Text = "UTC"
    locale: Text = "en"
    parent_id: Id | None = None
    bill_to_id: Id | None = None
    tax_number: Text | None = None
    group_id: Id | None = None
    terms_id: Id | None = None
    collection: Collection = "automatic"
    policy_name: Text = "default"
    credit_limit_minor: NotNegative | None = None
    is_test: bool = False
    requires_purchase_order: bool = False


class CustomerChanges(Changes):
    """What may be changed of a customer."""

    may_be_null: ClassVar[frozenset[str]] = frozenset(
        ("parent_id", "group_id", "tax_number", "terms_id", "credit_limit_minor")
    )
    example: ClassVar[dict[str, Any]] = {"name": "Anna AG"}

    name: Text | None = None
    country: Country | None = None
    parent_id: Id | None = None
    group_id: Id | None = None
    tax_number: Text | None = None
    is_test: bool | None = None
    bill_to_id: Id | None = None
    currency: Currency | None = None
    time_zone: Text | None = None
    locale: Text | None = None
    terms_id: Id | None = None
    collection: Collection | None = None
    policy_name: Text | None = None
    credit_limit_minor: NotNegative | None = None
    hold: bool | None = None
    requires_purchase_order: bool | None = None


ADMIN_MEMBERS = frozenset(("credit_limit_minor", "hold", "policy_name", "is_test"))
"""Members of a customer that need `customers:admin`."""
MERCHANT_MEMBERS = ADMIN_MEMBERS | frozenset(
    (
        "country",
        "parent_id",
        "bill_to_id",
        "group_id",
        "terms_id",
        "collection",
        "currency",
        "requires_purchase_order",
    )
)
"""Members that no customer sets of itself, whatever its key may do: they decide what it pays, and who."""


class Customer(Answer):
    object: Literal["customer"]
    customer_id: str
    name: str
    is_test: bool
    created_on: date
    parent_id: str | None
    root_id: str
    bill_to_id: str
    entity_id: str
    currency: str
    time_zone: str
    locale: str
    country: str
    tax_number: str | None
    tax_number_confirmed_on: date | None
    group_id: str | None
    terms_id: str | None
    collection: Collection
    policy_name: str
    credit_limit_minor: int | None
    hold: bool
    requires_purchase_order: bool
    campaign_id: str | None
    overdue_state: OverdueState
    parked_at: datetime | None
    parked_code: str | None
    parked_detail: str | None
    recorded_at: datetime
    changed_at: datetime


class CustomerVersion(Answer):
    """What a customer was from a day on. `revision` counts the changes of a day; the last holds."""

    object: Literal["customer_version"]
    customer_id: str
    valid_from: date
    revision: int
    name: str
    country: str
    parent_id: str | None
    group_id: str | None
    tax_number: str | None
    recorded_at: datetime


class Exposure(Answer):
    """What a payer would owe if all it has ordered were billed now."""

    object: Literal["exposure"]
    customer_id: str
    currency: str
    limit_minor: int | None
    receivable_minor: int
    draft_minor: int
    usage_minor: int
    ordered_minor: int
    credit_minor: int
    exposure_minor: int
    failures: dict[str, str]


class NewAddress(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lines": ["Ring 2"], "city": "Berlin", "country": "DE"}]}
    )

    lines: Annotated[list[Text], Field(min_length=1, max_length=10)]
    city: Text
    country: Country
    role: Role = "bill_to"
    postal_code: Annotated[str, Field(max_length=32, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    region: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    valid_from: Day | None = None


class Address(Answer):
    object: Literal["address"]
    address_id: str
    customer_id: str | None
    entity_id: str | None
    role: str
    lines: list[str]
    postal_code: str
    city: str
    region: str
    country: str
    valid_from: date
    recorded_at: datetime


class NewContact(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Bea", "email": "bea@anna.example"}]})

    name: Text
    role: Text = "billing"
    email: Email | None = None
    locale: Text | None = None


class Contact(Answer):
    object: Literal["contact"]
    contact_id: str
    customer_id: str
    role: str
    name: str
    email: str | None
    locale: str | None
    removed_at: datetime | None
    recorded_at: datetime
    changed_at: datetime


class GivenDiscount(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"discount_id": "loyal"}]})

    discount_id: Id
    valid_start: Day | None = None
    valid_end: Day | None = None


class CustomerDiscount(Answer):
    """A discount of documents that a payer has, from a day until another."""

    object: Literal["customer_discount"]
    customer_id: str
    discount_id: str
    name: str
    discount_ppm: int | None
    amount_minor: int | None
    currency: str | None
    times: int | None
    valid_start: date
    valid_end: date | None
    recorded_at: datetime
    changed_at: datetime


class ChosenCampaign(Body):
    """The campaign that chases a customer; null: the days of net terms do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"campaign_id": "small-debts"}]})

    campaign_id: Id | None


class TaxCheck(Answer):
    object: Literal["tax_number_check"]
    customer_id: str
    tax_number: str
    outcome: Literal["valid", "invalid", "unknown"]
    source: str
    checked_on: date
    confirmed_on: date | None
