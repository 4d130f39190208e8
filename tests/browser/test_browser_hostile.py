"""Hostile data and addresses in a real browser: nothing of them runs, is fetched or breaks the page."""

from __future__ import annotations

import hostile_world
import pytest
from looks import CUT, WIDER_THAN_THE_WINDOW
from test_browser_pages import TITLES, path
from window import Reader

pytestmark = pytest.mark.browser

HACKED = "() => window.hacked ?? null"
# What pages are asked for, so that hostile names are on them.
ASKED: dict[str, dict[str, str]] = {
    "revenue": {"rows": "mrr"},
    "retention": {"rows": "nrr_12m"},
    "churn": {"company": "oscar", "band": "all"},
    "renewals": {"company": "oscar"},
    "customer": {"company": "oscar", "customer": hostile_world.spoilt_id("C1")},
    "runs": {"company": "tiny"},
    "documents": {"company": "tiny", "find": "INV-2025-000003"},
    "catalogue": {"company": "tiny"},
    "whatif": {"company": "tiny", "customer": "dora"},
}
HOSTILE = {
    "month": "9999-99",
    "compare": "<script>",
    "segment": "\u202e' OR 1=1 --",
    "currency": "x" * 2_000,
    "rows": "../../mrr",
    "page": "-1",
    "customer": "<img src=x onerror=window.hacked=9>",
    "list": "%00",
    "digits": "roman",
}


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_hostile_names_run_nothing_and_break_no_page(reader: Reader, lang: str) -> None:
    for name in TITLES:
        asked = {"company": "mallory"} | ASKED.get(name, {})
        page = reader.open(path(name), 400, lang=lang, **asked)
        assert page.locator('[data-testid="stAlertContentError"]').count() == 0
        for width in (400, 1280, 1440):
            reader.resize(width)
            assert page.evaluate(CUT) == [], (name, width)
            assert page.evaluate(WIDER_THAN_THE_WINDOW) <= 1, (name, width)
        assert page.evaluate(HACKED) is None
        assert page.locator(".tj-table script, .tj-table img").count() == 0
        reader.picture(f"hostile-{name}-{lang}")


def test_an_address_out_of_range_shows_what_there_is(reader: Reader) -> None:
    for name in TITLES:
        page = reader.open(path(name), 1280, company="lumen", lang="en", **HOSTILE)
        assert page.locator('[data-testid="stAlertContentError"], [data-testid="stException"]').count() == 0
        assert page.inner_text("h1").strip() == TITLES[name]
        assert page.evaluate(HACKED) is None
    assert reader.open("", company="../../etc", lang="xx").inner_text("h1").strip() == TITLES["revenue"]
