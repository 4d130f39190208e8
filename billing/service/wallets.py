"""Acts on wallets: balance a customer has before anything is billed, given away or bought."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.adjustments import applied, in_draw_order
from billing.core.calendar import local_date
from billing.core.money import LINE_LIMIT, BillingError, parse_money, post_money, within
from billing.jobs.bill_facts import OPEN_DEBT, hold_customers, read_by_ids
from billing.jobs.credit import write_applications
from billing.jobs.journal import post_events
from billing.jobs.wallets import GRANTS, KIND, issue_top_ups, sources, take_away, top_up_drawn, usable
from billing.service.acts import act, announce
from billing.service.orders import check_orders
from billing.service.policies import policy_on
from billing.store.store import Row, Store
from billing.store.tables import customers, invoices, products, wallet_grants, wallets

_WALLET = (
    select(wallets, customers.c.entity_id, customers.c.time_zone, customers.c.policy_name)
    .join(customers, customers.c.customer_id == wallets.c.customer_id)
    .where(wallets.c.wallet_id == bindparam("id"))
)
_CUSTOMER = select(customers.c.customer_id, customers.c.currency).where(
    customers.c.customer_id == bindparam("id")
)
_PRODUCT = select(products.c.tax_code, products.c.category).where(products.c.product_id == bindparam("id"))


@act
def open_wallet(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    name: str,
    priority: int = 0,
    product_id: str | None = None,
    low_balance: str | None = None,
    top_up: str | None = None,
    wallet_id: str | None = None,
) -> str:
    """Open a wallet in the customer's currency; returns its id. It pays what the customer is billed, those of
    lower `priority` first.

    product_id: what its top-ups are taxed as. When a draw or an expiry leaves less than `low_balance`, a
    top-up by `top_up` is invoiced, one a day. Raises `unknown_customer`, `unknown_product`,
    `missing_value` where only a part of an automatic top-up is given, `negative_quantity`, `immutable` (the
    id is taken), and as `parse_money`.
    """
    customer = store.row(_CUSTOMER, {"id": customer_id})
    if customer is None:
        raise BillingError("unknown_customer", customer_id)
    if product_id is not None:
        _product(store, product_id)
    if (low_balance is None) != (top_up is None) or (top_up is not None and product_id is None):
        raise BillingError("missing_value", "an automatic top-up has a low balance, an amount and a product")
    low, amount = (
        None if text is None else _positive(parse_money(text, customer["currency"]))
        for text in (low_balance, top_up)
    )
    row = {
        "wallet_id": wallet_id or store.new_id("wallet"),
        "customer_id": customer_id,
        "currency": customer["currency"],
        "name": name,
        "priority": priority,
        "product_id": product_id,
        "low_balance_minor": low,
        "top_up_minor": amount,
    }
    store.insert(wallets, [row], at)
    announce(store, at, "wallet.opened", str(row["wallet_id"]), {"customer_id": customer_id, "name": name})
    return str(row["wallet_id"])


@act
def grant(
    store: Store,
    at: datetime,
    *,
    wallet_id: str,
    amount: str,
    reason: str,
    expires_on: date | None = None,
) -> str:
    """Give balance away ("10.00"), usable until the day before `expires_on`; returns the grant's id.

    Raises `unknown_wallet`, `illegal_transition` for a closed one, `missing_value` without reason,
    `negative_quantity`, `empty_period` where it expires at once, `period_locked`, `overdue_restricted` for a
    customer that gets no credit, and as `parse_money`.
    """
    wallet, today = _open(store, at, wallet_id)
    check_orders(store, wallet["customer_id"])
    if not reason.strip():
        raise BillingError("missing_value", "a grant without reason")
    row = {
        "grant_id": store.new_id("grant"),
        "wallet_id": wallet_id,
        "amount_minor": _positive(parse_money(amount, wallet["currency"])),
        "granted_on": today,
        "expires_on": _after(expires_on, today),
        "reason": reason.strip(),
    }
    store.insert(wallet_grants, [row], at)
    event = {
        "event": "wallet_granted",
        "source_kind": "wallet_grant",
        "source_id": row["grant_id"],
        "entity_id": wallet["entity_id"],
        "customer_id": wallet["customer_id"],
        "invoice_id": None,
        "currency": wallet["currency"],
        "posted_on": today,
        "net_minor": row["amount_minor"],
    }
    post_events(store, at, pl.DataFrame([event], schema_overrides={"invoice_id": pl.String}))
    announce(store, at, "wallet.granted", wallet_id, row | {"customer_id": wallet["customer_id"]})
    return str(row["grant_id"])


@act
def top_up(
    store: Store,
    at: datetime,
    *,
    wallet_id: str,
    amount: str,
    product_id: str | None = None,
    expires_on: date | None = None,
) -> str:
    """Invoice balance the customer buys, before tax; returns the invoice's id. It can be used once that is
    paid, until the day before `expires_on`.

    The amount may have any number of decimals and is posted once. It is taxed as a product: the one given, or
    the wallet's. Raises `unknown_wallet`, `illegal_transition` for a closed one, `missing_value` without
    product, `unknown_product`, `no_tax_rate`, `negative_quantity`, `empty_period`, `period_locked`,
    `float_money`, `bad_decimal`, `amount_out_of_range`.
    """
    wallet, today = _open(store, at, wallet_id)
    product_id = product_id or wallet["product_id"]
    if product_id is None:
        raise BillingError("missing_value", "a top-up is taxed as some product")
    product = _product(store, product_id)
    mode = policy_on(store, wallet["policy_name"], today).settings.rounding
    wanted = pl.DataFrame(
        {
            "wallet_id": [wallet_id],
            "customer_id": wallet["customer_id"],
            "currency": wallet["currency"],
            "amount_minor": _positive(post_money(amount, wallet["currency"], mode)),  # type: ignore[arg-type]
            "tax_code": product["tax_code"],
            "product_category": product["category"],
            "expires_on": _after(expires_on, today),
        },
        schema_overrides={"expires_on": pl.Date},
    )
    issued = issue_top_ups(store, at, wanted).issued
    if issued.is_empty():
        raise BillingError("no_tax_rate", f"no rate of {product['tax_code']}")
    return str(issued.item(0, "invoice_id"))


@act
def draw(store: Store, at: datetime, *, wallet_id: str, invoice_id: str, amount_minor: int) -> None:
    """Pay an open invoice of the customer, or a part of it, from a wallet by hand.

    Raises `unknown_wallet`, `unknown_invoice` (or of another payer, seller or currency), `illegal_transition`
    where the wallet is closed, or the invoice is not open, is being charged, or tops up a wallet;
    `negative_quantity`, `amount_out_of_range` above what is open, `over_draw` above what the wallet has.
    """
    wallet, today = _open(store, at, wallet_id)
    found = read_by_ids(store, OPEN_DEBT, invoices.c.invoice_id, [invoice_id])
    row = store.row(select(invoices).where(invoices.c.invoice_id == invoice_id))
    if row is None or any(row[name] != wallet[name] for name in ("customer_id", "entity_id", "currency")):
        raise BillingError("unknown_invoice", invoice_id)
    if found.is_empty() or row["kind"] == KIND:
        raise BillingError("illegal_transition", f"{invoice_id} cannot be paid from a wallet now")
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"a draw of {amount_minor}")
    if amount_minor > (open_minor := found.item(0, "open_minor")):
        raise BillingError("amount_out_of_range", f"{amount_minor} of {open_minor} open on {invoice_id}")
    grants = _grants(store, wallet_id).filter(usable(pl.lit(today)))
    if amount_minor > (left := int(grants["left_minor"].sum())):
        raise BillingError("over_draw", f"{amount_minor} of {left} left in {wallet_id}")
    targets = found.with_columns(pl.lit(amount_minor, pl.Int64).alias("open_minor"))
    paid = applied(sources(in_draw_order(grants)), targets).with_columns(pl.lit(today).alias("applied_on"))
    post_events(store, at, write_applications(store, at, paid, found))
    top_up_drawn(store, at, paid)
    facts = {"customer_id": wallet["customer_id"], "invoice_id": invoice_id, "amount_minor": amount_minor}
    announce(store, at, "wallet.drawn", wallet_id, facts)


@act
def close_wallet(store: Store, at: datetime, *, wallet_id: str) -> None:
    """Close a wallet: it pays nothing any more, and what is left of balance given away is gone.

    Raises `unknown_wallet`, `illegal_transition` for a closed one, or while balance the customer bought is
    left: credit it (`issue_credit_note` over its line), or void the invoice if it is unpaid.
    """
    wallet, today = _open(store, at, wallet_id)
    left = _grants(store, wallet_id).filter(pl.col("left_minor") > 0)
    bought = left.filter("is_paid")
    if bought.height:
        raise BillingError("illegal_transition", f"{bought['left_minor'].sum()} left that was bought")
    take_away(store, at, left.with_columns(pl.lit(today).alias("moved_on")))
    store.update(wallets, [{"wallet_id": wallet_id, "closed_on": today}], at)
    announce(store, at, "wallet.closed", wallet_id, {"customer_id": wallet["customer_id"]})


def _open(store: Store, at: datetime, wallet_id: str) -> tuple[Row, date]:
    """An open wallet, its payer held, and the payer's day."""
    wallet = store.row(_WALLET, {"id": wallet_id})
    if wallet is None:
        raise BillingError("unknown_wallet", wallet_id)
    if not store.is_sqlite:
        hold_customers(store, [wallet["customer_id"]])
        wallet = store.row(_WALLET, {"id": wallet_id}) or wallet
    if wallet["closed_on"] is not None:
        raise BillingError("illegal_transition", f"{wallet_id} was closed on {wallet['closed_on']}")
    return wallet, local_date(at, wallet["time_zone"])


def _grants(store: Store, wallet_id: str) -> pl.DataFrame:
    return read_by_ids(store, GRANTS, wallets.c.wallet_id, [wallet_id])


def _product(store: Store, product_id: str) -> Row:
    product = store.row(_PRODUCT, {"id": product_id})
    if product is None:
        raise BillingError("unknown_product", product_id)
    return product


def _positive(amount_minor: int) -> int:
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"an amount of {amount_minor}")
    return within(amount_minor, LINE_LIMIT)


def _after(expires_on: date | None, today: date) -> date | None:
    if expires_on is not None and expires_on <= today:
        raise BillingError("empty_period", f"{expires_on} is not after {today}")
    return expires_on
