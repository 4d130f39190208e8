"""The worked questions and the notebook for analysts run as they are printed, on a published snapshot."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pipelines.warehouse import open_snapshot, run_sql

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "docs" / "sql").glob("*.sql"))


@dataclass(frozen=True)
class Question:
    """A file of docs/sql: what it asks, what it warns of, its sample company, the columns of its answer."""

    asked: str
    warning: str
    sample: str
    columns: list[str]
    statement: str


def question(path: Path) -> Question:
    text = path.read_text(encoding="utf-8")
    header = re.match(
        r"-- Question: (?P<asked>.+\?)\n-- Look out: (?P<warning>[^\n]+(?:\n--   [^\n]+)*)\n"
        r"-- Sample: (?P<sample>\w+)\n-- Columns: (?P<columns>.+)\n(?!--)",
        text,
    )
    assert header, f"{path.name} has no header of question, look out, sample and columns"
    return Question(header["asked"], header["warning"], header["sample"], header["columns"].split(", "), text)


def answer(home: Path, number: int) -> pl.DataFrame:
    asked = question(FILES[number - 1])
    return run_sql(home / asked.sample, asked.statement)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_question_has_an_answer_of_the_columns_it_promises(sample_home: Path, path: Path) -> None:
    asked = question(path)
    rows = run_sql(sample_home / asked.sample, asked.statement)
    assert rows.columns == asked.columns
    assert rows.height > 0


def test_there_are_twenty_questions_and_the_guide_lists_each() -> None:
    assert [int(path.name[:2]) for path in FILES] == list(range(1, 21))
    guide = (PROJECT / "docs" / "analysts.md").read_text(encoding="utf-8")
    assert re.findall(r"\(sql/(\w+\.sql)\)", guide) == [path.name for path in FILES]


def test_the_bridge_and_the_effects_leave_no_rest(sample_home: Path) -> None:
    for number in (2, 7):
        assert (answer(sample_home, number)["rest"] == 0).all(), FILES[number - 1].name


def test_the_sum_of_the_log_is_the_balance_of_that_day(sample_home: Path) -> None:
    found = {currency: mrr for currency, _, mrr in answer(sample_home, 3).iter_rows() if mrr}
    with open_snapshot(sample_home / "atlas") as snapshot:
        balances = snapshot.cursor().sql(
            "SELECT currency, sum(mrr_native) FROM marts.fct_mrr_spells CROSS JOIN raw_meta.build "
            "WHERE valid_from <= as_of - 90 AND (valid_to IS NULL OR valid_to > as_of - 90) GROUP BY currency"
        )
        assert found == dict(balances.fetchall())


def test_the_total_of_retention_lies_between_its_segments_and_is_not_above_one_for_what_is_kept(
    sample_home: Path,
) -> None:
    rows = answer(sample_home, 4)
    for (_,), month in rows.partition_by("month", as_dict=True).items():
        total = month.row(by_predicate=pl.col("segment") == "all", named=True)
        parts = month.filter(pl.col("segment") != "all")
        assert parts["customers"].sum() == total["customers"]
        assert parts["nrr"].min() <= total["nrr"] <= parts["nrr"].max()
        assert total["grr"] <= min(1, total["nrr"])


def test_the_notebook_runs_on_the_published_file(sample_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((PROJECT / "notebooks" / "revenue.ipynb").read_text(encoding="utf-8"))
    monkeypatch.setenv("TAJDID_HOME", str(sample_home))
    names: dict[str, Any] = {}
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)
    first = sum(len(trace.x) for trace in names["figure"].data)
    assert first == 6 * names["bridge"].height > 0
    assert set(names["retention"]["segment"]) > {"all"}
    assert names["balance"].height > 0


def contracts() -> dict[str, tuple[set[str], list[str]]]:
    """Mart → its columns and its key, as its contract says."""
    found = {}
    for path in (PROJECT / "models" / "marts").glob("*.yml"):
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]:
            columns = {column["name"] for column in model["columns"]}
            single = [
                column["name"] for column in model["columns"] if "unique" in column.get("data_tests", [])
            ]
            keys = [
                test["unique_key"]["arguments"]["columns"]
                for test in model.get("data_tests", [])
                if isinstance(test, dict) and "unique_key" in test
            ]
            found[model["name"]] = (columns, keys[0] if keys else single)
    return found


def test_the_diagram_shows_the_keys_and_columns_of_the_contracts() -> None:
    page = (PROJECT / "docs" / "entities.md").read_text(encoding="utf-8")
    entities = re.findall(r"^  (\w+) \{\n((?:    .+\n)+)  \}", page, flags=re.MULTILINE)
    drawn = {name: [line.split() for line in lines.splitlines()] for name, lines in entities}
    promised = contracts()
    assert set(drawn) == set(promised)
    for name, lines in drawn.items():
        columns, key = promised[name]
        assert {words[1] for words in lines} <= columns, name
        assert [words[1] for words in lines if "PK" in " ".join(words[2:])] == key, name
    links = re.findall(r"^  (\w+) [|}o]+--[|{o]+ (\w+) :", page, flags=re.MULTILINE)
    assert {name for pair in links for name in pair} <= set(drawn)
    assert len(links) > 20
