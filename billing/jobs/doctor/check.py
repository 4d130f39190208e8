"""What a check is, and the shapes that most checks have.

A check is a sentence that must hold, and the select that finds the rows that break it: their key, with
`found` and `wanted` where the row holds a value that another place knows too. Each is one statement, so the
database does the work and only what is broken comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    union_all,
)

from billing.store.store import Row, Store

Search = Callable[[Store, datetime], Iterator[Row]]
"""A check that needs a rule of the core: it reads page by page and yields the rows that break it."""


class Check(NamedTuple):
    """`table`: whose rows it names. `broken`: the key of each row that breaks the sentence, with `found` and
    `wanted`."""

    code: str
    table: str
    sentence: str
    broken: Select[Any] | Search


def spans(store: Store, column: Any, size: int) -> Iterator[dict[str, str]]:
    """Spans of an id column with so many ids each, in their order: `after`, and `until`, the last one."""
    of = select(column.label("id")).where(column > bindparam("after")).distinct()
    page, after = of.order_by(column).limit(bindparam("page", type_=Integer)), ""
    while (ids := store.frame(page, {"after": after, "page": size})).height:
        until = ids.item(-1, "id")
        yield {"after": after, "until": until}
        after = until


def in_span(column: Any) -> ColumnElement[bool]:
    """Whether an id lies in a span."""
    return and_(column > bindparam("after"), column <= bindparam("until"))


Parts = Select[Any] | Sequence[Select[Any]]


def unequal(found: Parts, wanted: Parts) -> Select[Any]:
    """Where two ways to one sum differ. Each part gives key columns, then an amount; a key that one side
    lacks counts as 0 there. The keys are named as by what is wanted."""
    return _compared(found, wanted, lambda left, right: left != right)


def above(found: Parts, wanted: Parts) -> Select[Any]:
    """Where one sum is larger than the other, which bounds it."""
    return _compared(found, wanted, lambda left, right: left > right)


def _compared(
    found: Parts, wanted: Parts, is_broken: Callable[[Any, Any], ColumnElement[bool]]
) -> Select[Any]:
    left, right = ([part] if isinstance(part, Select) else list(part) for part in (found, wanted))
    *named, _ = right[0].selected_columns
    names = [str(column.key) for column in named]
    sides = []
    for parts, is_found in ((left, True), (right, False)):
        for part in parts:
            *keys, amount = part.subquery().c
            amounts = (amount, literal(0)) if is_found else (literal(0), amount)
            by_name = [key.label(name) for key, name in zip(keys, names, strict=True)]
            sides.append(select(*by_name, amounts[0].label("left"), amounts[1].label("right")))
    both = union_all(*sides).subquery()
    by = [both.c[name] for name in names]
    total, bound = func.sum(both.c.left), func.sum(both.c.right)
    broken = select(*by, total.label("found"), bound.label("wanted")).group_by(*by)
    return broken.having(is_broken(total, bound))


def rows(
    table: Table,
    is_broken: ColumnElement[bool],
    found: Any = None,
    wanted: Any = None,
) -> Select[Any]:
    """The rows of one table that break a rule on their own columns."""
    return select(*table.primary_key, *_values(found, wanted)).where(is_broken)


def _values(found: Any, wanted: Any) -> Iterator[ColumnElement[Any]]:
    for name, value in (("found", found), ("wanted", wanted)):
        if value is not None:
            yield (value if isinstance(value, ColumnElement) else literal(value)).label(name)


def dangling(column: Any, target: Any, *where: ColumnElement[bool]) -> Select[Any]:
    """The rows whose column names a row that is not there; an empty text names none."""
    is_known = exists().where(target == column)
    return rows(column.table, column.is_not(None), column).where(column != "", ~is_known, *where)


def differs(left: Any, right: Any) -> ColumnElement[bool]:
    """Whether two values are not the same; null is a value."""
    is_other: ColumnElement[bool] = left.is_distinct_from(right)
    return is_other
