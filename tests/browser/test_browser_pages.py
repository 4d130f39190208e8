"""What a reader sees in a real browser: both languages, wide and narrow, nothing cut, numbers with rows."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page
from window import Reader

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES = {
    "": ("Revenue overview", "نظرة عامة على الإيراد"),
    "retention": ("Retention and cohorts", "الاحتفاظ والأفواج"),
    "churn": ("Churn risk", "خطر التسرّب"),
    "health": ("Data health", "سلامة البيانات"),
    "opportunity": ("Subscription opportunity", "فرصة الاشتراك"),
}
# Elements whose text is wider than their box, and what sticks out of the window.
CUT = """() => {
  const cut = [];
  const all = '[data-testid="stMetric"] *, [data-testid="stMetric"], h1, h2, h3, button p';
  for (const element of document.querySelectorAll(all)) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || element.closest('svg')) continue;
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
        && getComputedStyle(element).display !== 'inline') cut.push(element.textContent);
    if (element.closest('[data-testid="stMain"]') && (box.left < -1 || box.right > window.innerWidth + 1))
      cut.push('outside: ' + element.textContent);
  }
  return cut;
}"""
WIDER_THAN_THE_WINDOW = """() => {
  const main = document.querySelector('[data-testid="stMain"]');
  return main.scrollWidth - main.clientWidth;
}"""

# Words of one chart that lie on each other, and words too small to read.
OVERLAPS = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('.js-plotly-plot')) {
    const words = [...chart.querySelectorAll('svg text')]
      .map(text => [text.textContent, text.getBoundingClientRect()])
      .filter(([said, box]) => said.trim() && box.width > 0);
    words.forEach(([said, box], place) => {
      if (box.height < 10) found.push('too small: ' + said);
      for (const [other, next] of words.slice(place + 1)) {
        const wide = Math.min(box.right, next.right) - Math.max(box.left, next.left);
        const high = Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top);
        if (wide > 1 && high > 3) found.push(said + ' on ' + other);
      }
    });
  }
  return found;
}"""
WIDER_THAN_THEIR_PLACE = """() => [...document.querySelectorAll('.tj-table')]
  .filter(table => table.scrollWidth > table.clientWidth + 1)
  .map(table => table.getAttribute('aria-label'))"""


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_overlapping_words_of_a_chart_are_found(reader: Reader, lang: str) -> None:
    page = reader.open("retention", 390, company="retail", lang=lang)
    page.add_style_tag(content=".st-key-chart-cohorts { min-width: 0 !important; }")
    page.wait_for_function(f"() => ({OVERLAPS})().length > 0")


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("company", ["retail", "atlas"])
def test_a_wide_window_shows_every_column_of_a_table(reader: Reader, company: str, lang: str) -> None:
    for name in PAGES:
        assert reader.open(name, 1440, company=company, lang=lang).evaluate(WIDER_THAN_THEIR_PLACE) == []


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("company", ["retail", "atlas"])
def test_the_risk_list_fits_a_window_of_1280(reader: Reader, company: str, lang: str) -> None:
    page = reader.open("churn", 1280, company=company, lang=lang)
    assert page.evaluate(WIDER_THAN_THEIR_PLACE) == []


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "Comparison group: no contact"), ("ar", "مجموعة المقارنة: بلا تواصل")]
)
def test_the_comparison_group_has_no_next_step(reader: Reader, lang: str, said: str) -> None:
    page = reader.open("churn", company="retail", lang=lang)
    assert page.locator(".tj-table").first.get_by_text(said).count() > 0


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_last_digits_of_a_column_stand_below_each_other(reader: Reader, lang: str) -> None:
    page = reader.open("churn", company="retail", lang=lang)
    ends = page.evaluate(
        """() => [...document.querySelectorAll('.tj-table tbody tr > .tj-number:nth-child(3) bdi')]
            .map(number => Math.round(number.getBoundingClientRect().right))"""
    )
    assert len(ends) > 20
    assert len(set(ends)) == 1


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("company", ["retail", "atlas"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_readable_and_without_barrier_in_a_wide_and_in_a_narrow_window(
    reader: Reader, name: str, company: str, lang: str
) -> None:
    for width in (390, 1280):
        page = reader.open(name, width, company=company, lang=lang)
        assert page.inner_text("h1").strip() == PAGES[name][lang == "ar"]
        assert page.get_attribute("html", "lang") == lang
        assert page.get_attribute("html", "dir") == {"en": "ltr", "ar": "rtl"}[lang]
        assert page.query_selector('[data-testid="stException"], [data-testid="stAlertContentError"]') is None
        assert page.evaluate(CUT) == []
        assert page.evaluate(WIDER_THAN_THE_WINDOW) <= 1
        assert page.evaluate(OVERLAPS) == []
    assert _barriers(page) == []


def _barriers(page: Page) -> list[dict[str, object]]:
    """What axe finds on a page, with the first places of each."""
    page.add_script_tag(path=str(AXE))
    found: list[dict[str, object]] = page.evaluate(
        """async () => {
            const rules = {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']};
            const shown = nodes => nodes.map(node => node.html.slice(0, 160)).slice(0, 5);
            return (await axe.run(document, rules)).violations
                .map(({id, impact, nodes}) => ({id, impact, nodes: shown(nodes)}));
        }"""
    )
    return found


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("company", ["retail", "atlas"])
def test_the_rows_behind_a_card_add_up_to_it(reader: Reader, company: str, lang: str) -> None:
    page = reader.open("", company=company, lang=lang)
    card = page.locator('[data-testid="stMetric"]').first
    value = card.locator('[data-testid="stMetricValue"]').inner_text()
    page.get_by_role("button", name={"en": "Show the rows", "ar": "اعرض الصفوف"}[lang]).first.click()
    page.wait_for_selector(".st-key-drill .tj-table")
    reader.settle()
    drill = page.locator(".st-key-drill")
    assert plain(value) in plain(drill.inner_text())
    assert "✓" in drill.inner_text()
    assert "✗" not in drill.inner_text()
    assert "rows=" in page.url
    assert page.evaluate(CUT) == []


def test_the_address_alone_opens_the_same_rows(reader: Reader) -> None:
    page = reader.open("", company="retail", lang="ar", rows="repeat_rate", month="2011-06")
    assert page.locator(".st-key-drill .tj-table").count() == 1
    assert page.locator(".st-key-drill", has_text="✗").count() == 0


def test_company_and_language_are_switched_in_the_sidebar(reader: Reader) -> None:
    page = reader.open("churn", company="retail", lang="en")
    page.get_by_text("العربية", exact=True).click()
    page.wait_for_function("document.documentElement.dir === 'rtl'")
    reader.settle()
    assert "lang=ar" in page.url
    assert "company=retail" in page.url
    assert page.inner_text("h1").strip() == "خطر التسرّب"
    page.locator(".st-key-choice-company").get_by_role("combobox").click()
    page.get_by_role("option").first.click()  # atlas, the first by name
    page.wait_for_url(lambda address: "company=retail" not in address)
    reader.settle()
    assert "lang=ar" in page.url


def test_the_sidebar_leads_to_every_page_and_takes_company_and_language_along(reader: Reader) -> None:
    page = reader.open("", company="retail", lang="ar")
    for name, titles in list(PAGES.items())[1:]:
        page.locator('[data-testid="stSidebar"]').get_by_role("link", name=titles[1]).click()
        page.wait_for_function(
            "title => document.querySelector('h1')?.innerText.trim() === title", arg=titles[1]
        )
        reader.settle()
        assert f"/{name}?" in page.url
        assert "company=retail" in page.url
        assert "lang=ar" in page.url


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_chart_can_be_read_as_a_table(reader: Reader, lang: str) -> None:
    page = reader.open("", company="retail", lang=lang)
    before = page.locator(".tj-table").count()
    page.get_by_text({"en": "Show as table", "ar": "اعرض كجدول"}[lang]).first.click()
    page.wait_for_function("before => document.querySelectorAll('.tj-table').length > before", arg=before)
    reader.settle()
    table = page.locator(".tj-table table").first
    assert table.get_attribute("dir") == {"en": "ltr", "ar": "rtl"}[lang]
    assert table.locator("tbody tr").count() > 12


def test_a_chart_says_in_words_what_it_shows(reader: Reader) -> None:
    page = reader.open("", company="retail", lang="en")
    charts = page.locator('[data-testid="stPlotlyChart"]')
    assert charts.count() >= 3
    spoken = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].map(chart => {
            const named = chart.closest('[aria-label]') || chart.querySelector('[aria-label]');
            return named ? named.getAttribute('aria-label') : '';
        })"""
    )
    assert all(len(words) > 20 for words in spoken), spoken


def test_the_rows_can_be_opened_with_the_keyboard_alone(reader: Reader) -> None:
    page = reader.open("", company="retail", lang="en")
    page.get_by_role("button", name="Show the rows").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".st-key-drill .tj-table")


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_exported_file_adds_up_to_the_card(reader: Reader, lang: str) -> None:
    page = reader.open("", company="retail", lang=lang, rows="order_revenue")
    value = page.locator('[data-testid="stMetricValue"]').first.inner_text()
    with page.expect_download() as download:
        page.locator(".st-key-drill").get_by_role("button", name="CSV").click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    pence = sum(round(float(row[-2]) * 100) for row in rows[1:])
    assert pence == int(re.sub(r"\D", "", value))


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_chart_that_a_narrow_window_scrolls_is_no_barrier(reader: Reader, lang: str) -> None:
    page = reader.open("retention", 390, company="retail", lang=lang)
    scrolls = "() => { const part = document.querySelector('.st-key-scroll-cohorts');"
    assert page.evaluate(scrolls + " return part.scrollWidth > part.clientWidth; }")
    assert _barriers(page) == []


def test_axe_does_find_a_barrier(reader: Reader) -> None:
    page = reader.open("health", company="retail", lang="en")
    page.evaluate("() => document.body.insertAdjacentHTML('beforeend', '<button></button>')")
    found = [one["id"] for one in _barriers(page)]
    assert "button-name" in found


def plain(shown: str) -> str:
    """Text without the marks that isolate numbers, and with ordinary spaces."""
    return re.sub("[\u2066-\u2069\u200e\u200f]", "", shown).replace("\xa0", " ")
