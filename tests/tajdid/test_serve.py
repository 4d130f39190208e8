"""`tajdid serve` starts API, portal, admin screens and workers, and ends all of them together."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from small_offer import open_offer

from billing.service.api_keys import create_key, mint
from billing.service.customers import create_customer
from billing.store.store import open_store
from tajdid.cli import main
from tajdid.running_commands import run
from tajdid.serve import GRACE_SECONDS, Running, ServeError, check, end, running, watch
from tajdid.server import started_with
from tajdid.services import Addresses, key_of
from tajdid.workspace import WorkspaceError, load_company

AT = datetime(2025, 1, 1, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Path:
    """A workspace with one company, which sells something to anna."""
    folder = tmp_path_factory.mktemp("home") / "acme"
    folder.mkdir()
    (folder / "billing.db").write_bytes(_sqlite_template.read_bytes())
    (folder / "company.toml").write_text('name = "acme"\ntitle_en = "Acme & Co"\n')
    (folder / "policy.toml").write_text("")
    with open_store(f"sqlite:///{folder / 'billing.db'}") as store:
        open_offer(store)
        create_customer(
            store,
            AT,
            customer_id="anna",
            name="Anna",
            entity_id="seller",
            currency="EUR",
            country="DE",
        )
    return folder.parent


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Served:
    def __init__(self, home: Path, log: Path) -> None:
        self.api, self.portal, self.admin = free_ports(3)
        self.log = log
        options = [f"--api-port={self.api}", f"--portal-port={self.portal}", f"--admin-port={self.admin}"]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tajdid", "serve", *options],
                env=os.environ | {"TAJDID_HOME": str(home)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 90
        while "Ready" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(one) for one in tasks.split()]


@pytest.fixture
def served(home: Path, tmp_path: Path) -> Iterator[Served]:
    one = Served(home, tmp_path / "log")
    try:
        one.wait_until_ready()
        yield one
    finally:
        if one.process.poll() is None:
            one.process.terminate()
        one.process.wait(GRACE_SECONDS + 5)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_part_answers_for_its_own_and_all_end_together(home: Path, served: Served) -> None:
    minted = mint("live")
    with open_store(load_company(home, "acme").database_url) as store:
        create_key(
            store,
            AT,
            owner="tests",
            name="test",
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            scopes=["customers:read"],
            version=AT.date(),
        )
    api, portal, admin = (f"http://127.0.0.1:{port}" for port in (served.api, served.portal, served.admin))
    assert httpx.get(f"{api}/v1/customers").status_code == 401
    found = httpx.get(f"{api}/v1/customers/anna", headers={"Authorization": f"Bearer {minted.token}"})
    assert (found.status_code, found.json()["name"]) == (200, "Anna")
    assert httpx.get(f"{portal}/portal/sign-in").status_code == 200
    page = httpx.get(f"{admin}/admin/customers/anna")
    assert page.status_code == 200
    assert "Acme &amp; Co" in page.text
    for place in (api, portal, admin):
        assert httpx.get(f"{place}/health/live").json() == {"status": "live"}
        assert httpx.get(f"{place}/health/ready").status_code == 200
        assert "tajdid" in httpx.get(f"{place}/metrics").text
        assert httpx.get(f"{place}/", headers={"Host": "evil.example"}).status_code == 400
    children = served.children()
    assert len(children) == 5
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(GRACE_SECONDS + 5) == 0
    assert not any(is_alive(child) for child in children)
    # Names of customers and secrets stay out of the logs.
    log = served.log.read_text()
    assert "/v1/customers/{customer_id}" in log
    assert "Anna" not in log
    assert minted.token not in log


def test_a_company_is_served_by_the_name_of_its_folder_through_no_proxy(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = home / "Acme & Söhne #1"
    other.mkdir()
    try:
        (other / "billing.db").write_bytes((home / "acme" / "billing.db").read_bytes())
        (other / "company.toml").write_text('name = "something else"\n')
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        (port,) = free_ports(1)
        with running(home, load_company(home, other.name), {"api": port}, with_worker=False) as children:
            check(children)
    finally:
        shutil.rmtree(other)


def test_a_port_that_is_taken_is_told_before_anything_starts(home: Path) -> None:
    company = load_company(home, "acme")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with (
            pytest.raises(ServeError, match=f"{port} is taken: .* --api-port"),
            running(home, company, {"api": port}, with_worker=False),
        ):
            pass


def test_when_the_command_is_killed_all_end_by_themselves(served: Served) -> None:
    children = served.children()
    assert len(children) == 5
    served.process.kill()
    served.process.wait()
    deadline = time.monotonic() + GRACE_SECONDS
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, "some go on without the command"
        time.sleep(0.1)


def test_when_one_ends_by_itself_the_others_are_ended(home: Path) -> None:
    company = load_company(home, "acme")
    (port,) = free_ports(1)
    lasting = Running("lasting", subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))

    def serve_until_the_api_is_killed() -> None:
        with running(home, company, {"api": port}, with_worker=False) as children:
            children.append(lasting)
            os.kill(children[0].process.pid, signal.SIGKILL)
            watch(children)

    with pytest.raises(ServeError, match="api has ended"):
        serve_until_the_api_is_killed()
    assert lasting.process.returncode == -signal.SIGTERM


def test_who_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tajdid.serve.GRACE_SECONDS", 0.5)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    end([Running("deaf", child)])
    assert child.returncode == -signal.SIGKILL


def test_a_company_without_a_database_of_this_form_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.toml").write_text('name = "acme"\n')
    done = subprocess.run(
        [sys.executable, "-m", "tajdid", "serve"],
        env=os.environ | {"TAJDID_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "tajdid billing migrate" in done.stderr


@pytest.mark.parametrize(
    ("database", "form", "said"),
    [
        (
            "sqlite:///billing.db",
            "0035",
            "is of an older form than this version's: run `tajdid billing migra",
        ),
        ("sqlite:///billing.db", "9999", "This program is older than the database"),
        ("postgresql://acme@127.0.0.1:1/acme", "0035", "does not answer, or is not there yet"),
    ],
)
def test_why_a_database_cannot_be_served_is_told_by_its_kind(
    home: Path, tmp_path: Path, database: str, form: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.toml").write_text(f'name = "acme"\ndatabase_url = "{database}"\n')
    (tmp_path / "acme" / "billing.db").write_bytes((home / "acme" / "billing.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "acme" / "billing.db")) as older, older:
        older.execute("UPDATE alembic_version SET version_num = ?", (form,))
    with pytest.raises(SystemExit):
        run(load_company(tmp_path, "acme"), {})
    assert said in capsys.readouterr().err


def test_a_program_that_is_older_than_the_database_says_so_instead_of_starting_or_migrating(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.toml").write_text('name = "acme"\n')
    (tmp_path / "acme" / "billing.db").write_bytes((home / "acme" / "billing.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "acme" / "billing.db")) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["tajdid", "billing", "migrate"])
    starts = (lambda: started_with([str(tmp_path), "acme", "api=8510"]), main)
    for start in starts:
        with pytest.raises(SystemExit) as ended:
            start()
        assert ended.value.code == 2
        assert "This program is older than the database" in capsys.readouterr().err


def unwritable(*_given: object, **_named: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_the_key_of_a_company_is_made_once_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(tmp_path)
    assert len(key) == 32
    assert key_of(tmp_path) == key
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    # Where it is, the folder need not be one that may be written into.
    monkeypatch.setattr(Path, "touch", unwritable)
    assert key_of(tmp_path) == key
    monkeypatch.setenv("TAJDID_SECRET", "ab" * 32)
    assert key_of(tmp_path) == b"\xab" * 32
    monkeypatch.setenv("TAJDID_SECRET", "short")
    with pytest.raises(WorkspaceError):
        key_of(tmp_path)


@pytest.mark.parametrize(("mode", "found"), [("test", {"kind": "simulated"}), ("live", None)])
def test_a_sandbox_always_has_a_gateway_so_that_its_clock_goes_on(
    tmp_path: Path, mode: str, found: object
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.toml").write_text(f'name = "acme"\nmode = "{mode}"\n')
    assert load_company(tmp_path, "acme").gateway == found


@pytest.mark.parametrize(
    "serve",
    [
        'portal_url = "pay.example.com"',
        'portal_url = "https://pay.example.com/path"',
        'proxies = ["10.0.0.0/40"]',
        'proxies = "10.0.0.0/8"',
        "port = 80",
    ],
)
def test_addresses_and_networks_that_are_none_are_told(tmp_path: Path, serve: str) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.toml").write_text(f'name = "acme"\n[serve]\n{serve}\n')
    with pytest.raises(WorkspaceError):
        load_company(tmp_path, "acme")


def test_addresses_come_from_the_company_then_the_environment_then_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.toml").write_text(
        'name = "acme"\n[serve]\nportal_url = "https://pay.example.com/"\n'
    )
    monkeypatch.setenv("TAJDID_DASHBOARD_URL", "http://localhost:8501")
    found = Addresses.of(load_company(tmp_path, "acme"), {"api": 1, "portal": 2, "admin": 3})
    assert found == Addresses(
        "http://localhost:1", "https://pay.example.com", "http://localhost:3", "http://localhost:8501"
    )
