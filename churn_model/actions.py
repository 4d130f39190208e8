"""What a score means for the week: revenue at risk, what a contact may save, the lists and their order, the
comparison group.

Amounts are whole minor units. Every assumption that is not a measurement stands in `Assumptions` and is
written beside the figures that rest on it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

import polars as pl

from churn_model.playbook import HIGH, WATCH, Case, Play, choose_play

HOLDOUT_SHARE = 10
LIST_DAYS = 90
TOP_VALUE_SHARE = 10


@dataclass(frozen=True)
class Assumptions:
    """What the company states (churn.toml): `capacity` customers a week; `save_rate`, the share of leavers a
    contact keeps, and `save_rates` of single plays; `contact_cost_minor` by currency. None: not stated.

    `measured` are save rates by play from the holdout, which come before stated ones.
    """

    capacity: int = 50
    save_rate: Fraction | None = None
    save_rates: Mapping[str, Fraction] = field(default_factory=dict)
    contact_cost_minor: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, Fraction] = field(default_factory=dict)
    spares_top: bool = False
    """Customers worth most are left out of the draw of the holdout; every effect then tells how many."""

    def save_rate_of(self, play: str) -> tuple[Fraction | None, str | None]:
        """The rate for a play and what it rests on: measured, stated, or nothing."""
        if play in self.measured:
            return self.measured[play], "measured"
        stated = self.save_rates.get(play, self.save_rate)
        return stated, None if stated is None else "stated"


NOTHING_STATED = Assumptions()
NOBODY: Mapping[str, bool] = {}


def band_of(p_90: float) -> str:
    """high (p_90 >= .5), watch (>= .2) or low."""
    return "high" if p_90 >= HIGH else "watch" if p_90 >= WATCH else "low"


def at_stake_minor(mrr_minor: Fraction, committed_minor: Fraction) -> Fraction:
    """Revenue of a year that is not committed yet: 12 x MRR less what is committed for the next 365 days, at
    least 0."""
    return max(12 * mrr_minor - committed_minor, Fraction(0))


def at_risk_minor(p_90: float, stake: Fraction) -> int:
    """p_90 x the revenue at stake, rounded half up once from the exact product."""
    return half_up(Fraction(p_90) * stake)


def expected_save_minor(p_90: float, stake: Fraction, rate: Fraction | None, cost: int | None) -> int | None:
    """Revenue at risk x save rate - contact cost, rounded half up once; None without a rate or a cost."""
    if rate is None or cost is None:
        return None
    return half_up(Fraction(p_90) * stake * rate - cost)


def half_up(amount: Fraction) -> int:
    """The nearest whole number; halves go away from zero."""
    size = abs(amount)
    rounded = (2 * size.numerator + size.denominator) // (2 * size.denominator)
    return rounded if amount >= 0 else -rounded


def list_of(
    commitment: str, decision_on: date | None, as_of: date, *, has_notice: bool, is_failing: bool = False
) -> str:
    """Where a customer stands: `leaving` with notice given; `later` with a term and no decision point in the
    next 90 days ("renewals later"); else `now`, the 90-day list. Who is being dunned, or likely to end by a
    failed payment within the 90 days, stands on `now`: no term holds a customer whose payments fail."""
    if has_notice:
        return "leaving"
    if is_failing:
        return "now"
    is_near = decision_on is not None and (decision_on - as_of).days <= LIST_DAYS
    return "later" if commitment == "term" and not is_near else "now"


def top_valued(worth: Sequence[Fraction] | Sequence[int]) -> list[bool]:
    """Whether each customer is in the tenth that is worth most (at least one is). worth: in one currency."""
    order = sorted(range(len(worth)), key=lambda i: (-worth[i], i))
    top = set(order[: -(-len(worth) // TOP_VALUE_SHARE)])
    return [i in top and worth[i] > 0 for i in range(len(worth))]


def ranked_by_value(
    lists: Sequence[str],
    is_first: Sequence[bool],
    worth: Sequence[Fraction] | Sequence[int],
    then: Sequence[float] | Sequence[int],
) -> list[int]:
    """The place of each customer in its own list, 1 first: those that come first, then by worth, then by what
    decides among equals, then as given."""
    places = [0] * len(lists)
    for name in dict.fromkeys(lists):
        rows = [i for i, other in enumerate(lists) if other == name]
        rows.sort(key=lambda i: (not is_first[i], -worth[i], -then[i], i))
        for place, i in enumerate(rows, 1):
            places[i] = place
    return places


def in_holdout(customer_id: str, as_of: date) -> bool:
    """One customer in ten a quarter, by hash of both: no contact prompted by the score."""
    quarter = f"{as_of.year}Q{(as_of.month - 1) // 3 + 1}"
    digest = hashlib.sha256(f"{customer_id}|{quarter}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HOLDOUT_SHARE == 0


def _draw(row: dict[str, Any], is_spared: bool, left_out: Mapping[str, bool]) -> None:
    """Write whether a customer is held out or was left out of the draw: decided with the first score of a
    quarter, for the whole of it, though what the customer is worth changes."""
    row["is_excluded"] = left_out.get(row["customer_id"], is_spared)
    row["in_holdout"] = in_holdout(row["customer_id"], row["as_of"]) and not row["is_excluded"]


@dataclass(frozen=True)
class Situation:
    """What the actions of one scored customer follow from, beside its score. `stake`: revenue of a year that
    is not committed yet, in minor units. `is_dunned`: an unpaid invoice is being dunned."""

    stake: Fraction
    decision_on: date | None = None
    has_notice: bool = False
    is_dunned: bool = False


def acted(
    rows: Sequence[dict[str, Any]],
    situations: Sequence[Situation],
    tops: Sequence[bool],
    plays: Sequence[Play],
    assumptions: Assumptions,
    left_out: Mapping[str, bool] = NOBODY,
) -> None:
    """Add to scores of a day what follows from each alone: bands, list, amounts, play, owner and dates.

    rows: scores of one model and day, changed in place; they have customer_id, as_of, commitment_class, p_90,
    currency, and the reasons. tops: of each whether it is among the customers of the day worth most.
    left_out: of those scored before in this quarter, whether they were left out of the draw then.
    """
    for row, one, is_top in zip(rows, situations, tops, strict=True):
        p_90, as_of = row["p_90"], row["as_of"]
        case = Case(
            top=deciding_names(row),
            commitment=row["commitment_class"],
            p_90=p_90,
            as_of=as_of,
            decision_on=one.decision_on,
            value_tier="top" if is_top else "other",
        )
        play = choose_play(plays, case)
        rate, basis = assumptions.save_rate_of(play.play) if play.owner else (None, None)
        cost = assumptions.contact_cost_minor.get(row["currency"]) if play.owner else None
        row |= {
            "band_fixed": band_of(p_90),
            "decision_on": one.decision_on,
            "list_name": list_of(
                case.commitment,
                one.decision_on,
                as_of,
                has_notice=one.has_notice,
                is_failing=one.is_dunned or (row.get("p_involuntary_90") or 0.0) >= HIGH,
            ),
            "value_tier": case.value_tier,
            "revenue_at_risk_90_minor": at_risk_minor(p_90, one.stake),
            "expected_save_minor": expected_save_minor(p_90, one.stake, rate, cost),
            "save_rate": None if rate is None else float(rate),
            "save_rate_basis": basis,
            "contact_cost_minor": cost,
            "recommended_play": play.play,
            "play_en": play.play_en,
            "play_ar": play.play_ar,
            "play_owner": play.owner,
            "due_on": play.due_on(case),
            "stop_rule": play.stop_rule or None,
            "stop_en": play.stop_en or None,
            "stop_ar": play.stop_ar or None,
        }
        _draw(row, assumptions.spares_top and is_top, left_out)


def acted_by_rule(
    rows: Sequence[dict[str, Any]],
    worth: Sequence[Fraction],
    assumptions: Assumptions,
    rates: Mapping[str, Fraction],
    left_out: Mapping[str, bool] = NOBODY,
) -> None:
    """Add to the scores of a rule the comparison group and the places in each list: by points, then by worth;
    and who the team can reach this week: the first of the 90-day list that have points. A rule gives no
    probability, so no amount and no play.

    rows: they have customer_id, as_of, currency, list_name and rule_points. worth: monthly or yearly revenue.
    """
    common = in_common(worth, [row["currency"] for row in rows], rates)
    for row, is_top in zip(rows, top_valued(common), strict=True):
        _draw(row, assumptions.spares_top and is_top, left_out)
    points = [row["rule_points"] for row in rows]
    has_points = [one > 0 for one in points]
    lists = [row["list_name"] for row in rows]
    places = ranked_by_value(lists, has_points, points, common)
    is_called = [act and not row["in_holdout"] for row, act in zip(rows, has_points, strict=True)]
    called = reached(places, lists, is_called, assumptions.capacity)
    for row, place, is_reached in zip(rows, places, called, strict=True):
        row |= {"value_rank": place, "band_capacity": is_reached}


def deciding_names(row: Mapping[str, Any]) -> list[str]:
    """The names (feature, theme, family) of the reason that decides the play: the strongest one that somebody
    can act on, so timing decides only where it stands alone."""
    raising = [row[f"reason_{n}"] for n in (1, 2, 3) if row.get(f"reason_{n}")]
    able = [one for one in raising if one["theme"] != "timing"]
    return [one[name] for one in (able or raising)[:1] for name in ("feature", "theme", "family")]


@dataclass
class Day:
    """The places of a day's customers in the lists, decided when all of them have been taken in.

    rates: what a minor unit of a currency is worth in a common one; 1 where unknown.
    """

    rates: Mapping[str, Fraction]
    rows: list[pl.DataFrame] = field(default_factory=list)

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in the next customers, acted on."""
        self.rows.append(pl.DataFrame([{name: row[name] for name in DECIDING} for row in rows], DECIDING))

    def places(self, capacity: int) -> tuple[list[int], list[bool]]:
        """Of each customer, in the order taken in, the place in its list: those with a play first, by value;
        and whether the team can reach it this week: the first of the 90-day list with a play, those held out
        passed over, and those whom it costs more to contact than it is expected to save.

        Value is the expected save where every customer with a play has one, else the revenue at risk: the two
        are never mixed.
        """
        day = pl.concat(self.rows)
        acts = day["play_owner"].is_not_null()
        saves, lists = day["expected_save_minor"], day["list_name"].to_list()
        has_save = saves.filter(acts).null_count() == 0
        values = day.select(
            pl.when(acts & has_save).then("expected_save_minor").otherwise("revenue_at_risk_90_minor")
        ).to_series()
        worth = in_common(values, day["currency"], self.rates)
        places = ranked_by_value(lists, acts.to_list(), worth, day["p_90"].to_list())
        is_called = acts & ~day["in_holdout"] & (saves.is_null() | (saves >= 0))
        return places, reached(places, lists, is_called.to_list(), capacity)


DECIDING = pl.Schema(
    {
        "list_name": pl.String,
        "currency": pl.String,
        "play_owner": pl.String,
        "in_holdout": pl.Boolean,
        "p_90": pl.Float64,
        "revenue_at_risk_90_minor": pl.Int64,
        "expected_save_minor": pl.Int64,
    }
)
"""What places are decided by."""


def in_common(
    amounts: Iterable[int | Fraction], currencies: Iterable[str], rates: Mapping[str, Fraction]
) -> list[int]:
    """The amounts at the rates, as whole numbers of one unit that is small enough to lose nothing."""
    known = dict(rates)
    worth = [amount * known.get(code, 1) for amount, code in zip(amounts, currencies, strict=True)]
    unit = math.lcm(*{one.denominator for one in worth})
    return [one.numerator * (unit // one.denominator) for one in worth]


def reached(places: Sequence[int], lists: Sequence[str], acts: Sequence[bool], capacity: int) -> list[bool]:
    """Whom the team can reach this week: the first of the 90-day list of those to act on."""
    callable_rows = [
        i for i, (name, act) in enumerate(zip(lists, acts, strict=True)) if name == "now" and act
    ]
    chosen = set(sorted(callable_rows, key=places.__getitem__)[:capacity])
    return [i in chosen for i in range(len(places))]
