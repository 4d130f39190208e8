"""A small Stripe export, written by hand: ten customers from January to April 2024, as objects and as events.

What they pay is in EXPECTED, worked out by hand. The shapes are those of Stripe's API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

AS_OF = date(2024, 4, 30)
EXPECTED: Mapping[str, tuple[int, int, int, int]] = {
    # MRR at the close of January, February, March and April, in minor units
    "cus_upgrade": (1000, 1000, 2500, 2500),
    "cus_seats": (1500, 1500, 2500, 2500),  # 3 seats of 5.00, 5 seats from 20 March on
    "cus_coupon": (1000, 1000, 1000, 2000),  # half of 20.00 for three months from 15 January on
    "cus_trial": (0, 1200, 1200, 1200),  # a trial until 3 February
    "cus_leaver": (3000, 3000, 3000, 0),  # asked on 20 March to leave on 5 April
    "cus_unpaid": (800, 800, 0, 0),  # ended on 22 March, after failed payments
    "cus_pause": (900, 900, 900, 0),  # paused on 10 March, March is paid for
    "cus_annual": (0, 1000, 1000, 1000),  # 120.00 a year from 1 February on
    "cus_yen": (1500, 1500, 1500, 1500),  # a currency without decimals
    "cus_units": (1235, 1235, 1235, 1235),  # 100 units of 0.12345: 12.345, rounded once
}
Object = dict[str, Any]


def at(day: str) -> int:
    """Seconds since 1970 at ten o'clock of a day of 2024 (month-day), or of a whole date."""
    full = day if len(day) == 10 else f"2024-{day}"
    return int(datetime.fromisoformat(f"{full}T10:00:00").replace(tzinfo=UTC).timestamp())


def price(name: str, unit: str, interval: str = "month", currency: str = "eur", **more: Any) -> Object:
    return {
        "id": f"price_{name}",
        "object": "price",
        "created": at("2023-12-01"),
        "currency": currency,
        "product": f"prod_{name}",
        "type": "recurring",
        "billing_scheme": "per_unit",
        "unit_amount": int(unit) if "." not in unit else None,
        "unit_amount_decimal": unit,
        "recurring": {"interval": interval, "interval_count": 1, "usage_type": "licensed"},
        **more,
    }


def item(who: str, cost: Object, quantity: int = 1, created: str = "01-01", **more: Any) -> Object:
    return {
        "id": f"si_{who}",
        "object": "subscription_item",
        "created": at(created),
        "quantity": quantity,
        "subscription": f"sub_{who}",
        "price": cost,
        **more,
    }


def subscription(who: str, items: list[Object], start: str = "01-01", **more: Any) -> Object:
    return {
        "id": f"sub_{who}",
        "object": "subscription",
        "customer": f"cus_{who}",
        "status": "active",
        "created": at(start),
        "start_date": at(start),
        "items": {"object": "list", "data": items},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "pause_collection": None,
        "trial_start": None,
        "trial_end": None,
        "discounts": [],
        "current_period_start": at("04-01"),
        "current_period_end": at("05-01"),
        **more,
    }


def line(who: str, cost: Object, start: str, end: str, quantity: int = 1, **more: Any) -> Object:
    """A line in the form of earlier API versions; without an amount, that of the price for the quantity."""
    number = f"{who}-{start}-{len(more)}"
    full = float(cost["unit_amount_decimal"] or 0) * quantity
    return {
        "id": f"il_{number}",
        "object": "line_item",
        "type": "subscription",
        "amount": int(full + 0.5),
        "currency": cost["currency"],
        "proration": False,
        "period": {"start": at(start), "end": at(end)},
        "price": cost,
        "quantity": quantity,
        "subscription": f"sub_{who}",
        "subscription_item": f"si_{who}",
        "discount_amounts": [],
        "tax_amounts": [],
        **more,
    }


def invoice(who: str, day: str, lines: list[Object], status: str = "paid", **more: Any) -> Object:
    total = sum(
        one["amount"]
        - sum(off["amount"] for off in one["discount_amounts"])
        + sum(tax["amount"] for tax in one["tax_amounts"] if not tax["inclusive"])
        for one in lines
    )
    return {
        "id": f"in_{who}_{day}",
        "object": "invoice",
        "number": f"{who}-{day}".upper(),
        "customer": f"cus_{who}",
        "currency": lines[0]["currency"],
        "created": at(day),
        "status": status,
        "total": total,
        "amount_due": max(total, 0),
        "amount_paid": max(total, 0) if status == "paid" else 0,
        "amount_remaining": 0 if status in ("paid", "void") else total,
        "starting_balance": 0,
        "ending_balance": 0,
        "due_date": None,
        "status_transitions": {
            "finalized_at": at(day),
            "paid_at": at(day) if status == "paid" else None,
            "voided_at": None,
            "marked_uncollectible_at": None,
        },
        "lines": {"object": "list", "has_more": False, "data": lines},
        **more,
    }


def charge(who: str, day: str, minor: int, currency: str = "eur", **more: Any) -> Object:
    return {
        "id": f"ch_{who}_{day}",
        "object": "charge",
        "amount": minor,
        "amount_captured": minor,
        "captured": True,
        "status": "succeeded",
        "created": at(day),
        "currency": currency,
        "customer": f"cus_{who}",
        "invoice": f"in_{who}_{day}",
        "payment_intent": f"pi_{who}_{day}",
        "balance_transaction": None,
        "failure_code": None,
        "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        **more,
    }


def event(number: int, kind: str, day: str, thing: Object, previous: Object | None = None) -> Object:
    data: Object = {"object": thing}
    if previous is not None:
        data["previous_attributes"] = previous
    return {"id": f"evt_{number:03}", "object": "event", "type": kind, "created": at(day), "data": data}


BASIC, PRO = price("basic", "1000"), price("pro", "2500")
SEAT, HALF, TRIED = price("seat", "500"), price("half", "2000"), price("tried", "1200")
LEFT, FAILED, PAUSED = price("left", "3000"), price("failed", "800"), price("paused", "900")
ANNUAL, YEN = price("annual", "12000", "year"), price("yen", "1500", currency="jpy")
UNITS = price("units", "12.345")
COUPON = {
    "id": "HALF3",
    "object": "coupon",
    "percent_off": 50.0,
    "amount_off": None,
    "duration": "repeating",
    "duration_in_months": 3,
}
DISCOUNT = {
    "id": "di_coupon",
    "object": "discount",
    "coupon": COUPON,
    "customer": "cus_coupon",
    "subscription": "sub_coupon",
    "start": at("01-15"),
    "end": at("04-15"),
}


def customers() -> list[Object]:
    return [
        {"id": who, "object": "customer", "created": at("2023-12-20"), "currency": "eur", "metadata": {}}
        for who in EXPECTED
    ]


def subscriptions() -> list[Object]:
    """The state of each subscription on 30 April."""
    return [
        subscription("upgrade", [item("upgrade", PRO)]),
        subscription(
            "seats",
            [item("seats", SEAT, 5, "01-10")],
            "01-10",
            current_period_start=at("04-10"),
            current_period_end=at("05-10"),
        ),
        subscription("coupon", [item("coupon", HALF, 1, "01-15")], "01-15"),
        subscription(
            "trial",
            [item("trial", TRIED, 1, "01-20")],
            "01-20",
            trial_start=at("01-20"),
            trial_end=at("02-03"),
        ),
        left(),
        failed(),
        paused(),
        # the current period stands on the item
        subscription(
            "annual",
            [
                item(
                    "annual",
                    ANNUAL,
                    1,
                    "02-01",
                    current_period_start=at("02-01"),
                    current_period_end=at("2025-02-01"),
                )
            ],
            "02-01",
            current_period_start=None,
            current_period_end=None,
        ),
        subscription("yen", [item("yen", YEN)]),
        subscription("units", [item("units", UNITS, 100)]),
    ]


def left() -> Object:
    return subscription(
        "leaver",
        [item("leaver", LEFT, 1, "01-05")],
        "01-05",
        status="canceled",
        cancel_at_period_end=True,
        canceled_at=at("03-20"),
        ended_at=at("04-05"),
        cancellation_details={"reason": "cancellation_requested", "feedback": "unused"},
    )


def failed() -> Object:
    return subscription(
        "unpaid",
        [item("unpaid", FAILED)],
        status="canceled",
        canceled_at=at("03-22"),
        ended_at=at("03-22"),
        cancellation_details={"reason": "payment_failed", "feedback": None},
    )


def paused() -> Object:
    return subscription(
        "pause",
        [item("pause", PAUSED)],
        pause_collection={"behavior": "void", "resumes_at": None},
    )


def invoices() -> list[Object]:
    found = []
    for who, costs in {
        "upgrade": (BASIC, BASIC, PRO, PRO),
        "yen": (YEN,) * 4,
    }.items():
        found += monthly(
            who, [("01-01", "02-01"), ("02-01", "03-01"), ("03-01", "04-01"), ("04-01", "05-01")], costs
        )
    found += monthly(
        "units",
        [("01-01", "02-01"), ("02-01", "03-01"), ("03-01", "04-01"), ("04-01", "05-01")],
        (UNITS,) * 4,
        100,
    )
    found += monthly("pause", [("01-01", "02-01"), ("02-01", "03-01"), ("03-01", "04-01")], (PAUSED,) * 3)
    found += monthly("leaver", [("01-05", "02-05"), ("02-05", "03-05"), ("03-05", "04-05")], (LEFT,) * 3)
    found += monthly("unpaid", [("01-01", "02-01"), ("02-01", "03-01")], (FAILED,) * 2)
    found += [
        invoice(
            "unpaid",
            "03-01",
            [line("unpaid", FAILED, "03-01", "04-01")],
            "void",
            status_transitions={"finalized_at": at("03-01"), "voided_at": at("03-22")},
        ),
        invoice("trial", "01-20", [line("trial", TRIED, "01-20", "02-03", amount=0)]),
        *monthly("trial", [("02-03", "03-03"), ("03-03", "04-03"), ("04-03", "05-03")], (TRIED,) * 3),
        invoice("annual", "02-01", [line("annual", ANNUAL, "02-01", "2025-02-01")]),
        *monthly("seats", [("01-10", "02-10"), ("02-10", "03-10"), ("03-10", "04-10")], (SEAT,) * 3, 3),
        invoice(
            "seats",
            "04-10",
            [
                line(
                    "seats",
                    SEAT,
                    "03-20",
                    "04-10",
                    3,
                    id="il_back",
                    type="invoiceitem",
                    amount=-1016,
                    proration=True,
                ),
                line(
                    "seats",
                    SEAT,
                    "03-20",
                    "04-10",
                    5,
                    id="il_rest",
                    type="invoiceitem",
                    amount=1694,
                    proration=True,
                ),
                line("seats", SEAT, "04-10", "05-10", 5),
            ],
        ),
    ]
    for start, end, off in (
        ("01-15", "02-15", 1000),
        ("02-15", "03-15", 1000),
        ("03-15", "04-15", 1000),
        ("04-15", "05-15", 0),
    ):
        taken = [{"amount": off, "discount": "di_coupon"}] if off else []
        given = [DISCOUNT] if start == "01-15" else []
        found.append(
            invoice(
                "coupon", start, [line("coupon", HALF, start, end, discount_amounts=taken)], discounts=given
            )
        )
    return found


def monthly(
    who: str, periods: Iterable[tuple[str, str]], costs: Iterable[Object], quantity: int = 1
) -> list[Object]:
    return [
        invoice(who, start, [line(who, cost, start, end, quantity)])
        for (start, end), cost in zip(periods, costs, strict=True)
    ]


def events() -> list[Object]:
    """All that happened to the subscriptions, as Stripe tells it."""
    now = {one["customer"].removeprefix("cus_"): one for one in subscriptions()}
    was_basic = subscription("upgrade", [item("upgrade", BASIC)])
    had_three = {**now["seats"], "items": {"data": [item("seats", SEAT, 3, "01-10")]}}
    with_coupon = {**now["coupon"], "discounts": [DISCOUNT]}
    trialing = {**now["trial"], "status": "trialing"}
    running = {
        **left(),
        "status": "active",
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "cancellation_details": {"reason": None},
    }
    leaving = {**left(), "status": "active", "ended_at": None, "current_period_end": at("04-05")}
    paying = {**failed(), "status": "active", "canceled_at": None, "ended_at": None}
    collected = {**paused(), "pause_collection": None}
    told = [
        ("created", "01-01", was_basic, None),
        ("updated", "03-01", now["upgrade"], {"items": {"data": [item("upgrade", BASIC)]}}),
        ("created", "01-10", had_three, None),
        ("updated", "03-20", now["seats"], {"quantity": 3}),
        ("created", "01-15", with_coupon, None),
        ("updated", "04-15", now["coupon"], {"discounts": ["di_coupon"]}),
        ("created", "01-20", trialing, None),
        ("updated", "02-03", now["trial"], {"status": "trialing"}),
        ("created", "01-05", running, None),
        ("updated", "03-20", leaving, {"cancel_at_period_end": False}),
        ("deleted", "04-05", left(), None),
        ("created", "01-01", paying, None),
        ("updated", "03-02", {**paying, "status": "past_due"}, {"status": "active"}),
        ("deleted", "03-22", failed(), None),
        ("created", "01-01", collected, None),
        ("updated", "03-10", paused(), {"pause_collection": None}),
        ("created", "02-01", now["annual"], None),
        ("created", "01-01", now["yen"], None),
        ("created", "01-01", now["units"], None),
    ]
    return [
        event(number, f"customer.subscription.{kind}", day, thing, previous)
        for number, (kind, day, thing, previous) in enumerate(told)
    ]


def write(folder: Path, **files: Iterable[Any]) -> Path:
    """Write objects as JSON lines, a file a name; texts are lines as they are."""
    folder.mkdir(exist_ok=True)
    for name, objects in files.items():
        lines = [one if isinstance(one, str) else json.dumps(one) for one in objects]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
