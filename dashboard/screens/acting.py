"""Working on accounts from any page: assign, snooze, log a contact, set an outcome, and undo each.

What is written is checked again where it is kept (records/actions.py). Only the reader's click writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, frame, words
from dashboard.people.scope import scope_of
from dashboard.queries import churn
from dashboard.records import actions
from dashboard.records.actions import Action, ActionRefused, Prompt, Standing
from dashboard.records.database import Records
from dashboard.scope import ALL
from dashboard.tables import Column
from dashboard.view import Published, View

KINDS = (actions.CONTACTED, actions.ASSIGNED, actions.SNOOZED, actions.CLOSED)
OWNERS = (ALL, "mine", "nobody")
# How the owner filter writes the name of one colleague: a name of its own may be any word.
COLLEAGUE = "of:"
COLLEAGUES_LISTED = 500
HISTORY_ROWS = 50
SNOOZE_DAYS = 14
DONE, REFUSED = "acting-done", "acting-refused"
KEPT_STANDINGS = 32


@dataclass(frozen=True)
class Account:
    """An account that can be acted on, with the score that prompts it, where one does."""

    customer_id: str
    name: str
    prompt: Prompt | None = None


def prompt_of(as_of: date | None, model_id: str | None, play: str | None) -> Prompt | None:
    """The score an action follows; None where the account has none."""
    return None if as_of is None or model_id is None else Prompt(as_of, model_id, play or "none")


@st.cache_data(max_entries=KEPT_STANDINGS, show_spinner=False)
def _standings(key: tuple[Any, ...], today: date, _records: Records) -> dict[str, Standing]:
    return actions.standings(_records, today)


def standings(view: View) -> Mapping[str, Standing]:
    """Where the accounts stand that somebody acted on; read anew only after somebody wrote."""
    if view.records is None or view.company is None:
        return {}
    key = (view.company.records_url, *actions.written(view.records))
    return _standings(key, today(view), view.records)


def today(view: View) -> date:
    return view.now.astimezone(UTC).date()


def values(view: View, owner: str = ALL) -> dict[str, object]:
    """What the queries of a worked list take: whose accounts, of the choice of owner; and of where accounts
    stand a list a column, one place a customer."""
    stands = list(standings(view).values())
    return {
        "acted_customers": [one.customer_id for one in stands],
        "acted_states": [one.state for one in stands],
        "acted_owners": [one.owner for one in stands],
        "acted_until": [one.snoozed_until for one in stands],
        "acted_touched": [one.touched_on for one in stands],
        "acted_next": [one.next_on for one in stands],
        "looked_after_by": looked_after_by(view, owner),
    }


def own_name(view: View) -> str:
    """The name under which accounts are the reader's own."""
    return view.reader.owner or view.reader.name


def looked_after_by(view: View, owner: str) -> str | None:
    """The name that a choice of owner asks for: empty for nobody's accounts, None for all of them."""
    if owner == ALL:
        return None
    if owner == "mine":
        return own_name(view)
    return owner.removeprefix(COLLEAGUE) if owner.startswith(COLLEAGUE) else ""


def colleagues(view: View, published: Published) -> list[str]:
    """Who else looks after accounts, by name; nobody for a reader who sees only their own accounts."""
    if scope_of(view.reader).only_own:
        return []
    known = published.rows(churn.OWNERS, limit=COLLEAGUES_LISTED)["owner"].to_list()
    return sorted({*known, *_assigned_to(view)} - {own_name(view)})


def _assigned_to(view: View) -> set[str]:
    """To whom accounts were assigned here; the CRM need not know them."""
    return {one.owner for one in standings(view).values() if one.owner}


def owner_choice(view: View, published: Published, resets: Sequence[str]) -> str:
    """Draw the choice of whose accounts are listed: one of OWNERS, or a colleague's name after COLLEAGUE.

    Of very many colleagues the first are listed; another is found by writing a part of the name.
    """
    _ = view.text.gettext
    names = {ALL: _("All accounts"), "mine": _("Mine"), "nobody": _("Unassigned")}
    names |= {COLLEAGUE + name: name for name in colleagues(view, published)}
    are_all_listed = len(names) < COLLEAGUES_LISTED
    if are_all_listed:
        return address.choice("owner", _("Owner"), list(names), ALL, names.__getitem__, resets=resets)

    def found(asked: str) -> str | None:
        called = published.rows(churn.OWNER_CALLED, asked=asked)
        if called.is_empty():
            st.toast(_("Nobody who looks after accounts is called that."))
            return None
        return COLLEAGUE + str(called["owner"].item())

    asked = address.read("owner") or ""
    if asked.startswith(COLLEAGUE) and asked not in names:
        name = asked.removeprefix(COLLEAGUE)
        if found(name) == asked:
            names[asked] = name
    return address.choice(
        "owner", _("Owner"), list(names), ALL, names.__getitem__, resets=resets, found=found
    )


def may_write(view: View) -> bool:
    return view.records is not None and view.may("write_actions")


def undo_bar(view: View, place: str) -> None:
    """What was just done, with the way back; and why something was not done. `place` is the page.

    A toast says it wherever the reader looks; it holds no button, so the way back stands here, between the
    list and the forms that act on it.
    """
    _ = view.text.gettext
    refused = st.session_state.pop(REFUSED, None)
    if refused is not None:
        st.error(words.refusal(view.text)(refused))
    done = st.session_state.get(DONE)
    if done is None or done["place"] != place or view.company is None:
        st.session_state.pop(DONE, None)
        return
    if not done["is_told"]:
        done["is_told"] = True
        st.toast(done["said"])
    with st.container(horizontal=True, vertical_alignment="center", key="undo-bar"):
        st.text(done["said"])
        if done["events"] and st.button(_("Undo"), key="undo-last"):
            _take_back(view, done["events"], place)
        if st.button(_("Close"), key="undo-close", type="tertiary"):
            st.session_state.pop(DONE, None)
            st.rerun()


def said(place: str, sentence: str, events: Sequence[str] = ()) -> None:
    """Keep what the bar of a page says after the next drawing, and which events its Undo takes back."""
    st.session_state[DONE] = {"place": place, "said": sentence, "events": list(events), "is_told": False}


def _take_back(view: View, events: Sequence[str], place: str) -> None:
    assert view.records is not None
    count = actions.undo(view.records, list(events), view.now, view.reader.reader_id)
    sentence = view.text.ngettext("{count} action undone.", "{count} actions undone.", count)
    said(place, sentence.format(count=view.show.number(count)))
    st.rerun()


def panel(
    view: View, published: Published, accounts: Sequence[Account], place: str, part: str = "list"
) -> None:
    """The forms that act on these accounts; says so where the reader may not, or none is chosen. `place`
    is the page, `part` tells several panels of a page apart."""
    _ = view.text.gettext
    if not may_write(view):
        st.caption(_("Your role does not act on accounts."))
        return
    with st.container(key=f"acting-{place}-{part}"):
        _forms(view, published, accounts, place, part)


def several(
    view: View,
    published: Published,
    title: str,
    accounts: Sequence[Account],
    place: str,
    held: Collection[str] = (),
) -> None:
    """Choose among the accounts on screen and act on them. `held` are those of the comparison group."""
    _ = view.text.gettext
    by_id = {one.customer_id: one for one in accounts}
    with st.expander(title):
        chosen = st.multiselect(
            _("Customers to act on"),
            list(by_id),
            format_func=lambda one: by_id[one].name,
            key=f"act-customers-{place}",
            placeholder=_("Choose from the page above"),
        )
        if set(held).intersection(chosen):
            st.caption(
                _("Among them are customers of the comparison group: the score prompts no contact with them.")
            )
        panel(view, published, [by_id[one] for one in chosen], place)


def _forms(view: View, published: Published, accounts: Sequence[Account], place: str, part: str) -> None:
    _ = view.text.gettext
    names = {
        actions.CONTACTED: _("Log a contact"),
        actions.ASSIGNED: _("Assign"),
        actions.SNOOZED: _("Snooze"),
        actions.CLOSED: _("Set the outcome"),
    }
    kind = st.segmented_control(
        _("What to do"),
        KINDS,
        default=actions.CONTACTED,
        format_func=names.__getitem__,
        key=f"act-kind-{place}-{part}",
        required=True,
    )
    with st.form(f"act-{place}-{part}-{kind}", clear_on_submit=True):
        given = {
            actions.CONTACTED: _contact_fields,
            actions.ASSIGNED: _assign_fields,
            actions.SNOOZED: _snooze_fields,
            actions.CLOSED: _closing_fields,
        }[kind](view, published)
        pressed = st.form_submit_button(names[kind], type="primary", disabled=not accounts)
    if not accounts:
        st.caption(_("Choose at least one customer."))
    elif pressed:
        _write(view, [_action(one, kind, given) for one in accounts], place)


def _action(account: Account, kind: str, given: Mapping[str, Any]) -> Action:
    """The action on one account. A contact before the day of the score is none that it prompted."""
    prompt = account.prompt
    contacted_at = given.get("contacted_at")
    if prompt is not None and contacted_at is not None and contacted_at.date() < prompt.as_of:
        prompt = None
    return Action(account.customer_id, kind, prompt=prompt, **given)


def _write(view: View, wanted: list[Action], place: str) -> None:
    assert view.records is not None
    try:
        events = actions.record(view.records, wanted, view.now, view.reader.reader_id)
    except ActionRefused as refusal:
        st.session_state[REFUSED] = refusal.code
    else:
        sentences = {
            actions.CONTACTED: view.text.ngettext(
                "Contact logged on {count} account.", "Contact logged on {count} accounts.", len(events)
            ),
            actions.ASSIGNED: view.text.ngettext(
                "{count} account assigned.", "{count} accounts assigned.", len(events)
            ),
            actions.SNOOZED: view.text.ngettext(
                "{count} account snoozed.", "{count} accounts snoozed.", len(events)
            ),
            actions.CLOSED: view.text.ngettext(
                "Outcome set on {count} account.", "Outcome set on {count} accounts.", len(events)
            ),
        }
        count = view.show.number(len(events))
        said(place, sentences[wanted[0].action].format(count=count), events)
    st.rerun()


def _contact_fields(view: View, published: Published) -> dict[str, Any]:
    _ = view.text.gettext
    with st.container(horizontal=True):
        channel = st.selectbox(_("Channel"), actions.CHANNELS, format_func=words.channel(view.text))
        reply = st.selectbox(
            _("What came of it"), actions.REPLIES, index=1, format_func=words.reply(view.text)
        )
        on = st.date_input(_("Day of the contact"), today(view), max_value=today(view), format="YYYY-MM-DD")
        next_on = st.date_input(
            _("Next step on (optional)"), None, min_value=today(view), format="YYYY-MM-DD"
        )
    note = st.text_area(_("Note"), max_chars=actions.NOTE_LENGTH, height=80)
    is_today = on == today(view)
    moment = view.now if is_today else datetime.combine(on, time(12), tzinfo=UTC)
    return {
        "channel": channel,
        "outcome": reply,
        "contacted_at": moment,
        "next_on": next_on,
        "note": note,
    }


def _assign_fields(view: View, published: Published) -> dict[str, Any]:
    _ = view.text.gettext
    own = own_name(view)
    names = {"": _("Nobody"), own: _("Me: {name}").format(name=own)}
    owner = st.selectbox(
        _("Owner"),
        [own, *colleagues(view, published), ""],
        format_func=lambda one: names.get(one, one),
        accept_new_options=True,
    )
    return {"owner": owner}


def _snooze_fields(view: View, published: Published) -> dict[str, Any]:
    _ = view.text.gettext
    until = st.date_input(
        _("Back on the list on"),
        today(view) + timedelta(days=SNOOZE_DAYS),
        min_value=today(view) + timedelta(days=1),
        max_value=today(view) + actions.LONGEST_SNOOZE,
        format="YYYY-MM-DD",
    )
    return {"until_on": until, "note": st.text_input(_("Why (optional)"), max_chars=actions.NOTE_LENGTH)}


def _closing_fields(view: View, published: Published) -> dict[str, Any]:
    _ = view.text.gettext
    outcome = st.selectbox(_("Outcome"), actions.RESULTS, format_func=words.reply(view.text))
    return {"outcome": outcome, "note": st.text_input(_("Note"), max_chars=actions.NOTE_LENGTH)}


def history(view: View, account: Account, place: str) -> None:
    """What was done about an account, newest first; what still counts can be taken back."""
    _ = view.text.gettext
    if view.records is None or not view.may("see_names"):
        return
    rows = actions.events(view.records, account.customer_id, HISTORY_ROWS)
    if not rows:
        st.caption(_("Nothing has been done about this account yet."))
        return
    shown = pl.DataFrame([_history_row(view, row) for row in rows])
    frame.table(
        view,
        _("Actions"),
        [
            Column("at", _("When"), "instant"),
            Column("what", _("What")),
            Column("detail", _("Detail")),
            Column("note", _("Note")),
            Column("by", _("Who")),
        ],
        shown,
    )
    live = {row["event_id"]: row for row in rows if row["undone_at"] is None}
    if live and may_write(view):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = st.selectbox(
                _("Action to undo"),
                list(live),
                format_func=lambda one: _line(view, live[one]),
                key=f"undo-choice-{place}",
            )
            if st.button(_("Undo this action"), key=f"undo-one-{place}"):
                _take_back(view, [chosen], place)


def _line(view: View, row: Mapping[str, Any]) -> str:
    what = words.action(view.text)(row["action"])
    return f"{view.show.instant(row['recorded_at'])} · {what} · {detail(view, row)}"


def _history_row(view: View, row: Mapping[str, Any]) -> dict[str, Any]:
    _ = view.text.gettext
    what = words.action(view.text)(row["action"])
    if row["undone_at"] is not None:
        what = _("{what} (undone)").format(what=what)
    return {
        "at": row["recorded_at"],
        "what": what,
        "detail": detail(view, row),
        "note": row["note"],
        "by": row["recorded_by"],
    }


def detail(view: View, row: Mapping[str, Any]) -> str:
    """The particulars of an action in words."""
    _, show = view.text.gettext, view.show
    if row["action"] == actions.ASSIGNED:
        return row["owner"] or _("Nobody")
    if row["action"] == actions.SNOOZED:
        return _("until {day}").format(day=show.day_short(row["until_on"]))
    if row["action"] == actions.CLOSED:
        return words.reply(view.text)(row["outcome"])
    parts = [words.channel(view.text)(row["channel"]), words.reply(view.text)(row["outcome"])]
    if row["contacted_at"].date() != row["recorded_at"].date():
        parts.append(show.day_short(row["contacted_at"].date()))
    if row["next_on"] is not None:
        parts.append(_("next step on {day}").format(day=show.day_short(row["next_on"])))
    return " · ".join(parts)
