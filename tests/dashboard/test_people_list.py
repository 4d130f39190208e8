"""Who is let in: the list of people, passwords and guesses, sessions and their end, settings of sign-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboard.i18n import text
from dashboard.people import directory, entry, passwords
from dashboard.people.directory import DirectoryError
from dashboard.people.permissions import PAGES, PERMISSIONS, ROLES, allows, landing_of, pages_of
from dashboard.people.reader import LOCAL, NOBODY
from dashboard.people.session import Door, Visit, by_claims, by_token
from dashboard.people.settings import SettingsError, SignIn, read_sign_in
from dashboard.records import audit
from dashboard.records.database import Records
from dashboard.words import page_titles

SCREENS = Path(directory.__file__).parents[1] / "screens"
AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
PASSWORD = "a long walk home 9"
KEPT = passwords.kept(PASSWORD)
ISSUED = AT - timedelta(minutes=5)
CLAIMS = {
    "is_logged_in": True,
    "iss": "https://login.example.com",
    "sub": "42",
    "email": "Sara@Example.com",
    "email_verified": True,
    "iat": ISSUED.timestamp(),
    "nonce": "n1",
}


@pytest.fixture
def people(tmp_path: Path) -> Records:
    """Sara, a csm in atlas and an analyst in retail."""
    records = Records(f"sqlite:///{tmp_path / 'app.db'}", directory.PEOPLE_METADATA)
    directory.add(records, AT, "admin", "Sara@Example.com ", "Sara", KEPT)
    directory.give_role(records, AT, "admin", "sara@example.com", "atlas", "csm", "Sara Haddad")
    directory.give_role(records, AT, "admin", "sara@example.com", "retail", "analyst")
    return records


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], SignIn]:
    def of(kind: str) -> SignIn:
        assert kind in ("password", "oidc")
        return SignIn("password" if kind == "password" else "oidc", f"sqlite:///{tmp_path / 'app.db'}")

    return of


def test_a_person_has_roles_by_company(people: Records) -> None:
    sara = directory.person(people, "SARA@example.com")
    assert sara is not None
    assert sara.reader("atlas").roles == {"csm"}
    assert sara.reader("atlas").owner == "Sara Haddad"
    assert sara.reader("retail").roles == {"analyst"}
    assert sara.reader("retail").owner is None
    assert sara.reader("elsewhere").roles == frozenset()


def test_who_is_taken_off_the_list_has_nothing_left_and_may_come_back_without_old_roles(
    people: Records,
) -> None:
    directory.remove(people, AT, "admin", "sara@example.com")
    assert directory.person(people, "sara@example.com") is None
    assert directory.everybody(people) == []
    assert entry.enter(people, AT, "sara@example.com", PASSWORD).token is None
    directory.add(people, AT, "admin", "sara@example.com", "Sara", KEPT)
    found = directory.person(people, "sara@example.com")
    assert found is not None
    assert found.roles == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda people: directory.add(people, AT, "a", "sara@example.com", "S", None), "on the list already"),
        (lambda people: directory.add(people, AT, "a", "two words", "S", None), "one word"),
        (
            lambda people: directory.give_role(people, AT, "a", "sara@example.com", "atlas", "king"),
            "no role king",
        ),
        (lambda people: directory.give_role(people, AT, "a", "sara@example.com", "atlas", "csm"), "--owner"),
        (lambda people: directory.give_role(people, AT, "a", "omar", "atlas", "admin"), "not on the list"),
        (
            lambda people: directory.take_role(people, AT, "a", "sara@example.com", "atlas", "admin"),
            "not have",
        ),
        (lambda people: directory.remove(people, AT, "a", "omar"), "not on the list"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_one_sentence(
    people: Records, change: Callable[[Records], None], words: str
) -> None:
    before = directory.everybody(people)
    with pytest.raises(DirectoryError, match=words):
        change(people)
    assert directory.everybody(people) == before


def test_changes_of_people_are_written_down(people: Records) -> None:
    directory.take_role(people, AT, "omar", "sara@example.com", "retail", "analyst")
    line = audit.lines(people, 1)[0]
    assert (line["recorded_by"], line["subject"], line["detail"]) == (
        "omar",
        "sara@example.com",
        "retail: no longer analyst",
    )


def test_a_password_is_kept_salted_and_costly_and_told_from_any_other() -> None:
    assert PASSWORD not in KEPT
    assert passwords.kept(PASSWORD) != KEPT
    assert passwords.is_right(PASSWORD, KEPT)
    assert not passwords.is_right(PASSWORD + " ", KEPT)
    assert not passwords.is_right("", None)
    assert not passwords.is_right("x" * 100_000, KEPT)


@pytest.mark.parametrize("weak", ["short 1", "aaaaaaaaaaaaaaaa", "sara sara 1234", "x" * 1001])
def test_a_weak_password_is_not_taken(weak: str) -> None:
    assert passwords.weakness(weak, "Sara")
    assert passwords.weakness(PASSWORD, "Sara") is None


def test_guessing_locks_a_name_for_longer_each_time_and_no_other(people: Records) -> None:
    directory.add(people, AT, "admin", "omar", "Omar", KEPT)
    for _ in range(entry.FREE_FAILURES):
        assert entry.enter(people, AT, "omar", "wrong") == entry.Entry()
    assert entry.enter(people, AT, "omar", PASSWORD).locked_for == timedelta(minutes=1)
    assert entry.enter(people, AT, "sara@example.com", PASSWORD).token
    later = AT + timedelta(minutes=1, seconds=1)
    assert entry.enter(people, later, "omar", "wrong") == entry.Entry()
    assert entry.enter(people, later, "OMAR ", PASSWORD).locked_for == timedelta(minutes=2)
    assert entry.enter(people, later + timedelta(minutes=3), "omar", PASSWORD).token
    assert entry.enter(people, later + timedelta(minutes=3), "omar", "wrong").locked_for is None


def test_a_name_that_guessing_locked_goes_on_record_without_the_guess(people: Records) -> None:
    directory.add(people, AT, "admin", "omar", "Omar", KEPT)
    for _ in range(entry.FREE_FAILURES):
        entry.enter(people, AT, "omar", "a guess that is wrong")
        entry.enter(people, AT, "nobody", "a guess that is wrong")
    refused = [line for line in audit.lines(people) if line["act"] == "refused"]
    assert [(line["subject"], line["recorded_at"]) for line in refused] == [("omar", AT)]
    assert refused[0]["detail"].startswith("5 wrong passwords, locked until ")
    later = AT + timedelta(minutes=2)
    assert entry.enter(people, later, "omar", PASSWORD).token  # the sixth attempt, and a right one
    assert len([line for line in audit.lines(people) if line["act"] == "refused"]) == 1


def test_a_name_that_nobody_has_is_answered_like_any_other(people: Records) -> None:
    answers = [entry.enter(people, AT, "nobody", "wrong") for _ in range(entry.FREE_FAILURES)]
    assert answers == [entry.Entry()] * entry.FREE_FAILURES
    assert entry.enter(people, AT, "nobody", "wrong").locked_for == timedelta(minutes=1)


def test_a_person_without_a_password_cannot_sign_in_with_one(people: Records) -> None:
    directory.add(people, AT, "admin", "sso@example.com", "Only OIDC", None)
    for given in ("", "None", "wrong"):
        assert entry.enter(people, AT, "sso@example.com", given).token is None


def test_a_session_ends_by_time_by_leaving_by_another_password_and_with_its_person(
    people: Records, settings: Callable[[str], SignIn]
) -> None:
    rules = settings("password")

    def door(token: str | None, at: datetime = AT) -> Door | None:
        return by_token(people, rules, at, token).door

    token = entry.enter(people, AT, "sara@example.com", PASSWORD).token
    assert token is not None
    assert by_token(people, rules, AT, token).reader("atlas").owner == "Sara Haddad"
    assert door(token, AT + rules.session - timedelta(seconds=1)) is None
    assert door(token, AT + rules.session + timedelta(seconds=1)) is Door.ENDED
    directory.end_session(people, AT, entry.key_of_token(token))
    assert door(token) is Door.ENDED
    again = entry.enter(people, AT, "sara@example.com", PASSWORD).token
    assert door(again) is None
    directory.set_password(people, AT, "admin", "sara@example.com", KEPT)
    assert door(again) is Door.ENDED
    last = entry.enter(people, AT, "sara@example.com", PASSWORD).token
    directory.remove(people, AT, "admin", "sara@example.com")
    assert door(last) is Door.ENDED
    assert door(None) is Door.SIGN_IN
    assert door("made up") is Door.ENDED


def test_the_database_holds_no_token_and_no_password(people: Records, tmp_path: Path) -> None:
    token = entry.enter(people, AT, "sara@example.com", PASSWORD).token
    people.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token is not None
    assert token.encode() not in content
    assert PASSWORD.encode() not in content


def test_who_the_provider_vouches_for_is_let_in_by_the_list(
    people: Records, settings: Callable[[str], SignIn]
) -> None:
    visit = by_claims(people, settings("oidc"), AT, CLAIMS)
    assert visit.door is None
    assert visit.reader("atlas").roles == {"csm"}
    assert [line["act"] for line in audit.lines(people, 1)] == ["sign_in"]
    by_claims(people, settings("oidc"), AT, CLAIMS)
    assert len([line for line in audit.lines(people) if line["act"] == "sign_in"]) == 1


@pytest.mark.parametrize(
    ("change", "door"),
    [
        ({"is_logged_in": False}, Door.SIGN_IN),
        ({"email_verified": False}, Door.NO_ACCESS),
        ({"email_verified": None}, Door.NO_ACCESS),
        ({"email_verified": "true"}, Door.NO_ACCESS),
        ({"email": "omar@example.com"}, Door.NO_ACCESS),
        ({"email": ""}, Door.NO_ACCESS),
        ({"email": "\u212aarim@example.com"}, Door.NO_ACCESS),  # KELVIN SIGN, a k when made small
        ({"email": "k" * directory.LONGEST_ID + "@elsewhere.example"}, Door.NO_ACCESS),
        ({"email": 7}, Door.NO_ACCESS),
        ({"iat": None}, Door.NO_ACCESS),
        ({"iat": (AT - timedelta(hours=13)).timestamp()}, Door.ENDED),
        ({"iat": (AT + timedelta(hours=1)).timestamp()}, Door.ENDED),
    ],
)
def test_a_claim_that_is_not_enough_lets_nobody_in(
    people: Records, settings: Callable[[str], SignIn], change: dict[str, object], door: Door
) -> None:
    for name in ("karim@example.com", "k" * directory.LONGEST_ID):
        directory.add(people, AT, "admin", name, "Karim", None)
        directory.give_role(people, AT, "admin", name, "atlas", "admin")
    visit = by_claims(people, settings("oidc"), AT, CLAIMS | change)
    assert visit.door is door
    assert visit.reader("atlas") is NOBODY


@pytest.mark.parametrize(
    ("claim", "change", "door"),
    [
        ("upn", {"upn": "sara@example.com"}, None),
        ("upn", {"upn": " SARA@example.com", "email_verified": False}, Door.NO_ACCESS),
        ("upn", {"upn": "sara@example.com", "email_verified": None}, Door.NO_ACCESS),
        ("upn", {"upn": "sara@example.com", "email": "sara@elsewhere.example"}, Door.NO_ACCESS),
        ("upn", {"upn": "sara@example.com", "email": None}, Door.NO_ACCESS),
        ("preferred_username", {"preferred_username": "sara@example.com", "email": None}, Door.NO_ACCESS),
        ("oid", {"oid": "4f1c", "email_verified": None}, None),
        ("oid", {"oid": "4f1d"}, Door.NO_ACCESS),
    ],
)
def test_an_address_under_another_claim_counts_only_when_it_is_the_verified_one(
    people: Records,
    settings: Callable[[str], SignIn],
    claim: str,
    change: dict[str, object],
    door: Door | None,
) -> None:
    directory.add(people, AT, "admin", "4f1c", "Sara by number", None)
    directory.give_role(people, AT, "admin", "4f1c", "atlas", "csm", "Sara Haddad")
    visit = by_claims(people, replace(settings("oidc"), claim=claim), AT, CLAIMS | change)
    assert visit.door is door
    assert (visit.reader("atlas") is NOBODY) == (door is not None)


def test_who_signed_out_needs_another_sign_in_at_the_provider(
    people: Records, settings: Callable[[str], SignIn]
) -> None:
    visit = by_claims(people, settings("oidc"), AT, CLAIMS)
    assert visit.key is not None
    directory.end_session(people, AT, visit.key)
    assert by_claims(people, settings("oidc"), AT, CLAIMS).door is Door.ENDED
    again = CLAIMS | {"nonce": "n2", "iat": AT.timestamp()}
    assert by_claims(people, settings("oidc"), AT, again).door is None


def test_a_person_without_a_role_is_told_so_and_opens_no_company(
    people: Records, settings: Callable[[str], SignIn]
) -> None:
    directory.add(people, AT, "admin", "omar@example.com", "Omar", None)
    visit = by_claims(people, settings("oidc"), AT, CLAIMS | {"email": "omar@example.com", "sub": "43"})
    assert visit.door is Door.NO_ACCESS
    sara = by_claims(people, settings("oidc"), AT, CLAIMS)
    assert [sara.opens(company) for company in ("atlas", "retail", "secret")] == [True, True, False]


def test_a_visit_without_anybody_opens_nothing() -> None:
    assert Visit(Door.SIGN_IN).reader("atlas") is NOBODY
    assert Visit().reader("atlas") is NOBODY
    assert Visit(settings=SignIn("none", "sqlite://")).reader("atlas") is LOCAL


GOOD = """
[sign_in]
session_hours = 8
[auth]
redirect_uri = "https://numbers.example.com/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "tajdid"
client_secret = "very secret indeed"
server_metadata_url = "https://login.example.com/.well-known/openid-configuration"
"""


def write(home: Path, content: str) -> None:
    path = home / "dashboard.toml"
    path.write_text(content, encoding="utf-8")
    os.utime(path, ns=(hash(content) % 10**15, hash(content) % 10**15))


def test_the_settings_say_how_people_sign_in(tmp_path: Path) -> None:
    assert read_sign_in(tmp_path).kind == "none"
    write(tmp_path, GOOD)
    rules = read_sign_in(tmp_path)
    assert (rules.kind, rules.session, rules.hosts) == ("oidc", timedelta(hours=8), ("numbers.example.com",))
    assert rules.refusal("0.0.0.0") is None
    assert "very secret" not in repr(rules)
    write(tmp_path, '[sign_in]\nkind = "password"\n')
    assert read_sign_in(tmp_path).kind == "password"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[sign_in\n", "no valid TOML"),
        ('[sign_in]\nkind = "open"\n', "kind must be"),
        ("[sign_in]\nknid = 1\n", "unknown setting"),
        ("sign_in = 3\n", "must be a table"),
        ("[sign_in]\nsession_hours = 0\n", "session_hours"),
        ("[sign_in]\nsession_hours = true\n", "session_hours"),
        (GOOD.replace("0123456789abcdef0123456789abcdef", "short"), "cookie_secret must have"),
        (GOOD.replace("client_id", "client_name"), "lacks client_id"),
        (GOOD.replace("https://numbers", "http://numbers"), "redirect_uri must begin"),
        (GOOD.replace("https://login", "http://login"), "server_metadata_url must begin"),
        (GOOD.replace("/oauth2callback", "/back"), "must end with"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_without_their_secrets(
    tmp_path: Path, content: str, words: str
) -> None:
    write(tmp_path, content)
    with pytest.raises(SettingsError, match=words) as caught:
        read_sign_in(tmp_path)
    assert "secret indeed" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_a_server_without_sign_in_by_oidc_listens_to_this_machine_only() -> None:
    for kind in ("none", "password"):
        rules = SignIn("none" if kind == "none" else "password", "sqlite://")
        for address in ("127.0.0.1", "localhost", "::1"):
            assert rules.refusal(address) is None
        for address in ("0.0.0.0", "::", "192.168.0.4", "", "localhost.example.com"):
            assert "not served" in (rules.refusal(address) or "") or "only" in (rules.refusal(address) or "")


def test_every_page_of_the_side_list_has_a_title_and_a_screen() -> None:
    assert tuple(page_titles(text("en"))) == PAGES
    assert [page for page in PAGES if not (SCREENS / f"{page}.py").is_file()] == []


def test_the_table_of_roles_is_whole() -> None:
    for name, role in ROLES.items():
        assert role.permissions <= PERMISSIONS
        assert role.landing in role.pages, name
        assert landing_of([name]) == role.landing
    assert {name: role.landing for name, role in ROLES.items()} == {
        "executive": "revenue",
        "cs_manager": "churn",
        "csm": "churn",
        "analyst": "workbench",
        "finance": "cash",
        "admin": "revenue",
    }
    assert [name for name in ROLES if allows([name], "sql")] == ["analyst", "admin"]
    assert [name for name in ROLES if allows([name], "manage_people")] == ["admin"]
    assert not pages_of(["csm"]) & {"revenue", "retention", "cash", "forecast", "workbench", "health"}
    assert pages_of([]) == frozenset()
    assert landing_of([]) is None
    with pytest.raises(KeyError):
        allows(["admin"], "fly")
