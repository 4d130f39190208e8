"""Credit: what is in wallets and of credit notes, until when, what it went to; and balance that is bought."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from billing.core.money import BillingError, parse_money
from billing.portal import terms
from billing.portal.answers import go, page
from billing.portal.changes import key_of, mail_lines, plain_money
from billing.portal.forms import charge
from billing.portal.routes import Routes
from billing.portal.visit import ROWS, Visit
from billing.reads import payments as money
from billing.reads import portal as reads
from billing.reads import wallets as credit_reads
from billing.service.commands import perform_once
from billing.service.wallets import top_up
from billing.store.store import Row, Store
from billing.web.problems import Problem

routes = Routes()
_WALLETS = 50


@dataclass(frozen=True)
class TopUp:
    """What a top-up comes to. `key`: makes the confirmation happen once; `preview`: changes with any of the
    figures, and with the way to pay."""

    amount: str
    net_minor: int
    tax_minor: int
    total_minor: int
    currency: str
    preview: str
    key: str


@routes.page("/credit")
def credit(visit: Visit) -> Response:
    own, after = {"customer_id": visit.customer_id}, _place(visit.query("after"))
    with visit.looking() as store:
        found = credit_reads.wallets(store, visit.scope, after=None, limit=_WALLETS, is_open=True, **own)
        balances = [
            credit_reads.balance(store, visit.scope, wallet_id=row["wallet_id"], on=visit.today)
            for row in found.rows
        ]
        other = credit_reads.credit(store, visit.scope, **own)
        ledger = credit_reads.ledger(store, visit.scope, after=after, limit=ROWS, **own)
    more = "~".join(map(str, ledger.after)) if ledger.after else None
    wallets = list(zip(found.rows, balances, strict=True))
    return page(
        visit, "credit.html", wallets=wallets, credit=other, entries=ledger.rows, more=more, terms=terms
    )


def _place(after: str) -> tuple[datetime, str] | None:
    """Where a page of the ledger begins. Raises Problem `bad_parameter`."""
    if not after:
        return None
    moment, _, entry_id = after.partition("~")
    try:
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise Problem("bad_parameter", "after")
        return at.astimezone(UTC), entry_id
    except (ValueError, OverflowError):
        raise Problem("bad_parameter", "after") from None


@routes.page("/credit/{wallet_id}/top-up", task="top_up", needs="buyer")
def buy(visit: Visit) -> Response:
    return _shown(visit, _the_wallet(visit), visit.query("amount"), None)


@routes.deed("/credit/{wallet_id}/top-up", task="top_up")
def confirm(visit: Visit) -> Response:
    """Invoice the top-up once, on the figures that were shown, and charge it at once."""
    wallet, key = _the_wallet(visit), key_of(visit)
    given, shown = visit.form.get("amount", ""), visit.form.get("preview", "")
    fresh: list[bool] = []

    def command(store: Store, at: datetime, *, wallet_id: str, amount: str) -> dict[str, Any]:
        fresh.append(True)
        invoice = _bought(store, at, visit, wallet, amount)
        if _hash(wallet_id, amount, invoice, method) != shown:
            raise BillingError("preview_changed", "")
        facts = {name: invoice[name] for name in ("invoice_id", "net_minor", "total_minor", "currency")}
        facts |= {"wallet_id": wallet_id, "wallet": wallet["name"], "method_id": method["method_id"]}
        return {"act": "top_up", **facts}

    command.__name__ = "top_up"

    def work(store: Store, at: datetime) -> dict[str, Any]:
        arguments = {"wallet_id": wallet["wallet_id"], "amount": given}
        return dict(
            perform_once(store, at, caller=visit.actor, key=key, command=command, arguments=arguments)
        )

    try:
        method = _method(visit)
        said = visit.write(work)
    except (BillingError, Problem) as refused:
        return _shown(visit, wallet, given, refused.code)
    # Where it is paid already, or cannot be charged so, the receipt says how the invoice stands.
    with suppress(BillingError):
        charge(visit, said["invoice_id"], said.get("method_id"))
    if fresh:
        _mail(visit, said, key)
    return go(f"/receipts/{key}")


def _shown(visit: Visit, wallet: Row, amount: str, code: str | None) -> Response:
    method, quote = None, None
    try:
        method = _method(visit)
        quote = _quoted(visit, wallet, amount, method) if amount else None
    except (BillingError, Problem) as refused:
        code = code or refused.code
    status = 422 if code and visit.request.method == "POST" else 200
    return page(
        visit,
        "top_up.html",
        status,
        wallet=wallet,
        amount=amount,
        quote=quote,
        method=method,
        problem=terms.refusal(visit.words, code) if code else None,
    )


def _quoted(visit: Visit, wallet: Row, amount: str, method: Row) -> TopUp:
    with visit.rehearsing() as store:
        invoice = _bought(store, visit.now, visit, wallet, amount)
    return TopUp(
        amount,
        invoice["net_minor"],
        invoice["tax_minor"],
        invoice["total_minor"],
        invoice["currency"],
        preview=_hash(wallet["wallet_id"], amount, invoice, method),
        key=secrets.token_urlsafe(16),
    )


def _bought(store: Store, at: datetime, visit: Visit, wallet: Row, amount: str) -> Row:
    """The invoice of a top-up. Raises as `top_up`, and `needs_approval` above what somebody orders alone; a
    limit says nothing of another currency than the customer's."""
    parse_money(amount, wallet["currency"])
    invoice_id = top_up(store, at, wallet_id=wallet["wallet_id"], amount=amount)
    invoice = reads.invoice(store, visit.scope, invoice_id=invoice_id)
    assert invoice is not None
    is_known = invoice["currency"] == visit.customer["currency"]
    if visit.limit_minor is not None and (not is_known or invoice["total_minor"] > visit.limit_minor):
        raise BillingError("needs_approval", "")
    return invoice


def _hash(wallet_id: str, amount: str, invoice: Row, method: Row) -> str:
    figures = [invoice[name] for name in ("net_minor", "tax_minor", "total_minor", "currency")]
    about = [wallet_id, amount, *figures, method["method_id"]]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _method(visit: Visit) -> Row:
    """The way to pay that is charged. Raises `no_payment_method`."""
    with visit.looking() as store:
        found = money.methods(
            store, visit.scope, customer_id=visit.customer_id, on=visit.today, limit=100
        ).rows
    for one in found:
        if one["is_default"] and (one["expires_on"] is None or one["expires_on"] >= visit.today):
            return one
    raise BillingError("no_payment_method", "")


def _the_wallet(visit: Visit) -> Row:
    """An open one of the customer's own that is sold as a product."""
    with visit.looking() as store:
        row = credit_reads.wallet(store, visit.scope, wallet_id=visit.path("wallet_id"))
    is_own = row is not None and row["customer_id"] == visit.customer_id
    if row is None or not is_own or row["closed_on"] is not None or row["product_id"] is None:
        raise Problem("not_found")
    return row


def _mail(visit: Visit, said: dict[str, Any], key: str) -> None:
    _ = visit.words.gettext
    done = terms.act(visit.words, "top_up")
    total = plain_money(visit, said["total_minor"], said["currency"])
    lines = [f"{said['wallet']}: {done}", _("With tax: {amount}").format(amount=total)]
    mail_lines(visit, done, lines, key)
