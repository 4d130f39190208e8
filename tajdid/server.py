"""One server process: an application on a port of this machine, ended by SIGTERM within a bound."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from billing.web.logs import write_logs
from tajdid.parent import end_after
from tajdid.workspace import Company, load_company

ENDS_WITHIN = 10
"""Seconds that requests under way have when a process is told to end."""
ADDRESS = "127.0.0.1"
PARENT = "parent"


def command(module: str, home: Path, company: str, ports: dict[str, int]) -> list[str]:
    """The command that starts a part: `api_server`, `portal_server`, `admin_server` or `clockwork`. It is for
    this process, and ends with it."""
    given = [f"{name}={number}" for name, number in (ports | {PARENT: os.getpid()}).items()]
    return [sys.executable, "-m", f"tajdid.{module}", str(home), company, *given]


def started_with(arguments: list[str]) -> tuple[Path, Company, dict[str, int]]:
    """Workspace, company and ports as `command` gives them. From here on this process ends when whoever
    started it is gone."""
    home, name, *given = arguments
    ports = {part: int(port) for part, _, port in (one.partition("=") for one in given)}
    parent = ports.pop(PARENT, None)
    if parent is not None:
        end_after(parent)
    company = load_company(Path(home), name)
    _refuse_newer(company.database_url)
    return Path(home), company, ports


def _refuse_newer(database_url: str) -> None:
    """End this process where its database is ahead of it. One that is away, or behind, may come yet."""
    from dashboard.engine import NEWER_FORM, EngineProblem
    from tajdid.engine.opening import reading

    try:
        with reading(database_url):
            return
    except EngineProblem as problem:
        if problem.kind == NEWER_FORM:
            print(problem.detail, file=sys.stderr)
            raise SystemExit(2) from None


def serve(app: ASGIApp, port: int) -> None:
    """Serve until the process is told to end. Logs are lines of JSON on standard error; the layers of the
    application write one for each request."""
    write_logs()
    config = uvicorn.Config(
        app,
        host=ADDRESS,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=ENDS_WITHIN,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
    )
    uvicorn.Server(config).run()
