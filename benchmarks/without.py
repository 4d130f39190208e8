"""The dashboard's server without one of the things that make it quick; dashboard_readers.py starts it.

`python benchmarks/without.py PART HOME PORT`: PART is "freeze" (what is loaded takes part in each collection)
or "kept" (no answer and no chart is kept).
"""

from __future__ import annotations

import gc
import sys

from dashboard import drawn, serve, snapshot
from dashboard.answers import Answers

LEFT_OUT = ("freeze", "kept")


def main(part: str, home: str, port: str) -> None:
    if part == "freeze":
        gc.freeze = lambda: None
    elif part == "kept":
        snapshot.Answers = lambda: Answers(limit=0)
        drawn.KEPT = 0
    else:
        sys.exit(f"{part} is none of {', '.join(LEFT_OUT)}")
    serve.main(home, port, "127.0.0.1")


if __name__ == "__main__":
    main(*sys.argv[1:])
