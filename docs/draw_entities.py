"""Draws docs/images/entities.svg from the diagram of docs/entities.md: `python docs/draw_entities.py`.

One row an area of the diagram. A reference stands beside its column; what is made from what of the same area
is a line below the tables, from another area a note in the table that is made. A test compares the picture
with the page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

PAGE = Path(__file__).with_name("entities.md")
PICTURE = PAGE.parent / "images" / "entities.svg"

WIDE, GAP, MARGIN = 206, 14, 20
LINE, TITLE, LANE = 13, 20, 17
LETTER = 5.45
"""Width of a letter of the small print."""

STYLE = """
  text { font: 9px 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace; fill: #1f2937; }
  .area { font: 600 13px 'DejaVu Sans', Arial, sans-serif; fill: #111827; }
  .name { font-weight: 700; font-size: 10px; fill: #ffffff; }
  .key { fill: #b45309; font-weight: 700; }
  .note { fill: #4b5563; font-style: italic; }
  .table { fill: #ffffff; stroke: #94a3b8; }
  .head { fill: #1e3a5f; }
  .band { fill: #f1f5f9; }
  .link { fill: none; stroke: #64748b; }
  .word { fill: #475569; }
"""


@dataclass(frozen=True)
class Column:
    name: str
    key: str
    target: str = ""


@dataclass(frozen=True)
class Link:
    origin: str
    made: str
    words: str
    is_reference: bool


@dataclass
class Table:
    name: str
    columns: list[Column]
    notes: list[str] = field(default_factory=list)

    @property
    def height(self) -> int:
        return TITLE + LINE * (len(self.columns) + len(self.notes)) + 6


@dataclass
class Area:
    title: str
    tables: list[Table] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def read(page: str) -> list[Area]:
    """The areas of a diagram in Mermaid's words, each link where it is drawn."""
    areas: list[Area] = []
    links: list[Link] = []
    for line in page[page.index("erDiagram") :].splitlines():
        words = line.split()
        if line.startswith("  %% "):
            areas.append(Area(line[5:]))
        elif re.match(r"  \w+ \{$", line):
            areas[-1].tables.append(Table(words[0], []))
        elif line.startswith("    "):
            areas[-1].tables[-1].columns.append(Column(words[1], " ".join(words[2:]).replace(",", "")))
        elif found := re.match(r'  (\w+) ([|}o]+)--[|{o]+ (\w+) : "(.+)"$', line):
            origin, end, made, said = found.groups()
            links.append(Link(origin, made, said, end == "||"))
    places = {table.name: (area, table) for area in areas for table in area.tables}
    for link in links:
        area, table = places[link.made]
        names = [column.name for column in table.columns]
        if link.is_reference and link.words in names:
            at = names.index(link.words)
            table.columns[at] = Column(link.words, table.columns[at].key, link.origin)
        elif places[link.origin][0] is area:
            area.links.append(link)
        else:
            table.notes.append(f"{link.origin}: {link.words}")
    return areas


def lanes(spans: list[tuple[float, float, Link]]) -> list[tuple[int, float, float, Link]]:
    """Lines side by side: each in the first lane that is free between its ends and below its words."""
    free: list[float] = []
    placed = []
    for start, end, link in sorted(spans, key=lambda span: (span[0], span[1])):
        middle, half = (start + end) / 2, len(link.words) * LETTER / 2 + 4
        left, right = min(start, middle - half), max(end, middle + half)
        lane = next((number for number, until in enumerate(free) if until < left), len(free))
        free[lane : lane + 1] = [right]
        placed.append((lane, start, end, link))
    return placed


def draw_table(table: Table, x: float, y: float) -> list[str]:
    drawn = [
        f'<rect class="table" x="{x}" y="{y}" width="{WIDE}" height="{table.height}" rx="3"/>',
        f'<path class="head" d="M{x} {y + 18}v-15q0 -3 3 -3h{WIDE - 6}q3 0 3 3v15z"/>',
        f'<text class="name" x="{x + 7}" y="{y + 12.5}">{table.name}</text>',
    ]
    for number, column in enumerate(table.columns):
        at = y + TITLE + LINE * number + 9
        if column.key:
            drawn.append(f'<text class="key" x="{x + 7}" y="{at}">{column.key}</text>')
        drawn.append(f'<text x="{x + 42}" y="{at}">{column.name}</text>')
        if column.target:
            after = x + 46 + LETTER * len(column.name)
            drawn.append(f'<text class="note" x="{after}" y="{at}">→ {column.target}</text>')
    for number, note in enumerate(table.notes, start=len(table.columns)):
        at = y + TITLE + LINE * number + 9
        drawn.append(f'<text class="note" x="{x + 7}" y="{at}">← {escape(note)}</text>')
    return drawn


def draw_area(area: Area, y: float, width: float) -> tuple[list[str], float]:
    """The band of an area from `y` on, and where it ends."""
    top = y + 24
    low = top + max(table.height for table in area.tables)
    at = {table.name: MARGIN + GAP / 2 + number * (WIDE + GAP) for number, table in enumerate(area.tables)}
    heights = {table.name: table.height for table in area.tables}
    # the ends of a table's lines stand apart, those to the left first
    ends: dict[str, list[tuple[float, int]]] = {name: [] for name in at}
    for number, link in enumerate(area.links):
        ends[link.origin].append((at[link.made], number))
        ends[link.made].append((at[link.origin], number))
    place = {
        (name, number): at[name] + WIDE * (turn + 1) / (len(found) + 1)
        for name, found in ends.items()
        for turn, (_, number) in enumerate(sorted(found))
    }
    spans = []
    direction = {}
    for number, link in enumerate(area.links):
        one, other = place[link.origin, number], place[link.made, number]
        spans.append((min(one, other), max(one, other), link))
        direction[link] = (one, other)
    placed = lanes(spans)
    end = low + 12 + LANE * (1 + max((lane for lane, *_ in placed), default=-1)) + (6 if placed else 0)
    drawn = [
        f'<rect class="band" x="{MARGIN}" y="{y}" width="{width}" height="{end - y}" rx="6"/>',
        f'<text class="area" x="{MARGIN + GAP / 2}" y="{y + 16}">{escape(area.title)}</text>',
    ]
    for lane, _, _, link in placed:
        level = low + 14 + LANE * lane
        one, other = direction[link]
        drawn.append(
            f'<path class="link" marker-end="url(#made)" d="M{one:g} {top + heights[link.origin]}V{level}'
            f'H{other:g}V{top + heights[link.made]}"/>'
        )
    for table in area.tables:
        drawn += draw_table(table, at[table.name], top)
    for lane, start, finish, link in placed:
        middle, level, long = (start + finish) / 2, low + 14 + LANE * lane, len(link.words) * LETTER + 6
        drawn += [
            f'<rect class="band" x="{middle - long / 2:g}" y="{level - 6}" width="{long:g}" height="12"/>',
            f'<text class="word" text-anchor="middle" x="{middle:g}" y="{level + 3}">'
            f"{escape(link.words)}</text>",
        ]
    return drawn, end


def draw(page: str) -> str:
    areas = read(page)
    width = max(len(area.tables) for area in areas) * (WIDE + GAP)
    drawn: list[str] = []
    y: float = MARGIN
    for area in areas:
        band, end = draw_area(area, y, width)
        drawn += band
        y = end + 10
    size = f"{width + 2 * MARGIN} {y - 10 + MARGIN:g}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" '
        'aria-label="The marts and their keys">\n'
        f"<style>{STYLE}</style>\n"
        '<marker id="made" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#64748b"/></marker>\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
    )
    return head + "\n".join(drawn) + "\n</svg>\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
