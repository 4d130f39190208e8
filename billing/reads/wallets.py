"""Wallets: what is in them, what was put in and what was taken out, as a caller may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from sqlalchemy import Select, case, literal, null, select, union_all

from billing.jobs.bill_facts import read_by_ids
from billing.jobs.credit import open_credit
from billing.jobs.wallets import GRANTS, usable
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import (
    applications,
    credit_notes,
    invoices,
    refunds,
    wallet_grants,
    wallet_movements,
)
from billing.store.tables import wallets as _wallets


@dataclass(frozen=True, slots=True)
class Expiry:
    """What of a wallet's balance can be used no more from a day on."""

    expires_on: date
    minor: int

    @property
    def last_day(self) -> date:
        """The last one on which it can be used."""
        return self.expires_on - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Balance:
    """What can be drawn from a wallet on a day, and what of that ends when, the earliest first."""

    wallet_id: str
    on: date
    minor: int
    currency: str
    expiring: tuple[Expiry, ...]


def wallets(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    customer_id: str | None = None,
    is_open: bool | None = None,
) -> Page:
    """Wallets, the last made of one opening of the store first."""
    of = _wallets.c
    statement = select(_wallets).where(*scope.where(of.customer_id))
    if customer_id is not None:
        statement = statement.where(of.customer_id == customer_id)
    if is_open is not None:
        statement = statement.where(of.closed_on.is_(None) if is_open else of.closed_on.is_not(None))
    return page(store, statement, [of.wallet_id], after=after, limit=limit, descending=True)


def wallet(store: Store, scope: Scope, *, wallet_id: str) -> Row | None:
    """One wallet; None where there is none, or none of the caller's."""
    of = _wallets.c
    return store.row(select(_wallets).where(of.wallet_id == wallet_id, *scope.where(of.customer_id)))


def grants(store: Store, scope: Scope, *, wallet_id: str, after: Sequence[object] | None, limit: int) -> Page:
    """What was given or bought into a wallet."""
    statement = _of_wallet(select(wallet_grants), scope, wallet_id)
    return page(store, statement, [wallet_grants.c.grant_id], after=after, limit=limit, descending=True)


def grant(store: Store, scope: Scope, *, grant_id: str) -> Row | None:
    """One grant; None where there is none, or none of the caller's."""
    of = wallet_grants.c
    statement = select(wallet_grants).join(_wallets, _wallets.c.wallet_id == of.wallet_id)
    return store.row(statement.where(of.grant_id == grant_id, *scope.where(_wallets.c.customer_id)))


def movements(
    store: Store, scope: Scope, *, wallet_id: str, after: Sequence[object] | None, limit: int
) -> Page:
    """What was taken out of a wallet, and by whom: an invoice, an expiry, an undoing."""
    asked = select(wallet_movements, wallet_grants.c.wallet_id).join(
        wallet_grants, wallet_grants.c.grant_id == wallet_movements.c.grant_id
    )
    statement = _of_wallet(asked, scope, wallet_id)
    keys = [wallet_movements.c.moved_on, wallet_movements.c.movement_id]
    return page(store, statement, keys, after=after, limit=limit, descending=True)


def _of_wallet(statement: Select[Row], scope: Scope, wallet_id: str) -> Select[Row]:
    return statement.join(_wallets, _wallets.c.wallet_id == wallet_grants.c.wallet_id).where(
        wallet_grants.c.wallet_id == wallet_id, *scope.where(_wallets.c.customer_id)
    )


def balance(store: Store, scope: Scope, *, wallet_id: str, on: date) -> Balance | None:
    """What can be drawn from a wallet on a day; None where there is none, or none of the caller's."""
    row = wallet(store, scope, wallet_id=wallet_id)
    if row is None:
        return None
    left = read_by_ids(store, GRANTS, _wallets.c.wallet_id, [wallet_id]).filter(usable(pl.lit(on)))
    ends = (
        left.filter(pl.col("expires_on").is_not_null())
        .group_by("expires_on")
        .agg(pl.col("left_minor").sum())
        .sort("expires_on")
    )
    return Balance(
        wallet_id=wallet_id,
        on=on,
        minor=int(left["left_minor"].sum()),
        currency=row["currency"],
        expiring=tuple(Expiry(day, int(minor)) for day, minor in ends.rows()),
    )


def credit(store: Store, scope: Scope, *, customer_id: str) -> dict[str, int]:
    """What a customer has beside its wallets, of credit notes and of payments applied to nothing, by
    currency; empty for one outside the scope."""
    if not scope.holds(customer_id):
        return {}
    found = open_credit(store, [customer_id]).filter(pl.col("left_minor") > 0)
    sums = found.group_by("currency").agg(pl.col("left_minor").sum()).sort("currency")
    return {str(currency): int(minor) for currency, minor in sums.rows()}


def ledger(
    store: Store, scope: Scope, *, customer_id: str, after: Sequence[object] | None, limit: int
) -> Page:
    """What came into a customer's wallets and credit and what went out, the newest first: `on`, `entry_id`,
    `kind`, `amount_minor` (below 0: out), `currency`, `wallet` (its name; null for credit), and the invoice
    or note it names, `document_id` and `number`.

    `kind`: granted, bought, waiting (bought, and usable once paid), the kinds of movements (draw, expiry,
    revoked, returned), note (credit of one), used (of a note, for an invoice), unused (that undone) and
    refunded.
    """
    of_wallets = [_wallets.c.customer_id == customer_id, *scope.where(_wallets.c.customer_id)]
    of_notes = [credit_notes.c.customer_id == customer_id, *scope.where(credit_notes.c.customer_id)]
    bought = case(
        (wallet_grants.c.invoice_id.is_(None), "granted"),
        (invoices.c.state.in_(("open", "uncollectible")), "waiting"),
        else_="bought",
    )
    into = (
        _entry(
            wallet_grants.c,
            wallet_grants.c.granted_on,
            wallet_grants.c.grant_id,
            bought,
            wallet_grants.c.amount_minor,
            _wallets.c,
            _wallets.c.name,
            invoices.c,
        )
        .join_from(wallet_grants, _wallets, _wallets.c.wallet_id == wallet_grants.c.wallet_id)
        .outerjoin(invoices, invoices.c.invoice_id == wallet_grants.c.invoice_id)
    )
    moved = (
        _entry(
            wallet_movements.c,
            wallet_movements.c.moved_on,
            wallet_movements.c.movement_id,
            wallet_movements.c.kind,
            -wallet_movements.c.amount_minor,
            _wallets.c,
            _wallets.c.name,
            invoices.c,
        )
        .join_from(wallet_movements, wallet_grants, wallet_grants.c.grant_id == wallet_movements.c.grant_id)
        .join(_wallets, _wallets.c.wallet_id == wallet_grants.c.wallet_id)
        .outerjoin(invoices, invoices.c.invoice_id == wallet_movements.c.invoice_id)
    )
    noted = _entry(
        credit_notes.c,
        credit_notes.c.issued_on,
        credit_notes.c.note_id,
        literal("note"),
        credit_notes.c.total_minor,
        credit_notes.c,
        null(),
        credit_notes.c,
    ).where(credit_notes.c.number.is_not(None))
    used = (
        _entry(
            applications.c,
            applications.c.applied_on,
            applications.c.application_id,
            case((applications.c.amount_minor < 0, "unused"), else_="used"),
            -applications.c.amount_minor,
            credit_notes.c,
            null(),
            invoices.c,
        )
        .join_from(applications, credit_notes, credit_notes.c.note_id == applications.c.source_id)
        .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
        .where(applications.c.source_kind == "credit_note")
    )
    paid_back = (
        _entry(
            refunds.c,
            refunds.c.requested_on,
            refunds.c.refund_id,
            literal("refunded"),
            -refunds.c.amount_minor,
            credit_notes.c,
            null(),
            credit_notes.c,
        )
        .join_from(refunds, credit_notes, credit_notes.c.note_id == refunds.c.note_id)
        .where(refunds.c.state != "failed")
    )
    parts = [one.where(*of_wallets) for one in (into, moved)]
    parts += [one.where(*of_notes) for one in (noted, used, paid_back)]
    rows = union_all(*parts).subquery()
    return page(
        store, select(rows), [rows.c.recorded_at, rows.c.entry_id], after=after, limit=limit, descending=True
    )


def _entry(
    of: Any, on: Any, entry_id: Any, kind: Any, amount_minor: Any, owner: Any, wallet: Any, document: Any
) -> Select[Any]:
    """An entry of the ledger, of columns: its own (`of`), those that name the currency (`owner`), those of
    the invoice or note (`document`)."""
    key = document.note_id if "note_id" in document else document.invoice_id
    return select(
        of.recorded_at.label("recorded_at"),
        on.label("on"),
        entry_id.label("entry_id"),
        kind.label("kind"),
        amount_minor.label("amount_minor"),
        owner.currency.label("currency"),
        wallet.label("wallet"),
        key.label("document_id"),
        document.number.label("number"),
    )
