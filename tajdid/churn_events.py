"""Puts the evaluation of an order history and the warehouse it needs together: neither knows the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from churn_model.description import Description
    from churn_model.result import Result


def evaluate_events(description: Description, say: Callable[[str], None]) -> Result:
    """What `churn_model.evaluate.evaluate_file` asks of its front door for kind `events`."""
    from churn_model.description import DescriptionError
    from churn_model.events import evaluate_events
    from pipelines.order_snapshots import order_snapshots
    from pipelines.sources.loading import SourceError

    try:
        return evaluate_events(description, make_snapshots=order_snapshots, progress=say)
    except SourceError as error:
        raise DescriptionError(f"{description.path}: {error}") from error
