"""What time it is for a process: that of the world, or where a company is for trying, that of its clock."""

from __future__ import annotations

from datetime import datetime

from billing.service.test_clock import clock_of
from billing.web.context import now
from billing.web.stores import Stores


class SetClock:
    """The clock of a database, where it was set; until then that of the world."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def __call__(self) -> datetime:
        """The instant. Raises Busy."""
        with self._stores.look() as store:
            clock = clock_of(store)
        return now() if clock is None else clock.now_at
