"""The workbench as a reader meets it: asking, parameters, saving, history, sentences in both languages."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from reader import Open, html
from streamlit.testing.v1 import AppTest

from dashboard.i18n import LANGUAGES, text
from dashboard.queries import Query, named, revenue
from dashboard.records import audit, saved_queries
from dashboard.records.database import open_records
from dashboard.workbench import questions, words
from dashboard.workbench.pool import Answer, Value
from dashboard.workbench.rules import LONGEST_STATEMENT

PLANS = "SELECT plan_id, plan_name FROM marts.dim_plans WHERE plan_id = $plan"


@pytest.fixture(autouse=True)
def no_workers_are_left() -> object:
    yield
    questions.workers.clear()


def desk(app: AppTest) -> object:
    return app.session_state["workbench"]["lumen"]


def ask(app: AppTest, words: str, **values: tuple[str, str]) -> AppTest:
    """Ask as a reader would who typed the words: AppTest has no editor to type into."""
    desk(app).put(words, {name: Value(*value) for name, value in values.items()})
    app.run()
    app.button(key="workbench-run").click().run()
    question = desk(app).asked
    if question is not None:
        question.wait(60)
    return app.run()


def told(app: AppTest) -> list[str]:
    return [message.value for message in (*app.error, *app.warning, *app.info)]


def test_a_question_is_asked_with_its_parameter_and_goes_on_record(open_page: Open, workspace: Path) -> None:
    app = ask(open_page("workbench"), PLANS, plan=("text", "P"))
    assert not app.exception
    assert "Standard" in html(app)
    assert [box.value for box in app.text_input if box.label == "Value of $plan"] == ["P"]
    records = open_records(f"sqlite:///{workspace / 'lumen' / 'app.db'}")
    (run,) = saved_queries.runs_of(records, "local")
    assert (run.text, run.parameters, run.state, run.row_count) == (
        PLANS,
        {"plan": ("text", "P")},
        "answered",
        1,
    )
    line = audit.lines(records, limit=1)[0]
    assert (line["act"], line["recorded_by"]) == ("query", "local")
    detail = json.loads(line["detail"])
    assert (detail["text"], detail["rows"], detail["values"]) == (PLANS, 1, {"plan": ["text", "P"]})

    app = ask(app, "SELECT * FROM read_csv('/etc/passwd')")
    assert "The function `read_csv` cannot be used here." in told(app)
    assert saved_queries.runs_of(records, "local")[0].code == "function"

    app.text_input(key="workbench-name").set_value("Plans by id").run()
    desk(app).put(PLANS, {"plan": Value("text", "P")})
    app.button(key="workbench-save").click().run()
    (saved,) = saved_queries.seen_by(records, "local")
    assert (saved.name, saved.text, saved.is_shared) == ("Plans by id", PLANS, False)
    app.button(key="workbench-delete").click().run()
    assert saved_queries.seen_by(records, "local") == []
    app.button(key="workbench-undo").click().run()
    assert [one.name for one in saved_queries.seen_by(records, "local")] == ["Plans by id"]
    app.button(key="workbench-open").click().run()
    assert app.query_params["saved"] == str(saved.query_id)
    assert desk(app).text == PLANS


def test_a_text_without_end_is_refused_and_only_its_beginning_is_kept(
    open_page: Open, workspace: Path
) -> None:
    app = ask(open_page("workbench"), "SELECT 1 --" + "x" * 2_000_000)
    assert "This statement is too long" in told(app)[0]
    records = open_records(f"sqlite:///{workspace / 'lumen' / 'app.db'}")
    assert len(saved_queries.runs_of(records, "local")[0].text) == LONGEST_STATEMENT + 1


def test_without_records_no_question_is_answered(open_page: Open, workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace / "lumen", tmp_path / "lumen")
    (tmp_path / "lumen" / "company.toml").write_text("this is = = no TOML", encoding="utf-8")
    app = ask(open_page("workbench", home=tmp_path), "SELECT plan_name FROM marts.dim_plans")
    assert any("could not be put on record" in said for said in told(app))
    assert "Standard" not in html(app)


def test_the_whole_of_a_long_question_stands_in_the_audit(open_page: Open, workspace: Path) -> None:
    question = "-- " + '"' * 45_000 + "\nSELECT plan_id FROM marts.dim_plans"
    ask(open_page("workbench"), question)
    records = open_records(f"sqlite:///{workspace / 'lumen' / 'app.db'}")
    assert json.loads(audit.lines(records, limit=1)[0]["detail"])["text"] == question


def test_a_statement_of_the_dashboard_opens_by_its_name_and_gives_the_same_rows(open_page: Open) -> None:
    query = next(one for one in named().values() if questions.can_be_asked(one) and "$" not in one.sql)
    app = open_page("workbench", **questions.link(query, {}))
    assert desk(app).text == query.sql.strip()
    app = open_page("workbench", query="no such query", values="{]", saved="99", table="nothing")
    assert not app.exception
    assert "FROM marts." in desk(app).text


def test_a_name_as_of_a_script_or_a_formula_is_shown_as_it_is(open_page: Open) -> None:
    app = ask(open_page("workbench"), "SELECT '<script>alert(1)</script>' AS \"<b>x</b>\", '=1+1' AS y")
    assert "<script>alert" not in html(app)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html(app)
    assert "&lt;b&gt;x&lt;/b&gt;" in html(app)


def test_a_text_of_many_parameters_has_fields_for_the_first(open_page: Open) -> None:
    app = open_page("workbench")
    desk(app).put("SELECT " + ", ".join(f"$a{number}" for number in range(500)), {})
    app.run()
    assert not app.exception
    assert len([box for box in app.text_input if box.label.startswith("Value of $")]) == 40


def test_of_a_value_without_end_the_page_shows_the_beginning(open_page: Open) -> None:
    app = ask(open_page("workbench"), "SELECT repeat('x', 1_000_000) AS long, repeat('y', 500) AS short")
    shown = html(app)
    assert f"<bdi>{'x' * 500}…</bdi>" in shown
    assert f"<bdi>{'y' * 500}</bdi>" in shown


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_every_end_of_a_question_has_a_sentence_of_its_own(language: str) -> None:
    source = Path(words.__file__).read_text(encoding="utf-8")
    codes = re.findall(r'^        "(\w+)": _\(', source.split("sentences = {")[1].split("}\n")[0], re.M)
    assert len(codes) >= 18
    sentences = {words.told(text(language), Answer("failed", code, "name")) for code in codes}
    assert len(sentences) == len(codes)
    assert words.told(text(language), Answer("failed", "unheard of")) not in sentences


@pytest.mark.parametrize(
    "name",
    ["![x](https://example.org/x.png)", "`![x](https://example.org/x.png)`", "a\n\n# b www.example.org"],
)
@pytest.mark.parametrize("code", ["function", "table", "wrong_value", "missing_value"])
def test_a_name_in_a_sentence_becomes_no_picture_and_no_link(code: str, name: str) -> None:
    said = words.told(text("en"), Answer("refused", code, name))
    before, inside, after = said.split("`")
    assert "\n" not in said
    assert "example.org" in inside
    assert "example.org" not in before + after


@pytest.mark.parametrize(
    ("text_", "names"),
    [
        ("SELECT $a, $b, $a", ["a", "b"]),
        ("SELECT '$no', \"$no\" -- $no\n, $yes /* $no */", ["yes"]),
        ("SELECT 'it''s $no', $_x1", ["_x1"]),
        ("SELECT 1", []),
        ("SELECT $a /* $no", ["a"]),
        ("SELECT $a, '$no", ["a"]),
        ("/* " * 200_000 + "$no", []),
        ("SELECT " + "x " * 100_000 + "$no", []),
    ],
    ids=lambda part: str(part)[:40],
)
def test_parameters_are_found_outside_of_words_and_comments(text_: str, names: list[str]) -> None:
    assert questions.parameters_of(text_) == names


def test_what_reads_more_than_can_be_asked_has_no_link() -> None:
    assert not questions.can_be_asked(Query("not of ours", "SELECT 1"))
    assert questions.can_be_asked(revenue.VALUES)
    assert not questions.can_be_asked(named()["build"])


@pytest.mark.parametrize(
    "written", [None, "", "[]", "{", '{"a": 1}', '{"a": ["magic", "x"]}', "x" * 5000, "[" * 3900, "9" * 3900]
)
def test_values_of_an_address_that_are_not_understood_are_none(written: str | None) -> None:
    assert questions.values_from(written) == {}
