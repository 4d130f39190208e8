"""A copy of all that a company keeps, taken while everything runs: databases, settings, the key of its seals.

SQLite copies itself page by page and starts again where somebody wrote meanwhile; PostgreSQL is asked for by
its own `pg_dump`. Either copy is one moment of its database. The warehouse is not copied: a build makes it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL

from tajdid.workspace import Company

SETTINGS = ("company.toml", "policy.toml", "secret.key")
MANIFEST = "backup.json"


class BackupError(Exception):
    """No backup was made. The message says why."""


@dataclass(frozen=True)
class Kept:
    """A file of the backup, and how large it is."""

    name: str
    size: int


def back_up(company: Company, folder: Path, at: datetime) -> list[Kept]:
    """Copy a company into a folder that must not exist yet; it appears when all of it is written.

    Raises BackupError.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists; a backup goes into a folder of its own.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        for url, name in _databases(company).items():
            _copy(make_url(url), name, partial)
        if _bills(company) and not any(partial.glob("billing.*")):
            where = make_url(company.database_url).database
            raise BackupError(
                f"There is no billing database: {where} is not there. See database_url in company.toml."
            )
        for name in SETTINGS:
            if (company.folder / name).exists():
                shutil.copy2(company.folder / name, partial / name)
        kept = [Kept(path.name, path.stat().st_size) for path in sorted(partial.iterdir())]
        content = {
            "company": company.name,
            "at": at.isoformat(),
            "files": {one.name: one.size for one in kept},
        }
        (partial / MANIFEST).write_text(json.dumps(content, indent=2), encoding="utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return kept


def _databases(company: Company) -> dict[str, str]:
    """Address and name of each database of a company; what is written into one is written into it once."""
    found = {company.database_url: "billing", company.app_database: "app"}
    if company.gateway is not None:
        found |= {f"sqlite:///{company.folder / company.gateway.get('books', 'gateway.db')}": "gateway"}
    return found


def _bills(company: Company) -> bool:
    """Whether a company is billed here: not where all that it reads comes from elsewhere."""
    return not company.sources or any(source.kind == "billing" for source in company.sources)


def _copy(url: URL, name: str, folder: Path) -> None:
    if url.get_backend_name() == "sqlite":
        origin = Path(str(url.database))
        if origin.exists():
            copy_sqlite(origin, folder / f"{name}.db")
    else:
        dump_postgres(url, folder / f"{name}.dump")


def copy_sqlite(origin: Path, target: Path) -> None:
    """One moment of a SQLite database, with what stands in its log. Raises BackupError."""
    try:
        source = sqlite3.connect(f"{origin.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
        copy = sqlite3.connect(target)
        try:
            source.backup(copy)
            (answer,) = copy.execute("PRAGMA quick_check").fetchone()
        finally:
            copy.close()
            source.close()
    except sqlite3.Error as error:
        raise BackupError(f"{origin} could not be copied: {error}.") from error
    if answer != "ok":
        raise BackupError(f"{origin} is damaged: {answer}.")


def dump_postgres(url: URL, target: Path) -> None:
    """A dump of a PostgreSQL database in the form that pg_restore reads. Raises BackupError."""
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError("pg_dump is not there: install the client programs of your PostgreSQL's version.")
    address = url.set(drivername="postgresql", password=None).render_as_string()
    command = [program, "--format=custom", "--no-owner", f"--file={target}", f"--dbname={address}"]
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"pg_dump failed: {done.stderr.strip()}")
