"""Mail to people: what a mailer is, and one that keeps letters in a folder, for demos and sandboxes."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter of plain text to one address. `language`: of its words."""

    to: str
    subject: str
    text: str
    language: str = "en"


class NotSent(Exception):
    """The letter was not taken."""


class Mailer(Protocol):
    """Takes letters to people."""

    def send(self, mail: Mail) -> None:
        """Hand a letter over. Raises NotSent."""


def message_of(mail: Mail, sender: str, at: datetime) -> EmailMessage:
    """The letter with its headers. Raises NotSent where an address or the subject would break one."""
    made = EmailMessage(policy=SMTP)
    try:
        made["From"], made["To"] = sender, mail.to
        made["Subject"] = " ".join(mail.subject.split())[:150]
    except ValueError as error:
        raise NotSent(str(error)) from error
    made["Date"] = at
    made["Content-Language"] = mail.language
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(mail.text, charset="utf-8", cte="base64")
    return made


@dataclass(frozen=True, slots=True)
class FolderMailer:
    """Keeps each letter as a file that any mail program opens; nothing leaves this machine."""

    folder: Path
    sender: str = "billing@localhost"

    def send(self, mail: Mail) -> None:
        at = datetime.now(UTC)
        content = message_of(mail, self.sender, at).as_bytes()
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.eml"
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
