"""What goes wrong, as callers are told it: problem+json (RFC 9457), with the status of each stable code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from billing.core.money import BillingError
from billing.core.refusals import REFUSALS

MEDIA_TYPE = "application/problem+json"

WEB_CODES: Mapping[str, tuple[int, str]] = {
    "bad_cursor": (400, "The place in the list cannot be read."),
    "bad_host": (400, "The request names no host of ours."),
    "bad_idempotency_key": (400, "An idempotency key has 1 to 200 printable signs."),
    "bad_json": (400, "The body is no JSON object that can be read."),
    "bad_length": (400, "Content-Length does not say how long the body is."),
    "bad_parameter": (400, "A parameter of the address is unknown or cannot be read."),
    "bad_request": (400, "The request cannot be read."),
    "bad_version": (400, "There is no such version of the API."),
    "idempotency_key_missing": (400, "What moves money needs an Idempotency-Key header."),
    "too_deep": (400, "The body is nested too deeply."),
    "unauthenticated": (401, "No valid API key came with the request."),
    "csrf": (403, "The form is too old, or came from elsewhere; load the page again."),
    "scope_missing": (403, "The API key does not allow this."),
    "task_closed": (403, "This cannot be done here."),
    "not_found": (404, "There is nothing at this address."),
    "method_not_allowed": (405, "This address does not know the method."),
    "not_acceptable": (406, "There is no such form of this."),
    "too_slow": (408, "The body did not arrive in time."),
    "needs_approval": (409, "An approver of your company has to agree first."),
    "precondition_failed": (412, "It was changed meanwhile; read it again."),
    "too_large": (413, "The body is too large."),
    "uri_too_long": (414, "The address is too long."),
    "unsupported_media_type": (415, "The body comes in a form that is not taken."),
    "invalid": (422, "A member of the body is missing, unknown or has a wrong form."),
    "precondition_required": (428, "Send If-Match with the ETag that you read."),
    "rate_limited": (429, "Too many requests; wait a moment."),
    "headers_too_large": (431, "The headers are too large."),
    "internal": (500, "Something failed here. It is written down under the request's id."),
    "busy": (503, "Others are at work on the same; try again."),
    "unavailable": (503, "The database does not answer now."),
}
"""Codes that only the web knows, with status and title."""

_CONFLICTS = frozenset(
    (
        "duplicate_conflict",
        "illegal_transition",
        "immutable",
        "key_conflict",
        "no_payment_method",
        "not_issued",
        "overdue_restricted",
        "parent_cycle",
        "period_locked",
        "po_exhausted",
        "po_expired",
        "po_missing",
        "pool_overlap",
        "preview_changed",
        "version_overlap",
    )
)
_OURS = frozenset(("sums_differ", "unexpected", "unprintable_text"))

STATUS: Mapping[str, int] = {
    **{code: 409 if code in _CONFLICTS else 500 if code in _OURS else 422 for code in REFUSALS},
    "on_hold": 202,
    "over_credit_limit": 202,
    "role_missing": 403,
    **{code: status for code, (status, _title) in WEB_CODES.items()},
}
"""The status of every code. `unknown_…` of the thing that a path names is 404 (see `status_of`)."""


def title_of(code: str) -> str:
    """The meaning of a code in a sentence."""
    if code in WEB_CODES:
        return WEB_CODES[code][1]
    return REFUSALS.get(code, code.replace("_", " ").capitalize() + ".")


def status_of(code: str, subject: str | None = None) -> int:
    """The status of a code on a route whose path names a thing that is missing by the code `subject`."""
    return 404 if subject is not None and code == subject else STATUS.get(code, 422)


class Problem(Exception):
    """A request that is answered by a problem. `field`: the member of the body (JSON pointer without the
    leading slash) or the parameter to blame; `errors`: several of them."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        field: str | None = None,
        status: int | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.field, self.errors = code, detail, field, errors
        self.status = STATUS[code] if status is None else status
        self.headers = dict(headers or {})


_NAMED_ELSE = {
    "currency_mismatch": "plan_id",
    "no_price": "plan_id",
    "parent_cycle": "parent_id",
    "payer_not_above": "bill_to_id",
    "unknown_country": "country",
    "unknown_currency": "currency",
    "unknown_purchase_order": "po_id",
    "unknown_time_zone": "time_zone",
}


def problem_of(
    error: BillingError, *, subject: str | None = None, body: Mapping[str, Any] | None = None
) -> Problem:
    """A refusal of the engine as a problem. `subject`: see `status_of`; `body`: what was sent, to tell the
    member that is to blame where the refusal names none."""
    status = status_of(error.code, subject)
    field = error.field
    if field is None and status != 404 and body:
        name = _NAMED_ELSE.get(error.code)
        if name is None and error.code.startswith("unknown_"):
            name = f"{error.code.removeprefix('unknown_')}_id"
        field = name if name in body else None
    detail = "" if status >= 500 else error.detail
    return Problem(error.code, detail, field=field, status=status)


def shown(problem: Problem, *, base_url: str, request_id: str) -> dict[str, object]:
    """The body of the answer."""
    said: dict[str, object] = {
        "type": f"{base_url}/docs/errors/{problem.code}",
        "title": title_of(problem.code),
        "status": problem.status,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.detail:
        said["detail"] = problem.detail
    if problem.field:
        said["field"] = problem.field
    if problem.errors:
        said["errors"] = [dict(one) for one in problem.errors]
    return said
