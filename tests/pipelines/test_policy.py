"""policy.toml: what is allowed, what is refused, and when two policies are the same."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from pipelines import meta
from pipelines.policy import INSTALLATION, SETTINGS, PolicyError, read_policy
from pipelines.sources.loading import create_raw_tables


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_every_setting_has_its_default(tmp_path):
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.definition_version == "1"
    assert policy.settings["past_due_grace_days"] == "30"
    assert policy.settings["churn_at"] == "service_end"
    assert policy.settings["logo_denominator"] == "start_only_matched"
    assert policy.settings["week_factor"] == "52/12"
    assert policy.settings["min_customers"] == 30


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pauze = 'pause_to_zero'", "unknown setting pauze"),
        ("pause = 'zero'", "pause = 'zero' does not exist. Allowed: pause_to_zero, pause_ignored"),
        ("trials = true", "trials = True does not exist"),
        ("past_due_grace_days = -1", "past_due_grace_days"),
        ("past_due_grace_days = 400", "a number of days up to 365"),
        ("late_renewal_days = '30'", "must be a whole number, 0 to 365"),
        ("min_customers = 0", "must be a whole number, 1 to 10000"),
        ("reporting_currency = 'eur'", "no ISO 4217 code"),
        ("reporting_timezone = 'Europe/Londres'", "no IANA zone"),
        ("definition_version = ''", "definition_version"),
        ("pause = ", "no valid TOML"),
    ],
)
def test_a_typo_is_refused_with_the_file_and_what_is_allowed(tmp_path, text, told):
    with pytest.raises(PolicyError) as error:
        read_policy(write(tmp_path, text))
    assert told in str(error.value)
    assert "policy.toml" in str(error.value)


@pytest.mark.parametrize("days", ["0", "14", "90", "365", "'until_canceled'", "'restate'"])
def test_the_days_of_grace_are_a_number_or_a_word(tmp_path, days):
    policy = read_policy(write(tmp_path, f"past_due_grace_days = {days}"))
    assert policy.settings["past_due_grace_days"] == days.strip("'")


def test_every_alternative_of_every_setting_is_accepted_and_has_a_hash_of_its_own():
    hashes = {read_policy(None).policy_hash}
    tried = 1
    for name, setting in SETTINGS.items():
        for value in getattr(setting, "values", ())[1:]:
            hashes.add(read_policy(None, {name: value}).policy_hash)
            tried += 1
    assert len(hashes) == tried


def test_the_hash_follows_the_rules_and_not_the_version(tmp_path):
    default = read_policy(None)
    assert read_policy(None, {"definition_version": "2"}).policy_hash == default.policy_hash
    assert read_policy(write(tmp_path, "churn_at = 'service_end'")).policy_hash == default.policy_hash
    assert read_policy(None, {"reporting_currency": "USD"}).policy_hash != default.policy_hash


def test_the_policy_fills_every_column_of_its_table():
    connection = duckdb.connect(":memory:")
    create_raw_tables(connection)
    meta.write_policy(connection, read_policy(None))
    ((row,),) = [connection.execute("SELECT * FROM raw_meta.policy").fetchall()]
    assert None not in row
    columns = {column[0] for column in connection.execute("DESCRIBE raw_meta.policy").fetchall()}
    assert columns == {*SETTINGS, *INSTALLATION, "definition_version", "policy_hash"}


def test_the_metric_registry_fills_its_table_and_two_metrics_of_one_id_are_refused(tmp_path):
    connection = duckdb.connect(":memory:")
    create_raw_tables(connection)
    registry = tmp_path / "metrics.yml"
    entry = "- id: mrr\n  label: {en: MRR, ar: دخل}\n  unit: minor\n  direction: up\n"
    entry += "  settings: [trials, pause]\n"
    registry.write_text("metrics:\n" + re.sub("^", "  ", entry, flags=re.MULTILINE), encoding="utf-8")
    assert meta.write_metrics(connection, registry) == 1
    assert connection.execute(
        "SELECT metric_id, label_en, label_ar, good_direction, settings FROM raw_meta.metrics"
    ).fetchall() == [("mrr", "MRR", "دخل", "up", "trials, pause")]
    registry.write_text(entry + entry, encoding="utf-8")
    with pytest.raises(Exception, match="id of its own; see mrr"):
        meta.write_metrics(connection, registry)
