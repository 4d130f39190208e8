"""Addresses by which a customer comes into the portal, once each. The secret in one is kept nowhere else."""

from __future__ import annotations

import secrets
from datetime import datetime

from billing.service.portal_sessions import hash_of, make_link
from billing.store.store import Store
from billing.web.context import Services, written

PORTAL = "/portal"
"""Below which path of its host the portal is served."""


def new_link(
    store: Store,
    at: datetime,
    url: str,
    *,
    customer_id: str,
    user_id: str | None,
    kind: str,
    task: str | None = None,
    target: str | None = None,
) -> str:
    """The address of a new way in. url: where customers reach the portal. Raises as `make_link`."""
    token = secrets.token_urlsafe(32)
    make_link(
        store,
        at,
        token_hash=hash_of(token),
        customer_id=customer_id,
        user_id=user_id,
        kind=kind,
        task=task,
        target=target,
    )
    return f"{url}{PORTAL}/enter?t={token}"


def portal_link(
    services: Services,
    url: str,
    actor: str,
    *,
    customer_id: str,
    user_id: str | None = None,
    task: str | None = None,
    target: str | None = None,
) -> str:
    """A way in that the merchant's own server or staff hand to a customer. Raises as `make_link`."""

    def made(store: Store, at: datetime) -> str:
        return new_link(
            store,
            at,
            url,
            customer_id=customer_id,
            user_id=user_id,
            kind="session",
            task=task,
            target=target,
        )

    with services.stores.write(actor) as store:
        return written(store, services.clock, made)
