"""Atlas beside its true hazards: part of `make bench-churn`.

The simulator draws who leaves from hazards that it knows, and writes them to simulated_truth.parquet, which
no source, table or model reads. This is what that file is for. Four test days, a quarter apart so that no
outcome counts twice. The champion is the one the protocol names on origins whose outcomes were over before
the first of them; on each day it is trained on what was known by then, and scores and explains through the
path of the product. Claims, over the four days:

- its AUC is within .02, its Brier score within .005 of those of the true probability on the same outcomes
  (billing/simulator/foresight.py says what the truth knows on a day);
- each planted driver is among the five stories of the reasons that move the scores most;
- NPS, the planted noise, is in no reason of the top 5 % of a day;
- of the 90-day list at most 2 % are yearly accounts without a decision point within 90 days;
- of the payments that fail as planned and whose first decline was there by the day, at least 80 % are named
  as such: cause `involuntary`. Of those that began to fail after it nothing shows; they are counted apart.

An account is a tree of customers here: it ends when the last of them does.

Beside the two distances stands what chance makes of them: their 95 % interval by a bootstrap of customers.
A company of two thousand loses fifty in a quarter; whether it is the model or luck that falls short, a larger
one of the same generator tells (`tajdid demo --customers 8000`). And beside the model stand two who know more
of the truth: an observer who knows every parameter of it, but of a customer only what shows by the day
(billing/simulator/observer.py; no model is to be expected past it), and who knows its form and counts its few
rates on the same rows (benchmarks/known_form.py).

ATLAS names the folder of an atlas that is built already; it is only read. Without it one is made.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from known_form import p_90_of_form
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from churn_model import account_protocol, accounts, metrics, stage
from churn_model.account_scoring import Accounts, accounts_of
from churn_model.dataset import HORIZON_DAYS, closed_origins
from churn_model.explain import TIMING
from churn_model.run import Run
from churn_model.tables import create_tables
from churn_model.training import Trained, support_of
from pipelines.run import build
from pipelines.warehouse import current, quoted
from tajdid.demo import prepare
from tajdid.workspace import build_request

DAYS, STEP = 4, 3
"""So many test days, so many months from one to the next."""
AUC_LIMIT, BRIER_LIMIT, YEARLY_LIMIT, NAMED_LIMIT = 0.02, 0.005, 0.02, 0.80
LISTED, FIRST_STORIES = 0.05, 5
PLANTED = {
    "term": "timing",
    "payment": "payments",
    "usage": "usage",
    "support": "support",
    "price": "price",
}
"""The story of the reasons that each planted cause shows in."""
NOISE = "nps"
READ = {
    "marts": ("fct_account_snapshots",),
    "intermediate": ("int_rates", "int_account_customers"),
    "raw_meta": ("build", "currencies", "policy"),
}
Column = NDArray[np.float64]


@dataclass
class Seen:
    """What the test days brought: by row the account, the outcome, the model's and the truth's
    probabilities."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    stories: Counter[str] = field(default_factory=Counter)
    noisy_reasons: int = 0
    top_rows: int = 0
    listed: int = 0
    yearly: int = 0


def main() -> int:
    if folder := os.environ.get("ATLAS"):
        return judged(Path(folder))
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as home:
        company = prepare(Path(home), "atlas", tell)
        result = build(build_request(company, datetime.now(UTC)), progress=tell)
        if result.status != "published":
            sys.exit(f"atlas was not built: {result.message}")
        return judged(company.folder)


def tell(text: str) -> None:
    print(text, flush=True)


def judged(folder: Path) -> int:
    """The exit code: 1 where a claim falls short."""
    snapshot = current(folder)
    if snapshot is None:
        sys.exit(f"{folder} has no warehouse: build it first")
    with duckdb.connect() as connection:
        show(connection, snapshot)
        (as_of,) = connection.execute("SELECT as_of FROM raw_meta.build").fetchall()[0]
        run = Run(
            connection,
            folder,
            as_of,
            datetime.now(UTC),
            exponents=stage.exponents_of(connection),
            rates=stage.rates_of(connection),
            reporting_currency=stage.reporting_currency_of(connection),
        )
        family = accounts_of(run)
        if family is None:
            sys.exit(f"{folder} has no account")
        truth = true_risks(connection, folder / "simulated_truth.parquet")
        seen = on_test_days(run, family, truth)
    return 0 if all(claims(seen)) else 1


def show(connection: duckdb.DuckDBPyConnection, snapshot: Path) -> None:
    """Show what scoring reads of a warehouse, which is not written to, beside scores of nobody."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH {quoted(str(snapshot))} AS world (READ_ONLY)")
    for schema, names in READ.items():
        connection.execute(f"CREATE SCHEMA {schema}")
        for name in names:
            connection.execute(f"CREATE VIEW {schema}.{name} AS FROM world.{schema}.{name}")
    create_tables(connection)


def true_risks(connection: duckdb.DuckDBPyConnection, path: Path) -> pl.DataFrame:
    """Of each account and month end: what is true of its customers, and whether a planted failure of payment
    ends it within the horizon.
    """
    return connection.execute(
        """
        WITH truth AS (
          SELECT *, month - 1 AS as_of FROM read_parquet($path) WHERE p_90 IS NOT NULL
        ),
        failures AS (
          SELECT customer_id, month FROM read_parquet($path) WHERE cause = 'payment'
        )
        SELECT owners.customer_id, truth.as_of,
          product(p_90) AS p_true, product(p_90_shown) AS p_shown,
          bool_and(failures.customer_id IS NOT NULL) AS is_planted, max(p_payment_90) > 0.5 AS has_begun
        FROM truth
        JOIN intermediate.int_account_customers AS owners
          ON owners.as_of = truth.as_of AND owners.billed_customer_id = truth.customer_id
        LEFT JOIN failures ON failures.customer_id = truth.customer_id
          AND failures.month > truth.as_of AND failures.month <= truth.as_of + $days
        GROUP BY ALL
        """,
        {"path": str(path), "days": HORIZON_DAYS},
    ).pl()


def on_test_days(run: Run, family: Accounts, truth: pl.DataFrame) -> Seen:
    """Train, score and explain on each test day as the product does, and set the truth beside it."""
    closed = closed_origins(family.panel, run.as_of)
    days = closed[-1 - STEP * (DAYS - 1) :: STEP]
    evaluation, with_season = account_protocol.evaluate(family.panel, family.inputs, days[-1], tell)
    chosen_on = [day for day in evaluation.origins if day + timedelta(days=HORIZON_DAYS) > days[0]]
    assert not chosen_on, f"the outcomes of {chosen_on} chose the champion and are test outcomes too"
    tell(f"champion: {evaluation.champion}, {'with' if with_season else 'without'} season")
    seen = Seen()
    for day in days:
        tell(f"test day {day}")
        trained = model_of(family, day, evaluation.champion, with_season)
        now = Run(
            run.connection,
            run.folder,
            day,
            run.scored_at,
            exponents=run.exponents,
            rates=run.rates,
            reporting_currency=run.reporting_currency,
        )
        take(seen, family, day, pl.concat(family.score(now, trained, []), how="diagonal_relaxed"), truth)
    return seen


def model_of(family: Accounts, day: date, champion: str, with_season: bool) -> Trained:
    """The champion on what was known on a day, as `Accounts.train` makes it."""
    known = family.panel.closed_by(day)
    model = account_protocol.fit_all(family.panel, family.inputs, day)[champion]
    manifest = {
        "with_season": with_season,
        "references": accounts.references_of(known, family.inputs).to_json(),
        "support": support_of(known.frame),
    }
    return Trained(f"truth-{day}", model.to_json(), manifest, {})


def take(seen: Seen, family: Accounts, day: date, scores: pl.DataFrame, truth: pl.DataFrame) -> None:
    """Note what the scores of a day say."""
    now = family.panel.on(day)
    outcomes = now.frame.select("customer_id", "as_of", "ended_cause", "interval_months").with_columns(
        left=pl.Series(now.y), p_form=pl.Series(p_90_of_form(family, day))
    )
    rows = scores.filter(pl.col("p_90").is_not_null()).join(outcomes, on=["customer_id", "as_of"])
    beside = rows.join(truth, on=["customer_id", "as_of"])
    if lost := rows.height - beside.height:
        tell(f"{lost} of {rows.height} accounts of {day} are not in the truth: left out")
    seen.frames.append(
        beside.select(
            *("customer_id", "as_of", "left", "p_90", "p_true", "p_shown", "p_form"),
            *("is_planted", "has_begun", "cause", "ended_cause"),
        )
    )
    story_of = {one.name: story(one.family, one.theme) for one in (*family.features, TIMING)}
    for parts in rows["contributions"].to_list():
        by_story: Counter[str] = Counter()
        for part in parts:
            by_story[story_of[part["feature"]]] += part["points"]
        seen.stories.update({name: abs(points) for name, points in by_story.items()})
    top = rows.sort("p_90", descending=True).head(-(-int(rows.height * LISTED * 100) // 100))
    told = [row[f"reason_{n}"]["feature"] for row in top.to_dicts() for n in (1, 2, 3) if row[f"reason_{n}"]]
    seen.noisy_reasons += sum(name.startswith(NOISE) for name in told)
    seen.top_rows += top.height
    listed = rows.filter(pl.col("list_name") == "now")
    seen.listed += listed.height
    is_far = pl.col("decision_on").is_null() | (pl.col("decision_on") > day + timedelta(days=HORIZON_DAYS))
    seen.yearly += listed.filter((pl.col("commitment_class") == "term") & is_far).height


def story(family: str, theme: str) -> str:
    """What reasons are summed by, a rise of prices being a story of its own."""
    return theme if theme in (TIMING.theme, PLANTED["price"], NOISE) else family


def claims(seen: Seen) -> list[bool]:
    """Print every figure beside its limit."""
    rows = pl.concat(seen.frames)
    days = rows["as_of"].unique().sort().to_list()
    tell(f"{rows.height:,} accounts on {len(days)} days, {int(rows['left'].sum())} left within 90 days")
    of_day = {
        name: [
            both(
                rows.filter(pl.col("as_of") == day)["left"].to_numpy(),
                rows.filter(pl.col("as_of") == day)[name].to_numpy(),
            )
            for day in days
        ]
        for name in ("p_90", "p_true", "p_shown", "p_form")
    }
    auc = {name: float(np.mean([one[0] for one in values])) for name, values in of_day.items()}
    brier = {name: float(np.mean([one[1] for one in values])) for name, values in of_day.items()}
    for name, low, high in intervals(rows):
        tell(f"{name} off by {low:.4f} to {high:.4f}: 95 % of the draws of customers")
    for name, who in (
        ("p_shown", "knows the rates and sees what shows"),
        ("p_form", "knows the form and counts its rates"),
    ):
        tell(
            f"who {who}: AUC {auc[name]:.4f}, Brier {brier[name]:.4f}, "
            f"off by {auc['p_true'] - auc[name]:.4f} and {brier[name] - brier['p_true']:.4f}"
        )
    mean_sizes = [(name, size / rows.height) for name, size in seen.stories.most_common()]
    tell("stories by mean size: " + ", ".join(f"{name} {100 * size:.2f}" for name, size in mean_sizes))
    first = {name for name, _ in mean_sizes[:FIRST_STORIES]}
    failed = rows.filter(pl.col("is_planted") & (pl.col("left") == 1))
    planted = failed.filter("has_begun")
    named = planted.filter(pl.col("cause") == "involuntary").height / max(planted.height, 1)
    missing = [cause for cause, name in PLANTED.items() if name not in first]
    return [
        said(
            "AUC",
            auc["p_90"],
            f"true probability {auc['p_true']:.4f}",
            auc["p_true"] - auc["p_90"],
            AUC_LIMIT,
        ),
        said(
            "Brier",
            brier["p_90"],
            f"true probability {brier['p_true']:.4f}",
            brier["p_90"] - brier["p_true"],
            BRIER_LIMIT,
        ),
        said("planted drivers not in the top 5", len(missing), ", ".join(missing) or "none", len(missing), 0),
        said(
            "NPS in a reason of the top 5 %",
            seen.noisy_reasons,
            f"{seen.top_rows} rows",
            seen.noisy_reasons,
            0,
        ),
        said(
            "yearly accounts without a decision on the 90-day list",
            seen.yearly / seen.listed,
            f"{seen.yearly} of {seen.listed}",
            seen.yearly / seen.listed,
            YEARLY_LIMIT,
        ),
        said(
            "planted failures of payment named involuntary",
            named,
            f"{planted.height} that showed, {failed.height - planted.height} that began to fail later",
            1 - named,
            1 - NAMED_LIMIT,
        ),
    ]


def intervals(rows: pl.DataFrame) -> list[tuple[str, float, float]]:
    """By figure the 95 % interval of its distance from that of the true probability, customers drawn anew
    together with all their days."""
    customers = rows.select(pl.col("customer_id").rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    weights = metrics.bootstrap_weights(int(customers.max()) + 1, seed=0)[:, customers]
    found = []
    for name, figure, sign in (("AUC", metrics.auc, 1.0), ("Brier", metrics.brier, -1.0)):
        missed = []
        for day in rows["as_of"].unique().sort():
            at = (rows["as_of"] == day).to_numpy()
            y = rows["left"].to_numpy()[at]
            said, true = (figure(y, rows[p].to_numpy()[at], weights[:, at]) for p in ("p_90", "p_true"))
            missed.append(sign * (true - said))
        low, high = np.nanquantile(np.mean(missed, axis=0), [0.025, 0.975])
        found.append((name, float(low), float(high)))
    return found


def both(y: Column, p: Column) -> tuple[float, float]:
    """AUC and Brier score."""
    return float(metrics.auc(y, p)[0]), float(((p - y) ** 2).mean())


def said(claim: str, value: float, beside: str, missed: float, limit: float) -> bool:
    """One line of a claim; `missed` may be up to the limit."""
    holds = missed <= limit + 1e-12
    tell(
        f"{claim}: {value:.4g} | {beside} | off by {missed:.4f}, limit {limit:g} | "
        f"{'ok' if holds else 'short'}"
    )
    return holds


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        sys.exit(main())
