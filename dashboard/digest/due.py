"""What is due, and sending it: each occasion once, however often and by however many processes this is run.

First all that is due is written down (a digest's period, an alert's crossing), then each is claimed, written
and sent, and what came of it is kept. See records/mail.py for the states in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

from dashboard.digest import accounts, letters, sending
from dashboard.digest.sending import NotOurs, NotSent, PerhapsSent
from dashboard.digest.settings import MailSettings
from dashboard.pack import reading
from dashboard.pack.content import NothingToReport
from dashboard.people.reader import Reader
from dashboard.records import mail, views
from dashboard.records.database import Records
from dashboard.records.mail import Alert, Delivery, Digest
from dashboard.view import View

Readers = Callable[[str], Reader | None]
Clock = Callable[[], datetime]
logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """How many letters were sent; are to be tried again; were given up; may or may not have arrived."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def is_fine(self) -> bool:
        return not (self.waiting or self.failed or self.unknown)


class NotWanted(Exception):
    """The wish was taken back, or its reader may no longer see what it is about."""


@dataclass(frozen=True)
class Office:
    """What sending needs to know: the workspace, the company, whose readers, and the clock."""

    home: Path
    company: str
    records: Records
    settings: MailSettings
    readers: Readers
    clock: Clock

    def view(self, reader: Reader, language: str) -> View:
        return reading.view_of(self.home, self.company, language, self.clock(), reader)


def occasion(period: str, settings: MailSettings, now: datetime) -> tuple[str, datetime]:
    """The period that `now` lies in, by its name, and from when on its digest is due."""
    local = now.astimezone(settings.timezone)
    day = local.date()
    if period == "weekly":
        day -= timedelta(days=(day.weekday() - settings.weekday) % 7)
    elif period == "monthly":
        day = day.replace(day=1)
    return f"{period} {day.isoformat()}", datetime.combine(day, time(settings.hour), settings.timezone)


def run(office: Office) -> Outcome:
    """Send what is due. Raises MailError when there is no password, RecordsError when nothing can be kept."""
    office.settings.password()
    outcome = Outcome(unknown=mail.left_open(office.records, office.clock()))
    plan_digests(office)
    look_at_alerts(office)
    while (delivery := mail.claim(office.records, office.clock())) is not None:
        deliver(office, delivery, outcome)
    return outcome


def plan_digests(office: Office) -> None:
    """Write down the digests whose time has come, from the first period after they were asked for."""
    now = office.clock()
    for wish in mail.digests(office.records):
        name, due_at = occasion(wish.period, office.settings, now)
        if wish.recorded_at < due_at <= now:
            mail.plan(office.records, now, "digest", wish.digest_id, name, wish.reader_id)


def look_at_alerts(office: Office) -> None:
    """Look at the figure of each alert, or at its accounts; what has just crossed or come in is to be
    delivered.

    A figure that cannot be computed or read now leaves its alert as it was.
    """
    for wish in mail.alerts(office.records):
        try:
            view, _page, parameters = seen(office, wish)
            if wish.is_of_accounts:
                look_at_accounts(office, view, wish)
                continue
            found = letters.watched(view, parameters).get(wish.metric_id)
        except (NotWanted, NothingToReport):
            continue
        except Exception:
            logger.exception("the alert %s could not be looked at", wish.alert_id)
            continue
        if found is None or found.amount is None:
            continue
        line = letters.threshold(wish)
        is_crossed = found.amount > line if wish.side == "above" else found.amount < line
        said = letters.alert_words(view, wish, found)
        mail.look(office.records, office.clock(), wish, is_crossed, said)


def look_at_accounts(office: Office, view: View, wish: Alert) -> None:
    """Plan the letter of an alert of single accounts, where some are new. Raises NothingToReport."""
    if view.published is None:
        raise NothingToReport
    keys = accounts.keys(view.published, wish.metric_id)
    mail.tell(
        office.records, office.clock(), wish, keys, lambda new: accounts.said(view, wish.metric_id, new)
    )


def seen(office: Office, wish: Digest | Alert) -> tuple[View, str, Mapping[str, str]]:
    """What the wish is about, as its reader may see it now. Raises NotWanted."""
    reader = office.readers(wish.reader_id)
    if reader is None:
        raise NotWanted("the reader is no longer on the list")
    page, parameters = wish.page, wish.parameters
    if wish.view_id is not None:
        try:
            view = views.opened(office.records, reader, wish.view_id)
        except views.Refused:
            raise NotWanted("the view is no longer there for this reader") from None
        page, parameters = view.page, view.parameters
    if not reader.may_open(page) or not reader.may("export"):
        raise NotWanted("the reader's roles no longer allow it")
    return office.view(reader, wish.language), page, parameters


def letter_of(office: Office, delivery: Delivery) -> tuple[sending.Letter, str]:
    """The letter of a delivery and its language. Raises NotWanted, NothingToReport."""
    if delivery.kind == "digest":
        found = {one.digest_id: one for one in mail.digests(office.records)}.get(delivery.wish_id)
        if found is None:
            raise NotWanted("it was stopped")
        if delivery.occasion != occasion(found.period, office.settings, office.clock())[0]:
            raise NotWanted("its period is over")
        view, page, parameters = seen(office, found)
        name = _view_name(office, view, found.view_id)
        made = letters.digest(view, found, page, parameters, name, office.settings.link, delivery.occasion)
        return made, found.language
    wish = {one.alert_id: one for one in mail.alerts(office.records)}.get(delivery.wish_id)
    if wish is None:
        raise NotWanted("it was stopped")
    view, page, parameters = seen(office, wish)
    said = delivery.said or ""
    return letters.alert(
        view, wish, page, parameters, office.settings.link, delivery.occasion, said
    ), wish.language


def _view_name(office: Office, view: View, view_id: str | None) -> str | None:
    return None if view_id is None else views.opened(office.records, view.reader, view_id).name


def deliver(office: Office, delivery: Delivery, outcome: Outcome) -> None:
    """Write and send one letter, and keep what came of it."""
    records = office.records
    try:
        letter, language = letter_of(office, delivery)
        made = sending.message(letter, office.settings, office.clock(), language)
        sending.send(office.settings, made, lambda: mail.hand_over(records, delivery))
    except NotOurs:
        return
    except NotWanted as why:
        mail.finish(records, office.clock(), delivery, "dropped", str(why))
    except PerhapsSent as error:
        mail.finish(records, office.clock(), delivery, "unknown", str(error))
        outcome.unknown += 1
    except NotSent as error:
        if error.is_final:
            mail.finish(records, office.clock(), delivery, "failed", str(error))
            outcome.failed += 1
        else:
            _again(office, delivery, str(error), outcome)
    except NothingToReport:
        _again(office, delivery, "there are no figures", outcome)
    except Exception as error:
        logger.exception("the letter %s could not be written", delivery.delivery_id)
        _again(office, delivery, type(error).__name__, outcome)
    else:
        mail.finish(records, office.clock(), delivery, "sent")
        outcome.sent += 1


def _again(office: Office, delivery: Delivery, problem: str, outcome: Outcome) -> None:
    if mail.retry(office.records, office.clock(), delivery, problem):
        outcome.waiting += 1
    else:
        outcome.failed += 1
