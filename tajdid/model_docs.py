"""The documentation of the models as one page that needs nothing else: `tajdid warehouse docs`.

dbt makes it from the models and the tables of the published snapshot, without its rows. The page is not
allowed to load or send anything, wherever it is opened.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb

from pipelines.warehouse import CATALOG, quoted

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'none'; form-action 'none'"
)


class DocsError(Exception):
    """The page can't be made. The message is what dbt said."""


def write(project: Path, snapshot: Path, folder: Path) -> Path:
    """Make `index.html` in the folder, in place of an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".docs-", dir=folder) as scratch:
        page = _generated(project, snapshot, Path(scratch)).read_text(encoding="utf-8")
        guard = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        guarded = Path(scratch) / "index.html"
        guarded.write_text(page.replace("<head>", f"<head>{guard}", 1), encoding="utf-8")
        return guarded.replace(folder / "index.html")


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Serves the folder to this machine only; the caller lets it run."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(folder)))


def _generated(project: Path, snapshot: Path, scratch: Path) -> Path:
    shell = scratch / f"{CATALOG}.duckdb"
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH {quoted(str(snapshot))} AS published (READ_ONLY)")
        connection.execute(f"ATTACH {quoted(str(shell))} AS {CATALOG}")
        connection.execute(f"COPY FROM DATABASE published TO {CATALOG} (SCHEMA)")
    environment = os.environ | {
        "TAJDID_STAGE_FILE": str(shell),
        "DBT_TARGET_PATH": str(scratch / "target"),
        "DBT_LOG_PATH": str(scratch / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
    dbt = str(Path(sys.executable).with_name("dbt"))
    command = [dbt, "--quiet", "docs", "generate", "--static"]
    command += ["--project-dir", str(project), "--profiles-dir", str(project)]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    page = scratch / "target" / "static_index.html"
    if done.returncode != 0 or not page.is_file():
        raise DocsError(f"dbt made no documentation:\n{done.stdout}{done.stderr}".strip())
    return page
