"""What became of charges that failed: the parts they fall into, each with the rows behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from dashboard import theme, words
from dashboard.view import View

OUTCOMES = ("recovered", "pending", "exhausted", "lost")
OTHERWISE = "otherwise"


@dataclass(frozen=True)
class Part:
    """One bar: its name, amount (minor units), how many invoices, colour, and the key of its rows."""

    label: str
    amount: Decimal
    invoices: int | None
    colour: str
    rows: str


def total(stages: pl.DataFrame, column: str, outcomes: Sequence[str] = ()) -> Decimal:
    """The sum of a column of queries.cash.DUNNING, of some outcomes or of all."""
    rows = stages.filter(pl.col("outcome").is_in(list(outcomes))) if outcomes else stages
    return sum(rows[column].to_list(), Decimal(0))


def paid_by(stages: pl.DataFrame) -> list[str]:
    """How the money came: the attempts that brought any, in their order, then OTHERWISE."""
    attempts = stages.filter(pl.col("recovered") > 0)["recovered_attempt"].unique().to_list()
    known = sorted(one for one in attempts if one is not None)
    return [*map(str, known), *([OTHERWISE] if None in attempts else [])]


def paid_rows(stages: pl.DataFrame, way: str) -> pl.DataFrame:
    """The stages whose money came in a way of `paid_by`."""
    attempt = None if way == OTHERWISE else int(way)
    return stages.filter((pl.col("recovered") > 0) & pl.col("recovered_attempt").eq_missing(attempt))


def paid_words(view: View, way: str) -> str:
    _ = view.text.gettext
    if way == OTHERWISE:
        return _("Paid in another way, or in part")
    return _("Recovered by attempt {number}").format(number=view.show.number(int(way)))


def parts(view: View, stages: pl.DataFrame) -> list[Part]:
    """All that failed first, then what it fell into: these add up to it."""
    _ = view.text.gettext
    outcome = words.dunning_outcome(view.text)
    everything = _("Charges that failed")
    found = [Part(everything, total(stages, "failed"), _count(stages), theme.GREY, "dunning-all")]
    for way in paid_by(stages):
        paid = paid_rows(stages, way)
        amount, key = total(paid, "recovered"), f"dunning-by-{way}"
        found.append(Part(paid_words(view, way), amount, _count(paid), theme.GREEN, key))
    credited = total(stages, "failed", ["recovered"]) - total(stages, "recovered", ["recovered"])
    if credited:
        said = _("Credited, the rest was paid")
        found.append(Part(said, credited, None, theme.SKY, "dunning-recovered"))
    for name in OUTCOMES[1:]:
        rest = total(stages, "failed", [name]) - total(stages, "recovered", [name])
        colour = theme.AMBER if name == "pending" else theme.RED
        if rest:
            count = _count(stages.filter(pl.col("outcome") == name))
            found.append(Part(outcome(name), rest, count, colour, f"dunning-{name}"))
    return found


def _count(stages: pl.DataFrame) -> int:
    return int(stages["invoices"].sum())
