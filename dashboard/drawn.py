"""Charts drawn once for the same words and values.

Making a Plotly figure costs more than all else on a page, and most reruns show the same ones. A figure that
was given out is never changed.
"""

from __future__ import annotations

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from types import FunctionType
from typing import Any, ParamSpec

import plotly.graph_objects as go

KEPT = 400
MARKUP = re.compile(r"<[^>]*>|&#?\w+;|[^<&]+|[<&]")
Given = ParamSpec("Given")
_figures: OrderedDict[str, go.Figure] = OrderedDict()
_lock = threading.Lock()


def in_digits(figure: go.Figure, written: Callable[[str], str]) -> dict[str, Any]:
    """The figure with the digits of its words and axes as `written` writes them; its numbers stay numbers."""
    content: dict[str, Any] = deepcopy(figure.to_dict())
    for trace in content["data"]:
        for part in ("x", "y", "text", "name"):
            if part in trace:
                trace[part] = _words(trace[part], written)
    layout = content["layout"]
    for name in [name for name in layout if name.startswith(("xaxis", "yaxis"))]:
        _axis(layout[name], name[0], content["data"], written)
    for note in layout.get("annotations", ()):
        note.update({part: _words(note[part], written) for part in ("text", "x") if part in note})
    for shape in layout.get("shapes", ()):
        shape.update({part: _words(shape[part], written) for part in ("x0", "x1") if part in shape})
    return content


def _words(value: Any, written: Callable[[str], str]) -> Any:
    """Words, alone or in lists of any depth; tags and marks of HTML are left as they are."""
    if isinstance(value, str):
        return MARKUP.sub(lambda part: part[0] if part[0][0] in "<&" else written(part[0]), value)
    if isinstance(value, list | tuple):
        return [_words(one, written) for one in value]
    return value


def _axis(axis: dict[str, Any], letter: str, data: list[Any], written: Callable[[str], str]) -> None:
    """An axis whose places are written out: of percentages too, which Plotly would write by itself."""
    if str(axis.get("tickformat", "")).endswith("%"):
        shown = [value for trace in data for value in trace.get(letter, ()) if isinstance(value, float | int)]
        low, high = min([0.0, *shown]), max([0.0, *shown])
        step = 0.25 if high - low > 0.5 else 0.1 if high - low > 0.2 else 0.02
        places = [place * step for place in range(math.floor(low / step), math.ceil(high / step) + 1)]
        axis.update(tickvals=places, ticktext=[f"{place:.0%}" for place in places])
        del axis["tickformat"]
    for part in ("tickvals", "ticktext"):
        if part in axis:
            axis[part] = _words(list(axis[part]), written)


def kept(draw: Callable[Given, go.Figure]) -> Callable[Given, go.Figure]:
    """The same function, which draws only what it has not drawn lately.

    Two calls are the same when all they are given is written the same; what is given has to say in its repr
    all that it is, as data classes and bound methods of theirs do. With a bare function it is drawn anew.
    """

    @wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> go.Figure:
        if any(isinstance(given, FunctionType) for given in (*args, *kwargs.values())):
            return draw(*args, **kwargs)
        key = repr((draw.__qualname__, args, kwargs))
        with _lock:
            if key in _figures:
                _figures.move_to_end(key)
                return _figures[key]
        figure = draw(*args, **kwargs)
        content = figure.to_dict()
        vars(figure)["to_dict"] = lambda: content  # ready to be sent, without a copy for each reader
        with _lock:
            _figures[key] = figure
            if len(_figures) > KEPT:
                _figures.popitem(last=False)
        return figure

    return drawn
