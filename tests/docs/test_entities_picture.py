"""The picture of the marts is drawn from the diagram of its page, and no table in it lies over another."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "entities.md").read_text(encoding="utf-8")
PICTURE = (DOCS / "images" / "entities.svg").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "draw_entities.py"))


def test_the_picture_is_that_of_the_page(drawing):
    assert drawing["draw"](PAGE) == PICTURE, "run `python docs/draw_entities.py`"


def test_every_table_and_every_link_is_in_the_picture(drawing):
    root = ElementTree.fromstring(PICTURE)
    names = [element.text for element in root.iter(f"{SVG}text") if element.get("class") == "name"]
    assert sorted(names) == sorted(re.findall(r"^  (\w+) \{$", PAGE, flags=re.MULTILINE))
    links = re.findall(r"^  (\w+) [|}o]+--[|{o]+ (\w+) :", PAGE, flags=re.MULTILINE)
    lines = [element for element in root.iter(f"{SVG}path") if element.get("class") == "link"]
    said = [element.text for element in root.iter(f"{SVG}text") if (element.text or " ")[0] in "←→"]
    assert len(lines) + len(said) == len(links)


def test_tables_stand_apart_and_their_words_fit(drawing):
    root = ElementTree.fromstring(PICTURE)
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    boxes = [
        tuple(float(element.attrib[side]) for side in ("x", "y", "width", "height"))
        for element in root.iter(f"{SVG}rect")
        if element.get("class") == "table"
    ]
    for number, (x, y, wide, high) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + wide <= width
        assert y + high <= height
        for left, top, other_wide, other_high in boxes[:number]:
            assert x >= left + other_wide or left >= x + wide or y >= top + other_high or top >= y + high
    letter = drawing["LETTER"]
    for text in root.iter(f"{SVG}text"):
        if text.get("class") in ("name", "note", None):
            x = float(text.attrib["x"])
            (right,) = {left + wide for left, top, wide, high in boxes if left <= x < left + wide}
            size = letter * (1.11 if text.get("class") == "name" else 1)
            assert x + size * len(text.text or "") <= right, text.text
