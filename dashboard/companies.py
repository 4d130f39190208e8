"""Which companies there are to look at: the folders of the workspace that hold a company.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dashboard.records.database import records_url


@dataclass(frozen=True)
class Company:
    """One company.

    `records_url` is where what people write about it is kept.
    `problem` says why its company.toml could not be read; its folder's name then stands for it.
    """

    name: str
    folder: Path
    titles: tuple[tuple[str, str], ...] = ()
    is_sample: bool = False
    records_url: str | None = None
    problem: str | None = None

    def title(self, language: str) -> str:
        return dict(self.titles).get(language) or self.name


def companies(home: Path) -> list[Company]:
    """The companies of a workspace, by name."""
    return [_company(path, _state(path)) for path in sorted(home.glob("*/company.toml"))]


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does, or who may read it; None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


@lru_cache(maxsize=1_000)
def _company(path: Path, state: tuple[int, int, int] | None) -> Company:
    """The company that a file of that state describes."""
    name = path.parent.name
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Company(name, path.parent, problem=str(error))
    titles = tuple(
        (language, str(content[f"title_{language}"]))
        for language in ("en", "ar")
        if f"title_{language}" in content
    )
    try:
        records = records_url(path.parent, content)
    except ValueError as error:
        return Company(name, path.parent, titles, problem=str(error))
    return Company(name, path.parent, titles, bool(content.get("sample", False)), records)
