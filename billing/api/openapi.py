"""The description of the API in OpenAPI 3.1: what FastAPI knows of the routes, and what holds of all of them.

It is made once, when it is first asked for. Each operation says what may go wrong, which headers come and go,
and what a request and an answer look like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from billing.api import webhook_descriptions
from billing.api.examples import example_of
from billing.web.problems import MEDIA_TYPE, STATUS, title_of

JSON = "application/json"
_METHODS = ("get", "put", "post", "delete", "patch")
_ABOUT = """Everything the billing engine does, by HTTP.

Amounts are whole minor units beside a currency, prices and quantities decimal text, days ISO dates,
instants RFC 3339 in UTC, periods half-open. Lists come in pages: `next` of one goes into `after` for the
page behind it. A change may carry an `Idempotency-Key`, so that a repetition does nothing twice, and
`If-Match` with the `ETag` that was read, so that nobody's change is lost. What goes wrong is told as a
problem (RFC 9457), by a `code` that never changes."""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "a page that explains the code"},
        "title": {"type": "string", "description": "the meaning of the code in a sentence"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "for programs; it never changes"},
        "detail": {"type": "string", "description": "what it was about, for people"},
        "field": {"type": "string", "description": "the member or parameter to blame"},
        "request_id": {"type": "string", "description": "what to name when you ask us about it"},
        "errors": {
            "type": "array",
            "description": "each member that has a wrong form",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
            },
        },
    },
}
_WAITING: dict[str, Any] = {
    "type": "object",
    "title": "Waiting",
    "description": "An order that waits for a person's word.",
    "required": ["object", "approval_id", "state", "code", "detail"],
    "properties": {
        "object": {"const": "approval"},
        "approval_id": {"type": ["string", "null"], "examples": ["apr_000100000000001a2b3c"]},
        "state": {"const": "pending"},
        "code": {"enum": ["on_hold", "over_credit_limit"]},
        "detail": {"type": "string"},
        "customer_id": {"type": "string", "examples": ["cus_000100000000001a2b3c"]},
        "figures": {"type": "object", "examples": [{"limit_minor": 100_000, "exposure_minor": 120_000}]},
    },
}
_PROBLEMS = {
    400: ("bad_parameter", "The request cannot be read."),
    401: ("unauthenticated", "No valid key came with it."),
    403: ("scope_missing", "The key does not allow it."),
    404: ("not_found", "It is not there, or not yours."),
    409: ("illegal_transition", "Its state does not allow it, or the key was used for something else."),
    412: ("precondition_failed", "It was changed since it was read."),
    408: ("too_slow", "The body did not arrive in time."),
    413: ("too_large", "The body is too large."),
    414: ("uri_too_long", "The address is too long."),
    415: ("unsupported_media_type", "The body comes in a form that is not taken."),
    422: ("invalid", "A member is wrong; `field` says which."),
    428: ("precondition_required", "It is changed only with If-Match."),
    429: ("rate_limited", "Too many requests; Retry-After says how long to wait."),
    500: ("internal", "Something failed here."),
    503: ("busy", "The database is busy or away; Retry-After says how long to wait."),
}
_OF_ALL, _OF_CHANGES = (400, 401, 403, 404, 414, 422, 429, 500, 503), (408, 409, 412, 413, 415)

_ANSWER_HEADERS: dict[str, Any] = {
    "X-Request-Id": {"schema": {"type": "string"}, "example": "req_0f1e2d3c4b5a69788796"},
    "RateLimit": {"schema": {"type": "string"}, "example": '"read";r=199;t=1'},
    "RateLimit-Policy": {"schema": {"type": "string"}, "example": '"read";q=200;w=2'},
    "ETag": {"schema": {"type": "string"}, "example": '"kQ0zYb5o1XJ2Vh7yq3mDc8Ra"'},
    "Location": {"schema": {"type": "string"}, "example": "/v1/customers/cus_000100000000001a2b3c"},
}
_REQUEST_HEADERS: dict[str, Any] = {
    "Idempotency-Key": {
        "description": "1 to 200 printable signs; the same key gives the same answer and does nothing twice",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
        "example": "order-2026-000017",
    },
    "If-Match": {
        "description": "the ETag that was read; refused where it was changed since",
        "schema": {"type": "string"},
        "example": '"kQ0zYb5o1XJ2Vh7yq3mDc8Ra"',
    },
    "If-None-Match": {
        "description": "the ETag that is at hand; 304 where it still holds",
        "schema": {"type": "string"},
        "example": '"kQ0zYb5o1XJ2Vh7yq3mDc8Ra"',
    },
}


def described(app: FastAPI, base_url: str) -> dict[str, Any]:
    """The description, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=f"{app.title} billing",
            version=app.version,
            summary="Subscription billing by HTTP",
            description=_ABOUT,
            routes=app.routes,
            servers=[{"url": base_url}],
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
        _complete(made, base_url)
        app.openapi_schema = made
    return app.openapi_schema


def operations(made: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of each operation."""
    for path, methods in made["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield path, method, methods[method]


def _complete(made: dict[str, Any], base_url: str) -> None:
    parts = made.setdefault("components", {})
    shapes = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        shapes.pop(name, None)
    shapes.update(Problem=_PROBLEM, Waiting=_WAITING, SentEvent=webhook_descriptions.EVENT)
    parts.setdefault("parameters", {}).update(webhook_descriptions.HEADERS)
    made["webhooks"] = webhook_descriptions.webhooks()
    parts["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "an API key, as `tj_live_…` or `tj_test_…`",
        }
    }
    parts["headers"] = _ANSWER_HEADERS
    parts["responses"] = {f"Problem{status}": _problem(status, base_url) for status in _PROBLEMS}
    made["security"] = [{"key": []}]
    made["tags"] = [
        {"name": tag} for tag in sorted({tag for *_, one in operations(made) for tag in one["tags"]})
    ]
    for path, method, operation in operations(made):
        _add_parameters(path, method, operation)
        _add_answers(path, method, operation)
        _add_examples(operation, shapes)


def _problem(status: int, base_url: str) -> dict[str, Any]:
    code, about = _PROBLEMS[status]
    example: dict[str, Any] = {
        "type": f"{base_url}/docs/errors/{code}",
        "title": title_of(code),
        "status": STATUS[code],
        "code": code,
        "request_id": _ANSWER_HEADERS["X-Request-Id"]["example"],
    }
    if status == 422:
        blamed = {"field": "name", "code": "missing_value", "detail": "Field required"}
        example |= {"detail": blamed["detail"], "field": blamed["field"], "errors": [blamed]}
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "string"}, "example": "1"}  # type: ignore[dict-item]
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    return {"description": about, "headers": headers, "content": content}


def _add_parameters(path: str, method: str, operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        parameter["schema"] = _never_null(parameter["schema"])
    named = {parameter["name"].lower() for parameter in parameters}
    wanted = {"Idempotency-Key": operation.get("x-needs-key", False), "If-Match": False}
    if "x-needs-key" not in operation:  # Each part of it has headers of its own.
        wanted = {}
    elif method == "get":
        wanted = {"If-None-Match": False} if "{" in path else {}
    for name, is_required in wanted.items():
        if name.lower() not in named:
            parameters.append(
                {"name": name, "in": "header", "required": is_required, **_REQUEST_HEADERS[name]}
            )
    if not parameters:
        del operation["parameters"]


def _never_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter is there or is not there: it is never null."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    beside = {
        name: said for name, said in schema.items() if name != "anyOf" and (name, said) != ("default", None)
    }
    if not choices:
        return beside
    return {**beside, **choices[0]} if len(choices) == 1 else {**beside, "anyOf": choices}


def _add_answers(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if _is_of_fastapi(answers.get("422")):
        del answers["422"]
    for status, answer in answers.items():
        content = answer.get("content", {})
        if len(content) > 1 and content.get(JSON) == {"schema": {}}:  # What FastAPI adds to a file.
            del content[JSON]
        if status[0] == "2" and "$ref" not in answer:
            names = ["X-Request-Id", "RateLimit", "RateLimit-Policy"]
            names += ["Location"] if status in ("201", "202") else []
            headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
            answer["headers"] = {**headers, **answer.get("headers", {})}
    if method == "get" and "{" in path:
        answers.setdefault("304", {"description": "What is at hand still holds."})
    wanted = [*_OF_ALL, *(_OF_CHANGES if method != "get" else ())]
    wanted += [428] if method in ("patch", "put") else []
    if method != "get" and "202" not in answers:
        answers["202"] = {
            "description": "Who pays is on hold or over its limit: the order waits for a person's word.",
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Waiting"}}},
        }
    wanted += [int(status) for status in answers if status[0] == "4"]
    for status in wanted:
        answers[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    operation["responses"] = dict(sorted(answers.items()))


def _is_of_fastapi(answer: Mapping[str, Any] | None) -> bool:
    return answer is not None and "HTTPValidationError" in str(answer.get("content"))


def _add_examples(operation: dict[str, Any], shapes: Mapping[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        # Whether members are left out or shown in full is said by the shape, not by one example.
        is_of_form = parameter["name"] in ("fields", "expand", "after")
        if not is_of_form and not {"example", "examples"} & set(parameter):
            parameter["example"] = example_of(parameter["schema"], shapes, parameter["name"])
    for media in operation.get("requestBody", {}).get("content", {}).values():
        _add_example(media, shapes, is_full=False)
    for status, answer in operation["responses"].items():
        for media_type, media in answer.get("content", {}).items():
            if status[0] == "2" and media_type == JSON:
                _add_example(media, shapes, is_full=True)


def _add_example(media: dict[str, Any], shapes: Mapping[str, Any], *, is_full: bool) -> None:
    if media.get("schema") and not {"example", "examples"} & set(media):
        media["example"] = example_of(media["schema"], shapes, is_full=is_full)
