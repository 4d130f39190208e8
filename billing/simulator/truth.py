"""The file that tells the truth of a simulated world: who was bound to leave, when and why.

It lies in the company's folder beside what a company has. Evaluation alone reads it: no source, table, model
or page does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from billing.simulator.causes import Cause, combined, notice_on, term_ends
from billing.simulator.foresight import Risk, risk
from billing.simulator.life import Life
from billing.simulator.observer import Signs, chances_in, p_90_shown, record_of
from billing.simulator.population import Calendar, Customer


def truth(
    customers: Sequence[Customer], lives: Sequence[Life], calendar: Calendar, signs: Signs
) -> pl.DataFrame:
    """True causes and hazards: a row per customer and month, from the month after its start to the end.

    Columns: customer_id, month (first day), is_at_risk (served as the month began, no end decided),
    h_<cause> and hazard (as if the customer had stayed, where it had left), term_decided_on (the day the
    term cause is drawn, which lies before its month), is_ended and cause (of a month at risk that ended the
    customer, else false and null), p_90 and p_payment_90 (`foresight`) and p_90_shown (`observer`; all three
    of those at risk, as of the day before the month). customer_id is the only column that means anything to
    another table.
    """
    days = [calendar.day(month) for month in range(calendar.months)]
    chances = chances_in(calendar)
    columns: dict[str, list[object]] = {name: [] for name in _truth_schema()}
    for place, (customer, life) in enumerate(zip(customers, lives, strict=True)):
        rows = range(customer.start_month + 1, calendar.months)
        table = life.hazards[customer.start_month + 1 : calendar.months]
        decided = {calendar.number(end): notice_on(end) for end in term_ends(customer, calendar)}
        columns["customer_id"] += [customer.customer_id] * len(rows)
        columns["month"] += [days[month] for month in rows]
        columns["is_at_risk"] += [month in life.at_risk for month in rows]
        for cause in Cause:
            columns[f"h_{cause.word}"] += table[:, cause].tolist()
        columns["hazard"] += combined(table).tolist()
        columns["term_decided_on"] += [decided.get(month) for month in rows]
        columns["is_ended"] += [month in life.ended for month in rows]
        risks = [risk(customer, life, calendar, month) if month in life.at_risk else None for month in rows]
        for name in Risk._fields:
            columns[name] += [None if one is None else getattr(one, name) for one in risks]
        record = record_of(customer, life, calendar, signs, place, chances)
        columns["p_90_shown"] += [
            p_90_shown(record, month) if month in life.at_risk else None for month in rows
        ]
        columns["cause"] += [life.ended[month].word if month in life.ended else None for month in rows]
    return pl.DataFrame(columns, schema=_truth_schema())


def _truth_schema() -> dict[str, type[pl.DataType]]:
    return {
        "customer_id": pl.String,
        "month": pl.Date,
        "is_at_risk": pl.Boolean,
        **{f"h_{cause.word}": pl.Float64 for cause in Cause},
        "hazard": pl.Float64,
        "term_decided_on": pl.Date,
        "is_ended": pl.Boolean,
        "cause": pl.String,
        **dict.fromkeys((*Risk._fields, "p_90_shown"), pl.Float64),
    }


def write_truth(frame: pl.DataFrame, path: Path) -> None:
    """Write the truth as Parquet, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    frame.write_parquet(partial)
    partial.replace(path)
