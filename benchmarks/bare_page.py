"""A page as bare as can be: the same widgets as one of the dashboard's, with constants for data.

It is written from what the page drew: each widget, text, table and chart becomes one call that is given what
the reader saw. No company is looked up, no filter read, nothing formatted or drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamlit.proto.Element_pb2 import Element as ElementProto
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Node

HEAD = """import gc

import plotly.graph_objects as go
import plotly.io
import streamlit as st

st.set_page_config(layout="wide")


@st.cache_resource
def figure(spec):
    return plotly.io.from_json(spec, skip_invalid=True)


@st.cache_resource
def warm_up():
    gc.collect()
    gc.freeze()


def page():
"""
FREEZE = """
    warm_up()
"""
TAIL = """

def other():
    st.text("other")


HERE, OTHER = st.Page(page, url_path="here", default=True), st.Page(other, url_path="other")
st.navigation([HERE, OTHER], position="hidden").run()
"""


def write(app: AppTest, path: Path, freezes: bool = False) -> int:
    """Write the bare page of what `app` shows; gives how many elements it has.

    With `freezes` what is loaded is taken out of each collection, as the dashboard does it.
    """
    lines: list[str] = []
    count = 0
    for root, opening in ((app._tree.children.get(1), "with st.sidebar:"), (app._tree.children.get(0), "")):
        if root is None or not getattr(root, "children", None):
            continue
        body = list(_calls(root, 2 if opening else 1, [count]))
        count += len(body)
        lines += ([f"    {opening}"] if opening else []) + body
    path.write_text(HEAD + "\n".join(lines) + (FREEZE if freezes else "") + "\n" + TAIL, encoding="utf-8")
    return count


def _calls(block: Any, depth: int, number: list[int]) -> Iterator[str]:
    """The lines that draw what a block holds, indented by depth."""
    space = "    " * depth
    for child in block.children.values():
        number[0] += 1
        if isinstance(child, Block):
            yield from _block(child, depth, number)
        else:
            yield space + _call(child, f"{depth}-{number[0]}")


def _block(block: Block, depth: int, number: list[int]) -> Iterator[str]:
    space, kind = "    " * depth, type(block.proto).__name__
    inner = list(_calls(block, depth + 1, number)) or [f"{space}    pass"]
    key = f"{depth}-{number[0]}"
    opened = {
        "FlexContainer": "st.container(horizontal=True)",
        "Expandable": "st.expander('More')",
        "Popover": f"st.popover('More', key='p{key}', on_change='rerun')",
    }.get(kind, "st.container()")
    yield f"{space}with {opened}:"
    yield from inner


def _call(node: Node, key: str) -> str:
    """One element as a call."""
    kind, proto = str(getattr(node, "type", "")), node.proto
    if isinstance(proto, ElementProto):
        kind = str(proto.WhichOneof("type"))
        proto = getattr(proto, kind)
    fields = {field.name for field in proto.DESCRIPTOR.fields}

    def text(name: str, other: str = "x") -> str:
        return repr(str(getattr(proto, name)) if name in fields else other)

    if kind in ("html",):
        return f"st.html({text('body')})"
    if "spec" in fields:
        return f"st.plotly_chart(figure({text('spec')}), theme=None, key='c{key}')"
    if kind == "metric":
        delta = text("delta") if proto.delta else "None"
        return f"st.metric({text('label')}, {text('body')}, {delta}, help={text('help')} or None)"
    if "options" in fields and "label" in fields and list(proto.options):
        options = [getattr(one, "content", one) for one in proto.options]
        plain = json.dumps([str(one) for one in options], ensure_ascii=False)
        widget = "selectbox" if kind == "selectbox" else "segmented_control"
        return f"st.{widget}({text('label')}, {plain}, key='o{key}')"
    if kind in ("button", "download_button"):
        return f"st.{kind}({text('label')}{', data=b' + repr('x') if kind != 'button' else ''}, key='b{key}')"
    if kind == "page_link":
        return f"st.page_link(OTHER, label={text('label')}, query_params={{'company': 'x', 'lang': 'en'}})"
    if kind in ("checkbox", "toggle"):
        return f"st.toggle({text('label')}, key='t{key}')"
    if kind == "code" or "code_text" in fields:
        return f"st.code({text('code_text')})"
    if kind in ("title", "header", "subheader", "heading"):
        return f"st.{'subheader' if kind == 'heading' else kind}({text('body')}, anchor=False)"
    if "body" in fields:
        shown = {"caption": "caption", "text": "text", "alert": "info"}.get(kind, "markdown")
        return f"st.{shown}({text('body')})"
    if "label" in fields and "id" in fields:
        return f"st.text_input({text('label')}, key='i{key}')"
    return "st.text('x')"
