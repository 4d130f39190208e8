"""The screens over a small company, for somebody of the staff."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import admin_world
import pytest
from starlette.testclient import TestClient

from billing.admin.app import application
from billing.gateways.simulated import SimulatedGateway
from billing.store.store import IdGenerator, Store, open_store
from billing.web.context import Services
from billing.web.layers import Door
from billing.web.seal import Vault
from billing.web.stores import Stores

BASE = "http://localhost"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Path:
    """A database with the company, not to be changed."""
    path = tmp_path_factory.mktemp("admin") / "billing.db"
    shutil.copy(_sqlite_template, path)
    with open_store(f"sqlite:///{path}", IdGenerator(5, 0), is_disposable=True) as store:
        admin_world.build(store)
    return path


@pytest.fixture
def database(built: Path, tmp_path: Path) -> str:
    shutil.copy(built, tmp_path / "billing.db")
    return f"sqlite:///{tmp_path / 'billing.db'}"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """The database of the screens, to see what they did."""
    with open_store(database) as opened:
        yield opened


@pytest.fixture
def screens(database: str) -> Iterator[Callable[..., TestClient]]:
    """A browser of somebody: `screens("mia")`; of nobody without a name."""
    stores = Stores(database)
    services = Services(
        stores=stores,
        gateway=SimulatedGateway(1),
        vault=Vault(b"k" * 32),
        clock=lambda: admin_world.NOW,
        base_url=BASE,
        admin_url=BASE,
        portal_url="http://portal.example",
        dashboard_url="http://localhost:8501",
    )
    app = application(
        services,
        admin_world.SetDoor(),
        titles={"en": "Acme", "ar": "أكمي"},
        company="acme",
        listens=Door(hosts=("localhost",)),
    )

    def browser(name: str | None = None, language: str = "en") -> TestClient:
        client = TestClient(app, base_url=BASE, headers={"Accept-Language": language}, follow_redirects=False)
        if name is not None:
            client.cookies.set("tajdid_session", f"token-{name}")
        return client

    yield browser
    stores.close()
