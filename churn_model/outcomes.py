"""What became of the customers that were scored, on whatever day that was.

Snapshots keep month ends; a score of a Monday in between has to be judged too. So outcomes come from order
days and from the ends that the snapshots of accounts know, and not from the label of a snapshot's own day.
Whether an account left is the rule of accounts.py.
"""

from __future__ import annotations

from datetime import date

import duckdb
import polars as pl

from churn_model.accounts import CLOSES_AFTER, has_left, is_closed
from churn_model.dataset import HORIZON_DAYS
from churn_model.score_history import exists

TRADE = f"""
SELECT scored.customer_id, scored.as_of, 'non_contract' AS commitment,
  count(orders.customer_id) = 0 AS "left", NULL::VARCHAR AS cause
FROM (SELECT DISTINCT customer_id, as_of FROM churn.churn_scores WHERE p_90 IS NOT NULL
  AND commitment_class = 'non_contract' AND as_of + {HORIZON_DAYS} <= $as_of) AS scored
LEFT JOIN intermediate.int_order_days AS orders ON orders.customer_id = scored.customer_id
  AND orders.is_order_day AND orders.ordered_on > scored.as_of
  AND orders.ordered_on <= scored.as_of + {HORIZON_DAYS}
GROUP BY ALL
"""
"""Repeat trade: left is who has no order day in the 90 days after the scored day, once they are over."""

ACCOUNTS = f"""
SELECT scored.customer_id, scored.as_of, 'contract' AS commitment,
  known.ended_on, known.ended_recorded_on, known.returned_within_30, known.ended_cause, known.observed_until
FROM (SELECT DISTINCT customer_id, as_of FROM churn.churn_scores WHERE p_90 IS NOT NULL
  AND commitment_class <> 'non_contract' AND as_of + {CLOSES_AFTER} <= $as_of) AS scored
ASOF JOIN (SELECT * FROM marts.fct_account_snapshots WHERE is_at_risk) AS known
  ON known.customer_id = scored.customer_id AND known.as_of <= scored.as_of
WHERE known.ended_on IS NULL OR known.ended_on > scored.as_of
"""
"""Accounts: by the newest snapshot up to the scored day. Who has none, or ended before it and came back, is
left out: these snapshots do not tell what became of that stay."""

SCHEMA = pl.Schema(
    {
        "customer_id": pl.String,
        "as_of": pl.Date,
        "commitment": pl.String,
        "left": pl.Boolean,
        "cause": pl.String,
    }
)
KEY = ("customer_id", "as_of", "commitment")
"""A customer may be scored twice on one day, as repeat trade and, once its contract is known, as an account:
each class has its own outcome."""


def outcomes_of(connection: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    """Of every probability in churn.churn_scores whose label has closed by a day: customer_id, as_of,
    commitment (contract, non_contract), left, cause (of accounts that left). One row a `KEY`."""
    frames = [pl.DataFrame(schema=SCHEMA)]
    if exists(connection, "intermediate", "int_order_days"):
        frames.append(connection.execute(TRADE, {"as_of": as_of}).pl().cast(SCHEMA))
    if exists(connection, "marts", "fct_account_snapshots"):
        known = connection.execute(ACCOUNTS, {"as_of": as_of}).pl().filter(is_closed())
        judged = known.with_columns(left=has_left(), cause=pl.when(has_left()).then("ended_cause"))
        frames.append(judged.select(SCHEMA.names()).cast(SCHEMA))
    return pl.concat(frames).sort("as_of", "customer_id", "commitment")
