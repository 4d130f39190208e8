"""The page for those who receive webhooks: its list is the catalogue's, and its code verifies."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from billing.jobs.deliver_webhooks import DOWN_AFTER, IN_FLIGHT, OF_ENDPOINT, PAUSES
from billing.jobs.event_catalogue import TOPICS
from billing.jobs.webhook_messages import signed
from billing.service.webhook_endpoints import MOST_REPLAYED, MOST_SECRETS

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")


def line(topic: str) -> str:
    one = TOPICS[topic]
    members = ", ".join(f"`{name}`" for name in one.fields)
    return f"| `{topic}` | {one.description} | {members} | {'customer' if one.is_public else ''} |"


def test_the_page_lists_every_event_of_the_catalogue_and_no_other() -> None:
    listed = [row for row in PAGE.split("## Events")[1].splitlines() if row.startswith("| `")]
    assert listed == [line(topic) for topic in sorted(TOPICS)]


def test_what_it_says_of_numbers_is_so() -> None:
    words = {5: "5 s", 30: "30 s", 300: "5 min", 1_800: "30 min"}
    pauses = [words.get(one, f"{one // 3600} h") for one in PAUSES]
    assert f"{', '.join(pauses[:-1])} and {pauses[-1]}" in PAGE
    assert f"up to {IN_FLIGHT} at a time and {OF_ENDPOINT} to an endpoint" in PAGE
    assert (DOWN_AFTER, MOST_SECRETS) == (8, 4)
    assert f"at most {MOST_REPLAYED:,}" in PAGE


def test_the_code_of_the_page_verifies_what_is_sent_and_nothing_else() -> None:
    code = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "is_ours" in block)
    found: dict[str, Any] = {}
    exec(code, found)
    is_ours: Callable[..., bool] = found["is_ours"]
    body, secrets = b'{"type":"webhook.test"}', ["whsec_AAAA", "whsec_BBBB"]
    headers = signed("msg_1", datetime.now(UTC), body, secrets)
    assert all(is_ours(secret, headers, body) for secret in secrets)
    assert not is_ours("whsec_CCCC", headers, body)
    assert not is_ours(secrets[0], headers, body + b" ")
    old = signed("msg_1", datetime.fromtimestamp(time.time() - 400, UTC), body, secrets)
    assert not is_ours(secrets[0], old, body)
