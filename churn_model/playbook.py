"""What to do about a score: the first row of playbook.csv that matches. Editing the file needs no code."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WATCH = 0.2
HIGH = 0.5
PLAYBOOK = Path(__file__).with_name("playbook.csv")


@dataclass(frozen=True)
class Play:
    """One row: for which theme, commitment and risk; what to do, who, within how many days, until when."""

    top_theme: str
    commitment: str
    min_p_90: str
    play: str
    play_en: str
    play_ar: str
    owner: str | None
    due_days: int | None
    stop_rule: str

    def matches(self, theme: str | None, commitment: str, p_90: float) -> bool:
        is_risk = p_90 < WATCH if self.min_p_90 == "below_watch" else p_90 >= WATCH
        return is_risk and self.top_theme in ("any", theme) and self.commitment in ("any", commitment)


@cache
def plays_of(path: Path = PLAYBOOK) -> tuple[Play, ...]:
    """The rows of a playbook in their order. Raises ValueError where a row that acts has no owner or rule."""
    plays = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            play = Play(
                row["top_theme"],
                row["commitment"],
                row["min_p_90"],
                row["play"],
                row["play_en"],
                row["play_ar"],
                owner=row["owner"] or None,
                due_days=int(row["due_days"]) if row["due_days"] else None,
                stop_rule=row["stop_rule"],
            )
            if play.play != "none" and (play.owner is None or play.due_days is None or not play.stop_rule):
                raise ValueError(f"{path.name}: play {play.play} needs an owner, a due rule and a stop rule")
            plays.append(play)
    return tuple(plays)


def choose_play(plays: Sequence[Play], theme: str | None, commitment: str, p_90: float) -> Play:
    """The first play that matches. Raises ValueError where none does."""
    for play in plays:
        if play.matches(theme, commitment, p_90):
            return play
    raise ValueError(f"the playbook has no row for {theme}, {commitment}, {p_90:.2f}")
