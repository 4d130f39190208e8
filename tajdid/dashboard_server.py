"""The dashboard's server with the billing engine handed over: what `tajdid dashboard` and `demo` start.

It is the server of `dashboard.serve`, in a process that says before how the engine of a company is made.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dashboard import engine, serve


def command(home: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the companies in `home`, with their engines."""
    return [sys.executable, "-m", "tajdid.dashboard_server", str(home), str(port), address]


def main(home: str, port: str, address: str) -> None:
    """Hand the engine over and serve until the process is ended."""
    from tajdid.engine.company import company_engine

    engine.provide(company_engine)
    serve.main(home, port, address)


if __name__ == "__main__":
    main(*sys.argv[1:4])
