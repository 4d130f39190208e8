"""What a letter says: the digest of a view, or an alert that a figure has crossed its threshold.

Both are written in the reader's language and hold what the reader's roles let them see, as it stands now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dashboard import figures, receivables
from dashboard import report_words as words
from dashboard.digest import accounts
from dashboard.digest.sending import Letter
from dashboard.figures import Value
from dashboard.pack import content
from dashboard.pack.content import NothingToReport, Section
from dashboard.pack.document import plain
from dashboard.people import permissions
from dashboard.queries import churn, orders, revenue
from dashboard.records.mail import Alert, Digest
from dashboard.records.views import NOT_KEPT
from dashboard.scope import ALL, OrderScope, Scope
from dashboard.view import Metric, Published, View

FOLDER = Path(__file__).parent
HTML = Environment(autoescape=True, undefined=StrictUndefined, loader=FileSystemLoader(FOLDER))
PLAIN = Environment(autoescape=False, undefined=StrictUndefined, loader=FileSystemLoader(FOLDER))
TONES = {"good": "#1a7f64", "bad": "#b3261e", "warn": "#9a5b00", "total": "#0f5fa8", "plain": "#5b6b7b"}
OVERDUE = "overdue"
"""What alerts know of that the registry names by bucket: receivables past due by more than 30 days."""
MOVING = NOT_KEPT | {"month"}
"""Parameters that a letter does not keep: it speaks of the newest closed month."""

# The parts of a report that answer a page's question; a page that is not named gets the standard ones.
STANDARD = ("metrics", "bridge", "aging", "risks")
PARTS: Mapping[str, tuple[str, ...]] = {
    "retention": ("metrics", "cohorts"),
    "cash": ("metrics", "aging"),
    "forecast": ("metrics", "bridge"),
    "churn": ("newly_high", "risks"),
    "renewals": ("notice_soon", "risks"),
    "customer": ("newly_high", "notice_soon", "risks"),
}
OF_ACCOUNTS: Mapping[str, Callable[[View, Published], Section]] = {
    **accounts.SECTIONS,
    "risks": content.risks,
}
"""The parts that speak of accounts alone, whatever the filters: also for who sees only their own."""


@dataclass(frozen=True)
class Reading:
    """A figure an alert looks at: None where it cannot be computed, or of too few customers to be a share.
    `currency` is that of money."""

    metric: Metric
    amount: Decimal | None
    currency: str


def watched(view: View, parameters: Mapping[str, str]) -> dict[str, Reading]:
    """The figures that alerts may watch: those of the newest closed month, for who may open their page, and
    what is at risk now, of the accounts that the reader sees. Raises NothingToReport.
    """
    if view.published is None:
        raise NothingToReport
    found: dict[str, Reading] = {}
    if view.may_open("revenue"):
        try:
            chosen, _parts = content.parts(view, steady(parameters))
        except NothingToReport:
            chosen = None
        if isinstance(chosen, Scope):
            found = _of_subscriptions(view, chosen)
        elif chosen is not None:
            found = _of_orders(view, chosen)
    if view.may_open("churn"):
        found |= _of_risk(view, view.published)
    if not found:
        raise NothingToReport
    return found


def _of_risk(view: View, published: Published) -> dict[str, Reading]:
    """What may leave within 90 days, of all segments, in the currency that most customers are scored in."""
    parts = published.rows(churn.PARTS)
    if parts.is_empty():
        return {}
    currency = parts["currency"][0]
    asked = {"segment": ALL, "list_name": "now", "currency": currency}
    score = published.rows(churn.SUMMARY, **asked).row(0, named=True)
    amounts = {"revenue_at_risk_90": score["revenue_at_risk_minor"], "high_risk_customers": score["high"]}
    return {
        metric_id: _reading(view, metric_id, Value(amount), currency)
        for metric_id, amount in amounts.items()
        if view.definition(metric_id) is not None
    }


def _of_subscriptions(view: View, chosen: Scope) -> dict[str, Reading]:
    assert view.published is not None
    values = view.published.rows(revenue.VALUES, **chosen.values)
    found = {
        metric_id: _reading(
            view, metric_id, figures.value_of(values, metric_id, chosen.month), chosen.currency
        )
        for metric_id in content.METRICS
    }
    # What is owed changes by the day: it is looked at as it stands, also in a month that is still running.
    newest = max(view.published.rows(revenue.MONTHS)["month"].to_list())
    owed = receivables.at_close(view.published, replace(chosen, month=newest))
    late = [
        owed.amount(name)
        for name, (first, _last) in receivables.BUCKET_DAYS.items()
        if first >= content.OVERDUE_DAYS
    ]
    metric = receivables.overdue_metric(view, view.text.gettext("Overdue for more than 30 days"))
    return {**found, OVERDUE: Reading(metric, sum(late, Decimal(0)), chosen.currency)}


def _of_orders(view: View, chosen: OrderScope) -> dict[str, Reading]:
    assert view.published is not None
    month = figures.row_of(view.published.rows(orders.REVENUE, **chosen.values), chosen.month)
    buyers = figures.row_of(view.published.rows(orders.REPEAT, **chosen.values), chosen.month)
    values = {
        "order_revenue": Value(month.get("revenue_minor")),
        "orders": Value(month.get("orders")),
        "order_customers": Value(buyers.get("customers")),
        "repeat_rate": content.repeat_rate(buyers),
    }
    return {
        metric_id: _reading(view, metric_id, value, chosen.currency) for metric_id, value in values.items()
    }


def _reading(view: View, metric_id: str, value: Value, currency: str) -> Reading:
    metric = view.metric(metric_id)
    is_nothing = figures.is_too_small(view, metric, value)
    return Reading(metric, None if is_nothing else value.amount, currency)


def steady(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a view without those of one month or one reader."""
    return {name: value for name, value in parameters.items() if name not in MOVING}


def digest(
    view: View,
    wish: Digest,
    page: str,
    parameters: Mapping[str, str],
    view_name: str | None,
    link: str,
    occasion: str,
) -> Letter:
    """The letter of a digest. Raises NothingToReport where the company has no figures to tell of."""
    _ = view.text.gettext
    if view.published is None or view.company is None:
        raise NothingToReport
    names = PARTS.get(page, STANDARD if view.published.is_company else PARTS["customer"])
    sections: list[Section]
    company = plain(view.company.title(view.language))
    if OF_ACCOUNTS.keys() >= set(names):
        sections = [OF_ACCOUNTS[name](view, view.published) for name in names]
        spoken = view.show.day(view.as_of)
    else:
        chosen, parts = content.parts(view, steady(parameters))
        sections = [one for name in names for one in parts[name]()]
        spoken = view.show.month(chosen.month)
    subject_of = {
        "daily": _("{company}: daily digest, {spoken}"),
        "weekly": _("{company}: weekly digest, {spoken}"),
        "monthly": _("{company}: monthly digest, {spoken}"),
    }
    title = plain(view_name) if view_name else words.page(view.text)(page)
    return _letter(
        view,
        wish.digest_id,
        occasion,
        wish.address,
        subject=subject_of[wish.period].format(company=company, spoken=spoken),
        title=f"{company} · {title}",
        lead=spoken,
        said=[],
        sections=sections,
        link=address_of(view, link, page, steady(parameters)),
        why=_("You get this digest because you asked for it."),
        link_base=link,
        page=page,
    )


def alert(
    view: View, wish: Alert, page: str, parameters: Mapping[str, str], link: str, occasion: str, said: str
) -> Letter:
    """The letter of an alert; `said` is the sentence that was true when the figure crossed, or when accounts
    came in. Which these are now stands below it.
    """
    _ = view.text.gettext
    if view.company is None or view.published is None:
        raise NothingToReport
    company = plain(view.company.title(view.language))
    title = _("{company}: a figure has crossed its threshold")
    why = _("You get this alert because you asked for it; it is sent once each time the line is crossed.")
    sections: list[Section] = []
    if wish.is_of_accounts:
        title = "{company}: " + words.mail_event(view.text)(wish.metric_id)
        why = _("You get this alert because you asked for it; it is sent once for each account.")
        sections = [accounts.SECTIONS[wish.metric_id](view, view.published)]
    return _letter(
        view,
        wish.alert_id,
        occasion,
        wish.address,
        subject=f"{company}: {said}",
        title=title.format(company=company),
        lead=view.show.day(view.as_of),
        said=[said],
        sections=sections,
        link=address_of(view, link, page, parameters),
        why=why,
        link_base=link,
        page=page,
    )


def alert_words(view: View, wish: Alert, reading: Reading) -> str:
    """That a figure has crossed its threshold, with both."""
    _ = view.text.gettext
    patterns = {
        "above": _("{metric} is {value}, above {threshold}"),
        "below": _("{metric} is {value}, below {threshold}"),
    }
    return patterns[wish.side].format(
        metric=reading.metric.label,
        value=figures.shown(view, reading.metric, reading.amount, reading.currency),
        threshold=threshold_words(view, wish, reading),
    )


def threshold_words(view: View, wish: Alert, reading: Reading) -> str:
    return figures.shown(view, reading.metric, threshold(wish), reading.currency)


def threshold(wish: Alert) -> Decimal:
    return Decimal(wish.amount) / Decimal(wish.scale)


def address_of(view: View, link: str, page: str, parameters: Mapping[str, str]) -> str:
    """Where a page is opened, with its filters, in the reader's language; the first page has no name."""
    is_first = page == permissions.landing_of(view.reader.roles)
    company = view.company.name if view.company else ""
    asked = urlencode({"company": company, "lang": view.language, **parameters})
    return f"{link}/{'' if is_first else page}?{asked}"


def _letter(
    view: View,
    wish_id: str,
    occasion: str,
    address: str,
    *,
    subject: str,
    title: str,
    lead: str,
    said: list[str],
    sections: list[Section],
    link: str,
    why: str,
    link_base: str,
    page: str,
) -> Letter:
    _, show = view.text.gettext, view.show
    assert view.published is not None
    build = view.published.build
    stop_link = address_of(view, link_base, page, {"mail": "settings"})
    is_rtl = view.text.is_right_to_left
    values: dict[str, Any] = {
        "language": view.language,
        "direction": view.text.direction,
        "start": "right" if is_rtl else "left",
        "end": "left" if is_rtl else "right",
        "tones": TONES,
        "subject": subject,
        "title": title,
        "lead": lead,
        "words": said,
        "sections": sections,
        "link": link,
        "open_words": _("Open in the dashboard"),
        "status": _("Data to {as_of}, built {built}").format(
            as_of=show.day(build.as_of), built=show.instant(build.built_at)
        )
        + " · "
        + content.freshness_words(view),
        "why": why,
        "stop_words": _("Change or stop it"),
        "stop_link": stop_link,
    }
    return Letter(
        address,
        subject,
        PLAIN.get_template("letter.txt").render(values),
        HTML.get_template("letter.html").render(values),
        f"{wish_id}.{''.join(sign if sign.isalnum() else '-' for sign in occasion)}",
        stop_link,
    )
