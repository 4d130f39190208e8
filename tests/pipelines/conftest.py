"""A small company and a small dbt project, so that a whole build takes seconds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines import warehouse
from pipelines.policy import read_policy
from pipelines.run import BuildRequest, SourceConfig, build
from pipelines.sources.loading import Stage, create_raw_tables

ROOT = Path(__file__).resolve().parents[2]
ORDERS = "order_id,ordered_at,customer_id,sku,quantity,unit_price,currency\n"
DAY_ONE = ORDERS + "1,2024-05-01 10:00,c1,10001,2,3.50,GBP\n"
BUILT_AT = datetime(2024, 6, 1, 8, 0, tzinfo=UTC)

SOURCES_YML = """\
sources:
  - name: raw_orders
    schema: raw_orders
    tables: [{name: orders}, {name: order_lines}]
"""
STAGED_ORDERS = "select * from {{ source('raw_orders', 'orders') }}"
ORDER_DAYS = """\
select orders.ordered_at::date as ordered_on, sum(lines.amount_minor)::bigint as amount_minor
from {{ ref('stg_orders') }} as orders
join {{ source('raw_orders', 'order_lines') }} as lines using (order_id)
group by 1
"""
MARTS_YML = """\
models:
  - name: fct_order_days
    data_tests:
      - filled:
          arguments: {columns: [ordered_on, amount_minor]}
    columns:
      - name: ordered_on
        data_tests: [unique]
"""
NOT_NEGATIVE = "select * from {{ ref('fct_order_days') }} where amount_minor < -100000"


def write_project(folder: Path) -> Path:
    """A dbt project of two models and three tests, with the profile and macros of the real one."""
    for name in ("dbt_project.yml", "profiles.yml", ".dbtignore"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "macros", folder / "macros")
    files = {
        "models/staging/_sources.yml": SOURCES_YML,
        "models/staging/stg_orders.sql": STAGED_ORDERS,
        "models/marts/fct_order_days.sql": ORDER_DAYS,
        "models/marts/_marts.yml": MARTS_YML,
        "tests/warehouse/assert_no_absurd_day.sql": NOT_NEGATIVE,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The small dbt project, for one test to change."""
    return write_project(tmp_path / "project")


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company whose first build, of one order in a.csv, is published."""
    place = tmp_path_factory.mktemp("first")
    request = first_request(place / "company", write_project(place / "project"))
    (request.folder / "orders" / "a.csv").write_text(DAY_ONE, encoding="utf-8")
    result = build(request)
    assert result.status == "published", result.message
    return request.folder


@pytest.fixture
def published_before(first_build: Path, tmp_path: Path) -> Path:
    """The company of `request_for` with a build behind it; returns the snapshot that readers see."""
    company = tmp_path / "company"
    shutil.copytree(first_build, company)
    snapshot = warehouse.current(company)
    assert snapshot is not None
    return snapshot


def first_request(folder: Path, project: Path) -> BuildRequest:
    """The request of a build at BUILT_AT for a company with an orders folder."""
    (folder / "orders").mkdir(parents=True, exist_ok=True)
    return BuildRequest(
        company="company",
        folder=folder,
        project=project,
        as_of=date(2024, 5, 31),
        built_at=BUILT_AT,
        policy=read_policy(None, {"reporting_currency": "GBP", "reporting_timezone": "Europe/London"}),
        sources=(SourceConfig("orders", "orders", str(folder / "orders")),),
        is_sample=False,
    )


@pytest.fixture
def request_for(tmp_path: Path, project: Path):
    """A function that makes a build request for a company with an orders folder; `later` in minutes."""

    def make(later: int = 0, **changes: object) -> BuildRequest:
        request = first_request(tmp_path / "company", project)
        request = replace(request, built_at=BUILT_AT + timedelta(minutes=later))
        return replace(request, **changes)

    return make


@pytest.fixture(scope="session")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where DuckDB's scanners are put, once for all tests."""
    return tmp_path_factory.mktemp("extensions")


@pytest.fixture
def stage_at(tmp_path: Path, extensions: Path):
    """A function that makes a stage on an in-memory database; later stages continue on its connection."""
    (tmp_path / "warehouse").mkdir()
    (tmp_path / "warehouse" / "extensions").symlink_to(extensions)
    connection = duckdb.connect(":memory:")
    create_raw_tables(connection)

    def make(built_at: datetime = BUILT_AT, currency: str = "GBP", timezone: str = "Europe/London") -> Stage:
        build_id = built_at.strftime("b%Y%m%dT%H%M%S")
        return Stage(connection, build_id, built_at, tmp_path, currency, timezone, progress=lambda _: None)

    yield make
    connection.close()
