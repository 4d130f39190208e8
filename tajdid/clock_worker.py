"""Lets time go on in a company for trying: lives through each day that its clock was told to pass."""

from __future__ import annotations

import logging
import threading

from billing.gateways.gateway import Gateway
from billing.gateways.stock import Stock
from billing.service.test_clock import advance
from billing.store import claims
from billing.store.store import Store, open_store

EVERY = 0.5
"""Seconds between two looks at the clock."""
LONGEST_PAUSE = 30.0
CLAIM = "test_clock"

logger = logging.getLogger(__name__)


def work(database_url: str, gateway: Gateway, stock: Stock | None, stops: threading.Event) -> None:
    """Advance whenever the clock was set, until `stops` is set. One that is killed goes on where it was; of
    several at a database one works. Where anything fails, it is tried again after a pause."""
    store: Store | None = None
    failures = 0
    while not stops.is_set():
        try:
            if store is None or not store.is_connected:
                store = open_store(database_url, ids=store.ids if store else None)
            with store.acting_as("test clock"):
                _advance(store, gateway, stock, stops)
            failures = 0
            stops.wait(EVERY)
        except Exception as error:
            failures += 1
            logger.error("the test clock pauses: %s", type(error).__name__, exc_info=failures == 1)
            stops.wait(min(2.0 ** min(failures, 6) / 4, LONGEST_PAUSE))
    if store is not None:
        store.close()


def _advance(store: Store, gateway: Gateway, stock: Stock | None, stops: threading.Event) -> None:
    if CLAIM not in store.claimed and not claims.claim(store, CLAIM):
        return
    advance(store, gateway, stock, until=stops.is_set)
