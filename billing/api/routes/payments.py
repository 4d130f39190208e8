"""Money that came in, and went back: payments, bank transfers, refunds, disputes at a bank, and payouts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from billing.api.performing import Act
from billing.api.resources import listed, located, merchants, resource
from billing.api.route import Paging, Routes
from billing.api.shapes import money as shapes
from billing.api.shapes.base import Id
from billing.core.money import BillingError
from billing.jobs.match_transfers import import_transfers
from billing.reads import payments as reads
from billing.reads.page import Page
from billing.service import refunds as refund_acts
from billing.service import transfers as transfer_acts
from billing.service.acts import job
from billing.service.chargebacks import close_chargeback, open_chargeback
from billing.service.payouts import receive_payout
from billing.store.store import Row, Store
from billing.web.context import Context

routes = Routes("Payments", "payments")


# Payments.


@routes.get("/payments", answer=shapes.Payment, is_list=True)
def payments(
    context: Context,
    paging: Paging,
    customer_id: Id | None = None,
    invoice_id: Id | None = None,
    state: shapes.PaymentState | None = None,
) -> Page:
    """Payments, the newest first."""
    with context.looking() as store:
        found = reads.payments(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            invoice_id=invoice_id,
            state=state,
        )
    return listed("payment", found)


@routes.get(
    "/payments/{payment_id}",
    answer=shapes.Payment,
    subject="unknown_payment",
    expands=("attempts", "applications", "refunds", "disputes"),
)
def payment(context: Context, payment_id: Id) -> dict[str, Any] | None:
    """One payment. What is expanded are the first 200 of each."""
    with context.looking() as store:
        row = reads.payment(store, context.scope, payment_id=payment_id)
        if row is None:
            return None
        more = {name: _of_payment(store, context, name, payment_id) for name in context.expand}
    return {"object": "payment"} | row | more


def _of_payment(store: Store, context: Context, name: str, payment_id: str) -> list[Row]:
    """Something of a payment, to be shown with it."""
    if name == "attempts":
        kind, found = (
            "payment_attempt",
            reads.attempts(store, context.scope, payment_id=payment_id, limit=200),
        )
    elif name == "applications":
        kind, found = "application", reads.applications(store, context.scope, source_id=payment_id, limit=200)
    elif name == "refunds":
        kind, found = "refund", reads.refunds(store, context.scope, payment_id=payment_id, limit=200)
    else:
        kind, found = "dispute", reads.disputes(store, context.scope, payment_id=payment_id, limit=200)
    return list(listed(kind, found).rows)


@routes.get("/payments/{payment_id}/attempts", answer=shapes.Attempt, subject="unknown_payment", is_list=True)
def attempts(context: Context, paging: Paging, payment_id: Id) -> Page:
    """The attempts of a payment in their order, each with its last answer."""
    with context.looking() as store:
        if reads.payment(store, context.scope, payment_id=payment_id) is None:
            raise BillingError("unknown_payment", payment_id)
        found = reads.attempts(
            store, context.scope, payment_id=payment_id, after=paging.after, limit=paging.limit
        )
    return listed("payment_attempt", found)


# Bank transfers.


def _transfer_shown(store: Store, context: Context, transfer_id: str) -> dict[str, Any] | None:
    return resource("transfer", reads.transfer(store, context.scope, transfer_id=transfer_id))


@routes.get("/transfers", answer=shapes.Transfer, is_list=True)
def transfers(
    context: Context,
    paging: Paging,
    state: shapes.TransferState | None = None,
    customer_id: Id | None = None,
) -> Page:
    """Bank transfers, the newest first."""
    with context.looking() as store:
        found = reads.transfers(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            state=state,
            customer_id=customer_id,
        )
    return listed("transfer", found)


@routes.get("/transfers/{transfer_id}", answer=shapes.Transfer, subject="unknown_transfer")
def transfer(context: Context, transfer_id: Id) -> dict[str, Any] | None:
    """One bank transfer."""
    with context.looking() as store:
        return _transfer_shown(store, context, transfer_id)


@routes.post("/transfers", answer=shapes.Payment, status=201, needs_key=True)
def receive(context: Context, body: shapes.NewTransfer) -> Act:
    """Note money that came in at the bank for an invoice; the answer is the payment it became."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        payment_id = transfer_acts.receive_transfer(store, at, **body.given())
        return resource("payment", reads.payment(store, context.scope, payment_id=payment_id))

    return Act(work, status=201, location=located("payments", "payment_id"))


@routes.post("/transfers/bulk", answer=shapes.Matched, needs_key=True)
def take_in(context: Context, body: shapes.BankRows) -> Act:
    """Take in rows of a bank statement and match what is unmatched. A row is known by its seller and
    `bank_ref`: sent again it changes nothing."""
    merchants(context)
    rows = pl.DataFrame([row.model_dump() for row in body.rows])

    def work(store: Store, at: datetime) -> object:
        with job(store, at, "import_transfers", rows=rows.height):
            found = import_transfers(store, at, rows)
        return {
            "object": "transfer_import",
            "accepted": found.accepted,
            "duplicate": found.duplicate,
            "matched": found.matched,
            "rejected": found.rejected.to_dicts(),
        }

    return Act(work)


def _of_transfer(context: Context, transfer_id: str, act: Any, **named: Any) -> Act:
    """An act on a transfer, answered by the transfer."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        act(store, at, transfer_id=transfer_id, **named)
        return _transfer_shown(store, context, transfer_id)

    return Act(work, current=lambda store: _transfer_shown(store, context, transfer_id))


@routes.post(
    "/transfers/{transfer_id}/match", answer=shapes.Transfer, subject="unknown_transfer", needs_key=True
)
def match(context: Context, transfer_id: Id, body: shapes.Match) -> Act:
    """Say whose a transfer is that was not matched."""
    return _of_transfer(context, transfer_id, transfer_acts.match_transfer, **body.given())


@routes.post(
    "/transfers/{transfer_id}/unmatch", answer=shapes.Transfer, subject="unknown_transfer", needs_key=True
)
def unmatch(context: Context, transfer_id: Id) -> Act:
    """Take back a wrong match: what it paid is owed again."""
    return _of_transfer(context, transfer_id, transfer_acts.unmatch_transfer)


@routes.post(
    "/transfers/{transfer_id}/return", answer=shapes.Transfer, subject="unknown_transfer", needs_key=True
)
def send_back(context: Context, transfer_id: Id) -> Act:
    """Note that a transfer nobody knew was sent back."""
    return _of_transfer(context, transfer_id, transfer_acts.return_transfer)


# Refunds.


def _refund_shown(store: Store, context: Context, refund_id: str) -> dict[str, Any] | None:
    return resource("refund", reads.refund(store, context.scope, refund_id=refund_id))


@routes.get("/refunds", answer=shapes.Refund, is_list=True)
def refunds(
    context: Context,
    paging: Paging,
    payment_id: Id | None = None,
    customer_id: Id | None = None,
    state: shapes.RefundState | None = None,
) -> Page:
    """Refunds, the newest first."""
    with context.looking() as store:
        found = reads.refunds(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            payment_id=payment_id,
            customer_id=customer_id,
            state=state,
        )
    return listed("refund", found)


@routes.get("/refunds/{refund_id}", answer=shapes.Refund, subject="unknown_refund")
def refund(context: Context, refund_id: Id) -> dict[str, Any] | None:
    """One refund."""
    with context.looking() as store:
        return _refund_shown(store, context, refund_id)


@routes.post("/refunds", answer=shapes.Requested, status=201, needs_key=True)
def give_back(context: Context, body: shapes.NewRefund) -> Act:
    """Give back credit that a customer keeps, through a payment of theirs. It may come to several refunds:
    of what was paid too much, and of each note."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        before = {row["refund_id"] for row in _refunds_of(store, context, body.payment_id)}
        refund_acts.refund(store, at, payment_id=body.payment_id, amount_minor=body.amount_minor)
        made = [row for row in _refunds_of(store, context, body.payment_id) if row["refund_id"] not in before]
        shown = [{"object": "refund"} | row for row in made]
        return {"object": "refund_request", "payment_id": body.payment_id, "refunds": shown}

    return Act(work, status=201)


def _refunds_of(store: Store, context: Context, payment_id: str) -> list[Row]:
    """All refunds through a payment, which are few."""
    return list(reads.refunds(store, context.scope, payment_id=payment_id, limit=10_000).rows)


@routes.post("/refunds/{refund_id}/paid", answer=shapes.Refund, subject="unknown_refund", needs_key=True)
def refund_paid(context: Context, refund_id: Id) -> Act:
    """Note that the refund of a transfer was sent from the bank."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        refund_acts.refund_paid(store, at, refund_id=refund_id)
        return _refund_shown(store, context, refund_id)

    return Act(work, current=lambda store: _refund_shown(store, context, refund_id))


# Payments that customers disputed at their bank.


def _dispute_shown(store: Store, context: Context, dispute_id: str) -> dict[str, Any] | None:
    return resource("dispute", reads.dispute(store, context.scope, dispute_id=dispute_id))


@routes.get("/disputes", answer=shapes.Dispute, is_list=True)
def disputes(
    context: Context,
    paging: Paging,
    payment_id: Id | None = None,
    customer_id: Id | None = None,
    is_open: bool | None = None,
) -> Page:
    """Payments that were disputed at a bank, the newest first."""
    with context.looking() as store:
        found = reads.disputes(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            payment_id=payment_id,
            customer_id=customer_id,
            is_open=is_open,
        )
    return listed("dispute", found)


@routes.get("/disputes/{dispute_id}", answer=shapes.Dispute, subject="unknown_dispute")
def dispute(context: Context, dispute_id: Id) -> dict[str, Any] | None:
    """One dispute."""
    with context.looking() as store:
        return _dispute_shown(store, context, dispute_id)


@routes.post(
    "/payments/{payment_id}/disputes",
    answer=shapes.Dispute,
    status=201,
    subject="unknown_payment",
    needs_key=True,
)
def open_dispute(context: Context, payment_id: Id, body: shapes.NewDispute) -> Act:
    """Note that the bank took a payment back, or a part of it: what it had paid is owed again."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        dispute_id = open_chargeback(
            store, at, payment_id=payment_id, amount_minor=body.amount_minor, gateway_ref=body.reference
        )
        return _dispute_shown(store, context, dispute_id)

    return Act(work, status=201, location=located("disputes", "dispute_id"))


@routes.post("/disputes/{dispute_id}/close", answer=shapes.Dispute, subject="unknown_dispute", needs_key=True)
def close_dispute(context: Context, dispute_id: Id, body: shapes.ChargebackOutcome) -> Act:
    """Note how a dispute ended: won brings the money back, lost leaves it with the customer."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        close_chargeback(store, at, dispute_id=dispute_id, outcome=body.outcome)
        return _dispute_shown(store, context, dispute_id)

    return Act(work, current=lambda store: _dispute_shown(store, context, dispute_id))


# Payouts.


def _payout_shown(row: Row) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name != "gateway_ref"}
    return {"object": "payout"} | kept | {"reference": row["gateway_ref"]}


@routes.get("/payouts", answer=shapes.Payout, is_list=True)
def payouts(context: Context, paging: Paging, entity_id: Id | None = None) -> Page:
    """What gateways paid out to the bank, the newest first; nothing of it is a customer's."""
    with context.looking() as store:
        found = reads.payouts(
            store, context.scope, after=paging.after, limit=paging.limit, entity_id=entity_id
        )
    return Page([_payout_shown(row) for row in found.rows], found.after)


@routes.post("/payouts", answer=shapes.Payout, status=201, needs_key=True)
def receive_from_gateway(context: Context, body: shapes.NewPayout) -> Act:
    """Note what a gateway paid out, after it kept its fees. The same payout again changes nothing."""
    merchants(context)
    given = body.given()
    given["gateway_ref"] = given.pop("reference")

    def work(store: Store, at: datetime) -> object:
        payout_id = receive_payout(store, at, **given)
        row = reads.payout(store, context.scope, payout_id=payout_id)
        return None if row is None else _payout_shown(row)

    return Act(work, status=201)
