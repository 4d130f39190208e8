"""Exchange rates of the simulated days: a seeded walk a currency, and the budget of each year.

As the warehouse reads them: what a minor unit of a currency is in minor units of the euro.
"""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import numpy as np

from billing.core.money import currency_exponent
from billing.simulator.population import CURRENCY, Calendar, Topic, stream

# What one of each was in euro when the world began.
OPENING = {"USD": 0.92, "KWD": 3.02}
DAILY_SPREAD = 0.004
# The budget of a year is what a currency costs at its start, to the cent.
BUDGET = "budget"


def write_rates(seed: int, calendar: Calendar, path: Path) -> None:
    """Write the rates of every day from the one before the first, and the budgets, as CSV."""
    days = (calendar.last_day - calendar.first_day).days + 2
    rows = []
    for number, (currency, opening) in enumerate(sorted(OPENING.items())):
        steps = stream(seed, Topic.RATES, number).standard_normal(days) * DAILY_SPREAD
        walk = opening * np.exp(np.cumsum(steps))
        shift = 10.0 ** (currency_exponent(CURRENCY) - currency_exponent(currency))
        for place in range(days):
            on = calendar.first_day + timedelta(days=place - 1)
            rows.append((on, currency, CURRENCY, f"{walk[place] * shift:.10f}", "daily"))
            if (on.month, on.day) == (1, 1) or place == 0:
                rows.append((on, currency, CURRENCY, f"{round(walk[place], 2) * shift:.10f}", BUDGET))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("rate_on", "from_currency", "to_currency", "rate", "rate_set"))
        writer.writerows(rows)
