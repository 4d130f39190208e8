"""The page of `tajdid warehouse docs` in a browser without any network: it opens, and asks nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from pipelines import warehouse
from tajdid import model_docs

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).resolve().parents[2]


def test_the_documentation_opens_without_a_network(chromium: Browser, sample_home: Path, tmp_path: Path):
    snapshot = warehouse.current(sample_home / "atlas")
    assert snapshot is not None
    page = model_docs.write(PROJECT, snapshot, tmp_path)
    context = chromium.new_context(offline=True)
    window = context.new_page()
    asked: list[str] = []
    broken: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    window.on("pageerror", lambda error: broken.append(str(error)))
    window.goto(f"{page.as_uri()}#!/model/model.tajdid.fct_metric_values")
    expect(window.get_by_role("heading", name="fct_metric_values")).to_be_visible()
    expect(window.get_by_text("A ratio that cannot be computed is null and says why.")).to_be_visible()
    expect(window.get_by_text("DECIMAL(38,16)").first).to_be_visible()
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert broken == []
