"""Every page: what a browser may load and run, and that nothing of it stands in the page itself."""

from __future__ import annotations

import re
from collections.abc import Callable

from visitor import Browser, Page

from billing.web.assets import assets

AsUser = Callable[[str], Browser]

PAGES = (
    "/",
    "/subscriptions/sub_acme",
    "/subscriptions/sub_acme/plan?plan=pro",
    "/subscriptions/sub_acme/seats?quantity=5",
    "/subscriptions/sub_acme/pause?from_on=2025-03-20&until=2025-04-10",
    "/subscriptions/sub_acme/cancel?reason=unused",
    "/invoices",
    "/credit-notes",
    "/details",
    "/users",
    "/requests",
    "/purchase-orders",
    "/usage",
    "/accounts",
    "/history",
)


def test_no_page_holds_script_style_or_anything_of_another_host(as_user: AsUser) -> None:
    browser = as_user("sara")
    for path in PAGES:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        _check(answer.headers["content-security-policy"], Page(answer.text), path)


def test_the_door_and_pages_of_what_went_wrong_are_as_strict(visits: Callable[[], Browser]) -> None:
    browser = visits()
    for path, status in (("/sign-in", 200), ("/enter?t=x", 200), ("/nowhere", 404), ("/users?x=%00", 400)):
        answer = browser.get(path)
        assert answer.status_code == status, path
        _check(answer.headers["content-security-policy"], Page(answer.text), path)


def _check(policy: str, page: Page, path: str) -> None:
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["form-action"] == "'self'"
    assert "unsafe" not in policy
    for tag, given in page.tags:
        assert tag != "style", path
        assert not any(name.startswith("on") or name == "style" for name in given), (path, tag, given)
        assert tag != "script" or given.get("src"), path
        for name in ("src", "href", "action"):
            if value := given.get(name):
                assert value.startswith(("/portal/", "#")), (path, value)


def test_pages_are_kept_nowhere_and_tell_little(as_user: AsUser) -> None:
    headers = as_user("sara").get("/").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_assets_are_kept_for_ever_under_the_digest_of_their_content(visits: Callable[[], Browser]) -> None:
    browser = visits()
    for name, asset in assets().items():
        kept = browser.get(f"/assets/{name}?v={asset.digest}")
        assert kept.content == asset.content
        assert "immutable" in kept.headers["cache-control"]
        assert browser.get(f"/assets/{name}?v=old").headers["cache-control"] == "no-cache"
    for name in ("../templates/base.html", "%2e%2e/forms.py", "htmx-LICENSE.txt", ""):
        assert browser.get(f"/assets/{name}").status_code == 404, name


def test_another_host_is_not_answered(visits: Callable[[], Browser]) -> None:
    assert visits().get("/sign-in", headers={"host": "evil.test"}).status_code in (400, 421)


def test_a_number_of_an_invoice_is_safe_in_the_name_of_its_file(as_user: AsUser) -> None:
    browser = as_user("sara")
    (first, *_) = [one for one in browser.page("/invoices").links if one.endswith("/pdf")]
    answer = browser.get(first)
    assert answer.content.startswith(b"%PDF")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith('attachment; filename="INV-2025-')


def test_a_stylesheet_names_its_files_by_their_digest_too(visits: Callable[[], Browser]) -> None:
    """A browser that kept a font of an earlier release asks for the new one."""
    browser = visits()
    named = re.findall(r'url\("([^"]+)"\)', browser.get("/assets/style.css").text)
    assert len(named) == len({name for name in assets() if name.endswith(".woff2")})
    for address in named:
        assert "immutable" in browser.get(f"/assets/{address}").headers["cache-control"], address
