"""A base of subscriptions to bill, of any size: one is made by the engine's acts, the others are its copies.

A million acts would take hours and measure something else, so the rows that one `subscribe` writes are
multiplied as frames, with ids, quantities and discounts of their own. What a bill run finds is what that
many acts would have left.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
from sqlalchemy import Table, select

from billing.service import catalog, customers, subscriptions
from billing.store import tables
from billing.store.store import Store

AT = datetime(2025, 1, 1, 6, tzinfo=UTC)
FIRST = date(2025, 1, 1)
_CHUNK = 100_000


def open_shop(store: Store) -> None:
    """A seller with tax, a plan of a fee and graduated seats, a metered plan, and a discount of 10 %."""
    catalog.create_legal_entity(store, AT, entity_id="seller", name="Seller", country="DE")
    catalog.add_tax_rate(store, AT, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
    catalog.create_product(store, AT, product_id="goods", name="Goods")
    catalog.create_meter(store, AT, meter_id="calls", name="Calls")
    tenth = {"discount_id": "tenth", "name": "Tenth", "scope": "item", "discount_ppm": 100_000}
    store.insert(tables.discounts, [tenth | {"valid_start": date(2020, 1, 1)}], AT)
    fee_and_seats = [
        catalog.NewComponent("Fee", "fee", component_id="fee"),
        catalog.NewComponent("Seats", "seat", component_id="seats"),
    ]
    calls = [catalog.NewComponent("Calls", "usage", "calls", component_id="calls")]
    for plan_id, components in (("plan", fee_and_seats), ("metered", calls)):
        catalog.create_plan(store, AT, plan_id=plan_id, name=plan_id.title(), product_id="goods")
        catalog.publish_plan_version(store, AT, plan_id=plan_id, interval="P1M", components=components)
    tiers = [catalog.NewTier(10, "12.50"), catalog.NewTier(50, "10.00"), catalog.NewTier(None, "7.99")]
    catalog.create_price_list(
        store,
        AT,
        list_id="list",
        name="List",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        prices=[
            catalog.NewPrice("fee", "flat", price="49.00"),
            catalog.NewPrice("seats", "graduated", tiers=tiers),
            catalog.NewPrice("calls", "per_unit", price="0.0125"),
        ],
    )


def subscribe_one(store: Store, plan_id: str) -> None:
    """The first customer, by acts: what the others are copied from."""
    customers.create_customer(
        store, AT, customer_id="c0", name="Customer", entity_id="seller", currency="EUR", country="DE"
    )
    subscriptions.subscribe(
        store, AT, customer_id="c0", plan_id=plan_id, quantity=1, subscription_id="s0", starts_on=FIRST
    )


def open_base(store: Store, customers: int, *, trees: bool = False) -> None:
    """So many customers with the subscription of a plan each; nothing is billed.

    trees: of every ten customers, the last two are sites of the one before them, which is billed for both.
    """
    store.migrate()
    with store.transaction():
        open_shop(store)
        subscribe_one(store, "plan")
    multiply(store, customers - 1, trees)


def lend(store: Store) -> None:
    """Of every ten customers: credit of a note for the third, money on account for more than it will owe for
    the fifth, a wallet for the seventh (the one that is billed for two sites, where there are trees)."""
    who = store.frame(select(tables.customers.c.customer_id)).with_columns(
        (pl.col("customer_id").str.slice(1).cast(pl.Int64) % 10).alias("place"),
        pl.lit("EUR").alias("currency"),
    )
    third, fifth, seventh = (who.filter(place=place) for place in (3, 5, 7))
    notes = third.select(
        pl.format("cn_{}", "customer_id").alias("note_id"),
        pl.lit("seller").alias("entity_id"),
        *("customer_id", "currency"),
        pl.lit("goodwill").alias("reason"),
        pl.lit(FIRST).alias("issued_on"),
        *(
            pl.lit(size).alias(f"{part}_minor")
            for part, size in (("net", 840), ("tax", 160), ("total", 1_000))
        ),
    )
    money = fifth.select(
        pl.format("pay_{}", "customer_id").alias("payment_id"),
        *("customer_id", "currency"),
        pl.lit(1_000_000).alias("amount_minor"),
        pl.lit("captured").alias("state"),
        pl.lit("transfer").alias("kind"),
        *(pl.lit(FIRST).alias(name) for name in ("created_on", "received_on")),
    )
    wallets = seventh.select(
        pl.format("w_{}", "customer_id").alias("wallet_id"),
        *("customer_id", "currency"),
        pl.lit("Prepaid").alias("name"),
    )
    grants = wallets.select(
        pl.format("g_{}", "wallet_id").alias("grant_id"),
        "wallet_id",
        pl.lit(5_000).alias("amount_minor"),
        pl.lit(FIRST).alias("granted_on"),
    )
    with store.transaction():
        for table, rows in (
            (tables.credit_notes, notes),
            (tables.payments, money),
            (tables.wallets, wallets),
            (tables.wallet_grants, grants),
        ):
            store.insert(table, rows, AT)


def owe(store: Store, collection: str) -> None:
    """An invoice of 120.00 for every customer, due on the first day."""
    who = store.frame(select(tables.customers.c.customer_id))
    rows = who.select(
        pl.format("inv_{}", "customer_id").alias("invoice_id"),
        pl.format("INV-{}", "customer_id").alias("number"),
        "customer_id",
        pl.lit("seller").alias("entity_id"),
        pl.lit("EUR").alias("currency"),
        pl.lit(collection).alias("collection"),
        pl.lit("open").alias("state"),
        *(pl.lit(FIRST).alias(name) for name in ("issued_on", "due_on")),
        *(pl.lit(12_000).alias(name) for name in ("net_minor", "total_minor")),
        pl.lit(0).alias("tax_minor"),
    )
    store.insert(tables.invoices, rows, AT)
    if not store.is_sqlite:
        store.analyze()


def multiply(store: Store, count: int, trees: bool = False) -> None:
    """`count` further customers with the subscription of the first; every tenth has the discount."""
    number = pl.col("number")
    own = pl.format("c{}", number)
    is_site = pl.lit(trees) & (number % 10 > 7)
    payer = pl.when(is_site).then(pl.format("c{}", number - number % 10 + 7)).otherwise(own)
    named = {
        **dict.fromkeys(("customer_id", "sold_to", "ship_to"), own),
        **dict.fromkeys(("root_id", "bill_to_id", "bill_to"), payer),
        "parent_id": pl.when(is_site).then(payer),
        "subscription_id": pl.format("s{}", number),
        "item_id": pl.format("i{}", number),
        "version_id": pl.format("v{}", number),
        "quantity_mantissa": 1 + number % 80,
        "discount_ids": pl.when(number % 10 == 0).then(pl.lit("tenth")).otherwise(pl.lit("")),
    }
    of_table: tuple[Table, ...] = (
        tables.customers,
        tables.customer_versions,
        tables.subscriptions,
        tables.items,
        tables.item_versions,
    )
    with store.transaction():
        for table in of_table:
            row = store.frame(table.select())
            assert row.height == 1, f"{table.name} holds {row.height} rows, not the one of the first customer"
            for first in range(1, count + 1, _CHUNK):
                numbers = pl.DataFrame({"number": range(first, min(first + _CHUNK, count + 1))})
                columns = [
                    named.get(name, pl.lit(row[name][0], dtype=row.schema[name])).alias(name)
                    for name in row.columns
                ]
                store.insert(table, numbers.select(columns))
