"""The dashboard's server with the billing engine handed over: what `tajdid dashboard` and `demo` start.

It is the server of `dashboard.serve`, in a process that says before how the engine of a company is made.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dashboard import engine, serve
from tajdid.parent import end_after


def command(home: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the companies in `home`, with their engines. It ends with this process."""
    given = [str(home), str(port), address, str(os.getpid())]
    return [sys.executable, "-m", "tajdid.dashboard_server", *given]


def main(home: str, port: str, address: str, parent: str) -> None:
    """Hand the engine over and serve until the process is ended, or whoever started it is gone."""
    end_after(int(parent))
    from tajdid.engine.company import company_engine

    engine.provide(company_engine)
    serve.main(home, port, address)


if __name__ == "__main__":
    main(*sys.argv[1:5])
