"""`tajdid conformance analytics FILE…`: worked cases of metrics through the production models.

A case is answered by its kind and the shape of what is given, never by its id, title or source. It ends as
pass (every expected value compared), fail (path, expected, got) or unsupported (the word that is not known).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import typer

from pipelines.compiled import Model
from tajdid.conformance.analytics_kinds import KINDS, Case, Exactly
from tajdid.conformance.analytics_models import ModelsError, cache_folder, compiled_models
from tajdid.conformance.analytics_world import World
from tajdid.conformance.billing_form import Unsupported

FORM = "analytics-cases/1"
_CASE_KEYS = frozenset(
    [
        "id",
        "kind",
        "title",
        "given",
        "expect",
        "policy",
        "alternatives",
        "weight",
        "tolerance",
        "figures",
        "source",
        "note",
    ]
)
Result = Literal["pass", "fail", "unsupported"]


@dataclass(frozen=True)
class CaseResult:
    """How one case ended. `weight` 0: shown and not counted."""

    id: str
    kind: str
    title: str
    weight: int
    result: Result
    reason: str = ""


class Mismatch(Exception):
    """An answer that differs from the expected one. The message holds the path and both."""


def run(paths: Sequence[Path], as_json: bool = False, cache: Path | None = None) -> int:
    """Run all cases of the files, print the outcome, and answer the exit code.

    0: nothing failed. 1: a case failed. 2: nothing was run: a file of another form, or broken models.
    """
    files = []
    for path in paths:
        try:
            files.append(_read(path))
        except ValueError as error:
            typer.echo(f"{path}: {error}", err=True)
            return 2
    try:
        models = compiled_models(cache or cache_folder())
    except ModelsError as error:
        typer.echo(str(error), err=True)
        return 2
    results = [run_case(case, models) for cases in files for case in cases]
    typer.echo(_as_json(results) if as_json else _as_text(results))
    counts = Counter(result.result for result in results if result.weight)
    typer.echo(f"{counts['pass']} passed, {counts['fail']} failed, {counts['unsupported']} unsupported")
    return 1 if counts["fail"] else 0


def _read(path: Path) -> list[Any]:
    """The cases of a file, decimals exact. Raises ValueError for anything but the form."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"no JSON file: {error}") from None
    form = content.get("form") if isinstance(content, dict) else None
    if form != FORM:
        raise ValueError(f"the form is {form!r}; this command reads {FORM!r}")
    cases = content.get("cases")
    if not isinstance(cases, list):
        raise ValueError("'cases' is no list")
    return cases


def run_case(case: Any, models: tuple[Model, ...]) -> CaseResult:
    """One case with its alternatives: it fails if one of them does."""
    if not isinstance(case, dict):
        return CaseResult("", "", "", 1, "unsupported", "a case is no object")
    alternatives = case.get("alternatives", [])
    variants = [case]
    if isinstance(alternatives, list):
        variants += [_alternative(case, change) for change in alternatives]
    outcomes = [_outcome(variant, models) for variant in variants]
    worst = min(outcomes, key=lambda outcome: ("fail", "unsupported", "pass").index(outcome[0]))
    return CaseResult(
        str(case.get("id", "")),
        str(case.get("kind", "")),
        str(case.get("title", "")),
        0 if str(case.get("weight", 1)) == "0" else 1,
        *worst,
    )


def _alternative(case: Mapping[str, Any], change: Any) -> dict[str, Any]:
    if not isinstance(change, dict) or not {"policy", "expect"} >= set(change):
        return {**case, "kind": "an alternative with other fields than policy and expect"}
    policy = {**(case.get("policy") or {}), **(change.get("policy") or {})}
    return {**case, "policy": policy, "expect": change.get("expect")}


def _outcome(case: Mapping[str, Any], models: tuple[Model, ...]) -> tuple[Result, str]:
    try:
        unknown = sorted(set(case) - _CASE_KEYS)
        if unknown:
            raise Unsupported(f"unknown {', '.join(repr(key) for key in unknown)}")
        kind = str(case.get("kind"))
        if kind not in KINDS:
            raise Unsupported(f"kind {kind!r}")
        expect = case.get("expect")
        policy = case.get("policy") or {}
        if not isinstance(expect, dict) or not expect:
            raise Unsupported("nothing is expected")
        if not isinstance(policy, dict):
            raise Unsupported("policy is no object")
        given = Case(case.get("given"), "given")
        answer = KINDS[kind](given, expect, World(models, policy))
        given.done()
        compare(expect, answer, Fraction(case.get("tolerance", 0)), "expect")
    except Mismatch as mismatch:
        return "fail", str(mismatch)
    except Unsupported as reason:
        return "unsupported", str(reason)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError) as error:
        return "unsupported", f"cannot be read: {type(error).__name__}: {error}"
    return "pass", ""


def compare(expected: Any, got: Any, tolerance: Fraction, path: str) -> None:
    """Raise Mismatch unless every expected value is there. Null equals only null."""
    if isinstance(expected, dict):
        if not isinstance(got, Mapping):
            raise Mismatch(_told(path, expected, got))
        for key, value in expected.items():
            if key not in got and not isinstance(got, Exactly):
                raise Unsupported(f"{path}.{key}")
            nothing = Exactly() if isinstance(value, dict) else 0
            compare(value, got.get(key, nothing), tolerance, f"{path}.{key}")
        if isinstance(got, Exactly):
            for key in set(got) - set(expected):
                compare({} if isinstance(got[key], Mapping) else 0, got[key], tolerance, f"{path}.{key}")
    elif isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            raise Mismatch(_told(path, expected, got))
        for number, (one, other) in enumerate(zip(expected, got, strict=True)):
            compare(one, other, tolerance, f"{path}[{number}]")
    elif isinstance(expected, int | Decimal) and not isinstance(expected, bool):
        if not isinstance(got, int | Fraction) or isinstance(got, bool):
            raise Mismatch(_told(path, expected, got))
        if abs(Fraction(expected) - got) > tolerance:
            raise Mismatch(_told(path, expected, got))
    elif expected != got:
        raise Mismatch(_told(path, expected, got))


def _told(path: str, expected: object, got: object) -> str:
    return f"{path}: expected {_plain(expected)}, got {_plain(got)}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_plain(one) for one in value) + "]"
    if isinstance(value, Fraction):
        return f"{float(value):.6g}"
    return str(value)


def _as_json(results: Sequence[CaseResult]) -> str:
    return json.dumps(
        {
            "form": FORM,
            "cases": [
                {
                    "id": result.id,
                    "kind": result.kind,
                    "title": result.title,
                    "weight": result.weight,
                    "result": result.result,
                    **({"reason": result.reason} if result.reason else {}),
                }
                for result in results
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


def _as_text(results: Sequence[CaseResult]) -> str:
    lines = []
    for result in results:
        uncounted = "" if result.weight else " (not counted)"
        lines.append(f"{result.result:11}  {result.id}  {result.kind:14}  {result.title}{uncounted}")
        if result.reason:
            lines.append(f"             {result.reason}")
    return "\n".join([*lines, ""])
