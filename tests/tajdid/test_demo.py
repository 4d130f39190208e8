"""`tajdid demo` ends with two published companies, rebuilds nothing, and survives a broken build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def tajdid(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tajdid", *arguments],
        env=os.environ | {"TAJDID_HOME": str(home), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def pointers(home: Path) -> dict[str, str]:
    return {name: (home / name / "warehouse" / "current").read_text().strip() for name in ("retail", "atlas")}


def copied(home: Path, name: str, to: Path) -> Path:
    shutil.copytree(home / name, to / name)
    return to


def test_both_companies_are_published_and_a_second_demo_rebuilds_nothing(sample_home: Path) -> None:
    before = pointers(sample_home)
    again = tajdid(sample_home, "demo", "--no-serve", "--customers", "80")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("current") == 2
    assert pointers(sample_home) == before


def test_one_read_only_statement_is_answered(sample_home: Path) -> None:
    answer = tajdid(
        sample_home,
        "warehouse",
        "sql",
        "--company",
        "retail",
        "--csv",
        "select sum(amount_minor) from raw_orders.order_lines",
    )
    assert answer.stdout.split() == ["sum(amount_minor)", "1634365102"]


def test_a_statement_that_writes_is_refused(sample_home: Path) -> None:
    answer = tajdid(sample_home, "warehouse", "sql", "--company", "retail", "drop schema marts cascade")
    assert answer.returncode == 2
    assert answer.stderr


def test_a_broken_orders_file_leaves_readers_on_the_last_good_snapshot(
    sample_home: Path, tmp_path: Path
) -> None:
    home = copied(sample_home, "retail", tmp_path)
    before = (home / "retail" / "warehouse" / "current").read_text()
    (home / "retail" / "orders" / "lines.parquet").write_bytes(b"not a parquet file")
    failed = tajdid(home, "warehouse", "build", "--company", "retail")
    assert failed.returncode == 1
    assert "lines.parquet" in failed.stderr
    assert (home / "retail" / "warehouse" / "current").read_text() == before
    still = tajdid(home, "warehouse", "sql", "--csv", "select count(*) from marts.dim_metrics")
    assert still.returncode == 0
    status = tajdid(home, "warehouse", "status")
    assert "failed" in status.stdout


def test_the_churn_report_stands_beside_the_recency_rule_and_the_base_rate(sample_home: Path) -> None:
    shown = tajdid(sample_home, "churn", "report", "--company", "retail")
    assert shown.returncode == 0, shown.stderr
    for word in ("base_rate", "recency"):
        assert word in shown.stdout


def test_an_unknown_company_is_told_by_name(sample_home: Path) -> None:
    answer = tajdid(sample_home, "warehouse", "status", "--company", "nobody")
    assert answer.returncode == 2
    assert "nobody" in answer.stderr
    assert "atlas, retail" in answer.stderr
