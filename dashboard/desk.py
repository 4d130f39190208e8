"""What the pages of the Billing group share: the engine or why there is none, amounts of mixed currencies,
lines with their explanation, and choices that live in the address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, billing_words, engine, frame
from dashboard.engine import (
    BUSY,
    NEWER_FORM,
    NOT_THERE,
    OLDER_FORM,
    UNKNOWN,
    Engine,
    EngineProblem,
    Line,
    Step,
    Wanted,
)
from dashboard.format import Formatter
from dashboard.tables import Column
from dashboard.view import View

AILS_ALL = frozenset({NOT_THERE, OLDER_FORM, NEWER_FORM, BUSY})
"""Kinds of problems that every question to the database has."""
ROWS = 25
FILE_ROWS = 5_000
"""So many rows of a file are asked of the engine at once."""


def opened(view: View) -> tuple[View, Engine] | None:
    """The engine, and the view with the decimals of its currencies; without one a sentence says why."""
    _ = view.text.gettext
    if view.company is None:
        frame.nothing_published(view)
    elif not engine.is_provided():
        st.info(
            _("This server was started without the billing engine, so it shows figures only. Start it with:")
        )
        st.code("tajdid dashboard", language=None)
    elif view.engine is None:
        st.info(_("This company has no billing database: its figures come from other sources."))
    else:
        return replace(view, show=replace(view.show, exponents=view.engine.exponents)), view.engine
    return None


@contextmanager
def asked(view: View) -> Iterator[None]:
    """A part of a page that asks the engine: where it has no answer, a sentence says why."""
    with frame.panel(view):
        try:
            yield
        except EngineProblem as problem:
            tell(view, problem)


def tell(view: View, problem: EngineProblem) -> None:
    """Why the engine gave no answer. What it names comes from data or from the address: plain text.

    What ails the whole database is said once a page, by the first of its parts.
    """
    _ = view.text.gettext
    if problem.kind in AILS_ALL:
        told = f"told-{problem.kind}"
        if told in view.slots:
            return
        view.slots[told] = True
    words = {
        NOT_THERE: _("The billing database cannot be reached. Try again once it runs."),
        OLDER_FORM: _("The billing database has an older form. Bring it up to date, then reload this page:"),
        NEWER_FORM: _("This program is older than the billing database. Start the newer version."),
        BUSY: _("Others are writing to the billing database just now. Try again in a moment."),
        UNKNOWN: _("There is no such thing among those you may see."),
    }
    sentence = billing_words.refusal(view.text)(problem.code) if problem.code else words[problem.kind]
    (st.warning if problem.kind in AILS_ALL else st.info)(sentence)
    if problem.kind == OLDER_FORM and view.company is not None:
        st.code(f"tajdid billing migrate --company {view.company.name}", language=None)


# Amounts.


@dataclass(frozen=True)
class Amount(Column):
    """Money in minor units of the currency that each row names in its column `of`."""

    of: str = "currency"

    @property
    def css(self) -> str:
        return "tj-number"

    def shown(self, row: Mapping[str, Any], show: Formatter) -> str:
        return show.money(row[self.name], row[self.of] or "", signed=self.signed)


@dataclass(frozen=True)
class Exact(Column):
    """A decimal with all the decimals it has; a price, whose row names its currency in the column `of`, at
    least with those of the currency."""

    of: str = ""

    @property
    def css(self) -> str:
        return "tj-number"

    def shown(self, row: Mapping[str, Any], show: Formatter) -> str:
        return exact(show, row[self.name], show.exponent(row[self.of] or "") if self.of else 0)


def exact(show: Formatter, value: Decimal | str | None, least: int = 0) -> str:
    """A decimal as it is, at most twelve decimals of it."""
    if value is None:
        return show.number(None)
    number = round(Decimal(value), 12).normalize()
    return show.number(number, max(least, -int(number.as_tuple().exponent) if number else 0))


def price_text(show: Formatter, value: Decimal | str | None, currency: str) -> str:
    """A price with its own decimals, at least those of the currency, and the currency's code."""
    if value is None:
        return show.number(None)
    return f"{exact(show, value, show.exponent(currency))} {show.identifier(currency)}"


def table(
    view: View,
    name: str,
    caption: str,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    *,
    takes: bool = True,
    all_rows: Callable[[], pl.DataFrame] | None = None,
) -> None:
    """A table with its file to take away, amounts in major units beside their currency. Where the page shows
    a part of the rows, `all_rows` gives what the file holds."""
    frame.table(view, caption, columns, rows)
    if takes and not rows.is_empty() and view.published is not None:
        plain, found = _plain(view, columns, rows)

        def taken() -> pl.DataFrame:
            return found if all_rows is None else _plain(view, columns, all_rows())[1]

        frame.download(view, name, plain, taken, view.published, title=caption)


def all_documents(
    engine: Engine, wanted: Wanted, at_once: int = FILE_ROWS, most: int = frame.EXPORT_ROWS
) -> pl.DataFrame:
    """All pages of documents one after the other, up to as many rows as a file holds."""
    page = engine.documents(wanted, None, at_once)
    found, count = [page.rows], page.rows.height
    while page.following is not None and count < most:
        page = engine.documents(wanted, page.following, at_once)
        found.append(page.rows)
        count += page.rows.height
    return pl.concat(found).head(most)


def _plain(view: View, columns: Sequence[Column], rows: pl.DataFrame) -> tuple[list[Column], pl.DataFrame]:
    """The same with numbers as numbers: what a file holds."""
    shown: list[Column] = []
    found = rows
    for column in columns:
        if isinstance(column, Amount):
            majors = [
                view.show.major(row[column.name], row[column.of] or "") for row in rows.iter_rows(named=True)
            ]
            found = found.with_columns(pl.Series(column.name, majors, dtype=pl.Decimal(38, 4)))
            if all(one.name != column.of for one in shown):
                shown.append(Column(column.of, view.text.gettext("Currency"), "id"))
            shown.append(Column(column.name, column.label))
        elif isinstance(column, Exact):
            shown.append(Column(column.name, column.label))
        else:
            shown.append(column)
    return shown, found


def sums_by_currency(view: View, rows: pl.DataFrame, name: str) -> str:
    """What a column adds up to, a currency after the other."""
    if rows.is_empty():
        return ""
    sums = rows.drop_nulls("currency").group_by("currency").agg(pl.col(name).sum()).sort("currency")
    return " · ".join(view.show.money(total, currency) for currency, total in sums.iter_rows())


# Lines and how they came about.


def lines_table(view: View, caption: str, lines: Sequence[Line], currency: str) -> None:
    """Charges and credits, a row each."""
    _, show = view.text.gettext, view.show
    kinds = billing_words.line_kind(view.text)
    rows = [
        {
            "position": line.position,
            "description": line.description,
            "kind": line.kind,
            "service": period(view, line.service_start, line.service_end),
            "quantity": line.explained.quantity,
            "unit_price": ("≈ " if line.explained.is_average else "")
            + exact(show, line.explained.unit_price, show.exponent(currency))
            if line.explained.unit_price is not None
            else show.number(None),
            "discount_minor": -line.discount_minor if line.discount_minor else None,
            "net_minor": line.net_minor,
            "rate": Decimal(line.tax_rate_ppm) / 1_000_000,
            "tax_minor": line.tax_minor,
            "currency": currency,
        }
        for line in lines
    ]
    columns: list[Column] = [
        Column("position", _("No."), "count"),
        Column("description", _("What")),
        Column("kind", _("Kind"), words=kinds),
        Column("service", _("For")),
        Exact("quantity", _("Quantity")),
        Column("unit_price", _("Price of a unit"), "decimal", words=str),
    ]
    if any(line.discount_minor for line in lines):
        columns.append(Amount("discount_minor", _("Discount")))
    columns += [
        Amount("net_minor", _("Net")),
        Column("rate", _("Tax rate"), "percent"),
        Amount("tax_minor", _("Tax")),
    ]
    frame.table(view, caption, columns, pl.DataFrame(rows, infer_schema_length=None))


def period(view: View, start: date, end: date) -> str:
    """The days of a half-open period, the last one included."""
    last = date.fromordinal(max(start.toordinal(), end.toordinal() - 1))
    first, to = view.show.day_short(start), view.show.day_short(last)
    return view.text.gettext("{first} to {last}").format(first=first, last=to)


def explanation(view: View, line: Line, currency: str) -> None:
    """How a line's amount came about, in sentences that can be followed with a pencil."""
    _, show, one = view.text.gettext, view.show, line.explained

    def money(minor: int) -> str:
        return show.money(minor, currency)

    st.text(f"{line.position}. {line.description}")
    for words in one.told:
        st.text(words)
    sentences = []
    if one.quantity is not None and one.unit_price is not None and (not one.is_average or one.whole is None):
        times = f" × {show.number(one.part)}/{show.number(one.of)}" if one.part and one.of else ""
        quantity, price = exact(show, one.quantity), price_text(show, one.unit_price, currency)
        equals, about = ("≈", "≈ ") if one.is_average else ("=", "")
        sentences.append(f"{quantity} × {about}{price}{times} {equals} {money(abs(line.gross_minor))}")
    elif one.whole is not None:
        sentences.append(
            _("The whole period costs {amount}.").format(amount=price_text(show, one.whole, currency))
        )
        if one.part and one.of:
            share = one.whole * one.part / one.of
            sentences.append(
                _("Of it {part} of {whole} parts are charged: {amount}, posted as {posted}.").format(
                    part=show.number(one.part),
                    whole=show.number(one.of),
                    amount=price_text(show, round(share, 6), currency),
                    posted=money(line.gross_minor),
                )
            )
    if line.entry == "credit":
        sentences.append(_("It takes back what was billed for this time before."))
    if line.discount_minor:
        sentences.append(
            _("{gross} less a discount of {discount} is {net}.").format(
                gross=money(line.gross_minor), discount=money(line.discount_minor), net=money(line.net_minor)
            )
        )
    sentences.append(
        _("{net} before tax, at {rate} ({category}) {tax} of tax.").format(
            net=money(line.net_minor),
            rate=show.percent(Decimal(line.tax_rate_ppm) / 1_000_000),
            category=billing_words.tax_category(view.text)(line.tax_category),
            tax=money(line.tax_minor),
        )
    )
    for sentence in sentences:
        st.text(sentence)
    if one.steps:
        steps(view, _("Tiers that were filled"), one.steps, currency)
    if one.list_id:
        st.text(
            _("The price is that of list {list} ({level}).").format(
                list=show.identifier(one.list_id), level=billing_words.level(view.text)(one.level)
            )
        )
    for reason, count in one.not_taken.items():
        st.text(
            view.text.ngettext(
                "{count} other price was looked at and not taken: {reason}.",
                "{count} other prices were looked at and not taken: {reason}.",
                count,
            ).format(count=show.number(count), reason=billing_words.lost_by(view.text)(reason))
        )
    if one.policy:
        st.text(_("Policy: {policy}").format(policy=show.identifier(one.policy)))


def steps(view: View, caption: str, found: Sequence[Step], currency: str) -> None:
    """Tiers with what a quantity fills of each, or as they are published."""
    _, show = view.text.gettext, view.show
    rows = [
        {
            "bounds": _("from {first}").format(first=show.number(one.first))
            if one.last is None
            else f"{show.number(one.first)} – {show.number(one.last)}",
            "units": one.units,
            "unit_price": one.unit_price,
            "currency": currency,
            "flat_fee": one.flat_fee,
            "amount": price_text(show, one.amount, currency),
        }
        for one in found
    ]
    columns: list[Column] = [Column("bounds", _("Units"), "text")]
    is_filled = any(one.units is not None for one in found)
    if is_filled:
        columns.append(Exact("units", _("Of them here")))
    columns += [
        Exact("unit_price", _("Price of a unit"), of="currency"),
        Exact("flat_fee", _("Fixed fee"), of="currency"),
    ]
    if is_filled:
        columns.append(Column("amount", _("Amount"), "decimal", words=str))
    frame.table(view, caption, columns, pl.DataFrame(rows, infer_schema_length=None))


# Choices that live in the address.


def entry(name: str, label: str, *, resets: Sequence[str] = (), example: str | None = None) -> str | None:
    """A text that lives in the address under `name`; None where there is none."""
    key = f"entry-{name}"
    st.session_state[key] = address.read(name) or ""

    def changed() -> None:
        address.write(name, st.session_state[key].strip() or None)
        address.clear(resets)

    st.text_input(label, key=key, on_change=changed, max_chars=200, placeholder=example)
    return address.read(name)


def day(name: str, label: str, default: date, first: date, last: date) -> date:
    """A day that lives in the address under `name`, within bounds."""
    try:
        found = date.fromisoformat(address.read(name) or "")
    except ValueError:
        found = default
    found = min(max(found, first), last)
    key = f"day-{name}"
    st.session_state[key] = found

    def changed() -> None:
        picked = st.session_state[key]
        address.write(name, picked.isoformat() if picked and picked != default else None)

    st.date_input(label, key=key, on_change=changed, min_value=first, max_value=last, format="YYYY-MM-DD")
    return found


def pager(view: View, following: str | None, name: str = "after") -> None:
    """The way to the next rows, and back to the first."""
    _ = view.text.gettext
    is_first = address.read(name) is None
    if is_first and following is None:
        return
    with st.container(horizontal=True):
        st.button(
            _("First rows"), key=f"first-{name}", on_click=address.write, args=(name, None), disabled=is_first
        )
        st.button(
            _("Next rows"),
            key=f"next-{name}",
            on_click=address.write,
            args=(name, following),
            disabled=following is None,
        )
