"""What became of the customers that were scored, on whatever day that was.

Snapshots keep month ends; a score of a Monday in between has to be judged too. So outcomes come from order
days and from the ends that the snapshots of accounts know, and not from the label of a snapshot's own day.
The labels are those of CHURN.md section 1."""

from __future__ import annotations

from datetime import date

import duckdb
import polars as pl

from churn_model.accounts import RETURN_DAYS
from churn_model.dataset import HORIZON_DAYS
from churn_model.score_history import exists

CLOSES_AFTER = HORIZON_DAYS + RETURN_DAYS

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
  coalesce(known.ended_on <= scored.as_of + {HORIZON_DAYS}
    AND known.ended_recorded_on <= scored.as_of + {CLOSES_AFTER}
    AND NOT coalesce(known.returned_within_30, false), false) AS "left",
  CASE WHEN "left" THEN known.ended_cause END AS cause
FROM (SELECT DISTINCT customer_id, as_of FROM churn.churn_scores WHERE p_90 IS NOT NULL
  AND commitment_class <> 'non_contract' AND as_of + {CLOSES_AFTER} <= $as_of) AS scored
ASOF JOIN (SELECT * FROM marts.fct_account_snapshots WHERE is_at_risk) AS known
  ON known.customer_id = scored.customer_id AND known.as_of <= scored.as_of
WHERE known.observed_until >= scored.as_of + {CLOSES_AFTER}
  AND (known.ended_on IS NULL OR known.ended_on > scored.as_of)
"""
"""Accounts: by the newest snapshot up to the scored day. Who has none, or ended before it and came back, is
left out: these snapshots do not tell what became of that stay."""

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "commitment": pl.String,
    "left": pl.Boolean,
    "cause": pl.String,
}
KEY = ("customer_id", "as_of", "commitment")
"""A customer may be scored twice on one day, as repeat trade and, once its contract is known, as an account:
each class has its own outcome."""


def outcomes_of(connection: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    """Of every probability in churn.churn_scores whose label has closed by a day: customer_id, as_of,
    commitment (contract, non_contract), left, cause (of accounts that left). One row a `KEY`."""
    frames = [
        connection.sql(query, params={"as_of": as_of}).pl().cast(SCHEMA)  # type: ignore[arg-type]
        for query, schema, table in (
            (TRADE, "intermediate", "int_order_days"),
            (ACCOUNTS, "marts", "fct_account_snapshots"),
        )
        if exists(connection, schema, table)
    ]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *frames]).sort("as_of", "customer_id", "commitment")
