"""The merchant is written to when an endpoint fails for long or is turned off, once per outage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hooks import AT, Told, deliverer, endpoint, happens, play, settle
from sqlalchemy import update

from billing.gateways.mail import Mail, NotSent
from billing.gateways.receiver import Delivered
from billing.service import webhook_endpoints as acts
from billing.service.catalog import create_legal_entity
from billing.store.store import Store
from billing.store.tables import legal_entities
from billing.web.endpoint_letters import send_letters

LINK = "https://admin.example.com/admin/webhooks/"


class Letters:
    """A mailer that keeps what it takes."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.refused: set[str] = set()

    def send(self, mail: Mail) -> None:
        if mail.to in self.refused:
            raise NotSent("away")
        self.sent.append(mail)


@pytest.fixture
def shop(sqlite_store: Store) -> Store:
    for name in ("one", "two"):
        create_legal_entity(sqlite_store, AT, entity_id=name, name=name, country="DE")
    sqlite_store.execute(update(legal_entities).values(email="shop@example.com"))
    return sqlite_store


def fails(store: Store, hours: float, status: int = 503) -> tuple[str, Any]:
    one = endpoint(store, topics=["payment.*"], url="https://hooks.example.com/in?token=secret")
    happens(store, 1)
    worker = deliverer(store, Told(lambda _said: Delivered(status)))
    at = play(worker, store, AT, hours=hours)
    settle(worker, at)
    return one, at


def test_one_letter_tells_that_an_endpoint_fails_and_one_that_it_was_turned_off(shop: Store) -> None:
    mailer = Letters()
    one, at = fails(shop, 3)
    mailer.refused.add("shop@example.com")
    with pytest.raises(NotSent):
        send_letters(shop, at, mailer, link=LINK)
    mailer.refused.clear()
    assert [send_letters(shop, at, mailer, link=LINK) for _ in range(2)] == [1, 0]
    (letter,) = mailer.sent
    assert (letter.to, letter.subject) == ("shop@example.com", "Webhooks to hooks.example.com fail")
    assert LINK + one in letter.text
    assert "secret" not in letter.text
    worker = deliverer(shop, Told(lambda _said: Delivered(503)))
    end = play(worker, shop, at)
    settle(worker, end)
    assert [send_letters(shop, end, mailer, link=None) for _ in range(2)] == [1, 0]
    assert "turned off" in mailer.sent[-1].subject
    # Turned on again, it is another outage.
    acts.enable_endpoint(shop, end, endpoint_id=one)
    play(worker, shop, end, hours=3)
    assert send_letters(shop, end + timedelta(hours=3), mailer, link=None) == 1


def test_a_receiver_that_is_gone_is_told_of_in_the_language_and_to_the_addresses_of_the_company(
    shop: Store,
) -> None:
    mailer = Letters()
    _one, at = fails(shop, 1, status=410)
    to = ["ops@example.com", "dev@example.com"]
    mailer.refused.add("ops@example.com")
    with pytest.raises(NotSent):
        send_letters(shop, at, mailer, link=LINK, to=to, language="ar")
    mailer.refused.clear()
    assert send_letters(shop, at, mailer, link=LINK, to=to, language="ar") == 1
    assert [letter.to for letter in mailer.sent] == to[::-1]
    assert "410" in mailer.sent[0].text
    assert "إيقاف" in mailer.sent[0].subject
    assert mailer.sent[0].language == "ar"
