"""A chart is drawn once for the same words and values, and anew for any other."""

from __future__ import annotations

import plotly.io

from dashboard import charts, theme
from dashboard.charts import Series
from dashboard.drawn import in_digits
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


def test_a_chart_has_the_digits_of_its_reader_and_keeps_its_numbers_and_colours() -> None:
    arabic = Formatter("ar", digits=ARABIC_INDIC)
    series = [Series("P90", [0.5, 0.75], ["50%", "75%"]), Series("<b>2", [0.1, 0.2], ["10%", "20%"])]
    figure = charts.lines(["0", "1"], series, True, is_percent=True)
    content = in_digits(figure, arabic.written)
    assert list(content["data"][0]["x"]) == ["٠", "١"]
    assert list(content["data"][0]["text"]) == ["٥٠٪", "٧٥٪"]
    assert list(content["data"][0]["y"]) == [0.5, 0.75]
    assert content["layout"]["yaxis"]["ticktext"] == ["٠٪", "٢٥٪", "٥٠٪", "٧٥٪"]
    assert theme.BLUE in content["layout"]["annotations"][0]["text"]
    assert "&lt;b&gt;٢" in content["layout"]["annotations"][0]["text"]
    assert list(figure.data[0].x) == ["0", "1"]  # what is kept for others stays
