"""Colours can be read, charts turn for readers of Arabic, and nothing is fetched from outside."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from dashboard import charts, theme
from dashboard.charts import Mark, Series, Step
from dashboard.format import Formatter
from dashboard.i18n.extract import PACKAGE

SETTINGS = tomllib.loads((PACKAGE / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
STEPS = [Step("Opening", 450, "€450", True), Step("New <b>", 80, "+€80"), Step("Closing", 530, "€530", True)]


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(("text", "ground"), theme.TEXT_PAIRS)
def test_text_can_be_read_on_its_ground(text: str, ground: str) -> None:
    assert contrast(text, ground) >= 4.5


def test_numbers_can_be_read_on_every_tone_of_a_heat_map() -> None:
    for stop, tone in charts.SHARE_SCALE:
        assert contrast(theme.TEXT, tone) >= 4.5, stop
    assert contrast(theme.TEXT, charts.OVER_FULL) >= 4.5


def test_the_server_takes_the_colours_of_the_theme() -> None:
    settings = SETTINGS["theme"]
    assert settings["primaryColor"] == theme.BLUE
    assert settings["textColor"] == theme.TEXT
    assert settings["secondaryBackgroundColor"] == theme.PANEL
    assert settings["redTextColor"] == theme.RED
    assert settings["greenTextColor"] == theme.GREEN


def test_a_chart_turns_for_readers_of_arabic() -> None:
    figure = charts.bridge(STEPS, True)
    assert figure.layout.xaxis.autorange == "reversed"
    assert figure.layout.yaxis.side == "right"
    assert figure.layout.legend.xanchor == "right"
    line = charts.lines(["a", "b"], [Series("x", [1, 2], ["1", "2"])], True)
    assert tuple(line.layout.xaxis.range) == (1.5, -0.5)


def test_a_chart_reads_from_the_left_otherwise() -> None:
    assert charts.bridge(STEPS, False).layout.xaxis.autorange is None
    assert charts.bridge(STEPS, False).layout.yaxis.side is None


def test_a_line_whose_places_open_rows_has_points_to_click() -> None:
    series = [Series("x", [1, 2], ["1", "2"]), Series("y", [1, 2], ["1", "2"], is_dashed=True)]
    band = charts.Band("z", [0, 1], [2, 3])
    bare, clickable = (
        charts.lines(["a", "b"], series, False, band=band, opens=opens) for opens in (False, True)
    )
    assert {line.mode for line in bare.data} == {"lines"}
    assert [line.mode for line in clickable.data] == ["lines", "lines+markers", "lines+markers"]


def test_a_legend_reads_from_the_right_in_arabic() -> None:
    series = [Series("الأول", [1], ["1"]), Series("الثاني", [2], ["2"])]
    plain, turned = (charts.lines(["a"], series, is_right_to_left) for is_right_to_left in (False, True))
    assert plain.layout.showlegend is None
    assert not plain.layout.annotations
    assert turned.layout.showlegend is False
    (legend,) = turned.layout.annotations
    assert legend.xanchor == "right"
    for name, colour in (("الأول", theme.BLUE), ("الثاني", theme.GREEN)):
        assert re.search(f'\u2067<span style="color:{colour}">■</span> \u2067?{name}', legend.text)
    columns = charts.stacked_columns(["a"], [Series("عائدون", [1], ["1"], colour=theme.RED)], True)
    assert theme.RED in columns.layout.annotations[0].text


@pytest.mark.parametrize(
    ("low", "high", "places"),
    [
        (0, 4.6e6, [0, 2e6, 4e6]),
        (-60e3, 1.2e6, [0, 5e5, 1e6]),
        (0, 3, [0, 1, 2, 3]),
        (0, 0, [0]),
        (-5, 5, [-5, 0, 5]),
    ],
)
def test_an_axis_has_round_places(low: float, high: float, places: list[float]) -> None:
    assert charts.round_steps(low, high) == places


def test_an_axis_speaks_the_readers_language() -> None:
    series = [Series("x", [0, 4_600_000], ["", ""])]
    english = charts.lines(["a", "b"], series, False, size=Formatter("en").size_short)
    arabic = charts.stacked_columns(["a", "b"], series, True, Formatter("ar").size_short)
    assert list(english.layout.yaxis.ticktext) == ["0", "2M", "4M"]
    assert [words.strip("\u2067\u2069") for words in arabic.layout.yaxis.ticktext] == [
        "0",
        "2\xa0مليون",
        "4\xa0مليون",
    ]


def test_a_line_alone_has_no_legend() -> None:
    assert not charts.lines(["a"], [Series("الأول", [1], ["1"])], True).layout.annotations


def test_a_bar_of_nothing_keeps_its_label() -> None:
    (bar,) = charts.bars(["none", "some"], [0, 5], ["€0", "€5"], False).data
    assert list(bar.textposition) == ["outside", "auto"]
    assert bar.marker.line.width > 0


def test_labels_of_charts_cannot_smuggle_markup() -> None:
    assert "New &lt;b&gt;" in charts.bridge(STEPS, False).data[0].x
    lines = charts.lines(["a"], [Series('<a href="x">', [1], ["1"])], False)
    assert "<a" not in lines.data[0].name


@pytest.mark.parametrize("draw", [charts.lines, charts.stacked_columns])
def test_a_place_on_an_axis_cannot_become_a_link(draw: Any) -> None:
    place = '<a href="https://example.org">Sign in again</a>'
    figure = draw([place, "b"], [Series("x", [1, 2], ["1", "2"])], False, marks=[Mark(place, "1")])
    assert "<a href" not in str(figure.to_dict())
    assert figure.layout.annotations[0].x == 0


def test_a_bridge_begins_at_zero_unless_its_movements_would_vanish() -> None:
    assert charts.axis_start(STEPS) == 0
    flat = [Step("Opening", 1000, "", True), Step("New", 10, ""), Step("Closing", 1010, "", True)]
    assert 0 < charts.axis_start(flat) < 1000
    assert (
        charts.axis_start([Step("Opening", 0, "", True), Step("New", 10, ""), Step("Closing", 10, "", True)])
        == 0
    )


def test_more_than_all_has_a_tone_of_its_own_in_a_heat_map() -> None:
    figure = charts.cohorts(["Jan"], [0, 1], [[1.0, 1.2]], False)
    within, beyond = figure.data
    assert list(within.z[0]) == [1.0, None]
    assert list(beyond.z[0]) == [None, 1]
    assert list(within.text[0]) == ["100", "120"]


@pytest.mark.parametrize(
    ("values", "points"),
    [([3.0], [7]), ([None, 3.0, None, 2.0, 1.0], [0, 7, 0, 0, 0]), ([1.0, None, 2.0], [7, 0, 7])],
)
def test_a_value_without_neighbours_is_a_point_of_its_own(
    values: list[float | None], points: list[int]
) -> None:
    months = [f"month {number}" for number in range(len(values))]
    (line,) = charts.lines(months, [Series("x", values, ["1"] * len(values))], False).data
    assert line.mode == "lines+markers"
    assert list(line.marker.size) == points


def test_a_line_that_can_be_clicked_has_all_its_points() -> None:
    (line,) = charts.lines(
        ["a", "b", "c"], [Series("x", [1.0, None, 2.0], ["1"] * 3)], False, opens=True
    ).data
    assert line.mode == "lines+markers"
    assert line.marker.size == 7


def test_nothing_is_fetched_from_outside_or_reported_home() -> None:
    assert SETTINGS["browser"]["gatherUsageStats"] is False
    assert SETTINGS["server"]["enableAgentApi"] is False
    assert SETTINGS["client"]["showErrorDetails"] == "none"
    assert SETTINGS["client"]["showErrorLinks"] is False
    for face in SETTINGS["theme"]["fontFaces"]:
        assert (PACKAGE / face["url"].removeprefix("app/")).is_file()
    for style in (theme.STYLE, theme.STYLE_RIGHT_TO_LEFT):
        assert not re.search(r"https?:|@import|url\(", style.read_text(encoding="utf-8"))
    assert theme.ICON.startswith("data:image/png;base64,")
    assert "SIL OPEN FONT LICENSE" in (theme.STATIC / "fonts" / "OFL.txt").read_text(encoding="utf-8").upper()
