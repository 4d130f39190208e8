"""Subscription periods of many customers over 36 months: the input of `make bench-warehouse`.

Half of the customers are there from the first month, the others begin in a later one. Each month 2 % leave (a
quarter of them come back within half a year), 3 % add seats, 1.5 % drop one and 1 % change plan. A row is a
stretch of months at one price, written in the order in which the stretches begin: about 2.19 rows a customer.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

MONTHS = 36
FIRST_MONTH = date(2023, 1, 1)
SEED = 20231
LEAVE, ADD_SEATS, DROP_SEAT, CHANGE_PLAN = 0.02, 0.03, 0.015, 0.01
RETURN = 0.25
SEAT_MINOR = np.array([1900, 4900, 9900])


def write_periods(path: Path, customers: int) -> None:
    """Write the periods of so many customers; the same ones every time."""
    rows = _stretches(np.random.default_rng(SEED), customers)
    month = pl.lit(FIRST_MONTH).dt
    number = pl.col("customer").cast(pl.String).str.zfill(8)
    (
        rows.sort("since", "customer")
        .select(
            subscription_id="S" + number,
            customer_id="C" + number,
            version_no=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("customer"),
            plan_id="plan_" + (pl.col("plan") + 1).cast(pl.String),
            seats="seats",
            amount_minor=pl.col("seats") * pl.lit(pl.Series(SEAT_MINOR)).gather(pl.col("plan")),
            currency=pl.lit("EUR"),
            valid_from=month.offset_by(pl.format("{}mo", "since")),
            valid_to=month.offset_by(pl.format("{}mo", "until")),
        )
        .write_parquet(path)
    )


def _stretches(rng: np.random.Generator, customers: int) -> pl.DataFrame:
    """One row per stretch, in months since the first: `until` is null for those that run on."""
    begins = np.where(np.arange(customers) < customers // 2, 0, rng.integers(1, MONTHS, customers))
    plan, seats = rng.integers(0, len(SEAT_MINOR), customers), rng.integers(1, 21, customers)
    since, runs = np.zeros(customers, np.int64), begins == 0
    comes_back = np.full(customers, -1)
    closed = []

    def stretches(of: np.ndarray, until: int | None) -> pl.DataFrame:
        (who,) = np.nonzero(of)
        columns = {"customer": who, "since": since[who], "plan": plan[who], "seats": seats[who]}
        return pl.DataFrame(columns).with_columns(until=pl.lit(until, dtype=pl.Int64))

    for month in range(1, MONTHS):
        draw = rng.random(customers)
        leaves = runs & (draw < LEAVE)
        adds = runs & (draw >= LEAVE) & (draw < LEAVE + ADD_SEATS)
        drops = runs & (draw >= LEAVE + ADD_SEATS) & (draw < LEAVE + ADD_SEATS + DROP_SEAT) & (seats > 1)
        moves = runs & (draw >= 1 - CHANGE_PLAN)
        changed = adds | drops | moves
        closed.append(stretches(leaves | changed, month))
        seats = seats + adds * rng.integers(1, 6, customers) - drops
        plan = (plan + moves * rng.integers(1, len(SEAT_MINOR), customers)) % len(SEAT_MINOR)
        starts = (begins == month) | (comes_back == month)
        since = np.where(changed | starts, month, since)
        runs = (runs & ~leaves) | starts
        returns = leaves & (rng.random(customers) < RETURN)
        comes_back = np.where(returns, month + rng.integers(1, 7, customers), comes_back)
    return pl.concat([*closed, stretches(runs, None)])
