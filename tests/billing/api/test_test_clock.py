"""The clock of a company for trying: set ahead, it lives through every day as a company would have."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from calling import api_of, caller, new_key
from small_offer import FIRST, open_offer
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.service.catalog import add_tax_rate
from billing.service.contracts import renew_due
from billing.service.customers import add_payment_method, create_customer
from billing.service.subscriptions import NewContract, subscribe
from billing.service.test_clock import advance, clock_of, set_clock
from billing.store import tables
from billing.store.audit import entries
from billing.store.store import Store, open_store
from billing.web.clock import SetClock
from billing.web.context import now
from billing.web.stores import Stores

TARGET = datetime(2025, 3, 2, 14, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


class Gateway(SimulatedGateway):
    """Declines boris from February on, and kills whoever asks for its charge number `kills_at`."""

    def __init__(self, kills_at: int = 0) -> None:
        super().__init__()
        self.plan("boris", "insufficient_funds", from_on=date(2025, 2, 1))
        self.kills_at, self.asked = kills_at, 0

    def charge(self, charge: Charge) -> Answer:
        self.asked += 1
        if self.asked == self.kills_at:
            raise Killed
        return super().charge(charge)


def open_company(store: Store) -> None:
    """anna and boris on basic at 15.00 a month from the first of January 2025, paid by card; carl on terms,
    whose contract ends with February."""
    open_offer(store)
    add_tax_rate(store, FIRST, country="DE", tax_rate_ppm=0, valid_from=date(2020, 1, 1))
    for customer_id in ("anna", "boris", "carl"):
        create_customer(
            store,
            FIRST,
            customer_id=customer_id,
            name=customer_id.title(),
            entity_id="seller",
            currency="EUR",
            country="DE",
            collection="terms" if customer_id == "carl" else "automatic",
        )
        if customer_id != "carl":
            add_payment_method(store, FIRST, customer_id=customer_id, gateway_ref=f"card-{customer_id}")
        contract = NewContract(term="P2M", auto_renew=False) if customer_id == "carl" else None
        subscribe(
            store,
            FIRST,
            customer_id=customer_id,
            plan_id="basic",
            subscription_id=f"of-{customer_id}",
            contract=contract,
        )


def keep_going(url: str, stops: threading.Event) -> None:
    """What lets time pass beside the API."""
    with open_store(url) as store:
        while not stops.wait(0.05):
            advance(store, Gateway())


def happened(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """What became of everybody, without ids and instants at which it was written."""
    wanted = {
        tables.invoices: ("customer_id", "issued_on", "due_on", "total_minor", "state", "number"),
        tables.payments: ("customer_id", "amount_minor", "state", "attempt", "next_attempt_at"),
        tables.subscriptions: ("sold_to", "status", "ends_on", "cancel_reason"),
        tables.dunning_cases: ("customer_id", "track", "opened_on", "closed_as", "state"),
    }
    return {
        table.name: sorted((tuple(row[name] for name in names) for row in store.rows(select(table))), key=str)
        for table, names in wanted.items()
    }


def lived_daily(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """The same days as somebody lives them who calls each job by hand."""
    gateway = Gateway()
    for number in range((TARGET.date() - FIRST.date()).days + 1):
        midnight = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)
        if number:
            renew_due(store, midnight + timedelta(hours=8))
        bill(store, midnight + timedelta(hours=10), up_to=midnight.date())
        collect(store, gateway, midnight + timedelta(hours=11))
        dun(store, midnight + timedelta(hours=12))
    return happened(store)


def test_each_day_is_lived_through_as_by_a_company_that_works_daily(
    both_stores: tuple[Store, Store],
) -> None:
    by_clock, by_hand = both_stores
    for store in both_stores:
        open_company(store)
    set_clock(by_clock, FIRST, to=TARGET)
    assert advance(by_clock, Gateway()) == 4 + 6 * 60
    lived = happened(by_clock)
    assert lived == lived_daily(by_hand)
    months = [date(2025, month, 1) for month in (1, 2, 3)]
    of_anna = [row for row in lived["invoices"] if row[0] == "anna"]
    assert [(row[1], row[3], row[4]) for row in of_anna] == [(month, 1500, "paid") for month in months]
    assert [row[4] for row in lived["invoices"] if row[0] == "boris"][:2] == ["paid", "open"]
    assert ("carl", "canceled", date(2025, 3, 1), "term_ended") in lived["subscriptions"]
    assert clock_of(by_clock) == (TARGET, None)
    assert advance(by_clock, Gateway()) == 0
    entry = next(entries(by_clock, act="advance_clock"))
    assert (entry["act"], entry["outcome"], entry["happened_at"]) == ("advance_clock", "done", FIRST)


def test_one_that_is_killed_goes_on_where_it_was(both_stores: tuple[Store, Store]) -> None:
    killed, whole = both_stores
    for store in both_stores:
        open_company(store)
        set_clock(store, FIRST, to=TARGET)
    advance(whole, Gateway())
    gateway = Gateway()
    for kills_at in (2, 5):
        gateway.kills_at = kills_at
        with pytest.raises(Killed):
            advance(killed, gateway)
        clock = clock_of(killed)
        assert clock is not None
        assert FIRST < clock.now_at < TARGET
        assert clock.target_at == TARGET
    stops_after = iter([False] * 7 + [True])
    assert advance(killed, gateway, until=lambda: next(stops_after)) == 7
    gateway.kills_at = 0
    advance(killed, gateway)
    assert happened(killed) == happened(whole)


def test_time_goes_forward_alone_and_not_too_far(sqlite_store: Store) -> None:
    def refused(to: datetime) -> str:
        with pytest.raises(BillingError) as caught:
            set_clock(sqlite_store, FIRST, to=to)
        return caught.value.code

    second = timedelta(seconds=1)
    assert refused(FIRST - second) == "bad_time"
    assert refused(FIRST + timedelta(days=731) + second) == "bad_time"
    assert refused(datetime(2025, 6, 1)) == "naive_time"  # noqa: DTZ001
    set_clock(sqlite_store, FIRST, to=FIRST)
    assert clock_of(sqlite_store) == (FIRST, None)
    set_clock(sqlite_store, FIRST, to=FIRST + second)
    assert refused(FIRST + 2 * second) == "illegal_transition"
    assert advance(sqlite_store, SimulatedGateway()) == 0
    # What time it is now counts, and not what the caller takes it for.
    assert refused(FIRST) == "bad_time"
    set_clock(sqlite_store, FIRST, to=FIRST + second + timedelta(days=731))


def test_a_live_company_has_no_clock(sqlite_store: Store) -> None:
    open_company(sqlite_store)
    assert sqlite_store.path is not None
    with api_of(f"sqlite:///{sqlite_store.path}") as app:
        client = caller(app, new_key(sqlite_store))
        answers = (
            client.get("/v1/test-clock"),
            client.put("/v1/test-clock", json={"now": "2030-01-01T00:00:00Z"}),
        )
        assert [(one.status_code, one.json()["code"]) for one in answers] == [(404, "not_found")] * 2
        assert "/v1/test-clock" not in app.openapi()["paths"]


def test_the_clock_is_set_through_the_api_and_the_days_follow(store: Store, database_url: str) -> None:
    open_company(store)
    set_clock(store, FIRST, to=FIRST)
    stores = Stores(database_url, size=2)
    with api_of(database_url, clock=SetClock(stores), mode="test") as app:
        client = caller(app, new_key(store, mode="test"))
        before = client.get("/v1/test-clock").json()
        assert (before["now_at"], before["state"]) == ("2025-01-01T08:00:00Z", "ready")
        of_anna = caller(app, new_key(store, mode="test", customer_id="anna"))
        assert of_anna.put("/v1/test-clock", json={"now": "2025-01-02T00:00:00Z"}).status_code == 403
        for wrong in ("2024-12-31T00:00:00Z", "2027-01-03T00:00:00Z"):
            refused = client.put("/v1/test-clock", json={"now": wrong})
            assert (refused.status_code, refused.json()["field"]) == (422, "now")
        told = client.put("/v1/test-clock", json={"now": "2025-02-03T14:00:00+02:00"})
        assert (told.status_code, told.json()["state"]) == (202, "advancing")
        assert told.json()["target_at"] == "2025-02-03T12:00:00Z"
        again = client.put("/v1/test-clock", json={"now": "2025-02-04T00:00:00Z"})
        assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
        stops = threading.Event()
        worker = threading.Thread(target=keep_going, args=(database_url, stops))
        worker.start()
        deadline = time.monotonic() + 60
        while client.get("/v1/test-clock").json()["state"] != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stops.set()
        worker.join()
        new = {"name": "Dora", "entity_id": "seller", "currency": "EUR", "country": "DE"}
        made = client.post("/v1/customers", json=new).json()
        assert (made["created_on"], made["recorded_at"]) == ("2025-02-03", "2025-02-03T12:00:00Z")
    stores.close()
    assert [row[1] for row in happened(store)["invoices"] if row[0] == "anna"] == [
        date(2025, 1, 1),
        date(2025, 2, 1),
    ]


def test_without_a_clock_of_its_own_time_is_that_of_the_world(sqlite_store: Store) -> None:
    stores = Stores(f"sqlite:///{sqlite_store.path}", size=1)
    assert abs(SetClock(stores)() - now()) < timedelta(seconds=5)
    stores.close()
