"""How the dashboard's server is started: one command, given the workspace, a port and an address."""

from __future__ import annotations

import os
import sys
from pathlib import Path

APP = Path(__file__).parent / "app.py"


def command(home: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the companies in `home` at `address`:`port` until it is ended.

    Its settings lie beside the app, in .streamlit/config.toml.
    """
    return [sys.executable, "-m", "dashboard.serve", str(home), str(port), address]


def main(home: str, port: str, address: str) -> None:
    """Become the server: this process is replaced, so that ending it ends the server."""
    os.environ["TAJDID_HOME"] = home
    os.environ["DO_NOT_TRACK"] = "1"
    streamlit = [sys.executable, "-m", "streamlit", "run", str(APP)]
    settings = [f"--server.port={port}", f"--server.address={address}"]
    os.execv(sys.executable, streamlit + settings)


if __name__ == "__main__":
    main(*sys.argv[1:4])
