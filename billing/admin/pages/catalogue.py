"""The catalogue: plans with what they are made of, their prices, and what a quantity costs under one."""

from __future__ import annotations

from decimal import Decimal

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Link, Notice, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.core.money import BillingError, Scaled, parse_decimal, parse_share
from billing.reads import catalog
from billing.store.store import Row
from billing.web.intervals import every
from billing.web.problems import Problem

PRICES = 100
_AMOUNTS = ("price", "fee_per_event", "free_amount", "min_per_event", "max_per_event")
"""Terms in major units."""


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
            (_("Interval"), Cell(every(visit.words, version["interval"]))),
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
            Cell(naming.model(visit.words, row["model"])),
            Cell(row["currency"]),
            _price(visit, row["price"], row["rate_percent"], row["currency"]),
        ]
        for row in prices
    ]
    columns = [_("Price"), _("List"), _("Model"), _("Currency"), _("Unit price")]
    title = f"{visit.words.own(part['name'])} · {naming.kind(visit.words, part['kind'])}"
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
        (_("Model"), Cell(naming.model(visit.words, terms["model"]))),
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
        why = _("This cannot be worked out: {why}").format(why=naming.refusal(visit.words, refused.code))
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
    if name == "window":
        return Cell(naming.window(visit.words, value))
    if name == "rate_percent":
        return _price(visit, None, value, terms["currency"])
    if name in _AMOUNTS:
        return _price(visit, value, None, terms["currency"])
    return Cell(visit.words.decimal(parse_decimal(value)))


def _price(visit: Visit, price: str | None, percent: str | None, currency: str) -> Cell:
    """A price in major units, or a share of 100 %."""
    if price is not None:
        return Cell(visit.words.price(parse_decimal(price), currency), is_number=True)
    return Cell(visit.words.percent(parse_share(percent)) if percent else "–", is_number=True)


def _tiers(visit: Visit, terms: Row) -> list[Section]:
    _ = visit.words.gettext
    if not terms["tiers"]:
        return []
    rows = [
        [
            Cell(_("and more") if tier["up_to"] is None else visit.words.decimal(tier["up_to"])),
            _price(visit, tier["unit"], tier["rate_percent"], terms["currency"]),
            _price(visit, tier["flat"], None, terms["currency"]),
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
        (_("Quantity"), _number(visit, tried.quantity)),
        (_("Exactly"), Cell(f"{_number(visit, tried.exact).text} {tried.currency}", is_number=True)),
        (_("Posted"), visit.money(tried.posted_minor, tried.currency)),
    ]
    rows = [
        [
            Cell(_bounds(visit, step.first, step.last)),
            _number(visit, step.units),
            _number(visit, step.unit_price),
            _number(visit, step.flat_fee),
            _number(visit, step.amount),
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


def _bounds(visit: Visit, first: int, last: int | None) -> str:
    begins = visit.words.decimal(first)
    if last is None:
        return visit.words.gettext("{first} and more").format(first=begins)
    return visit.words.gettext("{first} to {last}").format(first=begins, last=visit.words.decimal(last))


def _number(visit: Visit, value: Decimal | None) -> Cell:
    if value is None:
        return Cell("–", is_number=True)
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits))) * 10 ** max(int(exponent), 0) * (-1 if sign else 1)
    return Cell(visit.words.decimal(Scaled(whole, max(-int(exponent), 0))), is_number=True)
