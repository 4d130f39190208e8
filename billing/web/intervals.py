"""How often something comes, in words."""

from __future__ import annotations

from billing.core.calendar import parse_interval
from billing.web.languages import Words


def every(words: Words, interval: str) -> str:
    """How often: `P1M` is "every month"."""
    length = parse_interval(interval)
    ngettext = words.ngettext
    if length.months and length.months % 12 == 0:
        return _counted(ngettext("every year", "every {n} years", length.months // 12), length.months // 12)
    if length.months:
        return _counted(ngettext("every month", "every {n} months", length.months), length.months)
    if length.days % 7 == 0:
        return _counted(ngettext("every week", "every {n} weeks", length.days // 7), length.days // 7)
    return _counted(ngettext("every day", "every {n} days", length.days), length.days)


def _counted(text: str, n: int) -> str:
    return text.format(n=n)
