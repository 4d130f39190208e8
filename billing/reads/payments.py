"""Money that came in or was asked for: payments with their attempts, what they paid, what went back, and the
ways to pay. What lets somebody charge (a gateway's names of things) is never among it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from billing.core.money import BillingError
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store import tables
from billing.store.store import Row, Store

PAYMENT_STATES = ("pending", "failed", "captured", "canceled")
REFUND_STATES = ("requested", "refunded", "failed")
TRANSFER_STATES = ("matched", "unmatched", "returned")


def _shown(table: Any, *others: str) -> list[Any]:
    """The columns of a table without the gateway's name of it, and without others."""
    return [column for column in table.c if column.name not in ("gateway_ref", *others)]


def _checked(state: str, states: Sequence[str]) -> str:
    if state not in states:
        raise BillingError("unknown_setting", f"state = {state!r}")
    return state


# Payments.

_PAYMENTS = tables.payments
_PAYMENT = select(*_shown(_PAYMENTS, "is_spent"))


def payments(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    customer_id: str | None = None,
    invoice_id: str | None = None,
    state: str | None = None,
) -> Page:
    """Payments that fit all that is named, the newest first. Raises `unknown_setting` for a state that is
    none."""
    own = scope.where(_PAYMENTS.c.customer_id)
    if customer_id is not None:
        own.append(_PAYMENTS.c.customer_id == customer_id)
    if invoice_id is not None:
        own.append(_PAYMENTS.c.invoice_id == invoice_id)
    if state is not None:
        own.append(_PAYMENTS.c.state == _checked(state, PAYMENT_STATES))
    key = _PAYMENTS.c.payment_id
    return page(store, _PAYMENT.where(*own), [key], after=after, limit=limit, descending=True)


def payment(store: Store, scope: Scope, *, payment_id: str) -> Row | None:
    """One payment as the list has it; None for what is not there or not to be seen."""
    own = (_PAYMENTS.c.payment_id == payment_id, *scope.where(_PAYMENTS.c.customer_id))
    return store.row(_PAYMENT.where(*own))


def attempts(
    store: Store,
    scope: Scope,
    *,
    payment_id: str,
    after: Sequence[object] | None = None,
    limit: int = 50,
) -> Page:
    """The attempts of a payment in their order, each with its last answer."""
    tried = tables.payment_attempts
    asked = (
        select(tried)
        .join(_PAYMENTS, _PAYMENTS.c.payment_id == tried.c.payment_id)
        .where(tried.c.payment_id == payment_id, *scope.where(_PAYMENTS.c.customer_id))
    )
    return page(store, asked, [tried.c.attempt], after=after, limit=limit)


def applications(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    invoice_id: str | None = None,
    source_id: str | None = None,
) -> Page:
    """What paid an invoice, or which invoices a payment, a note or a grant paid, the oldest first. Raises
    `missing_value` where neither is named."""
    if invoice_id is None and source_id is None:
        raise BillingError("missing_value", "invoice_id or source_id")
    applied, issued = tables.applications, tables.invoices
    own = scope.where(issued.c.customer_id)
    if invoice_id is not None:
        own.append(applied.c.invoice_id == invoice_id)
    if source_id is not None:
        own.append(applied.c.source_id == source_id)
    asked = (
        select(applied, issued.c.customer_id, issued.c.currency)
        .join(issued, issued.c.invoice_id == applied.c.invoice_id)
        .where(*own)
    )
    return page(store, asked, [applied.c.application_id], after=after, limit=limit)


# What goes back, or is disputed.

_REFUNDS = tables.refunds
_OF_PAYMENT = (_PAYMENTS.c.customer_id, _PAYMENTS.c.invoice_id, _PAYMENTS.c.currency)


def _with_payment(table: Any) -> Select[Any]:
    return select(*_shown(table), *_OF_PAYMENT).join(_PAYMENTS, _PAYMENTS.c.payment_id == table.c.payment_id)


def refunds(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    payment_id: str | None = None,
    customer_id: str | None = None,
    state: str | None = None,
) -> Page:
    """Refunds that fit all that is named, the newest first, with the payer, the invoice and the currency of
    their payments. Raises `unknown_setting` for a state that is none."""
    own = _of(scope, _REFUNDS, payment_id, customer_id)
    if state is not None:
        own.append(_REFUNDS.c.state == _checked(state, REFUND_STATES))
    asked = _with_payment(_REFUNDS).where(*own)
    return page(store, asked, [_REFUNDS.c.refund_id], after=after, limit=limit, descending=True)


def refund(store: Store, scope: Scope, *, refund_id: str) -> Row | None:
    """One refund as the list has it; None for what is not there or not to be seen."""
    own = (_REFUNDS.c.refund_id == refund_id, *scope.where(_PAYMENTS.c.customer_id))
    return store.row(_with_payment(_REFUNDS).where(*own))


def disputes(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    payment_id: str | None = None,
    customer_id: str | None = None,
    is_open: bool | None = None,
) -> Page:
    """Payments disputed at a bank that fit all that is named, the newest first, with what `refunds` adds."""
    table = tables.disputes
    own = _of(scope, table, payment_id, customer_id)
    if is_open is not None:
        own.append(table.c.closed_on.is_(None) if is_open else table.c.closed_on.is_not(None))
    asked = _with_payment(table).where(*own)
    return page(store, asked, [table.c.dispute_id], after=after, limit=limit, descending=True)


def dispute(store: Store, scope: Scope, *, dispute_id: str) -> Row | None:
    """One dispute as the list has it; None for what is not there or not to be seen."""
    table = tables.disputes
    own = (table.c.dispute_id == dispute_id, *scope.where(_PAYMENTS.c.customer_id))
    return store.row(_with_payment(table).where(*own))


def _of(
    scope: Scope, table: Any, payment_id: str | None, customer_id: str | None
) -> list[ColumnElement[bool]]:
    own = scope.where(_PAYMENTS.c.customer_id)
    if payment_id is not None:
        own.append(table.c.payment_id == payment_id)
    if customer_id is not None:
        own.append(_PAYMENTS.c.customer_id == customer_id)
    return own


# What came in at the bank.

_TRANSFERS = tables.bank_transfers


def transfers(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    state: str | None = None,
    customer_id: str | None = None,
) -> Page:
    """Bank transfers that fit all that is named, the newest first. Those that belong to nobody yet are the
    merchant's alone. Raises `unknown_setting` for a state that is none."""
    own = scope.where(_TRANSFERS.c.customer_id)
    if state is not None:
        own.append(_TRANSFERS.c.state == _checked(state, TRANSFER_STATES))
    if customer_id is not None:
        own.append(_TRANSFERS.c.customer_id == customer_id)
    key = _TRANSFERS.c.transfer_id
    return page(store, select(_TRANSFERS).where(*own), [key], after=after, limit=limit, descending=True)


def transfer(store: Store, scope: Scope, *, transfer_id: str) -> Row | None:
    """One bank transfer as the list has it; None for what is not there or not to be seen."""
    own = (_TRANSFERS.c.transfer_id == transfer_id, *scope.where(_TRANSFERS.c.customer_id))
    return store.row(select(_TRANSFERS).where(*own))


def payouts(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    entity_id: str | None = None,
) -> Page:
    """What gateways paid out, the newest first: the merchant's alone, with the gateway's name of each."""
    if scope.ids is not None:
        return Page([])
    table = tables.payouts
    own = [] if entity_id is None else [table.c.entity_id == entity_id]
    asked = select(table).where(*own)
    return page(store, asked, [table.c.payout_id], after=after, limit=limit, descending=True)


def payout(store: Store, scope: Scope, *, payout_id: str) -> Row | None:
    """One payout as the list has it; None for what is not there or not to be seen."""
    if scope.ids is not None:
        return None
    return store.row(select(tables.payouts).where(tables.payouts.c.payout_id == payout_id))


# Ways to pay.

_METHODS = tables.payment_methods
_METHOD = select(*_shown(_METHODS))


def methods(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    customer_id: str | None = None,
    on: date | None = None,
) -> Page:
    """Payment methods, the newest first. `on`: only those that had not ended on that day; one that expired
    is among them."""
    own = scope.where(_METHODS.c.customer_id)
    if customer_id is not None:
        own.append(_METHODS.c.customer_id == customer_id)
    if on is not None:
        own.append(_METHODS.c.valid_to.is_(None) | (_METHODS.c.valid_to > on))
    key = _METHODS.c.method_id
    return page(store, _METHOD.where(*own), [key], after=after, limit=limit, descending=True)


def method(store: Store, scope: Scope, *, method_id: str) -> Row | None:
    """One payment method as the list has it; None for what is not there or not to be seen."""
    own = (_METHODS.c.method_id == method_id, *scope.where(_METHODS.c.customer_id))
    return store.row(_METHOD.where(*own))


_SETUPS = tables.method_setups


def setup(store: Store, scope: Scope, *, setup_id: str) -> Row | None:
    """A setup of a payment method; None for what is not there or not to be seen."""
    own = (_SETUPS.c.setup_id == setup_id, *scope.where(_SETUPS.c.customer_id))
    return store.row(select(_SETUPS).where(*own))
