"""What scoring reads from the warehouse under construction, and how it tells what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import duckdb
import polars as pl

from churn_model import score_history, tables
from churn_model.dataset import Feature

MOST_EARLIER_ROWS = 250_000
"""Of the days before the run's, so many snapshots are read: beyond it a fixed part of the customers, chosen
by hash, whatever became of them. The day's own customers are all read."""


def frame_of(connection: duckdb.DuckDBPyConnection, table: str, condition: str, as_of: date) -> pl.DataFrame:
    """The rows of a mart for which a condition holds, by as-of day and customer; empty where this warehouse
    has none of it. Of the days but `as_of` a part of the customers where they are too many."""
    if not score_history.exists(connection, "marts", table):
        return pl.DataFrame()
    (earlier,) = connection.execute(
        f"SELECT count(*) FROM marts.{table} WHERE ({condition}) AND as_of <> $as_of", {"as_of": as_of}
    ).fetchall()[0]
    parts = -(-int(earlier) // MOST_EARLIER_ROWS)
    is_read = f"AND (as_of = $as_of OR {_PLACE} % {parts} = 0)" if parts > 1 else ""
    return connection.sql(
        f"SELECT * FROM marts.{table} WHERE ({condition}) {is_read} ORDER BY as_of, customer_id",
        params={"as_of": as_of} if is_read else {},
    ).pl()


_PLACE = "('0x' || left(md5(customer_id), 12))::BIGINT"


def exponents_of(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Decimals of each currency's minor unit."""
    return dict(connection.sql("SELECT code, exponent FROM raw_meta.currencies").fetchall())


def reporting_currency_of(connection: duckdb.DuckDBPyConnection) -> str:
    """The currency that figures of the whole company are in; empty where no policy names one."""
    found = connection.sql("SELECT reporting_currency FROM raw_meta.policy").fetchone()
    return found[0] if found else ""


def rates_of(connection: duckdb.DuckDBPyConnection) -> dict[str, Fraction]:
    """What a minor unit of each currency is worth in the reporting currency, at the constant rate; of those
    whose rate is known."""
    if not score_history.exists(connection, "intermediate", "int_rates"):
        return {}
    rows = connection.sql(
        "SELECT currency, constant_rate FROM intermediate.int_rates "
        "WHERE amount_currency = (SELECT reporting_currency FROM raw_meta.policy)"
    ).fetchall()
    return {currency: Fraction(rate) for currency, rate in rows}


def in_reporting_currency(
    frame: pl.DataFrame, features: Sequence[Feature], rates: Mapping[str, Fraction]
) -> pl.DataFrame:
    """The frame with the amounts that are features in minor units of the reporting currency, so that those of
    customers in unlike currencies may be set beside one another; null where that has no rate. Amounts that
    are all in one currency without a rate stay as they are. frame: they are in minor units of its `currency`.
    """
    amounts = [one.name for one in features if one.unit == "money" and one.name in frame.columns]
    codes = frame["currency"].unique().to_list()
    is_as_told = all(rates.get(code) == 1 for code in codes) or (len(codes) == 1 and codes[0] not in rates)
    if not amounts or is_as_told:
        return frame
    known = {code: float(rate) for code, rate in rates.items()}
    rate = pl.col("currency").replace_strict(known, default=None, return_dtype=pl.Float64)
    return frame.with_columns((pl.col(name).cast(pl.Float64) * rate).alias(name) for name in amounts)


def is_scored(connection: duckdb.DuckDBPyConnection, as_of: date, model_id: str) -> bool:
    """Whether a model has scored a day already: what it gave then stays."""
    found = connection.sql(
        "SELECT 1 FROM churn.churn_scores WHERE as_of = $as_of AND model_id = $model_id LIMIT 1",
        params={"as_of": as_of, "model_id": model_id},
    ).fetchone()
    return found is not None


def previous_p_90(connection: duckdb.DuckDBPyConnection, as_of: date, model_id: str) -> dict[str, float]:
    """By customer, the last score before a day by the same model."""
    rows = connection.sql(
        "SELECT customer_id, p_90 FROM churn.churn_scores WHERE p_90 IS NOT NULL AND model_id = $model_id "
        "AND as_of = (SELECT max(as_of) FROM churn.churn_scores "
        "WHERE model_id = $model_id AND as_of < $as_of)",
        params={"as_of": as_of, "model_id": model_id},
    ).fetchall()
    return dict(rows)


def left_out_before(connection: duckdb.DuckDBPyConnection, as_of: date) -> dict[str, bool]:
    """By customer, whether the first score of a day's quarter left it out of the draw of the holdout: what
    then holds for the whole quarter. Customers not yet scored in it are absent."""
    rows = connection.sql(
        "SELECT customer_id, arg_min(coalesce(is_excluded, false), (as_of, scored_at)) "
        "FROM churn.churn_scores WHERE as_of >= date_trunc('quarter', $as_of::DATE) AND as_of <= $as_of "
        "AND score_kind <> 'notice' GROUP BY customer_id",
        params={"as_of": as_of},
    ).fetchall()
    return dict(rows)


def failed_tests(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Tests of a mart that did not pass in this build; those that only warn passed."""
    rows = connection.sql(
        "SELECT test_name FROM raw_meta.test_results WHERE model = $table AND status IN ('fail', 'error') "
        "ORDER BY test_name",
        params={"table": table},
    ).fetchall()
    return [name for (name,) in rows]


@dataclass(frozen=True)
class Status:
    """What scoring did with one class of customers. `state`: scored, rule_only, withheld,
    nothing_to_score.
    """

    commitment_class: str | None
    state: str
    reason_code: str
    reason_en: str
    reason_ar: str
    model_id: str | None = None
    enough_data_on: date | None = None

    def row(self, as_of: date) -> Mapping[str, Any]:
        """As churn_status has it; exit code 4 where training was refused."""
        return {
            "as_of": as_of,
            "commitment_class": self.commitment_class,
            "state": self.state,
            "reason_code": self.reason_code,
            "reason_en": self.reason_en,
            "reason_ar": self.reason_ar,
            "model_id": self.model_id,
            "enough_data_on": self.enough_data_on,
            "exit_code": 4 if self.state == "rule_only" else 0,
        }


NOTHING = Status(
    None,
    "nothing_to_score",
    "nobody_at_risk",
    "Nobody to score: no paying subscription and no order in the last 180 days.",
    "لا أحد للتقييم: لا اشتراك مدفوع ولا طلب خلال آخر 180 يومًا.",
)


def scored(commitment_class: str, model_id: str, doubts_en: str = "", doubts_ar: str = "") -> Status:
    """`doubts`: what the reader should know of the day's inputs, in both languages."""
    return Status(
        commitment_class,
        "scored",
        "scored_with_drift" if doubts_en else "scored",
        f"Scored by the champion model. {doubts_en}".strip(),
        f"تم التقييم بالنموذج المعتمد. {doubts_ar}".strip(),
        model_id,
    )


def all_leaving(commitment_class: str, model_id: str) -> Status:
    """Nobody is at risk, but some have given notice: they stand on the list `leaving` of a model."""
    return Status(
        commitment_class,
        "nothing_to_score",
        "all_have_given_notice",
        "Nobody to score: every customer with a paying subscription has given notice. They are listed as "
        "leaving.",
        "لا أحد للتقييم: قدّم كل عميل لديه اشتراك مدفوع إشعارًا بالإنهاء. وهم في قائمة المغادرين.",
        model_id,
    )


def rule_only(
    commitment_class: str, model_id: str, missing_en: str, missing_ar: str, enough_on: date | None
) -> Status:
    """`missing`: what training lacks, with the numbers, in both languages."""
    when_en = f" Enough is expected by {enough_on}." if enough_on else ""
    when_ar = f" يُتوقع أن يكفي في {enough_on}." if enough_on else ""
    return Status(
        commitment_class,
        "rule_only",
        "too_little_data",
        "Too little closed history to train: the points are a rule, not a probability. "
        f"{missing_en}{when_en}",
        f"السجل المكتمل أقصر من أن يكفي للتدريب: النقاط قاعدة وليست احتمالًا. {missing_ar}{when_ar}",
        model_id,
        enough_on,
    )


def write_status(connection: duckdb.DuckDBPyConnection, as_of: date, statuses: list[Status]) -> None:
    """One row a class; the row of nobody where no class has anybody."""
    rows = [status.row(as_of) for status in statuses or [NOTHING]]
    schema = tables.frame_types("churn_status")
    tables.insert(connection, "churn_status", pl.DataFrame(rows, schema=schema))


def write_scorings(connection: duckdb.DuckDBPyConnection) -> None:
    """Which scores are in use, of accounts and of repeat trade: call when churn_scores and churn_status are
    whole.
    """
    connection.execute("DELETE FROM churn.churn_scorings")
    connection.execute(
        """
        INSERT INTO churn.churn_scorings BY NAME
        WITH scorings AS (
          SELECT commitment_class = 'non_contract' AS is_repeat_trade, as_of, model_id,
            max(scored_at) AS scored_at
          FROM churn.churn_scores
          GROUP BY ALL
        ),
        in_use AS (
          SELECT is_repeat_trade, as_of, model_id
          FROM scorings
          QUALIFY row_number() OVER (
            PARTITION BY is_repeat_trade
            ORDER BY as_of DESC, model_id IN (SELECT model_id FROM churn.churn_status) DESC, scored_at DESC
          ) = 1
        ),
        before AS (
          SELECT in_use.is_repeat_trade, in_use.model_id, max(scorings.as_of) AS as_of
          FROM in_use
          JOIN scorings
            ON scorings.is_repeat_trade = in_use.is_repeat_trade
            AND scorings.model_id = in_use.model_id
            AND scorings.as_of BETWEEN in_use.as_of - 14 AND in_use.as_of - 7
          GROUP BY ALL
        )
        SELECT
          *,
          (is_repeat_trade, as_of, model_id) IN (SELECT (is_repeat_trade, as_of, model_id) FROM in_use)
            AS is_in_use,
          (is_repeat_trade, as_of, model_id) IN (SELECT (is_repeat_trade, as_of, model_id) FROM before)
            AS is_week_before
        FROM scorings
        ORDER BY ALL
        """
    )
