"""How the API is called: with a key, again where that helps, and with its problems as exceptions.

A change carries an Idempotency-Key, the caller's or one made here, so that it is done once however often it
has to be sent.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx

Client = TypeVar("Client", bound="Calling")
_PASSING = frozenset((429, 502, 503, 504))
_LONGEST_WAIT = 60.0


class Problem(Exception):
    """What the API refused. `code` is stable; `field` names the member or parameter to blame, `errors` all of
    them where there are several; `request_id` is what support asks for."""

    def __init__(self, status: int, said: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(said.get("code", "unknown"))
        self.title = str(said.get("title", ""))
        self.detail = str(said.get("detail", ""))
        self.field: str | None = said.get("field")
        self.errors: Sequence[Mapping[str, str]] = said.get("errors", ())
        self.request_id: str | None = said.get("request_id")
        super().__init__(f"{status} {self.code}: {self.detail or self.title}")


class Held(Exception):
    """An order that waits for a person's word. `approval`: what it waits as, with the figures."""

    def __init__(self, approval: Mapping[str, Any]) -> None:
        self.approval = approval
        super().__init__(f"waits as {approval.get('approval_id')}: {approval.get('code')}")


class Answer(dict[str, Any]):
    """An answer and its entity tag."""

    etag: str | None = None


def tag_of(answer: object) -> str | None:
    """The entity tag of an answer, to send with a change of it (`if_match`)."""
    return answer.etag if isinstance(answer, Answer) else None


def path_of(template: str, **ids: object) -> str:
    """A path with ids in it, whatever signs they have."""
    return template.format(**{name: quote(str(one), safe="") for name, one in ids.items()})


class Calling:
    """A connection to the API of one company. Use it in a `with`, or `close` it."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        version: str | None = None,
        timeout: float = 30.0,
        tries: int = 4,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """key: an API key. version: the day of the version to speak (the key's, by default). timeout: seconds
        for one try. tries: how often a request is sent where the connection breaks or the API is busy."""
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        if version is not None:
            headers["Tajdid-Version"] = version
        self._tries = max(tries, 1)
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout, transport=transport)

    def __enter__(self: Client) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        status: int = 200,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Any:
        """The answer to one request; None where it has none.

        status: the one of success. Raises `Problem`, `Held` for an order that waits, and
        `httpx.TransportError` where the API was not reached in all tries.
        """
        headers = {}
        if method != "GET":
            headers["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
        if if_match is not None:
            headers["If-Match"] = if_match
        asked = {name: _text(one) for name, one in (query or {}).items() if one is not None}
        response = self._sent(method, path, asked, body, headers)
        if response.is_error:
            raise Problem(response.status_code, _object(response))
        if response.status_code == 202 and status != 202:
            raise Held(_object(response))
        if not response.content:
            return None
        said = response.json()
        if isinstance(said, dict):
            answer = Answer(said)
            answer.etag = response.headers.get("etag")
            return answer
        return said

    def pages(self, path: str, *, query: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """All of a list, a page after another as they are needed."""
        asked = dict(query or {})
        while True:
            page = self.call("GET", path, query=asked)
            yield from page["data"]
            if page["next"] is None:
                return
            asked["after"] = page["next"]

    def _sent(
        self, method: str, path: str, query: Mapping[str, str], body: object, headers: Mapping[str, str]
    ) -> httpx.Response:
        """The answer of the last try."""
        for number in range(1, self._tries + 1):
            is_last = number == self._tries
            try:
                response = self._http.request(method, path, params=query, json=body, headers=headers)
            except httpx.TransportError:
                if is_last:
                    raise
                time.sleep(_pause(number))
                continue
            if is_last or response.status_code not in _PASSING:
                return response
            time.sleep(_asked_pause(response) or _pause(number))
        raise AssertionError


def _pause(number: int) -> float:
    """Seconds before the next try: about half a second, then twice as long each time."""
    return cast(float, 0.5 * 2 ** (number - 1) * random.uniform(0.75, 1.25))


def _asked_pause(response: httpx.Response) -> float | None:
    told = response.headers.get("retry-after", "")
    return min(float(told), _LONGEST_WAIT) if told.isdecimal() else None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _object(response: httpx.Response) -> Mapping[str, Any]:
    try:
        said = response.json()
    except ValueError:
        return {"detail": response.text[:200]}
    return said if isinstance(said, dict) else {}
