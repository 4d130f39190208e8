"""What a webhook says, and how it is signed (Standard Webhooks)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from billing.gateways.signatures import signature
from billing.jobs.event_catalogue import shown


def event_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """An event as it is shown. row: `sequence`, `topic`, `subject_id`, `customer_id`, `recorded_at`,
    `payload` (JSON text)."""
    at = row["recorded_at"].astimezone(UTC).isoformat().removesuffix("+00:00")
    return {
        "type": row["topic"],
        "timestamp": f"{at}Z",
        "sequence": row["sequence"],
        "data": shown(row["topic"], row["subject_id"], row["customer_id"], json.loads(row["payload"])),
    }


def body_of(event: Mapping[str, Any]) -> bytes:
    """The body of a request: the same bytes at each attempt."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def signed(message_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of a request: its id, when it is sent, and a signature by each secret (`whsec_` and
    base64). Raises ValueError without a secret, or for one that is none."""
    if not secrets:
        raise ValueError("a webhook is signed")
    stamp = str(int(at.timestamp()))
    signatures = [signature(secret, message_id, stamp, body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Tajdid-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }
