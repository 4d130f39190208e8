"""Reads charges that come once."""

from __future__ import annotations

import polars as pl
from sqlalchemy import select

from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Store
from billing.store.tables import items, one_time_charges

_ANY = select(one_time_charges.c.charge_id).limit(1)
_CHARGES = (
    select(
        one_time_charges.c.charge_id,
        one_time_charges.c.item_id,
        one_time_charges.c.charged_on,
        one_time_charges.c.description,
        one_time_charges.c.amount_minor,
        items.c.customer_id,
    )
    .join(items, items.c.item_id == one_time_charges.c.item_id)
    .where(one_time_charges.c.removed_at.is_(None))
)


def read_charges(store: Store, floors: pl.DataFrame) -> pl.DataFrame:
    """The charges of some customers on days that are not settled. floors: `customer_id`, `floor`."""
    ids = floors["customer_id"].to_list() if store.row(_ANY) is not None else []
    found = read_by_ids(store, _CHARGES, items.c.customer_id, ids)
    if found.is_empty():
        return found.drop("customer_id")
    return (
        found.join(floors.select("customer_id", "floor"), on="customer_id")
        .filter(pl.col("charged_on") >= pl.col("floor"))
        .drop("customer_id", "floor")
        .sort("charge_id")
    )
