"""What is said of a question that was not answered, and of the kinds a value may have."""

from __future__ import annotations

from collections.abc import Callable

from dashboard.i18n import Text
from dashboard.workbench.pool import QUERIES_A_READER, SECONDS, Answer
from dashboard.workbench.rules import MOST_COLUMNS

KINDS = ("text", "whole", "number", "day", "instant", "yes_no", "nothing")
# What the engine says itself stands below the sentence.
WITH_DETAIL = frozenset({"not_sql", "sql", "form"})
LONGEST_NAME = 200


def told(text: Text, answer: Answer) -> str:
    """Why there is no answer, in a sentence of Markdown. Names from the statement stand in it as code: no
    link and no picture comes of them."""
    _ = text.gettext
    sentences = {
        "empty": _("Write a question first."),
        "too_long": _("This statement is too long, or too deeply nested, to be read."),
        "not_sql": _("This is no SQL that can be read:"),
        "many": _("One statement is answered at a time."),
        "not_select": _("Only SELECT, and EXPLAIN of a SELECT, are answered: nothing can be changed here."),
        "form": _("This form of statement is not answered here."),
        "function": _("The function {name} cannot be used here."),
        "table": _("There is no table {name} among those that can be asked: marts and churn."),
        "parameter": _("A parameter needs a name, such as $month."),
        "missing_value": _("The parameter {name} has no value yet."),
        "wrong_value": _("The value of {name} does not fit its kind."),
        "too_wide": _("An answer has {columns} columns at most. Name those you need."),
        "memory": _("This question needs more memory than one may take. Narrow it, or add up earlier."),
        "late": _("This question took longer than {seconds} seconds and was ended. Narrow it."),
        "stopped": _("The question was stopped."),
        "busy": _("You have {count} questions running. Wait for one of them, or stop it."),
        "sql": _("The question could not be answered:"),
        "unreadable": _("The figures cannot be read at the moment. Reload the page."),
        "ended": _("The process that answers questions ended and has been replaced. Ask again."),
        "not_recorded": _("The question could not be put on record, so its answer is not shown."),
    }
    known = sentences.get(answer.code, _("The question could not be answered."))
    name = " ".join(answer.detail[:LONGEST_NAME].replace("`", "'").split()) or "–"
    return known.format(
        name=f"`{name}`", seconds=round(SECONDS), count=QUERIES_A_READER, columns=MOST_COLUMNS
    )


def kind(text: Text) -> Callable[[str], str]:
    """What a value is."""
    _ = text.gettext
    words = {
        "text": _("Text"),
        "whole": _("Whole number"),
        "number": _("Decimal number"),
        "day": _("Day"),
        "instant": _("Instant"),
        "yes_no": _("Yes or no"),
        "nothing": _("No value"),
    }
    return words.__getitem__


def state(text: Text) -> Callable[[str | None], str]:
    """How a question ended."""
    _ = text.gettext
    words = {"answered": _("Answered"), "refused": _("Refused"), "failed": _("Not answered")}
    return lambda code: words.get(code or "", code or "–")
