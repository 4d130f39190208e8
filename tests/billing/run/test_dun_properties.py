"""After any history of payments and disputes, whatever days the run was made on: the state of a customer is a
function of what it owes, each step is made once, and no message goes out twice."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import date, timedelta

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import at, fee, join, new_store, open_shop, sell, take
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.jobs.dun import dun
from billing.service.transfers import receive_transfer
from billing.store import tables
from billing.store.store import Store

FIRST = date(2025, 2, 10)
DAYS = ((-3, "courtesy"), (3, "reminder_1"), (10, "reminder_2"), (20, "reminder_3"), (30, "final_notice"))
PROPOSED = ((60, "collection"), (90, "write_off"))

ACTS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["invoice", "invoice", "pay", "pay a part", "dispute", "settle", "nothing"]),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)
"""Days since the act before, what is done to which invoice, and whether the run is made on these days."""


def shop() -> Store:
    store = open_shop(new_store(), tax_rate_ppm=0)
    sell(store, "plan", fee("10.00"))
    join(store, "anna", collection="terms")
    take(store, FIRST, "plan", subscription_id="s")
    return store


def act(store: Store, on: date, kind: str, number: int, count: int) -> None:
    """What may not be done now (nothing is open any more) is not done."""
    invoice_id = f"i{number}"
    if kind == "invoice" and number not in range(count):
        row = {
            "invoice_id": invoice_id,
            "number": invoice_id,
            "entity_id": "seller",
            "customer_id": "anna",
            "currency": ("EUR", "USD")[number % 2],
            "collection": "terms",
            "state": "open",
            "issued_on": on,
            "due_on": on + timedelta(days=2),
            "net_minor": 1000,
            "tax_minor": 0,
            "total_minor": 1000,
        }
        store.insert(tables.invoices, [row], at(on))
    elif kind in ("pay", "pay a part"):
        with suppress(BillingError):
            left = open_of(store).get(invoice_id, (None, 0))[1]
            part = left if kind == "pay" else min(left, 400)
            receive_transfer(store, at(on), invoice_id=invoice_id, amount_minor=part)
    elif kind == "dispute" and invoice_id in open_of(store):
        row = {
            "dispute_id": store.new_id("dis"),
            "invoice_id": invoice_id,
            "amount_minor": 600,
            "opened_on": on,
        }
        store.insert(tables.invoice_disputes, [row], at(on))
    elif kind == "settle":
        of = update(tables.invoice_disputes).where(tables.invoice_disputes.c.invoice_id == invoice_id)
        store.execute(of.values(closed_on=on, outcome="rejected"))


def open_of(store: Store) -> dict[str, tuple[date, int]]:
    """The day each invoice fell due and what is open of it, told from its rows."""
    paid: Counter[str] = Counter()
    for row in store.rows(select(tables.applications)):
        paid[row["invoice_id"]] += row["amount_minor"]
    return {
        row["invoice_id"]: (row["due_on"], row["total_minor"] - paid[row["invoice_id"]])
        for row in store.rows(select(tables.invoices))
        if row["total_minor"] > paid[row["invoice_id"]]
    }


def asked_since(store: Store) -> dict[str, date]:
    """By currency, since when money is asked for: the day the oldest fell due that is not all disputed."""
    disputed: Counter[str] = Counter()
    for row in store.rows(select(tables.invoice_disputes)):
        disputed[row["invoice_id"]] += row["amount_minor"] if row["closed_on"] is None else 0
    found: dict[str, date] = {}
    for invoice_id, (due_on, left) in open_of(store).items():
        if left > disputed[invoice_id]:
            currency = ("EUR", "USD")[int(invoice_id[1:]) % 2]
            found[currency] = min(due_on, found.get(currency, due_on))
    return found


def state_of(days: int) -> str:
    for least, state in ((30, "suspended"), (20, "restricted"), (3, "reminded")):
        if days >= least:
            return state
    return "current"


def check(store: Store, on: date) -> None:
    since = {one: due_on for one, due_on in asked_since(store).items() if (on - due_on).days >= -3}
    cases = store.rows(select(tables.dunning_cases).where(tables.dunning_cases.c.closed_on.is_(None)))
    assert {row["currency"]: row["state"] for row in cases} == {
        currency: state_of((on - due_on).days) for currency, due_on in since.items()
    }
    order = ("current", "reminded", "restricted", "suspended")
    worst = max((row["state"] for row in cases), key=order.index, default="current")
    (customer,) = store.rows(select(tables.customers.c.overdue_state))
    assert customer["overdue_state"] == worst
    (subscription,) = store.rows(select(tables.subscriptions.c.status))
    assert subscription["status"] == {"suspended": "suspended", "current": "active"}.get(worst, "past_due")
    steps = store.rows(select(tables.dunning_steps))
    for row in cases:
        kinds = [one["kind"] for one in steps if one["case_id"] == row["case_id"]]
        days = (on - since[row["currency"]]).days
        assert {kind for least, kind in (*DAYS, *PROPOSED) if least <= days} <= set(kinds)
        assert len(kinds) == len(set(kinds))
    sent = Counter((one["case_id"], one["kind"]) for one in steps if one["outcome"] == "sent")
    told = Counter(
        (row["subject_id"], row["topic"].removeprefix("dunning."))
        for row in store.rows(select(tables.outbox))
        if row["topic"] in {f"dunning.{kind}" for _, kind in DAYS}
    )
    assert told == sent
    assert set(told.values()) <= {1}


@settings(examples(5, 24), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
@pytest.mark.usefixtures("each_database")
def test_state_and_steps_are_a_function_of_the_facts(acts: list[tuple[int, str, int, bool]]) -> None:
    store, on, count = shop(), FIRST, 0
    for wait, kind, number, runs in acts:
        for day in range(wait if runs else 0):
            dun(store, at(on + timedelta(days=day), 20))
        on += timedelta(days=wait)
        act(store, on, kind, count if kind == "invoice" else number, count)
        count += kind == "invoice"
        dun(store, at(on, 20))
        check(store, on)
        assert dun(store, at(on, 21)).steps == {}
        check(store, on)
