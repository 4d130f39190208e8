"""The headers of every answer, the hosts that are answered for, and whom a proxy may speak for."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from doors import METRICS_TOKEN, open_app
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing.web.layers import Door
from billing.web.rates import Rate, Rates

DOOR = Door(("api.example.com", "*.tenants.example.com", "127.0.0.1", "[::1]"), (ip_network("10.0.0.0/8"),))
OURS = {"Host": "api.example.com"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/notes/a", 200),
        ("GET", "/docs/errors", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/health/live", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/failing", 500),
        ("POST", "/v1/notes", 400),
        ("GET", "/v1/notes/%00", 400),
    ],
)
def test_every_answer_carries_the_headers_that_keep_a_browser_in(method: str, path: str, status: int) -> None:
    with open_app(door=DOOR) as client:
        sent = {"content": b"{", "headers": {"Content-Type": "application/json"}} if method == "POST" else {}
        client.headers.update(OURS)
        answer = client.request(method, path, **sent)
    assert answer.status_code == status
    headers = answer.headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "cache-control" in headers
    assert re.fullmatch(r"req_[0-9a-f]{20}", headers["x-request-id"])
    assert "server" not in headers
    assert "set-cookie" not in headers
    assert "access-control-allow-origin" not in headers


def test_what_a_key_shows_is_kept_by_nobody() -> None:
    with open_app() as client:
        assert client.get("/v1/notes/a").headers["cache-control"] == "no-store"


def test_only_over_https_is_https_asked_for() -> None:
    passed = {**OURS, "X-Forwarded-Proto": "https"}
    with open_app(door=DOOR, address="10.1.2.3") as client:
        assert "strict-transport-security" not in client.get("/health/live", headers=OURS).headers
        secured = client.get("/health/live", headers=passed).headers["strict-transport-security"]
    assert secured == "max-age=31536000; includeSubDomains"
    with open_app(door=DOOR, address="203.0.113.9") as client:
        assert "strict-transport-security" not in client.get("/health/live", headers=passed).headers


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "API.example.com:8443",
        "a.tenants.example.com",
        "127.0.0.1:8000",
        "[::1]:80",
        "[::1]",
    ],
)
def test_our_own_names_are_answered_for(host: str) -> None:
    with open_app(door=DOOR) as client:
        assert client.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "api.example.com.evil.example",
        "tenants.example.com",
        "xtenants.example.com",
        "",
        "api.example.com@evil",
    ],
)
def test_other_names_are_not(host: str) -> None:
    with open_app(door=DOOR) as client:
        answer = client.get("/health/live", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_host")
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    ("address", "passed", "seen"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
    ],
)
def test_an_address_is_believed_of_our_proxies_alone(address: str, passed: str, seen: str) -> None:
    """Seen by the rate of who brings no key: two requests of one address, of which the second is too many."""
    rates = Rates(unknown=Rate(0.001, 1))
    with open_app(door=Door(DOOR.hosts, DOOR.proxies, rates), address=address) as client:
        assert client.get("/nowhere", headers={**OURS, "X-Forwarded-For": passed}).status_code == 404
        again = client.get("/nowhere", headers={**OURS, "X-Forwarded-For": passed}).status_code
        other = client.get("/nowhere", headers={**OURS, "X-Forwarded-For": "198.51.100.200"}).status_code
    assert again == 429
    assert other == (429 if seen == address and not seen.startswith("10.") else 404)


@pytest.mark.parametrize(
    ("address", "more", "status"),
    [
        ("127.0.0.1", {}, 200),
        # A proxy on this machine that nobody told of asks for everybody.
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 404),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}, 404),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, 404),
        ("127.0.0.1", {"X-Real-IP": "203.0.113.9"}, 404),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 404),
        ("10.9.9.9", {}, 404),
        ("10.9.9.9", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("203.0.113.9", {"Authorization": "Bearer "}, 404),
        ("203.0.113.9", {"Authorization": "Bearer None"}, 404),
    ],
)
def test_figures_without_a_token_are_shown_to_this_machine_itself_alone(
    address: str, more: dict[str, str], status: int
) -> None:
    with open_app(door=DOOR, address=address) as client:
        assert client.get("/metrics", headers=OURS | more).status_code == status
    with open_app(door=Door(DOOR.hosts), address=address) as client:
        assert client.get("/metrics", headers=OURS | more).status_code == status


@pytest.mark.parametrize("forwarded", [{}, {"X-Forwarded-For": "203.0.113.9"}])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.9.9.9", "203.0.113.9"])
@pytest.mark.parametrize(
    ("brought", "status"),
    [
        ({"Authorization": f"Bearer {METRICS_TOKEN}"}, 200),
        ({"Authorization": "Bearer good"}, 404),
        ({"Authorization": "Bearer "}, 404),
        # A proxy on this machine that says nothing of it asks for everybody.
        ({}, 404),
    ],
)
def test_figures_with_a_token_are_shown_to_who_brings_it_wherever_they_ask_from(
    address: str, forwarded: dict[str, str], brought: dict[str, str], status: int
) -> None:
    with open_app(door=DOOR, address=address, metrics_token=METRICS_TOKEN) as client:
        assert client.get("/metrics", headers=OURS | forwarded | brought).status_code == status


def test_figures_count_by_route_and_name_nobody() -> None:
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("10.9.9.9", 404), ("203.0.113.9", 404)):
        # Its figures begin with it.
        with open_app(door=Door(("testserver",), DOOR.proxies[:0], Rates()), address=address) as client:
            client.get("/v1/notes/a")
            client.get("/v1/notes/b")
            client.get("/nowhere/of/somebody")
            answer = client.get("/metrics")
            assert answer.status_code == status
            if status == 200:
                labels = r'method="GET",route="/v1/notes/\{note_id\}",status="200",process="\d+"'
                counted = rf"tajdid_http_requests_total\{{{labels}\}} 2\n"
                assert re.search(counted, answer.text)
                assert 'tajdid_http_refusals_total{code="not_found"' in answer.text
                assert "somebody" not in answer.text
                assert re.search(
                    r'_bucket\{method="GET",route="\(none\)",le="\+Inf",process="\d+"\} 1\n', answer.text
                )


def test_no_telemetry_of_the_library_is_set_up_whatever_the_environment_asks_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")

    def said() -> str:
        return caplog.text + "".join(capfd.readouterr())

    with TestClient(FastAPI()):
        assert "telemetry" in said()
    caplog.clear()
    with open_app() as client, client:
        assert client.get("/nowhere").status_code == 404
    assert "telemetry" not in said()
