"""Staff of the admin screens are the people of the dashboard, with what their roles allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from billing.admin.door import DoorStuck, Staff
from dashboard.people import directory, passwords
from dashboard.people.settings import read_sign_in
from tajdid.staff import PeopleDoor, StaffError

AT = datetime(2025, 6, 1, 9, tzinfo=UTC)
PASSWORD = "correct horse battery 7"


class Clock:
    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at


def people_of(home: Path, **roles: str) -> None:
    (home / "dashboard.toml").write_text('[sign_in]\nkind = "password"\nsession_hours = 2\n')
    people = directory.open_people(read_sign_in(home).people_url)
    for name, role in roles.items():
        directory.add(people, AT, "test", name, name.title(), passwords.kept(PASSWORD))
        directory.give_role(people, AT, "test", name, "acme", role)


def test_without_sign_in_whoever_sits_at_the_machine_is_staff(tmp_path: Path) -> None:
    door = PeopleDoor(tmp_path, "acme", Clock())
    assert door.is_open
    assert door.who(None) == Staff("local", "Local reader", True)
    assert door.refusal("127.0.0.1") is None
    assert door.refusal("0.0.0.0") is not None


@pytest.mark.parametrize("url", [None, "http://localhost:8512", "http://127.0.0.1:8512", "http://[::1]:8512"])
def test_without_sign_in_the_screens_are_for_this_machine(tmp_path: Path, url: str | None) -> None:
    assert PeopleDoor(tmp_path, "acme", Clock(), url).is_open


def test_without_sign_in_they_are_not_served_under_a_name_of_a_network(tmp_path: Path) -> None:
    """A proxy that asks from this machine would let everybody in."""
    with pytest.raises(StaffError, match="no sign-in"):
        PeopleDoor(tmp_path, "acme", Clock(), "https://billing.acme.example")
    people_of(tmp_path, ada="admin")
    assert not PeopleDoor(tmp_path, "acme", Clock(), "https://billing.acme.example").is_open


def test_roles_decide_who_comes_in_and_who_manages(tmp_path: Path) -> None:
    people_of(tmp_path, ada="admin", fin="finance", ana="analyst")
    door = PeopleDoor(tmp_path, "acme", Clock())
    found = {name: door.who(door.enter(name, PASSWORD).token) for name in ("ada", "fin", "ana")}
    assert found == {"ada": Staff("ada", "Ada", True), "fin": Staff("fin", "Fin", False), "ana": None}
    elsewhere = PeopleDoor(tmp_path, "other", Clock())
    assert elsewhere.who(elsewhere.enter("ada", PASSWORD).token) is None
    assert door.who("guessed") is None


def test_a_session_ends_by_its_age_by_leaving_and_with_its_person(tmp_path: Path) -> None:
    people_of(tmp_path, ada="admin", fin="finance")
    clock = Clock()
    door = PeopleDoor(tmp_path, "acme", clock)
    old, left, removed = (
        door.enter("ada", PASSWORD).token,
        door.enter("ada", PASSWORD).token,
        door.enter("fin", PASSWORD).token,
    )
    assert None not in (old, left, removed)
    assert left is not None
    door.leave(left)
    directory.remove(directory.open_people(read_sign_in(tmp_path).people_url), AT, "test", "fin")
    assert [door.who(one) is not None for one in (old, left, removed)] == [True, False, False]
    clock.at += timedelta(hours=2)
    assert door.who(old) is None


def test_wrong_passwords_lock_a_name(tmp_path: Path) -> None:
    people_of(tmp_path, ada="admin")
    door = PeopleDoor(tmp_path, "acme", Clock())
    for _ in range(5):
        assert door.enter("ada", "wrong").token is None
    assert door.enter("ada", PASSWORD).locked_for is not None


def test_a_list_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "dashboard.toml").write_text('[sign_in]\nkind = "password"\n')
    (tmp_path / "app.db").write_bytes(b"no database at all" * 1000)
    door = PeopleDoor(tmp_path, "acme", Clock())
    with pytest.raises(DoorStuck):
        door.who("any")
