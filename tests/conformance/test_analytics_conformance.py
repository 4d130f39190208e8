"""The analytics runner: every kind on an example of its own, and what it must not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tajdid.cli import app

CASES: dict[str, dict[str, Any]] = {
    "a price of two years": {
        "kind": "normalise",
        "given": {"amount": 4800, "interval": "year", "interval_count": 2, "quantity": 1},
        "expect": {"mrr": 200},
    },
    "a single sale": {
        "kind": "normalise",
        "given": {"amount": 4800, "interval": "one_time"},
        "expect": {"mrr": 0},
    },
    "a discount for once": {
        "kind": "normalise",
        "given": {"amount": 90, "discount_percent": 50, "discount_duration": "once"},
        "expect": {"mrr": 90},
    },
    "four weeks to the month": {
        "kind": "normalise",
        "given": {"amount": 10, "interval": "week"},
        "policy": {"week_factor": "4"},
        "expect": {"mrr": 40},
        "alternatives": [{"policy": {"week_factor": "4.33"}, "expect": {"mrr": 43.3}}],
    },
    "prices of three decimals": {
        "kind": "normalise_list",
        "given": {"amounts": [0.125, 12], "interval": "month"},
        "expect": {"mrr": [0.125, 12]},
    },
    "two currencies of time": {
        "kind": "mrr_total",
        "given": {
            "lines": [{"subscribers": 3, "amount": 20}, {"subscribers": 2, "amount": 120, "interval": "year"}]
        },
        "expect": {"mrr": 80, "arr": 960},
    },
    "a discount that ends": {
        "kind": "mrr_total",
        "given": {
            "subscriptions": [
                {
                    "amount": 100,
                    "start": "2024-01-01",
                    "end": "2024-04-01",
                    "discounts": [{"percent": 20, "duration": "repeating", "end": "2024-02-10"}],
                }
            ]
        },
        "expect": {"mrr": {"2024-01": 80, "2024-02": 100, "2024-03": 100, "2024-04": 0}},
    },
    "an average": {
        "kind": "ratio",
        "given": {"customers": [{"amount": 30}, {"amount": 120, "interval": "year"}]},
        "expect": {"arpa": 20},
    },
    "a customer's story": {
        "kind": "movements",
        "given": {
            "periods": [
                {"customer": 1, "start": "2024-01-10", "end": "2024-03-01", "mrr": 50},
                {"customer": 1, "start": "2024-03-01", "end": "2024-03-15", "mrr": 80},
                {"customer": 1, "start": "2024-06-01", "end": None, "mrr": 20},
                {"customer": 2, "start": "2024-02-02", "end": "2024-02-20", "mrr": 5},
            ]
        },
        "expect": {
            "months": {"2024-01": {"new": 50}, "2024-03": {"churn": -50}, "2024-06": {"reactivation": 20}},
            "events": [
                {"day": "2024-01-10", "movement": "new", "amount": 50},
                {"day": "2024-02-02", "movement": "new", "amount": 5},
                {"day": "2024-02-20", "movement": "churn", "amount": -5},
                {"day": "2024-03-01", "movement": "expansion", "amount": 30},
                {"day": "2024-03-15", "movement": "churn", "amount": -80},
                {"day": "2024-06-01", "movement": "reactivation", "amount": 20},
            ],
            "mrr": {"2024-02": 50, "2024-03": 0, "2024-06": 20},
        },
    },
    "a swap under a discount": {
        "kind": "movements",
        "given": {"before": {"list_mrr": 100}, "after": {"list_mrr": 250}, "discount_percent": 10},
        "expect": {
            "list_added": 250,
            "list_removed": -100,
            "net_added": 225,
            "net_removed": -90,
            "net_delta": 135,
        },
    },
    "customers at both ends": {
        "kind": "rates",
        "given": {
            "customers": [{"start": 100, "end": 150}, {"start": 100, "end": 0}, {"start": 0, "end": 70}]
        },
        "expect": {"nrr": 0.75, "grr": 0.5, "gross_mrr_churn_rate": 0.5, "net_mrr_churn_rate": 0.25},
    },
    "no opening": {
        "kind": "rates",
        "given": {"start_mrr": 0, "new": 50},
        "expect": {"nrr": None, "growth": None},
    },
    "both ways to be late": {
        "kind": "logo_churn",
        "given": {
            "subscriptions": [
                {"start": "2024-01-01", "cancel_asked": "2024-02-20", "end": "2024-03-05"},
                {"start": "2024-01-01"},
                {"start": "2024-01-01"},
                {"start": "2024-01-01"},
            ]
        },
        "expect": {
            "rate_by_service_end": {"2024-02": 0, "2024-03": 0.25},
            "rate_by_cancel_request": {"2024-02": 0.25, "2024-03": 0},
        },
    },
    "who left why": {
        "kind": "churn_split",
        "given": {
            "cancelled": [
                {"n": 3, "price": 10, "end_cause": "voluntary"},
                {"n": 2, "price": 120, "interval": "year", "end_cause": "involuntary"},
            ]
        },
        "expect": {"voluntary": 30, "involuntary": 20},
    },
    "every status": {
        "kind": "status",
        "given": {
            "subscriptions": [
                {"n": 2, "status": "active", "price": 10},
                {"n": 1, "status": "trialing", "price": 40},
                {"n": 1, "status": "past_due", "price": 5},
                {"n": 3, "status": "incomplete", "price": 100},
                {"n": 1, "status": "canceled", "price": 100},
            ]
        },
        "expect": {"mrr": 25, "trial_mrr": 40},
    },
    "a late payer": {
        "kind": "delinquency",
        "given": {
            "subscription": {"amount": 60, "interval": "month"},
            "invoice_due": "2024-03-01",
            "unpaid": True,
        },
        "expect": {"mrr_on": {"2024-02-29": 60, "2024-03-31": 60, "2024-04-01": 0}},
        "alternatives": [
            {"policy": {"past_due_grace_days": 0}, "expect": {"mrr_on": {"2024-03-01": 60, "2024-03-02": 0}}}
        ],
    },
    "an upgrade in the month": {
        "kind": "proration",
        "given": {
            "before": 30,
            "after": 90,
            "upgrade_after_days": 10,
            "invoice_lines": [{"amount": -20, "proration": True}, {"amount": 60, "proration": True}],
        },
        "expect": {
            "mrr_before": 30,
            "mrr_after": 90,
            "movement": "expansion",
            "amount": 60,
            "invoice_total": 40,
        },
    },
    "day by day": {
        "kind": "calendar",
        "given": {
            "days": ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"],
            "base_active": 4,
            "joins": "2024-02-29",
            "last_paid_day": "2024-03-01",
        },
        "expect": {"active": [4, 5, 5, 4], "new": [0, 1, 0, 0], "churned": [0, 0, 0, 1]},
    },
    "the first of the month": {
        "kind": "snapshot",
        "given": {"subscription": {"amount": 10, "start": "2024-01-01", "end": "2024-02-15"}},
        "expect": {"mrr": {"2024-01": 10, "2024-02": 0}, "churn_month": "2024-02"},
        "alternatives": [
            {
                "policy": {"snapshot": "month_start"},
                "expect": {"mrr": {"2024-02": 10, "2024-03": 0}, "churn_month": "2024-03"},
            }
        ],
    },
    "trials to come": {
        "kind": "trial",
        "given": {
            "price": 50,
            "interval": "month",
            "subscriptions": [
                {"start": "2024-01-20", "trial_end": "2024-02-03"},
                {"start": "2024-01-25", "trial_end": "2024-02-08", "ends": "2024-02-08"},
            ],
        },
        "expect": {
            "mrr": {"2024-01": 0, "2024-02": 50},
            "trial_mrr": {"2024-01": 100, "2024-02": 0},
            "committed_mrr": {"2024-01": 50, "2024-02": 50},
        },
    },
    "an end in sight": {
        "kind": "committed",
        "given": {"price": 10, "subscriptions": [{"start": "2024-01-01", "ends": "2024-06-01"}]},
        "expect": {"mrr": {"2024-03": 10}, "committed_mrr": {"2024-03": 0}},
    },
    "cohorts weigh by money": {
        "kind": "cohort",
        "given": {"cohorts": [{"start_mrr": 900, "grr": 1}, {"start_mrr": 100, "grr": 0.5}]},
        "expect": {"weighted_grr": 0.95},
    },
    "a foreign contract": {
        "kind": "fx",
        "given": {
            "contract": {"amount": 100, "currency": "USD", "interval": "month"},
            "reporting": "EUR",
            "rates": {"2024-01": 0.9, "2024-02": 0.8},
            "budget_rate": 0.85,
        },
        "expect": {
            "booked": {"2024-01": 90, "2024-02": 80},
            "constant": {"2024-01": 85, "2024-02": 85},
            "movements": {"2024-02": {"fx_impact": -10}},
        },
    },
    "months in a row": {
        "kind": "waterfall",
        "given": {
            "start_mrr": 1000,
            "months": [
                {"new": 200, "expansion": 100, "contraction": -50, "churn": -50},
                {"new": 0, "reactivation": 60, "churn": -300},
            ],
        },
        "expect": {"end_mrr": [1200, 960], "growth": [0.2, -0.2]},
    },
    "what a customer is worth": {
        "kind": "ltv",
        "given": {"arpa": 100, "gross_margin": 0.8, "customer_churn_rate": 0.02},
        "expect": {"ltv": 4000},
    },
    "worth and cost": {
        "kind": "unit_economics",
        "given": {
            "arpa": 50,
            "gross_margin": 0.75,
            "churn_series": [0.5, 0.5, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01],
            "sales_marketing": 6000,
            "new_customers": 20,
            "customers": 40,
        },
        # mean churn 0.02; 37.50 a month over it; 6000 for 20; 6000 of 750 a month
        "expect": {"ltv": 1875, "cac": 300, "ltv_to_cac": 6.25, "cac_payback_months": 8},
        "alternatives": [
            {"policy": {"ltv_churn_months": 3}, "expect": {"ltv": 3750, "cac": 300, "ltv_to_cac": 12.5}},
            {"policy": {"ltv_churn_months": 12}, "expect": {"ltv": 267.857}},
            {"policy": {"min_customers": 50}, "expect": {"ltv": None, "ltv_to_cac": None, "cac": 300}},
        ],
    },
    "old debts": {
        "kind": "aging",
        "given": {
            "as_of": "2024-03-31",
            "invoices": [
                {"due": "2024-03-31", "balance": 1},
                {"due": "2023-12-31", "balance": 7, "total": 9},
            ],
        },
        "expect": {"current": 1, "d1_30": 0, "d31_60": 0, "d61_90": 0, "d91_plus": 7, "total": 8},
    },
}


def outcome(tmp_path: Path, *cases: dict[str, Any]) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, results and last line of a run."""
    file = tmp_path / "cases.json"
    whole = [{"id": str(number), "tolerance": 0.005, **case} for number, case in enumerate(cases)]
    file.write_text(json.dumps({"form": "analytics-cases/1", "cases": whole}), encoding="utf-8")
    done = CliRunner().invoke(app, ["conformance", "analytics", str(file), "--json"])
    report, _, last = done.stdout.strip().rpartition("\n")
    return done.exit_code, json.loads(report)["cases"], last


@pytest.mark.parametrize("title", CASES)
def test_a_right_case_passes(title, tmp_path):
    code, (case,), last = outcome(tmp_path, CASES[title])
    assert (case["result"], case.get("reason")) == ("pass", None)
    assert (code, last) == (0, "1 passed, 0 failed, 0 unsupported")


def changed(value: Any) -> Any:
    """The same expectation with its first number one higher."""
    if isinstance(value, dict):
        for key, one in value.items():
            other = changed(one)
            if other != one:
                return {**value, key: other}
        return value
    if isinstance(value, list):
        return [changed(value[0]), *value[1:]] if value else value
    return value + 1 if isinstance(value, int | float) and not isinstance(value, bool) else value


@pytest.mark.parametrize("title", [title for title in CASES if title != "no opening"])
def test_a_wrong_figure_fails(title, tmp_path):
    case = {**CASES[title], "expect": changed(CASES[title]["expect"])}
    case.pop("alternatives", None)
    code, (result,), _ = outcome(tmp_path, case)
    assert (code, result["result"]) == (1, "fail")
    assert "expected" in result["reason"]


def test_null_equals_only_null(tmp_path):
    case = {"kind": "rates", "given": {"start_mrr": 0, "new": 50}, "expect": {"nrr": 0}}
    assert outcome(tmp_path, case)[1][0]["result"] == "fail"
    case = {"kind": "normalise", "given": {"amount": 1}, "expect": {"mrr": None}}
    assert outcome(tmp_path, case)[1][0]["result"] == "fail"


WORTH = {
    "arpa": 50,
    "gross_margin": 0.75,
    "customer_churn_rate": 0.02,
    "sales_marketing": 6000,
    "new_customers": 20,
}
FIGURES = {"ltv": 1875, "cac": 300, "ltv_to_cac": 6.25, "cac_payback_months": 8}


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        ({"customer_churn_rate": 0}, {"ltv", "ltv_to_cac"}),
        ({"customer_churn_rate": None}, {"ltv", "ltv_to_cac"}),
        ({"gross_margin": None}, {"ltv", "ltv_to_cac", "cac_payback_months"}),
        ({"customers": 29}, {"ltv", "ltv_to_cac"}),
        ({"customers": 30}, set()),
        ({"sales_marketing": None}, {"cac", "ltv_to_cac", "cac_payback_months"}),
        ({"new_customers": 0}, {"cac", "ltv_to_cac", "cac_payback_months"}),
        ({"arpa": None}, {"ltv", "ltv_to_cac", "cac_payback_months"}),
    ],
)
def test_unit_economics_without_a_part_are_null_and_the_others_stand(change, unknown, tmp_path):
    expect = {name: None if name in unknown else value for name, value in FIGURES.items()}
    case = {"kind": "unit_economics", "given": {**WORTH, **change}, "expect": expect}
    assert outcome(tmp_path, case)[1][0] == {
        "id": "0", "kind": "unit_economics", "title": "", "weight": 1, "result": "pass"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"given": {**WORTH, "colour": "red"}}, "colour"),
        ({"given": {**WORTH, "churn_series": [0.1]}}, "churn_series"),
        ({"given": {**WORTH, "gross_margin": 75}}, "gross_margin"),
        ({"given": {**WORTH, "new_customers": 2.5}}, "new_customers"),
        ({"given": {**WORTH, "arpa": "fifty"}}, "arpa"),
        ({"expect": {"magic_number": 1}}, "magic_number"),
        ({"policy": {"ltv_churn_months": "many"}}, "ltv_churn_months"),
    ],
)
def test_unit_economics_that_are_not_known_are_unsupported_with_the_word(change, word, tmp_path):
    case = {"kind": "ltv", "given": WORTH, "expect": {"ltv": 1875}, **change}
    _, (result,), last = outcome(tmp_path, case)
    assert (result["result"], last) == ("unsupported", "0 passed, 0 failed, 1 unsupported")
    assert word in result["reason"]


def test_a_month_that_is_not_named_must_have_no_movement(tmp_path):
    case = json.loads(json.dumps(CASES["a customer's story"]))
    del case["expect"]["months"]["2024-06"]
    assert outcome(tmp_path, case)[1][0]["result"] == "fail"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "horoscope"}, "horoscope"),
        ({"given": {"amount": 1, "colour": "red"}}, "colour"),
        ({"policy": {"moon": "full"}}, "moon"),
        ({"policy": {"cac_lag_quarters": 5}}, "cac_lag_quarters = 5"),
        ({"expect": {"mood": 1}}, "mood"),
        ({"extra": 1}, "extra"),
        ({"given": {"amount": 1, "interval": "fortnight"}}, "fortnight"),
    ],
)
def test_what_is_not_known_is_unsupported_with_the_word(change, word, tmp_path):
    case = {"kind": "normalise", "given": {"amount": 1}, "expect": {"mrr": 1}, **change}
    code, (result,), last = outcome(tmp_path, case)
    assert (code, result["result"], last) == (0, "unsupported", "0 passed, 0 failed, 1 unsupported")
    assert word in result["reason"]


def test_a_case_of_no_weight_is_run_and_not_counted(tmp_path):
    case = {"kind": "normalise", "given": {"amount": 1}, "expect": {"mrr": 2}, "weight": 0}
    code, (result,), last = outcome(tmp_path, case)
    assert (code, result["result"], last) == (0, "fail", "0 passed, 0 failed, 0 unsupported")


def test_a_wrong_alternative_fails_the_case(tmp_path):
    case = json.loads(json.dumps(CASES["four weeks to the month"]))
    case["alternatives"][0]["expect"]["mrr"] = 40
    assert outcome(tmp_path, case)[1][0]["result"] == "fail"


@pytest.mark.parametrize(
    "content", ["", "[]", '{"form": "billing-case/1", "cases": []}', '{"form": "analytics-cases/1"}']
)
def test_a_file_of_another_form_is_refused(content, tmp_path):
    file = tmp_path / "other.json"
    file.write_text(content, encoding="utf-8")
    assert CliRunner().invoke(app, ["conformance", "analytics", str(file)]).exit_code == 2
