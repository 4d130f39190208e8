"""Several requests in one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from billing.api.bulk import MOST
from billing.api.shapes.base import Answer, Body


class Operation(Body):
    """A request: its `path` with its parameters, such as /v1/customers/c1."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, Field(max_length=2_000, pattern=r"^/v1/[!-~]+$")]
    body: dict[str, Any] | None = None
    idempotency_key: Annotated[str | None, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = None
    if_match: Annotated[str | None, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = None


class Bulk(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"operations": [{"method": "GET", "path": "/v1/customers"}]}]}
    )

    operations: Annotated[list[Operation], Field(min_length=1, max_length=MOST)]


class Outcome(Answer):
    """`status` and `body` as the request would have been answered alone."""

    status: int
    body: Any


class Outcomes(Answer):
    object: str
    data: list[Outcome]
