"""Data whose every text is hostile is shown as text: no page breaks, and nothing of it becomes markup."""

from __future__ import annotations

from pathlib import Path

import hostile_world
import pytest
import success_world
from reader import Open, html


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    hostile_world.publish(folder / "mallory")
    hostile_world.publish(folder / "oscar", fill=success_world.fill)
    return folder


@pytest.mark.parametrize(
    ("page", "rows"),
    [("revenue", "mrr"), ("revenue", "overdue"), ("retention", "nrr_12m"), ("cash", ""), ("customer", "")],
)
def test_hostile_texts_are_shown_as_text(open_page: Open, home: Path, page: str, rows: str) -> None:
    app = open_page(page, "mallory", "ar", home=home, rows=rows)
    assert not app.exception
    assert not app.error
    shown = html(app)
    for mark in ("<script>window.hacked", "<img", "<svg", 'href="javascript:', 'href="http'):
        assert mark not in shown, mark
    said = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.info, *app.warning]
    assert not [one.value for one in said if "example.org" in one.value or "window.hacked" in one.value]
    if rows == "mrr":
        assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ("churn", {"band": "all", "customer": hostile_world.spoilt_id("C1")}),
        ("renewals", {"days": "90"}),
        *(
            ("customer", {"customer": hostile_world.spoilt_id("C2"), "part": part})
            for part in ("subscriptions", "invoices", "payments", "usage", "risk", "work")
        ),
    ],
)
def test_hostile_texts_of_accounts_are_shown_as_text(
    open_page: Open, home: Path, page: str, address: dict[str, str]
) -> None:
    app = open_page(page, "oscar", home=home, **address)
    assert not app.exception
    assert not app.error
    shown = html(app)
    for mark in ("<script>window.hacked", "<img", "<svg", 'href="javascript:', 'href="http'):
        assert mark not in shown, mark
    said = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.info, *app.warning]
    assert not [one.value for one in said if "example.org" in one.value or "window.hacked" in one.value]
    assert "&lt;svg" in shown or "HYPERLINK" in shown or "&lt;script&gt;" in shown
