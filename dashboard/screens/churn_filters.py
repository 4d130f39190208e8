"""Which of the churn lists a reader looks at, by whom, of which customers, in which order."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import polars as pl

from dashboard import address, scope, words
from dashboard.queries import churn
from dashboard.records.actions import STATES
from dashboard.scope import ALL
from dashboard.screens import acting
from dashboard.view import Published, View

BANDS = (ALL, "high", "watch")
RANKINGS = ("value", "risk")
LISTS = ("now", "later", "leaving")


@dataclass(frozen=True)
class Chosen:
    """What the filters say; `ranking` is value (revenue at risk first) or risk (probability first)."""

    segment: str
    band: str
    ranking: str
    list_name: str
    currency: str
    owner: str
    state: str

    @property
    def values(self) -> dict[str, object]:
        return asdict(self)


def filters(view: View, published: Published, parts: pl.DataFrame) -> Chosen:
    """Draw the filters; the 90-day list begins with those at high risk, where there are any. `parts`: the
    lists and currencies there are."""
    _ = view.text.gettext
    place = ("listed", "customer")
    everything = ("rows", "page", *place)
    segments = [ALL, *published.rows(churn.SEGMENTS)["segment"].to_list()]
    currencies = parts["currency"].unique(maintain_order=True).to_list()
    lists = [name for name in LISTS if name in set(parts["list_name"])]
    names = {ALL: _("All"), "high": words.band(view.text)("high"), "watch": words.band(view.text)("watch")}
    with scope.filters(view):
        segment = scope.segment_choice(view, segments, everything) if len(segments) > 2 else ALL
        currency = currencies[0]
        if len(currencies) > 1:
            currency = address.choice("currency", _("Currency"), currencies, currency, str, resets=everything)
        list_name = lists[0]
        if len(lists) > 1:
            list_name = address.choice(
                "list",
                _("List"),
                lists,
                list_name,
                words.risk_list(view.text),
                resets=(*everything, "band"),
                as_buttons=True,
            )
        every = {"segment": ALL, "list_name": list_name, "currency": currency}
        has_high = published.rows(churn.SUMMARY, **every)["high"].item() > 0
        band = address.choice(
            "band",
            _("Risk"),
            BANDS,
            "high" if has_high and list_name == "now" else ALL,
            names.__getitem__,
            resets=place,
            as_buttons=True,
        )
        orders = {"value": _("Revenue at risk"), "risk": _("Probability")}
        ranking = address.choice(
            "ranking",
            _("Highest first by"),
            RANKINGS,
            "value",
            orders.__getitem__,
            resets=place,
            as_buttons=True,
        )
        owner = acting.owner_choice(view, published, place)
        states = {ALL: _("All"), **{one: words.state(view.text)(one) for one in STATES}}
        state = address.choice("state", _("State"), list(states), "open", states.__getitem__, resets=place)
    return Chosen(segment, band, ranking, list_name, currency, owner, state)
