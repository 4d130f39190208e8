"""A dry run of a job leaves every table as it was, and tells exactly what the job then does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import polars as pl
import pytest
from shop import (
    OPENED,
    Part,
    at,
    fee,
    item_of,
    join,
    new_store,
    new_url,
    open_shop,
    run,
    sell,
    sell_alone,
    take,
)
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.assumed import AssumedGateway, AssumedStock
from billing.gateways.gateway import Answer, Charge
from billing.gateways.simulated import SimulatedGateway
from billing.gateways.simulated_stock import SimulatedStock
from billing.jobs.allocate import allocate
from billing.jobs.collect import collect
from billing.jobs.dry_run import DryRun, dry_run
from billing.jobs.dun import dun
from billing.jobs.give_back import give_back
from billing.jobs.import_usage import import_usage, retry_rejected
from billing.jobs.match_transfers import import_transfers
from billing.jobs.retry import retry
from billing.jobs.wallets import expire_grants
from billing.service import catalog, subscriptions
from billing.service.contracts import renew_due
from billing.service.customers import add_payment_method
from billing.service.goods import create_sku
from billing.service.migration import import_subscriptions
from billing.service.periods import lock_period
from billing.service.subscriptions import NewContract
from billing.service.wallets import grant, open_wallet
from billing.store import tables
from billing.store.claims import claim, release
from billing.store.store import Store, open_store

START = date(2025, 1, 1)
FEBRUARY = date(2025, 2, 1)
Job = Callable[[Store], Any]


@pytest.fixture
def store(each_database: str) -> Iterator[Store]:
    store = new_store()
    open_shop(store)
    sell(store, "basic", fee("10.00"))
    yield store
    assert not store.is_in_transaction


# What is compared.

Tables = dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]


def content(store: Store) -> Tables:
    """Every row of every table by its key, as the driver gives it."""
    found: Tables = {}
    for name, table in tables.metadata.tables.items():
        cursor = store._cursor()
        cursor.execute(f"SELECT * FROM {name}")
        places = {column[0]: place for place, column in enumerate(cursor.description)}
        key = [places[column.name] for column in table.primary_key]
        found[name] = {tuple(row[place] for place in key): tuple(row) for row in cursor.fetchall()}
        cursor.close()
    return found


def rows_between(before: Tables, after: Tables) -> list[tuple[str, int, int]]:
    """Of each table that differs, how many rows are new and how many have other values."""
    found = []
    for name, rows in after.items():
        assert before[name].keys() <= rows.keys(), f"{name} lost rows"
        added = len(rows) - len(before[name])
        changed = sum(row != rows[key] for key, row in before[name].items())
        if added or changed:
            found.append((name, added, changed))
    return sorted(found)


def postings_between(store: Store, before: Tables) -> list[tuple[Any, ...]]:
    """What the new journal entries post, by seller, currency and account."""
    lines, entries = tables.journal_lines, tables.journal_entries
    posted = store.frame(
        select(lines, entries.c.entity_id).join(entries, entries.c.entry_id == lines.c.entry_id)
    )
    known = [entry_id for (entry_id,) in before["journal_entries"]]
    by = ["entity_id", "currency", "account"]
    new = posted.filter(~pl.col("entry_id").is_in(known))
    return new.group_by(by).agg(pl.col("debit_minor", "credit_minor").sum()).sort(by).rows()


def documents_between(store: Store, before: Tables) -> list[tuple[Any, ...]]:
    found = []
    for kind, table in (("credit_note", tables.credit_notes), ("invoice", tables.invoices)):
        key = next(iter(table.primary_key)).name
        rows = store.frame(select(table)).filter(
            ~pl.col(key).is_in([one for (one,) in before[table.name]]), pl.col("number").is_not_null()
        )
        for (entity_id, currency), some in rows.group_by("entity_id", "currency"):
            sums = [int(some[name].sum()) for name in ("net_minor", "tax_minor", "total_minor")]
            found.append((kind, entity_id, currency, some.height, *sums))
    return sorted(found)


def rehearsed(store: Store, job: Job) -> DryRun:
    """What a dry run tells; it leaves no trace."""
    return _rehearsed(store, job, content(store))


def _rehearsed(store: Store, job: Job, before: Tables) -> DryRun:
    with dry_run(store) as found:
        job(store)
    assert content(store) == before
    assert not store.claimed
    return found


def check(store: Store, job: Job, real: Job | None = None) -> DryRun:
    """A dry run, then the job itself, which does what the dry run told."""
    before = content(store)
    told = _rehearsed(store, job, before)
    (real or job)(store)
    assert told.rows.rows() == rows_between(before, content(store))
    assert told.postings.rows() == postings_between(store, before)
    assert told.documents.rows() == documents_between(store, before)
    return told


# Examples one can check by hand.


def test_a_bill_run_tells_its_invoices_and_postings(store: Store) -> None:
    join(store, "anna")
    take(store, START, "basic")
    told = check(store, partial(run, on=FEBRUARY))
    # January and February: 20.00 and 19 % tax.
    assert told.documents.rows() == [("invoice", "seller", "EUR", 1, 2000, 380, 2380)]
    assert told.postings.rows() == [
        ("seller", "EUR", "deferred_revenue", 0, 2000),
        ("seller", "EUR", "receivable", 2380, 0),
        ("seller", "EUR", "tax_payable", 0, 380),
    ]
    assert ("line_items", 2, 0) in told.rows.rows()
    # The second time there is nothing left.
    assert rehearsed(store, partial(run, on=FEBRUARY)).is_empty


def test_a_collection_tells_what_it_would_charge_and_charges_nothing(store: Store) -> None:
    join(store, "anna")
    add_payment_method(store, OPENED, customer_id="anna", gateway_ref="card")
    take(store, START, "basic")
    run(store, START)
    gateway = SimulatedGateway()

    def assumed(store: Store) -> Any:
        return collect(store, AssumedGateway(), at(START, 21))

    told = check(store, assumed, lambda store: collect(store, gateway, at(START, 21)))
    assert list(gateway.captured_minor.values()) == [1190]
    assert told.postings.rows() == [
        ("seller", "EUR", "customer_credit", 1190, 1190),
        ("seller", "EUR", "gateway_clearing", 1190, 0),
        ("seller", "EUR", "receivable", 0, 1190),
    ]


def test_every_job_does_what_its_dry_run_told(store: Store) -> None:
    """Three months of a small company, each job of the last two first as a dry run."""
    sell(store, "yen", fee("980"), currency="JPY")
    sell(store, "quarter", fee("30.00"), interval="P3M")
    parts = [Part("fee", "fee", "5.00"), Part("calls", "usage", "0.10", "per_unit")]
    sell(store, "metered", parts, in_advance=False)
    for customer_id in ("anna", "bert", "cora", "fritz", "hugo", "zoe"):
        about: dict[str, Any] = {"currency": "JPY"} if customer_id == "bert" else {}
        about |= {"collection": "terms"} if customer_id == "fritz" else {}
        about |= {"country": "FR"} if customer_id == "zoe" else {}
        join(store, customer_id, **about)
        if customer_id != "fritz":
            add_payment_method(store, OPENED, customer_id=customer_id, gateway_ref=f"card-{customer_id}")
    for customer_id, plan_id in {
        "anna": "basic",
        "bert": "yen",
        "cora": "metered",
        "hugo": "quarter",
    }.items():
        take(store, START, plan_id, customer_id, subscription_id=customer_id)
    take(store, START, "basic", "fritz", contract=NewContract("P1M", contract_id="frame"))
    # No tax rate of France is known: zoe is set aside.
    take(store, START, "basic", "zoe")
    wallet = open_wallet(store, at(START), customer_id="anna", name="Prepaid")
    grant(store, at(START), wallet_id=wallet, amount="40.00", reason="Welcome", expires_on=date(2025, 3, 1))
    gateway = SimulatedGateway()
    done: dict[str, DryRun] = {}
    run(store, START)
    collect(store, gateway, at(START, 21))
    for on in (FEBRUARY, date(2025, 3, 2)):
        if on == FEBRUARY:
            subscriptions.cancel(store, at(on), subscription_id="hugo", when="now", money="refund")
            catalog.add_tax_rate(
                store, OPENED, country="FR", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1)
            )
            done["retry"] = check(store, lambda store, on=on: retry(store, at(on), up_to=on))  # type: ignore[misc]
        jobs: dict[str, tuple[Job, Job]] = {
            name: (partial(job, at=at(on, 20)), partial(job, at=at(on, 20)))
            for name, job in {
                "renew": lambda store, at: renew_due(store, at),
                "usage": lambda store, at, on=on: _use(store, at, on),
                "bill": lambda store, at, on=on: run(store, on),
                "transfers": lambda store, at, on=on: _pay(store, at, on),
                "dun": lambda store, at: dun(store, at + timedelta(days=45)),
                "expire": lambda store, at: expire_grants(store, at),
            }.items()
        }
        for name, job in {"collect": collect, "give_back": give_back}.items():
            jobs[name] = (
                partial(lambda store, at, job: job(store, AssumedGateway(), at), at=at(on, 21), job=job),
                partial(lambda store, at, job: job(store, gateway, at), at=at(on, 21), job=job),
            )
        for name, (dry, real) in jobs.items():
            told = check(store, dry, real)
            if not told.is_empty:
                done[name] = told
        if on == FEBRUARY:
            february = done["bill"]
    assert set(done) == {*jobs, "retry"}
    # Zoe pays 10.00 for January and for February, with 20 % of tax; nobody else is billed with her.
    assert done["retry"].documents.rows() == [("invoice", "seller", "EUR", 1, 2000, 400, 2400)]
    # What is left of 40.00 after January and February of anna at 11.90 expired.
    expired = [row for row in done["expire"].postings.rows() if row[2] == "wallet_breakage"]
    assert expired == [("seller", "EUR", "wallet_breakage", 0, 4000 - 2 * 1190)]
    # Hugo paid 30.00 for 90 days and leaves after 31: 59 days come back, with their tax of 19 %.
    assert february.documents.rows()[0] == ("credit_note", "seller", "EUR", 1, 1967, 374, 2341)
    assert done["give_back"].postings.rows() == [
        ("seller", "EUR", "customer_credit", 2341, 0),
        ("seller", "EUR", "gateway_clearing", 0, 2341),
    ]


def _use(store: Store, when: Any, on: date) -> None:
    """Usage of cora, with one event of an item that nobody knows."""
    events = {
        "source": ["meter"] * 2,
        "event_id": [f"{on} 1", f"{on} 2"],
        "item_id": [item_of(store, "cora"), "nothing"],
        "meter_id": ["calls"] * 2,
        "value": ["30", "1"],
        "occurred_on": [on] * 2,
    }
    import_usage(store, when, pl.DataFrame(events))
    retry_rejected(store, when)


def _pay(store: Store, when: Any, on: date) -> None:
    """Fritz pays January by bank, and somebody unknown pays too."""
    number = store.rows(select(tables.invoices.c.number).where(tables.invoices.c.customer_id == "fritz"))[0][
        "number"
    ]
    rows = {
        "entity_id": ["seller"] * 2,
        "bank_ref": [f"{on} 1", f"{on} 2"],
        "received_on": [on.isoformat()] * 2,
        "amount": ["4.00", "3.00"],
        "currency": ["EUR"] * 2,
        "reference": [number, "?"],
    }
    import_transfers(store, when, pl.DataFrame(rows))


def test_a_stock_is_not_asked_and_what_it_would_give_is_billed(store: Store) -> None:
    create_sku(store, OPENED, sku_id="paper", product_id="goods", name="Paper", base_unit="case")
    part = catalog.NewComponent("paper", "seat", sku_id="paper")
    price = catalog.NewPrice("standing.1.paper", "per_unit", "5.00")
    sell_alone(store, part, price, plan_id="standing", in_advance=True)
    join(store, "anna")
    contract = NewContract(contract_id="c", stock_rule="reserve_first")
    take(store, START, "standing", quantity=100, contract=contract)

    def both(store: Store, port: Any) -> None:
        allocate(store, port, at(START, 19), up_to=START)
        run(store, START)

    told = check(store, partial(both, port=AssumedStock()), partial(both, port=SimulatedStock()))
    assert told.documents.rows() == [("invoice", "seller", "EUR", 1, 50_000, 9_500, 59_500)]


def test_running_subscriptions_are_taken_over_only_for_show(store: Store) -> None:
    join(store, "anna")
    rows = pl.DataFrame(
        {
            "subscription_id": ["s1", "s2"],
            "customer_id": ["anna", "nobody"],
            "plan_id": ["basic"] * 2,
            "quantity": ["1"] * 2,
            "anchor_on": ["2024-01-01"] * 2,
            "billed_until": ["2025-01-01"] * 2,
        }
    )
    told = check(store, lambda store: import_subscriptions(store, at(START), rows))
    assert {("subscriptions", 1, 0), ("customers", 0, 1), ("rejected_inputs", 1, 0)} <= set(told.rows.rows())


# What must not stay.


def test_ids_given_out_in_a_dry_run_use_no_epoch_and_do_not_break_the_next_run(each_database: str) -> None:
    url = new_url()
    with open_store(url) as first:
        first.migrate()
        open_shop(first)
        sell(first, "basic", fee("10.00"))
        join(first, "anna")
        take(first, START, "basic")
    with open_store(url) as store:
        before = content(store)
        for _ in range(2):
            told = rehearsed(store, partial(run, on=START))
            assert ("invoices", 1, 0) in told.rows.rows()
        assert content(store) == before
        assert run(store, START).invoices == 1
        assert run(store, FEBRUARY).invoices == 1
        assert len(content(store)["invoices"]) == 2


class _Broken:
    """A gateway that breaks."""

    def charge(self, charge: Charge) -> Answer:
        raise ConnectionError("gone")


def test_an_error_in_a_dry_run_leaves_nothing_not_even_a_claim(store: Store) -> None:
    join(store, "anna")
    add_payment_method(store, OPENED, customer_id="anna", gateway_ref="card")
    take(store, START, "basic")
    run(store, START)
    before = content(store)
    with pytest.raises(ConnectionError), dry_run(store):
        collect(store, _Broken(), at(START, 21))  # type: ignore[arg-type]
    assert content(store) == before
    assert claim(store, "collect")
    release(store, "collect")
    lock_period(store, at(date(2025, 3, 1)), entity_id="seller", month=START)
    before = content(store)
    with pytest.raises(BillingError, match="period_locked"), dry_run(store):
        collect(store, AssumedGateway(), at(START, 21))
    assert content(store) == before
    # And the next rehearsal works as if nothing had been.
    assert not rehearsed(store, partial(run, on=date(2025, 3, 1))).is_empty


def test_what_a_run_took_back_by_itself_is_no_part_of_the_difference(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anna cannot be written: her chunk is undone and halved until she stands alone, in both runs alike."""
    from billing.jobs import bill_run

    for customer_id in ("anna", "bert", "cora"):
        join(store, customer_id)
        take(store, START, "basic", customer_id)
    write = bill_run.write

    def fails_for_anna(store: Store, when: Any, run_id: str, found: Any) -> Any:
        answer = write(store, when, run_id, found)
        if "anna" in found.members["customer_id"].to_list():
            raise ValueError("anna")
        return answer

    monkeypatch.setattr(bill_run, "write", fails_for_anna)
    told = check(store, partial(run, on=START))
    assert told.documents.rows() == [("invoice", "seller", "EUR", 2, 2000, 380, 2380)]


def test_a_dry_run_within_a_rehearsal_tells_the_same_and_the_rehearsal_goes_on(store: Store) -> None:
    join(store, "anna")
    take(store, START, "basic")
    before = content(store)
    with store.rehearsal({}) as written:
        with dry_run(store) as told:
            run(store, START)
        join(store, "bert")
    assert told.documents.rows() == [("invoice", "seller", "EUR", 1, 1000, 190, 1190)]
    assert {one.table.name for one in written} >= {"customers"}
    assert "invoices" not in {one.table.name for one in written}
    assert content(store) == before
