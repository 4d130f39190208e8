"""Work in processes of its own, killed at any moment and started again.

TAJDID_FAULT_KILLS says how often work is killed before it may end (`make test-faults`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable

KILLS = int(os.environ.get("TAJDID_FAULT_KILLS", "4"))


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    """A process that has read its code, said `ready`, and goes to work."""
    child = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def kill_until_done(script: str, *arguments: object, check: Callable[[], None]) -> bool:
    """Start a script and kill it, as often as is asked or until it ends; `check` what it left each time.
    Whether it ended by itself."""
    draw, longest, kills = random.Random(1), 2.0, 0
    while kills < KILLS:
        child = start(script, *arguments)
        try:
            child.wait(draw.uniform(0, longest))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        code = child.wait()
        check()
        if code != -signal.SIGKILL:
            assert code == 0
            assert kills > 0, "it was over before it could be killed"
            return True
        kills += 1
        longest = max(longest * 0.9, 0.2)
    return False
