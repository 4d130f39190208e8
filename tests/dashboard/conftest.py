"""A workspace of two small companies, and a way to open a page of the dashboard as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_orders
import tiny_world
from reader import Open
from streamlit.testing.v1 import AppTest

from dashboard.view import HOME

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two published companies: `lumen` has subscriptions (as of 2025-03-31, EUR), `bazaar` orders (GBP)."""
    home = tmp_path_factory.mktemp("workspace")
    tiny_world.publish(
        home / "lumen", "20250401T0430-a1", tiny_world.fill_subscriptions, title=("Lumen", "لومن")
    )
    tiny_world.publish(
        home / "bazaar", "20250401T0430-b1", tiny_orders.fill_orders, title=("Bazaar", "بازار")
    )
    return home


@pytest.fixture
def open_page(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens `page` of `company` in `lang`; other names are parameters of the address.

    `home` is the workspace.
    """

    def opened(
        page: str = "revenue",
        company: str = "lumen",
        lang: str = "en",
        home: Path | None = None,
        **address: str,
    ) -> AppTest:
        monkeypatch.setenv(HOME, str(home or workspace))
        app = AppTest.from_file(str(APP), default_timeout=60)
        if page != "revenue":
            app.switch_page(f"screens/{page}.py")  # by its file's name, which is its name in the address too
        for name, value in {"company": company, "lang": lang, **address}.items():
            app.query_params[name] = value
        app.run()
        return app

    return opened
