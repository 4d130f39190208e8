"""Each page in each state: no company, nothing built, late, after a failed build, its tables torn away."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest
import tiny_world
from reader import FROM_THE_WAREHOUSE, Open, badges, html

from dashboard.i18n import text
from dashboard.words import page_titles

TITLES = page_titles(text("en"))


@pytest.fixture(scope="module")
def home(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Companies `fresh`, never built; `late`, no sample and years old; `failed`, whose last build broke; and
    `torn`, whose marts are gone from the file that readers have."""
    home = tmp_path_factory.mktemp("states")
    for name in ("late", "failed", "torn"):
        shutil.copytree(workspace / "lumen", home / name)
    (home / "fresh").mkdir()
    (home / "fresh" / "company.toml").write_text('title_en = "Fresh"\n', encoding="utf-8")
    with opened(home / "late") as connection:
        connection.execute("UPDATE raw_meta.build SET is_sample = false")
    tiny_world.log_build(home / "failed", "20250402T0430-x9", "failed", "models", "unique_ids: 3 rows fail")
    with opened(home / "torn") as connection:
        tables = connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema IN ('marts', 'churn')"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f"DROP TABLE {table}")
    return home


def opened(company: Path) -> duckdb.DuckDBPyConnection:
    """The file that a company's readers have, to be spoilt."""
    (path,) = (company / "warehouse").glob("warehouse-*.duckdb")
    return duckdb.connect(str(path))


@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_an_empty_workspace_says_how_to_begin(open_page: Open, tmp_path: Path, page: str) -> None:
    app = open_page(page, home=tmp_path)
    assert not app.exception
    assert "There is no company yet" in app.info[0].value
    assert app.code[0].value == "tajdid demo"


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_a_company_without_a_build_says_how_to_build(
    open_page: Open, home: Path, page: str, lang: str
) -> None:
    app = open_page(page, "fresh", lang, home=home)
    assert not app.exception
    assert app.code[0].value == "tajdid warehouse build --company fresh"
    assert len(app.info) == 1


@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_late_figures_stay_and_are_called_late(open_page: Open, home: Path, page: str) -> None:
    app = open_page(page, "late", home=home)
    assert not app.exception
    assert not app.error
    shown = badges(app)
    assert shown[0].startswith(":orange-badge[")
    assert not any("Sample data" in badge for badge in shown)
    assert "Newer data was expected." in app.warning[0].value


@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_a_failed_build_leaves_the_last_good_figures_and_says_so(
    open_page: Open, home: Path, page: str
) -> None:
    app = open_page(page, "failed", home=home)
    assert not app.exception
    assert "The last build failed" in app.error[0].value
    assert badges(app)[0].startswith(":red-badge[")
    assert "unique_ids: 3 rows fail" in app.code[0].value
    if page == "revenue":
        assert app.metric[0].value == "€560.33"
    if page == "health":
        assert "20250402T0430-x9" in html(app)


@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_a_page_whose_tables_are_gone_says_so_in_plain_words(open_page: Open, home: Path, page: str) -> None:
    app = open_page(page, "torn", home=home, **({"customer": "C2"} if page == "customer" else {}))
    assert not app.exception
    assert app.title[0].value == TITLES[page]
    assert len(app.sidebar.selectbox) == 1
    assert app.error or page == "workbench"
    assert all("Reference: " in error.value for error in app.error)
    said = " ".join(one.value for one in [*app.error, *app.warning, *app.info, *app.markdown, *app.caption])
    assert "marts." not in said
    assert "Catalog" not in said


def test_a_customer_page_without_anybody_says_why(open_page: Open, tmp_path: Path) -> None:
    def nobody(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.describe_build(
            connection, build_id, as_of=date(2025, 3, 31), currency="EUR", subscriptions=True
        )

    tiny_world.publish(tmp_path / "lumen", "20250401T0430-n1", nobody, title=("Lumen", "لومن"))
    for lang, words in (("en", "There is nobody to find yet"), ("ar", "لا أحد")):
        app = open_page("customer", lang=lang, home=tmp_path)
        assert not app.exception
        assert words in " ".join(one.value for one in app.info)
        assert not [field for field in app.text_input if field.key == "customer-search"]
