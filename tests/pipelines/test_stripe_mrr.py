"""The MRR of a Stripe export, worked out by hand, as its events tell it and as its invoices do."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import duckdb
import pytest
import stripe_world as world

from pipelines.compiled import Model, execute, needed
from pipelines.policy import read_policy
from pipelines.sources import stripe
from pipelines.sources.loading import SourceConfig, Stage
from tajdid.conformance.analytics_models import compiled_models, compiled_tests, open_warehouse

COMPILED = Path(tempfile.gettempdir()) / "tajdid-compiled"
MARTS = ("fct_customer_months", "fct_mrr_movements")


@cache
def models() -> tuple[Model, ...]:
    return compiled_models(COMPILED)


def built(folder: Path, *marts: str) -> duckdb.DuckDBPyConnection:
    """The export as a warehouse in memory, as of the end of April."""
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
    if marts:
        execute(connection, needed(models(), *marts))
    return connection


WAYS = {
    "with events": {"event": True, "subscription": True},
    "rebuilt from lines": {"event": False, "subscription": True},
}


@pytest.fixture(scope="module", params=WAYS)
def warehouse(request, tmp_path_factory):
    way = WAYS[request.param]
    folder = tmp_path_factory.mktemp("stripe")
    world.write(
        folder, customers=world.customers(), invoices=world.invoices(), subscriptions=world.subscriptions()
    )
    if way["event"]:
        world.write(folder, events=world.events())
    return request.param, built(folder, *(model.name for model in models()))


def test_the_close_of_each_month_is_what_was_worked_out_by_hand(warehouse):
    rows = warehouse[1].execute(
        "SELECT customer_id, month, closing_mrr::DOUBLE FROM marts.fct_customer_months WHERE closing_mrr <> 0"
    )
    assert sorted(rows.fetchall()) == sorted(
        (who, date(2024, month, 1), mrr)
        for who, year in world.EXPECTED.items()
        for month, mrr in enumerate(year, 1)
        if mrr
    )


def test_the_identities_of_the_warehouse_hold(warehouse):
    wrong = {
        test.name: found
        for test in compiled_tests(COMPILED)
        if (found := warehouse[1].execute(test.sql).fetchmany(3))
    }
    assert wrong == {}
