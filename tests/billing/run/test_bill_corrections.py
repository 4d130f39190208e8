"""Usage that is corrected or comes late after its period was billed: a dated line of its own, once."""

from __future__ import annotations

from datetime import date

import pytest
from shop import Part, item_of, join, notes, open_shop, run, sell, take, use
from sqlalchemy import select

from billing.store import tables
from billing.store.store import Store

JANUARY, FEBRUARY, MARCH = date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)


def january(store: Store) -> int:
    """What is billed for January, less what was taken back of it."""
    table = tables.line_items.c
    posted = store.frame(select(table.service_start, table.service_end, table.net_minor))
    assert set(posted["service_end"]) <= {FEBRUARY, MARCH}
    charged = posted.filter(posted["service_start"] == JANUARY)["net_minor"].sum()
    return int(charged) - sum(net for start, _, net, _ in notes(store) if start == JANUARY)


@pytest.mark.parametrize(("currency", "one"), [("USD", 100), ("JPY", 1), ("KWD", 1000)])
def test_a_correction_and_a_late_event_are_billed_with_the_next_regular_usage(
    store: Store, currency: str, one: int
) -> None:
    open_shop(store)
    sell(store, "plan", [Part("calls", "usage", "1", "per_unit")], currency=currency)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    use(store, date(2025, 1, 9), item, date(2025, 1, 9), 100, "counted")
    assert run(store, FEBRUARY).lines == 1
    assert january(store) == 100 * one
    use(store, date(2025, 2, 5), item, date(2025, 1, 9), -30, "correction of counted")
    use(store, date(2025, 2, 6), item, date(2025, 1, 20), 10, "late")
    use(store, date(2025, 2, 7), item, date(2025, 2, 7), 5, "of February")
    for day in range(5, 28):
        assert run(store, date(2025, 2, day)).lines == 0
    run(store, MARCH)
    assert january(store) == 80 * one
    february = select(tables.line_items.c.net_minor).where(tables.line_items.c.service_start == FEBRUARY)
    assert store.frame(february)["net_minor"].to_list() == [5 * one]
    assert run(store, MARCH).lines == 0
    assert january(store) == 80 * one
