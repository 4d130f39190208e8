"""New figures are published while a reader clicks: what is shown is of one build as a whole, and no error.

Build number n of the company has n times the MRR of the first, and was built n minutes after it.
"""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import duckdb
import pytest
import tiny_world
from looks import plain
from window import Reader

pytestmark = pytest.mark.browser

# How long after a click the next build is published: at once, while the page is worked out, and after it.
LATER_MS = (0, 20, 60, 150, 400)
MRR = sum(paid[tiny_world.MONTHS[-1]] for _, _, paid in tiny_world.CUSTOMERS.values()) / 100


@pytest.fixture
def builds(home: Path) -> list[Path]:
    """A company of as many builds as there are clicks, and one that readers begin with."""
    folder = home / "moving"
    fill = tiny_world.fill_subscriptions
    first = tiny_world.publish(folder, "20250401T0430-m1", fill, title=("Moving", "متحركة"))
    made = [first]
    for number in range(2, len(LATER_MS) + 2):
        path = first.with_name(f"warehouse-20250401T04{29 + number}-m{number}.duckdb")
        shutil.copyfile(first, path)
        with duckdb.connect(str(path)) as connection:
            for table, columns in (
                ("fct_metric_values", ("numerator", "value")),
                ("fct_customer_months", ("opening_mrr", "closing_mrr", "delta", "delta_booked")),
                ("fct_customer_month_balances", ("closing_mrr",)),
            ):
                times = ", ".join(f"{column} = {column} * {number}" for column in columns)
                only = " WHERE metric_id = 'mrr'" if table == "fct_metric_values" else ""
                connection.execute(f"UPDATE marts.{table} SET {times}{only}")
            built_at = tiny_world.BUILT_AT + timedelta(minutes=number - 1)
            connection.execute("UPDATE raw_meta.build SET built_at = ?", [built_at])
        made.append(path)
    return made


def publish(build: Path) -> None:
    """Move the pointer, in one step as a build does."""
    moved = build.with_name("current.new")
    moved.write_text(build.name + "\n", encoding="utf-8")
    os.replace(moved, build.with_name("current"))


def shown(number: int) -> str:
    return f"€{(MRR * number).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def test_a_build_published_during_a_click_leaves_one_snapshot_on_the_page(
    reader: Reader, builds: list[Path]
) -> None:
    page = reader.open("", company="moving", lang="en")
    card = page.locator('[data-testid="stMetric"]').first.locator('[data-testid="stMetricValue"]')
    drill = page.locator(".st-key-drill .tj-table")
    seen = [shown(number) for number in range(1, len(builds) + 1)]
    assert plain(card.inner_text()) == seen[0]
    last = 0
    for number, later in enumerate(LATER_MS, start=1):
        is_open = number % 2 == 1
        page.get_by_role("button", name="Show the rows" if is_open else "Hide the rows").first.click()
        page.wait_for_timeout(later)
        publish(builds[number])
        drill.wait_for(state="visible" if is_open else "detached")
        reader.settle()
        place = seen.index(plain(card.inner_text()))
        assert last <= place <= number
        last = place
        assert f":{30 + place}" in page.locator(".st-key-freshness").inner_text()
        assert page.locator('[data-testid="stException"], [data-testid="stAlertContentError"]').count() == 0
        if is_open:
            words = plain(page.locator(".st-key-drill").inner_text())
            assert seen[place] in words
            assert "✓" in words
            assert "✗" not in words
    for old in builds[:-1]:
        old.unlink()
    page.get_by_role("button", name="Hide the rows").first.click()
    drill.wait_for(state="detached")
    reader.settle()
    assert plain(card.inner_text()) == seen[-1]
