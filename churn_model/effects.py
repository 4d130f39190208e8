"""Did contacting help? The save rate of each play: churn in the holdout less churn among the listed.

Both groups are those whom the list would have named: a tenth of the customers, drawn by hash, was held out
of the contacts that the score prompts. Everyone counts in the group that the draw put them in, contacted or
not (intention to treat): so a difference is due to being listed, not to who was reachable. A customer counts
once a quarter, with the first day on which the play was recommended: the draw is made anew each quarter.

Interval: Newcombe's hybrid score interval for a difference of two independent shares (Newcombe 1998,
Statistics in Medicine 17, 873-890, method 10): with Wilson's intervals (l1, u1) and (l2, u2) of the shares
p1 and p2, low = d - sqrt((p1 - l1)^2 + (u2 - p2)^2), high = d + sqrt((u1 - p1)^2 + (p2 - l2)^2), d = p1 - p2.

The save rate is in points of all listed. What a contact is worth asks for another figure: the share of those
who would have left that it keeps (`SaveRate.kept`), 1 - churn among the listed / churn in the holdout. Its
interval is that of the ratio by the log method (Katz, Baptista, Azen and Pike 1978, Biometrics 34, 469-474):
ratio x exp(-+ z sqrt((1 - p1) / x1 + (1 - p2) / x2)), with x1 and x2 leavers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: intervals are of 95 %."""

ENOUGH_WIDTH = 0.20
"""An interval at least this wide says "not enough data"."""

ALL_PLAYS = "all"


def wilson(events: int, customers: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927). Raises ValueError without customers or with more events."""
    if not 0 <= events <= customers or customers == 0:
        raise ValueError(f"{events} of {customers} is no share")
    share = events / customers
    spread = Z * math.sqrt(share * (1 - share) / customers + Z * Z / (4 * customers * customers))
    middle, scale = share + Z * Z / (2 * customers), 1 + Z * Z / customers
    low = 0.0 if events == 0 else (middle - spread) / scale
    high = 1.0 if events == customers else (middle + spread) / scale
    return low, high


@dataclass(frozen=True)
class KeptShare:
    """The share of leavers that a play keeps, and its 95 % interval, within 0 and 1: a play that loses
    customers keeps none."""

    value: Fraction
    low: float
    high: float

    @property
    def is_enough(self) -> bool:
        return self.high - self.low < ENOUGH_WIDTH


@dataclass(frozen=True)
class SaveRate:
    """The effect of one play. `value`, `low`, `high`: shares (0.05 is five points), None where a group is
    empty. `is_enough`: the interval is narrower than 20 points. `excluded`: left out of the draw."""

    play: str
    listed: int
    listed_left: int
    holdout: int
    holdout_left: int
    excluded: int
    value: float | None
    low: float | None
    high: float | None

    @property
    def is_enough(self) -> bool:
        return self.low is not None and self.high is not None and self.high - self.low < ENOUGH_WIDTH

    @property
    def kept(self) -> KeptShare | None:
        """The effect as the share of leavers that the play keeps; None where in either group nobody left, for
        the log method needs leavers in both."""
        if not self.listed_left or not self.holdout_left:
            return None
        told, held = Fraction(self.listed_left, self.listed), Fraction(self.holdout_left, self.holdout)
        spread = math.sqrt((1 - told) / self.listed_left + (1 - held) / self.holdout_left)
        ratio = told / held
        least, most = (float(ratio) * math.exp(sign * Z * spread) for sign in (-1, 1))
        return KeptShare(max(1 - ratio, Fraction(0)), max(1 - most, 0.0), max(1 - least, 0.0))

    def text(self, language: str) -> str:
        """One sentence in a language, `en` or `ar`, for people."""
        of = f"{self.listed_left:,}/{self.listed:,}", f"{self.holdout_left:,}/{self.holdout:,}"
        if not self.is_enough or self.value is None or self.low is None or self.high is None:
            return (
                f"لا بيانات كافية بعد (غادر {of[0]} من القائمة و{of[1]} من مجموعة المقارنة)."
                if language == "ar"
                else f"Not enough data yet ({of[0]} of the listed left, {of[1]} of the holdout)."
            )
        figures = f"{self.value * 100:+.1f}", f"{self.low * 100:+.1f}", f"{self.high * 100:+.1f}"
        if language == "ar":
            return (
                f"معدل الإنقاذ {figures[0]} نقطة (فترة 95%: من {figures[1]} إلى {figures[2]})؛ "
                f"غادر {of[0]} من القائمة و{of[1]} من مجموعة المقارنة."
            )
        return (
            f"Save rate {figures[0]} points (95% interval {figures[1]} to {figures[2]}); "
            f"{of[0]} of the listed left, {of[1]} of the holdout."
        )


def save_rate(
    listed_left: int,
    listed: int,
    holdout_left: int,
    holdout: int,
    *,
    play: str = ALL_PLAYS,
    excluded: int = 0,
) -> SaveRate:
    """Churn in the holdout less churn among the listed, with Newcombe's interval. Raises ValueError where
    more left than there were."""
    if not (0 <= listed_left <= listed and 0 <= holdout_left <= holdout):
        raise ValueError(f"{listed_left} of {listed} listed and {holdout_left} of {holdout} held out")
    if listed == 0 or holdout == 0:
        return SaveRate(play, listed, listed_left, holdout, holdout_left, excluded, None, None, None)
    held, told = holdout_left / holdout, listed_left / listed
    (low_held, high_held), (low_told, high_told) = wilson(holdout_left, holdout), wilson(listed_left, listed)
    value = held - told
    low = value - math.hypot(held - low_held, high_told - told)
    high = value + math.hypot(high_held - held, told - low_told)
    return SaveRate(play, listed, listed_left, holdout, holdout_left, excluded, value, low, high)


def save_rates(rows: pl.DataFrame) -> list[SaveRate]:
    """The save rate of every play, by name, and last of all plays together.

    rows: one a customer and as-of day on which a play was recommended and whose label has closed:
    customer_id, as_of, play (or recommended_play), in_holdout, left (bool), and optionally is_excluded (out
    of the draw, as top-value customers may be): those are counted and not compared. Rows without a play, or
    with play `none`, are no list and are left out.
    """
    play = "play" if "play" in rows.columns else "recommended_play"
    drawn = pl.col("is_excluded").fill_null(False) if "is_excluded" in rows.columns else pl.lit(False)
    quarters = (
        rows.filter(pl.col(play).is_not_null() & (pl.col(play) != "none") & pl.col("left").is_not_null())
        .with_columns(
            pl.col(play).alias("play"),
            drawn.alias("is_excluded"),
            (pl.col("as_of").dt.year() * 4 + pl.col("as_of").dt.quarter()).alias("quarter"),
        )
        .sort("as_of", "customer_id")
    )
    by_play = quarters.unique(["customer_id", "quarter", "play"], keep="first", maintain_order=True)
    once = quarters.unique(["customer_id", "quarter"], keep="first", maintain_order=True)
    rates = [_rate(by_play.filter(pl.col("play") == name), name) for name in by_play["play"].unique().sort()]
    return [*rates, _rate(once, ALL_PLAYS)]


def _rate(rows: pl.DataFrame, play: str) -> SaveRate:
    compared = rows.filter(~pl.col("is_excluded"))
    listed = compared.filter(~pl.col("in_holdout"))["left"].cast(pl.Int64)
    holdout = compared.filter(pl.col("in_holdout"))["left"].cast(pl.Int64)
    return save_rate(
        int(listed.sum()),
        len(listed),
        int(holdout.sum()),
        len(holdout),
        play=play,
        excluded=rows.height - compared.height,
    )
