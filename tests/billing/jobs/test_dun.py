"""Money on net terms that is overdue: asked for step by step, each once, until it comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.jobs.dun import dun
from billing.service.subscriptions import NewContract, cancel
from billing.service.transfers import receive_transfer
from billing.store.store import Store
from billing.store.tables import (
    applications,
    approvals,
    customers,
    disputes,
    dunning_cases,
    dunning_steps,
    invoice_disputes,
    invoices,
    item_versions,
    outbox,
    subscriptions,
)

Make = Callable[..., str]
DUE = date(2025, 3, 1)


def after(days: int, hour: int = 9) -> datetime:
    on = DUE + timedelta(days=days)
    return datetime(on.year, on.month, on.day, hour, tzinfo=UTC)


def rows(store: Store, table: Any, *names: str) -> list[tuple[Any, ...]]:
    found = store.rows(select(table).order_by(*table.primary_key.columns))
    return [tuple(row[name] for name in names) for row in found]


def messages(store: Store) -> list[tuple[str, dict[str, Any]]]:
    """What went out to customers, in order."""
    asked = select(outbox.c.topic, outbox.c.payload).order_by(outbox.c.message_id)
    notes = ("dunning.opened", "dunning.closed")
    return [
        (row["topic"].removeprefix("dunning."), json.loads(row["payload"]))
        for row in store.rows(asked)
        if row["topic"].startswith("dunning.") and row["topic"] not in notes
    ]


def state(store: Store, customer_id: str = "anna") -> str:
    asked = select(customers.c.overdue_state).where(customers.c.customer_id == customer_id)
    return str(store.rows(asked)[0]["overdue_state"])


def status(store: Store, customer_id: str = "anna") -> str:
    asked = select(subscriptions.c.status).where(subscriptions.c.bill_to == customer_id)
    return str(store.rows(asked)[0]["status"])


@pytest.fixture
def anna(company: Store, customer: Make, invoice: Make) -> str:
    """Anna owes 120.00 since 1 March; the id of her invoice."""
    customer("anna", card=None)
    return invoice("anna", DUE, collection="terms")


STEPS = [
    (-3, "courtesy", "current", "active"),
    (3, "reminder_1", "reminded", "past_due"),
    (10, "reminder_2", "reminded", "past_due"),
    (20, "reminder_3", "restricted", "past_due"),
    (30, "final_notice", "suspended", "suspended"),
    (60, "collection", "suspended", "suspended"),
    (90, "write_off", "suspended", "suspended"),
]


def test_each_step_is_made_on_its_day_and_once(company: Store, anna: str) -> None:
    found = []
    for day in range(-6, 100):
        made = dun(company, after(day))
        if made.steps:
            assert dun(company, after(day, 18)).steps == {}
        assert sum(made.steps.values()) == made.messages + made.proposed
        found += [(day, kind, state(company), status(company)) for kind in made.steps]
    assert found == STEPS
    columns = ("step", "kind", "due_on", "outcome")
    assert rows(company, dunning_steps, *columns) == [
        (number, kind, DUE + timedelta(days=day), "proposed" if day >= 60 else "sent")
        for number, (day, kind, *_) in enumerate(STEPS, start=1)
    ]
    assert [topic for topic, _ in messages(company)] == [kind for _, kind, *_ in STEPS[:5]]
    assert rows(company, dunning_cases, "track", "state", "closed_on") == [("terms", "suspended", None)]
    assert rows(company, approvals, "kind", "state", "proposed_on") == [
        ("collection", "pending", DUE + timedelta(days=60)),
        ("write_off", "pending", DUE + timedelta(days=90)),
    ]


@pytest.mark.parametrize(("day", "kind", "now", "_status"), STEPS)
def test_no_step_comes_a_day_early(
    company: Store, anna: str, day: int, kind: str, now: str, _status: str
) -> None:
    dun(company, after(day - 1))
    assert kind not in {row[0] for row in rows(company, dunning_steps, "kind")}
    assert dun(company, after(day)).steps == {kind: 1}
    assert state(company) == now


def test_a_message_lists_what_is_open_in_the_language_of_the_customer(
    company: Store, customer: Make, invoice: Make, anna: str
) -> None:
    company.execute(update(customers).values(locale="ar"))
    invoice("anna", DUE + timedelta(days=25), amount_minor=3000, collection="terms")
    paper = invoice("anna", DUE + timedelta(days=1), amount_minor=5000, collection="terms")
    receive_transfer(company, after(2), invoice_id=paper, amount_minor=1000)
    dun(company, after(20))
    ((topic, said),) = messages(company)
    assert (topic, said["locale"], said["to"], said["state"]) == (
        "reminder_3",
        "ar",
        "escalation",
        "restricted",
    )
    assert [(item["due_on"], item["open_minor"]) for item in said["items"]] == [
        ("2025-03-01", 12000),
        ("2025-03-02", 4000),
        ("2025-03-26", 3000),
    ]
    assert (said["overdue_minor"], said["currency"]) == (16000, "EUR")


def test_steps_that_were_missed_are_made_in_order_and_the_last_message_sent(
    company: Store, anna: str
) -> None:
    made = dun(company, after(65))
    assert (made.messages, made.proposed, made.suspended) == (1, 1, 1)
    assert rows(company, dunning_steps, "kind", "outcome") == [
        ("courtesy", "skipped"),
        ("reminder_1", "skipped"),
        ("reminder_2", "skipped"),
        ("reminder_3", "skipped"),
        ("final_notice", "sent"),
        ("collection", "proposed"),
    ]
    assert [topic for topic, _ in messages(company)] == ["final_notice"]


def test_money_that_comes_closes_the_case_and_clears_the_customer(company: Store, anna: str) -> None:
    for day in (-3, 3, 10, 20, 30):
        dun(company, after(day))
    receive_transfer(company, after(33), invoice_id=anna, amount_minor=12000)
    made = dun(company, after(34))
    assert (made.closed, made.resumed) == (1, 1)
    assert (state(company), status(company)) == ("current", "active")
    columns = (
        "opened_on",
        "closed_on",
        "closed_as",
        "recovered_attempt",
        "recovered_days",
        "recovered_minor",
    )
    opened, closed = DUE - timedelta(days=3), DUE + timedelta(days=34)
    assert rows(company, dunning_cases, *columns) == [(opened, closed, "recovered", 5, 37, 12000)]
    live = item_versions.c.superseded_at.is_(None)
    spans = company.rows(select(item_versions).where(live).order_by(item_versions.c.effective_start))
    assert [(row["effective_start"], row["effective_end"], row["pause"]) for row in spans] == [
        (date(2024, 12, 1), date(2025, 3, 31), None),
        (date(2025, 3, 31), closed, "overdue"),
        (closed, None, None),
    ]
    assert dun(company, after(35)).customers == 0


def test_money_in_time_is_no_recovery(company: Store, anna: str) -> None:
    dun(company, after(-3))
    assert (state(company), status(company)) == ("current", "active")
    receive_transfer(company, after(0), invoice_id=anna, amount_minor=12000)
    dun(company, after(1))
    assert rows(company, dunning_cases, "closed_as", "recovered_minor") == [("on_time", None)]


def test_a_part_of_the_money_asks_for_the_rest_by_the_same_days(company: Store, anna: str) -> None:
    dun(company, after(3))
    receive_transfer(company, after(5), invoice_id=anna, amount_minor=11000)
    assert dun(company, after(9)).steps == {}
    assert dun(company, after(10)).steps == {"reminder_2": 1}
    assert messages(company)[-1][1]["overdue_minor"] == 1000


def test_the_days_count_from_the_oldest_that_is_left(company: Store, anna: str, invoice: Make) -> None:
    """The state follows the oldest money; steps that were made are not made again."""
    paper = invoice("anna", DUE + timedelta(days=8), collection="terms")
    dun(company, after(20))
    assert state(company) == "restricted"
    receive_transfer(company, after(21), invoice_id=anna, amount_minor=12000)
    assert dun(company, after(21)).closed == 0
    assert state(company) == "reminded"
    assert dun(company, after(28)).steps == {}
    assert state(company) == "restricted"
    assert dun(company, after(38)).steps == {"final_notice": 1}
    receive_transfer(company, after(39), invoice_id=paper, amount_minor=12000)
    dun(company, after(39))
    assert rows(company, dunning_cases, "closed_as", "recovered_minor") == [("recovered", 24000)]


def test_what_is_due_soon_after_the_overdue_money_came_opens_a_case_of_its_own(
    company: Store, anna: str, invoice: Make
) -> None:
    dun(company, after(3))
    invoice("anna", DUE + timedelta(days=7), collection="terms")
    assert dun(company, after(4)).steps == {}
    receive_transfer(company, after(5), invoice_id=anna, amount_minor=12000)
    made = dun(company, after(5))
    assert (made.closed, made.opened, made.steps) == (1, 1, {"courtesy": 1})
    assert dun(company, after(10)).steps == {"reminder_1": 1}


def dispute(store: Store, invoice_id: str, amount_minor: int, closed_on: date | None = None) -> None:
    row = {
        "dispute_id": f"dispute-{invoice_id}",
        "invoice_id": invoice_id,
        "amount_minor": amount_minor,
        "opened_on": DUE,
        "closed_on": closed_on,
    }
    store.insert(invoice_disputes, [row], after(0))


def test_disputed_money_is_left_out_until_the_dispute_ends(company: Store, anna: str) -> None:
    dispute(company, anna, 12000)
    assert dun(company, after(30)).steps == {}
    company.execute(update(invoice_disputes).values(closed_on=DUE + timedelta(days=31), outcome="rejected"))
    assert list(dun(company, after(31)).steps) == sorted(kind for _, kind, *_ in STEPS[:5])


def test_a_dispute_of_a_part_lowers_what_is_asked_for(company: Store, anna: str) -> None:
    dispute(company, anna, 9000)
    dun(company, after(3))
    said = messages(company)[0][1]
    assert (said["overdue_minor"], said["disputed_minor"]) == (3000, 9000)
    assert said["items"][0]["open_minor"] == 12000


def test_a_dispute_of_all_closes_the_case(company: Store, anna: str) -> None:
    dun(company, after(3))
    dispute(company, anna, 12000)
    dun(company, after(4))
    assert rows(company, dunning_cases, "closed_as") == [("disputed",)]
    assert state(company) == "current"


def test_money_that_the_bank_took_back_is_left_out_while_it_is_disputed(company: Store, anna: str) -> None:
    payment = receive_transfer(company, after(1), invoice_id=anna, amount_minor=12000)
    undone = {
        "application_id": "undone",
        "source_kind": "payment",
        "source_id": payment,
        "invoice_id": anna,
        "amount_minor": -12000,
        "applied_on": DUE,
    }
    company.insert(applications, [undone], after(2))
    company.execute(update(invoices).values(state="open"))
    company.insert(
        disputes,
        [{"dispute_id": "d", "payment_id": payment, "amount_minor": 12000, "opened_on": DUE}],
        after(2),
    )
    assert dun(company, after(10)).steps == {}
    company.execute(update(disputes).values(closed_on=DUE, outcome="lost"))
    assert dun(company, after(10)).messages == 1


@pytest.mark.parametrize(("gone", "closed_as"), [("void", "credited"), ("uncollectible", "written_off")])
def test_money_that_is_not_owed_any_more_closes_the_case(
    company: Store, anna: str, gone: str, closed_as: str
) -> None:
    dun(company, after(62))
    on = DUE + timedelta(days=63)
    change = {"written_off_on": on, "written_off_minor": 12000} if gone == "uncollectible" else {}
    company.execute(update(invoices).values(state=gone, **change))
    dun(company, after(63))
    assert rows(company, dunning_cases, "closed_as", "closed_on") == [(closed_as, on)]
    assert rows(company, approvals, "state") == [("withdrawn",)]
    assert state(company) == ("written_off" if gone == "uncollectible" else "current")
    assert status(company) == ("suspended" if gone == "uncollectible" else "active")


def test_a_customer_whose_debt_was_written_off_is_cleared_when_it_is_recovered(
    company: Store, anna: str
) -> None:
    dun(company, after(62))
    lost = {"state": "uncollectible", "written_off_on": DUE, "written_off_minor": 12000}
    company.execute(update(invoices).values(**lost))
    dun(company, after(63))
    assert dun(company, after(64)).customers == 1
    company.execute(update(invoices).values(recovered_minor=12000))
    assert dun(company, after(65)).resumed == 1
    assert state(company) == "current"
    assert dun(company, after(66)).customers == 0


def test_a_customer_who_left_and_whose_debt_was_credited_is_told_apart(company: Store, anna: str) -> None:
    dun(company, after(3))
    cancel(company, after(4), subscription_id="sub-anna", when="now", reason="switched")
    company.execute(update(invoices).values(state="void"))
    dun(company, after(5))
    assert rows(company, dunning_cases, "closed_as") == [("canceled_by_customer",)]
    assert rows(company, subscriptions, "was_in_dunning") == [(True,)]


def test_money_of_two_currencies_has_two_cases_and_the_worst_counts(
    company: Store, anna: str, invoice: Make
) -> None:
    other = invoice("anna", DUE - timedelta(days=17), collection="terms")
    company.execute(update(invoices).where(invoices.c.invoice_id == other).values(currency="USD"))
    dun(company, after(3))
    assert rows(company, dunning_cases, "currency", "state") == [("EUR", "reminded"), ("USD", "restricted")]
    assert state(company) == "restricted"


def test_what_is_charged_automatically_is_no_money_on_terms(
    company: Store, customer: Make, invoice: Make
) -> None:
    customer("bert")
    invoice("bert", DUE)
    assert dun(company, after(40)).customers == 0


def test_a_contract_may_say_that_service_goes_on(company: Store, customer: Make, invoice: Make) -> None:
    customer("anna", card=None, contract=NewContract(deliver_despite_hold=True))
    invoice("anna", DUE, collection="terms")
    assert dun(company, after(30)).suspended == 0
    assert (state(company), status(company)) == ("suspended", "past_due")


@pytest.mark.parametrize(
    ("zone", "instants"),
    [
        # The day a step is due begins at the customer's midnight, whatever day it is elsewhere.
        ("Pacific/Kiritimati", ["2025-03-03T09:59", "2025-03-03T10:00"]),
        ("Pacific/Honolulu", ["2025-03-04T09:59", "2025-03-04T10:00"]),
        ("America/New_York", ["2025-03-04T04:59", "2025-03-04T05:00"]),
    ],
)
def test_days_are_those_of_the_customer(
    company: Store, customer: Make, invoice: Make, zone: str, instants: list[str]
) -> None:
    customer("anna", card=None, time_zone=zone)
    invoice("anna", DUE, collection="terms")
    early, late = (datetime.fromisoformat(f"{instant}+00:00") for instant in instants)
    dun(company, early)
    assert "reminder_1" not in {row[0] for row in rows(company, dunning_steps, "kind")}
    assert dun(company, late).steps == {"reminder_1": 1}


@pytest.mark.parametrize(
    ("due_on", "before", "on_the_day"),
    [
        # 30 days after 28 February is 30 March, when Berlin loses an hour: midnight is 23:00 UTC before it
        # and 22:00 after it.
        (date(2025, 2, 28), "2025-03-29T22:59", "2025-03-29T23:00"),
        (date(2025, 3, 1), "2025-03-30T21:59", "2025-03-30T22:00"),
        (date(2025, 9, 26), "2025-10-25T21:59", "2025-10-25T22:00"),
        (date(2025, 9, 27), "2025-10-26T22:59", "2025-10-26T23:00"),
    ],
)
def test_a_day_on_which_the_clock_moves_is_a_day(
    company: Store, customer: Make, invoice: Make, due_on: date, before: str, on_the_day: str
) -> None:
    customer("anna", card=None, time_zone="Europe/Berlin")
    invoice("anna", due_on, collection="terms")
    dun(company, datetime.fromisoformat(f"{before}+00:00"))
    assert state(company) == "restricted"
    assert dun(company, datetime.fromisoformat(f"{on_the_day}+00:00")).steps == {"final_notice": 1}


def test_payers_are_looked_at_in_chunks_and_alone(company: Store, customer: Make, invoice: Make) -> None:
    for number in range(5):
        customer(f"c{number}", card=None)
        invoice(f"c{number}", DUE, collection="terms")
    assert dun(company, after(3), customer_id="c3").customers == 1
    seen: list[int] = []
    made = dun(company, after(3), chunk_size=2, progress=seen.append)
    assert (seen, made.opened, made.messages) == ([2, 4, 5], 4, 4)
    assert len(rows(company, dunning_cases, "case_id")) == 5


def test_a_time_without_zone_is_refused(company: Store) -> None:
    with pytest.raises(BillingError, match="naive_time"):
        dun(company, datetime(2025, 3, 1))  # noqa: DTZ001
