"""Every statement whose answer a user sees, a module a subject. Nothing else in the dashboard holds SQL.

A statement names its tables in full (`warehouse.marts.…`), takes its values as `$name`, and reads aggregates
or a keyed and limited set of rows. Amounts leave it as the warehouse holds them: minor units, never divided
here.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

SUMS = "_sums"
"""The end of the name of a statement that adds up the rows of another."""


@dataclass(frozen=True)
class Query:
    """A named statement.

    `metric` is the id in the metric registry of the figure it answers, if it answers one.
    """

    name: str
    sql: str
    metric: str | None = None

    def stamped(self, build_id: str) -> str:
        """The statement as it is run: with what it is and whose data it read, as a comment."""
        return (
            f"-- tajdid query={self.name} metric={self.metric or '-'} build={build_id}\n{self.sql.strip()}\n"
        )

    def readable(self, build_id: str, values: Mapping[str, object]) -> str:
        """The statement with its values written in, to be copied and run as it stands."""
        used = {name: value for name, value in values.items() if re.search(rf"\${name}\b", self.sql)}
        shown = self.stamped(build_id)
        for name, value in used.items():
            shown = re.sub(rf"\${name}\b", _literal(value).replace("\\", r"\\"), shown)
        return shown

    def parameters(self, values: Mapping[str, object]) -> dict[str, object]:
        """Those of `values` that the statement asks for."""
        return {name: value for name, value in values.items() if re.search(rf"\${name}\b", self.sql)}


@cache
def named() -> Mapping[str, Query]:
    """Every statement of the dashboard by its name; what an address may ask for."""
    return {one.name: one for subject in subjects() for one in _of(subject)}


def subjects() -> list[str]:
    """What statements speak of: the names of the modules here."""
    return [part.name for part in pkgutil.iter_modules(__path__)]


def _of(subject: str) -> list[Query]:
    module = importlib.import_module(f"{__name__}.{subject}")
    return [one for one in vars(module).values() if isinstance(one, Query)]


@cache
def _subject_by_name() -> Mapping[str, str]:
    return {one.name: subject for subject in subjects() for one in _of(subject)}


def subject_of(name: str) -> str | None:
    """What the statement of that name speaks of, also where it is one of the sums of its rows."""
    return _subject_by_name().get(name.removesuffix(SUMS))


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return "'" + str(value).replace("'", "''") + "'"
