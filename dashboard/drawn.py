"""Charts drawn once for the same words and values.

Making a Plotly figure costs more than all else on a page, and most reruns show the same ones. A figure that
was given out is never changed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import ParamSpec

import plotly.graph_objects as go

KEPT = 400
Given = ParamSpec("Given")
_figures: OrderedDict[str, go.Figure] = OrderedDict()
_lock = threading.Lock()


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
