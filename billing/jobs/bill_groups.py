"""Which document each line of a draft belongs to, and what its parties bring to it.

One document for a payer, seller, currency, payment terms, way to pay, purchase order and consolidation group,
and one more for usage that is billed early.
The middle ones are what a subscription may have of its own. Few have, so they are looked at only
where somebody has one.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import select

from billing.core import invoicing
from billing.jobs.bill_facts import APART, PARTIES, SEPARATOR, TERMS, read_by_ids
from billing.jobs.credit import OWNER
from billing.store.store import Store
from billing.store.tables import customers, payment_terms

OWN_GROUP = ["payment_terms_id", "method_id", "po_id", "consolidation_group"]
GROUP = [*OWNER, *OWN_GROUP, "invoice_kind"]
ORDER = ["customer_id", "item_id", "position", "component_id", "service_start", "entry", "service_end"]

APART_SCHEMA = pl.Schema({"item_id": pl.String(), "invoiced_apart": pl.String()})
_NONE_APART = pl.DataFrame(schema=APART_SCHEMA)


def apart(*frames: pl.DataFrame) -> pl.DataFrame:
    """The items that are invoiced apart, each once. frames: with `item_id` and `invoiced_apart`."""
    some = [one for one in frames if one["invoiced_apart"].null_count() < one.height]
    if not some:
        return _NONE_APART
    found = pl.concat(one.select(*APART_SCHEMA) for one in some)
    return found.drop_nulls("invoiced_apart").unique("item_id", keep="first", maintain_order=True)


def grouped(store: Store, at: datetime, lines: pl.DataFrame, items_apart: pl.DataFrame) -> pl.DataFrame:
    """The lines in the order they are printed, with what their payer and ship-to bring: the document they
    belong to (a group; of drafts also the day of issue), its day and terms, and the facts that decide tax.

    items_apart: as `apart` gives it. A credit keeps the purchase order of the line it takes back.
    """
    ids = pl.concat([lines["payer_id"], lines["ship_to"]]).drop_nulls().unique().to_list()
    parties = read_by_ids(store, PARTIES, customers.c.customer_id, ids)
    days = invoicing.issue_days(parties["time_zone"].to_list(), at)
    payers = parties.select(
        pl.col("customer_id").alias("payer_id"),
        pl.col("entity_id").alias("payer_entity_id"),
        "has_tax_number",
        "seller_country",
        "collection",
        *TERMS,
        "requires_purchase_order",
        pl.col("terms_id").alias("payment_terms_id"),
        pl.col("policy_name").alias("payer_policy_name"),
        pl.col("time_zone").replace_strict(days, return_dtype=pl.Date).alias("issued_on"),
    )
    ship_to = parties.select(pl.col("customer_id").alias("ship_to"), pl.col("country").alias("ship_country"))
    rows = (
        lines.join(payers, on="payer_id", how="left", maintain_order="left")
        .join(ship_to, on="ship_to", how="left", maintain_order="left")
        .with_columns(
            pl.coalesce("entity_id", "payer_entity_id").alias("entity_id"),
            pl.col("invoice_kind").fill_null("regular"),
            pl.col("is_already_billed").fill_null(False),
        )
    )
    by = [*OWNER, "invoice_kind", "issue_on"]
    if items_apart.height or (lines["origin_po_id"] != "").any():
        rows, by = _with_own_groups(store, rows, items_apart), [*GROUP, "issue_on"]
    else:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in OWN_GROUP[1:])
    rows = rows.sort(*by, *ORDER, maintain_order=True)
    is_next = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in by)
    return rows.with_columns(
        is_next.cum_sum().cast(pl.Int64).alias("document"),
        pl.max_horizontal(pl.col("issued_on").cast(pl.Date), "issue_on"),
    )


def _with_own_groups(store: Store, rows: pl.DataFrame, items_apart: pl.DataFrame) -> pl.DataFrame:
    """Adds what the lines' subscriptions have of their own, and the payment terms they name."""
    parts = pl.col("invoiced_apart").str.splitn(SEPARATOR, len(APART) + 1).struct
    own = items_apart.select(
        "item_id",
        *(
            parts.field(f"field_{place}").replace("", None).alias(name)
            for place, name in enumerate(("po_id", "_terms_id", "method_id", "consolidation_group"), start=1)
        ),
    )
    terms = store.frame(select(payment_terms)).select(
        pl.col("terms_id").alias("_terms_id"), *(pl.col(name).alias(f"_{name}") for name in TERMS)
    )
    has_own = pl.col("_terms_id").is_not_null()
    of_origin = pl.col("origin_po_id")
    return (
        rows.join(own, on="item_id", how="left", maintain_order="left")
        .join(terms, on="_terms_id", how="left", maintain_order="left")
        .with_columns(
            pl.coalesce("_terms_id", "payment_terms_id").alias("payment_terms_id"),
            *(pl.when(has_own).then(f"_{name}").otherwise(name).alias(name) for name in TERMS),
            pl.when(of_origin.is_null()).then("po_id").otherwise(of_origin.replace("", None)).alias("po_id"),
        )
        .drop("_terms_id", *(f"_{name}" for name in TERMS))
    )
