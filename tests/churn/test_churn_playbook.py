"""The playbook's first row that matches; when it is due; what a file is refused for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from churn_model.accounts import account_features
from churn_model.dataset import features_of
from churn_model.explain import TIMING
from churn_model.playbook import PLAYBOOK, Case, choose_play, plays_of

AS_OF = date(2025, 12, 31)


def case(
    top: str = "",
    commitment: str = "monthly",
    days: int | None = None,
    tier: str = "other",
    p_90: float = 0.5,
) -> Case:
    """`top` is a feature; its theme and family come with it."""
    known = {feature.name: feature for feature in (*features_of(), *account_features(), TIMING)}
    names = [top, known[top].theme, known[top].family] if top else []
    decision_on = None if days is None else AS_OF + timedelta(days=days)
    return Case(names, commitment, p_90, AS_OF, decision_on, tier)


@pytest.mark.parametrize(
    ("given", "play", "owner", "due_days"),
    [
        (case("failed_payments_90", p_90=0.199), "none", None, None),
        (case("failed_payments_90", p_90=0.2), "payment_method", "finance", 1),
        (case("days_overdue_max", "term", 20, "top"), "payment_method", "finance", 1),
        (case("usage_trend"), "onboarding", "success", 5),
        (case("active_users_28", "term", 31), "onboarding", "success", 5),
        (case("active_users_28", "term", 30), "review_call", "account owner", 10),
        (case("seat_use", "term", 90), "right_size", "account owner", 80),
        (case("seat_use", "term", 5), "right_size", "account owner", 1),
        (case("seat_use", "monthly"), "review_call", "account owner", 10),
        (case("open_urgent", tier="top"), "escalation", "head of success", 2),
        (case("tickets_90"), "resolve", "support lead", 3),
        (case("champion_left_180"), "new_contacts", "account owner", 5),
        (case("price_rise_365", "term", 90), "value_review", "account owner", 7),
        (case("price_rise_365", "term", 91), "review_call", "account owner", 10),
        (case("days_since_order", "non_contract"), "reorder_prompt", "sales", 3),
        (case("orders_same_season", "non_contract"), "reorder_prompt", "sales", 3),
        (case("days_since_order", "monthly"), "review_call", "account owner", 10),
        (case("decision_timing", "term", 60), "renewal_talk", "account owner", 59),
        (case("decision_timing", "term", 61), "review_call", "account owner", 10),
        (case(), "review_call", "account owner", 10),
    ],
)
def test_the_first_row_that_matches_says_what_to_do_who_and_when(
    given: Case, play: str, owner: str | None, due_days: int | None
) -> None:
    found = choose_play(plays_of(), given)
    due_on = None if due_days is None else AS_OF + timedelta(days=due_days)
    assert (found.play, found.owner, found.due_on(given)) == (play, owner, due_on)


def test_every_feature_of_use_but_the_unused_seats_asks_for_onboarding() -> None:
    for feature in account_features():
        if feature.family == "usage" and feature.name != "seat_use":
            assert choose_play(plays_of(), case(feature.name)).play == "onboarding", feature.name


def test_a_play_is_due_before_the_decision_and_never_in_the_past() -> None:
    right_size = next(play for play in plays_of() if play.play == "right_size")
    assert right_size.due_on(case("seat_use", "term", 40)) == AS_OF + timedelta(days=30)
    assert right_size.due_on(case("seat_use", "term", 3)) == AS_OF + timedelta(days=1)


@pytest.mark.parametrize(
    ("days", "due_days"),
    [
        (30, 10),
        (11, 10),  # the day before the decision
        (10, 9),
        (5, 4),
        (2, 1),
        (1, 1),  # the earliest there is
        (-3, 1),
    ],
)
def test_a_play_counted_from_the_score_is_due_before_the_decision_too(days: int, due_days: int) -> None:
    given = case(commitment="term", days=days)
    found = choose_play(plays_of(), given)
    assert (found.play, found.due_days, found.due_from) == ("review_call", 10, "as_of")
    assert found.due_on(given) == AS_OF + timedelta(days=due_days)


def test_every_play_speaks_arabic_and_every_one_that_acts_says_when_to_stop() -> None:
    def is_arabic(text: str) -> bool:
        return any("\u0600" <= letter <= "\u06ff" for letter in text)

    assert all(is_arabic(play.play_ar) and not is_arabic(play.play_en) for play in plays_of())
    acting = [play for play in plays_of() if play.play != "none"]
    assert all(play.owner and play.stop_rule and is_arabic(play.stop_ar) and play.stop_en for play in acting)
    assert len(acting) == len(plays_of()) - 1


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("any,any,any,any,watch,call,Call,اتصال,,3,as_of,done,done,تم", "needs owner"),
        ("any,any,any,any,watch,call,Call,اتصال,sales,,as_of,done,done,تم", "needs due_days"),
        ("any,any,any,any,watch,call,Call,اتصال,sales,3,as_of,,done,تم", "needs stop_rule"),
        ("any,any,any,any,watch,call,Call,,sales,3,as_of,done,done,تم", "Arabic"),
        ("any,yearly,any,any,watch,call,Call,اتصال,sales,3,as_of,done,done,تم", "commitment is 'yearly'"),
        ("any,any,soon,any,watch,call,Call,اتصال,sales,3,as_of,done,done,تم", "not 'soon'"),
        ("any,any,any,any,watch,call,Call,اتصال,sales,three,as_of,done,done,تم", "not 'three'"),
    ],
)
def test_a_row_that_nobody_could_act_on_is_refused_with_its_line(tmp_path: Path, row: str, word: str) -> None:
    path = tmp_path / "playbook.csv"
    header = PLAYBOOK.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{header}\n{row}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=word) as refusal:
        plays_of(path)
    assert "line 2" in str(refusal.value)


def test_a_playbook_that_leaves_a_case_open_is_told() -> None:
    with pytest.raises(ValueError, match="no row"):
        choose_play(plays_of()[:1], case("tickets_90"))
