"""The order side of the small world: seven orders, two credit notes, four customers, two pairs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
from tiny_world import BUILT_AT, MARKUP_NAME, describe_build, insert, months_between

from churn_model.stage import write_scorings
from churn_model.tables import create_tables as create_churn_tables

AS_OF = date(2025, 3, 31)
# Id, customer, day, country, is credit note, goods, other (pence).
# March by hand: 90.00 + 60.00 + 33.33 − 3.33 = 180.00.
ORDERS = [
    ("O1", "K1", date(2025, 1, 5), "United Kingdom", False, 9500, 500),
    ("O2", "K2", date(2025, 1, 20), "United Kingdom", False, 5000, 0),
    ("O3", "K1", date(2025, 2, 4), "United Kingdom", False, 8000, 0),
    ("O4", "K3", date(2025, 2, 10), "France", False, 4000, 0),
    ("C5", "K1", date(2025, 2, 12), "United Kingdom", True, -1000, 0),
    ("O6", "K1", date(2025, 3, 6), "United Kingdom", False, 9000, 0),
    ("O7", "K2", date(2025, 3, 7), "United Kingdom", False, 6000, 0),
    ("O8", "K4", date(2025, 3, 15), "Germany", False, 3333, 0),
    ("C9", "K4", date(2025, 3, 16), "Germany", True, -333, 0),
]
# customer, article, potential and expected MRR in pence: 22.005 and 16.50375 together
PAIRS = [("K1", "Tea", "1500.5", "1125.375"), ("K2", MARKUP_NAME, "700", "525")]
SCORES = [
    ("K1", 0.12, "low", 28000),
    ("K2", 0.35, "watch", 11000),
    ("K3", 0.81, "high", 4000),
    ("K4", 0.55, "high", 3000),
]
MONTHS = months_between(date(2025, 1, 1), date(2025, 3, 1))


def fill_orders(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    """Everything a company has that lives from orders alone."""
    describe_build(connection, build_id, as_of=AS_OF, currency="GBP", subscriptions=False)
    order_rows(connection)
    opportunity_rows(connection)
    churn_rows(connection)
    books(connection, build_id)


def order_rows(connection: duckdb.DuckDBPyConnection) -> None:
    for order_id, customer, day, country, is_credit, goods, other in ORDERS:
        row = {
            "order_id": order_id,
            "customer_id": customer,
            "ordered_at": f"{day} 10:00:00+00",
            "ordered_on": day,
            "order_month": day.replace(day=1),
            "currency": "GBP",
            "is_credit": is_credit,
            "country": country,
            "lines": 1,
            "zero_lines": 0,
            "skus": 1,
            "goods_minor": goods,
            "other_minor": other,
            "net_minor": goods + other,
        }
        insert(connection, "marts.fct_orders", [row])
    first = {
        customer: min(day for _, other, day, *_rest in ORDERS if other == customer)
        for customer in ("K1", "K2", "K3", "K4")
    }
    for month in MONTHS:
        for country in {country for _, _, _, country, *_rest in ORDERS}:
            _month(connection, month, country, first)
        _repeat(connection, month, first)
        _cohort(connection, month, first)
    for customer, day in first.items():
        days = sorted(
            day for _, other, day, _, is_credit, *_rest in ORDERS if other == customer and not is_credit
        )
        second = days[1] if len(days) > 1 else None
        insert(
            connection,
            "marts.fct_second_orders",
            [
                {
                    "customer_id": customer,
                    "cohort_month": day.replace(day=1),
                    "first_order_on": day,
                    "second_order_on": second,
                    "days_to_second": None if second is None else (second - day).days,
                    "observed_days": ((second or AS_OF) - day).days,
                    "is_censored": second is None,
                }
            ],
        )

    for month in sorted({day.replace(day=1) for day in first.values()}):
        begun = {customer: day for customer, day in first.items() if day.replace(day=1) == month}
        returned = {
            customer
            for _, customer, day, _, is_credit, *_rest in ORDERS
            if customer in begun and not is_credit and 0 < (day - begun[customer]).days <= 90
        }
        # nobody has been watched for 90 days yet
        row = {"cohort_month": month, "customers": len(begun), "returned_customers": len(returned)}
        insert(connection, "marts.fct_second_order_months", [row | {"is_watched": False}])


def _of_month(month: date) -> list[tuple[Any, ...]]:
    return [order for order in ORDERS if order[2].replace(day=1) == month]


def _month(
    connection: duckdb.DuckDBPyConnection, month: date, country: str, first: Mapping[str, date]
) -> None:
    rows = [order for order in _of_month(month) if order[3] == country]
    if not rows:
        return
    buyers = {order[1] for order in rows if not order[4]}
    sales = sum(order[5] + order[6] for order in rows if not order[4])
    credits = sum(order[5] + order[6] for order in rows if order[4])
    insert(
        connection,
        "marts.fct_order_months",
        [
            {
                "order_month": month,
                "currency": "GBP",
                "country": country,
                "orders": sum(not order[4] for order in rows),
                "credit_notes": sum(order[4] for order in rows),
                "customers": len(buyers),
                "new_customers": sum(first[buyer].replace(day=1) == month for buyer in buyers),
                "lines": len(rows),
                "zero_lines": 0,
                "sales_minor": sales,
                "credits_minor": credits,
                "goods_minor": sum(order[5] for order in rows),
                "other_minor": sum(order[6] for order in rows),
                "revenue_minor": sales + credits,
                "is_provisional": False,
            }
        ],
    )


def _repeat(connection: duckdb.DuckDBPyConnection, month: date, first: Mapping[str, date]) -> None:
    last_day = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    buyers = {order[1] for order in _of_month(month) if not order[4]}
    days: dict[str, set[date]] = {}
    for _, customer, day, _, is_credit, *_rest in ORDERS:
        if not is_credit and day <= last_day:
            days.setdefault(customer, set()).add(day)
    new = sum(first[buyer].replace(day=1) == month for buyer in buyers)
    repeat = sum(len(seen) > 1 for seen in days.values())
    insert(
        connection,
        "marts.fct_repeat_months",
        [
            {
                "order_month": month,
                "window_end_on": last_day,
                "orders": sum(not order[4] for order in _of_month(month)),
                "customers": len(buyers),
                "new_customers": new,
                "returning_customers": len(buyers) - new,
                "window_customers": len(days),
                "repeat_customers": repeat,
                "repeat_rate_bp": round(10_000 * repeat / len(days)),
                "is_window_complete": True,
                "is_provisional": False,
            }
        ],
    )


def _cohort(connection: duckdb.DuckDBPyConnection, cohort: date, first: Mapping[str, date]) -> None:
    members = {customer for customer, day in first.items() if day.replace(day=1) == cohort}
    for month in MONTHS[MONTHS.index(cohort) :]:
        rows = [order for order in _of_month(month) if order[1] in members]
        insert(
            connection,
            "marts.fct_order_cohorts",
            [
                {
                    "cohort_month": cohort,
                    "age_months": month.month - cohort.month,
                    "order_month": month,
                    "currency": "GBP",
                    "cohort_customers": len(members),
                    "active_customers": len({order[1] for order in rows if not order[4]}),
                    "orders": sum(not order[4] for order in rows),
                    "revenue_minor": sum(order[5] + order[6] for order in rows),
                    "is_provisional": False,
                }
            ],
        )


def opportunity_rows(connection: duckdb.DuckDBPyConnection) -> None:
    for customer, article, potential, expected in PAIRS:
        insert(
            connection,
            "marts.fct_subscription_opportunity",
            [
                {
                    "customer_id": customer,
                    "sku": article[:3],
                    "sku_name": article,
                    "country": "United Kingdom",
                    "currency": "GBP",
                    "purchase_days": 4,
                    "median_gap_days": 14,
                    "days_since_last": 3,
                    "last_purchase_on": AS_OF - timedelta(days=3),
                    "next_expected_on": AS_OF + timedelta(days=11),
                    "net_spend_minor": 20000,
                    "potential_mrr": Decimal(potential),
                    "purchase_days_class": "4",
                    "class_hits": 3,
                    "class_pairs": 4,
                    "hit_rate_bp": 7500,
                    "expected_mrr": Decimal(expected),
                    "proposed_interval": "week",
                    "proposed_interval_count": 2,
                    "proposed_quantity": 6,
                }
            ],
        )
    for kind, name, hits, pairs in (
        ("regular", "4", 3, 4),
        ("regular", "all", 3, 4),
        ("irregular", "all", 2, 5),
    ):
        insert(
            connection,
            "marts.fct_opportunity_hit_rates",
            [
                {
                    "measured_on": date(2024, 10, 2),
                    "currency": "GBP",
                    "pair_kind": kind,
                    "purchase_days_class": name,
                    "pairs": pairs,
                    "hits": hits,
                    "hit_rate_bp": round(10_000 * hits / pairs),
                    "left_out_pairs": 0,
                    "potential_mrr": Decimal(100),
                }
            ],
        )
    regular = [(customer, 12 * Decimal(potential)) for customer, _, potential, _ in PAIRS]
    parts: list[tuple[str, list[tuple[str, Decimal]]]] = [
        ("subscribed", []),
        ("regular", regular),
        ("other_repeat", [(PAIRS[0][0], Decimal(6261))]),
        ("one_order_day", [("K3", Decimal(7333))]),
    ]
    for number, (part, rows) in enumerate(parts, 1):
        revenue = sum((amount for _, amount in rows), Decimal(0))
        insert(
            connection,
            "marts.fct_revenue_predictability",
            [
                {
                    "as_of": AS_OF,
                    "currency": "GBP",
                    "part": part,
                    "part_no": number,
                    "is_predictable": number < 3,
                    "revenue": revenue,
                    "total_revenue": Decimal(40000),
                    "share_bp": round(revenue / 4),
                    "customers": len(rows),
                }
            ],
        )
        for customer, amount in rows:
            row = {
                "customer_id": customer,
                "currency": "GBP",
                "part": part,
                "revenue": amount,
                "order_days": 4,
            }
            insert(connection, "marts.fct_customer_predictability", [row])
    insert(
        connection,
        "marts.fct_opportunity_summary",
        [
            {
                "as_of": AS_OF,
                "currency": "GBP",
                "pairs": 2,
                "customers": 2,
                "skus": 2,
                "purchasing_customers": 4,
                "repeat_customers": 2,
                "potential_mrr": Decimal("2200.5"),
                "expected_mrr": Decimal("1650.375"),
                "unmeasured_pairs": 0,
                "goods_revenue_minor": 40000,
                "predictable_revenue": Decimal(26406),
                "predictable_share_bp": 6602,
                "measured_on": date(2024, 10, 2),
                "regular_pairs": 4,
                "regular_hits": 3,
                "irregular_pairs": 5,
                "irregular_hits": 2,
                "verdict": "repeat_not_on_a_rhythm",
            }
        ],
    )


def churn_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Four scored customers; at risk is probability × revenue: 33.60 + 38.50 + 32.40 + 16.50 = 121.00."""
    create_churn_tables(connection)
    for customer, probability, band, revenue in SCORES:
        insert(
            connection,
            "churn.churn_scores",
            [
                {
                    "customer_id": customer,
                    "as_of": AS_OF,
                    "model_id": "m1",
                    "scored_at": BUILT_AT,
                    "segment": "Europe",
                    "commitment_class": "non_contract",
                    "p_90": probability,
                    "band_fixed": band,
                    "p_90_change": None,
                    "currency": "GBP",
                    "yearly_revenue_minor": revenue,
                    "revenue_at_risk_90_minor": round(revenue * probability),
                    "reason_1": reason("Last order 70 days ago", "آخر طلب قبل 70 يومًا", 9.0),
                    "reason_2": reason("2 order days", "يوما طلب", 4.5),
                    "reason_3": reason("Few articles", "أصناف قليلة", 1.5),
                    "protective_1": reason("Long history", "تاريخ طويل", -3.0),
                    "p_reference": 0.3,
                    "support": 120,
                    "score_kind": "probability",
                    "score_pct": probability * 100,
                    "recommended_play": "reorder_prompt",
                    "play_en": "Reorder prompt",
                    "play_ar": "تذكير بإعادة الطلب",
                    "play_owner": "sales",
                    "due_on": date(2025, 4, 3),
                    "in_holdout": False,
                }
            ],
        )
    write_scorings(connection)
    insert(
        connection,
        "churn.churn_models",
        [
            {
                "model_id": "m1",
                "stage": "scoring",
                "candidate": "spline_logistic",
                "at": BUILT_AT,
                "trained_to": AS_OF,
                "training_rows": 1000,
                "training_events": 300,
            }
        ],
    )
    for candidate, auc in (("spline_logistic", 0.78), ("recency_rule", 0.66), ("base_rate", 0.5)):
        insert(
            connection,
            "churn.churn_evaluation",
            [
                {
                    "model_id": "m1",
                    "candidate": candidate,
                    "is_champion": candidate == "spline_logistic",
                    "split": "temporal",
                    "metric": "auc",
                    "value": auc,
                    "customers": 1000,
                    "base_rate": 0.4,
                }
            ],
        )
    for bin_no, share in enumerate((0.1, 0.4, 0.8), 1):
        row = {
            "model_id": "m1",
            "candidate": "spline_logistic",
            "is_champion": True,
            "test_on": date(2025, 1, 1),
            "bin": bin_no,
            "customers": 300,
            "mean_p": share,
            "observed": share + 0.02,
        }
        insert(connection, "churn.churn_reliability", [row])


def reason(english: str, arabic: str, points: float) -> dict[str, Any]:
    return {
        "feature": "days_since_order",
        "family": "orders",
        "value": 1.0,
        "unit": "days",
        "typical": 1.0,
        "direction": "up",
        "theme": "recency",
        "contribution": 0.1,
        "points": points / 100,
        "sentence_key": "key",
        "sentence_en": english,
        "sentence_ar": arabic,
    }


def books(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    """One load of 12 lines of which 2 were set aside."""
    insert(
        connection,
        "raw_meta.loads",
        [
            {
                "load_id": f"{build_id}-0001",
                "build_id": build_id,
                "source_name": "orders",
                "source_kind": "orders",
                "target_table": "order_lines",
                "file_name": "lines.csv",
                "rows_read": 12,
                "rows_accepted": 10,
                "rows_rejected": 2,
                "rows_unchanged": 0,
            }
        ],
    )
    for number in (3, 7):
        insert(
            connection,
            "raw_meta.rejects",
            [
                {
                    "load_id": f"{build_id}-0001",
                    "target_table": "order_lines",
                    "file_name": "lines.csv",
                    "row_number": number,
                    "row_key": f"O{number}",
                    "reason": "negative_quantity",
                    "column_name": "quantity",
                    "original_row": '{"quantity": "-1", "note": "<script>alert(1)</script>"}',
                }
            ],
        )
