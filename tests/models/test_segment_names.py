"""A company may call a segment of its customers `all`, which is the name of all segments together."""

from __future__ import annotations

from subscription_models import warehouse
from test_cash_marts import warehouse_test
from test_subscription_rules import JAN, history, version

SEGMENTS = {"a": "all", "b": '"all"', "c": "All", "d": None, "e": "overall"}
AMOUNTS = {"a": 1000, "b": 2000, "c": 4000, "d": 8000, "e": 16_000, "crm": 32_000}


def test_a_segment_called_all_is_not_all_of_them():
    company = history(
        *(version(JAN, None, amount, item=name, customer=name) for name, amount in AMOUNTS.items()),
        customers=[
            {"customer_id": name, "segment": segment, "is_test": False, "valid_from": JAN}
            for name, segment in SEGMENTS.items()
        ],
    )
    account = {"account_id": "a1", "customer_id": "crm", "segment": "all", "valid_from": JAN}
    connection = warehouse(company, ("fct_metric_values", "fct_mrr_months"), {"raw_crm.accounts": [account]})
    found = connection.execute(
        "SELECT segment, numerator::BIGINT FROM marts.fct_metric_values "
        "WHERE metric_id = 'mrr' AND month = ? ORDER BY ALL",
        [JAN],
    ).fetchall()
    assert found == sorted(
        [
            ("all", 63_000),
            ('"all"', 33_000),
            ('""all""', 2000),
            ("All", 4000),
            ("overall", 16_000),
            ("unknown", 8000),
        ]
    )
    assert warehouse_test(connection, "segments_sum_to_total") == []
