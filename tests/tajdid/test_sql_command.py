"""`tajdid warehouse sql`: any answer can be shown, and what is left out is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipelines import warehouse


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of one company with a published snapshot."""
    place = tmp_path_factory.mktemp("home")
    company = place / "acme"
    company.mkdir()
    (company / "company.toml").write_text('name = "acme"\n')
    with duckdb.connect(warehouse.start_stage(company, None)) as connection:
        connection.execute(
            "CREATE SCHEMA marts; CREATE TABLE marts.days AS SELECT range AS n FROM range(20000)"
        )
    warehouse.publish(company, "one")
    return place


def sql(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tajdid", "warehouse", "sql", *arguments],
        env=os.environ | {"TAJDID_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("written", ["[/x]", "[red]late[/red]", "[b]", ":smile:"])
def test_a_text_is_shown_as_it_is_written(home: Path, written: str) -> None:
    answer = sql(home, f"select '{written}' as \"{written}\"")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(written) == 2


def test_lists_structs_and_bytes_become_text_in_csv(home: Path) -> None:
    answer = sql(
        home,
        "--csv",
        "select [1, 2] as l, {'a': 1} as s, 'x'::blob as b, map {'k': 1} as m, [null::int] as n",
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["l,s,b,m,n", "\"[1, 2]\",{'a': 1},b'x',{'k': 1},[None]"]


def test_what_is_left_out_of_an_answer_is_said(home: Path) -> None:
    shown = sql(home, "select * from marts.days")
    assert "the first 1,000 rows" in shown.stderr.lower()
    told = sql(home, "--csv", "select * from marts.days")
    assert len(told.stdout.splitlines()) == 10_001
    assert "the first 10,000 rows" in told.stderr.lower()
    whole = sql(home, "--csv", "select * from marts.days limit 10000")
    assert len(whole.stdout.splitlines()) == 10_001
    assert whole.stderr == ""


def test_a_broken_pipe_is_no_crash(home: Path) -> None:
    command = f"{sys.executable} -m tajdid warehouse sql --csv 'select * from marts.days' | head -1"
    answer = subprocess.run(
        command,
        shell=True,
        env=os.environ | {"TAJDID_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.stdout == "n\n"
    assert "Traceback" not in answer.stderr


def test_a_statement_is_read_from_a_file_comments_and_all(home: Path, tmp_path: Path) -> None:
    (tmp_path / "days.sql").write_text("-- How many days?\nSELECT count(*) AS days FROM marts.days\n")
    answer = sql(home, "--csv", "--file", str(tmp_path / "days.sql"))
    assert answer.stdout.split() == ["days", "20000"]
    both = sql(home, "select 1", "--file", str(tmp_path / "days.sql"))
    assert (both.returncode, both.stderr) == (2, "Give one statement, or one with --file.\n")
