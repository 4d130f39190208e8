"""The runner of billing cases: it passes what is right, notices every wrong number, and guesses nothing."""

import json
import re
from copy import deepcopy
from datetime import date, timedelta
from fractions import Fraction

import pytest

from tajdid.conformance.billing import run, run_case

USD = {"code": "USD", "exponent": 2}
TIERS = [
    {"up_to": "5", "unit_price": "0", "flat_fee": "100"},
    {"up_to": "10", "unit_price": "2", "flat_fee": "50"},
    {"up_to": None, "unit_price": "5", "flat_fee": "0"},
]


def case(kind, given, expect, currency=USD, **convention):
    return {
        "id": "X-1", "title": "made here", "kind": kind, "features": ["made.here"], "currency": currency,
        "convention": convention, "given": given, "expect": expect, "source": [],
    }  # fmt: skip


def priced(price, points, **given):
    return case("charge_model", {"price": price, **given}, {"points": points}, rounding="exact")


def document(given, expect, **convention):
    return case("scenario", given, expect, **convention)


# One worked case for each shape; every number was reckoned by hand.
CASES = [
    priced(
        {"model": "graduated", "tiers": TIERS, "flat_fee_on_zero": "first_tier"},
        [
            {"quantity": "0", "amount": "100", "breakdown": ["100"]},
            {"quantity": "7", "amount": "154", "breakdown": ["100", "54"], "posted": "154.00"},
        ],
    ),
    priced(
        {"model": "graduated", "tiers": TIERS, "maximum_spend": "120"},
        [
            {
                "quantity": "7",
                "amount": "120",
                "detail": [
                    {"gross": "100", "discount": "0", "net": "100"},
                    {"gross": "54", "discount": "34", "net": "20"},
                ],
            }
        ],
    ),
    priced({"model": "volume", "tiers": TIERS}, [{"quantity": "7", "amount": "64"}]),
    priced(
        {"model": "per_unit", "unit_price": "0.335", "minimum_spend": "2"},
        [{"quantity": "3", "amount": "2", "usage_part": "1.005", "true_up": "0.995"}],
    ),
    priced(
        {"model": "per_unit", "unit_price": "2", "maximum_spend": "50"},
        [{"quantity": "10", "amount": "10"}],
        already_billed="40",
    ),
    priced(
        {"model": "graduated", "tiers": TIERS},
        [{"quantity": "3", "amount": "54"}],
        already_rated_quantity="4",
    ),
    priced(
        {
            "model": "percentage",
            "rate_percent": "10",
            "fee_per_event": "1",
            "free_events": 2,
            "free_amount": "50",
        },
        [{"amount": "10", "free_events_used": 1, "free_amount_used": "50"}],
        events=["30", "30", "30", "30"],
    ),
    priced(
        {
            "model": "per_unit",
            "unit_price": "2",
            "window_commitment": "10",
            "overage_factor": "2",
            "true_up": True,
        },
        [{"amount": "28", "per_window": ["10", "18"]}],
        window_quantities=["2", "7"],
    ),
    case(
        "usage_aggregation",
        {
            "aggregation": "unique_count",
            "prorate": "day",
            "carry_over": True,
            "unit_price": "31",
            "events": [
                {"at": "2024-03-02", "add": "a"},
                {"at": "2024-03-05T05:00:00Z", "remove": "a"},
                {"at": "2024-04-16", "add": "b"},
            ],
            "periods": [
                {"start": "2024-03-01", "end": "2024-04-01", "opening": "1"},
                {"start": "2024-04-01", "end": "2024-05-01"},
            ],
        },
        {
            "periods": [
                {
                    "amount": "34.00",
                    "units_at_end": "1",
                    "per_event": ["30.00", "-27.00"],
                    "running_total_after_event": ["61.00", "34.00"],
                },
                {"amount": "46.50", "closing_level": "2", "per_event": ["15.50"]},
            ]
        },
    ),
    case(
        "proration",
        {
            "period": ["2025-01-01", "2025-02-01"],
            "change_at": "2025-01-16",
            "lines": [{"full_amount": "-31.00"}],
        },
        {"factor": "15/31", "lines": [{"amount": "-15.00"}], "net": "-15.00"},
        proration="day_after_change",
        rounding="half_up",
    ),
    case(
        "proration",
        {
            "period": ["2025-01-01", "2025-02-01"],
            "change_at": "2025-01-16",
            "lines": [{"full_amount": "-31.00"}],
            "full_lines": [{"full_amount": "300.00"}],
            "new_interval": "P1Y",
        },
        {
            "lines": [{"amount": "-16.00"}, {"amount": "300.00"}],
            "net": "284.00",
            "new_period": ["2025-01-16", "2026-01-16"],
        },
        proration="day_open",
    ),
    case(
        "proration",
        {"first_day": "2021-02-27", "last_day": "2021-02-28"},
        {"actual_over_actual": ["2/28"], "actual_over_30": ["2/30"], "strict_30_over_360": ["4/30"]},
        rounding="exact",
    ),
    case(
        "schedule",
        {"start": "2024-01-31", "anchor": "2024-01-31", "interval": "P1M"},
        {"boundaries": ["2024-01-31", "2024-02-29", "2024-03-31"]},
    ),
    case(
        "discount",
        {"lines": ["10.00", "20.00"], "discounts": [{"percent": "10"}, {"amount": "3.00"}]},
        {"total_discount": "6.00", "per_line": ["2.00", "4.00"], "net": "24.00"},
    ),
    case("discount", {"amount": "0.05", "weights": ["1", "1", "1"]}, {"per_line": ["0.02", "0.02", "0.01"]}),
    case(
        "tax",
        {"lines": [{"net": "1.02", "tax_percent": "21"}] * 3},
        {"per_line_tax": ["0.21", "0.21", "0.21"], "total_tax": "0.63", "total": "3.69"},
    ),
    case(
        "tax",
        {"lines": [{"net": "1.02", "tax_percent": "21"}] * 3},
        {"per_line_tax": ["0.22", "0.21", "0.21"], "total_tax": "0.64", "total": "3.70"},
        tax_scope="group",
    ),
    case(
        "tax",
        {"lines": [{"net": "1.02", "tax_percent": "21"}] * 3},
        {
            "groups": [{"tax_percent": "21", "net": "3.06", "tax": "0.64"}],
            "total_tax": "0.64",
            "total": "3.70",
        },
    ),
    case(
        "rounding",
        {"values": ["0.0005", "-0.0015"], "mode": "half_up"},
        {"posted": ["0.001", "-0.002"], "minor_units": [1, -2]},
        currency={"code": "KWD", "exponent": 3},
    ),
    document(
        {
            "lines": [{"net": "10.00", "tax": "1.00"}, {"net": "20.00", "tax": "2.00"}],
            "credit": ["5.00", "20.00"],
        },
        {
            "credit_notes": [
                {
                    "lines": [
                        {"net": "5.00", "tax": "0.50", "total": "5.50"},
                        {"net": "20.00", "tax": "2.00", "total": "22.00"},
                    ],
                    "net": "25.00",
                    "tax": "2.50",
                    "total": "27.50",
                }
            ]
        },
    ),
    document(
        {
            "lines": [
                {"label": "plan", "amount": "100.00", "tax_percent": "10"},
                {"label": "cards", "amount": "50.00", "tax_percent": "20"},
            ],
            "coupon": "15.00",
        },
        {
            "per_line_discount": ["10.00", "5.00"],
            "per_line_tax": ["9.00", "9.00"],
            "invoices": [{"subtotal": "150.00", "discount": "15.00", "tax": "18.00", "total": "153.00"}],
        },
    ),
    document(
        {"net": "10.00", "tax_percent": "20", "do": "void"},
        {
            "invoices": [
                {"lines": [{"amount": "10.00"}], "subtotal": "10.00", "tax": "2.00", "total": "12.00"}
            ],
            "credit_notes": [{"net": "10.00", "tax": "2.00", "total": "12.00", "refunded": "0.00"}],
        },
    ),
    document(
        {"failed_at": "2024-02-27", "gaps_days": [2, 1]},
        {"attempts": ["2024-02-29", "2024-03-01"], "states": [{"at": "2024-02-27", "state": "past due"}]},
    ),
    document({"credits": "1.005", "rate": "2"}, {"stored": "1.01", "invoice_total": "2.02"}),
    document(
        {"grants": [{"amount": "100.00"}], "draws": ["25.00", "35.00"]}, {"left_after": ["75.00", "40.00"]}
    ),
    document(
        {"price": "19.95", "cases": [{"from": "2023-05-15", "to": "2023-05-23"}]},
        {"credits": ["5.32"], "days": [8]},
        proration="fixed_30",
    ),
]


@pytest.mark.parametrize(
    "worked", CASES, ids=lambda worked: f"{worked['kind']}-{'-'.join(worked['given'])[:40]}"
)
def test_a_worked_case_passes(worked):
    result = run_case(worked)
    assert (result.result, result.reason) == ("pass", "")


NUMBER = re.compile(r"-?\d+(\.\d+)?")


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("label", "state", "quantity"):
                yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield path, value


def one_more(value):
    """The value moved by one in its last place, a date by a day, a fraction by one in its numerator."""
    if isinstance(value, int):
        return value + 1
    if "/" in value:
        num, den = value.split("/")
        return f"{int(num) + 1}/{den}"
    if NUMBER.fullmatch(value):
        decimals = len(value.partition(".")[2])
        moved = Fraction(value) + Fraction(1, 10**decimals)
        whole = int(abs(moved) * 10**decimals)
        digits = str(whole).rjust(decimals + 1, "0")
        text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
        return f"-{text}" if moved < 0 else text
    return (date.fromisoformat(value) + timedelta(days=1)).isoformat()


def test_lines_of_a_document_may_come_in_any_order():
    credited = next(worked for worked in CASES if "credit" in worked["given"])
    note = credited["expect"]["credit_notes"][0]
    turned = {**note, "lines": note["lines"][::-1]}
    assert run_case({**credited, "expect": {"credit_notes": [turned]}}).result == "pass"
    partial = {"credit_notes": [{"partial": True, "lines": note["lines"][1:]}]}
    assert run_case({**credited, "expect": partial}).result == "pass"


def changed_by_one(worked):
    for path, value in leaves(worked["expect"]):
        if path[0] == "states":
            continue
        changed = deepcopy(worked)
        target = changed["expect"]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = one_more(value)
        yield path, changed


@pytest.mark.parametrize(
    "worked", CASES, ids=lambda worked: f"{worked['kind']}-{'-'.join(worked['given'])[:40]}"
)
def test_each_expected_number_changed_by_one_fails(worked):
    changes = list(changed_by_one(worked))
    assert changes
    for path, changed in changes:
        result = run_case(changed)
        assert result.result == "fail", (path, result)
        assert "expected" in result.reason


def test_a_missing_or_further_entry_fails():
    worked = CASES[12]
    for boundaries in (
        ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-29"],
        ["2024-01-31", "2024-02-28"],
    ):
        assert run_case({**worked, "expect": {"boundaries": boundaries}}).result == "fail"
    credited = next(worked for worked in CASES if "credit" in worked["given"])
    note = credited["expect"]["credit_notes"][0]
    for notes in ([], [note, note], [{"lines": note["lines"][:1]}]):
        assert run_case({**credited, "expect": {"credit_notes": notes}}).result == "fail"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "oracle"}, "oracle"),
        ({"convention": {"proration": "moon"}}, "moon"),
        ({"convention": {"weather": "fine"}}, "weather"),
        ({"convention": {"rounding": "nearest"}}, "nearest"),
        ({"convention": {"day_count": "lunar"}}, "day_count"),
        ({"currency": {"code": "XXX", "exponent": 2}}, "XXX"),
        ({"currency": {"code": "JPY", "exponent": 2}}, "JPY"),
        ({"surprise": 1}, "surprise"),
        ({"given": {"start": "2024-01-31", "anchor": "2024-01-31", "interval": "P1M", "moon": 1}}, "moon"),
        ({"given": {"start": "2024-01-31", "anchor": "2024-01-31", "interval": "P1X"}}, "P1X"),
        ({"given": {"start": "2024-01-31", "anchor": "2024-01-31"}}, "interval"),
        ({"given": {"start": "tomorrow", "anchor": "2024-01-31", "interval": "P1M"}}, "tomorrow"),
        ({"given": []}, "given"),
        ({"expect": {"boundaries": ["2024-01-31"], "luck": 7}}, "luck"),
        ({"expect": {}}, "nothing"),
        (
            {
                "expect": {
                    "boundaries": ["2024-01-31"],
                    "alternatives": [{"set": {"moon": 1}, "boundaries": []}],
                }
            },
            "moon",
        ),
    ],
)
def test_what_is_not_understood_is_unsupported_and_named(change, word):
    result = run_case({**CASES[12], **change})
    assert result.result == "unsupported"
    assert word in result.reason


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model": "matrix", "tiers": TIERS}, "matrix"),
        ({"model": "volume", "tiers": TIERS, "magic": 1}, "magic"),
        ({"model": "volume", "tiers": [{**TIERS[2], "magic": 1}]}, "magic"),
        ({"model": "volume", "tiers": TIERS[:2]}, "bad_tiers"),
        ({"model": "per_unit", "unit_price": 0.1}, "float"),
    ],
)
def test_an_unknown_or_unsound_price_is_unsupported(change, word):
    result = run_case(priced(change, [{"quantity": "1", "amount": "1"}]))
    assert result.result == "unsupported"
    assert word in result.reason


def test_alternatives_are_compared_too():
    blocks = [
        {"block_size": "10", "max_blocks": 1, "block_price": "1"},
        {"block_size": "10", "block_price": "2"},
    ]
    worked = priced(
        {"model": "tiered_block", "policy": "top_tier", "tiers": blocks}, [{"quantity": "11", "amount": "4"}]
    )
    other = {"set": {"policy": "all_tiers"}, "points": [{"quantity": "11", "amount": "3"}]}
    worked["expect"]["alternatives"] = [other]
    assert run_case(worked).result == "pass"
    worked["expect"]["alternatives"] = [{**other, "points": [{"quantity": "11", "amount": "4"}]}]
    assert run_case(worked).result == "fail"
    worked["expect"]["alternatives"] = [{**other, "set": {"policy": "middle_tier"}}]
    assert run_case(worked).result == "unsupported"


def test_the_answer_never_depends_on_names_and_remarks():
    for worked in CASES:
        renamed = {
            **worked,
            "id": "Z-99",
            "title": "other",
            "features": [],
            "source": ["x"],
            "note": "n",
            "derive": [],
        }
        assert run_case(renamed).result == "pass"


# The command.


def write(folder, cases, form="billing-case/1", name="cases.json"):
    path = folder / name
    path.write_text(
        json.dumps({"form": form, "set": "made", "count": len(cases), "cases": cases}), encoding="utf-8"
    )
    return path


def test_the_command_counts_and_ends_with_one_line(tmp_path, capsys):
    assert run([write(tmp_path, CASES)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"{len(CASES)} passed, 0 failed, 0 unsupported"
    assert any(re.fullmatch(r"made\.here +\d+ +0 +0", line) for line in printed)


def test_exit_codes_tell_failed_from_unsupported(tmp_path, capsys):
    wrong = deepcopy(CASES[12])
    wrong["expect"]["boundaries"][1] = "2024-02-28"
    strange = {**CASES[12], "kind": "oracle"}
    uncounted = {**wrong, "weight": 0}
    assert run([write(tmp_path, [CASES[12], wrong, strange])]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed, 1 unsupported"
    assert run([write(tmp_path, [CASES[12], strange])]) == 0
    assert run([write(tmp_path, [CASES[12], strange])], strict=True) == 3
    capsys.readouterr()
    assert run([write(tmp_path, [CASES[12], uncounted])]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 unsupported"


def test_json_holds_each_case_and_the_counts(tmp_path, capsys):
    run([write(tmp_path, [CASES[12], {**CASES[12], "kind": "oracle", "id": "X-2"}])], as_json=True)
    text, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    assert last == "1 passed, 0 failed, 1 unsupported"
    told = json.loads(text)
    assert [(one["id"], one["result"]) for one in told["cases"]] == [("X-1", "pass"), ("X-2", "unsupported")]
    assert told["kinds"]["schedule"] == {"pass": 1, "fail": 0, "unsupported": 0}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "not json", '{"form": "billing-case/1"}', '{"form": "billing-case/2", "cases": []}'],
)
def test_a_file_of_another_form_is_refused_and_nothing_is_run(tmp_path, capsys, content):
    other = tmp_path / "other.json"
    other.write_text(content, encoding="utf-8")
    assert run([write(tmp_path, CASES), other]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "other.json" in told.err
