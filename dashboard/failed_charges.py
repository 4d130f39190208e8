"""What became of charges that failed: the parts they fall into, each with the rows behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from dashboard import keyed, theme, words
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
    by_outcome = keyed.rows_by(stages, "outcome")
    wanted = [(outcome,) for outcome in outcomes] or list(by_outcome)
    return sum((row[column] for key in wanted for row in by_outcome.get(key, ())), Decimal(0))


def paid_by(stages: pl.DataFrame) -> list[str]:
    """How the money came: the attempts that brought any, in their order, then OTHERWISE."""
    by_attempt = keyed.rows_by(stages, "recovered_attempt")
    attempts = [
        attempt for (attempt,), rows in by_attempt.items() if any(row["recovered"] > 0 for row in rows)
    ]
    known = sorted(one for one in attempts if one is not None)
    return [*map(str, known), *([OTHERWISE] if None in attempts else [])]


def paid(stages: pl.DataFrame, way: str, column: str) -> Decimal:
    """The sum of a column over the charges whose money came in a way of `paid_by`."""
    attempt = None if way == OTHERWISE else int(way)
    rows = keyed.rows_by(stages, "recovered_attempt").get((attempt,), ())
    return sum((row[column] for row in rows if row["recovered"] > 0), Decimal(0))


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
    count = int(total(stages, "invoices"))
    found = [Part(everything, total(stages, "failed"), count, theme.GREY, "dunning-all")]
    for way in paid_by(stages):
        amount, count = paid(stages, way, "recovered"), int(paid(stages, way, "paid_invoices"))
        found.append(Part(paid_words(view, way), amount, count, theme.GREEN, f"dunning-by-{way}"))
    credited = total(stages, "failed", ["recovered"]) - total(stages, "recovered", ["recovered"])
    if credited:
        said = _("Credited, the rest was paid")
        found.append(Part(said, credited, None, theme.SKY, "dunning-recovered"))
    for name in OUTCOMES[1:]:
        rest = total(stages, "failed", [name]) - total(stages, "recovered", [name])
        colour = theme.AMBER if name == "pending" else theme.RED
        if rest:
            count = int(total(stages, "invoices", [name]))
            found.append(Part(outcome(name), rest, count, colour, f"dunning-{name}"))
    return found
