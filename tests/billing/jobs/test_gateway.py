"""The simulated gateway: planned outcomes, one charge a key."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from billing.core.money import BillingError
from billing.gateways.gateway import Charge
from billing.gateways.simulated import SimulatedGateway

DAY = date(2025, 1, 1)


def charge(key: str = "p/1", **more: object) -> Charge:
    wanted = {
        "key": key,
        "customer_id": "anna",
        "method_ref": "card",
        "amount_minor": 1200,
        "currency": "EUR",
        "attempt": 1,
        "on": DAY,
    } | more
    return Charge(**wanted)  # type: ignore[arg-type]


def test_a_key_is_charged_once() -> None:
    gateway = SimulatedGateway(fee_ppm=14_000)
    first = gateway.charge(charge())
    assert (first.outcome, first.fee_minor) == ("captured", 16)
    assert gateway.charge(charge(on=DAY + timedelta(days=9))) == first == gateway.find("p/1")
    assert gateway.captured_minor == {"p/1": 1200}


def test_a_key_with_another_amount_is_refused() -> None:
    gateway = SimulatedGateway()
    gateway.charge(charge())
    with pytest.raises(BillingError, match="key_conflict"):
        gateway.charge(charge(amount_minor=1300))


def test_an_unknown_charge_took_the_money_and_tells_when_asked_again() -> None:
    gateway = SimulatedGateway()
    gateway.plan("anna", "unknown")
    assert gateway.charge(charge()).outcome == "unknown"
    assert gateway.charge(charge()).outcome == "captured"
    assert gateway.captured_minor == {"p/1": 1200}


def test_plans_hold_from_their_day_per_attempt_and_method_first() -> None:
    gateway = SimulatedGateway()
    gateway.plan("anna", ("limit_exceeded", "captured"), from_on=DAY)
    gateway.plan("anna", "stolen_card", method_ref="old", from_on=DAY)
    assert gateway.charge(charge("a/1", on=DAY - timedelta(days=1))).outcome == "captured"
    assert gateway.charge(charge("b/1")).code == "limit_exceeded"
    assert gateway.charge(charge("b/2", attempt=2)).outcome == "captured"
    assert gateway.charge(charge("b/3", attempt=3)).outcome == "captured"
    assert gateway.charge(charge("c/1", method_ref="old", attempt=2)).code == "stolen_card"


def test_answers_are_a_function_of_seed_customer_method_attempt_and_day() -> None:
    charges = [charge(f"p{n}/1", customer_id=f"c{n}") for n in range(2000)]

    def declined(seed: int) -> list[bool]:
        gateway = SimulatedGateway(seed, decline_ppm=100_000)
        return [gateway.charge(one).outcome == "declined" for one in charges]

    assert declined(1) == declined(1) != declined(2)
    assert 150 < sum(declined(1)) < 250


def test_a_refund_is_made_once_and_never_above_the_charge() -> None:
    gateway = SimulatedGateway()
    gateway.charge(charge())
    assert gateway.refund("r1", "p/1", 700).outcome == "captured"
    assert gateway.refund("r1", "p/1", 700).outcome == "captured"
    with pytest.raises(BillingError, match="over_refund"):
        gateway.refund("r2", "p/1", 501)
    assert gateway.refund("r2", "p/1", 500).outcome == "captured"
