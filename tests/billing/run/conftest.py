"""Properties are shown on both databases: a test that uses `each_database` is run once on each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import shop


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let the stores of `shop.new_store` be of one kind of database, which it names."""
    pool = "_sqlite_pool" if request.param == "sqlite" else "_postgres_pool"
    with shop.databases_of(request.getfixturevalue(pool)):
        yield request.param


@pytest.fixture(autouse=True)
def _close_stores() -> Iterator[None]:
    yield
    shop.close_stores()
