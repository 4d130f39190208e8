"""What Streamlit does with the text of a screen by itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dashboard

SCREENS = sorted((Path(dashboard.__file__).parent / "screens").glob("*.py"))


@pytest.mark.parametrize("screen", SCREENS, ids=lambda path: path.stem)
def test_a_screen_has_no_loose_value_that_would_be_written_on_the_page(screen: Path) -> None:
    body = ast.parse(screen.read_text(encoding="utf-8")).body
    shown = [node for node in body[1:] if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)]
    assert [ast.unparse(node) for node in shown] == []
