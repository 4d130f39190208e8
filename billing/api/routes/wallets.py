"""Wallets: balance a customer has before anything is billed. Only the merchant opens one, closes it and gives
balance away; a customer may buy balance and pay with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, located, merchants, owned, resource
from billing.api.route import Paging, Routes
from billing.api.shapes import wallets as shapes
from billing.api.shapes.base import Day, Id
from billing.core.calendar import local_date
from billing.core.money import BillingError, format_minor
from billing.reads import wallets as reads
from billing.reads.page import Page
from billing.service import wallets as acts
from billing.service.customers import customer
from billing.store.store import Row, Store
from billing.web.context import Context
from billing.web.previews import check_alone

routes = Routes("Wallets", "wallets")
_SUBJECT = "unknown_wallet"


def _own(store: Store, context: Context, wallet_id: str) -> Row:
    """A wallet of the caller. Raises `unknown_wallet`."""
    row = reads.wallet(store, context.scope, wallet_id=wallet_id)
    if row is None:
        raise BillingError("unknown_wallet", wallet_id)
    return row


@routes.get("/wallets", answer=shapes.Wallet, is_list=True)
def wallets(
    context: Context, paging: Paging, customer_id: Id | None = None, is_open: bool | None = None
) -> Page:
    """Wallets of all customers, or of one."""
    with context.looking() as store:
        found = reads.wallets(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            is_open=is_open,
        )
    return listed("wallet", found)


@routes.post("/wallets", answer=shapes.Wallet, status=201)
def open_wallet(context: Context, body: shapes.NewWallet) -> Act:
    """Open a wallet."""
    owned(context, body.customer_id, "customer_id")
    merchants(context)
    given = body.given()
    amounts = {name: given.pop(f"{name}_minor", None) for name in ("low_balance", "top_up")}

    def work(store: Store, at: datetime) -> object:
        currency = customer(store, body.customer_id)["currency"]
        for name, minor in amounts.items():
            given[name] = None if minor is None else format_minor(minor, currency)
        wallet_id = acts.open_wallet(store, at, **given)
        return resource("wallet", _own(store, context, wallet_id))

    return Act(work, (body.customer_id,), 201, located("wallets", "wallet_id"))


@routes.get("/wallets/{wallet_id}", answer=shapes.Wallet, subject=_SUBJECT, expands=("balance",))
def wallet(context: Context, wallet_id: Id) -> dict[str, Any] | None:
    """One wallet. `balance`: what can be drawn today."""
    with context.looking() as store:
        row = _own(store, context, wallet_id)
        found = resource("wallet", row)
        if found is not None and "balance" in context.expand:
            found["balance"] = _balance(store, context, row, None)
    return found


def _balance(store: Store, context: Context, row: Row, on: Day | None) -> dict[str, Any] | None:
    day = on or local_date(context.now(), customer(store, row["customer_id"])["time_zone"])
    found = reads.balance(store, context.scope, wallet_id=row["wallet_id"], on=day)
    return resource("wallet_balance", found)


@routes.get("/wallets/{wallet_id}/balance", answer=shapes.Balance, subject=_SUBJECT)
def balance(context: Context, wallet_id: Id, on: Day | None = None) -> dict[str, Any] | None:
    """What can be drawn from a wallet on a day (today), and what of that ends when."""
    with context.looking() as store:
        return _balance(store, context, _own(store, context, wallet_id), on)


@routes.get("/wallets/{wallet_id}/grants", answer=shapes.Grant, is_list=True, subject=_SUBJECT)
def grants(context: Context, paging: Paging, wallet_id: Id) -> Page:
    """What was given or bought into a wallet."""
    with context.looking() as store:
        _own(store, context, wallet_id)
        found = reads.grants(
            store, context.scope, wallet_id=wallet_id, after=paging.after, limit=paging.limit
        )
    return listed("wallet_grant", found)


@routes.post("/wallets/{wallet_id}/grants", answer=shapes.Grant, status=201, subject=_SUBJECT, needs_key=True)
def grant(context: Context, wallet_id: Id, body: shapes.NewGrant) -> Act:
    """Give balance away."""
    with context.looking() as store:
        row = _own(store, context, wallet_id)
    merchants(context)
    given = body.given()
    given["amount"] = format_minor(given.pop("amount_minor"), row["currency"])

    def work(store: Store, at: datetime) -> object:
        grant_id = acts.grant(store, at, wallet_id=wallet_id, **given)
        return resource("wallet_grant", reads.grant(store, context.scope, grant_id=grant_id))

    return Act(work, (row["customer_id"],), 201)


@routes.get("/wallets/{wallet_id}/movements", answer=shapes.Movement, is_list=True, subject=_SUBJECT)
def movements(context: Context, paging: Paging, wallet_id: Id) -> Page:
    """What was taken out of a wallet."""
    with context.looking() as store:
        _own(store, context, wallet_id)
        found = reads.movements(
            store, context.scope, wallet_id=wallet_id, after=paging.after, limit=paging.limit
        )
    return listed("wallet_movement", found)


@routes.post(
    "/wallets/{wallet_id}/top-ups", answer=shapes.TopUp, status=201, subject=_SUBJECT, needs_key=True
)
def top_up(context: Context, wallet_id: Id, body: shapes.NewTopUp) -> Act:
    """Invoice balance that the customer buys; it can be used once the invoice is paid."""
    with context.looking() as store:
        row = _own(store, context, wallet_id)
    given = body.given()
    given["amount"] = format_minor(given.pop("amount_minor"), row["currency"])

    def work(store: Store, at: datetime) -> object:
        check_alone(store, at, context.scope, "top_up", row["customer_id"], given)
        invoice_id = acts.top_up(store, at, wallet_id=wallet_id, **given)
        return {"object": "wallet_top_up", "wallet_id": wallet_id, "invoice_id": invoice_id}

    return Act(work, (row["customer_id"],), 201, located("invoices", "invoice_id"))


@routes.post("/wallets/{wallet_id}/draws", answer=shapes.Balance, subject=_SUBJECT, needs_key=True)
def draw(context: Context, wallet_id: Id, body: shapes.NewDraw) -> Act:
    """Pay an open invoice of the customer, or a part of it, from a wallet."""
    with context.looking() as store:
        row = _own(store, context, wallet_id)

    def work(store: Store, at: datetime) -> object:
        acts.draw(store, at, wallet_id=wallet_id, **body.given())
        day = local_date(at, customer(store, row["customer_id"])["time_zone"])
        return resource("wallet_balance", reads.balance(store, context.scope, wallet_id=wallet_id, on=day))

    return Act(work, (row["customer_id"],))


@routes.post("/wallets/{wallet_id}/close", answer=shapes.Wallet, subject=_SUBJECT)
def close(context: Context, wallet_id: Id) -> Act:
    """Close a wallet: what is left of balance given away is gone."""
    with context.looking() as store:
        row = _own(store, context, wallet_id)
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        acts.close_wallet(store, at, wallet_id=wallet_id)
        return resource("wallet", _own(store, context, wallet_id))

    return Act(work, (row["customer_id"],))
