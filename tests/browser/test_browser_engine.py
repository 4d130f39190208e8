"""The pages of the Billing group in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from looks import barriers, faults, plain
from window import Reader

pytestmark = pytest.mark.browser

WIDTHS = (400, 1280, 1440)
VIEWS: dict[str, dict[str, str]] = {
    "runs": {},
    "documents": {"find": "INV-2025-000001", "line": "2"},
    "catalogue": {"plan": "basic", "component": "basic.1.seats", "quantity": "12"},
    "whatif": {"customer": "dora", "act": "quantity", "quantity": "20", "on": "2025-02-15"},
}
SHOWN = {"runs": "142.80", "documents": "58.00", "catalogue": "58.00", "whatif": "142.80"}


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("name", VIEWS)
def test_a_page_of_the_engine_is_whole_at_every_width(reader: Reader, name: str, lang: str) -> None:
    page = reader.open(name, WIDTHS[0], company="tiny", lang=lang, **VIEWS[name])
    assert page.locator('[data-testid="stAlertContentError"]').count() == 0
    found = {}
    for width in WIDTHS:
        reader.resize(width)
        reader.picture(f"engine-{name}-{lang}-{width}")
        found[width] = faults(page, width)
    assert found == {width: {} for width in WIDTHS}
    assert barriers(page) == []
    if name != "runs":
        assert SHOWN[name] in plain(page.inner_text('[data-testid="stMain"]'))


def test_from_a_run_to_its_invoice_to_its_pdf(reader: Reader, tmp_path: Path) -> None:
    page = reader.open("runs", company="tiny", lang="en")
    page.get_by_role("link", name="INV-2025-000004").first.click()
    page.wait_for_selector("text=How an amount came about")
    reader.settle()
    assert page.inner_text(".st-key-document-head").split() == ["Invoice", "INV-2025-000004"]
    file = tmp_path / "invoice.pdf"
    given = reader.taken(page.get_by_role("button", name="PDF in Arabic"))
    given.save_as(file)
    assert file.read_bytes().startswith(b"%PDF")
    assert given.suggested_filename == "INV-2025-000004-ar.pdf"


def test_a_document_is_found_by_what_is_typed(reader: Reader) -> None:
    page = reader.open("documents", company="tiny", lang="en")
    box = page.get_by_role("textbox", name="Find a document or a customer")
    box.fill("INV-2025-000003")
    box.press("Enter")
    page.wait_for_selector("text=How an amount came about")
    assert "<script>alert" in page.inner_text('[data-testid="stMain"]')  # a name, as plain text
