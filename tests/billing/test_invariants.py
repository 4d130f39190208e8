"""The list of what always holds names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \| .+ \| (.+) \|$", re.MULTILINE)


def test_each_of_the_30_invariants_names_tests_that_are_there() -> None:
    rows = ROW.findall((ROOT / "docs/invariants.md").read_text())
    assert [int(number) for number, _ in rows] == list(range(1, 31))
    source = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"^def (test_\w+)", source, re.MULTILINE))
    for number, tests in rows:
        named = re.findall(r"`(\w+)`", tests)
        assert named, number
        assert [name for name in named if name not in known] == []
