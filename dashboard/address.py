"""The address is where a view is kept: company, language, filters and the rows on screen are its parameters.

Copying the address shares the view. Widgets only write to it; what a page shows is read from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlencode

import streamlit as st

# What a reader takes along from page to page. The rest belongs to one page.
CARRIED = (
    *("company", "lang", "digits", "month", "compare", "segment", "currency"),
    *("trade", "country", "owner"),
)
OFFERED, FIRST = "offered-pages", "first-page"
Option = TypeVar("Option")
_run = threading.local()


@contextmanager
def read_once() -> Iterator[None]:
    """Within the block what this thread reads of the address is kept, until it writes.

    A page looks at the address for each of its links, and each look asks the session anew.
    """
    _run.named = None
    try:
        yield
    finally:
        del _run.named


def named() -> Mapping[str, str]:
    """The parameters of the address."""
    if not hasattr(_run, "named"):
        return dict(st.query_params)
    if _run.named is None:
        _run.named = dict(st.query_params)
    found: Mapping[str, str] = _run.named
    return found


def read(name: str) -> str | None:
    """A parameter of the address; None when it is absent or empty."""
    return named().get(name) or None


def write(name: str, value: str | None) -> None:
    """Set a parameter of the address, or take it away."""
    if hasattr(_run, "named"):
        _run.named = None
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value


def carried() -> dict[str, str]:
    """The parameters that a link to another page takes along."""
    there = named()
    return {name: there[name] for name in CARRIED if there.get(name)}


def offer(pages: Mapping[str, str], first: str | None = None) -> None:
    """Keep which pages this reader has: the name of each, and its path in the address; and the first one."""
    st.session_state[OFFERED], st.session_state[FIRST] = dict(pages), first


def offers(page: str) -> bool:
    """Whether this reader has the page of that name."""
    return page in st.session_state.get(OFFERED, {})


def is_first(page: str) -> bool:
    """Whether this reader begins with the page of that name."""
    return bool(st.session_state.get(FIRST) == page)


def to(page: str, **parameters: str) -> str:
    """The address of a page within the dashboard, relative to any other of its pages.

    It takes along what is carried from page to page; `parameters` come on top.
    """
    path = st.session_state.get(OFFERED, {}).get(page, page)
    taken = tuple((name, value) for name, value in carried().items() if name not in parameters)
    written = [part for part in (_written(taken), urlencode(parameters)) if part]
    return f"{path or './'}?{'&'.join(written)}"


@lru_cache(maxsize=1_000)
def _written(parameters: tuple[tuple[str, str], ...]) -> str:
    """Parameters as an address has them; those that are carried are the same in each link of a page."""
    return urlencode(parameters)


def all_but(*kept: str) -> list[str]:
    """The parameters the address has besides `kept`."""
    return [name for name in named() if name not in kept]


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
    found: Callable[[str], str | None] | None = None,
) -> Option:
    """A choice that lives in the address under `name`; `code` is how an option is written there.

    Choosing takes away the parameters named in `resets`, which would speak of the former choice. Where there
    are more options than are listed, `found` gives the code of what a reader writes instead; None: no such.
    """
    selected = chosen(name, options, default, code)
    codes = {code(option): option for option in options}
    key = f"choice-{name}"
    st.session_state[key] = code(selected)

    def changed() -> None:
        picked = st.session_state[key]
        if found is not None and picked is not None and picked not in codes:
            picked = found(picked) or code(selected)
        write(name, None if picked is None or picked == code(default) else picked)
        clear(resets)

    show = [shown(option) for option in options]
    labels = dict(zip(codes, show, strict=True))
    if as_buttons:
        st.segmented_control(
            label, list(codes), key=key, format_func=labels.__getitem__, on_change=changed, required=True
        )
    else:
        st.selectbox(
            label,
            list(codes),
            key=key,
            format_func=lambda one: labels.get(one, one),
            on_change=changed,
            accept_new_options=found is not None,
        )
    return selected
