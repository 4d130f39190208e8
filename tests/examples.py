"""How much a property is shown with: a few examples by `make test`, so that it ends soon, many by
`make test-properties`, which sets TAJDID_EXAMPLES to `many`."""

from __future__ import annotations

import os

from hypothesis import settings

IS_LONG = os.environ.get("TAJDID_EXAMPLES") == "many"


def seeds(few: int, many: int) -> range:
    """Seeds of random histories, one a test."""
    return range(many if IS_LONG else few)


def examples(few: int, many: int) -> settings:
    """Settings of a property whose examples hypothesis draws."""
    return settings(max_examples=many if IS_LONG else few)
