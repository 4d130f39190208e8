"""BG/NBD, the textbook model of repeat purchases, as a peer that the shipped model must beat.

Fader, Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science 24 (2005) 275-284. A customer
orders at rate lambda ~ Gamma(r, alpha) and after each repeat order leaves for good with p ~ Beta(a, b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

Column = NDArray[np.float64]


@dataclass(frozen=True)
class BgNbd:
    """The four parameters; times are in days."""

    r: float
    alpha: float
    a: float
    b: float

    def p_alive(self, repeats: Column, last: Column, tenure: Column) -> Column:
        """P(not yet gone | repeats, day of the last order, days observed): Fader, Hardie and Lee, "Computing
        P(alive) using the BG/NBD model" (2008)."""
        since = (self.r + repeats) * np.log((self.alpha + tenure) / (self.alpha + last))
        odds_gone = self.a / (self.b + np.maximum(repeats, 1) - 1) * np.exp(np.minimum(since, 500))
        return np.where(repeats > 0, 1 / (1 + odds_gone), 1.0)

    def p_no_order(self, repeats: Column, last: Column, tenure: Column, days: float) -> Column:
        """P(no order in the next days): gone already, or alive and silent, for who is alive can only
        leave at an order."""
        alive = self.p_alive(repeats, last, tenure)
        silent = ((self.alpha + tenure) / (self.alpha + tenure + days)) ** (self.r + repeats)
        return np.asarray(1 - alive + alive * silent)


def log_likelihood(model: BgNbd, repeats: Column, last: Column, tenure: Column) -> Column:
    """Equation (6) of the paper, customer by customer."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    start = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha)
    stays = betaln(a, b + repeats) - betaln(a, b) - (r + repeats) * np.log(alpha + tenure)
    some = np.maximum(repeats, 1)
    leaves = betaln(a + 1, b + some - 1) - betaln(a, b) - (r + repeats) * np.log(alpha + last)
    return np.asarray(start + np.where(repeats > 0, np.logaddexp(stays, leaves), stays))


def fit(repeats: Column, last: Column, tenure: Column) -> BgNbd:
    """The likeliest parameters. repeats: order days after the first; last: days from the first to the last;
    tenure: days from the first to the end of the data."""

    def loss(logs: Any) -> float:
        return float(-log_likelihood(BgNbd(*np.exp(logs)), repeats, last, tenure).mean())

    found = minimize(loss, np.log([1.0, 50.0, 1.0, 3.0]), method="L-BFGS-B", bounds=[(-8, 8)] * 4)
    return BgNbd(*(float(value) for value in np.exp(found.x)))
