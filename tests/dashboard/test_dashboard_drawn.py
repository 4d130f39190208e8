"""A chart is drawn once for the same words and values, and anew for any other."""

from __future__ import annotations

import plotly.io

from dashboard import charts
from dashboard.charts import Series
from dashboard.format import ARABIC_INDIC, Formatter


def line(last: float = 2, size: object = Formatter("en").size_short, name: str = "MRR"):
    return charts.lines(["a", "b"], [Series(name, [1, last], ["1", str(last)])], False, size=size)


def test_the_same_chart_is_the_same_figure() -> None:
    assert line() is line()


def test_another_value_word_direction_or_format_is_another_figure() -> None:
    first = line()
    assert line(3) is not first
    assert line(name="NRR") is not first
    other = line(size=Formatter("ar", digits=ARABIC_INDIC).size_short)
    assert list(other.layout.yaxis.ticktext) != list(first.layout.yaxis.ticktext)


def test_what_cannot_be_compared_is_drawn_anew() -> None:
    assert line(size=lambda value: f"{value}") is not line(size=lambda value: f"{value}")


def test_a_figure_that_is_kept_is_sent_as_it_was_drawn() -> None:
    kept = plotly.io.to_json(line(), validate=False)
    assert kept == plotly.io.to_json(
        charts.lines.__wrapped__(
            ["a", "b"], [Series("MRR", [1, 2], ["1", "2"])], False, size=Formatter("en").size_short
        ),
        validate=False,
    )
    assert plotly.io.to_json(line(), validate=False) == kept
