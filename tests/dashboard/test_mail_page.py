"""Digests and alerts are asked for and stopped on the page they are about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from reader import Open
from streamlit.testing.v1 import AppTest

from dashboard.records import audit, mail
from dashboard.records.database import Records, open_records


@pytest.fixture
def records(workspace: Path) -> Iterator[Records]:
    """Those of the company, in a workspace that sends e-mail."""
    settings = workspace / "dashboard.toml"
    settings.write_text(
        '[mail]\nhost = "127.0.0.1"\nsender = "a@example.com"\nlink = "https://numbers.example.com"\n'
        'domains = ["example.com"]\n',
        encoding="utf-8",
    )
    yield open_records(f"sqlite:///{workspace / 'lumen' / 'app.db'}")
    settings.unlink()


def opened(open_page: Open, **address: str) -> AppTest:
    app = open_page(**address)
    app.session_state["mail-menu"] = True
    app.run()
    assert not app.exception
    return app


def test_a_digest_and_an_alert_are_asked_for_and_stopped(records: Records, open_page: Open) -> None:
    app = opened(open_page, segment="smb", month="2025-02")
    app.text_input(key="mail-address").set_value("noor@elsewhere.org")
    app.button(key="mail-ask-digest").click().run()
    assert mail.digests(records) == []
    app.text_input(key="mail-address").set_value("noor@example.com")
    app.button(key="mail-ask-digest").click().run()
    (digest,) = mail.digests(records)
    assert (digest.address, digest.period, digest.page) == ("noor@example.com", "weekly", "revenue")
    assert dict(digest.parameters) == {"segment": "smb"}
    app.selectbox(key="mail-metric").set_value("gross_mrr_churn").run()
    app.text_input(key="mail-value").set_value("ten")
    app.button(key="mail-ask-alert").click().run()
    assert mail.alerts(records) == []
    app.text_input(key="mail-value").set_value("٢٫٥")
    app.button(key="mail-ask-alert").click().run()
    (alert,) = mail.alerts(records)
    assert (alert.metric_id, alert.side, alert.amount / alert.scale) == ("gross_mrr_churn", "above", 0.025)
    app.selectbox(key="mail-metric").set_value("overdue").run()
    app.text_input(key="mail-value").set_value("1,250.50")
    app.button(key="mail-ask-alert").click().run()
    overdue = mail.alerts(records)[-1]
    assert (overdue.metric_id, overdue.amount, overdue.scale) == ("overdue", 125_050, 1)
    said = [one.value for one in app.text]
    assert "Weekly digest of Revenue overview, to noor@example.com" in said
    assert "Alert: Gross revenue churn above 2.5%, to noor@example.com" in said
    assert "Alert: Overdue for more than 30 days above €1,250.50, to noor@example.com" in said
    acts = [line["detail"] for line in audit.lines(records) if line["act"] == "digest"]
    assert len(acts) == 3
    for wish_id in (digest.digest_id, alert.alert_id, overdue.alert_id):
        app.button(key=f"mail-stop-{wish_id}").click().run()
    assert mail.digests(records) == []
    assert mail.alerts(records) == []


def test_the_link_of_a_letter_opens_the_list_of_ones_e_mails(records: Records, open_page: Open) -> None:
    app = open_page(lang="ar", mail="settings")
    assert not app.exception
    assert any("رسائلي" in mark.value for mark in app.markdown)


def test_a_workspace_without_e_mail_says_so(open_page: Open) -> None:
    app = opened(open_page)
    assert any("sends no e-mail yet" in one.value for one in app.info)


def test_an_alert_for_each_account_is_asked_for_and_stopped(records: Records, open_page: Open) -> None:
    app = opened(open_page, lang="ar")
    app.text_input(key="mail-address").set_value("noor@example.com")
    app.selectbox(key="mail-event").set_value("notice_soon")
    app.button(key="mail-ask-event").click().run()
    (alert,) = mail.alerts(records)
    assert (alert.page, alert.metric_id, alert.side) == ("renewals", "notice_soon", mail.EACH)
    said = [re.sub("[\u2066-\u2069]", "", one.value) for one in app.text]
    assert "تنبيه: انتهاء مهلة إخطار خلال 30 يومًا، إلى noor@example.com" in said
    app.button(key=f"mail-stop-{alert.alert_id}").click().run()
    assert mail.alerts(records) == []
