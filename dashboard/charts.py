"""Charts: one template for colours and type, one function that turns a figure for right-to-left readers.

A chart takes values already in their unit of display and words already in the reader's language. Labels that
come from data are escaped, because Plotly reads a little HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from dashboard import theme
from dashboard.drawn import kept

HEIGHT = 340
FOLDED_AT = 13  # signs of a line below a bar
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": theme.FONT, "size": 13, "color": theme.TEXT},
        "colorway": [theme.BLUE, theme.GREEN, theme.RED, theme.AMBER, theme.GREY],
        "paper_bgcolor": theme.WHITE,
        "plot_bgcolor": theme.WHITE,
        "margin": {"l": 8, "r": 8, "t": 16, "b": 8},
        "xaxis": {
            "automargin": True,
            "gridcolor": theme.LINE,
            "linecolor": theme.LINE,
            "ticks": "",
            "ticklabelstandoff": 10,
        },
        "yaxis": {
            "automargin": True,
            "gridcolor": theme.LINE,
            "zerolinecolor": theme.GREY,
            "ticks": "",
            "ticklabelstandoff": 6,
        },
        "legend": {
            "orientation": "h",
            "traceorder": "normal",
            "yanchor": "bottom",
            "y": 1.02,
            "xanchor": "left",
            "x": 0,
        },
        "hoverlabel": {"font": {"family": theme.FONT}},
        "separators": ".,",
        "dragmode": False,
    }
)
CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "doubleClick": False}
SHARE_SCALE = [[0.0, theme.PANEL], [0.5, theme.MIST], [1.0, theme.SKY]]
OVER_FULL = "#c9e7dc"  # the tone of a cohort that is worth more than it was at the start


@dataclass(frozen=True)
class Series:
    """One line: its name, its values (None leaves a gap), and the words shown on each point."""

    name: str
    values: Sequence[float | None]
    shown: Sequence[str]
    is_strong: bool = True
    is_dashed: bool = False
    colour: str | None = None


@dataclass(frozen=True)
class Step:
    """One bar of a bridge: its name, its signed size, the words on it, and whether it is a balance."""

    name: str
    size: float
    shown: str
    is_total: bool = False


@dataclass(frozen=True)
class Mark:
    """A note on a date: a line at a place of the axis of time, with the note's number at its head."""

    place: str
    number: str


@dataclass(frozen=True)
class Band:
    """What lies between two lines, such as the interval of a forecast; None where it has no bounds."""

    name: str
    low: Sequence[float | None]
    high: Sequence[float | None]


def _named(words: str, is_right_to_left: bool) -> str:
    """A label for Plotly: harmless as HTML, and in the reader's direction whatever it begins with."""
    return f"\u2067{escape(words)}\u2069" if is_right_to_left else escape(words)


def _folded(words: str, is_right_to_left: bool) -> str:
    """The same for a label below one of many bars: a long one stands on lines of its own."""
    return "<br>".join(_named(line, is_right_to_left) for line in wrap(words, FOLDED_AT) or [words])


def _sample(trace: Any) -> tuple[str, str]:
    """A trace's colour, and a sign that also tells a dashed line from a whole one."""
    if trace.type == "bar":
        return trace.marker.color, "■"
    return trace.line.color, "╍" if trace.line.dash == "dash" else "■"


def _legend_from_the_right(figure: go.Figure) -> None:
    """Plotly puts the sample to the left of its name; here it stands where reading begins."""
    named = [
        (trace.name, *_sample(trace))
        for trace in figure.data
        if trace.type in ("scatter", "bar") and trace.name and trace.showlegend is not False
    ]
    figure.update_layout(showlegend=False)
    if not named:
        return
    entries = [
        f'\u2067<span style="color:{colour}">{sign}</span> {name}\u2069' for name, colour, sign in named
    ]
    is_long = sum(len(name) for name, *_sample in named) > 36
    figure.add_annotation(
        text=("<br>" if is_long else "\u2003").join(entries if is_long else entries[::-1]),
        xref="paper",
        yref="paper",
        x=1,
        y=1.02,
        xanchor="right",
        yanchor="bottom",
        align="right",
        showarrow=False,
    )
    figure.update_layout(margin={"t": 16 + 22 * (len(named) if is_long else 1)})


@kept
def bridge(steps: Sequence[Step], is_right_to_left: bool) -> go.Figure:
    """A waterfall with direct labels. The axis begins at zero unless `axis_start` says where."""
    figure = go.Figure(
        go.Waterfall(
            x=[_folded(step.name, is_right_to_left) for step in steps],
            y=[step.size for step in steps],
            measure=["absolute" if step.is_total else "relative" for step in steps],
            text=[step.shown for step in steps],
            textposition="outside",
            constraintext="none",
            cliponaxis=False,
            increasing={"marker": {"color": theme.GREEN}},
            decreasing={"marker": {"color": theme.RED}},
            totals={"marker": {"color": theme.BLUE}},
            connector={"line": {"color": theme.LINE}},
            hovertemplate="%{x}<br>%{text}<extra></extra>",
        )
    )
    start = axis_start(steps)
    top = max(_levels(steps))
    figure.update_yaxes(range=[start, top + (top - start) * 0.12], showticklabels=False, showgrid=False)
    figure.update_xaxes(type="category", tickangle=0)
    return finished(figure, is_right_to_left)


def _levels(steps: Sequence[Step]) -> list[float]:
    levels: list[float] = []
    level = 0.0
    for step in steps:
        level = step.size if step.is_total else level + step.size
        levels.append(level)
    return levels


def axis_start(steps: Sequence[Step]) -> float:
    """Where the axis begins: at zero, unless the movements would then be too small to see."""
    levels = _levels(steps)
    low, high = min(levels), max(levels)
    if low <= 0 or high - low > 0.1 * high:
        return min(0.0, low)
    return max(0.0, low - (high - low) * 1.5)


def _few_ticks(figure: go.Figure, x: Sequence[str], wanted: int = 4) -> None:
    """Level labels at even steps that end with the last one, so that none is cut or turned."""
    step = max(1, -(-len(x) // wanted))
    figure.update_xaxes(type="category", showgrid=False, tickangle=0, tickvals=list(x)[::-1][::step][::-1])


def round_steps(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round places on an axis from `low` to `high`, about as many as wanted."""
    rough = (high - low) / wanted
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    return [place * step for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _label_sizes(
    figure: go.Figure, low: float, high: float, size: Callable[[float], str], is_right_to_left: bool
) -> None:
    """Label the axis of sizes in the reader's own words for thousands and millions."""
    places = round_steps(low, high)
    words = [_named(size(place), is_right_to_left) for place in places]
    figure.update_yaxes(tickvals=places, ticktext=words)


def _mark(figure: go.Figure, x: Sequence[str], marks: Sequence[Mark]) -> None:
    """Draw the notes on dates; those of one place share a line, and neighbours stand at different heights."""
    numbers: dict[int, list[str]] = {}
    for mark in marks:
        place = escape(mark.place)
        if place in x:
            numbers.setdefault(list(x).index(place), []).append(mark.number)
    for order, (index, shown) in enumerate(sorted(numbers.items())):
        figure.add_shape(
            type="line",
            x0=index,
            x1=index,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": theme.GREY, "width": 1, "dash": "dot"},
        )
        figure.add_annotation(
            text=" ".join(shown),
            x=index,
            y=1 - 0.09 * (order % 3),
            yref="paper",
            yanchor="top",
            showarrow=False,
            font={"size": 11, "color": theme.WHITE},
            bgcolor=theme.GREY,
            borderpad=2,
        )


def _draw_band(figure: go.Figure, x: Sequence[str], band: Band, is_right_to_left: bool) -> None:
    known = [
        (place, low, high)
        for place, low, high in zip(x, band.low, band.high, strict=True)
        if low is not None and high is not None
    ]
    figure.add_scatter(
        x=[place for place, _low, _high in known] + [place for place, _low, _high in reversed(known)],
        y=[high for _place, _low, high in known] + [low for _place, low, _high in reversed(known)],
        name=_named(band.name, is_right_to_left),
        mode="lines",
        fill="toself",
        fillcolor=theme.MIST,
        line={"width": 0, "color": theme.MIST},
        hoverinfo="skip",
        showlegend=bool(known),
    )


def _alone(values: Sequence[float | None]) -> list[bool]:
    """Which values have none on either side."""
    known = [False, *(value is not None for value in values), False]
    return [known[place] and not (known[place - 1] or known[place + 1]) for place in range(1, len(known) - 1)]


@kept
def lines(
    x: Sequence[str],
    series: Sequence[Series],
    is_right_to_left: bool,
    *,
    is_percent: bool = False,
    from_zero: bool = True,
    size: Callable[[float], str] = str,
    marks: Sequence[Mark] = (),
    band: Band | None = None,
    opens: bool = False,
) -> go.Figure:
    """Lines over months or ages. Weak ones are grey, so that the strong one is read first.

    `size` writes a place on the axis, unless it is a percentage. `marks` are notes on dates of the axis.
    Where a click `opens` the rows of a place, its points are drawn: a bare line cannot be clicked.
    """
    figure, x = go.Figure(), [escape(place) for place in x]
    # Drawn over every place first, so that the axis keeps its order whatever the lines lack.
    figure.update_xaxes(categoryorder="array", categoryarray=list(x))
    if band is not None:
        _draw_band(figure, x, band, is_right_to_left)
    strong = iter((theme.BLUE, theme.GREEN, theme.AMBER, theme.RED))
    for one in series:
        colour = one.colour or (next(strong) if one.is_strong else theme.LINE)
        figure.add_scatter(
            x=list(x),
            y=list(one.values),
            name=_named(one.name, is_right_to_left),
            text=list(one.shown),
            mode="lines",
            line={
                "width": 2.5 if one.is_strong else 1.2,
                "dash": "dash" if one.is_dashed else "solid",
                "color": colour,
            },
            hovertemplate="%{x}<br>%{text}<extra>" + escape(one.name) + "</extra>",
            showlegend=one.is_strong and (len(series) > 1 or band is not None),
        )
        points = [7 if is_alone else 0 for is_alone in _alone(one.values)]
        if any(points) and not opens:  # a line is drawn between two places only
            figure.data[-1].update(mode="lines+markers", marker={"size": points})
    if opens:
        clickable = {"mode": "lines+markers", "marker": {"size": 7}, "unselected": {"marker": {"opacity": 1}}}
        figure.update_traces(clickable, selector={"mode": "lines", "fill": None})
    _few_ticks(figure, x)
    _mark(figure, x, marks)
    figure.update_xaxes(range=[-0.5, len(x) - 0.5])
    figure.update_yaxes(rangemode="tozero" if from_zero else "normal", nticks=5)
    if is_percent:
        figure.update_yaxes(tickformat=".0%")
    else:
        values = [value for one in series for value in one.values if value is not None] or [0.0]
        if band is not None:
            values += [bound for bound in (*band.low, *band.high) if bound is not None]
        low = min(0.0, *values) if from_zero else min(values)
        _label_sizes(figure, low, max(values), size, is_right_to_left)
    return finished(figure, is_right_to_left)


@kept
def bars(
    names: Sequence[str],
    sizes: Sequence[float],
    shown: Sequence[str],
    is_right_to_left: bool,
    colour: str | Sequence[str] = theme.BLUE,
) -> go.Figure:
    """Horizontal bars in the given order, top first, with the value beside each; one colour, or one a bar."""
    figure = go.Figure(
        go.Bar(
            x=list(sizes),
            y=[_named(name, is_right_to_left) for name in names],
            text=[_named(words, is_right_to_left) if words else "" for words in shown],
            orientation="h",
            # A bar of nothing would lose its label inside, and itself without a line.
            textposition=["auto" if size else "outside" for size in sizes],
            marker={
                "color": colour if isinstance(colour, str) else list(colour),
                "line": {"color": colour if isinstance(colour, str) else list(colour), "width": 1},
            },
            cliponaxis=False,
            hovertemplate="%{y}<br>%{text}<extra></extra>",
        )
    )
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_layout(height=60 + 38 * len(names))
    return finished(figure, is_right_to_left)


@kept
def stacked_bars(
    names: Sequence[str],
    parts: Sequence[Series],
    shown: Sequence[str],
    is_right_to_left: bool,
) -> go.Figure:
    """Horizontal bars in the given order, top first, each of parts; `shown` is the whole bar's value."""
    figure = go.Figure()
    labels = [_named(name, is_right_to_left) for name in names]
    for one in parts:
        figure.add_bar(
            x=list(one.values),
            y=labels,
            name=_named(one.name, is_right_to_left),
            text=list(one.shown),
            textposition="none",
            orientation="h",
            marker={"color": one.colour},
            hovertemplate="%{y}<br>%{text}<extra>" + escape(one.name) + "</extra>",
            showlegend=len(parts) > 1,
        )
    totals = [
        sum(value or 0 for value in column) for column in zip(*(one.values for one in parts), strict=True)
    ]
    figure.add_scatter(
        x=totals,
        y=labels,
        text=[f" {_named(words, is_right_to_left)} " for words in shown],
        mode="text",
        textposition="middle left" if is_right_to_left else "middle right",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    top = max(totals, default=0) or 1
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, range=[0, top * 1.45])
    figure.update_layout(barmode="stack", height=90 + 38 * len(names))
    return finished(figure, is_right_to_left)


@kept
def stacked_columns(
    x: Sequence[str],
    series: Sequence[Series],
    is_right_to_left: bool,
    size: Callable[[float], str] = str,
    marks: Sequence[Mark] = (),
) -> go.Figure:
    """Columns whose parts add up, one colour a part; `size` writes a place on the axis."""
    figure, x = go.Figure(), [escape(place) for place in x]
    for one in series:
        figure.add_bar(
            x=list(x),
            y=list(one.values),
            name=_named(one.name, is_right_to_left),
            text=list(one.shown),
            textposition="none",
            marker={"color": one.colour},
            hovertemplate="%{x}<br>%{text}<extra>" + escape(one.name) + "</extra>",
        )
    figure.update_layout(barmode="relative", bargap=0.25)
    _few_ticks(figure, x)
    _mark(figure, x, marks)
    columns = list(zip(*(one.values for one in series), strict=True))
    low = min((sum(part for part in column if part and part < 0) for column in columns), default=0)
    high = max((sum(part for part in column if part and part > 0) for column in columns), default=0)
    _label_sizes(figure, low, high, size, is_right_to_left)
    return finished(figure, is_right_to_left)


@kept
def cohorts(
    cohort_names: Sequence[str],
    ages: Sequence[int],
    shares: Sequence[Sequence[float | None]],
    is_right_to_left: bool,
) -> go.Figure:
    """A heat map of shares, 0 to 100 %, the number in each cell; more than 100 % has its own tone."""
    within = [[None if share is None or share > 1 else share for share in row] for row in shares]
    beyond = [[1 if share is not None and share > 1 else None for share in row] for row in shares]
    numbers = [["" if share is None else f"{share * 100:.0f}" for share in row] for row in shares]
    figure = go.Figure()
    for values, scale in ((within, SHARE_SCALE), (beyond, [[0, OVER_FULL], [1, OVER_FULL]])):
        figure.add_heatmap(
            x=[str(age) for age in ages],
            y=[_named(name, is_right_to_left) for name in cohort_names],
            z=values,
            zmin=0,
            zmax=1,
            colorscale=scale,
            showscale=False,
            xgap=2,
            ygap=2,
            text=numbers,
            texttemplate="%{text}",
            textfont={"size": 11, "color": theme.TEXT},
            hovertemplate="%{y} · %{x}<br>%{text} %<extra></extra>",
            hoverongaps=False,
        )
    figure.update_xaxes(type="category", side="top", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(height=80 + 26 * len(cohort_names))
    return finished(figure, is_right_to_left)


def finished(figure: go.Figure, is_right_to_left: bool) -> go.Figure:
    """Give a figure the template and the reader's direction. The one place that turns charts."""
    layout: dict[str, Any] = {"template": TEMPLATE}
    if figure.layout.height is None:
        layout["height"] = HEIGHT
    figure.update_layout(**layout)
    if is_right_to_left:
        start_to_end = figure.layout.xaxis.range
        if start_to_end is None:
            figure.update_xaxes(autorange="reversed")
        else:
            figure.update_xaxes(range=start_to_end[::-1])
        figure.update_yaxes(side="right")
        figure.update_layout(legend={"xanchor": "right", "x": 1}, title={"x": 1, "xanchor": "right"})
        _legend_from_the_right(figure)
    return figure
