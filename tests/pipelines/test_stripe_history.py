"""The versions and discounts of a Stripe export, case by case; amounts are minor units of one interval."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from stripe_world import at, event, invoice, item, line, price, subscription, write

from pipelines.sources.loading import currency_exponents
from pipelines.sources.stripe_discounts import numbered
from pipelines.sources.stripe_export import understood
from pipelines.sources.stripe_fields import Reader
from pipelines.sources.stripe_files import read_export
from pipelines.sources.stripe_known import Export, Given

CHEAP, DEAR, YEARLY = price("cheap", "700"), price("dear", "900"), price("yearly", "8400", "year")
READER = Reader(ZoneInfo("UTC"), currency_exponents(), datetime(2024, 5, 1, tzinfo=UTC))


def day(text: str) -> date:
    return date.fromisoformat(text if len(text) == 10 else f"2024-{text}")


@pytest.fixture
def understand(tmp_path: Path):
    """A function that reads objects as an export."""

    def run(*objects: Any) -> Export:
        given: dict[str, list[Given]] = defaultdict(list)
        folder = write(tmp_path / "export", objects=objects)
        for row in read_export(folder / "objects.jsonl", {}).rows:
            given[row.kind].append(Given(row, "load"))
        return understood(given, READER)

    return run


def told(export: Export) -> list[tuple[Any, ...]]:
    assert export.rejects == []
    return [
        (one.item_id[3:], one.status, one.amount_minor, one.valid_from, one.valid_to)
        for one, _ in export.versions
    ]


def runs(export: Export) -> list[tuple[Any, ...]]:
    assert export.rejects == []
    return [
        (one.discount_id, one.item_id[3:], one.percent_ppm, one.amount_minor, one.duration, one.valid_from,
         one.valid_to, place)
        for one, place in numbered(export.runs)
    ]  # fmt: skip


def sub(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return subscription("a", list(items or [item("a", CHEAP)]), **more)


def billed(start: str, end: str, cost: Any = CHEAP, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return invoice("a", start, [line("a", cost, start, end, quantity, **more)])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("active", "01-01", None)]),
        ({"status": "past_due"}, [("active", "01-01", "04-01"), ("past_due", "04-01", None)]),
        ({"status": "unpaid"}, [("active", "01-01", "04-01"), ("unpaid", "04-01", None)]),
        ({"status": "incomplete"}, [("incomplete", "01-01", None)]),
        (
            {"status": "incomplete_expired", "ended_at": at("01-02")},
            [("incomplete", "01-01", "01-02"), ("canceled", "01-02", None)],
        ),
        (
            {
                "status": "trialing",
                "trial_start": at("04-20"),
                "trial_end": at("05-20"),
                "start_date": at("04-20"),
            },
            [("trialing", "04-20", "05-20"), ("active", "05-20", None)],
        ),
        (
            {"status": "paused", "trial_start": at("01-01"), "trial_end": at("02-01")},
            [("trialing", "01-01", "02-01"), ("paused", "02-01", None)],
        ),
        (
            {"status": "canceled", "ended_at": at("02-29"), "canceled_at": at("02-10")},
            [("active", "01-01", "02-29"), ("canceled", "02-29", None)],
        ),
        # never served a day
        ({"status": "canceled", "ended_at": at("01-01")}, [("canceled", "01-01", None)]),
        (
            {"cancel_at": at("2025-01-01")},
            [("active", "01-01", "2025-01-01"), ("canceled", "2025-01-01", None)],
        ),
        ({"cancel_at_period_end": True}, [("active", "01-01", "05-01"), ("canceled", "05-01", None)]),
        (
            {"pause_collection": {"behavior": "keep_as_draft", "resumes_at": at("06-15")}},
            [("active", "01-01", "04-01"), ("paused", "04-01", "06-15"), ("active", "06-15", None)],
        ),
        # renewed with another start date: the service began before the object did
        ({"start_date": at("2023-06-30")}, [("active", "2023-06-30", None)]),
    ],
)
def test_the_status_of_a_day_follows_from_the_object(understand, changes, expected):
    assert told(understand(sub(**changes))) == [
        ("a", status, 700, day(start), day(end) if end else None) for status, start, end in expected
    ]


def test_a_pause_begins_on_the_first_day_that_is_not_paid_for(understand):
    paused = sub(pause_collection={"behavior": "void", "resumes_at": None})
    bill = billed("03-01", "04-01")
    given_up = invoice("a", "04-01", [line("a", CHEAP, "04-01", "05-01")], "uncollectible")
    assert told(understand(paused, bill, given_up)) == [
        ("a", "active", 700, day("01-01"), day("04-01")),
        ("a", "paused", 700, day("04-01"), None),
    ]
    history = [
        event(1, "customer.subscription.created", "01-01", sub()),
        event(2, "customer.subscription.updated", "03-10", paused, {"pause_collection": None}),
        event(3, "customer.subscription.updated", "04-20", sub(), {"pause_collection": {"behavior": "void"}}),
    ]
    assert told(understand(*history, bill)) == [
        ("a", "active", 700, day("01-01"), day("04-01")),
        ("a", "paused", 700, day("04-01"), day("04-20")),
        ("a", "active", 700, day("04-20"), None),
    ]
    # without a bill nothing says that the day of the event was paid for
    assert told(understand(*history))[1] == ("a", "paused", 700, day("03-10"), day("04-20"))


TIERS = [
    {"up_to": 10, "unit_amount_decimal": "100", "flat_amount": 500},
    {"up_to": None, "unit_amount_decimal": "62.5", "flat_amount": None},
]


def tiered(mode: str, **more: Any) -> dict[str, Any]:
    return price(mode, "0", billing_scheme="tiered", tiers_mode=mode, **{"tiers": TIERS, **more})


@pytest.mark.parametrize(
    ("cost", "quantity", "amount"),
    [
        (tiered("graduated"), 10, 1500),
        (tiered("graduated"), 13, 1688),  # 5.00 + 10 x 1.00 + 3 x 0.625 = 16.875
        (tiered("volume"), 10, 1500),
        (tiered("volume"), 13, 813),  # 13 x 0.625 = 8.125
        (price("pack", "300", transform_quantity={"divide_by": 5, "round": "up"}), 11, 900),
        (price("pack", "300", transform_quantity={"divide_by": 5, "round": "down"}), 11, 600),
        (price("metered", "300", recurring={"interval": "month", "usage_type": "metered"}), 1, 0),
        (price("fine", "0.005"), 100, 1),  # half a cent is a cent
        (price("fine", "0.004999999999"), 100, 0),
    ],
)
def test_what_an_item_costs(understand, cost, quantity, amount):
    assert told(understand(sub(item("a", cost, quantity)))) == [("a", "active", amount, day("01-01"), None)]


def test_a_price_of_tiers_costs_what_was_billed_for_as_much(understand):
    cost = tiered("graduated", tiers=[])
    parts = [
        line("a", cost, "04-01", "05-01", 10, id="il_1", amount=1000),
        line("a", cost, "04-01", "05-01", 0, id="il_2", amount=500),
        line("a", cost, "04-01", "05-01", 3, id="il_3", amount=190),
    ]
    assert told(understand(sub(item("a", cost, 13)), invoice("a", "04-01", parts))) == [
        ("a", "active", 1690, day("01-01"), None)
    ]
    (reject,) = understand(sub(item("a", cost, 14)), invoice("a", "04-01", parts)).rejects
    assert (reject.reason, reject.column, reject.row_key) == (
        "bad_amount",
        "items.price.unit_amount",
        "sub_a",
    )


def test_a_subscription_of_one_plan_is_its_only_item(understand):
    plan = {
        "id": "price_cheap",
        "amount": 700,
        "currency": "eur",
        "interval": "month",
        "interval_count": 1,
        "product": "prod_cheap",
    }
    alone = {**sub(), "items": None, "plan": plan, "quantity": 2}
    bill = billed("02-01", "03-01", subscription_item=None)
    assert told(understand(alone, bill)) == [
        ("_a/price_cheap", "active", 700, day("01-01"), day("04-01")),
        ("_a/price_cheap", "active", 1400, day("04-01"), None),
    ]
    (reject,) = understand({**sub(), "items": None}).rejects
    assert (reject.reason, reject.column) == ("missing_key", "items")


def test_a_tax_inside_the_price_is_no_recurring_amount(understand):
    inside = [{"amount": 112, "tax_behavior": "inclusive"}]
    export = understand(sub(), billed("04-01", "05-01", tax_amounts=[], taxes=inside))
    assert told(export) == [("a", "active", 588, day("01-01"), None)]


def test_earlier_prices_are_those_that_were_billed(understand):
    export = understand(sub(item("a", DEAR, 2)), billed("02-01", "03-01"), billed("03-01", "04-01", DEAR))
    assert told(export) == [
        ("a", "active", 700, day("01-01"), day("03-01")),
        ("a", "active", 900, day("03-01"), day("04-01")),
        # not billed yet: as of the current period
        ("a", "active", 1800, day("04-01"), None),
    ]
    assert [one.is_rebuilt for one, _ in export.versions] == [True, True, False]


def test_a_proration_dates_a_change_only_since_the_line_before(understand):
    def prorated(on: str, quantity: int) -> dict[str, Any]:
        rest = line("a", CHEAP, on, "05-01", quantity, id=f"il_{on}", amount=1, proration=True)
        return invoice("a", on, [{**rest, "type": "invoiceitem"}])

    # two seats from 15 January for a while, one again, two from 1 April on
    export = understand(
        sub(item("a", CHEAP, 2)),
        billed("01-01", "02-01"),
        prorated("01-15", 2),
        prorated("01-20", 1),
        billed("02-01", "03-01"),
        billed("03-01", "04-01"),
        billed("04-01", "05-01", CHEAP, 2),
    )
    assert told(export) == [
        ("a", "active", 700, day("01-01"), day("04-01")),
        ("a", "active", 1400, day("04-01"), None),
    ]


def test_items_come_and_go_on_their_days(understand):
    """si_b was taken off on 10 March, with a credit for the rest of its month; si_c came on 5 February."""
    lines = [
        line("a", DEAR, start, end, id=f"il_{start}", subscription_item="si_b")
        for start, end in (("01-01", "02-01"), ("02-01", "03-01"), ("03-01", "04-01"))
    ]
    credit = line(
        "a", DEAR, "03-10", "04-01", id="il_x", subscription_item="si_b", amount=-600, proration=True
    )
    bills = [invoice("a", f"0{number}-01", [one]) for number, one in enumerate(lines, 1)]
    export = understand(
        sub(item("a", CHEAP), item("c", CHEAP, 3, "02-05")), *bills, invoice("a", "03-10", [credit])
    )
    assert told(export) == [
        ("a", "active", 700, day("01-01"), None),
        ("b", "active", 900, day("01-01"), day("03-10")),
        ("b", "canceled", 900, day("03-10"), None),
        ("c", "active", 2100, day("02-05"), None),
    ]


def test_an_item_that_an_event_no_longer_holds_went_that_day(understand):
    both, one = sub(item("a", CHEAP), item("b", YEARLY)), sub()
    history = [
        event(1, "customer.subscription.created", "01-01", both),
        event(2, "customer.subscription.updated", "03-07", one, {"items": both["items"]}),
    ]
    assert told(understand(*history)) == told(understand(*history, one))
    assert told(understand(*history)) == [
        ("a", "active", 700, day("01-01"), None),
        ("b", "active", 8400, day("01-01"), day("03-07")),
        ("b", "canceled", 8400, day("03-07"), None),
    ]


def test_before_the_first_event_counts_what_it_says_was_before_and_what_was_billed(understand):
    change = event(1, "customer.subscription.updated", "04-10", sub(item("a", DEAR, 3)), {"quantity": 2})
    assert told(understand(change)) == [
        ("a", "active", 1800, day("01-01"), day("04-10")),
        ("a", "active", 2700, day("04-10"), None),
    ]
    export = understand(change, billed("02-01", "03-01"), billed("03-01", "04-01", DEAR, 2))
    assert told(export) == [
        ("a", "active", 700, day("01-01"), day("03-01")),
        ("a", "active", 1800, day("03-01"), day("04-10")),
        ("a", "active", 2700, day("04-10"), None),
    ]


def test_of_the_events_of_a_day_the_last_counts_and_events_win_over_lines(understand):
    def state(quantity: int) -> dict[str, Any]:
        return sub(item("a", CHEAP, quantity))

    history = [
        event(1, "customer.subscription.created", "01-01", state(1)),
        event(2, "customer.subscription.updated", "03-05", state(9)),
        event(3, "customer.subscription.updated", "03-05", state(4)),
    ]
    export = understand(*history, billed("02-01", "03-01", CHEAP, 7))
    assert told(export) == [
        ("a", "active", 700, day("01-01"), day("03-05")),
        ("a", "active", 2800, day("03-05"), None),
    ]
    assert not any(one.is_rebuilt for one, _ in export.versions)


def test_a_subscription_that_only_invoices_name_was_served_while_it_was_billed(understand):
    export = understand(
        billed("01-01", "01-15", amount=0),
        billed("01-15", "02-15"),
        billed("02-15", "03-15"),
        billed("04-01", "05-01", DEAR),
    )
    assert told(export) == [
        ("a", "trialing", 700, day("01-01"), day("01-15")),
        ("a", "active", 700, day("01-15"), day("03-15")),
        ("a", "active", 900, day("04-01"), day("05-01")),
    ]
    assert export.billed_alone == 1
    assert {(one.end_cause, one.is_rebuilt) for one, _ in export.versions} == {(None, True)}


def test_periods_of_a_year_are_terms(understand):
    export = understand(
        sub(item("a", YEARLY), created=at("2022-03-01"), start_date=at("2022-03-01"),
            current_period_start=at("03-01"), current_period_end=at("2025-03-01"), cancel_at=at("2025-03-01"),
            canceled_at=at("04-02")),
        billed("2022-03-01", "2023-03-01", YEARLY),
        billed("2023-03-01", "03-01", YEARLY),
    )  # fmt: skip
    assert [
        (one.valid_from, one.valid_to, one.term_end, one.cancel_requested_on, one.end_cause)
        for one, _ in export.versions
    ] == [
        (day("2022-03-01"), day("2023-03-01"), day("2023-03-01"), None, None),
        (day("2023-03-01"), day("03-01"), day("03-01"), None, None),
        (day("03-01"), day("2025-03-01"), day("2025-03-01"), day("04-02"), "voluntary"),
        (day("2025-03-01"), None, None, None, None),
    ]


def test_lines_of_newer_versions_name_their_parent_and_pricing(understand):
    newer = {
        "id": "il_new",
        "amount": 900,
        "currency": "eur",
        "period": {"start": at("03-01"), "end": at("04-01")},
        "quantity": 1,
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {
                "subscription": "sub_a",
                "subscription_item": "si_a",
                "proration": False,
            },
        },
        "pricing": {
            "type": "price_details",
            "price_details": {"price": "price_dear", "product": "prod_dear"},
        },
        "taxes": [{"amount": 90, "tax_behavior": "exclusive"}],
        "discount_amounts": [],
    }
    bill = {
        **invoice("a", "03-01", [line("a", DEAR, "03-01", "04-01")]),
        "total": 990,
        "lines": {"data": [newer]},
    }
    export = understand(sub(), DEAR, bill)
    assert told(export) == [
        ("a", "active", 900, day("01-01"), day("04-01")),
        ("a", "active", 700, day("04-01"), None),
    ]
    # a price that is in no file tells nothing of the interval
    without = understand(sub(), bill)
    assert told(without) == [("a", "active", 700, day("01-01"), None)]
    assert without.unpriced_lines == 1


def coupon(**terms: Any) -> dict[str, Any]:
    return {"id": "C", "object": "coupon", "duration": "forever", **terms}


def given(coupon: dict[str, Any], start: str = "01-01", **more: Any) -> dict[str, Any]:
    return {"id": "di_1", "object": "discount", "coupon": coupon, "start": at(start), **more}


@pytest.mark.parametrize(
    ("discount", "expected"),
    [
        (given(coupon(percent_off=25.5)), ("di_1", "a", 255_000, None, "forever", "01-01", None, 1)),
        (given(coupon(percent_off="33.33")), ("di_1", "a", 333_300, None, "forever", "01-01", None, 1)),
        (
            given(coupon(percent_off=10, duration="repeating", duration_in_months=1), "01-31"),
            ("di_1", "a", 100_000, None, "repeating", "01-31", "02-29", 1),
        ),
        (
            given(coupon(amount_off=150, currency="eur", duration="once")),
            ("di_1", "a", None, 150, "once", "01-01", "02-01", 1),
        ),
        (
            {
                **given({}, end=at("02-10")),
                "coupon": None,
                "source": {"type": "coupon", "coupon": coupon(percent_off=5)},
            },
            ("di_1", "a", 50_000, None, "forever", "01-01", "02-10", 1),
        ),
    ],
)
def test_a_discount_has_the_terms_of_its_coupon(understand, discount, expected):
    (found,) = runs(understand(sub(discounts=[discount])))
    days = [day(one) if one else None for one in expected[5:7]]
    assert found == (*expected[:5], *days, expected[7])


def test_a_fixed_amount_is_shared_over_the_items_of_a_subscription(understand):
    # 10.00 over 7.00, 7.00 and 9.00: 304.3, 304.3, 391.3; the first of the largest remainders gets the cent
    off = given(coupon(amount_off=1000, currency="eur"))
    found = runs(understand(sub(item("a", CHEAP), item("b", CHEAP), item("c", DEAR), discounts=[off])))
    assert [(one[1], one[3]) for one in found] == [("a", 305), ("b", 304), ("c", 391)]
    only = given(coupon(amount_off=1000, currency="eur", applies_to={"products": ["prod_dear"]}))
    found = runs(understand(sub(item("a", CHEAP), item("c", DEAR), discounts=[only])))
    assert [(one[1], one[3]) for one in found] == [("c", 1000)]


def test_a_customers_discount_is_for_subscriptions_without_one_of_their_own(understand):
    customer = {
        "id": "cus_a",
        "object": "customer",
        "created": at("01-01"),
        "discount": {**given(coupon(percent_off=10)), "id": "di_all"},
    }
    other = {**subscription("b", [item("b", DEAR)]), "customer": "cus_a"}
    found = runs(understand(customer, sub(discounts=["di_1"]), other, given(coupon(percent_off=20))))
    assert [one[:3] for one in found] == [("di_1", "a", 200_000), ("di_all", "b", 100_000)]


def test_a_discount_that_a_later_state_does_not_name_ended_that_day(understand):
    off = given(coupon(percent_off=10))
    history = [
        event(1, "customer.subscription.created", "01-01", sub(discounts=[off])),
        event(2, "customer.subscription.updated", "03-07", sub(), {"discounts": ["di_1"]}),
    ]
    assert [one[5:7] for one in runs(understand(*history))] == [(day("01-01"), day("03-07"))]
    gone = event(3, "customer.discount.deleted", "02-20", {**off, "subscription": "sub_a"})
    assert [one[5:7] for one in runs(understand(sub(), gone))] == [(day("01-01"), day("02-20"))]


def test_a_discount_that_only_lines_tell_of_is_what_they_took_off(understand):
    def bill(start: str, end: str, *off: tuple[str, int]) -> dict[str, Any]:
        taken = [{"discount": name, "amount": minor} for name, minor in off]
        return billed(start, end, discount_amounts=taken)

    export = understand(
        sub(),
        bill("01-01", "02-01", ("di_run", 100), ("di_once", 50)),
        bill("02-01", "03-01", ("di_run", 100)),
        bill("03-01", "04-01"),
    )
    assert runs(export) == [
        ("di_once", "a", None, 50, "once", day("01-01"), day("02-01"), 1),
        ("di_run", "a", None, 100, "repeating", day("01-01"), day("03-01"), 2),
    ]
