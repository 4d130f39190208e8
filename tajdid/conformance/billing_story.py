"""Stories: what is given becomes acts on a fresh store with a set clock, and the invoices are read back.

The engine's own acts and jobs do the work: plans are published, the customer subscribes, changes, pauses and
cancels on its days, usage is imported, and the bill run is made after each fact and at the end of each day.
Only what a story's words say becomes an act; a word without an act is unsupported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Literal, cast

import polars as pl
from sqlalchemy import select

from billing.core.adjustments import net_of_gross, tax_of
from billing.core.calendar import add_months, local_date, midnight, parse_interval, period_containing
from billing.core.money import BillingError, parse_ppm
from billing.core.policy import policy_of
from billing.jobs.bill_run import bill, preview
from billing.jobs.import_usage import import_usage
from billing.service.charges import add_charge
from billing.service.commitments import change_commitment
from billing.service.customers import create_customer
from billing.service.drafts import drafts, freeze_quantities
from billing.service.ramps import Phase, agree_ramp
from billing.service.subscriptions import (
    NewContract,
    cancel,
    change_plan,
    change_quantity,
    pause,
    resume,
    subscribe,
)
from billing.service.transfers import receive_transfer
from billing.store.store import IdGenerator, Store, open_store
from billing.store.subscriptions import read_standing
from billing.store.tables import (
    applications,
    customers,
    invoices,
    items,
)
from tajdid.conformance.billing_answers import answer_of_store, last_due, left_out
from tajdid.conformance.billing_form import (
    Given,
    Unsupported,
    day_of,
    exact,
    instant_of,
    is_instant,
)
from tajdid.conformance.billing_kinds import Expect, Frame, frame_of
from tajdid.conformance.billing_plans import model_terms
from tajdid.conformance.billing_shop import Plan, Shop, open_shop, zero_fee_of

RUN_SETTINGS = (
    "day_count",
    "change_day",
    "cancel_day",
    "part_rounding",
    "credit_rounding",
    "interval_anchor",
    "trial_anchor",
    "trial_usage",
    "upgrade_when",
    "downgrade_when",
    "seat_decrease",
    "backdated_start",
    "usage_on_change",
    "end_day_usage",
    "late_usage",
    "grace_days",
    "credit_document",
    "credit_target",
    "zero_invoice",
    "tax_scope",
    "tax_base",
    "tax_point",
    "term_end",
    "on_cancel",
    "suspension_billing",
    "flat_fee_on_zero",
    "progressive_display",
    "percentage_free",
    "true_up_rounding",
    "horizon_months",
)
"""The settings a bill run obeys in a story; a case that asks for another is unsupported."""

CUSTOMER, SUBSCRIPTION = "customer", "subscription"
LAST_USAGE, RATED_USAGE, ALL_USAGE = "last_usage", "rated_usage", "usage"
MAX_DAYS = 4000


@dataclass(frozen=True)
class Act:
    """One fact on the clock, followed by a run. Usage of a day is known before the day's other facts
    (`is_usage`). What only looks, or holds a draft, is `quiet`: no run follows."""

    at: datetime
    do: Callable[["Stage"], object]
    is_usage: bool = False
    is_quiet: bool = False


@dataclass(frozen=True)
class _Already:
    """What an invoice of before the story charged for a period."""

    period: tuple[date, date]
    amount: str
    quantity: str | None

    @staticmethod
    def read(given: Given, zone: str) -> "_Already":
        start, end = (day_of(day, zone) for day in given.need("period"))
        amount, quantity = given.need("amount"), given.take("quantity")
        given.done()
        return _Already((start, end), amount, None if quantity is None else str(quantity))


def _as_one(acts: list[Act]) -> list[Act]:
    """What one entry says is one fact, with one run after it."""
    return [Act(acts[0].at, lambda stage: [act.do(stage) for act in acts])] if len(acts) > 1 else acts


@dataclass
class Stage:
    """The store on which a story is played, and the clock."""

    store: Store
    at: datetime


class Story:
    """Reads what is given into plans, a calendar and acts."""

    def __init__(self, frame: Frame, expect: Expect) -> None:
        self.frame, self.given, self.expect = frame, frame.given, expect
        self.zone = str(self.given.take("timezone", "UTC"))
        self.acts: list[Act] = []
        self.changed: tuple[date, date] | None = None
        self.tax_ppm = parse_ppm(self.given.take("tax_percent", "0"))
        period = self.given.take("period")
        self.period = None if period is None else (self.day(period[0]), self.day(period[1]))
        self.already = [_Already.read(one, self.zone) for one in self.given.each("already_invoiced")]
        if self.period is None and self.already:
            self.period = min(one.period for one in self.already)
        self.interval = self.given.take("interval") or self._interval_of_period()
        self.billing = self.given.take("billing")
        self.cancel_at = self.given.take("cancel")
        self.timeline = self.given.each("timeline")
        self.plans = self._plans()
        self.zero_fee = zero_fee_of(list(self.plans.values()))
        self.commitment = self.given.take("commitment")
        self.thresholds = self.given.take("thresholds")
        self.paid, payments = self.given.take("paid"), self.given.take("payments")
        if payments not in (None, "all paid") or (payments and self.paid is not None):
            raise Unsupported(f"payments {payments!r}")
        self.pays_all = payments is not None
        self.usage_invoice = self.given.take("usage_invoice")
        if self.usage_invoice is not None:
            self._sell_usage()
        self.days_named: list[date] = []
        self.all_usage = self._usage_at_once()
        self.frozen_at = self.instant(self.given.take("frozen_at")) if "frozen_at" in self.given else None
        self.totals: dict[int, int] = {}
        """The totals of the states that are asked for, by their place."""
        self._read_states()
        self._read_usage()
        self._read_already()
        self._read_timeline()
        self._read_change()
        self._read_block()
        self.start = self._start()
        if self.all_usage is not None:
            self._use(ALL_USAGE, self.start, self.all_usage, self.start)
        self.term: NewContract | None = None
        self._read_end()
        self._read_cancel()
        self.anchor = self._anchor()
        self.held_from = self._read_frozen()
        self.created = self.day(self.given.take("created")) if "created" in self.given else None
        applied = self.given.take("applied")
        self.only_run = None if applied is None else self.instant(applied)
        self.given.done()
        self.last = self._last_day()

    def day(self, text: Any) -> date:
        return day_of(text, self.zone)

    def instant(self, text: Any) -> datetime:
        return instant_of(text, self.zone)

    def add(self, at: datetime, do: Callable[[Stage], object]) -> None:
        self.acts.append(Act(at, do))

    # Reading.

    def _interval_of_period(self) -> str:
        """The length of the running period, else a month."""
        if self.period is None:
            return "P1M"
        start, end = self.period
        months = (end.year - start.year) * 12 + end.month - start.month
        if months and add_months(start, months) == end:
            return f"P{months}M"
        return f"P{(end - start).days}D"

    def _plans(self) -> dict[str, Plan]:
        given = self.given
        if "plans" in given:
            plans = [self._plan(str(one.need("id")), one) for one in given.each("plans")]
        elif "old" in given:
            plans = [self._plan(name, given.inner(name)) for name in ("old", "new") if name in given]
        else:
            plans = [self._plan("plan", given)]
            return {"plan": plans[0]}
        for key in ("discount", "coupon", "discount_percent"):
            if key in given and "old" in {plan.plan_id for plan in plans}:
                size, kind = str(given.take(key)), "percent" if key == "discount_percent" else "amount"
                for plan in plans:
                    plan.discounts.append((kind, size))
        return {plan.plan_id: plan for plan in plans}

    def _plan(self, plan_id: str, given: Given) -> Plan:
        """`price` or `fee` is the fee; `unit_price` or a model prices units or usage, whichever is told."""
        is_own = given is not self.given
        plan = Plan(plan_id, given.take("interval", None) if is_own else None)
        plan.trial_days = int(given.take("trial_days", 0))
        plan.add_parts(given)
        if is_own and "discount_percent" in given:
            plan.discounts.append(("percent", str(given.take("discount_percent"))))
        for key in ("fee", "plan_fee", "price"):
            if key in given:
                price = given.take(key)
                if isinstance(price, str):
                    plan.components["fee"] = ("fee", {"model": "flat", "price": price})
                else:
                    self._metered(plan, model_terms(Given(price, f"{given.path}.{key}")))
        if "unit_price" in given:
            self._metered(plan, {"model": "per_unit", "price": given.take("unit_price")})
        for key in sorted(given.keys()):
            if not key.endswith("_price"):
                continue
            terms = {"model": "per_unit", "price": given.take(key)}
            plan.components[key.removesuffix("_price")] = ("usage", terms)
        if is_own:
            given.done()
        if not plan.components:
            raise Unsupported(f"{given.path} without a price")
        return plan

    def _metered(self, plan: Plan, terms: dict[str, Any]) -> None:
        """Units a customer holds are seats; units used are usage."""
        told = self.given.keys()
        has_units = any("units" in entry for entry in self.timeline) or "quantity" in told
        has_usage = bool(told & {"events", "usage", "units_per_day"})
        has_usage = has_usage or any("usage" in entry for entry in self.timeline)
        if has_units == has_usage:
            raise Unsupported("units and usage told apart")
        plan.components["units"] = ("seat" if has_units else "usage", terms)

    def _read_states(self) -> None:
        """States with a total: read at their time of day, or at the end of their day."""
        self.at_end: list[tuple[date, int]] = []
        for place, state in enumerate(self.expect.get("states", [])):
            if "total" not in state:
                continue
            if is_instant(state["at"]):
                at = self.instant(state["at"])
                reading = partial(self._read_total, place, local_date(at, self.zone))
                self.acts.append(Act(at, reading, is_quiet=True))
            else:
                self.at_end.append((self.day(state["at"]), place))

    def _read_total(self, place: int, on: date, stage: Stage) -> None:
        """What the invoice of a day comes to: the draft there is, else the last that was issued."""
        if self.held_from is not None and self.held_from <= on:
            found = preview(stage.store, stage.at, customer_id=CUSTOMER, up_to=on).documents
        else:
            found = drafts(stage.store, stage.at, up_to=on).documents
        if found.height:
            self.totals[place] = found.item(-1, "total_minor")
            return
        issued = select(invoices.c.total_minor).where(invoices.c.number.is_not(None))
        last = stage.store.row(issued.order_by(invoices.c.invoice_id.desc()).limit(1))
        if last is not None:
            self.totals[place] = last["total_minor"]

    def _read_frozen(self) -> date | None:
        """A draft whose quantities are frozen at a moment, a line added to it last of all, and only then
        issued: from the day it became due no run is made."""
        added = self.given.take("add_line")
        if self.frozen_at is None:
            if added is not None:
                raise Unsupported("add_line without frozen_at")
            return None
        on = local_date(self.frozen_at, self.zone)
        self.add(self.frozen_at, lambda stage: freeze_quantities(stage.store, stage.at, customer_id=CUSTOMER))
        interval = parse_interval(self._interval(self.first_plan))
        due_on = period_containing(self.anchor or local_date(self.start, self.zone), interval, on).start
        self.added = None if added is None else str(added)
        return due_on

    @property
    def _is_timed(self) -> bool:
        """The story tells usage that came before a moment of a day from what came after it."""
        return self.frozen_at is not None or any("total" in one for one in self.expect.get("states", []))

    def _read_usage(self) -> None:
        for event in self.given.each("events"):
            key = "usage_at" if "usage_at" in event else "usage_date"
            at, value = self.instant(event.need(key)), event.need("value")
            is_timed = "recorded_at" in event and self._is_timed
            recorded = self.instant(event.take("recorded_at")) if "recorded_at" in event else at
            event.done()
            self._use("units", at, value, max(recorded, at), is_timed=is_timed)
        for one in self.given.each("usage"):
            if "amount" in one:
                at = self.instant(one.need("at"))
                for plan in self.plans.values():
                    plan.components[RATED_USAGE] = ("usage", {"model": "dynamic"})
                self._use(RATED_USAGE, at, one.need("amount"), at)
                one.done()
                continue
            start, end = (self.day(day) for day in one.need("period"))
            at = midnight(start, self.zone)
            if not start < end:
                raise Unsupported("usage of an empty period")
            self._use(str(one.need("metric")), at, one.need("quantity"), at)
            one.done()
        if "units_per_day" in self.given:
            value = self.given.take("units_per_day")
            if self.period is None:
                raise Unsupported("units_per_day without a period")
            for offset in range((self.period[1] - self.period[0]).days):
                at = midnight(self.period[0] + timedelta(days=offset), self.zone)
                self._use("units", at, value, at)

    def _usage_at_once(self) -> Any:
        """`usage` as one object: so much of it at one price in the first period."""
        if not isinstance(self.given.peek("usage"), Mapping):
            return None
        usage = self.given.inner("usage")
        price, amount = usage.need("unit_price"), usage.need("quantity")
        usage.done()
        for plan in self.plans.values():
            plan.components[ALL_USAGE] = ("usage", {"model": "per_unit", "price": price})
        return amount

    def _read_already(self) -> None:
        """Invoices of before are played like the rest, and must come to the same amounts."""
        for one in self.already:
            if one.quantity is None:
                continue
            at = midnight(one.period[0], self.zone)
            kinds = {kind for plan in self.plans.values() for kind, _ in plan.components.values()}
            if "usage" in kinds:
                self._use("units", at, one.quantity, at)
            elif "seat" in kinds and not hasattr(self, "units"):
                self.units = one.quantity
            elif "seat" in kinds:
                self._set_units(at, one.quantity)
            else:
                raise Unsupported("a quantity of a fee")

    def _sell_usage(self) -> None:
        """Usage of 1 a unit, so that an invoice of it can come to any amount."""
        for plan in self.plans.values():
            plan.components[LAST_USAGE] = ("usage", {"model": "per_unit", "price": "1"})

    def _use_at_end(self, at: datetime) -> None:
        """Usage that makes the invoice at the cancellation come to its gross amount."""
        money = self.frame.money
        gross = money.minor(self.usage_invoice)
        net = cast(int, net_of_gross(gross, self.tax_ppm, money.mode))
        if net + tax_of(net, 1, self.tax_ppm, money.mode) != gross:
            raise Unsupported(f"usage_invoice {self.usage_invoice!r} of no net")
        self._use(LAST_USAGE, at, str(Decimal(net).scaleb(-money.exponent)), at)

    def _use(
        self, metric: str, at: datetime, value: Any, recorded: datetime, *, is_timed: bool = False
    ) -> None:
        self.days_named.append(local_date(at, self.zone))
        number = len(self.acts)
        self.acts.append(
            Act(
                recorded,
                lambda stage: _import(stage, number, metric, at, str(value)),
                is_usage=not is_timed,
                is_quiet=is_timed,
            )
        )

    def _read_timeline(self) -> None:
        """Entries as acts; the first that starts a plan, or names units, is the start itself."""
        self.told: list[datetime] = []
        started = bool(self.already) or "start" in self.given or "quantity" in self.given
        for entry in self.timeline:
            at, words = self.instant(entry.need("at")), str(entry.take("do", "")).split()
            when, units, usage = entry.take("when"), entry.take("units"), entry.take("usage")
            entry.done()
            self.told.append(at)
            if not words and units is None and usage is None:
                raise Unsupported("an entry of the timeline that does nothing")
            if when not in (None, "period_end") or (when and words[:1] != ["change"]):
                raise Unsupported(f"when {when!r}")
            if usage is not None:
                self._use("units", at, usage, at)
            starts = words[:1] in (["start"], ["bill"]) and (words != ["bill"] or self.period is None)
            if not started and (starts or units is not None):
                started = True
                self._begin(at, words, units)
                continue
            before = len(self.acts)
            self._act(at, words, when)
            if units is not None:
                self._set_units(at, str(units))
            self.acts[before:] = _as_one(self.acts[before:])

    def _begin(self, at: datetime, words: list[str], units: Any) -> None:
        if words and (words[0] not in ("start", "bill") or len(words) > 2):
            raise Unsupported(f"do {' '.join(words)!r}")
        self.begins_at, self.first_plan = at, self._named(words[1] if len(words) == 2 else None)
        if units is not None:
            self.units = str(units)

    def _act(self, at: datetime, words: list[str], when: str | None) -> None:
        """One entry's words. `change` acts now or at the period's end, `request` by the policy."""
        if not words or words == ["bill"]:
            return
        if words[:2] == ["change", "to"] and len(words) == 3:
            self._change(at, self._named(words[2]), "period_end" if when else "now")
        elif words[0] == "request" and len(words) == 2:
            self._change(at, self._named(words[1]), None)
        elif words == ["pause"]:
            self.add(at, lambda stage: pause(stage.store, stage.at, subscription_id=SUBSCRIPTION))
        elif words == ["resume"]:
            self.add(at, lambda stage: resume(stage.store, stage.at, subscription_id=SUBSCRIPTION))
        else:
            raise Unsupported(f"do {' '.join(words)!r}")

    def _change(self, at: datetime, plan: Plan, when: Literal["now", "period_end"] | None) -> None:
        def change(stage: Stage) -> None:
            after = change_plan(
                stage.store,
                stage.at,
                subscription_id=SUBSCRIPTION,
                plan_id=plan.plan_id,
                when=when,
                trial_days=plan.trial_days or None,
            )
            if any(other.discounts != plan.discounts for other in self.plans.values()):
                on = min(
                    one.effective_start for one in after.main_item.versions if one.plan_id == plan.plan_id
                )
                on = max(on, local_date(stage.at, self.zone))
                phase = Phase(on, discount_ids=plan.discount_ids)
                agree_ramp(stage.store, stage.at, subscription_id=SUBSCRIPTION, phases=[phase])
            self._keep_commitment(stage)

        self.add(at, change)

    def _set_units(self, at: datetime, units: str) -> None:
        def change(stage: Stage) -> None:
            change_quantity(stage.store, stage.at, subscription_id=SUBSCRIPTION, quantity=units)
            self._keep_commitment(stage)

        self.add(at, change)

    def _keep_commitment(self, stage: Stage) -> None:
        """A period's commitment is the same on any plan and quantity: what lies beyond them follows."""
        if self.commitment is None:
            return
        today, whole = local_date(stage.at, self.zone), self.frame.money.minor(self.commitment)
        item = read_standing(stage.store, stage.at, SUBSCRIPTION).subscription.main_item
        for version in item.versions:
            beyond = max(whole - version.recurring_minor, 0)
            is_over = version.effective_end is not None and version.effective_end <= today
            if not is_over and version.committed_minimum_minor != beyond:
                change_commitment(
                    stage.store,
                    stage.at,
                    subscription_id=SUBSCRIPTION,
                    committed_minimum_minor=beyond,
                    when=max(version.effective_start, today),
                )

    def _named(self, name: str | None) -> Plan:
        if name is None and len(self.plans) == 1:
            return next(iter(self.plans.values()))
        if name not in self.plans:
            raise Unsupported(f"a plan {name!r}")
        return self.plans[str(name)]

    def _read_change(self) -> None:
        """`old` and `new`, changed at one moment, or by a downgrade asked for (`request_downgrade`)."""
        if "request_downgrade" in self.given:
            self.first_plan = self._named("old")
            self._change(self.instant(self.given.take("request_downgrade")), self._named("new"), None)
        if "change_at" not in self.given:
            return
        at = self.instant(self.given.take("change_at"))
        self.changed = (local_date(at, self.zone), local_date(at, self.zone))
        self.first_plan = self._named("old")
        self._change(at, self._named("new"), "now")

    def _read_block(self) -> None:
        """Suspended for overdue money from one day, cleared on another."""
        if "blocked_from" not in self.given:
            return
        blocked, cleared = self.given.take("blocked_from"), self.given.need("cleared")
        self.changed = (self.day(blocked), self.day(cleared))
        self.given.drop("cleared")
        self.add(
            self.instant(blocked),
            lambda stage: pause(stage.store, stage.at, subscription_id=SUBSCRIPTION, cause="overdue"),
        )
        self.add(
            self.instant(cleared),
            lambda stage: resume(stage.store, stage.at, subscription_id=SUBSCRIPTION),
        )

    def _start(self) -> datetime:
        """As told, else with the first entry that starts a plan, else with the period, else on a boundary."""
        if not hasattr(self, "first_plan"):
            self.first_plan = self._named(None)
        self.billing_day = self.given.take("billing_day")
        self.anchor_told = self.given.take("anchor")
        self.units = str(self.given.take("quantity", getattr(self, "units", "1")))
        if "start" in self.given:
            return self.instant(self.given.take("start"))
        if hasattr(self, "begins_at"):
            return self.begins_at
        if self.period is not None:
            return midnight(self.period[0], self.zone)
        moments = [act.at for act in self.acts]
        if self.cancel_at is not None:
            moments.append(self.instant(self.cancel_at))
        if not moments:
            raise Unsupported("a story without a beginning")
        first_day = local_date(min(moments), self.zone)
        anchor = self._anchor_day(first_day)
        if anchor is None:
            raise Unsupported("a beginning on a boundary without an anchor")
        interval = parse_interval(self._interval(self.first_plan))
        return midnight(period_containing(anchor, interval, first_day).start, self.zone)

    def _interval(self, plan: Plan) -> str:
        return plan.interval or str(self.interval)

    def _anchor(self) -> date | None:
        """The day boundaries are counted from; None lets the start (or the trial's end) be it."""
        if self.anchor_told is None and self.billing_day is None:
            return None if self.period is None else self.period[0]
        return self._anchor_day(local_date(self.start, self.zone))

    def _anchor_day(self, on: date) -> date | None:
        told = self.anchor_told
        if told == "calendar":
            return on.replace(day=1)
        if told == "anniversary":
            return None
        if told is not None:
            return self.day(told)
        if self.billing_day is None:
            return None
        return _billing_day_on_or_before(on, int(self.billing_day))

    def _read_end(self) -> None:
        """A term that ends: known from the start."""
        if "end" not in self.given:
            return
        ends_on = self.day(self.given.take("end"))
        self.days_named.append(ends_on)
        begins = local_date(self.start, self.zone) + timedelta(days=self.first_plan.trial_days)
        if begins < ends_on:
            self.term = NewContract(term=f"P{(ends_on - begins).days}D", auto_renew=False)
        self.add(
            self.start,
            lambda stage: cancel(
                stage.store, stage.at, subscription_id=SUBSCRIPTION, when=ends_on, reason="other"
            ),
        )

    def _read_cancel(self) -> None:
        if self.cancel_at is None:
            if self.usage_invoice is not None:
                raise Unsupported("usage_invoice without a cancellation")
            return
        at = max(self.instant(self.cancel_at), self.start)
        if self.usage_invoice is not None:
            self._use_at_end(at)
        self.add(
            at,
            lambda stage: cancel(
                stage.store, stage.at, subscription_id=SUBSCRIPTION, when="now", reason="other"
            ),
        )

    def _last_day(self) -> date:
        """The latest day named in what is given, or as an `at` of what is expected."""
        start = local_date(self.start, self.zone)
        days = [start, *self.days_named, *(local_date(act.at, self.zone) for act in self.acts)]
        days += [local_date(moment, self.zone) for moment in self.told]
        days += [self.created] if self.created else []
        days += list(self.period or ())
        for key in ("invoices", "credit_notes", "states"):
            days += [self.day(entry["at"]) for entry in self.expect.get(key, []) if "at" in entry]
        if self.only_run is not None:
            return local_date(self.only_run, self.zone)
        last = max(days)
        if (last - start).days > MAX_DAYS:
            raise Unsupported(f"a story of more than {MAX_DAYS} days")
        if last > start:
            return last
        interval = parse_interval(self._interval(self.first_plan))
        anchor = self.anchor or start
        return period_containing(anchor, interval, start).end

    # Playing.

    def play(self) -> Store:
        """Act on a fresh store, day by day, with a run after each fact and at the end of each day."""
        store = open_store("sqlite://", IdGenerator(1))
        store.migrate()
        started = max(self.start, midnight(self.created, self.zone)) if self.created else self.start
        self._set_up(store, min([started, *(act.at for act in self.acts)]) - timedelta(days=1))
        day = min(local_date(act.at, self.zone) for act in [Act(started, self._subscribe), *self.acts])
        now = midnight(day, self.zone)
        while day <= self.last:
            now = max(now, midnight(day, self.zone))
            ends = midnight(day + timedelta(days=1), self.zone)
            todays = [act for act in self.acts if midnight(day, self.zone) <= act.at < ends]
            if local_date(started, self.zone) == day:
                todays.insert(0, Act(started, self._subscribe))
            for act in sorted(todays, key=lambda act: (act.do != self._subscribe, not act.is_usage, act.at)):
                now = now if act.is_usage else max(now, act.at)
                act.do(Stage(store, now))
                if self._runs_on(day) and not act.is_quiet:
                    self._run(store, now, day)
                # No two runs share an instant, so what one of them recorded can be told from the rest.
                now += timedelta(seconds=1)
            now = max(now, ends - timedelta(seconds=1))
            if self.held_from is not None and day == self.last:
                self._issue_held(Stage(store, now))
            elif self._runs_on(day):
                self._run(store, now, day)
            for on, place in self.at_end:
                if on == day:
                    self._read_total(place, on, Stage(store, now))
            day += timedelta(days=1)
        if self.only_run is not None:
            self._run(store, max(now, self.only_run), local_date(self.only_run, self.zone))
        if self.paid is not None:
            raise Unsupported("paid without an invoice")
        return store

    def _runs_on(self, day: date) -> bool:
        return self.only_run is None and not (self.held_from and self.held_from <= day)

    def _issue_held(self, stage: Stage) -> None:
        """The added line, then the run that issues the draft."""
        if self.added is not None:
            add_charge(
                stage.store,
                stage.at,
                subscription_id=SUBSCRIPTION,
                description="Added",
                amount=self.added,
                charged_on=self.last,
            )
        self._run(stage.store, stage.at, self.last)

    def _run(self, store: Store, now: datetime, up_to: date) -> None:
        """A bill run; `paid` comes in with the first invoice, and where all is paid what is due of each."""
        bill(store, now, up_to=up_to)
        if self.pays_all:
            self._pay_all(store, now)
        first = store.rows(select(invoices.c.invoice_id).where(invoices.c.number.is_not(None)))
        if self.paid is None or not first:
            return
        amount, self.paid = self.frame.money.minor(self.paid), None
        try:
            if amount:
                receive_transfer(store, now, invoice_id=first[0]["invoice_id"], amount_minor=amount)
        except BillingError as error:
            raise Unsupported(f"paid: {error}") from error

    def _pay_all(self, store: Store, now: datetime) -> None:
        for invoice in store.rows(select(invoices).where(invoices.c.state == "open")):
            paid = select(applications).where(applications.c.invoice_id == invoice["invoice_id"])
            left = invoice["total_minor"] - sum(one["amount_minor"] for one in store.rows(paid))
            if left > 0:
                receive_transfer(store, now, invoice_id=invoice["invoice_id"], amount_minor=left)

    def _set_up(self, store: Store, at: datetime) -> None:
        shop = Shop(
            list(self.plans.values()),
            self.frame,
            str(self.interval),
            self.tax_ppm,
            self.billing,
            self.thresholds,
        )
        open_shop(store, at, shop)
        create_customer(
            store,
            at,
            customer_id=CUSTOMER,
            name="Customer",
            entity_id="seller",
            currency=self.frame.money.code,
            country="DE",
            time_zone=self.zone,
        )

    def _subscribe(self, stage: Stage) -> None:
        subscribe(
            stage.store,
            stage.at,
            customer_id=CUSTOMER,
            plan_id=self.first_plan.plan_id,
            quantity=self.units,
            subscription_id=SUBSCRIPTION,
            starts_on=local_date(self.start, self.zone),
            trial_days=self.first_plan.trial_days,
            anchor_on=self.anchor,
            contract=self.term,
            discount_ids=self.first_plan.discount_ids,
        )
        self._keep_commitment(stage)


def _billing_day_on_or_before(on: date, billing_day: int) -> date:
    """The last billing day on or before a date, in a month that has the day, so that it can be an anchor."""
    if not 1 <= billing_day <= 31:
        raise Unsupported(f"billing_day {billing_day}")
    for months in range(0, -12, -1):
        first = add_months(on.replace(day=1), months)
        if add_months(first, 1) - first >= timedelta(days=billing_day):
            candidate = first.replace(day=billing_day)
            if candidate <= on:
                return candidate
    raise Unsupported(f"billing_day {billing_day}")


def _import(stage: Stage, number: int, metric: str, at: datetime, value: str) -> None:
    """One usage event of the customer's item, as a batch of one."""
    item = stage.store.rows(select(items.c.item_id))
    if not item:
        raise Unsupported("usage before the start")
    event = {
        "source": "story",
        "event_id": f"event-{number}",
        "item_id": item[0]["item_id"],
        "meter_id": metric,
        "occurred_at": at,
        "value": value,
    }
    answer = import_usage(stage.store, stage.at, pl.DataFrame([event]))
    if answer.rejected.height:
        raise Unsupported(f"usage refused: {answer.rejected.row(0, named=True)}")


# Answering.


def tell(case: Mapping[str, Any], expect: Expect) -> dict[str, Any]:
    """Play the story and answer what it left behind."""
    frame = frame_of(case, *RUN_SETTINGS)
    if "on_cancel" in frame.given:
        settings = asdict(frame.convention.policy) | {"on_cancel": frame.given.take("on_cancel")}
        frame = replace(frame, convention=replace(frame.convention, policy=policy_of(settings)))
    if "frozen_at" in frame.given:
        # The moment is told; no days of grace hold the draft beside it.
        settings = asdict(frame.convention.policy) | {"grace_days": 0}
        frame = replace(frame, convention=replace(frame.convention, policy=policy_of(settings)))
    story = Story(frame, expect)
    if story.zero_fee is not None:
        settings = asdict(frame.convention.policy) | {"flat_fee_on_zero": story.zero_fee}
        story.frame = replace(frame, convention=replace(frame.convention, policy=policy_of(settings)))
    with story.play() as store:
        answer = answer_of_store(frame.money, store)
        following = store.rows(select(customers.c.next_bill_on).where(customers.c.customer_id == CUSTOMER))
        answer |= last_due(frame.money, store)
        if "not_billed" in expect:
            answer["not_billed"] = left_out(store, expect["not_billed"])
    _leave_out(answer, story.already)
    answer["next_invoice"] = following[0]["next_bill_on"]
    answer["account_credit"] = sum((note["left"] for note in answer["credit_notes"]), Fraction(0))
    if "states" in expect:
        answer["states"] = [
            {"at": state["at"]}
            | ({"total": frame.money.major(story.totals[place])} if place in story.totals else {})
            for place, state in enumerate(expect["states"])
        ]
    if "lines" in expect or "net" in expect:
        posted = _posted_lines(answer, story.changed)
        answer |= {"lines": posted, "net": sum((line["amount"] for line in posted), Fraction(0))}
    return answer | _sizes(answer, story.changed, expect)


def _leave_out(answer: dict[str, Any], already: Sequence[_Already]) -> None:
    """Take the invoices of before out of the answer. Unsupported where they would have been others."""
    for one in already:
        for invoice in answer["invoices"]:
            found = [
                line
                for line in invoice["lines"]
                if tuple(line["period"]) == one.period and line["amount"] == exact(one.amount)
            ]
            if found:
                invoice["lines"].remove(found[0])
                break
        else:
            raise Unsupported(f"already_invoiced of other terms: {one.amount}")
    if already:
        answer["invoices"] = [invoice for invoice in answer["invoices"] if invoice["lines"]]


def _sizes(answer: Mapping[str, Any], changed: tuple[date, date] | None, expect: Expect) -> dict[str, Any]:
    """Credits and charges as positive sizes: all that was credited, what a change posts, and true-ups."""
    every = [line for invoice in answer["invoices"] for line in invoice["lines"]]
    credits = [-line["amount"] for line in every if line["amount"] < 0]
    credits += [line["net"] for note in answer["credit_notes"] for line in note["lines"]]
    missing = [line for line in every if line["kind"] == "true_up"]
    sizes: dict[str, Any] = {
        "credits": sum(credits, Fraction(0)),
        "true_ups": [line["amount"] for line in sorted(missing, key=lambda line: line["period"])],
    }
    if changed is not None:
        posted = [line["amount"] for line in _posted_lines(answer, changed)]
        sizes["credit_lines"] = _ordered([-one for one in posted if one < 0], expect.get("credit_lines"))
        sizes["charge_lines"] = _ordered([one for one in posted if one > 0], expect.get("charge_lines"))
    return sizes


def _ordered(got: list[Fraction], expected: Any) -> list[Fraction]:
    """Lines of one invoice come in any order: the expected one where they are the same."""
    wanted = [exact(one) for one in expected] if isinstance(expected, list) else got
    return wanted if sorted(wanted) == sorted(got) else got


def _posted_lines(answer: Mapping[str, Any], changed: tuple[date, date] | None) -> list[dict[str, Any]]:
    """What a change (or a block up to its clearing) posts: lines of invoices, and of notes as negatives."""
    if changed is None:
        raise Unsupported("lines without a change")
    first, last = changed
    lines = [line for one in answer["invoices"] if first <= one["at"] <= last for line in one["lines"]]
    for note in answer["credit_notes"]:
        if first <= note["at"] <= last:
            lines += [{"period": line["period"], "amount": -line["net"]} for line in note["lines"]]
    return lines
