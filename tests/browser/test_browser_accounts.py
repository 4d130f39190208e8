"""The work on accounts in a real browser: with the keyboard alone, and taken back where it was done."""

from __future__ import annotations

import re

import pytest
from looks import barriers, faults
from playwright.sync_api import Page
from window import Reader

from dashboard.i18n import text

pytestmark = pytest.mark.browser

MOST_STEPS = 90


def tab_to(page: Page, place: str) -> None:
    """Press Tab until the focus lies within the first element that `place` selects."""
    for _ in range(MOST_STEPS):
        if page.evaluate(
            "place => document.activeElement?.closest(place) === document.querySelector(place)", place
        ):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{place} is not reached with the Tab key")


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_call_is_logged_and_taken_back_with_the_keyboard_alone(reader: Reader, lang: str) -> None:
    said = text(lang).gettext
    page = reader.open("churn", 1280, company="vela", lang=lang, band="all")
    tab_to(page, ".st-key-choice-customer")
    page.keyboard.type("Acme")
    page.get_by_role("option", name="Acme Supplies").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**customer=C1**")
    reader.settle()
    tab_to(page, ".st-key-acting-churn-one textarea")
    page.keyboard.type("Asked for a call back")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".st-key-undo-bar")
    reader.settle()
    listed = page.locator(".tj-table").first
    assert "Acme Supplies" not in listed.inner_text()
    assert faults(page, 1280) == {}
    assert barriers(page) == []
    page.evaluate("() => document.activeElement?.blur()")
    tab_to(page, ".st-key-undo-last")
    page.keyboard.press("Enter")
    undone = text(lang).ngettext("{count} action undone.", "{count} actions undone.", 1)
    wording = re.compile(".*".join(map(re.escape, undone.split("{count}"))))
    page.get_by_test_id("stToastText").get_by_text(wording).wait_for()
    reader.settle()
    assert "Acme Supplies" in page.locator(".tj-table").first.inner_text()
    assert page.get_by_text(said("Open"), exact=True).count() > 0


def test_a_customer_is_found_by_its_name_and_its_parts_are_whole(reader: Reader) -> None:
    page = reader.open("customer", 400, company="vela", lang="ar")
    page.locator(".st-key-customer-search input").fill("النور")
    page.keyboard.press("Enter")
    page.locator(".tj-table a").first.click()
    page.wait_for_url("**customer=C4**")
    reader.settle()
    for part in ("subscriptions", "invoices", "payments", "usage", "risk", "work"):
        page = reader.open("customer", 400, company="vela", lang="ar", customer="C2", part=part)
        reader.picture(f"customer-{part}-ar-400")
        assert faults(page, 400) == {}, part
    assert barriers(page) == []
