"""The code of the product as trees."""

from __future__ import annotations

import ast
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """The tree of a file. Python 3.11 counts the depth of all threads' trees as one, so a parse beside that
    of another thread may fail; it is then tried again."""
    for _ in range(9):
        try:
            return ast.parse(path.read_text(encoding="utf-8"))
        except SystemError:
            continue
    return ast.parse(path.read_text(encoding="utf-8"))
