"""The portal over a file that each test may change, and browsers to visit it with, without JavaScript."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from portal_world import Hands, Post, portal, world
from visitor import Browser


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("portal") / "billing.db"
    return path, world(path)


@pytest.fixture(scope="session")
def users(_filled: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """Ids of the users by name."""
    return _filled[1]


@pytest.fixture
def url(_filled: tuple[Path, dict[str, str]], tmp_path: Path) -> str:
    shutil.copy(_filled[0], tmp_path / "billing.db")
    return f"sqlite:///{tmp_path / 'billing.db'}"


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def visits(url: str, post: Post, clock: Hands, users: dict[str, str]) -> Iterator[Callable[[], Browser]]:
    """A new browser at the door each time it is called."""
    app = portal(url, post, clock)
    opened: list[Browser] = []

    def browser() -> Browser:
        opened.append(Browser(app, users))
        return opened[-1]

    yield browser
    for one in opened:
        one.close()
    app.state.desk.services.stores.close()


@pytest.fixture
def as_user(visits: Callable[[], Browser]) -> Callable[[str], Browser]:
    """A browser in which a user is signed in."""

    def signed_in(name: str) -> Browser:
        browser = visits()
        browser.sign_in(name)
        return browser

    return signed_in
