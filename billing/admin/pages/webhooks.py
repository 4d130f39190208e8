"""Webhooks: where events go, how each endpoint is, what it was sent, and sending it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Link, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.core.money import Scaled
from billing.reads import webhooks
from billing.service.webhook_endpoints import enable_endpoint, try_endpoint
from billing.service.webhook_endpoints import replay as replayed
from billing.store.store import Row, Store
from billing.web.problems import Problem

STATES = ("waiting", "delivered", "dead")
PERCENT = 10_000
"""Parts per million of a hundredth."""


def listed(visit: Visit) -> Screen:
    """Every endpoint, with its health."""
    _ = visit.words.gettext
    after = visit.place("endpoints")
    at = visit.context.now()
    with visit.context.looking() as store:
        found = webhooks.endpoints(store, ALL, after=after, limit=PAGE_ROWS)
        rows = [_row(visit, store, row, at) for row in found.rows]
    table = Table(
        _("Endpoints"),
        [_("Endpoint"), _("Address"), _("Topics"), _("State"), _("Taken in 24 hours"), _("Waiting")],
        rows,
        _("No endpoint was made yet. Programs make them with an API key."),
        frozenset({4, 5}),
        visit.following(found, "endpoints"),
    )
    return Screen(_("Webhooks"), [Section("", table=table)], current="webhooks")


def _row(visit: Visit, store: Store, row: Row, at: datetime) -> list[Cell]:
    key = row["endpoint_id"]
    how = webhooks.health(store, ALL, endpoint_id=key, at=at) or {}
    return [
        visit.code(key, path_to("webhooks", key)),
        visit.code(row["url"]),
        visit.code(" ".join(row["topics"])),
        naming.state(visit.words, row["state"]),
        _share(visit, how),
        Cell(visit.words.decimal(how.get("waiting", 0))),
    ]


def _share(visit: Visit, how: Mapping[str, Any]) -> Cell:
    share = how.get("success_ppm")
    return Cell("–" if share is None else visit.words.percent(Scaled(share // PERCENT, 2)))


def one(visit: Visit) -> Screen:
    """An endpoint and its delivery log."""
    _ = visit.words.gettext
    key, state = visit.key(), visit.one_of("state", STATES)
    after = visit.place("deliveries", state=state)
    at = visit.context.now()
    with visit.context.looking() as store:
        row = webhooks.endpoint(store, ALL, endpoint_id=key)
        found = webhooks.deliveries(store, ALL, endpoint_id=key, after=after, limit=PAGE_ROWS, state=state)
        how = webhooks.health(store, ALL, endpoint_id=key, at=at)
        if row is None or found is None or how is None:
            raise Problem("not_found")
        sent = [_delivery(visit, store, key, one) for one in found.rows]
    table = Table(
        _("Deliveries, the newest first"),
        [_("Event"), _("Type"), _("State"), _("Attempts"), _("Last answer"), _("Next attempt")],
        sent,
        _("Nothing was sent yet."),
        frozenset({3}),
        visit.following(found, "deliveries", state=state),
    )
    options = [("", _("All")), *((each, naming.state_name(visit.words, each)) for each in STATES)]
    filters = Form(
        path_to("webhooks", key), _("Show"), [Ask("state", _("State"), state or "", "choice", options)], "get"
    )
    return Screen(
        row["url"],
        [_about(visit, row, how), _again(visit, key), Section(_("Delivery log"), table=table)],
        filters=filters,
        back=Link(path_to("webhooks"), _("Webhooks")),
        current="webhooks",
    )


def _about(visit: Visit, row: Row, how: Row) -> Section:
    _ = visit.words.gettext
    key = row["endpoint_id"]
    facts = [
        (_("Endpoint"), visit.code(key)),
        (_("State"), naming.state(visit.words, row["state"])),
        (_("Why"), Cell(naming.failure(visit.words, row["state_reason"]))),
        (_("Topics"), visit.code(" ".join(row["topics"]))),
        (_("Customer"), visit.code(row["customer_id"])),
        (_("Taken in 24 hours"), _share(visit, how)),
        (_("Waiting"), Cell(visit.words.decimal(how["waiting"]))),
        (_("Oldest waiting"), _moment(visit, how["oldest_waiting_at"])),
        (_("Failing since"), _moment(visit, how["failing_since"])),
        (_("Last taken"), _moment(visit, how["last_success_at"])),
    ]
    forms = []
    if row["state"] != "enabled":
        forms.append(Form(path_to("webhooks", key, "enable"), _("Turn it on"), name=f"enable:{key}"))
    else:
        forms.append(Form(path_to("webhooks", key, "try"), _("Send a test"), name=f"try:{key}", tone=""))
    links = [Link(path_to("acts", "remove-endpoint", key), _("Remove it…"), "danger")]
    return Section(_("About"), facts, forms=forms, links=links)


def _again(visit: Visit, key: str) -> Section:
    _ = visit.words.gettext
    form = Form(
        path_to("webhooks", key, "replay"),
        _("Send again"),
        [Ask("from", _("From the event with this number on"), "1", "number", is_required=True)],
        name=f"replay:{key}",
        tone="",
    )
    note = _("What was delivered or given up is sent again, in order, with the ids it had.")
    return Section(_("Send again"), notes=[note], forms=[form])


def _delivery(visit: Visit, store: Store, key: str, row: Row) -> list[Cell]:
    one = (
        webhooks.delivery(store, ALL, endpoint_id=key, sequence=row["sequence"]) if row["attempts"] else None
    )
    last = one["log"][0] if one and one["log"] else None
    return [
        visit.code(str(row["sequence"])),
        visit.code(row["type"]),
        naming.state(visit.words, row["state"]),
        Cell(visit.words.decimal(row["attempts"])),
        _answered(visit, last),
        _moment(visit, row["next_attempt_at"]),
    ]


def _answered(visit: Visit, last: Row | None) -> Cell:
    if last is None:
        return Cell("–")
    if last["status"] is not None:
        return visit.code(str(last["status"]))
    return Cell(naming.failure(visit.words, last["error"]))


def _moment(visit: Visit, at: datetime | None) -> Cell:
    return Cell("–" if at is None else visit.words.moment(at, "UTC"))


def enable(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Go on with an endpoint that was turned off."""
    key = visit.key()
    visit.context.write(lambda store, at: enable_endpoint(store, at, endpoint_id=key))
    return path_to("webhooks", key)


def attempt(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Send a test to an endpoint."""
    key = visit.key()
    visit.context.write(lambda store, at: try_endpoint(store, at, endpoint_id=key))
    return path_to("webhooks", key)


def replay(visit: Visit, fields: Mapping[str, str]) -> str:
    """Send again what an endpoint was sent from a number on. Raises Problem `bad_parameter` for no number."""
    key, first = visit.key(), fields.get("from", "")
    if not (first.isascii() and first.isdigit() and len(first) <= 18):
        raise Problem("bad_parameter", "a number of an event", field="from")
    visit.context.write(lambda store, at: replayed(store, at, endpoint_id=key, from_sequence=int(first)))
    return path_to("webhooks", key)
