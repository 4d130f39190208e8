"""When a failed payment is tried again, and when overdue money is asked for.

Plain schedules of values: which attempts are made, and what follows the last. Making them, and acting on the
subscription, is the work of the jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from billing.core.money import BillingError

DeclineClass: TypeAlias = Literal["soft", "hard", "customer_action", "technical"]

DECLINE_CLASSES: Mapping[str, DeclineClass] = {
    "insufficient_funds": "soft",
    "limit_exceeded": "soft",
    "issuer_unavailable": "soft",
    "do_not_honor": "soft",
    "account_closed": "hard",
    "card_expired": "hard",
    "stolen_card": "hard",
    "lost_card": "hard",
    "mandate_revoked": "hard",
    "authentication_required": "customer_action",
    "timeout": "technical",
    "gateway_down": "technical",
}
"""The class of each code a gateway declines with; one not listed here is `soft`."""

CARD_RETRY_GAPS_DAYS = (2, 5, 7, 7)
"""Days from each failed attempt to the next, for soft declines."""
TECHNICAL_RETRY_GAPS_HOURS = (1, 4, 24)
"""Hours from each failure of the line to the next try of the same attempt; after the last it counts as
soft."""
ACTION_MESSAGE_DAYS = (0, 3, 7)
"""Days after the failure on which the customer is asked to act."""

Moment = TypeVar("Moment", date, datetime)


def decline_class(code: str) -> DeclineClass:
    """How a declined charge is treated."""
    return DECLINE_CLASSES.get(code, "soft")


def hours_until_retry(outcome: str, decline: str | None, tries: int) -> int | None:
    """Hours until the same call of a gateway is made again, after that many tries; None when it is over: an
    unknown outcome is asked until it is known, a technical decline as often as there are gaps."""
    gaps = TECHNICAL_RETRY_GAPS_HOURS
    if outcome == "unknown":
        return gaps[min(tries, len(gaps)) - 1]
    return gaps[tries - 1] if decline == "technical" and tries <= len(gaps) else None


def retry_schedule(failed: Moment, gaps_days: Sequence[int] = CARD_RETRY_GAPS_DAYS) -> list[Moment]:
    """When a soft decline is tried again, each gap counted from the attempt before: a date gives dates, an
    instant instants. Raises `negative_quantity` for a gap below one day."""
    if any(gap < 1 for gap in gaps_days):
        raise BillingError("negative_quantity", "attempts lie at least a day apart")
    attempts, last = [], failed
    for gap in gaps_days:
        last = last + timedelta(days=gap)
        attempts.append(last)
    return attempts


class NextStep(NamedTuple):
    """What follows a failed attempt: another one (`retry`), a new payment method or act of the customer
    (`wait`), or the end (`exhausted`); `on` is its day, for `wait` the last day to act, for `exhausted`
    None."""

    action: Literal["retry", "wait", "exhausted"]
    on: date | None


def after_failure(
    decline: DeclineClass,
    failures: int,
    first_failed_on: date,
    last_failed_on: date,
    gaps_days: Sequence[int] = CARD_RETRY_GAPS_DAYS,
) -> NextStep:
    """What follows the failure number `failures` (1 is the first) of a payment.

    Soft (and technical, once its own tries are used up): the next attempt by the schedule. Hard and
    customer action: no attempt of ours; the customer has as long as the soft schedule would take. Raises
    `negative_quantity`.
    """
    if failures < 1:
        raise BillingError("negative_quantity", f"{failures} failures")
    if decline in ("hard", "customer_action"):
        return NextStep("wait", first_failed_on + timedelta(days=sum(gaps_days)))
    if failures > len(gaps_days):
        return NextStep("exhausted", None)
    return NextStep("retry", last_failed_on + timedelta(days=gaps_days[failures - 1]))


# Overdue campaigns.


@dataclass(frozen=True, slots=True)
class CampaignTerms:
    """From what total on a currency is chased, how often, and how far apart. `gap` says whether the days
    between two steps are `more_than` or `at_least` days_between."""

    thresholds_minor: Mapping[str, int]
    max_attempts: int
    days_between: int
    gap: str = "more_than"


class Overdue(NamedTuple):
    """Money that fell due and was not paid; a disputed one is left out."""

    due_on: date
    currency: str
    amount_minor: int
    is_disputed: bool = False


@dataclass(frozen=True, slots=True)
class CampaignState:
    """Steps made in one currency, and the day of the last."""

    attempts: int = 0
    last_on: date | None = None


def run_campaign(
    terms: CampaignTerms, overdue: Sequence[Overdue], states: Mapping[str, CampaignState], on: date
) -> dict[str, CampaignState]:
    """The states after a run: one step in each currency where it is due, the others as before.

    A step is due when what was overdue before the day reaches the currency's threshold, the last step is
    long enough ago, and steps are left. A currency without threshold is not chased. Raises
    `unknown_setting`.
    """
    if terms.gap not in ("more_than", "at_least"):
        raise BillingError("unknown_setting", f"campaign_gap {terms.gap!r}")
    after = dict(states)
    for currency, threshold in terms.thresholds_minor.items():
        state = states.get(currency, CampaignState())
        total = sum(
            item.amount_minor
            for item in overdue
            if item.currency == currency and item.due_on < on and not item.is_disputed
        )
        if (
            total >= threshold
            and state.attempts < terms.max_attempts
            and _is_long_ago(state.last_on, on, terms)
        ):
            after[currency] = CampaignState(state.attempts + 1, on)
        else:
            after[currency] = state
    return after


def _is_long_ago(last_on: date | None, on: date, terms: CampaignTerms) -> bool:
    if last_on is None:
        return True
    days = (on - last_on).days
    return days > terms.days_between if terms.gap == "more_than" else days >= terms.days_between
