"""A letter, and how it goes to the mail server: one letter a connection, to one address.

The server has a letter from the moment its last line is written. Just before that `handing_over` is asked, so
that a process which dies is known to have died before or after.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from dashboard.digest.settings import MailSettings
from dashboard.records.annotations import readable

PATIENCE_SECONDS = 20
LONGEST_SUBJECT = 150


class NotSent(Exception):
    """The server did not take the letter. It may be tried again, unless `is_final`."""

    def __init__(self, message: str, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class PerhapsSent(Exception):
    """The connection broke after the letter was handed over: it may have arrived."""


class NotOurs(Exception):
    """Another process has taken this delivery over; nothing was sent."""


@dataclass(frozen=True)
class Letter:
    """An e-mail to one reader. `message_id` is the same however often it is tried."""

    address: str
    subject: str
    text: str
    html: str
    message_id: str
    stop_link: str


def message(letter: Letter, settings: MailSettings, at: datetime, language: str) -> EmailMessage:
    """The letter as it is sent. No text of it can add a header: each is one line before it becomes one."""
    name, address = parseaddr(settings.sender)
    user, _, domain = address.rpartition("@")
    made = EmailMessage(policy=SMTP)
    made["From"] = Address(readable(name), user, domain)
    to_user, _, to_domain = letter.address.rpartition("@")
    made["To"] = Address("", to_user, to_domain)
    made["Subject"] = _subject(letter.subject)
    made["Date"] = format_datetime(at)
    made["Message-ID"] = f"<{letter.message_id}@{domain}>"
    made["Content-Language"] = language
    made["Auto-Submitted"] = "auto-generated"
    made["List-Unsubscribe"] = f"<{letter.stop_link}>"
    made.set_content(letter.text, charset="utf-8", cte="base64")
    made.add_alternative(letter.html, subtype="html", charset="utf-8", cte="base64")
    return made


def _subject(words: str) -> str:
    subject = readable(words)
    return subject if len(subject) <= LONGEST_SUBJECT else subject[: LONGEST_SUBJECT - 1] + "…"


def send(settings: MailSettings, made: EmailMessage, handing_over: Callable[[], bool]) -> None:
    """Give a letter to the server.

    Raises NotSent, PerhapsSent, NotOurs, and MailError for a missing password.
    """
    password = settings.password()
    sender, recipient = (parseaddr(str(made[name]))[1] for name in ("From", "To"))
    content = re.sub(rb"(?m)^\.", b"..", made.as_bytes(policy=SMTP))
    try:
        server = _connected(settings)
        try:
            server.ehlo_or_helo_if_needed()
            if settings.user is not None:
                server.login(settings.user, password or "")
            _expect(server.mail(sender), 250)
            _expect(server.rcpt(recipient), 250, 251)
            _expect(server.docmd("DATA"), 354)
            if not handing_over():
                raise NotOurs
            _deliver(server, content)
        finally:
            server.close()  # without its final dot the server drops a letter
    except smtplib.SMTPResponseException as error:
        is_final = error.smtp_code >= 500 and not isinstance(error, smtplib.SMTPAuthenticationError)
        raise NotSent(f"{error.smtp_code} {_words(error.smtp_error)}", is_final) from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"{type(error).__name__}: {error}") from error


def _deliver(server: smtplib.SMTP, content: bytes) -> None:
    try:
        server.send(content + (b"" if content.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        answer = server.getreply()
    except (smtplib.SMTPException, OSError) as error:
        raise PerhapsSent(f"{type(error).__name__}: {error}") from error
    _expect(answer, 250)


def _expect(answer: tuple[int, bytes], *codes: int) -> None:
    code, said = answer
    if code not in codes:
        raise smtplib.SMTPResponseException(code, said)


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return readable(text)[:300]


def _connected(settings: MailSettings) -> smtplib.SMTP:
    """A connection that nobody else reads, unless the server is on this machine."""
    if settings.security == "none":
        return smtplib.SMTP(settings.host, settings.port, timeout=PATIENCE_SECONDS)
    context = ssl.create_default_context()
    if settings.ca_file is not None:
        context.load_verify_locations(cafile=settings.ca_file)
    if settings.security == "tls":
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=PATIENCE_SECONDS, context=context)
    server = smtplib.SMTP(settings.host, settings.port, timeout=PATIENCE_SECONDS)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server
