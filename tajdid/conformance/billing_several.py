"""Stories of several: children invoiced to their parent, and one customer with several subscriptions."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing.core.calendar import local_date, midnight, parse_interval, period_containing
from billing.core.money import parse_ppm
from billing.jobs.bill_run import bill
from billing.service.catalog import create_payment_terms
from billing.service.customers import create_customer
from billing.service.subscriptions import subscribe
from billing.store.store import IdGenerator, Store, open_store
from tajdid.conformance.billing_answers import answer_of_store
from tajdid.conformance.billing_form import Unsupported, day_of, exact
from tajdid.conformance.billing_kinds import Expect, Frame, frame_of
from tajdid.conformance.billing_shop import Plan, Shop, open_shop
from tajdid.conformance.billing_story import CUSTOMER, RUN_SETTINGS


def _fee_plan(name: str, price: Any, interval: str) -> Plan:
    return Plan(f"plan-{name}", interval, components={"fee": ("fee", {"model": "flat", "price": price})})


def _customer(store: Store, at: datetime, frame: Frame, name: str, **about: Any) -> None:
    create_customer(
        store,
        at,
        customer_id=name,
        name=name,
        entity_id="seller",
        currency=frame.money.code,
        country="DE",
        **about,
    )


def _anchor_on(anchor: Any, day: date, zone: str) -> date | None:
    if anchor == "anniversary":
        return None
    return day.replace(day=1) if anchor == "calendar" else day_of(anchor, zone)


def consolidated(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """Children billed to their parent: each subscribes on one day, and one run invoices them."""
    frame = frame_of(case)
    plans = {}
    for child in frame.given.each("children"):
        name = str(child.need("id"))
        plans[name] = _fee_plan(name, child.need("charge"), "P1M")
        child.done()
    tax_ppm = parse_ppm(frame.given.take("tax_percent", "0"))
    frame.given.done()
    at = datetime(2024, 1, 1, tzinfo=UTC)
    with open_store("sqlite://", IdGenerator(1)) as store:
        store.migrate()
        open_shop(store, at, Shop(list(plans.values()), frame, "P1M", tax_ppm))
        _customer(store, at, frame, "parent")
        for name, plan in plans.items():
            _customer(store, at, frame, name, parent_id="parent", bill_to_id="parent")
            subscribe(store, at, customer_id=name, plan_id=plan.plan_id)
        bill(store, at, up_to=at.date())
        return answer_of_store(frame.money, store)


def subscriptions(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """One customer's subscriptions, each from its day on, with a run at the end of each day.

    The engine's payment terms are the payer's, so subscriptions with different ones are unsupported.
    """
    frame = frame_of(case, *RUN_SETTINGS)
    given = frame.given
    zone, interval = str(given.take("timezone", "UTC")), str(given.take("interval", "P1M"))
    anchor, billing = given.take("anchor", "anniversary"), given.take("billing")
    tax_ppm = parse_ppm(given.take("tax_percent", "0"))
    told = []
    for i, one in enumerate(given.each("subscriptions")):
        plan = _fee_plan(str(i), one.need("price"), str(one.take("interval", interval)))
        told.append((plan, day_of(one.need("start"), zone), one.take("net_days")))
        one.done()
    given.done()
    terms = {None if days is None else int(exact(days)) for _, _, days in told}
    if len(terms) > 1:
        raise Unsupported("payment terms of single subscriptions")
    starts = [start for _, start, _ in told]
    day, last = min(starts), max(starts)
    named = [entry["at"] for entry in expect.get("invoices", []) if "at" in entry]
    last = max([last, *(day_of(at, zone) for at in named)])
    if last == day:
        last = period_containing(day, parse_interval(interval), day).end
    opened = midnight(day, zone) - timedelta(days=1)
    with open_store("sqlite://", IdGenerator(1)) as store:
        store.migrate()
        open_shop(store, opened, Shop([plan for plan, _, _ in told], frame, interval, tax_ppm, billing))
        net_days = terms.pop()
        if net_days is not None:
            create_payment_terms(store, opened, terms_id="terms", net_days=net_days)
        terms_id = None if net_days is None else "terms"
        _customer(store, opened, frame, CUSTOMER, time_zone=zone, terms_id=terms_id)
        while day <= last:
            now = midnight(day, zone)
            for plan, start, _ in told:
                if start == day:
                    anchor_on = _anchor_on(anchor, day, zone)
                    subscribe(store, now, customer_id=CUSTOMER, plan_id=plan.plan_id, anchor_on=anchor_on)
            day += timedelta(days=1)
            ends = midnight(day, zone) - timedelta(seconds=1)
            bill(store, ends, up_to=local_date(ends, zone))
        return answer_of_store(frame.money, store)
