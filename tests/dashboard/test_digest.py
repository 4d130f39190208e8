"""Digests and alerts: sent once each to a real mail server, whatever is run twice, killed or refused."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import select
from typer.testing import CliRunner

from dashboard.digest import due, letters, sending
from dashboard.digest.due import Office, occasion, run
from dashboard.digest.sending import Letter, NotSent, PerhapsSent
from dashboard.digest.settings import MailError, MailSettings, read_mail
from dashboard.people.reader import LOCAL, Reader
from dashboard.records import mail, views
from dashboard.records.database import Records
from dashboard.records.mail import DELIVERIES, Refused
from tajdid.cli import app

ASKED = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
MORNING = datetime(2025, 4, 2, 8, 0, tzinfo=UTC)
TO = "noor@example.com"


@dataclass
class Box:
    """What a mail server got; `answers` are said instead of taking the next letters."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.before()
        with self.lock:
            if self.answers:
                return self.answers.pop(0)
            made = message_from_bytes(envelope.content, policy=default)
            assert isinstance(made, EmailMessage)
            made["X-To"] = ", ".join(envelope.rcpt_tos)
            self.letters.append(made)
        return "250 taken"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def served(box: Box, **options: Any) -> Controller:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        box.port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **options)
    controller.start()
    return controller


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box()
    controller = served(made)
    yield made
    controller.stop()


def plain_settings(box: Box) -> MailSettings:
    return MailSettings(
        "127.0.0.1", box.port, "none", "Tajdid <numbers@example.com>", "https://numbers.example.com"
    )


@dataclass
class Clock:
    now: datetime = MORNING

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    kept = Records(f"sqlite:///{tmp_path / 'app.db'}")
    yield kept
    kept.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def readers(reader_id: str) -> Reader | None:
    return LOCAL if reader_id == "local" else None


@pytest.fixture
def office(workspace: Path, records: Records, box: Box, clock: Clock) -> Office:
    return Office(workspace, "lumen", records, plain_settings(box), readers, clock)


def ask(records: Records, period: str = "daily", language: str = "en", **more: Any) -> str:
    wish: dict[str, Any] = {"page": "revenue", "parameters": {}, "view_id": None, "address": TO}
    return mail.ask_digest(records, ASKED, LOCAL, **{**wish, **more}, period=period, language=language)


def watch(
    records: Records, metric_id: str, amount: int, scale: int = 1, side: str = "above", **more: Any
) -> str:
    wish: dict[str, Any] = {
        "page": "revenue",
        "parameters": {},
        "view_id": None,
        "address": TO,
        "language": "en",
    }
    return mail.ask_alert(
        records, ASKED, LOCAL, **{**wish, **more}, metric_id=metric_id, side=side, amount=amount, scale=scale
    )


def states(records: Records) -> list[str]:
    return [row["state"] for row in records.rows(select(DELIVERIES).order_by(DELIVERIES.c.delivery_id))]


def parts(made: EmailMessage) -> tuple[str, str]:
    text, html = (made.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def test_a_digest_tells_the_figures_in_text_and_html_with_the_way_back(office: Office, box: Box) -> None:
    ask(office.records, parameters={"segment": "all", "month": "2024-07"})
    assert run(office).sent == 1
    (made,) = box.letters
    text, html = parts(made)
    assert (made["To"], made["X-To"], made["Subject"]) == (TO, TO, "Lumen: daily digest, Mar 2025")
    for part in ("€560.33", "+€110.33 (+24.5%)", "€28.00", "Opening + movements = closing: €560.33 ✓"):
        assert part in text
        assert part in html.replace("&#43;", "+")
    link = "https://numbers.example.com/?company=lumen&lang=en&segment=all"
    assert link in text
    assert link.replace("&", "&amp;") in html
    assert "mail=settings" in made["List-Unsubscribe"]
    assert "<script" not in html
    assert 'dir="ltr"' in html


def test_a_digest_in_arabic_reads_from_the_right(office: Office, box: Box) -> None:
    ask(office.records, "weekly", "ar")
    office.clock.now = datetime(2025, 4, 7, 8, 0, tzinfo=UTC)
    run(office)
    (made,) = box.letters
    text, html = parts(made)
    assert made["Subject"].startswith("لومن")
    assert '<html lang="ar" dir="rtl">' in html
    assert "text-align:right" in html
    assert "الإيراد الشهري المتكرر" in text
    assert "lang=ar" in text


@pytest.mark.parametrize(
    ("period", "moments"),
    [
        ("daily", [(2, 1), (2, 1), (3, 1), (4, 1)]),
        ("weekly", [(2, 0), (6, 0), (7, 1), (8, 0), (14, 1)]),
        ("monthly", [(2, 0), (30, 0), (31, 1)]),
    ],
)
def test_each_period_has_one_digest_from_the_one_after_it_was_asked_for(
    office: Office, box: Box, clock: Clock, period: str, moments: list[tuple[int, int]]
) -> None:
    ask(office.records, period)
    sent = 0
    for day, new in moments:
        clock.now = datetime(2025, 4, 1, 8, tzinfo=UTC) + timedelta(days=day - 1)
        run(office)
        run(office)
        sent += new if not (period == "daily" and (day, new) == (2, 1) and sent) else 0
        assert len(box.letters) == sent, day


def test_a_day_begins_where_the_readers_are() -> None:
    settings = replace(plain_settings(Box()), timezone=ZoneInfo("Asia/Kuwait"), hour=7, weekday=6)
    late = datetime(2025, 4, 2, 22, 30, tzinfo=UTC)
    name, due_at = occasion("daily", settings, late)
    assert name == "daily 2025-04-03"
    assert due_at.astimezone(UTC) == datetime(2025, 4, 3, 4, 0, tzinfo=UTC)
    assert occasion("weekly", settings, late)[0] == "weekly 2025-03-30"
    assert occasion("monthly", settings, late)[0] == "monthly 2025-04-01"


def test_two_processes_at_once_send_each_letter_once(office: Office, box: Box) -> None:
    for number in range(6):
        ask(office.records, address=f"reader{number}@example.com")
    url = str(office.records._engine.url)
    offices = [replace(office, records=Records(url)) for _ in range(3)]
    threads = [threading.Thread(target=run, args=(one,)) for one in offices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made["To"] for made in box.letters) == [
        f"reader{number}@example.com" for number in range(6)
    ]
    assert states(office.records) == ["sent"] * 6


class Killed(BaseException):
    """As if the process had been ended at this place."""


def test_a_process_killed_before_the_letter_was_handed_over_loses_nothing(
    office: Office, box: Box, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(office.records)
    with monkeypatch.context() as patched:
        patched.setattr(sending, "_connected", _killed)
        with pytest.raises(Killed):
            run(office)
    assert states(office.records) == ["claimed"]
    run(office)
    assert box.letters == []
    clock.now += timedelta(minutes=11)
    assert run(office).sent == 1
    assert run(office).sent == 0
    assert len(box.letters) == 1


def _killed(*_: object) -> None:
    raise Killed


def test_a_process_killed_after_the_server_took_the_letter_sends_no_second_one(
    office: Office, box: Box, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(office.records)
    with monkeypatch.context() as patched:
        patched.setattr(mail, "finish", _killed)
        with pytest.raises(Killed):
            run(office)
    assert states(office.records) == ["handed"]
    assert len(box.letters) == 1
    clock.now += timedelta(minutes=11)
    assert run(office).unknown == 1
    assert states(office.records) == ["unknown"]
    assert run(office).is_fine
    assert len(box.letters) == 1


def test_a_server_that_is_busy_is_tried_again_later_and_then_given_up(
    office: Office, box: Box, clock: Clock
) -> None:
    ask(office.records, "monthly")
    clock.now = datetime(2025, 5, 1, 8, tzinfo=UTC)
    box.answers = ["451 later"] * 10
    assert run(office).waiting == 1
    assert run(office).is_fine
    for _ in range(4):
        clock.now += timedelta(hours=3)
        assert run(office).waiting == 1
    clock.now += timedelta(hours=3)
    assert run(office).failed == 1
    assert states(office.records) == ["failed"]
    (row,) = office.records.rows(select(DELIVERIES))
    assert row["problem"] == "451 later"


def test_a_letter_that_is_refused_for_good_is_not_tried_again(office: Office, box: Box) -> None:
    ask(office.records)
    box.answers = ["554 no"]
    assert run(office).failed == 1
    assert run(office).is_fine
    assert box.letters == []


def test_a_server_that_is_away_costs_no_letter(office: Office, box: Box, clock: Clock) -> None:
    ask(office.records)
    away = replace(office, settings=replace(office.settings, port=1))
    assert run(away).waiting == 1
    clock.now += timedelta(minutes=6)
    assert run(office).sent == 1


def test_what_was_stopped_or_is_too_late_is_not_sent(office: Office, box: Box, clock: Clock) -> None:
    wish = ask(office.records)
    due.plan_digests(office)
    mail.stop(office.records, MORNING, LOCAL, wish)
    ask(office.records)
    due.plan_digests(office)
    clock.now += timedelta(days=1)
    run(office)
    assert states(office.records) == ["dropped", "dropped", "sent"]
    with pytest.raises(Refused, match="not_there"):
        mail.stop(office.records, MORNING, LOCAL, wish)


def test_a_reader_who_lost_the_page_gets_nothing_more(office: Office, box: Box) -> None:
    ask(office.records)
    csm = Reader("local", "Sam", frozenset({"csm"}), "Sam")
    run(replace(office, readers=lambda _: csm))
    run(replace(office, readers=lambda _: None))
    assert box.letters == []
    assert states(office.records) == ["dropped"]
    with pytest.raises(Refused, match="no_page"):
        mail.ask_digest(
            office.records, ASKED, csm, page="revenue", parameters={}, view_id=None, period="daily",
            language="en", address=TO,
        )  # fmt: skip


def test_a_digest_is_made_in_the_readers_own_scope(office: Office, box: Box) -> None:
    csm = Reader("local", "Sam", frozenset({"csm"}), "Sam")
    ask(office.records, page="churn")
    assert run(replace(office, readers=lambda _: csm)).sent == 1
    (made,) = box.letters
    assert "MRR bridge" not in parts(made)[0]
    assert "https://numbers.example.com/?company=lumen" in parts(made)[0]  # a csm begins with this page


def test_a_digest_of_a_view_has_its_name_and_filters(office: Office, box: Box, clock: Clock) -> None:
    name = "<b>كبار</b>\r\nBcc: all@example.com"
    view = views.save(office.records, ASKED, LOCAL, name, "revenue", {"segment": "enterprise"})
    ask(office.records, view_id=view.view_id)
    run(office)
    (made,) = box.letters
    text, html = parts(made)
    assert "segment=enterprise" in text
    assert "<b>كبار" not in html
    assert "&lt;b&gt;كبار" in html
    assert made["Bcc"] is None
    views.delete(office.records, MORNING, LOCAL, view.view_id)
    clock.now += timedelta(days=1)
    run(office)
    assert len(box.letters) == 1


def test_an_alert_is_sent_once_for_each_crossing(
    office: Office, box: Box, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(office.records, "overdue", 2_800)
    found = letters.watched(office.view(LOCAL, "en"), {})
    assert found["overdue"].amount == Decimal(2_800)
    run(office)
    assert box.letters == []  # 28.00 is not above 28.00
    for minor, sent in [(2_801, 1), (2_900, 1), (2_800, 1), (None, 1), (2_700, 1), (2_900, 2), (9_000, 2)]:
        amount = None if minor is None else Decimal(minor)
        now = {"overdue": replace(found["overdue"], amount=amount)}
        monkeypatch.setattr(letters, "watched", lambda *_, now=now: now)
        clock.now += timedelta(hours=1)
        run(office)
        run(office)
        assert len(box.letters) == sent, minor
    assert box.letters[0]["Subject"] == "Lumen: Overdue for more than 30 days is €28.01, above €28.00"
    assert box.letters[0]["Message-ID"] != box.letters[1]["Message-ID"]


@pytest.mark.parametrize(
    ("metric_id", "side", "amount", "scale", "words"),
    [
        ("gross_mrr_churn", "above", 150_000, 1_000_000, "Gross revenue churn is 17.8%, above 15.0%"),
        ("gross_mrr_churn", "above", 200_000, 1_000_000, None),
        ("mrr", "below", 60_000, 1, "Monthly recurring revenue (MRR) is €560.33, below €600.00"),
        ("mrr", "below", 56_033, 1, None),
        ("nothing", "above", 0, 1, None),
    ],
)
def test_an_alert_compares_the_exact_figure(
    office: Office, box: Box, metric_id: str, side: str, amount: int, scale: int, words: str | None
) -> None:
    watch(office.records, metric_id, amount, scale, side)
    run(office)
    assert [made["Subject"] for made in box.letters] == ([f"Lumen: {words}"] if words else [])


@pytest.mark.parametrize(
    ("company", "share", "amount"),
    [("lumen", "gross_mrr_churn", "mrr"), ("bazaar", "repeat_rate", "order_revenue")],
)
def test_no_alert_looks_at_a_share_of_too_few_customers(
    office: Office, company: str, share: str, amount: str
) -> None:
    view = replace(office, company=company).view(LOCAL, "en")
    assert view.published is not None
    assert letters.watched(view, {})[share].amount is not None
    strict = replace(view.published, build=replace(view.published.build, min_customers=1_000))
    found = letters.watched(replace(view, published=strict), {})
    assert found[share].amount is None
    assert found[amount].amount is not None


def test_a_company_of_orders_has_its_own_digest_and_alerts(office: Office, box: Box) -> None:
    of_orders = replace(office, company="bazaar")
    ask(office.records)
    watch(office.records, "order_revenue", 17_999)
    run(of_orders)
    subjects = sorted(made["Subject"] for made in box.letters)
    assert subjects == ["Bazaar: Order revenue is £180.00, above £179.99", "Bazaar: daily digest, Mar 2025"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "noor",
        "noor@",
        "noor@example.com\r\nBcc: all@example.com",
        "noor@example.com, all@example.com",
        "Noor <noor@example.com>",
        '"a b"@example.com',
        "noor@exa mple.com",
        "noor@-example.com",
        "نور@example.com",
        "a" * 65 + "@example.com",
        "noor@" + "a." * 130 + "com",
    ],
)
def test_only_one_plain_address_is_taken(address: str) -> None:
    with pytest.raises(Refused, match="no_address"):
        mail.checked_address(address)


def test_addresses_may_be_held_to_a_domain() -> None:
    assert mail.checked_address(" noor+x@Example.com ", ("example.com",)) == "noor+x@Example.com"
    with pytest.raises(Refused, match="other_domain"):
        mail.checked_address("noor@example.com.evil.org", ("example.com",))


def test_no_text_of_a_letter_can_add_a_header_or_end_it(box: Box) -> None:
    hostile = "Acme\r\nBcc: all@example.com\r\n\r\n.\r\nMAIL FROM:<x>\x00\u2028"
    letter = Letter(
        TO, hostile * 20, "a\r\n.\r\nQUIT\r\n.leading", f"<p>{'x' * 2000}</p>", "id.1", "https://x/?a=b"
    )
    made = sending.message(letter, plain_settings(box), MORNING, "en")
    sending.send(plain_settings(box), made, lambda: True)
    (got,) = box.letters
    assert got["Bcc"] is None
    assert got["X-To"] == TO
    assert len(" ".join(got["Subject"].split())) == sending.LONGEST_SUBJECT
    assert parts(got)[0].splitlines() == ["a", ".", "QUIT", ".leading"]
    for name in ("From", "To", "Subject", "Message-ID", "List-Unsubscribe"):
        assert len(got.get_all(name)) == 1


def test_a_letter_goes_by_starttls_with_a_password_from_the_environment_or_a_file(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    seen: list[tuple[bytes, bytes]] = []

    def allowed(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        seen.append((given.login, given.password))
        return AuthResult(success=given.password == b"s3cret", handled=False)

    box = Box()
    controller = served(
        box,
        tls_context=context,
        require_starttls=True,
        authenticator=allowed,
        auth_required=True,
        auth_exclude_mechanism=["LOGIN"],
    )
    try:
        toml = f"""
            [mail]
            host = "127.0.0.1"
            port = {box.port}
            user = "tajdid"
            password_env = "TAJDID_SMTP_PASSWORD"
            sender = "numbers@example.com"
            link = "https://numbers.example.com/"
            ca_file = "{certificate[0]}"
        """
        (tmp_path / "dashboard.toml").write_text(toml, encoding="utf-8")
        settings = read_mail(tmp_path)
        assert settings is not None
        letter = Letter(TO, "Subject", "text", "<p>html</p>", "id.1", "https://x")
        made = sending.message(letter, settings, MORNING, "en")
        with pytest.raises(MailError, match="TAJDID_SMTP_PASSWORD"):
            sending.send(settings, made, lambda: True)
        monkeypatch.setenv("TAJDID_SMTP_PASSWORD", "s3cret")
        sending.send(settings, made, lambda: True)
        secret = tmp_path / "secret"
        secret.write_text("wrong\n", encoding="utf-8")
        by_file = replace(settings, password_env=None, password_file=secret)
        with pytest.raises(NotSent) as refused:
            sending.send(by_file, made, lambda: True)
        assert not refused.value.is_final
        assert str(refused.value).startswith("535 ")
        assert "wrong" not in str(refused.value)
        with pytest.raises(NotSent):
            sending.send(replace(settings, ca_file=None), made, lambda: True)
        assert len(box.letters) == 1
        assert seen == [(b"tajdid", b"s3cret"), (b"tajdid", b"wrong")]
    finally:
        controller.stop()


def test_no_password_and_no_letter_goes_to_a_server_without_tls(box: Box) -> None:
    settings = replace(plain_settings(box), security="starttls")
    letter = Letter(TO, "Subject", "text", "<p>html</p>", "id.1", "https://x")
    with pytest.raises(NotSent):
        sending.send(settings, sending.message(letter, settings, MORNING, "en"), lambda: True)
    assert box.letters == []


def test_a_connection_lost_after_the_last_line_is_no_reason_to_send_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as lines:
                lines.write(b"220 hello\r\n")
                lines.flush()
                for line in lines:
                    if line == b".\r\n":
                        return
                    if line[:4].upper() in (b"EHLO", b"MAIL", b"RCPT"):
                        lines.write(b"250 ok\r\n")
                    elif line[:4].upper() == b"DATA":
                        lines.write(b"354 go\r\n")
                    lines.flush()

        thread = threading.Thread(target=talk)
        thread.start()
        settings = replace(plain_settings(Box()), port=server.getsockname()[1])
        letter = Letter(TO, "Subject", "text", "<p>html</p>", "id.1", "https://x")
        with pytest.raises(PerhapsSent):
            sending.send(settings, sending.message(letter, settings, MORNING, "en"), lambda: True)
        thread.join()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"host": ""}, "host is missing"),
        ({"security": "none", "host": "smtp.example.com"}, "this machine alone"),
        ({"security": "ssl"}, "security must be"),
        ({"port": 0}, "port must lie"),
        ({"port": True}, "port must be"),
        ({"hour": 24}, "hour from 0 to 23"),
        ({"timezone": "Mars/Olympus"}, "no timezone"),
        ({"timezone": "../../etc/passwd"}, "no timezone"),
        ({"sender": "nobody"}, "sender must be"),
        ({"link": "javascript:alert(1)"}, "link must be"),
        ({"password": "s3cret"}, "unknown setting password"),
        ({"week_starts": "someday"}, "name of a day"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    import json

    given = {"host": "127.0.0.1", "sender": "a@example.com", "link": "https://x.example.com", **change}
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    (tmp_path / "dashboard.toml").write_text("[mail]\n" + "\n".join(lines), encoding="utf-8")
    with pytest.raises(MailError, match=problem) as refused:
        read_mail(tmp_path)
    assert "s3cret" not in str(refused.value)


def test_the_command_sends_what_is_due(
    workspace: Path, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(workspace / "bazaar", tmp_path / "bazaar")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    command = CliRunner()
    refused = command.invoke(app, ["digest", "--due"])
    assert refused.exit_code == 2
    (tmp_path / "dashboard.toml").write_text(
        f'[mail]\nhost = "127.0.0.1"\nport = {box.port}\nsecurity = "none"\n'
        'sender = "numbers@example.com"\nlink = "https://numbers.example.com"\nhour = 0\n',
        encoding="utf-8",
    )
    records = Records(f"sqlite:///{tmp_path / 'bazaar' / 'app.db'}")
    ask(records)
    for _ in range(2):
        done = command.invoke(app, ["digest", "--due", "--company", "bazaar"])
        assert done.exit_code == 0, done.output
    assert [made["Subject"] for made in box.letters] == ["Bazaar: daily digest, Mar 2025"]
    box.answers = ["451 later"]
    ask(records, address="other@example.com")
    assert command.invoke(app, ["digest", "--due"]).exit_code == 3
