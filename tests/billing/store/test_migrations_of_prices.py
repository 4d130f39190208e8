"""A database from before price choices keeps its prices: each version has the choice its one list made."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import literal, select, text

from billing.store import migrations
from billing.store.store import open_store

_AT = "'2025-01-01 00:00:00.000000'"
_ROWS = (
    f"INSERT INTO currencies VALUES ('EUR', 2, {_AT})",
    f"INSERT INTO legal_entities VALUES ('e', 'E', 'DE', NULL, {_AT}, {_AT})",
    "INSERT INTO customers (customer_id, name, is_test, created_on, root_id, bill_to_id, entity_id, currency,"
    " country, hold, recorded_at, changed_at)"
    f" VALUES ('a', 'A', false, '2025-01-01', 'a', 'a', 'e', 'EUR', 'DE', false, {_AT}, {_AT})",
    f"INSERT INTO products VALUES ('g', 'G', 'standard', 'standard', {_AT})",
    f"INSERT INTO plans VALUES ('p', 'g', 'P', NULL, false, {_AT}, {_AT})",
    f"INSERT INTO plan_versions VALUES ('p', 1, 'P1M', true, {_AT})",
    "INSERT INTO components (component_id, plan_id, plan_version, position, name, kind, recorded_at)"
    f" VALUES ('c', 'p', 1, 1, 'seat', 'seat', {_AT})",
    f"INSERT INTO price_lists VALUES ('l', 'L', 'list', NULL, 'EUR', '2000-01-01', NULL, {_AT})",
    "INSERT INTO prices (price_id, list_id, component_id, model, currency, price_scale, recorded_at)"
    f" VALUES ('x', 'l', 'c', 'volume', 'EUR', 2, {_AT})",
    f"INSERT INTO price_tiers VALUES ('x', 1, 10, 500, 0, {_AT})",
    f"INSERT INTO price_tiers VALUES ('x', 2, NULL, 400, 0, {_AT})",
    "INSERT INTO subscriptions (subscription_id, sold_to, bill_to, ship_to, anchor_on, starts_on,"
    " billing_starts_on, status, was_in_dunning, recorded_at, changed_at) VALUES ('s', 'a', 'a', 'a',"
    f" '2025-01-01', '2025-01-01', '2025-01-01', 'active', false, {_AT}, {_AT})",
    f"INSERT INTO items VALUES ('i', 's', 'a', false, {_AT})",
    "INSERT INTO item_versions (version_id, item_id, effective_start, plan_id, plan_version, list_id,"
    " price_id, quantity_mantissa, anchor_on, phase, reason, recurring_minor, recorded_at, changed_at)"
    " VALUES ('v', 'i', '2025-01-01',"
    f" 'p', 1, 'l', 'x', 3, '2025-01-01', 'regular', 'subscribe', 1500, {_AT}, {_AT})",
)


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> str:
    """The URL of a database without a schema."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'old.db'}"
    with open_store(database_url) as store:
        store.execute(text("DROP SCHEMA public CASCADE"))
        store.execute(text("CREATE SCHEMA public"))
    return database_url


def test_an_older_database_keeps_its_prices_and_tiers(empty_url: str) -> None:
    with open_store(empty_url) as store:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = store._connection
        assert store.row(select(literal(1))) is not None
        with store.transaction():
            command.upgrade(config, "0002")
        for row in _ROWS:
            store.execute(text(row))
        store.migrate()
        choices = store._connection.execute(
            text(
                "SELECT v.version_id, c.component_id, c.price_id, c.lost_by FROM item_versions v "
                "JOIN price_choices c ON c.choice_id = v.choice_id"
            )
        ).fetchall()
        tiers = store._connection.execute(
            text("SELECT price_id, position, up_to, unit_mantissa FROM price_tiers ORDER BY position")
        ).fetchall()
    assert choices == [("v", "c", "x", None)]
    assert tiers == [("x", 1, 10, 500), ("x", 2, None, 400)]
