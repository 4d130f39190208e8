"""What is sent, when again, and when no more."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hooks import (
    AT,
    URL,
    Told,
    deliverer,
    deliveries,
    endpoint,
    happens,
    play,
    reveal,
    secret,
    settle,
    state_of,
)
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from billing.api import versions
from billing.api.versions import FIRST, Change
from billing.core.money import BillingError
from billing.gateways.receiver import Delivered
from billing.jobs import deliver_webhooks as job
from billing.jobs.deliver_webhooks import Deliverer
from billing.jobs.forget import DELIVERIES_FOR, forget
from billing.jobs.webhook_messages import signed
from billing.service import webhook_endpoints as acts
from billing.store.store import Store
from billing.store.tables import outbox, webhook_attempts, webhook_endpoints

HOUR = timedelta(hours=1)


def test_an_event_is_sent_once_signed_with_what_it_may_say(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    happens(store, 1)
    receiver = Told()
    settle(deliverer(store, receiver), AT + HOUR)
    ((url, headers, body),) = receiver.requests
    assert url == URL
    told = store.row(select(outbox).where(outbox.c.topic == "payment.captured"))
    assert told is not None
    assert headers["webhook-id"] == told["message_id"]
    assert headers["webhook-timestamp"] == str(int((AT + HOUR).timestamp()))
    (row,) = deliveries(store, one)
    assert json.loads(body) == {
        "type": "payment.captured",
        "timestamp": "2026-03-01T08:00:00Z",
        "sequence": row["sequence"],
        "data": {
            "object": "payment",
            "id": "pay0",
            "customer_id": "c0",
            "amount_minor": 0,
            "currency": "EUR",
        },
    }
    assert (row["state"], row["attempts"], row["done_at"]) == ("delivered", 1, AT + HOUR)
    assert state_of(store, one)["last_success_at"] == AT + HOUR
    settle(deliverer(store, receiver), AT + 2 * HOUR)
    assert len(receiver.requests) == 1


def test_an_endpoint_hears_of_events_in_the_form_of_its_own_version(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cents(event: dict[str, Any]) -> dict[str, Any]:
        data = {("cents" if name == "amount_minor" else name): value for name, value in event["data"].items()}
        return event | {"data": data}

    topics = frozenset({"payment.captured"})
    change = Change(date(2027, 3, 1), "was `cents`", frozenset(), topics=topics, event_down=cents)
    monkeypatch.setattr(versions, "CHANGES", (change,))
    for url, version in (("https://old.example/", FIRST), ("https://new.example/", change.on)):
        endpoint(sqlite_store, url=url, version=version, topics=["*"])
    happens(sqlite_store, 1)
    receiver = Told()
    settle(deliverer(sqlite_store, receiver), AT)
    said = [(url, json.loads(body)) for url, _headers, body in receiver.requests]
    members = {(url, name) for url, event in said for name in event["data"] if event["type"] in topics}
    assert {one for one in members if one[1] in ("cents", "amount_minor")} == {
        ("https://old.example/", "cents"),
        ("https://new.example/", "amount_minor"),
    }
    assert {url for url, event in said if event["type"] not in topics} == {
        "https://old.example/",
        "https://new.example/",
    }


def test_a_receiver_verifies_a_request_with_the_library_of_the_scheme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from standardwebhooks import webhooks as library

    class Clock(library.datetime):  # type: ignore[misc, name-defined]
        @classmethod
        def now(cls, tz: object = None) -> object:
            return AT

    monkeypatch.setattr(library, "datetime", Clock)
    body = '{"type":"payment.captured","data":{"id":"\u0634"}}'.encode()
    headers = signed("msg_1", AT, body, [secret(1), secret(2)])
    for number in (1, 2):
        assert Webhook(secret(number)).verify(body, headers)["type"] == "payment.captured"
    for wrong, sent in ((secret(3), body), (secret(1), body + b" ")):
        with pytest.raises(library.WebhookVerificationError):
            Webhook(wrong).verify(sent, headers)


def test_what_fails_is_tried_again_with_growing_pauses_for_three_days_and_then_dead(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    happens(store, 2, lanes=2)
    receiver = Told(lambda said: Delivered(500 if said["data"]["id"] == "pay0" else 200))
    worker = deliverer(store, receiver)
    # Something of another lane arrives every hour, so the endpoint itself is well.
    at, number = AT, 2
    while at <= AT + 74 * HOUR:
        if (at - AT) % HOUR == timedelta():
            happens(store, 1, at=at, first=2 * number + 1, lanes=2)
            number += 1
        settle(worker, at)
        due = [row["next_attempt_at"] for row in deliveries(store, one) if row["next_attempt_at"]]
        at = min([AT + ((at - AT) // HOUR + 1) * HOUR, *due])
    bad = next(row for row in deliveries(store, one) if row["lane"] == "c0")
    tries = [
        row["attempted_at"] - AT
        for row in store.rows(select(webhook_attempts).order_by(webhook_attempts.c.attempt))
        if row["sequence"] == bad["sequence"]
    ]
    assert (bad["state"], bad["attempts"], bad["next_attempt_at"]) == ("dead", len(tries), None)
    assert tries[0] == timedelta()
    pauses = [(later - before).total_seconds() for before, later in pairwise(tries)]
    for pause, meant in zip(pauses[:-1], job.PAUSES, strict=False):
        assert 0.9 * meant <= pause <= 1.1 * meant
    assert len(tries) in (11, 12)
    assert tries[-1] == 72 * HOUR
    assert [row["state"] for row in deliveries(store, one) if row["lane"] != "c0"] == ["delivered"] * (
        number - 1
    )
    assert state_of(store, one)["state"] == "enabled"


def test_a_lane_waits_for_its_first_and_goes_on_in_order_once_that_is_taken(store: Store) -> None:
    endpoint(store, topics=["payment.*"])
    happens(store, 6, lanes=2)
    fails = True
    receiver = Told(lambda said: Delivered(503 if fails and said["data"]["id"] == "pay0" else 200))
    worker = deliverer(store, receiver)
    settle(worker, AT)
    assert [len(receiver.taken[lane]) for lane in ("c0", "c1")] == [0, 3]
    fails = False
    play(worker, store, AT)
    assert receiver.taken["c0"] == sorted(receiver.taken["c0"])
    assert len(receiver.taken["c0"]) == 3


def test_an_endpoint_that_takes_nothing_for_three_days_is_disabled_and_loses_nothing(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    happens(store, 5, lanes=3)
    takes = False
    receiver = Told(lambda _said: Delivered(200) if takes else Delivered(error="not_connected"))
    worker = deliverer(store, receiver)
    end = play(worker, store, AT)
    row = state_of(store, one)
    assert (row["state"], row["state_reason"]) == ("disabled", "failing")
    assert 72 * HOUR <= end - AT <= 74 * HOUR
    assert {each["state"] for each in deliveries(store, one)} == {"waiting"}
    topics = [each["topic"] for each in store.rows(select(outbox).order_by(outbox.c.message_id))]
    assert topics.count("webhook_endpoint.failing") == topics.count("webhook_endpoint.disabled") == 1
    happens(store, 2, lanes=3, at=end, first=6)
    settle(worker, end)
    takes = True
    settle(worker, end)
    assert receiver.taken == {}, "a disabled endpoint is sent nothing"
    acts.enable_endpoint(store, end + HOUR, endpoint_id=one)
    settle(worker, end + HOUR)
    assert {lane: len(found) for lane, found in receiver.taken.items()} == {"c0": 3, "c1": 3, "c2": 1}
    assert all(found == sorted(found) for found in receiver.taken.values())
    row = state_of(store, one)
    assert (row["state"], row["failing_since"], row["consecutive_failures"]) == ("enabled", None, 0)


@pytest.mark.parametrize("lanes", [1, 40])
def test_days_without_a_worker_are_none_of_the_three_that_an_endpoint_has(
    sqlite_store: Store, lanes: int
) -> None:
    one = endpoint(sqlite_store, topics=["payment.*"])
    happens(sqlite_store, lanes, lanes=lanes)
    receiver = Told(lambda _said: Delivered(error="not_connected"))
    stops = play(deliverer(sqlite_store, receiver), sqlite_store, AT, hours=3)
    tried, down = len(receiver.requests), timedelta(days=4)
    worker = deliverer(sqlite_store, receiver)
    settle(worker, stops + down)
    assert len(receiver.requests) > tried
    assert state_of(sqlite_store, one)["state"] == "enabled"
    end = play(worker, sqlite_store, stops + down, hours=120)
    row = state_of(sqlite_store, one)
    assert (row["state"], row["state_reason"]) == ("disabled", "failing")
    assert 71 * HOUR <= end - AT - down <= 96 * HOUR
    assert {each["state"] for each in deliveries(sqlite_store, one)} == {"waiting"}


def test_days_without_a_worker_are_none_of_the_three_that_a_delivery_has(sqlite_store: Store) -> None:
    one = endpoint(sqlite_store, topics=["payment.*"])
    happens(sqlite_store, 2, lanes=2)
    receiver = Told(lambda said: Delivered(500 if said["data"]["id"] == "pay0" else 200))
    stops = play(deliverer(sqlite_store, receiver), sqlite_store, AT, hours=3)
    back = stops + timedelta(days=4)
    happens(sqlite_store, 1, at=back, lanes=2, first=3)
    worker = deliverer(sqlite_store, receiver)
    settle(worker, back)
    states = {row["lane"]: row for row in deliveries(sqlite_store, one)}
    assert (states["c0"]["state"], states["c1"]["state"]) == ("waiting", "delivered")
    play(worker, sqlite_store, back, hours=120)
    assert deliveries(sqlite_store, one)[0]["attempts"] > len(job.PAUSES)


def test_a_receiver_that_is_gone_is_disabled_at_once(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    happens(store, 3)
    receiver = Told(lambda _said: Delivered(410))
    settle(deliverer(store, receiver), AT)
    assert len(receiver.requests) == 1
    row = state_of(store, one)
    assert (row["state"], row["state_reason"]) == ("disabled", "gone")
    assert {each["state"] for each in deliveries(store, one)} == {"waiting"}


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(sqlite_store: Store) -> None:
    endpoint(sqlite_store, topics=["payment.*"])
    happens(sqlite_store, 1)
    settle(deliverer(sqlite_store, Told(lambda _said: Delivered(429, retry_after=900))), AT)
    assert deliveries(sqlite_store)[0]["next_attempt_at"] == AT + timedelta(seconds=900)


def test_an_endpoint_that_is_down_is_asked_rarely_and_gets_all_at_once_when_it_is_back(
    sqlite_store: Store,
) -> None:
    endpoint(sqlite_store, topics=["payment.*"])
    happens(sqlite_store, 300, lanes=300)
    takes = False
    receiver = Told(lambda _said: Delivered(200) if takes else Delivered(error="timeout"))
    worker = deliverer(sqlite_store, receiver)
    at = AT
    while at < AT + HOUR:
        settle(worker, at)
        at += timedelta(seconds=5)
    assert len(receiver.requests) < 40, "three hundred lanes do not ask for each of themselves"
    takes = True
    at += timedelta(seconds=300)
    settle(worker, at)
    settle(worker, at)
    assert sum(map(len, receiver.taken.values())) == 300


def test_each_endpoint_gets_what_it_asks_for_and_one_of_a_customer_only_of_that(sqlite_store: Store) -> None:
    store = sqlite_store
    with store.transaction():
        store._run("PRAGMA defer_foreign_keys = ON")
        of_one = endpoint(store, url="https://a.example/", topics=["payment.captured"])
        every = endpoint(store, url="https://b.example/")
    with pytest.raises(BillingError, match="unknown_customer"):
        endpoint(store, customer_id="nobody")
    with pytest.raises(BillingError, match="unknown_topic"):
        endpoint(store, topics=["payment.captured", "payment.imagined"])
    happens(store, 2, lanes=2)
    receiver = Told()
    settle(deliverer(store, receiver), AT)
    said = [(url, json.loads(body)["type"]) for url, _headers, body in receiver.requests]
    assert [topic for url, topic in said if "a.example" in url] == ["payment.captured"] * 2
    assert {topic for url, topic in said if "b.example" in url} == {
        "payment.captured",
        "webhook_endpoint.created",
    }
    assert len(deliveries(store, of_one)) == 2 < len(deliveries(store, every))


def test_a_secret_that_does_not_open_is_a_failure_and_stops_nothing_else(sqlite_store: Store) -> None:
    store = sqlite_store
    broken = endpoint(store, url="https://a.example/", topics=["payment.*"], sealed="no seal")
    endpoint(store, url="https://b.example/", topics=["payment.*"])
    happens(store, 1)
    receiver = Told()
    settle(Deliverer(store, receiver, reveal, lambda send: send()), AT)
    assert [url for url, _headers, _body in receiver.requests] == ["https://b.example/"]
    (tried,) = store.rows(select(webhook_attempts).where(webhook_attempts.c.endpoint_id == broken))
    assert (tried["error"], tried["status"]) == ("not_signed", None)


def test_a_paused_endpoint_is_sent_nothing_and_later_all(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    acts.change_endpoint(store, AT, endpoint_id=one, is_paused=True)
    happens(store, 3, lanes=2)
    receiver = Told()
    worker = deliverer(store, receiver)
    settle(worker, AT)
    assert receiver.requests == []
    acts.change_endpoint(store, AT, endpoint_id=one, is_paused=False, url="https://new.example/")
    settle(worker, AT)
    assert [url for url, _headers, _body in receiver.requests] == ["https://new.example/"] * 3
    acts.remove_endpoint(store, AT, endpoint_id=one)
    happens(store, 1, first=9)
    settle(worker, AT)
    assert len(receiver.requests) == 3
    with pytest.raises(BillingError, match="unknown_endpoint"):
        acts.change_endpoint(store, AT, endpoint_id=one, is_paused=True)


def test_what_waited_for_a_paused_endpoint_has_three_days_again(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    happens(store, 1)
    receiver = Told(lambda _said: Delivered(503))
    worker = deliverer(store, receiver)
    settle(worker, AT)
    acts.change_endpoint(store, AT + HOUR, endpoint_id=one, is_paused=True)
    settle(worker, AT + HOUR)
    back = AT + 100 * HOUR
    acts.change_endpoint(store, back, endpoint_id=one, is_paused=False)
    settle(worker, back)
    assert len(receiver.requests) == 2
    assert state_of(store, one)["state"] == "enabled"
    receiver.answers = lambda _said: Delivered(200)
    settle(worker, back + HOUR)
    assert [row["state"] for row in deliveries(store, one)] == ["delivered"]


def test_a_test_goes_to_its_endpoint_alone(sqlite_store: Store) -> None:
    one = endpoint(sqlite_store, url="https://a.example/", topics=["invoice.*"])
    endpoint(sqlite_store, url="https://b.example/", topics=["invoice.*"])
    acts.try_endpoint(sqlite_store, AT, endpoint_id=one)
    receiver = Told()
    settle(deliverer(sqlite_store, receiver), AT)
    assert [(url, json.loads(body)["type"]) for url, _headers, body in receiver.requests] == [
        ("https://a.example/", "webhook.test")
    ]


def test_while_a_secret_takes_over_both_sign_and_then_the_new_one_alone(store: Store) -> None:
    from hooks import sealed

    one = endpoint(store, topics=["payment.*"])
    receiver = Told()
    worker = deliverer(store, receiver)
    steps = [AT, AT + HOUR, AT + 25 * HOUR]
    for number, at in enumerate(steps):
        if number == 1:
            acts.rotate_secret(store, at, endpoint_id=one, sealed=sealed(2), old_ends_at=at + 24 * HOUR)
        happens(store, 1, at=at, first=number)
        settle(worker, at)
    keys = []
    for at, (_url, headers, body) in zip(steps, receiver.requests, strict=True):
        given = headers["webhook-signature"].split()
        by = [
            number
            for number in (1, 2)
            if signed(headers["webhook-id"], at, body, [secret(number)])["webhook-signature"] in given
        ]
        assert len(by) == len(given)
        keys.append(by)
    assert keys == [[1], [1, 2], [2]]


def test_too_many_secrets_at_once_are_refused(sqlite_store: Store) -> None:
    from hooks import sealed

    one = endpoint(sqlite_store)
    for number in range(2, acts.MOST_SECRETS + 1):
        acts.rotate_secret(sqlite_store, AT, endpoint_id=one, sealed=sealed(number), old_ends_at=AT + HOUR)
    with pytest.raises(BillingError, match="illegal_transition"):
        acts.rotate_secret(sqlite_store, AT, endpoint_id=one, sealed=sealed(9), old_ends_at=AT + HOUR)


def test_what_is_told_again_comes_in_order_under_the_same_ids(store: Store) -> None:
    one = endpoint(store, topics=["payment.*"])
    happens(store, 6, lanes=2)
    receiver = Told()
    worker = deliverer(store, receiver)
    settle(worker, AT)
    ids = [headers["webhook-id"] for _url, headers, _body in receiver.requests]
    receiver.requests.clear()
    first = deliveries(store, one)[2]["sequence"]
    answer = acts.replay(store, AT + HOUR, endpoint_id=one, from_sequence=first)
    assert (answer.deliveries, answer.next_sequence) == (4, None)
    settle(worker, AT + HOUR)
    again = [
        (json.loads(body)["sequence"], headers["webhook-id"]) for _url, headers, body in receiver.requests
    ]
    assert (
        sorted(again)
        == [(row["sequence"], name) for row, name in zip(deliveries(store, one), sorted(ids), strict=True)][
            2:
        ]
    )
    for lane in ("c0", "c1"):
        told = receiver.taken[lane][3:]
        assert told == sorted(told)
        assert len(told) == 2
    assert [row["attempts"] for row in deliveries(store, one)] == [1, 1, 2, 2, 2, 2]


def test_what_was_long_before_an_endpoint_is_not_sent_though_nobody_had_put_it_in_order(store: Store) -> None:
    happens(store, 5, at=AT - 72 * HOUR)
    happens(store, 1, at=AT - HOUR, first=5)  # It may have come to stand only now.
    one = endpoint(store, topics=["payment.*"])
    happens(store, 1, first=6)
    receiver = Told()
    settle(deliverer(store, receiver), AT)
    assert [json.loads(body)["data"]["id"] for _url, _headers, body in receiver.requests] == ["pay5", "pay6"]
    assert acts.replay(store, AT, endpoint_id=one, from_sequence=1).deliveries == 7


def test_an_endpoint_that_comes_late_may_ask_for_what_was_before_it(store: Store) -> None:
    happens(store, 4, lanes=2)
    worker = deliverer(store, receiver := Told())
    settle(worker, AT)
    one = endpoint(store, AT + HOUR, topics=["payment.*"])
    settle(worker, AT + HOUR)
    assert receiver.requests == []
    for about in ({"topics": ["invoice.*"]}, {"since": AT + HOUR, "from_sequence": None}):
        assert acts.replay(store, AT + HOUR, endpoint_id=one, **{"from_sequence": 1} | about).deliveries == 0
    assert acts.replay(store, AT + HOUR, endpoint_id=one, since=AT).deliveries == 4
    settle(worker, AT + HOUR)
    assert {lane: len(found) for lane, found in receiver.taken.items()} == {"c0": 2, "c1": 2}
    with pytest.raises(BillingError, match="missing_value"):
        acts.replay(store, AT, endpoint_id=one)


def test_the_log_is_kept_for_a_time_and_what_waits_for_ever(sqlite_store: Store) -> None:
    store = sqlite_store
    one = endpoint(store, topics=["payment.*"])
    happens(store, 4, lanes=2)
    receiver = Told(lambda said: Delivered(500 if said["data"]["customer_id"] == "c0" else 200))
    settle(deliverer(store, receiver), AT)
    assert not any(forget(store, AT + DELIVERIES_FOR).values())
    gone = forget(store, AT + DELIVERIES_FOR + HOUR)
    assert (gone["webhook_deliveries"], gone["webhook_attempts"]) == (2, 3)
    assert [row["state"] for row in deliveries(store, one)] == ["waiting"] * 2
    assert acts.replay(store, AT, endpoint_id=one, from_sequence=1).deliveries == 2, "events are kept"


def test_who_is_removed_is_still_in_the_log(sqlite_store: Store) -> None:
    one = endpoint(sqlite_store)
    acts.remove_endpoint(sqlite_store, AT, endpoint_id=one)
    assert sqlite_store.row(select(webhook_endpoints.c.state)) == {"state": "removed"}
