"""What is sent to endpoints, as OpenAPI 3.1 has it: an operation of the receiver's for each kind of event."""

from __future__ import annotations

from typing import Any

from billing.jobs.event_catalogue import TOPICS, example

HEADERS: dict[str, Any] = {
    "WebhookId": {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "the same whenever the event comes again",
        "schema": {"type": "string"},
        "example": "msg_00010000000000001a2b3",
    },
    "WebhookTimestamp": {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "description": "when this request was sent, in seconds since 1970",
        "schema": {"type": "string", "pattern": r"^\d+$"},
        "example": "1772352000",
    },
    "WebhookSignature": {
        "name": "webhook-signature",
        "in": "header",
        "required": True,
        "description": "HMAC-SHA256 of `id.timestamp.body`, by each secret that holds (Standard Webhooks)",
        "schema": {"type": "string"},
        "example": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    },
}
EVENT: dict[str, Any] = {
    "type": "object",
    "title": "SentEvent",
    "required": ["type", "timestamp", "sequence", "data"],
    "properties": {
        "type": {"type": "string", "description": "the topic"},
        "timestamp": {"type": "string", "format": "date-time", "description": "when it happened"},
        "sequence": {"type": "integer", "description": "rises with the order in which changes came to stand"},
        "data": {
            "type": "object",
            "required": ["object", "id", "customer_id"],
            "properties": {
                "object": {"type": "string", "description": "what it is about"},
                "id": {"type": "string"},
                "customer_id": {"type": ["string", "null"], "description": "whose it is"},
            },
        },
    },
}


def webhooks() -> dict[str, Any]:
    """An operation of each topic; it refers to `HEADERS` as parameters and to `EVENT` as SentEvent."""
    return {topic: {"post": _operation(topic)} for topic in sorted(TOPICS)}


def _operation(topic: str) -> dict[str, Any]:
    return {
        "tags": ["Webhooks"],
        "summary": TOPICS[topic].description,
        "operationId": f"sent_{topic.replace('.', '_')}",
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in HEADERS],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/SentEvent"},
                    "example": example(topic),
                }
            },
        },
        "responses": {
            "2XX": {"description": "It is taken."},
            "410": {"description": "Send nothing more."},
            "default": {"description": "It is sent again later."},
        },
    }
