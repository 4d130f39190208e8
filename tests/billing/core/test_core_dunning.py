"""When money that did not come is asked for again."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.dunning import (
    KEY,
    CampaignState,
    CampaignTerms,
    Overdue,
    after_failure,
    decline_class,
    gap_day,
    plan_campaigns,
    retry_schedule,
    run_campaign,
    standing,
    state_after,
)
from billing.core.money import BillingError

D = date.fromisoformat


def test_a_soft_decline_is_tried_again_after_two_five_seven_and_seven_days():
    assert [str(on) for on in retry_schedule(D("2024-01-01"))] == [
        "2024-01-03", "2024-01-08", "2024-01-15", "2024-01-22",
    ]  # fmt: skip
    noon = datetime(2023, 12, 31, 12, tzinfo=UTC)
    assert [at.isoformat() for at in retry_schedule(noon, [1, 59])] == [
        "2024-01-01T12:00:00+00:00",
        "2024-02-29T12:00:00+00:00",
    ]
    with pytest.raises(BillingError, match="negative_quantity"):
        retry_schedule(D("2024-01-01"), [2, 0])


def test_following_the_steps_makes_the_schedule_and_then_ends():
    failed = first = D("2024-01-01")
    made = []
    for failures in range(1, 6):
        step = after_failure("soft", failures, first, failed)
        if step.action == "exhausted":
            break
        assert step.action == "retry"
        failed = step.on
        made.append(failed)
    assert made == retry_schedule(first)
    assert failures == 5


@pytest.mark.parametrize("decline", ["hard", "customer_action"])
def test_a_hard_decline_waits_for_the_customer_until_the_soft_deadline(decline):
    assert after_failure(decline, 1, D("2024-01-01"), D("2024-01-01")) == ("wait", D("2024-01-22"))


def test_codes_have_a_class_and_unknown_ones_are_soft():
    assert decline_class("stolen_card") == "hard"
    assert decline_class("authentication_required") == "customer_action"
    assert decline_class("timeout") == "technical"
    assert decline_class("something new") == "soft"
    with pytest.raises(BillingError, match="negative_quantity"):
        after_failure("soft", 0, D("2024-01-01"), D("2024-01-01"))


def test_a_campaign_counts_each_currency_and_waits_between_steps():
    terms = CampaignTerms({"EUR": 15_000, "USD": 10_000}, max_attempts=2, days_between=2)
    overdue = [
        Overdue(D("2025-01-01"), "EUR", 14_900),
        Overdue(D("2025-01-01"), "USD", 12_000),
        Overdue(D("2025-01-05"), "EUR", 1_000),
    ]
    states, made = {}, []
    for run in ("2025-01-03", "2025-01-05", "2025-01-06", "2025-01-09", "2025-01-12"):
        states = run_campaign(terms, overdue, states, D(run))
        made.append((states["USD"].attempts, states["EUR"].attempts))
    assert made == [(1, 0), (1, 0), (2, 1), (2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("gap", "acts_on", "waits_on"),
    [
        ("more_than", ["2024-03-04", "2024-03-10"], ["2024-03-03"]),
        ("at_least", ["2024-03-03"], ["2024-03-02"]),
    ],
)
def test_the_gap_between_steps_is_a_setting(gap, acts_on, waits_on):
    terms = CampaignTerms({"KWD": 1}, 5, 3, gap)
    before = {"KWD": CampaignState(1, D("2024-02-29"))}
    overdue = [Overdue(D("2024-02-01"), "KWD", 5)]
    assert all(run_campaign(terms, overdue, before, D(on))["KWD"].attempts == 2 for on in acts_on)
    assert all(run_campaign(terms, overdue, before, D(on)) == before for on in waits_on)


def test_disputed_money_is_not_chased_and_a_gap_is_known():
    terms = CampaignTerms({"EUR": 100}, 5, 3)
    disputed = [Overdue(D("2024-01-01"), "EUR", 500, is_disputed=True)]
    assert run_campaign(terms, disputed, {}, D("2024-02-01"))["EUR"].attempts == 0
    with pytest.raises(BillingError, match="unknown_setting"):
        run_campaign(CampaignTerms({}, 1, 1, "about"), [], {}, D("2024-02-01"))


AMOUNTS = st.integers(0, 400)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["EUR", "USD"]),
            st.integers(0, 8),
            AMOUNTS,
            st.booleans(),
        ),
        max_size=8,
    ),
    st.sampled_from(["more_than", "at_least"]),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_a_campaign_of_many_customers_is_that_of_each(lines, gap, max_attempts, days_between):
    """Twelve days, as values of one customer and as one frame of all: the same steps on the same days."""
    terms = CampaignTerms({"EUR": 300, "USD": 500}, max_attempts, days_between, gap)
    first = D("2024-02-25")
    states = {name: {} for name in "ab"}
    made = {}
    for day in range(12):
        on = first + timedelta(days=day)
        alone = set()
        for name, before in states.items():
            overdue = [
                Overdue(first + timedelta(days=due), currency, amount, disputed)
                for who, currency, due, amount, disputed in lines
                if who == name
            ]
            # What is not overdue any more begins anew, which the run of one customer leaves to its caller.
            after = run_campaign(terms, overdue, before, on)
            alone |= {
                (name, currency)
                for currency in after
                if after[currency].attempts > before.get(currency, CampaignState()).attempts
            }
            states[name] = after
        items = pl.DataFrame(
            [
                (who, currency, on, first + timedelta(days=due), amount, amount if disputed else 0)
                for who, currency, due, amount, disputed in lines
            ],
            schema=ITEM_SCHEMA,
            orient="row",
        )
        stands = standing(items).with_columns(
            pl.col("currency")
            .replace_strict({"EUR": 300, "USD": 500}, return_dtype=pl.Int64)
            .alias("threshold_minor"),
            pl.lit(max_attempts).alias("max_attempts"),
            pl.lit(days_between + gap_day(gap)).alias("least_days"),
        )
        cases = pl.DataFrame(
            [(f"{who}{currency}", who, currency, on, *state) for (who, currency), state in made.items()],
            schema=CASE_SCHEMA,
            orient="row",
        )
        together = set(plan_campaigns(stands, cases).steps.select(KEY).rows())
        assert together == alone
        for key in together:
            made[key] = (made.get(key, (0, None))[0] + 1, on)


ITEM_SCHEMA = {
    "customer_id": pl.String,
    "currency": pl.String,
    "today": pl.Date,
    "due_on": pl.Date,
    "open_minor": pl.Int64,
    "disputed_minor": pl.Int64,
}
CASE_SCHEMA = {
    "case_id": pl.String,
    "customer_id": pl.String,
    "currency": pl.String,
    "today": pl.Date,
    "attempts": pl.Int64,
    "last_on": pl.Date,
}


@pytest.mark.parametrize(
    ("days", "state"),
    [
        (-9, "current"),
        (-3, "current"),
        (2, "current"),
        (3, "reminded"),
        (19, "reminded"),
        (20, "restricted"),
        (29, "restricted"),
        (30, "suspended"),
        (400, "suspended"),
    ],
)
def test_the_state_follows_the_days(days, state):
    assert state_after(days) == state
