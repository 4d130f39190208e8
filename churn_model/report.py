"""The evaluation report and model card: one self-contained HTML page a model, headings in both languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from churn_model.dataset import Feature

SIZE = 320
MARGIN = 40


def render(manifest: Mapping[str, Any], kept: Mapping[str, Any], features: Sequence[Feature]) -> str:
    """The page as HTML text, from a model's manifest and the content of its metrics.json."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html.j2").render(
        manifest=manifest, kept=kept, features=features, tests=_tests(kept), chart=_chart(kept)
    )


def _tests(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One table a test date, and one for the mean over them."""
    tests = []
    for day in [*kept["test_dates"], None]:
        figures = [f for f in kept["figures"] if (f["test_date"] and str(f["test_date"])) == day]
        names = list(dict.fromkeys(figure["candidate"] for figure in figures))
        rows = [
            {
                "name": name,
                "cells": {f["metric"]: _cell(f) for f in figures if f["candidate"] == name},
            }
            for name in names
        ]
        tests.append(
            {
                "title": f"Test date {day}" if day else "Mean over the test dates",
                "customers": figures[0]["customers"],
                "base_rate": figures[0]["base_rate"],
                "rows": rows,
            }
        )
    return tests


def _cell(figure: Mapping[str, Any]) -> str:
    text = f"{figure['value']:.3f}"
    return text if figure["low"] is None else f"{text} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _chart(kept: Mapping[str, Any]) -> Markup:
    """Predicted against observed share of the champion, an SVG with a description."""
    bins = [
        (predicted, observed)
        for entry in kept["reliability"]
        if entry["candidate"] == kept["champion"]
        for _, predicted, observed in entry["bins"]
    ]

    def at(share: float) -> float:
        return MARGIN + share * SIZE

    dots = "".join(
        f'<circle cx="{at(p):.1f}" cy="{at(1 - o):.1f}" r="4" fill="#0f5fa8" fill-opacity="0.75"/>'
        for p, o in bins
    )
    ticks = "".join(
        f'<text x="{at(t / 4):.0f}" y="{at(1) + 16:.0f}" text-anchor="middle">{t * 25} %</text>'
        f'<text x="{MARGIN - 6}" y="{at(1 - t / 4) + 4:.0f}" text-anchor="end">{t * 25} %</text>'
        for t in range(5)
    )
    side = SIZE + 2 * MARGIN
    return Markup(
        f'<svg role="img" aria-label="Predicted against observed share, {len(bins)} bins" width="{side}" '
        f'height="{side}" font-size="11" fill="#5b6b7b"><rect x="{MARGIN}" y="{MARGIN}" width="{SIZE}" '
        f'height="{SIZE}" fill="none" stroke="#d5dbe1"/>'
        f'<line x1="{at(0)}" y1="{at(1)}" x2="{at(1)}" y2="{at(0)}" '
        f'stroke="#5b6b7b" stroke-dasharray="4 4"/>{dots}{ticks}'
        f'<text x="{at(0.5)}" y="{side - 6}" text-anchor="middle">predicted</text>'
        f'<text x="{at(0)}" y="{MARGIN - 12}">observed</text></svg>'
    )
