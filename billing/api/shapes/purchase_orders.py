"""Purchase orders and orders of goods, as they come in and go out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from billing.api.shapes.base import Answer, Body, Currency, Day, Decimal, Id, Text
from billing.api.shapes.changes import Changes
from billing.api.shapes.customers import NewId

Budget = Annotated[int, Field(ge=0, le=10**15)]


class NewPurchaseOrder(Body):
    """An order of a payer, by its own number. `budget_minor`: what may be billed on it before tax, null for
    no bound."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"customer_id": "anna", "number": "PO-7", "budget_minor": 500_000}]}
    )

    customer_id: Id
    number: Text
    budget_minor: Budget | None = None
    currency: Currency | None = None
    valid_start: Day | None = None
    valid_end: Day | None = None
    po_id: NewId | None = None


class PurchaseOrderChanges(Changes):
    may_be_null: ClassVar[frozenset[str]] = frozenset(("budget_minor", "valid_end"))
    example: ClassVar[dict[str, Any]] = {"budget_minor": 900_000}

    budget_minor: Budget | None = None
    valid_start: Day | None = None
    valid_end: Day | None = None


class PurchaseOrder(Answer):
    """`billed_minor`: invoiced on it less what was credited, before tax."""

    object: Literal["purchase_order"]
    po_id: str
    customer_id: str
    number: str
    currency: str
    budget_minor: int | None
    billed_minor: int
    valid_start: date
    valid_end: date | None
    recorded_at: datetime
    changed_at: datetime


class Closing(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    on: Day | None = None


class Backorder(Answer):
    """Goods of which something is still to come; quantities in base units as decimal text."""

    object: Literal["backorder"]
    order_id: str
    customer_id: str
    item_id: str
    sku_id: str
    due_on: date
    open_until: date
    ordered: str
    allocated: str
    substituted: str
    open: str


class Shortfall(Answer):
    """Goods that were given up or did not arrive, and are not billed."""

    object: Literal["shortfall"]
    order_id: str
    customer_id: str
    sku_id: str
    due_on: date
    on: date
    kind: str
    quantity: str
    reason: str | None


class Delivery(Body):
    """How much of an order has arrived in all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order_id": "ord_1", "delivered": "10"}]})

    order_id: Id
    delivered: Decimal
    sku_id: Id | None = None
