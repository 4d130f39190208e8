"""The address is where a view is kept: company, language, filters and the rows on screen are its parameters.

Copying the address shares the view. Widgets only write to it; what a page shows is read from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import streamlit as st

# What a reader takes along from page to page. The rest belongs to one page.
CARRIED = ("company", "lang", "month", "compare", "segment", "currency")
Option = TypeVar("Option")


def read(name: str) -> str | None:
    """A parameter of the address; None when it is absent or empty."""
    return st.query_params.get(name) or None


def write(name: str, value: str | None) -> None:
    """Set a parameter of the address, or take it away."""
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value


def carried() -> dict[str, str]:
    """The parameters that a link to another page takes along."""
    return {name: value for name in CARRIED if (value := read(name)) is not None}


def all_but(*kept: str) -> list[str]:
    """The parameters the address has besides `kept`."""
    return [name for name in st.query_params if name not in kept]


def clear(names: Iterable[str]) -> None:
    for name in names:
        write(name, None)


def chosen(
    name: str, options: Sequence[Option], default: Option, code: Callable[[Option], str] = str
) -> Option:
    """The option the address names; the default where it names none of them."""
    wanted = read(name)
    return next((option for option in options if code(option) == wanted), default)


def choice(
    name: str,
    label: str,
    options: Sequence[Option],
    default: Option,
    shown: Callable[[Option], str],
    *,
    code: Callable[[Option], str] = str,
    resets: Sequence[str] = (),
    as_buttons: bool = False,
) -> Option:
    """A choice that lives in the address under `name`; `code` is how an option is written there.

    Choosing takes away the parameters named in `resets`, which would speak of the former choice.
    """
    selected = chosen(name, options, default, code)
    codes = {code(option): option for option in options}
    key = f"choice-{name}"
    st.session_state[key] = code(selected)

    def changed() -> None:
        picked = st.session_state[key]
        write(name, None if picked is None or picked == code(default) else picked)
        clear(resets)

    show = [shown(option) for option in options]
    labels = dict(zip(codes, show, strict=True))
    if as_buttons:
        st.segmented_control(
            label, list(codes), key=key, format_func=labels.__getitem__, on_change=changed, required=True
        )
    else:
        st.selectbox(label, list(codes), key=key, format_func=labels.__getitem__, on_change=changed)
    return selected
