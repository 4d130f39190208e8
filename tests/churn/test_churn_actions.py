"""Revenue at risk by hand, who stands on which list and in which place, and the comparison group."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest

from churn_model.actions import (
    Assumptions,
    Day,
    Situation,
    acted,
    acted_by_rule,
    at_risk_minor,
    at_stake_minor,
    deciding_names,
    expected_save_minor,
    half_up,
    in_common,
    in_holdout,
    list_of,
    top_valued,
)
from churn_model.playbook import plays_of

AS_OF = date(2025, 12, 31)


def reason(feature: str, theme: str, family: str, points: float) -> dict[str, Any]:
    return {"feature": feature, "theme": theme, "family": family, "points": points}


PAYMENTS = reason("failed_payments_90", "failures", "payments", 0.3)
TIMING = reason("decision_timing", "timing", "timing", 0.4)


def score(customer: str, p_90: float, commitment: str = "monthly", **more: Any) -> dict[str, Any]:
    row = {
        "customer_id": customer,
        "as_of": AS_OF,
        "commitment_class": commitment,
        "p_90": p_90,
        "currency": "EUR",
        "reason_1": PAYMENTS,
        "reason_2": None,
        "reason_3": None,
    }
    return row | more


def act(
    rows: list[dict[str, Any]],
    situations: list[Situation],
    rates: dict[str, Fraction] | None = None,
    left_out: dict[str, bool] | None = None,
    **stated: Any,
) -> list[dict[str, Any]]:
    """The rows acted on one by one, as blocks of a day; the places when all are taken in."""
    codes = [row["currency"] for row in rows]
    tops = top_valued(in_common([one.stake for one in situations], codes, rates or {}))
    assumptions, day = Assumptions(**stated), Day(rates or {})
    for row, situation, is_top in zip(rows, situations, tops, strict=True):
        acted([row], [situation], [is_top], plays_of(), assumptions, left_out or {})
        day.take([row])
    for row, place, is_reached in zip(rows, *day.places(assumptions.capacity), strict=True):
        row |= {"value_rank": place, "band_capacity": is_reached}
    return rows


# (MRR, committed in the next 365 days, p, at risk): 12 × 100.00 − 600.00 = 600.00, half of it 300.00;
# 12 × 0.01 = 0.12, of which a half is 0.06; 12 × 0.05 × 0.075 = 0.045 and 12 × 0.05 × 0.125 = 0.075 are ties
@pytest.mark.parametrize(
    ("mrr", "committed", "p", "expected"),
    [
        (10_000, 60_000, 0.5, 30_000),
        (10_000, 200_000, 0.9, 0),
        (Fraction(1, 3), 0, 0.5, 2),
        (5, 0, 0.125, 8),
        (5, 0, 0.375, 23),
        (10**15, 0, 0.5, 6 * 10**15),
    ],
)
def test_revenue_at_risk_is_what_is_not_committed_times_p_rounded_half_up_once(
    mrr: Fraction, committed: int, p: float, expected: int
) -> None:
    assert at_risk_minor(p, at_stake_minor(Fraction(mrr), Fraction(committed))) == expected


@pytest.mark.parametrize(("amount", "whole"), [("1/2", 1), ("3/2", 2), ("-1/2", -1), ("-1/3", 0), ("7/3", 2)])
def test_halves_go_away_from_zero(amount: str, whole: int) -> None:
    assert half_up(Fraction(amount)) == whole


def test_expected_save_is_at_risk_times_rate_less_the_contact() -> None:
    # 0.5 × 1200.00 × 15 % − 25.00 = 65.00
    assert expected_save_minor(0.5, Fraction(120_000), Fraction(15, 100), 2_500) == 6_500


@pytest.mark.parametrize(("rate", "cost"), [(None, 2_500), (Fraction(1, 5), None)])
def test_without_a_rate_or_a_cost_no_saving_is_expected(rate: Fraction | None, cost: int | None) -> None:
    assert expected_save_minor(0.5, Fraction(120_000), rate, cost) is None


def test_a_measured_save_rate_comes_before_a_stated_one() -> None:
    assumed = Assumptions(
        save_rate=Fraction(1, 5),
        save_rates={"onboarding": Fraction(1, 4)},
        measured={"payment_method": Fraction(3, 10)},
    )
    assert assumed.save_rate_of("payment_method") == (Fraction(3, 10), "measured")
    assert assumed.save_rate_of("onboarding") == (Fraction(1, 4), "stated")
    assert assumed.save_rate_of("resolve") == (Fraction(1, 5), "stated")
    assert Assumptions().save_rate_of("resolve") == (None, None)


@pytest.mark.parametrize(
    ("commitment", "days", "has_notice", "name"),
    [
        ("term", 90, False, "now"),
        ("term", 91, False, "later"),
        ("term", None, False, "later"),
        ("monthly", None, False, "now"),
        ("non_contract", None, False, "now"),
        ("term", 10, True, "leaving"),
        ("monthly", None, True, "leaving"),
    ],
)
def test_a_term_without_decision_point_in_90_days_stands_under_renewals_later(
    commitment: str, days: int | None, has_notice: bool, name: str
) -> None:
    decision_on = None if days is None else AS_OF + timedelta(days=days)
    assert list_of(commitment, decision_on, AS_OF, has_notice=has_notice) == name


def test_no_yearly_account_without_decision_point_is_among_those_to_call() -> None:
    far, near = AS_OF + timedelta(days=200), AS_OF + timedelta(days=30)
    rows = act(
        [score("far", 0.99, "term"), score("near", 0.3, "term"), score("monthly", 0.4)],
        [Situation(Fraction(10**9), far), Situation(Fraction(100), near), Situation(Fraction(50))],
    )
    found = {row["customer_id"]: (row["list_name"], row["value_rank"], row["band_capacity"]) for row in rows}
    assert found["far"] == ("later", 1, False)
    assert found["near"][:2] == ("now", 1)  # 0.3 × 100 = 30 before 0.4 × 50 = 20
    assert found["monthly"][:2] == ("now", 2)


def test_who_has_a_play_comes_before_who_has_none_whatever_is_at_stake() -> None:
    rows = act(
        [score("rich", 0.1), score("poor", 0.5)], [Situation(Fraction(10**6)), Situation(Fraction(10))]
    )
    assert [(row["recommended_play"], row["value_rank"]) for row in rows] == [
        ("none", 2),
        ("payment_method", 1),
    ]


def test_saving_and_risk_are_never_ranked_against_each_other() -> None:
    """The dinar has no stated cost of a contact, so no saving: all go by revenue at risk, 600 before 500."""
    rows = act(
        [score("euro", 0.5), score("dinar", 0.5, currency="KWD")],
        [Situation(Fraction(1_200)), Situation(Fraction(1_000))],
        save_rate=Fraction(1, 10),
        contact_cost_minor={"EUR": 1_000},
    )
    assert [(row["expected_save_minor"], row["value_rank"]) for row in rows] == [(-940, 1), (None, 2)]


def test_places_go_by_expected_save_where_there_is_one() -> None:
    # at risk 500 and 600; with 10 % saved and a contact at 55 they are worth -5 and 5
    rows = act(
        [score("a", 0.5), score("b", 0.5)],
        [Situation(Fraction(1_000)), Situation(Fraction(1_200))],
        save_rate=Fraction(1, 10),
        contact_cost_minor={"EUR": 55},
    )
    assert [(row["expected_save_minor"], row["value_rank"]) for row in rows] == [(-5, 2), (5, 1)]
    assert {row["save_rate_basis"] for row in rows} == {"stated"}


def test_a_call_that_costs_more_than_it_saves_takes_no_place_of_the_week() -> None:
    # at risk 500, 550 and 600; with 10 % saved and a contact at 55 they are worth -5, 0 and 5
    free = [f"c{n}" for n in range(100) if not in_holdout(f"c{n}", AS_OF)]
    rows = act(
        [score(name, 0.5) for name in free[:3]],
        [Situation(Fraction(1_000)), Situation(Fraction(1_100)), Situation(Fraction(1_200))],
        save_rate=Fraction(1, 10),
        contact_cost_minor={"EUR": 55},
    )
    assert [row["expected_save_minor"] for row in rows] == [-5, 0, 5]
    assert [row["band_capacity"] for row in rows] == [False, True, True]


def test_where_only_some_savings_are_known_a_negative_one_takes_no_place_either() -> None:
    free = [f"c{n}" for n in range(100) if not in_holdout(f"c{n}", AS_OF)]
    rows = act(
        [score(free[0], 0.5), score(free[1], 0.5, currency="KWD")],
        [Situation(Fraction(1_200)), Situation(Fraction(1_000))],
        save_rate=Fraction(1, 10),
        contact_cost_minor={"EUR": 1_000},
    )
    assert [row["band_capacity"] for row in rows] == [False, True]


def test_unlike_currencies_are_set_side_by_side_at_the_rate() -> None:
    rows = [score("dinar", 0.5, currency="KWD"), score("euro", 0.5)]
    situations = [Situation(Fraction(1_000)), Situation(Fraction(2_000))]
    act(rows, situations, {"KWD": Fraction(3), "EUR": Fraction(1)})
    assert [row["value_rank"] for row in rows] == [1, 2]


def test_the_team_reaches_the_first_of_the_list_and_passes_over_the_comparison_group() -> None:
    names = [f"c{n}" for n in range(40)]
    rows = act(
        [score(name, 0.6) for name in names],
        [Situation(Fraction(10_000 - n)) for n in range(40)],
        capacity=5,
    )
    expected = [name for name in names if not in_holdout(name, AS_OF)][:5]
    assert [row["customer_id"] for row in rows if row["band_capacity"]] == expected


def test_a_rule_ranks_by_points_then_by_revenue_and_passes_over_the_comparison_group() -> None:
    free = [f"c{n}" for n in range(100) if not in_holdout(f"c{n}", AS_OF)]
    held = next(f"c{n}" for n in range(100) if in_holdout(f"c{n}", AS_OF))
    given = [  # points, MRR, list
        (held, 60, 100, "now"),
        (free[0], 25, 300, "now"),
        (free[1], 25, 400, "now"),
        (free[2], 40, 1, "now"),
        (free[3], 0, 10**6, "now"),
        (free[4], 90, 1, "later"),
    ]
    rows = [
        {"customer_id": name, "as_of": AS_OF, "currency": "EUR", "list_name": where, "rule_points": points}
        for name, points, _, where in given
    ]
    acted_by_rule(rows, [Fraction(mrr) for _, _, mrr, _ in given], Assumptions(capacity=2), {})
    assert [row["value_rank"] for row in rows] == [1, 4, 3, 2, 5, 1]
    assert [row["in_holdout"] for row in rows] == [True] + [False] * 5
    assert [row["band_capacity"] for row in rows] == [False, False, True, True, False, False]
    acted_by_rule(rows, [Fraction(mrr) for _, _, mrr, _ in given], Assumptions(capacity=9), {})
    assert not rows[4]["band_capacity"]  # no points: nothing speaks for a call


def test_those_worth_most_can_be_left_out_of_the_draw_and_are_marked() -> None:
    held = next(f"c{n}" for n in range(100) if in_holdout(f"c{n}", AS_OF))
    rows = act([score(held, 0.6)], [Situation(Fraction(100))], spares_top=True)
    assert (rows[0]["in_holdout"], rows[0]["is_excluded"]) == (False, True)
    rows = act([score(held, 0.6)], [Situation(Fraction(100))])
    assert (rows[0]["in_holdout"], rows[0]["is_excluded"]) == (True, False)


def test_what_the_first_score_of_a_quarter_decided_holds_for_all_of_it() -> None:
    held = next(f"c{n}" for n in range(100) if in_holdout(f"c{n}", AS_OF))
    for was_left_out in (True, False):
        for spares_top in (True, False):  # whatever the company states and the customer is worth since
            rows = act(
                [score(held, 0.6)],
                [Situation(Fraction(100))],
                left_out={held: was_left_out},
                spares_top=spares_top,
            )
            assert (rows[0]["in_holdout"], rows[0]["is_excluded"]) == (not was_left_out, was_left_out)


def test_who_is_being_dunned_stands_on_the_list_of_now_though_a_term_binds_it() -> None:
    in_a_year = AS_OF + timedelta(days=300)
    assert list_of("term", in_a_year, AS_OF, has_notice=False) == "later"
    assert list_of("term", in_a_year, AS_OF, has_notice=False, is_failing=True) == "now"
    assert list_of("term", in_a_year, AS_OF, has_notice=True, is_failing=True) == "leaving"
    rows = act(
        [score(name, 0.6, "term", p_involuntary_90=p) for name, p in (("a", 0.1), ("b", 0.49), ("c", 0.5))],
        [Situation(Fraction(9), in_a_year, is_dunned=is_dunned) for is_dunned in (True, False, False)],
    )
    assert [row["list_name"] for row in rows] == ["now", "later", "now"]  # the last by what is foretold


def test_the_tenth_worth_most_is_the_top() -> None:
    assert top_valued([Fraction(n) for n in range(20)]) == [False] * 18 + [True] * 2
    assert top_valued([Fraction(5), Fraction(0)]) == [True, False]
    assert top_valued([Fraction(0)]) == [False]


def test_timing_decides_only_where_it_stands_alone() -> None:
    assert deciding_names(score("a", 0.5, reason_1=TIMING, reason_2=PAYMENTS)) == [
        "failed_payments_90",
        "failures",
        "payments",
    ]
    assert deciding_names(score("a", 0.5, reason_1=TIMING))[0] == "decision_timing"
    assert deciding_names(score("a", 0.5, reason_1=None)) == []


def test_a_tenth_of_the_customers_is_held_out_and_stays_so_for_the_quarter() -> None:
    names = [f"c{n}" for n in range(5_000)]
    first = {name for name in names if in_holdout(name, date(2025, 1, 31))}
    assert 400 < len(first) < 600
    assert first == {name for name in names if in_holdout(name, date(2025, 3, 31))}
    assert first != {name for name in names if in_holdout(name, date(2025, 4, 1))}


def test_amounts_in_common_keep_their_order_and_proportion_exactly() -> None:
    rates = {"KWD": Fraction(1, 3), "USD": Fraction("0.92")}
    common = in_common([30, 11, Fraction(1, 7)], ["KWD", "USD", "EUR"], rates)
    assert [Fraction(one, common[0]) for one in common] == [1, Fraction("10.12") / 10, Fraction(1, 70)]


def test_places_are_those_of_the_whole_day_however_it_is_cut() -> None:
    rows = [score(f"c{n:02d}", 0.3 + n % 7 / 10, "monthly") for n in range(40)]
    stakes = [Situation(Fraction(1_000 + 37 * (n * 11 % 40))) for n in range(40)]
    found = act(rows, stakes, capacity=5)
    by_value = sorted(found, key=lambda row: (-row["revenue_at_risk_90_minor"], -row["p_90"]))
    assert [row["value_rank"] for row in by_value] == list(range(1, 41))
    callable_rows = [row for row in by_value if not row["in_holdout"]]
    assert [row["customer_id"] for row in callable_rows[:5]] == [
        row["customer_id"] for row in by_value if row["band_capacity"]
    ]
