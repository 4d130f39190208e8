"""A published company with accounts to look after: scores of two days a week apart, terms that come up,
invoices, failed charges, use and sites. Small enough for a pencil; its day is 2025-03-31, its money EUR.

Scores now and a week before: C1 .80 .55, C2 .60 .40, C3 .30 .70, C4 .55 none (held out), C5 none .20,
C6 .10 .10.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import tiny_world
from tiny_world import insert

from churn_model.stage import write_scorings
from churn_model.tables import create_tables as create_churn_tables

AS_OF = date(2025, 3, 31)
MODEL = "m-current"
SCORES = {
    "C1": (0.80, 0.55, 120_000),
    "C2": (0.60, 0.40, 300_000),
    "C3": (0.30, 0.70, 10_000),
    "C4": (0.55, None, 50_000),
    "C5": (None, 0.20, 5_000),
    "C6": (0.10, 0.10, 1_000),
}
HELD_OUT = "C4"
PLAYS = (("onboarding", "Onboarding session with the admin", "جلسة تهيئة مع المدير"), ("all", None, None))
MANAGERS = {"C1": "Dana", "C2": "Dana", "C3": None, "C4": "Omar", "C5": "Omar", "C6": None}
LOGGED = (
    ("meeting", datetime(2025, 3, 3, 9, 30, tzinfo=UTC)),
    ("site visit", datetime(2025, 3, 12, 14, tzinfo=UTC)),
)
# Customer → (days until its term ends, MRR in minor units, renews by itself, days until notice).
TERMS = {
    "C1": (10, "10000", True, -5),
    "C2": (45, "25000", False, 15),
    "C5": (80, "6000", None, 0),
    "C6": (120, "7000", True, 90),
}


def publish(folder: Path, build_id: str = "20250401T0430-s1") -> Path:
    """Publish the company in a folder."""
    return tiny_world.publish(folder, build_id, fill, title=("Success", "نجاح"))


def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    tiny_world.describe_build(connection, build_id, as_of=AS_OF, currency="EUR", subscriptions=True)
    tiny_world.subscription_rows(connection)
    _people(connection)
    create_churn_tables(connection)
    for customer, (now, before, at_risk) in SCORES.items():
        for on, p_90 in ((AS_OF - timedelta(days=7), before), (AS_OF, now)):
            if p_90 is not None:
                insert(connection, "churn.churn_scores", [score(customer, on, p_90, at_risk)])
    insert(connection, "churn.churn_status", [{"as_of": AS_OF, "state": "scored", "model_id": MODEL}])
    write_scorings(connection)
    _earlier(connection)
    _terms(connection)
    _account(connection)


def score(customer: str, on: date, p_90: float, at_risk: int) -> dict[str, Any]:
    """A score with three reasons; who is held out has a play all the same, which nobody is shown."""
    return {
        "customer_id": customer,
        "as_of": on,
        "model_id": MODEL,
        "scored_at": datetime(on.year, on.month, on.day, 6, tzinfo=UTC),
        "score_kind": "probability",
        "segment": tiny_world.CUSTOMERS[customer][1],
        "commitment_class": "term",
        "list_name": "now",
        "p_90": p_90,
        "p_cause_90": p_90,
        "p_reference": 0.15,
        "score_pct": p_90 * 100,
        "value_rank": {300_000: 1, 120_000: 2, 50_000: 3, 10_000: 4, 5_000: 5, 1_000: 6}[at_risk],
        "band_fixed": "high" if p_90 >= 0.5 else "watch" if p_90 >= 0.2 else "low",
        "cause": "voluntary",
        "mrr_minor": 10_000,
        "currency": "EUR",
        "revenue_at_risk_90_minor": at_risk,
        "reason_1": reason("usage", f"Active users 3 of 20 seats ({customer})"),
        "reason_2": reason("support", "Two urgent tickets are open"),
        "reason_3": reason("money", "Price rose by 12 %"),
        "support": 200,
        "recommended_play": "onboarding",
        "play_en": "Onboarding session with the admin",
        "play_ar": "جلسة تهيئة مع المدير",
        "play_owner": "success",
        "due_on": on + timedelta(days=5),
        "decision_on": on + timedelta(days=40),
        "in_holdout": customer == HELD_OUT,
    }


def reason(family: str, sentence: str) -> dict[str, Any]:
    """A reason of the size a model gives."""
    return {
        "feature": family,
        "family": family,
        "points": 0.09,
        "sentence_en": sentence,
        "sentence_ar": f"السبب: {sentence}",
    }


def _people(connection: duckdb.DuckDBPyConnection) -> None:
    for customer, manager in MANAGERS.items():
        connection.execute(
            "UPDATE marts.dim_customers SET csm = ?, country = 'DE', created_on = '2024-01-01' "
            "WHERE customer_id = ?",
            [manager, customer],
        )
    owned = {**MANAGERS, "S1": None}
    insert(
        connection,
        "marts.dim_customer_owners",
        [{"customer_id": customer, "owner": manager or ""} for customer, manager in owned.items()],
    )
    insert(
        connection, "marts.dim_owners", [{"owner": "Dana", "customers": 2}, {"owner": "Omar", "customers": 2}]
    )
    insert(
        connection,
        "marts.dim_customers",
        [
            {
                "customer_id": "S1",
                "name": "Acme Harbour",
                "segment": "enterprise",
                "parent_customer_id": "C1",
                "is_current": True,
                "valid_from": date(1, 1, 1),
            }
        ],
    )


def _earlier(connection: duckdb.DuckDBPyConnection) -> None:
    """A list whose 90 days are over, and what contacting did: 4 of 40 listed left, 2 of 8 held out."""
    insert(
        connection,
        "churn.churn_monitoring",
        [
            {
                "model_id": "m-old",
                "commitment_class": "all",
                "as_of": date(2024, 12, 31),
                "measured_on": AS_OF,
                "horizon_days": 90,
                "measure": "observed_over_expected",
                "subject": subject,
                "value": observed / expected,
                "customers": customers,
                "observed": observed,
                "expected": expected,
            }
            for subject, customers, expected, observed in (("band:high", 10, 6.0, 6), ("all", 48, 8.0, 6))
        ],
    )
    insert(
        connection,
        "churn.churn_save_rates",
        [
            {
                "as_of": AS_OF,
                "play": play,
                "play_en": called_en,
                "play_ar": called_ar,
                "listed": 40,
                "listed_left": 4,
                "holdout": 8,
                "holdout_left": 2,
                "excluded": 0,
                "value": 0.15,
                "low": -0.05,
                "high": 0.5,
                "is_enough": False,
            }
            for play, called_en, called_ar in PLAYS
        ],
    )


def _terms(connection: duckdb.DuckDBPyConnection) -> None:
    """What comes up, and three terms that ended: 100.00 and 50.00 renewed, 50.00 lost."""
    for customer, (days, mrr, auto, notice) in TERMS.items():
        _renewal(connection, customer, AS_OF + timedelta(days=days), mrr, "undecided", auto, notice)
    for number, (mrr, outcome) in enumerate([("10000", "renewed"), ("5000", "renewed"), ("5000", "lost")]):
        _renewal(connection, "C1", AS_OF - timedelta(days=60 + number), mrr, outcome, True, 0)
    for metric, numerator, denominator in [("renewal_rate", 15_000, 20_000), ("renewal_rate_count", 2, 3)]:
        for segment in ("all", "enterprise"):
            value = {"metric_id": metric, "month": date(2025, 1, 1), "currency": "EUR", "segment": segment}
            parts = {"numerator": numerator, "denominator": denominator, "value": numerator / denominator}
            insert(connection, "marts.fct_metric_values", [value | parts])


def _renewal(
    connection: duckdb.DuckDBPyConnection,
    customer: str,
    due_on: date,
    mrr: str,
    outcome: str,
    auto: bool | None,
    notice: int,
) -> None:
    insert(
        connection,
        "marts.fct_renewals",
        [
            {
                "subscription_item_id": f"{customer}-item-{due_on.isoformat()}",
                "subscription_id": f"{customer}-sub",
                "customer_id": customer,
                "due_on": due_on,
                "month": due_on.replace(day=1),
                "is_due": due_on <= AS_OF,
                "segment": tiny_world.CUSTOMERS[customer][1],
                "currency": "EUR",
                "amount_currency": "EUR",
                "auto_renew": auto,
                "notice_by_on": AS_OF + timedelta(days=notice),
                "outcome": outcome,
                "decided_on": None if outcome == "undecided" else due_on,
                "mrr_before": Decimal(mrr),
                "mrr_before_constant": Decimal(mrr),
            }
        ],
    )
    insert(
        connection,
        "marts.fct_renewal_days",
        [
            {
                "due_on": due_on,
                "outcome": outcome,
                "currency": "EUR",
                "segment": tiny_world.CUSTOMERS[customer][1],
                "is_automatic": bool(auto),
                "renewals": 1,
                "mrr": Decimal(mrr),
            }
        ],
    )


def _account(connection: duckdb.DuckDBPyConnection) -> None:
    """What the page of C2 shows: 200.00 from January 2024, 250.00 from March 2025; an invoice, a payment of
    5.00 on it, a failed charge, use of the newest month end."""
    rows = [
        (date(2024, 1, 1), "new", "first_subscription", "20000"),
        (date(2025, 3, 10), "expansion", "quantity", "5000"),
    ]
    for on, category, why, delta in rows:
        insert(
            connection,
            "marts.fct_mrr_movements",
            [
                {
                    "subscription_item_id": "C2-item",
                    "subscription_id": "C2-sub",
                    "customer_id": "C2",
                    "movement_on": on,
                    "month": on.replace(day=1),
                    "category": category,
                    "reason": why,
                    "measure": "mrr",
                    "currency": "EUR",
                    "plan_id": "P",
                    "delta_native": Decimal(delta),
                    "is_scheduled": False,
                }
            ],
        )
    for start, end, mrr in [
        (date(2024, 1, 1), date(2025, 3, 10), "20000"),
        (date(2025, 3, 10), None, "25000"),
    ]:
        spell = {"customer_id": "C2", "currency": "EUR", "valid_from": start, "valid_to": end}
        insert(
            connection,
            "marts.fct_mrr_spells",
            [spell | {"segment": "enterprise", "mrr_native": Decimal(mrr), "items": 1}],
        )
    paid = {"customer_id": "C2", "invoice_id": "A-2", "currency": "EUR"}
    insert(
        connection,
        "marts.fct_ar_events",
        [
            paid
            | {
                "event_kind": "payment",
                "source_id": "p1",
                "event_on": date(2025, 1, 5),
                "amount_minor": -500,
            }
        ],
    )
    insert(
        connection,
        "marts.fct_dunning",
        [
            paid
            | {
                "first_failed_on": date(2024, 12, 20),
                "failed_minor": 2505,
                "attempts": 2,
                "outcome": "pending",
                "recovered_minor": 500,
            }
        ],
    )
    insert(
        connection,
        "marts.fct_crm_activities",
        [
            {
                "activity_id": f"act-{number}",
                "customer_id": "C2",
                "account_id": "acc-2",
                "kind": kind,
                "happened_on": at.date(),
                "happened_at": at,
            }
            for number, (kind, at) in enumerate(LOGGED)
        ],
    )
    insert(
        connection,
        "marts.fct_account_snapshots",
        [
            {
                "customer_id": "C2",
                "as_of": AS_OF,
                "seats": 20.0,
                "active_users_28": 3.0,
                "seat_use": 0.15,
                "no_usage_feed": False,
            }
        ],
    )
