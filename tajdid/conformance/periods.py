"""`tajdid conformance periods FOLDER --as-of DAY`: a company's periods through production source and models.

Decides only how the answer is printed: CSV, amounts in major units at four places, shares at four places, an
empty field where a figure cannot be computed. What an MRR or a movement is, the models say.
"""

import shutil
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from pipelines.compiled import execute, needed
from pipelines.policy import PolicyError, read_policy
from pipelines.sources import periods
from pipelines.sources.loading import SourceConfig, SourceError, Stage
from tajdid.conformance.analytics_models import ModelsError, cache_folder, compiled_models, open_warehouse

# Amounts have six places of a minor unit in one currency; shares are formed in whole numbers, rounded once.
_PRINTING = """
CREATE TEMP MACRO major(amount, currency_code) AS round(
  amount::DECIMAL(28, 6) * (
    SELECT CASE exponent WHEN 0 THEN 1 WHEN 2 THEN 0.01 WHEN 3 THEN 0.001 ELSE 0.0001 END::DECIMAL(5, 4)
    FROM raw_meta.currencies WHERE code = currency_code
  ), 4)::DECIMAL(32, 4);
CREATE TEMP MACRO whole(amount) AS (amount::DECIMAL(28, 6) * 1000000::DECIMAL(7, 0))::HUGEINT;
CREATE TEMP MACRO share(numerator, denominator) AS CASE
  WHEN denominator <> 0 THEN (
    (CASE WHEN (numerator < 0) <> (denominator < 0) THEN -1 ELSE 1 END)
    * ((20000 * abs(whole(numerator)) + abs(whole(denominator))) // (2 * abs(whole(denominator))))
  )::DECIMAL(30, 0) * 0.0001::DECIMAL(5, 4)
END;
"""

_CUSTOMER_MONTHS = """
SELECT customer_id, strftime(month, '%Y-%m') AS month, currency, major(closing_mrr, currency) AS mrr,
  category AS movement, major(delta, currency) AS delta, is_provisional
FROM marts.fct_customer_months
{where}
ORDER BY customer_id, currency, month
"""
_SPARSE = "WHERE closing_mrr <> 0 OR category <> 'none'"

_TOTALS = """
WITH bridge AS (
  SELECT month, amount_currency AS currency, bool_or(is_provisional) AS is_provisional,
    sum(opening_mrr) AS opening, sum(new_mrr) AS new, sum(expansion_mrr) AS expansion,
    sum(contraction_mrr) AS contraction, sum(churn_mrr) AS churn, sum(reactivation_mrr) AS reactivation,
    sum(closing_mrr) AS closing, sum(closing_customers) AS customers
  FROM marts.fct_mrr_months GROUP BY month, amount_currency
), metrics AS (
  PIVOT (
    SELECT month, currency, metric_id, share(numerator, denominator) AS value
    FROM marts.fct_metric_values WHERE segment = 'all'
  )
  ON metric_id IN ('nrr_1m', 'grr_1m', 'nrr_12m', 'grr_12m', 'logo_churn', 'quick_ratio')
  USING first(value)
), arpa AS (
  SELECT month, currency, numerator, denominator
  FROM marts.fct_metric_values WHERE segment = 'all' AND metric_id = 'arpa'
)
SELECT strftime(month, '%Y-%m') AS month, currency,
  major(opening, currency) AS opening, major(new, currency) AS new,
  major(expansion, currency) AS expansion, major(contraction, currency) AS contraction,
  major(churn, currency) AS churn, major(reactivation, currency) AS reactivation,
  major(closing, currency) AS closing, customers, nrr_1m, grr_1m, nrr_12m, grr_12m, logo_churn, quick_ratio,
  major(share(numerator, denominator), currency) AS arpa, is_provisional
FROM bridge JOIN metrics USING (month, currency) JOIN arpa USING (month, currency)
ORDER BY currency, month
"""

_COHORTS = """
WITH cohorts AS (
  SELECT cohort_month, age_months, currency,
    sum(start_customers) AS start_customers, sum(customers) AS customers,
    sum(start_mrr) AS start_mrr, sum(net_mrr) AS net_mrr, sum(gross_mrr) AS gross_mrr,
    bool_or(is_provisional) AS is_provisional
  FROM marts.fct_cohorts GROUP BY cohort_month, age_months, currency
)
SELECT strftime(cohort_month, '%Y-%m') AS cohort, age_months AS age, currency, start_customers, customers,
  major(start_mrr, currency) AS start_mrr, major(net_mrr, currency) AS net_mrr,
  major(gross_mrr, currency) AS gross_mrr, share(customers, start_customers) AS logo,
  share(net_mrr, start_mrr) AS net, share(gross_mrr, start_mrr) AS gross, is_provisional
FROM cohorts
ORDER BY currency, cohort, age
"""


def run(
    folder: Path,
    *,
    as_of: date,
    policy: Path | None = None,
    sparse: bool = False,
    totals: bool = False,
    cohorts: bool = False,
    out: Path | None = None,
    cache: Path | None = None,
) -> int:
    """Print the customer months (or totals, or cohorts) of `folder`/periods.csv; answer the exit code.

    0: fine. 2: no readable file, policy or model. 3: printed, with rejected rows told on standard error.
    """
    if totals and cohorts:
        return _refuse("Choose one of --totals and --cohorts.")
    query = _TOTALS if totals else _COHORTS if cohorts else _CUSTOMER_MONTHS
    marts = (
        ("fct_mrr_months", "fct_metric_values")
        if totals
        else ("fct_cohorts",)
        if cohorts
        else ("fct_customer_months",)
    )
    try:
        settings = read_policy(policy)
        models = compiled_models(cache or cache_folder())
        with open_warehouse(settings, as_of, datetime.now(UTC)) as connection:
            _load(connection, folder, settings.reporting_currency, settings.reporting_timezone)
            execute(connection, needed(models, "dim_policy", *marts))
            unsupported = connection.sql("FROM marts.dim_policy WHERE NOT is_supported").fetchall()
            if unsupported:
                return _refuse("\n".join(f"{row[0]} = {row[1]} is not supported yet." for row in unsupported))
            connection.execute(_PRINTING)
            _print(connection, query.format(where=_SPARSE if sparse else ""), out)
            rejected = _tell_rejects(connection)
    except (PolicyError, SourceError, ModelsError, OSError) as error:
        return _refuse(str(error))
    return 3 if rejected else 0


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def _load(connection: duckdb.DuckDBPyConnection, folder: Path, currency: str, zone: str) -> None:
    file = folder / "periods.csv"
    (built_at,) = connection.sql("SELECT built_at FROM raw_meta.build").fetchall()[0]
    stage = Stage(connection, "memory", built_at, folder, currency, zone, progress=lambda message: None)
    periods.load(stage, SourceConfig("periods", "periods", str(file if file.is_file() else folder)))


def _print(connection: duckdb.DuckDBPyConnection, query: str, out: Path | None) -> None:
    """Write the CSV, streamed: it may be larger than memory."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        target = out or Path(folder) / "rows.csv"
        place = str(target).replace("'", "''")
        connection.execute(f"COPY ({query}) TO '{place}' (FORMAT csv, HEADER)")
        if out is None:
            with target.open(encoding="utf-8", newline="") as rows:
                shutil.copyfileobj(rows, sys.stdout)


def _tell_rejects(connection: duckdb.DuckDBPyConnection) -> int:
    rejects = connection.sql(
        "SELECT file_name, row_number, reason, column_name, row_key, original_row FROM raw_meta.rejects "
        "ORDER BY file_name, row_number"
    )
    count = 0
    while rows := rejects.fetchmany(10_000):
        count += len(rows)
        for file, number, reason, column, key, row in rows:
            print(f"{file} row {number}: {reason} in {column} (key {key}): {row}", file=sys.stderr)
    if count:
        print(f"{count} rows rejected", file=sys.stderr)
    return count
