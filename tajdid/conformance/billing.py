"""`tajdid conformance billing FILE…`: worked billing cases through the engine.

A case is answered by its kind and the shape of what is given, never by its id, title or source. It ends as
pass (every expected value compared), fail (path, expected, got) or unsupported (what is missing).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer

from billing.core.money import BillingError
from billing.core.policy import ALLOWED_VALUES
from tajdid.conformance.billing_form import FORM, Mismatch, Unsupported, compare
from tajdid.conformance.billing_kinds import KINDS, PRICE_KEYS
from tajdid.conformance.billing_scenarios import scenario

Answer = Callable[[Any, Mapping[str, Any]], Any]
ANSWERS: Mapping[str, Answer] = {**KINDS, "scenario": scenario}

_CASE_KEYS = frozenset(
    [
        "id",
        "title",
        "kind",
        "features",
        "currency",
        "convention",
        "weight",
        "given",
        "expect",
        "derive",
        "disagreement",
        "note",
        "source",
    ]
)
Result = Literal["pass", "fail", "unsupported"]


@dataclass(frozen=True)
class CaseResult:
    """How one case ended. `weight` 0: shown and not counted."""

    id: str
    kind: str
    features: tuple[str, ...]
    weight: int
    result: Result
    reason: str = ""


def run(paths: Sequence[Path], as_json: bool = False, strict: bool = False) -> int:
    """Run all cases of the files, print the outcome, and answer the exit code.

    0: nothing failed. 1: a case failed. 2: a file of another form, nothing was run. 3: strict, and a case is
    unsupported.
    """
    files = []
    for path in paths:
        try:
            files.append(_read(path))
        except ValueError as error:
            typer.echo(f"{path}: {error}", err=True)
            return 2
    results = [run_case(case) for cases in files for case in cases]
    typer.echo(_as_json(results) if as_json else _as_text(results))
    counts = Counter(result.result for result in results if result.weight)
    typer.echo(f"{counts['pass']} passed, {counts['fail']} failed, {counts['unsupported']} unsupported")
    if counts["fail"]:
        return 1
    return 3 if strict and counts["unsupported"] else 0


def _read(path: Path) -> list[Any]:
    """The cases of a file. Raises ValueError for anything but the form."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=str)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"no JSON file: {error}") from None
    form = content.get("form") if isinstance(content, dict) else None
    if form != FORM:
        raise ValueError(f"the form is {form!r}; this command reads {FORM!r}")
    cases = content.get("cases")
    if not isinstance(cases, list):
        raise ValueError("'cases' is no list")
    return cases


def run_case(case: Any) -> CaseResult:
    """One case with its alternatives: it fails if one of them does."""
    if not isinstance(case, dict):
        return CaseResult("", "", (), 1, "unsupported", "a case is no object")
    features = case.get("features")
    outcomes = [_outcome(variant) for variant in _variants(case)]
    worst = min(outcomes, key=lambda outcome: ("fail", "unsupported", "pass").index(outcome[0]))
    return CaseResult(
        str(case.get("id", "")),
        str(case.get("kind", "")),
        tuple(str(feature) for feature in features) if isinstance(features, list) else (),
        0 if str(case.get("weight", 1)) == "0" else 1,
        *worst,
    )


def _outcome(case: Mapping[str, Any]) -> tuple[Result, str]:
    try:
        if "unsupported" in case:
            raise Unsupported(str(case["unsupported"]))
        unknown = sorted(set(case) - _CASE_KEYS)
        if unknown:
            raise Unsupported(f"unknown {', '.join(repr(key) for key in unknown)}")
        kind = str(case.get("kind"))
        if kind not in ANSWERS:
            raise Unsupported(f"kind {kind!r}")
        expect = case.get("expect")
        if not isinstance(expect, dict) or not expect:
            raise Unsupported("nothing is expected")
        compare(expect, ANSWERS[kind](case, expect))
    except Mismatch as mismatch:
        return "fail", str(mismatch)
    except Unsupported as reason:
        return "unsupported", str(reason)
    except BillingError as refusal:
        return "unsupported", f"the engine refuses: {refusal}"
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError) as error:
        return "unsupported", f"cannot be read: {type(error).__name__}: {error}"
    except Exception as error:  # whatever the engine did not foresee is its failure, and no end of the run
        return "fail", f"the engine stopped: {type(error).__name__}: {error}"
    return "pass", ""


def _variants(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The case itself, then each alternative as a case of its own."""
    main = deepcopy(dict(case))
    expect = main.get("expect")
    alternatives = expect.pop("alternatives", []) if isinstance(expect, dict) else []
    return [main, *(_alternative(main, change) for change in alternatives)]


def _alternative(main: Mapping[str, Any], change: Any) -> dict[str, Any]:
    variant = deepcopy(dict(main))
    expect = dict(change)
    for key, value in expect.pop("set", {}).items():
        target = _level_of(variant, key)
        if target is None:
            return {"unsupported": f"alternative sets unknown {key!r}"}
        target[key] = value
    variant["expect"] = expect
    return variant


def _level_of(case: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """Where a key of an alternative belongs: where it already is, else where it may be."""
    given: dict[str, Any] = case["given"]
    convention: dict[str, Any] = case["convention"]
    price = given.get("price")
    if isinstance(price, dict) and key in price:
        return price
    if key in given:
        return given
    if key in convention or key in ALLOWED_VALUES or key in ("proration", "grace_days", "horizon_months"):
        return convention
    return price if isinstance(price, dict) and key in PRICE_KEYS else None


def _as_json(results: Sequence[CaseResult]) -> str:
    document = {
        "form": FORM,
        "cases": [
            {
                "id": result.id,
                "kind": result.kind,
                "weight": result.weight,
                "result": result.result,
                **({"reason": result.reason} if result.reason else {}),
            }
            for result in results
        ],
        "kinds": _counts(results, lambda result: (result.kind,)),
        "features": _counts(results, lambda result: result.features),
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _as_text(results: Sequence[CaseResult]) -> str:
    lines = []
    for result in results:
        uncounted = "" if result.weight else " (not counted)"
        lines.append(f"{result.result:11}  {result.id}  {result.kind}{uncounted}")
        if result.reason:
            lines.append(f"             {result.reason}")
    for title, counts in (
        ("kind", _counts(results, lambda result: (result.kind,))),
        ("feature", _counts(results, lambda result: result.features)),
    ):
        lines += ["", f"{title:34} pass  fail  unsupported"]
        lines += [
            f"{name:34} {count['pass']:4}  {count['fail']:4}  {count['unsupported']:11}"
            for name, count in counts.items()
        ]
    return "\n".join([*lines, ""])


def _counts(
    results: Sequence[CaseResult], names: Callable[[CaseResult], tuple[str, ...]]
) -> dict[str, dict[str, int]]:
    tally: Counter[tuple[str, str]] = Counter(
        (name, result.result) for result in results if result.weight for name in names(result)
    )
    return {
        name: {outcome: tally[name, outcome] for outcome in ("pass", "fail", "unsupported")}
        for name in sorted({name for name, _ in tally})
    }
