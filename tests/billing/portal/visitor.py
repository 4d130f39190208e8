"""A browser of a kind: it keeps cookies, reads pages, and sends forms as they stand on a page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI
from portal_world import USERS

from billing.web.portal_links import portal_link

URL = "http://portal.test"


@dataclass
class Form:
    """A form of a page: where it goes, and its fields as they stand."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """What a page says: its text, its forms, its links, and every tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.forms, self.links = "", [], []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "form":
            self.forms.append(Form(given.get("action") or "", (given.get("method") or "get").lower()))
        if tag == "a":
            self.links.append(given.get("href") or "")
        name = given.get("name")
        if not self.forms or not name:
            if tag == "option" and self._select and "selected" in given:
                self.forms[-1].fields[self._select] = given.get("value") or ""
            return
        if tag == "select":
            self._select = name
            self.forms[-1].fields[name] = ""
        is_off = given.get("type") in ("checkbox", "radio") and "checked" not in given
        if tag == "input" and not is_off:
            self.forms[-1].fields[name] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def form(self, action: str, method: str = "post") -> Form:
        """The form that goes to an address which ends like this."""
        return next(one for one in self.forms if one.action.endswith(action) and one.method == method)


class Browser:
    """Visits one portal. Addresses are below its prefix."""

    def __init__(self, app: FastAPI, users: dict[str, str], base: str = URL) -> None:
        self.app, self._users, self._base = app, users, base
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self._client.cookies)

    def keep_cookie(self, name: str, value: str) -> None:
        self._client.cookies.set(name, value, domain="portal.test", path="/")

    def request(self, method: str, path: str, **named: Any) -> httpx.Response:
        where = path if path.startswith(("/portal", "http")) else f"/portal{path}"
        return self._loop.run_until_complete(self._client.request(method, where, **named))

    def get(self, path: str, **named: Any) -> httpx.Response:
        return self.request("GET", path, **named)

    def page(self, path: str, status: int = 200) -> Page:
        answer = self.get(path, follow_redirects=True)
        assert answer.status_code == status, (path, answer.status_code, Page(answer.text).text[-600:])
        return Page(answer.text)

    def send(
        self, form: Form, /, *, origin: str | None = None, follow: bool = True, **changed: str
    ) -> httpx.Response:
        """Send a form of a page, some of its fields changed."""
        fields = form.fields | changed
        if form.method == "get":
            return self.get(f"{form.action}?{urlencode(fields)}", follow_redirects=follow)
        headers = {"origin": origin or self._base, "content-type": "application/x-www-form-urlencoded"}
        body = urlencode(fields).encode()
        return self.request("POST", form.action, content=body, headers=headers, follow_redirects=follow)

    def link(self, name: str | None = None, *, customer_id: str = "acme", **of: str) -> str:
        """A way in that the merchant's server makes, below the host."""
        desk = self.app.state.desk
        user_id = self._users[name] if name else None
        of_whom = USERS[name]["customer_id"] if name else customer_id
        made = portal_link(
            desk.services, desk.url, "key:test", customer_id=str(of_whom), user_id=user_id, **of
        )
        return made.removeprefix(desk.url)

    def follow_link(self, link: str) -> httpx.Response:
        """Open a link and press its button."""
        return self.send(self.page(link).form("/enter"))

    def sign_in(self, name: str | None = None, **of: str) -> httpx.Response:
        answer = self.follow_link(self.link(name, **of))
        assert answer.status_code == 200, answer.text
        return answer
