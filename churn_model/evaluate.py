"""`tajdid churn evaluate`: run the protocol on data it has never seen, and hold it against the gates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from threadpoolctl import threadpool_limits

from churn_model import report
from churn_model.description import Description, DescriptionError, read_description
from churn_model.flat import evaluate_flat
from churn_model.result import Result, TooLittleData, held, write
from churn_model.survival import evaluate_survival

Say = Callable[[str], None]
EvaluateEvents = Callable[[Description, Say], Result]
"""What judges kind `events`: given by the front door, which knows the throw-away warehouse it needs."""
FAILED, WRONG_FORM, TOO_LITTLE = 1, 2, 4


def evaluate_file(
    path: Path, out: Path, say: Say = print, evaluate_events: EvaluateEvents | None = None
) -> int:
    """Evaluate what a description describes; metrics.json, predictions.parquet and the report go to a folder.

    Exit code: 0 done, 1 a gate failed, 2 the description or its file cannot be followed or the folder not
    written, 4 refused for too little data; each but 0 is told in plain sentences. Runs on one thread, so that
    the same data, settings and seed give the same bytes.
    """
    try:
        description = read_description(path)
        with threadpool_limits(limits=1):
            result = _evaluated(description, say, evaluate_events)
    except DescriptionError as error:
        say(str(error))
        return WRONG_FORM
    except TooLittleData as error:
        say(f"Refused: too little data. {error}")
        return TOO_LITTLE
    gates = held(result, description.gates)
    try:
        write(out, result, gates)
        report.write(out, result.document)
    except OSError as error:
        say(f"{out} cannot be written: {error.strerror or error}")
        return WRONG_FORM
    say(f"{description.file.name}: champion {result.document['champion']}, {result.document['headline']}")
    for one in gates:
        bound = f"{one.gate.metric}{f' on {one.gate.split}' if one.gate.split else ''}"
        value = "not computed" if one.value is None else f"{one.value:.4f}"
        say(f"gate {bound} {one.gate.bound:g}: {value}, {'holds' if one.holds else 'FAILS'}")
    return 0 if all(one.holds for one in gates) else FAILED


def _evaluated(description: Description, say: Say, evaluate_events: EvaluateEvents | None) -> Result:
    if description.kind == "flat":
        return evaluate_flat(description, say)
    if description.kind == "survival":
        return evaluate_survival(description, say)
    if evaluate_events is None:
        raise DescriptionError(
            f"{description.path}: kind events needs the warehouse, which is not given here"
        )
    return evaluate_events(description, say)
