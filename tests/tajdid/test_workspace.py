"""A company is what its company.toml says, and a wrong file is told in plain words."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tajdid.workspace import WorkspaceError, build_request, companies, load_company

AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def write(home: Path, name: str, company: str, policy: str = 'definition_version = "1"\n') -> Path:
    folder = home / name
    folder.mkdir(parents=True)
    (folder / "company.toml").write_text(company, encoding="utf-8")
    (folder / "policy.toml").write_text(policy, encoding="utf-8")
    return folder


def test_only_folders_with_a_company_file_are_companies(tmp_path: Path) -> None:
    write(tmp_path, "one", 'name = "one"\n')
    (tmp_path / "notes").mkdir()
    assert companies(tmp_path) == ["one"]


def test_the_only_company_needs_no_name(tmp_path: Path) -> None:
    write(tmp_path, "one", 'name = "one"\n')
    assert load_company(tmp_path, None).name == "one"


def test_two_companies_leave_the_choice_to_the_user(tmp_path: Path) -> None:
    write(tmp_path, "one", 'name = "one"\n')
    write(tmp_path, "two", 'name = "two"\n')
    with pytest.raises(WorkspaceError, match="one, two"):
        load_company(tmp_path, None)


def test_an_empty_workspace_points_to_the_demo(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="tajdid demo"):
        load_company(tmp_path, None)


def test_sources_and_the_default_database_lie_in_the_companys_folder(tmp_path: Path) -> None:
    folder = write(tmp_path, "one", '[sources.billing]\n[sources.crm]\nlocation = "exports"\n')
    company = load_company(tmp_path, "one")
    assert company.database_url == f"sqlite:///{folder / 'billing.db'}"
    assert [(source.kind, source.location) for source in company.sources] == [
        ("billing", f"sqlite:///{folder / 'billing.db'}"),
        ("crm", str(folder / "exports")),
    ]


def test_a_postgres_url_is_kept_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "one", 'database_url = "postgresql+psycopg://db.internal/acme"\n')
    assert load_company(tmp_path, "one").database_url == "postgresql+psycopg://db.internal/acme"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("as_off = 2025-12-31\n", "as_off"),
        ('as_of = "2025-12-31"\n', "as_of"),
        ("as_of = 2025-12-31T00:00:00\n", "as_of"),
        ('[sources.shop]\nkind = "shopify"\n', "shopify"),
        ("name = \n", "TOML"),
        ("name = 5\n", "name must be a text"),
        ("sources = 5\n", "sources must be a table"),
        ('[sources]\norders = "x"\n', "source 'orders' must be a table"),
        ('[sources.orders]\nlocation = ["a"]\n', "location must be a text"),
        ('max_reject_share_bp = "many"\n', "max_reject_share_bp must be a whole number"),
        ("max_reject_share_bp = -5\n", "max_reject_share_bp must be a whole number"),
        ("max_reject_share_bp = 10001\n", "max_reject_share_bp must be a whole number"),
        ('incremental = "no"\n', "incremental must be true or false"),
    ],
)
def test_a_wrong_company_file_is_refused_by_the_word_that_is_wrong(
    tmp_path: Path, text: str, word: str
) -> None:
    write(tmp_path, "one", text)
    with pytest.raises(WorkspaceError, match=word):
        load_company(tmp_path, "one")


def test_without_an_as_of_day_figures_speak_of_yesterday(tmp_path: Path) -> None:
    write(tmp_path, "one", 'name = "one"\n')
    assert build_request(load_company(tmp_path, "one"), AT).as_of == date(2026, 2, 28)


def test_a_fixed_as_of_day_stays(tmp_path: Path) -> None:
    write(tmp_path, "one", "as_of = 2011-12-09\n")
    assert build_request(load_company(tmp_path, "one"), AT).as_of == date(2011, 12, 9)


def test_a_wrong_policy_file_is_refused_by_its_path(tmp_path: Path) -> None:
    folder = write(tmp_path, "one", 'name = "one"\n', policy="reporting_currency = 5\n")
    with pytest.raises(WorkspaceError, match="reporting_currency must be a text") as error:
        build_request(load_company(tmp_path, "one"), AT)
    assert str(folder / "policy.toml") in str(error.value)


def test_a_company_without_a_source_is_not_built_over_what_it_has(tmp_path: Path) -> None:
    write(tmp_path, "one", 'name = "one"\n')
    answer = subprocess.run(
        [sys.executable, "-m", "tajdid", "warehouse", "build"],
        env=os.environ | {"TAJDID_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 2
    assert "names no source" in answer.stderr
    assert not (tmp_path / "one" / "warehouse" / "current").exists()


@pytest.mark.parametrize(
    ("text", "asked", "is_full"),
    [("", False, False), ("", True, True), ("incremental = false\n", False, True)],
)
def test_a_full_build_is_asked_for_in_the_company_file_or_for_once(
    tmp_path: Path, text: str, asked: bool, is_full: bool
) -> None:
    write(tmp_path, "one", text)
    assert build_request(load_company(tmp_path, "one"), AT, is_full=asked).is_full is is_full
