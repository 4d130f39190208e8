"""The catalogue: plans with what they are made of, their prices, and what a quantity costs under one."""

from __future__ import annotations

from decimal import Decimal

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Link, Notice, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.core.money import BillingError, parse_decimal
from billing.reads import catalog
from billing.store.store import Row
from billing.web.problems import Problem

PRICES = 100


def listed(visit: Visit) -> Screen:
    """All plans and add-ons."""
    _ = visit.words.gettext
    after = visit.place("plans")
    with visit.context.looking() as store:
        found = catalog.plans(store, ALL, after=after, limit=PAGE_ROWS)
    rows = [
        [
            visit.data(row["name"], path_to("catalogue", row["plan_id"])),
            visit.code(row["plan_id"]),
            visit.code(row["product_id"]),
            Cell(_("Add-on") if row["is_add_on"] else _("Plan")),
            Cell("–" if row["version"] is None else visit.words.decimal(row["version"])),
        ]
        for row in found.rows
    ]
    table = Table(
        _("Plans and add-ons"),
        [_("Name"), _("Id"), _("Product"), _("Kind"), _("Newest version")],
        rows,
        _("Nothing is sold yet."),
        frozenset({4}),
        visit.following(found, "plans"),
    )
    return Screen(_("Catalogue"), [Section("", table=table)], current="catalogue")


def plan(visit: Visit) -> Screen:
    """A plan: its newest version, and the prices of each component."""
    _ = visit.words.gettext
    key = visit.key()
    with visit.context.looking() as store:
        row = catalog.plan(store, ALL, plan_id=key)
        if row is None:
            raise Problem("not_found")
        version = None
        if row["version"] is not None:
            version = catalog.version_of(store, ALL, plan_id=key, version=row["version"])
        parts = version["components"] if version else []
        priced = [
            (part, catalog.prices(store, ALL, after=None, limit=PRICES, component_id=part["component_id"]))
            for part in parts
        ]
    facts = [
        (_("Id"), visit.code(key)),
        (_("Product"), visit.code(row["product_id"])),
        (_("Newest version"), Cell("–" if version is None else visit.words.decimal(version["version"]))),
    ]
    if version is not None:
        when = _("in advance") if version["in_advance"] else _("in arrears")
        facts += [
            (_("Interval"), Cell(naming.kind(visit.words, version["interval"]))),
            (_("Charged"), Cell(when)),
        ]
    sections = [Section(_("About"), facts)]
    sections += [_priced(visit, part, list(found.rows)) for part, found in priced]
    return Screen(row["name"], sections, back=Link(path_to("catalogue"), _("Catalogue")), current="catalogue")


def _priced(visit: Visit, part: Row, prices: list[Row]) -> Section:
    _ = visit.words.gettext
    rows = [
        [
            visit.code(row["price_id"], path_to("prices", row["price_id"])),
            visit.code(row["list_id"]),
            visit.code(row["model"]),
            Cell(row["currency"]),
            visit.code(row["price"] or (f"{row['rate_percent']} %" if row["rate_percent"] else None)),
        ]
        for row in prices
    ]
    columns = [_("Price"), _("List"), _("Model"), _("Currency"), _("Unit price")]
    title = f"{part['name']} · {naming.kind(visit.words, part['kind'])}"
    return Section(title, table=Table(_("Prices"), columns, rows, _("It has no price."), frozenset({4})))


def price(visit: Visit) -> Screen:
    """A price in full, and what a quantity costs under it."""
    _ = visit.words.gettext
    key, quantity = visit.key(), visit.asked("quantity")
    refused = None
    with visit.context.looking() as store:
        sheet = catalog.price(store, ALL, price_id=key)
        if sheet is None:
            raise Problem("not_found")
        tried = None
        if quantity is not None:
            try:
                parse_decimal(quantity)
                tried = catalog.try_price(store, ALL, price_id=key, quantity=quantity)
            except BillingError as error:
                refused = error
    terms = sheet.terms
    facts = [
        (_("Component"), visit.code(terms["component_id"])),
        (_("List"), visit.code(terms["list_id"])),
        (_("Model"), visit.code(terms["model"])),
        (_("Currency"), Cell(terms["currency"])),
        *(
            (naming.term(visit.words, name), _term(visit, terms, name))
            for name in naming.TERMS
            if terms[name]
        ),
    ]
    form = Form(
        path_to("prices", key),
        _("Work it out"),
        [
            Ask(
                "quantity",
                _("Quantity"),
                quantity or "",
                hint=_("Of a price of single events: the value of one."),
            )
        ],
        "get",
        swaps="tried",
    )
    notices = []
    if refused is not None:
        why = _("This cannot be worked out: {why}").format(why=refused.detail)
        notices.append(Notice("bad", why, refused.code))
    sections = [Section(_("About"), facts), *_tiers(visit, terms), Section(_("Try it"), forms=[form])]
    sections.append(_tried(visit, tried))
    return Screen(
        key,
        sections,
        notices=notices,
        back=Link(path_to("catalogue"), _("Catalogue")),
        current="catalogue",
        status=200 if refused is None else 422,
    )


def _term(visit: Visit, terms: Row, name: str) -> Cell:
    value = terms[name]
    if name.endswith("_minor"):
        return visit.money(value, terms["currency"])
    return visit.code(str(value))


def _tiers(visit: Visit, terms: Row) -> list[Section]:
    _ = visit.words.gettext
    if not terms["tiers"]:
        return []
    rows = [
        [
            Cell(_("and more") if tier["up_to"] is None else visit.words.decimal(tier["up_to"])),
            visit.code(tier["unit"] or (f"{tier['rate_percent']} %" if tier["rate_percent"] else None)),
            visit.code(tier["flat"]),
        ]
        for tier in terms["tiers"]
    ]
    columns = [_("Up to"), _("Each"), _("Flat fee")]
    return [Section(_("Tiers"), table=Table(_("Tiers"), columns, rows, "", frozenset({0, 1, 2})))]


def _tried(visit: Visit, tried: catalog.Tried | None) -> Section:
    _ = visit.words.gettext
    if tried is None:
        return Section("", notes=[_("Before minimum, maximum, discounts and tax.")], name="tried")
    facts = [
        (_("Quantity"), visit.code(_plain(tried.quantity))),
        (_("Exactly"), visit.code(f"{_plain(tried.exact)} {tried.currency}")),
        (_("Posted"), visit.money(tried.posted_minor, tried.currency)),
    ]
    rows = [
        [
            visit.code(f"{step.first}–{step.last}" if step.last is not None else f"{step.first}+"),
            visit.code(_plain(step.units) if step.units is not None else None),
            visit.code(_plain(step.unit_price)),
            visit.code(_plain(step.flat_fee)),
            visit.code(_plain(step.amount)),
        ]
        for step in tried.steps
    ]
    table = None
    if rows:
        columns = [_("Tier"), _("Units"), _("Each"), _("Flat fee"), _("Adds")]
        table = Table(_("What each tier adds"), columns, rows, "", frozenset({1, 2, 3, 4}))
    return Section(
        _("What it costs"),
        facts,
        table,
        notes=[_("Before minimum, maximum, discounts and tax.")],
        name="tried",
    )


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
