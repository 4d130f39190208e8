"""Numbers, money and dates as readers of either language see them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dashboard.format import ARABIC_INDIC, END_ISOLATE, ISOLATE, Formatter

EXPONENTS = {"EUR": 2, "GBP": 2, "USD": 2, "JPY": 0, "KWD": 3}
ENGLISH = Formatter("en", EXPONENTS)
ARABIC = Formatter("ar", EXPONENTS)


def isolated(shown: str) -> str:
    return ISOLATE + shown + END_ISOLATE


@pytest.mark.parametrize(
    ("minor", "currency", "english", "arabic"),
    [
        (123456, "EUR", "€1,234.56", "1,234.56 €"),
        (123456, "JPY", "¥123,456", "123,456 JP¥"),
        (123456, "KWD", "KWD 123.456", "123.456 \u2067د.ك.\u2069"),
        (-5, "USD", "−$0.05", "−0.05 US$"),
        (0, "GBP", "£0.00", "0.00 UK£"),
        (9007199254740993, "EUR", "€90,071,992,547,409.93", "90,071,992,547,409.93 €"),
    ],
)
def test_money_has_the_decimals_of_its_currency(minor: int, currency: str, english: str, arabic: str) -> None:
    assert ENGLISH.money(minor, currency).replace("\xa0", " ") == english
    assert ARABIC.money(minor, currency).replace("\xa0", " ") == isolated(arabic)


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        ("100.5", "€1.01"),
        ("101.5", "€1.02"),
        ("100.4999", "€1.00"),
        ("-100.5", "−€1.01"),
        ("56033.3333", "€560.33"),
    ],
)
def test_a_monthly_rate_is_rounded_half_away_from_zero_when_shown(rate: str, shown: str) -> None:
    assert ENGLISH.money(Decimal(rate), "EUR") == shown


def test_a_signed_amount_shows_its_plus_and_a_zero_has_none() -> None:
    assert ENGLISH.money(500, "EUR", signed=True) == "+€5.00"
    assert ENGLISH.money(0, "EUR", signed=True) == "€0.00"
    assert ENGLISH.money(-500, "EUR", signed=True) == "−€5.00"


def test_a_short_amount_drops_its_decimals_half_up() -> None:
    assert ENGLISH.money_short(123450, "EUR") == "€1,235"
    assert ENGLISH.money_short(1234567, "KWD").replace("\xa0", " ") == "KWD 1,235"


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (Decimal("1.0844"), "108.4%"),
        (Decimal("0.9995"), "100.0%"),
        (-0.012, "−1.2%"),
        (0, "0.0%"),
        (None, "–"),
    ],
)
def test_a_ratio_is_shown_as_a_percentage(ratio: Decimal | float | None, shown: str) -> None:
    assert ENGLISH.percent(ratio) == shown


def test_a_leading_digit_survives_in_arabic() -> None:
    assert ARABIC.percent(Decimal("1.084")) == isolated("108.4%")


def test_a_difference_of_ratios_is_in_points_with_its_sign() -> None:
    assert ENGLISH.points(Decimal("0.0588")) == "+5.9"
    assert ENGLISH.points(Decimal("-0.2")) == "−20.0"


def test_what_is_missing_is_a_dash_and_never_a_zero() -> None:
    assert {
        ENGLISH.money(None, "EUR"),
        ENGLISH.number(None),
        ENGLISH.percent(None),
        ENGLISH.day(None),
        ENGLISH.month(None),
        ENGLISH.instant(None),
        ENGLISH.identifier(None),
    } == {"–"}


def test_dates_are_gregorian_with_latin_digits_in_both_languages() -> None:
    day = date(2025, 12, 31)
    assert ENGLISH.day(day) == "December 31, 2025"
    assert ARABIC.day(day) == "31 ديسمبر 2025"
    assert ARABIC.month(day) == "ديسمبر 2025"
    assert ENGLISH.day_short(day) == "2025-12-31"
    assert ENGLISH.instant(datetime(2025, 12, 31, 4, 5, tzinfo=UTC)) == "Dec 31, 2025 04:05 UTC"


def test_ids_keep_their_own_order_inside_arabic() -> None:
    assert ARABIC.identifier("INV-7/2025") == isolated("INV-7/2025")
    assert ENGLISH.identifier("INV-7/2025") == "INV-7/2025"


def test_arabic_indic_digits_are_in_every_number_date_and_share_and_only_in_arabic() -> None:
    show = Formatter("ar", {"EUR": 2}, digits=ARABIC_INDIC)
    day, instant = date(2025, 3, 31), datetime(2025, 3, 31, 4, 30, tzinfo=UTC)
    written = [
        show.money(123456, "EUR"),
        show.money_short(123456, "EUR"),
        show.number(1234),
        show.size_short(1_500_000),
        show.percent(0.123),
        show.points(0.05),
        show.day(day),
        show.day_short(day),
        show.month(day),
        show.quarter(day),
        show.instant(instant),
    ]
    assert not [one for one in written if re.search("[0-9%]", one)]
    assert "١٬٢٣٤٫٥٦" in written[0]
    assert show.identifier("INV-7") == Formatter("ar").identifier("INV-7")
    assert Formatter("en", digits=ARABIC_INDIC).number(1234) == "1,234"
