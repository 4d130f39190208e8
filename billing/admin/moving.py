"""Ways out of the screens: into the portal as a customer."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from billing.admin.looks import Form, Link, Screen, Section
from billing.admin.visit import Visit, path_to
from billing.reads import customers
from billing.reads.scope import everything
from billing.service.portal_sessions import hash_of, make_link
from billing.store.store import Store
from billing.web.problems import Problem


def asked(visit: Visit) -> Screen:
    """Before somebody looks as a customer: what that leaves behind. Raises Problem `not_found`."""
    _ = visit.words.gettext
    key = visit.key()
    with visit.context.looking() as store:
        row = customers.customer_of(store, everything(), customer_id=key)
    if row is None or visit.context.services.portal_url is None:
        raise Problem("not_found")
    note = _("You see what the customer sees, and may do what the customer may. The audit log says who came.")
    form = Form(path_to("customers", key, "portal"), _("Make a link to the portal"), name=f"portal:{key}")
    return Screen(
        row["name"],
        [Section(_("Portal"), notes=[note], forms=[form])],
        back=Link(path_to("customers", key), _("Back")),
        current="customers",
    )


def to_portal(visit: Visit, _fields: Mapping[str, str]) -> Screen:
    """A link that works once, to be followed: a form of ours may lead to no other place (form-action of its
    Content-Security-Policy), and the portal is one. Raises Problem `not_found` where no portal is served,
    and `unknown_customer`."""
    _ = visit.words.gettext
    portal = visit.context.services.portal_url
    if portal is None:
        raise Problem("not_found")
    key, token = visit.key(), secrets.token_urlsafe(32)

    def work(store: Store, at: datetime) -> object:
        return make_link(store, at, token_hash=hash_of(token), customer_id=key)

    visit.context.write(work)
    way = Link(
        f"{portal}/portal/enter?{urlencode({'t': token})}",
        _("Open the portal as this customer"),
        "primary",
        is_outside=True,
    )
    return Screen(
        key,
        [Section(_("Portal"), notes=[_("The link works once, for ten minutes.")], links=[way])],
        back=Link(path_to("customers", key), _("Back")),
        current="customers",
    )
