"""The parts of a report against figures counted by hand."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from churn_model.appraisal import (
    Judged,
    cohorts,
    curves,
    evaluation_parts,
    judged_rows,
    last_list,
    lead_times,
    list_given,
    reliability,
    subgroups,
    weekly_list,
)
from churn_model.dataset import Panel
from churn_model.effects import wilson

TEN = np.linspace(0.95, 0.05, 10)
"""Ten customers in the order of their probability: .95, .85, ... .05."""


def test_precision_and_recall_at_each_score() -> None:
    y = np.array([1.0, 0, 1, 0])
    found = curves(Judged(y, np.array([0.9, 0.8, 0.8, 0.1])))["precision_recall"]
    assert found == [[0.5, 1.0], [1.0, pytest.approx(2 / 3)], [1.0, 0.5]]


def test_gain_and_lift_in_customers() -> None:
    y = np.array([1.0, 1, 0, 1, 0, 0, 0, 0, 0, 1])
    found = curves(Judged(y, TEN))
    gain, lift = dict(found["gain"]), dict(found["lift"])
    assert (gain[0.1], gain[0.2], gain[0.4], gain[1.0]) == (0.25, 0.5, 0.75, 1.0)
    assert (lift[0.1], lift[0.2], lift[1.0]) == (2.5, 2.5, 1.0)


def test_lost_revenue_is_found_by_probability_times_revenue_in_one_currency() -> None:
    y = np.array([1.0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1])
    revenue = np.array([10.0, 10, 10, 10, 10, 10, 10, 10, 10, 970, 10**9])
    judged = Judged(y, np.r_[TEN, 0.99], revenue_minor=revenue, currency=["EUR"] * 10 + ["JPY"])
    found = curves(judged)
    assert found["revenue_currency"] == "EUR"
    assert dict(found["gain_revenue"])[0.1] == 0.97  # .05 x 970 is the largest product; 1000 were lost


def test_a_list_on_which_nobody_left_has_no_gain() -> None:
    assert curves(Judged(np.zeros(10), TEN)) == {"precision_recall": []}


def test_the_weekly_list_has_the_highest_probabilities() -> None:
    y = np.array([1.0, 1, 0, 1, 0, 0, 0, 0, 0, 1])
    found = weekly_list(Judged(y, TEN), 4)
    assert (found["caught"], found["listed"], found["left"], found["precision"]) == (3, 4, 4, 0.75)
    assert (found["low"], found["high"]) == wilson(3, 4)
    assert weekly_list(Judged(y, TEN), 50)["listed"] == 10


def test_reliability_is_told_for_all_and_for_each_commitment() -> None:
    y = np.tile([1.0, 0], 20)
    p = np.where(np.arange(40) < 20, 0.5, 0.7)
    groups = {"commitment_class": ["monthly"] * 20 + ["term"] * 20, "segment": ["small"] * 40}
    found = {(row["by"], row["value"]): row for row in reliability(Judged(y, p, groups))}
    assert list(found) == [("all", None), ("commitment_class", "monthly"), ("commitment_class", "term")]
    assert found["commitment_class", "monthly"]["ece"] == pytest.approx(0.0)
    assert found["commitment_class", "term"]["ece"] == pytest.approx(0.2)
    assert found["commitment_class", "term"]["left"] == 10


def test_subgroups_are_counted_and_small_ones_get_no_auc() -> None:
    y = np.array([1.0] * 10 + [0.0] * 10 + [1.0, 0.0, 1.0])
    p = np.array([0.9] * 10 + [0.1] * 10 + [0.5, 0.5, 0.5])
    segment: list[str | None] = ["small"] * 20 + ["large"] * 2 + [None]
    small, large = subgroups(Judged(y, p, {"segment": segment, "channel": ["web"] * 23}))
    assert (small["value"], small["customers"], small["left"], small["auc"]) == ("small", 20, 10, 1.0)
    assert small["ratio"] == pytest.approx(10 / 10.0)
    assert (large["value"], "auc" in large, large["base_rate"]) == ("large", False, 0.5)


def test_lead_times_leave_the_first_week_out() -> None:
    days = np.array([3.0, 10, 40, 95, 200, np.nan, np.nan, np.nan, np.nan, np.nan])
    y = (days <= 90).astype(float)
    found = lead_times(Judged(y, TEN, days_to_event=days, observed_days=np.full(10, 400.0)))
    assert [(row["from"], row["to"], row["left"], row["listed"]) for row in found["bins"]] == [
        *((0, 7, 1, 1), (8, 30, 1, 0), (31, 60, 1, 0), (61, 90, 0, 0))
    ]
    assert found["median_days"] == 3.0
    after = found["after_first_week"]
    assert (after["from"], after["to"], after["customers"], after["left"]) == (8, 97, 9, 3)
    assert after["auc"] == 1.0


def test_rows_not_observed_long_enough_are_no_stayers() -> None:
    days = np.array([20.0, np.nan, np.nan])
    observed = np.array([400.0, 96.0, 97.0])
    judged = Judged(
        np.array([1.0, 0, 0]), np.array([0.3, 0.9, 0.1]), days_to_event=days, observed_days=observed
    )
    assert lead_times(judged)["after_first_week"]["customers"] == 2


def test_the_last_list_tells_caught_missed_and_false_alarms() -> None:
    y = np.array([1.0, 0, 1, 0, 1])
    judged = Judged(y, np.array([0.9, 0.8, 0.3, 0.2, 0.1]))
    names = ["a", "b", "c", "d", "e"]
    reasons = [[(f"{name} is silent", f"{name} صامت")] for name in names]
    found = last_list(judged, names, reasons, 2, "2026-01-31", "2026-05-01")
    told = {
        kind: [row["customer_id"] for row in found[kind]["rows"]]
        for kind in ("caught", "missed", "false_alarms")
    }
    assert told == {"caught": ["a"], "missed": ["e", "c"], "false_alarms": ["b"]}
    assert found["ranked_by"] == "probability"
    assert found["missed"]["rows"][0]["reasons"] == [{"en": "e is silent", "ar": "e صامت"}]


def test_the_list_that_was_given_is_told_with_the_reasons_it_had() -> None:
    """Two were to be called by value, though c has the higher probability."""

    def told(name: str) -> dict[str, str]:
        return {"sentence_en": f"{name} is silent", "sentence_ar": f"{name} صامت"}

    given = pl.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d", "e"],
            "as_of": [date(2026, 1, 15)] * 5,
            "p_90": [0.6, 0.4, 0.9, 0.2, 0.5],
            "band_capacity": [True, True, False, False, None],
            "left": [True, False, True, False, None],
            "currency": ["EUR"] * 5,
            "yearly_revenue_minor": [None, 700, 900, 100, 100],
            "mrr_minor": [100, None, None, None, None],
            **{f"reason_{n}": [told(name) if n < 3 else None for name in "abcde"] for n in (1, 2, 3)},
        }
    )
    found = list_given(given, "2026-04-15")
    assert (found["as_of"], found["closed_on"], found["listed"]) == ("2026-01-15", "2026-04-15", 2)
    assert found["ranked_by"] == "value"
    assert [row["customer_id"] for row in found["caught"]["rows"]] == ["a"]
    assert [row["customer_id"] for row in found["false_alarms"]["rows"]] == ["b"]
    assert [row["customer_id"] for row in found["missed"]["rows"]] == ["c"]
    assert found["caught"]["rows"][0]["revenue_minor"] == 1200
    assert found["missed"]["rows"][0]["reasons"] == [{"en": "c is silent", "ar": "c صامت"}] * 2


def accounts() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d"],
            "as_of": [date(2025, 12, 31)] * 4,
            "auto_renew": [True, False, None, True],
            "commitment_class": ["term", "term", "monthly", "monthly"],
            "tenure_days": [10, 179, 180, None],
            "mrr_minor": [100, 200, 300, 10000],
            "currency": ["EUR"] * 4,
            "ended_on": [date(2026, 1, 10), None, date(2026, 1, 20), date(2026, 6, 1)],
            "observed_until": [date(2026, 7, 1)] * 4,
        }
    )


def test_rows_of_snapshots_become_groups_revenue_and_days() -> None:
    y = np.array([1.0, 0, 0, 0])  # c came back within 30 days: it ended and has not left
    judged = judged_rows(accounts(), y, np.full(4, 0.1), 90)
    assert judged.groups["auto_renew"] == ["true", "false", None, "true"]
    assert judged.groups["tenure_band"] == ["under_180", "under_180", "180_to_364", None]
    assert judged.groups["value_tier"] == ["other", "other", "other", "top"]
    assert judged.revenue_minor is not None
    assert judged.revenue_minor.tolist() == [1200, 2400, 3600, 120000]
    assert judged.days_to_event is not None
    assert [None if math.isnan(day) else day for day in judged.days_to_event] == [10, None, None, 152]


def test_cohorts_count_leavers_by_cause_and_short_returns() -> None:
    """a left by choice, b has not, c ended and was back, d ended after the horizon; e is not known yet."""
    frame = pl.concat([accounts(), accounts().head(1).with_columns(customer_id=pl.lit("e"))]).with_columns(
        ended_cause=pl.Series(["voluntary", None, "involuntary", "voluntary", "voluntary"]),
        returned_within_30=pl.Series([False, None, True, False, False]),
    )
    panel = Panel(frame, np.zeros((5, 1)), np.array([1.0, 0, 0, 0, np.nan]))
    assert cohorts(panel, 90) == [
        {
            "as_of": "2025-12-31",
            "customers": 4,
            "left": 1,
            "voluntary": 1,
            "involuntary": 0,
            "returned": 1,
        }
    ]


def test_an_evaluation_gives_every_part_its_rows_allow() -> None:
    frame = pl.concat([accounts(), accounts().with_columns(as_of=pl.lit(date(2025, 9, 30)))])
    panel = Panel(frame, np.zeros((8, 1)), np.array([1.0, 0, 0, 0, 0, 0, 1.0, 0]))
    p = np.array([0.9, 0.1, 0.2, 0.3])
    parts = evaluation_parts(
        panel, {date(2025, 12, 31): p, date(2025, 9, 30): p}, capacity=1, horizon_days=90, closes_after=30
    )
    assert [(row["as_of"], row["customers"], row["left"]) for row in parts["cohorts"]] == [
        ("2025-09-30", 4, 1),
        ("2025-12-31", 4, 1),
    ]
    assert set(parts) - {"cohorts"} == {
        "curves",
        "reliability",
        "weekly_list",
        "subgroups",
        "lead_times",
        "last_list",
    }
    assert (parts["last_list"]["as_of"], parts["last_list"]["closed_on"]) == ("2025-12-31", "2026-04-30")
    assert parts["last_list"]["caught"]["rows"][0]["customer_id"] == "a"
    assert parts["reliability"][0]["customers"] == 8
