"""A scoring run: read the snapshots, train when due, evaluate, score, explain, and leave the schema `churn`.

A model is due when the closed snapshots, the features or this code have changed since the last one. Scores
are append-only: what earlier builds gave comes back from history, a day already scored by the same model is
left as it is, and a build whose history was changed fails. Training, backtest and scoring go through the same
functions, here and in `tajdid churn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
from threadpoolctl import threadpool_limits

from churn_model import score_history, stage, tables, watch
from churn_model.account_scoring import Accounts, accounts_of
from churn_model.actions import NOTHING_STATED, Assumptions
from churn_model.dataset import Feature, features_of
from churn_model.outcomes import outcomes_of
from churn_model.run import Family, Run, enough_on, score_family
from churn_model.stage import Status
from churn_model.trade import trade_of
from churn_model.training import Progress, Trained
from churn_model.withholding import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_MEMORY = "1500MB"
"""What the database may hold; beyond it, it sorts and compares on disk, beside its file."""


def score_stage(
    stage_file: Path,
    *,
    folder: Path,
    as_of: date,
    scored_at: datetime,
    progress: Progress = lambda _: None,
    features: Sequence[Feature] | None = None,
    account_features: Sequence[Feature] | None = None,
    assumptions: Assumptions = NOTHING_STATED,
    sources: Sequence[Source] = (),
    treatments: pl.DataFrame | None = None,
) -> None:
    """Write schema `churn` of a stage file; model files and the report go to `folder`/churn/<model_id>/.

    With nobody at risk the tables stay empty and churn_status says why. With too little history to train, the
    points score stands in: kind `rule`, no probabilities. Runs on one thread: the same data then gives the
    same bytes, and many threads on few cores take several times as long. `features` are those of repeat
    trade, from features.toml unless others are given; `treatments` is the treatment log.

    Raises HistoryChanged, ModelRefused.
    """
    with threadpool_limits(limits=1), opened(stage_file) as connection:
        score_history.check_files(connection)
        measured = watch.earlier(connection, as_of)
        tables.create_tables(connection)
        score_history.load(connection)
        if treatments is not None:
            tables.insert(connection, "churn_treatments", treatments)
        tables.insert(connection, "churn_monitoring", measured)
        run = Run(
            connection,
            folder,
            as_of,
            scored_at,
            progress,
            assumptions,
            sources,
            exponents=stage.exponents_of(connection),
            rates=stage.rates_of(connection),
            reporting_currency=stage.reporting_currency_of(connection),
            scratch=stage_file.parent,
        )
        outcomes = outcomes_of(connection, as_of)
        past = watch.Past(measured, outcomes, watch.save_rates_of(connection, outcomes))
        watch.write_save_rates(run, past.rates)
        run = replace(run, assumptions=watch.with_measured(assumptions, past.rates))
        found = [status_of(run, family, past) for family in families(run, features, account_features)]
        stage.write_status(connection, as_of, [status for status in found if status is not None])
        stage.write_scorings(connection)
        score_history.check_tables(connection)


def train_snapshot(
    snapshot: Path, *, folder: Path, as_of: date, trained_at: datetime, progress: Progress = lambda _: None
) -> list[Trained]:
    """Train on a published warehouse, which is only read; the models of each class there is, in their
    folders.

    Raises TooLittleData where no class has enough, and ModelRefused.
    """
    from churn_model.protocol import TooLittleData

    trained, refusals = [], []
    with threadpool_limits(limits=1), opened(snapshot, read_only=True) as connection:
        run = Run(connection, folder, as_of, trained_at, progress, rates=stage.rates_of(connection))
        for family in families(run):
            try:
                trained.append(family.train(run))
            except TooLittleData as refusal:
                progress(f"churn: {family.commitment} not trained: {refusal}")
                day = enough_on(family.panel, as_of)
                when = f" Enough is expected by {day}." if day else ""
                refusals.append(f"{family.commitment}: {refusal}{when}")
    if not trained:
        raise TooLittleData(" ".join(refusals) or stage.NOTHING.reason_en)
    return trained


@contextmanager
def opened(file: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(file), read_only=read_only)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{DATABASE_MEMORY}'")
        yield connection
    finally:
        connection.close()


def families(
    run: Run,
    features: Sequence[Feature] | None = None,
    account_features: Sequence[Feature] | None = None,
) -> list[Family]:
    """Accounts, then repeat trade of those who are no account; those that this company has."""
    accounts = accounts_of(run, account_features)
    contracted: list[str] = []
    if accounts is not None:
        contracted = [
            customer
            for frame in (accounts.panel.on(run.as_of).frame, accounts.others)
            for customer in frame.filter(pl.col("as_of") == run.as_of)["customer_id"]
        ]
    trade = trade_of(run, tuple(features or features_of()), contracted)
    return [family for family in (accounts, trade) if family is not None]


def status_of(run: Run, family: Family, past: watch.Past) -> Status | None:
    """Score a class; where nobody is at risk that day, list those that have given notice. None where nothing
    is to be done."""
    if has_customers(family, run.as_of):
        return score_family(run, family, past)
    return family.only_leaving(run) if isinstance(family, Accounts) else None


def has_customers(family: Family, as_of: date) -> bool:
    return bool((family.panel.as_of == as_of).any())
