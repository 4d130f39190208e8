"""The audit log: every act and job that somebody asks for leaves one entry, and says who it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from shop import at, fee, join, new_store, open_shop, sell, take
from sqlalchemy import select, text

from billing.core.money import BillingError
from billing.service import approvals, subscriptions
from billing.service.acts import job
from billing.service.commands import perform_once
from billing.service.customers import add_payment_method, change_customer, create_customer
from billing.service.previews import preview_change
from billing.store import tables
from billing.store.audit import entries
from billing.store.store import Store, open_store

START = date(2025, 1, 1)


@pytest.fixture
def store(each_database: str) -> Iterator[Store]:
    """A shop with two plans and anna on the small one; all of it was done by system."""
    store = new_store()
    open_shop(store)
    sell(store, "small", fee("10.00"))
    sell(store, "large", fee("20.00"))
    join(store, "anna")
    take(store, START, "small", subscription_id="sub")
    yield store
    assert store.actor == "system"


def logged(store: Store, **named: Any) -> list[tuple[Any, ...]]:
    """Who did what, how it ended and about what, newest first."""
    names = ("actor", "act", "outcome", "code", "subject_id", "customer_id")
    return [tuple(row[name] for name in names) for row in entries(store, **named)]


def test_an_act_that_is_done_says_who_did_it_when_with_what(store: Store) -> None:
    with store.acting_as("mona"):
        subscriptions.change_plan(store, at(START), subscription_id="sub", plan_id="large", when="now")
    (entry,) = entries(store, limit=1)
    assert (entry["actor"], entry["act"], entry["outcome"]) == ("mona", "change_plan", "done")
    assert (entry["subject_id"], entry["customer_id"], entry["code"]) == ("sub", "anna", None)
    assert entry["happened_at"] == at(START)
    assert entry["arguments"] == {"subscription_id": "sub", "plan_id": "large", "when": "now"}


def test_what_an_act_made_is_what_it_is_about(store: Store) -> None:
    create_customer(store, at(START), name="Bert", entity_id="seller", currency="EUR", country="DE")
    (entry,) = entries(store, limit=1)
    bert = store.rows(select(tables.customers.c.customer_id).where(tables.customers.c.name == "Bert"))
    assert [entry["subject_id"]] == [row["customer_id"] for row in bert]
    take(store, START, "small", subscription_id="second")
    assert logged(store, limit=1)[0][1:] == ("subscribe", "done", None, "second", "anna")


def test_a_refused_act_leaves_its_entry_beside_the_refused_input(store: Store) -> None:
    with store.acting_as("mona"), pytest.raises(BillingError):
        subscriptions.change_plan(store, at(START), plan_id="none", subscription_id="sub")
    assert logged(store, limit=1) == [("mona", "change_plan", "refused", "unknown_plan", "sub", "anna")]
    assert [row["code"] for row in store.rows(select(tables.rejected_inputs))] == ["unknown_plan"]


def test_a_held_act_names_the_approval_it_waits_for_and_its_decision_names_it_too(store: Store) -> None:
    hold(store)
    with store.acting_as("tarek"), pytest.raises(BillingError):
        subscriptions.change_quantity(store, at(START), subscription_id="sub", quantity=2)
    (approval_id,) = approvals.list_approvals(store)["approval_id"]
    assert logged(store, limit=1) == [("tarek", "change_quantity", "held", "on_hold", approval_id, "anna")]
    with store.acting_as("mona"):
        approvals.approve(store, at(START), approval_id=approval_id, decided_by="Mona")
    # The change itself is a step of the approval.
    assert logged(store, limit=2) == [
        ("mona", "approve", "done", None, approval_id, "anna"),
        ("tarek", "change_quantity", "held", "on_hold", approval_id, "anna"),
    ]


def hold(store: Store) -> None:
    """Let every order of anna wait for a person."""
    change_customer(store, at(START), customer_id="anna", hold=True)


def test_acts_under_a_key_are_known_by_their_own_name_and_leave_one_entry(store: Store) -> None:
    before = len(logged(store))
    arguments = {"subscription_id": "sub", "plan_id": "large", "when": "now"}
    for _ in range(2):  # Sent again, it does nothing that there would be an entry for.
        perform_once(
            store, at(START), caller="api", key="k1", command=subscriptions.change_plan, arguments=arguments
        )
    assert len(logged(store)) == before + 1
    (entry,) = entries(store, limit=1)
    assert (entry["act"], entry["subject_id"], entry["customer_id"]) == ("change_plan", "sub", "anna")
    assert entry["arguments"] == arguments | {"$under": {"caller": "api", "key": "k1"}}


class _Broken(Exception):
    pass


def test_what_is_rolled_back_leaves_no_entry_and_neither_does_a_preview(store: Store) -> None:
    before = list(entries(store))

    def change(store: Store, when: Any) -> object:
        return subscriptions.change_plan(store, when, subscription_id="sub", plan_id="large", when="now")

    def break_off() -> None:
        with store.transaction():
            change(store, at(START))
            raise _Broken

    with pytest.raises(_Broken):
        break_off()
    preview_change(store, at(START), change, customer_id="anna")
    assert list(entries(store)) == before


def test_the_actor_ends_with_its_block_also_by_an_error(store: Store) -> None:
    def break_off() -> None:
        with store.acting_as("tarek"):
            assert store.actor == "tarek"
            raise _Broken

    with store.acting_as("mona"):
        with pytest.raises(_Broken):
            break_off()
        assert store.actor == "mona"
    assert store.actor == "system"
    with pytest.raises(BillingError, match="missing_value"), store.acting_as(" "):
        pass
    # After an act that broke for another reason than a rule, the next leaves its entry.
    with pytest.raises(TypeError):
        change_customer(store, at(START))  # type: ignore[call-arg]
    change_customer(store, at(START), customer_id="anna", name="Anna B")
    assert logged(store, limit=1) == [("system", "change_customer", "done", None, "anna", "anna")]


def test_a_job_leaves_one_entry_done_refused_or_failed(store: Store) -> None:
    with store.acting_as("cron"):
        with job(store, at(START), "bill", up_to=START) as work:
            work.subject_id = "run_1"
        with pytest.raises(BillingError), job(store, at(START), "bill", up_to=START):
            raise BillingError("period_locked", "2025-01")
        with pytest.raises(_Broken), job(store, at(START), "dun"):
            raise _Broken
    assert logged(store, actor="cron") == [
        ("cron", "dun", "failed", "_Broken", None, None),
        ("cron", "bill", "refused", "period_locked", None, None),
        ("cron", "bill", "done", None, "run_1", None),
    ]
    assert [one["arguments"] for one in entries(store, act="bill", limit=1)] == [
        {"up_to": {"$date": "2025-01-01"}}
    ]


def test_arabic_arguments_are_kept_readable_and_secrets_are_not_kept(store: Store) -> None:
    change_customer(store, at(START), customer_id="anna", name="شركة النور")
    add_payment_method(store, at(START), customer_id="anna", gateway_ref="card-4711")
    kept = [row["arguments"] for row in store.rows(select(tables.audit_log.c.arguments))]
    assert any("شركة النور" in one for one in kept)
    assert not any("card-4711" in one for one in kept)
    assert next(entries(store, limit=1))["arguments"]["gateway_ref"] == "***"


def test_the_log_is_filtered_and_paged_newest_first(store: Store) -> None:
    join(store, "bert")
    for day in range(5):
        with store.acting_as("mona" if day % 2 else "tarek"):
            customer_id = "bert" if day == 4 else "anna"
            change_customer(store, at(START + timedelta(days=day)), customer_id=customer_id, name=f"n{day}")

    def names(**named: Any) -> list[str]:
        return [one["arguments"]["name"] for one in entries(store, act="change_customer", **named)]

    assert names() == ["n4", "n3", "n2", "n1", "n0"]
    assert names(actor="mona") == ["n3", "n1"]
    assert names(actor="nobody") == []
    assert names(customer_id="bert") == names(subject_id="bert") == ["n4"]
    assert names(since=at(START + timedelta(days=1)), until=at(START + timedelta(days=3))) == ["n2", "n1"]
    first = list(entries(store, act="change_customer", limit=2))
    assert names(before=first[-1]["entry_id"]) == ["n2", "n1", "n0"]
    with pytest.raises(BillingError, match="empty_period"):
        entries(store, since=at(START), until=at(START))
    with pytest.raises(BillingError, match="unknown_entry"):
        entries(store, before="aud_none")


def test_entries_of_one_instant_are_read_in_pages_each_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.store.audit._PAGE", 2)
    for number in range(5):
        change_customer(store, at(START), customer_id="anna", name=f"n{number}")
    found = [one["arguments"]["name"] for one in entries(store, act="change_customer", limit=4)]
    assert found == ["n4", "n3", "n2", "n1"]


def test_each_filter_finds_its_entries_by_index_in_their_order() -> None:
    with open_store("sqlite://") as store:
        store.migrate()
        for name in ("actor", "act", "subject_id", "customer_id", None):
            where = f"WHERE {name} = 'x'" if name else ""
            plan = text(
                f"EXPLAIN QUERY PLAN SELECT * FROM audit_log {where} "
                "ORDER BY happened_at DESC, entry_id DESC LIMIT 50"
            )
            steps = [str(row["detail"]) for row in store.rows(plan)]  # type: ignore[arg-type]
            assert len(steps) == 1
            assert f"ix_audit_log_{name or 'happened_at'}" in steps[0]
