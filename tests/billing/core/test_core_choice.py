"""The price a customer pays is the narrowest, newest, highest break; each other price says why it lost."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from typing import Any

import pytest

from billing.core.choice import LEVELS, Offer, choose
from billing.core.money import Scaled, parse_quantity

DAY = date(2025, 3, 1)


def offer(price_id: str, level: str = "list", **named: Any) -> Offer:
    about: dict[str, Any] = {"currency": "EUR", "valid_start": date(2025, 1, 1), "valid_end": None}
    return Offer("fee", price_id, f"of-{price_id}", level, **about | named)


def chosen(*offers: Offer, on: date = DAY, quantity: str = "1") -> tuple[str | None, dict[str, str]]:
    choice = choose("fee", offers, currency="EUR", on=on, quantity=parse_quantity(quantity))
    reasons = {lost.price_id: str(reason) for lost, reason in choice.losers}
    return (choice.taken.price_id if choice.taken else None), reasons


def test_contract_comes_before_customer_before_group_before_list() -> None:
    offers = [offer(level, level) for level in LEVELS]
    for first, level in enumerate(LEVELS):
        taken, reasons = chosen(*offers[first:])
        assert taken == level
        assert reasons == dict.fromkeys(LEVELS[first + 1 :], "later_level")


def test_inside_a_level_the_latest_start_wins_then_the_break_then_the_id() -> None:
    old, new = offer("old"), offer("new", valid_start=date(2025, 2, 1))
    more, twin = offer("more", valid_start=date(2025, 2, 1), quantity_from=10), offer("older")
    assert chosen(old, new, more, twin, quantity="10") == (
        "more",
        {"new": "lower_break", "old": "earlier_start", "older": "earlier_start"},
    )
    assert chosen(old, twin) == ("old", {"older": "larger_id"})


@pytest.mark.parametrize(
    ("quantity", "taken"), [("9.999", "few"), ("10", "ten"), ("99", "ten"), ("100", "many")]
)
def test_a_break_holds_from_its_quantity_on(quantity: str, taken: str) -> None:
    few, ten, many = offer("few"), offer("ten", quantity_from=10), offer("many", quantity_from=100)
    assert chosen(few, ten, many, quantity=quantity)[0] == taken


def test_a_list_holds_from_its_first_day_until_its_last() -> None:
    spring = offer("spring", "contract", valid_start=date(2025, 3, 1), valid_end=date(2025, 6, 1))
    always = offer("always")
    taken_on = {
        on: chosen(spring, always, on=on)[0]
        for on in (date(2025, 2, 28), date(2025, 3, 1), date(2025, 5, 31), date(2025, 6, 1))
    }
    assert list(taken_on.values()) == ["always", "spring", "spring", "always"]


def test_each_loser_says_its_reason() -> None:
    assert chosen(
        offer("dollars", "contract", currency="USD"),
        offer("tomorrow", "contract", valid_start=date(2025, 3, 2)),
        offer("dozen", "customer", quantity_from=12),
        offer("fits", "customer"),
        offer("general"),
        quantity="11",
    ) == (
        "fits",
        {
            "dollars": "wrong_currency",
            "tomorrow": "not_valid",
            "dozen": "break_not_reached",
            "general": "later_level",
        },
    )


def test_without_a_sound_offer_nothing_is_taken() -> None:
    assert chosen() == (None, {})
    assert chosen(offer("dollars", currency="USD")) == (None, {"dollars": "wrong_currency"})


def test_the_order_of_offers_does_not_matter() -> None:
    offers = [offer("a", "group"), offer("b"), offer("c", "group", quantity_from=2), offer("d", "group")]
    found = {
        str(choose("fee", order, currency="EUR", on=DAY, quantity=Scaled(3, 0)))
        for order in permutations(offers)
    }
    assert len(found) == 1
