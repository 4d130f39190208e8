"""The editor of the workbench: CodeMirror, with the names of tables and columns to complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.workbench.rules import functions

FOLDER = Path(__file__).with_name("editor")


@dataclass(frozen=True)
class Typed:
    """What stands in the editor, and whether the reader asked to run it from there."""

    text: str
    is_run: bool


@cache
def _component() -> Any:
    bundle = (FOLDER / "editor.bundle.js").read_text(encoding="utf-8")
    # A constant of ours: nothing of it comes from data.
    return st.components.v2.component(
        "tajdid-sql-editor",
        html='<div class="tj-editor" dir="ltr"></div>',
        css=".tj-editor { direction: ltr; text-align: left; padding: 3px; }",
        js=bundle,
    )


def editor(
    text: str, version: int, tables: Sequence[Mapping[str, Any]], *, label: str, hint: str, key: str
) -> Typed:
    """The editor with `text` in it; a new `version` puts the text there in place of what was typed.

    `tables` have schema, name, info and columns (name, type, info).
    """
    catalogue = hashlib.sha256(json.dumps(list(tables)).encode()).hexdigest()
    shown = {
        "text": text,
        "version": version,
        "catalogue": catalogue,
        "tables": list(tables),
        "functions": sorted(name for name in functions() if name.isidentifier()),
        "label": label,
        "hint": hint,
    }
    got = _component()(
        data=shown,
        key=key,
        default={"text": {"text": text, "version": version}},
        on_text_change=lambda: None,
        on_run_change=lambda: None,
    )
    if got.run is not None and got.run["version"] == version:
        return Typed(str(got.run["text"]), is_run=True)
    typed = got.text
    if typed is not None and typed["version"] == version:
        return Typed(str(typed["text"]), is_run=False)
    return Typed(text, is_run=False)
