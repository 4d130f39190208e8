"""The sample companies, whose charts and lists are as full as real ones: words stand clear of each other."""

from __future__ import annotations

import pytest
from looks import OVERLAPS, WIDER_THAN_THEIR_PLACE, faults
from window import Reader

pytestmark = pytest.mark.browser

FULL = [("revenue", "retail"), ("retention", "retail"), ("revenue", "atlas"), ("retention", "atlas")]
FULL += [("opportunity", "retail")]


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize(("name", "company"), FULL)
def test_full_charts_and_tables_are_readable_at_every_width(
    sample_reader: Reader, name: str, company: str, lang: str
) -> None:
    page = sample_reader.open("" if name == "revenue" else name, 400, company=company, lang=lang)
    found = {}
    for width in (400, 1280, 1440):
        sample_reader.resize(width)
        sample_reader.picture(f"full-{name}-{company}-{lang}-{width}")
        found[width] = faults(page, width)
    assert found == {400: {}, 1280: {}, 1440: {}}


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "Comparison group: no contact"), ("ar", "مجموعة المقارنة: بلا تواصل")]
)
def test_the_risk_list_is_whole(sample_reader: Reader, lang: str, said: str) -> None:
    page = sample_reader.open("churn", 400, company="retail", lang=lang)
    assert faults(page, 400) == {}
    sample_reader.resize(1280)
    assert faults(page, 1280) == {}
    assert page.evaluate(WIDER_THAN_THEIR_PLACE) == []
    assert page.locator(".tj-table").first.get_by_text(said).count() > 0
    ends = page.evaluate(
        """() => [...document.querySelectorAll('.tj-table tbody tr > .tj-number:nth-child(3) bdi')]
            .map(number => Math.round(number.getBoundingClientRect().right))"""
    )
    assert len(ends) > 20
    assert len(set(ends)) == 1


def test_overlapping_words_of_a_chart_are_found(sample_reader: Reader) -> None:
    page = sample_reader.open("retention", 400, company="retail", lang="en")
    page.add_style_tag(content=".st-key-chart-cohorts { min-width: 0 !important; }")
    page.wait_for_function(f"() => ({OVERLAPS})().length > 0")
