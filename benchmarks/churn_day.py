"""A day of 1,000,000 accounts through the product's own path: scored by hazards, explained, put in words and
written.

What `tajdid churn score` does between a warehouse that is built and one that is published: read the
snapshots, choose the model, score in blocks of 10,000 accounts, tell reasons in both languages, decide lists,
amounts and plays, write the rows of churn_scores, measure drift. The model is trained before, on the month
ends of a few thousand accounts. All features of account_features.toml are drawn at random, one value in ten
unknown: they prove memory alone. Claim: the process holds at most 4 GB. SIZE=small checks that the benchmark
works.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
from clock import cost_of, forget_peak, peak_mb
from threadpoolctl import threadpool_limits

from churn_model.accounts import account_features
from churn_model.dataset import Feature
from churn_model.scoring import score_stage, train_snapshot

ROOT = Path(__file__).resolve().parent.parent
AS_OF = date(2025, 12, 31)
AT = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS, LEARNED = 16, 1_500
SIZES = {"small": 25_000, "full": 1_000_000}
LIMIT_MB = 4096
TEXTS = ["a", "b", "c", "d"]


def drawn(feature: Feature) -> str:
    """A column of the mart, drawn anew for each row."""
    if feature.kind == "categorical":
        value = f"{TEXTS}[1 + floor(random() * {len(TEXTS)})::INT]"
    else:
        value = {
            "flag": "round(random())",
            "share": "random()",
            "log_ratio": "random() - 0.5",
            "log_money": "8 + 4 * random()",
        }.get(feature.unit, "floor(random() * 40)")
    return f"CASE WHEN random() > 0.1 THEN {value} END AS {feature.name}"


def add(connection: duckdb.DuckDBPyConnection, days: list[date], accounts: int) -> None:
    """Rows of marts.fct_account_snapshots: so many accounts at risk on each of some days. Before the as-of
    day one in twenty ends within the horizon; a third have a term."""
    features = ", ".join(drawn(one) for one in account_features())
    connection.execute("SELECT setseed(0.5)")
    for day in days:
        connection.execute(
            f"""
            INSERT INTO marts.fct_account_snapshots BY NAME
            SELECT 'cus-' || lpad(n::VARCHAR, 7, '0') AS customer_id, $day AS as_of, true AS is_at_risk,
              false AS has_notice, 1000 + n % 90000 AS mrr_minor, 'EUR' AS currency,
              CASE WHEN n % 3 = 0 THEN 'term' ELSE 'monthly' END AS commitment_class,
              CASE WHEN n % 3 = 0 THEN $day + (n % 360)::INT + 1 END AS decision_on,
              CASE WHEN n % 3 = 0 THEN 5000 ELSE 0 END AS committed_365_minor, false AS no_usage_feed,
              CASE WHEN leaves THEN $day + 40 END AS ended_on,
              CASE WHEN leaves THEN $day + 40 END AS ended_recorded_on,
              CASE WHEN leaves THEN 'voluntary' END AS ended_cause, false AS returned_within_30,
              $as_of AS observed_until, {features}
            FROM (SELECT n, $day < $as_of AND random() < 0.05 AS leaves FROM range($accounts) AS r(n))
            """,
            {"day": day, "as_of": AS_OF, "accounts": accounts},
        )


def made(path: Path) -> None:
    """A stage file with what scoring reads, and month ends to learn from; nobody on the as-of day."""
    columns = ", ".join(
        f"{one.name} {'VARCHAR' if one.kind == 'categorical' else 'DOUBLE'}" for one in account_features()
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute((ROOT / "pipelines" / "raw_schema.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO raw_meta.currencies VALUES ('EUR', 2); CREATE SCHEMA marts")
        connection.execute(
            "CREATE TABLE marts.fct_account_snapshots (customer_id VARCHAR, as_of DATE, is_at_risk BOOLEAN, "
            "has_notice BOOLEAN, mrr_minor BIGINT, currency VARCHAR, commitment_class VARCHAR, "
            "decision_on DATE, committed_365_minor BIGINT, no_usage_feed BOOLEAN, ended_on DATE, "
            "ended_recorded_on DATE, ended_cause VARCHAR, returned_within_30 BOOLEAN, observed_until DATE, "
            f"{columns})"
        )
        first = AS_OF.replace(day=1)
        ends = []
        for _ in range(MONTHS):
            ends.append(first - timedelta(days=1))
            first = ends[-1].replace(day=1)
        add(connection, ends[::-1], LEARNED)


def main() -> int:
    accounts = SIZES[os.environ.get("SIZE", "full")]
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        path = Path(folder) / "stage.duckdb"
        made(path)
        training = cost_of(lambda: train_snapshot(path, folder=Path(folder), as_of=AS_OF, trained_at=AT))
        print(f"training and judging on {MONTHS * LEARNED:,} snapshots: {training.cpu:.0f} s CPU", flush=True)
        with duckdb.connect(str(path)) as connection:
            add(connection, [AS_OF], accounts)
        forget_peak()
        cost = cost_of(
            lambda: score_stage(path, folder=Path(folder), as_of=AS_OF, scored_at=AT, progress=print)
        )
        peak = peak_mb()
        with duckdb.connect(str(path), read_only=True) as connection:
            (written,) = connection.execute(
                "SELECT count(*) FROM churn.churn_scores WHERE len(contributions) > 0"
            ).fetchall()[0]
    holds = peak <= LIMIT_MB and written == accounts
    print(
        f"{written:,} accounts x {len(account_features())} features scored, explained, told in two languages "
        f"and written: {cost.cpu:,.0f} s CPU, {1e6 * cost.cpu / accounts:,.0f} us an account | most memory "
        f"held {peak:,.0f} MB | limit {LIMIT_MB:,} MB | {'ok' if holds else 'short'}",
        flush=True,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        sys.exit(main())
