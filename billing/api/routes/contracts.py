"""Contracts: their terms and clauses, notice and renewal, and what the next term would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import merchants
from billing.api.route import REHEARSED, Paging, Routes
from billing.api.routes.subscriptions import IfPreview, done
from billing.api.shapes.base import Day, Id
from billing.api.shapes.contracts import (
    Clause,
    Contract,
    NewIndexClause,
    NewPool,
    RenewalQuote,
    Steps,
    StockRule,
    clause_shown,
    contract_shown,
    quote_shown,
)
from billing.api.shapes.subscriptions import GiveNotice
from billing.core.money import BillingError
from billing.reads import contracts as reads
from billing.reads.page import Page
from billing.service.contracts import accept_renewal
from billing.service.index_clauses import add_index_clause, preview_index
from billing.service.pools import agree_pool
from billing.service.renewal_quotes import quote_renewal
from billing.service.stock import agree_to_substitutes, set_stock_rule
from billing.store.store import Row, Store
from billing.web.as_json import members
from billing.web.context import Context

routes = Routes("Contracts", "contracts")
_PARTS = ("clauses", "terms", "stock_rules")


@routes.get("/contracts", answer=Contract, is_list=True)
def contracts(
    context: Context, paging: Paging, customer_id: Id | None = None, ends_before: Day | None = None
) -> Page:
    """Contracts, the newest first; with `ends_before` those that run and whose term ends before that day, by
    that end."""
    with context.looking() as store:
        found = reads.contracts_of(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            ends_before=ends_before,
        )
    return Page([contract_shown(row) for row in found.rows], found.after)


@routes.get("/contracts/{contract_id}", answer=Contract, subject="unknown_contract", expands=_PARTS)
def contract(context: Context, contract_id: Id) -> dict[str, Any] | None:
    """One contract."""
    with context.looking() as store:
        row = reads.contract(store, context.scope, contract_id=contract_id)
        return None if row is None else _with_parts(store, row, context.expand)


def _with_parts(store: Store, row: Row, wanted: frozenset[str]) -> dict[str, Any]:
    shown, contract_id = contract_shown(row), row["contract_id"]
    if "clauses" in wanted:
        found = reads.clauses(store, contract_id=contract_id)
        shown["clauses"] = [clause_shown(one) for one in found]
    if "terms" in wanted:
        shown["terms"] = reads.terms(store, contract_id=contract_id)
    if "stock_rules" in wanted:
        shown["stock_rules"] = reads.stock_rules(store, contract_id=contract_id)
    return shown


@routes.get(
    "/contracts/{contract_id}/renewal-quote",
    answer=RenewalQuote,
    subject="unknown_contract",
    responses=REHEARSED,
)
def renewal_quote(context: Context, contract_id: Id) -> dict[str, Any]:
    """What the next term would cost if the contract were renewed as it is, at the prices known now."""
    _known(context, contract_id)
    with context.rehearsing() as (store, at):
        return quote_shown(quote_renewal(store, at, contract_id=contract_id))


@routes.get(
    "/contracts/{contract_id}/index-preview", answer=Steps, subject="unknown_contract", responses=REHEARSED
)
def index_preview(context: Context, contract_id: Id) -> dict[str, Any]:
    """The steps of its index clauses that are due, and the prices they would make."""
    _known(context, contract_id)
    with context.rehearsing() as (store, at):
        steps = preview_index(store, at, contract_id=contract_id)
    return {"object": "index_preview", "contract_id": contract_id, "data": [members(one) for one in steps]}


def _known(context: Context, contract_id: str) -> Row:
    """The contract. Raises `unknown_contract` where there is none in the scope."""
    scope = context.scope
    with context.looking() as store:
        row = reads.contract(store, scope, contract_id=contract_id)
    if row is None:
        raise BillingError("unknown_contract", contract_id)
    return row


# Notice and renewal.

_NO_REASON = GiveNotice()


@routes.post("/contracts/{contract_id}/notice", answer=Contract, subject="unknown_contract")
def give_notice(
    context: Context, contract_id: Id, body: GiveNotice = _NO_REASON, if_preview: IfPreview = None
) -> Act:
    """The customer will not renew: the contract's subscriptions end with the running term."""
    return _tried(context, "give_notice", contract_id, body.given(), if_preview)


@routes.post("/contracts/{contract_id}/renew-ahead", answer=Contract, subject="unknown_contract")
def renew_ahead(context: Context, contract_id: Id, if_preview: IfPreview = None) -> Act:
    """Add the next term before the running one is over."""
    return _tried(context, "renew_ahead", contract_id, {}, if_preview)


def _tried(
    context: Context, name: str, contract_id: str, given: Mapping[str, Any], if_preview: str | None
) -> Act:
    """An act that may be previewed; the contract after it."""
    return done(
        context,
        name,
        {"contract_id": contract_id, **given},
        lambda store, _at, _answer: _after(context, store, contract_id),
        if_preview,
        current=lambda store: _after(context, store, contract_id),
    )


@routes.post("/contracts/{contract_id}/accept-renewal", answer=Contract, subject="unknown_contract")
def accept(context: Context, contract_id: Id) -> Act:
    """The customer agrees to one more term of a contract that does not renew by itself."""
    return _act(context, contract_id, accept_renewal)


@routes.post("/contracts/{contract_id}/agree-to-substitutes", answer=Contract, subject="unknown_contract")
def take_substitutes(context: Context, contract_id: Id) -> Act:
    """The customer takes the successor of goods that run short, at the lower of both prices."""
    return _act(context, contract_id, agree_to_substitutes)


# What the merchant agrees to.


@routes.post(
    "/contracts/{contract_id}/stock-rule",
    answer=Contract,
    subject="unknown_contract",
    scope="contracts:admin",
)
def set_rule(context: Context, contract_id: Id, body: StockRule) -> Act:
    """What is billed when goods of the contract run short."""
    merchants(context)
    return _act(context, contract_id, set_stock_rule, **body.given())


@routes.post(
    "/contracts/{contract_id}/index-clauses",
    answer=Clause,
    subject="unknown_contract",
    scope="contracts:admin",
    status=201,
)
def add_index(context: Context, contract_id: Id, body: NewIndexClause) -> Act:
    """Let the contract's prices follow an index."""
    merchants(context)
    return _clause(context, contract_id, add_index_clause, **body.given())


@routes.post(
    "/contracts/{contract_id}/pools",
    answer=Clause,
    subject="unknown_contract",
    scope="contracts:admin",
    status=201,
)
def add_pool(context: Context, contract_id: Id, body: NewPool) -> Act:
    """Price goods and usage by what the contract's customer tree takes together."""
    merchants(context)
    given = body.given() | {"tiers": [one.tier() for one in body.tiers]}
    return _clause(context, contract_id, agree_pool, **given)


def _act(context: Context, contract_id: str, act: Callable[..., object], **arguments: Any) -> Act:
    """An act on a contract; the contract after it."""

    def work(store: Store, at: datetime) -> object:
        act(store, at, contract_id=contract_id, **arguments)
        return _after(context, store, contract_id)

    customer_id = _known(context, contract_id)["customer_id"]
    return Act(work, holds=(customer_id,), current=lambda store: _after(context, store, contract_id))


def _clause(context: Context, contract_id: str, act: Callable[..., str], **arguments: Any) -> Act:
    """An act that adds a clause to a contract; the clause."""

    def work(store: Store, at: datetime) -> object:
        clause_id = act(store, at, contract_id=contract_id, **arguments)
        found = reads.clauses(store, contract_id=contract_id)
        return next(clause_shown(one) for one in found if one["clause_id"] == clause_id)

    customer_id = _known(context, contract_id)["customer_id"]
    return Act(work, holds=(customer_id,), status=201)


def _after(context: Context, store: Store, contract_id: str) -> dict[str, Any]:
    row = reads.contract(store, context.scope, contract_id=contract_id)
    assert row is not None
    return contract_shown(row)
