"""When money that did not come is asked for again."""

from datetime import UTC, date, datetime

import pytest

from billing.core.dunning import (
    CampaignState,
    CampaignTerms,
    Overdue,
    after_failure,
    decline_class,
    retry_schedule,
    run_campaign,
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
