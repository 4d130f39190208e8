"""A description is checked key by key before any data is read, and the file is read as it says."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from churn_model.description import (
    Description,
    DescriptionError,
    Gate,
    is_positive,
    read_description,
    read_table,
    require_columns,
)

FLAT = """
kind = "flat"
file = "rows.csv"
[columns]
label = "left"
"""
SURVIVAL = """
kind = "survival"
file = "rows.csv"
[columns]
time = "months"
event = "left"
"""
EVENTS = """
kind = "events"
file = "rows.csv"
[columns]
customer_id = "who"
invoice_ts = "at"
amount = "sum"
"""


def written(folder: Path, text: str, rows: str = "months,left\n1,1\n2,0\n") -> Path:
    (folder / "rows.csv").write_text(rows, encoding="utf-8")
    path = folder / "dataset.toml"
    path.write_text(text, encoding="utf-8")
    return path


def described(folder: Path, text: str, rows: str = "months,left\n1,1\n2,0\n") -> Description:
    return read_description(written(folder, text, rows))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind = ", "is not TOML"),
        ("", "kind is None, not one of events, survival, flat"),
        (FLAT.replace('"flat"', '"panel"'), "kind is 'panel'"),
        (FLAT.replace('file = "rows.csv"', ""), "file is missing"),
        (FLAT.replace("rows.csv", "none.csv"), "there is no file"),
        (FLAT.replace('file = "rows.csv"', "file = 3"), "file should be a text, and is 3"),
        ("delimeter = ';'\n" + FLAT, "'delimeter' is unknown; known are kind, file, delimiter"),
        ("delimiter = ';;'\n" + FLAT, "delimiter should be one character"),
        ("null_values = 'NA'\n" + FLAT, "null_values should be a list of texts"),
        ("columns = 3\n" + FLAT.replace('[columns]\nlabel = "left"', ""), "columns should be a table"),
        (FLAT.replace('label = "left"', ""), "[columns] label is missing"),
        (FLAT + 'labels = "x"\n', "[columns] 'labels' is unknown; known are label, positive, id"),
        (FLAT + 'drop = "x"\n', "[columns] drop should be a list of texts"),
        (FLAT + "positive = [1]\n", "[columns] positive should be a text, a number, true or false"),
        (FLAT + "[protocol]\nfolds = 1\n", "[protocol] folds should be a whole number of at least 2"),
        (FLAT + "[protocol]\nfolds = true\n", "[protocol] folds should be a whole number"),
        (FLAT + "[protocol]\nseed = -1\n", "[protocol] seed should be a whole number of at least 0"),
        (FLAT + "[protocol]\nmax_time = 3\n", "[protocol] 'max_time' is unknown"),
        (FLAT + '[protocol]\ndrop_duplicates = "no"\n', "[protocol] drop_duplicates should be true or false"),
        (FLAT + "[gates]\nharrell_c = 0.8\n", "[gates] 'harrell_c' is unknown; known are auc, ap, brier"),
        (FLAT + '[gates]\nauc = "0.8"\n', "[gates] auc should be a number"),
        (FLAT + "[gates]\nauc = nan\n", "[gates] auc should be a number"),
        (FLAT + '[gates."2011-06-01"]\nauc = 0.8\n', "[gates] '2011-06-01' is unknown"),
        (FLAT + "[rename]\nleft = 3\n", "[rename] left should be a text"),
        (SURVIVAL.replace('time = "months"', ""), "[columns] time is missing"),
        (SURVIVAL + "[protocol]\nmax_time = 0\n", "[protocol] max_time should be a number above 0"),
        (SURVIVAL + "[protocol]\nsteps = [3, 2]\n", "[protocol] steps should be a list of rising numbers"),
        (SURVIVAL + "[protocol]\nsteps = []\n", "[protocol] steps should be a list of numbers above 0"),
        (SURVIVAL + "[protocol]\nhorizon_days = 90\n", "[protocol] 'horizon_days' is unknown"),
        (
            EVENTS + '[protocol]\ntest_dates = ["2011-06-01"]\n',
            "test_dates should be a date such as 2011-06-01",
        ),
        (EVENTS + "[protocol]\ntest_dates = [2011-09-01, 2011-06-01]\n", "the earliest first"),
        (
            EVENTS + '[protocol]\nsnapshot_step = "week"\n',
            'snapshot_step should be "month" or a whole number',
        ),
        (EVENTS + "is_credit = 3\n", "[columns] is_credit should be a column, {column ="),
        (EVENTS + "[gates.june]\nauc = 0.8\n", "[gates.june] is named by no test date"),
    ],
)
def test_a_description_that_cannot_be_followed_is_refused_in_words(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(DescriptionError) as refused:
        described(tmp_path, text)
    assert words in str(refused.value)


def test_a_description_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="cannot be read"):
        read_description(tmp_path / "none.toml")


def test_defaults_stand_where_nothing_is_said(tmp_path: Path) -> None:
    flat = described(tmp_path, FLAT)
    assert flat.protocol == {"drop_duplicates": True, "folds": 5, "seed": 0, "min_events": 200}
    assert (flat.columns["id"], flat.columns["drop"], flat.gates) == (None, (), ())
    survival = described(tmp_path, SURVIVAL)
    assert (survival.protocol["max_time"], survival.protocol["steps"]) == (None, ())
    events = described(tmp_path, EVENTS)
    assert (events.protocol["horizon_days"], events.protocol["active_days"]) == (90, 180)
    assert events.protocol["snapshot_step"] == "month"


def test_gates_know_their_direction_and_their_date(tmp_path: Path) -> None:
    said = described(
        tmp_path, EVENTS + '[gates]\nauc = 0.78\nbrier = 0.19\n[gates."2011-06-01"]\nauc = 0.778\n'
    )
    assert said.gates == (Gate("auc", 0.78), Gate("brier", 0.19), Gate("auc", 0.778, "2011-06-01"))
    auc, brier = said.gates[:2]
    assert (auc.holds(0.78), auc.holds(0.779)) == (True, False)
    assert (brier.holds(0.19), brier.holds(0.191)) == (True, False)
    assert not auc.holds(None)
    assert not brier.holds(float("nan"))


def test_a_file_is_read_with_its_delimiter_nulls_renames_and_spaces(tmp_path: Path) -> None:
    text = 'delimiter = ";"\nnull_values = ["NA"]\n' + FLAT + '[rename]\n"Months Active" = "months"\n'
    said = described(tmp_path, text, "Months Active;left;Üser\n1;Yes;NA\n2;No;é\n")
    frame = read_table(said)
    assert frame.columns == ["months", "left", "Üser"]
    assert frame.rows() == [(1, "Yes", None), (2, "No", "é")]


def test_csv_of_windows_gzip_and_parquet_are_read(tmp_path: Path) -> None:
    said = described(tmp_path, FLAT)
    frame = pl.DataFrame({"left": ["Zürich", "Öl"], "n": [1, 2]})
    said.file.write_bytes(frame.write_csv().encode("windows-1252"))
    assert read_table(said).equals(frame)
    said.file.write_bytes(gzip.compress(frame.write_csv().encode()))
    assert read_table(said).equals(frame)
    frame.write_parquet(said.file)
    assert read_table(said).equals(frame)


@pytest.mark.parametrize(
    ("text", "rows", "words"),
    [
        (FLAT, "left,n\n", "has no rows"),
        (FLAT, "", "cannot be read"),
        (FLAT, "left,n\n1,2\n1,2,3\n", "cannot be read"),
        (FLAT, "PAR1 broken", "cannot be read"),
        (FLAT + '[rename]\nnone = "x"\n', "left,n\n1,2\n", "[rename] 'none' is no column of rows.csv"),
        (FLAT + '[rename]\nn = "left"\n', "left,n\n1,2\n", "two columns 'left'"),
        (FLAT, "Left,n\n1,2\n", "[columns] label: 'left' is no column of rows.csv, which has 'Left', 'n'"),
        (FLAT + 'drop = ["m"]\n', "left,n\n1,2\n", "[columns] drop: 'm' is no column"),
    ],
)
def test_a_file_that_does_not_fit_its_description_is_refused_in_words(
    tmp_path: Path, text: str, rows: str, words: str
) -> None:
    said = described(tmp_path, text, rows)
    with pytest.raises(DescriptionError) as refused:
        require_columns(said, read_table(said))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        (["Yes", " No ", None, ""], '"Yes"', [True, False, None, None]),
        ([1, 0, None], "1", [True, False, None]),
        ([1.0, 0.0, None], "1", [True, False, None]),
        ([1.0, 0.0, None], None, [True, False, None]),
        ([True, False, None], "true", [True, False, None]),
        ([True, False, None], None, [True, False, None]),
        (["a", "b", "c"], '"b"', [False, True, False]),
    ],
)
def test_the_label_is_whether_the_value_is_the_one_called_positive(
    tmp_path: Path, values: list[object], positive: str | None, expected: list[bool | None]
) -> None:
    said = described(tmp_path, FLAT + ("" if positive is None else f"positive = {positive}\n"))
    assert is_positive(said, pl.Series("left", values), "label").to_list() == expected


@pytest.mark.parametrize(
    ("values", "positive", "words"),
    [
        (["Yes", "No"], None, "positive is missing: say which value of 'left' means"),
        (["Yes", "No"], '"yes"', "positive is 'yes', which label 'left' never is; it holds 'No', 'Yes'"),
    ],
)
def test_a_label_without_its_positive_value_is_refused(
    tmp_path: Path, values: list[str], positive: str | None, words: str
) -> None:
    said = described(tmp_path, FLAT + ("" if positive is None else f"positive = {positive}\n"))
    with pytest.raises(DescriptionError) as refused:
        is_positive(said, pl.Series("left", values), "label")
    assert words in str(refused.value)
