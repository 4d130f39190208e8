"""The board pack and lists as PDF: a typst template each for both directions, with their own fonts.

The texts go in as data, never as markup. A sign that no font has shows as an empty box.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import typst

from dashboard.records.annotations import readable

FOLDER = Path(__file__).parent
TEMPLATE, LIST = FOLDER / "pack.typ", FOLDER / "list.typ"
FONTS = FOLDER / "fonts"
LONGEST = 160  # characters of one text from the data
UNBROKEN = 28


def to_pdf(pack: Mapping[str, Any], made_at: datetime, template: Path = TEMPLATE) -> bytes:
    """The pack as a tagged PDF; the same pack made at the same instant gives the same bytes."""
    compiler = _compiler(pack, template)
    return cast(bytes, compiler.compile(format="pdf", timestamp=made_at.replace(microsecond=0)))


def _compiler(pack: Mapping[str, Any], template: Path) -> typst.Compiler:
    inputs = {"pack": json.dumps(pack, ensure_ascii=False)}
    return typst.Compiler(template, root=FOLDER, font_paths=_fonts(), sys_inputs=inputs)


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    """Our own fonts first; those of the machine only for scripts that they lack."""
    return typst.Fonts(include_system_fonts=True, include_embedded_fonts=True, font_paths=[FONTS])


def plain(value: object) -> str:
    """A text from the data on one line: no signs that change what stands around it, and not without end."""
    text = readable(str(value))
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    return re.sub(rf"(\S{{{UNBROKEN}}})(?=\S)", "\\1\u200b", text)
