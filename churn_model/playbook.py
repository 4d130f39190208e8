"""What to do about a score: the first row of playbook.csv that matches. Editing the file needs no code.

top_reason        any, or names of families, themes or features of features.toml, with | between them
commitment        any, monthly, term, non_contract
days_to_decision  any, <=N or >N days to the notice day, else the term end; without one the days count as
                  endless
value_tier        any, top (the tenth of the day's customers worth most), other
risk              below_watch (p_90 < .2) or watch
due_days          with due_from as_of: so many days after the score; with decision: so many days before
                  the decision. Where there is one: at the latest the day before it, at the earliest the day
                  after the score
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

WATCH = 0.2
HIGH = 0.5
PLAYBOOK = Path(__file__).with_name("playbook.csv")
DAYS = re.compile(r"any|<=\d+|>\d+")
CHOICES = {
    "commitment": ("any", "monthly", "term", "non_contract"),
    "value_tier": ("any", "top", "other"),
    "risk": ("below_watch", "watch"),
    "due_from": ("", "as_of", "decision"),
}


@dataclass(frozen=True)
class Case:
    """What a play is chosen by. `top` holds the names of the reason that decides: family, theme, feature."""

    top: Collection[str]
    commitment: str
    p_90: float
    as_of: date
    decision_on: date | None = None
    value_tier: str = "other"

    @property
    def days_to_decision(self) -> int | None:
        return None if self.decision_on is None else (self.decision_on - self.as_of).days


@dataclass(frozen=True)
class Play:
    """One row: for whom, what to do, who, by when, and when to stop."""

    top_reason: str
    commitment: str
    days_to_decision: str
    value_tier: str
    risk: str
    play: str
    play_en: str
    play_ar: str
    owner: str | None
    due_days: int | None
    due_from: str
    stop_rule: str
    stop_en: str
    stop_ar: str

    def matches(self, case: Case) -> bool:
        return (
            (case.p_90 < WATCH) == (self.risk == "below_watch")
            and (self.top_reason == "any" or not set(self.top_reason.split("|")).isdisjoint(case.top))
            and self.commitment in ("any", case.commitment)
            and self.value_tier in ("any", case.value_tier)
            and self._is_in_time(case.days_to_decision)
        )

    def due_on(self, case: Case) -> date | None:
        """The day by which it is to be done; None for no action."""
        if self.due_days is None:
            return None
        day, after_score = timedelta(days=1), case.as_of + timedelta(days=self.due_days)
        if case.decision_on is None:
            return after_score
        of_rule = after_score if self.due_from == "as_of" else case.decision_on - day * self.due_days
        return max(min(of_rule, case.decision_on - day), case.as_of + day)

    def _is_in_time(self, days: int | None) -> bool:
        if self.days_to_decision.startswith("<="):
            return days is not None and days <= int(self.days_to_decision[2:])
        if self.days_to_decision.startswith(">"):
            return days is None or days > int(self.days_to_decision[1:])
        return True


@cache
def plays_of(path: Path = PLAYBOOK) -> tuple[Play, ...]:
    """The rows of a playbook in their order.

    Raises ValueError, naming the line, for a condition nobody knows and for a play that acts without owner,
    due rule, stop rule or words in both languages.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        return tuple(_play(row, f"{path.name}, line {n}") for n, row in enumerate(csv.DictReader(file), 2))


def _play(row: dict[str, str | None], place: str) -> Play:
    filled = {name: (value or "").strip() for name, value in row.items() if name}
    missing = [name for name in Play.__dataclass_fields__ if name not in filled]
    if missing:
        raise ValueError(f"{place}: the column {missing[0]} is missing")
    for name, known in CHOICES.items():
        if filled[name] not in known:
            raise ValueError(
                f"{place}: {name} is '{filled[name]}'; known are {', '.join(filter(None, known))}"
            )
    if not DAYS.fullmatch(filled["days_to_decision"]):
        raise ValueError(f"{place}: days_to_decision is any, <=N or >N, not '{filled['days_to_decision']}'")
    if filled["due_days"] and not filled["due_days"].isdecimal():
        raise ValueError(f"{place}: due_days is a whole number of days, not '{filled['due_days']}'")
    if not (filled["play_en"] and filled["play_ar"]):
        raise ValueError(f"{place}: play {filled['play']} needs words in English and Arabic")
    acting = ("owner", "due_days", "due_from", "stop_rule", "stop_en", "stop_ar")
    empty = [name for name in acting if not filled[name]]
    if filled["play"] != "none" and empty:
        raise ValueError(f"{place}: play {filled['play']} needs {empty[0]}")
    texts = {name: filled[name] for name in Play.__dataclass_fields__ if name not in ("owner", "due_days")}
    due_days = int(filled["due_days"]) if filled["due_days"] else None
    return Play(**texts, owner=filled["owner"] or None, due_days=due_days)


def choose_play(plays: Sequence[Play], case: Case) -> Play:
    """The first play that matches. Raises ValueError where none does."""
    for play in plays:
        if play.matches(case):
            return play
    raise ValueError(f"the playbook has no row for {', '.join(case.top) or 'no reason'} of {case.commitment}")
