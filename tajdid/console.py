"""What every command of `tajdid` shares: the company it is for, the clock, and how it answers."""

from __future__ import annotations

import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import polars as pl

    from tajdid.workspace import Company

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
CompanyOption = Annotated[
    str | None,
    typer.Option("--company", help="Folder name of the company; may be left out when there is one."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def stop(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(code)


def home() -> Path:
    """The workspace folder: TAJDID_HOME, else `workspace` beside the project."""
    from tajdid.workspace import PROJECT

    return Path(os.environ.get("TAJDID_HOME") or PROJECT / "workspace").resolve()


def now() -> datetime:
    return datetime.now(UTC)


def actor() -> str:
    """Who acts, as the audit log says: TAJDID_ACTOR, else the user of this machine."""
    from getpass import getuser

    named = os.environ.get("TAJDID_ACTOR", "").strip()
    if named:
        return named
    try:
        return getuser()
    except (KeyError, OSError):  # A container may run as a user that has no name.
        return f"user {os.getuid()}"


def say(message: str) -> None:
    print(message, flush=True)


def chosen(name: str | None) -> Company:
    from tajdid.workspace import load_company

    return load_company(home(), name)


def day_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        stop(f"'{text}' is no date; write it as 2025-12-31.", 2)


def print_fields(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        say(f"{name:16} {value}")


def print_frame(frame: pl.DataFrame) -> None:
    table = Table()
    for name in frame.columns:
        table.add_column(Text(name))
    for row in frame.iter_rows():
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)
