"""Survival by tenure month: lives a bookkeeper can count, and Kaplan-Meier over random companies."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from plain_events import kaplan_meier, lives
from plain_metrics import Books, earlier, month_ends
from random_events import random_events
from random_history import FIRST
from subscription_models import warehouse
from test_subscription_rules import APR, FEB, JAN, MAR, MAY, history, version

JUN, JUL = date(2024, 6, 1), date(2024, 7, 1)


def curve(
    *versions: dict[str, Any], as_of: date = date(2024, 6, 30), segment: str = "all", **rest: Any
) -> Any:
    """(at risk, ended, survival) by tenure month."""
    connection = warehouse(history(*versions, as_of=as_of, **rest), ("fct_survival",))
    rows = connection.execute(
        "SELECT tenure_months, at_risk, ended, round(survival, 9) FROM marts.fct_survival "
        "WHERE segment = ? ORDER BY tenure_months",
        [segment],
    ).fetchall()
    assert [row[0] for row in rows] == list(range(len(rows)))
    return [row[1:] for row in rows]


def life(customer: str, start: date, end: date | None, **rest: Any) -> dict[str, Any]:
    return version(start, end, 1000, item=f"{customer} {start}", customer=customer, **rest)


def customer(name: str, **rest: Any) -> dict[str, Any]:
    return {"customer_id": name, "segment": "s", "valid_from": date(2020, 1, 1), "is_test": False} | rest


def test_survival_is_the_product_of_the_shares_that_stay():
    # tenure 1: 1 of 4 ends; tenure 2: 1 of 3; tenure 3: d is seen no more, b and c stay
    rows = curve(
        life("a", JAN, FEB), life("b", JAN, None), life("c", JAN, MAR), life("d", date(2024, 4, 9), None)
    )
    assert rows == [
        (4, 0, 1.0),
        (4, 1, 0.75),
        (3, 1, 0.5),
        (1, 0, 0.5),
        (1, 0, 0.5),
        (1, 0, 0.5),
    ]


def test_the_standard_error_is_greenwoods():
    company = history(life("a", JAN, FEB), life("b", JAN, None), life("c", JAN, MAR), life("d", JAN, None))
    rows = (
        warehouse(company, ("fct_survival",))
        .execute("SELECT standard_error FROM marts.fct_survival WHERE segment = 'all' ORDER BY tenure_months")
        .fetchall()
    )
    first = 0.75 * sqrt(1 / (4 * 3))
    second = 0.5 * sqrt(1 / (4 * 3) + 1 / (3 * 2))
    assert [row[0] for row in rows] == pytest.approx([0, first, *[second] * 4], abs=1e-15)


def test_the_interval_is_greenwoods_on_the_log_of_minus_the_log():
    # remission under 6-MP (Freireich and others, Blood 21, 1963), weeks read as months; the curve and its
    # interval as survival texts print them (Kalbfleisch and Prentice; Stata's `sts list`)
    ended = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    followed = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    last = date(2026, 12, 1)
    lives = [
        life(f"e{number}", earlier(last, 35), earlier(last, 35 - one)) for number, one in enumerate(ended)
    ]
    lives += [life(f"f{number}", earlier(last, one), None) for number, one in enumerate(followed)]
    rows = (
        warehouse(history(*lives, as_of=date(2026, 12, 31)), ("fct_survival",))
        .execute(
            "SELECT tenure_months, round(survival, 4), round(standard_error, 4), round(survival_low, 4), "
            "round(survival_high, 4) FROM marts.fct_survival WHERE segment = 'all' AND ended > 0 ORDER BY 1"
        )
        .fetchall()
    )
    assert rows == [
        (6, 0.8571, 0.0764, 0.6197, 0.9516),
        (7, 0.8067, 0.0869, 0.5631, 0.9228),
        (10, 0.7529, 0.0963, 0.5032, 0.8894),
        (13, 0.6902, 0.1068, 0.4316, 0.8491),
        (16, 0.6275, 0.1141, 0.3675, 0.8049),
        (22, 0.5378, 0.1282, 0.2678, 0.7468),
        (23, 0.4482, 0.1346, 0.1881, 0.6801),
    ]


def test_the_error_is_not_known_once_nobody_survives():
    company = history(life("a", JAN, MAR), life("b", JAN, FEB))
    rows = (
        warehouse(company, ("fct_survival",))
        .execute(
            "SELECT survival, standard_error, survival_low, survival_high FROM marts.fct_survival "
            "WHERE segment = 'all' ORDER BY tenure_months"
        )
        .fetchall()
    )
    assert rows[0] == (1.0, 0.0, 1.0, 1.0)
    assert rows[1][:2] == (0.5, pytest.approx(0.5 * sqrt(1 / 2)))
    assert 0 < rows[1][2] < 0.5 < rows[1][3] < 1
    assert rows[2] == (0.0, None, None, None)


def test_a_curve_never_rises_not_even_by_a_rounding():
    # every third month somebody leaves; in between the curve stands still to the last bit
    leavers = [life(f"c{number}", JAN, earlier(date(2024, 3, 1), -3 * number)) for number in range(20)]
    connection = warehouse(
        history(*leavers, life("stays", JAN, None), as_of=date(2029, 12, 31)), ("fct_survival",)
    )
    rows = connection.execute(
        "SELECT survival, ended FROM marts.fct_survival WHERE segment = 'all' ORDER BY tenure_months"
    ).fetchall()
    assert len(rows) == 72
    for (before, _), (after, ended) in pairwise(rows):
        assert after < before if ended else after == before


def test_the_running_month_decides_nothing():
    gone = life("a", JAN, MAR + timedelta(days=4))
    assert curve(gone, life("b", JAN, None), as_of=MAR + timedelta(days=20)) == [(2, 0, 1.0), (2, 0, 1.0)]
    assert curve(gone, life("b", JAN, None), as_of=APR - timedelta(days=1))[2] == (2, 1, 0.5)
    assert curve(life("a", JUN, None), as_of=JUN + timedelta(days=5)) == []


def test_a_return_opens_no_second_life():
    assert curve(life("a", JAN, MAR), life("a", APR, None), life("b", JAN, None)) == [
        (2, 0, 1.0),
        (2, 0, 1.0),
        (2, 1, 0.5),
        (1, 0, 0.5),
        (1, 0, 0.5),
        (1, 0, 0.5),
    ]


def test_a_gap_inside_a_month_ends_nothing():
    back = life("a", date(2024, 3, 20), None)
    assert curve(life("a", JAN, date(2024, 3, 3)), back)[-1] == (1, 0, 1.0)


def test_who_joins_and_leaves_within_a_month_has_no_life():
    assert curve(life("a", date(2024, 2, 3), date(2024, 2, 20)), life("b", MAY, None)) == [
        (1, 0, 1.0),
        (1, 0, 1.0),
    ]


def test_customers_seen_first_when_the_data_begin_enter_at_the_tenure_they_have():
    # a is 2 months old in January: at risk in tenures 3 to 7; b is new: in 1 to 3; c comes in March
    rows = curve(
        life("a", JAN, None), life("b", JAN, APR), life("c", MAR, None),
        customers=[
            customer("a", created_on=date(2023, 11, 20)), customer("b", created_on=JAN),
            customer("c", created_on=date(2023, 5, 5)),
        ],
    )  # fmt: skip
    assert rows == [
        (2, 0, 1.0),
        (2, 0, 1.0),
        (2, 0, 1.0),
        (3, 1, round(2 / 3, 9)),
        (1, 0, round(2 / 3, 9)),
        (1, 0, round(2 / 3, 9)),
        (1, 0, round(2 / 3, 9)),
        (1, 0, round(2 / 3, 9)),
    ]


@pytest.mark.parametrize("cause", ["merge", "migration"])
def test_a_customer_merged_or_migrated_is_censored(cause):
    rows = curve(life("a", JAN, APR, end_cause=cause), life("b", JAN, None))
    assert [row[:2] for row in rows] == [(2, 0), (2, 0), (2, 0), (1, 0), (1, 0), (1, 0)]


def test_a_customer_that_gets_a_parent_is_censored():
    parents = [{"customer_id": "a", "parent_customer_id": "b", "valid_from": APR, "valid_to": None}]
    rows = curve(life("a", JAN, None), life("b", JAN, None), parents=parents)
    assert [row[:2] for row in rows] == [(2, 0), (2, 0), (2, 0), (1, 0), (1, 0), (1, 0)]


def test_segments_have_curves_of_their_own_by_the_first_paying_month():
    people = [
        customer("a", segment="small"),
        customer("a", segment="large", valid_from=MAR),
        customer("b", segment="large"),
    ]
    versions = [life("a", JAN, MAY), life("b", JAN, None)]
    assert [row[1] for row in curve(*versions, segment="small", customers=people)] == [0, 0, 0, 0, 1]
    assert [row[1] for row in curve(*versions, segment="large", customers=people)] == [0, 0, 0, 0, 0, 0]


def test_a_customer_of_two_currencies_lives_while_it_pays_in_one():
    versions = [
        version(JAN, MAR, 1000, item="e", customer="a"),
        version(FEB, MAY, 1000, item="u", customer="a", currency="USD"),
    ]
    assert curve(*versions) == [(1, 0, 1.0), (1, 0, 1.0), (1, 0, 1.0), (1, 0, 1.0), (1, 1, 0.0)]


# Lifetime value.


def worth(
    leaves: int, margin_bp: int | None = 8000, as_of: date = date(2027, 2, 28), **settings: Any
) -> dict[int, tuple[Any, ...]]:
    """Twenty customers since January 2024 at 1000, of whom `leaves` go in January 2025: horizon → figures."""
    customers = [
        life(f"c{number:02d}", JAN, date(2025, 1, 1) if number < leaves else None) for number in range(20)
    ]
    margins = [{"month": as_of.replace(day=1), "segment": "all", "margin_bp": margin_bp}] if margin_bp else []
    margins += [{**row, "month": earlier(row["month"], 1)} for row in margins]
    connection = warehouse(
        history(*customers, as_of=as_of),
        ("fct_survival_ltv",),
        {"raw_crm.gross_margins": margins},
        **settings,
    )
    rows = connection.execute(
        "SELECT horizon_months, survival_months, standard_error, ltv, ltv_low, ltv_high, why_null "
        "FROM marts.fct_survival_ltv WHERE segment = 'all'"
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def test_worth_is_gross_profit_times_the_months_a_customer_is_expected_to_pay():
    # 12 whole months, then 24 at half: 24 months of 1000 at 80 %; the error is that of one share of 20
    error = 12 * 1.959964 * sqrt(1 / 20)
    months, standard_error, *figures, why_null = worth(10)[36]
    assert (months, why_null) == (24, None)
    assert standard_error == pytest.approx(12 * sqrt(1 / 20))
    assert figures == pytest.approx([19_200, 800 * (24 - error), 800 * (24 + error)])
    assert worth(0)[36][:3] == (36, 0, pytest.approx(28_800))


@pytest.mark.parametrize(
    ("change", "why_null"),
    [
        ({}, None),
        ({"leaves": 11}, "history_too_short"),  # 9 are followed beyond a year
        ({"as_of": date(2026, 12, 31)}, None),  # the last closed tenure is 35, and 35 is the last of 36
        ({"as_of": date(2026, 12, 30)}, "history_too_short"),
        ({"margin_bp": None}, "no_margin"),
        ({"leaves": 20}, "no_customers"),
    ],
)
def test_worth_that_cannot_be_computed_is_null_and_says_why(change, why_null):
    rows = worth(**{"leaves": 10, **change})
    assert [row is None for row in rows[36]] == [bool(why_null)] * 5 + [not why_null]
    assert rows[36][-1] == why_null
    assert rows[60][-1] in (why_null, "history_too_short")


def test_the_horizon_is_a_setting():
    assert worth(10, ltv_horizon_months="24")[24][0] == 18


@pytest.mark.parametrize(
    ("horizons", "expected"),
    [
        ("36,60", [("ltv_survival_36", 18_000, None), ("ltv_survival_60", None, "history_too_short")]),
        # 24 months at half of 1000
        ("24", [("ltv_survival_24", 12_000, None)]),
    ],
)
def test_worth_is_a_metric_of_the_last_closed_month(horizons, expected):
    customers = [life(f"c{number:02d}", JAN, None) for number in range(12)]
    margins = [{"month": date(2027, 2, 1), "segment": "all", "margin_bp": 5000}]
    connection = warehouse(
        history(*customers, as_of=date(2027, 3, 10)),
        ("int_metric_parts__events",),
        {"raw_crm.gross_margins": margins},
        ltv_horizon_months=horizons,
    )
    rows = connection.execute(
        "SELECT month, metric_id, numerator / denominator, customers::INT, why_null "
        "FROM intermediate.int_metric_parts__events WHERE metric_id LIKE 'ltv%' AND segment = 'all' "
        "ORDER BY ALL"
    ).fetchall()
    february = date(2027, 2, 1)
    assert rows == [(february, metric, value, 12, why_null) for metric, value, why_null in expected]


# Random companies.


def without_merges(seed: int) -> Books:
    """Merges are tried by the rules above; here everybody that stops paying has left."""
    company = random_events(seed, customers=24)
    company.parents = []
    for one in company.versions:
        one["end_cause"] = "voluntary" if one["end_cause"] == "merge" else one["end_cause"]
        if one["version_no"] == 1 and int(one["customer_id"][1:]) % 2:  # half of them run when the data begin
            one["valid_from"] = FIRST
    for row in company.customers:
        row["created_on"] = FIRST - timedelta(days=seed * 37 + 11 * int(row["customer_id"][1:]))
    return Books(company)


def largest_cells(books: Books, on: date) -> dict[str, str]:
    """Customer → segment of the cell in which most of its MRR stands, of its first currency."""
    found: dict[str, dict[tuple[str, ...], Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for days in books.items.values():
        if on in days and days[on][1]:
            place, value = days[on]
            group = "EUR" if books.history.rates else place.currency
            cell = (group, place.plan, place.segment, place.channel, place.currency)
            found[place.customer][cell] += books.constant(place, value)
    return {
        name: min(cells, key=lambda cell: (cell[0], -cells[cell], cell[1:]))[2]
        for name, cells in found.items()
    }


@pytest.mark.parametrize("seed", range(2))
def test_every_row_of_survival_agrees(seed: int) -> None:
    books = without_merges(seed)
    closings = month_ends(books.days[0], books.history.as_of)
    if (closings[-1] + timedelta(days=1)).day > 1:
        closings.pop()
    closes = {on.replace(day=1): books.balances(on) for on in closings}
    segment_of = {
        (name, on.replace(day=1)): segment
        for on in closings
        for name, segment in largest_cells(books, on).items()
    }
    created = {row["customer_id"]: row["created_on"] for row in books.history.customers}
    first_month = books.days[0].replace(day=1)
    everybody = lives(closes, segment_of, created, first_month)
    assert any(one.entry for one in everybody)
    expected = kaplan_meier(everybody)
    found = {
        (segment, tenure): row
        for segment, tenure, *row in warehouse(books.history, ("fct_survival",))
        .execute(
            "SELECT segment, tenure_months, at_risk, ended, survival, standard_error FROM marts.fct_survival"
        )
        .fetchall()
    }
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key][:2] == list(row[:2])
        for number, share in zip(found[key][2:], row[2:], strict=True):
            assert number == (None if share is None else pytest.approx(share, rel=1e-12, abs=1e-12))
