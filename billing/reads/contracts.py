"""Contracts with their terms, their clauses and the rules for goods that run short."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import bindparam, select

from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import (
    contract_clauses,
    contract_stock_rules,
    contract_terms,
    contracts,
    pool_members,
    pool_tiers,
)

_CONTRACTS = select(contracts)


def contracts_of(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    customer_id: str | None = None,
    ends_before: date | None = None,
) -> Page:
    """Contracts, the newest first; with `ends_before` those that run and whose term ends before that day, by
    that end."""
    asked = _CONTRACTS.where(*scope.where(contracts.c.customer_id))
    if customer_id is not None:
        asked = asked.where(contracts.c.customer_id == customer_id)
    if ends_before is None:
        return page(store, asked, [contracts.c.contract_id], after=after, limit=limit, descending=True)
    running = asked.where(contracts.c.ended_on.is_(None), contracts.c.term_end < ends_before)
    return page(store, running, [contracts.c.term_end, contracts.c.contract_id], after=after, limit=limit)


_ONE = _CONTRACTS.where(contracts.c.contract_id == bindparam("id"))


def contract(store: Store, scope: Scope, *, contract_id: str) -> Row | None:
    """One contract; None where there is none in the scope."""
    row = store.row(_ONE, {"id": contract_id})
    return row if row is not None and scope.holds(row["customer_id"]) else None


# Parts of a contract, of which the caller has made sure that it is in the scope.

_TERMS = (
    select(contract_terms)
    .where(contract_terms.c.contract_id == bindparam("id"))
    .order_by(contract_terms.c.term_start)
)
_RULES = (
    select(contract_stock_rules)
    .where(contract_stock_rules.c.contract_id == bindparam("id"))
    .order_by(contract_stock_rules.c.valid_from, contract_stock_rules.c.revision)
)
_CLAUSES = (
    select(contract_clauses)
    .where(contract_clauses.c.contract_id == bindparam("id"))
    .order_by(contract_clauses.c.clause_id)
)
_MEMBERS = (
    select(pool_members.c.clause_id, pool_members.c.kind, pool_members.c.member_id)
    .join(contract_clauses, contract_clauses.c.clause_id == pool_members.c.clause_id)
    .where(contract_clauses.c.contract_id == bindparam("id"))
    .order_by(pool_members.c.clause_id, pool_members.c.kind, pool_members.c.member_id)
)
_TIERS = (
    select(pool_tiers.c.clause_id, pool_tiers.c.up_to, pool_tiers.c.price_id)
    .join(contract_clauses, contract_clauses.c.clause_id == pool_tiers.c.clause_id)
    .where(contract_clauses.c.contract_id == bindparam("id"))
    .order_by(pool_tiers.c.clause_id, pool_tiers.c.position)
)


def terms(store: Store, *, contract_id: str) -> list[Row]:
    """The terms of a contract, by their start."""
    return store.rows(_TERMS, {"id": contract_id})


def stock_rules(store: Store, *, contract_id: str) -> list[Row]:
    """The rules for goods that run short, the last of a day holding from it on."""
    return store.rows(_RULES, {"id": contract_id})


def clauses(store: Store, *, contract_id: str) -> list[Row]:
    """The clauses of a contract, each with the `members` and `tiers` of its pool (none for an index)."""
    members = _by_clause(store.rows(_MEMBERS, {"id": contract_id}))
    tiers = _by_clause(store.rows(_TIERS, {"id": contract_id}))
    return [
        row | {"members": members.get(row["clause_id"], []), "tiers": tiers.get(row["clause_id"], [])}
        for row in store.rows(_CLAUSES, {"id": contract_id})
    ]


def _by_clause(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        clause_id = row["clause_id"]
        part = {name: value for name, value in row.items() if name != "clause_id"}
        found.setdefault(clause_id, []).append(part)
    return found
