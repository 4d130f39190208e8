"""The ways to pay of a customer. What lets somebody charge them is entered on a page of the gateway's, and
passes neither through here nor through who calls."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from functools import cache
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, located, owned, resource
from billing.api.route import Paging, Routes
from billing.api.shapes import money as shapes
from billing.api.shapes.base import Id
from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.gateways.hosted import Finished, HostedFields
from billing.reads import payments as reads
from billing.reads.page import Page
from billing.service import payment_methods as acts
from billing.service.customers import customer
from billing.store.store import Row, Store
from billing.web.context import Context
from billing.web.problems import Problem

routes = Routes("Payment methods", "payments")
_SUBJECT = "unknown_method"


@routes.get(
    "/customers/{customer_id}/payment-methods",
    answer=shapes.Method,
    subject="unknown_customer",
    is_list=True,
)
def methods(context: Context, paging: Paging, customer_id: Id, is_ended: bool | None = None) -> Page:
    """The ways to pay of a customer, the newest first; those that ended only if they are asked for."""
    owned(context, customer_id)
    with context.looking() as store:
        today = local_date(context.now(), customer(store, customer_id)["time_zone"])
        found = reads.methods(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            on=None if is_ended else today,
        )
    return listed("payment_method", found)


def _own(store: Store, context: Context, method_id: str) -> Row:
    """A payment method of the caller. Raises `unknown_method`."""
    row = reads.method(store, context.scope, method_id=method_id)
    if row is None:
        raise BillingError("unknown_method", method_id)
    return row


def _shown(store: Store, context: Context, method_id: str) -> dict[str, Any]:
    return {"object": "payment_method"} | _own(store, context, method_id)


@routes.get("/payment-methods/{method_id}", answer=shapes.Method, subject=_SUBJECT)
def method(context: Context, method_id: Id) -> dict[str, Any]:
    """One way to pay."""
    with context.looking() as store:
        return _shown(store, context, method_id)


@routes.patch("/payment-methods/{method_id}", answer=shapes.Method, subject=_SUBJECT)
def make_default(context: Context, method_id: Id, body: shapes.MethodChange) -> Act:
    """Charge this one where nothing else is said; payments that failed are tried with it."""
    row = _known(context, method_id)

    def work(store: Store, at: datetime) -> object:
        acts.set_default_method(store, at, method_id=method_id)
        return _shown(store, context, method_id)

    return Act(work, (row["customer_id"],), current=lambda store: _shown(store, context, method_id))


@routes.delete("/payment-methods/{method_id}", subject=_SUBJECT)
def remove(context: Context, method_id: Id) -> Act:
    """Charge this one no more. The default goes last, and not while something is charged automatically."""
    row = _known(context, method_id)
    return Act(
        lambda store, at: acts.remove_payment_method(store, at, method_id=method_id),
        (row["customer_id"],),
        current=lambda store: _shown(store, context, method_id),
    )


def _known(context: Context, method_id: str) -> Row:
    with context.looking() as store:
        return _own(store, context, method_id)


# New ones.


@routes.post(
    "/customers/{customer_id}/payment-methods/setups",
    answer=shapes.NewSetupAnswer,
    status=201,
    subject="unknown_customer",
)
def start(context: Context, customer_id: Id, body: shapes.NewSetup) -> Act:
    """Open a page of the gateway's on which the customer enters a new way to pay. Asked again with the same
    key, the setup is told without its address and token."""
    owned(context, customer_id)
    with context.looking() as store:
        customer(store, customer_id)
    setup_id = f"setup_{secrets.token_hex(12)}"
    hosted = _hosted(context)
    asked = cache(lambda: hosted.start(setup_id, customer_id, body.return_url, context.now()))

    def work(store: Store, at: datetime) -> object:
        page = asked()
        acts.start_setup(
            store,
            at,
            setup_id=setup_id,
            customer_id=customer_id,
            token_hash=acts.hash_of(page.token),
            expires_at=page.expires_at,
        )
        visit = {"url": page.url, "token": page.token, "frame_origin": page.frame_origin}
        return _setup_shown(store, context, setup_id) | visit

    return Act(
        work,
        (customer_id,),
        201,
        located("payment-method-setups", "setup_id"),
        kept=lambda shown: {name: one for name, one in shown.items() if name not in ("url", "token")},
        asks=asked,
    )


def _hosted(context: Context) -> HostedFields:
    if context.services.hosted is None:
        raise Problem("not_found", "no gateway's page is set up here")
    return context.services.hosted


def _setup(store: Store, context: Context, setup_id: str) -> Row:
    """A setup of the caller's. Raises `unknown_setup`."""
    row = reads.setup(store, context.scope, setup_id=setup_id)
    if row is None:
        raise BillingError("unknown_setup", setup_id)
    return row


def _setup_shown(store: Store, context: Context, setup_id: str) -> dict[str, Any]:
    row = _setup(store, context, setup_id)
    return {"object": "payment_method_setup"} | {
        name: value for name, value in row.items() if name != "token_hash"
    }


@routes.get("/payment-method-setups/{setup_id}", answer=shapes.Setup, subject="unknown_setup")
def setup(context: Context, setup_id: Id) -> dict[str, Any]:
    """One setup, and the method that came of it."""
    with context.looking() as store:
        return _setup_shown(store, context, setup_id)


@routes.post(
    "/payment-method-setups/{setup_id}/finish",
    answer=shapes.Method,
    status=201,
    subject="unknown_setup",
)
def finish(context: Context, setup_id: Id, body: shapes.FinishSetup) -> Act:
    """Keep what the customer entered on the page of a setup; again, it answers the same method."""
    with context.looking() as store:
        row = _setup(store, context, setup_id)
    if not hmac.compare_digest(acts.hash_of(body.token), row["token_hash"]):
        raise BillingError("unknown_setup", setup_id)
    hosted = _hosted(context)

    @cache
    def entered() -> Finished:
        found = hosted.finish(body.token, context.now())
        if found is None:
            raise BillingError("illegal_transition", f"nothing was entered for {setup_id} yet")
        return found

    def work(store: Store, at: datetime) -> object:
        method_id = acts.finish_setup(
            store, at, setup_id=setup_id, finished=entered(), is_default=body.is_default
        )
        return resource("payment_method", reads.method(store, context.scope, method_id=method_id))

    return Act(work, (row["customer_id"],), 201, located("payment-methods", "method_id"), asks=entered)
