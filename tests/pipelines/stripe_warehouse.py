"""A Stripe export as a whole warehouse in memory: loaded, and the models executed on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import duckdb
import stripe_world as world

from pipelines.compiled import Model, execute
from pipelines.policy import read_policy
from pipelines.sources import stripe
from pipelines.sources.loading import SourceConfig, Stage
from tajdid.conformance.analytics_models import compiled_models, compiled_tests, open_warehouse

COMPILED = Path(tempfile.gettempdir()) / "tajdid-compiled"


@cache
def models() -> tuple[Model, ...]:
    return compiled_models(COMPILED)


def loaded(folder: Path) -> duckdb.DuckDBPyConnection:
    """The raw tables of an export, as of the end of April, in memory."""
    policy = read_policy(None, {"reporting_currency": "EUR", "reporting_timezone": "UTC"})
    connection = open_warehouse(policy, world.AS_OF)
    at = datetime(2024, 5, 1, 6, tzinfo=UTC)
    stage = Stage(connection, "b1", at, folder, "EUR", "UTC", lambda _: None)
    with stage.transaction():
        stripe.load(stage, SourceConfig("stripe", "stripe", str(folder)))
    for rate_set in ("daily", "budget"):
        connection.execute(
            "INSERT INTO raw_billing.fx_rates VALUES "
            "('2020-01-01', 'JPY', 'EUR', 1, ?, '2020-01-01', 'rates', 'rates')",
            [rate_set],
        )
    return connection


def built(folder: Path) -> duckdb.DuckDBPyConnection:
    """The same with all models made."""
    connection = loaded(folder)
    execute(connection, models())
    return connection


def broken_identities(connection: duckdb.DuckDBPyConnection) -> dict[str, Iterable[object]]:
    """The tests of the warehouse that find wrong rows, with the first of these."""
    return {
        test.name: found
        for test in compiled_tests(COMPILED)
        if (found := connection.execute(test.sql).fetchmany(3))
    }
