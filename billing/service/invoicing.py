"""What of a subscription is invoiced apart: its purchase order, payment terms, way to pay, or a group that
the payer named. What differs in one of them stands on an invoice of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import bindparam, or_, select

from billing.core.money import BillingError
from billing.jobs.bill_facts import APART, SEPARATOR
from billing.service.acts import act, announce
from billing.store.messages import mark_to_bill
from billing.store.store import Store
from billing.store.subscriptions import read_standing
from billing.store.tables import payment_methods, payment_terms, purchase_orders, subscriptions


@act
def set_invoicing(store: Store, at: datetime, /, *, subscription_id: str, **changes: str | None) -> None:
    """Set `po_id`, `terms_id`, `method_id` or `consolidation_group` of a subscription, for all that is
    invoiced from now on; None gives back what holds for its payer. Also of one that ended: its last bill may
    be ahead.

    Raises `unknown_subscription`, `unknown_setting` for another name, and as `check_invoicing`.
    """
    unknown = set(changes) - set(APART)
    if unknown:
        raise BillingError("unknown_setting", f"invoices are not split by {', '.join(sorted(unknown))}")
    standing = read_standing(store, at, subscription_id)
    of = standing.subscription
    changes = {name: value for name, value in changes.items() if getattr(of, name) != value}
    if not changes:
        return
    check_invoicing(store, of.bill_to, str(standing.customer["currency"]), standing.today, changes)
    store.update(subscriptions, [{"subscription_id": subscription_id} | changes], at)
    mark_to_bill(store, at, of.sold_to, standing.today, since=standing.today)
    facts = {"customer_id": of.sold_to} | changes
    announce(store, at, "subscription.invoicing_changed", subscription_id, facts)


_METHOD = select(payment_methods.c.method_id).where(
    payment_methods.c.method_id == bindparam("id"),
    payment_methods.c.customer_id == bindparam("payer"),
    or_(payment_methods.c.valid_to.is_(None), payment_methods.c.valid_to > bindparam("today")),
)
_ORDER = select(purchase_orders.c.currency).where(
    purchase_orders.c.po_id == bindparam("id"), purchase_orders.c.customer_id == bindparam("payer")
)
_TERMS = select(payment_terms.c.terms_id).where(payment_terms.c.terms_id == bindparam("id"))


def check_invoicing(
    store: Store, payer: str, currency: str, today: date, wanted: Mapping[str, str | None]
) -> None:
    """Whether a payer's invoices can be split so. Raises `unknown_purchase_order`, `currency_mismatch`,
    `no_payment_method` for a way to pay that is not the payer's or is over, `unknown_reference` for payment
    terms that are not there, `missing_value` for an empty text."""
    for name, value in wanted.items():
        if value is not None and (not value.strip() or SEPARATOR in value):
            raise BillingError("missing_value", f"{name} = {value!r}")
    po_id, terms_id, method_id, _ = (wanted.get(name) for name in APART)
    if po_id is not None:
        order = store.row(_ORDER, {"id": po_id, "payer": payer})
        if order is None:
            raise BillingError("unknown_purchase_order", f"{po_id} of {payer}")
        if order["currency"] != currency:
            raise BillingError("currency_mismatch", f"{po_id} is in {order['currency']}, not {currency}")
    if terms_id is not None and store.row(_TERMS, {"id": terms_id}) is None:
        raise BillingError("unknown_reference", f"payment terms {terms_id}")
    method = {"id": method_id, "payer": payer, "today": today}
    if method_id is not None and store.row(_METHOD, method) is None:
        raise BillingError("no_payment_method", f"{method_id} of {payer}")
