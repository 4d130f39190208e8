"""How the dashboard's server is started: one command, given the workspace, a port and an address.

Without sign-in everybody who reaches the server is the local reader, so it then listens to this machine only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

APP = Path(__file__).parent / "app.py"
THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


def command(home: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the companies in `home` at `address`:`port` until it is ended.

    Its settings lie beside the app, in .streamlit/config.toml.
    """
    return [sys.executable, "-m", "dashboard.serve", str(home), str(port), address]


def refusal(address: str) -> str | None:
    """Why the server may not listen at `address`; None when it may."""
    if address in THIS_MACHINE:
        return None
    return (
        f"The dashboard has no sign-in, so it is served on this machine only, not at {address}. "
        "Set up sign-in in dashboard.toml first (docs/people.md), or leave the address out."
    )


def main(home: str, port: str, address: str) -> None:
    """Become the server: this process is replaced, so that ending it ends the server."""
    why_not = refusal(address)
    if why_not:
        print(why_not, file=sys.stderr)
        raise SystemExit(2)
    os.environ["TAJDID_HOME"] = home
    os.environ["DO_NOT_TRACK"] = "1"
    streamlit = [sys.executable, "-m", "streamlit", "run", str(APP)]
    settings = [f"--server.port={port}", f"--server.address={address}"]
    os.execv(sys.executable, streamlit + settings)


if __name__ == "__main__":
    main(*sys.argv[1:4])
