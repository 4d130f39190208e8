"""`tajdid people`: who may sign in, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dashboard.people import directory, entry
from dashboard.people.settings import read_sign_in
from tajdid.cli import app
from tajdid.console import now

PASSWORD = "a long walk home 9"
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of one company, atlas."""
    (tmp_path / "atlas").mkdir()
    (tmp_path / "atlas" / "company.toml").write_text('title_en = "Atlas"\n', encoding="utf-8")
    (tmp_path / "dashboard.toml").write_text('[sign_in]\nkind = "password"\n', encoding="utf-8")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    monkeypatch.setenv("TAJDID_ACTOR", "omar")
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    def ran(*words: str, password: str = PASSWORD) -> Result:
        return CliRunner().invoke(app, ["people", *words], input=f"{password}\n{password}\n")

    return ran


def test_somebody_is_added_signs_in_changes_role_and_is_removed(home: Path, run: Run) -> None:
    added = run("add", "Sara@Example.com", "--role", "csm", "--owner", "Sara Haddad")
    assert added.exit_code == 0, added.output
    assert PASSWORD not in added.output
    people = directory.open_people(read_sign_in(home).people_url)
    assert entry.enter(people, now(), "sara@example.com", PASSWORD).token
    assert run("role", "sara@example.com", "analyst").exit_code == 0
    assert run("role", "sara@example.com", "csm", "--take").exit_code == 0
    listed = run("list").output
    assert "analyst" in listed
    assert "csm" not in listed
    assert run("password", "sara@example.com", password="another long walk 7").exit_code == 0
    assert entry.enter(people, now(), "sara@example.com", PASSWORD).token is None
    assert run("remove", "sara@example.com").exit_code == 0
    assert "sara@example.com" not in run("list").output
    told = run("audit").output
    assert "omar" in told
    assert "atlas: no longer csm" in told


@pytest.mark.parametrize(
    ("words", "password", "sentence"),
    [
        (("add", "sara", "--role", "king"), PASSWORD, "There is no role king"),
        (("add", "sara", "--role", "csm"), PASSWORD, "--owner"),
        (("add", "sara", "--role", "analyst"), "short", "at least 12 characters"),
        (("add", "sara", "--role", "analyst", "--company", "nowhere"), PASSWORD, "No company 'nowhere'"),
        (("remove", "sara"), PASSWORD, "not on the list"),
        (("role", "sara", "analyst"), PASSWORD, "not on the list"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    home: Path,
    run: Run,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    password: str,
    sentence: str,
) -> None:
    done = run(*words, password=password)
    assert done.exit_code != 0
    said = f"{done.output}{done.exception}"
    assert sentence in said
    assert directory.everybody(directory.open_people(read_sign_in(home).people_url)) == []


def test_with_oidc_no_password_is_asked_for(home: Path) -> None:
    (home / "dashboard.toml").write_text('[sign_in]\nkind = "oidc"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["people", "add", "sara@example.com", "--role", "executive"], input="")
    assert done.exit_code == 0, done.output


def test_the_dashboard_is_not_served_to_others_without_sign_in(home: Path) -> None:
    (home / "dashboard.toml").unlink()
    done = CliRunner().invoke(app, ["dashboard", "--address", "0.0.0.0"])
    assert done.exit_code == 2
    assert "this machine only" in done.output
