"""Targets on a page: what a metric was, is expected to be and should be, and where targets are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import streamlit as st

from dashboard import figures, frame, keeping
from dashboard.figures import Value
from dashboard.records import targets
from dashboard.records.targets import Key, Refused
from dashboard.scope import OrderScope, Scope
from dashboard.tables import Column
from dashboard.view import Metric, View, month_before
from dashboard.words import target_refused

MONTHS_BACK, MONTHS_AHEAD = 12, 24
UNDO_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Plan:
    """One metric by month, in one currency and for one segment.

    `actual` holds months that have begun, `expected` what is forecast of coming ones: point, low, high.
    """

    metric: Metric
    currency: str
    segment: str
    actual: Mapping[date, Value]
    expected: Mapping[date, tuple[Decimal | None, Decimal | None, Decimal | None]]
    wanted: Mapping[date, int]

    def key(self, month: date) -> Key:
        return Key(self.metric.metric_id, month, self.currency, self.segment)

    def target(self, view: View, month: date) -> Decimal | None:
        amount = self.wanted.get(month)
        return (
            None if amount is None else figures.target_value(view, self.metric, amount, self.currency).amount
        )

    def known(self, view: View, month: date) -> Decimal | None:
        """What came in a month; None where that cannot be computed, or is a share of too few customers."""
        value = self.actual.get(month, figures.NOTHING)
        return None if figures.is_too_small(view, self.metric, value) else value.amount

    def shown(self, view: View, amount: Decimal | None, *, signed: bool = False) -> str:
        if amount is None:
            return "–"
        if figures.is_percentage(self.metric) and signed:
            return view.text.gettext("{points} points").format(points=view.show.points(amount))
        return figures.shown(view, self.metric, amount, self.currency, signed=signed)


def wanted(view: View, metric_id: str, currency: str, segment: str) -> dict[date, int]:
    """The targets in force of a metric, by month."""
    found = targets.in_force(view.records, metric_id=metric_id, currency=currency, segment=segment)
    return {key.month: target.amount for key, target in found.items()}


def goals(
    view: View, metric: Metric, chosen: Scope | OrderScope, months: Sequence[date]
) -> list[float | None]:
    """The targets of a metric in these months, as they are drawn beside it: a share as a ratio."""
    found = wanted(view, metric.metric_id, chosen.currency, chosen.segment)
    values = (
        None if month not in found else figures.target_value(view, metric, found[month], chosen.currency)
        for month in months
    )
    return [None if value is None or value.amount is None else float(value.amount) for value in values]


# The variance table


def variance(view: View, plan: Plan, months: Sequence[date]) -> pl.DataFrame:
    """A row a month: actual, expected with its bounds, target, the difference, and what it means."""
    rows = []
    for month in months:
        actual = plan.known(view, month)
        point, low, high = plan.expected.get(month, (None, None, None))
        target = plan.target(view, month)
        best = actual if actual is not None else point
        difference = None if best is None or target is None else best - target
        share = None
        if difference is not None and target and not figures.is_percentage(plan.metric):
            share = difference / abs(target)
        rows.append(
            {
                "month": month,
                "actual": actual,
                "expected": point,
                "low": low,
                "high": high,
                "interval": _interval(view, plan, low, high),
                "target": target,
                "difference": difference,
                "share": share,
                "distance": _distance(view, plan, difference, share),
                "meaning": _meaning(view, plan, month, (point, low, high), target),
            }
        )
    exact = ("actual", "expected", "low", "high", "target", "difference", "share")
    types = {"month": pl.Date, **dict.fromkeys(exact, pl.Object)}
    words = dict.fromkeys(("interval", "distance", "meaning"), pl.String)
    return pl.DataFrame(rows, schema_overrides={**types, **words}, infer_schema_length=None)


def _interval(view: View, plan: Plan, low: Decimal | None, high: Decimal | None) -> str:
    if low is None or high is None:
        return ""
    short = (view.show.money_short(bound, plan.currency) for bound in (low, high))
    return view.text.gettext("{first} to {last}").format(first=next(short), last=next(short))


def _distance(view: View, plan: Plan, difference: Decimal | None, share: Decimal | None) -> str:
    shown = "" if difference is None else plan.shown(view, difference, signed=True)
    return shown if share is None else f"{shown} ({view.show.percent(share, signed=True)})"


def _meaning(
    view: View,
    plan: Plan,
    month: date,
    expected: tuple[Decimal | None, Decimal | None, Decimal | None],
    target: Decimal | None,
) -> str:
    """Whether a target was met, or is likely to be; never told by colour. Empty without a target."""
    _ = view.text.gettext
    point, low, high = expected
    actual = plan.known(view, month)
    if actual is None and month in plan.actual:
        is_small = figures.is_too_small(view, plan.metric, plan.actual[month])
        return _("n too small") if is_small else _("Not computable")
    if target is None:
        return ""
    is_up = plan.metric.good_direction != "down"
    if actual is not None:
        return _("Met") if (actual >= target if is_up else actual <= target) else _("Missed")
    if point is None:
        return _("Not forecast")
    if low is not None and high is not None and low <= target <= high:
        return _("Open: the target lies within the interval")
    is_met = point >= target if is_up else point <= target
    if low is None or high is None:
        return _("Expected to be met") if is_met else _("Expected to be missed")
    if is_met:
        return _("Likely met: the whole interval is on the good side")
    return _("Likely missed: the whole interval is on the bad side")


def columns(view: View, plan: Plan, rows: pl.DataFrame) -> list[Column]:
    """What a page shows of the rows of `variance`; what no row has anything of is no column."""
    _ = view.text.gettext
    known = _exact(view, plan)
    interval = _written("interval", _("80% interval"))
    expected = [known["expected"], interval] if plan.expected else []
    against = [known["target"], _written("distance", _("Difference to target"))] if has_target(rows) else []
    verdict = [Column("meaning", _("Verdict"))] if not rows.is_empty() and any(rows["meaning"]) else []
    return [Column("month", _("Month"), "month"), known["actual"], *expected, *against, *verdict]


def has_target(rows: pl.DataFrame) -> bool:
    """Whether a target is wanted in any of the months of `variance`."""
    return not rows.is_empty() and any(target is not None for target in rows["target"])


def _written(name: str, label: str) -> Column:
    """A column of figures that are words already, lined up like the figures beside them."""
    return Column(name, label, "decimal", words=lambda said: said or "–")


def all_columns(view: View, plan: Plan) -> list[Column]:
    """What a file holds of them: each figure in a column of its own."""
    _ = view.text.gettext
    share = [] if figures.is_percentage(plan.metric) else [Column("share", _("In percent"), "percent")]
    return [
        Column("month", _("Month"), "month"),
        *_exact(view, plan).values(),
        *share,
        Column("meaning", _("Verdict")),
    ]


def _exact(view: View, plan: Plan) -> dict[str, Column]:
    _ = view.text.gettext
    labels = {
        "actual": _("Actual"),
        "expected": _("Forecast"),
        "low": _("Lower bound"),
        "high": _("Upper bound"),
    }
    labels |= {"target": _("Target"), "difference": _("Difference to target")}
    if not plan.expected:
        labels = {name: label for name, label in labels.items() if name not in ("expected", "low", "high")}
    kind = "decimal"
    if plan.metric.unit in figures.MONEY:
        kind = "money"
    elif figures.is_percentage(plan.metric):
        kind = "percent"
    elif plan.metric.unit == "count":
        kind = "count"
    return {
        name: Column(
            name,
            label,
            "points" if name == "difference" and kind == "percent" else kind,
            currency=plan.currency if kind == "money" else None,
        )
        for name, label in labels.items()
    }


# Where targets are written


def editor(view: View, plan: Plan, units: Mapping[str, targets.Unit], segments: Sequence[str]) -> None:
    """Write, replace, delete and bring back targets of one metric; paste many of several."""
    _ = view.text.gettext
    if view.records is None:
        return
    st.subheader(_("Write targets: {metric}").format(metric=plan.metric.label), anchor=False)
    if view.may("write_targets"):
        _write_one(view, plan, units[plan.metric.metric_id])
        _bring_back(view, plan)
        _paste(view, plan, units, segments)
    else:
        st.caption(_("Your role reads targets and does not write them."))
    _history(view, plan)


def _write_one(view: View, plan: Plan, unit: targets.Unit) -> None:
    _ = view.text.gettext
    current = _current_month(view)
    months = [month_before(current, step) for step in range(MONTHS_BACK, -MONTHS_AHEAD - 1, -1)]
    with st.container(border=True, key="target-form"):
        left, right = st.columns(2)
        month = left.selectbox(
            _("Month"),
            months,
            index=months.index(current),
            format_func=view.show.month,
            key="target-month",
        )
        hint = _("In {currency}, such as 1250.50").format(currency=plan.currency)
        if unit.is_percent:
            hint = _("In percent, such as 97.5")
        elif not plan.metric.unit.startswith("minor"):
            hint = _("A number")
        written = right.text_input(_("Target"), key="target-value", placeholder=hint, max_chars=60)
        target = plan.target(view, month)
        if target is not None:
            st.text(
                _("Now: {target}. Writing replaces it, and the history keeps it.").format(
                    target=plan.shown(view, target)
                )
            )
        is_sure = _is_sure(view, month < current, "target-sure")
        with st.container(horizontal=True):
            is_sent = st.button(_("Write the target"), key="target-write", disabled=not is_sure)
            if target is not None:
                st.button(
                    _("Delete the target"),
                    key="target-delete",
                    on_click=_delete,
                    args=(view, plan.key(month)),
                    disabled=not is_sure,
                )
        if is_sent:
            try:
                amount = targets.amount_of(written, unit)
            except Refused as refused:
                st.error(_said(view, refused))
                return
            _keep(view, {plan.key(month): amount})


def _current_month(view: View) -> date:
    """The first month that has not passed on the day the figures speak of."""
    assert view.as_of is not None
    return (view.as_of + timedelta(days=1)).replace(day=1)


def _is_sure(view: View, has_passed: bool, key: str) -> bool:
    """Whether a target may be written; of a month that has passed, only by somebody who says so."""
    _ = view.text.gettext
    if not has_passed:
        return True
    st.warning(
        _("This month has passed: its figures are known. A target written now says what should have been.")
    )
    return st.checkbox(_("Write it although the month has passed"), key=key)


def _keep(view: View, wanted: Mapping[Key, int]) -> None:
    assert view.records is not None
    targets.write(view.records, view.now, view.reader.reader_id, wanted)
    ngettext = view.text.ngettext
    said = ngettext("{count} target is written.", "{count} targets are written.", len(wanted))
    st.toast(said.format(count=view.show.number(len(wanted))))
    st.rerun()


def _delete(view: View, key: Key) -> None:
    assert view.records is not None
    with keeping.written():
        targets.remove(view.records, view.now, view.reader.reader_id, key)
        st.toast(view.text.gettext("The target is deleted. It can be brought back for 30 days."))


def _restore(view: View, key: Key, amount: int) -> None:
    assert view.records is not None
    with keeping.written():
        targets.write(view.records, view.now, view.reader.reader_id, {key: amount})


def _bring_back(view: View, plan: Plan) -> None:
    """The targets deleted in the last 30 days whose place nobody has taken since."""
    _ = view.text.gettext
    assert view.records is not None
    seen: set[date] = set(plan.wanted)
    for target in targets.history(view.records, plan.metric.metric_id, plan.currency, plan.segment):
        month = target.key.month
        if month in seen or target.deleted_at is None or target.deleted_at < view.now - UNDO_FOR:
            continue
        seen.add(month)
        value = figures.target_value(view, plan.metric, target.amount, plan.currency).amount
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(
                _("Deleted: {month}, {target}").format(
                    month=view.show.month(month), target=plan.shown(view, value)
                )
            )
            st.button(
                _("Undo"),
                key=f"target-undo-{month:%Y-%m}",
                type="tertiary",
                on_click=_restore,
                args=(view, target.key, target.amount),
            )


def _paste(view: View, plan: Plan, units: Mapping[str, targets.Unit], segments: Sequence[str]) -> None:
    _ = view.text.gettext
    with st.expander(_("Paste many at once")):
        st.caption(
            _("One line a target, such as from a spreadsheet: metric, month, value and, if any, segment.")
        )
        example = [f"{metric_id},2026-01,…" for metric_id in list(units)[:2]]
        st.code("\n".join(example), language=None)
        st.caption(_("Metrics: {metrics}").format(metrics=", ".join(f"`{metric_id}`" for metric_id in units)))
        content = st.text_area(_("Lines"), key="target-lines", max_chars=100_000, height=140)
        if not content.strip():
            return
        try:
            found = targets.pasted(content, units, plan.currency, segments)
        except Refused as refused:
            st.error(_said(view, refused))
            return
        passed = [key for key in found if key.month < _current_month(view)]
        st.text(
            view.text.ngettext("{count} target was read.", "{count} targets were read.", len(found)).format(
                count=view.show.number(len(found))
            )
        )
        is_sure = _is_sure(view, bool(passed), "target-lines-sure")
        if st.button(_("Write all of them"), key="target-lines-write", disabled=not is_sure):
            _keep(view, found)


def _said(view: View, refused: Refused) -> str:
    """Why nothing was written, with the line at fault; Markdown in it is not read as such."""
    _ = view.text.gettext
    said = target_refused(view.text, refused.reason, refused.found)
    if refused.line is not None:
        said = _("Line {line}: {why} Nothing was written.").format(
            line=view.show.number(refused.line), why=said
        )
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()<>#+!|$:~^" else sign for sign in said)


def _history(view: View, plan: Plan) -> None:
    _ = view.text.gettext
    assert view.records is not None
    written = targets.history(view.records, plan.metric.metric_id, plan.currency, plan.segment)
    with st.expander(_("History of these targets")):
        if not written:
            st.caption(_("No target has been written yet."))
            return
        rows = pl.DataFrame(
            [
                {
                    "month": one.key.month,
                    "target": plan.shown(
                        view, figures.target_value(view, plan.metric, one.amount, plan.currency).amount
                    ),
                    "recorded_at": one.recorded_at,
                    "recorded_by": one.recorded_by,
                    "deleted_at": one.deleted_at,
                    "deleted_by": one.deleted_by,
                }
                for one in written
            ],
            infer_schema_length=None,
        )
        frame.table(
            view,
            _("History of these targets"),
            [
                Column("month", _("Month"), "month"),
                Column("target", _("Target")),
                Column("recorded_at", _("Written"), "instant"),
                Column("recorded_by", _("By"), "id"),
                Column("deleted_at", _("In force until"), "instant"),
                Column("deleted_by", _("Ended by"), "id"),
            ],
            rows,
        )
