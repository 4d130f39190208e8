"""When a failed payment is tried again, and when overdue money is asked for.

Plain schedules of values: which attempts are made, and what follows the last; which steps are due of money on
net terms, and in which state its customer is. Making them, and acting on the subscription, is the work of the
jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import polars as pl

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


# Net terms.

OVERDUE_STATES = ("current", "reminded", "restricted", "suspended", "written_off")
"""How far overdue money has come, from good to bad."""
BADNESS = {state: place for place, state in enumerate(OVERDUE_STATES)}
SUSPENDING = ("suspended", "written_off")
"""States in which what the customer pays for is suspended."""
RESTRICTING = ("restricted", *SUSPENDING)
"""States in which the customer gets no new orders and no credit."""


class TermsStep(NamedTuple):
    """A step by days from the day the oldest money fell due, and the state that begins with it. `to`: billing
    or escalation contact of the customer, or an approver of our own."""

    kind: str
    days: int
    state: str
    to: Literal["billing", "escalation", "approver"]


TERMS_STEPS = (
    TermsStep("courtesy", -3, "current", "billing"),
    TermsStep("reminder_1", 3, "reminded", "billing"),
    TermsStep("reminder_2", 10, "reminded", "billing"),
    TermsStep("reminder_3", 20, "restricted", "escalation"),
    TermsStep("final_notice", 30, "suspended", "billing"),
    TermsStep("collection", 60, "suspended", "approver"),
    TermsStep("write_off", 90, "suspended", "approver"),
)
"""What follows unpaid money on net terms. A write-off that is approved makes the state written_off."""
FIRST_DAY, LAST_DAY = TERMS_STEPS[0].days, TERMS_STEPS[-1].days


def state_after(days: int) -> str:
    """The state that many days after the oldest money fell due (below 0: before it does)."""
    return max(
        (step.state for step in TERMS_STEPS if step.days <= days), key=BADNESS.__getitem__, default="current"
    )


KEY = ("customer_id", "currency")
"""What one case is about."""


def standing(items: pl.DataFrame) -> pl.DataFrame:
    """What stands open of each customer and currency.

    items: one row an open invoice: `customer_id`, `currency`, `today` (the customer's), `due_on`,
    `open_minor`, `disputed_minor`. Returns one row a customer and currency: `today`, `oldest_due_on` (of what
    is undisputed and due within the days of the courtesy note; null for none), `days` since then,
    `overdue_minor` (undisputed, fallen due before today), `is_overdue`, `disputed_minor` (of what fell due).
    """
    asked = pl.col("open_minor") - pl.col("disputed_minor")
    days = (pl.col("today") - pl.col("due_on")).dt.total_days()
    is_asked = (asked > 0) & (days >= FIRST_DAY)
    rows = items.with_columns(asked.clip(lower_bound=0).alias("asked_minor"), days.alias("days"))
    disputed = pl.min_horizontal("disputed_minor", "open_minor")
    return (
        rows.group_by(KEY, maintain_order=True)
        .agg(
            pl.col("today").first(),
            pl.col("due_on").filter(is_asked).min().alias("oldest_due_on"),
            pl.col("asked_minor").filter(pl.col("days") > 0).sum().alias("overdue_minor"),
            disputed.filter(pl.col("days") > 0).sum().alias("disputed_minor"),
        )
        .with_columns(
            (pl.col("today") - pl.col("oldest_due_on")).dt.total_days().alias("days"),
            (pl.col("overdue_minor") > 0).alias("is_overdue"),
        )
    )


class Plan(NamedTuple):
    """What becomes of cases. closing: those with nothing to chase any more. going: those that go on, and the
    new ones (`case_id` null), each with its `state` and the columns of `standing`. steps: what is due of
    those and was not made: `customer_id`, `currency`, `step`, `kind`, `to`, `due_on`, and `is_told` (the
    message goes out)."""

    closing: pl.DataFrame
    going: pl.DataFrame
    steps: pl.DataFrame


def plan_terms(stands: pl.DataFrame, cases: pl.DataFrame, made: pl.DataFrame) -> Plan:
    """What is due on net terms.

    stands: as `standing` gives it. cases: the open ones: `case_id`, `customer_id`, `currency`, `today`,
    `oldest_due_on` (as it was when last looked at). made: their steps, `case_id` and `step`.

    A case opens on the first day on which a step is due. While nothing of it is overdue it goes on as long
    as something is due soon; after that, as long as something overdue is left undisputed: what is due soon
    then opens the next. Steps that were missed are made in order, and only the last of them that speaks to
    the customer is told.
    """
    cases = cases.join(
        stands.drop("today", "disputed_minor").rename({"oldest_due_on": "now_due_on"}),
        on=KEY,
        how="left",
        maintain_order="left",
    )
    was_overdue = pl.col("oldest_due_on") < pl.col("today")
    is_over = pl.col("now_due_on").is_null() | (was_overdue & ~pl.col("is_overdue"))
    closing = cases.filter(is_over).select("case_id", *KEY, "today")
    kept = cases.filter(~is_over).select("case_id", *KEY)
    going = (
        stands.filter(pl.col("oldest_due_on").is_not_null())
        .join(kept, on=KEY, how="left", maintain_order="left")
        .join(_states_by(stands["days"]), on="days", how="left", maintain_order="left")
    )
    return Plan(closing, going, _told_last(_steps_due(going, made)))


def _states_by(days: pl.Series) -> pl.DataFrame:
    known = days.drop_nulls().unique().sort()
    states = [state_after(number) for number in known]
    return pl.DataFrame({"days": known, "state": pl.Series(states, dtype=pl.String)})


_STEPS = pl.DataFrame(
    [(number, *step) for number, step in enumerate(TERMS_STEPS, start=1)],
    schema={"step": pl.Int64, "kind": pl.String, "after": pl.Int64, "state": pl.String, "to": pl.String},
    orient="row",
).drop("state")


def _steps_due(going: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    due = going.select("case_id", *KEY, "days", "oldest_due_on").join(_STEPS, how="cross")
    return (
        due.filter(pl.col("after") <= pl.col("days"))
        .join(made, on=["case_id", "step"], how="anti")
        .select(
            *KEY,
            "step",
            "kind",
            "to",
            (pl.col("oldest_due_on") + pl.duration(days="after")).alias("due_on"),
        )
    )


def _told_last(steps: pl.DataFrame) -> pl.DataFrame:
    speaks = pl.col("to") != "approver"
    last = pl.col("step").filter(speaks).max().over(KEY)
    return steps.with_columns((speaks & (pl.col("step") == last)).alias("is_told")).sort(*KEY, "step")


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
    least_days = terms.days_between + gap_day(terms.gap)
    after = dict(states)
    for currency, threshold in terms.thresholds_minor.items():
        state = states.get(currency, CampaignState())
        total = sum(
            item.amount_minor
            for item in overdue
            if item.currency == currency and item.due_on < on and not item.is_disputed
        )
        days = None if state.last_on is None else (on - state.last_on).days
        if is_campaign_due(total, threshold, state.attempts, terms.max_attempts, days or 0, least_days):
            after[currency] = CampaignState(state.attempts + 1, on)
        else:
            after[currency] = state
    return after


def gap_day(gap: str) -> int:
    """What `campaign_gap` adds to the days between two steps. Raises `unknown_setting`."""
    if gap not in ("more_than", "at_least"):
        raise BillingError("unknown_setting", f"campaign_gap {gap!r}")
    return int(gap == "more_than")


def is_campaign_due(
    overdue_minor: Any, threshold_minor: Any, attempts: Any, max_attempts: Any, days: Any, least_days: Any
) -> Any:
    """Whether a step of a campaign is due, of numbers or columns. `days` since the last step, of any value
    where there was none."""
    return (
        (overdue_minor >= threshold_minor)
        & (attempts < max_attempts)
        & ((attempts == 0) | (days >= least_days))
    )


def plan_campaigns(stands: pl.DataFrame, cases: pl.DataFrame) -> Plan:
    """What is due of campaigns, one row of the rule of `run_campaign` a customer and currency.

    stands: as `standing` gives it, with `threshold_minor` (null: the currency is not chased), `max_attempts`
    and `least_days` of the customer's campaign. cases: the open ones: `case_id`, `customer_id`, `currency`,
    `today`, `attempts`, `last_on`, and what else `going` should keep. A case opens with its first step, and
    closes when nothing is overdue.
    """
    rows = stands.join(cases.drop("today"), on=KEY, how="left", maintain_order="left")
    attempts = pl.col("attempts").fill_null(0)
    days = (pl.col("today") - pl.col("last_on")).dt.total_days().fill_null(0)
    is_due = is_campaign_due(
        pl.col("overdue_minor"),
        pl.col("threshold_minor"),
        attempts,
        pl.col("max_attempts"),
        days,
        pl.col("least_days"),
    )
    rows = rows.with_columns(is_due.fill_null(False).alias("is_due"), pl.lit("reminded").alias("state"))
    is_open = pl.col("case_id").is_not_null()
    going = rows.filter(pl.col("is_overdue") & (is_open | pl.col("is_due")))
    steps = going.filter("is_due").select(
        *KEY,
        (attempts + 1).cast(pl.Int64).alias("step"),
        pl.lit("campaign").alias("kind"),
        pl.lit("billing").alias("to"),
        pl.col("today").alias("due_on"),
        pl.lit(True).alias("is_told"),
    )
    overdue = stands.filter("is_overdue")
    closing = cases.join(overdue, on=KEY, how="anti").select("case_id", *KEY, "today")
    return Plan(closing, going, steps)
