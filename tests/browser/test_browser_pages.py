"""What a reader sees in a real browser: every page, both languages, three widths, numbers with their rows."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from looks import barriers, faults, plain
from window import Reader

from dashboard.i18n import text
from dashboard.words import page_titles

pytestmark = pytest.mark.browser

LANGUAGES = ("en", "ar")
WIDTHS = (400, 1280, 1440)


TITLES = page_titles(text("en"))
FIRST = "revenue"
# The company each page is looked at with, where it is not `lumen`; some pages are two.
COMPANIES = {
    "revenue": ("lumen", "bazaar"),
    "retention": ("lumen", "bazaar"),
    "opportunity": ("bazaar",),
    "churn": ("bazaar", "vela"),
    "renewals": ("vela",),
    "customer": ("vela",),
}
VIEWS = [(name, company) for name in TITLES for company in COMPANIES.get(name, ("lumen",))]
PARAMETERS = {"customer": {"customer": "C2"}}


def path(name: str) -> str:
    return "" if name == FIRST else name


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(("name", "company"), VIEWS)
def test_a_page_is_whole_readable_and_without_barrier_at_every_width(
    reader: Reader, name: str, company: str, lang: str
) -> None:
    page = reader.open(path(name), WIDTHS[0], company=company, lang=lang, **PARAMETERS.get(name, {}))
    assert page.inner_text("h1").strip() == text(lang).gettext(TITLES[name])
    assert page.get_attribute("html", "lang") == lang
    assert page.get_attribute("html", "dir") == {"en": "ltr", "ar": "rtl"}[lang]
    assert page.locator('[data-testid="stAlertContentError"]').count() == 0
    found = {}
    for width in WIDTHS:
        reader.resize(width)
        reader.picture(f"{name}-{company}-{lang}-{width}")
        found[width] = faults(page, width)
    assert found == {width: {} for width in WIDTHS}
    assert barriers(page) == []


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("company", ["lumen", "bazaar"])
def test_the_rows_behind_a_card_add_up_to_it_and_lead_on(reader: Reader, company: str, lang: str) -> None:
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
    assert faults(page, 1280) == {}
    reader.picture(f"rows-{company}-{lang}")
    digits = re.sub(r"\D", "", value)
    content = Path(reader.taken(drill.get_by_role("button", name="CSV")).path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    place = rows[0].index(next(head for head in rows[0] if head.endswith(" ¤"))) - 1
    hundredths = sum(round(float(row[place]) * 1_000_000) for row in rows[1:]) / 10_000
    assert round(hundredths) == int(digits)


def test_the_address_alone_opens_the_same_rows(reader: Reader) -> None:
    page = reader.open("", company="bazaar", lang="ar", rows="repeat_rate")
    assert page.locator(".st-key-drill .tj-table").count() == 1
    assert page.locator(".st-key-drill", has_text="✗").count() == 0


def test_the_menu_of_a_number_has_its_meaning_its_sql_and_its_files(reader: Reader) -> None:
    page = reader.open("", company="lumen", lang="en")
    page.locator(".st-key-menu-mrr button").first.click()
    menu = page.locator('[data-testid="stPopoverBody"]')
    menu.get_by_role("button", name="Export XLSX").wait_for()
    reader.settle()
    words = menu.inner_text()
    assert "paying subscriptions" in words
    assert "FROM warehouse.marts.fct_customer_months" in words
    reader.picture("menu-of-a-number")
    assert barriers(page) == []
    download = reader.taken(menu.get_by_role("button", name="Export XLSX"))
    assert Path(download.path()).read_bytes().startswith(b"PK")
    assert download.suggested_filename == "lumen-mrr-2025-03-31.xlsx"


def test_company_language_and_digits_are_switched_in_the_sidebar(reader: Reader) -> None:
    page = reader.open("churn", company="bazaar", lang="en")
    page.get_by_text("العربية", exact=True).click()
    page.wait_for_function("document.documentElement.dir === 'rtl'")
    reader.settle()
    assert "lang=ar" in page.url
    assert "company=bazaar" in page.url
    assert page.inner_text("h1").strip() == "خطر التسرّب"
    page.locator(".st-key-choice-digits").get_by_text("١٢٣", exact=True).click()
    page.wait_for_url(lambda address: "digits=arab" in address)
    page.locator(".st-key-choice-company").get_by_role("combobox").click()
    page.get_by_role("option", name="لومن").click()
    page.wait_for_url(lambda address: "company=lumen" in address)
    reader.settle()
    assert "lang=ar" in page.url
    assert "digits=arab" in page.url
    assert not re.search("[0-9]", page.locator(".st-key-freshness").inner_text().replace("UTC", ""))


def test_the_list_leads_to_every_page_and_takes_company_and_language_along(reader: Reader) -> None:
    page = reader.open("", company="bazaar", lang="ar")
    for name, title in list(TITLES.items())[1:]:
        link = page.locator('[data-testid="stSidebar"]').get_by_role(
            "link", name=text("ar").gettext(title), exact=True
        )
        if link.count() == 0:  # a page that only links lead to
            continue
        link.click()
        page.wait_for_function(
            "title => document.querySelector('h1')?.innerText.trim() === title", arg=text("ar").gettext(title)
        )
        reader.settle()
        assert f"/{name}?" in page.url
        assert "company=bazaar" in page.url
        assert "lang=ar" in page.url


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_chart_can_be_read_as_a_table(reader: Reader, lang: str) -> None:
    page = reader.open("", company="bazaar", lang=lang)
    before = page.locator(".tj-table").count()
    page.get_by_text({"en": "Show as table", "ar": "اعرض كجدول"}[lang]).first.click()
    page.wait_for_function("before => document.querySelectorAll('.tj-table').length > before", arg=before)
    reader.settle()
    table = page.locator(".tj-table table").first
    assert table.get_attribute("dir") == {"en": "ltr", "ar": "rtl"}[lang]


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_figures_of_the_first_page_begin_high_on_it(reader: Reader, lang: str) -> None:
    """Under title, tour and choices: within the first third of a window, two thirds of a phone's."""
    page = reader.open(company="lumen", lang=lang)
    for width, most in ((1280, 300), (400, 560)):
        reader.resize(width)
        box = page.locator('[data-testid="stMetric"]').first.bounding_box()
        assert box is not None
        assert box["y"] < most


def test_the_tour_is_taken_once_and_never_seen_again(reader: Reader) -> None:
    page = reader.open("", company="lumen", lang="en")
    tour = page.locator(".st-key-tour")
    if tour.count():
        tour.get_by_role("button", name="Next").click()
        page.get_by_text("Step 2 of 3").wait_for()
        tour.get_by_role("button", name="Skip the tour").click()
        page.locator(".st-key-first-steps").wait_for()
    reader.settle()
    page = reader.open("", company="lumen", lang="ar")
    assert page.locator(".st-key-tour").count() == 0


def test_axe_does_find_a_barrier(reader: Reader) -> None:
    page = reader.open("health", company="bazaar", lang="en")
    page.evaluate("() => document.body.insertAdjacentHTML('beforeend', '<button></button>')")
    found = [one["id"] for one in barriers(page)]
    assert "button-name" in found
