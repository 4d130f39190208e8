"""No feature of an account knows the day after: by cutting, changing and planting."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from account_models import FIRST_LOAD, MART, Accounts, Row, noon, snapshots
from lineage import FEATURE_MODEL, refuse_foreign_inputs, refuse_missing_columns
from polars.testing import assert_frame_equal
from random_accounts import watched_world
from subscription_models import models

from churn_model import dataset
from churn_model.dataset import features_of

MARCH, JUNE = date(2025, 3, 31), date(2025, 6, 30)
FEATURES = Path(dataset.__file__).with_name("account_features.toml")
OUTCOMES = (
    "ended_on",
    "ended_cause",
    "ended_recorded_on",
    "returned_within_30",
    "observed_until",
    "mrr_lost_share_90",
)


def is_recorded_by(row: Mapping[str, Any], on: date) -> bool:
    return row["load_id"] == FIRST_LOAD or row["recorded_at"] < noon(on + timedelta(days=1)) - timedelta(
        hours=12
    )


def features_until(world: Accounts, as_of: date, until: date) -> pl.DataFrame:
    connection = world.build(as_of, FEATURE_MODEL)
    frame = connection.sql(f"FROM intermediate.{FEATURE_MODEL}").pl()
    return frame.filter(pl.col("as_of") <= until).sort("as_of", "customer_id")


@pytest.mark.parametrize("seed", [1, 2])
def test_features_of_an_old_day_are_those_of_a_warehouse_that_ends_with_it(seed: int) -> None:
    world, old = watched_world(seed), MARCH
    full = features_until(world, JUNE, old)
    cut = features_until(world.keep(lambda _, row: is_recorded_by(row, old)), old, old)
    assert_frame_equal(full, cut, check_exact=True)
    assert full.height > 50
    empty = {feature.name for feature in features_of(FEATURES) if full[feature.name].is_null().all()}
    assert empty <= {"price_rise_365", "orders_same_season"}


def test_known_to_is_the_same_cut() -> None:
    world, old = watched_world(3).keep(lambda _, row: row["load_id"] != FIRST_LOAD), MARCH
    connection = world.build(JUNE, FEATURE_MODEL)
    full = connection.sql(f"FROM intermediate.{FEATURE_MODEL}").pl().filter(pl.col("as_of") <= old)
    limit = noon(old + timedelta(days=1)) - timedelta(hours=12)
    connection = world.build(old, FEATURE_MODEL, known_to=limit)
    cut = connection.sql(f"FROM intermediate.{FEATURE_MODEL}").pl()
    assert_frame_equal(full.sort("as_of", "customer_id"), cut.sort("as_of", "customer_id"), check_exact=True)


def test_what_comes_after_changes_no_feature_but_the_labels() -> None:
    world, old = watched_world(4), MARCH
    before = features_until(world, JUNE, old)
    kept = [row for row in world.rows if is_recorded_by(row[1], old)]
    later = [row for row in world.rows if not is_recorded_by(row[1], old)]
    draw = random.Random(9)

    def replaced(row: Row) -> Row:
        return {
            name: value + 1
            if isinstance(value, int) and not isinstance(value, bool) and name != "version_no"
            else value
            for name, value in row.items()
        }

    changed = Accounts()
    changed.rows = kept + [(table, replaced(row)) for table, row in later if draw.random() < 0.7]
    draw.shuffle(changed.rows)
    assert_frame_equal(features_until(changed, JUNE, old), before, check_exact=True)

    alone = Accounts()
    alone.rows = kept
    outcomes = []
    for one in (world, alone):
        rows = snapshots(one.build(JUNE))
        outcomes.append(
            {key: tuple(row[name] for name in OUTCOMES) for key, row in rows.items() if key[1] <= old}
        )
    assert outcomes[0].keys() == outcomes[1].keys()
    assert {key for key in outcomes[0] if outcomes[0][key][0] != outcomes[1][key][0]}


def test_an_import_tells_of_each_day_only_what_had_happened() -> None:
    """Every row came in one load, a year later: what is dated after the day is taken away, features stay."""
    world, old = watched_world(5), MARCH
    newest: dict[tuple[Any, ...], tuple[str, Row]] = {}
    keys = {
        "raw_billing.subscription_versions": ("subscription_item_id", "version_no"),
        "raw_billing.usage_days": ("subscription_item_id", "meter", "used_on"),
        "raw_billing.customers": ("customer_id", "valid_from"),
        "raw_billing.customer_parents": ("customer_id", "valid_from"),
        "raw_crm.accounts": ("account_id", "valid_from"),
        "raw_orders.order_lines": ("order_id",),
    }
    for table, row in sorted(world.rows, key=lambda one: one[1]["recorded_at"]):
        key = keys.get(table, tuple(name for name in row if name.endswith("_id"))[:1])
        newest[(table, *(row[name] for name in key))] = (table, row)
    imported, shortened = Accounts(), Accounts()
    limit = noon(old + timedelta(days=1)) - timedelta(hours=12)

    def is_later(value: object) -> bool:
        return value >= limit if isinstance(value, datetime) else isinstance(value, date) and value > old

    happening = (
        "valid_from",
        "used_on",
        "issued_on",
        "attempted_at",
        "opened_at",
        "opened_on",
        "answered_on",
    )
    happening += ("happened_at", "ordered_at", "applied_on")
    ends = ("closed_at", "left_on", "cancel_requested_on", "voided_on")
    for table, row in newest.values():
        told = {name: value for name, value in row.items() if name not in ("recorded_at", "load_id")}
        imported.history(table, **told)
        if any(is_later(told.get(name)) for name in happening):
            continue
        known = told | {name: None for name in ends if is_later(told.get(name))}
        if table == "raw_billing.subscription_versions" and is_later(told.get("valid_to")):
            asked = told.get("cancel_requested_on")
            if asked is None or is_later(asked):
                known["valid_to"] = None
        if "csat" in told and is_later(told.get("closed_at")):
            known["csat"] = None
        if "priority" in told:
            known["priority"] = "low"
        shortened.history(table, **known)
    full = features_until(imported, JUNE, old)
    assert full.height > 60
    assert_frame_equal(full, features_until(shortened, old, old), check_exact=True)


@pytest.fixture(scope="module")
def lineage() -> tuple[dict[str, tuple[str, ...]], dict[str, set[str]]]:
    connection = Accounts().build(JUNE)
    columns: dict[str, set[str]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'warehouse'"
    ).fetchall():
        columns.setdefault(table, set()).add(column)
    return {model.name: model.reads for model in models()}, columns


def test_features_rest_on_rows_that_say_when_they_were_known(lineage: Any) -> None:
    refuse_foreign_inputs(*lineage)


@pytest.mark.parametrize(
    "foreign", ["stg_billing__subscription_versions", "int_item_versions", "fct_mrr_spells"]
)
def test_a_planted_model_that_reads_the_newest_rows_is_refused(lineage: Any, foreign: str) -> None:
    reads, columns = lineage
    planted = reads | {"int_planted": (foreign,), FEATURE_MODEL: (*reads[FEATURE_MODEL], "int_planted")}
    with pytest.raises(ValueError, match="does not say when its rows were known"):
        refuse_foreign_inputs(planted, columns)


def test_a_planted_feature_that_is_an_outcome_is_refused(lineage: Any, tmp_path: Path) -> None:
    _, columns = lineage
    for name in OUTCOMES:
        with pytest.raises(ValueError, match=name):
            refuse_missing_columns([name], columns[FEATURE_MODEL])
        planted = tmp_path / f"{name}.toml"
        entry = FEATURES.read_text(encoding="utf-8").split("[[feature]]")[1]
        planted.write_text("[[feature]]" + entry.replace('"tenure_days"', f'"{name}"'), encoding="utf-8")
        with pytest.raises(ValueError, match=name):
            features_of(planted)


def test_every_feature_is_a_column_and_every_column_is_described(lineage: Any) -> None:
    _, columns = lineage
    features = {feature.name: feature for feature in features_of(FEATURES)}
    refuse_missing_columns(features, columns[FEATURE_MODEL])
    beside = {"customer_id", "as_of", "is_at_risk", "has_notice", "mrr_minor", "currency", "commitment_class"}
    beside |= {"decision_on", "committed_365_minor", "no_usage_feed", "no_crm_account", "known_day_assumed"}
    assert columns[FEATURE_MODEL] == set(features) | beside
    assert columns[MART] == columns[FEATURE_MODEL] | set(OUTCOMES) | {"is_month_end"}


def test_the_file_of_features_agrees_with_the_types_of_the_mart() -> None:
    connection = Accounts().build(JUNE)
    types = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE marts.{MART}").fetchall()}
    for feature in features_of(FEATURES):
        expected = "VARCHAR" if feature.kind == "categorical" else "DOUBLE"
        assert types[feature.name] == expected, feature.name
        assert feature.kind in ("numeric", "categorical")
        assert feature.direction in ("up", "down", "none")
        assert feature.owner
        for template in (feature.template_en, feature.template_ar):
            assert template.count("{value}") == template.count("{typical}") == 1
        assert bool(feature.template_null_en) == bool(feature.template_null_ar)
        if not feature.null_rule.startswith("never"):
            assert feature.template_null_en, feature.name
    texts = {feature.name for feature in features_of(FEATURES) if not feature.is_reason}
    assert texts == {"segment", "country_group", "acquisition_channel", "month_of_year"}
