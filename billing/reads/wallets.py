"""Wallets: what is in them, what was put in and what was taken out, as a caller may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
from sqlalchemy import Select, select

from billing.jobs.bill_facts import read_by_ids
from billing.jobs.wallets import GRANTS, usable
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import wallet_grants, wallet_movements
from billing.store.tables import wallets as _wallets


@dataclass(frozen=True, slots=True)
class Expiry:
    """What of a wallet's balance can be used no more from a day on."""

    expires_on: date
    minor: int


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
