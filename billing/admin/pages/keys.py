"""API keys: made and shown once, given another secret, taken back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Notice, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.reads.keys import keys
from billing.service.api_keys import Minted, create_key, is_valid, mint, roll_key
from billing.store.store import Row, Store

OLD_LASTS = timedelta(days=1)
"""How long the old secret of a key still opens, once it has another."""


def listed(visit: Visit) -> Screen:
    """All keys, and the form for another."""
    return _screen(visit, [])


def _screen(visit: Visit, notices: list[Notice], *, is_new: bool = False) -> Screen:
    _ = visit.words.gettext
    after = None if is_new else visit.place("keys")
    with visit.context.looking() as store:
        found = keys(store, ALL, after=after, limit=PAGE_ROWS)
    table = Table(
        _("Keys"),
        [_("Name"), _("Begins with"), _("May"), _("Customer"), _("Last used"), _("State"), _("Act")],
        [_row(visit, row) for row in found.rows],
        _("There are no keys."),
        more=visit.following(found, "keys"),
    )
    rolls = [
        Form(
            path_to("keys", row["key_id"], "roll"),
            _("Give {name} another secret").format(name=visit.words.own(row["name"])),
            name=f"roll:{row['key_id']}",
            tone="",
        )
        for row in found.rows
        if is_valid(row, visit.context.now())
    ]
    new = Form(
        path_to("keys"),
        _("Make the key"),
        [
            Ask("name", _("What it is for"), is_required=True),
            Ask(
                *("scopes", _("What it may do"), "*:read"),
                is_required=True,
                hint=_("Such as customers:read."),
                is_code=True,
            ),
            Ask("customer", _("Only for the customer with this id"), is_code=True),
        ],
        name="key",
    )
    return Screen(
        _("Keys"),
        [
            Section("", table=table),
            Section(_("A new key"), forms=[new]),
            *([Section(_("Another secret"), forms=rolls)] if rolls else []),
        ],
        notices=notices,
        current="keys",
    )


def _row(visit: Visit, row: Row) -> list[Cell]:
    _ = visit.words.gettext
    opens = is_valid(row, visit.context.now())
    state = visit.badge(_("opens"), "good") if opens else visit.badge(_("over"))
    return [
        visit.data(row["name"]),
        visit.code(row["prefix"]),
        visit.code(row["scopes"]),
        visit.code(
            row["customer_id"], path_to("customers", row["customer_id"]) if row["customer_id"] else None
        ),
        visit.day(row["last_used_on"]),
        state,
        Cell(_("Take it back…"), path_to("acts", "revoke-key", row["key_id"])) if opens else Cell(""),
    ]


def make(visit: Visit, fields: Mapping[str, str]) -> Screen:
    """A new key; its secret is on the page that answers, and nowhere else."""
    minted = mint(visit.context.services.mode)

    def work(store: Store, at: datetime) -> object:
        return create_key(
            store,
            at,
            owner=visit.context.caller.owner,
            name=fields.get("name", ""),
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            scopes=fields.get("scopes", "").split(),
            version=at.date(),
            customer_id=fields.get("customer") or None,
        )

    visit.context.write(work)
    return _shown_once(visit, minted)


def roll(visit: Visit, _fields: Mapping[str, str]) -> Screen:
    """Another secret for a key; the old one opens for a day more."""
    minted = mint(visit.context.services.mode)

    def work(store: Store, at: datetime) -> object:
        return roll_key(
            store,
            at,
            key_id=visit.key(),
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            old_ends_at=at + OLD_LASTS,
        )

    visit.context.write(work)
    return _shown_once(visit, minted)


def _shown_once(visit: Visit, minted: Minted) -> Screen:
    _ = visit.words.gettext
    notice = Notice("good", _("Keep it now: it is not shown again."), minted.token)
    return _screen(visit, [notice], is_new=True)
