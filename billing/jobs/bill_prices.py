"""Says on each charge which price it bears and why: its level and list, and each price that lost.

A choice never changes and is shared by many versions, so its text is made once and remembered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl
from sqlalchemy import select

from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Row, Store
from billing.store.tables import price_choices, price_lists, prices

_CHOICES = (
    select(
        price_choices.c.choice_id,
        price_choices.c.component_id,
        price_choices.c.price_id,
        price_choices.c.lost_by,
        price_lists.c.level,
        price_lists.c.list_id,
    )
    .join(prices, prices.c.price_id == price_choices.c.price_id)
    .join(price_lists, price_lists.c.list_id == prices.c.list_id)
    .order_by(price_choices.c.choice_id, price_choices.c.component_id, price_choices.c.price_id)
)
_KEY = ["choice_id", "component_id"]
_SCHEMA = {"choice_id": pl.String, "component_id": pl.String, "price_choice": pl.String}


def with_price_choice(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `price_choice` to rows with a `choice_id` and a `component_id`: JSON, null without a choice."""
    wanted = rows["choice_id"].unique().drop_nulls()
    known: pl.DataFrame = store.memory.get("bill_run.choices", pl.DataFrame(schema=_SCHEMA))
    missing = wanted.filter(~wanted.is_in(known["choice_id"].implode()))
    if len(missing):
        new = _texts(read_by_ids(store, _CHOICES, price_choices.c.choice_id, missing.sort().to_list()))
        known = store.memory["bill_run.choices"] = pl.concat([known, new])
    return rows.join(known, on=_KEY, how="left", maintain_order="left")


def _texts(found: pl.DataFrame) -> pl.DataFrame:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in found.iter_rows(named=True):
        groups.setdefault((row["choice_id"], row["component_id"]), []).append(row)
    texts = [(*key, _text(rows)) for key, rows in groups.items()]
    return pl.DataFrame(texts, schema=_SCHEMA, orient="row")


def _text(rows: Sequence[Row]) -> str:
    taken = next(row for row in rows if row["lost_by"] is None)
    lost = [
        {"price_id": row["price_id"], "level": row["level"], "reason": row["lost_by"]}
        for row in rows
        if row["lost_by"] is not None
    ]
    text = {"price_id": taken["price_id"], "level": taken["level"], "list_id": taken["list_id"]}
    return json.dumps(text | ({"not_taken": lost} if lost else {}), ensure_ascii=False)
