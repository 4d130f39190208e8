"""What stands before the figures do, and what is told of a query that takes long."""

from __future__ import annotations

from typing import Any

import pytest
from reader import Open, html
from streamlit.testing.v1 import AppTest

from dashboard import outline, queries, words
from dashboard.i18n import LANGUAGES, text
from dashboard.view import View


class Place:
    """Keeps what a place of the page was last given."""

    def __init__(self) -> None:
        self.boxes: list[str] = []

    def html(self, body: str) -> None:
        self.boxes = [part.split('"')[0] for part in body.split("tj-box-")[1:]]

    def empty(self) -> None:
        self.boxes = []


def test_each_part_that_stands_takes_the_first_box_of_its_kind() -> None:
    place = Place()
    boxes = outline._Boxes(place, ["cards", "half", "chart", "table", "cards"])
    boxes.show()
    assert place.boxes == [*["cards"] * 4, "half", "chart", "table", *["cards"] * 4]
    for part, left in (
        ("chart", ["cards"] * 4 + ["chart", "table"] + ["cards"] * 4),
        ("cards", ["chart", "table"] + ["cards"] * 4),
        ("table", ["chart"] + ["cards"] * 4),
        ("table", ["chart"] + ["cards"] * 4),
        ("cards", ["chart"]),
        ("chart", []),
    ):
        boxes.drawn(part, 1)
        assert place.boxes == left


@pytest.mark.parametrize(
    ("company", "page", "missing"),
    [
        ("lumen", "revenue", ["table"]),  # nobody there is at high risk
        ("lumen", "cash", []),
        ("bazaar", "revenue", []),
        ("bazaar", "churn", []),
        ("lumen", "workbench", []),
    ],
)
def test_the_boxes_of_a_page_are_those_of_the_parts_it_then_draws(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, company: str, page: str, missing: list[str]
) -> None:
    found: list[str] = []
    before: list[list[str]] = []
    drawn, show = outline.drawn, outline._Boxes.show

    def noted(view: View, part: str, count: int = 1) -> None:
        found.extend([part] * count)
        drawn(view, part, count)

    def shown(boxes: outline._Boxes) -> None:
        before.append(list(boxes._left))
        show(boxes)

    monkeypatch.setattr(outline, "drawn", noted)
    monkeypatch.setattr(outline._Boxes, "show", shown)
    app = open_page(page, company)
    assert not app.exception
    kinds = {box: part for part, boxes in outline.PARTS.items() for box in boxes}
    expected = [kinds[box] for box in before[0]]
    for part in missing:
        expected.remove(part)
    assert expected == found
    assert before[-1] == []
    assert 'class="tj-box' not in html(app)
    before.clear()
    app.run()
    assert before == []  # a later run keeps what stands there


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_statement_is_told_by_what_it_reads_and_not_by_its_name(language: str) -> None:
    said = words.subject(text(language))
    for name in queries.named():
        subject = queries.subject_of(name)
        assert subject is not None, name
        assert said(subject) != subject, name
        assert queries.subject_of(name + queries.SUMS) == subject
    assert len({said(subject) for subject in queries.subjects()}) == len(queries.subjects())


def slow() -> None:
    import streamlit as st

    from dashboard import waiting

    here, notices = st.container(key="here"), st.container(key="notices")
    with here, waiting.told_in(notices):
        notice = waiting.Waiting("mrr_bridge_sums")
        notice.begin("a key")
        notice.beat(3.2)
        st.text("what stood before")


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        ("en", "Still reading recurring revenue and its movements from the warehouse: 3 s."),
        ("ar", "ما زالت قراءة الإيراد المتكرر وحركاته من المستودع جارية: 3 ث."),
    ],
)
def test_what_takes_long_is_told_in_words_after_all_that_stands(lang: str, said: str) -> None:
    app = AppTest.from_function(slow, default_timeout=60)
    app.query_params["lang"] = lang
    app.run()
    assert not app.exception
    assert [one.value for one in app.text] == ["what stood before", said]


def test_a_box_holds_nothing_of_the_data() -> None:
    every: list[Any] = [box for boxes in outline.PARTS.values() for box in boxes]
    assert outline.html(every).count("<div") == 1 + outline.CELLS + 5
    assert 'aria-hidden="true"' in outline.html(every)
