"""Signatures of requests by the Standard Webhooks scheme: of those we send, and of those that come."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

PREFIX = "whsec_"
TOLERANCE = timedelta(minutes=5)
"""How far the clocks of sender and receiver may differ."""


def key_of(secret: str) -> bytes:
    """The key that a secret (`whsec_` and base64) stands for. Raises ValueError for one that is none."""
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    """What a secret makes of a request. Raises ValueError for one that is none."""
    content = f"{message_id}.{stamp}.".encode() + body
    digest = hmac.new(key_of(secret), content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signed_id(secret: str, headers: Mapping[str, str], body: bytes, at: datetime) -> str | None:
    """The id of a request that a secret signed within the tolerance; None of any other. headers: their names
    in small letters."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        return None
    if abs(int(stamp) - at.timestamp()) > TOLERANCE.total_seconds():
        return None
    made = signature(secret, message_id, stamp, body).encode()
    given = headers.get("webhook-signature", "").encode().split()
    is_one = [hmac.compare_digest(made, one) for one in given[:10]]
    return message_id if any(is_one) else None


def is_secret(text: str) -> bool:
    """Whether a text is a secret of 24 bytes or more."""
    try:
        return text.startswith(PREFIX) and len(key_of(text)) >= 24
    except ValueError:
        return False
