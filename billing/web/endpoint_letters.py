"""Letters to the merchant about webhook endpoints: one when an endpoint has failed for an hour, one when it
is turned off. Each is sent once per outage, as the event that it tells of is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import bindparam, select

from billing.gateways.mail import Mail, Mailer, NotSent
from billing.service.requests import Reply, answer_once
from billing.store import claims
from billing.store.store import Row, Store
from billing.store.tables import api_replies, customers, events, legal_entities, outbox, webhook_endpoints
from billing.web.languages import Words, words

TOLD_WITHIN = timedelta(days=2)
"""How old an outage may be that a letter is sent of: a mail server may be away for a time. Shorter than the
marks of letters are kept."""
CLAIM = SENDER = "endpoint_letters"

_OUTAGES = (
    select(
        events.c.message_id,
        events.c.topic,
        outbox.c.payload,
        webhook_endpoints.c.endpoint_id,
        webhook_endpoints.c.url,
        customers.c.entity_id,
    )
    .join(outbox, outbox.c.message_id == events.c.message_id)
    .join(webhook_endpoints, webhook_endpoints.c.endpoint_id == events.c.subject_id)
    .outerjoin(customers, customers.c.customer_id == webhook_endpoints.c.customer_id)
    .where(
        events.c.topic.in_(("webhook_endpoint.failing", "webhook_endpoint.disabled")),
        events.c.recorded_at > bindparam("since"),
    )
    .order_by(events.c.sequence)
)
_SENT = select(api_replies.c.key).where(api_replies.c.caller == SENDER)
_SELLERS = (
    select(legal_entities.c.email)
    .where(legal_entities.c.email.is_not(None))
    .order_by(legal_entities.c.entity_id)
)


def send_letters(
    store: Store,
    at: datetime,
    mailer: Mailer,
    *,
    link: str | None,
    to: Sequence[str] = (),
    language: str = "en",
) -> int:
    """Tell of outages that no letter told of yet; how many letters.

    to: addresses; without any, those of the sellers: of the endpoint's customer, else of all. link: where the
    screen of an endpoint is, before its id. A letter counts as sent once the mailer has taken it, so a crash
    between sends it again. Raises NotSent once all others are sent: what was not taken waits.
    """
    if not claims.claim(store, CLAIM):
        return 0
    try:
        sent = {row["key"] for row in store.rows(_SENT)}
        count, failed = 0, None
        for row in store.rows(_OUTAGES, {"since": at - TOLD_WITHIN}):
            for address in dict.fromkeys(to or _sellers(store, row["entity_id"])):
                key = f"{row['message_id']} {hashlib.sha256(address.encode()).hexdigest()}"
                if key in sent:
                    continue
                try:
                    mailer.send(letter(row, address, words(language), link))
                except NotSent as error:
                    failed = error
                    continue
                done = partial(Reply, 204)
                answer_once(store, lambda: at, caller=SENDER, key=key, request_hash=key, work=done)
                count += 1
        if failed is not None:
            raise failed
        return count
    finally:
        claims.release(store, CLAIM)


def _sellers(store: Store, entity_id: str | None) -> list[str]:
    """The addresses of a seller, or of all."""
    asked = _SELLERS if entity_id is None else _SELLERS.where(legal_entities.c.entity_id == entity_id)
    return [row["email"] for row in store.rows(asked)]


def letter(row: Row, address: str, spoken: Words, link: str | None) -> Mail:
    """The letter of an outage: of `failing` or `disabled`. Of the endpoint's address it names the host alone:
    the rest may be a secret."""
    _ = spoken.gettext
    said: Mapping[str, Any] = json.loads(row["payload"])
    facts = {"host": urlsplit(row["url"]).netloc, "endpoint": row["endpoint_id"]}
    if row["topic"].endswith(".failing"):
        facts["since"] = spoken.moment(datetime.fromisoformat(said["since"]), "UTC")
        subject = _("Webhooks to {host} fail")
        opening = _("{host} has taken no webhook since {since} (UTC).")
        ending = _("Each is tried again. After three days the endpoint is turned off, and nothing is lost.")
    else:
        subject = _("Webhooks to {host} were turned off")
        opening = (
            _("{host} answered that it is gone (410), so nothing more is sent to it.")
            if said["reason"] == "gone"
            else _("{host} took no webhook in three days, so nothing more is sent to it.")
        )
        ending = _("What waits stays, and is sent in order once the endpoint is turned on again.")
    where = f"{link}{row['endpoint_id']}" if link else _("Endpoint {endpoint}").format(**facts)
    text = f"{opening.format(**facts)}\n{ending}\n\n{where}\n"
    return Mail(address, subject.format(**facts), text, spoken.language)
