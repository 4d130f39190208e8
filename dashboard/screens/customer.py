"""Page 7, customer 360: what is going on with this account? Found by name or id, one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from dashboard import address, figures, frame, links, words
from dashboard.queries import customer as queries
from dashboard.screens import acting, customer_notes, customer_orders, customer_parts, customer_time
from dashboard.screens.acting import Account, prompt_of
from dashboard.screens.customer_parts import PLACE, Shown
from dashboard.tables import Column
from dashboard.view import Published, View, open_view

FOUND = 20
FAMILY_ROWS = 50
LONGEST_SEARCH = 200


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "customer", _("What is going on with this account?"))
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    if published.rows(queries.ANYBODY).is_empty():
        frame.empty(
            view,
            _(
                "There is nobody to find yet: no source has sent a customer, a subscription or an order. "
                "Data health says what came in."
            ),
        )
        frame.page_link(view, "health", _("Open data health"))
        return
    with frame.panel(view):
        search(view, published)
    asked = address.read("customer")
    if asked is None:
        st.caption(_("Search for a customer, or choose one from any list."))
        return
    head = published.rows(queries.HEAD, customer_id=asked)
    if head.is_empty():
        frame.empty(view, _("There is no customer with this id among those you may see."), ("customer",))
        st.code(asked[:LONGEST_SEARCH], language=None, wrap_lines=True)
        return
    one(view, published, head.row(0, named=True))


def search(view: View, published: Published) -> None:
    """A field for a part of the name, or the id; what it finds are links."""
    _ = view.text.gettext
    key = "customer-search"

    def changed() -> None:
        address.write("find", st.session_state[key].strip() or None)

    if address.read("find") is None:
        st.session_state.setdefault(key, "")
    else:
        st.session_state[key] = (address.read("find") or "")[:LONGEST_SEARCH]
    st.text_input(_("Find a customer by name or id"), key=key, max_chars=LONGEST_SEARCH, on_change=changed)
    asked = (address.read("find") or "").strip()[:LONGEST_SEARCH]
    if not asked:
        return
    escaped = asked.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    found = published.rows(queries.SEARCH, asked=asked, like=f"%{escaped}%", limit=FOUND)
    if found.is_empty():
        st.caption(_("No customer has this in its name, or this id."))
        return
    frame.table(
        view,
        _("Customers found"),
        [
            Column("name", _("Customer")),
            Column("customer_id", _("Customer id"), "id"),
            Column("segment", _("Segment")),
        ],
        found,
    )
    if found.height == FOUND:
        st.caption(_("There may be more: write more of the name."))


def one(view: View, published: Published, head: Mapping[str, Any]) -> None:
    """The account's head, and the part of it that the address asks for."""
    _ = view.text.gettext
    customer_id = head["customer_id"]
    currencies = published.rows(queries.CURRENCIES, customer_id=customer_id)["currency"].to_list()
    score = published.rows(queries.SCORE, customer_id=customer_id)
    newest = score.row(0, named=True) if score.height else None
    prompt = prompt_of(newest["as_of"], newest["model_id"], newest["recommended_play"]) if newest else None
    account = Account(customer_id, head["name"], prompt)
    with frame.panel(view):
        about(view, published, head, newest)
    parts: dict[str, tuple[str, Callable[[Shown], None]]] = {
        "timeline": (_("Timeline"), customer_time.timeline),
        "work": (_("Contacts and notes"), customer_notes.work),
        "risk": (_("Risk"), customer_parts.risk),
    }
    if head["is_billed"]:
        parts |= {
            "subscriptions": (_("Subscriptions"), customer_parts.subscriptions),
            "invoices": (_("Invoices"), customer_parts.invoices),
            "payments": (_("Payments and dunning"), customer_parts.payments),
            "usage": (_("Use and support"), customer_parts.usage),
        }
    if head["has_orders"]:
        parts["orders"] = (_("Orders"), customer_orders.orders)
    part = address.choice(
        "part",
        _("Part"),
        list(parts),
        "timeline",
        lambda name: parts[name][0],
        resets=("at", "rows", "page"),
        as_buttons=True,
    )
    currency = currencies[0] if currencies else published.build.reporting_currency
    if len(currencies) > 1:
        currency = address.choice("money", _("Currency"), currencies, currency, str, resets=("at",))
    with frame.panel(view):
        acting.undo_bar(view, PLACE)
        parts[part][1](Shown(view, published, account, currency, newest))


def about(view: View, published: Published, head: Mapping[str, Any], score: Mapping[str, Any] | None) -> None:
    """Who the account is: name, id, segment, owner, MRR, state, risk, parent and sites."""
    _, show = view.text.gettext, view.show
    standing = acting.standings(view).get(head["customer_id"])
    owner = head["owner"] if standing is None or standing.owner is None else standing.owner or None
    st.subheader(_("Account"), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(show.name(head["name"]), width="content")
        st.code(head["customer_id"], language=None, width="content")
        if head["is_test"]:
            st.badge(_("Test customer"), color="gray")
        st.badge(words.state(view.text)(standing.state if standing else "open"), color="blue")
        if score is not None and score["band_fixed"]:
            is_high = score["band_fixed"] == "high"
            st.badge(words.band(view.text)(score["band_fixed"]), color="red" if is_high else "gray")
    mrr = published.rows(queries.MRR_NOW, customer_id=head["customer_id"])
    amounts = [show.money(row["mrr"], row["currency"]) for row in mrr.iter_rows(named=True)]
    facts = {
        _("MRR"): " + ".join(amounts) or (_("None") if head["is_billed"] else None),
        _("Segment"): head["segment"],
        _("Owner"): owner or _("Nobody"),
        _("Country"): head["country"],
        _("Stage in the CRM"): head["stage"],
        _("Customer since"): show.day(head["since_on"]) if head["since_on"] else None,
        _("Risk score"): show.percent(score["p_90"]) if score and score["p_90"] is not None else None,
    }
    with st.container(horizontal=True, gap="large"):
        for label, fact in facts.items():
            if fact is not None:
                with st.container(width="content"):
                    st.caption(label)
                    st.text(fact)
    if score is not None and score["p_90"] is not None:
        said = [one[f"sentence_{view.language}"] for one in score["reasons"] if one is not None]
        st.caption(figures.scored_words(view, score))
        st.text(" · ".join(said))
    company = view.company.name if view.company is not None else None
    elsewhere = links.billing_of(view.text, view.reader, company, head["customer_id"])
    if elsewhere:
        with st.container(horizontal=True):
            for label, place in elsewhere.items():
                st.link_button(label, place)
    family(view, published, head)


def family(view: View, published: Published, head: Mapping[str, Any]) -> None:
    """The parent that pays for the account, and the sites it pays for or shares a parent with."""
    _ = view.text.gettext
    rows = published.rows(
        queries.FAMILY,
        customer_id=head["customer_id"],
        parent_id=head["parent_customer_id"],
        limit=FAMILY_ROWS,
    )
    if rows.is_empty():
        return
    if head["parent_customer_id"] is not None:
        st.caption(_("A site: its subscriptions count for its parent, whose page has them."))
    with st.expander(_("Parent and sites")):
        frame.table(
            view,
            _("Parent and sites"),
            [
                Column("name", _("Customer")),
                Column("customer_id", _("Customer id"), "id"),
                Column("segment", _("Segment")),
                Column("is_parent", _("Parent"), words=words.yes_no(view.text)),
            ],
            rows,
        )


render(open_view())
