"""Who knows how the generated company works, and has only its rates left to learn.

The states that matter are given: bound by a term, at the end of one, use that fell and stays low, complaints
that hurt, a rise of prices, charges that were declined. How often accounts leave from each is counted on the
rows that the model learns from. A model that has yet to find the states, among seventy inputs, is not to be
expected past this: how far it is from the true probability is what the data withholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from billing.simulator.causes import INDEX_MONTH, PRICE_MONTHS
from churn_model import accounts
from churn_model.account_scoring import Accounts
from churn_model.dataset import HORIZON_DAYS
from churn_model.hazard import (
    CAUSES,
    CUTS,
    DECISION,
    MONTH_DAYS,
    SEASON,
    curves_of,
    expand,
    timing,
    timing_of,
)

NEAR_CUTS = tuple(cut for cut in CUTS if cut <= HORIZON_DAYS)
PRICE_SEASON = [INDEX_MONTH + month for month in range(PRICE_MONTHS)]
"""Places of the months that follow an index date, January being 0."""
IN_A_TREE = -1
Column = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class States:
    """In which state an account is in a step: as one that may leave, and as one whose payments may fail."""

    names: tuple[str, ...]
    methods: tuple[str, ...]

    def of(self, x: Column, step: Places) -> tuple[Places, Places]:
        """x: rows x (features, timing)."""

        def column(name: str) -> Column:
            return x[:, self.names.index(name)]

        is_tree = column("live_subscriptions") > 1
        return (
            np.where(is_tree, IN_A_TREE, self._leaving(column, step)),
            np.where(is_tree, IN_A_TREE, self._failing(column, step)),
        )

    def _leaving(self, column: Callable[[str], Column], step: Places) -> Places:
        is_bound = column(DECISION.name) > 0
        end = np.searchsorted(NEAR_CUTS, column("months_to_term_end") * MONTH_DAYS)
        use, lately = column("usage_to_peak_730"), column("usage_28_to_peak")
        is_price_season = np.isin(column(SEASON.name), PRICE_SEASON)
        is_pained = (column("complaints_180") >= 2) & (column("days_since_complaint") < 100)
        return np.select(
            [
                is_bound & (column("days_to_notice") > 0) & (end == step),
                is_bound,
                (use < -0.35) & (lately < -0.45) & is_price_season,
                (use < -0.35) & (lately < -0.45),
                is_pained,
                (use < -0.2) & (lately < -0.3),
                is_price_season,
            ],
            list(range(7)),
            7,
        )

    def _failing(self, column: Callable[[str], Column], step: Places) -> Places:
        in_a_row, attempts = column("declined_in_a_row"), column("failed_payments_90")
        state = np.select(
            [
                (column("open_dunning_attempts") >= 1) & (in_a_row >= 1),
                (in_a_row >= 2) & (attempts >= 3),
                (in_a_row == 1) & (attempts >= 2),
                in_a_row >= 1,
            ],
            [5, 4, 3, 2],
            np.where(column("payment_method") == self.methods.index("none"), 0, 1),
        )
        return np.where(state < 2, state, 10 * state + step)


def p_90_of_form(family: Accounts, day: date) -> Column:
    """P(end within 90 days) of those at risk on a day, of rates counted on what was known by it."""
    known = accounts.hazard_panel(accounts.near_rows(family.panel, day), family.inputs, day)
    learned, columns = expand(known, NEAR_CUTS), timing_of(CUTS, has_decision=True, has_season=True)
    methods = next(one.categories for one in family.inputs if one.name == "payment_method") or ()
    states = States(tuple(one.name for one in (*family.inputs, *columns)), methods)
    rates = [
        _rates(state, learned.left_by == cause)
        for cause, state in enumerate(states.of(learned.x, learned.step))
    ]
    now = family.panel.on(day)
    days, as_of = accounts.decision_days(now.frame), accounts.as_of_days(now.frame)
    hazards = np.empty((len(CAUSES), len(now.x), len(NEAR_CUTS)))
    for step in range(len(NEAR_CUTS)):
        x = np.hstack([now.x, timing(len(now.x), step, NEAR_CUTS, days, as_of)])
        for cause, state in enumerate(states.of(x, np.full(len(x), step))):
            hazards[cause, :, step] = [rates[cause].get(one, 0.0) for one in state.tolist()]
    return curves_of(NEAR_CUTS, CAUSES, hazards).p(HORIZON_DAYS)


def _rates(state: Places, left: NDArray[np.bool_]) -> Mapping[int, float]:
    """How many of a state leave, half a row of all added to each."""
    rows, ends = np.unique(state, return_inverse=True)[1], left.mean()
    counts, leavers = np.bincount(rows), np.bincount(rows, weights=left)
    return dict(zip(np.unique(state).tolist(), ((leavers + ends / 2) / (counts + 0.5)).tolist(), strict=True))
