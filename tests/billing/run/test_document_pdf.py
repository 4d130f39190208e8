"""What a reader finds in a PDF: what the law wants, right sums, both languages, texts as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import pytest
from pypdf import PdfReader
from shop import OPENED, Part, at, join, new_store, open_shop, run, sell, take
from test_documents import FEBRUARY, JANUARY, MIDDLE, number, shop_with_addresses

from billing.core.money import BillingError
from billing.documents.document import InvoiceDocument, Line, TaxSum, checked
from billing.documents.pdf import to_pdf
from billing.service import parties, subscriptions
from billing.store import tables
from billing.store.store import Store

ISOLATES = dict.fromkeys(map(ord, "\u2066\u2067\u2068\u2069"))


def pages(document: InvoiceDocument, locale: str) -> list[str]:
    """The text of each page, with plain blanks and without isolates."""
    reader = PdfReader(io.BytesIO(to_pdf(document, locale)))
    return [
        " ".join(page.extract_text().translate(ISOLATES).replace("\u2009", " ").split())
        for page in reader.pages
    ]


def text_of(document: InvoiceDocument, locale: str = "en") -> str:
    return " ".join(pages(document, locale))


def assert_shown(text: str, wanted: Sequence[str]) -> None:
    assert [one for one in wanted if one not in text] == []


def terms_shop(**customer: Any) -> Store:
    store = shop_with_addresses(new_store(), collection="terms", **customer)
    take(store, JANUARY, "pro", quantity=3, subscription_id="sub")
    return store


# Article 226 of Directive 2006/112/EC, point by point, and where the shop's first invoice shows it.
ARTICLE_226 = {
    "1 date of issue": ["January 1, 2024"],
    "2 sequential number": ["INV-2024-000001"],
    "3 supplier's VAT number": ["VAT no. DE811569869"],
    "4 customer's VAT number": ["VAT no. DE123456789"],
    "5 names and addresses": [
        "Seller GmbH Hafenstraße 12 20457 Hamburg Germany",
        "anna Ring 2 10115 Berlin Germany",
    ],
    "6 quantity and nature": ["Pro, fee 1", "Pro, seats 3 seats"],
    "7 date of supply": ["Service period", "Jan 1 – 31, 2024"],
    "8 taxable amount by rate, unit price, discount": [
        "VAT 19% on 46.00",
        "31.00 19% 31.00",
        "5.00 19% 15.00",
    ],
    "9 rate": ["19%"],
    "10 VAT payable": ["VAT 19% on 46.00 8.74"],
}


@cache
def first_invoice() -> str:
    store = terms_shop(tax_number="DE123456789")
    run(store, JANUARY)
    return text_of(number(store, "INV-2024-000001"))


@pytest.mark.parametrize("point", ARTICLE_226)
def test_every_point_the_law_lists_is_printed(point: str) -> None:
    assert_shown(first_invoice(), ARTICLE_226[point])


def test_an_invoice_says_how_to_pay_it() -> None:
    store = terms_shop()
    run(store, JANUARY)
    assert_shown(
        text_of(number(store, "INV-2024-000001")),
        [
            "Net total 46.00",
            "Total EUR 54.74",
            "Amount due EUR 54.74",
            "Please transfer €54.74 by",
            "IBAN DE89 3704 0044 0532 0130 00",
            "BIC COBADEFFXXX",
            "Reference INV-2024-000001",
            "Page 1 of 1",
        ],
    )


def test_an_arabic_invoice_has_the_same_facts_and_arabic_words() -> None:
    store = terms_shop(tax_number="DE123456789", locale="ar")
    run(store, JANUARY)
    invoice = number(store, "INV-2024-000001")
    assert to_pdf(invoice) == to_pdf(invoice, "ar")
    text = text_of(invoice, "ar")
    figures = [
        "INV-2024-000001",
        "DE811569869",
        "DE123456789",
        "31.00",
        "15.00",
        "46.00",
        "19%",
        "8.74",
        "54.74",
    ]
    names = ["Seller GmbH", "Hafenstraße 12", "20457 Hamburg", "Ring 2", "Pro, fee", "Pro, seats"]
    words = ["فاتورة", "ألمانيا", "البيان", "الكمية", "الصافي", "المستحق", "الدفع"]
    assert_shown(text, figures + names + words + ["DE89 3704 0044 0532 0130 00"])
    assert "Invoice" not in text


def test_a_document_says_its_language_direction_title_and_standard() -> None:
    store = terms_shop()
    run(store, JANUARY)
    invoice = number(store, "INV-2024-000001")
    for locale, title in (("en", "Invoice INV-2024-000001"), ("ar", "فاتورة INV-2024-000001")):
        reader = PdfReader(io.BytesIO(to_pdf(invoice, locale)))
        assert reader.metadata is not None
        assert (reader.metadata.title, reader.metadata.author) == (title, "Seller GmbH")
        assert str(reader.root_object["/Lang"]).startswith(locale)
        assert reader.root_object["/MarkInfo"]["/Marked"]  # type: ignore[index]
        assert b"<pdfaid:part>3</pdfaid:part>" in reader.root_object["/Metadata"].get_data()  # type: ignore[attr-defined]
        box = reader.pages[0].mediabox
        assert (round(box.width), round(box.height)) == (595, 842)


def test_all_fonts_are_embedded_and_the_same_document_has_the_same_bytes() -> None:
    store = terms_shop()
    run(store, JANUARY)
    invoice = number(store, "INV-2024-000001")
    first = to_pdf(invoice, "ar")
    assert first == to_pdf(invoice, "ar")
    fonts = PdfReader(io.BytesIO(first)).pages[0]["/Resources"]["/Font"]  # type: ignore[index]
    for name in fonts:
        inner = fonts[name]["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert {"/FontFile2", "/FontFile3"} & set(inner)


def test_a_credit_note_and_a_change_are_told_in_words() -> None:
    store = terms_shop()
    run(store, JANUARY)
    sell(store, "max", [Part("fee", "fee", "62")])
    subscriptions.change_plan(store, at(MIDDLE), subscription_id="sub", plan_id="max", when="now")
    run(store, MIDDLE)
    assert_shown(
        text_of(number(store, "INV-2024-000002")),
        ["Max, fee 16 of 31 days 1 62.00 19% 32.00", "Credit for invoice INV-2024-000001", "−16.00"],
    )
    subscriptions.cancel(store, at(MIDDLE), subscription_id="sub", when="now")
    run(store, date(2024, 1, 17))
    note = number(store, "CN-2024-000001")
    assert_shown(
        text_of(note),
        ["Credit note", "CN-2024-000001", "Corrects invoice INV-2024-000002", "Change of the subscription"],
    )
    assert_shown(text_of(note, "ar"), ["إشعار", "دائن", "CN-2024-000001", "INV-2024-000002"])


def test_a_reverse_charge_names_the_article_and_both_numbers() -> None:
    store = shop_with_addresses(
        new_store(), country="FR", tax_number="FR40303265045", tax_number_confirmed_on=JANUARY
    )
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    text = text_of(number(store, "INV-2024-000001"))
    assert_shown(
        text,
        [
            "VAT 0% on 36.00 (reverse charge) 0.00",
            "Reverse charge: the recipient owes the VAT (Article 196, Directive 2006/112/EC).",
            "VAT numbers: seller DE811569869, recipient FR40303265045.",
        ],
    )


@pytest.mark.parametrize(
    ("currency", "price", "english", "arabic"),
    [
        ("EUR", "1234.5", ["1,234.50", "€1,469.06"], ["1,234.50", "1,469.06"]),
        ("USD", "1234.5", ["1,234.50", "$1,469.06"], ["1,234.50", "1,469.06"]),
        ("JPY", "1234", ["1,234", "¥1,468"], ["1,234", "1,468"]),
        ("KWD", "1234.5", ["1,234.500", "KWD 1,469.055"], ["1,234.500", "1,469.055"]),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(
    currency: str, price: str, english: list[str], arabic: list[str]
) -> None:
    store = open_shop(new_store())
    sell(store, "pro", [Part("fee", "fee", price)], currency=currency)
    join(store, "anna", currency=currency)
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    invoice = number(store, "INV-2024-000001")
    assert_shown(text_of(invoice).replace("\xa0", " "), [*english, f"Total {currency}"])
    assert_shown(text_of(invoice, "ar"), arabic)


def test_an_early_discount_and_the_state_are_printed() -> None:
    store = terms_shop()
    run(store, JANUARY)
    row = {"invoice_id": number(store, "INV-2024-000001").document_id}
    early = {"early_discount_ppm": 20_000, "early_discount_until": date(2024, 1, 11)}
    store.update(tables.invoices, [row | early])
    # 2 % of 54.74 is 1.09.
    text = text_of(number(store, "INV-2024-000001"))
    assert "2% discount if paid by January 11, 2024: €53.65." in text
    store.update(tables.invoices, [row | {"state": "void", "voided_on": MIDDLE}])
    text = text_of(number(store, "INV-2024-000001"))
    assert_shown(text, ["Void", "This invoice was voided on January 16, 2024.", "Amount due EUR 0.00"])


HOSTILE = [
    "#panic()",
    "*bold* _it_ `raw`",
    '] #] [ } { "quoted"',
    "$ sum x $ <label> @ref \\ // /* */",
    "= heading - item + 1.",
    '#include "/etc/passwd"',
    "{amount} {0} %s ${x}",
    "</script><b>&amp;",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_of_customers_print_as_they_are(hostile: str) -> None:
    store = open_shop(new_store())
    sell(store, "pro", [Part(hostile, "fee", "31")])
    join(store, "anna", name=f"X {hostile}")
    parties.set_customer_address(
        store, OPENED, customer_id="anna", lines=[hostile], city=hostile, country="DE"
    )
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    written = "".join(hostile.split())
    for locale in ("en", "ar"):
        text = text_of(number(store, "INV-2024-000001"), locale)
        assert "".join(text.split()).count(written) >= 4


@pytest.mark.parametrize("marks", ["\u202e", "\u202d\u202e", "\u2069\u202e", "\u2067", "\u202b\u2069"])
def test_marks_of_direction_in_a_name_reorder_nothing(marks: str) -> None:
    store = open_shop(new_store())
    sell(store, "pro", [Part("fee", "fee", "31")])
    join(store, "anna", name="Evil 100.00")
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    plain = number(store, "INV-2024-000001")
    marked = replace(plain, buyer=replace(plain.buyer, name=f"Evil{marks} 100.00"))
    for locale in ("en", "ar"):
        assert to_pdf(marked, locale) == to_pdf(plain, locale)


def test_a_sign_that_no_font_has_is_refused() -> None:
    store = open_shop(new_store())
    sell(store, "pro", [Part("fee", "fee", "31")])
    join(store, "anna", name="株式会社")
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    with pytest.raises(BillingError, match="unprintable_text"):
        to_pdf(number(store, "INV-2024-000001"))


def test_names_in_greek_cyrillic_and_latin_with_marks_are_printed() -> None:
    store = open_shop(new_store())
    sell(store, "pro", [Part("fee", "fee", "31")])
    join(store, "anna", name="Łódź Αθήνα София Çeşme Žďár Őrség")
    take(store, JANUARY, "pro")
    run(store, JANUARY)
    assert "Łódź Αθήνα София Çeşme Žďár Őrség" in text_of(number(store, "INV-2024-000001"))


# Many lines.


def with_lines(document: InvoiceDocument, count: int) -> InvoiceDocument:
    """The document with so many lines of 10.00 and 1.90, each with its place in its description."""
    one = document.lines[0]
    lines: list[Line] = [
        replace(
            one,
            position=place,
            description=f"Site {place}, so long a description that it needs a second line, as some do here",
            gross_minor=1000,
            net_minor=1000,
            tax_minor=190,
            unit_price=None,
        )
        for place in range(1, count + 1)
    ]
    net, tax = 1000 * count, 190 * count
    sums = {"net_minor": net, "tax_minor": tax}
    of = TaxSum(category="standard", country="DE", tax_rate_ppm=190_000, **sums)
    total = {"total_minor": net + tax, "open_minor": net + tax}
    return checked(replace(document, lines=tuple(lines), taxes=(of,), **sums, **total))


def test_two_hundred_lines_repeat_their_heads_and_carry_their_sum() -> None:
    store = terms_shop()
    run(store, JANUARY)
    long = with_lines(number(store, "INV-2024-000001"), 200)
    found = pages(long, "en")
    assert len(found) > 3
    on_page = [[place for place in range(1, 201) if f"Site {place}, so" in page] for page in found]
    assert [place for places in on_page for place in places] == list(range(1, 201))
    done = 0
    for index, (page, places) in enumerate(zip(found, on_page, strict=True), 1):
        assert f"Page {index} of {len(found)}" in page
        if not places:
            continue
        assert "Description Quantity Unit price VAT Net EUR" in page
        if done:
            assert f"Brought forward {10 * done:,}.00" in page
        done += len(places)
        if done < 200:
            assert f"Carried forward {10 * done:,}.00" in page
    assert_shown(found[-1], ["Net total 2,000.00", "VAT 19% on 2,000.00 380.00", "Total EUR 2,380.00"])
    arabic = pages(long, "ar")
    assert len(arabic) == len(found)
    assert "2,380.00" in arabic[-1]
    assert all("البيان" in page for page, places in zip(arabic, on_page, strict=True) if places)


def test_a_period_of_its_own_is_printed_with_the_line() -> None:
    store = terms_shop()
    sell(store, "later", [Part("fee", "fee", "12")], in_advance=False)
    take(store, JANUARY, "later", subscription_id="other")
    run(store, JANUARY)
    run(store, FEBRUARY)
    text = text_of(number(store, "INV-2024-000002"))
    assert_shown(text, ["Later, fee Jan 1 – 31, 2024", "Pro, fee Feb 1 – 29, 2024"])
