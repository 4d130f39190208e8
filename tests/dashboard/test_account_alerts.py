"""Alerts and digests of single accounts: who came to high risk, whose notice ends soon, each reader's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import success_world
from sqlalchemy import select

from dashboard.digest import accounts, due, letters
from dashboard.digest.due import Office
from dashboard.digest.settings import MailSettings
from dashboard.pack import content
from dashboard.people.reader import LOCAL, Reader
from dashboard.queries import churn, renewals
from dashboard.records import mail
from dashboard.records.database import Records
from dashboard.records.mail import DELIVERIES, Alert, Digest

ASKED = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
NOW = datetime(2025, 4, 2, 8, 0, tzinfo=UTC)
DANA = Reader("dana", "Dana", frozenset({"csm"}), "Dana")
OMAR = Reader("omar", "Omar", frozenset({"csm"}), "Omar")
READERS = {"local": LOCAL, "dana": DANA, "omar": OMAR}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alerts")
    success_world.publish(folder / "vela")
    return folder


@pytest.fixture
def office(home: Path, tmp_path: Path) -> Iterator[Office]:
    records = Records(f"sqlite:///{tmp_path / 'app.db'}")
    settings = MailSettings("127.0.0.1", 25, "none", "Tajdid <a@example.com>", "https://numbers.example.com")
    yield Office(home, "vela", records, settings, READERS.get, lambda: NOW)
    records.close()


def ask(office: Office, reader: Reader, event: str, language: str = "en") -> Alert:
    mail.ask_alert(
        office.records,
        ASKED,
        reader,
        page=accounts.PAGES[event],
        parameters={},
        view_id=None,
        metric_id=event,
        side=mail.EACH,
        amount=0,
        scale=1,
        language=language,
        address="who@example.com",
    )
    return mail.alerts(office.records, reader.reader_id)[-1]


def occasions(office: Office) -> list[str]:
    rows = office.records.rows(select(DELIVERIES).order_by(DELIVERIES.c.delivery_id))
    return [row["occasion"] for row in rows]


def test_who_came_to_high_risk_is_told_but_nobody_of_the_comparison_group(office: Office) -> None:
    """C2 rose from .40 to .60. C1 was high before, C4 is new and high but held out, C3 fell."""
    published = office.view(LOCAL, "en").published
    assert published is not None
    rows = published.rows(churn.NEWLY_HIGH, limit=50)
    assert rows.select("customer_id", "p_before", "p_90").rows() == [("C2", 0.40, 0.60)]


def test_a_notice_that_ends_within_30_days_is_told_and_none_that_is_over(office: Office) -> None:
    """Notice ends 5 days ago for C1, in 15 days for C2, in 50 and 90 for C5 and C6."""
    published = office.view(LOCAL, "en").published
    assert published is not None
    asked = {"as_of": success_world.AS_OF, "limit": 50}
    rows = published.rows(renewals.NOTICE_SOON, **asked, days=30)
    assert [(row["customer_id"], int(row["mrr"])) for row in rows.iter_rows(named=True)] == [("C2", 25_000)]
    assert published.rows(renewals.NOTICE_SOON, **asked, days=14).is_empty()
    assert published.rows(renewals.NOTICE_SOON, **asked, days=15).height == 1


@pytest.mark.parametrize("event", mail.EVENTS)
def test_an_alert_of_accounts_is_sent_once_and_only_to_who_looks_after_them(
    office: Office, event: str
) -> None:
    ask(office, OMAR, event)
    due.look_at_alerts(office)
    assert occasions(office) == []  # none of Omar's accounts
    ask(office, DANA, event)
    for _ in range(3):
        due.look_at_alerts(office)
    assert occasions(office) == ["accounts 1"]
    delivery = mail.claim(office.records, NOW)
    assert delivery is not None
    letter, language = due.letter_of(office, delivery)
    assert language == "en"
    assert (
        letter.subject
        == {
            "newly_high": "Success: 1 customer came to high risk",
            "notice_soon": "Success: 1 notice ends soon",
        }[event]
    )
    name = success_world.tiny_world.CUSTOMERS["C2"][0]
    for part in (letter.text, letter.html):
        assert name in part
        assert "Your own accounts" in part
    assert f"https://numbers.example.com/{'' if event == 'newly_high' else 'renewals'}?" in letter.text


def test_an_account_that_comes_again_is_new_again_and_one_that_stays_is_not(office: Office) -> None:
    ask(office, LOCAL, "newly_high", "ar")
    told: list[int] = []
    for keys in (["C2"], ["C2"], ["C2", "C3"], ["C3"], [], ["C2", "C3", "C4"]):
        (alert,) = mail.alerts(office.records)
        told.append(mail.tell(office.records, NOW, alert, keys, lambda new: f"{new} new"))
    assert told == [1, 0, 1, 0, 0, 3]
    assert occasions(office) == ["accounts 1", "accounts 2", "accounts 3"]
    said = accounts.said(office.view(LOCAL, "ar"), "newly_high", 3)
    assert "3 عملاء" in said.replace("\u2066", "").replace("\u2069", "")


def test_a_manager_of_own_accounts_watches_what_these_put_at_risk(office: Office) -> None:
    """C1 1,200.00 and C2 3,000.00, both high; of the whole company C3, C4 and C6 are 610.00 more."""
    own, whole = (letters.watched(office.view(reader, "en"), {}) for reader in (DANA, LOCAL))
    assert own.keys() == {"revenue_at_risk_90", "high_risk_customers"}
    assert [int(one.amount or 0) for one in own.values()] == [420_000, 2]
    assert int(whole["revenue_at_risk_90"].amount or 0) == 481_000
    assert "mrr" in whole


def digest(office: Office, reader: Reader, page: str, language: str = "en") -> letters.Letter:
    wish = Digest("d1", None, page, {}, "daily", language, "who@example.com", reader.reader_id, ASKED)
    view = office.view(reader, language)
    return letters.digest(view, wish, page, {}, None, "https://numbers.example.com", "daily 2025-04-02")


@pytest.mark.parametrize("page", ["churn", "renewals", "customer", "metrics", "documents"])
def test_a_digest_to_a_manager_of_own_accounts_tells_of_these_alone(office: Office, page: str) -> None:
    dana, omar = digest(office, DANA, page).text, digest(office, OMAR, page).text
    names = {customer: row[0] for customer, row in success_world.tiny_world.CUSTOMERS.items()}
    assert names["C1"] in dana
    assert names["C2"] in dana
    for other in ("C3", "C4", "C5", "C6"):
        assert names[other] not in dana
    assert names["C2"] not in omar
    if page in ("churn", "customer"):
        assert "Newly at high risk" in dana
        assert "No customer came to high risk within a week." in omar
    if page in ("renewals", "customer"):
        assert "Notice ends within 30 days" in dana
        assert "No notice ends in these days." in omar


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_risk_list_of_a_report_has_three_reasons_day_and_model(office: Office, language: str) -> None:
    view = office.view(LOCAL, language)
    assert view.published is not None
    for part in (content.risks(view, view.published), content.newly_high(view, view.published)):
        assert "m-current" in part["lead"]
        assert view.show.day(success_world.AS_OF) in part["lead"]
        for row in part["rows"]:
            reasons = row[-1].split(" · ")
            assert len(reasons) == 3
            assert "12 %" in reasons[2]
