"""The sign-in form, and what readers of each role then see on the pages."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import success_world
import tiny_world
from reader import Open, badges, html
from sqlalchemy import Table, select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from dashboard.i18n import text
from dashboard.people import directory, entry, last_used, passwords, permissions, session
from dashboard.people.reader import Reader
from dashboard.people.routes import routes
from dashboard.people.settings import read_sign_in
from dashboard.records import actions, annotations, audit, database, targets, views
from dashboard.records.database import Records
from dashboard.serve import WithHeaders
from dashboard.view import HOME
from dashboard.workbench import questions

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
PASSWORD = "a long walk home 9"
KEPT = passwords.kept(PASSWORD)
AT = datetime.now(UTC)
OWN = "http://testserver"
SignedIn = Callable[..., Records]


@pytest.fixture
def home(workspace: Path, tmp_path: Path) -> Path:
    """The two companies, with sign-in by password. In bazaar Amal has K1 and K2, Basil has the others."""
    for company in ("lumen", "bazaar"):
        shutil.copytree(workspace / company, tmp_path / company)
    (tmp_path / "dashboard.toml").write_text('[sign_in]\nkind = "password"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def people(home: Path) -> Records:
    return directory.open_people(read_sign_in(home).people_url)


@pytest.fixture
def as_reader(people: Records, monkeypatch: pytest.MonkeyPatch) -> SignedIn:
    """Signs a new person in who has the given roles in the given companies."""

    def signed_in(**roles: tuple[str, str | None]) -> Records:
        directory.add(people, AT, "admin", "sara", "Sara Haddad", KEPT)
        for company, (role, owner) in roles.items():
            directory.give_role(people, AT, "admin", "sara", company, role, owner)
        token = entry.enter(people, datetime.now(UTC), "sara", PASSWORD).token
        monkeypatch.setattr(session, "token_of_browser", lambda: token)
        return people

    return signed_in


@pytest.fixture
def form(home: Path, people: Records) -> TestClient:
    directory.add(people, AT, "admin", "sara", "Sara", KEPT)
    application = Starlette(routes=routes(read_sign_in(home), lambda: AT))
    return TestClient(application, base_url=OWN, follow_redirects=False)


def test_the_right_password_starts_a_session_of_its_own(form: TestClient, people: Records) -> None:
    form.cookies.set(session.COOKIE, "chosen by somebody else")
    answer = form.post(
        "/sign-in",
        data={"name": " SARA", "password": PASSWORD, "next": "/churn?company=x"},
        headers={"origin": OWN},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "churn?company=x")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "chosen by somebody else" not in cookie
    token = cookie.split("=", 1)[1].split(";")[0]
    assert len(token) > 40
    found = directory.person_of_session(people, entry.key_of_token(token), AT, AT - timedelta(hours=1))
    assert found is not None
    assert found.reader_id == "sara"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/churn\r\nSet-Cookie: a=b",
        "",
    ],
)
def test_after_signing_in_one_goes_to_no_other_place_than_a_page(form: TestClient, target: str) -> None:
    answer = form.post(
        "/sign-in", data={"name": "sara", "password": PASSWORD, "next": target}, headers={"origin": OWN}
    )
    assert answer.headers["location"] == "./"


@pytest.mark.parametrize(
    ("target", "place"), [("/", "./"), ("/?company=x&lang=ar", "./?company=x&lang=ar"), ("/churn", "churn")]
)
def test_after_signing_in_one_is_where_one_wanted_to_go(form: TestClient, target: str, place: str) -> None:
    fields = {"name": "sara", "password": PASSWORD, "next": target}
    answer = form.post("/sign-in", data=fields, headers={"origin": OWN})
    assert answer.headers["location"] == place


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://testserver.evil.example"])
def test_a_form_that_another_site_sends_is_refused(
    form: TestClient, people: Records, origin: str | None
) -> None:
    headers = {} if origin is None else {"origin": origin}
    answer = form.post("/sign-in", data={"name": "sara", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert answer.text.splitlines() == [
        "This form was not sent from this page.",
        text("ar").gettext("This form was not sent from this page."),
    ]
    assert "set-cookie" not in answer.headers
    assert [line["act"] for line in audit.lines(people)] == ["role"]


@pytest.mark.parametrize(("lang", "words"), [("en", "do not belong together"), ("ar", "غير متطابقين")])
def test_a_wrong_password_and_a_strange_name_are_answered_alike(
    form: TestClient, lang: str, words: str
) -> None:
    answers = [
        form.post("/sign-in", data={"name": name, "password": "wrong", "lang": lang}, headers={"origin": OWN})
        for name in ("sara", "nobody", "<script>alert(1)</script>")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert words in answers[0].text
    assert "set-cookie" not in answers[0].headers


def test_too_many_guesses_are_told_how_long_to_wait(form: TestClient) -> None:
    for _ in range(entry.FREE_FAILURES):
        form.post("/sign-in", data={"name": "sara", "password": "wrong"}, headers={"origin": OWN})
    answer = form.post("/sign-in", data={"name": "sara", "password": PASSWORD}, headers={"origin": OWN})
    assert answer.status_code == 429
    assert "Try again in 1 minute." in answer.text


@pytest.mark.parametrize(("path", "framed"), [("/sign-in", "DENY"), ("/nothing-here", "SAMEORIGIN")])
def test_no_other_site_can_show_the_dashboard_within_its_own_pages(
    home: Path, path: str, framed: str
) -> None:
    around = Starlette(routes=routes(read_sign_in(home), lambda: AT), middleware=[Middleware(WithHeaders)])
    headers = TestClient(around, base_url=OWN).get(path).headers
    assert headers["x-frame-options"] == framed
    assert headers.get_list("content-security-policy")[0].count("frame-ancestors") == 1
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_a_form_of_any_size_or_content_is_answered(form: TestClient) -> None:
    for body in (b"x" * 100_000, b"\xff\xfe=1", b"", b"&".join([b"a=b"] * 1000), b"name=%00&password=%ff"):
        assert form.post("/sign-in", content=body, headers={"origin": OWN}).status_code in (401, 403)


@pytest.mark.parametrize(("lang", "direction"), [("en", "ltr"), ("ar", "rtl"), ("<b>", "ltr")])
def test_the_form_speaks_the_language_asked_for_and_runs_no_script(
    form: TestClient, lang: str, direction: str
) -> None:
    answer = form.get("/sign-in", params={"lang": lang, "next": '/x"><script>'})
    assert f'dir="{direction}"' in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_locked_list_of_people_lets_nobody_in_and_says_so(
    form: TestClient, home: Path, people: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_MS", 50)
    people.close()
    other = sqlite3.connect(home / "app.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answer = form.post("/sign-in", data={"name": "sara", "password": PASSWORD}, headers={"origin": OWN})
    other.close()
    assert answer.status_code == 503
    assert "Nobody can sign in just now" in answer.text


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "Sign in to see the figures."), ("ar", "سجّل الدخول لرؤية الأرقام.")]
)
def test_who_has_not_signed_in_sees_no_company_and_no_figure(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch, lang: str, words: str
) -> None:
    monkeypatch.setattr(session, "token_of_browser", lambda: None)
    app = open_page("revenue", lang=lang, home=home)
    assert not app.exception
    assert [message.value for message in app.info] == [words]
    assert not app.metric
    assert not app.sidebar.selectbox
    assert "sign-in?lang=" in html(app)


def test_settings_that_cannot_be_used_show_nothing(open_page: Open, home: Path) -> None:
    (home / "dashboard.toml").write_text("[sign_in\n", encoding="utf-8")
    app = open_page("revenue", home=home)
    assert not app.exception
    assert "cannot be used" in app.warning[0].value
    assert not app.metric


def test_a_company_without_a_role_cannot_be_opened_by_its_name(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    as_reader(lumen=("executive", None))
    app = open_page("revenue", "bazaar", home=home)
    assert app.metric[0].value == "€560.33"  # of lumen
    assert app.sidebar.selectbox(key="choice-company").options == ["Lumen"]


def test_a_person_without_a_role_is_told_whom_to_ask(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    as_reader()
    app = open_page("revenue", home=home)
    assert "no role in any company" in app.warning[0].value
    assert not app.metric


def test_a_csm_sees_the_own_accounts_and_begins_with_the_risk_list(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    give_owners(home)
    as_reader(bazaar=("csm", "Amal"))
    app = open_page("churn", "bazaar", home=home, band="all", ranking="risk")
    assert not app.exception
    assert not app.error
    text = html(app)
    assert "<bdi>K1</bdi>" in text
    assert "<bdi>K3</bdi>" not in text
    assert "<bdi>K4</bdi>" not in text
    links = {link.proto.label for link in app.sidebar.get("page_link")}
    assert "Churn risk" in links
    assert not links & {"Revenue overview", "Cash and receivables", "SQL workbench", "Data health", "Runs"}
    assert app.metric[0].value == "2"
    assert app.selectbox(key="choice-owner").options == ["All accounts", "Mine", "Unassigned"]


@pytest.mark.parametrize("page", sorted(permissions.pages_of(["csm"])))
@pytest.mark.parametrize("company", ["bazaar", "lumen"])
def test_each_page_of_a_csm_opens_or_says_that_it_speaks_of_the_whole_company(
    open_page: Open, home: Path, as_reader: SignedIn, page: str, company: str
) -> None:
    if company == "bazaar":
        give_owners(home)
    as_reader(**{company: ("csm", "Amal")})
    app = open_page(page, company, home=home)
    assert not app.exception
    assert [error.value for error in app.error] == []
    text = html(app) + " ".join(option for box in app.selectbox for option in box.options)
    assert not any(f"K{number}<" in text or f"C{number}<" in text for number in (3, 4, 5, 6))


def test_a_csm_sees_the_renewals_of_the_own_accounts_added_up(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    success_world.publish(home / "vela")
    as_reader(vela=("csm", "Dana"))  # C1: 100.00 in 10 days, 75 % of 200.00 renewed; C2: 250.00 in 45 days
    app = open_page("renewals", "vela", home=home, rows="within-90")
    assert not app.exception
    assert not app.error
    assert not app.info
    assert [one.value for one in app.metric] == ["€100.00", "€350.00", "€350.00", "75.0%"]
    assert set(re.findall(r"customer=(C\d)", html(app))) == {"C1", "C2"}
    assert any("Sum matches" in mark for mark in badges(app))
    narrowed = open_page("renewals", "vela", home=home, owner="mine")
    assert [one.value for one in narrowed.metric][:3] == ["€100.00", "€350.00", "€350.00"]


def test_a_csm_whose_accounts_have_no_term_is_told_nothing_of_other_accounts(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    give_owners(home)
    as_reader(bazaar=("csm", "Amal"))
    (said,) = [one.value for one in open_page("renewals", "bazaar", home=home).info]
    assert said == "No subscription of your accounts has a term, so nothing comes up for renewal."


def test_an_analyst_sees_all_accounts_without_their_names(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    as_reader(lumen=("analyst", None))
    app = open_page("revenue", home=home, rows="mrr")
    app.switch_page("screens/revenue.py")
    app.query_params["company"], app.query_params["rows"] = "lumen", "mrr"
    app.run()
    assert app.metric[0].value == "€560.33"
    assert "C1" in html(app)
    assert "Acme Supplies" not in html(app)


def test_who_leaves_the_list_sees_nothing_on_the_next_run(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    people = as_reader(lumen=("executive", None))
    app = open_page("revenue", home=home)
    assert app.metric
    directory.remove(people, AT, "admin", "sara")
    app.run()
    assert not app.metric
    assert "session has ended" in app.info[0].value


@pytest.mark.parametrize(
    "end",
    [
        lambda people: directory.remove(people, AT, "admin", "sara"),
        lambda people: directory.take_role(people, AT, "admin", "sara", "lumen", "executive"),
        lambda people: directory.set_password(people, AT, "admin", "sara", KEPT),
    ],
    ids=["removed", "without the role", "with another password"],
)
def test_a_page_left_open_gives_no_file_and_keeps_nothing_once_its_reader_is_gone(
    open_page: Open,
    home: Path,
    as_reader: SignedIn,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Records], None],
) -> None:
    people = as_reader(lumen=("executive", None))
    files: dict[str, Callable[[], bytes]] = {}

    def button(label: str, *, data: Callable[[], bytes], file_name: str, **other: object) -> None:
        files[file_name.split("-")[1] + file_name[-4:]] = data

    monkeypatch.setattr("streamlit.download_button", button)
    app = open_page("revenue", home=home, rows="mrr")
    app.session_state["views-menu"] = True
    app.run()
    app.text_input(key="new-view-name").set_value("Of somebody who is gone")
    assert files["mrr.csv"]()
    records = database.open_records(f"sqlite:///{home / 'lumen' / 'app.db'}")
    lines = len(audit.lines(records))
    assert lines
    end(people)
    for name in ("mrr.csv", "mrrxlsx", "board.pdf"):
        with pytest.raises(database.RecordsError):
            files[name]()
    app.button(key="save-view").click().run()
    assert not app.exception
    assert not app.metric
    assert views.seen_by(records, Reader("sara", "Sara", frozenset({"executive"}))) == []
    assert len(audit.lines(records)) == lines


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize(
    ("page", "button"),
    [("cash", "note-delete-"), ("forecast", "target-delete"), ("cash", "save-view")],
    ids=["a note on a date", "a target", "a view"],
)
def test_a_button_of_a_page_drawn_before_a_role_was_withdrawn_writes_nothing_and_says_so(
    open_page: Open, home: Path, as_reader: SignedIn, page: str, button: str, lang: str
) -> None:
    people = as_reader(lumen=("executive", None))
    directory.give_role(people, AT, "admin", "sara", "lumen", "analyst")
    records = database.open_records(f"sqlite:///{home / 'lumen' / 'app.db'}")
    annotations.write(records, AT, "dana", "Dana", date(2025, 3, 3), "Price rise")
    key = targets.Key("mrr", date(2025, 4, 1), "EUR", "all")
    targets.write(records, AT, "dana", {key: 500_000})
    app = open_page(page, lang=lang, home=home)
    app.session_state["views-menu"] = True
    app.session_state["notes-on-dates"] = True
    app.run()
    if button == "save-view":
        app.text_input(key="new-view-name").set_value("Of somebody else now")
    directory.take_role(people, AT, "admin", "sara", "lumen", "executive")
    before = [app_rows(records, table) for table in (annotations.ANNOTATIONS, targets.TARGETS, views.VIEWS)]
    (pressed,) = [one for one in app.button if one.key and one.key.startswith(button)]
    pressed.click().run()
    assert not app.exception
    said = [one.value for kind in (app.error, app.toast) for one in kind]
    assert any(WITHDRAWN[lang] in one for one in said), (said, app)
    after = [app_rows(records, table) for table in (annotations.ANNOTATIONS, targets.TARGETS, views.VIEWS)]
    assert after == before
    app.run()
    assert not app.error


WITHDRAWN = {"en": "Your access has changed since this page was drawn", "ar": "تغيّرت صلاحياتك"}


def app_rows(records: Records, table: Table) -> list[dict[str, object]]:
    return records.rows(select(table))


def test_a_form_of_an_account_sent_after_its_role_was_withdrawn_writes_nothing_and_says_so(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    people = as_reader(lumen=("cs_manager", None))
    directory.give_role(people, AT, "admin", "sara", "lumen", "executive")
    records = database.open_records(f"sqlite:///{home / 'lumen' / 'app.db'}")
    app = open_page("customer", home=home, customer="C2", part="work")
    (button,) = [one for one in app.button if one.key and "act-customer-list" in one.key]
    directory.take_role(people, AT, "admin", "sara", "lumen", "cs_manager")
    button.click().run()
    assert not app.exception
    assert "Your role does not act on accounts." in [one.value for one in app.caption]
    assert actions.events(records, "C2", 10) == []


def test_an_answer_of_the_workbench_does_not_stay_for_the_next_reader_of_an_open_page(
    open_page: Open, home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = as_reader(lumen=("admin", None))
    app = open_page("workbench", home=home)
    desk = app.session_state["workbench"]["lumen"]
    desk.put("SELECT 'kept for Sara' AS words", {})
    app.run()
    app.button(key="workbench-run").click().run()
    desk.asked.wait(60)
    app.run()
    assert "kept for Sara" in html(app)
    directory.add(people, AT, "admin", "omar", "Omar", KEPT)
    directory.give_role(people, AT, "admin", "omar", "lumen", "analyst")
    token = entry.enter(people, datetime.now(UTC), "omar", PASSWORD).token
    monkeypatch.setattr(session, "token_of_browser", lambda: token)
    app.run()
    assert not app.exception
    assert "Omar" in [text.value for text in app.sidebar.text]
    assert app.title[0].value == "SQL workbench"
    assert "kept for Sara" not in html(app)
    assert "kept for Sara" not in app.session_state["workbench"]["lumen"].text
    questions.workers.clear()


def test_signing_out_ends_the_session(open_page: Open, home: Path, as_reader: SignedIn) -> None:
    people = as_reader(lumen=("executive", None))
    app = open_page("revenue", home=home)
    assert "Sara Haddad" in [text.value for text in app.sidebar.text]
    app.sidebar.button(key="sign-out").click().run()
    assert not app.metric
    assert "session has ended" in app.info[0].value
    assert audit.lines(people, 1)[0]["act"] == "sign_out"


def test_a_locked_list_of_people_shows_nothing_and_the_page_stays_alive(
    open_page: Open, home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = as_reader(lumen=("executive", None))
    monkeypatch.setattr(database, "PATIENCE_MS", 50)
    people.close()
    other = sqlite3.connect(home / "app.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN EXCLUSIVE")
    app = open_page("revenue", home=home)
    other.close()
    assert not app.exception
    assert "just now" in app.warning[0].value
    assert not app.metric
    app.run()
    assert app.metric


@pytest.mark.parametrize(("owner", "has_none"), [("Amal", False), ("Nobody", True)])
def test_a_csm_without_an_account_is_told_so(
    open_page: Open, home: Path, as_reader: SignedIn, owner: str, has_none: bool
) -> None:
    give_owners(home)
    as_reader(bazaar=("csm", owner))
    app = open_page("churn", "bazaar", home=home)
    told = [info.value for info in app.info if "names you as its owner" in info.value]
    assert (len(told) == 1) is has_none


def test_a_csm_cannot_open_a_customer_of_another_by_its_number(
    open_page: Open, home: Path, as_reader: SignedIn
) -> None:
    give_owners(home)
    as_reader(bazaar=("csm", "Amal"))
    app = open_page("customer", "bazaar", home=home, customer="K3")
    assert not app.exception
    assert not app.metric
    assert "K3<" not in html(app)


def bare(home: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The dashboard opened without asking for anything."""
    monkeypatch.setenv(HOME, str(home))
    return AppTest.from_file(str(APP), default_timeout=60).run()


def test_the_filters_and_the_language_used_last_come_back(
    open_page: Open, home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_reader(lumen=("executive", None), bazaar=("executive", None))
    open_page("revenue", "lumen", "ar", home=home, month="2024-07", rows="mrr")
    app = bare(home, monkeypatch)
    assert app.title[0].value == "نظرة عامة على الإيراد"
    assert "450.00\xa0€" in app.metric[0].value
    assert app.query_params["month"] == "2024-07"
    assert "rows" not in app.query_params
    shared = open_page("revenue", "lumen", home=home)
    assert shared.metric[0].value == "€560.33"  # an address that asks for something is shown as it stands


def test_a_saved_view_opens_with_its_own_filters_and_not_with_those_used_last(
    home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = as_reader(lumen=("executive", None))
    used = {"segment": "smb", "measure": "cohort_net"}
    kept = {("lumen", "retention"): used, last_used.EVERYWHERE: {"company": "lumen"}}
    last_used.write(people, "sara", AT, kept)
    records = database.open_records(f"sqlite:///{home / 'lumen' / 'app.db'}")
    reader = Reader("sara", "Sara Haddad", frozenset({"executive"}))
    view = views.save(records, AT, reader, "Everybody", "retention", {"month": "2025-02"})
    app = bare(home, monkeypatch)
    app.selectbox(key="saved-view").set_value(view.view_id).run()
    assert app.title[0].value == "Retention and cohorts"
    assert app.query_params["month"] in ("2025-02", ["2025-02"])
    assert not {"segment", "measure"} & set(app.query_params)
    assert app.selectbox(key="saved-view").value == view.view_id


def test_a_filter_taken_away_stays_away_on_the_next_page(
    home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = as_reader(lumen=("executive", None))
    used = {"segment": "smb", "measure": "cohort_net"}
    kept = {("lumen", "retention"): used, last_used.EVERYWHERE: {"company": "lumen"}}
    last_used.write(people, "sara", AT, kept)
    app = bare(home, monkeypatch)
    app.switch_page("screens/retention.py").run()
    assert "segment" not in app.query_params
    assert app.query_params["measure"] in ("cohort_net", ["cohort_net"])


def test_what_one_reader_used_does_not_come_back_to_another(
    open_page: Open, home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = as_reader(lumen=("executive", None))
    open_page("revenue", "lumen", home=home, month="2024-07")
    directory.add(people, AT, "admin", "omar", "Omar", KEPT)
    directory.give_role(people, AT, "admin", "omar", "lumen", "executive")
    token = entry.enter(people, datetime.now(UTC), "omar", PASSWORD).token
    monkeypatch.setattr(session, "token_of_browser", lambda: token)
    assert bare(home, monkeypatch).metric[0].value == "€560.33"


@pytest.mark.parametrize(("role", "sees_path"), [("executive", False), ("admin", True)])
def test_a_damaged_warehouse_is_one_sentence_and_its_path_is_for_who_looks_after_it(
    open_page: Open, home: Path, as_reader: SignedIn, role: str, sees_path: bool
) -> None:
    as_reader(lumen=(role, None))
    next((home / "lumen" / "warehouse").glob("*.duckdb")).write_bytes(b"not a warehouse" * 1_000)
    app = open_page("revenue", home=home)
    assert not app.exception
    assert "cannot be read" in app.error[0].value
    assert (str(home) in " ".join(code.value for code in app.code)) is sees_path


@pytest.mark.parametrize(("role", "sees_it"), [("executive", False), ("analyst", False), ("admin", True)])
@pytest.mark.parametrize("page", ["revenue", "health"])
def test_what_broke_in_a_build_is_told_in_detail_to_who_looks_after_it(
    open_page: Open, home: Path, as_reader: SignedIn, role: str, sees_it: bool, page: str
) -> None:
    as_reader(lumen=(role, None))
    message = "Could not convert string 'Huda Karim, 12 Palm Street' to INT64"
    tiny_world.log_build(home / "lumen", "20250402T0430-x9", "failed", "models", message)
    app = open_page(page, home=home)
    assert not app.exception
    assert "The last build failed" in app.error[0].value
    assert "models" in app.code[0].value
    told = html(app) + " ".join(code.value for code in app.code)
    assert ("Huda Karim" in told) is sees_it


@pytest.mark.parametrize(("role", "sees_it"), [("executive", False), ("admin", True)])
def test_why_a_company_file_cannot_be_read_is_for_who_looks_after_it(
    open_page: Open, home: Path, as_reader: SignedIn, role: str, sees_it: bool
) -> None:
    as_reader(lumen=(role, None))
    (home / "lumen" / "company.toml").write_text('app_database = "s3cret words"\n', encoding="utf-8")
    app = open_page("revenue", home=home)
    assert "company.toml" in app.warning[0].value
    assert any("app_database must be" in code.value for code in app.code) is sees_it


def test_a_locked_app_db_of_the_company_leaves_the_figures_on_the_page(
    open_page: Open, home: Path, as_reader: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_reader(lumen=("executive", None))
    monkeypatch.setattr(database, "PATIENCE_MS", 50)
    other = sqlite3.connect(home / "lumen" / "app.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    app = open_page("revenue", home=home)
    other.close()
    assert not app.exception
    assert app.metric[0].value == "€560.33"


def give_owners(home: Path) -> None:
    import duckdb

    with duckdb.connect(str(next((home / "bazaar" / "warehouse").glob("*.duckdb")))) as connection:
        connection.execute("DELETE FROM marts.dim_customers")
        connection.execute(
            "INSERT INTO marts.dim_customers (customer_id, name, is_current, valid_from, owner) "
            "SELECT DISTINCT customer_id, customer_id, true, DATE '0001-01-01', "
            "CASE WHEN customer_id IN ('K1', 'K2') THEN 'Amal' ELSE 'Basil' END FROM churn.churn_scores"
        )
