"""Charts of the evaluation report: inline SVG with a description, no script and nothing fetched.

A chart takes plain points and texts in one language and returns markup. In a language that is read from the
right a chart is mirrored: its horizontal axis runs from right to left, its vertical one stands on the right.
Digits and signs run from left to right in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Points = Sequence[Sequence[float]]

LEFT, RIGHT, TOP, BOTTOM = 48, 16, 28, 24
LABEL_ROOM = 18


@dataclass(frozen=True)
class Side:
    """From which side a drawing of a width is read: places count from there."""

    width: int
    is_right_to_left: bool

    def x(self, place: float, wide: float = 0.0) -> float:
        """Where something of a width stands in the drawing."""
        return self.width - place - wide if self.is_right_to_left else place

    @property
    def begins(self) -> str:
        """The anchor of a text that begins at its place; texts of a drawing run from left to right."""
        return "end" if self.is_right_to_left else "start"

    @property
    def ends(self) -> str:
        """The anchor of a text that ends at its place."""
        return "start" if self.is_right_to_left else "end"


@dataclass(frozen=True)
class Line:
    """Points joined by a line (`is_step`: held until the next point; `has_dots`: each point marked)."""

    points: Points
    shade: str = "a"
    is_dashed: bool = False
    is_step: bool = False
    has_dots: bool = False
    has_line: bool = True


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its range, where its ticks stand and how they read."""

    low: float
    high: float
    ticks: Sequence[float]
    label: str
    form: Callable[[float], str]

    def place(self, value: float, start: float, length: float) -> float:
        inside = min(max(value, self.low), self.high)
        return start + length * (inside - self.low) / ((self.high - self.low) or 1.0)


def shares(label: str) -> Axis:
    """An axis from 0 to 100%."""
    return Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), label, lambda value: f"{value:.0%}")


def axis_over(values: Sequence[float], label: str, count: int = 4) -> Axis:
    """An axis over values, with round ticks; 0 is on it where the values reach both sides or begin near
    it."""
    low, high = min(values), max(values)
    if low > 0 and low < 0.3 * high:
        low = 0.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / count)
    first = -int(-low // step)
    ticks = [step * n for n in range(first, int(high // step + 1e-9) + 1)]
    places = max(0, -_exponent(step)) if step < 1 else 0
    return Axis(low, high, ticks, label, lambda value: f"{value:,.{places}f}")


def _exponent(step: float) -> int:
    return int(f"{step:e}".split("e")[1])


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, the next at least as large."""
    power: float = 10.0 ** _exponent(rough)
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough - 1e-12 * power)


def chart(
    lines: Sequence[Line],
    across: Axis,
    up: Axis,
    description: str,
    *,
    width: int = 440,
    height: int = 280,
    is_right_to_left: bool = False,
) -> Markup:
    """Lines over two axes. `description` says in a sentence what the chart shows: read out, and on
    hovering."""
    side = Side(width, is_right_to_left)
    wide = width - LEFT - RIGHT
    high = height - TOP - BOTTOM - (LABEL_ROOM if across.label else 0)

    def x(value: float) -> float:
        return side.x(across.place(value, LEFT, wide))

    def y(value: float) -> float:
        return TOP + high - up.place(value, 0.0, high)

    parts = [_level(side, y(tick), up.form(tick)) for tick in up.ticks]
    parts += [
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x(tick), TOP + high + 16, across.form(tick)
        )
        for tick in across.ticks
    ]
    parts.append(
        Markup('<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            side.x(LEFT + wide / 2), height - 6, across.label
        )
    )
    parts += [_up_label(side, up), *(_line(line, x, y) for line in lines)]
    return _svg(Markup("").join(parts), description, width, height)


def _level(side: Side, y: float, shown: str) -> Markup:
    """A line across the drawing at a tick of the vertical axis, and how the tick reads."""
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        '<text x="{}" y="{:.1f}" text-anchor="{}">{}</text>'
    ).format(side.x(LEFT), side.x(side.width - RIGHT), y, y, side.x(LEFT - 6), y + 4, side.ends, shown)


def _up_label(side: Side, up: Axis) -> Markup:
    """What the vertical axis shows, above it."""
    return Markup('<text class="axis" x="{}" y="14" text-anchor="{}">{}</text>').format(
        side.x(LEFT - 40), side.begins, up.label
    )


def _line(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> Markup:
    shade = escape(line.shade)
    drawn = Markup("")
    if line.has_line and line.points:
        steps: list[tuple[float, float]] = []
        for place, (across, up) in enumerate((point[0], point[1]) for point in line.points):
            if line.is_step and place:
                steps.append((x(across), steps[-1][1]))
            steps.append((x(across), y(up)))
        text = " ".join(f"{across:.1f},{up:.1f}" for across, up in steps)
        dashes = Markup(' stroke-dasharray="4 4"') if line.is_dashed else Markup("")
        drawn += Markup('<polyline class="line {}" points="{}"{}/>').format(shade, text, dashes)
    if line.has_dots:
        drawn += Markup("").join(
            Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(shade, x(p[0]), y(p[1]))
            for p in line.points
        )
    return drawn


def columns(
    rows: Sequence[tuple[str, float, float]],
    up: Axis,
    description: str,
    *,
    width: int = 440,
    height: int = 220,
    is_right_to_left: bool = False,
) -> Markup:
    """One column a row: (label, whole, part of it that is filled)."""
    side = Side(width, is_right_to_left)
    wide, high = width - LEFT - RIGHT, height - TOP - BOTTOM
    room = wide / max(1, len(rows))
    every = max(1, -(-len(rows) * 66 // wide))
    parts = [_level(side, TOP + high - up.place(tick, 0, high), up.form(tick)) for tick in up.ticks]
    parts.append(_up_label(side, up))
    for place, (label, whole, part) in enumerate(rows):
        at = side.x(LEFT + place * room + room * 0.15, room * 0.7)
        for value, shade in ((whole, "c"), (part, "a")):
            size = up.place(value, 0, high)
            parts.append(
                Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    shade, at, TOP + high - size, room * 0.7, size
                )
            )
        if place % every == 0:
            parts.append(
                Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                    at + room * 0.35, TOP + high + 16, label
                )
            )
    return _svg(Markup("").join(parts), description, width, height)


def _svg(content: Markup, description: str, width: int, height: int) -> Markup:
    return Markup(
        '<svg role="img" direction="ltr" viewBox="0 0 {w} {h}" width="{w}" height="{h}" aria-label="{d}">'
        "<title>{d}</title>{c}</svg>"
    ).format(w=width, h=height, d=description, c=content)
