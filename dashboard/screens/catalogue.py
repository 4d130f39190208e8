"""Page catalogue: what is sold at which price, since when, and what a quantity costs."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, billing_words, desk, frame
from dashboard.desk import Exact
from dashboard.engine import Engine
from dashboard.frame import Card
from dashboard.tables import Column
from dashboard.view import View, open_view

LEVELS = ("list", "group", "customer", "contract", "pool", "all")
PRICES = 100
CHOICES = ("component", "price", "level", "quantity")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(
        view,
        "catalogue",
        _("What is sold, at which price, and what does it cost?"),
    )
    found = desk.opened(view)
    if found is None:
        return
    view, engine = found
    with desk.asked(view):
        plans = engine.plans()
        if plans.is_empty():
            frame.empty(view, _("No plan has been published yet."))
            return
        component = components(view, engine, plan(view, plans))
        first = prices(view, engine, component) if component is not None else None
        with desk.asked(view):
            one_price(view, engine, address.read("price") or first)


def plan(view: View, plans: pl.DataFrame) -> dict[str, Any]:
    """The version of a plan that is looked at, chosen from all of them."""
    _, show = view.text.gettext, view.show
    rows = plans.to_dicts()
    newest = {row["plan_id"]: row for row in rows}
    heads = list(newest.values())
    head = address.choice(
        "plan",
        _("Plan"),
        heads,
        heads[0],
        lambda row: f"{row['name']} ({_('add-on')})" if row["is_add_on"] else str(row["name"]),
        code=lambda row: str(row["plan_id"]),
        resets=(*CHOICES, "version"),
    )
    versions = [row for row in rows if row["plan_id"] == head["plan_id"]]
    one = versions[-1]
    if len(versions) > 1:
        one = address.choice(
            "version",
            _("Version"),
            versions,
            versions[-1],
            lambda row: f"{show.number(row['version'])} · {show.instant(row['published_at'])}",
            code=lambda row: str(row["version"]),
            resets=CHOICES,
        )
    frame.cards(
        view,
        [
            Card(_("Interval"), billing_words.interval(view.text, one["interval"])),
            Card(_("Billed"), _("in advance") if one["in_advance"] else _("in arrears")),
            Card(_("Version"), show.number(one["version"]), note=show.instant(one["published_at"])),
            Card(
                _("Product"),
                show.identifier(one["product"]),
                note=_("Tax code: {code}").format(code=show.identifier(one["tax_code"])),
            ),
        ],
    )
    return one


def components(view: View, engine: Engine, chosen: dict[str, Any]) -> dict[str, Any] | None:
    """What the plan is made of; the component whose prices are looked at."""
    _ = view.text.gettext
    rows = engine.components(chosen["plan_id"], chosen["version"])
    st.subheader(_("Components"), anchor=False)
    frame.table(
        view,
        _("Components"),
        [
            Column("name", _("Component"), href=lambda row: None),
            Column("kind", _("Counted"), words=billing_words.component_kind(view.text)),
            Column("meter", _("Meter"), "id"),
            Column("unit", _("Unit"), "id"),
            Column("sku", _("Goods"), "id"),
            Column("bundle", _("In bundle"), "id"),
        ],
        rows,
    )
    found = rows.to_dicts()
    if not found:
        return None
    return address.choice(
        "component",
        _("Prices of"),
        found,
        found[0],
        lambda row: str(row["name"]),
        code=lambda row: str(row["component_id"]),
        resets=("price", "quantity"),
    )


def prices(view: View, engine: Engine, component: dict[str, Any]) -> str | None:
    """The prices of a component in all lists, in time; the first of them."""
    _, show = view.text.gettext, view.show
    word = billing_words.level(view.text)
    level = address.choice(
        "level",
        _("Lists"),
        LEVELS,
        LEVELS[0],
        lambda one: _("All lists") if one == "all" else word(one),
        resets=("price",),
    )
    rows = engine.prices(component["component_id"], None if level == "all" else level, PRICES)
    st.subheader(_("Prices"), anchor=False)
    if rows.height == PRICES:
        st.caption(_("The first {count} prices are shown.").format(count=show.number(PRICES)))
    desk.table(
        view,
        "prices",
        _("Prices"),
        [
            Column("list_name", _("List"), "id", href=lambda row: _opens(row)),
            Column("level", _("For whom"), words=word),
            Column("owner_id", _("Whose"), "id"),
            Column("currency", _("Currency"), "id"),
            Column("model", _("Model"), words=billing_words.price_model(view.text)),
            Exact("unit_price", _("Price"), of="currency"),
            Column("quantity_from", _("From quantity"), "count"),
            Column("valid_start", _("From"), "day"),
            Column("valid_end", _("Until"), "day"),
        ],
        rows,
    )
    return None if rows.is_empty() else str(rows.item(0, "price_id"))


def _opens(row: Any) -> str:
    kept = {
        name: value for name in ("plan", "version", "component", "level") if (value := address.read(name))
    }
    return address.to("catalogue", price=str(row["price_id"]), **kept)


def one_price(view: View, engine: Engine, price: str | None) -> None:
    """A price with its tiers, and what a quantity costs."""
    _ = view.text.gettext
    if price is None:
        return
    sheet = engine.price(price)
    st.subheader(_("One price"), anchor=False)
    model = billing_words.price_model(view.text)(sheet.model)
    st.text(f"{view.show.identifier(sheet.price_id)} · {model}")
    if sheet.unit_price is not None:
        if sheet.model == "percentage":
            st.text(_("Share of each event: {share}").format(share=view.show.percent(sheet.unit_price, 2)))
        else:
            amount = desk.price_text(view.show, sheet.unit_price, sheet.currency)
            st.text(_("Price: {price}").format(price=amount))
    if sheet.facts:
        word, value = billing_words.fact(view.text), billing_words.fact_value(view.text)
        rows = [{"fact": word(name), "value": value(told)} for name, told in sheet.facts.items()]
        frame.table(
            view,
            _("Terms"),
            [Column("fact", _("Term")), Column("value", _("Value"))],
            pl.DataFrame(rows),
        )
    if sheet.tiers:
        desk.steps(view, _("Tiers"), sheet.tiers, sheet.currency)
    quantity = desk.entry("quantity", _("Try a quantity"))
    if quantity is None:
        return
    with desk.asked(view):
        tried = engine.try_price(sheet.price_id, quantity)
        posted = view.show.money(tried.posted_minor, tried.currency)
        st.text(
            _("{quantity} cost {exact}, posted as {posted}.").format(
                quantity=desk.exact(view.show, tried.quantity),
                exact=desk.price_text(view.show, tried.exact, tried.currency),
                posted=posted,
            )
        )
        st.caption(_("For a whole period, before discounts, tax, and a minimum or maximum of the period."))
        if tried.steps:
            desk.steps(view, _("Tiers that were filled"), tried.steps, tried.currency)


render(open_view())
