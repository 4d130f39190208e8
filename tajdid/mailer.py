"""By whom the portal's letters go: the mail server that dashboard.toml names under [mail], else a folder."""

from __future__ import annotations

from pathlib import Path

from billing.gateways.mail import FolderMailer, Mail, Mailer, NotSent, message_of
from billing.web.context import now
from dashboard.digest import sending
from dashboard.digest.settings import MailError, MailSettings, read_mail
from tajdid.workspace import Company, WorkspaceError


class SmtpMailer:
    """Gives each letter to the mail server of the workspace, once."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, mail: Mail) -> None:
        """See billing.gateways.mail.Mailer. A letter that was perhaps taken is not sent again."""
        made = message_of(mail, self._settings.sender, now())
        try:
            sending.send(self._settings, made, lambda: True)
        except sending.PerhapsSent:
            return
        except (sending.NotSent, MailError) as error:
            raise NotSent(str(error)) from error


def mailer_of(home: Path, company: Company) -> Mailer:
    """The mailer of a company. Raises WorkspaceError for settings of mail that cannot be used."""
    try:
        settings = read_mail(home)
    except MailError as error:
        raise WorkspaceError(str(error)) from error
    return SmtpMailer(settings) if settings is not None else FolderMailer(company.folder / "mail")
