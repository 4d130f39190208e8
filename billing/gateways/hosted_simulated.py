"""The simulated gateway's page for entering a card: a small web application of its own, for a sandbox alone.

It takes test cards only, so that nobody enters a real one; which card it is decides how charges of it end.
Visits are remembered in memory, or in a file where page and API run in different processes.
"""

from __future__ import annotations

import hashlib
import html
import re
import secrets
import sqlite3
import threading
from calendar import monthrange
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from billing.core.money import BillingError
from billing.gateways.hosted import Finished, Start
from billing.gateways.simulated import CAPTURED, card_ref

PATH = "/simulated-gateway"
"""Where the page is mounted."""
OPEN_FOR = timedelta(minutes=30)
CARDS: Mapping[str, str] = {
    "4242424242424242": CAPTURED,
    "4000000000000002": "do_not_honor",
    "4000000000009995": "insufficient_funds",
    "4000000000000069": "card_expired",
    "4000002500003155": "authentication_required",
    "4000000000000119": "timeout",
}
"""Test cards, and how charges of each end."""
_LARGEST_FORM = 4_096


class _Visit(NamedTuple):
    return_url: str
    expires_at: str
    gateway_ref: str | None
    label: str | None
    expires_on: str | None


class SimulatedFields:
    """See gateways.hosted.HostedFields. `base_url`: where the page is reached; `books`: a file to remember
    visits in."""

    def __init__(self, base_url: str, *, books: Path | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._lock = threading.Lock()
        self._books = sqlite3.connect(
            books or ":memory:", isolation_level=None, timeout=60, check_same_thread=False
        )
        self._books.execute(
            "CREATE TABLE IF NOT EXISTS visits (token_hash TEXT PRIMARY KEY, setup_id TEXT NOT NULL,"
            " return_url TEXT NOT NULL, expires_at TEXT NOT NULL, gateway_ref TEXT, label TEXT,"
            " expires_on TEXT)"
        )

    def start(self, setup_id: str, customer_id: str, return_url: str, at: datetime) -> Start:
        """See HostedFields.start. Raises `unknown_setting` for an address to return to that is none."""
        parts = urlsplit(return_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not return_url.isprintable():
            raise BillingError("unknown_setting", "return_url is no address", field="return_url")
        token, expires_at = secrets.token_urlsafe(32), at + OPEN_FOR
        row = (_hash(token), setup_id, return_url, expires_at.isoformat())
        with self._lock:
            self._books.execute(
                "INSERT INTO visits (token_hash, setup_id, return_url, expires_at) VALUES (?, ?, ?, ?)", row
            )
        return Start(f"{self._base_url}{PATH}/{token}", token, expires_at)

    def finish(self, token: str, at: datetime) -> Finished | None:
        """See HostedFields.finish."""
        visit = self.visit(token)
        if visit is None or visit.gateway_ref is None or visit.label is None or visit.expires_on is None:
            return None
        return Finished(visit.gateway_ref, "card", visit.label, date.fromisoformat(visit.expires_on))

    def visit(self, token: str) -> _Visit | None:
        """What is known of a visit."""
        with self._lock:
            row = self._books.execute(
                "SELECT return_url, expires_at, gateway_ref, label, expires_on FROM visits"
                " WHERE token_hash = ?",
                (_hash(token),),
            ).fetchone()
        return None if row is None else _Visit(*row)

    def enter(self, token: str, number: str, expires_on: date) -> None:
        """Take a test card for a visit: the first that is entered stays."""
        row = (card_ref(CARDS[number]), f"Visa •• {number[-4:]}", expires_on.isoformat(), _hash(token))
        with self._lock:
            self._books.execute(
                "UPDATE visits SET gateway_ref = ?, label = ?, expires_on = ?"
                " WHERE token_hash = ? AND gateway_ref IS NULL",
                row,
            )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# The page.

_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Add a card (simulated gateway)",
        "about": "No money moves here. Only test cards are taken:",
        "number": "Card number",
        "expiry": "Valid until (MM/YY)",
        "save": "Save card",
        "back": "Go back without a card",
        "gone": "This page is no longer open.",
        "number_wrong": "This is not one of the test cards.",
        "expiry_wrong": "Write the month the card ends, such as 09/31; it must not have passed.",
        CAPTURED: "is charged",
        "do_not_honor": "is declined by the bank",
        "insufficient_funds": "has too little money",
        "card_expired": "has expired",
        "authentication_required": "asks for the holder's word",
        "timeout": "is not answered in time",
    },
    "ar": {
        "title": "إضافة بطاقة (بوابة محاكاة)",
        "about": "لا تتحرك أي أموال هنا. تُقبل بطاقات الاختبار فقط:",
        "number": "رقم البطاقة",
        "expiry": "صالحة حتى (شهر/سنة)",
        "save": "حفظ البطاقة",
        "back": "العودة دون بطاقة",
        "gone": "لم تعد هذه الصفحة متاحة.",
        "number_wrong": "هذه ليست إحدى بطاقات الاختبار.",
        "expiry_wrong": "اكتب شهر انتهاء البطاقة، مثل 09/31، على ألا يكون قد مضى.",
        CAPTURED: "يتم الخصم منها",
        "do_not_honor": "يرفضها البنك",
        "insufficient_funds": "رصيدها غير كافٍ",
        "card_expired": "منتهية الصلاحية",
        "authentication_required": "تتطلب تأكيد حاملها",
        "timeout": "لا يأتي رد في الوقت المناسب",
    },
}
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_EXPIRY = re.compile(r"(0[1-9]|1[0-2]) ?/ ?(\d{2})", re.ASCII)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def in_front_of(
    application: Application,
    fields: SimulatedFields,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Application:
    """An ASGI application with the page at PATH, outside its layers, which know nothing of forms; never one
    whose gateway takes money."""
    own = page(fields, clock)

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        is_own = scope["type"] == "http" and scope["path"].startswith(f"{PATH}/")
        await (own if is_own else application)(scope, receive, send)

    return both


def page(fields: SimulatedFields, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Application:
    """The page as an ASGI application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        token = scope["path"].rpartition("/")[2]
        try:
            form = await _form(receive) if scope["method"] == "POST" else None
        except ValueError:  # more fields than any form of ours has
            status, headers, body = 400, [*_HEADERS], b""
        else:
            status, headers, body = _answer(fields, clock(), scope["method"], token, form, _language(scope))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


async def _form(receive: Receive) -> dict[str, str]:
    """The members of a form that is not too large; none of another. Raises ValueError for one of too many."""
    data, is_more = b"", True
    while is_more:
        message = await receive()
        is_more = bool(message.get("more_body"))
        data += message.get("body", b"")
        if len(data) > _LARGEST_FORM:
            return {}
    found = parse_qs(data.decode("utf-8", "replace"), max_num_fields=10)
    return {name: values[0] for name, values in found.items()}


def _language(scope: Scope) -> str:
    asked = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1").strip().lower()
    return "ar" if asked.startswith("ar") else "en"


def _answer(
    fields: SimulatedFields,
    now: datetime,
    method: str,
    token: str,
    form: Mapping[str, str] | None,
    language: str,
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    words, visit = _WORDS[language], fields.visit(token)
    if method not in ("GET", "HEAD", "POST"):
        return 405, [*_HEADERS, (b"allow", b"GET, POST")], b""
    if visit is None or (visit.gateway_ref is None and datetime.fromisoformat(visit.expires_at) <= now):
        return _shown(404, language, f"<p>{words['gone']}</p>", None)
    if form is None:
        return _shown(200, language, _card_form(words, visit, {}, ()), visit)
    number = re.sub(r"[ -]", "", form.get("number", ""))
    expires_on = _last_day(form.get("expiry", ""), now.date())
    wrong = [
        name
        for name, is_right in (("number", number in CARDS), ("expiry", expires_on is not None))
        if not is_right
    ]
    if wrong or expires_on is None:
        return _shown(422, language, _card_form(words, visit, form, wrong), visit)
    fields.enter(token, number, expires_on)
    return 303, [*_HEADERS, (b"location", visit.return_url.encode("ascii", "ignore"))], b""


def _last_day(text: str, today: date) -> date | None:
    """The last day of a month as cards write it; None where it cannot be read or has passed."""
    found = _EXPIRY.fullmatch(text.strip())
    if found is None:
        return None
    month, year = int(found[1]), 2000 + int(found[2])
    last = date(year, month, monthrange(year, month)[1])
    return last if last >= today else None


def _card_form(
    words: Mapping[str, str], visit: _Visit, form: Mapping[str, str], wrong: tuple[str, ...] | list[str]
) -> str:
    def field(name: str, hint: str) -> str:
        value = html.escape(form.get(name, ""), quote=True)
        problem = f'<p id="{name}-problem" role="alert">{words[name + "_wrong"]}</p>' if name in wrong else ""
        marks = f' aria-invalid="true" aria-describedby="{name}-problem"' if name in wrong else ""
        return (
            f'<p><label for="{name}">{words[name]}</label><br><input id="{name}" name="{name}" dir="ltr"'
            f' inputmode="numeric" autocomplete="{hint}" required value="{value}"{marks}></p>{problem}'
        )

    cards = "".join(
        f"<li><code dir=ltr>{number}</code> {words[outcome]}</li>" for number, outcome in CARDS.items()
    )
    return (
        f"<p>{words['about']}</p><ul>{cards}</ul>"
        f'<form method="post">{field("number", "cc-number")}{field("expiry", "cc-exp")}'
        f'<p><button type="submit">{words["save"]}</button></p></form>'
        f'<p><a href="{html.escape(visit.return_url, quote=True)}">{words["back"]}</a></p>'
    )


def _shown(
    status: int, language: str, main: str, visit: _Visit | None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    words = _WORDS[language]
    back = urlsplit(visit.return_url) if visit else None
    # A browser asks of the form's answer too whether it may lead there.
    targets = f"'self' {back.scheme}://{back.netloc}" if back else "'none'"
    policy = f"default-src 'none'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    direction = "rtl" if language == "ar" else "ltr"
    body = (
        f'<!doctype html><html lang="{language}" dir="{direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{words['title']}</title></head><body><main><h1>{words['title']}</h1>{main}</main></body></html>"
    )
    headers = [*_HEADERS, (b"content-security-policy", policy.encode("ascii", "ignore"))]
    return status, headers, body.encode()
