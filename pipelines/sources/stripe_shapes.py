"""Which objects of a Stripe export are read, and which of their fields. What is not named here is never kept.

Shapes of old and new API versions stand side by side: a field that a version lacks is simply not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READ = "is read"
"""In FIELDS: a plain value, or a list of such."""


class Many(dict[str, Any]):
    """In FIELDS: a list of objects with these fields, or a list page of them, or of their ids."""


REFERENCE = {"id": READ}
PERIOD = {"start": READ, "end": READ}
RECURRING = {"interval": READ, "interval_count": READ, "usage_type": READ}
TIER = Many(
    dict.fromkeys(("up_to", "unit_amount", "unit_amount_decimal", "flat_amount", "flat_amount_decimal"), READ)
)
PRODUCT = {"id": READ, "name": READ, "created": READ, "deleted": READ}
PRICE = {
    **dict.fromkeys(
        ("id", "created", "currency", "nickname", "billing_scheme", "unit_amount", "unit_amount_decimal"),
        READ,
    ),
    **dict.fromkeys(("tiers_mode", "type", "deleted"), READ),
    "product": PRODUCT,
    "recurring": RECURRING,
    "tiers": TIER,
    "transform_quantity": {"divide_by": READ, "round": READ},
}
PLAN = {
    **dict.fromkeys(
        ("id", "created", "currency", "nickname", "billing_scheme", "amount", "amount_decimal"), READ
    ),
    **dict.fromkeys(("tiers_mode", "interval", "interval_count", "usage_type", "deleted"), READ),
    "product": PRODUCT,
    "tiers": TIER,
    "transform_usage": {"divide_by": READ, "round": READ},
}
COUPON = {
    **dict.fromkeys(("id", "created", "currency", "percent_off", "amount_off", "duration"), READ),
    **dict.fromkeys(("duration_in_months", "deleted"), READ),
    "applies_to": {"products": READ},
}
DISCOUNT = {
    **dict.fromkeys(("id", "start", "end", "deleted"), READ),
    "coupon": COUPON,
    "source": {"coupon": COUPON},
    "customer": REFERENCE,
    "subscription": REFERENCE,
    "subscription_item": REFERENCE,
    "invoice": REFERENCE,
}
DISCOUNTS = {"discount": DISCOUNT, "discounts": Many(DISCOUNT)}
CUSTOMER = {
    **dict.fromkeys(("id", "created", "currency", "livemode", "deleted"), READ),
    "test_clock": REFERENCE,
    **DISCOUNTS,
}
ITEM = {
    **dict.fromkeys(("id", "created", "quantity", "current_period_start", "current_period_end"), READ),
    "deleted": READ,
    "subscription": REFERENCE,
    "price": PRICE,
    "plan": PLAN,
    **DISCOUNTS,
}
SUBSCRIPTION = {
    **dict.fromkeys(("id", "created", "status", "start_date", "trial_start", "trial_end", "cancel_at"), READ),
    **dict.fromkeys(("cancel_at_period_end", "canceled_at", "ended_at", "quantity"), READ),
    **dict.fromkeys(("current_period_start", "current_period_end", "deleted"), READ),
    "customer": REFERENCE,
    "cancellation_details": {"reason": READ, "feedback": READ},
    "pause_collection": {"behavior": READ, "resumes_at": READ},
    "items": Many(ITEM),
    "plan": PLAN,
    **DISCOUNTS,
}
TAXES = Many(dict.fromkeys(("amount", "inclusive", "tax_behavior"), READ))
DISCOUNT_AMOUNTS = Many({"amount": READ, "discount": DISCOUNT})
SHIPPING = {"amount_subtotal": READ, "amount_tax": READ}
LINE_PARENT = dict.fromkeys(("proration", "subscription", "subscription_item", "invoice_item"), READ)
LINE = {
    **dict.fromkeys(("id", "amount", "currency", "proration", "quantity", "quantity_decimal", "type"), READ),
    "invoice": REFERENCE,
    "period": PERIOD,
    "subscription": REFERENCE,
    "subscription_item": REFERENCE,
    "price": PRICE,
    "plan": PLAN,
    "pricing": {"price_details": {"price": REFERENCE, "product": REFERENCE}},
    "parent": {
        "type": READ,
        "subscription_item_details": LINE_PARENT,
        "invoice_item_details": LINE_PARENT,
    },
    "discount_amounts": DISCOUNT_AMOUNTS,
    "discounts": Many(DISCOUNT),
    "tax_amounts": TAXES,
    "taxes": TAXES,
}
INVOICE_PAYMENT = {
    **dict.fromkeys(("id", "amount_paid", "created", "currency", "status"), READ),
    "invoice": REFERENCE,
    "status_transitions": {"paid_at": READ},
    "payment": {"type": READ, "charge": REFERENCE, "payment_intent": REFERENCE},
}
INVOICE = {
    **dict.fromkeys(("id", "number", "created", "effective_at", "due_date", "currency", "status"), READ),
    **dict.fromkeys(("total", "tax", "amount_due", "amount_paid", "amount_remaining", "attempted"), READ),
    **dict.fromkeys(("starting_balance", "ending_balance", "paid_out_of_band", "deleted"), READ),
    "customer": REFERENCE,
    "charge": REFERENCE,
    "payment_intent": REFERENCE,
    "status_transitions": dict.fromkeys(
        ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at"), READ
    ),
    "total_tax_amounts": TAXES,
    "total_taxes": TAXES,
    "total_discount_amounts": DISCOUNT_AMOUNTS,
    "shipping_cost": SHIPPING,
    "lines": Many(LINE),
    "payments": Many(INVOICE_PAYMENT),
    **DISCOUNTS,
}
NOTE_LINE = {
    **dict.fromkeys(("id", "amount", "discount_amount", "quantity"), READ),
    "credit_note": REFERENCE,
    "invoice_line_item": REFERENCE,
    "discount_amounts": Many({"amount": READ}),
    "tax_amounts": TAXES,
    "taxes": TAXES,
}
CREDIT_NOTE = {
    **dict.fromkeys(("id", "created", "effective_at", "currency", "status", "type", "total"), READ),
    **dict.fromkeys(("pre_payment_amount", "post_payment_amount", "voided_at"), READ),
    "invoice": REFERENCE,
    "customer": REFERENCE,
    "shipping_cost": SHIPPING,
    "lines": Many(NOTE_LINE),
}
BALANCE_TRANSACTION = dict.fromkeys(("id", "amount", "fee", "currency", "created", "type"), READ)
REFUND = {
    **dict.fromkeys(("id", "amount", "currency", "created", "status"), READ),
    "charge": REFERENCE,
    "payment_intent": REFERENCE,
}
CHARGE = {
    **dict.fromkeys(("id", "amount", "amount_captured", "captured", "currency", "created", "status"), READ),
    "failure_code": READ,
    "customer": REFERENCE,
    "invoice": REFERENCE,
    "payment_intent": REFERENCE,
    "balance_transaction": BALANCE_TRANSACTION,
    "payment_method_details": {"type": READ},
    "refunds": Many(REFUND),
}
DISPUTE = {
    **dict.fromkeys(("id", "amount", "currency", "created", "status"), READ),
    "charge": REFERENCE,
    "payment_intent": REFERENCE,
    "balance_transactions": Many(BALANCE_TRANSACTION),
}
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "customer": CUSTOMER,
    "product": PRODUCT,
    "price": PRICE,
    "plan": PLAN,
    "coupon": COUPON,
    "discount": DISCOUNT,
    "subscription": SUBSCRIPTION,
    "subscription_item": ITEM,
    "invoice": INVOICE,
    "line_item": LINE,
    "credit_note": CREDIT_NOTE,
    "credit_note_line_item": {**NOTE_LINE, "credit_note": REFERENCE},
    "charge": CHARGE,
    "refund": REFUND,
    "dispute": DISPUTE,
    "balance_transaction": BALANCE_TRANSACTION,
    "invoice_payment": INVOICE_PAYMENT,
    "event": {"id": READ, "created": READ, "type": READ},
}
"""The objects that are read, in the order in which they are understood, and of each the fields."""
METADATA_OF = ("customer",)
EVENT_OBJECTS = {
    "customer.subscription.": SUBSCRIPTION,
    "customer.discount.": DISCOUNT,
    "charge.dispute.closed": DISPUTE,
}
"""The events that are read, by the beginning of their type, and the fields of the object they tell of."""
