"""What a build publishes of its models, what rests on a failed test, and what sources promised."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import tiny_world
from reader import Open, html

from dashboard import health, lineage, snapshot
from dashboard.view import Published
from pipelines import lineage as published_lineage
from pipelines.meta import read_registry, registry_files
from pipelines.warehouse import open_snapshot
from tajdid.workspace import WorkspaceError, load_company

BUILT = datetime(2025, 4, 1, 4, 30, tzinfo=UTC)


def node(name: str, schema: str, kind: str = "model", **more: Any) -> dict[str, Any]:
    parts = {"description": "", "columns": {}, "depends_on": {"nodes": []}, "raw_code": ""}
    return {"name": name, "schema": schema, "resource_type": kind, **parts, **more}


def after(*keys: str) -> dict[str, Any]:
    return {"depends_on": {"nodes": list(keys)}}


MANIFEST = {
    "sources": {
        "s.inv": node("invoices", "raw_billing", "source", description="As the engine\n  wrote them.")
    },
    "nodes": {
        "m.stg": node("stg_billing__invoices", "staging", **after("s.inv")),
        "m.ret": node("fct_retention", "marts", **after("m.stg"), raw_code="select 1"),
        "m.mrr": node(
            "fct_mrr_months",
            "marts",
            **after("m.stg"),
            columns={"month": {"name": "month", "data_type": "DATE", "description": "First day"}},
            compiled_code="select 2",
        ),
        "m.ord": node("fct_order_months", "marts"),
        "t.a": node(
            "adds_up", "x", "test", **after("m.ret"), raw_code="-- What was kept\n-- is paid.\nselect"
        ),
        "t.b": node("is_unique", "x", "test", **after("m.ord")),
    },
    "unit_tests": {"u.a": node("worked_example", "x", "unit_test", **after("m.stg"))},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose company was published with the lineage above and a test that failed."""
    folder = tmp_path_factory.mktemp("trust")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")

    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        published_lineage.write(connection, folder)
        for name, status in (("adds_up", "fail"), ("is_unique", "pass"), ("worked_example", "pass")):
            row = {"build_id": build_id, "test_name": name, "kind": "assertion", "status": status}
            tiny_world.insert(connection, "raw_meta.test_results", [row | {"failures": 3}])
        connection.execute("DELETE FROM raw_meta.loads")
        for source, table, accepted, days in (
            ("billing", "raw_billing.invoices", 5, 1),
            ("billing", "raw_billing.invoices", 0, 0),
            ("crm", "raw_crm.accounts", 2, 9),
            ("rates", "raw_billing.fx_rates", 0, 0),
        ):
            at = BUILT - timedelta(days=days)
            row = {"source_name": source, "source_kind": source, "target_table": table, "finished_at": at}
            counts = {"rows_read": accepted, "rows_accepted": accepted, "rows_rejected": 0}
            tiny_world.insert(connection, "raw_meta.loads", [row | counts])

    tiny_world.publish(folder / "home" / "lumen", "20250401T0430-t1", fill, title=("Lumen", "لومن"))
    return folder / "home"


def opened(home: Path) -> Published:
    found = open_snapshot(home / "lumen")
    return Published(found, snapshot.build_of(found))


def test_a_figure_leads_to_its_sources_and_a_failed_test_to_the_metrics_on_it(world: Path) -> None:
    published = opened(world)
    tree = lineage.lineage(published)
    assert tree is not None
    assert tree.upstream(["fct_mrr_months"]) == {
        "fct_mrr_months": 0,
        "stg_billing__invoices": 1,
        "raw_billing.invoices": 2,
    }
    assert tree.models["raw_billing.invoices"].description == "As the engine wrote them."
    assert tree.downstream(["raw_billing.invoices"]) >= {"fct_retention", "fct_mrr_months"}
    assert tree.failing == {"fct_retention"}
    assert tree.tests_of(["fct_retention"])["asks"].to_list() == ["What was kept is paid."]
    registry = read_registry(*registry_files(tiny_world.PROJECT / "models"))
    expected = {metric["id"] for metric in registry if metric["model"] == "fct_retention"}
    assert "nrr_12m" in expected
    assert health.failed_metrics(published) == expected
    assert health.failed_tables(published) == {"fct_retention"}


def test_a_test_of_an_early_table_touches_all_that_is_made_from_it(world: Path) -> None:
    published = opened(world)
    tree = lineage.lineage(published)
    assert tree is not None
    assert tree.downstream(["stg_billing__invoices"]) == {
        "stg_billing__invoices",
        "fct_retention",
        "fct_mrr_months",
    }


def test_a_source_is_late_by_what_it_promised(world: Path) -> None:
    published = opened(world)
    rows = health.freshness_of(published, {"crm": 10}, BUILT).to_dicts()
    assert [(row["source_name"], row["age_days"], row["promised_days"], row["is_late"]) for row in rows] == [
        ("billing", 1, 2, False),
        ("crm", 9, 10, False),
        ("rates", None, 2, True),
    ]
    assert [row["is_late"] for row in health.freshness_of(published, {}, BUILT).to_dicts()] == [
        False,
        True,
        True,
    ]


def test_what_a_source_promises_is_read_from_company_toml(tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    folder.mkdir()
    file = folder / "company.toml"
    file.write_text("[sources.orders]\nfresh_within_days = 7\n[sources.crm]\n", encoding="utf-8")
    assert health.promised_days(folder) == {"orders": 7}
    assert "fresh_within_days" not in load_company(tmp_path, "acme").sources[0].options
    file.write_text("[sources.orders]\nfresh_within_days = 0\n", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="fresh_within_days"):
        load_company(tmp_path, "acme")
    file.write_text("no toml", encoding="utf-8")
    assert health.promised_days(folder) == {}


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_pages_of_trust_name_the_failed_test_and_the_metric(
    open_page: Open, world: Path, lang: str
) -> None:
    page = open_page("health", lang=lang, home=world)
    assert not page.exception
    assert "adds_up" in html(page)
    assert "metric=nrr_12m" in html(page)
    page = open_page("metrics", lang=lang, home=world, metric="nrr_12m")
    assert not page.exception
    assert [message.value for message in page.error] != []
    assert "raw_billing.invoices" in html(page)
    assert "What was kept is paid." in html(page)
    page = open_page("metrics", lang=lang, home=world, metric="mrr")
    assert re.search("560[.]33", html(page))  # 56,033.3333 hundredths, in its currency
    assert "56,033" not in html(page)
    page = open_page("metrics", lang=lang, home=world, find="recurring monthly")
    assert {"mrr"} <= set(tiny_ids(html(page)))
    page = open_page("metrics", lang=lang, home=world, find="<script> nothing of the kind")
    assert not page.exception
    assert "<script> nothing" not in html(page)


def tiny_ids(shown: str) -> list[str]:
    return [part.split("&")[0].split('"')[0] for part in shown.split("metric=")[1:]]
