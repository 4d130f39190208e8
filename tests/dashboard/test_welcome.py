"""The first steps: what a company needs before its figures are its own, and what of it is done."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from reader import Open
from streamlit.testing.v1 import AppTest

from dashboard.people import directory, entry, passwords, session
from dashboard.people.settings import read_sign_in
from dashboard.records import marks, targets
from dashboard.records.database import Records, open_records
from dashboard.records.targets import Key

AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
TASKS = {
    "en": (
        "Connect a source of your own",
        "Set the currency and the month end",
        "Invite your colleagues",
        "Set targets",
    ),
    "ar": ("اربط مصدر بياناتك", "حدّد العملة ونهاية الشهر", "ادعُ زملاءك", "حدّد الأهداف"),
}


@pytest.fixture
def home(workspace: Path, tmp_path: Path) -> Path:
    shutil.copytree(workspace / "lumen", tmp_path / "lumen")
    return tmp_path


def after_the_tour(home: Path, reader_id: str = "local") -> Records:
    records = open_records(f"sqlite:///{home / 'lumen' / 'app.db'}")
    marks.put(records, reader_id, AT, "tour")
    return records


def listed(app: AppTest) -> list[str]:
    app.session_state["first-steps"] = True
    app.run()
    assert not app.exception
    return [one.value for one in app.text if one.value[:2] in ("✓ ", "○ ")]


def test_the_tour_is_on_the_first_page_until_it_is_skipped(open_page: Open, home: Path) -> None:
    app = open_page(home=home)
    assert any(one.value == "Step 1 of 3" for one in app.caption)
    app.button(key="tour-next").click().run()
    assert any(one.value == "Step 2 of 3" for one in app.caption)
    app.button(key="tour-skip").click().run()
    assert any(one.label == "First steps: 0 of 4 done" for one in app.expander)
    assert not any(one.key == "tour-next" for one in open_page(home=home, lang="ar").button)
    elsewhere = open_page("retention", home=home)
    assert not any("First steps" in one.label for one in elsewhere.expander)


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_first_steps_are_source_currency_people_and_targets(
    open_page: Open, home: Path, lang: str
) -> None:
    after_the_tour(home)
    assert listed(open_page(home=home, lang=lang)) == [f"○ {task}" for task in TASKS[lang]]


def test_a_target_that_is_written_is_a_step_done(open_page: Open, home: Path) -> None:
    records = after_the_tour(home)
    targets.write(records, AT, "local", {Key("mrr", date(2025, 5, 1), "EUR", "all"): 60_000})
    assert "✓ Set targets" in listed(open_page(home=home))


def test_a_colleague_with_a_role_in_the_company_is_a_step_done(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "dashboard.toml").write_text('[sign_in]\nkind = "password"\n', encoding="utf-8")
    people = directory.open_people(read_sign_in(home).people_url)
    now = datetime.now(UTC)
    directory.add(people, now, "admin", "sara", "Sara", passwords.kept("a long walk home 9"))
    directory.give_role(people, now, "admin", "sara", "lumen", "admin")
    token = entry.enter(people, now, "sara", "a long walk home 9").token
    monkeypatch.setattr(session, "token_of_browser", lambda: token)
    after_the_tour(home, "sara")
    assert "○ Invite your colleagues" in listed(open_page(home=home))
    directory.add(people, now, "sara", "omar", "Omar", None)
    assert "○ Invite your colleagues" in listed(open_page(home=home))  # on the list, without a role here
    directory.give_role(people, now, "sara", "omar", "lumen", "finance")
    assert "✓ Invite your colleagues" in listed(open_page(home=home))
