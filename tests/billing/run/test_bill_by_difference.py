"""A bill run posts what is owed less what is billed, with amounts a bookkeeper can check."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from sqlalchemy import func, select

from billing.jobs.bill_run import bill, preview
from billing.jobs.import_usage import import_usage
from billing.service import catalog, customers, subscriptions
from billing.service.policies import set_policy
from billing.store.store import Store
from billing.store.tables import (
    credit_note_lines,
    invoices,
    journal_lines,
    line_items,
    outbox,
)
from billing.store.tables import (
    customers as customers_table,
)
from billing.store.tables import (
    items as items_table,
)

PLANS = {
    "p10": ("P1M", "10.00"),
    "p15": ("P1M", "15.00"),
    "p19": ("P1M", "19.00"),
    "p20": ("P1M", "20.00"),
    "p31": ("P1M", "31.00"),
    "month": ("P1M", "29.95"),
    "quarter": ("P3M", "69.95"),
}
START = datetime(2020, 1, 1, 6, tzinfo=UTC)


def at(day: str, hour: int = 8) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)


def company(store: Store, **settings: str | int) -> Store:
    """Flat monthly plans, a quarterly one, seats at 29.95, calls at 0.01 in arrears; 20 % tax in DE."""
    if settings:
        set_policy(store, START, valid_from=START.date(), settings=settings)
    catalog.create_legal_entity(store, START, entity_id="seller", name="Seller GmbH", country="DE")
    catalog.add_tax_rate(store, START, country="DE", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1))
    catalog.create_product(store, START, product_id="goods", name="Goods")
    catalog.create_meter(store, START, meter_id="calls", name="Calls")
    prices = []
    for plan_id, (interval, price) in PLANS.items():
        catalog.create_plan(store, START, plan_id=plan_id, name=plan_id, product_id="goods")
        catalog.publish_plan_version(
            store, START, plan_id=plan_id, interval=interval, components=[catalog.NewComponent("Fee", "fee")]
        )
        prices.append(catalog.NewPrice(f"{plan_id}.1.Fee", "flat", price))
    for plan_id, component in (
        ("seats", catalog.NewComponent("Seats", "seat")),
        ("usage", catalog.NewComponent("Calls", "usage", "calls")),
    ):
        catalog.create_plan(store, START, plan_id=plan_id, name=plan_id, product_id="goods")
        catalog.publish_plan_version(
            store, START, plan_id=plan_id, interval="P1M", components=[component], in_advance=True
        )
    prices.append(catalog.NewPrice("seats.1.Seats", "per_unit", "29.95"))
    prices.append(catalog.NewPrice("usage.1.Calls", "per_unit", "0.01"))
    catalog.create_price_list(
        store, START, list_id="list", name="List", currency="EUR", valid_start=date(2000, 1, 1), prices=prices
    )
    customer(store, "anna")
    return store


def customer(store: Store, customer_id: str) -> None:
    customers.create_customer(
        store,
        START,
        customer_id=customer_id,
        name=customer_id,
        entity_id="seller",
        currency="EUR",
        country="DE",
    )


def subscribe(store: Store, when: datetime, plan_id: str, **named: object) -> str:
    """Anna (or `customer_id`) subscribes; the subscription's id."""
    named.setdefault("customer_id", "anna")
    return subscriptions.subscribe(store, when, plan_id=plan_id, **named).subscription_id  # type: ignore[arg-type]


def posted(store: Store, on: str | None = None) -> list[tuple[str, str, int]]:
    """Lines as (service start, service end, net), of one issue day or of all."""
    statement = (
        select(line_items.c.service_start, line_items.c.service_end, line_items.c.net_minor)
        .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
        .order_by(line_items.c.service_start, line_items.c.net_minor)
    )
    if on is not None:
        statement = statement.where(invoices.c.issued_on == date.fromisoformat(on))
    return [
        (str(row["service_start"]), str(row["service_end"]), row["net_minor"])
        for row in store.rows(statement)
    ]


def nets(store: Store) -> list[int]:
    return sorted(net for _, _, net in posted(store))


def count(store: Store, table: object) -> int:
    row = store.row(select(func.count().label("rows")).select_from(table))  # type: ignore[arg-type]
    assert row
    return int(row["rows"])


def parked(store: Store) -> dict[str, str]:
    rows = store.rows(select(customers_table.c.customer_id, customers_table.c.parked_code))
    return {row["customer_id"]: row["parked_code"] for row in rows if row["parked_code"]}


def test_the_first_period_is_billed_in_advance_with_its_tax(store: Store) -> None:
    subscribe(company(store), at("2025-01-15"), "p31")
    summary = bill(store, at("2025-01-15", 9), up_to=date(2025, 1, 15))
    assert (summary.lines, summary.invoices, summary.parked, summary.net_minor) == (1, 1, 0, {"EUR": 3100})
    assert posted(store) == [("2025-01-15", "2025-02-15", 3100)]
    invoice = store.row(select(invoices))
    assert invoice
    assert (invoice["net_minor"], invoice["tax_minor"], invoice["total_minor"]) == (3100, 620, 3720)


def test_a_second_run_to_the_same_day_posts_nothing(store: Store) -> None:
    subscribe(company(store), at("2025-01-15"), "p31")
    bill(store, at("2025-01-15", 9), up_to=date(2025, 4, 20))
    before = (count(store, line_items), count(store, invoices), count(store, outbox))
    with_nothing_due = bill(store, at("2025-01-15", 10), up_to=date(2025, 4, 20))
    assert (with_nothing_due.lines, with_nothing_due.invoices) == (0, 0)
    assert (count(store, line_items), count(store, invoices), count(store, outbox)) == before
    assert before[0] == 4


def test_billing_month_by_month_and_once_for_all_gives_the_same_lines(
    both_stores: tuple[Store, Store],
) -> None:
    monthly, once = both_stores
    for one in both_stores:
        subscribe(company(one), at("2025-01-31"), "p31")
    for month in range(1, 13):
        day = date(2025, month, 28) + timedelta(days=3)
        bill(monthly, at(str(day)), up_to=day)
    bill(once, at("2026-01-01"), up_to=date(2025, 12, 31))
    assert posted(monthly) == posted(once)
    assert posted(once)[1][:2] == ("2025-02-28", "2025-03-31")
    assert len(posted(once)) == 12


def test_an_upgrade_credits_the_days_left_and_charges_them_at_the_new_price(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-02-01"), "p10")
    bill(store, at("2025-02-01", 9), up_to=date(2025, 2, 1))
    subscriptions.change_plan(store, at("2025-02-15"), subscription_id=subscription_id, plan_id="p20")
    bill(store, at("2025-02-15", 9), up_to=date(2025, 2, 15))
    assert posted(store, "2025-02-15") == [
        ("2025-02-15", "2025-03-01", -500),
        ("2025-02-15", "2025-03-01", 1000),
    ]


def test_a_month_becomes_a_quarter_counted_from_the_old_anchor(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-05-01"), "month")
    bill(store, at("2025-05-01", 9), up_to=date(2025, 5, 1))
    subscriptions.change_plan(
        store, at("2025-05-12"), subscription_id=subscription_id, plan_id="quarter", when="now"
    )
    bill(store, at("2025-05-12", 9), up_to=date(2025, 5, 12))
    assert posted(store, "2025-05-12") == [
        ("2025-05-12", "2025-06-01", -1932),
        ("2025-05-12", "2025-08-01", 6159),
    ]


@pytest.mark.parametrize(
    ("day_count", "left_minor"),
    [("actual_day", 1600), ("fixed_30", 1550), ("strict_30_over_360", 1550), ("actual_over_30", 1653)],
)
def test_each_day_count_gives_back_its_share_of_31_from_16_january(
    store: Store, day_count: str, left_minor: int
) -> None:
    subscription_id = subscribe(company(store, day_count=day_count), at("2025-01-01"), "p31")
    bill(store, at("2025-01-01", 9), up_to=date(2025, 1, 1))
    subscriptions.cancel(
        store, at("2025-01-16", 12), subscription_id=subscription_id, when="now", reason="unused"
    )
    summary = bill(store, at("2025-01-16", 13), up_to=date(2025, 1, 16))
    assert summary.net_minor == {"EUR": -left_minor}


def test_two_upgrades_of_one_day_leave_one_charge_when_billed_together(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2024-03-05"), "p10")
    bill(store, at("2024-03-05", 9), up_to=date(2024, 3, 5))
    subscriptions.change_plan(store, at("2024-03-12", 12), subscription_id=subscription_id, plan_id="p15")
    subscriptions.change_plan(store, at("2024-03-12", 13), subscription_id=subscription_id, plan_id="p19")
    bill(store, at("2024-03-12", 14), up_to=date(2024, 3, 12))
    assert nets(store) == [-774, 1000, 1471]


def test_two_upgrades_of_one_day_billed_apart_credit_the_first_in_full(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2024-03-05"), "p10")
    bill(store, at("2024-03-05", 9), up_to=date(2024, 3, 5))
    for hour, plan_id in ((12, "p15"), (14, "p19")):
        subscriptions.change_plan(
            store, at("2024-03-12", hour), subscription_id=subscription_id, plan_id=plan_id
        )
        bill(store, at("2024-03-12", hour + 1), up_to=date(2024, 3, 12))
    assert nets(store) == [-1161, -774, 1000, 1161, 1471]


def test_a_change_undone_the_same_day_costs_nothing(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-01-01"), "seats", quantity=7)
    bill(store, at("2025-01-01", 9), up_to=date(2025, 1, 1))
    for hour, quantity in ((10, 12), (11, 7)):
        subscriptions.change_quantity(
            store, at("2025-01-10", hour), subscription_id=subscription_id, quantity=quantity
        )
    assert bill(store, at("2025-01-10", 12), up_to=date(2025, 1, 10)).lines == 0


def test_seats_added_on_a_boundary_are_charged_whole(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2022-11-27"), "seats", quantity=7)
    bill(store, at("2022-11-27", 9), up_to=date(2022, 11, 27))
    subscriptions.change_quantity(store, at("2022-12-27"), subscription_id=subscription_id, quantity=10)
    bill(store, at("2022-12-27", 9), up_to=date(2022, 12, 27))
    assert posted(store) == [("2022-11-27", "2022-12-27", 20965), ("2022-12-27", "2023-01-27", 29950)]


def test_paused_days_are_given_back_and_the_resumed_rest_is_charged(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-01-01"), "p31")
    bill(store, at("2025-01-01", 9), up_to=date(2025, 1, 1))
    subscriptions.pause(store, at("2025-01-11"), subscription_id=subscription_id, from_on=date(2025, 1, 11))
    bill(store, at("2025-01-11", 9), up_to=date(2025, 1, 11))
    subscriptions.resume(store, at("2025-01-21"), subscription_id=subscription_id)
    bill(store, at("2025-01-21", 9), up_to=date(2025, 1, 21))
    credited = store.frame(select(credit_note_lines))["net_minor"].to_list()
    assert (nets(store), credited) == ([1100, 3100], [2100])


def test_a_trial_is_free_and_its_end_starts_the_periods(store: Store) -> None:
    subscribe(company(store), at("2025-01-10"), "p31", trial_days=14)
    bill(store, at("2025-01-10", 9), up_to=date(2025, 1, 23))
    assert posted(store) == []
    bill(store, at("2025-01-24", 9), up_to=date(2025, 1, 24))
    assert posted(store) == [("2025-01-24", "2025-02-24", 3100)]


def events(rows: list[tuple[str, str, int]], subscription: str, store: Store) -> pl.DataFrame:
    item_id = subscriptions_items(store, subscription)
    return pl.DataFrame(
        {
            "source": ["meter"] * len(rows),
            "event_id": [row[0] for row in rows],
            "customer_id": ["anna"] * len(rows),
            "item_id": [item_id] * len(rows),
            "meter_id": ["calls"] * len(rows),
            "occurred_at": [at(row[1], 10) for row in rows],
            "value": [str(row[2]) for row in rows],
        }
    )


def subscriptions_items(store: Store, subscription_id: str) -> str:
    from billing.store.tables import items

    row = store.row(select(items.c.item_id).where(items.c.subscription_id == subscription_id))
    assert row
    return str(row["item_id"])


def test_late_usage_is_a_line_of_its_own_period_on_the_next_invoice(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-05-01"), "usage")
    import_usage(store, at("2025-05-31"), events([("a", "2025-05-20", 100)], subscription_id, store))
    bill(store, at("2025-06-01"), up_to=date(2025, 6, 1))
    assert posted(store, "2025-06-01") == [("2025-05-01", "2025-06-01", 100)]
    late = events([("b", "2025-05-30", 30)], subscription_id, store)
    import_usage(store, at("2025-06-03"), late)
    bill(store, at("2025-06-03", 9), up_to=date(2025, 6, 3))
    assert posted(store, "2025-06-03") == []
    bill(store, at("2025-07-01"), up_to=date(2025, 7, 1))
    assert ("2025-05-01", "2025-06-01", 30) in posted(store, "2025-07-01")
    assert sum(nets(store)) == 130


def test_a_repeated_event_is_billed_once(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-05-01"), "usage")
    for _ in range(3):
        import_usage(store, at("2025-05-31"), events([("a", "2025-05-20", 100)], subscription_id, store))
    bill(store, at("2025-06-01"), up_to=date(2025, 6, 1))
    assert sum(nets(store)) == 100


def test_a_customer_that_fails_is_parked_and_the_others_are_billed(store: Store) -> None:
    company(store)
    customers.create_customer(
        store, START, customer_id="untaxed", name="untaxed", entity_id="seller", currency="EUR", country="FR"
    )
    subscribe(store, at("2025-01-01"), "p31", customer_id="untaxed")
    subscribe(store, at("2025-01-01"), "p31")
    summary = bill(store, at("2025-01-01", 9), up_to=date(2025, 1, 1))
    assert list(parked(store)) == ["untaxed"]
    assert summary.parked == 1
    assert nets(store) == [3100]


def test_chunks_of_one_and_of_many_post_the_same(both_stores: tuple[Store, Store]) -> None:
    for chunk_size, one in zip((1, 1000), both_stores, strict=True):
        company(one)
        for number in range(7):
            customer(one, f"c{number}")
            subscribe(one, at("2025-01-31"), "seats", customer_id=f"c{number}", quantity=number + 1)
        bill(one, at("2025-03-31"), up_to=date(2025, 3, 31), chunk_size=chunk_size)
    small, large = both_stores
    assert posted(small) == posted(large)
    assert len(posted(large)) == 21


def test_a_preview_writes_nothing_and_is_what_the_run_then_posts(store: Store) -> None:
    subscribe(company(store), at("2025-01-15"), "p31")
    draft = preview(store, at("2025-01-15", 9), customer_id="anna", up_to=date(2025, 2, 20))
    assert (count(store, line_items), count(store, invoices)) == (0, 0)
    bill(store, at("2025-01-15", 9), up_to=date(2025, 2, 20))
    assert sorted(draft.lines["net_minor"].to_list()) == nets(store) == [3100, 3100]


def test_every_entry_of_the_journal_balances_and_receivables_are_the_open_invoices(store: Store) -> None:
    subscription_id = subscribe(company(store), at("2025-01-01"), "seats", quantity=3)
    bill(store, at("2025-01-01", 9), up_to=date(2025, 1, 1))
    subscriptions.change_quantity(store, at("2025-01-10"), subscription_id=subscription_id, quantity=8)
    bill(store, at("2025-02-01", 9), up_to=date(2025, 2, 1))
    lines = store.frame(select(journal_lines))
    sums = lines.group_by("entry_id").agg(pl.col("debit_minor").sum(), pl.col("credit_minor").sum())
    assert sums.height > 0
    assert sums.filter(pl.col("debit_minor") != pl.col("credit_minor")).is_empty()
    receivable = lines.filter(pl.col("account") == "receivable")
    total = store.frame(select(invoices))["total_minor"].sum()
    assert receivable["debit_minor"].sum() - receivable["credit_minor"].sum() == total > 0


def test_invoice_numbers_have_no_gap(store: Store) -> None:
    company(store)
    for number in range(5):
        customer(store, f"c{number}")
        subscribe(store, at("2025-01-31"), "p31", customer_id=f"c{number}")
    bill(store, at("2025-03-31"), up_to=date(2025, 3, 31), chunk_size=2)
    numbers = sorted(
        int(str(row["number"]).rsplit("-", 1)[-1]) for row in store.rows(select(invoices.c.number))
    )
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


def test_both_databases_hold_equal_lines(both_stores: tuple[Store, Store]) -> None:
    for one in both_stores:
        subscription_id = subscribe(company(one), at("2024-01-31"), "p10")
        bill(one, at("2024-01-31", 9), up_to=date(2024, 1, 31))
        subscriptions.change_plan(one, at("2024-02-29"), subscription_id=subscription_id, plan_id="p31")
        subscriptions.cancel(
            one, at("2024-04-10"), subscription_id=subscription_id, when="period_end", reason="unused"
        )
        bill(one, at("2024-05-31"), up_to=date(2024, 5, 31))
    first, second = both_stores
    assert posted(first) == posted(second)
    assert posted(first)


def settled(store: Store) -> str:
    row = store.row(select(customers_table.c.unsettled_from))
    return str(row["unsettled_from"] if row else None)


def test_a_fact_about_past_days_lets_the_next_run_look_at_them_again(store: Store) -> None:
    company(store)
    subscription_id = subscribe(store, at("2025-01-01"), "seats", quantity=2)
    for month in range(1, 7):
        bill(store, at(f"2025-0{month}-01", 20), up_to=date(2025, month, 1))
    assert settled(store) == "2025-06-01"
    subscriptions.change_quantity(
        store, at("2025-06-10"), subscription_id=subscription_id, quantity=3, when=date(2025, 3, 1)
    )
    assert settled(store) == "2025-02-28"
    bill(store, at("2025-06-10", 20), up_to=date(2025, 6, 10))
    assert nets(store)[-6:] == [5990, 5990, 8985, 8985, 8985, 8985]
    assert sum(nets(store)) == 2 * 5990 + 4 * 8985


def test_late_usage_waits_unsettled_for_its_items_next_invoice(store: Store) -> None:
    company(store)
    subscribe(store, at("2025-01-01"), "usage")
    subscribe(store, at("2025-01-15"), "p10")
    item_id = store.rows(select(items_table.c.item_id).order_by(items_table.c.item_id))[0]["item_id"]
    for on in ("2025-02-01", "2025-02-15"):
        bill(store, at(on, 20), up_to=date.fromisoformat(on))
    assert settled(store) == "2025-02-15"
    late = {"source": ["m"], "event_id": ["1"], "item_id": [item_id], "meter_id": ["calls"], "value": [700]}
    import_usage(store, at("2025-02-20"), pl.DataFrame(late | {"occurred_on": [date(2025, 1, 20)]}))
    assert settled(store) == "2025-01-19"
    subscribe(store, at("2025-02-25"), "p20")
    bill(store, at("2025-02-25", 20), up_to=date(2025, 2, 25))
    assert settled(store) == "2025-01-19"
    bill(store, at("2025-03-01", 20), up_to=date(2025, 3, 1))
    assert ("2025-01-01", "2025-02-01", 700) in posted(store, "2025-03-01")
    assert settled(store) == "2025-03-01"
