"""The save rate and its interval, against published figures and figures worked out by hand."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import polars as pl
import pytest

from churn_model.effects import KeptShare, save_rate, save_rates, wilson


@pytest.mark.parametrize(
    ("events", "customers", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(events: int, customers: int, low: float, high: float) -> None:
    assert wilson(events, customers) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("holdout", "listed", "value", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10
        ((56, 70), (48, 80), 0.2, 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.6, 0.1705, 0.8090),
        ((5, 56), (0, 29), 0.0893, -0.0381, 0.1926),
        ((0, 10), (0, 20), 0.0, -0.1611, 0.2775),
        ((10, 10), (0, 20), 1.0, 0.6791, 1.0),
    ],
)
def test_the_interval_of_a_save_rate_is_newcombes(
    holdout: tuple[int, int], listed: tuple[int, int], value: float, low: float, high: float
) -> None:
    rate = save_rate(*listed, *holdout)
    assert (rate.value, rate.low, rate.high) == pytest.approx((value, low, high), abs=6e-5)


def test_an_interval_of_twenty_points_or_more_says_not_enough_data() -> None:
    wide, narrow = save_rate(48, 80, 56, 70), save_rate(480, 800, 560, 700)
    assert not wide.is_enough
    assert "Not enough data" in wide.text("en")
    assert "لا بيانات كافية" in wide.text("ar")
    assert narrow.is_enough
    assert "+20.0" in narrow.text("en")
    assert "+20.0" in narrow.text("ar")
    for words in ("480/800", "560/700"):
        assert words in narrow.text("en")
        assert words in narrow.text("ar")


def test_the_share_of_leavers_kept_has_the_interval_of_the_ratio() -> None:
    """Heart attacks under aspirin and placebo, a ratio of 0.55 with 0.43 to 0.70 by the log method: the
    inverse of 1.82 with 1.43 to 2.30 in Agresti, Categorical Data Analysis, section 3.1."""
    kept = save_rate(104, 11_037, 189, 11_034).kept
    assert kept is not None
    assert kept.value == 1 - Fraction(104 * 11_034, 11_037 * 189)
    assert (kept.low, kept.high) == pytest.approx((1 - 1 / 1.43, 1 - 1 / 2.30), abs=3e-3)
    assert not kept.is_enough  # 27 points wide


def test_a_play_that_loses_customers_keeps_none() -> None:
    harmful = save_rate(500, 2_000, 300, 2_000)
    assert harmful.kept == KeptShare(Fraction(0), 0.0, 0.0)


@pytest.mark.parametrize("counts", [(0, 500, 30, 60), (5, 500, 0, 60), (0, 10, 0, 10), (3, 10, 0, 0)])
def test_without_leavers_on_both_sides_no_share_is_known(counts: tuple[int, int, int, int]) -> None:
    assert save_rate(*counts).kept is None


def test_without_a_holdout_there_is_no_save_rate() -> None:
    rate = save_rate(10, 100, 0, 0)
    assert (rate.value, rate.low, rate.is_enough) == (None, None, False)
    assert "Not enough data" in rate.text("en")


def test_more_leavers_than_customers_are_refused() -> None:
    with pytest.raises(ValueError, match="11 of 10"):
        save_rate(11, 10, 0, 5)
    with pytest.raises(ValueError, match="no share"):
        wilson(0, 0)


def rows(*given: tuple[str, date, str | None, bool, bool | None, bool]) -> pl.DataFrame:
    names = ["customer_id", "as_of", "recommended_play", "in_holdout", "left", "is_excluded"]
    return pl.DataFrame(given, schema=names, orient="row", schema_overrides={"left": pl.Boolean})


JANUARY, MARCH, APRIL = date(2026, 1, 31), date(2026, 3, 31), date(2026, 4, 30)


def test_everyone_counts_where_the_draw_put_them_and_once_a_quarter() -> None:
    given = rows(
        ("a", JANUARY, "call", False, True, False),
        ("a", MARCH, "call", False, False, False),  # the same quarter: counted in January
        ("a", APRIL, "call", False, False, False),  # a new draw
        ("b", JANUARY, "call", True, True, False),
        ("c", JANUARY, "call", True, None, False),  # not closed yet
        ("d", JANUARY, "none", True, True, False),  # no list
        ("e", JANUARY, None, True, True, False),
        ("f", JANUARY, "call", False, True, True),  # left out of the draw
        ("g", JANUARY, "offer", False, False, False),
        ("b", MARCH, "offer", True, False, False),  # for all plays together b counts once, in January
    )
    call, offer, together = save_rates(given)
    assert (call.play, call.listed_left, call.listed, call.holdout_left, call.holdout, call.excluded) == (
        *("call", 1, 2, 1, 1),
        1,
    )
    assert (offer.listed, offer.holdout, offer.holdout_left) == (1, 1, 0)
    assert (together.play, together.listed, together.holdout, together.holdout_left) == ("all", 3, 1, 1)
    assert call.value == pytest.approx(1 - 1 / 2)


def test_nothing_closed_gives_all_plays_without_a_figure() -> None:
    (together,) = save_rates(rows(("a", JANUARY, "call", False, None, False)))
    assert (together.play, together.value) == ("all", None)
