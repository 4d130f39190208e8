"""A second implementation of what MRR is made from (policies mrr_source, churn_at, usage), in plain Python.

Every item has on every day the version that holds, or none; what the policy chooses is found day by day.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plain_metrics import History

DAY = timedelta(days=1)
FAR = date(9999, 12, 31)
Version = dict[str, Any]
Days = dict[date, Version]
Bill = dict[str, Any]


def version_days(history: History) -> dict[str, Days]:
    """Item → day up to the as-of day → the version that MRR is made from on it."""
    written: dict[str, Days] = defaultdict(dict)
    for version in history.versions:
        for on in days_between(version["valid_from"], version["valid_to"] or FAR, history.as_of):
            written[version["subscription_item_id"]][on] = version
    bills = standing_bills(history)
    if history.settings.get("mrr_source") == "billed_lines":
        items = {item: _billed_days(history, bills[item], item, written.get(item, {})) for item in bills}
    elif history.settings.get("churn_at") == "billing_end":
        items = {item: _until_billed(days, bills[item], history.as_of) for item, days in written.items()}
    else:
        items = dict(written)
    if history.settings.get("usage") == "in_3m_mean":
        items |= {f"{item}/usage": _use_days(history, item, days) for item, days in items.items()}
    return items


def days_between(start: date, end: date, as_of: date) -> list[date]:
    return [start + DAY * number for number in range((min(end, as_of + DAY) - start).days)]


def standing_bills(history: History) -> dict[str, list[Bill]]:
    """Item → periods billed by the as-of day, in order, without voids and what was taken back whole."""
    invoices = {invoice["invoice_id"]: invoice for invoice in history.invoices}
    periods: dict[tuple[str, date, date], list[Bill]] = defaultdict(list)
    for line in history.lines:
        invoice = invoices[line["invoice_id"]]
        voided_on = invoice.get("voided_on") or FAR
        is_credit = line.get("kind") == "proration" and line["net_minor"] < 0
        if line.get("service_start") is None or not (line["kind"] == "recurring" or is_credit):
            continue
        if invoice["issued_on"] <= history.as_of < voided_on:
            key = (line["subscription_item_id"], line["service_start"], line["service_end"])
            periods[key].append(
                line | {"currency": invoice["currency"], "customer_id": invoice["customer_id"]}
            )
    found: dict[str, list[Bill]] = defaultdict(list)
    for (item, start, end), lines in sorted(periods.items()):
        charges = [line for line in lines if line["kind"] == "recurring"]
        if 2 * len(charges) > len(lines):
            found[item].append(
                {
                    "start": start,
                    "end": end,
                    "amount_minor": sum(line["net_minor"] + line["discount_minor"] for line in lines),
                    "taken_minor": sum(
                        line["discount_minor"] - line["once_discount_minor"] for line in lines
                    ),
                    "currency": charges[0]["currency"],
                    "customer_id": charges[0]["customer_id"],
                }
            )
    return found


def _until_billed(days: Days, bills: list[Bill], as_of: date) -> Days:
    """Each run of days of service that ended by the as-of day lasts as long as the last of its bills."""
    served = sorted(on for on, version in days.items() if version["status"] != "canceled")
    found = {on: version for on, version in days.items() if version["status"] == "canceled"}
    while served:
        run = [served.pop(0)]
        while served and served[0] == run[-1] + DAY:
            run.append(served.pop(0))
        end, next_start = run[-1] + DAY, served[0] if served else FAR
        has_ended = end <= as_of or (days[run[-1]]["valid_to"] or FAR) <= as_of
        ends = [bill["end"] for bill in bills if bill["end"] > run[0] and bill["start"] < next_start]
        until = min(max(ends), next_start) if ends and has_ended else end
        for on in days_between(run[0], until, as_of):
            found[on] = days[min(on, run[-1])]
    return found


def _billed_days(history: History, bills: list[Bill], item: str, written: Days) -> Days:
    found: Days = {}
    runs_on = written.get(history.as_of) or {}
    is_running = not written or (bool(runs_on) and runs_on["status"] != "canceled")
    is_running |= any(
        version["subscription_item_id"] == item
        and version["status"] != "canceled"
        and (version["valid_to"] or FAR) > history.as_of
        for version in history.versions
    )
    for bill, after in zip(bills, [*bills[1:], None], strict=True):
        end = bill["end"] if after is None else min(bill["end"], after["start"])
        if after is None and is_running and bill["end"] + (bill["end"] - bill["start"]) > history.as_of:
            end = FAR
        version = _version_of(history, bill, item)
        found |= dict.fromkeys(days_between(bill["start"], end, history.as_of), version)
    return found


def _version_of(history: History, bill: Bill, item: str) -> Version:
    begun = [
        version
        for version in history.versions
        if version["subscription_item_id"] == item
        and version["valid_from"] <= bill["start"]
        and version["valid_from"] < (version["valid_to"] or FAR)
    ]
    shown = max(begun, key=lambda version: version["valid_from"]) if begun else {}
    interval, count = shown.get("interval"), shown.get("interval_count")
    if not shown:
        months = (bill["end"].year - bill["start"].year) * 12 + bill["end"].month - bill["start"].month
        anchors = [day for day in range(1, 32) if _clamped(bill, day)]
        length = (bill["end"] - bill["start"]).days
        if months and anchors:
            interval, count = "month", months
        else:
            interval, count = ("week", length // 7) if length % 7 == 0 else ("day", length)
    return {
        "subscription_item_id": item,
        "customer_id": shown.get("customer_id") or bill["customer_id"],
        "plan_id": shown.get("plan_id"),
        "amount_minor": bill["amount_minor"],
        "taken_minor": bill["taken_minor"],
        "currency": bill["currency"],
        "interval": interval,
        "interval_count": count,
        "status": "active",
    }


def _clamped(bill: Bill, anchor: int) -> bool:
    """Whether both ends are the anchor day, or the last of a month that has no such day."""
    return all(on.day == min(anchor, _last_day(on)) for on in (bill["start"], bill["end"]))


def _last_day(on: date) -> int:
    return ((on.replace(day=28) + timedelta(days=4)).replace(day=1) - DAY).day


def month_before(month: date, count: int = 1) -> date:
    for _ in range(count):
        month = (month - DAY).replace(day=1)
    return month


def last_closed(on: date) -> date:
    """The last month that has closed by the end of the day."""
    return month_before((on + DAY).replace(day=1))


def use_of(history: History, item: str | None, on: date) -> int | None:
    """What the item used in the last three months closed by the day; None before there are three."""
    rated = [
        row for row in history.usage if row["rated_minor"] is not None and row["used_on"] <= history.as_of
    ]
    last = last_closed(on)
    if not rated or month_before(last, 2) < min(row["used_on"] for row in rated).replace(day=1):
        return None
    return sum(
        row["rated_minor"]
        for row in rated
        if item in (None, row["subscription_item_id"])
        and month_before(last, 2) <= row["used_on"].replace(day=1) <= last
    )


def _use_days(history: History, item: str, days: Days) -> Days:
    found = {}
    sums = {
        last: use_of(history, item, on) for last, on in {last_closed(on): on for on in sorted(days)}.items()
    }
    for on, version in days.items():
        if used := sums[last_closed(on)]:
            found[on] = version | {
                "subscription_item_id": f"{item}/usage",
                "amount_minor": used,
                "taken_minor": 0,
                "interval": "month",
                "interval_count": 3,
            }
    return found
