"""How a route is made: who may call it, what it names, what it answers. All routes of the API are made here.

    routes = Routes("Invoices", "invoices")

    @routes.get("/invoices/{invoice_id}", answer=Invoice, subject="unknown_invoice", expands=("lines",))
    def invoice(context: Context, invoice_id: Id) -> Row | None: ...

    @routes.get("/invoices", answer=Invoice, is_list=True)
    def invoices(context: Context, paging: Paging, state: State | None = None) -> Page: ...

    @routes.post("/invoices/{invoice_id}/void", answer=Invoice, subject="unknown_invoice", needs_key=True)
    def void(context: Context, invoice_id: Id, body: Reason) -> Act: ...

A read gives a mapping or dataclass (None: not there, or not the caller's), a `Page`, or a ready Response.
A change gives an `Act` (billing.api.performing), which is then carried out.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Annotated, Any, cast, get_type_hints

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from billing.api import versions
from billing.api.idempotency import once_of
from billing.api.keys import Door as KeyDoor
from billing.api.parameters import check_parameters
from billing.api.performing import Act, performed
from billing.api.shapes.base import Body, ListOf
from billing.api.versions import VersionedRoute, version_of
from billing.core.money import BillingError
from billing.reads.page import MOST, Page
from billing.service.requests import Reply
from billing.web.as_json import to_json
from billing.web.calls import Call, call_of
from billing.web.context import Caller, Context
from billing.web.cursors import cursor_of, place_of
from billing.web.entity_tags import matches, tag_of
from billing.web.problems import Problem, problem_of

PREFIX = "/v1"
REHEARSED: dict[int | str, Any] = {409: {"description": "What is tried out cannot be done as things are."}}
"""What a read answers besides, where it does an act to see what comes of it."""
_OF_EVERY_LIST = ("after", "limit", "expand", "fields")


@dataclass(frozen=True)
class Paging:
    """The place behind which a page begins, and how many rows it has at most."""

    after: tuple[object, ...] | None
    limit: int


async def context_of(request: Request) -> Context:
    """Who asks. Raises Problem `unauthenticated`, `bad_version`."""
    state = request.app.state
    header = request.headers.get("authorization")
    # A request among others in one was let in with them.
    caller: Caller | None = request.scope.get("let_in")
    if caller is None and isinstance(state.authenticate, KeyDoor):  # Without another thread where it can be.
        caller = state.authenticate.known(state.services, header)
    if caller is None:
        caller = cast(Caller, await run_in_threadpool(state.authenticate, state.services, header))
    request.scope["caller"] = caller.actor  # for the log, and for who counts refused keys
    request.scope["call"] = Call(request.scope, caller)
    version = version_of(request.headers.get(versions.HEADER), caller)
    request.scope["version"] = version
    return Context(state.services, caller, request.scope.get("request_id", ""), version)


def demand(scope: str) -> Callable[..., Any]:
    """What refuses, as Problem `scope_missing`, who may not."""

    async def demanded(context: Annotated[Context, Depends(context_of)]) -> None:
        if not context.caller.may(scope):
            raise Problem("scope_missing", f"it needs {scope}")

    return demanded


async def paging_of(
    request: Request,
    context: Annotated[Context, Depends(context_of)],
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="rows of a page, at most")] = 50,
) -> Paging:
    """The page that is asked for. Raises Problem `bad_cursor`."""
    if after is None:
        return Paging(None, limit)
    name, filters = _list_of(request)
    return Paging(place_of(context.services.vault, name, filters, after), limit)


def _list_of(request: Request) -> tuple[str, dict[str, str]]:
    filters = {name: value for name, value in request.query_params.items() if name not in _OF_EVERY_LIST}
    return request.scope["route"].path + "|" + request.url.path, filters


@dataclass(frozen=True)
class _Made:
    subject: str | None
    expands: Sequence[str]
    needs_key: bool


class Routes:
    """The routes of a resource. `thing` names it in scopes: a GET needs `thing:read`, all else
    `thing:write`, unless a route says otherwise."""

    def __init__(self, tag: str, thing: str) -> None:
        self.router = APIRouter(prefix=PREFIX, tags=[tag], route_class=VersionedRoute)
        self._thing = thing

    def get(
        self,
        path: str,
        *,
        answer: type[BaseModel] | None = None,
        subject: str | None = None,
        scope: str | None = None,
        expands: Sequence[str] = (),
        is_list: bool = False,
        responses: Mapping[int | str, Any] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A read. `subject`: the code that says that what the path names is missing."""
        shape: Any = ListOf[answer] if is_list and answer is not None else answer  # type: ignore[valid-type]
        described = {200: {"model": shape}, **(responses or {})} if shape is not None else responses or {}
        return self._made(
            "GET", path, scope or f"{self._thing}:read", _Made(subject, expands, False), described
        )

    def post(self, path: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A change; see `_change`."""
        return self._change("POST", path, **settings)

    def put(self, path: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A change; see `_change`."""
        return self._change("PUT", path, **settings)

    def patch(self, path: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A change; see `_change`."""
        return self._change("PATCH", path, **settings)

    def delete(self, path: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A change; see `_change`."""
        return self._change("DELETE", path, **settings)

    def _change(
        self,
        method: str,
        path: str,
        *,
        answer: type[BaseModel] | None = None,
        status: int = 200,
        subject: str | None = None,
        scope: str | None = None,
        needs_key: bool = False,
        responses: Mapping[int | str, Any] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """needs_key: what moves money is refused without an Idempotency-Key. `status`: of its `Act`."""
        shape: dict[str, Any] = {"description": "Done"} if answer is None else {"model": answer}
        described: dict[int | str, Any] = {204 if answer is None else status: shape, **(responses or {})}
        made = _Made(subject, (), needs_key)
        return self._made(method, path, scope or f"{self._thing}:write", made, described)

    def _made(
        self, method: str, path: str, scope: str, made: _Made, responses: Mapping[Any, Any]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.router.add_api_route(
                path,
                _endpoint(function, method, made),
                methods=[method],
                name=function.__name__,
                operation_id=f"{function.__module__.rsplit('.', 1)[-1]}_{function.__name__}",
                dependencies=[Depends(demand(scope)), Depends(check_parameters)],
                response_model=None,
                responses=dict(responses),
                status_code=next((code for code in responses if isinstance(code, int)), 200),
                openapi_extra={"x-scope": scope, "x-subject": made.subject, "x-needs-key": made.needs_key},
            )
            return function

        return register


def _endpoint(function: Callable[..., Any], method: str, made: _Made) -> Callable[..., Response]:
    """The function as FastAPI calls it: it asks for request and context too, and writes what comes back."""
    hints = get_type_hints(function, include_extras=True)
    given = inspect.signature(function)

    @wraps(function)
    def called(**named: Any) -> Response:
        request: Request = named.pop("request_")
        context: Context = named.pop("context_")
        fields = named.pop("fields_", None)
        expand = named.pop("expand_", None)
        body = named.get("body")
        sent = body.given() if isinstance(body, Body) else None
        try:
            context = replace(context, expand=_expanded(expand, made.expands))
            _ = context.scope  # Before a store is borrowed.
            if "context" in given.parameters:
                named["context"] = context
            answer = function(**named)
            if isinstance(answer, Act):
                return _sent(_performed(request, context, answer, made, body))
            return _read(request, context, answer, fields, made)
        except BillingError as refused:
            raise problem_of(refused, subject=made.subject, body=sent) from refused

    called.__signature__ = _signature(given, hints, method, made)  # type: ignore[attr-defined]
    return called


def _signature(
    given: inspect.Signature, hints: Mapping[str, Any], method: str, made: _Made
) -> inspect.Signature:
    named = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("request_", named, annotation=Request),
        inspect.Parameter("context_", named, annotation=Annotated[Context, Depends(context_of)]),
    ]
    for one in given.parameters.values():
        hint = hints[one.name]
        if hint is Context:
            continue
        if hint is Paging:
            hint = Annotated[Paging, Depends(paging_of)]
        parameters.append(one.replace(kind=named, annotation=hint))
    if method == "GET":
        some: Any = Annotated[
            str | None, Query(alias="fields", max_length=1000, description="members to show")
        ]
        parameters.append(inspect.Parameter("fields_", named, annotation=some, default=None))
    if made.expands:
        about = "what to show in full: " + ", ".join(made.expands)
        more: Any = Annotated[str | None, Query(alias="expand", max_length=300, description=about)]
        parameters.append(inspect.Parameter("expand_", named, annotation=more, default=None))
    return inspect.Signature(parameters, return_annotation=Response)


def _expanded(asked: str | None, allowed: Sequence[str]) -> frozenset[str]:
    wanted = frozenset(one.strip() for one in asked.split(",") if one.strip()) if asked else frozenset()
    unknown = sorted(wanted - set(allowed))
    if unknown:
        raise Problem("bad_parameter", f"{unknown[0]!r} cannot be expanded here", field="expand")
    return wanted


def _performed(request: Request, context: Context, act: Act, made: _Made, body: object) -> Reply:
    if isinstance(body, BaseModel):
        sent = body.model_dump_json(exclude_unset=True).encode()
    else:
        sent = getattr(request, "_body", b"")  # What a route read by itself.
    once = once_of(request, context, sent)
    if made.needs_key and once is None:
        raise Problem("idempotency_key_missing")
    given = body.given() if isinstance(body, Body) else None
    reply = performed(
        context,
        act,
        if_match=request.headers.get("if-match"),
        once=once,
        call=call_of(request.scope),
        refusal=lambda refused: problem_of(refused, subject=made.subject, body=given),
    )
    if reply.status >= 400:
        request.scope["code"] = json.loads(reply.body)["code"]
    return reply


def _sent(reply: Reply) -> Response:
    media = "application/json" if reply.body and "Content-Type" not in reply.headers else None
    return Response(reply.body, reply.status, dict(reply.headers), media)


def _read(request: Request, context: Context, answer: Any, fields: str | None, made: _Made) -> Response:
    if isinstance(answer, Response):
        return answer
    if answer is None:
        raise Problem(made.subject or "not_found", status=404)
    wanted = None if fields is None else [one.strip() for one in fields.split(",") if one.strip()]
    if wanted == []:
        raise Problem("bad_parameter", "it names no member", field="fields")
    if isinstance(answer, Page):
        name, filters = _list_of(request)
        rows = answer.rows if wanted is None else [_some(row, wanted) for row in answer.rows]
        following = cursor_of(context.services.vault, name, filters, answer.after)
        return _json({"object": "list", "data": rows, "next": following})
    if not isinstance(answer, Mapping):
        return _json(answer)
    if wanted is not None:
        return _json(_some(answer, wanted))
    tag = tag_of(answer) if not context.expand else None
    asked = request.headers.get("if-none-match")
    if tag is not None and asked is not None and matches(asked, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return _json(answer, {"ETag": tag} if tag else None)


def _json(shown: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(shown), 200, dict(headers or {}), "application/json")


def _some(row: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    unknown = [name for name in wanted if name not in row]
    if unknown:
        raise Problem("bad_parameter", f"there is no member {unknown[0]!r} here", field="fields")
    return {name: row[name] for name in wanted}
