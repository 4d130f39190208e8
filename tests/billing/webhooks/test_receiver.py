"""Where webhooks may go: onto the open internet, by the address that was looked at, and nowhere else."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from local_receiver import listening

from billing.core.money import BillingError
from billing.gateways import http_receiver
from billing.gateways.http_receiver import HttpReceiver, check_url, is_allowed
from billing.jobs.webhook_messages import signed

PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.7"
LOOPBACK = (ip_network("127.0.0.0/8"),)


def answering(*addresses: str) -> Callable[[str, int], Sequence[str]]:
    return lambda _name, _port: addresses


INSIDE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "no address",
]
OUTSIDE = [PUBLIC, "8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::1"]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_of_our_own_or_of_nobody_are_not_allowed(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_of_the_open_internet_are_allowed(address: str) -> None:
    assert is_allowed(address)


def test_a_network_that_is_allowed_by_name_is_allowed_and_no_other() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("fd12::/16"))
    assert is_allowed("10.1.2.3", networks)
    assert is_allowed("::ffff:10.1.2.3", networks)
    assert is_allowed("fd12::1", networks)
    assert not is_allowed("10.2.0.1", networks)
    assert not is_allowed("127.0.0.1", networks)


REFUSED = [
    ("https://127.1/", "bad_address"),
    ("https://2130706433/", "bad_address"),
    ("https://0x7f000001/", "bad_address"),
    ("https://017700000001/", "bad_address"),
    ("https://127.0.0.1/", "forbidden_address"),
    ("https://127.0.0.1./", "bad_address"),
    ("https://\uff11\uff12\uff17.0.0.1/", "bad_address"),
    ("https://[::1]/", "forbidden_address"),
    ("https://[::ffff:10.0.0.1]/", "forbidden_address"),
    ("https://[::ffff:a00:1]/", "forbidden_address"),
    ("https://[64:ff9b::a9fe:a9fe]/", "forbidden_address"),
    ("https://[fe80::1%25eth0]/", "bad_address"),
    ("https://169.254.169.254/latest/meta-data/", "forbidden_address"),
    ("https://100.64.3.4/", "forbidden_address"),
    ("https://hooks.example.com@127.0.0.1/", "bad_address"),
    ("https://user:word@hooks.example.com/", "bad_address"),
    ("https://hooks.example.com:22/", "bad_address"),
    ("https://hooks.example.com:80/", "bad_address"),
    ("https://hooks.example.com:99999/", "bad_address"),
    ("https://hooks.example.com:x/", "bad_address"),
    ("http://hooks.example.com/", "bad_address"),
    ("ftp://hooks.example.com/", "bad_address"),
    ("file:///etc/passwd", "bad_address"),
    ("gopher://hooks.example.com/_x", "bad_address"),
    ("https:///in", "bad_address"),
    ("https://", "bad_address"),
    ("hooks.example.com", "bad_address"),
    ("", "bad_address"),
    ("https://hooks.example.com/ in", "bad_address"),
    ("https://hooks.example.com\\@evil.example/", "bad_address"),
    ("https://hooks.example.com/\r\nX-Evil: 1", "bad_address"),
    ("https://hooks.example.com/\tin", "bad_address"),
    ("https://hooks.example.com/#part", "bad_address"),
    ("https://hooks.example.com/\u0634", "bad_address"),
    ("https://[::1", "bad_address"),
    ("https://a..b/", "bad_address"),
    ("https://" + "a" * 300 + "/", "bad_address"),
    ("https://hooks.example.com/" + "a" * 2_048, "bad_address"),
]


@pytest.mark.parametrize(("url", "code"), REFUSED)
def test_an_address_that_is_none_or_leads_inside_is_refused(url: str, code: str) -> None:
    def resolve(name: str, _port: int) -> Sequence[str]:
        try:
            return [str(ip_address(name))]
        except ValueError:
            return [PUBLIC]

    with pytest.raises(BillingError) as refused:
        check_url(url, resolve=resolve)
    assert (refused.value.code, refused.value.field) == (code, "url")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("https://Hooks.Example.com:8443/In?a=1", "https://hooks.example.com:8443/In?a=1"),
        ("https://b\u00fccher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
    ],
)
def test_an_address_on_the_open_internet_is_taken(url: str, kept: str) -> None:
    assert check_url(url, resolve=answering(PUBLIC)) == kept


def test_one_private_address_among_those_of_a_name_is_enough_to_refuse_it() -> None:
    with pytest.raises(BillingError, match="forbidden_address"):
        check_url("https://hooks.example.com/", resolve=answering(PUBLIC, PRIVATE))
    sent = HttpReceiver(resolve=answering(PUBLIC, PRIVATE)).send("https://hooks.example.com/", {}, b"")
    assert sent.error == "forbidden_address"


def test_a_name_that_is_not_known_now_is_taken_and_looked_at_when_it_is_sent_to() -> None:
    def unknown(_name: str, _port: int) -> Sequence[str]:
        raise socket.gaierror("no such name")

    assert check_url("https://hooks.example.com/", resolve=unknown) == "https://hooks.example.com/"
    sent = HttpReceiver(resolve=unknown).send("https://hooks.example.com/", {}, b"")
    assert (sent.status, sent.error) == (None, "unknown_host")


def test_plain_http_and_other_ports_are_taken_in_a_network_that_is_allowed_alone() -> None:
    url = "http://127.0.0.1:9000/in"
    assert check_url(url, LOOPBACK, answering("127.0.0.1")) == url
    for addresses in ((), (PUBLIC,), (PUBLIC, "127.0.0.1")):
        with pytest.raises(BillingError, match="bad_address"):
            check_url("http://name.example:9000/in", LOOPBACK, answering(*addresses))
    sent = HttpReceiver(LOOPBACK, resolve=answering(PUBLIC)).send("http://name.example:9000/in", {}, b"")
    assert sent.error == "forbidden_address"


def test_a_name_that_answers_otherwise_the_second_time_is_connected_to_nowhere() -> None:
    told: list[str] = []

    def rebinding(_name: str, _port: int) -> Sequence[str]:
        told.append("127.0.0.1" if told else PUBLIC)
        return told[-1:]

    with listening(lambda _said: 200) as listener:
        port = listener.url.split(":")[2].split("/")[0]
        check_url("https://rebound.example:8443/", resolve=rebinding)
        sent = HttpReceiver(resolve=rebinding).send(f"https://rebound.example:{port}/", {}, b"{}")
    assert told == [PUBLIC, "127.0.0.1"]
    assert sent.error == "forbidden_address"
    assert listener.requests == []


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to_and_asked_for_once() -> None:
    asked: list[str] = []

    def resolve(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"]

    with listening(lambda _said: 200) as listener:
        port = listener.url.split(":")[2].split("/")[0]
        sent = HttpReceiver(LOOPBACK, resolve=resolve).send(
            f"http://hooks.example.com:{port}/in?a=1", {"X-One": "1"}, b'{"data":{},"sequence":1}'
        )
    assert sent.status == 200
    assert asked == ["hooks.example.com"]
    ((headers, body),) = listener.requests
    assert headers["Host"] == f"hooks.example.com:{port}"
    assert (headers["X-One"], body) == ("1", b'{"data":{},"sequence":1}')
    assert "Cookie" not in headers


def test_a_redirect_into_the_house_is_a_failure_and_is_not_followed() -> None:
    with listening(lambda _said: 200) as inside:
        away = {"Location": inside.url}
        with listening(lambda _said: 307, headers=away) as listener:
            sent = HttpReceiver(LOOPBACK).send(listener.url, {}, b'{"data":{},"sequence":1}')
    assert (sent.status, sent.is_taken) == (307, False)
    assert len(listener.requests) == 1
    assert inside.requests == []


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with listening(lambda _said: 204) as listener:
        assert HttpReceiver(LOOPBACK).send(listener.url, {}, b'{"data":{},"sequence":1}').is_taken


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999999999", 3_600),
        ("-5", None),
        ("soon", None),
        pytest.param(
            format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, id="an hour ago"
        ),
        pytest.param(
            format_datetime(datetime.now(UTC) + timedelta(days=30), usegmt=True), 3_600, id="in a month"
        ),
    ],
)
def test_a_pause_that_a_receiver_asks_for_is_kept_for_an_hour_at_most(
    value: str, seconds: int | None
) -> None:
    with listening(lambda _said: 429, headers={"Retry-After": value}) as listener:
        sent = HttpReceiver(LOOPBACK).send(listener.url, {}, b'{"data":{},"sequence":1}')
    assert sent.retry_after == seconds


@contextmanager
def saying(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says to each connection what it likes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(5)


def test_only_the_head_of_an_answer_is_read_and_only_what_can_be_printed() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n\x1b[31mred\x00\n")
        try:
            while True:
                connection.sendall(b"a" * 65_536)
        except OSError:
            return

    with saying(endless) as url:
        sent = HttpReceiver(LOOPBACK).send(url, {}, b"")
    assert sent.is_taken
    assert sent.head is not None
    assert len(sent.head) <= http_receiver.HEAD_BYTES
    assert sent.head.startswith("[31mred")
    assert sent.head.isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntaken", id="shorter than it says"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntaken", id="half a part"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n!\r\n", id="no parts at all"),
    ],
)
def test_the_status_decides_though_the_rest_of_an_answer_breaks_off(answer: bytes) -> None:
    with saying(lambda one: one.sendall(answer)) as url:
        sent = HttpReceiver(LOOPBACK).send(url, {}, b"")
    assert (sent.status, sent.is_taken, sent.error) == (200, True, None)
    assert sent.head in ("taken", None)


def test_a_name_that_is_slow_holds_up_no_other_and_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends, asked = threading.Event(), []

    def system(name: str, port: int, **_given: object) -> list[object]:
        asked.append(name)
        if name == "slow.example":
            ends.wait(20)
        return [(None, None, None, "", (PUBLIC, port))]

    monkeypatch.setattr(socket, "getaddrinfo", system)
    monkeypatch.setattr(http_receiver, "LOOK_UP_SECONDS", 0.1)
    try:
        for _ in range(6):
            sent = HttpReceiver().send("https://slow.example/", {}, b"")
            assert (sent.error, sent.ms < 5_000) == ("timeout", True)
        assert check_url("https://fast.example/") == "https://fast.example/"
        assert http_receiver.resolved("fast.example", 443) == [PUBLIC]
        assert asked == ["slow.example", "fast.example", "fast.example"], "it is looked up once at a time"
    finally:
        ends.set()


def test_what_is_no_http_is_told_by_its_kind_and_not_in_its_words() -> None:
    with saying(lambda one: one.sendall(b"SSH-2.0-OpenSSH_9.2 inside\r\n\r\n")) as url:
        sent = HttpReceiver(LOOPBACK).send(url, {}, b"")
    assert (sent.status, sent.error, sent.head) == (None, "bad_answer", None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert HttpReceiver(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, b"").error == "not_connected"


def test_an_answer_that_comes_a_byte_at_a_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_receiver, "ALL_SECONDS", 0.4)

    def drips(connection: socket.socket) -> None:
        try:
            for sign in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100:
                connection.sendall(bytes([sign]))
                time.sleep(0.05)
        except OSError:
            return

    with saying(drips) as url:
        begun = time.monotonic()
        sent = HttpReceiver(LOOPBACK).send(url, {}, b"")
        assert time.monotonic() - begun < 2
    assert sent.error == "timeout"


def _certificate(name: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    none = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
    return paths


def test_tls_goes_by_the_name_though_the_connection_goes_to_an_address(tmp_path: Path) -> None:
    certificate, key = _certificate("hooks.example.com", tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    names: list[str | None] = []
    server.sni_callback = lambda _connection, name, _context: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    receiver = HttpReceiver(LOOPBACK, resolve=answering("127.0.0.1"), tls=trusting)
    said = []
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def serve() -> None:
            for _ in range(3):
                connection, _address = plain.accept()
                try:
                    with server.wrap_socket(connection, server_side=True) as secured:
                        said.append(secured.recv(65_536))
                        secured.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        port = plain.getsockname()[1]
        assert receiver.send(f"https://hooks.example.com:{port}/in", {}, b"").status == 204
        assert receiver.send(f"https://other.example.com:{port}/in", {}, b"").error == "bad_certificate"
        stranger = HttpReceiver(LOOPBACK, resolve=answering("127.0.0.1"))
        assert stranger.send(f"https://hooks.example.com:{port}/in", {}, b"").error == "bad_certificate"
    assert names[:2] == ["hooks.example.com", "other.example.com"]
    assert b"Host: hooks.example.com" in said[0]


def test_no_header_is_made_of_what_an_event_says() -> None:
    headers = signed("msg_1", datetime.now(UTC), b'{"type":"x\\r\\nX-Evil: 1"}', ["whsec_AAAA"])
    assert all("\n" not in value and "\r" not in value for value in headers.values())
