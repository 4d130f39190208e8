"""`evaluate` on files it has never seen: what it writes, refuses, alarms of, and repeats byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn_model.candidates import CANDIDATES, fit
from churn_model.description import Description
from churn_model.evaluate import Say, evaluate_file
from churn_model.folds import column_rule, leak_alarms, most_chosen, split
from churn_model.judging import reference_of, shapes_of
from churn_model.matrix import Input
from churn_model.nested import deal
from churn_model.platt import Sigmoid, fit_sigmoid, kept_sigmoid
from churn_model.preparation import prepare
from churn_model.result import Result

ROWS = 300


def flat_file(folder: Path, *, leak: bool = False) -> None:
    """Usage and plan tell who left; a column of one value, one without any, one that names the rows. Two rows
    are there twice, one has no label."""
    random = np.random.default_rng(4)
    usage, plan = random.normal(size=ROWS), random.choice(["1-9", "10-50", "9-20"], ROWS)
    left = random.random(ROWS) < 1 / (1 + np.exp(-1.5 * usage - 2 * (plan == "9-20")))
    frame = pl.DataFrame(
        {
            "Customer No": [f"c{i}" for i in range(ROWS)],
            "Usage per Day": np.where(random.random(ROWS) < 0.1, np.nan, usage),
            "Plan": plan,
            "Since": [f"2020{1 + i % 12:02d}{1 + i % 28:02d}" for i in range(ROWS)],
            "Charges": ["" if i % 50 == 0 else f" {i % 7}.5" for i in range(ROWS)],
            "Country": ["SA"] * ROWS,
            "Note": [None] * ROWS,
            "Comment": [f"text {i}" for i in range(ROWS)],
            "Churn?": ["" if i == 7 else "Yes" if left[i] else "No" for i in range(ROWS)],
        }
    ).fill_nan(None)
    if leak:
        frame = frame.with_columns(
            pl.Series("Cancel fee", left * 3.0 + random.normal(size=ROWS)),
            pl.Series("Usage group", [f"g{i // 5}" for i in range(ROWS)]),
        )
    folder.mkdir(exist_ok=True)
    pl.concat([frame, frame[:2]]).write_csv(folder / "rows.csv", separator=";")


FLAT = """
kind = "flat"
file = "rows.csv"
delimiter = ";"
date_format = "%Y%m%d"
[rename]
"Usage per Day" = "usage"
[columns]
label = "Churn?"
positive = "Yes"
id = "Customer No"
[protocol]
folds = 2
seed = 3
min_events = 50
"""
SURVIVAL = """
kind = "survival"
file = "rows.parquet"
[columns]
time = "months"
event = "left"
id = "who"
[protocol]
folds = 2
min_events = 50
max_time = 8
auc_times = [2, 6]
"""


def survival_file(folder: Path) -> None:
    random = np.random.default_rng(5)
    need = random.normal(size=ROWS)
    time = np.ceil(random.exponential(6 * np.exp(-need)))
    seen = random.integers(0, 13, ROWS)
    folder.mkdir(exist_ok=True)
    pl.DataFrame(
        {
            "who": [f"c{i}" for i in range(ROWS)],
            "need": need,
            "size": random.choice(["small", "large"], ROWS),
            "months": np.minimum(time, seen),
            "left": (time <= seen).astype(float),
        }
    ).write_parquet(folder / "rows.parquet")


def run(folder: Path, text: str, out: str = "out") -> tuple[int, list[str]]:
    (folder / "dataset.toml").write_text(text, encoding="utf-8")
    said: list[str] = []
    return evaluate_file(folder / "dataset.toml", folder / out, said.append), said


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flat")
    flat_file(folder)
    assert run(folder, FLAT)[0] == 0
    return folder


@pytest.fixture(scope="module")
def survival(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survival")
    survival_file(folder)
    assert run(folder, SURVIVAL)[0] == 0
    return folder


def metrics_of(folder: Path, out: str = "out") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / out / "metrics.json").read_text(encoding="utf-8"))
    return content


def counted(content: dict[str, Any]) -> dict[str, int]:
    return {one["code"]: one["rows"] for one in content["counts"]}


def test_everything_that_was_decided_or_dropped_is_counted(flat: Path) -> None:
    content = metrics_of(flat)
    assert counted(content) == {
        "rows_read": ROWS + 2,
        "duplicates_dropped": 2,
        "without_label_dropped": 1,
        "texts_read_as_dates": ROWS - 1,
        "texts_read_as_numbers": ROWS - 1 - 6,  # every fiftieth is blank
        "column_constant": 1,
        "column_without_values": 1,
        "column_names_rows": 1,
    }
    assert all(one["en"] and one["ar"] for one in content["counts"])
    assert {one["name"]: one["categories"] for one in content["inputs"]} == {
        "usage": None,
        "Plan": ["1-9", "9-20", "10-50"],
        "Since": None,
        "Charges": None,
    }
    assert content["rows"] == ROWS - 1


def test_each_row_is_judged_once_by_what_had_not_seen_it(flat: Path) -> None:
    rows = pl.read_parquet(flat / "out" / "predictions.parquet")
    assert rows["row"].to_list() == list(range(ROWS - 1))
    assert set(rows["fold"]) == {1, 2}
    assert rows["id"].n_unique() == ROWS - 1
    shares = rows.group_by("fold").agg(pl.col("label").mean())["label"]
    assert abs(shares[0] - shares[1]) < 0.01  # stratified


def test_contributions_of_the_champion_sum_to_its_logit(flat: Path, survival: Path) -> None:
    rows = pl.read_parquet(flat / "out" / "predictions.parquet")
    parts = rows.select(pl.col("^contribution_.*$")).to_numpy().sum(axis=1) + rows["base"].to_numpy()
    p = rows["p_champion"].to_numpy()
    assert np.abs(parts - np.log(p / (1 - p))).max() < 1e-6
    rows = pl.read_parquet(survival / "out" / "predictions.parquet")
    parts = rows.select(pl.col("^contribution_.*$")).to_numpy().sum(axis=1) + rows["base"].to_numpy()
    first = 1 - rows["survival_1"].to_numpy()
    assert np.abs(parts - np.log(first / (1 - first))).max() < 1e-6


def test_figures_are_those_of_the_written_predictions(flat: Path) -> None:
    """The AUC of a fold by its definition, pair by pair, from predictions.parquet."""
    rows = pl.read_parquet(flat / "out" / "predictions.parquet").filter(pl.col("fold") == 1)
    p, y = rows["p_champion"].to_numpy(), rows["label"].to_numpy()
    left, stayed = p[y][:, None], p[~y][None, :]
    expected = ((left > stayed) + 0.5 * (left == stayed)).mean()
    content = metrics_of(flat)
    found = {(f["candidate"], f["split"], f["metric"]): f["value"] for f in content["figures"]}
    assert found["champion", "fold 1", "auc"] == pytest.approx(expected)
    assert found["champion", "fold 1", "brier"] == pytest.approx(((p - y) ** 2).mean())
    both = [found["champion", f"fold {k}", "auc"] for k in (1, 2)]
    assert found["champion", None, "auc"] == pytest.approx(np.mean(both))
    sd = next(f["sd"] for f in content["figures"] if (f["candidate"], f["split"]) == ("champion", None))
    assert sd == pytest.approx(np.std(both, ddof=1))
    assert {f["candidate"] for f in content["figures"]} == {
        "base_rate",
        "one_column_rule",
        "champion",
        *CANDIDATES,
    }


def test_a_model_that_learns_something_beats_the_rules(flat: Path) -> None:
    content = metrics_of(flat)
    assert content["headline"] == "model_wins"
    assert content["leak"]["alarms"] == []
    assert content["leak_gap"] is None  # without dates or groups there is no gap to speak of


def test_the_report_is_written_in_both_languages(flat: Path, survival: Path) -> None:
    for folder in (flat, survival):
        page = (folder / "out" / "report.html").read_text(encoding="utf-8")
        assert 'lang="ar"' in page
        assert 'lang="en"' in page


def test_the_same_data_settings_and_seed_give_the_same_bytes(flat: Path) -> None:
    assert run(flat, FLAT, "again")[0] == 0
    for name in ("metrics.json", "predictions.parquet", "report.json"):
        assert (flat / "again" / name).read_bytes() == (flat / "out" / name).read_bytes()


def test_curves_fall_and_rows_without_time_are_counted(survival: Path) -> None:
    content = metrics_of(survival)
    source = pl.read_parquet(survival / "rows.parquet")
    assert counted(content)["without_time_dropped"] == source.filter(pl.col("months") <= 0).height
    assert content["steps"] == [float(step) for step in range(1, 9)]
    rows = pl.read_parquet(survival / "out" / "predictions.parquet")
    curve = rows.select(pl.col("^survival_.*$")).to_numpy()
    assert (np.diff(curve, axis=1) <= 0).all()
    assert np.abs(1 - curve[:, -1] - rows["p_champion"].to_numpy()).max() < 1e-12
    metrics = {f["metric"] for f in content["figures"] if f["candidate"] == "champion"}
    assert metrics == {"harrell_c", "uno_c", "ibs", "auc_at_2", "auc_at_6"}


def test_a_leak_is_told_torn_groups_are_shown_and_a_failing_gate_fails_the_command(tmp_path: Path) -> None:
    flat_file(tmp_path, leak=True)
    text = FLAT.replace("[protocol]", 'group = "Usage group"\n[protocol]')
    code, said = run(tmp_path, text + "[gates]\nauc = 0.9\nbrier = 0.00001\n")
    assert code == 1
    assert [line.split(":")[0] for line in said[-2:]] == ["gate auc 0.9", "gate brier 1e-05"]
    assert (said[-2].endswith("holds"), said[-1].endswith("FAILS")) == (True, True)
    content = metrics_of(tmp_path)
    assert [gate["holds"] for gate in content["gates"]] == [True, False]
    assert (content["leak"]["alarms"], content["headline"]) == (["Cancel fee"], "leak")
    assert content["leak_gap"] == pytest.approx(
        content["leak"]["random_auc"] - content["leak"]["temporal_auc"]
    )


def test_order_histories_go_to_what_the_front_door_brings(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("who,at,sum\na,2024-01-01,5\n", encoding="utf-8")
    text = """
kind = "events"
file = "rows.csv"
[columns]
customer_id = "who"
invoice_ts = "at"
amount = "sum"
[gates]
auc = 0.7
[gates."2024-06-01"]
auc = 0.8
"""
    code, said = run(tmp_path, text)
    assert (code, "needs the warehouse" in said[-1]) == (2, True)
    figures = [
        {"candidate": "blend", "split": split, "metric": "auc", "value": value, "low": None, "high": None}
        for split, value in ((None, 0.75), ("2024-06-01", 0.79))
    ]
    document = {
        "form": "tajdid-churn-report",
        "version": 1,
        "kind": "events",
        "champion": "blend",
        "headline": "model_wins",
        "figures": [],
    }

    def judged(description: Description, say: Say) -> Result:
        return Result("blend", figures, {"kind": description.kind}, pl.DataFrame({"p": [0.5]}), document)

    assert evaluate_file(tmp_path / "dataset.toml", tmp_path / "out", said.append, judged) == 1
    assert [gate["holds"] for gate in metrics_of(tmp_path)["gates"]] == [True, False]
    assert said[-1] == "gate auc on 2024-06-01 0.8: 0.7900, FAILS"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (FLAT.replace("min_events = 50", "min_events = 290"), 4, "an evaluation needs 290"),
        (FLAT.replace("folds = 2", "folds = 90"), 4, "90 folds need at least 270 of each"),
        (FLAT.replace('"Yes"', '"Ja"'), 2, "positive is 'Ja'"),
        (FLAT + "sead = 1\n", 2, "'sead' is unknown"),
        (
            FLAT.replace("[protocol]", 'drop = ["usage", "Plan", "Since", "Charges"]\n[protocol]'),
            2,
            "no column is left to learn from",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_a_sentence(
    flat: Path, text: str, code: int, words: str
) -> None:
    found, said = run(flat, text, "refused")
    assert (found, words in said[-1], len(said)) == (code, True, 1)
    assert not (flat / "refused").exists()


def test_kind_survival_refuses_times_that_are_no_numbers(tmp_path: Path) -> None:
    survival_file(tmp_path)
    code, said = run(tmp_path, SURVIVAL.replace('time = "months"', 'time = "size"'))
    assert (code, "'size' holds more than numbers" in said[-1]) == (2, True)
    code, said = run(tmp_path, SURVIVAL + '[rename]\nneed = "step"\n')
    assert (code, "may not be called 'step'" in said[-1]) == (2, True)
    code, said = run(tmp_path, SURVIVAL.replace("[2, 6]", "[2.5]"))
    assert (code, "auc_times: 2.5 ends no step" in said[-1]) == (2, True)


def test_shapes_are_beside_the_typical_value_and_categories_have_their_names() -> None:
    random = np.random.default_rng(0)
    plan = random.integers(0, 3, 500).astype(float)
    usage = np.round(random.random(500), 1)
    x = np.column_stack([plan, usage])
    inputs = (Input("plan", ("a", "b", "c")), Input("usage"))
    y = random.random(500) < np.where(plan == 1, 0.8, 0.2)
    typical = [float(np.bincount(plan.astype(int)).argmax()), float(np.median(usage))]
    assert reference_of(x, inputs).tolist() == typical
    shapes = shapes_of(fit("spline_logistic", x, y, inputs), x, inputs)
    assert (shapes[0]["feature"], shapes[0]["levels"]) == ("plan", ["a", "b", "c"])
    assert shapes[0]["y"][int(typical[0])] == pytest.approx(0.0)
    assert shapes[0]["y"][1] == max(shapes[0]["y"])
    assert shapes_of(fit("small_hgb", x, y, inputs, rounds=5), x, inputs) == []


def test_a_group_stays_on_one_side_of_every_split() -> None:
    random = np.random.default_rng(0)
    groups, y = random.integers(0, 40, 300), random.random(300) < 0.3
    for stratified in (True, False):
        for known, judged in split(y, groups, 4, 0, stratified=stratified):
            assert not set(groups[known]) & set(groups[judged])
            assert len(known) + len(judged) == 300
    folds = deal(groups, y, 3, 0)
    assert sorted(np.concatenate(folds)) == list(range(300))
    assert sum(len(set(groups[rows])) for rows in folds) == len(set(groups))


def test_columns_that_say_nothing_are_no_inputs_and_nulls_are_kept() -> None:
    frame = pl.DataFrame(
        {
            "taken": [1, 2, 3],
            "constant": ["a", "a", "a"],
            "empty": pl.Series([None, None, None], dtype=pl.String),
            "not_a_number": [float("nan")] * 3,
            "said_or_not": ["x", None, "x"],
            "list": [[1], [2], [3]],
            "on": pl.Series(["2020-01-01", "1970-01-02", None]).str.to_date(),
        }
    )
    prepared = prepare(frame, ["taken"], [], None)
    assert [one.name for one in prepared.inputs] == ["said_or_not", "on"]
    expected = np.array([[0, 18262], [np.nan, 1], [0, np.nan]])
    assert np.array_equal(prepared.x, expected, equal_nan=True)
    assert [one.code for one in prepared.counts] == [
        "column_constant",
        "column_without_values",
        "column_without_values",
        "column_without_values",
    ]


def test_the_rule_is_the_one_column_that_ranks_best_in_its_direction() -> None:
    y = np.array([True, True, True, False, False, False])
    x = np.column_stack([[1, 2, 3, 2, 5, 6], [0, 0, 1, 1, 1, 2], [1, 1, 2, 1, 2, 2]]).astype(float)
    inputs = (Input("number"), Input("plan", ("a", "b", "c")), Input("other"))
    rule = column_rule(x, y, inputs)
    # rates by plan: a 1, b 1/3, c 0; pairs ranked right: a wins all 6, b ties with 2 and beats 1
    assert (inputs[rule.place].name, rule.risk(x).tolist()) == ("plan", [1, 1, 1 / 3, 1 / 3, 1 / 3, 0])
    unseen = np.array([[0.0, np.nan, 0.0]])
    assert rule.risk(unseen).tolist() == [0.5]  # the rate of all
    low = column_rule(x[:, :1], y, inputs[:1])
    assert low.risk(np.array([[1.0], [6.0]])).tolist() == [-1.0, -6.0]


def test_rare_categories_are_no_leak_but_a_telling_null_is() -> None:
    random = np.random.default_rng(0)
    y = random.random(600) < 0.5
    city = random.integers(0, 60, 600).astype(float)
    told = np.where(y, 1.0, np.nan)
    inputs = (Input("city", tuple(map(str, range(60)))), Input("reason_given"))
    assert leak_alarms(np.column_stack([city, told]), y, inputs) == ("reason_given",)


def test_a_sigmoid_is_kept_only_if_it_lowers_the_error_of_rows_it_has_not_seen() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=3000)
    y = (random.random(3000) < 1 / (1 + np.exp(-truth))).astype(float)
    folds = np.array_split(np.arange(3000), 3)
    found = fit_sigmoid(truth / 0.8 + 1.0, y)  # truth = 0.8 x logit - 0.8
    assert (found.slope, found.offset) == (pytest.approx(0.8, abs=0.08), pytest.approx(-0.8, abs=0.12))
    assert kept_sigmoid(truth + 1.5, y, folds).offset == pytest.approx(-1.5, abs=0.15)
    assert fit_sigmoid(np.zeros(10), y[:10]) == Sigmoid()
    assert kept_sigmoid(truth, y, folds[:1]) == Sigmoid()


def test_the_champion_of_most_folds_is_named_and_of_equals_the_simplest() -> None:
    order = ("spline_logistic", "additive_hgb", "blend")
    assert most_chosen(["blend", "additive_hgb", "blend"], order) == "blend"
    assert most_chosen(["blend", "additive_hgb"], order) == "additive_hgb"
