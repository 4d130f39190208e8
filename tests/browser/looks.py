"""What is looked for on a page: cut text, what sticks out, words that lie on each other, barriers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# Elements whose text is wider than their box, and what sticks out of the window.
CUT = """() => {
  const cut = [];
  const metric = '[data-testid="stMetric"]';
  const all = `${metric} *, ${metric}, h1, h2, h3, button p, .st-key-freshness *`;
  for (const element of document.querySelectorAll(all)) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || element.closest('svg')) continue;
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
        && getComputedStyle(element).display !== 'inline') cut.push(element.textContent);
    if (element.closest('[data-testid="stMain"]') && (box.left < -1 || box.right > window.innerWidth + 1))
      cut.push('outside: ' + element.textContent);
  }
  return cut;
}"""
WIDER_THAN_THE_WINDOW = """() => {
  const main = document.querySelector('[data-testid="stMain"]');
  return main.scrollWidth - main.clientWidth;
}"""

# Words of one chart that lie on each other, and words too small to read.
OVERLAPS = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('.js-plotly-plot')) {
    const words = [...chart.querySelectorAll('svg text')]
      .map(text => [text.textContent, text.getBoundingClientRect()])
      .filter(([said, box]) => said.trim() && box.width > 0);
    words.forEach(([said, box], place) => {
      if (box.height < 10) found.push('too small: ' + said);
      for (const [other, next] of words.slice(place + 1)) {
        const wide = Math.min(box.right, next.right) - Math.max(box.left, next.left);
        const high = Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top);
        if (wide > 1 && high > 3) found.push(said + ' on ' + other);
      }
    });
  }
  return found;
}"""
WIDER_THAN_THEIR_PLACE = """() => [...document.querySelectorAll('.tj-table')]
  .filter(table => table.scrollWidth > table.clientWidth + 1)
  .map(table => table.getAttribute('aria-label'))"""
# What can be pressed and is lower or narrower than 24 px, but for links inside text (WCAG 2.5.8).
SMALL_TARGETS = """() => {
  const main = '[data-testid="stMain"]', side = '[data-testid="stSidebar"]:not([data-collapsed="true"])';
  const pressed = `${main} button, ${main} input, ${side} a, ${side} button`;
  return [...document.querySelectorAll(pressed)].filter(one => {
    if (one.closest('[data-baseweb="select"], [data-testid="stSelectbox"], .js-plotly-plot')) return false;
    const box = (one.closest('label') || one).getBoundingClientRect();
    return box.width > 0 && box.left >= 0 && (box.height < 23.9 || box.width < 23.9)
        && getComputedStyle(one).visibility !== 'hidden';
  }).map(one => one.outerHTML.slice(0, 120));
}"""
WITHOUT_WORDS = """() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].map(chart => {
    const named = chart.closest('[aria-label]') || chart.querySelector('[aria-label]');
    return named ? named.getAttribute('aria-label') : '';
  }).filter(words => words.length <= 20)"""


def barriers(page: Page) -> list[dict[str, object]]:
    """What axe finds on a page, with the first places of each."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # not as an element: a page may allow no script
    found: list[dict[str, object]] = page.evaluate(
        """async () => {
            const tags = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'];
            const rules = {runOnly: tags, resultTypes: ['violations']};
            const shown = nodes => nodes.map(node => node.html.slice(0, 160)).slice(0, 5);
            return (await axe.run(document, rules)).violations
                .map(({id, impact, nodes}) => ({id, impact, nodes: shown(nodes)}));
        }"""
    )
    return found


def faults(page: Page, width: int) -> dict[str, Any]:
    """What is wrong with how a page looks at a width; empty when nothing is."""
    seen = {
        "broken": page.evaluate(
            """() => [...document.querySelectorAll('[data-testid="stException"]')]
                .map(one => one.innerText)"""
        ),
        "cut": page.evaluate(CUT),
        "outside": max(0, page.evaluate(WIDER_THAN_THE_WINDOW) - 1),
        "overlapping": page.evaluate(OVERLAPS),
        "small": page.evaluate(SMALL_TARGETS),
        "charts without words": page.evaluate(WITHOUT_WORDS),
    }
    if width >= 1440:
        seen["wide tables"] = page.evaluate(WIDER_THAN_THEIR_PLACE)
    return {name: found for name, found in seen.items() if found}


def plain(shown: str) -> str:
    """Text without the marks that isolate numbers, and with ordinary spaces."""
    return re.sub("[\u2066-\u2069\u200e\u200f]", "", shown).replace("\xa0", " ")
