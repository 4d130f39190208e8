"""Acts on the ways to pay of a customer: which is the default, which ends, and those it adds on a page of the
gateway's; and the charge of one invoice that its payer asks for."""

from __future__ import annotations

import hashlib
from datetime import date, datetime

from sqlalchemy import ColumnElement, bindparam, exists, literal, or_, select, update

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.gateways.gateway import Gateway
from billing.gateways.hosted import Finished
from billing.jobs.bill_facts import hold_customers
from billing.jobs.collect import ask_payment, charge_now
from billing.service.acts import act, announce
from billing.service.customers import TRY_AGAIN, add_payment_method, customer
from billing.store.store import Row, Store
from billing.store.tables import customers, invoices, method_setups, payment_methods, subscriptions

_METHOD = (
    select(payment_methods, customers.c.time_zone, customers.c.collection)
    .join(customers, customers.c.customer_id == payment_methods.c.customer_id)
    .where(payment_methods.c.method_id == bindparam("id"))
)


def _is_valid(today: date) -> ColumnElement[bool]:
    return or_(payment_methods.c.valid_to.is_(None), payment_methods.c.valid_to > today)


def _held(store: Store, at: datetime, method_id: str) -> tuple[Row, date]:
    """A method that has not ended, its customer held, and that customer's today."""
    found = store.row(_METHOD, {"id": method_id})
    if found is None:
        raise BillingError("unknown_method", method_id)
    hold_customers(store, [found["customer_id"]])
    found = store.row(_METHOD, {"id": method_id}) or found
    today = local_date(at, found["time_zone"])
    if found["valid_to"] is not None and found["valid_to"] <= today:
        raise BillingError("unknown_method", f"{method_id} ended on {found['valid_to']}")
    return found, today


@act
def set_default_method(store: Store, at: datetime, *, method_id: str) -> None:
    """Charge this method where nothing else is said; the default until now stays on file. Payments that
    failed are tried at once. Raises `unknown_method`, `illegal_transition` for one that has expired."""
    row, today = _held(store, at, method_id)
    if row["expires_on"] is not None and row["expires_on"] < today:
        raise BillingError("illegal_transition", f"{method_id} expired on {row['expires_on']}")
    if row["is_default"]:
        return
    others = (payment_methods.c.customer_id == row["customer_id"], payment_methods.c.is_default)
    store.execute(update(payment_methods).where(*others).values(is_default=False, changed_at=at))
    store.update(payment_methods, [{"method_id": method_id, "is_default": True}], at)
    store.execute(TRY_AGAIN, {"id": row["customer_id"], "at": at})
    announce(store, at, "payment_method.made_default", method_id, {"customer_id": row["customer_id"]})


_IS_CHARGED = or_(
    exists().where(
        invoices.c.customer_id == bindparam("id"),
        invoices.c.state == "open",
        invoices.c.collection == "automatic",
    ),
    exists().where(
        customers.c.customer_id == bindparam("id"),
        customers.c.collection == "automatic",
        subscriptions.c.bill_to == customers.c.customer_id,
        subscriptions.c.status != "canceled",
    ),
)


@act
def remove_payment_method(store: Store, at: datetime, *, method_id: str) -> None:
    """Charge this method no more, from today on.

    Raises `unknown_method`, and `illegal_transition` for the default while there are others (one of them is
    made the default first), or while something of the customer is charged automatically.
    """
    row, today = _held(store, at, method_id)
    if row["is_default"]:
        others = select(payment_methods.c.method_id).where(
            payment_methods.c.customer_id == row["customer_id"],
            payment_methods.c.method_id != method_id,
            _is_valid(today),
        )
        if store.row(others):
            raise BillingError("illegal_transition", f"{method_id} is the default; make another one so first")
        if store.row(select(literal(1)).where(_IS_CHARGED), {"id": row["customer_id"]}):
            raise BillingError("illegal_transition", f"{row['customer_id']} is charged automatically")
    change = {"method_id": method_id, "valid_to": today, "is_default": False}
    store.update(payment_methods, [change], at)
    announce(store, at, "payment_method.removed", method_id, {"customer_id": row["customer_id"]})


# Those a customer adds.

_SETUP = select(method_setups).where(method_setups.c.setup_id == bindparam("id")).with_for_update()


_OWN_SETUP = select(literal(1)).where(
    method_setups.c.setup_id == bindparam("id"),
    method_setups.c.customer_id == bindparam("customer"),
    method_setups.c.token_hash == bindparam("hash"),
)


def is_setup_of(store: Store, *, setup_id: str, customer_id: str, token: str) -> bool:
    """Whether a setup is a customer's, and its page of the gateway's the one that the token names."""
    named = {"id": setup_id, "customer": customer_id, "hash": hash_of(token)}
    return store.row(_OWN_SETUP, named) is not None


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@act
def start_setup(
    store: Store, at: datetime, *, setup_id: str, customer_id: str, token_hash: str, expires_at: datetime
) -> str:
    """Note that a customer was given a page of the gateway's (gateways.hosted) to add a way to pay; returns
    the setup's id. Raises `unknown_customer`, `immutable` where the id is taken."""
    customer(store, customer_id)
    row = {
        "setup_id": setup_id,
        "customer_id": customer_id,
        "token_hash": token_hash,
        "state": "open",
        "expires_at": expires_at,
    }
    store.insert(method_setups, [row], at)
    return setup_id


@act
def finish_setup(
    store: Store, at: datetime, *, setup_id: str, finished: Finished, is_default: bool = True
) -> str:
    """Add the way to pay that was entered in a setup; returns its id, and again the same for the same setup.
    As default it takes the place of the one before, which stays on file.

    Raises `unknown_setup`, `illegal_transition` for one that expired.
    """
    setup = store.row(_SETUP, {"id": setup_id})
    if setup is None:
        raise BillingError("unknown_setup", setup_id)
    if setup["state"] == "done":
        return str(setup["method_id"])
    if setup["state"] != "open" or setup["expires_at"] <= at:
        raise BillingError("illegal_transition", f"{setup_id} has expired")
    hold_customers(store, [setup["customer_id"]])
    method_id = add_payment_method(
        store,
        at,
        customer_id=setup["customer_id"],
        gateway_ref=finished.gateway_ref,
        kind=finished.kind,
        expires_on=finished.expires_on,
        is_default=False,
    )
    store.update(payment_methods, [{"method_id": method_id, "label": finished.label}], at)
    if is_default:
        set_default_method(store, at, method_id=method_id)
    done = {"setup_id": setup_id, "state": "done", "method_id": method_id}
    store.update(method_setups, [done], at)
    return method_id


# A charge that is asked for.


@act
def request_payment(store: Store, at: datetime, *, invoice_id: str, method_id: str | None = None) -> str:
    """A payer wants an open invoice charged now; returns the payment's id, pending. The gateway hears of it
    by `jobs.collect.charge_now`, or by the next `collect`.

    An attempt that fails leaves the schedule of retries as it was. See `jobs.collect.ask_payment` for
    `method_id` and for what it raises.
    """
    return ask_payment(store, at, invoice_id, method_id)


def pay_now(
    store: Store, gateway: Gateway, at: datetime, *, invoice_id: str, method_id: str | None = None
) -> str:
    """`request_payment`, and the gateway asked at once, beside whoever collects; returns the payment's id.
    What became of it is in its row: an outcome that is not known yet leaves it pending. Raises as
    `request_payment`, and what the gateway raised."""
    payment_id = store.perform(lambda: request_payment(store, at, invoice_id=invoice_id, method_id=method_id))
    charge_now(store, gateway, at, payment_id)
    return payment_id
