"""`tajdid warehouse alternatives` on a published sample company."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.warehouse import run_sql
from tajdid.cli import app


def test_the_figures_of_a_sample_company_under_another_definition_can_be_asked(
    sample_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAJDID_HOME", str(sample_home))
    arguments = ["warehouse", "alternatives", "--company", "atlas", "--only", "discounts"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "discounts = list" in done.output
    # MRR without the discounts is the list MRR of every month.
    found = run_sql(
        sample_home / "atlas",
        "SELECT s.month, s.figure, v.value FROM policy.fct_policy_sensitivity AS s "
        "JOIN marts.fct_metric_values AS v ON v.metric_id = 'list_mrr' AND v.segment = 'all' "
        "AND (v.month, v.currency) = (s.month, s.currency) "
        "WHERE s.setting = 'discounts' AND s.alternative = 'list' AND s.metric_id = 'mrr'",
    )
    assert found.height == 13
    assert found["figure"].to_list() == pytest.approx(found["value"].to_list())
    assert run_sql(sample_home / "atlas", "SELECT * FROM policy.fct_restatement_causes").height == 0


def test_an_unknown_setting_is_refused() -> None:
    done = CliRunner().invoke(app, ["warehouse", "alternatives", "--only", "tirals"])
    assert done.exit_code == 2
    assert "Unknown setting tirals" in done.output
