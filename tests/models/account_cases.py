"""Accounts of a few rows each, whose features a person can work out: a function for each kind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from account_models import Accounts, noon


def day(text: str) -> date:
    return date.fromisoformat(f"2025-{text}")


def grower(world: Accounts) -> None:
    """Ten seats at 10.00 since January 2024; twelve at 11.00 from 1 March 2025; an add-on from 10 June."""
    start, change = date(2024, 1, 15), day("03-01")
    world.version("grower", start, valid_from=start, amount_minor=10_000, quantity=10)
    world.version("grower", change, valid_from=start, valid_to=change, amount_minor=10_000, quantity=10)
    world.version("grower", change, no=2, valid_from=change, amount_minor=13_200, quantity=12)
    world.version(
        "grower", day("06-10"), item="extra", plan_id="extra", valid_from=day("06-10"), amount_minor=1_800
    )


def renewer(world: Accounts) -> None:
    """1,200.00 a year, in its second term to 1 September 2025, notice by 3 July."""
    first, second, end = date(2023, 9, 1), date(2024, 9, 1), date(2025, 9, 1)
    for no, (start, until) in enumerate([(first, second), (second, end)], start=1):
        world.version(
            "renewer",
            start,
            no=no,
            valid_from=start,
            valid_to=until if no == 1 else None,
            amount_minor=120_000,
            interval="year",
            term_start=start,
            term_end=until,
            notice_by_on=until - timedelta(days=60),
            auto_renew=True,
        )


def prepaid(world: Accounts) -> None:
    """1,200.00 a year from 10 March 2024 on, without a term."""
    start = date(2024, 3, 10)
    world.version("prepaid", start, valid_from=start, amount_minor=120_000, interval="year")


def leavers(world: Accounts) -> None:
    """Five that end in spring: with notice, recorded late, twice out of an import, and two that come back."""
    start = date(2024, 1, 1)
    for name, requested, end, recorded in (
        ("noticed", day("05-10"), day("06-15"), day("05-10")),
        ("backdated", day("04-10"), day("04-20"), day("05-20")),
    ):
        ended = {"valid_from": start, "amount_minor": 5_000}
        world.version(name, start, **ended)
        world.version(name, recorded, **ended, valid_to=end, cancel_requested_on=requested)
    told = {"valid_from": start, "valid_to": day("06-15"), "amount_minor": 5_000, "end_cause": "voluntary"}
    world.version("imported", None, **told, cancel_requested_on=day("05-10"))
    world.version("vanished", None, **told)
    for name, back in (("brief", day("03-25")), ("long", day("05-25"))):
        gone = day("03-10")
        world.version(name, start, valid_from=start, amount_minor=5_000)
        world.version(name, gone, valid_from=start, valid_to=gone, amount_minor=5_000)
        world.version(name, back, no=2, valid_from=back, amount_minor=5_000)


def merged(world: Accounts) -> None:
    """A child that belongs to its parent from 15 May on."""
    start = date(2024, 1, 1)
    world.version("parent", start, valid_from=start, amount_minor=7_000)
    world.version("child", start, valid_from=start, amount_minor=3_000)
    world.record(
        "raw_billing.customer_parents",
        day("05-15"),
        customer_id="child",
        valid_from=day("05-15"),
        parent_customer_id="parent",
    )


def debtor(world: Accounts) -> None:
    """Three invoices of 100.00 by card: paid five days late, ten days late, and never."""
    start = date(2024, 1, 1)
    world.version("debtor", start, valid_from=start, amount_minor=10_000)
    world.record(
        "raw_billing.payment_methods",
        start,
        method_id="card",
        customer_id="debtor",
        kind="card",
        expires_on=day("08-31"),
        valid_from=start,
    )
    for name, issued, due, paid in (
        ("i0", day("03-01"), day("03-15"), day("03-20")),
        ("i1", day("04-01"), day("04-15"), day("04-25")),
        ("i2", day("05-01"), day("05-15"), None),
    ):
        world.record(
            "raw_billing.invoices",
            issued,
            invoice_id=name,
            customer_id="debtor",
            currency="EUR",
            status="open",
            issued_on=issued,
            due_on=due,
            net_minor=10_000,
            tax_minor=0,
            total_minor=10_000,
        )
        for line, kind, net in (("a", "recurring", 7_500), ("b", "usage", 2_500)):
            world.record(
                "raw_billing.invoice_lines",
                issued,
                line_id=f"{name}{line}",
                invoice_id=name,
                subscription_item_id="debtor-item",
                kind=kind,
                net_minor=net,
                discount_minor=0,
                once_discount_minor=0,
                tax_minor=0,
            )
        if paid:
            world.record(
                "raw_billing.applications",
                paid,
                application_id=name,
                source_kind="payment",
                source_id=name,
                invoice_id=name,
                amount_minor=10_000,
                applied_on=paid,
            )
    for number, tried in enumerate([day("05-16"), day("05-20"), day("06-20")], start=1):
        world.record(
            "raw_billing.payments",
            tried,
            payment_id="p2",
            attempt_no=number,
            customer_id="debtor",
            currency="EUR",
            amount_minor=10_000,
            kind="payment",
            method="card",
            status="declined",
            invoice_id="i2",
            attempted_at=noon(tried),
        )
        world.record(
            "raw_billing.dunning_events",
            tried,
            invoice_id="i2",
            attempt_no=number,
            attempted_at=noon(tried),
            outcome="failed",
        )
    world.record(
        "raw_billing.disputes",
        day("02-10"),
        dispute_id="d",
        payment_id="p2",
        opened_on=day("02-10"),
        amount_minor=1,
    )


def user(world: Accounts) -> None:
    """Ten seats; use on three days in May and June; support and CRM on top."""
    start = date(2024, 1, 15)
    world.version("user", start, valid_from=start, amount_minor=10_000, quantity=10)
    for used, quantity, people in (("05-25", 99, 5), ("06-20", 30, 4), ("06-25", 20, 6)):
        world.record(
            "raw_billing.usage_days",
            day(used),
            subscription_item_id="user-item",
            meter="calls",
            used_on=day(used),
            quantity=float(quantity),
            active_users=people,
        )
    world.record(
        "raw_crm.accounts", start, account_id="acc", customer_id="user", segment="small", valid_from=start
    )
    world.record(
        "raw_crm.tickets",
        day("01-20"),
        ticket_id="t0",
        customer_id="grower",
        opened_at=noon(day("01-20")),
        closed_at=noon(day("01-20")),
        priority="low",
    )
    opened = datetime(2025, 6, 1, 9, tzinfo=UTC)
    ticket = {"ticket_id": "t1", "customer_id": "user", "opened_at": opened, "priority": "low"}
    answered = ticket | {"first_response_at": opened + timedelta(hours=2)}
    world.record("raw_crm.tickets", day("06-01"), **answered)
    world.record("raw_crm.tickets", day("06-03"), **answered, closed_at=noon(day("06-03")), csat=4)
    urgent = datetime(2025, 6, 10, 10, tzinfo=UTC)
    told = {"ticket_id": "t2", "customer_id": "user", "opened_at": urgent, "priority": "urgent"}
    told["first_response_at"] = urgent + timedelta(hours=6)
    world.record("raw_crm.tickets", day("06-10"), **told)
    world.record("raw_crm.tickets", day("07-05"), **told, closed_at=noon(day("07-05")), csat=1)
    world.record(
        "raw_crm.nps", day("05-31"), response_id="n", customer_id="user", answered_on=day("05-31"), score=8
    )
    contact = {"contact_id": "c", "account_id": "acc", "role": "buyer", "is_champion": True}
    world.record("raw_crm.contacts", start, **contact)
    world.record("raw_crm.contacts", day("03-01"), **contact, left_on=day("03-01"))
    for number, (kind, happened) in enumerate(
        [("onboarding", date(2024, 1, 20)), ("call", day("06-10")), ("admin_login", day("06-27"))]
    ):
        world.record(
            "raw_crm.activities",
            happened,
            activity_id=str(number),
            account_id="acc",
            kind=kind,
            happened_at=noon(happened),
        )


def faders(world: Accounts) -> None:
    """Two that used 273 last October; since then 9 and 136.5, half as much as before."""
    start = date(2024, 1, 1)
    for name, now in (("fader", 9), ("steady", 136.5)):
        world.version(name, start, valid_from=start, amount_minor=10_000)
        for used, quantity in ((date(2024, 10, 1), 273), (day("06-01"), now)):
            world.record(
                "raw_billing.usage_days",
                used,
                subscription_item_id=f"{name}-item",
                meter="calls",
                used_on=used,
                quantity=float(quantity),
                active_users=None,
            )


def exported(world: Accounts) -> None:
    """Known to the CRM by an export that states no first days: the account always held, its call is dated."""
    start = date(2024, 1, 1)
    world.version("exported", start, valid_from=start, amount_minor=10_000)
    world.history(
        "raw_crm.accounts", account_id="exp", customer_id="exported", segment="mid", valid_from=None
    )
    world.history(
        "raw_crm.activities",
        activity_id="e",
        account_id="exp",
        kind="call",
        happened_at=noon(day("05-01")),
    )


def buyer(world: Accounts) -> None:
    """A subscriber who also orders, on 1 January, 1 April and 1 June; 5.00 of June is credited."""
    start = date(2024, 1, 1)
    world.version("buyer", start, valid_from=start, amount_minor=10_000)
    for number, (ordered, sku, amount) in enumerate(
        [("01-01", "a", 2_000), ("04-01", "a", 3_000), ("06-01", "b", 5_000), ("06-15", "b", -500)]
    ):
        world.record(
            "raw_orders.orders",
            day(ordered),
            order_id=f"o{number}",
            customer_id="buyer",
            ordered_at=noon(day(ordered)),
            currency="EUR",
            is_credit=amount < 0,
        )
        world.record(
            "raw_orders.order_lines",
            day(ordered),
            order_id=f"o{number}",
            line_no=1,
            sku=sku,
            quantity=1 if amount > 0 else -1,
            amount_minor=amount,
        )


def others(world: Accounts) -> None:
    """A discount watched and one imported, a trial, a test customer, and two of another currency."""
    start = date(2024, 1, 1)
    for name in ("discounted", "unsure"):
        world.version(name, start, valid_from=start, amount_minor=10_000)
    given = {"percent_ppm": 100_000, "duration": "repeating", "valid_from": start, "valid_to": day("08-01")}
    world.record(
        "raw_billing.discounts",
        start,
        discount_id="w",
        subscription_item_id="discounted-item",
        order_no=1,
        **given,
    )
    world.history(
        "raw_billing.discounts", discount_id="i", subscription_item_id="unsure-item", order_no=1, **given
    )
    world.version("trier", start, valid_from=start, amount_minor=10_000, status="trialing")
    world.version("tester", start, valid_from=start, amount_minor=10_000)
    for name, is_test in (("tester", True), ("grower", False)):
        world.record(
            "raw_billing.customers",
            start,
            customer_id=name,
            country="DE",
            segment="large",
            acquisition_channel="web",
            is_test=is_test,
            valid_from=start,
        )
    for plan, tier, is_add_on in (("base", "gold", False), ("extra", None, True)):
        world.record("raw_billing.plans", start, plan_id=plan, plan_tier=tier, is_add_on=is_add_on)


def hand_made_world() -> Accounts:
    """All of them in one company."""
    world = Accounts()
    for fill in (grower, renewer, prepaid, leavers, merged, debtor, user, faders, exported, buyer, others):
        fill(world)
    return world
