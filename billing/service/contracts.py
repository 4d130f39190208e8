"""Acts on contracts: notice, renewal, the end of a term.

A contract is the framework above subscriptions: its term, its renewal, its notice. What an act means for the
subscriptions under it is written as dated versions, like any other change of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlalchemy import bindparam, select

from billing.core.calendar import boundary, parse_interval
from billing.core.money import BillingError
from billing.core.subscription import Edit, ItemVersion, Subscription
from billing.service.acts import act, announce
from billing.service.catalog import plan_version
from billing.service.pools import mark_pools_of_contract
from billing.service.prices import price_plan
from billing.service.subscriptions import as_date, cancel, change_item, save_changes, with_prices
from billing.service.terms import with_moved_term
from billing.store.store import Row, Store
from billing.store.subscriptions import Standing, read_standing
from billing.store.tables import contract_terms, contracts, subscriptions


@dataclass(frozen=True, slots=True)
class Renewals:
    """What `renew_due` did: contracts that run on, and those that ended."""

    renewed: tuple[str, ...]
    ended: tuple[str, ...]


@act
def give_notice(store: Store, at: datetime, *, contract_id: str, reason: str = "other") -> list[Subscription]:
    """The customer will not renew: the contract's subscriptions end with the running term.

    Raises `unknown_contract`, `illegal_transition` when notice is late (`notice_days` before the term ends)
    or the renewal was accepted.
    """
    row, live = _running(store, at, contract_id)
    if row["renewal_accepted_on"] is not None:
        raise BillingError("illegal_transition", f"the renewal of {contract_id} was accepted")
    deadline = as_date(row["term_end"]) - timedelta(days=row["notice_days"])
    if live[0].today > deadline:
        raise BillingError("illegal_transition", f"notice of {contract_id} was due by {deadline}")
    store.update(contracts, [{"contract_id": contract_id, "notice_given_on": live[0].today}], at)
    announce(store, at, "contract.notice_given", contract_id, {"on": live[0].today})
    return [
        cancel(
            store,
            at,
            subscription_id=one.subscription.subscription_id,
            when=as_date(row["term_end"]),
            reason=reason,
        )
        for one in live
    ]


def _running(store: Store, at: datetime, contract_id: str) -> tuple[Row, list[Standing]]:
    """A contract and its live subscriptions. Raises `unknown_contract`, `illegal_transition` for none."""
    row = store.row(select(contracts).where(contracts.c.contract_id == contract_id))
    if row is None:
        raise BillingError("unknown_contract", contract_id)
    found = _subscriptions_of(store, contract_id)
    standings = [read_standing(store, at, subscription_id) for subscription_id in found]
    live = [one for one in standings if not one.subscription.is_canceled(one.today)]
    if not live or row["ended_on"] is not None:
        raise BillingError("illegal_transition", f"{contract_id} has no running subscription")
    return row, live


@act
def accept_renewal(store: Store, at: datetime, *, contract_id: str) -> None:
    """The customer agrees to one more term of a contract that does not renew by itself.

    `renew_due` adds it when the running term is over. Raises `unknown_contract`, `illegal_transition` after
    notice, after the term, or where it was accepted already.
    """
    row, live = _running(store, at, contract_id)
    today = live[0].today
    if row["notice_given_on"] is not None or row["renewal_accepted_on"] is not None:
        raise BillingError("illegal_transition", f"{contract_id} has notice, or its renewal was accepted")
    if today >= row["term_end"]:
        raise BillingError("illegal_transition", f"the term of {contract_id} ended on {row['term_end']}")
    store.update(contracts, [{"contract_id": contract_id, "renewal_accepted_on": today}], at)
    announce(store, at, "contract.renewal_accepted", contract_id, {"on": today})


_DUE_CONTRACTS = (
    select(contracts)
    .where(contracts.c.ended_on.is_(None), contracts.c.term_end <= bindparam("on"))
    .order_by(contracts.c.contract_id)
)


@act
def renew_due(store: Store, at: datetime) -> Renewals:
    """Renew or end every contract whose term is over. Call it daily; a second call does nothing.

    With auto_renew and without notice, or once for each `accept_renewal`, the term is added again and each
    item gets a version at the price list of that day (reason `renewal`); otherwise its subscriptions end with
    the term, reason `term_ended` unless the customer gave one. A pause that lengthens the term keeps it open.
    """
    renewed, ended = [], []
    last_zone = at.date() + timedelta(days=1)
    for row in store.rows(_DUE_CONTRACTS, {"on": last_zone}):
        ids = _subscriptions_of(store, row["contract_id"])
        standings = [read_standing(store, at, subscription_id) for subscription_id in ids]
        today = standings[0].today if standings else at.date()
        if row["pause_extends_term"]:
            standings = [_with_moved_term(store, at, one) for one in standings]
            row = store.row(select(contracts).where(contracts.c.contract_id == row["contract_id"])) or row
        if today < row["term_end"]:
            continue
        live = [one for one in standings if _runs_past(one.subscription, as_date(row["term_end"]))]
        goes_on = row["auto_renew"] or row["renewal_accepted_on"] is not None
        if goes_on and row["notice_given_on"] is None and live:
            _renew(store, at, row, live)
            renewed.append(str(row["contract_id"]))
        else:
            _end_contract(store, at, row, live)
            ended.append(str(row["contract_id"]))
    return Renewals(tuple(renewed), tuple(ended))


@act
def renew_ahead(store: Store, at: datetime, *, contract_id: str) -> None:
    """Add the next term of a contract before the running one is over, as `renew_due` would on its last day.

    Raises `unknown_contract`, `no_price`, `illegal_transition` after notice, after the term, and where no
    subscription goes on past it.
    """
    row, live = _running(store, at, contract_id)
    if row["notice_given_on"] is not None or live[0].today >= row["term_end"]:
        raise BillingError("illegal_transition", f"{contract_id} has notice, or its term is over")
    going_on = [one for one in live if _runs_past(one.subscription, as_date(row["term_end"]))]
    if not going_on:
        raise BillingError("illegal_transition", f"no subscription of {contract_id} goes on past its term")
    _renew(store, at, row, going_on)


def _with_moved_term(store: Store, at: datetime, standing: Standing) -> Standing:
    moved = with_moved_term(store, at, standing.subscription, standing.today)
    if moved.ends_on != standing.subscription.ends_on:
        facts = {"ends_on": moved.ends_on}
        save_changes(store, at, standing, [], "subscription.end_moved", facts, after=moved)
    return replace(standing, subscription=moved)


def _runs_past(subscription: Subscription, on: date) -> bool:
    return subscription.ends_on is None or subscription.ends_on > on


def _renew(store: Store, at: datetime, row: Row, live: Sequence[Standing]) -> None:
    start, today = as_date(row["term_end"]), live[0].today
    length = parse_interval(row["term"])
    terms = [(start, boundary(start, length, 1))]
    while row["auto_renew"] and terms[-1][1] <= today:
        terms.append((terms[-1][1], boundary(start, length, len(terms) + 1)))
    accepted_on = row["renewal_accepted_on"]
    store.insert(
        contract_terms,
        [
            {
                "contract_id": row["contract_id"],
                "term_start": term_start,
                "term_end": term_end,
                "accepted_on": accepted_on if term_start == start else None,
            }
            for term_start, term_end in terms
        ],
        at,
    )
    change = {
        "contract_id": row["contract_id"],
        "term_start": terms[-1][0],
        "term_end": terms[-1][1],
        "agreed_end": None,
        "renewal_accepted_on": None,
    }
    store.update(contracts, [change], at)
    for standing in live:
        changes = [
            change_item(
                store, item, start, None, at_prices_of(store, at, standing, start), "renewal", is_new=True
            )
            for item in standing.subscription.open_items(start)
        ]
        facts = {"contract_id": row["contract_id"], "term_start": terms[-1][0], "term_end": terms[-1][1]}
        save_changes(store, at, standing, changes, "subscription.renewed", facts)


def at_prices_of(store: Store, at: datetime, standing: Standing, on: date) -> Edit:
    """An edit that puts a version at the prices of a day; its plan version stays."""
    subscription, customer = standing.subscription, standing.customer
    currency = str(customer["currency"])

    def edit(version: ItemVersion) -> ItemVersion:
        offer = price_plan(
            store,
            at,
            plan_version(store, version.plan_id, version.plan_version),
            currency=currency,
            on=on,
            customer_id=subscription.sold_to,
            group_id=customer["group_id"],
            contract_id=subscription.contract_id,
            quantity=version.quantity,
        )
        return with_prices(version, offer, currency)

    return edit


def _end_contract(store: Store, at: datetime, row: Row, live: Sequence[Standing]) -> None:
    store.update(contracts, [{"contract_id": row["contract_id"], "ended_on": row["term_end"]}], at)
    announce(store, at, "contract.ended", row["contract_id"], {"on": row["term_end"]})
    mark_pools_of_contract(store, at, str(row["contract_id"]), as_date(row["term_end"]))
    for standing in live:
        ended = replace(
            standing.subscription,
            ends_on=row["term_end"],
            cancel_requested_on=row["notice_given_on"] or row["term_end"],
            cancel_reason=standing.subscription.cancel_reason or "term_ended",
            was_in_dunning=standing.is_in_dunning,
        )
        facts = {"ends_on": ended.ends_on, "reason": ended.cancel_reason}
        save_changes(store, at, standing, [], "subscription.canceled", facts, after=ended)


_OF_CONTRACT = (
    select(subscriptions.c.subscription_id)
    .where(subscriptions.c.contract_id == bindparam("id"))
    .order_by(subscriptions.c.subscription_id)
)


def _subscriptions_of(store: Store, contract_id: str) -> list[str]:
    return [row["subscription_id"] for row in store.rows(_OF_CONTRACT, {"id": contract_id})]
