"""How long the term of a contract runs when pauses lengthen it."""

from collections.abc import Iterable
from datetime import date


def extended_end(start: date, agreed_end: date, pauses: Iterable[tuple[date, date]]) -> date:
    """The end of a term that is longer by the days paused in it: a pause that begins before the end, as it
    then is, moves it by its days. pauses: half-open; time paused before the start does not count."""
    end, counted = agreed_end, start
    for first, last in sorted(pauses):
        first = max(first, counted)
        if first >= end:
            break
        if last > first:
            end += last - first
            counted = last
    return end
