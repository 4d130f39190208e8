"""A document as PDF: one typst template for both directions, with fonts of its own.

The texts go in as data, never as markup. The same document gives the same bytes. It is PDF/A-3a: tagged,
fonts embedded, made to be kept; a sign that no font has is refused rather than left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

import typst

from billing.core.money import BillingError
from billing.documents.document import InvoiceDocument
from billing.documents.layout import page_of

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "templates" / "document.typ"
FONTS = FOLDER / "fonts"
STANDARD: Final = "a-3a"


def to_pdf(
    document: InvoiceDocument, locale: str | None = None, *, font_folders: Sequence[Path] = ()
) -> bytes:
    """The document as PDF, in the customer's language unless a locale is given. `font_folders`: more fonts,
    for scripts that those shipped lack (Latin, Greek, Cyrillic, Arabic). Raises `unprintable_text`."""
    return cast(bytes, _compiled(document, locale, tuple(font_folders), "pdf"))


def to_png(
    document: InvoiceDocument, locale: str | None = None, *, points_per_inch: int = 110
) -> list[bytes]:
    """The pages as pictures, to be looked at."""
    found = _compiled(document, locale, (), "png", points_per_inch)
    return found if isinstance(found, list) else [cast(bytes, found)]


@lru_cache(maxsize=8)
def _fonts(folders: tuple[Path, ...]) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[FONTS, *folders])


def _compiled(
    document: InvoiceDocument,
    locale: str | None,
    folders: tuple[Path, ...],
    form: str,
    points_per_inch: int = 144,
) -> bytes | list[bytes] | None:
    page = page_of(document, locale or document.locale)
    compiler = typst.Compiler(
        TEMPLATE,
        root=TEMPLATE.parent,
        font_paths=_fonts(folders),
        ignore_system_fonts=True,
        sys_inputs={"page": json.dumps(page, ensure_ascii=False)},
    )
    issued_at = datetime.combine(document.issued_on, time(), UTC)
    try:
        if form == "png":
            return compiler.compile(format="png", ppi=points_per_inch)
        return compiler.compile(format="pdf", pdf_standards=[STANDARD], timestamp=issued_at)
    except typst.TypstError as error:
        if "could not be displayed" in error.message:
            raise BillingError("unprintable_text", f"{document.number}: {error.message}") from None
        raise
