"""A company drawn at random: rows in every raw table, recorded on their day, days later, or twice."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from account_models import Accounts, noon


def watched_world(seed: int) -> Accounts:
    """Rows of a year and a half in every table, recorded on their day, days later, or corrected once more."""
    draw = random.Random(seed)
    world = Accounts()
    first, last = date(2024, 1, 1), date(2025, 6, 30)

    def some_day(after: date = first) -> date:
        return after + timedelta(days=draw.randrange((last - after).days + 1))

    def note(table: str, happened: date, **row: Any) -> None:
        """Recorded within two months; one in three comes again with other values."""
        seen = happened + timedelta(days=draw.choice([0, 0, 1, 5, 20, 60]))
        world.record(table, seen, **row)
        if draw.random() < 0.3:
            changed = {
                name: draw.randrange(1, 9)
                for name in ("quantity", "csat", "score", "active_users")
                if row.get(name) is not None
            }
            world.record(table, seen + timedelta(days=draw.randrange(1, 90)), **(row | changed))

    for number in range(12):
        customer = f"c{number:02}"
        start = some_day(first) if number > 3 else first
        amount, quantity = draw.randrange(1, 90) * 100, draw.randrange(1, 20)
        terms = {}
        if number % 3 == 0:
            terms = {
                "term_start": start,
                "term_end": start + timedelta(days=365),
                "notice_by_on": start + timedelta(days=305),
                "auto_renew": True,
            }
        base = {"valid_from": start, "amount_minor": amount, "quantity": quantity, **terms}
        world.version(customer, start, **base)
        change = some_day(start)
        seen = change + timedelta(days=draw.choice([-10, 0, 3, 40]))
        if start < change and seen > start:
            world.version(customer, seen, **(base | {"valid_to": change}))
            later = base | {
                "valid_from": change,
                "quantity": quantity + draw.choice([-1, 2]),
                "plan_id": "extra",
            }
            world.version(customer, seen, no=2, **later)
            end = some_day(change)
            if number % 2 and end > change:
                asked = end - timedelta(days=20)
                world.version(
                    customer,
                    asked + timedelta(days=draw.choice([0, 2, 45])),
                    no=2,
                    **(later | {"valid_to": end, "cancel_requested_on": asked}),
                )
        note("raw_crm.accounts", start, account_id=f"a{number}", customer_id=customer, valid_from=start)
        note(
            "raw_billing.customers",
            start,
            customer_id=customer,
            country=draw.choice(["DE", "JO"]),
            segment=draw.choice(["small", "large"]),
            valid_from=start,
        )
        note(
            "raw_billing.payment_methods",
            start,
            method_id=f"m{number}",
            customer_id=customer,
            kind="card",
            expires_on=some_day(start),
            valid_from=start,
        )
        for turn in range(6):
            happened = some_day(start)
            key = f"{number}-{turn}"
            note(
                "raw_billing.usage_days",
                happened,
                subscription_item_id=f"{customer}-item",
                meter=draw.choice(["calls", "files"]),
                used_on=happened,
                quantity=draw.randrange(1, 50),
                active_users=draw.randrange(1, 9),
            )
            ticket = {
                "ticket_id": key,
                "customer_id": customer,
                "opened_at": noon(happened),
                "priority": "urgent",
            }
            ticket["first_response_at"] = noon(happened) + timedelta(hours=draw.randrange(30))
            closed = happened + timedelta(days=draw.randrange(1, 40))
            world.record("raw_crm.tickets", happened, **ticket)
            note("raw_crm.tickets", closed, **ticket, closed_at=noon(closed), csat=draw.randrange(1, 6))
            note(
                "raw_crm.nps",
                happened,
                response_id=key,
                customer_id=customer,
                answered_on=happened,
                score=turn,
            )
            kind = draw.choice(["call", "admin_login", "onboarding"])
            note(
                "raw_crm.activities",
                happened,
                activity_id=key,
                account_id=f"a{number}",
                kind=kind if turn % 3 else "complaint",
                happened_at=noon(happened),
            )
            note(
                "raw_crm.contacts",
                happened,
                contact_id=key,
                account_id=f"a{number}",
                is_champion=True,
                left_on=happened,
            )
            invoice(world, draw, key, customer, happened)
            note(
                "raw_orders.orders",
                happened,
                order_id=key,
                customer_id=customer,
                ordered_at=noon(happened),
                currency="EUR",
                is_credit=False,
            )
            note(
                "raw_orders.order_lines",
                happened,
                order_id=key,
                line_no=1,
                sku=draw.choice("abc"),
                quantity=2,
                amount_minor=draw.randrange(1, 900),
            )
        note(
            "raw_billing.discounts",
            start,
            discount_id=f"d{number}",
            subscription_item_id=f"{customer}-item",
            percent_ppm=50_000,
            duration="repeating",
            valid_from=start,
            valid_to=some_day(start) + timedelta(days=1),
            order_no=1,
        )
    moved = some_day()
    note("raw_billing.customer_parents", moved, customer_id="c05", valid_from=moved, parent_customer_id="c06")
    note("raw_billing.plans", first, plan_id="base", plan_tier="gold", is_add_on=False)
    return world


def invoice(world: Accounts, draw: random.Random, key: str, customer: str, issued: date) -> None:
    """An invoice, attempts that fail, and mostly its payment."""
    document = {
        "invoice_id": key,
        "customer_id": customer,
        "currency": "EUR",
        "issued_on": issued,
        "due_on": issued + timedelta(days=14),
        "net_minor": 900,
        "tax_minor": 0,
        "total_minor": 900,
    }
    world.record("raw_billing.invoices", issued, **document, status="open")
    world.record(
        "raw_billing.invoice_lines",
        issued,
        line_id=key,
        invoice_id=key,
        subscription_item_id=f"{customer}-item",
        kind=draw.choice(["usage", "recurring"]),
        net_minor=900,
        tax_minor=0,
    )
    tried = issued + timedelta(days=draw.randrange(10, 60))
    world.record(
        "raw_billing.payments",
        tried,
        payment_id=key,
        attempt_no=1,
        customer_id=customer,
        status="declined",
        attempted_at=noon(tried),
        invoice_id=key,
    )
    world.record(
        "raw_billing.dunning_events",
        tried,
        invoice_id=key,
        attempt_no=1,
        attempted_at=noon(tried),
        outcome="failed",
    )
    world.record(
        "raw_billing.disputes", tried, dispute_id=key, payment_id=key, opened_on=tried, amount_minor=1
    )
    if draw.random() < 0.8:
        paid = issued + timedelta(days=draw.randrange(0, 50))
        seen = paid + timedelta(days=draw.choice([0, 3, 30]))
        world.record(
            "raw_billing.applications",
            seen,
            application_id=key,
            source_kind="payment",
            source_id=key,
            invoice_id=key,
            amount_minor=900,
            applied_on=paid,
        )
        world.record("raw_billing.invoices", seen, **document, status="paid")
