"""Stories told to the engine: acts on a set clock, and every number of the invoices compared."""

from copy import deepcopy

import pytest

from tajdid.conformance.billing import run_case

EUR = {"code": "EUR", "exponent": 2}


def story(given, expect, currency=EUR, **convention):
    return {
        "id": "S-1",
        "kind": "scenario",
        "features": [],
        "currency": currency,
        "convention": convention,
        "given": given,
        "expect": expect,
    }


def invoice(at, *lines, **sums):
    """Lines are (amount, period start, period end)."""
    return {
        "at": at,
        "lines": [
            {"label": "line", "period": [start, end], "amount": amount} for amount, start, end in lines
        ],
        **sums,
    }


UPGRADE = story(
    {
        "old": {"price": "28.00"},
        "new": {"price": "56.00"},
        "period": ["2025-02-01", "2025-03-01"],
        "change_at": "2025-02-15",
        "tax_percent": "20",
    },
    {
        "invoices": [
            invoice(
                "2025-02-15",
                ("28.00", "2025-02-15", "2025-03-01"),
                ("-14.00", "2025-02-15", "2025-03-01"),
                subtotal="14.00",
                tax="2.80",
                total="16.80",
            )
        ],
        "lines": [{"label": "new", "amount": "28.00"}, {"label": "old", "amount": "-14.00"}],
        "net": "14.00",
        "next_invoice": "2025-04-01",
    },
)

REFUND = {
    "price": "28.00",
    "tax_percent": "20",
    "anchor": "calendar",
    "start": "2025-02-01",
    "cancel": "2025-02-15",
    "on_cancel": "refund",
}


def refund(paid, refunded, credited, due, **sums):
    """A month of 33.60, canceled when half of it is used."""
    note = {"at": "2025-02-15", "total": "16.80", "refunded": refunded, "credited": credited}
    given = REFUND | ({"paid": paid} if paid else {})
    return story(given, {"credit_notes": [note], "final_invoice_due": due, **sums})


STORIES = {
    "refund of all that was paid and not used": refund("33.60", "16.80", "0.00", "0.00"),
    "refund of a part": refund("20.00", "3.20", "13.60", "0.00", account_credit="0.00"),
    "no refund of what was not paid": refund(None, "0.00", "16.80", "16.80"),
    "a credit kept pays the usage of the end": story(
        REFUND | {"paid": "20.00", "usage_invoice": "12.00"},
        {
            "credit_notes": [{"at": "2025-02-15", "total": "16.80", "refunded": "3.20", "credited": "13.60"}],
            "final_invoice_due": "0.00",
            "account_credit": "1.60",
        },
        credit_target="balance",
    ),
    "an upgrade credits the old rest and charges the new": UPGRADE,
    "the 31st is not lost in February": story(
        {
            "price": "31",
            "anchor": "anniversary",
            "timeline": [{"at": "2024-01-31", "do": "start"}, {"at": "2024-03-31", "do": "bill"}],
        },
        {
            "invoices": [
                invoice("2024-01-31", ("31", "2024-01-31", "2024-02-29"), subtotal="31"),
                invoice("2024-02-29", ("31", "2024-02-29", "2024-03-31"), subtotal="31"),
                invoice("2024-03-31", ("31", "2024-03-31", "2024-04-30"), subtotal="31"),
            ]
        },
        currency={"code": "JPY", "exponent": 0},
    ),
    "seats added in the middle pay for the days left": story(
        {
            "unit_price": "3.000",
            "billing": "in_advance",
            "billing_day": 1,
            "timeline": [
                {"at": "2024-06-01", "do": "start", "units": 2},
                {"at": "2024-06-16", "units": 4},
                {"at": "2024-07-01", "do": "bill"},
            ],
        },
        {
            "invoices": [
                invoice("2024-06-01", ("6.000", "2024-06-01", "2024-07-01")),
                invoice(
                    "2024-06-16",
                    ("-3.000", "2024-06-16", "2024-07-01"),
                    ("6.000", "2024-06-16", "2024-07-01"),
                    subtotal="3.000",
                ),
                invoice("2024-07-01", ("12.000", "2024-07-01", "2024-08-01")),
            ]
        },
        currency={"code": "KWD", "exponent": 3},
    ),
    "late usage is billed with the next regular invoice": story(
        {
            "unit_price": "0.01",
            "anchor": "calendar",
            "start": "2024-05-01",
            "events": [
                {"usage_date": "2024-05-10", "value": "100"},
                {"usage_date": "2024-05-20", "value": "30", "recorded_at": "2024-06-03"},
                {"usage_date": "2024-06-10", "value": "7"},
            ],
        },
        {
            "invoices": [
                invoice("2024-06-01", ("1.00", "2024-05-01", "2024-06-01")),
                invoice(
                    "2024-07-01", ("0.30", "2024-05-01", "2024-06-01"), ("0.07", "2024-06-01", "2024-07-01")
                ),
            ]
        },
    ),
    "usage that comes too late is left out with its reason": story(
        {
            "unit_price": "0.01",
            "anchor": "calendar",
            "start": "2024-05-01",
            "events": [
                {"usage_date": "2024-05-10", "value": "100"},
                {"usage_date": "2024-05-20", "value": "30", "recorded_at": "2024-06-03"},
                {"usage_date": "2024-05-21", "value": "25", "recorded_at": "2024-06-09"},
                {"usage_date": "2024-06-10", "value": "7"},
            ],
        },
        {
            "invoices": [
                invoice("2024-06-01", ("1.00", "2024-05-01", "2024-06-01")),
                invoice(
                    "2024-07-01", ("0.30", "2024-05-01", "2024-06-01"), ("0.07", "2024-06-01", "2024-07-01")
                ),
            ],
            "not_billed": {"quantity": "25", "reason": "it came a week after its period"},
        },
        late_usage="days:5",
    ),
    "usage of the day of the end is left out": story(
        {
            "unit_price": "1.00",
            "anchor": "calendar",
            "start": "2024-05-01",
            "cancel": "2024-05-10",
            "events": [
                {"usage_date": "2024-05-09", "value": "3"},
                {"usage_date": "2024-05-10", "value": "2"},
            ],
        },
        {
            "invoices": [invoice("2024-05-10", ("3.00", "2024-05-01", "2024-05-10"))],
            "not_billed": [{"usage_date": "2024-05-10", "value": "2", "reason": "after the end"}],
        },
        end_day_usage="exclude",
    ),
    "blocks fill the tier that is reached": story(
        {
            "price": {
                "model": "tiered_block",
                "policy": "top_tier",
                "tiers": [
                    {"block_size": "10", "max_blocks": "2", "block_price": "1.00"},
                    {"block_size": "100", "max_blocks": None, "block_price": "0.50"},
                ],
            },
            "period": ["2024-05-01", "2024-06-01"],
            "events": [
                {"usage_date": "2024-05-10", "value": "15"},
                {"usage_date": "2024-05-11", "value": "120"},
            ],
        },
        {"invoices": [invoice("2024-06-01", ("1.00", "2024-05-01", "2024-06-01"), subtotal="1.00")]},
    ),
    "a percentage looks at each event in its order": story(
        {
            "price": {
                "model": "percentage",
                "rate_percent": "10",
                "fee_per_event": "0.50",
                "free_events": "1",
                "max_per_event": "3.00",
            },
            "period": ["2024-05-01", "2024-06-01"],
            "events": [
                {"usage_date": "2024-05-10", "value": "9.99"},
                {"usage_date": "2024-05-11", "value": "10"},
                {"usage_date": "2024-05-12", "value": "40"},
            ],
        },
        {"invoices": [invoice("2024-06-01", ("4.50", "2024-05-01", "2024-06-01"))]},
    ),
    "graduated rates within a least and a most": story(
        {
            "price": {
                "model": "graduated_percentage",
                "tiers": [{"up_to": "100", "rate_percent": "5"}, {"up_to": None, "rate_percent": "2"}],
                "maximum_spend": "5.50",
            },
            "period": ["2024-05-01", "2024-06-01"],
            "events": [{"usage_date": "2024-05-10", "value": "150"}],
        },
        {"invoices": [invoice("2024-06-01", ("5.50", "2024-05-01", "2024-06-01"))]},
    ),
    "dynamic events bring their amounts": story(
        {
            "price": {"model": "dynamic"},
            "period": ["2024-05-01", "2024-06-01"],
            "events": [
                {"usage_date": "2024-05-10", "value": "1.25"},
                {"usage_date": "2024-05-11", "value": "0.10"},
            ],
        },
        {"invoices": [invoice("2024-06-01", ("1.35", "2024-05-01", "2024-06-01"))]},
    ),
    "a cancellation becomes a credit note where notes are asked for": story(
        {
            "price": "30.00",
            "tax_percent": "10",
            "start": "2024-06-01",
            "cancel": "2024-06-11",
            "anchor": "calendar",
        },
        {
            "invoices": [
                invoice("2024-06-01", ("30.00", "2024-06-01", "2024-07-01"), tax="3.00", total="33.00")
            ],
            "credit_notes": [
                {"at": "2024-06-11", "of": "plan", "net": "20.00", "tax": "2.00", "total": "22.00"}
            ],
        },
        credit_document="credit_note",
    ),
    "a start and a cancellation on one day give an invoice and its credit": story(
        {"price": "30.00", "start": "2024-06-01", "cancel": "2024-06-01", "anchor": "calendar"},
        {
            "invoices": [
                invoice("2024-06-01", ("30.00", "2024-06-01", "2024-07-01"), subtotal="30.00", total="30.00")
            ],
            "credit_notes": [{"at": "2024-06-01", "total": "30.00", "left": "0.00"}],
        },
    ),
    "a term that ends makes its last period a stub": story(
        {"price": "31.00", "start": "2024-01-01", "end": "2024-02-11", "billing": "in_advance"},
        {
            "invoices": [
                invoice("2024-01-01", ("31.00", "2024-01-01", "2024-02-01")),
                invoice("2024-02-01", ("10.69", "2024-02-01", "2024-02-11")),
            ]
        },
    ),
    "children are invoiced to their parent": story(
        {"children": [{"id": "a", "charge": "1.50"}, {"id": "b", "charge": "2.25"}]},
        {
            "invoices": [
                {"account": "parent", "lines": [{"amount": "1.50"}, {"amount": "2.25"}], "subtotal": "3.75"}
            ]
        },
    ),
    "subscriptions of a customer share an invoice": story(
        {
            "subscriptions": [
                {"price": "10.00", "start": "2025-04-01", "net_days": 30},
                {"price": "30.00", "start": "2025-04-11", "net_days": 30},
            ],
            "anchor": "calendar",
            "tax_percent": "20",
        },
        {
            "invoices": [
                invoice("2025-04-01", ("10.00", "2025-04-01", "2025-05-01")),
                invoice("2025-04-11", ("20.00", "2025-04-11", "2025-05-01"), total="24.00"),
                invoice(
                    "2025-05-01",
                    ("10.00", "2025-05-01", "2025-06-01"),
                    ("30.00", "2025-05-01", "2025-06-01"),
                    tax="8.00",
                ),
            ]
        },
    ),
    "a paused month costs nothing": story(
        {
            "price": "29.00",
            "anchor": "calendar",
            "timeline": [
                {"at": "2024-01-01", "do": "start"},
                {"at": "2024-02-01", "do": "pause"},
                {"at": "2024-03-01", "do": "resume"},
            ],
        },
        {
            "invoices": [
                invoice("2024-01-01", ("29.00", "2024-01-01", "2024-02-01")),
                invoice("2024-03-01", ("29.00", "2024-03-01", "2024-04-01")),
            ]
        },
    ),
    "fewer seats wait for the period end where the policy says so": story(
        {
            "unit_price": "10.00",
            "anchor": "calendar",
            "timeline": [
                {"at": "2025-04-01", "do": "start", "units": 10},
                {"at": "2025-04-16", "units": 6},
                {"at": "2025-05-01", "do": "bill"},
            ],
        },
        {
            "invoices": [
                invoice("2025-04-01", ("100.00", "2025-04-01", "2025-05-01")),
                invoice("2025-05-01", ("60.00", "2025-05-01", "2025-06-01")),
            ],
            "credit_notes": [],
        },
        seat_decrease="period_end",
    ),
    "a price names its flat fee on zero": story(
        {
            "price": {
                "model": "graduated",
                "tiers": [
                    {"up_to": "10", "unit_price": "0", "flat_fee": "5"},
                    {"up_to": None, "unit_price": "1"},
                ],
                "flat_fee_on_zero": "first_tier",
            },
            "anchor": "calendar",
            "start": "2025-04-01",
            "events": [{"usage_date": "2025-05-05", "value": "12"}],
            "timeline": [{"at": "2025-06-01", "do": "bill"}],
        },
        {
            "invoices": [
                invoice("2025-05-01", ("5.00", "2025-04-01", "2025-05-01")),
                invoice("2025-06-01", ("7.00", "2025-05-01", "2025-06-01")),
            ]
        },
    ),
    "a term that ends may be owed whole": story(
        {"price": "30.00", "start": "2025-04-01", "end": "2025-05-11", "anchor": "calendar"},
        {
            "invoices": [
                invoice("2025-04-01", ("30.00", "2025-04-01", "2025-05-01")),
                {"at": "2025-05-01", "lines": [{"label": "all of May", "amount": "30.00"}]},
            ]
        },
        term_end="full",
    ),
    "what was paid comes back where all is paid": story(
        {
            "price": "30.00",
            "anchor": "calendar",
            "start": "2025-04-01",
            "cancel": "2025-05-11",
            "payments": "all paid",
            "on_cancel": "refund",
        },
        {
            "credit_notes": [{"at": "2025-05-11", "total": "20.32", "refunded": "20.32", "credited": "0.00"}],
            "credits": "20.32",
            "final_invoice_due": "0.00",
        },
    ),
    "late usage is invoiced on the day it comes where nothing else is to come": story(
        {
            "unit_price": "1",
            "anchor": "calendar",
            "timezone": "Asia/Tokyo",
            "start": "2025-05-01",
            "cancel": "2025-05-16",
            "events": [
                {"usage_date": "2025-05-10", "value": "4"},
                {"usage_date": "2025-05-12", "value": "3", "recorded_at": "2025-05-20"},
            ],
        },
        {
            "invoices": [
                invoice("2025-05-16", ("4.00", "2025-05-01", "2025-05-16")),
                invoice("2025-05-20", ("3.00", "2025-05-01", "2025-05-16")),
            ]
        },
    ),
    "a commitment of a period holds on any plan": story(
        {
            "plans": [{"id": "small", "price": "100.00"}, {"id": "large", "price": "200.00"}],
            "commitment": "1000.00",
            "anchor": "calendar",
            "billing": "in_arrears",
            "timeline": [
                {"at": "2025-04-01", "do": "start small"},
                {"at": "2025-04-16", "do": "change to large"},
                {"at": "2025-06-01", "do": "bill"},
            ],
        },
        {
            "invoices": [
                invoice(
                    "2025-05-01",
                    ("50.00", "2025-04-01", "2025-04-16"),
                    ("100.00", "2025-04-16", "2025-05-01"),
                    ("850.00", "2025-04-01", "2025-05-01"),
                ),
                invoice(
                    "2025-06-01",
                    ("200.00", "2025-05-01", "2025-06-01"),
                    ("800.00", "2025-05-01", "2025-06-01"),
                ),
            ],
            "true_ups": ["850.00", "800.00"],
        },
    ),
    "usage and seats count towards a commitment": story(
        {
            "fee": "100.00",
            "unit_price": "1",
            "commitment": "1000.00",
            "start": "2025-04-16",
            "anchor": "calendar",
            "billing": "in_arrears",
            "events": [{"usage_date": "2025-04-20", "value": "200"}],
            "timeline": [{"at": "2025-05-01", "do": "bill"}],
        },
        {"true_ups": ["250.00"], "next_invoice": "2025-06-01"},
    ),
    "a discount of the item is shared over the parts of two plans": story(
        {
            "old": {"components": ["100.00", "200.00"]},
            "new": {"components": ["300.00", "200.00"]},
            "discount": "90.00",
            "tax_percent": "20",
            "period": ["2025-06-01", "2025-07-01"],
            "change_at": "2025-06-16",
            "billing": "in_advance",
        },
        {"credit_lines": ["35.00", "70.00"], "charge_lines": ["123.00", "82.00"], "net": "100.00"},
    ),
    "each plan has its own share off": story(
        {
            "old": {"price": "100.00", "discount_percent": "10"},
            "new": {"price": "200.00", "discount_percent": "20"},
            "period": ["2025-04-01", "2025-05-01"],
            "change_at": "2025-04-16",
        },
        {"lines": [{"amount": "-45.00"}, {"amount": "80.00"}], "net": "35.00"},
    ),
    "what was invoiced before counts as billed": story(
        {
            "unit_price": "0.01",
            "anchor": "calendar",
            "already_invoiced": [
                {"period": ["2025-05-01", "2025-06-01"], "quantity": "100", "amount": "1.00"}
            ],
            "events": [{"usage_date": "2025-05-20", "value": "30", "recorded_at": "2025-06-03"}],
            "timeline": [{"at": "2025-07-01", "do": "bill"}],
        },
        {"invoices": [invoice("2025-07-01", ("0.30", "2025-05-01", "2025-06-01"))]},
    ),
    "seats that were invoiced before are credited": story(
        {
            "unit_price": "10.00",
            "anchor": "calendar",
            "already_invoiced": [
                {"period": ["2025-04-01", "2025-05-01"], "quantity": "5", "amount": "50.00"}
            ],
            "timeline": [{"at": "2025-04-16", "units": 8}],
        },
        {
            "invoices": [
                invoice(
                    "2025-04-16",
                    ("-25.00", "2025-04-16", "2025-05-01"),
                    ("40.00", "2025-04-16", "2025-05-01"),
                )
            ]
        },
    ),
    "usage as one quantity, and as amounts": story(
        {
            "fee": "30.00",
            "usage": {"unit_price": "0.5", "quantity": "9"},
            "period": ["2025-04-01", "2025-05-01"],
            "billing": "in_arrears",
        },
        {
            "invoices": [
                invoice(
                    "2025-05-01", ("30.00", "2025-04-01", "2025-05-01"), ("4.50", "2025-04-01", "2025-05-01")
                )
            ]
        },
    ),
    "usage that brings its amount": story(
        {
            "fee": "30.00",
            "usage": [{"at": "2025-04-10", "amount": "12.34"}],
            "period": ["2025-04-01", "2025-05-01"],
            "billing": "in_arrears",
        },
        {
            "invoices": [
                invoice(
                    "2025-05-01", ("30.00", "2025-04-01", "2025-05-01"), ("12.34", "2025-04-01", "2025-05-01")
                )
            ]
        },
    ),
    "one entry is one fact": story(
        {
            "plans": [{"id": "A", "unit_price": "10.00"}, {"id": "B", "unit_price": "15.00"}],
            "anchor": "calendar",
            "timeline": [
                {"at": "2025-04-01", "do": "start A", "units": 2},
                {"at": "2025-04-16", "do": "change to B", "units": 4},
            ],
        },
        {
            "invoices": [
                invoice("2025-04-01", ("20.00", "2025-04-01", "2025-05-01")),
                invoice(
                    "2025-04-16",
                    ("-10.00", "2025-04-16", "2025-05-01"),
                    ("30.00", "2025-04-16", "2025-05-01"),
                    discount="0.00",
                    total="20.00",
                ),
            ]
        },
    ),
    "a run starts nothing where a period is running": story(
        {
            "old": {"unit_price": "1"},
            "new": {"unit_price": "2"},
            "period": ["2025-04-01", "2025-05-01"],
            "change_at": "2025-04-16",
            "events": [
                {"usage_date": "2025-04-10", "value": "5"},
                {"usage_date": "2025-04-11", "value": "3", "recorded_at": "2025-05-03"},
            ],
            "timeline": [{"at": "2025-06-01", "do": "bill"}],
        },
        {
            "invoices": [
                invoice("2025-05-01", ("5.00", "2025-04-01", "2025-04-16")),
                invoice("2025-06-01", ("3.00", "2025-04-01", "2025-04-16")),
            ]
        },
    ),
    "several stories at once answer in their order": story(
        {
            "price": "30.00",
            "start": "2025-04-01",
            "anchor": "calendar",
            "cases": [{"cancel": "2025-04-11"}, {"cancel": "2025-04-21"}],
        },
        {
            "credits": ["20.00", "10.00"],
            "credit_notes": [
                [{"at": "2025-04-11", "total": "20.00"}],
                [{"at": "2025-04-21", "total": "10.00"}],
            ],
        },
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_billed_as_a_bookkeeper_would(name):
    result = run_case(STORIES[name])
    assert (result.result, result.reason) == ("pass", "")


@pytest.mark.parametrize(
    "path",
    [
        ("invoices", 0, "lines", 0, "amount"),
        ("invoices", 0, "lines", 1, "period", 0),
        ("invoices", 0, "subtotal"),
        ("invoices", 0, "tax"),
        ("invoices", 0, "total"),
        ("lines", 1, "amount"),
        ("net",),
        ("next_invoice",),
    ],
)
def test_a_wrong_number_in_a_story_fails(path):
    changed = deepcopy(UPGRADE)
    target = changed["expect"]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = {"-": "2025-02-16", ".": "99.99"}["-" if target[path[-1]].startswith("2025") else "."]
    assert run_case(changed).result == "fail"


def test_an_invoice_that_is_missing_or_not_expected_fails():
    for invoices in ([], [invoice("2025-02-14", ("28.00", "2025-02-15", "2025-03-01"))]):
        assert run_case({**UPGRADE, "expect": {"invoices": invoices}}).result == "fail"
    one_line = deepcopy(UPGRADE["expect"]["invoices"])
    one_line[0]["lines"] = one_line[0]["lines"][:1]
    assert run_case({**UPGRADE, "expect": {"invoices": one_line}}).result == "fail"
    assert run_case({**UPGRADE, "expect": {"invoices": [one_line[0] | {"partial": True}]}}).result == "pass"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"given": {"price": "1.00", "start": "2024-01-01", "moon": "full"}}, "moon"),
        ({"given": {"price": "1.00", "timeline": [{"at": "2024-01-01", "do": "dance"}]}}, "dance"),
        ({"given": {"price": "1.00", "timeline": [{"at": "2024-01-01", "do": "start X"}]}}, "X"),
        ({"given": {"price": "1.00", "timeline": [{"at": "2024-01-01"}]}}, "nothing"),
        ({"given": {"price": "1.00"}}, "beginning"),
        ({"given": {"start": "2024-01-01"}}, "price"),
        ({"given": {"price": {"model": "matrix"}, "start": "2024-01-01", "events": []}}, "matrix"),
        (
            {"given": {"price": "1.00", "start": "2024-01-01", "timezone": "Moon/Tranquility"}},
            "unknown_time_zone",
        ),
        ({"given": {"price": "1.00", "start": "2024-01-01", "tax_percent": "101"}}, "bad_rate"),
        ({"given": {"unit_price": "1.00", "start": "2024-01-01"}}, "units"),
        ({"given": {"price": "1.00", "start": "2024-01-01", "paid": "1.01"}}, "paid"),
        ({"given": {"price": "1.00", "start": "2024-01-01", "usage_invoice": "1.00"}}, "usage_invoice"),
        ({"given": {"price": "1.00", "start": "2024-01-01", "payments": "some"}}, "payments"),
        (
            {
                "given": {
                    "price": "1.00",
                    "already_invoiced": [{"period": ["2024-01-01", "2024-02-01"], "amount": "2.00"}],
                }
            },
            "already_invoiced",
        ),
        (
            {
                "given": {
                    "subscriptions": [
                        {"price": "1.00", "start": "2024-01-01", "net_days": 30},
                        {"price": "1.00", "start": "2024-01-01", "net_days": 14},
                    ]
                }
            },
            "payment terms",
        ),
        ({"convention": {"pool_effect": "year_end"}}, "pool_effect"),
        ({"expect": {"weather": "fine"}}, "weather"),
    ],
)
def test_a_story_that_is_not_understood_is_unsupported_and_named(change, word):
    result = run_case({**UPGRADE, **change})
    assert result.result == "unsupported"
    assert word in result.reason


GRACE = story(
    {
        "fee": "31.00",
        "unit_price": "1",
        "billing": "in_advance",
        "anchor": "calendar",
        "start": "2025-01-01",
        "events": [
            {"usage_date": "2025-01-10", "value": "5"},
            {"usage_date": "2025-01-20", "value": "7", "recorded_at": "2025-02-03T10:00:00Z"},
            {"usage_date": "2025-01-21", "value": "9", "recorded_at": "2025-02-04T10:00:00Z"},
        ],
    },
    {
        "invoices": [
            {"at": "2025-01-04", "lines": [{"amount": "31.00"}]},
            {"at": "2025-02-04", "lines": [{"amount": "31.00"}, {"amount": "12.00"}]},
            {"at": "2025-03-04", "lines": [{"amount": "31.00"}, {"amount": "9.00"}]},
        ],
        "states": [
            {"at": "2025-02-02", "state": "draft", "total": "36.00"},
            {"at": "2025-02-03T09:00:00Z", "state": "draft", "total": "36.00"},
            {"at": "2025-02-03T11:00:00Z", "state": "draft", "total": "43.00"},
            {"at": "2025-02-04T11:00:00Z", "state": "frozen", "total": "43.00"},
            {"at": "2025-02-05", "state": "open", "total": "43.00"},
        ],
    },
    grace_days=3,
)
FROZEN = story(
    {
        "unit_price": "2",
        "period": ["2025-01-01", "2025-02-01"],
        "billing": "in_arrears",
        "events": [
            {"usage_at": "2025-01-10T00:30:00Z", "value": "1"},
            {"usage_at": "2025-01-11T00:35:00Z", "recorded_at": "2025-02-01T11:00:00Z", "value": "2"},
            {"usage_at": "2025-01-11T00:35:00Z", "recorded_at": "2025-02-01T13:00:00Z", "value": "4"},
        ],
        "frozen_at": "2025-02-01T12:00:00Z",
        "add_line": "10.00",
    },
    {
        "invoices": [{"lines": [{"amount": "6.00"}, {"amount": "10.00"}], "subtotal": "16.00"}],
        "states": [
            {"at": "2025-02-01T10:30:00Z", "total": "2.00"},
            {"at": "2025-02-01T11:30:00Z", "total": "6.00"},
            {"at": "2025-02-01T13:30:00Z", "total": "6.00"},
        ],
    },
)


@pytest.mark.parametrize("case", [GRACE, FROZEN], ids=["grace", "frozen"])
def test_a_draft_counts_what_came_before_it_was_frozen(case):
    assert run_case(case).result == "pass"


@pytest.mark.parametrize("place", range(5))
def test_the_total_of_a_state_is_compared(place):
    changed = deepcopy(GRACE)
    changed["expect"]["states"][place]["total"] = "36.01"
    assert run_case(changed).result == "fail"


def test_a_line_is_added_only_to_a_draft_that_was_frozen():
    changed = deepcopy(FROZEN)
    del changed["given"]["frozen_at"]
    result = run_case(changed)
    assert (result.result, result.reason) == ("unsupported", "add_line without frozen_at")
