"""The world of two companies, built once; each module that asks for it works on a copy of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import world
from callers import callers, opened
from fastapi import FastAPI

from billing.store.store import open_store
from billing.web.context import Caller


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> tuple[Path, world.World]:
    """A database with the world, not to be changed, and what is in it."""
    path = tmp_path_factory.mktemp("world") / "billing.db"
    shutil.copy(_sqlite_template, path)
    with open_store(f"sqlite:///{path}", is_disposable=True) as store:
        return path, world.build(store)


@pytest.fixture(scope="session")
def api_over_world(
    built: tuple[Path, world.World], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., object]:
    """Opens the API over a copy of the world, for the merchant and other callers."""
    path, made = built

    @contextmanager
    def copied(*more: Caller, **services: Any) -> Iterator[tuple[FastAPI, world.World]]:
        copy = tmp_path_factory.mktemp("copy") / "billing.db"
        shutil.copy(path, copy)
        with opened(f"sqlite:///{copy}", callers(*more), world.NOW, **services) as app:
            yield app, made

    return copied
