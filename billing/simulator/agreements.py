"""What each simulated customer agreed with the seller beside its plan: a pure plan, customer by customer.

Prepaid credit and vouchers, reductions, purchase orders, credit limits, what happens when goods run short,
and how a term is renewed. Nothing here ends a subscription; who is bound to fail to pay has no credit that
could pay instead of its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from billing.simulator.catalogue import LIST_RATES
from billing.simulator.causes import PAIN_MONTHS
from billing.simulator.life import Life, is_served
from billing.simulator.population import Calendar, Customer, Topic, is_head, stream

# Of those who are charged and can pay.
WALLET_SHARE = 0.12
VOUCHER_SHARE = 0.25
GOODWILL_SHARE = 0.80  # Of those among them whom short deliveries pain,
LATE_SHARE = 0.12  # and of the others, for a delivery that came late.
# Of those who pay for themselves.
WELCOME_SHARE = 0.12
LOYALTY_SHARE = 0.06
# Of those on net terms that stand alone.
ORDER_SHARE = 0.40
LIMIT_SHARE = 0.30
# Of those with a term.
STOCK_RULES = (("standing", 0.30), ("reserve_first", 0.30), ("skip_with_credit", 0.22), ("substitute", 0.18))
KITS_SHARE = 0.25
INDEX_SHARE = 0.70  # Of those with prices of their contract.
ACCEPTS_SHARE = 0.25
QUOTED_SHARE = 0.08  # Of these.
# Of those that come after the first month.
SET_UP_SHARE = 0.20
TAKEN_BACK_SHARE = 0.15  # Of these.

PREPAYS_AFTER_DAYS = 12
VOUCHER_AFTER_DAYS, VOUCHER_DAYS = 3, 10
VOUCHER_MONTHS = 6  # after the first.
SPRING = "Spring voucher"
ORDER_MONTHS = 12
ACCEPTED_DAYS_AHEAD = 40
# Budget of a purchase order, and credit limit, in usual months.
BUDGET_MONTHS = 8
LIMIT_MONTHS = 0.9


@dataclass(frozen=True)
class Voucher:
    """Balance given away: `share` of a usual month, from a day, until the day before it expires."""

    on: date
    share: Decimal
    expires_on: date | None
    reason: str


@dataclass(frozen=True)
class Agreements:
    """What a customer agreed. `prepays_from`: the day it buys balance for the first time. `set_up`: what the
    installation costs, in EUR; `is_set_up_free`: it is taken back later. `kits`: how many safety kits it
    takes with its plan from the first day on. `accepts_on`: the days it accepts
    one more term, where its contract does not renew by itself."""

    prepays_from: date | None = None
    vouchers: tuple[Voucher, ...] = ()
    discount: str | None = None
    has_seasonal_discount: bool = False
    needs_order: bool = False
    has_limit: bool = False
    kits: int = 0
    stock_rule: str = "standing"
    follows_index: bool = False
    renews_by_itself: bool = True
    accepts_on: tuple[date, ...] = ()
    is_quoted: bool = False
    set_up: Decimal | None = None
    is_set_up_free: bool = False


def agreements_of(seed: int, customer: Customer, life: Life, calendar: Calendar) -> Agreements:
    """What a customer agrees in its life. Pure: same arguments, same agreements."""
    u = [float(at) for at in stream(seed, Topic.AGREEMENTS, customer.number).random(16)]
    has_later = any(act.add_on == "safety" for act in life.acts)
    has_kits = customer.has_term and not has_later and u[14] < KITS_SHARE
    kits = max(1, customer.quantity // 5) if has_kits else 0
    if customer.is_site:
        # Its head pays, by what the head agreed.
        return Agreements(kits=kits, stock_rule=_rule(customer, u[4]))
    can_prepay = customer.is_charged and customer.causes.payment_from is None
    stands_alone = customer.dealings.pays_by_transfer and not is_head(customer.number)
    is_new = customer.start_month > 0
    discount = "welcome" if is_new and u[2] < WELCOME_SHARE else None
    if not is_new and u[2] < LOYALTY_SHARE:
        discount = "loyalty"
    accepts = customer.has_term and customer.causes.payment_from is None and u[5] < ACCEPTS_SHARE
    has_set_up = is_new and not customer.trial_days and u[7] < SET_UP_SHARE
    prepays_from = customer.anchor_on + timedelta(days=PREPAYS_AFTER_DAYS)
    return Agreements(
        prepays_from=prepays_from
        if can_prepay and u[0] < WALLET_SHARE and is_served(life, prepays_from)
        else None,
        vouchers=_vouchers(customer, life, calendar, u) if can_prepay else (),
        discount=discount,
        has_seasonal_discount=customer.group is not None,
        needs_order=stands_alone and u[3] < ORDER_SHARE,
        has_limit=stands_alone and u[9] < LIMIT_SHARE,
        kits=kits,
        stock_rule=_rule(customer, u[4]),
        follows_index=customer.dealings.prices == "contract" and u[15] < INDEX_SHARE,
        renews_by_itself=not accepts,
        accepts_on=_accepts_on(life) if accepts else (),
        is_quoted=u[6] < QUOTED_SHARE,
        set_up=Decimal(100 + 10 * int(30 * u[8])) if has_set_up else None,
        is_set_up_free=u[10] < TAKEN_BACK_SHARE,
    )


def _vouchers(customer: Customer, life: Life, calendar: Calendar, u: list[float]) -> tuple[Voucher, ...]:
    """A voucher that is used, or runs out before the next bill; and goodwill for short deliveries."""
    found = []
    if u[1] < VOUCHER_SHARE:
        on = _voucher_on(customer, calendar, int(u[11] * VOUCHER_MONTHS))
        days = VOUCHER_DAYS if u[12] < 0.5 else 90
        found.append(Voucher(on, Decimal("0.10"), on + timedelta(days=days), SPRING))
    since = customer.causes.support_from
    if since is not None and u[13] < GOODWILL_SHARE:
        on = calendar.day(since + PAIN_MONTHS - 1, 23)
        found.append(Voucher(on, Decimal("0.05"), None, "Goodwill for short deliveries"))
    if since is None and u[13] < LATE_SHARE:
        on = calendar.day(customer.start_month + 5, 23)
        found.append(Voucher(on, Decimal("0.03"), None, "Goodwill for a late delivery"))
    return tuple(one for one in found if is_served(life, one.on))


def _voucher_on(customer: Customer, calendar: Calendar, at: int) -> date:
    """When a voucher is given in one of the months it may be given in."""
    month = customer.start_month + 1 + at
    return calendar.day(month, customer.anchor_day) + timedelta(days=VOUCHER_AFTER_DAYS)


def can_surely_pay(agreed: Agreements, before: date) -> bool:
    """Whether a customer that is charged has, before a day, what nobody has whose payments will fail: a
    wallet, a voucher, a term that does not renew by itself."""
    days = [agreed.prepays_from, *(one.on for one in agreed.vouchers if one.reason == SPRING)]
    return not agreed.renews_by_itself or any(on is not None and on < before for on in days)


def unsure_share(customer: Customer, life: Life, calendar: Calendar, before: date) -> float:
    """How many of those who are charged and can pay have nothing of that before a day."""
    days = (_voucher_on(customer, calendar, at) for at in range(VOUCHER_MONTHS))
    given = sum(on < before and is_served(life, on) for on in days) / VOUCHER_MONTHS
    prepays = customer.anchor_on + timedelta(days=PREPAYS_AFTER_DAYS) < before
    return (
        (1 - VOUCHER_SHARE * given) * (1 - WALLET_SHARE * prepays) * (1 - ACCEPTS_SHARE * customer.has_term)
    )


def _accepts_on(life: Life) -> tuple[date, ...]:
    """Well before each term that is renewed ends, unless the customer is about to leave then."""
    days = [end - timedelta(days=ACCEPTED_DAYS_AHEAD) for end in life.renewed]
    return tuple(on for on in days if is_served(life, on + timedelta(days=5)))


def _rule(customer: Customer, at: float) -> str:
    if not customer.has_term:
        return "standing"
    for rule, share in STOCK_RULES:
        if at < share:
            return rule
        at -= share
    return STOCK_RULES[-1][0]


def usual_month(customer: Customer) -> Decimal:
    """About what a customer is billed a month, before tax, in whole tens of its currency."""
    in_euro = Decimal(250) + 43 * customer.quantity + round(Decimal("0.75") * Decimal(customer.refills))
    return _round(in_euro * LIST_RATES[customer.currency])


def usual_year(customer: Customer) -> Decimal:
    """The same of a year."""
    return 12 * usual_month(customer)


def _round(amount: Decimal) -> Decimal:
    tens = (amount / 10).quantize(Decimal(1), ROUND_HALF_UP)
    return max(tens, Decimal(1)) * 10
