"""What a bill run leaves when it is killed, doubled, or beset by changes: the same as if it were alone."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from datetime import date
from typing import Any

import polars as pl
import pytest
from faults import KILLS, full_disk, kill_until_done, start
from shop import Part, at, item_of, join, open_shop, parked, run, sell, take, use
from sqlalchemy import func, select, text, update

from billing.jobs.import_usage import import_usage
from billing.service import subscriptions
from billing.store import tables
from billing.store.claims import claim, release
from billing.store.errors import is_of_the_system
from billing.store.store import Store, open_store

CUSTOMERS = max(24, KILLS * 4)
STARTED, BILLED_ON = date(2025, 1, 1), date(2025, 3, 1)
MONTHS = (date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1))

BILL = """
import sys
from datetime import UTC, date, datetime
from billing.jobs.bill_run import bill
from billing.store.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
bill(store, datetime(2025, 3, 1, 20, tzinfo=UTC), up_to=date(2025, 3, 1), chunk_size=2)
"""
CHANGE = """
import sys
from datetime import UTC, datetime
from billing.service.subscriptions import change_quantity
from billing.store.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
for quantity in (9, 4, 7):
    for number in range(int(sys.argv[2])):
        at = datetime(2025, 1, 1, 12, tzinfo=UTC)
        change_quantity(store, at, subscription_id=f"s{number}", quantity=quantity)
"""


@pytest.fixture
def shop(store: Store) -> Store:
    """Customers c0, c1, … with a fee of 10.00, as many seats at 2.50 as their number, and 100 calls at 0.01
    in January and 200 in February."""
    with store.transaction():
        open_shop(store)
        parts = [
            Part("fee", "fee", "10.00"),
            Part("seat", "seat", "2.50", "per_unit"),
            Part("calls", "usage", "0.01", "per_unit"),
        ]
        sell(store, "plan", parts)
        for number in range(CUSTOMERS):
            join(store, f"c{number}")
            take(
                store,
                STARTED,
                "plan",
                f"c{number}",
                quantity=number,
                subscription_id=f"s{number}",
                starts_on=STARTED,
            )
        rows = store.frame(select(tables.items.c.item_id)).with_columns(
            pl.lit("meter").alias("source"), pl.lit("calls").alias("meter_id")
        )
        for on, value in ((date(2025, 1, 9), 100), (date(2025, 2, 9), 200)):
            events = rows.with_columns(
                pl.format("{} {}", pl.col("item_id"), pl.lit(on)).alias("event_id"),
                pl.lit(on).alias("occurred_on"),
                pl.lit(value).alias("value"),
            )
            assert import_usage(store, at(BILLED_ON, 1), events).accepted == CUSTOMERS
    return store


def expected(quantities: dict[int, int] | None = None) -> Counter[tuple[str, str, date, int]]:
    """Each line that has to be there once: customer, component, start of service, net."""
    found: Counter[tuple[str, str, date, int]] = Counter()
    for number in range(CUSTOMERS):
        seats = (quantities or {}).get(number, number)
        for month in MONTHS:
            found[f"c{number}", "plan.1.fee", month, 1000] += 1
            if seats:
                found[f"c{number}", "plan.1.seat", month, 250 * seats] += 1
        found[f"c{number}", "plan.1.calls", MONTHS[0], 100] += 1
        found[f"c{number}", "plan.1.calls", MONTHS[1], 200] += 1
    return found


def posted(store: Store) -> Counter[tuple[str, str, date, int]]:
    table = tables.line_items.c
    asked = (
        select(tables.items.c.customer_id, table.component_id, table.service_start, table.net_minor)
        .join(tables.items, tables.items.c.item_id == table.item_id)
        .where(table.net_minor != 0)
    )
    return Counter(store.frame(asked).rows())


def check_books(store: Store) -> None:
    """What holds at any moment: lines make up their invoices, entries balance, receivables are the open
    invoices, numbers have no gap and no repeat, every document has its entry."""
    invoices = store.frame(select(tables.invoices))
    lines = (
        store.frame(select(tables.line_items))
        .group_by("invoice_id")
        .agg(pl.col("net_minor").sum(), pl.col("tax_minor").sum())
    )
    assert (
        invoices.select("invoice_id", "net_minor", "tax_minor")
        .sort("invoice_id")
        .equals(lines.sort("invoice_id"))
    )
    numbers = sorted(invoices["number"])
    assert numbers == [f"INV-2025-{place:06}" for place in range(1, len(numbers) + 1)]
    entries = store.frame(select(tables.journal_lines))
    debit, credit = pl.col("debit_minor").sum(), pl.col("credit_minor").sum()
    assert (
        entries.group_by("entry_id")
        .agg(debit, credit)
        .filter(pl.col("debit_minor") != pl.col("credit_minor"))
        .is_empty()
    )
    receivable = entries.filter(pl.col("account") == "receivable")
    assert receivable.select(debit - credit).item() == invoices["total_minor"].sum()
    notes = store.rows(select(func.count().label("n")).select_from(tables.credit_notes))[0]["n"]
    applied = store.rows(select(func.count().label("n")).select_from(tables.applications))[0]["n"]
    heads = store.rows(select(func.count().label("n")).select_from(tables.journal_entries))[0]["n"]
    assert heads == invoices.height + notes + applied


def test_a_run_killed_at_any_moment_and_started_again_leaves_no_trace_of_it(
    shop: Store, database_url: str
) -> None:
    def check() -> None:
        check_books(shop)
        assert not posted(shop) - expected()

    if kill_until_done(BILL, database_url, check=check):
        assert posted(shop) == expected()
    run(shop, BILLED_ON, chunk_size=7)
    assert parked(shop) == {}
    assert posted(shop) == expected()
    check_books(shop)
    assert run(shop, BILLED_ON).lines == 0


def test_two_runs_at_once_bill_what_one_would(shop: Store, database_url: str) -> None:
    children = [start(BILL, database_url) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert posted(shop) == expected()
    check_books(shop)
    assert parked(shop) == {}


def test_a_run_beside_live_changes_ends_where_one_after_the_other_would(
    shop: Store, database_url: str
) -> None:
    """Seats are changed on the first day of service, so each ends at whole months of its last quantity."""
    children = [start(CHANGE, database_url, CUSTOMERS), start(BILL, database_url)]
    assert [child.wait() for child in children] == [0, 0]
    run(shop, BILLED_ON)
    net: Counter[tuple[str, str, date]] = Counter()
    for (customer, component, day, minor), times in posted(shop).items():
        net[customer, component, day] += minor * times
    for note in store_notes(shop):
        net[note["customer_id"], note["component_id"], note["service_start"]] -= note["net_minor"]
    wanted: Counter[tuple[str, str, date]] = Counter()
    for (customer, component, day, minor), times in expected(dict.fromkeys(range(CUSTOMERS), 7)).items():
        wanted[customer, component, day] += minor * times
    assert +net == wanted
    check_books_with_credit(shop)
    assert parked(shop) == {}
    assert run(shop, BILLED_ON).lines == 0


def store_notes(store: Store) -> list[dict[str, Any]]:
    line, note = tables.line_items.c, tables.credit_note_lines.c
    return store.rows(
        select(tables.items.c.customer_id, line.component_id, note.service_start, note.net_minor)
        .join(tables.line_items, line.line_id == note.line_id)
        .join(tables.items, tables.items.c.item_id == line.item_id)
    )


def check_books_with_credit(store: Store) -> None:
    entries = store.frame(select(tables.journal_lines))
    sums = entries.group_by("entry_id").agg(pl.col("debit_minor").sum(), pl.col("credit_minor").sum())
    assert sums.filter(pl.col("debit_minor") != pl.col("credit_minor")).is_empty()
    for table in (tables.invoices, tables.credit_notes):
        numbers = sorted(store.frame(select(table.c.number))["number"])
        assert [int(number.rsplit("-", 1)[1]) for number in numbers] == list(range(1, len(numbers) + 1))


def wait_for(thread: threading.Thread) -> None:
    thread.join(60)
    assert not thread.is_alive()


def test_a_run_comes_back_to_customers_that_others_held(shop: Store, database_url: str) -> None:
    """An act and an import hold two customers while the run passes; it bills them when they are free, with
    what they brought."""
    if shop.is_sqlite:
        return
    mark = select(tables.customers.c.customer_id).where(tables.customers.c.customer_id == "c5")
    item = item_of(shop, "s6")

    def bill_all() -> None:
        with open_store(database_url) as other:
            run(other, BILLED_ON, chunk_size=5)

    thread = threading.Thread(target=bill_all)
    with shop.transaction():
        subscriptions.change_quantity(shop, at(STARTED, 12), subscription_id="s5", quantity=8)
        use(shop, BILLED_ON, item, date(2025, 2, 10), 50, "one more")
        thread.start()
        with open_store(database_url) as third:
            others = select(func.count(tables.customers.c.customer_id).label("n")).where(
                tables.customers.c.next_bill_on > BILLED_ON
            )
            for _ in range(600):
                if third.rows(others)[0]["n"] == CUSTOMERS - 2:
                    break
                thread.join(0.1)
            assert third.rows(others)[0]["n"] == CUSTOMERS - 2
        assert thread.is_alive()
        assert shop.row(mark) is not None
    wait_for(thread)
    found = posted(shop)
    assert all(found["c5", "plan.1.seat", month, 250 * 8] == 1 for month in MONTHS)
    assert found["c6", "plan.1.calls", MONTHS[1], 250] == 1
    assert sum(found.values()) == sum(expected().values())
    check_books(shop)


def test_what_an_act_writes_while_a_run_passes_is_not_settled_unseen(shop: Store, database_url: str) -> None:
    """The customer is due already, so the act has no day to move; its row is held all the same."""
    if shop.is_sqlite:
        return
    held = select(tables.customers.c.customer_id).with_for_update(skip_locked=True)
    with shop.transaction():
        subscriptions.change_quantity(shop, at(BILLED_ON, 12), subscription_id="s3", quantity=8)
        with open_store(database_url) as other, other.transaction():
            assert "c3" not in {row["customer_id"] for row in other.rows(held)}


def test_a_customer_that_fails_for_a_reason_nobody_foresaw_is_parked_alone(shop: Store) -> None:
    broken = update(tables.customers).where(tables.customers.c.customer_id == "c3")
    shop.execute(broken.values(time_zone="Nowhere/Land"))
    summary = run(shop, BILLED_ON, chunk_size=10)
    assert summary.parked == 1
    assert parked(shop) == {"c3": "unexpected"}
    assert posted(shop) == Counter({key: n for key, n in expected().items() if key[0] != "c3"})
    check_books(shop)
    mended = update(tables.customers).where(tables.customers.c.customer_id == "c3")
    shop.execute(mended.values(time_zone="UTC", parked_at=None, parked_code=None, parked_detail=None))
    run(shop, BILLED_ON)
    assert posted(shop) == expected()


def states(store: Store) -> list[str]:
    return sorted(row["state"] for row in store.rows(select(tables.billing_runs.c.state)))


STOPPED = """
import os, signal, sys
from datetime import UTC, date, datetime
from billing.jobs.bill_run import bill
from billing.store.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
def stop(done, due):
    os.kill(os.getpid(), signal.SIGSTOP)
bill(store, datetime(2025, 3, 1, 20, tzinfo=UTC), up_to=date(2025, 3, 1), chunk_size=10, progress=stop)
"""


def wait_until_nothing_is_claimed(store: Store) -> None:
    """A server learns a moment later that the process behind a connection was killed."""
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    held = (
        select(func.count().label("held"))
        .select_from(text("pg_locks"))
        .where(text(f"locktype = 'advisory' AND {here}"))
    )
    latest = time.monotonic() + 30
    while not store.is_sqlite and (row := store.row(held)) and row["held"]:
        assert time.monotonic() < latest, "the claim of a killed process is never given up"
        time.sleep(0.02)


def test_a_run_whose_process_is_gone_is_called_interrupted_by_the_next_and_no_other(
    shop: Store, database_url: str
) -> None:
    child = start(STOPPED, database_url)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert states(shop) == ["running"]
    run(shop, date(2025, 1, 1))
    assert states(shop) == ["done", "running"], "it stands still, but lives"
    child.kill()
    child.wait()
    wait_until_nothing_is_claimed(shop)
    run(shop, BILLED_ON)
    assert states(shop) == ["done", "done", "interrupted"]
    assert posted(shop) == expected()


BEGUN = """
import os, signal, sys
from billing.store.claims import claim
from billing.store.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
with store.transaction():
    claim(store, store.new_id("run"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def claim_files(store: Store) -> list[str]:
    return [] if store.path is None else sorted(one.name for one in store.path.parent.glob("*.claim"))


def test_the_claim_of_a_run_killed_before_its_first_commit_goes_with_the_next(
    shop: Store, database_url: str
) -> None:
    start(BEGUN, database_url).wait()
    assert len(claim_files(shop)) == shop.is_sqlite
    run(shop, BILLED_ON)
    assert states(shop) == ["done"]
    assert claim_files(shop) == []


def test_a_run_that_begins_beside_another_keeps_its_claim(shop: Store, database_url: str) -> None:
    def bill_all() -> None:
        with open_store(database_url) as third:
            run(third, BILLED_ON)

    thread = threading.Thread(target=bill_all)
    with open_store(database_url) as other:
        with other.transaction():
            name = other.new_id("run")
            assert claim(other, name)
            thread.start()
            thread.join(0.3)
            row = {"run_id": name, "up_to": BILLED_ON, "mode": "bill", "state": "running"}
            other.insert(tables.billing_runs, [row | {"started_at": at(BILLED_ON)}], at(BILLED_ON))
        wait_for(thread)
        assert states(shop) == ["done", "running"]
        assert not claim(shop, name)
        run(shop, date(2025, 4, 1))
        assert states(shop) == ["done", "done", "running"]
        release(other, name)
    assert claim_files(shop) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_ends_by_an_error_has_failed_and_claims_nothing(
    shop: Store, error: type[BaseException]
) -> None:
    def give_up(done: int, due: int) -> None:
        raise error("no more")

    with pytest.raises(error):
        run(shop, BILLED_ON, chunk_size=10, progress=give_up)
    assert states(shop) == ["failed"]
    assert claim_files(shop) == []
    run(shop, BILLED_ON)
    assert states(shop) == ["done", "failed"]


@pytest.mark.parametrize("room", [0, 5, 30])
def test_a_run_stops_where_the_disk_is_full_and_the_next_goes_on(shop: Store, room: int) -> None:
    """No customer is to blame, so none is parked."""
    with full_disk(shop, "line_items", room), pytest.raises(Exception, match="disk") as stopped:
        run(shop, BILLED_ON, chunk_size=3)
    assert is_of_the_system(stopped.value)
    assert parked(shop) == {}
    check_books(shop)
    assert not posted(shop) - expected()
    assert run(shop, BILLED_ON).parked == 0
    assert posted(shop) == expected()
    check_books(shop)
    assert claim_files(shop) == []


def test_where_every_customer_fails_each_is_tried_alone_about_once(shop: Store) -> None:
    """A draft asks as many statements for many customers as for one, up to what it finds."""
    shop.execute(update(tables.customers).values(time_zone="Nowhere/Land"))
    before = shop.statements
    run(shop, BILLED_ON, chunk_size=1)
    alone = (shop.statements - before) / CUSTOMERS
    assert set(parked(shop).values()) == {"unexpected"}
    mended = {"parked_at": None, "parked_code": None, "parked_detail": None}
    shop.execute(update(tables.customers).values(mended))
    before = shop.statements
    summary = run(shop, BILLED_ON, chunk_size=CUSTOMERS)
    assert summary.parked == summary.customers == CUSTOMERS
    # Each once, and one draft for every halving down to the first.
    assert shop.statements - before < alone * (CUSTOMERS + math.log2(CUSTOMERS) + 2)


def test_the_fault_of_a_few_is_found_by_halving(shop: Store) -> None:
    faulty = {"c1", "c2", "c3", "c7", "c20"}
    is_faulty = tables.customers.c.customer_id.in_(faulty)
    shop.execute(update(tables.customers).where(is_faulty).values(time_zone="Nowhere/Land"))
    summary = run(shop, BILLED_ON, chunk_size=CUSTOMERS)
    assert (summary.customers, summary.parked) == (CUSTOMERS, len(faulty))
    assert set(parked(shop)) == faulty
    assert posted(shop) == Counter({key: n for key, n in expected().items() if key[0] not in faulty})
