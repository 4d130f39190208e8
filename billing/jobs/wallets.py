"""Prepaid balance: what wallets pay of new invoices, top-ups that are invoiced, and balance that expires.

A wallet holds grants, given away or bought; what was taken from a grant stands in `wallet_movements`. Whoever
takes from one holds the payer's customer row (PostgreSQL), so nothing is taken twice. In which order grants
are drawn is decided by core.adjustments.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, cast

import polars as pl
from sqlalchemy import bindparam, case, func, or_, select

from billing.core import invoicing
from billing.core.adjustments import applied, in_draw_order
from billing.jobs.bill_facts import PARTIES, hold_customers, read_by_ids, read_policies
from billing.jobs.journal import post_events
from billing.jobs.numbering import numbers
from billing.store.messages import announce
from billing.store.store import Store
from billing.store.tables import (
    customers,
    invoices,
    line_items,
    products,
    tax_lines,
    tax_rates,
    wallet_grants,
    wallet_movements,
    wallets,
)

KIND = "top_up"
"""The kind of an invoice that tops a wallet up, and of its line."""

# What is left of grants.

_TAKEN = (
    select(func.coalesce(func.sum(wallet_movements.c.amount_minor), 0))
    .where(wallet_movements.c.grant_id == wallet_grants.c.grant_id)
    .scalar_subquery()
)
GRANTS = (
    select(
        wallets.c.wallet_id,
        wallets.c.customer_id.label("payer_id"),
        customers.c.entity_id,
        wallets.c.currency,
        wallets.c.priority,
        wallets.c.closed_on,
        customers.c.time_zone,
        wallet_grants.c.grant_id,
        wallet_grants.c.is_paid,
        wallet_grants.c.granted_on,
        wallet_grants.c.expires_on,
        wallet_grants.c.invoice_id,
        # What was bought can be used once its invoice is paid.
        case((wallet_grants.c.invoice_id.is_(None), True), else_=invoices.c.state == "paid").label(
            "is_usable"
        ),
        (wallet_grants.c.amount_minor - _TAKEN).label("left_minor"),
    )
    .join(wallet_grants, wallet_grants.c.wallet_id == wallets.c.wallet_id)
    .join(customers, customers.c.customer_id == wallets.c.customer_id)
    .outerjoin(invoices, invoices.c.invoice_id == wallet_grants.c.invoice_id)
)
"""One row a grant, with what is left of it."""


def usable(on: pl.Expr) -> pl.Expr:
    """Whether something of a grant (a row of GRANTS) can be used on a day."""
    return (
        pl.col("is_usable")
        & (pl.col("left_minor") > 0)
        & pl.col("closed_on").is_null()
        & (pl.col("expires_on").is_null() | (pl.col("expires_on") > on))
    )


def draws(store: Store, targets: pl.DataFrame) -> pl.DataFrame:
    """What wallets pay of invoices: rows as core.adjustments.applied gives them, of source kind wallet.

    targets: `payer_id`, `entity_id`, `currency`, `invoice_id`, `open_minor`, `applied_on`.
    """
    grants = read_by_ids(store, GRANTS, wallets.c.customer_id, targets["payer_id"].unique().to_list())
    if grants.is_empty():
        return applied(sources(grants), targets.clear())
    days = targets.select("payer_id", "applied_on").unique("payer_id", keep="first")
    grants = grants.join(days, on="payer_id").filter(usable(pl.col("applied_on")))
    return applied(sources(in_draw_order(grants)), targets)


def sources(grants: pl.DataFrame) -> pl.DataFrame:
    """Grants (rows of GRANTS) as core.adjustments.applied takes them."""
    kind, source = pl.lit("wallet").alias("source_kind"), pl.col("grant_id").alias("source_id")
    return grants.select("payer_id", "entity_id", "currency", kind, source, "left_minor")


def write_movements(store: Store, at: datetime, rows: pl.DataFrame) -> pl.DataFrame:
    """Write what is taken from grants: `grant_id`, `kind`, `amount_minor`, `invoice_id`, `moved_on`. Returns
    the rows with `movement_id`."""
    ids = pl.Series("movement_id", store.new_ids("wmv", rows.height), dtype=pl.String)
    rows = rows.with_columns(ids)
    columns = [name for name in wallet_movements.c.keys() if name in rows.columns]  # noqa: SIM118
    store.insert(wallet_movements, rows.select(columns), at)
    return rows


def moves_of(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Applications of wallets as movements of their grants."""
    return rows.filter(source_kind="wallet").select(
        pl.col("source_id").alias("grant_id"),
        pl.lit(kind).alias("kind"),
        "amount_minor",
        "invoice_id",
        pl.col("applied_on").alias("moved_on"),
    )


# Top-ups.


class TopUps(NamedTuple):
    """What came of top-ups: `wallet_id`, `invoice_id`, `grant_id` of those issued, and `wallet_id` of those
    whose tax nobody set."""

    issued: pl.DataFrame
    untaxed: pl.DataFrame


def issue_top_ups(store: Store, at: datetime, wanted: pl.DataFrame) -> TopUps:
    """Invoice top-ups of wallets, each on a document of its own; its grant can be used once that is paid.

    wanted: `wallet_id`, `customer_id`, `currency`, `amount_minor`, `tax_code`, `product_category`,
    `expires_on`.
    """
    lines = _taxed(store, at, wanted)
    untaxed = lines.filter(pl.col("tax_rate_ppm").is_null()).select("wallet_id")
    lines = lines.filter(pl.col("tax_rate_ppm").is_not_null())
    count = lines.height
    lines = lines.with_columns(
        *(
            pl.Series(f"{name}_id", store.new_ids(prefix, count), dtype=pl.String)
            for name, prefix in (("invoice", "inv"), ("line", "line"), ("grant", "grant"))
        ),
        numbers(store, at, "invoice", lines).alias("number"),
        invoicing.due_days(pl.col("issued_on"), pl.col("net_days"), pl.col("end_of_month")).alias("due_on"),
        (pl.col("net_minor") + pl.col("tax_minor")).alias("total_minor"),
    )
    if count:
        _write_top_ups(store, at, lines)
    return TopUps(lines.select("wallet_id", "invoice_id", "grant_id"), untaxed)


def _taxed(store: Store, at: datetime, wanted: pl.DataFrame) -> pl.DataFrame:
    """Top-ups with their payer's facts, day, policy and tax (rate null where nobody set one)."""
    parties = read_by_ids(store, PARTIES, customers.c.customer_id, wanted["customer_id"].unique().to_list())
    days = invoicing.issue_days(parties["time_zone"].to_list(), at)
    known = read_policies(store)
    rows = (
        wanted.join(parties, on="customer_id", maintain_order="left")
        .with_row_index("document")
        .with_columns(
            pl.col("country").alias("ship_country"),
            pl.col("amount_minor").alias("net_minor"),
            pl.col("time_zone").replace_strict(days, return_dtype=pl.Date).alias("issued_on"),
        )
        .with_columns(pl.col("issued_on").alias("tax_on"))
    )
    terms = invoicing.tax_terms(rows, store.frame(select(tax_rates)))
    rows = rows.join(terms, on=invoicing.TAX_CASE, how="left", maintain_order="left")
    parts = []
    for (name, on), part in rows.group_by("policy_name", "issued_on", maintain_order=True):
        held = invoicing.version_on(known[str(name)], cast(date, on))
        taxed = invoicing.taxed(part, held.settings.tax_scope, held.settings.rounding)
        parts.append(taxed.with_columns(pl.lit(held.version).cast(pl.Int64).alias("policy_version")))
    return pl.concat(parts).sort("document")


def _write_top_ups(store: Store, at: datetime, lines: pl.DataFrame) -> None:
    """Invoices, lines, tax, grants, journal and messages of taxed top-ups."""
    store.insert(
        invoices,
        lines.select(
            *("invoice_id", "number", "entity_id", "customer_id", "currency", "terms_id", "collection"),
            *("issued_on", "due_on", "net_minor", "tax_minor", "total_minor"),
            pl.lit("open").alias("state"),
            pl.lit(KIND).alias("kind"),
        ),
        at,
    )
    days = {
        "service_start": pl.col("issued_on"),
        "service_end": pl.col("issued_on").dt.offset_by("1d"),
    }
    store.insert(
        line_items,
        lines.select(
            *("line_id", "invoice_id", "customer_id", "currency", "net_minor", "tax_minor"),
            *("tax_code", "tax_category", "tax_rate_ppm", "policy_name", "policy_version"),
            pl.lit(KIND).alias("kind"),
            pl.lit("charge").alias("entry"),
            *(day.alias(name) for name, day in days.items()),
            *(day.alias(name.replace("service", "reference")) for name, day in days.items()),
            pl.lit("").alias("terms_id"),
            pl.lit(1, pl.Int64).alias("quantity_mantissa"),
            pl.col("net_minor").alias("gross_minor"),
            pl.lit("Top-up").alias("description"),
            pl.lit("{}").alias("explanation"),
        ),
        at,
    )
    store.insert(
        tax_lines,
        lines.select(
            "line_id",
            "tax_code",
            pl.col("tax_category").alias("category"),
            pl.col("tax_country").alias("country"),
            "tax_rate_ppm",
            pl.col("net_minor").alias("base_minor"),
            "tax_minor",
        ),
        at,
    )
    store.insert(
        wallet_grants,
        lines.select(
            *("grant_id", "wallet_id", "amount_minor", "invoice_id", "expires_on"),
            pl.lit(True).alias("is_paid"),
            pl.col("issued_on").alias("granted_on"),
        ),
        at,
    )
    events = lines.select(
        pl.lit("wallet_topped_up").alias("event"),
        pl.lit("invoice").alias("source_kind"),
        pl.col("invoice_id").alias("source_id"),
        *("invoice_id", "entity_id", "customer_id", "currency", "net_minor", "tax_minor"),
        pl.col("issued_on").alias("posted_on"),
    )
    post_events(store, at, events)
    names = ("customer_id", "number", "currency", "total_minor")
    messages = [
        ("invoice.issued", row["invoice_id"], {name: row[name] for name in names})
        for row in lines.iter_rows(named=True)
    ]
    announce(store, at, messages)


_LOW = (
    select(
        wallets.c.wallet_id,
        wallets.c.customer_id,
        wallets.c.currency,
        wallets.c.low_balance_minor,
        wallets.c.top_up_minor.label("amount_minor"),
        wallets.c.topped_up_on,
        products.c.tax_code,
        products.c.category.label("product_category"),
        customers.c.time_zone,
    )
    .join(customers, customers.c.customer_id == wallets.c.customer_id)
    .join(products, products.c.product_id == wallets.c.product_id)
    .where(wallets.c.low_balance_minor.is_not(None), wallets.c.closed_on.is_(None))
)


_OF_GRANTS = select(wallet_grants.c.grant_id, wallet_grants.c.wallet_id)


def top_up_drawn(store: Store, at: datetime, paid: pl.DataFrame) -> None:
    """Top up the wallets that paid something, where it left too little. paid: applications."""
    grant_ids = paid.filter(source_kind="wallet")["source_id"].unique().to_list()
    if grant_ids:
        drawn = read_by_ids(store, _OF_GRANTS, wallet_grants.c.grant_id, grant_ids)
        top_up_low(store, at, drawn["wallet_id"].unique().sort().to_list())


def top_up_low(store: Store, at: datetime, wallet_ids: Sequence[str]) -> None:
    """Invoice a top-up for each of some wallets whose usable balance is below its bound, once a day."""
    low = read_by_ids(store, _LOW, wallets.c.wallet_id, wallet_ids).sort("wallet_id")
    if low.is_empty():
        return
    days = invoicing.issue_days(low["time_zone"].to_list(), at)
    today = pl.col("time_zone").replace_strict(days, return_dtype=pl.Date)
    low = low.with_columns(today.alias("today"), pl.lit(None, pl.Date).alias("expires_on"))
    grants = read_by_ids(store, GRANTS, wallets.c.wallet_id, low["wallet_id"].to_list())
    left = (
        grants.join(low.select("wallet_id", "today"), on="wallet_id")
        .filter(usable(pl.col("today")))
        .group_by("wallet_id")
        .agg(pl.col("left_minor").sum())
    )
    wanted = low.join(left, on="wallet_id", how="left", maintain_order="left").filter(
        pl.col("left_minor").fill_null(0) < pl.col("low_balance_minor"),
        pl.col("topped_up_on").ne_missing(pl.col("today")),
    )
    if wanted.is_empty():
        return
    found = issue_top_ups(store, at, wanted.drop("time_zone", "left_minor"))
    done = wanted.join(found.issued, on="wallet_id").select(
        "wallet_id", pl.col("today").alias("topped_up_on")
    )
    store.update(wallets, done, at)
    failed = [
        ("wallet.top_up_failed", wallet_id, {"code": "no_tax_rate"})
        for wallet_id in found.untaxed["wallet_id"]
    ]
    announce(store, at, failed)


# Expiry.

_EXPIRED = GRANTS.where(
    wallet_grants.c.expires_on <= bindparam("on"),
    wallet_grants.c.amount_minor > _TAKEN,
    or_(wallet_grants.c.invoice_id.is_(None), invoices.c.state == "paid"),
)


def expire_grants(store: Store, at: datetime) -> dict[str, int]:
    """Take away what is left of grants that have expired, by the days of their payers; returns the sums by
    currency. Call it daily, a second call finds nothing. Raises `period_locked`."""
    with store.transaction():
        on = at.date() + timedelta(days=1)
        due = store.frame(_EXPIRED, {"on": on})
        if due.is_empty():
            return {}
        if not store.is_sqlite:
            hold_customers(store, due["payer_id"].to_list())
            due = store.frame(_EXPIRED, {"on": on})
        days = invoicing.issue_days(due["time_zone"].to_list(), at)
        today = pl.col("time_zone").replace_strict(days, return_dtype=pl.Date)
        due = due.with_columns(today.alias("moved_on")).filter(pl.col("expires_on") <= pl.col("moved_on"))
        take_away(store, at, due.sort("grant_id"))
        top_up_low(store, at, due["wallet_id"].unique().sort().to_list())
    return dict(due.group_by("currency").agg(pl.col("left_minor").sum()).sort("currency").iter_rows())


def take_away(store: Store, at: datetime, grants: pl.DataFrame) -> None:
    """Write the expiry of all that is left of grants: rows of GRANTS with `moved_on`."""
    if grants.is_empty():
        return
    rows = write_movements(
        store,
        at,
        grants.select(
            *("grant_id", "wallet_id", "payer_id", "entity_id", "currency", "moved_on"),
            pl.lit("expiry").alias("kind"),
            pl.col("left_minor").alias("amount_minor"),
        ),
    )
    events = rows.select(
        pl.lit("wallet_expired").alias("event"),
        pl.lit("wallet_movement").alias("source_kind"),
        pl.col("movement_id").alias("source_id"),
        pl.lit(None, pl.String).alias("invoice_id"),
        pl.col("payer_id").alias("customer_id"),
        *("entity_id", "currency"),
        pl.col("moved_on").alias("posted_on"),
        pl.col("amount_minor").alias("net_minor"),
    )
    post_events(store, at, events)
    names = ("grant_id", "amount_minor", "currency")
    messages = [
        (
            "wallet.expired",
            row["wallet_id"],
            {"customer_id": row["payer_id"]} | {name: row[name] for name in names},
        )
        for row in rows.iter_rows(named=True)
    ]
    announce(store, at, messages)
