"""The workbench with hands on the keyboard: completion, asking, an endless question stopped, and the next."""

from __future__ import annotations

import re

import pytest
from looks import barriers, faults
from playwright.sync_api import Page
from window import PATIENCE_MS, Reader

pytestmark = pytest.mark.browser

ENDLESS = "SELECT count(*) FROM range(1_000_000_000_000) AS t(i) WHERE i % 7 = 8"


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_question_is_written_with_completion_asked_and_stopped_without_a_mouse(
    reader: Reader, lang: str
) -> None:
    page = reader.open("workbench", company="lumen", lang=lang)
    editor = page.locator(".cm-content")
    editor.wait_for(timeout=PATIENCE_MS)
    assert editor.get_attribute("dir") == "ltr"
    editor.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT plan_name FROM marts.dim_pl", delay=20)
    # The list of a word before may still stand there.
    offered = page.locator(".cm-tooltip-autocomplete li[aria-selected]", has_text=re.compile("^dim_plans"))
    offered.wait_for(timeout=PATIENCE_MS)
    page.wait_for_timeout(150)  # CodeMirror takes no completion in the moment it appears
    page.keyboard.press("Enter")
    assert editor.inner_text().strip().endswith("FROM marts.dim_plans")
    page.keyboard.press("Control+Enter")
    answer = page.locator(".tj-table", has_text="Standard")
    answer.wait_for(timeout=PATIENCE_MS)
    reader.settle()
    reader.picture(f"workbench-answer-{lang}")
    assert faults(page, 1280) == {}
    assert barriers(page) == []

    asked(page, ENDLESS)
    cancel = page.locator(".st-key-workbench-cancel button")
    cancel.wait_for(timeout=PATIENCE_MS)
    cancel.focus()
    page.keyboard.press("Enter")
    stopped = page.get_by_text({"en": "The question was stopped.", "ar": "أُوقف السؤال."}[lang])
    stopped.wait_for(timeout=PATIENCE_MS)
    reader.settle()
    assert answer.count() == 0
    assert cancel.count() == 0
    assert page.locator('[data-testid="stException"]').count() == 0

    asked(page, "SELECT 6 * 7 AS still_here")
    page.locator(".tj-table", has_text="still_here").get_by_text("42").wait_for(timeout=PATIENCE_MS)
    reader.settle()
    assert stopped.count() == 0
    assert faults(page, 1280) == {}


def asked(page: Page, question: str) -> None:
    """Write a question over what the editor holds, and ask it with the keyboard."""
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(question)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
