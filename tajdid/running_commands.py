"""`tajdid backup`: a copy of all that a company keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tajdid.console import CompanyOption, chosen, now, say, stop


def backup(
    out: Annotated[Path, typer.Argument(help="The new folder; it must not exist yet.")],
    company: CompanyOption = None,
) -> None:
    """Copy a company's databases, settings and keys into a folder, while everything runs.

    The folder holds secrets: keep it where the company's own folder could lie. How to restore one:
    docs/operations.md.

    Example: tajdid backup /backups/atlas-2026-01-31 --company atlas
    """
    from tajdid.backup import BackupError, back_up

    try:
        kept = back_up(chosen(company), out, now())
    except BackupError as error:
        stop(str(error), 1)
    for one in kept:
        say(f"  {one.name:14} {one.size:>14,} bytes")
    say(f"Kept in {out}")
