"""A small company with contracts, drawn at random: failed payments end accounts at once, low use at the
decision point. It tests the machinery; it proves nothing about a model."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from churn_model.accounts import account_features

NAMES = ("failed_payments_90", "seat_use", "payment_method", "segment")
FEATURES = tuple(feature for feature in account_features() if feature.name in NAMES)


def month_ends(first: date, count: int) -> list[date]:
    return [
        date(first.year + (first.month + n) // 12, (first.month + n) % 12 + 1, 1) - timedelta(days=1)
        for n in range(count)
    ]


def snapshots(days: list[date], as_of: date, customers: int = 120, seed: int = 0) -> pl.DataFrame:
    """Rows as marts.fct_account_snapshots has them; each day draws its own accounts. Every third has a term,
    the decision point up to a year ahead; one in forty has given notice."""
    random = np.random.default_rng(seed)
    rows = []
    for day in days:
        for n in range(customers):
            is_term = n % 3 == 0
            decision = day + timedelta(days=int(random.integers(1, 365))) if is_term else None
            failed, use = int(random.random() < 0.2), float(random.random())
            has_feed = random.random() < 0.9
            ended = None
            if failed and random.random() < 0.8:
                ended = (day + timedelta(days=int(random.integers(5, 80))), "involuntary")
            elif use < 0.3 and random.random() < 0.7:
                ended = (decision or day + timedelta(days=int(random.integers(10, 150))), "voluntary")
            if ended and ended[0] > as_of:
                ended = None
            has_notice = n % 40 == 5
            rows.append(
                {
                    "customer_id": f"a{n:03d}",
                    "as_of": day,
                    "is_at_risk": not has_notice,
                    "has_notice": has_notice,
                    "mrr_minor": 10_000 + 100 * n,
                    "currency": "EUR",
                    "segment": "smb" if n % 2 else "mid",
                    "commitment_class": "term" if is_term else "monthly",
                    "decision_on": decision,
                    "committed_365_minor": 60_000 if is_term else 0,
                    "no_usage_feed": not has_feed,
                    "tenure_days": 400,
                    "failed_payments_90": failed,
                    "seat_use": use if has_feed else None,
                    "payment_method": "card" if random.random() < 0.6 else "transfer",
                    "ended_on": ended[0] if ended else None,
                    "ended_cause": ended[1] if ended else None,
                    "ended_recorded_on": ended[0] if ended else None,
                    "returned_within_30": False if ended else None,
                    "observed_until": as_of,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)
