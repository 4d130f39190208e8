"""Saved views, the menus of the bar, the board pack and paper, in a real browser and both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from looks import barriers, faults
from playwright.sync_api import expect
from pypdf import PdfReader
from window import PATIENCE_MS, Reader

pytestmark = pytest.mark.browser
WORDS = {
    "en": ("Views", "Save this page as a view", "Board pack", "Delete", "Undo"),
    "ar": ("العروض", "حفظ هذه الصفحة عرضًا", "تقرير مجلس الإدارة", "حذف", "تراجع"),
}


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_view_is_kept_and_deleted_and_undone_and_the_pack_taken(
    reader: Reader, lang: str, tmp_path: Path
) -> None:
    menu, save, pack, delete, undo = WORDS[lang]
    page = reader.open(company="lumen", lang=lang, segment="smb")
    page.get_by_role("button", name=menu).click()
    page.locator(".st-key-new-view-name input").fill("<b>صغيرة</b> & small")
    page.get_by_role("button", name=save).click()
    kept, name = page.locator(".st-key-saved-view input"), "\u2068<b>صغيرة</b> & small\u2069"
    expect(kept).to_have_value(name, timeout=PATIENCE_MS)
    reader.settle()
    assert barriers(page) == []
    reader.picture(f"saved-views-{lang}")
    reader.stand_still()
    page.get_by_role("button", name=delete, exact=True).click()
    undoing = page.get_by_role("button", name=undo, exact=True)
    undoing.wait_for(timeout=PATIENCE_MS)
    page.keyboard.press("Escape")
    reader.settle()
    reader.stand_still()
    undoing.click()
    expect(kept).to_have_value(name, timeout=PATIENCE_MS)
    file = tmp_path / "pack.pdf"
    given = reader.taken(page.get_by_role("button", name=pack))
    given.save_as(file)
    assert len(PdfReader(file).pages) == 8
    assert given.suggested_filename.endswith(f"-{lang}.pdf")
    for width in (400, 1280):
        reader.resize(width)
        assert faults(page, width) == {}
    page.emulate_media(media="print")
    for hidden in ('[data-testid="stSidebar"]', ".st-key-saved-views", ".stDownloadButton", ".stButton"):
        assert not page.locator(hidden).first.is_visible()
    assert page.locator(".st-key-filters").is_visible()
    reader.picture(f"paper-{lang}")
    page.emulate_media(media="screen")
