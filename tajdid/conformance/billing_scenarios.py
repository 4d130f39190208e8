"""Scenarios: chosen by the keys of what is given, answered by rules, or by a story told to the engine.

Lines of an invoice, invoices and credit notes are compared in any order. The days of invoices listed hold no
others, and an empty list means none at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tajdid.conformance.billing_documents import answer_of
from tajdid.conformance.billing_form import Mismatch, Unsupported, compare, same, shown
from tajdid.conformance.billing_several import consolidated, subscriptions
from tajdid.conformance.billing_story import tell


def scenario(case: Mapping[str, Any], expect: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's answer, its lists brought into the order of the expected ones."""
    given = case.get("given")
    if not isinstance(given, Mapping):
        raise Unsupported("given is no object")
    rule = answer_of(given)
    if rule is None and isinstance(given.get("cases"), list):
        return _each_case(case, expect)
    if rule is None:
        several = {"children": consolidated, "subscriptions": subscriptions}
        rule = next((told for key, told in several.items() if key in given), tell)
    answer = dict(rule(case, expect))
    for key in ("invoices", "credit_notes", "lines"):
        if key in expect and key in answer:
            answer[key] = matched(expect[key], answer[key], f"expect.{key}")
    return answer


def _each_case(case: Mapping[str, Any], expect: Mapping[str, Any]) -> dict[str, Any]:
    """One story for each of `cases`, with its fields beside those of all; answers are lists in that order."""
    shared = dict(case["given"])
    cases = shared.pop("cases")
    for key, answers in expect.items():
        if not isinstance(answers, list) or len(answers) != len(cases):
            raise Unsupported(f"expect.{key} is no list of {len(cases)}")
    told = [
        scenario({**case, "given": {**shared, **one}}, {key: answers[i] for key, answers in expect.items()})
        for i, one in enumerate(cases)
    ]
    return {key: [answer.get(key) for answer in told] for key in expect if all(key in one for one in told)}


def matched(expected: Any, got: Sequence[Any], path: str) -> list[Any]:
    """The answer's entries in the order of the expected ones, each used once.

    Entries on days (`at`) that are not listed are left out, unless nothing at all is expected or an expected
    entry names no day. Raises Mismatch for an entry that is missing or was not expected.
    """
    if not isinstance(expected, list):
        raise Unsupported(f"{path} is no list")
    listed = [entry.get("at") for entry in expected if isinstance(entry, Mapping)]
    if expected and all(listed):
        got = [entry for entry in got if any(same(at, entry.get("at", at)) for at in listed)]
    left = list(got)
    ordered = []
    for i, entry in enumerate(expected):
        chosen, reasons = None, []
        for candidate in left:
            attempt = _with_lines_matched(entry, candidate, f"{path}[{i}]")
            if isinstance(attempt, Mismatch):
                reasons.append(attempt)
                continue
            chosen = candidate
            ordered.append(attempt)
            break
        if chosen is None:
            if len(expected) == len(got) == 1 and reasons:
                raise reasons[0]
            raise Mismatch(f"{path}[{i}]", entry, shown(left))
        left.remove(chosen)
    if left:
        raise Mismatch(path, f"{len(expected)} entries", shown(left))
    return ordered


def _with_lines_matched(entry: Any, candidate: Any, path: str) -> Any:
    """The candidate with its lines in the expected order, or the Mismatch that rules it out."""
    if not isinstance(entry, Mapping) or not isinstance(candidate, Mapping):
        return Mismatch(path, entry, candidate)
    candidate = dict(candidate)
    try:
        if "lines" in entry and "lines" in candidate:
            lines = candidate["lines"]
            if entry.get("partial") is True:
                lines = _listed(entry["lines"], lines)
            candidate["lines"] = matched(entry["lines"], lines, f"{path}.lines")
        if "partial" in entry:
            candidate["partial"] = entry["partial"]
        compare(entry, candidate, path)
    except Mismatch as mismatch:
        return mismatch
    return candidate


def _listed(expected: Sequence[Any], lines: Sequence[Any]) -> list[Any]:
    """Of an invoice listed in part: for each expected line the first that fits it."""
    left, chosen = list(lines), []
    for entry in expected:
        for candidate in left:
            try:
                compare(entry, candidate)
            except Mismatch:
                continue
            chosen.append(candidate)
            left.remove(candidate)
            break
    return chosen
