"""What a reader sees when there is nothing, when something is late, and when something failed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Hashable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import tiny_world
from reader import FROM_THE_WAREHOUSE as PAGES
from reader import Open, badges, html

from dashboard import scope, snapshot
from dashboard.companies import companies
from dashboard.format import Formatter
from dashboard.i18n import text
from dashboard.queries import retention
from dashboard.view import Freshness, Published, View, month_before
from dashboard.waiting import Stopped, Waiting

# Pages that are about the build and the registry, or wait for a question, whatever rows there are.
ASK_FIRST = {"workbench", "metrics", "health"}


def copied(workspace: Path, tmp_path: Path, company: str = "lumen") -> Path:
    shutil.copytree(workspace / company, tmp_path / company)
    return tmp_path / company


def company_folder(home: Path, name: str = "fresh", toml: str = 'title_en = "Fresh"\n') -> Path:
    folder = home / name
    folder.mkdir(parents=True)
    (folder / "company.toml").write_text(toml, encoding="utf-8")
    return folder


def test_a_company_is_read_anew_when_its_file_is_put_back_with_the_time_it_had(tmp_path: Path) -> None:
    file = company_folder(tmp_path) / "company.toml"
    assert companies(tmp_path)[0].title("en") == "Fresh"
    before = file.stat()
    file.write_text('title_en = "Older"\n', encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert companies(tmp_path)[0].title("en") == "Older"


def test_a_first_build_that_failed_is_shown_with_its_reason(open_page: Open, tmp_path: Path) -> None:
    folder = company_folder(tmp_path)
    tiny_world.log_build(folder, "b1", "failed", "ingest", "lines.csv lacks the column sku")
    app = open_page("revenue", "fresh", home=tmp_path)
    assert "first build of this company failed" in app.error[0].value
    assert "lines.csv lacks the column sku" in app.code[0].value


def test_a_build_that_succeeds_after_a_failure_clears_the_banner(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    folder = copied(workspace, tmp_path)
    tiny_world.log_build(folder, "b8", "failed", "models", "broken")
    tiny_world.log_build(folder, "b9", "published")
    app = open_page("revenue", home=tmp_path)
    assert not app.error
    assert badges(app)[0].startswith(":green-badge[")


def test_a_message_of_a_failed_build_is_shown_as_text_and_not_as_markup(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    folder = copied(workspace, tmp_path)
    tiny_world.log_build(
        folder, "b8", "failed", "models", "![x](https://example.org/x.png) <script>alert(1)</script>"
    )
    app = open_page("health", home=tmp_path)
    assert not any("example.org" in mark.value for mark in [*app.markdown, *app.error, *app.caption])
    assert "&lt;script&gt;" in html(app)


def test_an_unreadable_line_of_the_log_is_passed_over(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    folder = copied(workspace, tmp_path)
    with (folder / "logs" / "builds.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"half": \n\n[1]\n{"status": "published"}\n')
    app = open_page("health", home=tmp_path)
    assert not app.exception
    assert [attempt.build_id for attempt in snapshot.attempts(folder)] == ["20250401T0430-a1"]


def test_a_failed_test_turns_the_badge_red(open_page: Open, tmp_path: Path) -> None:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        row = {"build_id": build_id, "test_name": "assert_x", "kind": "test", "status": "fail", "failures": 3}
        tiny_world.insert(connection, "raw_meta.test_results", [row])

    tiny_world.publish(tmp_path / "lumen", "b1", fill, title=("Lumen", "لومن"))
    app = open_page("health", home=tmp_path, rows="tests")
    assert badges(app)[0].startswith(":red-badge[")
    assert app.metric[2].value == "1 of 2"
    assert html(app).index("assert_x") < html(app).index("unique_customers")


@pytest.mark.parametrize(
    ("today", "is_sample", "freshness"),
    [
        (date(2025, 3, 31), False, Freshness.FRESH),
        (date(2025, 4, 2), False, Freshness.FRESH),
        (date(2025, 4, 3), False, Freshness.LATE),
        (date(2026, 4, 3), True, Freshness.FRESH),
    ],
)
def test_figures_grow_late_after_two_days_but_those_of_a_sample_never(
    workspace: Path, today: date, is_sample: bool, freshness: Freshness
) -> None:
    opened = snapshot.published(workspace / "lumen")
    assert opened is not None
    build = snapshot.build_of(opened)
    view = View(
        now=datetime(today.year, today.month, today.day, 9, tzinfo=UTC),
        companies=(),
        company=None,
        text=text("en"),
        show=Formatter("en"),
        published=Published(opened, type(build)(**{**vars(build), "is_sample": is_sample})),
        attempts=(),
    )
    assert view.freshness is freshness


def test_a_panel_that_fails_leaves_the_rest_of_the_page(open_page: Open, tmp_path: Path) -> None:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        connection.execute("DROP TABLE raw_meta.rejects")
        connection.execute("DROP TABLE raw_meta.loads")

    tiny_world.publish(tmp_path / "lumen", "b1", fill, title=("Lumen", "لومن"))
    app = open_page("health", home=tmp_path)
    assert not app.exception
    assert all("Reference: " in error.value for error in app.error)
    assert "Builds" in [heading.value for heading in app.subheader]
    assert "raw_meta" not in " ".join(error.value for error in app.error)


def test_a_company_with_no_source_says_what_it_needs(open_page: Open, tmp_path: Path) -> None:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.describe_build(
            connection, build_id, as_of=date(2025, 3, 31), currency="EUR", subscriptions=True
        )
        connection.execute("UPDATE raw_meta.build SET has_billing = false")
        tiny_world.create_churn_tables(connection)

    tiny_world.publish(tmp_path / "bare", "b1", fill, title=("Bare", "عارية"))
    for page in PAGES:
        app = open_page(page, "bare", home=tmp_path)
        assert not app.exception
        assert not app.error
    assert "neither subscriptions nor orders" in open_page("revenue", "bare", home=tmp_path).info[0].value


@pytest.mark.parametrize("company", ["lumen", "bazaar"])
def test_a_source_that_brought_no_rows_gives_pages_that_say_so(
    open_page: Open, tmp_path: Path, company: str
) -> None:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        is_subscription = company == "lumen"
        as_of = date(2025, 3, 31)
        tiny_world.describe_build(
            connection, build_id, as_of=as_of, currency="EUR", subscriptions=is_subscription
        )
        tiny_world.create_churn_tables(connection)

    tiny_world.publish(tmp_path / company, "b1", fill, title=("Empty", "فارغة"))
    for page in PAGES:
        app = open_page(page, company, home=tmp_path)
        assert not app.exception
        assert not app.error
        assert len(app.info) == (page not in ASK_FIRST)


def test_a_company_file_that_cannot_be_read_does_not_take_the_others_down(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    copied(workspace, tmp_path)
    company_folder(tmp_path, "broken", "this is = = no TOML")
    app = open_page("revenue", home=tmp_path)
    assert app.metric[0].value == "€560.33"
    assert [company.name for company in companies(tmp_path)] == ["broken", "lumen"]
    broken = open_page("revenue", "broken", home=tmp_path)
    assert not broken.exception
    assert "company.toml" in broken.warning[0].value


def test_a_new_build_is_read_as_soon_as_the_pointer_moves(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    folder = copied(workspace, tmp_path)
    assert open_page("revenue", home=tmp_path).metric[0].value == "€560.33"
    newer = folder / "warehouse" / "warehouse-20250402T0430-b2.duckdb"
    shutil.copyfile(folder / "warehouse" / "warehouse-20250401T0430-a1.duckdb", newer)
    with duckdb.connect(str(newer)) as connection:
        connection.execute("UPDATE marts.fct_metric_values SET numerator = 99900 WHERE metric_id = 'mrr'")
    (folder / "warehouse" / "current").write_text(newer.name, encoding="utf-8")
    app = open_page("revenue", home=tmp_path, rows="mrr")
    assert app.metric[0].value == "€999.00"
    assert any("✗ Sum differs" in badge for badge in badges(app))  # the rows still say 560.33


def test_a_pointer_to_a_file_that_is_gone_reads_as_nothing_built(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    folder = copied(workspace, tmp_path)
    (folder / "warehouse" / "current").write_text("warehouse-gone.duckdb", encoding="utf-8")
    app = open_page("revenue", home=tmp_path)
    assert not app.exception
    assert app.code[-1].value == "tajdid warehouse build --company lumen"


def test_a_snapshot_that_is_no_database_is_an_error_in_plain_words(
    open_page: Open, workspace: Path, tmp_path: Path
) -> None:
    folder = copied(workspace, tmp_path)
    (folder / "warehouse" / "warehouse-broken.duckdb").write_bytes(b"no database")
    (folder / "warehouse" / "current").write_text("warehouse-broken.duckdb", encoding="utf-8")
    app = open_page("revenue", home=tmp_path)
    assert not app.exception
    assert "cannot be read" in app.error[0].value


@pytest.mark.parametrize(
    ("month", "back", "before"),
    [
        (date(2025, 1, 1), 1, date(2024, 12, 1)),
        (date(2024, 2, 1), 12, date(2023, 2, 1)),
        (date(2025, 12, 1), 12, date(2024, 12, 1)),
        (date(2024, 3, 1), 1, date(2024, 2, 1)),
    ],
)
def test_months_are_counted_back_over_the_new_year(month: date, back: int, before: date) -> None:
    assert month_before(month, back) == before


def test_every_field_of_the_log_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    entry: dict[str, Any] = {"build_id": "b", "status": "failed"}
    (tmp_path / "logs" / "builds.jsonl").write_text(str(entry).replace("'", '"'), encoding="utf-8")
    (attempt,) = snapshot.attempts(tmp_path)
    assert not attempt.is_published
    assert attempt.seconds is None


def test_a_query_the_reader_stopped_leaves_the_rest_and_can_be_run_again(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Waiting.before

    def before(self: Waiting, key: Hashable) -> None:
        if self.name == "newest_cohorts_stopped":
            raise Stopped(self.name)
        asked(self, key)

    monkeypatch.setattr(Waiting, "before", before)
    monkeypatch.setattr(retention, "COHORTS", replace(retention.COHORTS, name="newest_cohorts_stopped"))
    app = open_page("revenue")
    assert app.metric[0].value == "€560.33"
    assert [info.value for info in app.info] == ["You stopped the query that this part needs."]
    monkeypatch.setattr(Waiting, "before", asked)
    next(button for button in app.button if button.label == "Run it again").click().run()
    assert not app.info


def test_a_page_that_breaks_as_a_whole_still_has_its_list_and_a_reference(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(scope, "trade", broken)
    app = open_page("revenue")
    assert not app.exception
    assert "Reference: " in app.error[0].value
    assert "secret detail" not in app.error[0].value
    assert len(app.sidebar.selectbox) == 1
