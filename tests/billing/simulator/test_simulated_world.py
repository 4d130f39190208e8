"""A world carried out by the engine: what must hold in its books, and what must have happened in it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from examples import IS_LONG, seeds
from soundness import read_backwards
from sqlalchemy import select

from billing.jobs.bill_run import bill
from billing.jobs.doctor.examination import examine
from billing.jobs.event_catalogue import topic_of
from billing.simulator import WorldSummary, simulate
from billing.simulator.causes import Cause
from billing.simulator.life import Life, is_served, live
from billing.simulator.population import Calendar, Customer, populate
from billing.store import tables
from billing.store.store import Store, open_store

# A world of this seed has every currency, every level of prices and every kind of end among sixty.
SEED = 43
FIRST_DAY, LAST_DAY = date(2023, 1, 1), date(2025, 12, 31)
CUSTOMERS = 60


@dataclass(frozen=True)
class World:
    """A finished world, with the plan it was made by."""

    store: Store
    summary: WorldSummary
    folder: Path
    people: list[Customer]
    lives: list[Life]

    def frame(self, name: str) -> pl.DataFrame:
        table = tables.metadata.tables[name]
        return self.store.frame(select(table).order_by(*table.primary_key.columns))


def make_world(
    folder: Path, seed: int, customers: int, last_day: date, *, is_read_backwards: bool = False
) -> World:
    store = open_store("sqlite://")
    store.migrate()
    if is_read_backwards:
        read_backwards(store)
    summary = simulate(
        store,
        seed=seed,
        customers=customers,
        first_day=FIRST_DAY,
        last_day=last_day,
        crm_folder=folder / "crm",
        truth_path=folder / "truth.parquet",
        rates_path=folder / "rates" / "fx_rates.csv",
    )
    calendar = Calendar(FIRST_DAY, last_day)
    people = populate(seed, customers, calendar, has_currencies=True)
    return World(store, summary, folder, people, [live(seed, one, calendar) for one in people])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("world"), SEED, CUSTOMERS, LAST_DAY)
    yield made
    made.store.close()


def test_every_journal_entry_balances(world: World) -> None:
    sums = (
        world.frame("journal_lines")
        .group_by("entry_id", "currency")
        .agg(pl.sum("debit_minor", "credit_minor"))
    )
    assert sums.height > 1_000
    assert sums.filter(pl.col("debit_minor") != pl.col("credit_minor")).is_empty()


def test_the_doctor_finds_nothing_in_the_books_of_the_world(world: World) -> None:
    assert list(examine(world.store, datetime(2025, 12, 31, 23, tzinfo=UTC))) == []


def test_receivable_per_customer_is_what_open_invoices_still_owe(world: World) -> None:
    receivable = (
        world.frame("journal_lines")
        .filter(pl.col("account") == "receivable")
        .group_by("customer_id")
        .agg((pl.col("debit_minor") - pl.col("credit_minor")).sum().alias("receivable"))
    )
    applied = world.frame("applications").group_by("invoice_id").agg(pl.sum("amount_minor"))
    owed = (
        world.frame("invoices")
        .filter(pl.col("state") == "open")
        .join(applied, on="invoice_id", how="left")
        .with_columns((pl.col("total_minor") - pl.col("amount_minor").fill_null(0)).alias("owed"))
        .group_by("customer_id")
        .agg(pl.sum("owed"))
    )
    both = receivable.join(owed, on="customer_id", how="full", coalesce=True).fill_null(0)
    assert both.filter(pl.col("receivable") != pl.col("owed")).is_empty()
    assert both.filter(pl.col("owed") > 0).height > 0, "some of those who failed to pay owe still"


def test_lines_add_up_to_their_invoices(world: World) -> None:
    lines = world.frame("line_items").group_by("invoice_id").agg(pl.sum("net_minor", "tax_minor"))
    invoices = world.frame("invoices").join(lines, on="invoice_id", suffix="_of_lines")
    assert invoices.height == world.summary.rows["invoices"]
    wrong = invoices.filter(
        (pl.col("net_minor") != pl.col("net_minor_of_lines"))
        | (pl.col("tax_minor") != pl.col("tax_minor_of_lines"))
        | (pl.col("net_minor") + pl.col("tax_minor") != pl.col("total_minor"))
    )
    assert wrong.is_empty()


def test_the_world_is_billed_on_its_last_day(tmp_path: Path) -> None:
    last_day = date(2023, 6, 14)
    world = make_world(tmp_path, SEED, 3, last_day)
    assert world.frame("billing_runs")["up_to"].max() == last_day
    world.store.close()


def test_a_second_bill_run_to_the_last_day_posts_nothing(world: World) -> None:
    before = {
        name: world.frame(name).height for name in ("invoices", "line_items", "credit_notes", "journal_lines")
    }
    bill(world.store, datetime(2025, 12, 31, 23, tzinfo=UTC), up_to=LAST_DAY)
    assert {name: world.frame(name).height for name in before} == before


def test_nobody_is_parked_and_nothing_was_refused(world: World) -> None:
    assert (world.summary.parked, world.summary.refused_acts) == (0, 0)
    assert world.frame("rejected_inputs").is_empty()


def test_subscriptions_end_on_the_days_their_lives_say(world: World) -> None:
    ends = dict(world.frame("subscriptions").select("sold_to", "ends_on").iter_rows())
    for customer, life in zip(world.people, world.lives, strict=True):
        last_end = life.served[-1][1] if life.served else None
        if Cause.PAYMENT in life.ended.values():
            assert last_end is not None
            assert ends[customer.customer_id] == last_end
        elif last_end is not None and last_end in life.left_on:
            assert ends[customer.customer_id] == last_end
        else:
            assert ends[customer.customer_id] is None


def test_new_expansion_contraction_churn_of_both_kinds_reactivation_and_pause_all_happen(
    world: World,
) -> None:
    versions = world.frame("item_versions").filter(pl.col("superseded_at").is_null())
    reasons = set(versions["reason"])
    assert {
        "subscribe",
        "quantity",
        "upgrade",
        "add_on",
        "pause",
        "resume",
        "renewal",
        "reactivate",
    } <= reasons
    steps = versions.sort("item_id", "effective_start").with_columns(
        (pl.col("recurring_minor") - pl.col("recurring_minor").shift(1).over("item_id")).alias("step")
    )
    assert steps.filter(pl.col("step") > 0).height > 10
    assert steps.filter(pl.col("step") < 0).height > 5
    ended = world.frame("subscriptions").filter(pl.col("status") == "canceled")
    assert "payment" in set(ended["cancel_reason"])
    assert set(ended["cancel_reason"]) - {"payment"}
    assert world.frame("subscriptions")["trial_ends_on"].drop_nulls().len() > 0
    assert ended.height > 5


# What the engine can do, by what it leaves behind: a table, and the rows of it that must be there.
IS_LATER = pl.col("allocated_on") > pl.col("service_start")
DOINGS: list[tuple[str, str, pl.Expr]] = [
    ("goods were missing, and a note credits them", "credit_notes", pl.col("reason") == "Short delivery"),
    ("an invoice is void", "invoices", pl.col("state") == "void"),
    ("another stands for it", "invoices", pl.col("replaces_id").is_not_null()),
    ("usage was billed early", "invoices", pl.col("kind") == "threshold"),
    ("balance was bought", "invoices", pl.col("kind") == "top_up"),
    ("an invoice is given up", "invoices", pl.col("state") == "uncollectible"),
    ("an invoice waits for its money", "invoices", pl.col("state") == "open"),
    ("a purchase order has its own invoices", "invoices", pl.col("po_id").is_not_null()),
    ("a document waits for a new order", "held_documents", pl.col("code") == "po_expired"),
    ("a document waits for a higher budget", "held_documents", pl.col("code") == "po_exhausted"),
    ("a part off three invoices", "discount_uses", pl.col("discount_id") == "welcome"),
    ("a part off for some months", "discount_uses", pl.col("discount_id") == "season"),
    ("an amount off each invoice", "discount_uses", pl.col("discount_id").str.starts_with("loyalty")),
    ("balance was given away", "wallet_grants", ~pl.col("is_paid")),
    ("goodwill", "wallet_grants", pl.col("reason").str.starts_with("Goodwill")),
    ("a wallet pays", "wallet_movements", pl.col("kind") == "draw"),
    ("balance runs out", "wallet_movements", pl.col("kind") == "expiry"),
    ("a dispute of an invoice is accepted", "invoice_disputes", pl.col("outcome") == "accepted"),
    ("a dispute of an invoice is rejected", "invoice_disputes", pl.col("outcome") == "rejected"),
    ("a dispute of a payment is won", "disputes", pl.col("outcome") == "won"),
    ("a dispute of a payment is lost", "disputes", pl.col("outcome") == "lost"),
    ("money goes back through the gateway", "refunds", pl.col("gateway_ref").is_not_null()),
    ("money goes back from the bank", "refunds", pl.col("gateway_ref").is_null()),
    ("a debt is written off", "write_offs", pl.col("reverses_id").is_null()),
    ("a write-off is taken back", "write_offs", pl.col("reverses_id").is_not_null()),
    ("what was written off comes in", "payments", pl.col("kind") == "recovery"),
    ("a transfer is known by its amount", "bank_transfers", pl.col("matched_by") == "amount"),
    ("a transfer is known by somebody", "bank_transfers", pl.col("matched_by") == "hand"),
    ("a transfer is sent back", "bank_transfers", pl.col("state") == "returned"),
    ("who pays early keeps a part", "early_discounts", pl.col("net_minor") > 0),
    ("a campaign chases", "dunning_cases", pl.col("track") == "campaign"),
    ("an order above a limit is released", "approvals", pl.col("kind") == "order"),
    ("a renewal is accepted", "contract_terms", pl.col("accepted_on").is_not_null()),
    ("a charge comes once", "one_time_charges", pl.col("removed_at").is_null()),
    ("a charge is taken back", "one_time_charges", pl.col("removed_at").is_not_null()),
    ("goods are reserved first", "stock_orders", pl.col("rule") == "reserve_first"),
    ("goods may be replaced", "stock_orders", pl.col("rule") == "substitute"),
    ("goods may be skipped", "stock_orders", pl.col("rule") == "skip_with_credit"),
    ("goods come", "stock_allocations", pl.col("kind") == "allocated"),
    ("goods are replaced", "stock_allocations", pl.col("kind") == "substituted"),
    ("goods are skipped", "stock_allocations", pl.col("kind") == "skipped"),
    ("prices follow an index", "contract_clauses", pl.col("kind") == "index"),
    ("a tree takes together", "contract_clauses", pl.col("kind") == "pool"),
]


@pytest.mark.parametrize(("doing", "table", "rows"), DOINGS, ids=[doing for doing, _, _ in DOINGS])
def test_the_world_does_what_the_engine_can(world: World, doing: str, table: str, rows: pl.Expr) -> None:
    assert world.frame(table).filter(rows).height > 0, doing


def test_a_backorder_comes_later(world: World) -> None:
    moves = world.frame("stock_allocations").join(
        world.frame("stock_orders").select("order_id", "service_start"), on="order_id"
    )
    assert moves.filter(pl.col("kind") == "allocated", IS_LATER).height > 0


def test_only_what_a_caller_does_wrong_or_twice_leaves_its_tables_empty(world: World) -> None:
    """The simulator calls no command twice, nothing it asks for is refused, and nobody listens to it."""
    empty = {table.name for table in tables.metadata.sorted_tables if world.frame(table.name).is_empty()}
    assert empty == {
        "api_calls",
        "api_keys",
        "api_replies",
        "asked_attempts",
        "command_keys",
        "events",
        "method_setups",
        "portal_links",
        "portal_sessions",
        "portal_settings",
        "portal_users",
        "purchase_requests",
        "rejected_inputs",
        "resolved_inputs",
        "test_clock",
        "webhook_attempts",
        "webhook_deliveries",
        "webhook_endpoints",
        "webhook_secrets",
    }


def test_messages_say_only_what_the_catalogue_of_events_knows(world: World) -> None:
    unknown = {
        (topic, name)
        for topic, payload in world.frame("outbox").select("topic", "payload").iter_rows()
        for name in json.loads(payload)
        if name != "customer_id"
        and "*" not in topic_of(topic).withheld
        and name not in {*topic_of(topic).fields, *topic_of(topic).withheld}
    }
    assert unknown == set()


def test_what_is_rare_stays_rare(world: World) -> None:
    issued = world.frame("invoices").height
    for table in ("disputes", "invoice_disputes", "write_offs", "held_documents", "refunds"):
        assert world.frame(table).height < 0.04 * issued, table
    notes = world.frame("credit_notes")
    assert notes.height < 0.08 * issued


def test_nobody_who_stays_is_so_late_that_metrics_would_count_them_as_lost(world: World) -> None:
    """Metrics take a customer for lost when an invoice is unpaid 31 days after it was due."""
    lost_on = pl.col("due_on") + pl.duration(days=31)
    is_late = pl.col("paid_on").is_null() | (pl.col("paid_on") >= lost_on)
    late = world.frame("invoices").filter(pl.col("state") != "void", is_late, lost_on <= LAST_DAY)
    served = world.frame("line_items").select("invoice_id", "customer_id").unique()
    rows = late.select("invoice_id", lost_on.alias("lost_on")).join(served, on="invoice_id")
    lives = dict(zip([one.customer_id for one in world.people], world.lives, strict=True))
    assert rows.height > 3
    assert [row for row in rows.iter_rows() if is_served(lives[row[2]], row[1])] == []


def test_some_declines_recover_and_some_end_in_cancellation(world: World) -> None:
    cases = world.frame("dunning_cases")
    assert {"recovered", "canceled_for_payment"} <= set(cases["closed_as"].drop_nulls())
    assert cases.filter(pl.col("closed_as") == "recovered")["recovered_minor"].min() > 0  # type: ignore[operator]
    attempts = world.frame("payment_attempts")
    assert set(attempts["outcome"]) >= {"captured", "declined"}
    assert attempts["attempt"].max() == 5


def test_tax_follows_country_and_number(world: World) -> None:
    rates = world.frame("line_items").join(world.frame("customers"), on="customer_id")
    domestic = rates.filter(pl.col("country") == "DE")
    assert set(domestic["tax_rate_ppm"]) == {190_000}
    abroad = rates.filter(pl.col("country").is_in(["FR", "NL", "IT", "ES", "AT", "BE", "PL"]))
    assert set(abroad.filter(pl.col("tax_number").is_not_null())["tax_rate_ppm"]) == {0}
    outside = rates.filter(pl.col("country").is_in(["AE", "SA", "EG", "KW"]))
    assert set(outside["tax_rate_ppm"]) == {0}


def test_customers_pay_in_their_currency_and_every_day_has_its_rate(world: World) -> None:
    invoices = world.frame("invoices").join(world.frame("customers"), on="customer_id", suffix="_of_payer")
    assert set(invoices["currency"]) == {"EUR", "USD", "KWD"}
    assert invoices.filter(pl.col("currency") != pl.col("currency_of_payer")).is_empty()
    # A fee of 120.00 in EUR is 132.00 in USD and 39.600 in KWD.
    fees = world.frame("prices").filter(pl.col("component_id") == "supply-essential-monthly.delivery")
    first = fees.filter(pl.col("list_id").str.contains("^list-([A-Z]{3}-)?2023-01-01$"))
    assert {
        row["currency"]: Decimal(row["price_mantissa"]) / 10 ** row["price_scale"] for row in first.to_dicts()
    } == {
        "EUR": 120,
        "USD": 132,
        "KWD": Decimal("39.6"),
    }
    paid = world.frame("line_items").join(world.frame("prices"), on="price_id", suffix="_of_price")
    assert paid.filter(pl.col("currency") != pl.col("currency_of_price")).is_empty()
    rates = pl.read_csv(world.folder / "rates" / "fx_rates.csv", try_parse_dates=True)
    daily = rates.filter(pl.col("rate_set") == "daily")
    days = set(pl.date_range(date(2022, 12, 31), LAST_DAY, eager=True))
    for currency, lowest, highest in (("USD", 0.6, 1.4), ("KWD", 0.2, 0.45)):
        of = daily.filter(pl.col("from_currency") == currency)
        assert (set(of["rate_on"]), of.height) == (days, len(days))
        assert lowest < of["rate"].min() <= of["rate"].max() < highest  # type: ignore[operator]


def test_prices_of_all_four_levels_are_paid_and_trees_are_billed_to_their_heads(world: World) -> None:
    lists = world.frame("price_lists").select("list_id", "level")
    paid = world.frame("line_items").join(world.frame("prices"), on="price_id").join(lists, on="list_id")
    assert set(paid["level"]) == {"list", "group", "customer", "contract", "pool"}
    sites = {
        one.customer_id: world.people[one.dealings.head].customer_id for one in world.people if one.is_site
    }
    assert len(sites) > 3
    papers = world.frame("line_items").join(world.frame("invoices"), on="invoice_id", suffix="_of_invoice")
    payers = papers.filter(pl.col("customer_id").is_in(list(sites)))
    pairs = set(payers.select("customer_id", "customer_id_of_invoice").iter_rows())
    assert pairs == {(site, head) for site, head in sites.items() if site in set(payers["customer_id"])}
    shared = papers.group_by("invoice_id").agg(pl.col("customer_id").n_unique().alias("sites"))
    assert shared["sites"].max() > 1, "sites share an invoice"  # type: ignore[operator]


def test_who_pays_by_transfer_pays_late_or_early_or_in_parts(world: World) -> None:
    on_terms = world.frame("invoices").filter(pl.col("collection") == "terms")
    paid = on_terms.filter(pl.col("state") == "paid").with_columns(
        (pl.col("paid_on") - pl.col("due_on")).dt.total_days().alias("late")
    )
    assert paid.filter(pl.col("late") > 9).height > 0
    assert paid.filter(pl.col("late") <= 0).height > paid.height // 2


def test_every_count_in_service_became_a_usage_event_and_was_billed(world: World) -> None:
    events = world.frame("usage_events")
    assert events.height == world.summary.rows["usage_events"] > CUSTOMERS * 50
    for customer, life in zip(world.people, world.lives, strict=True):
        days = events.filter(pl.col("customer_id") == customer.customer_id)["occurred_on"]
        assert all(is_served(life, day) for day in days)
    counted = events.group_by("item_id").agg(pl.col("value_mantissa").sum().alias("counted"))
    sign = pl.when(pl.col("entry") == "credit").then(-1).otherwise(1)
    billed = (
        world.frame("line_items")
        .join(world.frame("invoices").filter(pl.col("state") != "void"), on="invoice_id", how="semi")
        .filter(pl.col("kind") == "usage")
        .group_by("item_id")
        .agg((sign * pl.col("quantity_mantissa")).sum().alias("billed"), pl.col("service_end").max())
    )
    ended = world.frame("subscriptions").filter(pl.col("status") == "canceled")["sold_to"].to_list()
    reactivated = [
        one.customer_id for one, life in zip(world.people, world.lives, strict=True) if len(life.left_on) > 1
    ]
    items = world.frame("items").filter(
        pl.col("customer_id").is_in(ended), ~pl.col("customer_id").is_in(reactivated)
    )
    both = items.join(counted, on="item_id").join(billed, on="item_id")
    assert both.height > 5
    assert both.filter(pl.col("counted") != pl.col("billed")).is_empty()


def test_the_truth_joins_to_the_engine_by_customer_id_alone(world: World) -> None:
    truth = pl.read_parquet(world.folder / "truth.parquet")
    ids = {
        value
        for table in tables.metadata.sorted_tables
        for column in table.c
        if column.name.endswith("_id") and column.name != "customer_id"
        for value in world.frame(table.name)[column.name].drop_nulls().to_list()
    }
    customer_ids = set(world.frame("customers")["customer_id"])
    assert set(truth["customer_id"]) <= customer_ids
    for column in truth.columns:
        if column != "customer_id":
            assert column not in ("item_id", "subscription_id", "invoice_id")
            if truth.schema[column] == pl.String:
                assert not set(truth[column].drop_nulls()) & (ids | customer_ids)


def test_the_engine_ends_whom_the_truth_ends_in_that_month(world: World) -> None:
    truth = pl.read_parquet(world.folder / "truth.parquet").filter("is_ended")
    ends = {
        (row["sold_to"], row["ends_on"].replace(day=1), row["cancel_reason"])
        for row in world.frame("subscriptions").filter(pl.col("ends_on").is_not_null()).iter_rows(named=True)
    }
    returned = {
        one.customer_id for one, life in zip(world.people, world.lives, strict=True) if len(life.served) > 1
    }
    checked = 0
    for row in truth.iter_rows(named=True):
        if row["customer_id"] in returned:
            continue
        matches = {end[2] for end in ends if end[:2] == (row["customer_id"], row["month"])}
        assert matches, row
        assert (matches == {"payment"}) == (row["cause"] == "payment")
        checked += 1
    assert checked > 5


def test_the_same_seed_makes_the_same_world_byte_for_byte(tmp_path: Path) -> None:
    last_day = date(2023, 8, 31)
    one = make_world(tmp_path / "one", 3, 14, last_day)
    two = make_world(tmp_path / "two", 3, 14, last_day, is_read_backwards=True)
    other = make_world(tmp_path / "other", 4, 14, date(2023, 2, 28))
    for table in tables.metadata.sorted_tables:
        assert one.frame(table.name).equals(two.frame(table.name)), table.name
    assert not one.frame("line_items").equals(other.frame("line_items"))
    files = [one.folder / "truth.parquet", one.folder / "rates" / "fx_rates.csv"]
    for path in [*(one.folder / "crm").iterdir(), *files]:
        same = two.folder / path.relative_to(one.folder)
        assert path.read_bytes() == same.read_bytes(), path.name
    assert (one.folder / "crm/accounts.csv").read_bytes() != (other.folder / "crm/accounts.csv").read_bytes()
    for made in (one, two, other):
        made.store.close()


@pytest.mark.parametrize("seed", seeds(1, 8))
def test_worlds_of_other_seeds_last_to_their_end_and_are_sound(tmp_path: Path, seed: int) -> None:
    customers, last_day = (300, LAST_DAY) if IS_LONG else (20, date(2023, 10, 31))
    made = make_world(tmp_path, 100 + seed, customers, last_day)
    assert list(examine(made.store, datetime.combine(last_day, time(23), UTC))) == []
    assert made.summary.parked == 0
    made.store.close()


def test_a_world_needs_an_empty_store_and_somebody_in_it(tmp_path: Path) -> None:
    made = make_world(tmp_path, 3, 2, date(2023, 1, 31))
    files = {"crm_folder": tmp_path / "crm", "truth_path": tmp_path / "truth.parquet"}
    with pytest.raises(ValueError, match="holds customers already"):
        simulate(made.store, seed=1, customers=2, **files)
    with pytest.raises(ValueError, match="0 customers"):
        simulate(made.store, seed=1, customers=0, **files)
    with pytest.raises(ValueError, match="first of a month"):
        Calendar(date(2023, 1, 2), date(2023, 3, 1))
    with pytest.raises(ValueError, match="not after"):
        Calendar(date(2023, 1, 1), date(2022, 12, 31))
    made.store.close()
