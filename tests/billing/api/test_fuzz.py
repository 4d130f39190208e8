"""Random requests by the description of the API, in short; `make fuzz-api` makes them at length."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from fastapi import FastAPI
from world import World

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from fuzz_api import Asked, fuzzed


def test_random_requests_are_answered_as_described_and_never_by_a_failure(
    api_over_world: Callable[..., AbstractContextManager[tuple[FastAPI, World]]],
) -> None:
    with api_over_world() as (app, _world):
        asked = Asked(app)
        found = fuzzed(asked, 1, seed=1, only="/v1/payment-terms", key="merchant")
    assert found == {}
    assert sum(asked.statuses.values()) > 50
    assert max(asked.statuses) < 500
    assert {200, 201, 400, 401, 422} <= set(asked.statuses)
