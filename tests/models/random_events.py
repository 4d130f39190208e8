"""Terms, trials and cancellations on top of a random history, from a seed of their own."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from plain_metrics import FAR, History
from random_history import random_history


def random_events(seed: int, customers: int = 14) -> History:
    draw = random.Random(f"events {seed}")
    history = random_history(seed, customers)
    by_item: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for version in history.versions:
        by_item[version["subscription_item_id"]].append(version)
    for versions in by_item.values():
        _statuses(draw, versions)
        _terms(draw, versions)
        _requests(draw, versions)
    return history


def _statuses(draw: random.Random, versions: list[dict[str, Any]]) -> None:
    """Longer trials, trials again, and terms that wait for their renewal."""
    for version in versions:
        if version["status"] == "active" and draw.random() < 0.25:
            version["status"] = draw.choice(["trialing", "renewal_pending"])
        if version["status"] == "trialing":
            moved = version["valid_from"] + timedelta(days=draw.randint(5, 60))
            version["trial_end_on"] = draw.choice([None, version["valid_to"], moved])


def _terms(draw: random.Random, versions: list[dict[str, Any]]) -> None:
    """Terms without gaps from the first day; some end where a version does, and some versions name none."""
    ends = sorted({version["valid_to"] for version in versions if version["valid_to"]})
    start = versions[0]["valid_from"]
    for version in versions:
        while (version.get("term_end") or date.min) <= version["valid_from"]:
            later = [end for end in ends if end > start]
            length = timedelta(days=draw.choice([30, 91, 182, 365]))
            end = draw.choice(later) if later and draw.random() < 0.6 else start + length
            version["term_start"], version["term_end"] = start, end
            if end <= version["valid_from"]:
                start = end
        if draw.random() < 0.15:
            version["term_start"] = version["term_end"] = None


def _requests(draw: random.Random, versions: list[dict[str, Any]]) -> None:
    for version in versions:
        until = min(version["valid_to"] or FAR, version["valid_from"] + timedelta(days=200))
        if draw.random() < 0.3:
            days = draw.randrange((until - version["valid_from"]).days)
            version["cancel_requested_on"] = version["valid_from"] + timedelta(days=days)
            version["cancel_reason"] = draw.choice(["too_expensive", "payment", None])
