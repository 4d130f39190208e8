"""The simulated gateway: planned outcomes, one charge a key."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge, charge_key, read_key
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


def test_a_charge_with_a_delay_is_unknown_until_its_day() -> None:
    gateway = SimulatedGateway(fee_ppm=14_000)
    gateway.plan("anna", ("captured", "account_closed"), delay_days=3)
    assert gateway.charge(charge()).outcome == "unknown"
    assert gateway.charge(charge("p/2", attempt=2)).outcome == "unknown"
    assert gateway.captured_minor == {}
    later = DAY + timedelta(days=3)
    assert gateway.charge(charge(on=later)) == Answer("captured", None, "sim_p/1", 16)
    assert gateway.find("p/2") == Answer("declined", "account_closed")
    assert gateway.captured_minor == {"p/1": 1200}


def test_a_method_expires_on_its_day() -> None:
    gateway = SimulatedGateway()
    gateway.plan("anna", "card_expired", method_ref="card", from_on=DAY)
    assert gateway.charge(charge(on=DAY - timedelta(days=1))).outcome == "captured"
    assert gateway.charge(charge("p/2")).code == "card_expired"
    assert gateway.charge(charge("p/3", method_ref="other")).outcome == "captured"


def test_the_gateway_tells_unasked_of_late_charges_and_of_disputes() -> None:
    gateway = SimulatedGateway()
    gateway.plan("anna", "captured", delay_days=2, disputed_after_days=5, dispute="won")
    gateway.charge(charge())
    told = gateway.notices(DAY, DAY + timedelta(days=60))
    assert [(one.kind, (one.on - DAY).days, one.outcome) for one in told] == [
        ("answer", 2, None),
        ("dispute_opened", 7, None),
        ("dispute_closed", 37, "won"),
    ]
    assert {(one.key, one.amount_minor) for one in told[1:]} == {("p/1", 1200)}
    assert told[0].answer == gateway.find("p/1")


def test_books_in_a_file_outlive_the_gateway(tmp_path: Path) -> None:
    first = SimulatedGateway(books=tmp_path / "gateway.db", fee_ppm=14_000)
    answer = first.charge(charge())
    first.refund("r1", "p/1", 700)
    second = SimulatedGateway(books=tmp_path / "gateway.db", fee_ppm=14_000)
    second.plan("anna", "stolen_card")
    assert second.charge(charge()) == answer
    assert second.captured_minor == {"p/1": 1200}
    with pytest.raises(BillingError, match="over_refund"):
        second.refund("r2", "p/1", 501)


@pytest.mark.parametrize("key", ["", "p", "p/", "/1", "p/one", "p/-1"])
def test_a_text_that_is_no_key_names_no_attempt(key: str) -> None:
    assert read_key(key) is None
    assert read_key(charge_key("p/1", 12)) == ("p/1", 12)
