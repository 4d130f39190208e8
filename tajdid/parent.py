"""Ends a process once whoever started it is gone, also when that was killed and could end nobody."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOKS_EACH_SECONDS = 0.5
GRACE_SECONDS = 15.0
"""How long a process may take to end before it is killed."""


def end_after(parent: int) -> None:
    """Let this process be told to end (SIGTERM) when its parent is another than this one."""
    threading.Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOKS_EACH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
